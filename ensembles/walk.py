"""The flushes of a plan, one after the other, as they will be if every program takes all its steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ensembles.config import BatchConfig
from ensembles.schedule import Lanes, block_size, calls_of_flush, least_rows, steps_of_block

if TYPE_CHECKING:
    from ensembles.planner import Group

__all__ = ["PlannedCall", "line_of", "planned_flushes"]


class PlannedCall(NamedTuple):
    """A call of a flush.

    Attributes:
        group: number of the group.
        programs: whose rows are in it, in their order.
        block_size: rows of its blocks.
    """

    group: int
    programs: Sequence[int]
    block_size: int

    @property
    def blocks(self) -> int:
        """How many blocks."""
        return -(-len(self.programs) // self.block_size)

    @property
    def padded_rows(self) -> int:
        """Rows that only fill the last block."""
        return self.blocks * self.block_size - len(self.programs)


def line_of(groups: Sequence[Group]) -> list[int]:
    """The order in which programs get lanes: group by group, so that blocks are full; in a group those of a length
    together, as a block takes as long as its longest row; else in the order of the ensemble."""
    return [p for group in groups for _, p in sorted(zip(group.lengths, group.programs, strict=True))]


def planned_flushes(
    groups: Sequence[Group],
    group_of: Sequence[int],
    names: Sequence[Any],
    steps: Sequence[int],
    config: BatchConfig,
    lanes: Lanes | None = None,
) -> Iterator[list[PlannedCall]]:
    """The calls of each flush. Walks as the driver does, without running anything.

    Args:
        groups: the groups.
        group_of: the group of every program.
        names: the name of every program.
        steps: how many updates every program makes.
        config: the configuration.
        lanes: to walk along, for callers who want to see who sits where; their own by default.
    """
    left = [own + 1 for own in steps]  # evaluations
    sizes: list[set[int]] = [set() for _ in groups]
    lanes = Lanes(line_of(groups), config) if lanes is None else lanes
    while lanes.under_way:
        for flush in lanes.walk():
            made = []
            for number, programs in calls_of_flush(flush, group_of, names, config):
                group = groups[number]
                longest = max(left[p] for p in programs)
                size = block_size(
                    group.rows_per_block, group.rows_alone, len(programs), sizes[number], longest
                )
                others = lanes.line or len(programs) > size
                for start in range(0, len(programs), size):
                    block = programs[start : start + size]
                    least = least_rows(len(block), others)
                    ahead = steps_of_block([left[p] for p in block], group.steps_per_call, least)
                    for program in block:
                        left[program] = max(left[program] - ahead, 0)
                made.append(PlannedCall(number, programs, size))
            yield made
            for program in flush:
                if left[program] == 0:
                    lanes.leave(program)
