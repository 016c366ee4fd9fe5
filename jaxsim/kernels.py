"""Array operations on flat states; they know nothing of circuits.

A state is complex, shape (..., 2**n); leading axes are independent states that get the same operation. Views
have rank 6 at most, also under one `vmap`. Everything is elementwise, a gather, or a sum inside one state, so
that the bits of a state do not depend on how many others are in the batch.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Complex, Float, Int

State = Complex[Array, "*batch dim"]


class TwoLevel(NamedTuple):
    """An operation that couples each basis state j with j ^ x only.

    out[j] = u[p] s[j] + v[p] s[j ^ x] with p = parity(j & z) wherever all bits of `controls` are set in j, else
    s[j]. With x = z = 1 << q it is a matrix on qubit q; with u = cos(a/2) and v = -+i sin(a/2) it is a rotation about
    the Pauli word with masks x and z.

    Attributes:
        x: flip mask, int32.
        z: parity mask, int32.
        controls: bits that must be 1, int32.
        entries: (4,) complex: u[0], u[1], v[0], v[1].
    """

    x: Int[Array, "*steps"]
    z: Int[Array, "*steps"]
    controls: Int[Array, "*steps"]
    entries: Complex[Array, "*steps 4"]


def basis(state: State) -> Int[Array, " dim"]:
    """The basis indices 0, 1, ... of a state."""
    return lax.iota(jnp.int32, state.shape[-1])


def on_each(vector: Array, state: State) -> Array:
    """A vector over the basis, once for each state of a batch."""
    return jnp.broadcast_to(vector, state.shape)


def parity(bits: Int[Array, "*shape"]) -> Array:
    """Whether an odd number of bits is set."""
    return (lax.population_count(bits) & 1).astype(bool)


def flip(state: State, x: Int[Array, ""]) -> State:
    """s[j ^ x]: the qubits in the mask x flipped."""
    index = basis(state) ^ x
    return state.at[..., index].get(mode="promise_in_bounds", unique_indices=True)


def two_level(state: State, step: TwoLevel) -> State:
    """The state after a two-level operation."""
    return _combine(state, flip(state, step.x), step, step.entries, basis(state))


def _combine(state: State, flipped: State, step: TwoLevel, entries: Array, index: Array) -> State:
    odd = parity(index & step.z)
    kept = on_each(jnp.where(odd, entries[1], entries[0]), state)
    crossed = on_each(jnp.where(odd, entries[3], entries[2]), state)
    active = on_each((index & step.controls) == step.controls, state)
    return jnp.where(active, kept * state + crossed * flipped, state)


def adjoint_entries(step: TwoLevel) -> Complex[Array, " 4"]:
    """Entries of the adjoint operation: it couples the same pairs."""
    u0, u1, v0, v1 = jnp.moveaxis(jnp.conj(step.entries), -1, 0)
    crossed = parity(step.x & step.z)
    return jnp.stack([u0, u1, jnp.where(crossed, v1, v0), jnp.where(crossed, v0, v1)], axis=-1)


def undo_two_level(
    stack: Complex[Array, "states dim"], step: TwoLevel, tangents: Complex[Array, "angles 4"]
) -> tuple[Complex[Array, "states dim"], Float[Array, "angles outputs"]]:
    """Undoes a two-level operation on a state and its cotangents, and differentiates it on the way.

    Args:
        stack: row 0 is the state after the operation; the other rows are lambda_k after it, where the output
            k changes by Re <lambda_k | d state>.
        step: the operation.
        tangents: derivatives of `step.entries` with respect to its angles.

    Returns:
        The stack before the operation, and the derivative of each output with respect to each angle.
    """
    index = basis(stack)
    before = _combine(stack, flip(stack, step.x), step, adjoint_entries(step), index)
    # It could be had from what has been gathered already, but a second gather of all states at once is faster.
    flipped_before = flip(before, step.x)
    odd = parity(index & step.z)
    active = (index & step.controls) == step.controls
    derivatives = []
    for tangent in tangents:
        change = jnp.where(odd, tangent[1], tangent[0]) * before[0]
        change = change + jnp.where(odd, tangent[3], tangent[2]) * flipped_before[0]
        change = jnp.where(active, change, 0)
        derivatives.append(real_overlap(stack[1:], on_each(change, stack[1:])))
    if not derivatives:
        return before, jnp.zeros((0, stack.shape[0] - 1), stack.real.dtype)
    return before, jnp.stack(derivatives)


def tree_sum(values: Array) -> Array:
    """The sum over the last axis (a power of two long), as a tree of pairwise sums.

    XLA's own sums split the work by the size of the whole batch, so their last bits depend on it; a tree
    written as elementwise additions fixes the order. It costs the same.
    """
    while values.shape[-1] > 1:
        half = values.shape[-1] // 2
        values = values[..., :half] + values[..., half:]
    return values[..., 0]


def real_overlap(
    bra: Complex[Array, "*batch dim"], ket: Complex[Array, "*batch dim"]
) -> Float[Array, "*batch"]:
    """Re <bra|ket>, summed inside each state."""
    return tree_sum(bra.real * ket.real + bra.imag * ket.imag)


def overlap(bra: Complex[Array, "*batch dim"], ket: Complex[Array, "*batch dim"]) -> Complex[Array, "*batch"]:
    """<bra|ket>, summed inside each state."""
    return tree_sum(jnp.conj(bra) * ket)


def local_index(num_wires: int, wires: tuple[int, ...]) -> Int[Array, " dim"]:
    """For every basis index, the number formed by its bits on `wires` (``wires[0]`` least significant)."""
    index = lax.iota(jnp.int32, 2**num_wires)
    local = jnp.zeros_like(index)
    for k, wire in enumerate(wires):
        local = local | (((index >> wire) & 1) << k)
    return local


def spread_index(num_wires: int, wires: tuple[int, ...]) -> Int[Array, " dim"]:
    """The permutation that sends (other bits, bits of `wires`) as (high, low) parts to basis indices.

    Entry m of the result is the basis index whose bits on `wires` are the low bits of m.
    """
    order = (*wires, *(w for w in range(num_wires) if w not in wires))
    index = lax.iota(jnp.int32, 2**num_wires)
    result = jnp.zeros_like(index)
    for position, wire in enumerate(order):
        result = result | (((index >> position) & 1) << wire)
    return result


def gather(state: State, index: Int[Array, " dim"]) -> State:
    """s[index] for a permutation `index`."""
    return state.at[..., index].get(mode="promise_in_bounds", unique_indices=True)


def apply_matrix(
    state: State, matrix: Complex[Array, "d d"], wires: tuple[int, ...], controls: int, num_wires: int
) -> State:
    """A matrix on `wires` where all bits of the mask `controls` are 1; ``wires[0]`` is the least
    significant bit."""
    index = spread_index(num_wires, wires)
    dimension = 2 ** len(wires)
    columns = gather(state, index).reshape(*state.shape[:-1], -1, dimension)
    new = jnp.matmul(columns, matrix.T, precision=lax.Precision.HIGHEST).reshape(state.shape)
    # The inverse permutation as a gather: where basis index j went.
    order = (*wires, *(w for w in range(num_wires) if w not in wires))
    back = local_index(num_wires, order)
    return select_controlled(gather(new, back), state, controls)


def select_controlled(new: State, old: State, controls: int) -> State:
    """`new` where all bits of the mask are 1, else `old`."""
    if not controls:
        return new
    return jnp.where(on_each((basis(old) & controls) == controls, old), new, old)


def marginal(
    probabilities: Float[Array, " dim"], wires: tuple[int, ...], num_wires: int
) -> Float[Array, " outcomes"]:
    """Probabilities of the outcomes on `wires`; bit k of an outcome is ``wires[k]``."""
    index = spread_index(num_wires, wires)
    ordered = probabilities.at[index].get(mode="promise_in_bounds", unique_indices=True)
    return tree_sum(ordered.reshape(-1, 2 ** len(wires)).T)


def hadamard_transform(table: Array) -> Array:
    """Unnormalised Walsh-Hadamard transform of the last axis: out[j] = sum_z (-1)**parity(j & z) table[z]."""
    shape = table.shape
    for q in range(int(np.log2(shape[-1]))):
        pairs = table.reshape(-1, 2, 2**q)
        table = jnp.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1)
    return table.reshape(shape)


def zero_state(num_wires: int, dtype: jax.typing.DTypeLike) -> Complex[Array, " dim"]:
    """|0...0>."""
    return jnp.where(lax.iota(jnp.int32, 2**num_wires) == 0, 1, 0).astype(dtype)


def probabilities(state: Complex[Array, "*batch dim"]) -> Float[Array, "*batch dim"]:
    """|amplitude|**2."""
    return state.real**2 + state.imag**2
