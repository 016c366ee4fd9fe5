"""Ctrl-C, held back while something is done that must not be cut in two."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["interrupts_wait"]


@contextmanager
def interrupts_wait(then: Callable[[], Any] = lambda: None) -> Iterator[None]:
    """A block that Ctrl-C does not cut.

    Args:
        then: called at the end of the block in place of a KeyboardInterrupt, if Ctrl-C came.

    Example:
        >>> with interrupts_wait(lambda: print("then it came")):
        ...     signal.raise_signal(signal.SIGINT)
        ...     print("done")
        done
        then it came
    """
    before = signal.getsignal(signal.SIGINT)
    # No other thread hears Ctrl-C; and there may be nothing of Python's that listens to it.
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    came: list[tuple[Any, ...]] = []
    signal.signal(signal.SIGINT, lambda *given: came.append(given))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        try:
            if came:
                before(*came[0])
        except KeyboardInterrupt:
            then()
