"""What a drawing of a circuit shows, and in which column; how it looks is left to text, SVG and matplotlib.

Gates are packed greedily to the left. Widths are in characters; lines of columns are folded at a width. Registers of
classical bits are rows below the wires. A block of `if_` or `while_` stands between two boxes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jax.core import Tracer

from jaxsim import gates
from jaxsim.structure import OPERATIONS, Instruction, walk

if TYPE_CHECKING:
    from jaxsim.circuit import Circuit
    from jaxsim.classical import Bit

__all__ = ["MAX_GATES", "Column", "Glyph", "Picture", "angle_text", "layout"]

MAX_GATES = 2_000
"""Gates that are drawn; of longer circuits the first ones."""

MAX_ANGLE_TEXT = 20
UNKNOWN = "·"

_CAPTIONS = {
    "id": "I",
    "sdg": "S†",
    "tdg": "T†",
    "sx": "√X",
    "sxdg": "√X†",
    "u_phase": "U",
    "iswap": "iSWAP",
    "xx_plus_yy": "XX+YY",
    "xx_minus_yy": "XX-YY",
    "pauli_rotation": "R",
    "unitary": "U",
    "diagonal": "D",
    "evolve_diagonal": "exp D",
    "initialize": "|ψ⟩",
}
"""What is written in the box of a base row if it is not the name in capitals."""

_TARGET_MARKS = {"x": "not", "z": "control", "swap": "swap"}
"""Base rows that are drawn as marks on their targets (x and z only under controls)."""

Mark = Literal["control", "not", "swap", "barrier", "condition"]


@dataclass(frozen=True)
class Glyph:
    """One gate in a picture: a box, marks on wires, or both, joined by a vertical line.

    Attributes:
        caption: the text in the box.
        box: first and last wire that the box covers; None if there is no box.
        ports: for each wire that enters the box, what is written there ("" for nothing).
        marks: marks on single wires or registers, outside the box.
        kind: what the gate carries; "classical" is what measures or depends on it.
        bits: what is written on registers.
    """

    caption: str
    box: tuple[int, int] | None
    ports: dict[int, str]
    marks: dict[int, Mark]
    kind: Literal["fixed", "angles", "array", "classical"]
    bits: dict[int, str] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """Characters across."""
        least = max(map(len, self.bits.values()), default=1)
        return least if self.box is None else max(least, len(self.caption) + self.port_width + 4)

    @property
    def port_width(self) -> int:
        """Characters that the ports take."""
        return max(map(len, self.ports.values()), default=0)

    @property
    def stretches(self) -> list[tuple[int, int]]:
        """First and last wire of the box and of every mark, from top to bottom."""
        return sorted([(wire, wire) for wire in (*self.marks, *self.bits)] + ([self.box] if self.box else []))

    @property
    def joints(self) -> list[tuple[int, int]]:
        """Pairs of wires between which the vertical line runs."""
        if "barrier" in self.marks.values():
            return []
        return [(above[1], below[0]) for above, below in pairwise(self.stretches)]


@dataclass
class Column:
    """Gates above one another.

    Attributes:
        glyphs: the gates.
        start: first character, counted from the left end of the wires.
    """

    glyphs: list[Glyph] = field(default_factory=list)
    start: int = 0

    @property
    def width(self) -> int:
        """Characters across."""
        return max(glyph.width for glyph in self.glyphs)


@dataclass(frozen=True)
class Picture:
    """A circuit laid out.

    Attributes:
        labels: names of the wires, then of the registers, of equal length.
        lines: the columns, folded into lines.
        notes: sentences to be written below.
        num_wires: how many of the rows are wires.
    """

    labels: tuple[str, ...]
    lines: list[list[Column]]
    notes: tuple[str, ...]
    num_wires: int


def angle_text(angle: float) -> str:
    """A number in radians, short; multiples of pi are recognised.

    Example:
        >>> from jaxsim.drawing_layout import angle_text
        >>> angle_text(0.5), angle_text(-3 * 3.141592653589793 / 4), angle_text(1 / 3)
        ('0.5', '-3π/4', '0.3333')
    """
    ratio = angle / math.pi
    share = Fraction(ratio).limit_denominator(16)
    if not 0 < abs(share) <= 16 or abs(ratio - share) > 1e-9:
        return f"{angle:.4g}"
    times = {1: "", -1: "-"}.get(share.numerator, str(share.numerator))
    return f"{times}π/{share.denominator}" if share.denominator > 1 else f"{times}π"


def layout(circuit: Circuit, fold: int) -> Picture:
    """The picture of a circuit, folded at so many characters (-1: not at all)."""
    columns: list[Column] = []
    reached = [0] * (circuit.num_wires + len(circuit.registers))
    phases: list[str] = []
    for glyph in islice(_Glyphs(circuit).of(circuit.instructions, phases), MAX_GATES):
        span = range(glyph.stretches[0][0], glyph.stretches[-1][1] + 1)
        place = max(reached[wire] for wire in span)
        for wire in span:
            reached[wire] = place + 1
        if place == len(columns):
            columns.append(Column())
        columns[place].glyphs.append(glyph)
    labels = [f"q{wire}: " for wire in range(circuit.num_wires)]
    labels += [f"{register.name}[{register.size}]: " for register in circuit.registers]
    longest = max(map(len, labels))
    notes = [f"global phase: {' + '.join(phases)}"] if phases else []
    number = sum(1 for _ in walk(circuit.instructions))
    if number > MAX_GATES:
        notes.append(f"The first {MAX_GATES:,} of {number:,} gates are drawn.")
    room = math.inf if fold == -1 else fold - longest
    lines = _folded(columns, room)
    return Picture(tuple(label.rjust(longest) for label in labels), lines, tuple(notes), circuit.num_wires)


def _folded(columns: list[Column], room: float) -> list[list[Column]]:
    lines: list[list[Column]] = [[]]
    end = 1
    for column in columns:
        if lines[-1] and end + column.width + 2 > room:  # a stroke of wire, and a sign that there is more
            lines.append([])
            end = 1
        column.start = end
        end += column.width + 1
        lines[-1].append(column)
    return lines


def _angle_texts(circuit: Circuit) -> Callable[[int], str]:
    """A function from slots to what is written for the angle."""
    expressions = dict(circuit.structure.expressions)
    angles = circuit.angles
    known = None if isinstance(angles, Tracer) or np.ndim(angles) != 1 else np.asarray(angles, np.float64)

    def text_of(slot: int) -> str:
        if slot not in expressions:
            return UNKNOWN if known is None else angle_text(float(known[slot]))
        text = "".join(c if c.isprintable() else UNKNOWN for c in str(expressions[slot]).replace(" ", ""))
        return text if len(text) <= MAX_ANGLE_TEXT else text[: MAX_ANGLE_TEXT - 1] + "…"

    return text_of


class _Glyphs:
    """Instructions as glyphs."""

    def __init__(self, circuit: Circuit) -> None:
        self.text_of = _angle_texts(circuit)
        self.num_wires = circuit.num_wires
        self.row_of = {r.name: circuit.num_wires + k for k, r in enumerate(circuit.registers)}

    def of(self, instructions: Iterable[Instruction], phases: list[str]) -> Iterator[Glyph]:
        """The glyphs of instructions; global phases are appended to `phases`."""
        for i in instructions:
            texts = [self.text_of(slot) for slot in i.slots]
            if i.condition is not None:
                yield from self.block(i, phases)
            elif i.gate in OPERATIONS:
                yield self.operation(i)
            elif i.wires:
                yield _glyph(i, texts)
            else:
                phases.extend(texts)

    def operation(self, i: Instruction) -> Glyph:
        if i.gate == "barrier":
            return Glyph("", None, {}, dict.fromkeys(i.wires, "barrier"), "fixed")
        (wire,) = i.wires
        caption = {"measure": "M", "reset": "|0⟩"}.get(i.gate, f"delay {i.label}")
        bits = {self.row_of[bit.register]: str(bit.index) for bit in i.bits}
        kind = "fixed" if i.gate == "delay" else "classical"
        return Glyph(caption, (wire, wire), {wire: ""}, {}, kind, bits)

    def block(self, i: Instruction, phases: list[str]) -> Iterator[Glyph]:
        assert i.condition is not None
        loop = f", at most {i.limit} times" if i.limit else ""
        yield self.side(f"{'while' if loop else 'if'} {i.condition}{loop}", i, i.condition.bits)
        for number, block in enumerate(i.blocks):
            if number:
                yield self.side("else", i)
            inside: list[str] = []
            yield from self.of(block, inside)
            phases.extend(f"{text} (in a block)" for text in inside)
        yield self.side("end", i)

    def side(self, caption: str, i: Instruction, bits: tuple[Bit, ...] = ()) -> Glyph:
        """One of the boxes between which a block stands."""
        box = (min(i.wires), max(i.wires)) if i.wires else (0, self.num_wires - 1)
        ports = dict.fromkeys(range(box[0], box[1] + 1), "")
        rows: dict[int, Any] = {self.row_of[bit.register]: "condition" for bit in bits}
        return Glyph(caption, box, ports, rows, "classical")


def _glyph(instruction: Instruction, angles: list[str]) -> Glyph:
    row = gates.resolve(instruction.gate, len(instruction.wires), instruction.controls)
    controls, targets = instruction.wires[: row.num_controls], instruction.wires[row.num_controls :]
    kind = "array" if row.operand else "angles" if row.angles else "fixed"
    if row.base in _TARGET_MARKS and (controls or row.base == "swap"):
        marks: dict[int, Any] = dict.fromkeys(controls, "control") | dict.fromkeys(
            targets, _TARGET_MARKS[row.base]
        )
        return Glyph("", None, {}, marks, kind)
    box = (min(targets), max(targets))
    inside = [wire for wire in controls if box[0] < wire < box[1]]
    names = instruction.label or ("" if len(targets) == 1 else [str(k) for k in range(len(targets))])
    ports = dict(zip(targets, names)) if names else dict.fromkeys(targets, "")
    caption = _CAPTIONS.get(row.base, row.base.upper()) + (f"({', '.join(angles)})" if angles else "")
    return Glyph(
        caption,
        box,
        ports | dict.fromkeys(inside, "●"),
        {wire: "control" for wire in controls if wire not in inside},
        kind,
    )
