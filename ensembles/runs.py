"""One run of an ensemble: both drivers, one result. And the handle of a run that goes on in the background."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from ensembles.checkpoint import Checkpoint
from ensembles.checkpoint_error import CheckpointError
from ensembles.compilations import count_compilations
from ensembles.compiled import CompiledRun, Outcome
from ensembles.fingerprint import fingerprint
from ensembles.hosted import HEARTBEAT, HostedOutcome, HostedRun
from ensembles.journal import Journal
from ensembles.names import Name
from ensembles.planner import Plan
from ensembles.program import Program, Row
from ensembles.progress import ProgressReporter
from ensembles.progress import progress as progress_bar
from ensembles.rehearsal import Rehearsal
from ensembles.result import EnsembleError, EnsembleResult, ProgramResult, Stats
from ensembles.run_update import RunUpdate
from ensembles.subjects import Hosting

__all__ = ["EnsembleRun", "RunHandle", "RunOptions"]


@dataclass(frozen=True)
class RunOptions:
    """What `ProgramEnsemble.run` was asked for besides how to batch; all of it checked.

    Attributes:
        show: whether to show a progress bar.
        max_seconds: when to end; None: when all programs have.
        callback: told between flushes of compiled programs.
        callback_steps: most steps between two flushes; None: as many as a call makes.
        checkpoint: where to save; None: nowhere.
    """

    show: bool = False
    max_seconds: float | None = None
    callback: Callable[[RunUpdate], Any] | None = None
    callback_steps: int | None = None
    checkpoint: Checkpoint | None = None


class EnsembleRun:
    """What `ProgramEnsemble.run` does once everything has been checked: compiled programs first, then hosted ones.

    Args:
        programs: by name.
        prepare: makes (rows of the compiled programs, hostings of the hosted ones, plan of the compiled ones).
        root: uint32 (2,), key data of the root key.
        options: what else `run` was asked for.
    """

    def __init__(
        self,
        programs: dict[Name, Program],
        prepare: Callable[[], tuple[list[Row], list[Hosting], Plan]],
        root: np.ndarray,
        options: RunOptions,
    ) -> None:
        self._programs, self._prepare, self._root, self._options = programs, prepare, root, options
        self._lock = threading.Lock()
        self._cancelled = self._unwritable = False
        self._started, self._deadline = 0.0, None
        self._compiled: CompiledRun | None = None
        self._hosted: HostedRun | None = None

    def cancel(self) -> None:
        """Ends the run after the calls in flight, from any thread."""
        with self._lock:
            self._cancelled = True
            compiled, hosted = self._compiled, self._hosted
        if compiled is not None:
            compiled.interrupted = True
        if hosted is not None:
            hosted.cancel()

    def result(self) -> EnsembleResult:
        """Runs everything."""
        self._started = started = time.perf_counter()
        seconds = self._options.max_seconds
        self._deadline = None if seconds is None else time.monotonic() + seconds
        names, programs = list(self._programs), list(self._programs.values())
        is_hosted = [program.hosted for program in programs]
        with count_compilations() as compiled:
            rows, hostings, plan = self._prepare()
            files = self._open_files(names, programs, rows, hostings)
            total_steps = sum(program.steps for program in programs if not program.hosted)
            show = self._options.show
            with files as journal, progress_bar(len(programs), total_steps, show) as bar:
                first = self._run_compiled([n for n, h in zip(names, is_hosted) if not h], rows, plan, bar)
                second = self._run_hosted(
                    [n for n, h in zip(names, is_hosted) if h],
                    [p for p in programs if p.hosted],
                    hostings,
                    plan,
                    bar,
                    first,
                    journal,
                )
            outcomes = _merged(
                is_hosted, first.outcomes() if first else [], second.outcomes() if second else []
            )
            extras = _extras(programs, outcomes)
        seconds = time.perf_counter() - started
        results = [
            _result(name, outcome, extra)
            for name, outcome, extra in zip(names, outcomes, extras, strict=True)
        ]
        counts = [run.counts for run in (first, second) if run is not None]
        stats = Stats(
            calls=sum(c.calls for c in counts),
            blocks=sum(c.blocks for c in counts),
            rows=sum(c.rows for c in counts),
            padded_rows=sum(c.padded_rows for c in counts),
            flushes=sum(c.flushes for c in counts),
            groups=len(plan.groups) + (second.groups if second else 0),
            compilations=compiled.count,
            compile_seconds=compiled.seconds,
            run_seconds=seconds - compiled.seconds,
            largest_call=max((c.largest_call for c in counts), default=0),
            evaluations=sum(r.evaluations for r in results),
            computed=(first.counts.computed if first else 0)
            + (second.counts.rows + second.counts.padded_rows if second else 0),
            call_seconds=sum(c.call_seconds for c in counts),
        )
        return EnsembleResult(results, stats)

    def _run_compiled(
        self, names: Sequence[Name], rows: list[Row], plan: Plan, bar: ProgressReporter
    ) -> CompiledRun | None:
        if not rows:
            return None
        run = CompiledRun(
            plan,
            names,
            rows,
            self._root,
            lambda steps, ended, calls: bar.update(steps_done=steps, programs_done=ended, calls=calls),
            after_flush=self._after_flush,
            most_steps=self._options.callback_steps,
            deadline=self._deadline,
        )
        if self._options.checkpoint is not None:
            saved = self._options.checkpoint.load()
            if saved is not None:
                run.restore(saved)
        with self._lock:
            self._compiled = run
            if self._cancelled:
                run.interrupted = True
        try:
            if not run.interrupted:
                run.run()
        finally:
            self._save(run)
        return run

    def _after_flush(self, run: CompiledRun) -> None:
        """Saves if it is time to, and tells the callback."""
        checkpoint, callback = self._options.checkpoint, self._options.callback
        if checkpoint is not None and checkpoint.due(run.counts.calls):
            self._save(run)
        if callback is not None:
            callback(
                RunUpdate(
                    names=tuple(run.names),
                    steps=run.steps.copy(),
                    losses=run.latest.copy(),
                    best=run.best.copy(),
                    ended=run.ended.copy(),
                    calls=run.counts.calls,
                    seconds=time.perf_counter() - self._started,
                )
            )

    def _save(self, run: CompiledRun) -> None:
        """Saves; a disk that is full is no reason to lose a run."""
        checkpoint = self._options.checkpoint
        if checkpoint is None or self._unwritable:
            return
        try:
            checkpoint.save(run.snapshot(), run.counts.calls)
        except CheckpointError as error:
            self._unwritable = True
            warnings.warn(f"{error} The run goes on without.", RuntimeWarning, stacklevel=2)

    def _open_files(
        self,
        names: Sequence[Name],
        programs: Sequence[Program],
        rows: Sequence[Row],
        hostings: Sequence[Hosting],
    ) -> Any:
        """The journal of hosted programs, as a context manager; one that gives None if nothing is to be saved."""
        checkpoint = self._options.checkpoint
        if checkpoint is None:
            return nullcontext()
        checkpoint.fingerprint = fingerprint(names, programs, rows, hostings, self._root)
        if not hostings:
            return nullcontext()
        return closing(Journal.open(checkpoint.directory / "hosted.journal", checkpoint.fingerprint))

    def _run_hosted(
        self,
        names: Sequence[Name],
        programs: Sequence[Program],
        hostings: Sequence[Hosting],
        plan: Plan,
        bar: ProgressReporter,
        before: CompiledRun | None,
        journal: Journal | None,
    ) -> HostedRun | None:
        if not programs:
            return None
        ended, calls = (0, 0) if before is None else (len(before.ended), before.counts.calls)
        rehearsal = Rehearsal(programs, hostings)

        def report(more: int, more_calls: int) -> None:
            rehearsal.begin()
            bar.update(programs_done=ended + more, calls=calls + more_calls)

        run = HostedRun(
            names,
            programs,
            hostings,
            plan.config,
            self._root,
            report,
            journal=journal,
            deadline=self._deadline,
        )
        with self._lock:
            self._hosted = run
            cancelled = self._cancelled
        if cancelled or (before is not None and before.interrupted):
            run.cancel()
        try:
            run.run()
        finally:
            rehearsal.end()
        return run


def _merged(is_hosted: Sequence[bool], compiled: Sequence[Any], hosted: Sequence[Any]) -> list[Any]:
    """Outcomes of both drivers in the order of the programs."""
    first, second = iter(compiled), iter(hosted)
    return [next(second if is_one else first) for is_one in is_hosted]


def _extras(programs: Sequence[Program], outcomes: Sequence[Outcome | HostedOutcome]) -> list[dict[str, Any]]:
    """What each kind of program adds to its results, computed for all programs of the kind at once."""
    found: list[dict[str, Any]] = [{} for _ in programs]
    kinds: dict[type[Program], list[int]] = {}
    for position, (program, outcome) in enumerate(zip(programs, outcomes, strict=True)):
        if np.isfinite(outcome.best_value) and outcome.best_parameters is not None:
            kinds.setdefault(type(program), []).append(position)
    for kind, members in kinds.items():
        values = [outcomes[p].best_value for p in members]
        parameters = [outcomes[p].best_parameters for p in members]
        extras = kind.extras([programs[p] for p in members], values, parameters)
        for position, extra in zip(members, extras, strict=True):
            found[position] = extra
    return found


def _result(name: Name, outcome: Outcome | HostedOutcome, extra: dict[str, Any]) -> ProgramResult:
    if isinstance(outcome, HostedOutcome):
        error, evaluations, steps = outcome.error, outcome.evaluations, len(outcome.history)
        extra = {**extra, **outcome.extra}
    else:
        error, steps, evaluations = None, outcome.steps, outcome.evaluations
        if outcome.failed_value is not None:
            what = (
                "a gradient" if np.isfinite(outcome.failed_value) else f"the loss is {outcome.failed_value}"
            )
            what = f"{what} is not finite" if what == "a gradient" else what
            error = FloatingPointError(f"{what} after {outcome.steps} updates")
    return ProgramResult(
        name=name,
        value=outcome.best_value,
        parameters=outcome.best_parameters,
        history=outcome.history,
        status=outcome.status,
        error=error,
        evaluations=evaluations,
        final_value=outcome.final_value,
        final_parameters=outcome.final_parameters,
        steps=steps,
        seconds=getattr(outcome, "seconds", 0.0),
        extra=extra,
    )


class RunHandle:
    """A run that goes on in the background; made by `ProgramEnsemble.start`."""

    def __init__(self, run: Callable[[], EnsembleResult], cancel: Callable[[], None]) -> None:
        self._run, self._cancel = run, cancel
        self._result: EnsembleResult | None = None
        self._error: BaseException | None = None
        # Not the thread's own state: a `Thread.join` that Ctrl-C interrupts may take the thread for ended.
        self._ended = threading.Event()
        # JAX's contexts are those of a thread.
        contexts = (
            jax.config.read("jax_enable_x64"),
            getattr(jax.config, "jax_default_device", None),
        )
        self._thread = threading.Thread(target=self._execute, args=contexts, name="ensembles run")
        self._thread.start()

    def _execute(self, x64: bool, device: Any) -> None:
        try:
            with jax.enable_x64(x64), jax.default_device(device):
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
            TimeoutError: the run is not done; it goes on.
            EnsembleError: as in `ProgramEnsemble.run`.
        """
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
