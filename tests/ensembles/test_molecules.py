"""The shipped molecular data against dense matrices and published energies."""

from __future__ import annotations

import dataclasses
import math
import pickle

import numpy as np
import pytest

from ensembles.problems import bond_lengths, molecule

NAMES = ("H2", "H4", "LiH")
SIZES = {"H2": (41, 4, 2), "H4": (12, 8, 4), "LiH": (12, 10, 2)}


@pytest.fixture(scope="module", params=NAMES)
def curve(request):
    return [molecule(request.param, bond_length=length) for length in bond_lengths(request.param)]


@pytest.fixture(scope="module")
def sector_blocks(curve, word_matrix):
    """The states with the right electron number and S_z = 0, and every Pauli word restricted to them."""
    first = curve[0]
    n, half = first.n_qubits, first.n_electrons // 2
    sector = [
        k
        for k in range(2**n)
        if sum(k >> q & 1 for q in range(0, n, 2)) == half == sum(k >> q & 1 for q in range(1, n, 2))
    ]
    blocks = []
    for x, z in zip(first.hamiltonian.x_mask, first.hamiltonian.z_mask):
        letters = {q: "IXZY"[(x >> q & 1) + 2 * (z >> q & 1)] for q in range(n)}
        blocks.append(word_matrix(letters, n)[sector][:, sector].toarray())
    return sector, np.array(blocks)


def test_sizes(curve):
    count, n_qubits, n_electrons = SIZES[curve[0].name]
    assert len(curve) == count
    assert {m.n_qubits for m in curve} == {n_qubits}
    assert {m.n_electrons for m in curve} == {n_electrons}


def test_exact_energy_is_the_lowest_eigenvalue_of_the_sector(curve, sector_blocks):
    assert len(sector_blocks[0]) == math.comb(curve[0].n_qubits // 2, curve[0].n_electrons // 2) ** 2
    for m in curve:
        block = np.tensordot(m.hamiltonian.coefficients, sector_blocks[1], axes=1)
        np.testing.assert_allclose(block, block.conj().T, atol=1e-12)
        assert abs(np.linalg.eigvalsh(block)[0] - m.exact_energy) < 1e-10


def test_hartree_fock_energy_is_that_of_the_first_orbitals_filled(curve, sector_blocks):
    sector, blocks = sector_blocks
    at = sector.index(2 ** curve[0].n_electrons - 1)
    for m in curve:
        energy = (m.hamiltonian.coefficients @ blocks[:, at, at]).real
        assert abs(energy - m.hartree_fock_energy) < 1e-10
        assert m.exact_energy < m.hartree_fock_energy


def test_electron_number_and_spin_are_conserved(dense):
    matrix = dense(molecule("H2", bond_length=0.74).hamiltonian, 4)
    index = np.arange(16)
    for qubits in ((0, 2), (1, 3)):
        number = np.diag(sum(index >> q & 1 for q in qubits))
        np.testing.assert_allclose(matrix @ number, number @ matrix, atol=1e-12)


def test_hydrogen_against_published_energies():
    """STO-3G at 0.735 A: E_HF = -1.116998996754, E_FCI = -1.137306035753 hartree; at 0.7414 A: -1.1373 (Szabo
    and Ostlund, Modern Quantum Chemistry, report -1.117 and a correlation energy of -0.02056 at 1.4 bohr)."""
    m = molecule("H2", bond_length=0.735)
    assert abs(m.hartree_fock_energy - -1.116998996754) < 1e-9
    assert abs(m.exact_energy - -1.137306035753) < 1e-9
    near = molecule("H2", bond_length=0.74)
    assert abs(near.hartree_fock_energy - -1.1167) < 1e-4
    assert abs(near.exact_energy - near.hartree_fock_energy - -0.02056) < 2e-4


def test_hydrogen_dissociates_into_two_atoms():
    """One STO-3G hydrogen atom has -0.46658185 hartree; restricted Hartree-Fock does not get there."""
    far = molecule("H2", bond_length=max(bond_lengths("H2")))
    assert abs(far.exact_energy - 2 * -0.46658185) < 1e-3
    assert far.hartree_fock_energy > far.exact_energy + 0.2


def test_the_hydrogen_chain_against_the_known_energy():
    """At 1.0 A, as many published tests have it: FCI -2.16638744863 hartree, RHF -2.09854594."""
    m = molecule("H4", bond_length=1.0)
    assert abs(m.exact_energy - -2.16638744863) < 1e-9
    assert abs(m.hartree_fock_energy - -2.09854594) < 1e-8


def test_lithium_hydride_is_just_above_the_energy_of_all_electrons():
    """At 1.6 A FCI of all four electrons gives -7.88232438 hartree; freezing two costs a fraction of 1e-3."""
    cost = molecule("LiH", bond_length=1.6).exact_energy - -7.88232438
    assert 0 < cost < 5e-4


def test_bond_lengths_share_words_in_one_order(curve):
    first = curve[0].hamiltonian
    for m in curve:
        np.testing.assert_array_equal(m.hamiltonian.x_mask, first.x_mask)
        np.testing.assert_array_equal(m.hamiltonian.z_mask, first.z_mask)
        assert m.hamiltonian.coefficients.dtype == np.float64
    words = list(zip(first.x_mask.tolist(), first.z_mask.tolist()))
    assert words == sorted(set(words))
    assert words[0] == (0, 0)


def test_coefficients_are_smooth_in_the_bond_length(curve):
    """Orbital signs must not jump: no coefficient changes faster than the energy of a core pair does."""
    lengths = np.array([m.bond_length for m in curve])
    values = np.array([m.hamiltonian.coefficients for m in curve])[:, 1:]
    slopes = np.diff(values, axis=0) / np.diff(lengths)[:, None]
    jumps = np.abs(np.diff(slopes, axis=0)).max(axis=1)
    assert (jumps < 0.12 + 1.1 * np.abs(slopes).max(axis=1)[:-1]).all()


def test_design_lengths_are_there_and_grids_ascend():
    assert {0.735, 0.74} <= set(bond_lengths("H2"))
    for name in NAMES:
        assert list(bond_lengths(name)) == sorted(set(bond_lengths(name)))


def test_a_molecule_is_frozen_and_pickles():
    m = molecule("LiH", bond_length=1.6)
    with pytest.raises(dataclasses.FrozenInstanceError):
        m.bond_length = 2.0
    copy = pickle.loads(pickle.dumps(m))
    assert copy == m
    np.testing.assert_array_equal(copy.hamiltonian.coefficients, m.hamiltonian.coefficients)


@pytest.mark.parametrize("call", [lambda name: molecule(name, bond_length=0.74), bond_lengths])
@pytest.mark.parametrize("name", ["He", "h2", None])
def test_unknown_molecules_list_the_known_ones(call, name):
    with pytest.raises(ValueError, match=rf"molecule: {name!r} is not .* the collection holds H2, H4, LiH\."):
        call(name)


def test_lengths_off_the_grid_list_the_grid():
    with pytest.raises(
        ValueError, match=r"H2 is not available at bond_length=0\.741; choose one of 0\.3, .*0\.735"
    ):
        molecule("H2", bond_length=0.741)
    with pytest.raises(ValueError, match=r"bond_length=nan; choose one of 0\.5, 0\.6"):
        molecule("H4", bond_length=float("nan"))
    with pytest.raises(ValueError, match=r"bond_length=None; choose one of 0\.5, 0\.6"):
        molecule("H4", bond_length=None)
