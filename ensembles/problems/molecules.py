"""Small molecules in the minimal basis, with their Hartree-Fock and exact energies, from shipped data.

Hamiltonians are Jordan-Wigner transformed; spin orbitals are interleaved, lowest orbital first: qubit 2k is
orbital k with spin up, qubit 2k + 1 with spin down. All bond lengths of a molecule have the same Pauli words
in the same order, so a dissociation curve is one compiled call. scripts/generate_molecules.py made the data.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from importlib import resources

import numpy as np

from jaxsim import PauliSum

_FILES = {"H2": "h2.npz", "H4": "h4.npz", "LiH": "lih.npz"}


@dataclass(frozen=True)
class Molecule:
    """A molecule at one bond length: the qubit Hamiltonian and the energies to compare with, in hartree.

    `hamiltonian` contains the repulsion of the nuclei (and the energy of frozen electrons) in its identity
    term. `hartree_fock_energy` is the energy of the basis state with the first `n_electrons` qubits set,
    index `2**n_electrons - 1`. `exact_energy` is the lowest energy with that number of electrons and S_z = 0
    in the active space (full configuration interaction). `bond_length` is in angstrom.
    """

    name: str
    bond_length: float
    hamiltonian: PauliSum = field(repr=False, compare=False)
    n_qubits: int
    n_electrons: int
    hartree_fock_energy: float
    exact_energy: float
    basis: str = field(repr=False)
    geometry: str = field(repr=False)
    active_space: str = field(repr=False)


@functools.cache
def _data(name: str) -> dict[str, np.ndarray]:
    try:
        file = _FILES[name]
    except (KeyError, TypeError):
        raise ValueError(
            f"molecule: {name!r} is not in the collection; the collection holds {', '.join(_FILES)}."
        ) from None
    with (
        (resources.files("ensembles.problems") / "data" / file).open("rb") as stream,
        np.load(stream) as arrays,
    ):
        data = dict(arrays)
    for array in data.values():
        array.setflags(write=False)
    return data


def bond_lengths(name: str) -> tuple[float, ...]:
    """The bond lengths, in angstrom and ascending, at which a molecule is available.

    Errors: ValueError for an unknown molecule.

    >>> len(bond_lengths("H2"))
    41
    >>> bond_lengths("LiH")
    (0.9, 1.1, 1.3, 1.5, 1.6, 1.8, 2.0, 2.3, 2.6, 3.0, 3.5, 4.0)
    """
    return tuple(_data(name)["bond_lengths"].tolist())


def molecule(name: str, bond_length: float) -> Molecule:
    """A molecule of the collection at one bond length (angstrom), STO-3G basis.

    "H2": 4 qubits, 41 bond lengths. "H4", an equally spaced chain: 8 qubits, 12 bond lengths. "LiH" with the
    1s orbital of lithium frozen: 10 qubits, 2 electrons, 12 bond lengths.

    Errors: ValueError for an unknown molecule, or a bond length that is not in `bond_lengths(name)`.

    >>> h2 = molecule("H2", bond_length=0.735)
    >>> h2.n_qubits, h2.n_electrons, round(h2.hartree_fock_energy, 4), round(h2.exact_energy, 4)
    (4, 2, -1.117, -1.1373)
    """
    data, grid = _data(name), bond_lengths(name)
    try:
        at = [k for k, length in enumerate(grid) if math.isclose(length, bond_length, abs_tol=1e-6)]
    except TypeError:
        at = []
    if not at:
        raise ValueError(
            f"molecule: {name} is not available at bond_length={bond_length}; choose one of "
            f"{', '.join(map(str, grid))} (angstrom)."
        )
    row = at[0]
    return Molecule(
        name=name,
        bond_length=grid[row],
        hamiltonian=PauliSum(data["x_mask"], data["z_mask"], data["coefficients"][row]),
        n_qubits=int(data["n_qubits"]),
        n_electrons=int(data["n_electrons"]),
        hartree_fock_energy=float(data["hartree_fock_energies"][row]),
        exact_energy=float(data["exact_energies"][row]),
        basis=str(data["basis"]),
        geometry=str(data["geometry"]),
        active_space=str(data["active_space"]),
    )
