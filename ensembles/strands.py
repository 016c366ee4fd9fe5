"""How lanes of hosted programs sleep and are woken: each in a thread of its own, or several in one.

To wake a thread takes the system some 20 us, mostly on another core, where it finds cold caches. Python that waits for
nothing but `evaluate` can do without: as a greenlet (https://greenlet.readthedocs.io) it has a stack of its own, but
shares a thread with others, and passing the turn from one to the other takes some 1 us. Without the library greenlet
every lane has a thread.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache, partial
from queue import SimpleQueue
from typing import Any, Protocol

from jaxsim.threads import as_here

__all__ = ["Sleep", "Strand", "sleep_here", "threads_can_be_shared"]


class Sleep(Protocol):
    """One sleep of one lane."""

    def sleep(self) -> None:
        """Returns when somebody has called `wake`, be it before or after this."""
        ...

    def wake(self) -> None:
        """Ends the sleep, from any thread; again, it does nothing."""
        ...


class Strand:
    """A thread that carries lanes: one, or several as greenlets.

    Lanes of several should wait for nothing but their sleeps, and sleep in Python only. One that waits in another way,
    or runs for long, holds up the others; and C code that calls back, JAX's traces and settings keep a state for each
    thread, which the lanes would mix up.

    Args:
        lanes: how many.

    Attributes:
        lanes: how many.
        thread: the thread; None before `start`.

    Example:
        >>> strand, told = Strand(1), []
        >>> sleep = strand.new_sleep()
        >>> strand.start([lambda: (sleep.sleep(), told.append("awake"))], "an example")
        >>> sleep.wake(), strand.join(), told
        (None, None, ['awake'])
    """

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self.thread: threading.Thread | None = None
        self._woken: SimpleQueue[_SharedSleep] = SimpleQueue()
        self._hub: Any = None
        self._under_way = 0

    @property
    def shared(self) -> bool:
        """Whether it carries several lanes."""
        return self.lanes > 1

    @property
    def begun(self) -> bool:
        """Whether its thread has been started."""
        return self.thread is not None and self.thread.ident is not None

    def join(self) -> None:
        """Waits for the thread, if it has been started."""
        if self.thread is not None and self.begun:
            self.thread.join()

    def new_sleep(self) -> Sleep:
        """A sleep for a lane of this strand."""
        return _SharedSleep(self) if self.shared else _ThreadSleep()

    def start(self, lanes: Sequence[Callable[[], Any]], name: str) -> None:
        """Starts the thread, with the options of JAX that are in force here.

        Args:
            lanes: as many functions as were announced.
            name: of the thread.

        Raises:
            RuntimeError: the system has no more threads.
        """
        target = partial(self._carry, lanes) if self.shared else lanes[0]
        # One that never ends must not keep the process alive.
        self.thread = threading.Thread(target=as_here(target), name=name, daemon=True)
        self.thread.start()

    def _carry(self, lanes: Sequence[Callable[[], Any]]) -> None:
        _here.strand, self._hub = self, _module().getcurrent()
        self._under_way = len(lanes)
        for lane in lanes:
            _module().greenlet(partial(self._to_its_end, lane)).switch()
        while self._under_way:
            sleeper = self._woken.get().sleeper
            if sleeper is not None:  # else it did not go to sleep after all, or is awake already
                sleeper.switch()
        # Else greenlet would go through all objects that there are, when the thread ends, to find who keeps it.
        self._hub = None

    def _to_its_end(self, lane: Callable[[], Any]) -> None:
        try:
            lane()
        except BaseException:  # told as the end of a thread would be; the others have theirs before them
            threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))
        finally:
            self._under_way -= 1


class _ThreadSleep:
    """Of a thread of its own."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def sleep(self) -> None:
        self._lock.acquire()

    def wake(self) -> None:
        with suppress(RuntimeError):  # woken already
            self._lock.release()


class _SharedSleep:
    """Of a lane among others of its thread.

    Attributes:
        sleeper: the greenlet, while it sleeps.
    """

    __slots__ = ("_awake", "_strand", "sleeper")

    def __init__(self, strand: Strand) -> None:
        self._strand, self._awake = strand, False
        self.sleeper: Any = None

    def sleep(self) -> None:
        self.sleeper = _module().getcurrent()
        while not self._awake:
            self._strand._hub.switch()
        self.sleeper = None

    def wake(self) -> None:
        self._awake = True
        self._strand._woken.put(self)


_here = threading.local()


def sleep_here() -> Sleep:
    """A sleep for whoever asks, in this thread."""
    strand = getattr(_here, "strand", None)
    return _ThreadSleep() if strand is None else strand.new_sleep()


@cache
def _module() -> Any:
    """The library greenlet; None where it is not installed."""
    try:
        import greenlet
    except ImportError:
        return None
    return greenlet


def threads_can_be_shared() -> bool:
    """Whether a strand can carry several lanes."""
    return _module() is not None
