"""Who takes part: one module each, imported in that contestant's own environment only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Contestant:
    """A simulator, and how it is used.

    `module`, in this package, has `prepare(problem, want, **options)`, which returns a function without arguments
    that does the work. That function returns (values, gradients) of all sets, gradients None if only values are
    wanted, values None where a library gives gradients alone.

    Attributes:
        title: how tables call it.
        module: its module.
        environment: where it is installed; "" is where this library is.
        distributions: whose versions are reported.
        options: passed on to `prepare`.
    """

    title: str
    module: str
    environment: str
    distributions: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)


OURS = "jaxsim"

CONTESTANTS: dict[str, Contestant] = {
    OURS: Contestant("jaxsim", "ours", "", ("jaxsim-ensembles", "jax", "jaxlib", "numpy")),
    "tensorcircuit": Contestant(
        "tensorcircuit-ng", "on_tensorcircuit", "tensorcircuit", ("tensorcircuit-ng", "jax", "jaxlib")
    ),
    "pennylane": Contestant("PennyLane default", "on_pennylane", "pennylane", ("pennylane", "jax", "jaxlib")),
    "lightning": Contestant(
        "lightning.qubit",
        "on_lightning",
        "pennylane",
        ("pennylane", "pennylane-lightning"),
    ),
    "qulacs": Contestant("qulacs (complex128)", "on_qulacs", "qulacs", ("qulacs",)),
    "qujax": Contestant("qujax", "on_qujax", "qujax", ("qujax", "jax", "jaxlib")),
    **{
        f"qsim-{size}": Contestant(f"qsim, fusion {size}", "on_qsim", "qsim", ("qsimcirq",), {"fused": size})
        for size in (2, 3, 4, 5)
    },
}
QSIM = tuple(name for name in CONTESTANTS if name.startswith("qsim-"))
