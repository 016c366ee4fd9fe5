"""Circuits for large states: gates gathered into blocks on neighbouring qubits, and phases.

What is real between two phases is gathered into *blocks*: matrices on up to six neighbouring qubits, one pass over
the state each. `stages` has how gates become real and diagonal ones, `fused_form` what comes out.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from jaxsim import gates
from jaxsim.block_kernels import PAIRS, Factors, Terms, pieces
from jaxsim.lowering.angles import (
    NOTHING,
    Affine,
    bucket,
    combine,
    constant_matrices,
    parameter_room,
    sources_of,
    uses,
)  # fmt: skip
from jaxsim.lowering.clifford import Frame, quarter_turns
from jaxsim.lowering.fused_form import (
    BITS,
    LOW_BITS,
    Block,
    Data,
    Item,
    Lowering,
    Permute,
    Phase,
    Program,
)  # fmt: skip
from jaxsim.lowering.roll import roll
from jaxsim.lowering.rotations import masks as word_masks
from jaxsim.lowering.stages import Factor, Real, Stage, StageBuilder, add_gate
from jaxsim.structure import Structure

# The form's classes too: rows pickled when they were defined here name them here.
__all__ = ["Block", "Data", "Lowering", "Permute", "Phase", "Program", "lower_fused"]

MAX_FACTORS = 24
"""Gates in one block: blocks are padded to the longest."""


# stages to operations -------------------------------------------------------------------------------------


def _blocks(builder: StageBuilder, factors: list[Factor]) -> list[tuple[Block, list[Factor]]]:
    """Factors in time order as blocks: each time the place that takes most of what can come next."""
    blocks = []
    while factors:
        support = factors[0].mask | factors[0].controls
        taken: list[int] = []
        chosen = builder.windows[0]
        for window in builder.windows:
            if support & ~window[2]:
                continue
            inside = _taken(factors, window[2])
            if len(inside) > len(taken):
                taken, chosen = inside, window
        members = [factors[k] for k in taken]
        rest = set(taken)
        factors = [f for k, f in enumerate(factors) if k not in rest]
        trained = any(f.angle.terms for f in members)
        blocks.append((Block(chosen[0], chosen[1], trained), members))
    return blocks


def _taken(factors: list[Factor], window: int) -> list[int]:
    """Which of the factors a block can take: those inside before which nothing stays behind."""
    blocked = 0
    taken = []
    for k, factor in enumerate(factors):
        support = factor.mask | factor.controls
        if support & (blocked | ~window) or len(taken) == MAX_FACTORS:
            blocked |= support
            if not window & ~blocked:
                break
        else:
            taken.append(k)
    return taken


def _tables_for(num_wires: int, mask: int) -> list[int]:
    """The tables that a term with this support may go to: places in `PAIRS`, 3 if no pair will do."""
    high, middle, low = pieces(num_wires)
    masks = (
        (1 << high) - 1 << middle + low,
        (1 << middle) - 1 << low,
        (1 << low) - 1,
    )
    touched = {k for k in range(3) if mask & masks[k]}
    fitting = [k for k, pair in enumerate(PAIRS) if touched <= set(pair)]
    return fitting or [len(PAIRS)]


def _phase(num_wires: int, stage: Stage) -> tuple[Phase, list[tuple[tuple[int, int], Affine]]] | None:
    """The operation, and its terms in order; None if nothing is left."""
    groups: list[list[tuple[tuple[int, int], Affine]]] = [[], [], [], []]
    free = []
    for masks, coefficient in stage.terms.items():
        turns = coefficient.offset / (2 * math.pi)
        if masks not in stage.kept and abs(turns - round(turns)) < 1e-14:
            continue
        tables = _tables_for(num_wires, masks[0] | masks[1])
        if len(tables) > 1:
            free.append((tables, (masks, coefficient)))
        else:
            groups[tables[0]].append((masks, coefficient))
    for tables, term in sorted(free, key=lambda f: len(f[0])):
        # A table that is needed anyway
        groups[next((t for t in tables if groups[t]), tables[0])].append(term)
    ordered = [term for group in groups for term in group]
    if not ordered:
        return None
    a, b, c, d = map(len, groups)
    return Phase((a, b, c, d), any(term[1].terms for term in ordered)), ordered


@lru_cache(maxsize=4096)
def _word_rows(bits: int, x: int, z: int, controls: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """partner, keep, cross of a rotation about a word; the wires are those of the block."""
    rows = np.arange(2**bits)
    active = rows & controls == controls
    kappa = 1.0 if (x & z).bit_count() % 4 == 1 else -1.0
    sign = kappa * (1 - 2 * (np.bitwise_count((rows ^ x) & z).astype(np.int64) & 1))
    nothing = np.zeros(2**bits)
    return (
        np.where(active, rows ^ x, rows),
        np.array([np.where(active, 0, 1), np.where(active, 1, 0)], np.float64),
        np.array([nothing, np.where(active, sign, 0)]),
    )


@lru_cache(maxsize=4096)
def _matrix_rows(
    bits: int, wires: tuple[int, ...], controls: int, matrix: Real
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """partner, keep, cross of a constant matrix that couples rows in pairs."""
    rows = np.arange(2**bits)
    active = rows & controls == controls
    local = sum((rows >> w & 1) << k for k, w in enumerate(wires))
    dense = np.array(matrix).reshape(2 ** len(wires), -1)
    beside = np.where(np.eye(len(dense), dtype=bool), 0, dense)
    other = np.where(beside.any(1), np.argmax(np.abs(beside), 1), np.arange(len(dense)))[local]
    spread = sum((other >> k & 1) << w for k, w in enumerate(wires))
    outside = rows & ~sum(1 << w for w in wires)
    partner = np.where(active, outside | spread, rows)
    keep = np.where(active, dense[local, local], 1)
    cross = np.where(active & (partner != rows), dense[local, other], 0)
    nothing = np.zeros(2**bits)
    return partner, np.array([keep, nothing]), np.array([cross, nothing])


def _rows(block: Block, factor: Factor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    shift, bits = block.start, block.bits
    if factor.matrix:
        wires = tuple(w - shift for w in factor.wires)
        return _matrix_rows(bits, wires, factor.controls >> shift, factor.matrix)
    return _word_rows(bits, factor.x >> shift, factor.z >> shift, factor.controls >> shift)


# assembling -----------------------------------------------------------------------------------------------


_RELABELLING = frozenset({"x", "y", "z", "cx", "swap"})
"""Clifford gates that permute basis states, up to signs. They take words of Z alone into such words, words of X alone
too: an observable that absorbs them has no more groups of terms than before."""


def _tail(structure: Structure) -> tuple[int, Frame | None]:
    """Where the gates of `_RELABELLING` that end the circuit begin, and their product."""
    start = len(structure.instructions)
    while start and (i := structure.instructions[start - 1]).gate in _RELABELLING and not i.controls:
        start -= 1
    frame = Frame(structure.num_wires)
    for i in structure.instructions[start:]:
        for rotation in gates.rotations(i.gate):
            turns = quarter_turns(combine(rotation, ()).offset)
            if rotation.label.strip("I") and turns is not None:  # else a global phase
                frame.append(*word_masks(rotation.label, i.wires), turns)
    return start, None if frame.is_trivial else frame


def lower_fused(
    structure: Structure,
    angles: np.ndarray | None,
    operands: tuple,
    *,
    keep_phase: bool,
    absorb: bool = False,
) -> Lowering:
    """The circuit as blocks and phases.

    Angles, concrete ones too, are data: they do not change what is compiled.

    Args:
        structure: the static part of the circuit.
        angles: its concrete angle vector; None if it is traced: then angles are taken from the values, where
            they follow the parameters.
        operands: its operands; constant 1-qubit unitaries among them are folded.
        keep_phase: whether the global phase matters.
        absorb: whether the caller takes a Clifford frame off the end (`clifford.conjugate` of what is measured).
    """
    num_wires = structure.num_wires
    end, frame = _tail(structure) if absorb else (len(structure.instructions), None)
    sources, atoms = sources_of(structure, angles)
    builder = StageBuilder(num_wires, keep_phase)
    constant = constant_matrices(structure, angles)
    for position, instruction in enumerate(structure.instructions[:end]):
        add_gate(builder, instruction, sources, constant.get(position), operands)
    builder.finish()

    items: list[Item] = list(builder.first)
    low: list[list[Factor]] = []
    high: list[list[Factor]] = []
    low_blocks: list[Block] = []
    high_blocks: list[Block] = []
    masks: list[tuple[int, int]] = []
    coefficients: list[Affine] = []
    maps: list[list[int]] = []
    special_angles: list[Affine] = []
    for stage in builder.stages:
        if stage.kind == "real":
            for block, members in _blocks(builder, stage.factors):
                items.append(block)
                (high if block.start else low).append(members)
                (high_blocks if block.start else low_blocks).append(block)
        elif stage.kind == "phase":
            found = _phase(num_wires, stage)
            if found is not None:
                items.append(found[0])
                masks.extend(term[0] for term in found[1])
                coefficients.extend(term[1] for term in found[1])
        elif stage.kind == "permute":
            items.append(Permute())
            maps.append(stage.index)
        elif stage.special is not None:
            items.append(stage.special[0])
            special_angles.extend(stage.special[1])

    low_factors, low_angles = _factors(min(LOW_BITS, num_wires), low_blocks, low)
    high_factors, high_angles = _factors(min(BITS, num_wires), high_blocks, high)
    values = max(parameter_room(structure) + (structure.num_slots if angles is None else 0) + len(atoms), 1)
    index, scale, offset = _sources([*low_angles, *high_angles, *coefficients, *special_angles])
    pairs = np.array(masks, np.int32).reshape(-1, 2)
    columns = [[_columns(rows), _columns(_inverse(rows))] for rows in maps]
    data = Data(
        low=low_factors,
        blocks=high_factors,
        terms=Terms(pairs[:, 0], pairs[:, 1]),
        columns=np.array(columns, np.int32).reshape(-1, 2, num_wires),
        index=index,
        scale=scale,
        offset=offset,
        back=uses(index.reshape(-1), scale.reshape(-1), values),
    )
    return Lowering(Program(num_wires, roll(tuple(items))), data, atoms, len(items), frame)


def _factors(bits: int, blocks: list[Block], members: list[list[Factor]]) -> tuple[Factors, list[Affine]]:
    """The arrays of all blocks, padded with identities, and the angles, factor by factor."""
    length = bucket(max(map(len, members), default=0))
    rows = 2**bits
    partner = np.broadcast_to(np.arange(rows, dtype=np.int32), (length, len(blocks), rows)).copy()
    keep = np.zeros((length, len(blocks), 2, rows))
    keep[:, :, 0] = 1
    cross = np.zeros((length, len(blocks), 2, rows))
    angles = [NOTHING] * (length * len(blocks))
    for b, (block, factors) in enumerate(zip(blocks, members, strict=True)):
        for f, factor in enumerate(factors):
            partner[f, b], keep[f, b], cross[f, b] = _rows(block, factor)
            angles[f * len(blocks) + b] = factor.angle
    return Factors(partner, keep, cross), angles


def _sources(angles: list[Affine]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """index, scale and offset of `Data`."""
    addends = bucket(max((len(a.terms) for a in angles), default=1) or 1)
    index = np.zeros((len(angles), addends), np.int32)
    scale = np.zeros((len(angles), addends), np.float64)
    offset = np.array([angle.offset for angle in angles], np.float64)
    for k, angle in enumerate(angles):
        for t, (source, coefficient) in enumerate(angle.terms):
            index[k, t], scale[k, t] = source, coefficient
    return index, scale, offset


def _columns(rows: list[int]) -> list[int]:
    """The transpose of a bit matrix: masks of columns from masks of rows."""
    return [sum((row >> c & 1) << r for r, row in enumerate(rows)) for c in range(len(rows))]


def _inverse(rows: list[int]) -> list[int]:
    """The inverse of a bit matrix, by elimination."""
    left, right = list(rows), [1 << k for k in range(len(rows))]
    for c in range(len(rows)):
        pivot = next(r for r in range(c, len(rows)) if left[r] >> c & 1)
        left[c], left[pivot], right[c], right[pivot] = left[pivot], left[c], right[pivot], right[c]
        for r in range(len(rows)):
            if r != c and left[r] >> c & 1:
                left[r] ^= left[c]
                right[r] ^= right[c]
    return right
