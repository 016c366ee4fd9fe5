"""Array operations for layers of 1-qubit gates; they know nothing of circuits.

A state is two real planes, shape (..., 2, 2**n): real and imaginary parts. RY gates are real, so that they act on both
planes alike; everything else is diagonal or a gather. Leading axes are independent states that get the same
operation. All is elementwise, a gather or a tree of sums: the bits of a state do not depend on how many
others there are.

The passes over all qubits are loops of one step with constant geometry: it acts on the lowest bits and moves
    them to the top,
after which the next ones are lowest. So one small body is compiled for all qubits.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Complex, Float, Int

from jaxsim import kernels

Planes = Float[Array, "*batch 2 dim"]


def to_planes(state: Complex[Array, "*batch dim"]) -> Planes:
    """Real and imaginary parts."""
    return jnp.stack([state.real, state.imag], axis=-2)


def from_planes(planes: Planes) -> Complex[Array, "*batch dim"]:
    """The complex state."""
    return lax.complex(*_both(planes, -2))


def _at(array: Array, index: int, axis: int) -> Array:
    return lax.index_in_dim(array, index, axis, keepdims=False)


def _both(array: Array, axis: int) -> tuple[Array, Array]:
    return _at(array, 0, axis), _at(array, 1, axis)


# index maps -----------------------------------------------------------------------------------------------


def gather_index(columns: Int[Array, " bits_and_start"]) -> Int[Array, " dim"]:
    """index[j] = start ^ (xor of columns[q] over the bits q of j); the start is the last entry.

    Built by doubling, two bits at a time: written as one expression, XLA would compute it anew for each
        amplitude, inside
    the gather, and not in vectors.
    """
    num_wires = columns.shape[0] - 1
    index = columns[num_wires:]
    first = num_wires % 2
    if first:
        index = jnp.concatenate([index, index ^ columns[0]])
    for q in range(first, num_wires, 2):
        a, b = columns[q], columns[q + 1]
        index = jnp.concatenate([index, index ^ a, index ^ b, index ^ (a ^ b)])
    return index


def gather(planes: Planes, columns: Int[Array, " bits_and_start"]) -> Planes:
    """new[j] = old[index[j]]."""
    return to_planes(kernels.gather(from_planes(planes), gather_index(columns)))


# diagonals ------------------------------------------------------------------------------------------------


def multiply(planes: Planes, real: Float[Array, "..."], imag: Float[Array, "..."]) -> Planes:
    """Every amplitude times a factor of its own."""
    r, i = _both(planes, -2)
    real, imag = jnp.broadcast_to(real, r.shape), jnp.broadcast_to(imag, r.shape)
    return jnp.stack([r * real - i * imag, r * imag + i * real], axis=-2)


def signs(bits: int) -> np.ndarray:
    """(bits, 2**bits) of +-1: the eigenvalue of Z on each bit."""
    return 1 - 2 * (np.arange(2**bits) >> np.arange(bits)[:, None] & 1)


class PhaseTables(NamedTuple):
    """RZ on all qubits as a product of two tables, (..., 2, 2**bits) for the lower and the upper half of the qubits.

    To be made outside of the loop that uses them: inside, XLA would make them anew for each amplitude.
    """

    low: Float[Array, "*batch 2 low_dim"]
    high: Float[Array, "*batch 2 high_dim"]


def phase_tables(turns: Float[Array, "*batch wires 2"]) -> PhaseTables:
    """Tables of RZ(a_q) on every qubit, turns[q] = cos, sin of a_q / 2."""
    low = turns.shape[-2] // 2
    return PhaseTables(_phase_table(turns[..., :low, :]), _phase_table(turns[..., low:, :]))


def _phase_table(turns: Float[Array, "*batch bits 2"]) -> Float[Array, "*batch 2 dim"]:
    """prod_q exp(-i a_q z_q / 2) for all values of some bits."""
    bits = turns.shape[-2]
    shape = (*turns.shape[:-2], 2**bits)
    z = signs(bits)
    real, imag = jnp.ones(shape, turns.dtype), jnp.zeros(shape, turns.dtype)
    for q in range(bits):
        c = jnp.broadcast_to(turns[..., q, 0, None], shape)
        s = turns[..., q, 1, None] * jnp.asarray(-z[q], turns.dtype).reshape((1,) * (len(shape) - 1) + (-1,))
        real, imag = (c, s) if not q else (real * c - imag * s, real * s + imag * c)
    return jnp.stack([real, imag], axis=-2)


def rz_on_all(planes: Planes, tables: PhaseTables, *, adjoint: bool = False) -> Planes:
    """RZ on every qubit, in one pass."""
    (lr, li), (hr, hi) = tables.low[:, None, :], tables.high[:, :, None]
    real, imag = hr * lr - hi * li, hr * li + hi * lr
    if adjoint:
        imag = -imag
    view = planes.reshape(*planes.shape[:-1], *real.shape)
    r, i = _both(view, -3)
    real, imag = jnp.broadcast_to(real, r.shape), jnp.broadcast_to(imag, r.shape)
    return jnp.stack([r * real - i * imag, r * imag + i * real], axis=-3).reshape(planes.shape)


def sign_form(masks: Int[Array, " wires"], dtype: jnp.dtype) -> Float[Array, " dim"]:
    """(-1)**q(j) with q(j) the sum over qubits of j_q times the parity of masks[q] & j."""
    num_wires = masks.shape[0]
    index = lax.iota(jnp.int32, 2**num_wires)
    total = jnp.zeros_like(index)
    for q in range(num_wires):
        total = total ^ (lax.population_count(index & masks[q]) & (index >> q))
    return (1 - 2 * (total & 1)).astype(dtype)


def masked_phase(
    planes: Planes, where: Int[Array, " 2"], turn: Float[Array, " 2"], *, adjoint: bool = False
) -> Planes:
    """exp(i angle) on the basis states with j & where[0] == where[1]; turn = cos, sin of the angle."""
    chosen = selected(planes.shape[-1], where)
    sine = -turn[1] if adjoint else turn[1]
    return multiply(planes, jnp.where(chosen, turn[0], 1), jnp.where(chosen, sine, 0))


def selected(dim: int, where: Int[Array, " 2"]) -> Array:
    """Which basis states have j & where[0] == where[1]."""
    return (lax.iota(jnp.int32, dim) & where[0]) == where[1]


def evolve_table(
    planes: Planes, table: Float[Array, " dim"], angle: Float[Array, ""], *, adjoint: bool = False
) -> Planes:
    """exp(-i angle table)."""
    phase = angle * table
    return multiply(planes, jnp.cos(phase), jnp.sin(phase) if adjoint else -jnp.sin(phase))


# RY on every qubit ----------------------------------------------------------------------------------------


def pair_matrices(turns: Float[Array, "*batch wires 2"]) -> tuple[Array, Array]:
    """RY(b_q) as Kronecker products of two qubits, (..., wires // 2, 4, 4), and (..., wires % 2, 2, 2) for
    one that is left;
    turns[q] = cos, sin of b_q / 2."""
    c, s = turns[..., 0], turns[..., 1]
    pairs = c.shape[-1] // 2
    c0, s0, c1, s1 = (
        c[..., 0 : 2 * pairs : 2],
        s[..., 0 : 2 * pairs : 2],
        c[..., 1 : 2 * pairs : 2],
        s[..., 1 : 2 * pairs : 2],
    )
    cc, cs, sc, ss = c1 * c0, c1 * s0, s1 * c0, s1 * s0
    entries = [cc, -cs, -sc, ss, cs, cc, -ss, -sc, sc, -ss, cc, -cs, ss, sc, cs, cc]
    left, turned = c[..., 2 * pairs :], s[..., 2 * pairs :]
    single = jnp.stack([left, -turned, turned, left], axis=-1)
    return (
        jnp.stack(entries, axis=-1).reshape(*cc.shape, 4, 4),
        single.reshape(*left.shape, 2, 2),
    )


def _step(planes: Planes, matrix: Float[Array, "d d"]) -> Planes:
    """A real matrix on the lowest bits, which become the highest."""
    size = matrix.shape[0]
    view = planes.reshape(*planes.shape[:-1], -1, size)
    parts = [_at(view, k, -1) for k in range(size)]
    return jnp.concatenate([_row(_at(matrix, k, 0), parts) for k in range(size)], axis=-1)


def _row(weights: Float[Array, " d"], parts: list[Array]) -> Array:
    total = _at(weights, 0, 0) * parts[0]
    for k in range(1, len(parts)):
        total = total + _at(weights, k, 0) * parts[k]
    return total


def ry_on_all(planes: Planes, pairs: Float[Array, "pairs 4 4"], rest: Float[Array, "rest 2 2"]) -> Planes:
    """RY on every qubit, from `pair_matrices`."""
    if pairs.shape[0]:
        planes, _ = lax.scan(lambda s, m: (_step(s, m), None), planes, pairs)
    return _step(planes, rest[0]) if rest.shape[0] else planes


def undo_ry_on_all(
    stack: Float[Array, "states 2 dim"],
    pairs: Float[Array, "pairs 4 4"],
    rest: Float[Array, "rest 2 2"],
    *,
    before: bool,
) -> tuple[Float[Array, "states 2 dim"], Float[Array, "kinds wires outputs"]]:
    """Undoes RY on every qubit and differentiates by angles of all qubits on the way.

    Args:
        stack: row 0 is the state after the gates; the others are lambda_k, where output k changes by Re <lambda_k | d
            state>.
        pairs, rest: from `pair_matrices`.
        before: whether angles of RZ before the gates are asked for, too.

    Returns:
        The stack before the gates; and the derivatives of the outputs by half of the angles of the RY, of RZ
        after them, and if asked for of RZ before them.
    """

    def body(stack: Array, matrix: Array) -> tuple[Array, Array]:
        size = matrix.shape[0]
        view = stack.reshape(*stack.shape[:-1], -1, size)
        after = [z_density(_at(view, k, -1)) for k in range(size)]
        stack = _step(stack, matrix.T)
        view = stack.reshape(*stack.shape[:-1], size, -1)
        parts = [_at(view, k, -2) for k in range(size)]
        densities = [_y_densities(parts), _z_sums(after)]
        if before:
            densities.append(_z_sums([z_density(part) for part in parts]))
        return stack, jnp.stack([jnp.stack(d) for d in densities])  # (kinds, bits, outputs, dim / size)

    kinds = 3 if before else 2
    derivatives = jnp.zeros((kinds, 0, stack.shape[0] - 1), stack.dtype)
    if pairs.shape[0]:
        stack, densities = lax.scan(body, stack, pairs)  # (pairs, kinds, bits, outputs, dim / 4)
        sums = jnp.moveaxis(kernels.tree_sum(densities), 1, 0)
        derivatives = sums.reshape(kinds, -1, stack.shape[0] - 1)
    if rest.shape[0]:
        stack, last = body(stack, rest[0])
        derivatives = jnp.concatenate([derivatives, kernels.tree_sum(last)], axis=1)
    return stack, derivatives


def _psi_and_lambdas(stack: Array) -> tuple[Array, Array, Array, Array]:
    """Real and imaginary parts of row 0, with an axis of length 1 in its place, and of the others."""
    psi, lambdas = lax.slice_in_dim(stack, 0, 1), lax.slice_in_dim(stack, 1, stack.shape[0])
    return (*_both(psi, 1), *_both(lambdas, 1))


def z_density(stack: Float[Array, "states 2 dim"]) -> Float[Array, "outputs dim"]:
    """Im(conj(lambda_k) psi): its sum, signed by Z, is the derivative by half of the angle of an RZ."""
    psi_r, psi_i, lam_r, lam_i = _psi_and_lambdas(stack)
    return lam_r * psi_i - lam_i * psi_r


def _z_sums(densities: list[Array]) -> list[Array]:
    """Signed by Z of each bit that numbers the parts."""
    if len(densities) == 2:
        return [densities[0] - densities[1]]
    a, b, c, d = densities
    return [(a - b) + (c - d), (a + b) - (c + d)]


def _y_densities(parts: list[Float[Array, "states 2 dim"]]) -> list[Array]:
    """For each bit that numbers the parts Re(conj(lambda_1) psi_0 - conj(lambda_0) psi_1): its sum is the derivative
    by half of the angle of an RY."""
    known = [_psi_and_lambdas(part) for part in parts]

    def crossed(low: int, high: int) -> Array:
        (psi0_r, psi0_i, lam0_r, lam0_i), (psi1_r, psi1_i, lam1_r, lam1_i) = known[low], known[high]
        return (lam1_r * psi0_r + lam1_i * psi0_i) - (lam0_r * psi1_r + lam0_i * psi1_i)

    if len(parts) == 2:
        return [crossed(0, 1)]
    return [crossed(0, 1) + crossed(2, 3), crossed(0, 2) + crossed(1, 3)]
