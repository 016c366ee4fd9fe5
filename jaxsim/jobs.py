"""`Job`: chunks under way on an executor."""

from __future__ import annotations

import concurrent.futures
import math
import numbers
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

from jaxsim.job_errors import ChunkFailure, JobCancelledError, JobError, in_text, job_error
from jaxsim.job_items import Header
from jaxsim.job_result import Result
from jaxsim.splitting import in_words
from jaxsim.worker import ChunkResult

__all__ = ["Job", "JobCancelledError", "JobError", "JobStatus"]


class JobStatus(StrEnum):
    """How far a job, or a chunk of it, is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    ERROR = "error"


class Job:
    """Circuits under way. `Simulator.run` makes jobs.

    Chunks that are submitted run to their end, whatever happens to others.

    Attributes:
        job_id: a name of its own.
        chunks: the positions of the circuits of each chunk.
    """

    def __init__(
        self,
        headers: Sequence[Header],
        chunks: Sequence[range],
        metadata: dict[str, Any],
    ) -> None:
        self.job_id = uuid.uuid4().hex
        self.chunks: tuple[range, ...] = tuple(chunks)
        self._headers = tuple(headers)
        self._metadata = {"job_id": self.job_id, **metadata}
        self._futures: list[Any] = [None] * len(chunks)
        self._outcomes: list[ChunkResult | BaseException | None] = [None] * len(chunks)
        self._started = time.perf_counter()
        self._finished = self._started
        self._lock = threading.RLock()
        self._result: Result | None = None

    # submission, by Simulator -----------------------------------------------------------------------------

    def _submit(self, submit: Callable[[int], Any]) -> None:
        """Submits all chunks. What cannot be submitted counts as failed, unless it is the first.

        Raises:
            RuntimeError: if the executor takes no work at all.
        """
        for number in range(len(self.chunks)):
            try:
                future = submit(number)
                if not callable(getattr(future, "result", None)):
                    raise TypeError(
                        "executor.submit must return a future with result(timeout), but returned "
                        f"{_named(future)}"
                    )
            except Exception as error:
                if number == 0:
                    raise RuntimeError(
                        f"the executor takes no work, so nothing was submitted: {in_text(error)}. Give an executor "
                        "that is not shut down or broken, such as concurrent.futures.ThreadPoolExecutor(4)."
                    ) from error
                for rest in range(number, len(self.chunks)):
                    self._outcomes[rest] = error
                break
            self._futures[number] = future
            self._notice_end(future)

    def _notice_end(self, future: Any) -> None:
        def note(_: Any) -> None:
            self._finished = time.perf_counter()

        if hasattr(future, "add_done_callback"):
            future.add_done_callback(note)

    # waiting ----------------------------------------------------------------------------------------------

    def result(self, timeout: float | None = None) -> Result:
        """Waits for all chunks and gives the result, in input order; the same object every time.

        Args:
            timeout: seconds for the whole job from now on, 0 or less for what is there by now; None: as long as it
                takes.

        Warns:
            Of what the workers noticed, such as shots that left a loop at its bound; once.

        Raises:
            TypeError, ValueError: a timeout that is no number.
            TimeoutError: the time is over. The job goes on; a later `result()` works.
            JobError: chunks failed. It names their circuits and has the first cause as its cause.
            JobCancelledError: the job was cancelled before all of it had run.
        """
        seconds = _seconds(timeout)
        deadline = None if seconds is None else time.monotonic() + seconds
        for number in range(len(self.chunks)):
            self._collect(number, deadline)
        failures = self._failures()
        if failures:
            raise job_error(failures, len(self.chunks))
        with self._lock:
            if self._result is None:
                self._result = self._made()
                for message in self._result.metadata["warnings"]:
                    warnings.warn(message, stacklevel=2)
            return self._result

    def partial_result(self) -> Result:
        """What the chunks that are finished by now gave; never waits.

        Reading a circuit that has no result raises and says why. `available` names those that have one.
        """
        for number in range(len(self.chunks)):
            if self._future_says(number, "done"):
                self._collect(number, None)
        return self._made() if self._result is None else self._result

    def _collect(self, number: int, deadline: float | None) -> None:
        """Waits for a chunk's outcome and keeps it."""
        future = self._futures[number]
        if self._outcomes[number] is not None or future is None:
            return
        left = () if deadline is None else (max(deadline - time.monotonic(), 0.0),)
        try:
            outcome = future.result(*left)
        except BaseException as error:
            if not _came_from(future, error, limited=deadline is not None):
                if isinstance(error, TimeoutError) and deadline is not None and time.monotonic() >= deadline:
                    raise TimeoutError(self._late()) from None
                raise
            outcome = error
        else:
            if not isinstance(outcome, ChunkResult):
                outcome = TypeError(
                    f"the executor's future gave {_named(outcome)}, not what the function that was submitted returns"
                )
        with self._lock:
            if self._outcomes[number] is None:
                if not hasattr(future, "add_done_callback"):
                    self._finished = time.perf_counter()
                self._outcomes[number] = outcome
                self._futures[number] = None

    def _late(self) -> str:
        open_chunks = [c for c, outcome in zip(self.chunks, self._outcomes) if outcome is None]
        waiting = in_words([index for chunk in open_chunks for index in chunk])
        return (
            f"the job was not finished within the timeout: there is no result yet for {waiting}. It goes on; call "
            "result() again, or partial_result() for what there is."
        )

    def _failures(self) -> list[ChunkFailure]:
        return [
            ChunkFailure(number, tuple(chunk), outcome)
            for number, (chunk, outcome) in enumerate(zip(self.chunks, self._outcomes))
            if isinstance(outcome, BaseException)
        ]

    def _made(self) -> Result:
        chunks: list[dict[str, Any]] = []
        data: list[dict[str, Any] | None] = [None] * len(self._headers)
        errors: dict[int, str] = {}
        for chunk, outcome in zip(self.chunks, self._outcomes):
            entry: dict[str, Any] = {"circuits": [chunk.start, chunk.stop]}
            if isinstance(outcome, ChunkResult):
                data[chunk.start : chunk.stop] = outcome.data
                entry |= {
                    "rows_per_call": list(outcome.rows_per_call),
                    "compilations": outcome.compilations,
                    "seconds": outcome.seconds,
                    "worker": outcome.worker,
                    "device": outcome.device,
                    "warnings": list(outcome.warnings),
                }
            else:
                why = "is not finished" if outcome is None else f"failed: {in_text(outcome)}"
                errors |= dict.fromkeys(chunk, why)
            chunks.append(entry)
        metadata = {
            **self._metadata,
            "seconds": max(self._finished - self._started, 0.0),
            "compilations": sum(entry.get("compilations", 0) for entry in chunks),
            "rows_per_call": [rows for entry in chunks for rows in entry.get("rows_per_call", [])],
            "warnings": [message for entry in chunks for message in entry.get("warnings", [])],
            "chunks": chunks,
        }
        return Result(self._headers, data, metadata, errors)

    # state ------------------------------------------------------------------------------------------------

    def chunk_status(self) -> list[JobStatus]:
        """The status of each chunk."""
        return [self._status_of(number) for number in range(len(self.chunks))]

    def status(self) -> JobStatus:
        """The status of the job: that of the chunk that is first in ERROR, RUNNING, QUEUED, CANCELLED, DONE.

        So a job has failed as soon as one chunk has, even if others are still running.
        """
        found = set(self.chunk_status())
        if JobStatus.QUEUED in found and JobStatus.DONE in found and JobStatus.ERROR not in found:
            return JobStatus.RUNNING
        return next(status for status in _PRECEDENCE if status in found)

    def done(self) -> bool:
        """Whether every chunk is finished, failed or cancelled."""
        return not {JobStatus.QUEUED, JobStatus.RUNNING}.intersection(self.chunk_status())

    def running(self) -> bool:
        """Whether some chunk is under way, or some are finished and others wait."""
        found = set(self.chunk_status())
        return JobStatus.RUNNING in found or {JobStatus.QUEUED, JobStatus.DONE} <= found

    def cancelled(self) -> bool:
        """Whether a chunk was cancelled before it ran."""
        return JobStatus.CANCELLED in self.chunk_status()

    def cancel(self) -> bool:
        """Cancels the chunks that have not begun; whether there were any. Those under way run to their end."""
        stopped = [
            # Dask's futures say nothing when they are told to cancel.
            self._future_says(number, "cancel") or self._future_says(number, "cancelled")
            for number in range(len(self.chunks))
            if not self._future_says(number, "done")
        ]
        return any(stopped)

    def _status_of(self, number: int) -> JobStatus:
        outcome = self._outcomes[number]
        if outcome is None and self._future_says(number, "done"):
            self._collect(number, None)
            outcome = self._outcomes[number]
        if isinstance(outcome, ChunkResult):
            return JobStatus.DONE
        if isinstance(outcome, concurrent.futures.CancelledError):
            return JobStatus.CANCELLED
        if outcome is not None:
            return JobStatus.ERROR
        return JobStatus.RUNNING if self._future_says(number, "running") else JobStatus.QUEUED

    def _future_says(self, number: int, question: str) -> bool:
        """What a method of the chunk's future says; False where the future has no such method."""
        future = self._futures[number]
        return bool(getattr(future, question, bool)())

    def __repr__(self) -> str:
        return f"Job({self.job_id[:8]}, {len(self._headers)} circuits in {len(self.chunks)} chunks, {self.status()})"


_PRECEDENCE = (JobStatus.ERROR, JobStatus.RUNNING, JobStatus.QUEUED, JobStatus.CANCELLED, JobStatus.DONE)


# futures --------------------------------------------------------------------------------------------------


def _came_from(future: Any, error: BaseException, *, limited: bool) -> bool:
    """Whether an error is what became of a future's work, rather than of waiting for it: Ctrl-C, an alarm, a timeout.

    Args:
        future: any executor's.
        error: what its result() raised.
        limited: whether it was given a timeout.
    """
    if not getattr(future, "done", lambda: True)():
        return False
    if isinstance(error, concurrent.futures.CancelledError):
        return True
    if hasattr(future, "exception"):
        # Dask makes the error anew each time, so that it is known by its class.
        return type(error) is type(future.exception())
    return isinstance(error, Exception) and not (limited and isinstance(error, TimeoutError))


def _seconds(timeout: Any) -> float | None:
    """A timeout as futures take it; None for one that is longer than threads can wait."""
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, numbers.Real):
        raise TypeError(f"timeout must be a number of seconds, or None, but {timeout!r} was given.")
    seconds = float(timeout)
    if math.isnan(seconds):
        raise ValueError("timeout must be a number of seconds, or None, but NaN was given.")
    return None if seconds >= threading.TIMEOUT_MAX else seconds


def _named(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
