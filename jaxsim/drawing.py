"""Circuits as pictures: text, SVG, matplotlib. Text is drawn here, the others in `drawing_vector`."""

from __future__ import annotations

import html
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jaxsim import drawing_vector
from jaxsim.arguments import integer
from jaxsim.drawing_layout import Column, Glyph, Picture, layout

if TYPE_CHECKING:
    from jaxsim.circuit import Circuit

__all__ = ["OUTPUTS", "TextDrawing", "draw", "svg"]

PAGE_WIDTH = 100
"""Characters at which pictures fold that know of no terminal."""


@dataclass(frozen=True)
class TextDrawing:
    """A circuit drawn with characters; prints itself, also in notebooks.

    Attributes:
        text: the picture.
    """

    text: str

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        style = "white-space: pre; line-height: 1.15; font-family: monospace"
        return f'<pre style="{style}">{html.escape(self.text)}</pre>'


def draw(circuit: Circuit, output: str = "text", *, fold: int | None = None) -> Any:
    """The circuit as a picture: wires as lines, gates as boxes and marks, time from left to right.

    Gates are shown as early as possible. Angles are in radians; values that JAX traces appear as a dot. Of circuits
    longer than 2,000 gates the first ones are drawn. Registers are double lines, which say into which bit a
    measurement (M) goes.

    Args:
        circuit: any circuit.
        output: "text", "svg" or "mpl".
        fold: width in characters at which lines fold; -1: never. By default the width of the terminal for text, and
            100.

    Returns:
        A `TextDrawing`, the text of an SVG file, or a matplotlib `Figure`.

    Raises:
        ValueError: another output, or a fold that is no width.
        ImportError: "mpl" without matplotlib.

    Example:
        >>> from jaxsim import Circuit, Parameter
        >>> c = Circuit(3).h(0).cx(0, 1).rz(2 * Parameter("a"), 1).swap(1, 2).rzz(0.5, 0, 2)
        >>> print(c.draw(fold=80))
             ┌───┐                 ┌───────────┐
        q0: ─┤ H ├─●───────────────┤0          ├─
             └───┘ │ ┌─────────┐   │           │
        q1: ───────⊕─┤ RZ(2*a) ├─×─│  RZZ(0.5) │─
                     └─────────┘ │ │           │
        q2: ─────────────────────×─┤1          ├─
                                   └───────────┘
    """
    if output not in OUTPUTS:
        raise ValueError(
            f"draw: output must be one of {', '.join(map(repr, OUTPUTS))}, but {output!r} was given."
        )
    if fold is None:
        fold = shutil.get_terminal_size((PAGE_WIDTH, 24)).columns if output == "text" else PAGE_WIDTH
    fold = integer("draw", "fold", fold)
    if fold != -1 and fold < 1:
        raise ValueError(f"draw: fold is a width in characters, or -1 for none, but {fold} was given.")
    return OUTPUTS[output](layout(circuit, fold))


def svg(circuit: Circuit) -> str:
    """The circuit as the text of an SVG file."""
    return draw(circuit, "svg")


# text -------------------------------------------------------------------------------------------------------
# Wire k is row 2k + 1; borders of boxes are in the rows between. A cell is a set of strokes from its middle.

UP, RIGHT, DOWN, LEFT = 1, 2, 4, 8
_STROKES = " ╵╶└╷│┌├╴┘─┴┐┤┬┼"
_MARKS = {"control": "●", "not": "⊕", "swap": "×", "barrier": "░", "condition": "■"}
_DOUBLE = str.maketrans("─┴┬┼", "═╧╤╪")
"""Registers are double lines."""


def _text(picture: Picture) -> TextDrawing:
    rows = []
    for number, line in enumerate(picture.lines):
        rows.extend([""] if number else [])
        rows.extend(_line(picture, line, first=number == 0, last=number == len(picture.lines) - 1))
    return TextDrawing("\n".join([*rows, *picture.notes]))


def _line(picture: Picture, columns: list[Column], *, first: bool, last: bool) -> list[str]:
    num_wires = len(picture.labels)
    width = columns[-1].start + columns[-1].width + 1 if columns else 3
    strokes = [[LEFT | RIGHT if row % 2 else 0] * width for row in range(2 * num_wires + 1)]
    letters: dict[tuple[int, int], str] = {}
    for column in columns:
        for glyph in column.glyphs:
            _strokes_of(glyph, column, strokes)
            _letters_of(glyph, column, letters)
    lines = []
    for row, cells in enumerate(strokes):
        wire = row % 2 == 1
        start = picture.labels[row // 2] if wire else " " * len(picture.labels[0])
        register = wire and row // 2 >= picture.num_wires
        drawn = [_STROKES[cell].translate(_DOUBLE) if register else _STROKES[cell] for cell in cells]
        body = "".join(letters.get((row, x), stroke) for x, stroke in enumerate(drawn))
        more = ("" if last else "»") if wire else ""
        lines.append((start if first or not wire else start[:-1] + "«") + body + more)
    blank = {0, len(lines) - 1}
    return [text.rstrip() for row, text in enumerate(lines) if row not in blank or text.strip()]


def _strokes_of(glyph: Glyph, column: Column, strokes: list[list[int]]) -> None:
    left, right = column.start, column.start + column.width - 1
    middle = (left + right) // 2
    for above, below in glyph.joints:
        # A box ends in the row below its last wire and begins in the row above its first.
        single = (*glyph.marks, *glyph.bits)
        start = 2 * above + 1 + (above not in single)
        end = 2 * below + 1 - (below not in single)
        for row in range(start, end):
            strokes[row][middle] |= DOWN
            strokes[row + 1][middle] |= UP
    if glyph.box is None:
        return
    top, bottom = 2 * glyph.box[0], 2 * glyph.box[1] + 2
    for x in range(left, right):
        for row in (top, bottom):
            strokes[row][x] |= RIGHT
            strokes[row][x + 1] |= LEFT
    for row in range(top + 1, bottom):
        strokes[row][left : right + 1] = [0] * column.width
        if row % 2 and row // 2 in glyph.ports:
            strokes[row][left], strokes[row][right] = LEFT, RIGHT
    for row in range(top, bottom):
        for x in (left, right):
            strokes[row][x] |= DOWN
            strokes[row + 1][x] |= UP


def _letters_of(glyph: Glyph, column: Column, letters: dict[tuple[int, int], str]) -> None:
    middle = column.start + (column.width - 1) // 2
    for wire, mark in glyph.marks.items():
        letters[2 * wire + 1, middle] = _MARKS[mark]
    for wire, bit in glyph.bits.items():
        for k, letter in enumerate(bit):
            letters[2 * wire + 1, middle - (len(bit) - 1) // 2 + k] = letter
    if glyph.box is None:
        return
    left = column.start + 1 + glyph.port_width
    room = column.width - 2 - glyph.port_width
    row = glyph.box[0] + glyph.box[1] + 1
    for k, letter in enumerate(glyph.caption.center(room)):
        letters[row, left + k] = letter
    for wire, port in glyph.ports.items():
        for k, letter in enumerate(port):
            letters[2 * wire + 1, column.start + 1 + k] = letter


OUTPUTS = {"text": _text, "svg": drawing_vector.svg, "mpl": drawing_vector.figure}
"""What `draw` can make of a picture."""
