"""Generate the molecular Hamiltonians shipped in ensembles/problems/data/, one file per molecule.

Needs its own environment (not a dependency of the packages):

    pip install "pyscf>=2.5" "openfermion>=1.6" numpy
    python scripts/generate_molecules.py

For every bond length: restricted Hartree-Fock (PySCF, STO-3G, with point-group symmetry so that degenerate
orbitals keep their orientation), integrals of the active space, Jordan-Wigner transformation (OpenFermion).
Spin orbitals are interleaved, lowest orbital first: qubit 2k is orbital k with spin up, qubit 2k + 1 with
spin down; OpenFermion's qubit j is bit j of the basis index. The energy of nuclei and frozen electrons is the
coefficient of the identity.

All bond lengths of a molecule share one list of Pauli words, the union over the lengths with zeros kept,
sorted by (x_mask, z_mask): they differ in coefficients only and run in one compiled call.

Checked before writing: the exact energy, from the Hamiltonian restricted to the right number of electrons
and S_z = 0, equals PySCF's CASCI energy, and the energy of the Hartree-Fock determinant equals the
Hartree-Fock energy, both to 1e-8.

Each .npz file (plain arrays, no pickle) holds, for B bond lengths and T words:
    bond_lengths (B,) in angstrom; x_mask, z_mask (T,) int32; coefficients (B, T) float64 in hartree;
    hartree_fock_energies, exact_energies (B,) float64 in hartree;
    n_qubits, n_electrons; basis, geometry, active_space (text).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openfermion as of
from openfermion.chem.molecular_data import spinorb_from_spatial
from pyscf import ao2mo, gto, mcscf, scf

DATA = Path(__file__).parent.parent / "ensembles" / "problems" / "data"
BASIS = "sto-3g"
NEGLIGIBLE = 1e-10
AGREEMENT = 1e-8


@dataclass(frozen=True)
class Species:
    """A molecule on a line: atom k sits at k bond lengths."""

    name: str
    atoms: tuple[str, ...]
    active_electrons: int
    active_orbitals: int
    active_space: str
    bond_lengths: tuple[float, ...]


H2_LENGTHS = (
    *(round(0.30 + 0.05 * k, 2) for k in range(9)),  # 0.30 ... 0.70
    *(0.735, 0.74),  # the equilibrium in this basis, and the customary value
    *(round(0.75 + 0.05 * k, 2) for k in range(16)),  # 0.75 ... 1.50
    *(round(1.60 + 0.10 * k, 2) for k in range(14)),  # 1.60 ... 2.90
)

SPECIES = (
    Species("H2", ("H",) * 2, 2, 2, "full", H2_LENGTHS),
    Species("H4", ("H",) * 4, 4, 4, "full", (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.4)),
    Species(
        *("LiH", ("Li", "H"), 2, 5, "1s orbital of Li frozen, all other orbitals active"),
        bond_lengths=(0.9, 1.1, 1.3, 1.5, 1.6, 1.8, 2.0, 2.3, 2.6, 3.0, 3.5, 4.0),
    ),
)


def geometry(species: Species, bond_length: float) -> list[tuple[str, tuple[float, float, float]]]:
    return [(atom, (0.0, 0.0, k * bond_length)) for k, atom in enumerate(species.atoms)]


def with_signs_of(reference: np.ndarray, orbitals: np.ndarray) -> np.ndarray:
    """Orbitals (columns) come with arbitrary signs: take those nearest to a neighbour's, so coefficients are
    smooth."""
    return orbitals * np.where((reference * orbitals).sum(axis=0) < 0, -1.0, 1.0)


def solve(
    species: Species, bond_length: float, neighbour: np.ndarray | None
) -> tuple[of.QubitOperator, float, float, np.ndarray]:
    """The qubit Hamiltonian, the Hartree-Fock energy, the CASCI energy, and the orbitals."""
    molecule = gto.M(atom=geometry(species, bond_length), basis=BASIS, symmetry=True, verbose=0)
    mean_field = scf.RHF(molecule)
    mean_field.conv_tol = 1e-13
    mean_field.conv_tol_grad = 1e-8
    mean_field.max_cycle = 500
    hartree_fock_energy = mean_field.kernel()
    if not mean_field.converged:
        raise RuntimeError(f"{species.name} at {bond_length}: Hartree-Fock did not converge.")

    active = mcscf.CASCI(mean_field, species.active_orbitals, species.active_electrons)
    active.fcisolver.conv_tol = 1e-13
    orbitals = np.asarray(mean_field.mo_coeff)
    orbitals = with_signs_of(orbitals if neighbour is None else neighbour, orbitals)
    casci_energy = active.kernel(orbitals)[0]

    one_body, constant = active.get_h1eff(orbitals)
    chemists = ao2mo.restore(1, active.get_h2eff(orbitals), species.active_orbitals)
    # OpenFermion's order: h[p, q, r, s] a+_p a+_q a_r a_s
    one_body, two_body = spinorb_from_spatial(one_body, chemists.transpose(0, 2, 3, 1))
    interaction = of.InteractionOperator(float(constant), one_body, 0.5 * two_body)
    return of.jordan_wigner(interaction), float(hartree_fock_energy), float(casci_energy), orbitals


def masks(word: tuple[tuple[int, str], ...]) -> tuple[int, int]:
    x_mask = sum(1 << qubit for qubit, letter in word if letter in "XY")
    z_mask = sum(1 << qubit for qubit, letter in word if letter in "YZ")
    return x_mask, z_mask


def sector_energies(operator: of.QubitOperator, species: Species) -> tuple[float, float]:
    """The energy of the Hartree-Fock determinant, and the lowest one with its number of electrons and S_z =
    0."""
    n_qubits = 2 * species.active_orbitals
    # OpenFermion's matrix has qubit 0 as the most significant bit: reverse the bits.
    matrix = of.get_sparse_operator(operator, n_qubits).toarray()
    ours = np.array([int(f"{index:0{n_qubits}b}"[::-1], 2) for index in range(2**n_qubits)])
    matrix = matrix[np.ix_(ours, ours)]

    index = np.arange(2**n_qubits)
    bits = (index[:, None] >> np.arange(n_qubits)) & 1
    half = species.active_electrons // 2
    sector = index[(bits[:, 0::2].sum(1) == half) & (bits[:, 1::2].sum(1) == half)]
    determinant = 2**species.active_electrons - 1
    return float(matrix[determinant, determinant].real), float(
        np.linalg.eigvalsh(matrix[np.ix_(sector, sector)])[0]
    )


def generate(species: Species) -> None:
    tables, hartree_fock, exact, errors = [], [], [], []
    orbitals = None
    for bond_length in species.bond_lengths:
        operator, hartree_fock_energy, casci_energy, orbitals = solve(species, bond_length, orbitals)
        determinant, lowest = sector_energies(operator, species)
        errors.append((abs(determinant - hartree_fock_energy), abs(lowest - casci_energy)))
        if max(errors[-1]) > AGREEMENT:
            raise RuntimeError(f"{species.name} at {bond_length}: errors {errors[-1]} exceed {AGREEMENT}.")
        tables.append({masks(word): complex(value).real for word, value in operator.terms.items()})
        hartree_fock.append(hartree_fock_energy)
        exact.append(lowest)

    words = sorted({word for table in tables for word, value in table.items() if abs(value) > NEGLIGIBLE})
    path = DATA / f"{species.name.lower()}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        bond_lengths=np.array(species.bond_lengths),
        x_mask=np.array([x for x, _ in words], np.int32),
        z_mask=np.array([z for _, z in words], np.int32),
        coefficients=np.array([[table.get(word, 0.0) for word in words] for table in tables]),
        hartree_fock_energies=np.array(hartree_fock),
        exact_energies=np.array(exact),
        n_qubits=2 * species.active_orbitals,
        n_electrons=species.active_electrons,
        basis="STO-3G",
        geometry=f"{'-'.join(species.atoms)} on a line, neighbours one bond length apart",
        active_space=species.active_space,
    )
    determinant_error, exact_error = np.max(errors, axis=0)
    print(
        f"{species.name}: {len(species.bond_lengths)} lengths, {2 * species.active_orbitals} qubits, "
        f"{len(words)} words (separately {sorted({len(t) for t in tables})}), {path.stat().st_size} bytes; "
        f"largest error of Hartree-Fock {determinant_error:.1e}, of the exact energy {exact_error:.1e}"
    )


if __name__ == "__main__":
    for species in SPECIES:
        generate(species)
