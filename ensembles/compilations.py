"""How often the backend compiled something, as `jax.monitoring` reports it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from jax import monitoring

__all__ = ["Compilations", "count_compilations"]

COMPILE_EVENT = "/jax/core/compile/backend_compile_duration"


@dataclass
class Compilations:
    """What `count_compilations` has counted so far.

    Attributes:
        intervals: when each backend compilation began and ended, by `time.perf_counter`.
    """

    intervals: list[tuple[float, float]] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Number of backend compilations."""
        return len(self.intervals)

    @property
    def seconds(self) -> float:
        """Time in which at least one was under way."""
        total, covered = 0.0, float("-inf")
        for begin, end in sorted(self.intervals):
            total += max(0.0, end - max(begin, covered))
            covered = max(covered, end)
        return total


_lock = threading.Lock()
_counters: dict[int, Compilations] = {}
_listening = False


def _on_event(event: str, duration_secs: float, **_: str | int) -> None:
    if event != COMPILE_EVENT:
        return
    end = time.perf_counter()
    with _lock:
        for counter in _counters.values():
            counter.intervals.append((end - duration_secs, end))


@contextmanager
def count_compilations() -> Iterator[Compilations]:
    """Counts the backend compilations of the whole process while the block runs, in every thread.

    Small functions that JAX compiles on its own account (eager operations) count as well; a program that
    JAX's persistent compilation cache provides counts with the time it took to load. May be nested.

    Yields:
        `Compilations`, which keeps its numbers after the block.

    Example:
        >>> import jax, numpy as np
        >>> f = jax.jit(lambda x: 2 * x)
        >>> with count_compilations() as compiled:
        ...     _ = f(np.float32(1)), f(np.float32(2))
        >>> compiled.count
        1
    """
    global _listening
    counter = Compilations()
    with _lock:
        # One listener that stays: not every supported JAX can take one away again, and taking one away while
        # another thread compiles could lose an event of its neighbour.
        if not _listening:
            monitoring.register_event_duration_secs_listener(_on_event)
            _listening = True
        _counters[id(counter)] = counter
    try:
        yield counter
    finally:
        with _lock:
            del _counters[id(counter)]
