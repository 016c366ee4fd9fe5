"""Repeated layers of a circuit as loops, so that compile time does not grow with depth."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["Repeat", "roll"]


class Repeat(NamedTuple):
    """`times` repetitions of a sequence of operations, run as one loop."""

    times: int
    items: tuple[Any, ...]


def roll(items: tuple[Any, ...]) -> tuple[Any, ...]:
    """Repeated sequences as loops: at each place the repetition that covers most, the shortest first.

    What comes before the first full repetition and after the last one stays as it is, so layers that differ
    at the ends do not hinder.

    Args:
        items: hashable operations in time order.

    Example:
        >>> roll(("h", "cx", "rz", "cx", "rz", "m"))
        ('h', Repeat(times=2, items=('cx', 'rz')), 'm')
    """
    rolled: list[Any] = []
    start = 0
    # Small integers compare faster than operations.
    codes: dict[Any, int] = {}
    names = [codes.setdefault(item, len(codes)) for item in items]
    while start < len(items):
        times, period = _best_repetition(names, start)
        # A loop around two short operations costs more than it saves; three or more times always pays.
        if times > 1:
            rolled.append(Repeat(times, items[start : start + period]))
            start += times * period
        else:
            rolled.append(items[start])
            start += 1
    return tuple(rolled)


def _best_repetition(names: list[int], start: int) -> tuple[int, int]:
    """(times, period) of the repetition from `start` on that covers most."""
    best = (0, 0)
    length = len(names) - start
    for period in range(1, length // 2 + 1):
        # The run in which each item equals the one a period before
        run = start + period
        while run < len(names) and names[run] == names[run - period]:
            run += 1
        times = (run - start) // period
        if times > 1 and times * period > best[0] * best[1]:
            best = (times, period)
    return best
