"""Draws the plans that docs/batching.md shows.

python scripts/draw_plans.py [directory]
"""

from __future__ import annotations

import sys
from pathlib import Path

from ensembles import VQE, BatchConfig, ProgramEnsemble, adam, scipy_minimize
from ensembles.problems import tfim
from jaxsim import ansatz

CIRCUITS = {n: ansatz.hardware_efficient(n, 2) for n in (4, 6, 10)}


def vqe(qubits: int, field: float, steps: int) -> VQE:
    return VQE(CIRCUITS[qubits], tfim(qubits, h=field), optimizer=adam(0.1), steps=steps)


def hosted(qubits: int, field: float) -> VQE:
    optimizer = scipy_minimize("COBYLA", maxiter=50)
    return VQE(CIRCUITS[qubits], tfim(qubits, h=field), optimizer=optimizer)


def different_lengths() -> ProgramEnsemble:
    """Ten programs in two groups that take one to five calls each."""
    return ProgramEnsemble(
        {f"p{k}": vqe(10 if k % 3 else 4, 0.5 + 0.1 * k, 60 + 64 * (k % 5)) for k in range(10)}
    )


def many() -> ProgramEnsemble:
    """2,000 programs in three groups; those of a group differ in their fields only."""
    return ProgramEnsemble({k: vqe((4, 6, 10)[k % 3], 0.001 * k, 150) for k in range(2000)})


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    three = ProgramEnsemble({"a": vqe(10, 0.5, 100), "b": vqe(10, 1.0, 300), "c": vqe(4, 1.0, 70)})
    ten = different_lengths()
    mixed = ProgramEnsemble(
        {"x": hosted(4, 0.5), "y": hosted(4, 1.0), "z": hosted(10, 1.0), "trained": vqe(4, 1.0, 50)}
    )
    for name, ensemble, config in (
        ("groups", three, BatchConfig()),
        ("lanes", ten, BatchConfig(max_concurrent_programs=5)),
        ("batch_size", ten, BatchConfig(max_batch_size=4, max_concurrent_programs=8)),
        ("off", ten, BatchConfig("off")),
        ("many", many(), BatchConfig()),
        ("hosted", mixed, BatchConfig()),
    ):
        plan = ensemble.plan(config)
        plan.plot(directory / f"plan_{name}.png")
        print(f"{name}: {plan!r}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "docs" / "images")
