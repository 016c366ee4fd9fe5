"""Turns: which hosted programs run their own Python at a time.

Threads of one interpreter that all want to run hand the interpreter lock to and fro, mostly between cores, which
costs more than the work in many an optimiser's step. So programs that have their answers line up, and the next one
goes when the one before submits or ends. Who takes long (or sleeps, or waits for a file) does not hold up the rest:
`hurry`, called by a clock, lets more and more of them go.

A plain state machine without threads, locks or clocks, like `ensembles.barrier`.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["Turns"]

Item = TypeVar("Item")


class Turns(Generic[Item]):
    """A line of programs, and those whose turn it is. Items are whatever has to be woken up.

    Attributes:
        served: how many turns have begun; a clock that sees the same number twice calls `hurry`.

    Example:
        >>> turns = Turns[str]()
        >>> turns.line_up("a", "wake a"), turns.line_up("b", "wake b")
        (None, None)
        >>> turns.next(), turns.next()  # b waits for a
        (['wake a'], [])
        >>> turns.pause("a")
        >>> turns.next()
        ['wake b']
    """

    def __init__(self) -> None:
        self._line: dict[Hashable, list[Item]] = {}
        self._running: set[Hashable] = set()
        self._at_once = 1
        self.served = 0

    def __bool__(self) -> bool:
        """Whether anybody is in line."""
        return bool(self._line)

    def line_up(self, program: Hashable, item: Item) -> None:
        """The program has something to go on with; several items of a program get their turn together."""
        self._line.setdefault(program, []).append(item)

    def pause(self, program: Hashable) -> None:
        """The program waits for an answer, or has ended."""
        self._running.discard(program)
        self._at_once = 1

    def resume(self, program: Hashable) -> None:
        """The program goes on without having been in line."""
        self._running.add(program)

    def next(self) -> list[Item]:
        """Whom to wake up now: the first in line if nobody is running."""
        return [] if self._running else self._serve(1)

    def hurry(self) -> list[Item]:
        """Whom to wake up because those running take long: one, then two, four, ... until somebody pauses.

        Nobody has to wait any more for those who were running.
        """
        self._running.clear()
        items = self._serve(self._at_once)
        self._at_once *= 2
        return items

    def _serve(self, programs: int) -> list[Item]:
        items: list[Item] = []
        for program in list(self._line)[:programs]:
            items += self._line.pop(program)
            self._running.add(program)
            self.served += 1
        return items
