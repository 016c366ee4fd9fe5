"""Pictures of circuits made of lines, discs and boxes, written as SVG or drawn on a matplotlib figure."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from jaxsim.drawing_layout import Glyph, Picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["figure", "svg"]

# in pixels
CHARACTER = 9
SPACING = 40
BOX_HEIGHT = 30
MARGIN = 14
FONT_SIZE = 13
SMALL_FONT_SIZE = 10
RADIUS = {"control": 4.5, "not": 7.5, "swap": 5.5, "barrier": 4.5, "condition": 4.5}
GAP = 3

INK = "#333333"
PAPER = "#ffffff"
FILL = {"fixed": "#ffffff", "angles": "#dcebfb", "array": "#fdebd2", "classical": "#e4efe1"}


class Line(NamedTuple):
    """A straight line."""

    x0: float
    y0: float
    x1: float
    y1: float


class Box(NamedTuple):
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float
    fill: str


class Disc(NamedTuple):
    """A circle with an outline."""

    x: float
    y: float
    radius: float
    fill: str


class Text(NamedTuple):
    """Text, centred vertically; `anchor` says which end of it is at x."""

    x: float
    y: float
    text: str
    anchor: str = "middle"
    size: float = FONT_SIZE


Shape = Line | Box | Disc | Text


def _size(picture: Picture) -> tuple[float, float]:
    widest = max((line[-1].start + line[-1].width + 1 for line in picture.lines if line), default=3)
    notes = max((len(note) for note in picture.notes), default=0)
    width = CHARACTER * max(len(picture.labels[0]) + widest, notes) + 2 * MARGIN
    rows = len(picture.lines) * (len(picture.labels) + 0.5) - 0.5
    return width, SPACING * rows + 2 * FONT_SIZE * len(picture.notes) + 2 * MARGIN


def _shapes(picture: Picture) -> Iterator[Shape]:
    num_wires = len(picture.labels)
    left = MARGIN + CHARACTER * len(picture.labels[0])
    for number, line in enumerate(picture.lines):
        top = MARGIN + SPACING * (number * (num_wires + 0.5) + 0.5)
        end = left + CHARACTER * (line[-1].start + line[-1].width + 1 if line else 3)
        for wire, label in enumerate(picture.labels):
            y = top + SPACING * wire
            yield Text(left - CHARACTER, y, label.strip(), "end")
            offsets = (0,) if wire < picture.num_wires else (-GAP / 2, GAP / 2)
            yield from (Line(left - CHARACTER / 2, y + offset, end, y + offset) for offset in offsets)
        for column in line:
            x = left + CHARACTER * (column.start + column.width / 2)
            for glyph in column.glyphs:
                yield from _shapes_of(glyph, x, top)
    below = MARGIN + SPACING * (len(picture.lines) * (num_wires + 0.5) - 0.5) + FONT_SIZE
    for number, note in enumerate(picture.notes):
        yield Text(MARGIN, below + 2 * FONT_SIZE * number, note, "start")


def _shapes_of(glyph: Glyph, x: float, top: float) -> Iterator[Shape]:
    def level(wire: float) -> float:
        return top + SPACING * wire

    if glyph.joints:
        yield Line(x, level(glyph.stretches[0][0]), x, level(glyph.stretches[-1][1]))
    for wire, mark in glyph.marks.items():
        y, r = level(wire), RADIUS[mark]
        if mark == "swap":
            yield Line(x - r, y - r, x + r, y + r)
            yield Line(x - r, y + r, x + r, y - r)
        elif mark == "barrier":
            yield Box(x - r, y - SPACING / 2, 2 * r, SPACING, FILL["classical"])
        else:
            yield Disc(x, y, r, PAPER if mark == "not" else INK)
        if mark == "not":
            yield Line(x - r, y, x + r, y)
            yield Line(x, y - r, x, y + r)
    for row, bit in glyph.bits.items():
        yield Disc(x, level(row), RADIUS["control"], INK)
        yield Text(x + 2 * GAP, level(row) + SMALL_FONT_SIZE, bit, "start", SMALL_FONT_SIZE)
    if glyph.box is not None:
        first, last = glyph.box
        width = CHARACTER * (glyph.width - 1)
        height = SPACING * (last - first) + BOX_HEIGHT
        yield Box(x - width / 2, level(first) - BOX_HEIGHT / 2, width, height, FILL[glyph.kind])
        yield Text(x + CHARACTER * glyph.port_width / 2, level((first + last) / 2), glyph.caption)
        for wire, port in glyph.ports.items():
            if port:
                yield Text(x - width / 2 + 4, level(wire), port, "start", SMALL_FONT_SIZE)


# SVG --------------------------------------------------------------------------------------------------------


def svg(picture: Picture) -> str:
    """The text of an SVG file, on white paper so that it reads on a dark page too."""
    width, height = _size(picture)
    shapes = "\n".join(_element(shape) for shape in _shapes(picture))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}" font-family="DejaVu Sans Mono, Menlo, Consolas, monospace">\n'
        f'<rect width="100%" height="100%" fill="{PAPER}"/>\n'
        f'<g stroke="{INK}" stroke-width="1.3">\n{shapes}\n</g>\n</svg>'
    )


def _element(shape: Shape) -> str:
    match shape:
        case Line(x0, y0, x1, y1):
            return f'<line x1="{x0:g}" y1="{y0:g}" x2="{x1:g}" y2="{y1:g}"/>'
        case Box(x, y, width, height, fill):
            return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="3" fill="{fill}"/>'
        case Disc(x, y, radius, fill):
            return f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" fill="{fill}"/>'
        case Text(x, y, text, anchor, size):
            return (
                f'<text x="{x:g}" y="{y:g}" dy="0.35em" font-size="{size:g}" text-anchor="{anchor}" '
                f'stroke="none" fill="{INK}">{html.escape(text)}</text>'
            )


# matplotlib -------------------------------------------------------------------------------------------------


def figure(picture: Picture) -> Figure:
    """A matplotlib figure of its own, unknown to pyplot."""
    try:
        from matplotlib import lines, patches
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "drawing with matplotlib needs matplotlib: pip install 'jaxsim-ensembles[viz]'"
        ) from error

    width, height = _size(picture)
    # matplotlib writes at most 65,536 dots across, 100 of them an inch.
    pixels_per_inch = max(90, width / 600, height / 600)
    drawn = Figure(figsize=(width / pixels_per_inch, height / pixels_per_inch), facecolor=PAPER)
    axes: Any = drawn.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    points = 72 / pixels_per_inch
    stroke = {"edgecolor": INK, "linewidth": 1.3 * points}
    sides = {"start": "left", "middle": "center", "end": "right"}
    for depth, shape in enumerate(_shapes(picture)):
        match shape:
            case Line(x0, y0, x1, y1):
                axes.add_line(
                    lines.Line2D([x0, x1], [y0, y1], color=INK, linewidth=1.3 * points, zorder=depth)
                )
            case Box(x, y, w, h, fill):
                axes.add_patch(patches.Rectangle((x, y), w, h, facecolor=fill, zorder=depth, **stroke))
            case Disc(x, y, radius, fill):
                axes.add_patch(patches.Circle((x, y), radius, facecolor=fill, zorder=depth, **stroke))
            case Text(x, y, text, anchor, size):
                font = {"family": "monospace", "fontsize": size * points, "color": INK, "parse_math": False}
                axes.text(x, y, text, ha=sides[anchor], va="center", zorder=depth, **font)
    return drawn
