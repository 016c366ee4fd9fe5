"""Which learning rate? A sweep over learning rates, optimisers and random starts, all data of one compiled call each.

python examples/hyperparameter_sweep.py [directory for the picture] [--seeds 16]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ensembles import VQE, ProgramEnsemble, adam, rmsprop, sgd
from ensembles.problems import tfim
from ensembles.programs import sweep
from jaxsim import ansatz

OPTIMISERS = {"adam": adam(0.1), "rmsprop": rmsprop(0.1), "momentum": sgd(0.1, momentum=0.9)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("directory", nargs="?", type=Path, default=Path("demo_output"))
    parser.add_argument("--seeds", type=int, default=32)
    parser.add_argument("--steps", type=int, default=100)
    given = parser.parse_args()
    given.directory.mkdir(parents=True, exist_ok=True)

    model = tfim(4)
    pattern = VQE(ansatz.hardware_efficient(4, 4), model, optimizer=adam(0.1), steps=given.steps)
    rates = np.geomspace(0.003, 1.0, 12).round(4)
    programs = sweep(pattern, optimizer=OPTIMISERS, learning_rate=rates, seed=range(given.seeds))
    ensemble = ProgramEnsemble(programs)
    print(ensemble.plan())
    result = ensemble.run(seed=7)
    print(result.stats)

    errors = programs.array(result) - model.ground_energy()  # (optimisers, rates, seeds)
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, of_name in zip(OPTIMISERS, errors):
        low, middle, high = np.quantile(of_name, (0.1, 0.5, 0.9), axis=1)
        axes.plot(rates, middle, "o-", label=name)
        axes.fill_between(rates, low, high, alpha=0.2)
        best = int(np.argmin(middle))
        print(f"{name}: best learning rate {rates[best]:g}, median error {middle[best]:.4f}")
    axes.set(xscale="log", yscale="log", xlabel="learning rate", ylabel="energy above the ground state")
    axes.set_title(
        f"Ising chain of 4 spins, {len(programs)} programs, {given.steps} steps; 10 to 90 % of starts"
    )
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(given.directory / "hyperparameter_sweep.png", dpi=110)


if __name__ == "__main__":
    main()
