"""`plan`: which rows go into which compiled call, found out without running anything."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from ensembles.config import BatchConfig, BatchMode
from ensembles.hosted_optimizers import HostedOptimizer
from ensembles.names import display_name
from ensembles.program import Program, Row
from ensembles.result import counted
from ensembles.schedule import (
    STEPS_PER_CALL,
    steps_per_call,
)
from ensembles.subjects import Hosting, Subject
from ensembles.table import html_table
from ensembles.walk import planned_flushes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Group", "Plan", "group_programs", "make_plan", "with_hosted"]

_REASONS = 6
"""How many reasons are shown."""


@dataclass(frozen=True)
class Group:
    """Programs with equal merge keys.

    Attributes:
        description: what they are.
        programs: their positions in the ensemble, ascending.
        names: their names.
        rows_per_block: rows of a block.
        rows_alone: rows of the block in which a row alone runs.
        row_bytes: bytes of one row's arrays.
        state_bytes: bytes of the states that one row's evaluation keeps.
        optimizer: the update rule.
        reason: layers or steps of the first one, its passes over the state, and why it runs in the engine that the
            description names; empty without a circuit.
        hosted: whether they are ordinary Python, run by the hosted driver.
        steps_per_call: most evaluations that a call makes for a row: fewer for large states, so that a run can be
            ended, watched and saved in between.
        steps: how many updates each makes; none of hosted ones.
        lengths: how long a step of each takes beside the others', in steps of its circuit; none of hosted ones.
    """

    description: str
    programs: tuple[int, ...]
    names: tuple[Any, ...]
    rows_per_block: int
    rows_alone: int
    row_bytes: int
    state_bytes: int
    optimizer: str
    reason: str = ""
    hosted: bool = False
    steps_per_call: int = STEPS_PER_CALL
    steps: tuple[int, ...] = ()
    lengths: tuple[int, ...] = ()

    def block_bytes(self) -> int:
        """Bytes that a block keeps while it runs."""
        return self.rows_per_block * (2 * self.row_bytes + self.state_bytes)


@dataclass(frozen=True, repr=False)
class Plan:
    """What a run will do, if every program takes all its steps.

    Numbers of flushes, calls, blocks, rows, compilations and evaluations are those of compiled programs. Hosted ones
    share calls as their groups say, but when they submit rows is up to their Python.

    Attributes:
        config: the configuration it is for.
        programs: how many programs.
        lanes: how many are under way at a time.
        groups: the groups, each with its own compiled call.
        flushes, calls, blocks: how often pending rows are sent off, as how many calls, in how many blocks of
            rows.
        rows: rows over all calls (one row of a call makes up to `steps_per_call` evaluations).
        padded_rows: further rows that only fill blocks.
        largest_call: most rows in one call.
        compilations: how many kernels are compiled, if none is yet.
        evaluations: circuit evaluations, the last one of each program included.
        call_bytes: most bytes that the blocks of one call keep at a time.
        warnings: what could be merged and is not, and why.
        steps_per_call: most evaluations that a call makes for a row.
        hosted: how many programs are hosted.
        hosted_rows: most rows that they evaluate in all; None if some have no limit that is known.
    """

    config: BatchConfig
    programs: int
    lanes: int
    groups: tuple[Group, ...]
    flushes: int
    calls: int
    blocks: int
    rows: int
    padded_rows: int
    largest_call: int
    compilations: int
    evaluations: int
    call_bytes: int
    warnings: tuple[str, ...]
    steps_per_call: int = STEPS_PER_CALL
    hosted: int = 0
    hosted_rows: int | None = 0

    def plot(self, path: str | Path | None = None, *, title: str | None = None) -> Figure:
        """The plan as a picture: who is under way in which lane, and which rows share which call, flush by flush.

        Args:
            path: where to save it; the suffix (.png, .pdf, .svg) says how.
            title: text above the picture; the plan's numbers by default.

        Returns:
            a matplotlib Figure; nothing of matplotlib's global state changes.

        Errors: ImportError without matplotlib.
        """
        from ensembles.plan_picture import plot_plan

        return plot_plan(self, path, title=title)

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(file=io.StringIO(), width=100, color_system=None, legacy_windows=False)
        console.print(self)
        file = console.file
        assert isinstance(file, io.StringIO)
        return file.getvalue().rstrip()

    def __repr__(self) -> str:
        numbers = {"program": self.programs, "group": len(self.groups), "call": self.calls}
        return f"Plan({', '.join(counted(number, noun) for noun, number in numbers.items())})"

    def __rich__(self) -> Any:
        from rich.console import Group as Lines
        from rich.table import Table
        from rich.text import Text

        heads, rows = self._table()
        table = Table(title=None)
        for number, heading in enumerate(heads):
            table.add_column(heading, justify="right" if number else "left")
        for row in rows:
            table.add_row(*map(Text, row))
        # Text and not str: a name such as "p[red]" is no markup.
        return Lines(table, *map(Text, self._notes()))

    def _repr_html_(self) -> str:
        return html_table(*self._table(), notes=self._notes())

    def _table(self) -> tuple[list[str], list[list[str]]]:
        """Column heads and a row of text for every group."""
        rows = [
            [
                f"{group.description}, {group.optimizer}",
                f"{len(group.programs)}",
                f"{group.rows_per_block}",
                f"{group.block_bytes():,}",
            ]
            for group in self.groups
        ]
        return ["group", "programs", "rows/block", "bytes/block"], rows

    def _notes(self) -> list[str]:
        """The totals in words, and the warnings."""
        mode = self.config.mode.value if isinstance(self.config.mode, BatchMode) else self.config.mode
        size = (
            f"{counted(self.programs, 'program')} in {counted(len(self.groups), 'group')}, "
            f"{counted(self.lanes, 'lane')}, {mode}"
        )
        warnings = [*self._reasons(), *(f"note: {warning}" for warning in self.warnings)]
        if self.hosted == self.programs:
            return [size, self._hosted_note(), *warnings]
        summary = (
            f"{size}: {counted(self.flushes, 'flush')}, "
            f"{counted(self.calls, 'call')} of up to {counted(self.largest_call, 'row')} and {self.steps_per_call} "
            f"steps, {counted(self.blocks, 'block')} ({self.padded_rows} rows of padding in "
            f"{self.rows + self.padded_rows}), {counted(self.evaluations, 'evaluation')}, "
            f"{counted(self.compilations, 'compilation')}, at most {self.call_bytes / 2**20:.1f} MiB at a time"
        )
        return [summary, *([self._hosted_note()] if self.hosted else []), *warnings]

    def _reasons(self) -> list[str]:
        """Why groups run in their engines, a line for each of the first that differ."""
        lines = list(dict.fromkeys(f"{g.description}: {g.reason}" for g in self.groups if g.reason))
        more = len(lines) - _REASONS
        return lines[:_REASONS] + ([f"({more} more are in plan.groups[k].reason)"] if more > 0 else [])

    def _hosted_note(self) -> str:
        groups = sum(group.hosted for group in self.groups)
        limit = (
            "no known limit" if self.hosted_rows is None else f"at most {counted(self.hosted_rows, 'row')}"
        )
        return (
            f"{counted(self.hosted, 'hosted program')} in {counted(groups, 'group')}, {limit}: when they submit is up "
            "to their Python, so their flushes and calls are known when they have run; one compilation a group at least"
        )


def group_programs(rows: Sequence[Row]) -> tuple[list[int], list[list[int]]]:
    """The group of every program, and the programs of every group, from the merge keys."""
    numbers: dict[Any, int] = {}
    groups, members = [], []
    for position, row in enumerate(rows):
        number = numbers.setdefault(row.key, len(numbers))
        if number == len(members):
            members.append([])
        members[number].append(position)
        groups.append(number)
    return groups, members


def make_plan(programs: Mapping[Any, Program], rows: Sequence[Row], config: BatchConfig) -> Plan:
    """The plan for programs and their rows.

    A pure function: it looks at shapes and numbers of steps, never at devices, timings or what is compiled
        already.
    """
    names, list_of_programs = list(programs), list(programs.values())
    groups, members = group_programs(rows)
    described = tuple(
        _group([list_of_programs[p] for p in m], [rows[p] for p in m], m, [names[p] for p in m])
        for m in members
    )
    flushes = calls = blocks = total = padding = largest = most_bytes = 0
    kernels: set[tuple[int, int]] = set()
    limit = config.resolved_memory_limit()
    steps = [int(row.steps) for row in rows]
    for flush in planned_flushes(described, groups, names, steps, config):
        flushes += 1
        for call in flush:
            group, size = described[call.group], call.block_size
            calls, blocks, total = calls + 1, blocks + call.blocks, total + len(call.programs)
            padding += call.padded_rows
            largest = max(largest, len(call.programs))
            kernels.add((call.group, size))
            resident = min(call.blocks, resident_blocks(group, size, limit))
            most_bytes = max(most_bytes, resident * size * group.block_bytes() // group.rows_per_block)
    return Plan(
        config=config,
        programs=len(rows),
        lanes=min(config.lanes(len(rows)), len(rows)),
        groups=described,
        flushes=flushes,
        calls=calls,
        blocks=blocks,
        rows=total,
        padded_rows=padding,
        largest_call=largest,
        compilations=len(kernels),
        evaluations=sum(steps) + len(steps),
        call_bytes=most_bytes,
        warnings=tuple(_warnings(rows, members, described)),
        steps_per_call=max((group.steps_per_call for group in described), default=STEPS_PER_CALL),
    )


def with_hosted(plan: Plan, programs: Mapping[Any, Program], hostings: Sequence[Hosting]) -> Plan:
    """The plan of the compiled programs, with what can be said about the hosted ones.

    Args:
        plan: of the compiled ones among the programs.
        programs: all of them, in the ensemble's order.
        hostings: of the hosted ones.
    """
    positions = {
        hosted: [p for p, q in enumerate(programs.values()) if q.hosted is hosted] for hosted in (False, True)
    }
    names, everything = list(programs), list(programs.values())
    compiled = [
        replace(group, programs=tuple(positions[False][p] for p in group.programs)) for group in plan.groups
    ]
    members: dict[Any, list[int]] = {}
    own: dict[int, Subject] = {}
    for position, hosting in zip(positions[True], hostings, strict=True):
        if hosting.subject is not None:
            members.setdefault(hosting.subject.key, []).append(position)
            own[position] = hosting.subject
    hosted = [
        _hosted_group([everything[p] for p in group], own[group[0]], group, [names[p] for p in group])
        for group in members.values()
    ]
    rows = [_most_rows(everything[p], own.get(p)) for p in positions[True]]
    number = len(positions[True])
    lanes = min(plan.config.lanes(number), number)
    return replace(
        plan,
        programs=len(programs),
        lanes=max(plan.lanes, lanes),
        groups=(*compiled, *hosted),
        hosted=number,
        hosted_rows=None if None in rows else sum(r for r in rows if r is not None),
    )


def _hosted_group(
    programs: Sequence[Program], subject: Subject, members: Sequence[int], names: Sequence[Any]
) -> Group:
    how = dict.fromkeys(
        repr(p.optimizer) if isinstance(p.optimizer, HostedOptimizer) else "run of its own" for p in programs
    )
    return Group(
        description=programs[0].describe(),
        programs=tuple(members),
        names=tuple(names),
        rows_per_block=subject.rows_per_block,
        rows_alone=subject.block_size(1),
        row_bytes=sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(subject.row)),
        state_bytes=subject.state_bytes,
        optimizer=" or ".join(how) if len(how) < 3 else f"{len(how)} hosted optimisers",
        reason=programs[0].reason(),
        hosted=True,
    )


def _most_rows(program: Program, subject: Subject | None) -> int | None:
    if type(program).run is not Program.run or subject is None:
        return None
    return program.optimizer.most_rows(subject.num_parameters)


def resident_blocks(group: Group, size: int, limit: int) -> int:
    """How many blocks of a call run at a time: as many as the memory limit allows, at least one."""
    return max(1, limit // max(1, size * group.block_bytes() // group.rows_per_block))


def _group(
    programs: Sequence[Program], rows: Sequence[Row], members: Sequence[int], names: Sequence[Any]
) -> Group:
    program, row, state_bytes = programs[0], rows[0], programs[0].state_bytes()
    return Group(
        description=program.describe(),
        programs=tuple(members),
        names=tuple(names),
        rows_per_block=row.rows_per_block,
        rows_alone=row.rows_alone,
        row_bytes=sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(row)),
        state_bytes=state_bytes,
        optimizer=row.optimizer.kind,
        reason=program.reason(),
        steps_per_call=steps_per_call(row.rows_per_block * state_bytes),
        steps=tuple(int(own.steps) for own in rows),
        lengths=tuple(own.length for own in rows),
    )


def _warnings(rows: Sequence[Row], members: Sequence[Sequence[int]], groups: Sequence[Group]) -> list[str]:
    """Groups that differ in nothing but which optax transformation, or which copy of a loss, they hold."""
    alike: dict[tuple[str, Any], list[int]] = {}
    for number, group in enumerate(members):
        row = rows[group[0]]
        shapes = tuple((np.shape(a), np.asarray(a).dtype.str) for a in jax.tree.leaves(row))
        rest = (jax.tree.structure((row.data, row.parameters)), shapes)
        if row.optimizer.kind == "optax":
            alike.setdefault((_SHARE_OPTIMIZER, (rest, row.loss)), []).append(number)
        code = getattr(row.loss.value, "__code__", None)
        if code is not None:
            optimizer = jax.tree.structure(row.optimizer)
            alike.setdefault((_SHARE_LOSS, (rest, optimizer, code)), []).append(number)
    return [
        f"{len(numbers)} groups (such as that of {display_name(groups[numbers[0]].names[0])!r}) differ only in {advice}"
        for (advice, _), numbers in alike.items()
        if len(numbers) > 1
    ]


_SHARE_OPTIMIZER = (
    "their optax transformation objects, which are never equal to each other; use ensembles.adam & co. or one shared "
    "object, and they share a compiled call"
)
_SHARE_LOSS = (
    "their loss, the same code made into a new function each time; define it once, put what differs into `data`, and "
    "they share a compiled call"
)
