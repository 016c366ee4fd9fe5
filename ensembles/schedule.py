"""Lanes and flushes: who is under way, and whose rows go off together.

The planner and the driver walk the same `Lanes`, the one with the number of steps each program will take, the
other with what really happens; so the plan is what will happen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from ensembles.config import BatchConfig, BatchMode
from ensembles.names import natural_key

__all__ = ["Lanes", "calls_of_flush"]

STEPS_PER_CALL = 64
"""Evaluations that a call makes for each of its rows at most: enough that the host's work between calls is
small."""


class Lanes:
    """The programs under way, each in its lane, and those that wait.

    Args:
        count: number of programs, named 0, 1, ... here.
        config: how many lanes, and what triggers a flush.
    """

    def __init__(self, count: int, config: BatchConfig) -> None:
        lanes = min(config.lanes(count), count)
        self._lanes: list[int | None] = list(range(lanes))
        self._waiting = deque(range(lanes, count))
        self._trigger = 1 if config.mode is BatchMode.OFF else config.max_batch_size

    @property
    def under_way(self) -> bool:
        """Whether any program still holds a lane."""
        return any(program is not None for program in self._lanes)

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
        lane = self._lanes.index(program)
        self._lanes[lane] = self._waiting.popleft() if self._waiting else None


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
