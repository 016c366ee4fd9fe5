from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ensembles.rounding import ZERO, rounded


def dot(x, y):
    return x[0] * y[0] + x[1] * y[1] - x[2] * y[2]


def exact_dot(x, y):
    """Every operation rounded, which is what NumPy does."""
    return x[0] * y[0] + x[1] * y[1] - x[2] * y[2]


@pytest.mark.parametrize("rows", [1, 2, 5, 16])
@pytest.mark.parametrize("columns", [1, 3, 8, 33])
def test_every_product_is_rounded(rows, columns):
    generator = np.random.default_rng(rows * columns)
    x, y = generator.normal(size=(2, rows, 3, columns)).astype(np.float32)
    block = jax.jit(jax.vmap(lambda x, y, zero: rounded(dot, zero)(x, y)))
    got = block(x, y, np.full(rows, ZERO))
    expected = exact_dot(x.swapaxes(0, 1), y.swapaxes(0, 1))
    assert np.asarray(got).tobytes() == expected.tobytes()


def test_products_that_come_in_are_rounded_too():
    a, b, c = np.random.default_rng(0).normal(size=(3, 100)).astype(np.float32)
    f = jax.jit(lambda a, b, c, zero: rounded(lambda product, c: product - c, zero)(a * b, c))
    assert np.asarray(f(a, b, c, ZERO)).tobytes() == (a * b - c).tobytes()


def test_functions_inside_are_followed():
    a, b, c = np.random.default_rng(1).normal(size=(3, 100)).astype(np.float32)
    inner = jax.jit(lambda a, b, c: jax.jit(jnp.square)(a) + b * c)
    f = jax.jit(lambda a, b, c, zero: rounded(inner, zero)(a, b, c))
    assert np.asarray(f(a, b, c, ZERO)).tobytes() == (a * a + b * c).tobytes()


def test_signed_zeros_and_special_values_stay():
    values = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45], np.float32)
    got = np.asarray(jax.jit(lambda x, zero: rounded(lambda x: x, zero)(x))(values[:5], ZERO))
    assert got.tobytes() == values[:5].tobytes()


def test_pytrees_integers_and_loops():
    def function(tree, n):
        total = jax.lax.fori_loop(0, n, lambda _, t: t * 2, tree["a"])
        return {"total": total, "count": n * 3}, jnp.where(n > 1, tree["a"], 0.0)

    tree = {"a": np.float32(1.5)}
    plain = jax.jit(function)(tree, np.int32(3))
    assert jax.jit(lambda t, n, zero: rounded(function, zero)(t, n))(tree, np.int32(3), ZERO) == plain
    assert plain[0] == {"total": 12.0, "count": 9}


def test_custom_derivatives_inside():
    @jax.custom_jvp
    def cube(x):
        return x * x * x

    cube.defjvp(lambda primals, tangents: (cube(*primals), 7 * tangents[0]))

    def f(x, zero):
        return rounded(lambda x: cube(x) + 1, zero)(x)

    assert jax.jit(f)(np.float32(2), ZERO) == 9
    assert jax.jit(jax.grad(f))(np.float32(2), ZERO) == 7


def test_derivatives():
    def f(x, zero):
        return rounded(lambda x: jnp.sum(x * x * x), zero)(x)

    x = np.array([1.0, -2.0, 3.0], np.float32)
    np.testing.assert_allclose(jax.jit(jax.grad(f))(x, ZERO), 3 * x**2)
