"""The plan as a picture: who is under way in which lane, and which rows share which call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ensembles.config import BatchMode
from ensembles.figures import finished_figure, new_figure
from ensembles.names import display_name
from ensembles.result import counted
from ensembles.schedule import Lanes
from ensembles.walk import PlannedCall, line_of, planned_flushes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ensembles.planner import Plan

__all__ = ["plot_plan"]

_MOST_CELLS = 40
"""Rows (or lanes) one above the other that are still drawn one by one."""

_MOST_COLUMNS = 12
_MOST_LEGEND = 8
_COLOURS = 20
_HATCH = "////"


class _Column(NamedTuple):
    """Flushes in a row that are alike: the first one's number, how many, their calls, and who sits in which lane."""

    first: int
    times: int
    calls: tuple[PlannedCall, ...]
    lanes: dict[int, int]


def plot_plan(plan: Plan, path: str | Path | None = None, *, title: str | None = None) -> Figure:
    """A plan as a picture.

    Above, the lanes: which program submits from which lane, flush by flush; a colour is a group. Below, the calls
    of each flush: a frame is a call, a cell a row, thin lines part blocks; what is hatched is padding, cut short where
    there is much. Flushes in a row that are
    alike are one column; of many columns the first ones are drawn, and of many rows only how many there are. Hosted
    groups have a part of their own, as when they submit is up to their Python.

    Args:
        plan: what `ProgramEnsemble.plan` gives.
        path: where to save the picture; the suffix (.png, .pdf, .svg) says how.
        title: text above the picture; the plan's numbers by default.

    Returns:
        a matplotlib Figure; nothing of matplotlib's global state changes.

    Errors: ImportError without matplotlib.
    """
    hosted = [group for group in plan.groups if group.hosted]
    compiled = [number for number, group in enumerate(plan.groups) if not group.hosted]
    columns = list(_columns(plan)) if compiled else []
    shown, more = columns[:_MOST_COLUMNS], len(columns) > _MOST_COLUMNS
    panels = ([_draw_lanes, _draw_calls] if compiled else []) + ([_draw_hosted] if hosted else [])
    height = 1.0 + sum(_HEIGHTS[panel] for panel in panels)
    figure = new_figure("Plan.plot", (9.0, height))
    several = figure.subplots(
        len(panels), 1, squeeze=False, height_ratios=[_HEIGHTS[panel] for panel in panels]
    )
    for panel, axes in zip(panels, several[:, 0], strict=True):
        panel(axes, plan, shown)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    if more:
        drawn = shown[-1].first + shown[-1].times
        several[1, 0].set_xlabel(f"flush (the first {drawn} of {plan.flushes})")
    _draw_legend(figure, plan)
    return finished_figure(figure, path, _title(plan) if title is None else title)


# what happens -----------------------------------------------------------------------------------------------


def _columns(plan: Plan) -> Iterator[_Column]:
    """The flushes of the plan, those that are alike together, up to one more than are drawn."""
    last: _Column | None = None
    made = 0
    for number, (calls, lanes) in enumerate(_flushes(plan)):
        if last is not None and last.calls == calls:
            last = last._replace(times=last.times + 1)
            continue
        if last is not None:
            yield last
            made += 1
        if made > _MOST_COLUMNS:
            return
        last = _Column(number, 1, calls, lanes)
    if last is not None:
        yield last


def _flushes(plan: Plan) -> Iterator[tuple[tuple[PlannedCall, ...], dict[int, int]]]:
    """The calls of each flush and the lanes of who is in them, programs by their positions in the ensemble."""
    compiled = [(number, group) for number, group in enumerate(plan.groups) if not group.hosted]
    members = [
        (position, number, name, steps)
        for number, (_, group) in enumerate(compiled)
        for position, name, steps in zip(group.programs, group.names, group.steps, strict=True)
    ]
    members.sort(key=lambda member: member[0])
    group_of = [number for _, number, _, _ in members]
    place = {position: k for k, (position, _, _, _) in enumerate(members)}
    lanes = Lanes([place[p] for p in line_of([group for _, group in compiled])], plan.config)
    walk = planned_flushes(
        [group for _, group in compiled],
        group_of,
        [name for _, _, name, _ in members],
        [steps for _, _, _, steps in members],
        plan.config,
        lanes,
    )
    for flush in walk:
        calls = tuple(
            PlannedCall(compiled[call.group][0], tuple(members[k][0] for k in call.programs), call.block_size)
            for call in flush
        )
        yield calls, {members[k][0]: lanes.lane(k) for call in flush for k in call.programs}


# panels -----------------------------------------------------------------------------------------------------


def _draw_lanes(axes: Any, plan: Plan, columns: Sequence[_Column]) -> None:
    """Who sits where; of many lanes only how many each group has."""
    from matplotlib.patches import Rectangle

    lanes = max(lane for column in columns for lane in column.lanes.values()) + 1
    names, seen = _names(plan), set()
    for x, column in enumerate(columns):
        top = 0
        for call in column.calls:
            colour = _colour(call.group)
            if lanes > _MOST_CELLS:
                axes.add_patch(
                    Rectangle((x + 0.06, top), 0.88, len(call.programs), facecolor=colour, gid="lanes")
                )
                top += len(call.programs)
                continue
            for program in call.programs:
                lane = column.lanes[program]
                axes.add_patch(Rectangle((x + 0.06, lane + 0.07), 0.88, 0.86, facecolor=colour, gid="lane"))
                if program not in seen:
                    _write(axes, x + 0.5, lane + 0.5, display_name(names[program]), lanes, len(columns))
                    seen.add(program)
    axes.set(
        xlim=(0, len(columns)), ylim=(lanes, 0), ylabel="lane" if lanes <= _MOST_CELLS else "lanes taken"
    )
    axes.set_xticks([])
    if lanes <= 16:
        axes.set_yticks([lane + 0.5 for lane in range(lanes)], [str(lane + 1) for lane in range(lanes)])


def _draw_calls(axes: Any, plan: Plan, columns: Sequence[_Column]) -> None:
    """The calls of each flush, one below the other."""
    _draw_stacks(axes, plan, [column.calls for column in columns])
    axes.set(ylabel="calls and their rows", xlabel="flush")
    axes.set_xticks([x + 0.5 for x in range(len(columns))], [_numbers(column) for column in columns])


def _draw_hosted(axes: Any, plan: Plan, columns: Sequence[_Column]) -> None:
    """Who shares a call, if all of a group submit a row at the same time."""
    groups = [(number, group) for number, group in enumerate(plan.groups) if group.hosted]
    stacks = []
    for number, group in groups[:_MOST_COLUMNS]:
        size = group.rows_alone if len(group.programs) == 1 else group.rows_per_block
        stacks.append((PlannedCall(number, group.programs, size),))
    _draw_stacks(axes, plan, stacks)
    more = f" (the first {len(stacks)} of {len(groups)})" if len(groups) > len(stacks) else ""
    axes.set(ylabel="one row each", xlabel=f"hosted groups: who shares a call when submitting together{more}")
    axes.set_xticks([])


def _draw_stacks(axes: Any, plan: Plan, stacks: Sequence[Sequence[PlannedCall]]) -> None:
    names = _names(plan)
    rows = [sum(len(call.programs) for call in stack) for stack in stacks]
    heights = [sum(map(_height, stack)) for stack in stacks]
    gap = 0.03 * max(heights)
    one_by_one = max(rows) <= _MOST_CELLS
    for x, stack in enumerate(stacks):
        y = 0.0
        for call in stack:
            texts = [display_name(names[p]) for p in call.programs] if one_by_one else None
            _draw_call(axes, x, y, call, texts, len(stacks), max(heights))
            y += _height(call) + gap
    longest = max(len(stack) for stack in stacks)
    axes.set(xlim=(0, len(stacks)), ylim=(max(heights) + gap * longest, 0), yticks=[])


def _draw_call(
    axes: Any, x: float, y: float, call: PlannedCall, texts: list[str] | None, columns: int, tallest: float
) -> None:
    """A call: its rows, its padding, its blocks, and a frame."""
    from matplotlib.patches import Rectangle

    rows, colour = len(call.programs), _colour(call.group)
    left, width = x + 0.06, 0.88
    if texts is None:
        axes.add_patch(Rectangle((left, y), width, rows, facecolor=colour, gid="rows"))
        if rows > tallest / 18:
            text = counted(rows, "row") + (f", {counted(call.blocks, 'block')}" if columns <= 6 else "")
            box = {"facecolor": colour, "edgecolor": "none", "pad": 0.5}
            axes.text(x + 0.5, y + rows / 2, text, ha="center", va="center", fontsize=7, bbox=box)
    for k, text in enumerate(texts or []):
        cell = Rectangle(
            (left, y + k), width, 1, facecolor=colour, edgecolor="white", linewidth=0.5, gid="row"
        )
        axes.add_patch(cell)
        _write(axes, x + 0.5, y + k + 0.5, text, tallest, columns)
    below = _height(call) - rows
    if call.padded_rows:
        axes.add_patch(_padding(left, y + rows, width, below))
        if below > tallest / 18:
            text = (
                f"{call.padded_rows} padding"
                if columns > 6
                else f"{counted(call.padded_rows, 'row')} of padding"
            )
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
            axes.text(x + 0.5, y + rows + below / 2, text, ha="center", va="center", fontsize=7, bbox=box)
    if call.blocks <= _MOST_CELLS:
        for block in range(1, call.blocks):
            height = y + block * call.block_size
            axes.plot([left, left + width], [height] * 2, color="black", linewidth=0.7, gid="block")
    frame = Rectangle(
        (left, y), width, _height(call), fill=False, edgecolor="black", linewidth=1.4, gid="call"
    )
    axes.add_patch(frame)


_HEIGHTS: dict[Any, float] = {_draw_lanes: 1.8, _draw_calls: 3.0, _draw_hosted: 2.2}


# parts ------------------------------------------------------------------------------------------------------


def _height(call: PlannedCall) -> float:
    """How high a call is drawn: a row is 1; much padding beside few rows is cut short."""
    rows = len(call.programs)
    return rows + min(call.padded_rows, max(1.5, rows / 2))


def _padding(x: float, y: float, width: float, height: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle(
        (x, y), width, height, facecolor="white", edgecolor="gray", hatch=_HATCH, linewidth=0.5, gid="padding"
    )


def _write(axes: Any, x: float, y: float, text: str, high: float, wide: int) -> None:
    """A name in a cell, as long as there is room to read it."""
    longest = max(3, 90 // wide)
    if high <= 20:
        text = text if len(text) <= longest else f"{text[: longest - 1]}…"
        axes.text(x, y, text.replace("$", r"\$"), ha="center", va="center", fontsize=7, clip_on=True)


def _names(plan: Plan) -> dict[int, Any]:
    return {p: name for group in plan.groups for p, name in zip(group.programs, group.names, strict=True)}


def _numbers(column: _Column) -> str:
    first = column.first + 1
    return f"{first}" if column.times == 1 else f"{first} to {first + column.times - 1}"


def _colour(group: int) -> Any:
    from matplotlib import colormaps

    # Light colours last: neighbours in the table of 20 are shades of one.
    order = [*range(1, _COLOURS, 2), *range(0, _COLOURS, 2)]
    return colormaps["tab20"](order[group % _COLOURS])


def _draw_legend(figure: Figure, plan: Plan) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(
            facecolor=_colour(number),
            label=f"{group.description}, {group.optimizer}: {counted(len(group.programs), 'program')}, blocks of "
            f"{counted(group.rows_per_block, 'row')}".replace("$", r"\$"),
        )
        for number, group in enumerate(plan.groups[:_MOST_LEGEND])
    ]
    if len(plan.groups) > _MOST_LEGEND:
        handles.append(Patch(alpha=0, label=f"... {counted(len(plan.groups) - _MOST_LEGEND, 'more group')}"))
    handles.append(
        Patch(
            facecolor="white",
            edgecolor="gray",
            hatch=_HATCH,
            label=f"padding ({counted(plan.padded_rows, 'row')} in all)",
        )
    )
    figure.legend(handles=handles, loc="outside lower left", fontsize=7, frameon=False)


def _title(plan: Plan) -> str:
    mode = plan.config.mode.value if isinstance(plan.config.mode, BatchMode) else plan.config.mode
    parts = [
        counted(plan.programs, "program"),
        counted(len(plan.groups), "group"),
        counted(plan.lanes, "lane"),
    ]
    size = f"{', '.join(parts)}, {mode}"
    if plan.hosted == plan.programs:
        return size
    return (
        f"{size}\n{counted(plan.flushes, 'flush')}, {counted(plan.calls, 'call')}, {counted(plan.blocks, 'block')}, "
        f"{counted(plan.compilations, 'compilation')}"
    )
