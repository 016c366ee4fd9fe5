"""Circuits as data: any circuit as a list of two-level steps, with arrays for what a kernel needs to know of
them.

Every gate of the table becomes at most a few steps ``out[j] = u s[j] + v s[j ^ x]`` on selected basis states
(`kernels.TwoLevel`): a 1-qubit gate with any controls is one, a Pauli rotation with any controls is one,
other gates are their rotation form. Runs of 1-qubit gates on a wire are multiplied into one step, and so are
the commuting rotations of an excitation. What a step is and what its angles are is *data*; only the number of steps,
rounded up to a bucket, is static. So one compiled kernel serves all circuits of one size.

The matrix of a step is exp(i phase) C[0] RZ(a[0]) C[1] RZ(a[1]) ... C[m] with constants C, which absorb all
concrete angles in double precision. Gates given by arrays stay instructions of their own (`Special`) between
the runs of steps.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from jaxsim import gates
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
    product,
    rotation_form,
    rz,
    sources_of,
)
from jaxsim.lowering.clifford import Frame, quarter_turns
from jaxsim.lowering.special import Special
from jaxsim.lowering.two_qubits import Canonical, canonical, core_entries
from jaxsim.parameters import Expression
from jaxsim.structure import Instruction, Structure

__all__ = [
    "Lowering",
    "Ordering",
    "Repeat",
    "Sequence",
    "StepArrays",
    "Steps",
    "assemble",
    "lower_steps",
]

MAX_ANGLES = 3
"""Angles that one step takes; a run of 1-qubit gates with more opens a second step."""


# the static part ------------------------------------------------------------------------------------------


class Steps(NamedTuple):
    """A run of `count` two-level steps, padding included."""

    count: int


class Repeat(NamedTuple):
    """`times` repetitions of a sequence of items, run as one loop."""

    times: int
    items: tuple[Steps | Special | Repeat, ...]


Item = Steps | Special | Repeat


# the data -------------------------------------------------------------------------------------------------


def _flipping_axis(num_y: int) -> tuple[Matrix, Matrix]:
    """V and V^dagger, where V Z V^dagger is a word with flips between basis states j and j ^ x."""
    # i**(number of Y), with the sign from moving X to the left of Z
    kappa = 1j**num_y * (-1) ** num_y
    into, out = (1, 0, 0, kappa), (1, 0, 0, kappa.conjugate())
    return product(out, HADAMARD), product(HADAMARD, into)


_FLIPPING = [_flipping_axis(num_y) for num_y in range(4)]


@dataclass
class Step:
    """A two-level step under construction.

    `rotation` is the angle of a step that is a Pauli rotation and nothing else; `mask` and `value` say where it acts.
    """

    x: int
    z: int
    mask: int = 0
    value: int = 0
    sign: float = 1.0
    constants: list[Matrix] = field(default_factory=lambda: [IDENTITY])
    angles: list[Affine] = field(default_factory=list)
    phase: Affine = NOTHING
    rotation: Affine | None = None

    @classmethod
    def about(cls, x: int, z: int, angle: Affine, mask: int = 0, value: int = 0) -> Step:
        """exp(-i angle/2 P), P the Pauli word with these flip and parity masks."""
        step = cls(x, z, mask, value, rotation=angle)
        if x:
            num_y = (x & z).bit_count()
            step.sign = 1.0 if num_y % 2 else -1.0
            step.rotate(_FLIPPING[num_y % 4], angle)
        else:
            step.rotate(AXES["Z"], angle)
        return step

    def rotate(self, frame: tuple[Matrix, Matrix], angle: Affine) -> None:
        """Multiplies V RZ(angle) V^dagger on from the left."""
        if not angle.terms:
            self.multiply(product(product(frame[0], rz(angle.offset)), frame[1]))
            return
        # The constant part of the angle is folded in double precision.
        inner = product(rz(angle.offset), frame[1]) if angle.offset else frame[1]
        self.constants[0] = product(inner, self.constants[0])
        self.constants.insert(0, frame[0])
        self.angles.insert(0, Affine(angle.terms, 0.0))

    def multiply(self, matrix: Matrix) -> None:
        """Multiplies a constant matrix on from the left."""
        self.constants[0] = product(matrix, self.constants[0])

    def turn(self, phase: Affine) -> None:
        """Multiplies exp(i phase) on."""
        if phase.offset:
            factor = cmath.exp(1j * phase.offset)
            self.multiply((factor, 0, 0, factor))
        if phase.terms:
            self.phase = self.phase + Affine(phase.terms, 0.0)

    def constant_phase(self) -> complex | None:
        """The factor if the step is a number times the identity, else None."""
        m = self.constants[0]
        if self.angles or self.phase.terms or abs(m[1]) + abs(m[2]) + abs(m[0] - m[3]) > 1e-14:
            return None
        return complex(m[0])


class StepArrays(NamedTuple):
    """The steps of a circuit as arrays; axis 0 is the step.

    Attributes:
        x, z: int32 masks.
        controls: (steps, 2) int32: mask and value, which select the basis states that a step acts on.
        sign: float, multiplies the lower off-diagonal entry (rotations about words with an even number of Y).
        constants: (steps, angles + 1, 2, 2) complex.
        index, scale: (steps, slots, terms): which values, times what, add up to an angle. Slots are the
            angles and, if there is one, the phase.
    """

    x: np.ndarray
    z: np.ndarray
    controls: np.ndarray
    sign: np.ndarray
    constants: np.ndarray
    index: np.ndarray
    scale: np.ndarray


class Lowering(NamedTuple):
    """A circuit in the form that an engine runs.

    Attributes:
        items: what happens, in time order; static.
        steps: the steps of all runs, concatenated in the order in which items consume them.
        special_index, special_scale, special_offset: (special angles, terms) and (special angles,): the
            angles of special items, likewise.
        atoms: non-affine expressions whose values follow the parameters and the bound angles among the
            values.
        num_angles: angles of a step.
        has_phase: whether the last slot of a step is a phase.
        used: number of steps without padding.
        frame: a Clifford operation that follows, which what is measured is conjugated by; None is none.
    """

    items: tuple[Item, ...]
    steps: StepArrays
    special_index: np.ndarray
    special_scale: np.ndarray
    special_offset: np.ndarray
    atoms: tuple[Expression, ...]
    num_angles: int
    has_phase: bool
    used: int
    frame: Frame | None


def masks(label: str, wires: tuple[int, ...]) -> tuple[int, int]:
    """The flip mask and the parity mask of a Pauli word."""
    x = z = 0
    for letter, wire in zip(label, wires, strict=True):
        x |= (letter in "XY") << wire
        z |= (letter in "YZ") << wire
    return x, z


class _Builder:
    """Turns instructions into steps and special items."""

    def __init__(self, num_wires: int, keep_phase: bool) -> None:
        self.num_wires = num_wires
        self.keep_phase = keep_phase
        self.pending: dict[int, Step] = {}
        self.run: list[Step] = []
        self.sequence: list[list[Step] | tuple[Special, list[Affine]]] = []
        self.phase = Affine((), 0.0)

    def flush(self, mask: int) -> None:
        """Emits the 1-qubit gates that wait on the wires in the mask."""
        for wire in [w for w in self.pending if mask >> w & 1]:
            self.emit(self.pending.pop(wire))

    def emit(self, step: Step) -> None:
        factor = step.constant_phase()
        if factor is not None and not step.mask:
            self.phase = self.phase + Affine((), cmath.phase(factor))
        else:
            self.run.append(step)

    def waiting(self, wire: int, num_angles: int) -> Step:
        """The step under construction on a wire, with room for so many more angles."""
        step = self.pending.get(wire)
        if step is not None and len(step.angles) + num_angles > MAX_ANGLES:
            self.emit(self.pending.pop(wire))
            step = None
        if step is None:
            step = self.pending[wire] = Step(1 << wire, 1 << wire)
        return step

    def word(self, x: int, z: int, angle: Affine, controls: int = 0) -> None:
        """exp(-i angle/2 P) where all controls are 1; P has Y where both masks are set."""
        if not x | z:
            self.add_phase(angle.scaled(-0.5), controls)
        elif (x | z).bit_count() == 1 and not controls:
            letter = "Z" if not x else "Y" if z else "X"
            self.waiting((x | z).bit_length() - 1, bool(angle.terms)).rotate(AXES[letter], angle)
        else:
            self.flush(x | z | controls)
            self.emit(Step.about(x, z, angle, controls, controls))

    def add_phase(self, phase: Affine, controls: int) -> None:
        """exp(i phase) where all controls are 1."""
        if not controls:
            self.phase = self.phase + phase
            return
        self.flush(controls)
        step = Step(0, 0, controls, controls)
        step.turn(phase)
        self.emit(step)

    def one_qubit(
        self, base: gates.Gate, wire: int, angles: tuple[Affine, ...], controls: int, matrix: Matrix | None
    ) -> None:
        """A 1-qubit gate of the table where all controls are 1; `matrix` if its angles are all constant."""
        if controls:
            self.flush(controls | 1 << wire)
            step = Step(1 << wire, 1 << wire, controls, controls)
        else:
            step = self.waiting(wire, 0)
        if matrix is not None:
            step.multiply(matrix)
        else:
            for rotation in rotation_form(base.name, 0, ""):
                angle = combine(rotation, angles)
                if rotation.label == "I":
                    if controls:
                        step.turn(angle.scaled(-0.5))
                    else:
                        self.phase = self.phase + angle.scaled(-0.5)
                else:
                    if not controls:
                        step = self.waiting(wire, bool(angle.terms))
                    step.rotate(AXES[rotation.label], angle)
        if controls:
            self.emit(step)

    def two_qubits(self, wires: tuple[int, ...], found: Canonical) -> None:
        """A constant unitary on two wires."""
        for wire, matrix in zip(wires, found.before, strict=True):
            self.waiting(wire, 0).multiply(matrix)
        mask = sum(1 << wire for wire in wires)
        if any(found.angles):
            self.flush(mask)
            self.emit(Step(mask, mask, constants=[core_entries(found.angles)]))
        for wire, matrix in zip(wires, found.after, strict=True):
            self.waiting(wire, 0).multiply(matrix)

    def special(self, item: Special, angles: list[Affine]) -> None:
        if item.gate == "initialize":
            # Nothing has acted on its wires: it may as well come first.
            self.sequence.insert(0, (item, angles))
            return
        self.flush(sum(1 << w for w in item.wires) | item.controls)
        self.close()
        self.sequence.append((item, angles))

    def finish(self) -> None:
        self.flush(-1)
        if self.keep_phase and (self.phase.terms or self.phase.offset):
            self.run.append(Step(0, 0))
            self.run[-1].turn(self.phase)
        self.close()

    def copy(self) -> _Builder:
        """A builder in the same state, which may go on by itself."""
        other = _Builder(self.num_wires, self.keep_phase)
        other.pending = {
            wire: replace(step, constants=list(step.constants), angles=list(step.angles))
            for wire, step in self.pending.items()
        }
        other.run, other.sequence, other.phase = list(self.run), list(self.sequence), self.phase
        return other

    @property
    def num_steps(self) -> int:
        """How many steps there are in all runs."""
        return sum(len(part) for part in self.sequence if isinstance(part, list))

    def close(self) -> None:
        """Ends a run of steps."""
        self.sequence.append(join_projected(self.run))
        self.run = []


def lower_steps(
    structure: Structure,
    angles: np.ndarray | None,
    operands: tuple,
    *,
    keep_phase: bool,
    absorb: bool = False,
) -> Lowering:
    """The circuit as steps.

    Args:
        structure: the static part of the circuit.
        angles: its concrete angle vector, which is folded into the constants; None if it is traced: then
            angles are taken from the values, where they follow the parameters.
        operands: its operands; constant unitaries on one or two wires among them are folded.
        keep_phase: whether the global phase matters.
        absorb: whether the caller takes a Clifford frame off the end (`clifford.conjugate` of what is measured);
            else the steps are all of the circuit.
    """
    return assemble(Ordering(structure, angles, operands, keep_phase=keep_phase).steps(absorb=absorb))


class Sequence(NamedTuple):
    """A circuit as runs of steps and gates given by arrays, before it becomes arrays itself.

    Attributes:
        parts: in time order.
        atoms: as for `Lowering`.
        frame: a Clifford operation that follows, which what is measured is conjugated by; None is none.
    """

    parts: list[list[Step] | tuple[Special, list[Affine]]]
    atoms: tuple[Expression, ...]
    frame: Frame | None

    @property
    def real(self) -> list[Step]:
        """All steps."""
        return [step for part in self.parts if isinstance(part, list) for step in part]

    @property
    def specials(self) -> list[Special]:
        """The gates given by arrays."""
        return [part[0] for part in self.parts if isinstance(part, tuple)]


class Ordering:
    """A circuit's steps as its gates come, and with Clifford gates pulled to the end: found once, whatever is asked of
    them.

    Constant gates at the end cost nothing where what is measured absorbs them, or little. Pulling them is a loss where
    it turns rotations of single qubits, of which three make a step, into rotations about words.
    """

    def __init__(
        self, structure: Structure, angles: np.ndarray | None, operands: tuple, *, keep_phase: bool
    ) -> None:
        sources, self._atoms = sources_of(structure, angles)
        constant = constant_matrices(structure, angles)
        self._plain = _Builder(structure.num_wires, keep_phase)
        for position, instruction in enumerate(structure.instructions):
            _add(self._plain, instruction, sources, constant.get(position), operands)
        self._plain.finish()
        self._pulled: tuple[_Builder, Frame] | None = None
        if not keep_phase and any(_is_clifford(i.gate) for i in structure.instructions):
            self._pulled = _pulled(structure, sources, constant, operands, self._plain.num_steps)
        self._found: dict[bool, Sequence] = {}

    def steps(self, *, absorb: bool) -> Sequence:
        """The order with fewer steps; `absorb` as for `lower_steps`."""
        if absorb not in self._found:
            framed = self._framed(absorb) if self._pulled else None
            builder, frame = framed or (self._plain, None)
            self._found[absorb] = Sequence(builder.sequence, self._atoms, frame)
        return self._found[absorb]

    def _framed(self, absorb: bool) -> tuple[_Builder, Frame | None] | None:
        """With Cliffords pulled to the end; None if there are not fewer steps."""
        assert self._pulled is not None
        limit = self._plain.num_steps
        builder, frame = self._pulled[0].copy(), self._pulled[1]
        if not absorb:
            # Finding the frame's rotations takes longest; those about one qubit may join what waits there.
            builder.run = join_projected(builder.run)
            if len(builder.run) + frame.least_rotations() - builder.num_wires >= limit:
                return None
            for x, z, k in frame.rotations():
                builder.word(x, z, Affine((), k * math.pi / 2))
        builder.finish()
        if builder.num_steps >= limit:
            return None
        return builder, frame if absorb and not frame.is_trivial else None


_is_clifford = lru_cache(maxsize=None)(gates.is_clifford)

MAX_SPLIT_CONTROLS = 2
"""Controls up to which a gate that meets a frame is written as rotations about words, four for two controls."""


def _pulled(
    structure: Structure, sources: list[Affine], constant: dict[int, Matrix], operands: tuple, limit: int
) -> tuple[_Builder, Frame] | None:
    """The circuit with its Clifford rotations pulled to the end, where the frame is; None if a gate cannot let them
    pass, or if it is seen on the way that there will not be fewer steps than the limit."""
    builder, frame = _Builder(structure.num_wires, keep_phase=False), Frame(structure.num_wires)
    run, first, seen, groups = builder.run, None, 0, 0
    for position, i in enumerate(structure.instructions):
        if run is not builder.run:
            run, first, seen, groups = builder.run, None, 0, builder.num_steps
        for step in run[seen:]:
            # Only what is alike can be joined.
            if first is None or not _is_alike(first, step):
                first, groups = step, groups + 1
        seen = len(run)
        if groups >= limit:
            return None
        row = gates.GATES[i.gate]
        num_controls = row.num_controls + i.controls
        passes = i.operand is None and num_controls <= MAX_SPLIT_CONTROLS
        free = not passes or any(sources[s].terms for s in i.slots)
        if free and frame.is_trivial_on(sum(1 << w for w in i.wires)):
            _add(builder, i, sources, constant.get(position), operands)
            continue
        if not passes:
            return None
        angles = tuple(sources[s] for s in i.slots)
        words = _words(row.base, num_controls, i.label, i.wires)
        rotations = [(x, z, combine(r, angles)) for x, z, r in words]
        turns = [None if angle.terms else quarter_turns(angle.offset) for _, _, angle in rotations]
        clifford = all(k is not None or not x | z for (x, z, _), k in zip(rotations, turns, strict=True))
        if not clifford and frame.is_trivial_on(sum(1 << w for w in i.wires)):
            _add(builder, i, sources, constant.get(position), operands)
            continue
        for (x, z, angle), k in zip(rotations, turns, strict=True):
            if k is not None:
                frame.append(x, z, k)
            else:
                word = frame.image(x, z)
                builder.word(word.x, word.z, angle if word.sign == 1 else angle.scaled(-1))
    return builder, frame


@lru_cache(maxsize=2**14)
def _words(
    base: str, controls: int, label: str, wires: tuple[int, ...]
) -> tuple[tuple[int, int, gates.Rotation], ...]:
    """A gate's rotations with the masks of their words."""
    return tuple((*masks(r.label, wires), r) for r in rotation_form(base, controls, label))


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
        if base.name == "unitary" and len(wires) == 1 and isinstance(operand, np.ndarray):
            builder.one_qubit(base, wires[0], (), controls, tuple(operand.reshape(4).tolist()))
        elif (
            base.name == "unitary"
            and len(i.wires) == 2
            and isinstance(operand, np.ndarray)
            and (found := canonical(operand))
        ):
            builder.two_qubits(i.wires, found)
        else:
            builder.special(Special(base.name, wires, controls, i.operand, len(angles)), list(angles))
    elif base.name == "pauli_rotation":
        builder.word(*masks(i.label, wires), angles[0], controls)
    elif base.num_wires == 1:
        builder.one_qubit(base, wires[0], angles, controls, matrix)
    else:
        for x, z, rotation in _words(base.name, 0, "", wires):
            builder.word(x, z, combine(rotation, angles), controls)


# sets of rotations ----------------------------------------------------------------------------------------


def join_projected(run: list[Step]) -> list[Step]:
    """The run with consecutive rotations that make up a projected rotation joined: 8 words of a double excitation, 2 of
    a single one, XX and YY with one angle, the two of a controlled rotation."""
    joined: list[Step] = []
    start = 0
    while start < len(run):
        size = 1 << (_alike(run, start).bit_length() - 1)
        step = run[start]
        while size > 1:
            found = _projected(run[start : start + size])
            if found is not None:
                step = found
                break
            size //= 2
        joined.append(step)
        start += size
    return joined


def _alike(run: list[Step], start: int) -> int:
    """How many steps from here are rotations that differ in parity mask and sign only."""
    stop = start + 1
    while stop < len(run) and _is_alike(run[start], run[stop]):
        stop += 1
    return stop - start


def _is_alike(first: Step, step: Step) -> bool:
    """Whether two rotations differ in parity mask and sign only."""
    if first.x != step.x or first.mask != step.mask or first.value != step.value:
        return False
    if first.rotation is None or step.rotation is None:
        return False
    return step.rotation == first.rotation or step.rotation == first.rotation.scaled(-1.0)


def _projected(steps: list[Step]) -> Step | None:
    """Rotations by +-a about commuting words P Z_d as the one by (number of words) a about P on selected states.

    The words' sum with their signs is P times sum_d +-Z_d. If the d are all subsets of a mask m that share an even
    number of bits with x, and the signs are the parities of d with some value v, then that sum is (number of words)
    times the projector on the states whose bits in m are those of v or, if m and x overlap, of v ^ x.
    """
    first = steps[0]
    assert first.rotation is not None
    signs: dict[int, int] = {}
    mask = 0
    for step in steps:
        apart = first.z ^ step.z
        # Moving from i**num_y X Z_z to P Z_d costs powers of i, which are signs if the words commute.
        turns = (step.x & step.z).bit_count() - (first.x & first.z).bit_count()
        if turns % 2:
            return None
        signs[apart] = (-1 if turns % 4 else 1) * (1 if step.rotation == first.rotation else -1)
        mask |= apart
    flipped = mask & first.x
    anchor = flipped & -flipped
    if len(signs) < len(steps) or len(steps) != 1 << mask.bit_count() - bool(flipped) or mask & first.mask:
        return None
    bits = [1 << q for q in range(mask.bit_length()) if mask >> q & 1]
    value = sum(bit for bit in bits if bit != anchor and signs[bit | anchor if bit & flipped else bit] < 0)
    if any(sign != (-1) ** (apart & value).bit_count() for apart, sign in signs.items()):
        return None
    angle = first.rotation.scaled(len(steps))
    return Step.about(first.x, first.z, angle, first.mask | mask, first.value | value)


# lists to arrays ------------------------------------------------------------------------------------------


def assemble(sequence: Sequence) -> Lowering:
    """The steps as arrays."""
    real = sequence.real
    num_angles = max((len(step.angles) for step in real), default=0)
    has_phase = any(step.phase.terms for step in real)
    terms = bucket(max((len(a.terms) for s in real for a in (*s.angles, s.phase)), default=1) or 1)
    items: list[Item] = []
    padded: list[Step | None] = []
    special_angles: list[Affine] = []
    for part in sequence.parts:
        if isinstance(part, tuple):
            items.append(part[0])
            special_angles.extend(part[1])
        elif part:
            count = bucket(len(part))
            items.append(Steps(count))
            padded.extend(part)
            padded.extend([None] * (count - len(part)))
    shape = (len(padded), num_angles + has_phase, terms)
    constants = np.zeros((len(padded), num_angles + 1, 2, 2), np.complex128)
    constants[:, :, 0, 0] = constants[:, :, 1, 1] = 1
    arrays = StepArrays(
        x=np.zeros(len(padded), np.int32),
        z=np.zeros(len(padded), np.int32),
        controls=np.zeros((len(padded), 2), np.int32),
        sign=np.ones(len(padded), np.float64),
        constants=constants,
        index=np.zeros(shape, np.int32),
        scale=np.zeros(shape, np.float64),
    )
    places = [k for k, step in enumerate(padded) if step is not None]
    if real:
        arrays.x[places] = [step.x for step in real]
        arrays.z[places] = [step.z for step in real]
        arrays.controls[places] = [(step.mask, step.value) for step in real]
        arrays.sign[places] = [step.sign for step in real]
        filler = [IDENTITY] * (num_angles + 1)
        matrices = [(step.constants + filler)[: num_angles + 1] for step in real]
        arrays.constants[places] = np.array(matrices, np.complex128).reshape(-1, num_angles + 1, 2, 2)
    for k, step in zip(places, real):
        slots = [(a, angle) for a, angle in enumerate(step.angles)]
        if step.phase.terms:
            slots.append((num_angles, step.phase))
        for a, angle in slots:
            for t, (index, coefficient) in enumerate(angle.terms):
                arrays.index[k, a, t], arrays.scale[k, a, t] = index, coefficient
    special_terms = bucket(max((len(a.terms) for a in special_angles), default=1) or 1)
    special_index = np.zeros((len(special_angles), special_terms), np.int32)
    special_scale = np.zeros((len(special_angles), special_terms), np.float64)
    for k, angle in enumerate(special_angles):
        for t, (index, coefficient) in enumerate(angle.terms):
            special_index[k, t], special_scale[k, t] = index, coefficient
    special_offset = np.array([angle.offset for angle in special_angles], np.float64)
    return Lowering(
        items=_roll(tuple(items)),
        steps=arrays,
        special_index=special_index,
        special_scale=special_scale,
        special_offset=special_offset,
        atoms=sequence.atoms,
        num_angles=num_angles,
        has_phase=has_phase,
        used=len(real),
        frame=sequence.frame,
    )


def _roll(items: tuple[Item, ...]) -> tuple[Item, ...]:
    """Repeated sequences of items as loops: at each place the repetition that covers most."""
    rolled: list[Item] = []
    start = 0
    while start < len(items):
        best = (0, 0)
        for period in range(1, (len(items) - start) // 2 + 1):
            body, times = items[start : start + period], 1
            while items[start + times * period : start + (times + 1) * period] == body:
                times += 1
            if times > 1 and times * period > best[0] * best[1]:
                best = (times, period)
        times, period = best
        if times:
            rolled.append(Repeat(times, items[start : start + period]))
            start += times * period
        else:
            rolled.append(items[start])
            start += 1
    return tuple(rolled)
