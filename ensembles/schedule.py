"""Lanes and flushes: who is under way, and whose rows go off together.

The planner and the driver walk the same `Lanes`, the one with the number of steps each program will take, the
other with what really happens; so the plan is what will happen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from ensembles.config import BatchConfig, BatchMode
from ensembles.names import natural_key

__all__ = [
    "STEPS_PER_CALL",
    "Lanes",
    "block_size",
    "calls_of_flush",
    "least_rows",
    "steps_of_block",
    "steps_per_call",
]

STEPS_PER_CALL = 64
"""Evaluations that a call makes for each of its rows at most: enough that the host's work between calls is
small."""

_MANY_STEPS = 1024

_BYTES_OF_LONG_CALLS = 4 * 2**20


def steps_per_call(state_bytes: int) -> int:
    """Most evaluations that a call makes for a row, by the bytes of its block's states: a second's worth or so."""
    return max(1, min(STEPS_PER_CALL, STEPS_PER_CALL * _BYTES_OF_LONG_CALLS // max(state_bytes, 1)))


def block_size(rows_per_block: int, rows_alone: int, rows: int, used: set[int], left: int) -> int:
    """Rows of the blocks of a call.

    A row alone does not pay for a block. But the last one left of many goes on in the block's kernel, which is there,
    unless it has so far to go that another kernel pays.

    Args:
        rows_per_block, rows_alone: the group's.
        rows: of the call.
        used: sizes that the group has had before; entered here.
        left: most evaluations that one of the rows may still make.
    """
    size = rows_alone if rows == 1 else rows_per_block
    if size not in used and rows_per_block in used and left < _MANY_STEPS:
        size = rows_per_block
    used.add(size)
    return size


def least_rows(rows: int, others: bool) -> int:
    """With fewer rows than this left a block ends its call early: a quarter may idle, where others could have
    their places.

    Args:
        rows: of the block, padding apart.
        others: whether programs wait, or run in other blocks of the call.
    """
    return rows - rows // 4 if others else 0


def steps_of_block(left: Sequence[int], budget: int, least: int) -> int:
    """How many evaluations a block makes, if its rows have this many left each."""
    enough = sorted(left, reverse=True)[max(least, 1) - 1]
    return min(budget, enough)


class Lanes:
    """The programs under way, each in its lane, and those that wait.

    Args:
        line: all programs, in the order in which they get lanes.
        config: how many lanes, and what triggers a flush.
        ended: those that have ended before.
    """

    def __init__(self, line: Sequence[int], config: BatchConfig, ended: Collection[int] = ()) -> None:
        lanes = config.lanes(len(line))
        line = [program for program in line if program not in ended]
        lanes = min(lanes, len(line))
        self._lanes: list[int | None] = list(line[:lanes])
        self._lane_of = {program: lane for lane, program in enumerate(line[:lanes])}
        self._waiting = deque(line[lanes:])
        self._trigger = 1 if config.mode is BatchMode.OFF else config.max_batch_size

    @property
    def under_way(self) -> bool:
        """Whether any program still holds a lane."""
        return bool(self._lane_of)

    def lane(self, program: int) -> int:
        """The lane of a program that is under way."""
        return self._lane_of[program]

    @property
    def line(self) -> bool:
        """Whether programs wait for a lane."""
        return bool(self._waiting)

    def walk(self) -> Iterator[list[int]]:
        """One walk along the lanes, cut into flushes: lists of the programs that submit a row each.

        Programs that leave during the walk leave their lane to the next in line, who submits from the next
        walk on.
        """
        pending: list[int] = []
        for program in list(self._lanes):
            if program is None:
                continue
            pending.append(program)
            if self._trigger is not None and len(pending) >= self._trigger:
                yield pending
                pending = []
        if pending:
            yield pending

    def leave(self, program: int) -> None:
        """The program has ended; the next in line takes its lane."""
        lane = self._lane_of.pop(program)
        following = self._waiting.popleft() if self._waiting else None
        self._lanes[lane] = following
        if following is not None:
            self._lane_of[following] = lane


def calls_of_flush(
    flush: Sequence[int], groups: Sequence[int], keys: Sequence[Any], config: BatchConfig
) -> list[tuple[int, list[int]]]:
    """The calls of a flush: (group, its programs), one a group unless that exceeds `max_rows_per_call`.

    Args:
        flush: the programs whose rows are pending.
        groups: the group of every program.
        keys: the name of every program, which decides the order in a call if the configuration asks for that.
        config: the configuration.
    """
    members: dict[int, list[int]] = {}
    for program in flush:
        members.setdefault(groups[program], []).append(program)
    calls = []
    for group, programs in members.items():
        if config._sort_programs:
            programs.sort(key=lambda p: natural_key(keys[p]))
        size = config.max_rows_per_call or len(programs)
        calls.extend((group, programs[start : start + size]) for start in range(0, len(programs), size))
    return calls
