"""Tables of text, for terminals and notebooks, cut to a readable length."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from rich.cells import cell_len

__all__ = ["html_table", "text_table"]

_MOST_ROWS = 20
_LONGEST_CELL = 60


def text_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as plain text, numbers to the right; of more than 20 rows the first and last 10.

    >>> print(text_table(["program", "value"], [["a", "-1"], ["b", "-2.5"]]))
    program  value
    -------  -----
    a           -1
    b         -2.5
    """
    numeric = _numeric_columns(heads, rows)
    lines = [list(heads), *(list(map(_shortened, row)) for row in _cut(rows))]
    # cell_len and not len: characters of East Asian scripts are two columns wide.
    widths = [max(cell_len(line[k]) for line in lines) for k in range(len(heads))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(_line(line, widths, numeric) for line in lines)


def _line(texts: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    cells = []
    for text, width, right in zip(texts, widths, numeric):
        space = " " * (width - cell_len(text))
        cells.append(space + text if right else text + space)
    return "  ".join(cells).rstrip()


def html_table(heads: Sequence[str], rows: Sequence[Sequence[str]], notes: Iterable[str] = ()) -> str:
    """The same table as HTML, with notes below it.

    >>> html_table(["a"], [["<1"]])
    '<table><thead><tr><th>a</th></tr></thead><tbody><tr><td>&lt;1</td></tr></tbody></table>'
    """
    head = "".join(f"<th>{html.escape(text)}</th>" for text in heads)
    body = "".join(
        f"<tr>{''.join(f'<td>{html.escape(_shortened(text))}</td>' for text in row)}</tr>"
        for row in _cut(rows)
    )
    below = "".join(f"<p>{html.escape(note)}</p>" for note in notes)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{below}"


def _cut(rows: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    if len(rows) <= _MOST_ROWS:
        return list(rows)
    shown = _MOST_ROWS // 2
    gap = [f"... {len(rows) - 2 * shown} more", *[""] * (len(rows[0]) - 1)]
    return [*rows[:shown], gap, *rows[-shown:]]


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_CELL else f"{line[: _LONGEST_CELL - 3]}..."


def _numeric_columns(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[bool]:
    return [bool(rows) and all(_is_numeric(row[k]) for row in rows) for k in range(len(heads))]


def _is_numeric(text: str) -> bool:
    try:
        float(text or 0)
    except ValueError:
        return False
    return True
