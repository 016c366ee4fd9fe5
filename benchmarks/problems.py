"""What is computed: circuits, observables and angles as plain data, from which every simulator builds its own.

Only NumPy, as this is imported in every peer's environment. Qubit q is bit q of a basis state's index;
R_P(a) = exp(-i a P / 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import NamedTuple

import numpy as np

MOLECULES = Path(__file__).parent.parent / "ensembles" / "problems" / "data"


class Operation(NamedTuple):
    """A gate; its angle is `factor` times value number `parameter`.

    Names: h, x, cx, rx, ry, rz; "rotation" about the Pauli word `word`; "excitation", exp(angle (T - T^dagger)) of
    fermions from the first half of the wires to the second; "evolve", exp(-i angle C) with the cost C.
    """

    name: str
    wires: tuple[int, ...]
    parameter: int | None = None
    factor: float = 1.0
    word: str = ""


Circuit = tuple[Operation, ...]
Word = tuple[tuple[int, str], ...]
"""A Pauli word: (wire, letter), identities left out."""


@dataclass(frozen=True)
class Problem:
    """An energy to evaluate for some sets of angles.

    Attributes:
        num_wires: number of qubits.
        circuits: one circuit for all sets, or one for each.
        terms: coefficients and words of the observable.
        values: (sets, parameters) float32, radians.
        ansatz: name and arguments of the function in `jaxsim.ansatz` that makes the (only) circuit.
        cost: the diagonal (2**n,) of the operator that "evolve" stands for, which is the observable too.
    """

    num_wires: int
    circuits: tuple[Circuit, ...]
    terms: tuple[tuple[float, Word], ...]
    values: np.ndarray
    ansatz: tuple[str, tuple] | None = None
    cost: np.ndarray | None = None

    @property
    def sets(self) -> int:
        """Number of parameter sets."""
        return len(self.values)


def _angles(sets: int, parameters: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 2 * np.pi, (sets, parameters)).astype(np.float32)


def _tfim(n: int) -> tuple[tuple[float, Word], ...]:
    bonds: list[Word] = [((q, "Z"), (q + 1, "Z")) for q in range(n - 1)]
    return tuple((-1.0, word) for word in (*bonds, *(((q, "X"),) for q in range(n))))


# the hardware-efficient ansatz ------------------------------------------------------------------------------


def hardware_efficient(n: int, layers: int, sets: int = 1, observable: str = "tfim") -> Problem:
    """Layers of RY and RZ on every qubit and a chain of CX; the energy of an Ising chain, or Z on qubit 0."""
    circuit: list[Operation] = []
    for layer in range(layers):
        for r, name in enumerate(("ry", "rz")):
            circuit += [Operation(name, (q,), (2 * layer + r) * n + q) for q in range(n)]
        circuit += [Operation("cx", (q, q + 1)) for q in range(n - 1)]
    terms = _tfim(n) if observable == "tfim" else ((1.0, ((0, "Z"),)),)
    values = _angles(sets, 2 * n * layers)
    return Problem(n, (tuple(circuit),), terms, values, ansatz=("hardware_efficient", (n, layers)))


def random_networks(n: int, layers: int, sets: int) -> Problem:
    """Every set its own circuit: in every layer two rotations on each qubit, their axes drawn, then n - 1 random CX."""
    rng = np.random.default_rng(1)
    axes = [pair for pair in product(("rx", "ry", "rz"), repeat=2) if pair[0] != pair[1]]

    def circuit() -> Circuit:
        operations: list[Operation] = []
        for layer in range(layers):
            drawn = rng.integers(len(axes), size=n)
            for r in range(2):
                operations += [Operation(axes[drawn[q]][r], (q,), (2 * layer + r) * n + q) for q in range(n)]
            for _ in range(n - 1):
                control, target = rng.permutation(n)[:2].tolist()
                operations.append(Operation("cx", (control, target)))
        return tuple(operations)

    return Problem(n, tuple(circuit() for _ in range(sets)), _tfim(n), _angles(sets, 2 * n * layers))


# sparse circuits --------------------------------------------------------------------------------------------


def random_rotations(n: int, rotations: int, sets: int) -> Problem:
    """Every set its own circuit: rotations about random Pauli words."""
    rng = np.random.default_rng(2)

    def circuit() -> Circuit:
        letters = rng.integers(4, size=(rotations, n))
        letters[np.arange(rotations), rng.integers(n, size=rotations)] = rng.integers(1, 4, size=rotations)
        operations = []
        for k, row in enumerate(letters):
            wires = np.flatnonzero(row).tolist()
            operations.append(
                Operation("rotation", tuple(wires), k, word="".join("IXYZ"[row[q]] for q in wires))
            )
        return tuple(operations)

    return Problem(n, tuple(circuit() for _ in range(sets)), _tfim(n), _angles(sets, rotations))


def mixed_gates(n: int, gates: int, sets: int) -> Problem:
    """Every set its own circuit: gates of six kinds in turn, on random qubits."""
    rng = np.random.default_rng(3)
    kinds = (("rzz", 2), ("rxx", 2), ("iswap", 2), ("crx", 2), ("ccx", 3), ("ry", 1))

    def circuit() -> Circuit:
        operations = []
        for k in range(gates):
            name, size = kinds[k % len(kinds)]
            parameter = None if name in ("iswap", "ccx") else k
            operations.append(Operation(name, tuple(rng.permutation(n)[:size].tolist()), parameter))
        return tuple(operations)

    return Problem(n, tuple(circuit() for _ in range(sets)), _tfim(n), _angles(sets, gates))


def uccsd(molecule: str, bond_length: float) -> Problem:
    """Unitary coupled cluster, singles and doubles, for a molecule of `ensembles.problems`."""
    with np.load(MOLECULES / f"{molecule.lower()}.npz") as data:
        row = int(np.argmin(abs(data["bond_lengths"] - bond_length)))
        n, electrons = int(data["n_qubits"]), int(data["n_electrons"])
        masks = zip(data["x_mask"].tolist(), data["z_mask"].tolist())
        words = [tuple((q, letter) for q in range(n) if (letter := _letter(x, z, q))) for x, z in masks]
        terms = tuple(zip(data["coefficients"][row].tolist(), words))
    circuit = [Operation("x", (q,)) for q in range(electrons)]
    for size in (2, 1):
        for occupied in combinations(range(electrons), size):
            for virtual in combinations(range(electrons, n), size):
                if sum(q % 2 for q in occupied) == sum(q % 2 for q in virtual):
                    circuit.append(Operation("excitation", (*occupied, *virtual), len(circuit) - electrons))
    values = _angles(1, len(circuit) - electrons)
    return Problem(n, (tuple(circuit),), terms, values, ansatz=("uccsd", (n, electrons)))


def _letter(x_mask: int, z_mask: int, q: int) -> str:
    return ("", "X", "Z", "Y")[(x_mask >> q & 1) + 2 * (z_mask >> q & 1)]


# QAOA -------------------------------------------------------------------------------------------------------


def qaoa(n: int, layers: int) -> Problem:
    """The cost of a weighted cut of a ring with opposite chords (3-regular), its evolution as a diagonal.

    Values: all mixer angles first, then all cost angles.
    """
    edges = [(q, (q + 1) % n) for q in range(n)] + [(q, q + n // 2) for q in range(n // 2)]
    weights = np.random.default_rng(3).uniform(0.5, 1.5, len(edges))
    bits = np.arange(2**n)[:, None] >> np.arange(n) & 1
    ends = np.array(edges).T
    cost = (bits[:, ends[0]] != bits[:, ends[1]]) @ weights
    terms: list[tuple[float, Word]] = [(float(weights.sum() / 2), ())]
    terms += [(-w / 2, ((a, "Z"), (b, "Z"))) for w, (a, b) in zip(weights.tolist(), edges)]
    circuit = [Operation("h", (q,)) for q in range(n)]
    for layer in range(layers):
        circuit.append(Operation("evolve", tuple(range(n)), layers + layer))
        circuit += [Operation("rx", (q,), layer, factor=2.0) for q in range(n)]
    values = _angles(1, 2 * layers) / 4
    return Problem(n, (tuple(circuit),), tuple(terms), values, ansatz=("qaoa", (cost, layers)), cost=cost)


def without_diagonals(problem: Problem) -> Circuit:
    """The first circuit for simulators that take no diagonal: "evolve" as rotations, up to the global phase."""
    circuit: list[Operation] = []
    for operation in problem.circuits[0]:
        if operation.name != "evolve":
            circuit.append(operation)
            continue
        for coefficient, word in problem.terms:
            if word:
                wires, letters = zip(*word)
                factor = 2 * coefficient * operation.factor
                circuit.append(Operation("rotation", wires, operation.parameter, factor, "".join(letters)))
    return tuple(circuit)


def big_endian(diagonal: np.ndarray) -> np.ndarray:
    """The diagonal for simulators in which qubit 0 is the most significant bit."""
    n = len(diagonal).bit_length() - 1
    return diagonal.reshape((2,) * n).transpose(range(n)[::-1]).reshape(-1)
