"""Tables of a run, for the terminal and for the documentation.

python benchmarks/report.py [RESULTS.json]                       # prints the tables
python benchmarks/report.py [RESULTS.json] --into docs/page.md   # puts them between two marker comments there
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from bars import BARS, Record, bound, quantities, ratio, reached, verdict
from contestants import CONTESTANTS, OURS
from workloads import WORKLOADS

RESULTS = Path(__file__).parent / "results"
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"
TOLERANCE = 1e-4
TIMES = ("", "first", "then", "process", "x first", "x then", "off by")


@dataclass(frozen=True)
class Sheet:
    """A table as texts; all columns but the first `left` are numbers."""

    title: str
    heads: tuple[str, ...]
    rows: list[tuple[str, ...]]
    left: int = 1


def seconds(value: float | None) -> str:
    """A time with a unit that suits it."""
    if value is None:
        return ""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "us")):
        if value * factor >= 1:
            return f"{value * factor:.3g} {unit}" if value * factor < 1000 else f"{value * factor:.0f} {unit}"
    return f"{value * 1e6:.2g} us"


def times(value: float | None) -> str:
    """A ratio."""
    if value is None:
        return ""
    return "0.000 x" if value < 0.001 else f"{value:.2g} x" if value < 100 else f"{value:.0f} x"


def sheets(report: dict[str, Any]) -> list[Sheet]:
    """The tables of a run; small sizes say nothing about bars."""
    records = report["records"]
    bars = [] if report["quick"] else list(_bar_rows(records))
    found = [Sheet("Bars", ("", "reached", "bar", ""), bars)]
    for name, workload in WORKLOADS.items():
        title = f"{'At a small size: ' if report['quick'] else ''}{workload.title}{_groups(records, name)}"
        found.append(Sheet(title, TIMES, list(_time_rows(records, name))))
        found.append(Sheet(title, ("", "median"), list(_figure_rows(records, name))))
    failures = [(_title(f["contestant"]), f["workload"], f["error"]) for f in report["failures"]]
    found.append(Sheet("Not measured", ("simulator", "workload", "why"), failures, left=3))
    versions = [
        (_title(name), ", ".join(f"{package} {version}" for package, version in own.items()))
        for name, own in report["versions"].items()
    ]
    found.append(Sheet("Versions", ("simulator", "packages"), versions, left=2))
    return [sheet for sheet in found if sheet.rows]


def _title(contestant: str) -> str:
    return CONTESTANTS[contestant].title if contestant in CONTESTANTS else contestant


def _bar_rows(records: Sequence[Record]) -> Iterator[tuple[str, ...]]:
    measured = {record["workload"] for record in records}
    for bar in BARS:
        if bar.workload in measured:
            value = reached(bar, records)
            shown = times(value) if bar.is_ratio else "" if value is None else f"{value:.3g}"
            yield bar.title, shown, bound(bar), verdict(bar, value)


def _groups(records: Sequence[Record], workload: str) -> str:
    keys = quantities(records, workload, OURS, "keys")
    return f" (ours: {max(keys.values())} groups)" if keys and max(keys.values()) > 1 else ""


def _median(by_round: dict[int, float]) -> float | None:
    return statistics.median(by_round.values()) if by_round else None


def _time_rows(records: Sequence[Record], workload: str) -> Iterator[tuple[str, ...]]:
    ours = {k: quantities(records, workload, OURS, k) for k in ("first", "warm")}
    for contestant in WORKLOADS[workload].contestants:
        own = {k: quantities(records, workload, contestant, k) for k in ("first", "warm", "process")}
        if not own["warm"]:
            continue
        ratios = [ratio([own[k]], ours[k]) if contestant != OURS else None for k in ("first", "warm")]
        deviations = quantities(records, workload, contestant, "deviation")
        deviation = "" if contestant == OURS or not deviations else _deviation(max(deviations.values()))
        shown = (seconds(_median(own[k])) for k in ("first", "warm", "process"))
        yield _title(contestant), *shown, *map(times, ratios), deviation


def _deviation(value: float) -> str:
    return f"{value:.0e}" if value <= TOLERANCE else f"{value:.0e} WRONG"


def _figure_rows(records: Sequence[Record], workload: str) -> Iterator[tuple[str, ...]]:
    figures: dict[str, None] = {}
    for record in records:
        if record["workload"] == workload:
            figures.update(dict.fromkeys(record.get("figures", {})))
    for figure in figures:
        median = _median(quantities(records, workload, OURS, figure))
        yield figure.replace("_", " "), f"{median:.4g}"


def conditions(report: dict[str, Any]) -> str:
    """On what the run was made, and how, in a sentence or two."""
    machine = report["machine"]
    used = {record["round"] for record in report["records"]}
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine.get('memory_gib', '?')} GiB, "
        f"{machine['system']}, Python {machine['python']}, {machine['date']}; engine {report['engine']!r}. "
        f"Fresh processes in turn, {len(used)} round{'s' * (len(used) > 1)}"
        f"{', small sizes' if report['quick'] else ''}, medians. 'first' is the time from the description of the "
        "circuit to the first result, imports not counted, nothing cached; 'then' a repeated call; 'process' a whole "
        "process with its imports and all calls; 'x first' and 'x then' are their time over ours. 'off by' is the "
        "largest difference from our value and gradient of set 0, relative where they exceed 1. Groups are circuits "
        "that share a compiled call."
    )


def as_markdown(sheet: Sheet) -> str:
    """A table in Markdown."""
    rule = ["---" if k < sheet.left else "---:" for k in range(len(sheet.heads))]
    lines = [sheet.heads, rule, *sheet.rows]
    table = "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
    return f"**{sheet.title}**\n\n{table}"


def as_rich(sheet: Sheet) -> Table:
    """A table for the terminal."""
    table = Table(title=sheet.title, title_justify="left", box=box.SIMPLE_HEAD)
    for k, head in enumerate(sheet.heads):
        table.add_column(head, justify="left" if k < sheet.left else "right", no_wrap=k == 0, overflow="fold")
    for row in sheet.rows:
        table.add_row(*row)
    return table


def markdown(report: dict[str, Any]) -> str:
    """All tables in Markdown."""
    return "\n\n".join([conditions(report), *map(as_markdown, sheets(report))]) + "\n"


def show(report: dict[str, Any], console: Console) -> None:
    """Prints the tables."""
    for sheet in sheets(report):
        console.print(as_rich(sheet))
    console.print(conditions(report), markup=False, highlight=False)


def save(report: dict[str, Any], path: Path) -> None:
    """Writes the run as JSON, and its tables as Markdown beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n")
    path.with_suffix(".md").write_text(markdown(report))


def insert(text: str, page: Path) -> None:
    """Puts the text between the marker comments of a page.

    Raises:
        ValueError: the page has no markers.
    """
    old = page.read_text()
    if BEGIN not in old or END not in old.split(BEGIN)[1]:
        raise ValueError(f"{page} has no lines '{BEGIN}' and '{END}': put them where the tables belong.")
    before, rest = old.split(BEGIN, 1)
    page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{rest.split(END, 1)[1]}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, nargs="?", default=RESULTS / "peers.json")
    parser.add_argument("--into", type=Path, help="a Markdown page with the two marker comments")
    options = parser.parse_args()
    report = json.loads(options.results.read_text())
    if options.into:
        insert(markdown(report), options.into)
    else:
        show(report, Console())


if __name__ == "__main__":
    main()
