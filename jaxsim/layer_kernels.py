"""Array operations for layers of 1-qubit gates; they know nothing of circuits.

A state is complex, (..., 2**n); leading axes are independent states that get the same operation. All is elementwise, a
gather or a tree of sums: the bits of a state do not depend on how many others there are.

The pass over all qubits is a loop of one step with constant geometry: it acts on the two lowest bits and moves them to
the top, after which the next ones are lowest. So one small body is compiled for all qubits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxsim import kernels

if TYPE_CHECKING:
    from jaxtyping import Array, Bool, Complex, Float, Int

    State = Complex[Array, "*batch dim"]


# index maps -----------------------------------------------------------------------------------------------


def index_tables(columns: Int[Array, "*batch bits_and_start"]) -> tuple[Array, Array]:
    """What the lower and the upper half of the bits of j contribute to an index, (..., 2**bits) for all values of each.

    index[j] = start ^ (xor of columns[q] over the bits q of j), the start being the last entry of `columns`. To be made
    outside of the loop that uses them: inside, XLA would compute them anew for each amplitude.
    """
    num_wires = columns.shape[-1] - 1
    low = num_wires // 2
    start = columns[..., num_wires:]
    return start ^ _combinations(columns[..., :low]), _combinations(columns[..., low:num_wires])


def _combinations(columns: Int[Array, "*batch bits"]) -> Int[Array, "*batch combinations"]:
    """The xor of every subset of the columns."""
    bits = columns.shape[-1]
    chosen = -(
        np.arange(2**bits, dtype=np.int32) >> np.arange(bits, dtype=np.int32)[:, None] & 1
    )  # 0 or all bits
    contributions = columns[..., None] & chosen.reshape((1,) * (columns.ndim - 1) + chosen.shape)
    return lax.reduce(contributions, np.int32(0), lax.bitwise_xor, (columns.ndim - 1,))


def gather(state: State, low: Int[Array, " low_dim"], high: Int[Array, " high_dim"]) -> State:
    """new[j] = old[index[j]], with the index from `index_tables`."""
    return kernels.gather(state, (high[:, None] ^ low[None, :]).reshape(-1))


# diagonals ------------------------------------------------------------------------------------------------


def multiply(state: State, real: Float[Array, "..."], imag: Float[Array, "..."]) -> State:
    """Every amplitude times a factor of its own."""
    return state * kernels.on_each(lax.complex(real, imag), state)


def sign_form(masks: Int[Array, " wires"], dtype: jnp.dtype) -> Float[Array, " dim"]:
    """(-1)**q(j) with q(j) the sum over qubits of j_q times the parity of masks[q] & j."""
    num_wires = masks.shape[0]
    index = lax.iota(jnp.int32, 2**num_wires)
    total = jnp.zeros_like(index)
    for q in range(num_wires):
        total = total ^ (lax.population_count(index & masks[q]) & (index >> q))
    return (1 - 2 * (total & 1)).astype(dtype)


def change_sign(state: State, masks: Int[Array, " wires"]) -> State:
    """The signs of `sign_form`."""
    signs = kernels.on_each(sign_form(masks, state.real.dtype), state)
    return lax.complex(state.real * signs, state.imag * signs)


def masked_phase(
    state: State, where: Int[Array, " 2"], turn: Float[Array, " 2"], *, adjoint: bool = False
) -> State:
    """exp(i angle) on the basis states with j & where[0] == where[1]; turn = cos, sin of the angle."""
    chosen = selected(state.shape[-1], where)
    sine = -turn[1] if adjoint else turn[1]
    return multiply(state, jnp.where(chosen, turn[0], 1), jnp.where(chosen, sine, 0))


def selected(dim: int, where: Int[Array, " 2"]) -> Bool[Array, " dim"]:
    """Which basis states have j & where[0] == where[1]."""
    return (lax.iota(jnp.int32, dim) & where[0]) == where[1]


def evolve_table(
    state: State, table: Float[Array, " dim"], angle: Float[Array, ""], *, adjoint: bool = False
) -> State:
    """exp(-i angle table)."""
    phase = angle * table
    return multiply(state, jnp.cos(phase), jnp.sin(phase) if adjoint else -jnp.sin(phase))


# a gate on every qubit ------------------------------------------------------------------------------------


def pair_matrices(gates: Complex[Array, "*batch wires 2 2"]) -> tuple[Array, Array]:
    """Gates on all qubits as Kronecker products of two, (..., wires // 2, 4, 4), and (..., wires % 2, 2, 2) that are
    left."""
    pairs = gates.shape[-3] // 2
    low, high = gates[..., 0 : 2 * pairs : 2, :, :], gates[..., 1 : 2 * pairs : 2, :, :]
    products = high[..., :, None, :, None] * low[..., None, :, None, :]
    return products.reshape(*gates.shape[:-3], pairs, 4, 4), gates[..., 2 * pairs :, :, :]


def _step(state: State, matrix: Complex[Array, "d d"]) -> State:
    """A matrix on the lowest bits, which become the highest."""
    size = matrix.shape[0]
    parts = jnp.unstack(state.reshape(*state.shape[:-1], -1, size), axis=-1)
    rows = [_row(jnp.unstack(row), parts) for row in jnp.unstack(matrix)]
    return jnp.concatenate(rows, axis=-1)


def _row(weights: Sequence[Array], parts: Sequence[Array]) -> Array:
    total = weights[0] * parts[0]
    for weight, part in zip(weights[1:], parts[1:], strict=True):
        total = total + weight * part
    return total


def gates_on_all(state: State, pairs: Complex[Array, "pairs 4 4"], rest: Complex[Array, "rest 2 2"]) -> State:
    """A gate on every qubit, from `pair_matrices`."""
    if pairs.shape[0]:
        state, _ = lax.scan(lambda s, m: (_step(s, m), None), state, pairs)
    return _step(state, rest[0]) if rest.shape[0] else state


def undo_gates_on_all(
    stack: Complex[Array, "states dim"],
    undo_pairs: Complex[Array, "pairs 4 4"],
    undo_rest: Complex[Array, "rest 2 2"],
) -> tuple[Complex[Array, "states dim"], Float[Array, "3 wires outputs"]]:
    """Undoes a gate on every qubit, and differentiates by rotations of all qubits before the gates.

    All such derivatives follow from three numbers a qubit: those by rotations about X, Y and Z.

    Args:
        stack: row 0 is the state after the gates; the others are lambda_k, where output k changes by Re <lambda_k | d
            state>.
        undo_pairs, undo_rest: of the adjoint gates, from `pair_matrices`. They are asked for ready-made: XLA would
            negate imaginary parts inside the loops over amplitudes, and round otherwise for few of them than for many.

    Returns:
        The stack before the gates; and the derivatives of the outputs by half of the angle of a rotation about X, Y, Z
        that each qubit would get before its gate.
    """

    def body(stack: Array, matrix: Array) -> tuple[Array, Array]:
        size = matrix.shape[0]
        stack = _step(stack, matrix)
        parts = jnp.unstack(stack.reshape(*stack.shape[:-1], size, -1), axis=-2)
        return stack, jnp.stack(_crossed_densities(parts))

    outputs = stack.shape[0] - 1
    crossed = jnp.zeros((0, outputs), stack.dtype)
    if undo_pairs.shape[0]:
        stack, densities = lax.scan(body, stack, undo_pairs)  # (pairs, bits, outputs, dim / 4)
        crossed = kernels.tree_sum(densities).reshape(-1, outputs)
    if undo_rest.shape[0]:
        stack, last = body(stack, undo_rest[0])
        crossed = jnp.concatenate([crossed, kernels.tree_sum(last)])
    return stack, jnp.stack([crossed.imag, crossed.real, _z_sums(z_density(stack))])


def _crossed_densities(parts: Sequence[Complex[Array, "states dim"]]) -> list[Array]:
    """For each bit that numbers the parts conj(lambda_1) psi_0 - lambda_0 conj(psi_1): the sum of its real part is the
    derivative by half of the angle of an RY, that of its imaginary part of an RX."""

    psi, lambdas = zip(*(lax.split(p, (1, p.shape[0] - 1)) for p in parts), strict=True)

    def crossed(low: int, high: int) -> Array:
        return jnp.conj(lambdas[high]) * psi[low] - lambdas[low] * jnp.conj(psi[high])

    if len(parts) == 2:
        return [crossed(0, 1)]
    return [crossed(0, 1) + crossed(2, 3), crossed(0, 2) + crossed(1, 3)]


def z_density(stack: Complex[Array, "states dim"]) -> Float[Array, "outputs dim"]:
    """Im(conj(lambda_k) psi): its sum, signed by Z, is the derivative by half of the angle of an RZ."""
    psi, lambdas = stack[:1], stack[1:]
    return lambdas.real * psi.imag - lambdas.imag * psi.real


def _z_sums(density: Float[Array, "outputs dim"]) -> Float[Array, "wires outputs"]:
    """The sums signed by Z of each qubit: over the upper bits first for the lower qubits, and the other way round."""
    num_wires = density.shape[-1].bit_length() - 1
    low = num_wires // 2
    view = density.reshape(density.shape[0], -1, 2**low)
    sums = []
    for bits, rest in ((low, jnp.swapaxes(view, 1, 2)), (num_wires - low, view)):
        signed = kernels.tree_sum(rest)[:, None] * jnp.asarray(_signs(bits), density.dtype)[None]
        sums.append(kernels.tree_sum(signed))
    return jnp.concatenate(sums, axis=-1).T


def _signs(bits: int) -> np.ndarray:
    """(bits, 2**bits) of +-1: the eigenvalue of Z on each bit."""
    return 1 - 2 * (np.arange(2**bits) >> np.arange(bits)[:, None] & 1)
