"""Vector algebra for update rules, whose bits depend neither on a row's company nor on padding.

Products are rounded on their own (`rounding.rounded`), and sums are trees of pairwise additions of halves: zeros at the
end of a vector change nothing, and XLA has no sum to split by the size of a batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from ensembles.rounding import rounded

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Array, Bool, Float

__all__ = ["dot", "flat", "flat_mask", "length", "moved", "total"]


def flat(parameters: Any) -> tuple[Float[Array, " size"], Callable[[Array], Any]]:
    """A pytree of real arrays as one vector, and the function that undoes it."""
    return ravel_pytree(jax.tree.map(jnp.asarray, parameters))


def flat_mask(trained: Any) -> Bool[Array, " size"]:
    """A pytree of bools in the order of `flat`."""
    return jnp.concatenate([jnp.ravel(jnp.asarray(leaf, bool)) for leaf in jax.tree.leaves(trained)])


def total(terms: Float[Array, "*batch size"]) -> Float[Array, "*batch"]:
    """The sum over the last axis, which must not be empty: halves are added until one number is left."""
    size = terms.shape[-1]
    room = 1 << (size - 1).bit_length()
    if room > size:
        terms = jnp.pad(terms, [(0, 0)] * (terms.ndim - 1) + [(0, room - size)])
    while room > 1:
        room //= 2
        terms = terms[..., :room] + terms[..., room:]
    return terms[..., 0]


def dot(a: Float[Array, "*batch size"], b: Float[Array, "*batch size"], zero: Any) -> Float[Array, "*batch"]:
    """Sum of products over the last axis."""
    return rounded(lambda a, b: total(a * b), zero)(a, b)


def moved(start: Array, step: Array, direction: Array, zero: Any) -> Array:
    """start + step * direction."""
    return rounded(lambda start, step, direction: start + step * direction, zero)(start, step, direction)


def length(vector: Float[Array, " size"], zero: Any) -> Float[Array, ""]:
    """The Euclidean norm. The largest entry is taken out first, so that squares neither overflow nor vanish."""

    def of(vector: Array) -> Array:
        largest = jnp.max(jnp.abs(vector))
        scale = jnp.where(largest > 0, largest, 1)
        return largest * jnp.sqrt(total(jnp.square(vector / scale)))

    return rounded(of, zero)(vector)
