"""The table of workloads: what is computed, at which size, by whom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from contestants import OURS, QSIM
from problems import Problem, hardware_efficient, mixed_gates, qaoa, random_networks, random_rotations, uccsd


@dataclass(frozen=True)
class Workload:
    """One thing to be measured.

    Attributes:
        title: how tables call it.
        problem: what is computed.
        small: the same at a size for trying things out.
        contestants: who takes part.
        want: "value", "value_and_grad", or a row of `figures.FIGURES`, which this library answers alone.
        rounds: at most so many, for figures that do not vary.
    """

    title: str
    problem: Callable[[], Problem]
    small: Callable[[], Problem]
    contestants: tuple[str, ...] = (OURS,)
    want: str = "value_and_grad"
    rounds: int | None = None


forward = partial(hardware_efficient, observable="z")

WORKLOADS: dict[str, Workload] = {
    "ensemble": Workload(
        "value and gradient, n=10, L=4, 64 sets",
        partial(hardware_efficient, 10, 4, sets=64),
        partial(hardware_efficient, 4, 2, sets=5),
        (OURS, "tensorcircuit", "pennylane", "qujax", "qulacs", "lightning"),
    ),
    "different": Workload(
        "the same, 64 different circuits in one call (JAX peers: 64 copies of one)",
        partial(random_networks, 10, 4, sets=64),
        partial(random_networks, 4, 2, sets=5),
        (OURS, "tensorcircuit", "qulacs"),
    ),
    "second": Workload(
        "a second, different circuit of the same size",
        partial(random_networks, 10, 4, sets=6),
        partial(random_networks, 4, 2, sets=3),
        want="second",
    ),
    "single": Workload(
        "value and gradient, n=10, L=4, single set",
        partial(hardware_efficient, 10, 4),
        partial(hardware_efficient, 4, 2),
        (OURS, "tensorcircuit", "pennylane", "qujax", "qulacs", "lightning"),
    ),
    "overhead": Workload(
        "value and gradient, n=4, L=2, single set: the whole call over the bare kernel",
        partial(hardware_efficient, 4, 2),
        partial(hardware_efficient, 4, 2),
        want="overhead",
    ),
    "sparse": Workload(
        "value and gradient, n=10, 64 different circuits of 80 random Pauli rotations",
        partial(random_rotations, 10, 80, sets=64),
        partial(random_rotations, 5, 12, sets=4),
        (OURS, "qulacs"),
    ),
    "forward-20": Workload(
        "forward, n=20, L=10",
        partial(forward, 20, 10),
        partial(forward, 8, 3),
        (OURS, *QSIM, "lightning", "qulacs"),
        want="value",
    ),
    "forward-24": Workload(
        "forward, n=24, L=4",
        partial(forward, 24, 4),
        partial(forward, 9, 3),
        (OURS, *QSIM, "lightning"),
        want="value",
    ),
    "gradient-20": Workload(
        "value and gradient, n=20, L=4",
        partial(hardware_efficient, 20, 4),
        partial(hardware_efficient, 8, 2),
        (OURS, "lightning", "qulacs"),
    ),
    "memory-4": Workload(
        "memory of a gradient, n=24, L=4",
        partial(hardware_efficient, 24, 4),
        partial(hardware_efficient, 18, 2),
        want="memory",
        rounds=1,
    ),
    "memory-32": Workload(
        "memory of a gradient, n=24, L=32",
        partial(hardware_efficient, 24, 32),
        partial(hardware_efficient, 18, 6),
        want="memory",
        rounds=1,
    ),
    "compile-4": Workload(
        "compile time, n=10, L=4",
        partial(hardware_efficient, 10, 4),
        partial(hardware_efficient, 4, 4),
        want="compile",
    ),
    "compile-64": Workload(
        "compile time, n=10, L=64",
        partial(hardware_efficient, 10, 64),
        partial(hardware_efficient, 4, 64),
        want="compile",
    ),
    "lowering": Workload(
        "lowering 80 mixed gates, n=10",
        partial(mixed_gates, 10, 80, sets=40),
        partial(mixed_gates, 4, 12, sets=8),
        want="lowering",
    ),
    "qaoa": Workload(
        "QAOA, p=8, n=16, value and gradient",
        partial(qaoa, 16, 8),
        partial(qaoa, 6, 2),
        (OURS, "tensorcircuit", "pennylane", "lightning"),
    ),
    "uccsd-h4": Workload(
        "UCCSD of H4, 8 qubits, value and gradient",
        partial(uccsd, "H4", 1.0),
        partial(uccsd, "H2", 0.735),
        (OURS, "lightning"),
    ),
    "uccsd-lih": Workload(
        "UCCSD of LiH, 10 qubits, value and gradient",
        partial(uccsd, "LiH", 1.6),
        partial(uccsd, "H2", 0.735),
        (OURS, "lightning"),
    ),
}
