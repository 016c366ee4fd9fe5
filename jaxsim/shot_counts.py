"""How often each outcome occurs in a number of shots that is data: one compiled call for any number.

Outcomes own intervals of the integers below 2**31, as long as they are likely; a shot is one such integer, and what is
counted are the shots in each interval. All is integer arithmetic but the lengths of the intervals, which a binary tree
hands down from sums of probabilities to outcomes. So counts add up exactly, an outcome of probability 0 never occurs,
and no sum depends on its order. An outcome's probability is that of the state to a relative error of 4 n roundings of
its floats (2**-24 each for float32) and an absolute one of n * 2**-31, for n qubits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jax import lax

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Int, Int32, UInt32

__all__ = ["draw_counts"]

SHOTS_PER_BLOCK = 128
"""Shots drawn at a time; an even number."""

DIRECT_WIRES = 10
"""Up to so many qubits each shot is compared with all intervals, in vectors; beyond, it descends the tree."""

_RESOLUTION_BITS = 31
_NOWHERE = jnp.iinfo(jnp.uint32).max


def draw_counts(
    key: Array, probabilities: Float[Array, " dim"], shots: Int[Array, ""]
) -> Int32[Array, " dim"]:
    """How often each of the outcomes occurs in independent shots: a draw of the multinomial distribution.

    Args:
        key: a JAX key of the default kind (threefry).
        probabilities: (2**n,), which need not be normalised. If one is NaN the counts mean nothing.
        shots: () integer below 2**31, traced or not; 0 gives zeros.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxsim.shot_counts import draw_counts
        >>> counts = draw_counts(jax.random.key(0), jnp.array([0.5, 0.0, 0.5, 0.0]), 1000)
        >>> int(counts.sum()), int(counts[1]), bool(abs(counts[0] - 500) < 100)
        (1000, 0, True)
    """
    starts, lengths, lower = _intervals(probabilities)
    direct = len(lower) <= DIRECT_WIRES
    # Else the loop below would work the intervals, or the random words, out anew for every pair of them.
    starts, lengths, lower = lax.optimization_barrier((starts, lengths, lower))
    shots = jnp.asarray(shots, jnp.int32)

    def block(state: tuple[Array, Array]) -> tuple[Array, Array]:
        number, counts = state
        words = lax.optimization_barrier(_words(jax.random.fold_in(key, number)))
        drawn = lax.iota(jnp.int32, SHOTS_PER_BLOCK) < shots - number * SHOTS_PER_BLOCK
        found = _compared(words, drawn, starts, lengths) if direct else _descended(words, drawn, lower)
        return number + 1, counts + found

    # In blocks: how many of them there are is data.
    blocks = shots // SHOTS_PER_BLOCK + (shots % SHOTS_PER_BLOCK > 0)
    start = (jnp.int32(0), jnp.zeros(probabilities.shape, jnp.int32))
    return lax.while_loop(lambda state: state[0] < blocks, block, start)[1]


def _words(key: Array) -> UInt32[Array, " shots"]:
    """Random integers below 2**31."""
    # Split keys are both words of a threefry block each; `jax.random.bits` takes a whole block for one word.
    pairs = jax.random.key_data(jax.random.split(key, SHOTS_PER_BLOCK // 2))
    return jnp.concatenate([pairs[:, 0], pairs[:, 1]]) >> (32 - _RESOLUTION_BITS)


def _intervals(probabilities: Float[Array, " dim"]) -> tuple[Array, Array, tuple[Array, ...]]:
    """Where the outcomes' intervals start, how long they are, and the length of the lower child of each node, level
    by level."""
    # tree[l] has 2**l sums; the children of node k are k and k + 2**l: the next higher bit of the index.
    tree = [probabilities]
    while tree[-1].shape[0] > 1:
        half = tree[-1].shape[0] // 2
        tree.append(tree[-1][:half] + tree[-1][half:])
    tree.reverse()
    starts, lengths = jnp.zeros(1, jnp.uint32), jnp.full(1, 1 << _RESOLUTION_BITS, jnp.uint32)
    lower = []
    for level, parent in enumerate(tree[:-1]):
        zero, one = tree[level + 1][: 1 << level], tree[level + 1][1 << level :]
        # The rarer child gets its share, the other one the rest, so that rare outcomes keep their odds.
        share = jnp.minimum(zero, one) / jnp.where(parent > 0, parent, 1)
        rarer = jnp.rint(lengths.astype(parent.dtype) * share).astype(jnp.uint32)
        lower.append(jnp.where(zero <= one, rarer, lengths - rarer))
        starts = jnp.concatenate([starts, starts + lower[-1]])
        lengths = jnp.concatenate([lower[-1], lengths - lower[-1]])
    return starts, lengths, tuple(lower)


def _compared(words: Array, drawn: Array, starts: Array, lengths: Array) -> Int32[Array, " dim"]:
    # A shot that is not drawn lies in no interval. Unsigned, below the start is far above the end.
    words = lax.optimization_barrier(jnp.where(drawn, words, jnp.uint32(_NOWHERE)))
    inside = (words[:, None] - starts[None, :]) < lengths[None, :]
    return jnp.sum(inside, axis=0, dtype=jnp.int32)


def _descended(words: Array, drawn: Array, lower: tuple[Array, ...]) -> Int32[Array, " dim"]:
    index = jnp.zeros(words.shape, jnp.int32)
    for level, lengths in enumerate(lower):
        length = lengths.at[index].get(mode="promise_in_bounds")
        higher = words >= length
        words = jnp.where(higher, words - length, words)
        index = index + jnp.where(higher, 1 << level, 0).astype(jnp.int32)
    counts = jnp.zeros(1 << len(lower), jnp.int32)
    return counts.at[index].add(drawn.astype(jnp.int32), mode="promise_in_bounds")
