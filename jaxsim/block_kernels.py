"""Array operations of the fused engine: real blocks and phases on large states.

A state is held as *planes*, real, shape (..., 2, 2**n): real part, imaginary part. A real orthogonal matrix on
a few neighbouring qubits is then a real matrix product, which CPU libraries do at full speed: five qubits in
one pass over memory, at the cost of two passes qubit by qubit. Everything that is not real is a phase, one
pass for any number of them. Leading axes are independent states that get the same operation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxsim import kernels

if TYPE_CHECKING:
    from jaxtyping import Array, Complex, Float, Int

    AnyArray = Array | np.ndarray
    """NumPy on the host, JAX inside a call."""

    Planes = Float[Array, "*batch 2 dim"]

__all__ = [
    "Factors", "Parts", "Terms", "angle_derivatives", "apply_block", "apply_phase", "block_matrices", "block_overlaps",
    "by_parts", "from_planes", "linear_index", "parts_for", "permute", "phase_density", "phase_derivatives",
    "phase_tables", "pieces", "to_planes", "unit_circle",
]  # fmt: skip


States = TypeVar("States")
Sums = TypeVar("Sums")

PAIRS = ((0, 1), (1, 2), (0, 2))
"""Which pieces of the register each table of a phase spans."""


def to_planes(state: Complex[Array, "*batch dim"]) -> Planes:
    """Real and imaginary part."""
    return jnp.stack([state.real, state.imag], axis=-2)


def from_planes(planes: Planes) -> Complex[Array, "*batch dim"]:
    """The complex state."""
    return lax.complex(planes[..., 0, :], planes[..., 1, :])


# blocks ---------------------------------------------------------------------------------------------------


class Factors(NamedTuple):
    """Real two-level factors of blocks, ``out[j] = a[j] s[j] + b[j] s[partner[j]]`` on the block's rows.

    a = keep[0] + keep[1] cos(angle / 2), b = cross[0] + cross[1] sin(angle / 2); partner is an involution.

    Attributes:
        partner: (factors, blocks, rows) int32.
        keep, cross: (factors, blocks, 2, rows) real.
    """

    partner: Int[AnyArray, "factors blocks rows"]
    keep: Float[AnyArray, "factors blocks 2 rows"]
    cross: Float[AnyArray, "factors blocks 2 rows"]


def _weights(factors: Factors, angles: Float[Array, "factors blocks"]) -> tuple[Array, Array, Array, Array]:
    """a, b and their derivatives by the angles, each (factors, blocks, rows)."""
    half = 0.5 * angles
    cos, sin = lax.optimization_barrier((jnp.cos(half)[..., None], jnp.sin(half)[..., None]))
    keep, cross = factors.keep, factors.cross
    a = keep[:, :, 0] + keep[:, :, 1] * cos
    b = cross[:, :, 0] + cross[:, :, 1] * sin
    return a, b, -0.5 * sin * keep[:, :, 1], 0.5 * cos * cross[:, :, 1]


def _partners(partner: Int[Array, "blocks rows"], matrices: Array) -> Array:
    """Rows of `matrices` (blocks, ..., rows, columns) in the order `partner`."""
    index = partner.reshape(partner.shape[0], *(1,) * (matrices.ndim - 3), partner.shape[1], 1)
    return jnp.take_along_axis(matrices, index, axis=-2, mode="promise_in_bounds")


def block_matrices(
    factors: Factors, angles: Float[Array, "factors blocks"]
) -> Float[Array, "blocks rows rows"]:
    """The matrices of all blocks: products of their factors, the first in time on the right."""
    _, blocks, rows = factors.partner.shape
    a, b, _, _ = _weights(factors, angles)

    def multiply(matrices: Array, factor: tuple[Array, ...]) -> tuple[Array, None]:
        a, b, partner = factor
        return a[..., None] * matrices + b[..., None] * _partners(partner, matrices), None

    identity = jnp.broadcast_to(jnp.eye(rows, dtype=a.dtype), (blocks, rows, rows))
    return lax.scan(multiply, identity, (a, b, jnp.asarray(factors.partner)))[0]


def angle_derivatives(
    factors: Factors,
    angles: Float[Array, "factors blocks"],
    matrices: Float[Array, "blocks rows rows"],
    gradients: Float[Array, "blocks outputs rows rows"],
) -> Float[Array, "factors blocks outputs"]:
    """Derivatives by angles from derivatives by matrices, undoing factor by factor."""
    weights = _weights(factors, angles)

    def undo(carry: tuple[Array, Array], factor: tuple[Array, ...]) -> tuple[tuple[Array, Array], Array]:
        matrices, gradients = carry
        a, b, a_change, b_change, partner = factor
        crossed = jnp.take_along_axis(b, partner, axis=-1, mode="promise_in_bounds")
        before = a[..., None] * matrices + crossed[..., None] * _partners(partner, matrices)
        change = a_change[..., None] * before + b_change[..., None] * _partners(partner, before)
        products = gradients * change[:, None]
        by_angle = kernels.tree_sum(
            products.reshape(*products.shape[:2], products.shape[2] * products.shape[3])
        )
        gradients = a[:, None, :, None] * gradients + crossed[:, None, :, None] * _partners(
            partner, gradients
        )
        return (before, gradients), by_angle

    return lax.scan(undo, (matrices, gradients), (*weights, jnp.asarray(factors.partner)), reverse=True)[1]


def apply_block(planes: Planes, matrix: Float[Array, "rows rows"], start: int) -> Planes:
    """A real matrix on the qubits start, start + 1, ..."""
    rows = matrix.shape[0]
    if start == 0:
        new = jnp.matmul(planes.reshape(-1, rows), matrix.T, precision=lax.Precision.HIGHEST)
    else:
        views = planes.reshape(-1, rows, 2**start)
        each = jnp.broadcast_to(matrix, (views.shape[0], rows, rows))
        new = jnp.matmul(each, views, precision=lax.Precision.HIGHEST)
    return new.reshape(planes.shape)


def block_overlaps(
    ket: Float[Array, "2 dim"], bras: Float[Array, "outputs 2 dim"], rows: int, start: int
) -> Float[Array, "outputs rows rows"]:
    """How the rows of a block overlap in a state and in others.

    Entry (k, i, j) is the sum of Re(conj(bras[k]) ket) over the amplitudes with i and j on the block's qubits and
    equal bits elsewhere.
    """
    size = ket.size
    if start == 0:
        columns = min(64, size // rows)
        shape = (size // columns // rows, columns, rows)
        contract = "aci,acj->aij"
    else:
        shape = (size // rows >> start, rows, 2**start)
        contract = "aic,ajc->aij"
    # One product for each output: an axis for outputs would have to be moved behind that of the sum first.
    products = [
        jnp.einsum(contract, bra.reshape(shape), ket.reshape(shape), precision=lax.Precision.HIGHEST)
        for bra in bras
    ]
    return jnp.stack([jnp.sum(product, axis=0) for product in products])


# blocks, cache-sized parts of the state at a time ---------------------------------------------------------

PART_BITS = 17
"""A state of more qubits is taken in parts of so many amplitudes (2**) through several blocks: they stay in cache,
and what the blocks need besides the state stays small."""

WHOLE_BITS = 22
"""A forward run takes a state of up to so many qubits whole: one core alone takes parts out and puts them back, which
takes as long as the blocks. What the blocks need besides the state is less than a backward run holds anyway."""

LEAST_ROW_BITS = 6
"""Parts consist of rows of at least so many neighbouring amplitudes."""


class Parts(NamedTuple):
    """The state as (high, rows, low, length): a part is all of ``[h, :, l, :]``; high or low is 1.

    A qubit of a block on a part is its qubit on the state less `shift`.
    """

    high: int
    rows: int
    low: int
    length: int
    shift: int


def parts_for(num_wires: int, start: int, end: int, part_bits: int) -> Parts | None:
    """Parts of 2**part_bits amplitudes that hold all of the qubits start, ..., end - 1; None if there is no such cut.

    For any five neighbouring qubits there is one: the more qubits, the larger are parts.
    """
    bits = min(max(part_bits, (num_wires + 5 + LEAST_ROW_BITS) // 2), num_wires)
    if end <= bits:
        return Parts(2 ** (num_wires - bits), 1, 1, 2**bits, 0)
    row_bits = bits - (num_wires - start)
    if row_bits < LEAST_ROW_BITS:
        return None
    return Parts(1, 2 ** (num_wires - start), 2 ** (start - row_bits), 2**row_bits, start - row_bits)


def by_parts(
    states: States, parts: Parts, function: Callable[[States], tuple[States, Sums]], zero: Sums
) -> tuple[States, Sums]:
    """A function on every part of states (each (..., 2, dim)), in place; what it returns besides is summed."""
    if parts.high * parts.low == 1:
        states, found = function(states)
        return states, jax.tree.map(jnp.add, zero, found)

    # One loop over the axis that is cut: XLA updates arrays in place only where the index is simple.
    axis = -4 if parts.low == 1 else -2

    def read(whole: Array, k: Array) -> Array:
        part = lax.dynamic_index_in_dim(whole, k, axis, keepdims=False)
        return part.reshape(*whole.shape[:-4], parts.rows * parts.length)

    def write(whole: Array, part: Array, k: Array) -> Array:
        shape = list(whole.shape)
        shape[axis] = 1
        return lax.dynamic_update_slice_in_dim(whole, part.reshape(shape), k, axis)

    def one(carry: tuple[States, Sums], k: Array) -> tuple[tuple[States, Sums], None]:
        whole, total = carry
        new, found = function(jax.tree.map(lambda w: read(w, k), whole))
        whole = jax.tree.map(lambda w, n: write(w, n, k), whole, new)
        return (whole, jax.tree.map(jnp.add, total, found)), None

    whole = jax.tree.map(lambda s: s.reshape(*s.shape[:-1], *parts[:4]), states)
    (whole, total), _ = lax.scan(one, (whole, zero), lax.iota(jnp.int32, parts.high * parts.low))
    return jax.tree.map(lambda w, s: w.reshape(s.shape), whole, states), total


# phases ---------------------------------------------------------------------------------------------------


class Terms(NamedTuple):
    """Terms of the exponent of a phase: ``f(j) = (-1)**parity(j & z)`` where all bits of c are set in j, else 0.

    Attributes:
        z, c: (terms,) int32 masks.
    """

    z: Int[AnyArray, " terms"]
    c: Int[AnyArray, " terms"]

    def values(self, first: int, bits: int) -> Array:
        """(2**bits, terms): each term's share from the qubits first, first + 1, ...; a product of shares is f."""
        index = lax.iota(jnp.int32, 2**bits)[:, None]
        mask = 2**bits - 1
        z, c = (self.z[None] >> first) & mask, (self.c[None] >> first) & mask
        sign = 1 - 2 * (lax.population_count(index & z) & 1)
        return jnp.where(index & c == c, sign, 0)


def pieces(num_wires: int) -> tuple[int, int, int]:
    """How many qubits the three pieces of the register have, the highest first."""
    low = -(-num_wires // 3)
    middle = -(-(num_wires - low) // 2)
    return num_wires - low - middle, middle, low


def _piece_values(num_wires: int, terms: Terms, dtype: jnp.dtype) -> tuple[Array, Array, Array]:
    high, middle, low = pieces(num_wires)
    firsts = (middle + low, low, 0)
    sizes = (high, middle, low)
    a, b, c = (terms.values(f, s).astype(dtype) for f, s in zip(firsts, sizes, strict=True))
    return a, b, c


def _split(counts: tuple[int, ...], terms: Terms) -> list[Terms]:
    groups, at = [], 0
    for count in counts:
        groups.append(Terms(terms.z[at : at + count], terms.c[at : at + count]))
        at += count
    return groups


def phase_tables(
    num_wires: int, counts: tuple[int, int, int, int], terms: Terms, coefficients: Float[Array, " terms"]
) -> list[Array]:
    """exp(i sum_k coefficients[k] f_k) as factors that broadcast to (2**high, 2**middle, 2**low).

    Args:
        num_wires: number of qubits.
        counts: how many terms go to the table of each pair of pieces (`PAIRS`), and how many touch all pieces.
        terms: the terms in that order.
        coefficients: their coefficients.
    """
    tables, at = [], 0
    for k, group in enumerate(_split(counts, terms)):
        if not counts[k]:
            continue
        weights = coefficients[at : at + counts[k]]
        at += counts[k]
        shares = _piece_values(num_wires, group, weights.dtype)
        if k < len(PAIRS):
            first, second = PAIRS[k]
            angle = jnp.matmul(
                shares[first] * weights[None], shares[second].T, precision=lax.Precision.HIGHEST
            )
            angle = jnp.expand_dims(angle, 3 - first - second)
        else:
            outer = (shares[0][:, None] * shares[1][None]).reshape(-1, counts[k])
            angle = jnp.matmul(outer * weights[None], shares[2].T, precision=lax.Precision.HIGHEST)
            angle = angle.reshape(*(s.shape[0] for s in shares))
        tables.append(unit_circle(angle))
    return tables


def unit_circle(angles: Float[Array, "*shape"]) -> Complex[Array, "*shape"]:
    """exp(i angles), computed once.

    In a loop of two steps: XLA would fuse sines and cosines into what reads them, and compute them anew for
    each amplitude; on CPU barriers are gone by then.
    """
    if angles.size < 2:
        return lax.complex(jnp.cos(angles), jnp.sin(angles))
    halves = angles.reshape(2, angles.size // 2)
    return lax.map(lambda half: lax.complex(jnp.cos(half), jnp.sin(half)), halves).reshape(angles.shape)


def apply_phase(planes: Planes, num_wires: int, tables: list[Array], *, adjoint: bool = False) -> Planes:
    """The state times a phase that is given by `phase_tables`."""
    cubes = planes.reshape(*planes.shape[:-1], *(2**bits for bits in pieces(num_wires)))
    # The view comes first and last, so that the loop runs over the cube and index arithmetic stays out of it.
    state = lax.complex(cubes[..., 0, :, :, :], cubes[..., 1, :, :, :])
    for table in tables:
        table = jnp.expand_dims(table, tuple(range(state.ndim - 3)))
        state = state * (jnp.conj(table) if adjoint else table)
    return jnp.stack([state.real, state.imag], axis=-4).reshape(planes.shape)


def phase_density(bra: Planes, ket: Planes) -> Float[Array, "*batch dim"]:
    """Re(conj(bra) i ket) of each amplitude: what a phase there changes."""
    return bra[..., 1, :] * ket[..., 0, :] - bra[..., 0, :] * ket[..., 1, :]


def phase_derivatives(
    num_wires: int, counts: tuple[int, int, int, int], terms: Terms, density: Float[Array, " dim"]
) -> Float[Array, " terms"]:
    """The derivative by each coefficient: the sum of f_k times the density, from sums over pieces."""
    cube = density.reshape(tuple(2**bits for bits in pieces(num_wires)))
    derivatives = []
    for k, group in enumerate(_split(counts, terms)):
        if not counts[k]:
            continue
        shares = _piece_values(num_wires, group, density.dtype)
        if k < len(PAIRS):
            first, second = PAIRS[k]
            table = jnp.sum(cube, axis=3 - first - second)
            partial = shares[first] * jnp.matmul(table, shares[second], precision=lax.Precision.HIGHEST)
        else:
            flat = cube.reshape(-1, cube.shape[2])
            outer = (shares[0][:, None] * shares[1][None]).reshape(-1, counts[k])
            partial = outer * jnp.matmul(flat, shares[2], precision=lax.Precision.HIGHEST)
        derivatives.append(kernels.tree_sum(partial.T))
    return jnp.concatenate(derivatives)


# permutations ---------------------------------------------------------------------------------------------


def linear_index(columns: Int[Array, " wires"]) -> Int[Array, " dim"]:
    """The xor of columns[b] over the bits b of j, for every j."""

    def doubled(columns: Array) -> Array:
        index = jnp.zeros(1, jnp.int32)
        for k in range(columns.shape[0]):
            index = jnp.concatenate([index, index ^ columns[k]])
        return index

    half = columns.shape[0] // 2
    # Two small tables instead of one pass for each bit
    return (doubled(columns[half:])[:, None] ^ doubled(columns[:half])[None]).reshape(-1)


def permute(planes: Planes, columns: Int[Array, " wires"]) -> Planes:
    """out[j] = s[index(j)] for an index map of `linear_index`."""
    return kernels.gather(planes, linear_index(columns))
