"""The merge barrier: whose rows are pending, and when they go off together.

A plain state machine without threads, locks or clocks; `ensembles.hosted` holds the lock. After every event the
rule is tested, so that whatever happens there are never due requests that nobody sends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from typing import Generic, NamedTuple, TypeVar

__all__ = ["Barrier", "BarrierClosedError", "Left", "NotUnderWayError"]

Request = TypeVar("Request")


class NotUnderWayError(LookupError):
    """A submission of a program that is not under way: not begun, or ended."""


class BarrierClosedError(RuntimeError):
    """A submission after the barrier was closed."""


class Left(NamedTuple, Generic[Request]):
    """What a program leaves behind.

    Attributes:
        flush: requests of others that are due now.
        dropped: its own requests that were pending.
    """

    flush: list[Request]
    dropped: list[Request]


class Barrier(Generic[Request]):
    """Collects requests until they are due.

    They are due, all that are pending, as soon as every program under way has one pending, or `trigger` rows
    are. A program whose requests are in flight is under way and has none pending.

    Args:
        trigger: rows that make everything pending due; None: only the other rule.

    Example:
        >>> barrier = Barrier[str](trigger=None)
        >>> barrier.enter(["a", "b"])
        >>> barrier.submit("a", "row of a", 1)
        []
        >>> barrier.submit("b", "row of b", 1)
        ['row of a', 'row of b']
    """

    def __init__(self, trigger: int | None = None) -> None:
        self._trigger = trigger
        self._under_way: set[Hashable] = set()
        self._pending: list[tuple[Hashable, Request, int]] = []
        self._requests_of: Counter[Hashable] = Counter()
        self._rows = 0
        self.closed = False

    @property
    def under_way(self) -> frozenset[Hashable]:
        """The programs that have entered and not left."""
        return frozenset(self._under_way)

    @property
    def pending(self) -> tuple[Request, ...]:
        """The requests that wait, in order of arrival."""
        return tuple(request for _, request, _ in self._pending)

    def enter(self, programs: Iterable[Hashable]) -> None:
        """These programs are under way from now on."""
        self._under_way.update(programs)

    def submit(self, program: Hashable, request: Request, rows: int) -> list[Request]:
        """A request of a program under way; what is due now, in order of arrival.

        Args:
            program: whose; it may have any number pending.
            request: anything.
            rows: how many rows it has; a request of no rows waits like any other.

        Raises:
            BarrierClosedError: the barrier is closed.
            NotUnderWayError: the program is not under way.
        """
        if self.closed:
            raise BarrierClosedError
        if program not in self._under_way:
            raise NotUnderWayError(program)
        self._pending.append((program, request, rows))
        self._requests_of[program] += 1
        self._rows += rows
        return self._due()

    def leave(self, program: Hashable, following: Hashable | None = None) -> Left[Request]:
        """The program has ended; `following`, if given, takes its lane at once. Unknown programs are none to us."""
        self._under_way.discard(program)
        dropped = []
        if self._requests_of.pop(program, 0):
            dropped = [request for owner, request, _ in self._pending if owner == program]
            self._rows -= sum(rows for owner, _, rows in self._pending if owner == program)
            self._pending = [entry for entry in self._pending if entry[0] != program]
        if following is not None:
            self._under_way.add(following)
        return Left(self._due(), dropped)

    def close(self) -> list[Request]:
        """Nothing goes through any more; what was pending."""
        self.closed = True
        return self._take()

    def _due(self) -> list[Request]:
        full = self._trigger is not None and self._rows >= self._trigger
        if self._pending and (full or len(self._requests_of) == len(self._under_way)):
            return self._take()
        return []

    def _take(self) -> list[Request]:
        taken = [request for _, request, _ in self._pending]
        self._pending.clear()
        self._requests_of.clear()
        self._rows = 0
        return taken
