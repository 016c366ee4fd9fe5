"""The dissociation curve of H2 as a sweep: bond lengths times random starts, one group, and three pictures.

python examples/h2_curve.py [directory for the pictures] [--lengths 41]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from ensembles import VQE, EnsembleResult, ProgramEnsemble, adam, sweep
from ensembles.problems import bond_lengths, molecule
from jaxsim import ansatz

UCCSD = ansatz.uccsd(n_qubits=4, n_electrons=2)


def exact_energy(length: float) -> float:
    return molecule("H2", bond_length=length).exact_energy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("directory", nargs="?", type=Path, default=Path("demo_output"))
    parser.add_argument("--lengths", type=int, default=41)
    parser.add_argument("--starts", type=int, default=4)
    parser.add_argument("--steps", type=int, default=150)
    given = parser.parse_args()
    given.directory.mkdir(parents=True, exist_ok=True)

    grid = bond_lengths("H2")
    lengths = [grid[k] for k in np.linspace(0, len(grid) - 1, given.lengths).round().astype(int)]

    def make(r: float) -> VQE:
        hamiltonian = molecule("H2", bond_length=r).hamiltonian
        return VQE(UCCSD, hamiltonian, optimizer=adam(0.1), steps=given.steps)

    ensemble = ProgramEnsemble(sweep(make, r=lengths, seed=range(given.starts)))
    plan = ensemble.plan()
    print(plan)
    plan.plot(given.directory / "h2_plan.png")

    result = ensemble.run(seed=7)
    print(result)
    result.save(given.directory / "h2.result")
    assert EnsembleResult.load(given.directory / "h2.result") == result

    result.plot_curve(
        "r",
        given.directory / "h2_sweep.png",
        reduce="min",
        exact=exact_energy,
        xlabel="bond length / Å",
        ylabel="energy / Hartree",
        title=f"H2 (STO-3G): {len(result)} programs, best of {given.starts} starts",
    )
    exact = {name: exact_energy(float(name.split(",")[0].removeprefix("r="))) for name in result}
    result.plot(given.directory / "h2_convergence.png", exact=exact, title="H2: all bond lengths and starts")
    best = {r: min(result[f"r={r:g},seed={k}"].value for k in range(given.starts)) for r in lengths}
    error = max(abs(energy - exact_energy(r)) for r, energy in best.items())
    print(f"largest error of the curve: {1e3 * error:.3f} mHa (chemical accuracy: 1.6 mHa)")


if __name__ == "__main__":
    main()
