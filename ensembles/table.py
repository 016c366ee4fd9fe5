"""Tables of text, for terminals and notebooks, cut to a readable length."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from rich.cells import cell_len

__all__ = ["MOST_ROWS", "cut_rows", "html_table", "shortened", "text_table"]

MOST_ROWS = 20
"""Rows of a table that is printed without being asked for all."""

_LONGEST_CELL = 60


def text_table(heads: Sequence[str], rows: Sequence[Sequence[str]], max_rows: int | None = MOST_ROWS) -> str:
    """A table as plain text, numbers to the right; of more than `max_rows` rows the first and the last.

    >>> print(text_table(["program", "value"], [["a", "-1"], ["b", "-2.5"]]))
    program  value
    -------  -----
    a           -1
    b         -2.5
    """
    numeric = _numeric_columns(heads, rows)
    lines = [list(heads), *(list(map(shortened, row)) for row in cut_rows(rows, max_rows))]
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
        f"<tr>{''.join(f'<td>{html.escape(shortened(text))}</td>' for text in row)}</tr>"
        for row in cut_rows(rows, MOST_ROWS)
    )
    below = "".join(f"<p>{html.escape(note)}</p>" for note in notes)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{below}"


def cut_rows(rows: Sequence[Sequence[str]], max_rows: int | None) -> list[Sequence[str]]:
    """All rows, or the first and last ones with a row between them that says how many are left out.

    >>> cut_rows([["a"], ["b"], ["c"], ["d"]], 2)
    [['a'], ['... 2 more'], ['d']]
    """
    if max_rows is None or len(rows) <= max_rows:
        return list(rows)
    first, last = max(1, (max_rows + 1) // 2), max(0, max_rows // 2)
    gap = [f"... {len(rows) - first - last} more", *[""] * (len(rows[0]) - 1)]
    return [*rows[:first], gap, *rows[len(rows) - last :]]


def shortened(text: str) -> str:
    """The text on one line, cut to the longest that a cell may hold."""
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
