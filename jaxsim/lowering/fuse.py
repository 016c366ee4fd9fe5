"""Circuits for large states: real blocks on neighbouring qubits, and phases.

Every gate of the table is written as real orthogonal gates and diagonal ones: RX = S^-1 RY S, a Pauli
rotation is real after a phase gate on one of its wires, or diagonal after a Hadamard gate on each of them, a
controlled gate is a diagonal one between 1-qubit gates. What is diagonal commutes, so all of it between two
real layers is *one* phase, whatever the number of gates. What is real is gathered into *blocks*: matrices on
up to six neighbouring qubits, one pass over the state each. CX and SWAP are real too, and join blocks; where
their wires are far apart they become a permutation of the basis.

Static is the list of operations with their wires. All numbers are data: what the factors of a block are, the
masks of phases, and how angles are made of values.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxsim import gates
from jaxsim.block_kernels import PAIRS, Factors, Terms, pieces
from jaxsim.lowering.angles import (
    AXES,
    HADAMARD,
    IDENTITY,
    NOTHING,
    Affine,
    Matrix,
    bucket,
    combine,
    constant_matrices,
    parameter_room,
    product,
    rz,
    sources_of,
    uses,
)  # fmt: skip
from jaxsim.lowering.clifford import Frame, quarter_turns
from jaxsim.lowering.roll import Repeat, roll
from jaxsim.lowering.rotations import masks as word_masks
from jaxsim.parameters import Expression
from jaxsim.structure import Instruction, Structure

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from jaxsim.block_kernels import AnyArray

__all__ = ["Block", "Data", "Lowering", "Permute", "Phase", "Program", "Special", "lower_fused"]

LOW_BITS = 6
"""Qubits of the block on the lowest qubits."""

BITS = 5
"""Qubits of all other blocks. They start at this qubit or above: below, matrix products are slow."""

MAX_FACTORS = 24
"""Gates in one block: blocks are padded to the longest."""

Real2 = tuple[float, ...]


# the static part ------------------------------------------------------------------------------------------


class Block(NamedTuple):
    """A real matrix on the qubits start, ..., start + bits - 1; `trained` if some angle in it may change."""

    start: int
    bits: int
    trained: bool


class Phase(NamedTuple):
    """A diagonal; `counts` as for `block_kernels.phase_tables`; `trained` if some angle in it may change."""

    counts: tuple[int, int, int, int]
    trained: bool


class Permute(NamedTuple):
    """A linear map of the basis index."""


class Special(NamedTuple):
    """A gate given by an array.

    Attributes:
        gate: unitary, diagonal, evolve_diagonal or initialize.
        wires: target wires.
        controls: mask of control wires.
        operand: which of the circuit's operands.
        angles: how many angles it takes.
    """

    gate: str
    wires: tuple[int, ...]
    controls: int
    operand: int
    angles: int


Item = Block | Phase | Permute | Special | Repeat


class Program(NamedTuple):
    """What a kernel is compiled for: number of qubits, and the operations in time order."""

    num_wires: int
    items: tuple[Item, ...]


class Data(NamedTuple):
    """The arrays of a lowered circuit, in the order in which operations consume them.

    Attributes:
        low, blocks: factors of the blocks on the lowest qubits, and of all others.
        terms: terms of the phases.
        columns: (permutations, 2, wires) columns of the index maps, forward and backward.
        index, scale, offset: how each angle is made of values. Angles are those of `low`, of `blocks`, the
            coefficients of terms, and those of special gates.
        back: (values, uses): where each value is used among all (angle, addend), padded with one past the
            end.
    """

    low: Factors
    blocks: Factors
    terms: Terms
    columns: Int[AnyArray, "permutations 2 wires"]
    index: Int[AnyArray, "angles addends"]
    scale: Float[AnyArray, "angles addends"]
    offset: Float[AnyArray, " angles"]
    back: Int[AnyArray, "values uses"]


class Lowering(NamedTuple):
    """A circuit in the form that the engine runs.

    Attributes:
        program: the static part.
        data: the arrays, in double precision.
        atoms: non-affine expressions whose values follow the parameters and the bound angles among the
            values.
        used: number of operations.
        frame: a Clifford operation after them, which what is measured is conjugated by; None is none.
    """

    program: Program
    data: Data
    atoms: tuple[Expression, ...]
    used: int
    frame: Frame | None = None


# gates to real and diagonal ones --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Factor:
    """A real gate on neighbouring wires: a rotation about a word with an odd number of Y, or a matrix."""

    mask: int
    controls: int
    x: int = 0
    z: int = 0
    angle: Affine = NOTHING
    wires: tuple[int, ...] = ()
    matrix: Real2 = ()


@dataclass
class _Stage:
    """Operations of one kind that may happen at one time.

    `kept` are terms with an angle of the circuit: they stay even if that happens to be 0, since numbers must
    not change what is compiled.
    """

    kind: str
    factors: list[_Factor] = field(default_factory=list)
    terms: dict[tuple[int, int], Affine] = field(default_factory=dict)
    kept: set[tuple[int, int]] = field(default_factory=set)
    index: list[int] = field(default_factory=list)
    special: tuple[Special, tuple[Affine, ...]] | None = None


_X2: Real2 = (0, 1, 1, 0)
_H2: Real2 = tuple(float(np.real(h)) for h in HADAMARD)
_SWAP: Real2 = (1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1)
_REAL = {"x": _X2, "h": _H2, "swap": _SWAP}
"""Constant real gates that are factors of a block, with any controls."""


class _Builder:
    """Puts gates into stages, each as early as the gates before it allow."""

    def __init__(self, num_wires: int, keep_phase: bool) -> None:
        self.num_wires = num_wires
        self.keep_phase = keep_phase
        self.windows = _windows(num_wires)
        self.stages: list[_Stage] = []
        self.first: list[Special] = []
        self.pending: dict[int, Matrix] = {}
        self.phase = NOTHING
        # Per wire: the last stage with something diagonal, and with something else
        self.diagonal = [-1] * num_wires
        self.other = [-1] * num_wires

    # stages

    def _stage(self, kind: str, mask: int) -> _Stage:
        """The first stage of this kind that comes after all that does not commute; made if there is none."""
        wires = [w for w in range(self.num_wires) if mask >> w & 1]
        after = max((self.other[w] for w in wires), default=-1)
        if kind == "phase":
            at = after + 1
        else:
            at = max(max((self.diagonal[w] for w in wires), default=-1) + 1, after)
            if 0 <= at < len(self.stages) and at == after and self.stages[at].kind != kind:
                at += 1
        at = max(at, 0)
        while at < len(self.stages) and (self.stages[at].kind != kind or kind in ("special", "permute")):
            at += 1
        if at == len(self.stages):
            self.stages.append(_Stage(kind))
        last = self.diagonal if kind == "phase" else self.other
        for w in wires:
            last[w] = max(last[w], at)
        return self.stages[at]

    def factor(self, factor: _Factor) -> None:
        self._stage("real", factor.mask | factor.controls).factors.append(factor)

    def term(self, z: int, c: int, coefficient: Affine, *, fixed: bool) -> None:
        """exp(i coefficient f), f as in `block_kernels.Terms`; `fixed` if no angle of the circuit is in it."""
        if not z | c:
            self.phase = self.phase + coefficient
            return
        stage = self._stage("phase", z | c)
        stage.terms[z, c] = stage.terms.get((z, c), NOTHING) + coefficient
        if not fixed:
            stage.kept.add((z, c))

    def turn(self, mask: int, angle: float) -> None:
        """A fixed phase where all bits of the mask are 1."""
        self.term(0, mask, Affine((), angle), fixed=True)

    def permute(self, mask: int, rows: list[int]) -> None:
        """out[j] = s[g(j)], where bit b of g(j) is the parity of j & rows[b]."""
        wires = [w for w in range(self.num_wires) if mask >> w & 1]
        last = max(max(self.other[w], self.diagonal[w]) for w in wires)
        at = next(
            (k for k in range(max(last, 0), len(self.stages)) if self.stages[k].kind == "permute"), None
        )
        if at is None:
            at = len(self.stages)
            self.stages.append(_Stage("permute", index=[1 << w for w in range(self.num_wires)]))
        for w in wires:
            self.other[w] = at
        before = self.stages[at].index
        # s_new[j] = s_old[g(j)] and s_old[j] = s[h(j)]: the new map is h(g(j)).
        self.stages[at].index = [_xor(rows, h) for h in before]

    # gates

    def flush(self, mask: int) -> None:
        """Emits the constant 1-qubit gates that wait on the wires in the mask."""
        for wire in [w for w in self.pending if mask >> w & 1]:
            self._constant(wire, self.pending.pop(wire))

    def wait(self, wire: int, matrix: Matrix) -> None:
        """A constant 1-qubit gate."""
        self.pending[wire] = product(matrix, self.pending.get(wire, IDENTITY))

    def _constant(self, wire: int, matrix: Matrix) -> None:
        """A constant unitary as diag(p, q) times a real matrix times diag(1, r)."""
        bit = 1 << wire
        a, b, c, d = matrix
        if abs(b) + abs(c) < 1e-12:
            self.phase = self.phase + Affine((), cmath.phase(a))
            self.turn(bit, cmath.phase(d / a))
            return
        large = max(matrix, key=abs)
        turn = cmath.phase(large)
        if turn >= math.pi - 1e-9:
            turn = 0.0
        turned = [entry * cmath.exp(-1j * turn) for entry in matrix]
        if sum(abs(entry.imag) for entry in turned) < 1e-12:
            self.phase = self.phase + Affine((), turn)
            real = tuple(entry.real for entry in turned)
            self.factor(_Factor(bit, 0, wires=(wire,), matrix=real))
            return
        if abs(a) < 1e-12:
            p, q, r = cmath.phase(-b), cmath.phase(c), 0.0
        else:
            p, q = cmath.phase(a), cmath.phase(c)
            r = cmath.phase(-b / a * abs(a))
        self.turn(bit, r)
        self.factor(_Factor(bit, 0, wires=(wire,), matrix=(abs(a), -abs(b), abs(c), abs(d))))
        self.phase = self.phase + Affine((), p)
        self.turn(bit, q - p)

    def fits(self, mask: int) -> bool:
        """Whether some block has all these wires."""
        return any(mask & ~window == 0 for _, _, window in self.windows)

    def rotation(
        self, label: str, wires: tuple[int, ...], angle: Affine, controls: int, *, fixed: bool
    ) -> None:
        """exp(-i angle/2 P) where all controls are 1."""
        word = [(letter, wire) for letter, wire in zip(label, wires, strict=True) if letter != "I"]
        x = sum(1 << wire for letter, wire in word if letter in "XY")
        z = sum(1 << wire for letter, wire in word if letter in "YZ")
        if len(word) == 1 and not controls and fixed:
            letter, wire = word[0]
            frame = AXES[letter]
            self.wait(wire, product(product(frame[0], rz(angle.offset)), frame[1]))
            return
        self.flush(x | z | controls)
        if not x:
            self.term(z, controls, angle.scaled(-0.5), fixed=fixed)
        elif self.fits(x | z | controls):
            even = not (x & z).bit_count() % 2
            # S X S^-1 = Y and S Y S^-1 = -X: a phase gate on one wire makes the word real.
            wire = next((1 << w for letter, w in word if letter == "X"), x & -x) if even else 0
            if even:
                self.turn(wire, math.pi / 2)
                if z & wire:
                    angle = angle.scaled(-1)
            self.factor(_Factor(x | z, controls, x=x, z=z ^ wire, angle=angle))
            if even:
                self.turn(wire, -math.pi / 2)
        else:
            self._turn(word, -1)
            self.term(x | z, controls, angle.scaled(-0.5), fixed=fixed)
            self._turn(word, 1)

    def _turn(self, word: list[tuple[str, int]], sign: int) -> None:
        """The 1-qubit gates that take the letters of a word to Z (sign -1), or back."""
        for letter, wire in word:
            if letter != "Z":
                phase = (1, 0, 0, 1j * sign)
                turn = IDENTITY if letter == "X" else phase
                self.wait(wire, product(HADAMARD, turn) if sign < 0 else product(turn, HADAMARD))
        self.flush(sum(1 << wire for _, wire in word) if sign < 0 else 0)

    def real_gate(self, base: str, wires: tuple[int, ...], controls: int) -> bool:
        """A constant gate of `_REAL` where all controls are 1; False if it has to be done in another way."""
        mask = sum(1 << w for w in wires) | controls
        if self.fits(mask):
            self.flush(mask)
            self.factor(_Factor(mask & ~controls, controls, wires=wires, matrix=_REAL[base]))
        elif base == "swap" and not controls:
            self.flush(mask)
            rows = [1 << w for w in range(self.num_wires)]
            rows[wires[0]], rows[wires[1]] = rows[wires[1]], rows[wires[0]]
            self.permute(mask, rows)
        elif base == "x" and controls.bit_count() == 1:
            self.flush(mask)
            rows = [1 << w for w in range(self.num_wires)]
            rows[wires[0]] |= controls
            self.permute(mask, rows)
        elif base == "x":
            self.wait(wires[0], HADAMARD)
            self.flush(mask)
            self.turn(mask, math.pi)
            self.wait(wires[0], HADAMARD)
        else:
            return False
        return True

    def special(self, item: Special, angles: tuple[Affine, ...]) -> None:
        if item.gate == "initialize":
            # Nothing has acted on its wires: it may as well come first.
            self.first.append(item)
            return
        mask = sum(1 << w for w in item.wires) | item.controls
        self.flush(mask)
        self.stages.append(_Stage("special", special=(item, angles)))
        diagonal = item.gate in ("diagonal", "evolve_diagonal")
        last = self.diagonal if diagonal else self.other
        for w in range(self.num_wires):
            if mask >> w & 1:
                last[w] = len(self.stages) - 1

    def finish(self) -> None:
        self.flush(-1)
        if self.keep_phase and (self.phase.terms or self.phase.offset):
            stage = next((s for s in reversed(self.stages) if s.kind == "phase"), None)
            if stage is None:
                stage = _Stage("phase")
                self.stages.append(stage)
            stage.terms[0, 0] = self.phase
            stage.kept.add((0, 0))


def _xor(values: list[int], mask: int) -> int:
    total = 0
    while mask:
        low = mask & -mask
        total ^= values[low.bit_length() - 1]
        mask ^= low
    return total


def _add(
    builder: _Builder, i: Instruction, sources: list[Affine], matrix: Matrix | None, operands: tuple
) -> None:
    row = gates.GATES[i.gate]
    base = gates.GATES[row.base]
    num_controls = row.num_controls + i.controls
    controls = sum(1 << w for w in i.wires[:num_controls])
    wires = i.wires[num_controls:]
    angles = tuple(sources[s] for s in i.slots)
    if i.operand is not None:
        operand = operands[i.operand]
        if base.name == "unitary" and len(wires) == 1 and not controls and isinstance(operand, np.ndarray):
            a, b, c, d = operand.reshape(4).tolist()
            builder.wait(wires[0], (a, b, c, d))
        else:
            builder.special(Special(base.name, wires, controls, i.operand, len(angles)), angles)
    elif base.name == "pauli_rotation":
        builder.rotation(i.label, wires, angles[0], controls, fixed=False)
    elif matrix is not None and not angles and not controls:
        builder.wait(wires[0], matrix)
    elif base.name in _REAL and builder.real_gate(base.name, wires, controls):
        pass
    elif base.name in ("p", "u1"):
        mask = controls | 1 << wires[0]
        builder.flush(mask)
        builder.term(0, mask, angles[0], fixed=False)
    elif matrix is not None and not angles and abs(matrix[0] - 1) + abs(matrix[1]) + abs(matrix[2]) < 1e-14:
        mask = controls | 1 << wires[0]
        builder.flush(mask)
        builder.turn(mask, cmath.phase(matrix[3]))
    else:
        for rotation in gates.rotations(base):
            angle = combine(rotation, angles)
            builder.rotation(rotation.label, wires, angle, controls, fixed=not any(rotation.coefficients))


# stages to operations -------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _windows(num_wires: int) -> tuple[tuple[int, int, int], ...]:
    """(start, bits, mask) of every place for a block, the best first."""
    low = min(LOW_BITS, num_wires)
    windows = [(0, low, (1 << low) - 1)]
    if num_wires > LOW_BITS:
        last = num_wires - BITS
        starts = sorted(range(min(BITS, last), last + 1), key=lambda s: (s <= BITS, s))
        windows += [(s, BITS, (1 << BITS) - 1 << s) for s in starts]
    return tuple(windows)


def _blocks(builder: _Builder, factors: list[_Factor]) -> list[tuple[Block, list[_Factor]]]:
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


def _taken(factors: list[_Factor], window: int) -> list[int]:
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


def _phase(num_wires: int, stage: _Stage) -> tuple[Phase, list[tuple[tuple[int, int], Affine]]] | None:
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
    bits: int, wires: tuple[int, ...], controls: int, matrix: Real2
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


def _rows(block: Block, factor: _Factor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
    builder = _Builder(num_wires, keep_phase)
    constant = constant_matrices(structure, angles)
    for position, instruction in enumerate(structure.instructions[:end]):
        _add(builder, instruction, sources, constant.get(position), operands)
    builder.finish()

    items: list[Item] = list(builder.first)
    low: list[list[_Factor]] = []
    high: list[list[_Factor]] = []
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


def _factors(bits: int, blocks: list[Block], members: list[list[_Factor]]) -> tuple[Factors, list[Affine]]:
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
