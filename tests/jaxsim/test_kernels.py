"""Array operations on flat states against dense NumPy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim import kernels

N = 4
DIM = 2**N


def random_states(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=(*shape, DIM)) + 1j * rng.normal(size=(*shape, DIM))


def random_steps(rng: np.random.Generator) -> list[tuple[int, int, int, np.ndarray]]:
    """Unitary two-level operations: (x, z, controls, entries)."""
    steps = []
    for word_x, word_z in [(0b0101, 0b0110), (0b1000, 0b1000), (0b0110, 0b0001), (0, 0b1010), (0, 0)]:
        half = rng.uniform(-np.pi, np.pi)
        num_y = (word_x & word_z).bit_count()
        # exp(-i half P) with P = i**num_y X**x Z**z; row j of P has its entry in column j ^ x
        column = -1j * np.sin(half) * 1j**num_y * np.array([1, -1]) * (-1) ** num_y
        if word_x:
            entries = np.array([np.cos(half), np.cos(half), *column])
        else:
            entries = np.array([*np.exp([-1j * half, 1j * half]), 0, 0])
        steps.append((word_x, word_z, 0, entries))
        free = ~(word_x | word_z) & (DIM - 1)
        steps.append((word_x, word_z, free, entries))
    return steps


def dense(x: int, z: int, controls: int, entries: np.ndarray) -> np.ndarray:
    whole = np.zeros((DIM, DIM), complex)
    for j in range(DIM):
        odd = (j & z).bit_count() % 2
        active = j & controls == controls
        whole[j, j] += entries[odd] if active else 1
        whole[j, j ^ x] += entries[2 + odd] if active else 0
    return whole


def as_step(x: int, z: int, controls: int, entries: np.ndarray) -> kernels.TwoLevel:
    return kernels.TwoLevel(
        jnp.int32(x), jnp.int32(z), jnp.full(2, controls, jnp.int32), jnp.asarray(entries)
    )


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


@pytest.mark.usefixtures("x64")
def test_two_level_and_back():
    rng = np.random.default_rng(1)
    stack = random_states(rng, 3)
    forward, undo = jax.jit(kernels.two_level), jax.jit(kernels.undo_two_level)
    for x, z, controls, entries in random_steps(rng):
        step, matrix = as_step(x, z, controls, entries), dense(x, z, controls, entries)
        np.testing.assert_allclose(matrix @ matrix.conj().T, np.eye(DIM), atol=1e-14)
        np.testing.assert_allclose(forward(stack, step), stack @ matrix.T, atol=1e-14)

        generators = rng.normal(size=(2, 4)) + 1j * rng.normal(size=(2, 4))
        before, terms = undo(stack, step, generators)
        np.testing.assert_allclose(before, stack @ matrix.conj(), atol=1e-14)
        for generator, derivative in zip(generators, terms.sum(-1), strict=True):
            change = dense(x, z, controls, generator) - dense(x, z, controls, np.zeros(4))
            expected = [np.vdot(bra, change @ stack[0]).real for bra in stack[1:]]
            np.testing.assert_allclose(derivative, expected, atol=1e-13)


@pytest.mark.usefixtures("x64")
def test_undo_without_angles_has_no_derivatives():
    rng = np.random.default_rng(2)
    step = as_step(*random_steps(rng)[0])
    _, terms = kernels.undo_two_level(jnp.asarray(random_states(rng, 3)), step, jnp.zeros((0, 4), complex))
    assert terms.shape == (0, 2, DIM)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("wires", [(0,), (3, 1), (2, 0, 3), (0, 1, 2, 3)])
@pytest.mark.parametrize("controls", [0, "rest"])
def test_apply_matrix(wires, controls):
    rng = np.random.default_rng(3)
    size = 2 ** len(wires)
    small = rng.normal(size=(size, size)) + 1j * rng.normal(size=(size, size))
    rest = (DIM - 1) & ~sum(1 << w for w in wires)
    mask = rest if controls else 0
    whole = np.zeros((DIM, DIM), complex)
    for column in range(DIM):
        if column & mask != mask:
            whole[column, column] = 1
            continue
        local = sum((column >> w & 1) << k for k, w in enumerate(wires))
        for new in range(size):
            row = column & rest | sum((new >> k & 1) << w for k, w in enumerate(wires))
            whole[row, column] = small[new, local]
    states = random_states(rng, 2)
    ours = kernels.apply_matrix(jnp.asarray(states), jnp.asarray(small), wires, mask, N)
    np.testing.assert_allclose(ours, states @ whole.T, atol=1e-13)


@pytest.mark.parametrize("wires", [(0,), (2,), (3, 0), (1, 2, 0), (3, 2, 1, 0)])
def test_marginal(wires):
    p = np.random.default_rng(4).random(DIM).astype(np.float32)
    expected = np.zeros(2 ** len(wires))
    for j in range(DIM):
        expected[sum((j >> w & 1) << k for k, w in enumerate(wires))] += p[j]
    np.testing.assert_allclose(kernels.marginal(jnp.asarray(p), wires, N), expected, rtol=1e-6)


@pytest.mark.usefixtures("x64")
def test_sums_and_transforms():
    rng = np.random.default_rng(5)
    a, b = random_states(rng, 2)
    assert kernels.overlap(jnp.asarray(a), jnp.asarray(b)) == pytest.approx(np.vdot(a, b), rel=1e-14)
    assert kernels.real_overlap(jnp.asarray(a), jnp.asarray(b)) == pytest.approx(
        np.vdot(a, b).real, rel=1e-13
    )
    table = rng.normal(size=(3, DIM))
    signs = np.array([[(-1.0) ** (j & z).bit_count() for z in range(DIM)] for j in range(DIM)])
    np.testing.assert_allclose(kernels.hadamard_transform(jnp.asarray(table)), table @ signs.T, atol=1e-13)


def test_tree_sum_does_not_depend_on_the_batch():
    rows = np.random.default_rng(6).normal(size=(64, 2**12)).astype(np.float32)
    total = jax.jit(kernels.tree_sum)
    together = np.asarray(total(rows))
    for batch in (1, 2, 5, 16):
        parts = [np.asarray(total(rows[k : k + batch])) for k in range(0, 60, batch)]
        np.testing.assert_array_equal(np.concatenate(parts)[:60], together[:60])
    np.testing.assert_allclose(together, rows.astype(np.float64).sum(1), atol=1e-4)
