"""A run in the background, as the one who started it sees it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ensembles.hosted import HEARTBEAT
from ensembles.result import EnsembleError, EnsembleResult
from jaxsim.threads import as_here

__all__ = ["RunHandle"]


class RunHandle:
    """A run that goes on in the background; made by `ProgramEnsemble.start`."""

    def __init__(self, run: Callable[[], EnsembleResult], cancel: Callable[[], None]) -> None:
        self._run, self._cancel = run, cancel
        self._result: EnsembleResult | None = None
        self._error: BaseException | None = None
        # Not the thread's own state: a `Thread.join` that Ctrl-C interrupts may take the thread for ended.
        self._ended = threading.Event()
        self._thread = threading.Thread(target=as_here(self._execute), name="ensembles run")
        self._thread.start()

    def _execute(self) -> None:
        try:
            self._result = self._run()
        except BaseException as error:
            self._error = error
        finally:
            self._ended.set()

    def done(self) -> bool:
        """Whether the run has ended."""
        return self._ended.is_set()

    def cancel(self) -> None:
        """Ends the run after the calls in flight; `join` then returns what there is."""
        self._cancel()

    def join(self, timeout: float | None = None) -> EnsembleResult:
        """Waits for the run; its result, every time. Ctrl-C cancels the run and returns what there is.

        Args:
            timeout: seconds to wait; None: without a limit.

        Raises:
            TypeError: a timeout that is not a number.
            TimeoutError: the run is not done; it goes on.
            EnsembleError: as in `ProgramEnsemble.run`.
        """
        if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int | float)):
            raise TypeError(f"join: timeout is a number of seconds, or None, but {timeout!r:.60} was given.")
        deadline = float("inf") if timeout is None else time.monotonic() + timeout
        while not self._ended.is_set() and time.monotonic() < deadline:
            try:
                self._ended.wait(min(HEARTBEAT, deadline - time.monotonic()))
            except KeyboardInterrupt:
                self._cancel()
                deadline = float("inf")
        if not self._ended.is_set():
            raise TimeoutError(f"join: the run is not done after {timeout:g} seconds; it goes on.")
        if isinstance(self._error, EnsembleError):
            raise EnsembleError(self._error.result)
        if self._error is not None or self._result is None:
            raise self._error or RuntimeError("join: the run ended without a result.")
        return self._result

    def __repr__(self) -> str:
        return f"<run: {'done' if self.done() else 'going on'}>"
