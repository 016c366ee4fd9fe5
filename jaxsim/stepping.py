"""One entry of arrays at a step of a loop, for all rows of a batch.

`jax.vmap` makes gathers of slices and scatters of updates, with index arithmetic for each, also where all rows are at
the same step: a fifth of the operations of a kernel. These stay slices.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jax
from jax import lax

if TYPE_CHECKING:
    from jaxtyping import Array

__all__ = ["entry_at", "with_entry_at"]


def entry_at(arrays: Any, step: Array) -> Any:
    """Entry `step` of every array of a pytree, along its first axis.

    Args:
        arrays: each (steps, ...).
        step: an int32 scalar, from 0 on; under vmap the same for all rows.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> jax.vmap(entry_at, (0, None))(jnp.arange(6).reshape(2, 3), jnp.int32(1)).tolist()
        [1, 4]
    """
    leaves, tree = jax.tree.flatten(arrays)
    return tree.unflatten(_taken((0,) * len(leaves))(leaves, step))


def with_entry_at(array: Array, entry: Array, step: Array) -> Array:
    """The array (steps, ...) with another entry at `step`; arguments as for `entry_at`."""
    return _put(0)(array, entry, step)


@lru_cache
def _taken(axes: tuple[int, ...]) -> Any:
    """Takes an entry of each array along its own axis."""

    @jax.custom_batching.custom_vmap
    def taken(leaves: list[Array], step: Array) -> list[Array]:
        return [
            lax.dynamic_index_in_dim(leaf, step, axis, keepdims=False, allow_negative_indices=False)
            for leaf, axis in zip(leaves, axes, strict=True)
        ]

    @taken.def_vmap
    def of_rows(size: int, batched: Any, leaves: list[Array], step: Array) -> Any:
        of_leaves, of_step = batched
        if of_step:
            plain = jax.vmap(taken.fun, ([0 if own else None for own in of_leaves], 0))
            return plain(leaves, step), [True] * len(leaves)
        if not any(of_leaves):  # only tangents are batched, which JAX sees to
            return taken.fun(leaves, step), of_leaves
        deeper = tuple(axis + own for axis, own in zip(axes, of_leaves, strict=True))
        return _taken(deeper)(leaves, step), of_leaves

    return taken


@lru_cache
def _put(axis: int) -> Any:
    @jax.custom_batching.custom_vmap
    def put(array: Array, entry: Array, step: Array) -> Array:
        return lax.dynamic_update_index_in_dim(array, entry, step, axis, allow_negative_indices=False)

    @put.def_vmap
    def of_rows(size: int, batched: Any, array: Array, entry: Array, step: Array) -> Any:
        of_array, of_entry, of_step = batched
        if of_step:
            axes = [0 if own else None for own in batched]
            return jax.vmap(put.fun, axes)(array, entry, step), True
        if not of_array and not of_entry:
            return put.fun(array, entry, step), False
        if not of_array:
            array = jax.numpy.broadcast_to(array, (size, *array.shape))
        if not of_entry:
            entry = jax.numpy.broadcast_to(entry, (size, *entry.shape))
        return _put(axis + 1)(array, entry, step), True

    return put
