"""A quench of the Ising chain: magnetisation over a dense list of times, and the errors of Trotter formulas.

python examples/time_evolution.py [directory for the picture] [--times 200]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ensembles import ProgramEnsemble
from ensembles.problems import tfim
from ensembles.programs import time_evolution
from jaxsim import PauliSum, X, Z

SPINS, STEPS = 6, 12


def exact(model: PauliSum, observables: list[PauliSum], times: np.ndarray) -> np.ndarray:
    """Expectation values (times, observables) from |0...0>, by diagonalising the dense matrix."""
    energies, vectors = np.linalg.eigh(model.to_matrix(SPINS))
    states = (np.exp(-1j * np.outer(times, energies)) * vectors[0].conj()) @ vectors.T
    matrices = [o.to_matrix(SPINS) for o in observables]
    return np.stack([np.einsum("ti,ij,tj->t", states.conj(), m, states).real for m in matrices], axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("directory", nargs="?", type=Path, default=Path("demo_output"))
    parser.add_argument("--times", type=int, default=200)
    given = parser.parse_args()
    given.directory.mkdir(parents=True, exist_ok=True)

    model = tfim(SPINS, h=0.7)
    times = np.linspace(0, 4, given.times)
    observables = [sum(Z(q) for q in range(SPINS)) / SPINS, sum(X(q) for q in range(SPINS)) / SPINS]
    truth = exact(model, observables, times)

    figure = Figure(figsize=(7, 6), layout="constrained")
    curves, errors = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    curves.plot(times, truth, color="black", linewidth=0.8, label=["exact", None])
    for order in (1, 2, 4):
        programs = time_evolution(model, times, observables, trotter_steps=STEPS, order=order)
        result = ProgramEnsemble(programs).run(progress=False)
        found = programs.array(result, "expectations")  # (times, observables)
        print(f"order {order}: {result.stats}")
        print(f"         largest error {np.abs(found - truth).max():.1e}")
        if order == 2:
            for k, name in enumerate(("along Z", "along X")):
                curves.plot(times[::4], found[::4, k], ".", label=f"order 2, {name}")
        errors.semilogy(times, np.abs(found - truth).max(axis=1) + 1e-8, label=f"order {order}")
    curves.set(
        ylabel="magnetisation a spin", title=f"{SPINS} spins, {len(times)} times in one group, {STEPS} steps"
    )
    curves.legend(fontsize="small")
    errors.set(xlabel="time", ylabel="error")
    errors.legend(fontsize="small")
    figure.savefig(given.directory / "time_evolution.png", dpi=110)


if __name__ == "__main__":
    main()
