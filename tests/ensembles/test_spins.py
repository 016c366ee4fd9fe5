"""Spin models against dense matrices built here, and closed forms."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ensembles.problems import heisenberg, tfim, xxz

LATTICES = {
    "chain": (4, {}, [(0, 1), (1, 2), (2, 3)]),
    "ring": (4, {}, [(0, 1), (1, 2), (2, 3), (3, 0)]),
    "grid": (6, {"shape": (2, 3)}, [(0, 1), (1, 2), (3, 4), (4, 5), (0, 3), (1, 4), (2, 5)]),
}


@pytest.fixture(params=LATTICES)
def lattice(request):
    n, shape, bonds = LATTICES[request.param]
    return n, {"lattice": request.param, **shape}, bonds


@pytest.fixture
def bond_sum(word_matrix):
    def build(letter, bonds, n):
        return sum(word_matrix({a: letter, b: letter}, n).toarray() for a, b in bonds)

    return build


def test_tfim_matrix(lattice, dense, bond_sum, word_matrix):
    n, options, bonds = lattice
    fields = sum(word_matrix({q: "X"}, n).toarray() for q in range(n))
    expected = -0.7 * bond_sum("Z", bonds, n) - 1.3 * fields
    np.testing.assert_allclose(dense(tfim(n, j=0.7, h=1.3, **options), n), expected, atol=1e-14)


def test_xxz_matrix(lattice, dense, bond_sum):
    n, options, bonds = lattice
    expected = 0.6 * (bond_sum("X", bonds, n) + bond_sum("Y", bonds, n) + 1.7 * bond_sum("Z", bonds, n))
    np.testing.assert_allclose(dense(xxz(n, 0.6, 1.7, **options), n), expected, atol=1e-14)


def test_heisenberg_matrix(lattice, dense, bond_sum):
    n, options, bonds = lattice
    expected = -0.4 * sum(bond_sum(letter, bonds, n) for letter in "XYZ")
    np.testing.assert_allclose(dense(heisenberg(n, -0.4, **options), n), expected, atol=1e-14)


@pytest.mark.parametrize("n", [4, 6, 8])
@pytest.mark.parametrize("h", [0.3, 1.0, 1.9])
def test_tfim_ring_by_free_fermions(n, h, dense):
    """E_0 = -sum over k = (2m + 1) pi / n of sqrt(1 + h^2 - 2 h cos k) (Pfeuty, Ann. Phys. 57, 79, 1970)."""
    k = (2 * np.arange(n) + 1) * np.pi / n
    expected = -np.sqrt(1 + h**2 - 2 * h * np.cos(k)).sum()
    lowest = np.linalg.eigvalsh(dense(tfim(n, 1.0, h, lattice="ring"), n))[0]
    np.testing.assert_allclose(lowest, expected, atol=1e-11)


def test_critical_tfim_chain_by_free_fermions(dense):
    """Open chain, j = h = 1: E_0 = 1 - 1 / sin(pi / (4 n + 2))."""
    for n in (2, 5, 7):
        lowest = np.linalg.eigvalsh(dense(tfim(n), n))[0]
        np.testing.assert_allclose(lowest, 1 - 1 / np.sin(np.pi / (4 * n + 2)), atol=1e-11)


@pytest.mark.parametrize(
    ("n", "options", "energy"),
    [
        (2, {}, -3.0),  # a singlet
        (4, {"lattice": "ring"}, -8.0),
        (4, {"lattice": "grid", "shape": (2, 2)}, -8.0),  # the same ring
        (4, {}, -3 - 2 * np.sqrt(3)),
        (6, {"lattice": "ring"}, -2 * (np.sqrt(13) + 2)),
    ],
)
def test_heisenberg_ground_energies(n, options, energy, dense):
    """Closed forms of the antiferromagnet, four times those in spin units."""
    np.testing.assert_allclose(np.linalg.eigvalsh(dense(heisenberg(n, **options), n))[0], energy, atol=1e-11)


def test_xxz_is_ising_for_large_anisotropy_and_free_at_zero(dense):
    """XX ring (delta = 0) of 6: E_0 = -4 sum of cos over the filled momenta 0, +-pi/3 = -8."""
    np.testing.assert_allclose(
        np.linalg.eigvalsh(dense(xxz(6, 1.0, 0.0, lattice="ring"), 6))[0], -8.0, atol=1e-11
    )
    assert abs(np.linalg.eigvalsh(dense(xxz(4, 1.0, 1e6, lattice="ring"), 4))[0] + 4e6) < 10


def test_a_grid_of_three_dimensions():
    model = tfim(8, lattice="grid", shape=(2, 2, 2))
    assert model.coefficients.shape == (12 + 8,)


def test_coefficients_a_bond_and_a_site(dense, word_matrix):
    j, h = np.array([1.0, 2.0]), np.array([0.1, 0.2, 0.3])
    expected = -sum(j[b] * word_matrix({b: "Z", b + 1: "Z"}, 3).toarray() for b in range(2))
    expected = expected - sum(h[q] * word_matrix({q: "X"}, 3).toarray() for q in range(3))
    np.testing.assert_allclose(dense(tfim(3, j, h), 3), expected, atol=1e-14)


def test_concrete_coefficients_are_float64_and_words_do_not_depend_on_values():
    model, other = tfim(4, 1, 0), tfim(4, 0.5, 2.0)
    assert model.coefficients.dtype == np.float64
    np.testing.assert_array_equal(model.x_mask, other.x_mask)
    np.testing.assert_array_equal(model.z_mask, other.z_mask)


def test_traced_coefficients():
    def energy_in_zero_state(j, h):
        model = tfim(3, j, h)
        return jnp.where(model.x_mask == 0, model.coefficients, 0.0).sum()

    assert jax.grad(energy_in_zero_state, argnums=(0, 1))(1.0, 0.5) == (-2.0, 0.0)
    values = jax.jit(jax.vmap(lambda d: heisenberg(3, d).coefficients))(jnp.arange(2.0))
    np.testing.assert_array_equal(values, np.array([[0.0] * 6, [1.0] * 6]))
    assert jax.jit(lambda d: xxz(3, 2.0, d).coefficients)(0.5).tolist() == [2, 2, 2, 2, 1, 1]


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((4,), {"lattice": "cube"}, r"tfim: lattice='cube' is not known; choose one of chain, ring, grid\."),
        ((1,), {}, r"tfim: the number of spins must be an integer from 2 to 30, but 1 was given\."),
        ((31,), {}, r"from 2 to 30, but 31 was given"),
        ((4.5,), {}, r"must be an integer from 2 to 30, but 4\.5 was given"),
        (
            (2,),
            {"lattice": "ring"},
            r"tfim: a ring needs at least 3 sites, not 2; a chain of 2 has its one bond\.",
        ),
        (
            (6,),
            {"lattice": "grid"},
            r"needs shape=\(rows, columns\) with 6 sites in all, but shape=None was given",
        ),
        ((6,), {"lattice": "grid", "shape": 6}, r"with 6 sites in all, but shape=6 was given"),
        ((6,), {"lattice": "grid", "shape": (2, 2)}, r"with 6 sites in all, but shape=\(2, 2\) was given"),
        ((6,), {"shape": (2, 3)}, r"shape=\(2, 3\) goes with lattice='grid'; a chain needs none\."),
        (
            (4, [1.0, 2.0]),
            {},
            r"j must be a number or one value for each of the 3 bonds, but has shape \(2,\)\.",
        ),
        ((4, 1.0, np.ones(3)), {}, r"h must be a number or one value for each of the 4 spins"),
    ],
)
def test_errors(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        tfim(*arguments, **options)


def test_complex_coefficients_are_refused():
    with pytest.raises(TypeError, match=r"xxz: delta must be real, but is complex; give its real part\."):
        xxz(3, 1.0, 1j)
