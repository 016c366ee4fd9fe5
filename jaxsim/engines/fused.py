"""The fused engine: runs a circuit that was lowered to real blocks and phases, and runs it backwards.

For a few large states: which operation comes when is compiled in, and an operation is a pass over the state
that does the work of many gates. Repeated layers are one `lax.scan`. The backward run undoes the state and
its cotangents together instead of having stored it, so that the memory of a gradient does not grow with
depth. Derivatives come from two kinds of small tables, both reduced from the state in one pass: for a block,
the overlap of its rows in the cotangent and in the state; for a phase, the sums of Re(conj(lambda) i psi)
over pieces of the register.

References: adjoint differentiation, Jones and Gacon, arXiv:2009.02823.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxsim import block_kernels, kernels
from jaxsim.engines.preparation import prepared
from jaxsim.lowering.fused_form import Block, Data, Item, Permute, Phase, Program
from jaxsim.lowering.roll import Repeat
from jaxsim.lowering.special import Special

if TYPE_CHECKING:
    from jaxtyping import Array, Complex, Float, Int

    Operands = tuple[Array, ...]

__all__ = ["Data", "Program", "initial_state", "reverse", "run"]


class _Supply(NamedTuple):
    """What operations consume, each kind along axis 0: matrices, coefficients and masks of terms, index maps,
    angles."""

    low: Float[Array, "blocks rows rows"]
    blocks: Float[Array, "blocks rows rows"]
    terms: tuple[block_kernels.Terms, Float[Array, " terms"]]
    columns: Int[Array, "permutations 2 wires"]
    specials: Float[Array, " angles"]


class _Gradient(NamedTuple):
    """Derivatives of the outputs by what operations consumed: by matrices (blocks, outputs, rows, rows), by
    coefficients and angles (..., outputs), and cotangents of operands."""

    low: Array
    blocks: Array
    terms: Array
    specials: Array
    operands: tuple[Array, ...]


# angles ---------------------------------------------------------------------------------------------------


class _States(NamedTuple):
    """The state and the cotangents: apart, since a slice of one array would be copied for each product."""

    ket: Float[Array, "2 dim"]
    bras: Float[Array, "outputs 2 dim"]


class _Angles(NamedTuple):
    low: Float[Array, "factors blocks"]
    blocks: Float[Array, "factors blocks"]
    terms: Float[Array, " terms"]
    specials: Float[Array, " angles"]


def _angles(data: Data, values: Array) -> _Angles:
    total: Array = jnp.asarray(data.offset)
    for k in range(data.index.shape[-1]):
        total = total + data.scale[:, k] * values[data.index[:, k]]
    low, blocks = data.low.partner.shape[:2], data.blocks.partner.shape[:2]
    ends = np.cumsum([low[0] * low[1], blocks[0] * blocks[1], data.terms.z.shape[0]])
    return _Angles(
        total[: ends[0]].reshape(low),
        total[ends[0] : ends[1]].reshape(blocks),
        total[ends[1] : ends[2]],
        total[ends[2] :],
    )


def _supply(data: Data, angles: _Angles) -> _Supply:
    return _Supply(
        block_kernels.block_matrices(data.low, angles.low),
        block_kernels.block_matrices(data.blocks, angles.blocks),
        (data.terms, angles.terms),
        jnp.asarray(data.columns),
        angles.specials,
    )


class _Counts(NamedTuple):
    """How much of each part of a supply an operation takes."""

    low: int = 0
    blocks: int = 0
    terms: int = 0
    columns: int = 0
    specials: int = 0

    def plus(self, other: _Counts, times: int = 1) -> _Counts:
        return _Counts(*(a + times * b for a, b in zip(self, other, strict=True)))


def _consumed(item: Item) -> _Counts:
    match item:
        case Block():
            return _Counts(low=1) if item.start == 0 else _Counts(blocks=1)
        case Phase():
            return _Counts(terms=sum(item.counts))
        case Permute():
            return _Counts(columns=1)
        case Special():
            return _Counts(specials=item.angles)
        case Repeat():
            return _Counts().plus(_total(item.items), item.times)


def _total(items: tuple[Item, ...]) -> _Counts:
    total = _Counts()
    for item in items:
        total = total.plus(_consumed(item))
    return total


def _slice(supply: _Supply, start: _Counts, counts: _Counts) -> _Supply:
    return _Supply(
        *(
            jax.tree.map(lambda a, i=i, n=n: a[i : i + n], part)
            for part, i, n in zip(supply, start, counts, strict=True)
        )
    )


def _folded(times: int, supply: _Supply) -> _Supply:
    # No -1 in the shapes: an axis may be empty.
    return jax.tree.map(lambda a: a.reshape(times, a.shape[0] // times, *a.shape[1:]), supply)


def _unfolded(array: Array) -> Array:
    return array.reshape(array.shape[0] * array.shape[1], *array.shape[2:])


# forward --------------------------------------------------------------------------------------------------


def initial_state(
    program: Program, operands: Operands, dtype: Any, state: Array | None = None
) -> Complex[Array, " dim"]:
    """The state before the first gate: `state` or |0...0>, with what `initialize` prepares put in."""
    initialize = tuple(
        (item.wires, item.operand)
        for item in program.items
        if isinstance(item, Special) and item.gate == "initialize"
    )
    return prepared(program.num_wires, initialize, operands, dtype, state)


def run(
    program: Program, data: Data, values: Float[Array, " values"], operands: Operands, state: Array
) -> Complex[Array, " dim"]:
    """The final state.

    Args:
        program: the static part.
        data: the arrays.
        values: the values that angles are made of, at least one.
        operands: the circuit's operands.
        state: the initial state, (2**n,).
    """
    data = jax.tree.map(jnp.asarray, data)
    supply = _supply(data, _angles(data, values))
    planes = _forward(program.num_wires, program.items, supply, operands, block_kernels.to_planes(state))
    return block_kernels.from_planes(planes)


def _forward(
    num_wires: int, items: tuple[Item, ...], supply: _Supply, operands: Operands, planes: Array
) -> Array:
    at = _Counts()
    part_bits = num_wires if num_wires <= block_kernels.WHOLE_BITS else block_kernels.PART_BITS
    for group in _grouped(num_wires, items, part_bits):
        counts = _consumed(group) if isinstance(group, Repeat) else _total(group.items)
        own = _slice(supply, at, counts)
        at = at.plus(counts)
        if isinstance(group, Repeat):
            planes, _ = lax.scan(
                lambda s, xs, items=group.items: (_forward(num_wires, items, xs, operands, s), None),
                planes,
                _folded(group.times, own),
            )
        elif isinstance(group, _Sweep):
            planes, _ = block_kernels.by_parts(
                planes, group.parts, lambda part, g=group, own=own: (_sweep(g, own, part), ()), ()
            )
        else:
            planes = _apply(num_wires, group.items[0], own, operands, planes)
    return planes


class _Sweep(NamedTuple):
    """Blocks one after the other on each part of the state."""

    parts: block_kernels.Parts
    items: tuple[Block, ...]


class _Single(NamedTuple):
    """One operation on the whole state."""

    items: tuple[Item]


def _grouped(num_wires: int, items: tuple[Item, ...], part_bits: int) -> list[Repeat | _Sweep | _Single]:
    """Operations with neighbouring blocks joined where the same parts of the state hold all their qubits."""
    groups: list[Repeat | _Sweep | _Single] = []
    for item in items:
        if isinstance(item, Repeat):
            groups.append(item)
        elif not isinstance(item, Block):
            groups.append(_Single((item,)))
        else:
            before = groups[-1].items if groups and isinstance(groups[-1], _Sweep) else ()
            for blocks in ((*before, item), (item,)):
                start, end = min(b.start for b in blocks), max(b.start + b.bits for b in blocks)
                parts = block_kernels.parts_for(num_wires, start, end, part_bits)
                if parts is not None:
                    break
            assert parts is not None
            if before and len(blocks) > 1:
                groups.pop()
            groups.append(_Sweep(parts, blocks))
    return groups


def _sweep(group: _Sweep, own: _Supply, part: Array) -> Array:
    for block, matrix in zip(group.items, _matrices(group.items, own), strict=True):
        part = block_kernels.apply_block(part, matrix, block.start - group.parts.shift)
    return part


def _matrices(blocks: tuple[Block, ...], own: _Supply) -> list[Array]:
    """The matrices of blocks in time order."""
    low, high = iter(range(own.low.shape[0])), iter(range(own.blocks.shape[0]))
    return [own.blocks[next(high)] if block.start else own.low[next(low)] for block in blocks]


def _apply(
    num_wires: int, item: Item, own: _Supply, operands: Operands, planes: Array, *, adjoint: bool = False
) -> Array:
    """One operation other than a block, or its inverse, on states (..., 2, 2**n)."""
    match item:
        case Phase():
            tables = block_kernels.phase_tables(num_wires, item.counts, *own.terms)
            return block_kernels.apply_phase(planes, num_wires, tables, adjoint=adjoint)
        case Permute():
            return block_kernels.permute(planes, own.columns[0, int(adjoint)])
        case Special() if item.gate != "initialize":
            state = block_kernels.from_planes(planes)
            state = _apply_special(num_wires, item, own.specials, operands, state, adjoint=adjoint)
            return block_kernels.to_planes(state)
        case _:
            return planes


def _apply_special(
    num_wires: int, item: Special, angles: Array, operands: Operands, state: Array, *, adjoint: bool
) -> Array:
    operand = operands[item.operand]
    match item.gate:
        case "evolve_diagonal":
            phase = (angles[0] if adjoint else -angles[0]) * operand
            factors = block_kernels.unit_circle(phase)
        case "diagonal":
            factors = jnp.conj(operand) if adjoint else operand
        case _:
            matrix = jnp.conj(operand.T) if adjoint else operand
            return kernels.apply_matrix(state, matrix, item.wires, item.controls, num_wires)
    factors = _over_basis(num_wires, item, factors)
    return kernels.select_controlled(kernels.on_each(factors, state) * state, state, item.controls)


def _over_basis(num_wires: int, item: Special, diagonal: Array) -> Array:
    """A diagonal on the item's wires as a diagonal on all."""
    everywhere = item.wires == tuple(range(num_wires))
    return diagonal if everywhere else diagonal[kernels.local_index(num_wires, item.wires)]


# backward -------------------------------------------------------------------------------------------------


def reverse(
    program: Program,
    data: Data,
    values: Float[Array, " values"],
    operands: Operands,
    stack: Complex[Array, "states dim"],
) -> tuple[Complex[Array, "states dim"], Float[Array, "outputs values"], tuple[Array, ...]]:
    """Undoes the circuit on a final state and cotangents, differentiating on the way.

    Args:
        program, data, values, operands: as for `run`.
        stack: row 0 is the final state; row k + 1 is lambda_k, where output k changes by Re <lambda_k | d
            state>.

    Returns:
        The stack before the first gate; the derivative of each output with respect to each value; and for
        each operand the cotangents, (outputs, *operand.shape): output k changes by Re sum(cotangent_k * d
        operand).
    """
    data = jax.tree.map(jnp.asarray, data)
    angles = _angles(data, values)
    supply = _supply(data, angles)
    num_outputs = stack.shape[0] - 1
    states = _States(block_kernels.to_planes(stack[0]), block_kernels.to_planes(stack[1:]))
    states, gradient = _backward(program.num_wires, program.items, supply, operands, states)
    before = jnp.concatenate([states.ket[None], states.bras])
    by_angle = [
        block_kernels.angle_derivatives(data.low, angles.low, supply.low, gradient.low),
        block_kernels.angle_derivatives(data.blocks, angles.blocks, supply.blocks, gradient.blocks),
        gradient.terms,
        gradient.specials,
    ]
    # No -1 in the shapes: an axis may be empty.
    flat = jnp.concatenate([part.reshape(part.size // num_outputs, num_outputs) for part in by_angle])
    by_value = _transposed_affine(data, flat)
    return block_kernels.from_planes(before), by_value, gradient.operands


def _transposed_affine(data: Data, by_angle: Float[Array, "angles outputs"]) -> Array:
    """Derivatives by values from derivatives by angles: a padded gather, never a scatter."""
    num_outputs = by_angle.shape[1]
    uses = (data.scale[..., None] * by_angle[:, None]).reshape(-1, num_outputs)
    uses = jnp.concatenate([uses, jnp.zeros((1, num_outputs), uses.dtype)])
    total = jnp.zeros((data.back.shape[0], num_outputs), uses.dtype)
    for k in range(data.back.shape[1]):
        total = total + uses[data.back[:, k]]
    return total.T


def _nothing(supply: _Supply, operands: Operands, num_outputs: int) -> _Gradient:
    """A gradient by nothing: empty along the axis of operations."""
    real = supply.specials.dtype
    low, blocks = supply.low.shape[-1], supply.blocks.shape[-1]
    return _Gradient(
        jnp.zeros((0, num_outputs, low, low), real),
        jnp.zeros((0, num_outputs, blocks, blocks), real),
        jnp.zeros((0, num_outputs), real),
        jnp.zeros((0, num_outputs), real),
        tuple(jnp.zeros((num_outputs, *o.shape), o.dtype) for o in operands),
    )


def _backward(
    num_wires: int, items: tuple[Item, ...], supply: _Supply, operands: Operands, states: _States
) -> tuple[_States, _Gradient]:
    nothing = _nothing(supply, operands, states.bras.shape[0])
    by_operand = nothing.operands
    parts = [nothing]
    end = _total(items)
    for group in reversed(_grouped(num_wires, items, block_kernels.PART_BITS)):
        counts = _consumed(group) if isinstance(group, Repeat) else _total(group.items)
        end = end.plus(counts, -1)
        own = _slice(supply, end, counts)
        if isinstance(group, Repeat):

            def body(carry: Any, xs: _Supply, items: tuple[Item, ...] = group.items) -> Any:
                states, total = carry
                states, found = _backward(num_wires, items, xs, operands, states)
                total = jax.tree.map(jnp.add, total, found.operands)
                return (states, total), found._replace(operands=())

            (states, by_operand), found = lax.scan(
                body, (states, by_operand), _folded(group.times, own), reverse=True
            )
            parts.append(jax.tree.map(_unfolded, found))
        elif isinstance(group, _Sweep):
            states, found = _undo_sweep(group, own, states, nothing)
            parts.append(found)
        else:
            (item,) = group.items
            found = _differentiate(num_wires, item, own, operands, states, nothing)
            by_operand = tuple(
                g + found.operands[0] if isinstance(item, Special) and k == item.operand else g
                for k, g in enumerate(by_operand)
            )
            states = jax.tree.map(
                lambda s, i=item, own=own: _apply(num_wires, i, own, operands, s, adjoint=True), states
            )
            parts.append(found._replace(operands=()))
    parts.reverse()
    low = jnp.concatenate([part.low for part in parts])
    blocks = jnp.concatenate([part.blocks for part in parts])
    terms = jnp.concatenate([part.terms for part in parts])
    specials = jnp.concatenate([part.specials for part in parts])
    return states, _Gradient(low, blocks, terms, specials, by_operand)


def _undo_sweep(
    group: _Sweep, own: _Supply, states: _States, nothing: _Gradient
) -> tuple[_States, _Gradient]:
    """Undoes blocks part by part, and takes the overlaps on the way."""
    num_outputs, real = states.bras.shape[0], states.ket.dtype
    matrices = _matrices(group.items, own)

    def undo(part: _States) -> tuple[_States, list[Array]]:
        overlaps = []
        for block, matrix in zip(reversed(group.items), reversed(matrices), strict=True):
            start = block.start - group.parts.shift
            if block.trained:
                overlaps.append(block_kernels.block_overlaps(*part, matrix.shape[0], start))
            undone = matrix.T
            part = _States(*(block_kernels.apply_block(s, undone, start) for s in part))
        return part, overlaps[::-1]

    zero = [
        jnp.zeros((num_outputs, *matrix.shape), real)
        for block, matrix in zip(group.items, matrices, strict=True)
        if block.trained
    ]
    states, overlaps = block_kernels.by_parts(states, group.parts, undo, zero)
    low, high = [nothing.low], [nothing.blocks]
    found = iter(overlaps)
    for block, matrix in zip(group.items, matrices, strict=True):
        gradient = jnp.zeros((num_outputs, *matrix.shape), real)
        if block.trained:
            # The overlap with the state before the block, which is matrix.T times that after it
            gradient = jnp.matmul(next(found), matrix, precision=lax.Precision.HIGHEST)
        (high if block.start else low).append(gradient[None])
    return states, nothing._replace(low=jnp.concatenate(low), blocks=jnp.concatenate(high), operands=())


def _differentiate(
    num_wires: int, item: Item, own: _Supply, operands: Operands, states: _States, nothing: _Gradient
) -> _Gradient:
    """Derivatives by what one operation other than a block consumed, from the states after it."""
    num_outputs, real = states.bras.shape[0], states.ket.dtype
    match item:
        case Phase():
            by_term = jnp.zeros((sum(item.counts), num_outputs), real)
            if item.trained:
                densities = (block_kernels.phase_density(bra, states.ket) for bra in states.bras)
                columns = [
                    block_kernels.phase_derivatives(num_wires, item.counts, own.terms[0], density)
                    for density in densities
                ]
                by_term = jnp.stack(columns, axis=-1)
            return nothing._replace(terms=by_term, operands=())
        case Special() if item.gate != "initialize":
            return _differentiate_special(num_wires, item, own.specials, operands, states, nothing)
        case Special():
            return nothing._replace(operands=(jnp.zeros_like(nothing.operands[item.operand]),))
        case _:
            return nothing._replace(operands=())


def _differentiate_special(
    num_wires: int, item: Special, angles: Array, operands: Operands, states: _States, nothing: _Gradient
) -> _Gradient:
    ket, bras = map(block_kernels.from_planes, states)
    if item.gate == "unitary":
        before = _apply_special(num_wires, item, angles, operands, ket, adjoint=True)
        columns = kernels.gather(
            kernels.select_controlled(before, jnp.zeros_like(before), item.controls),
            kernels.spread_index(num_wires, item.wires),
        ).reshape(-1, 2 ** len(item.wires))
        rows = kernels.gather(bras, kernels.spread_index(num_wires, item.wires))
        rows = jnp.conj(rows).reshape(bras.shape[0], *columns.shape)
        cotangent = jnp.einsum("kri,rj->kij", rows, columns, precision=lax.Precision.HIGHEST)
        return nothing._replace(operands=(cotangent,))
    if item.gate == "diagonal":
        before = _apply_special(num_wires, item, angles, operands, ket, adjoint=True)
        return nothing._replace(
            operands=(_onto_wires(num_wires, item, jnp.conj(bras) * kernels.on_each(before, bras)),)
        )
    density = block_kernels.phase_density(states.bras, states.ket[None])
    by_energy = -_onto_wires(num_wires, item, density)
    by_angle = kernels.tree_sum(by_energy * kernels.on_each(operands[item.operand], by_energy))
    return nothing._replace(specials=by_angle[None], operands=(angles[0] * by_energy,))


def _onto_wires(num_wires: int, item: Special, vectors: Array) -> Array:
    """Sums over all qubits but the item's, of what has its controls set: (outputs, 2**wires)."""
    vectors = kernels.select_controlled(vectors, jnp.zeros_like(vectors), item.controls)
    if item.wires == tuple(range(num_wires)):
        return vectors
    ordered = kernels.gather(vectors, kernels.spread_index(num_wires, item.wires))
    ordered = ordered.reshape(vectors.shape[0], -1, 2 ** len(item.wires))
    return kernels.tree_sum(jnp.moveaxis(ordered, 1, -1))
