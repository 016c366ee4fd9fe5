"""What `make demo` runs: its third part, 64 programs with a circuit each."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

from jaxsim import Circuit

MAIN_JOB = Path(__file__).parents[1] / "examples" / "main_job.py"


def words(circuit: Circuit) -> tuple:
    return tuple((i.gate, i.wires) for i in circuit.instructions)


@pytest.mark.slow
def test_a_search_among_64_circuits(dense) -> None:
    """One group, few compilations, and energies between the ground state and where training started."""
    job = runpy.run_path(str(MAIN_JOB))
    circuits = [job["random_circuit"](k) for k in range(64)]
    assert len(set(map(words, circuits))) == 64
    ensemble = job["search_for_a_circuit"]()
    assert len(ensemble) == 64 and len(ensemble.plan().groups) == 1
    result = ensemble.run(seed=7, progress=False)
    assert result.stats.compilations <= 4
    levels = np.linalg.eigvalsh(dense(job["tfim"](8), 8))
    values = np.array([best.value for best in result.values()])
    assert (values >= levels[0] - 1e-4).all()
    assert (values < [best.history[0] - 1 for best in result.values()]).all()
    assert values.min() < levels[0] + 1
    table = job["circuit_table"](result)
    assert table.row_count == 6 and f"{levels[0]:.4f}" in table.title
