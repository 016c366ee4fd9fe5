"""Drawing basis states from probabilities.

A shot descends a binary tree of sums of probabilities, one level a qubit, with fresh random bits at every
level. So the resolution of a random number never limits how rare an outcome can be (a single float32
addresses 2**23 outcomes), memory is shots x qubits and one tree, and there is no cumulative sum, whose last
bits would depend on the batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jax import lax

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Int, UInt8

__all__ = ["sample_bits", "sample_indices"]


def sample_indices(key: Array, probabilities: Float[Array, " dim"], shots: int) -> Int[Array, " shots"]:
    """Basis indices drawn from probabilities (which need not be normalised).

    The first k of the draws with one key are the same for any larger number of shots.

    Args:
        key: a JAX key, or its threefry key data, uint32 (2,).
        probabilities: (2**n,).
        shots: how many.
    """
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        key = jax.random.wrap_key_data(key, impl="threefry2x32")
    # tree[l] has 2**l sums; the children of node k are k and k + 2**l: the next higher bit of the index.
    tree = [probabilities]
    while tree[-1].shape[0] > 1:
        half = tree[-1].shape[0] // 2
        tree.append(tree[-1][:half] + tree[-1][half:])
    tree.reverse()
    num_wires = len(tree) - 1
    draws = jax.random.bits(key, (shots, num_wires), jnp.uint32)
    index = jnp.zeros(shots, jnp.int32)
    for level in range(num_wires):
        zero, one = tree[level + 1][index], tree[level + 1][index + 2**level]
        # The rarer child is taken if a number in (0, 1] falls below its share: small numbers have 32 bits and are
        # never 0, so rare children keep their odds, and one of probability 0 is never taken.
        uniform = (draws[:, level].astype(probabilities.dtype) + 0.5) * 2.0**-32
        rarer = uniform * (zero + one) < jnp.minimum(zero, one)
        index = index + jnp.where(rarer == (one < zero), 2**level, 0).astype(jnp.int32)
    return index


def sample_bits(key: Array, probabilities: Float[Array, " dim"], shots: int) -> UInt8[Array, "shots wires"]:
    """Outcomes drawn from probabilities, one bit a qubit: column q is qubit q."""
    indices = sample_indices(key, probabilities, shots)
    num_wires = probabilities.shape[0].bit_length() - 1
    return ((indices[:, None] >> lax.iota(jnp.int32, num_wires)[None]) & 1).astype(jnp.uint8)
