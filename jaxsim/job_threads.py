"""Threads for jobs that were given no executor: they end with the job, or with the interpreter."""

from __future__ import annotations

import atexit
import itertools
import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Thread, current_thread
from typing import Any

__all__ = ["in_threads"]

Waiting = deque[tuple[Future, Callable[[], Any]]]
"""What has not begun."""

_under_way: dict[Thread, Waiting] = {}
_numbers = itertools.count()

# Threads do not survive a fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_under_way.clear)


def in_threads(work: Sequence[Callable[[], Any]], number: int) -> list[Future]:
    """Starts work in order, so many at a time.

    When the interpreter ends, what has not begun is cancelled, and what is under way runs to its end. A pool of the
    standard library would do all of it first, so that a script went on after Ctrl-C.

    Returns:
        A future for each.

    Example:
        >>> [future.result() for future in in_threads([lambda: 1, lambda: 2], 1)]
        [1, 2]
    """
    futures = [Future() for _ in work]
    waiting: Waiting = deque(zip(futures, work, strict=True))
    for _ in range(number):
        Thread(target=_work, args=(waiting,), name=f"jaxsim-job-{next(_numbers)}", daemon=True).start()
    return futures


def _work(waiting: Waiting) -> None:
    _under_way[current_thread()] = waiting
    while taken := _next(waiting):
        _finish(*taken)
    del _under_way[current_thread()]


def _next(waiting: Waiting) -> tuple[Future, Callable[[], Any]] | None:
    try:
        return waiting.popleft()
    except IndexError:
        return None


def _finish(future: Future, work: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)


@atexit.register
def _end() -> None:
    threads = dict(_under_way)
    for waiting in threads.values():
        for future, _ in list(waiting):
            future.cancel()
    for thread in threads:
        thread.join()
