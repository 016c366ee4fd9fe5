"""What is raised when chunks of a job fail."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jaxsim.splitting import in_words

__all__ = ["ChunkFailure", "JobCancelledError", "JobError", "in_text", "job_error"]


@dataclass(frozen=True)
class ChunkFailure:
    """Why a chunk has no result.

    Attributes:
        chunk: its number.
        indices: its circuits.
        error: what was raised.
    """

    chunk: int
    indices: tuple[int, ...]
    error: BaseException


class JobError(Exception):
    """Some chunks of a job failed; `partial_result()` of the job has the others.

    Attributes:
        failures: a `ChunkFailure` for each of them.
        indices: the circuits that have no result.
    """

    def __init__(self, message: str, failures: Sequence[ChunkFailure] = ()) -> None:
        super().__init__(message)
        self.failures = tuple(failures)
        self.indices = tuple(index for failure in failures for index in failure.indices)

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (str(self), self.failures))


class JobCancelledError(JobError, concurrent.futures.CancelledError):
    """The job was cancelled before all of it had run."""


_DIED = "A worker process may have been killed, or have had too little memory"
_HINTS = {
    "BrokenProcessPool": (
        f"{_DIED}; and a script that starts processes must do so under `if __name__ == '__main__':`, since each "
        "of them imports it"
    ),
    "KilledWorker": _DIED,
}
"""What to look for, by the class of an error; by name, so that none of these modules is imported."""


def in_text(error: BaseException) -> str:
    """An error for messages: its class, what it says and what to look for, without the last full stop.

    >>> in_text(ValueError("no."))
    'ValueError: no'
    """
    said = f"{type(error).__name__}: {error}".rstrip(": .")
    hint = _HINTS.get(type(error).__name__)
    return f"{said}. {hint}" if hint else said


def job_error(failures: Sequence[ChunkFailure], chunks: int) -> JobError:
    """What to raise for the failures of a job of so many chunks; its cause is the first of them."""
    circuits = in_words([index for failure in failures for index in failure.indices])
    others = "partial_result() has the others."
    broken = [f for f in failures if not isinstance(f.error, concurrent.futures.CancelledError)]
    first = (broken or failures)[0]
    if broken:
        share = f"{len(failures)} of {chunks} chunks" if chunks > 1 else "the job"
        error = JobError(
            f"{share} failed, so there is no result for {circuits}. The first cause, in chunk {first.chunk}: "
            f"{in_text(first.error)}. The job's {others}",
            failures,
        )
    else:
        error = JobCancelledError(f"the job was cancelled before {circuits} ran; {others}", failures)
    error.__cause__ = first.error
    return error
