"""A loss of one's own: excited states of H2 by deflation, over all bond lengths at once.

The k-th level minimises <H> + sum over the states found before of weight * |<state|psi>|**2 (Higgott, Wang and
Brierley, Quantum 3, 156 (2019)). Hamiltonians and states are data, so all levels and bond lengths share a compiled
call.

    python examples/custom_loss.py [directory for the picture] [--lengths 14]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import jaxsim as js
from ensembles import Program, ProgramEnsemble, adam
from ensembles.problems import bond_lengths, molecule
from jaxsim import ansatz

LEVELS = 5
ANSATZ = ansatz.hardware_efficient(4, 4, final_rotations=True)
WORDS = molecule(
    "H2", bond_length=bond_lengths("H2")[0]
).hamiltonian  # one list of words for all bond lengths


def deflated_energy(theta, data, key):
    """<H>, and a penalty for the overlap with states that are known already."""
    circuit = ANSATZ.bind(theta)
    energy = js.expectation(circuit, WORDS.with_coefficients(data["coefficients"]))
    overlaps = data["known"].conj() @ js.statevector(circuit)
    return energy + jnp.sum(data["weights"] * jnp.abs(overlaps) ** 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("directory", nargs="?", type=Path, default=Path("demo_output"))
    parser.add_argument("--lengths", type=int, default=14)
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--starts", type=int, default=4)
    given = parser.parse_args()
    given.directory.mkdir(parents=True, exist_ok=True)

    grid = bond_lengths("H2")
    lengths = [grid[k] for k in np.linspace(0, len(grid) - 1, given.lengths).round().astype(int)]
    hamiltonians = {r: molecule("H2", bond_length=r).hamiltonian for r in lengths}
    exact = {r: np.linalg.eigvalsh(h.to_matrix(4)) for r, h in hamiltonians.items()}
    known = {r: np.zeros((LEVELS, 16), np.complex64) for r in lengths}
    rng = np.random.default_rng(7)
    levels = []
    for level in range(LEVELS):
        programs = {
            (r, level, start): Program(
                deflated_energy,
                rng.uniform(-np.pi, np.pi, ANSATZ.num_parameters),
                data={
                    "coefficients": np.float32(hamiltonians[length].coefficients),
                    "known": known[length],
                    "weights": np.float32(3.0) * (np.arange(LEVELS) < level),
                },
                optimizer=adam(0.1),
                steps=given.steps,
            )
            for r, length in enumerate(lengths)
            for start in range(given.starts)
        }
        result = ProgramEnsemble(programs).run(seed=1)
        print(f"level {level}: {result.stats}")
        energies = []
        for r, length in enumerate(lengths):
            best = min((result[r, level, start] for start in range(given.starts)), key=lambda b: b.value)
            known[length][level] = js.statevector(ANSATZ.bind(best.parameters))
            energies.append(float(js.expectation(ANSATZ.bind(best.parameters), hamiltonians[length])))
        levels.append(energies)
        worst = max(np.abs(exact[r] - e).min() for r, e in zip(lengths, energies))
        print(f"         within {1e3 * worst:.1f} mHa of an eigenvalue for all bond lengths")

    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    for k in range(8):
        axes.plot(
            lengths, [exact[r][k] for r in lengths], color="lightgray", label="exact" if k == 0 else None
        )
    for level, energies in enumerate(levels):
        axes.plot(lengths, energies, "o", markersize=11 - 2 * level, fillstyle="none", label=f"level {level}")
    axes.set(xlabel="bond length / Å", ylabel="energy / Hartree")
    axes.set_title("H2 (STO-3G), any number of electrons: the lowest levels by deflation")
    axes.legend()
    figure.savefig(given.directory / "custom_loss.png", dpi=110)


if __name__ == "__main__":
    main()
