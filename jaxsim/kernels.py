"""Array operations on flat states; they know nothing of circuits.

A state is complex, shape (..., 2**n); leading axes are independent states that get the same operation. Views
have rank 6 at most, also under one `vmap`. Everything is elementwise, a gather, or a sum inside one state, so
that the bits of a state do not depend on how many others are in the batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

if TYPE_CHECKING:
    from jaxtyping import Array, Complex, Float, Int

    State = Complex[Array, "*batch dim"]


class TwoLevel(NamedTuple):
    """An operation that couples each basis state j with j ^ x only.

    out[j] = u[p] s[j] + v[p] s[j ^ x] with p = parity(j & z) wherever j is selected, else s[j]. Selected are the j
    whose bits in `mask` are those of `value`, or become them by the flip: (j ^ value) & mask is 0 or x & mask. With
    mask = value a mask of controls it is a controlled operation; with bits of x in the mask it couples two patterns
    of these bits, as fermionic excitations do.

    With x = z = 1 << q it is a matrix on qubit q; with u = cos(a/2) and v = -+i sin(a/2) it is a rotation about
    the Pauli word with masks x and z.

    Attributes:
        x: flip mask, int32.
        z: parity mask, int32.
        controls: (2,) int32: mask and value.
        entries: (4,) complex: u[0], u[1], v[0], v[1].
    """

    x: Int[Array, "*steps"]
    z: Int[Array, "*steps"]
    controls: Int[Array, "*steps 2"]
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
    return _combine(state, flip(state, step.x), step, step.entries)


def _combine(state: State, flipped: State, step: TwoLevel, entries: Array) -> State:
    index = basis(state)
    odd = parity(index & step.z)
    kept = on_each(jnp.where(odd, entries[1], entries[0]), state)
    crossed = on_each(jnp.where(odd, entries[3], entries[2]), state)
    return jnp.where(on_each(_selected(step, index), state), kept * state + crossed * flipped, state)


def _selected(step: TwoLevel, index: Int[Array, " dim"]) -> Array:
    mask, value = step.controls[0], step.controls[1]
    different = (index ^ value) & mask
    return (different == 0) | (different == (step.x & mask))


def adjoint_entries(step: TwoLevel) -> Complex[Array, " 4"]:
    """Entries of the adjoint operation: it couples the same pairs."""
    u0, u1, v0, v1 = jnp.moveaxis(jnp.conj(step.entries), -1, 0)
    crossed = parity(step.x & step.z)
    return jnp.stack([u0, u1, jnp.where(crossed, v1, v0), jnp.where(crossed, v0, v1)], axis=-1)


def undo_two_level(
    stack: Complex[Array, "states dim"], step: TwoLevel, generators: Complex[Array, "angles 4"]
) -> tuple[Complex[Array, "states dim"], Float[Array, "angles outputs dim"]]:
    """Undoes a two-level operation U on a state and its cotangents, and differentiates it on the way.

    Args:
        stack: row 0 is the state after the operation; the other rows are lambda_k after it, where the output
            k changes by Re <lambda_k | d state>.
        step: the operation.
        generators: entries of (dU / d angle) U^dagger for each angle; outside of the selected states it is 0.

    Returns:
        The stack before the operation, and for each angle and output the terms of Re <lambda | generator | state>,
        whose sum over the basis is the derivative.
    """
    index = basis(stack)
    flipped = flip(stack, step.x)
    before = _combine(stack, flipped, step, adjoint_entries(step))
    odd = parity(index & step.z)[None]
    change = jnp.where(odd, generators[:, 1, None], generators[:, 0, None]) * stack[:1]
    change = change + jnp.where(odd, generators[:, 3, None], generators[:, 2, None]) * flipped[:1]
    change = jnp.where(_selected(step, index)[None], change, 0)[:, None]
    bras = stack[None, 1:]
    return before, bras.real * change.real + bras.imag * change.imag


def tree_sum(values: Array) -> Array:
    """The sum over the last axis (a power of two long), as a tree of pairwise sums.

    XLA's own sums split the work by the size of the whole batch, so their last bits depend on it; a tree
    written as elementwise additions fixes the order. It costs the same.
    """
    while values.shape[-1] > 1:
        # Up to three levels at once are one small kernel; the order of the additions is that of single levels.
        parts = min(8, values.shape[-1])
        size = values.shape[-1] // parts
        terms = lax.split(values, (size,) * parts, axis=values.ndim - 1)
        while len(terms) > 1:
            half = len(terms) // 2
            terms = [a + b for a, b in zip(terms[:half], terms[half:], strict=True)]
        values = terms[0]
    return lax.index_in_dim(values, 0, axis=-1, keepdims=False)


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
    if jnp.iscomplexobj(table):
        # Slices of real numbers are twice as fast.
        planes = hadamard_transform(jnp.stack([table.real, table.imag]))
        return lax.complex(planes[0], planes[1])
    num_bits = table.shape[-1].bit_length() - 1

    # Each step acts on the lowest bits and moves them to the top: one small body for all bits.
    def four(table: Array, _: None) -> tuple[Array, None]:
        a, b, c, d = jnp.unstack(table.reshape(*table.shape[:-1], -1, 4), axis=-1)
        p, q, r, s = a + b, a - b, c + d, c - d
        return jnp.concatenate([p + r, q + s, p - r, q - s], axis=-1), None

    if num_bits > 1:
        table, _ = lax.scan(four, table, None, length=num_bits // 2)
    if num_bits % 2:
        pairs = table.reshape(*table.shape[:-1], -1, 2)
        table = jnp.concatenate([pairs[..., 0] + pairs[..., 1], pairs[..., 0] - pairs[..., 1]], axis=-1)
    return table


def zero_state(num_wires: int, dtype: jax.typing.DTypeLike) -> Complex[Array, " dim"]:
    """|0...0>."""
    return jnp.where(lax.iota(jnp.int32, 2**num_wires) == 0, 1, 0).astype(dtype)


def probabilities(state: Complex[Array, "*batch dim"]) -> Float[Array, "*batch dim"]:
    """|amplitude|**2."""
    return state.real**2 + state.imag**2
