"""The hosted driver: programs that are ordinary blocking Python, each in a lane.

A lane is a thread, or shares one with others (`ensembles.strands`). It sleeps while its program waits for an answer.
Whoever submits last, so that requests are due, evaluates them, all that are pending, and then programs go on one after
another (`ensembles.turns`). No thread waits with a time limit but the one that called `run`, which keeps the clock of
the turns and hears Ctrl-C.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

import numpy as np

from ensembles.barrier import Barrier, BarrierClosedError, NotUnderWayError
from ensembles.calls import Calls
from ensembles.compiled import Counts
from ensembles.config import BatchConfig, BatchMode
from ensembles.evaluation import Cancelled, Evaluate, Record, Request, program_of
from ensembles.journal import Journal, Replay
from ensembles.names import Name, display_name
from ensembles.program import Program
from ensembles.result import ProgramResult
from ensembles.strands import Sleep, Strand, threads_can_be_shared
from ensembles.subjects import Family, Hosting, Subject
from ensembles.turns import Turns

__all__ = ["HEARTBEAT", "HostedOutcome", "HostedRun"]

PATIENCE = 0.01
"""Seconds that a program may run its own Python before others need not wait for it any more: two slices of time of
CPython's."""

HEARTBEAT = 0.25
"""Seconds after which the thread that called `run` looks up from any wait: a signal may be handed to another thread,
and not every system lets it end a wait."""

GRACE = 10.0
"""Seconds that cancelled programs get to come to their next `evaluate`, or to an end."""


@dataclass
class HostedOutcome:
    """How one program ended; arrays on the host. Fields as in `ProgramResult`."""

    status: str = "cancelled"
    error: Exception | None = None
    evaluations: int = 0
    history: np.ndarray = field(default_factory=lambda: np.zeros(0))
    best_value: float = float("nan")
    best_parameters: Any = None
    final_value: float = float("nan")
    final_parameters: Any = None
    seconds: float = 0.0
    extra: dict[str, Any] = field(default_factory=dict)


class HostedRun:
    """Runs hosted programs from the first to the last.

    Args:
        names: the programs' names.
        programs: the programs.
        hostings: what they evaluate.
        config: decides lanes and flushes.
        root: uint32 (2,), key data of the root key.
        report: called after each flush and each end of a program with (programs ended, calls).
        journal: gives the answers of earlier runs and notes those of this one; the caller closes it.
        deadline: when to end the run as `cancel` does, as `time.monotonic` counts; None: never.

    Attributes:
        interrupted: whether Ctrl-C came.
        out_of_time: whether the deadline ended the run.
        cancelled: whether the run is being ended from outside.
    """

    def __init__(
        self,
        names: Sequence[Name],
        programs: Sequence[Program],
        hostings: Sequence[Hosting],
        config: BatchConfig,
        root: np.ndarray,
        report: Callable[[int, int], None] = lambda ended, calls: None,
        *,
        journal: Journal | None = None,
        deadline: float | None = None,
    ) -> None:
        self.interrupted = self.out_of_time = False
        self._names, self._programs, self._hostings = list(names), list(programs), list(hostings)
        self._root, self._report = root, report
        self._journal, self._deadline = journal, float("inf") if deadline is None else deadline
        self._lock = threading.Lock()
        self._clock = threading.Condition(self._lock)
        self._own = [] if journal is None else [program_of(root, name) for name in names]
        self._families: dict[Any, Family] = {}
        self._calls = Calls(names, config)
        trigger = 1 if config.mode is BatchMode.OFF else config.max_batch_size
        self._barrier = Barrier[Request](trigger)
        self._turns = Turns[Sleep]()
        self._waiting = deque(range(len(self._programs)))
        self._lanes = min(config.lanes(len(self._programs)), len(self._programs))
        # Which programs may share a thread. With a trigger there are calls while others run.
        shared = trigger is None and threads_can_be_shared()
        self._sharing = [shared and program.shares_thread for program in programs]
        # Whoever sleeps, and the request it waits for.
        self._asleep: dict[Sleep, Request | None] = {}
        self._strands: list[Strand] = []
        self._lanes_ended = 0
        self._resting = False
        self.cancelled = False
        self._evaluates: dict[int, Evaluate] = {}
        self._outcomes: dict[int, HostedOutcome] = {}

    @property
    def counts(self) -> Counts:
        """What has happened so far."""
        return self._calls.counts

    @property
    def groups(self) -> int:
        """How many different merge keys have come up."""
        return len(self._families)

    # the thread that called -------------------------------------------------------------------------------

    def run(self) -> None:
        """All programs. Ctrl-C and the deadline end the run after the calls in flight; `interrupted` and `out_of_time`
        say so.

        Raises:
            RuntimeError: not one thread could be started.
        """
        try:
            if not self.cancelled and not self._late():
                self._start()
                self._keep_time()
        except KeyboardInterrupt:
            self.interrupted = True
            self._cancel_for_sure()
        except BaseException:
            self.cancel()
            self._see_off()
            raise
        self._see_off()

    def cancel(self) -> None:
        """Ends the run after the calls in flight, from any thread. Programs get `Cancelled` from `evaluate`."""
        with self._lock:
            self.cancelled = True
            self._barrier.close()
            sleepers = [
                sleep
                for sleep, request in self._sleepers().items()
                if request is None or not request.in_flight
            ]
            self._clock.notify_all()
        _wake(sleepers)

    def _late(self) -> bool:
        """Ends the run if its time is over."""
        if time.monotonic() >= self._deadline:
            self.out_of_time = True
            self.cancel()
        return self.out_of_time

    def _sleepers(self) -> dict[Sleep, Request | None]:
        """Who sleeps now; a copy, because those who wake up take themselves off the list without the lock."""
        return self._asleep.copy()

    def _cancel_for_sure(self) -> None:
        while True:
            try:
                return self.cancel()
            except KeyboardInterrupt:
                # An impatient user. Cancelling takes no time, and nobody may be left asleep.
                continue

    def _start(self) -> None:
        first = [self._waiting.popleft() for _ in range(self._lanes)]
        self._barrier.enter(first)
        together = [program for program in first if self._sharing[program]]
        alone = [[program] for program in first if not self._sharing[program]]
        strands = deque([together, *alone] if together else alone)
        while strands:
            try:
                sleeps = self._begin(strands[0])
            except RuntimeError as error:  # the system has no more threads
                if not self._strands:
                    raise RuntimeError(
                        f"run: no thread could be started for hosted programs: {error}."
                    ) from error
                left = sorted(program for programs in strands for program in programs)
                for program in left:
                    self._barrier.leave(program)
                self._waiting.extendleft(reversed(left))
                break
            with self._lock:
                for program, sleep in zip(strands.popleft(), sleeps, strict=True):
                    self._turns.line_up(program, sleep)
        with self._lock:
            awake = self._turns.next()
        _wake(awake)

    def _begin(self, programs: Sequence[int]) -> list[Sleep]:
        """Starts a thread whose lanes begin with these programs; what they sleep until they are woken.

        Raises:
            RuntimeError: the system has no more threads; then nothing has changed.
        """
        strand = Strand(len(programs))
        sleeps = [strand.new_sleep() for _ in programs]
        lanes = [partial(self._lane, strand, *begins) for begins in zip(programs, sleeps, strict=True)]
        self._asleep.update(dict.fromkeys(sleeps))
        with self._lock:
            self._strands.append(strand)
        try:
            strand.start(lanes, f"ensembles lane {len(self._strands)}")
        except RuntimeError:
            with self._lock:
                self._strands.remove(strand)
            for sleep in sleeps:
                del self._asleep[sleep]
            raise
        return sleeps

    def _lanes_begun(self) -> int:
        return sum(strand.lanes for strand in self._strands if strand.begun)

    def _keep_time(self) -> None:
        """Until all lanes have ended or the time is over: lets others go if those whose turn it is take long."""
        with self._clock:
            while self._lanes_ended < self._lanes_begun() and not self.cancelled:
                left = self._deadline - time.monotonic()
                if left <= 0:
                    break
                # In one thread nobody can be let go besides, unless programs start threads after all.
                one_thread = len(self._strands) == 1 and self._strands[0].shared
                if not (self._turns or one_thread):
                    self._resting = True
                    self._clock.wait(min(HEARTBEAT, left))
                    self._resting = False
                    continue
                served = self._turns.served
                self._clock.wait(min(HEARTBEAT if one_thread else PATIENCE, left))
                if self._turns and self._turns.served == served:
                    _wake(self._turns.hurry())
            ended = self._lanes_ended >= self._lanes_begun()
        if not ended:
            self._late()

    def _see_off(self) -> None:
        """Waits for the lanes to end; for those of cancelled programs that do not come back, for a while."""
        try:
            if self.cancelled:  # lanes may have been started meanwhile
                self._cancel_for_sure()
            self._wait_for_lanes()
        except KeyboardInterrupt:  # a second one: the user does not want to wait
            self.interrupted = True
        with self._lock:
            ended = self._lanes_ended >= self._lanes_begun()
            # Whoever is still asleep waits for a thread that is busy with another program.
            behind = {request.program for request in self._asleep.values() if request is not None}
            busy = [p for p in self._evaluates if p not in self._outcomes and p not in behind]
        if ended:
            for strand in self._strands:  # they have nothing left to do
                strand.join()
            return
        names = ", ".join(repr(display_name(self._names[p])) for p in busy)
        warnings.warn(
            f"run: the programs {names} are still busy with Python of their own after the run was cancelled; they, "
            "and those that share their thread, end at their next evaluate. Their results are marked as cancelled.",
            RuntimeWarning,
            stacklevel=2,
        )

    def _wait_for_lanes(self) -> None:
        if not all(strand.begun for strand in self._strands):
            # Whether the last one did begin is not known at once if Ctrl-C came while it was started.
            with self._clock:
                every = sum(strand.lanes for strand in self._strands)
                self._clock.wait_for(lambda: self._lanes_ended == every, HEARTBEAT)
        deadline = None
        with self._clock:
            while self._lanes_ended < self._lanes_begun():
                if any(request is not None and request.in_flight for request in self._sleepers().values()):
                    deadline = None
                    self._clock.wait(HEARTBEAT)
                    continue
                now = time.monotonic()
                deadline = now + GRACE if deadline is None else deadline
                if now >= deadline:
                    return
                self._clock.wait(min(HEARTBEAT, deadline - now))

    # the lanes ----------------------------------------------------------------------------------------------

    def _lane(self, strand: Strand, program: int, sleep: Sleep) -> None:
        sleep.sleep()
        self._asleep.pop(sleep, None)
        try:
            following: int | None = program
            while following is not None:
                if strand.shared and not self._sharing[following] and self._moved(following):
                    return
                outcome = self._one_program(following)
                following = self._leave(following, outcome)
        finally:
            with self._clock:
                self._lanes_ended += 1
                self._clock.notify_all()

    def _moved(self, program: int) -> bool:
        """Lets a program go on in a thread of its own; False if there is none to be had: it runs here, then."""
        try:
            sleeps = self._begin([program])
        except RuntimeError:
            return False
        with self._clock:
            self._clock.notify_all()
        _wake(sleeps)
        return True

    def _one_program(self, number: int) -> HostedOutcome:
        """Runs a program to its end, whatever that is."""
        program = self._programs[number]
        if self.cancelled:
            return HostedOutcome()
        record, hosting = None, self._hostings[number]
        subject = hosting.subject
        try:
            evaluate = Evaluate(self._names[number], number, hosting, self._root, self)
            self._evaluates[number], record = evaluate, evaluate.record
            returned = program.run(evaluate)
            return _finished(record, subject, returned)
        except Cancelled:
            return _outcome(record, subject, status="cancelled")
        except BaseException as error:
            return _outcome(record, subject, status="failed", error=_as_exception(error))

    def _leave(self, program: int, outcome: HostedOutcome) -> int | None:
        """The program has ended; the next one of its lane."""
        with self._lock:
            self._outcomes[program] = outcome
            evaluate = self._evaluates.pop(program, None)
            following = self._waiting.popleft() if self._waiting and not self.cancelled else None
            left = self._barrier.leave(program, following)
            for request in left.flush:
                request.in_flight = True
            self._turns.pause(program)
            if following is not None:
                self._turns.resume(following)
            awake = self._turns.next()
        if evaluate is not None:
            evaluate.close()
        for request in left.dropped:
            request.error = _ended(self._names[program])
            awake.append(request.sleep)
        _wake(awake)
        if left.flush:
            self._flush(left.flush)
        else:
            self._tell()
        return following

    # what `Evaluate` calls -----------------------------------------------------------------------------------

    def family(self, subject: Subject) -> Family:
        with self._lock:
            found = self._families.get(subject.key)
            if found is None:
                found = self._families[subject.key] = Family(subject)
            return found

    def replay(self, program: int) -> Replay | None:
        if self._journal is None:
            return None
        return self._journal.replay(self._own[program])

    def check_going_on(self) -> None:
        if self.cancelled:
            raise Cancelled

    def submit(self, request: Request) -> None:
        try:
            with self._lock:
                self._asleep[request.sleep] = request
                due = self._barrier.submit(request.program, request, len(request.values))
                for other in due:
                    other.in_flight = True
                self._turns.pause(request.program)
                awake = self._turns.next()
        except BarrierClosedError:
            self._asleep.pop(request.sleep, None)
            raise Cancelled from None
        except NotUnderWayError:
            self._asleep.pop(request.sleep, None)
            raise _ended(self._names[request.program]) from None
        _wake(awake)
        if due:
            self._flush(due)
        request.sleep.sleep()
        self._asleep.pop(request.sleep, None)
        if request.error is not None:
            raise request.error
        if request.answer is None:
            raise Cancelled

    def _flush(self, requests: Sequence[Request]) -> None:
        """Evaluates requests and lets their programs go on."""
        self._calls.answer(requests)
        if self._journal is not None:
            self._note(self._journal, requests)
        with self._lock:
            for request in requests:
                request.in_flight = False
                self._turns.line_up(request.program, request.sleep)
            if self.cancelled:
                awake = [request.sleep for request in requests]
                self._clock.notify_all()
            else:
                awake = self._turns.next()
                if self._resting and self._turns:
                    self._clock.notify()
        _wake(awake)
        self._tell()

    def _note(self, journal: Journal, requests: Sequence[Request]) -> None:
        """Answers are in the journal before anybody acts on them."""
        with suppress(Exception):  # what is missing there is evaluated again; nobody may be left waiting
            for request in requests:
                if request.question is not None:
                    answer = None if request.error is not None else request.answer
                    journal.record(self._own[request.program], request.question, request.number, answer)
            journal.flush()

    def _tell(self) -> None:
        with suppress(Exception):  # a display that fails is no reason for a program to fail
            self._report(len(self._outcomes), self.counts.calls)

    # results ------------------------------------------------------------------------------------------------

    def outcomes(self) -> list[HostedOutcome]:
        """How every program ended, or where it is."""
        with self._lock:
            found = dict(self._outcomes)
            under_way = dict(self._evaluates)
        for number, evaluate in under_way.items():
            if number not in found:
                subject = self._hostings[number].subject
                found[number] = _outcome(evaluate.record, subject, status="cancelled")
        return [found.get(number, HostedOutcome()) for number in range(len(self._programs))]


def _wake(sleeps: Iterable[Sleep]) -> None:
    for sleep in sleeps:
        sleep.wake()


def _ended(name: Name) -> RuntimeError:
    return RuntimeError(
        f"evaluate: the run of program {display_name(name)!r} has ended, so nothing more is evaluated for it; a thread "
        "that a program starts must be joined before run returns."
    )


def _as_exception(error: BaseException) -> Exception:
    """The error; one that would end the interpreter (SystemExit) ends a program only."""
    if isinstance(error, Exception):
        return error
    wrapped = RuntimeError(f"run raised {type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return wrapped


def _outcome(record: Record | None, subject: Subject | None, **fields: Any) -> HostedOutcome:
    """What a record says."""
    if record is None:
        return HostedOutcome(**fields)
    outcome = HostedOutcome(
        evaluations=record.rows, history=record.history(), seconds=record.seconds, **fields
    )
    if subject is not None and record.best_vector is not None:
        outcome.best_value = record.best_value
        outcome.best_parameters = subject.parameters(record.best_vector)
        outcome.final_value = record.last_value
        outcome.final_parameters = subject.parameters(record.last_vector)
    return outcome


_FIELDS = frozenset(f.name for f in fields(ProgramResult))
_ENTRIES = ("parameters", "value", "converged")


def _finished(record: Record, subject: Subject | None, returned: Any) -> HostedOutcome:
    """The outcome of a program whose `run` has returned."""
    outcome = _outcome(record, subject, status="completed")
    if returned is None:
        returned = {}
    entries = dict(returned) if isinstance(returned, Mapping) else {"returned": returned}
    for name in entries:
        if not isinstance(name, str) or (name in _FIELDS and name not in _ENTRIES):
            raise ValueError(
                f"run returned a mapping with the entry {name!r}; entries are strings, other than the names of the "
                f"result's own fields ({', '.join(sorted(_FIELDS - set(_ENTRIES)))})."
            )
    given = {name: entries.pop(name) for name in _ENTRIES if name in entries}
    if given.get("parameters") is not None:
        outcome.final_parameters = _parameters(subject, given["parameters"])
        outcome.final_value = record.value_at(given["parameters"])
    if given.get("value") is not None:
        outcome.final_value = _number(given["value"])
    if outcome.best_parameters is None:  # nothing of its own loss was evaluated
        outcome.best_value, outcome.best_parameters = outcome.final_value, outcome.final_parameters
    if record.cancelled:  # and `run` caught that
        outcome.status = "cancelled"
    elif _truth(given.get("converged", False)):
        outcome.status = "converged"
    outcome.extra = entries
    return outcome


def _number(value: Any) -> float:
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "biuf":
        raise TypeError(f'run returned {value!r:.60} as "value", which is one real number.')
    return float(array.reshape(()))


def _truth(value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f'run returned {value!r:.60} as "converged", which is True or False.')
    return bool(value)


def _parameters(subject: Subject | None, given: Any) -> Any:
    """In the result's form, if they are a vector of numbers.

    Raises:
        ValueError: not as many as the program has.
    """
    vector = np.asarray(given)
    if subject is None or vector.dtype.kind not in "fiu":
        return given
    if vector.shape != (subject.num_parameters,):
        raise ValueError(
            f'run returned "parameters" of shape {vector.shape}, but the program has '
            f"{subject.num_parameters}: shape ({subject.num_parameters},)."
        )
    return subject.parameters(vector)
