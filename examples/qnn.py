"""A quantum classifier with its data as leaves: folds of a cross-validation and random starts share a compiled call.

python examples/qnn.py [directory for the picture] [--steps 150]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ensembles import ProgramEnsemble, adam
from ensembles.programs import QNNClassifier
from jaxsim import Circuit, ParameterVector, Z


def two_moons(samples: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two half circles that reach into each other, with noise; (samples, 2) and labels."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, np.pi, samples)
    upper = rng.integers(0, 2, samples)
    points = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points[upper == 0] = np.array([1.0, 0.4]) - points[upper == 0]
    return points - [0.5, 0.2] + 0.1 * rng.normal(size=points.shape), np.where(upper, "upper", "lower")


def reuploading(layers: int) -> Circuit:
    """Two qubits; each layer loads the data again between trainable rotations (Perez-Salinas et al., 2020)."""
    x, w = ParameterVector("x", 2), ParameterVector("w", 4 * (layers + 1))
    circuit = Circuit(2)
    for layer in range(layers + 1):
        first = 4 * layer
        circuit.ry(w[first : first + 2], range(2)).rz(w[first + 2 : first + 4], range(2)).cz(0, 1)
        if layer < layers:
            circuit.rx(2 * x, range(2))
    return circuit.ry(w[:2], range(2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("directory", nargs="?", type=Path, default=Path("demo_output"))
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seeds", type=int, default=4)
    given = parser.parse_args()
    given.directory.mkdir(parents=True, exist_ok=True)

    points, labels = two_moons(120)
    folds = np.arange(len(points)) % 4
    circuit = reuploading(4)
    programs = {
        (f"fold {fold}", seed): QNNClassifier(
            circuit,
            Z(0),
            points[folds != fold],
            labels[folds != fold],
            batch_size=30,
            optimizer=adam(0.1),
            steps=given.steps,
        )
        for fold in range(4)
        for seed in range(given.seeds)
    }
    ensemble = ProgramEnsemble(programs)
    print(ensemble.plan())
    result = ensemble.run(seed=3)
    print(result.stats)
    for fold in range(4):
        best = min((result[f"fold {fold}", s] for s in range(given.seeds)), key=lambda r: r.training_loss)
        program = programs[best.name]
        held_out = np.mean(program.predict(best.parameters, points[folds == fold]) == labels[folds == fold])
        print(f"fold {fold}: accuracy {best.accuracy:.2f} in training, {held_out:.2f} on what was held out")

    grid = np.linspace(-1.8, 1.8, 60)
    plane = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    outputs = program.outputs(best.parameters, plane).reshape(60, 60)
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    filled = axes.contourf(grid, grid, outputs, levels=21, cmap="coolwarm")
    axes.contour(grid, grid, outputs, levels=[0.0], colors="black")
    for label, colour in zip(program.classes, ("tab:blue", "tab:red")):
        chosen = labels == label
        axes.scatter(*points[chosen].T, c=colour, edgecolors="white", label=str(label))
    figure.colorbar(filled, label="expectation value of Z on qubit 0")
    axes.set(xlabel="feature 0", ylabel="feature 1", title="what the classifier of the last fold has learned")
    axes.legend()
    figure.savefig(given.directory / "qnn.png", dpi=110)


if __name__ == "__main__":
    main()
