"""Entries of arrays at a step of a loop: the numbers of NumPy's indexing, and slices where all rows are at one step."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.stepping import entry_at, with_entry_at

STACK = np.arange(2 * 3 * 5 * 4.0).reshape(2, 3, 5, 4)


def test_entries_and_updates_are_those_of_indexing():
    step = jnp.int32(2)
    own = {"a": STACK[0, 0], "b": np.arange(5)}
    found = entry_at(own, step)
    np.testing.assert_array_equal(found["a"], STACK[0, 0, 2])
    assert found["b"] == 2
    expected = STACK[0, 0].copy()
    expected[2] = 7
    np.testing.assert_array_equal(with_entry_at(jnp.asarray(STACK[0, 0]), jnp.full(4, 7.0), step), expected)


def test_rows_and_rows_of_rows_at_one_step():
    step = jnp.int32(3)
    twice = jax.vmap(jax.vmap(entry_at, (0, None)), (0, None))
    np.testing.assert_array_equal(twice(STACK, step), STACK[:, :, 3])
    entries = -np.ones((2, 3, 4))
    put = jax.vmap(jax.vmap(with_entry_at, (0, 0, None)), (0, 0, None))
    expected = STACK.copy()
    expected[:, :, 3] = -1
    np.testing.assert_array_equal(put(STACK, entries, step), expected)


@pytest.mark.parametrize("batched", [(0, 0, 0), (0, None, 0), (None, 0, None), (0, None, None), (None, 0, 0)])
def test_any_argument_may_be_that_of_each_row(batched):
    """Also the step, which takes a gather."""
    array, entry, step = STACK[0], -np.ones((3, 4)), np.array([0, 4, 1], np.int32)
    given = [a if own == 0 else a[0] for a, own in zip((array, entry, step), batched)]
    found = jax.vmap(with_entry_at, batched)(*map(jnp.asarray, given))
    for row in range(3):
        own = [np.asarray(a[row] if b == 0 else a) for a, b in zip(given, batched)]
        expected = own[0].copy()
        expected[own[2]] = own[1]
        np.testing.assert_array_equal(found[row], expected)
    if batched[2] == 0:
        taken = jax.vmap(entry_at, (batched[0], 0))(jnp.asarray(given[0]), jnp.asarray(step))
        expected = [(given[0][row] if batched[0] == 0 else given[0])[step[row]] for row in range(3)]
        np.testing.assert_array_equal(taken, expected)


def test_derivatives_in_many_directions():
    """Then there are rows of tangents, but not of what they belong to."""
    array, step = jnp.asarray(STACK[0, 0]), jnp.int32(1)
    jacobian = jax.jacfwd(lambda a: with_entry_at(2 * a, entry_at(a, step) ** 2, step + 1))(array)
    expected = 2 * np.eye(20).reshape(5, 4, 5, 4)
    expected[2] = 0
    for k in range(4):
        expected[2, k, 1, k] = 2 * STACK[0, 0, 1, k]
    np.testing.assert_array_equal(jacobian, expected)


def test_rows_at_one_step_are_sliced_and_not_gathered():
    text = str(jax.make_jaxpr(jax.vmap(entry_at, (0, None)))(STACK[0], jnp.int32(1)))
    assert "dynamic_slice" in text
    assert "gather" not in text
    text = str(jax.make_jaxpr(jax.vmap(with_entry_at, (0, 0, None)))(STACK[0], STACK[0, :, 0], jnp.int32(1)))
    assert "dynamic_update_slice" in text
    assert "scatter" not in text
