"""One run of an ensemble: both drivers, one result. And the handle of a run that goes on in the background."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ensembles.checkpoint import Checkpoint
from ensembles.checkpoint_error import CheckpointError
from ensembles.compilations import count_compilations
from ensembles.compiled import CompiledRun, Outcome
from ensembles.extras import extras_of
from ensembles.fingerprint import fingerprint
from ensembles.hosted import HEARTBEAT, HostedOutcome, HostedRun
from ensembles.interrupts import interrupts_wait
from ensembles.journal import Journal
from ensembles.names import Name
from ensembles.planner import Plan
from ensembles.program import Program, Row
from ensembles.progress import ProgressReporter
from ensembles.progress import progress as progress_bar
from ensembles.rehearsal import Rehearsal
from ensembles.result import EnsembleResult, ProgramResult, Stats
from ensembles.run_update import RunUpdate
from ensembles.subjects import Hosting

__all__ = ["EnsembleRun", "RunOptions"]

_AT_THE_END = "interpreter shutdown"
"""What Python says of threads and pools that are asked for more once the script has ended."""


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
        self._cancelled = self._unwritable = self._abandoned = False
        self._saved: dict[str, np.ndarray] | None = None
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

    def _abandon(self) -> None:
        """Ends the run because the script has ended, and says so once."""
        self.cancel()
        with self._lock:
            told, self._abandoned = self._abandoned, True
        if not told:
            warnings.warn(
                "start: the script ended before this run did, and nobody can join it any more; it is cancelled. Keep "
                "the handle that start returns, and end the script with its join().",
                RuntimeWarning,
                stacklevel=2,
            )

    @contextmanager
    def _no_longer_than_the_script(self) -> Iterator[None]:
        """Ends a run in the background with the main thread.

        Python waits for our threads then, but lets nobody start new ones or send anything to pools.
        """
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(HEARTBEAT):
                if not threading.main_thread().is_alive():
                    return self._abandon()

        try:
            if threading.current_thread() is not threading.main_thread():
                threading.Thread(target=watch, name="ensembles watch").start()
            yield
        except RuntimeError as error:
            if _AT_THE_END in str(error):
                self._abandon()
            raise
        finally:
            ended.set()

    def result(self) -> EnsembleResult:
        """Runs everything."""
        with self._no_longer_than_the_script():
            return self._result()

    def _result(self) -> EnsembleResult:
        self._started = started = time.perf_counter()
        seconds = self._options.max_seconds
        self._deadline = None if seconds is None else time.monotonic() + seconds
        names, programs = list(self._programs), list(self._programs.values())
        is_hosted = [program.hosted for program in programs]
        with count_compilations() as compiled:
            rows, hostings, plan = self._prepare()
            files = self._files(names, programs, rows, hostings)
            total_steps = sum(int(row.steps) for row in rows)
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
            with interrupts_wait():
                outcomes = _merged(
                    is_hosted, first.outcomes() if first else [], second.outcomes() if second else []
                )
            extras = extras_of(names, programs, outcomes)
        seconds = time.perf_counter() - started
        with interrupts_wait():
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
            computed=sum(c.computed for c in counts),
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
        saved, self._saved = self._saved, None
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
        """Saves; a disk that is full is no reason to lose a run. Ctrl-C ends the run after that."""
        checkpoint = self._options.checkpoint
        if checkpoint is None or self._unwritable:
            return
        try:
            with interrupts_wait(lambda: setattr(run, "interrupted", True)):
                checkpoint.save(run.snapshot(), run.counts.calls)
        except CheckpointError as error:
            self._unwritable = True
            warnings.warn(f"{error} The run goes on without.", RuntimeWarning, stacklevel=2)

    @contextmanager
    def _files(
        self,
        names: Sequence[Name],
        programs: Sequence[Program],
        rows: Sequence[Row],
        hostings: Sequence[Hosting],
    ) -> Iterator[Journal | None]:
        """What is saved, open and kept from other runs: the journal of hosted programs, if there are any."""
        checkpoint = self._options.checkpoint
        if checkpoint is None:
            yield None
            return
        mark = checkpoint.fingerprint = fingerprint(names, programs, rows, hostings, self._root)
        path = checkpoint.directory / "hosted.journal"
        with checkpoint.locked():
            # Whoever comes with another ensemble is sent away before anything is written, whatever programs it has.
            self._saved = checkpoint.load()
            Journal.check(path, mark)
            if not hostings:
                yield None
                return
            with closing(Journal.open(path, mark)) as journal:
                yield journal

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


def _result(name: Name, outcome: Outcome | HostedOutcome, extra: dict[str, Any]) -> ProgramResult:
    if isinstance(outcome, HostedOutcome):
        error, evaluations, steps = outcome.error, outcome.evaluations, len(outcome.history)
        extra = {**extra, **outcome.extra}
    else:
        error, steps, evaluations = outcome.error, outcome.steps, outcome.evaluations
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
        seconds=outcome.seconds,
        extra=extra,
    )
