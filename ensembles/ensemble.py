"""`ProgramEnsemble`: many programs, planned and run together."""

from __future__ import annotations

import inspect
import numbers
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import jax
import numpy as np

from ensembles import names
from ensembles.config import BatchConfig
from ensembles.hosted_program import HostedProgram
from ensembles.loss_checks import check_hostings, check_rows
from ensembles.options import run_options
from ensembles.planner import Plan, make_plan, with_hosted
from ensembles.program import Program, Row
from ensembles.programs.arguments import refuse_unknown
from ensembles.result import EnsembleError, EnsembleResult
from ensembles.run_handle import RunHandle
from ensembles.run_update import RunUpdate
from ensembles.runs import EnsembleRun, RunOptions
from ensembles.sampling import EnsembleSamples, sample
from ensembles.subjects import CircuitSubject, Hosting, LossSubject

__all__ = ["ProgramEnsemble"]


class ProgramEnsemble:
    """Programs that are trained together.

    Programs with equal merge keys (structure, shapes, dtypes) share compiled calls; what a program computes
    never depends on who shares its call.

    Args:
        programs: mapping from names to programs, or a sequence of programs, which are then named by position.
            Names are strings, integers, or tuples of them.

    Raises:
        TypeError: not programs, names of another type.
        ValueError: no programs, two programs under one name, or one program under two.

    Example:
        >>> from ensembles import VQE, ProgramEnsemble, adam
        >>> from ensembles.problems import tfim
        >>> from jaxsim import ansatz
        >>> circuit = ansatz.hardware_efficient(3, 2)
        >>> ensemble = ProgramEnsemble({h: VQE(circuit, tfim(3, h=h), optimizer=adam(0.1), steps=20) for h in (1, 2)})
        >>> len(ensemble.plan().groups)
        1
        >>> sorted(ensemble.run(seed=7, progress=False))
        [1, 2]
    """

    def __init__(self, programs: Mapping[Any, Program] | Iterable[Program]) -> None:
        if isinstance(programs, Program):
            raise TypeError(
                "ProgramEnsemble takes a mapping or a sequence of programs; for one program: [program]."
            )
        if not isinstance(programs, Iterable):
            raise TypeError(
                f"ProgramEnsemble takes a mapping or a sequence of programs, but a {type(programs).__name__} was given."
            )
        if isinstance(programs, set | frozenset):
            raise TypeError(
                "ProgramEnsemble: a set was given, whose order changes from process to process, but programs without "
                "names are named by position; give a list, or a mapping from names to programs."
            )
        pairs = list(programs.items()) if isinstance(programs, Mapping) else list(enumerate(programs))
        if not pairs:
            raise ValueError("ProgramEnsemble needs at least one program, but none was given.")
        self._programs: dict[names.Name, Program] = {}
        for given, program in pairs:
            if not isinstance(program, Program):
                raise TypeError(
                    f"ProgramEnsemble: {given!r} is a {type(program).__name__}, not a program such as VQE or QAOA."
                )
            name = names.check_name(given)
            if name in self._programs:
                raise ValueError(f"ProgramEnsemble: two programs have the name {name!r}; names must differ.")
            if not hasattr(program, "optimizer"):
                raise TypeError(
                    f"ProgramEnsemble: program {name!r} is a {type(program).__name__} that was not set up; its "
                    "__init__ must call super().__init__(...)."
                )
            self._programs[name] = program
        _check_one_of_each(self._programs)
        self._rows: tuple[list[Row], list[Hosting]] | None = None
        self._running = False
        self._lock = threading.Lock()

    @property
    def programs(self) -> Mapping[names.Name, Program]:
        """The programs by name; a copy."""
        return dict(self._programs)

    def __len__(self) -> int:
        return len(self._programs)

    def __repr__(self) -> str:
        return f"ProgramEnsemble({len(self)} programs)"

    def __reduce__(self) -> tuple[Any, ...]:
        # A run under way, and its lock, are this object's alone.
        return (type(self), (self._programs,))

    def plan(self, batch_config: BatchConfig | None = None) -> Plan:
        """What `run` will do: groups, calls, rows, padding, compilations, bytes. Runs nothing.

        Of hosted programs it says what they share and, where their optimiser has a limit, how many rows they evaluate
        at most; when they submit them is up to their Python.

        Args:
            batch_config: how programs share calls; the default configuration if None.
        """
        config = _config(batch_config)
        rows, hostings = self._lowered()
        compiled = {name: program for name, program in self._programs.items() if not program.hosted}
        return with_hosted(make_plan(compiled, rows, config), self._programs, hostings)

    def run(
        self,
        batch_config: BatchConfig | None = None,
        *,
        seed: int = 0,
        on_error: str = "raise",
        progress: bool | None = None,
        max_seconds: float | None = None,
        callback: Callable[[RunUpdate], Any] | None = None,
        callback_steps: int | None = None,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        checkpoint_seconds: float = 10.0,
        checkpoint_calls: int | None = None,
    ) -> EnsembleResult:
        """Runs all programs: compiled ones first, then hosted ones.

        Ctrl-C ends the run after the call in flight and returns what there is; programs that were not
        finished have the status "cancelled".

        Args:
            batch_config: how programs share calls; decides speed, never results.
            seed: an integer from 0 to 2**64 - 1; every draw of a program uses keys folded from it and the
                program's name.
            on_error: "raise": an `EnsembleError` at the end if a program failed, with the full result;
                "collect": failed programs are in the result.
            progress: whether to show a progress bar; None: in terminals and notebooks, unless the environment
                variable ENSEMBLES_PROGRESS is 0.
            max_seconds: ends the run after this time, when the calls in flight are done, and returns what there is;
                programs that were not finished have the status "cancelled".
            callback: a function of a `RunUpdate`, called between flushes of compiled programs, of which there must be
                one at least. StopIteration from it ends the run as Ctrl-C does; any other exception is raised by `run`.
            callback_steps: most steps that a program makes between two calls of the callback, 1 to 64; None: as many
                as a compiled call makes. Changes no result.
            checkpoint_dir: a directory in which the run is saved while it goes. The same line run again, after a
                crash, Ctrl-C, `max_seconds` or on purpose, goes on from there and ends with the same numbers as a run
                that was not disturbed. One directory for each ensemble and seed. Hosted programs are run again from
                their beginning, with the answers they had; they have to do the same again.
            checkpoint_seconds: time between savings, at least.
            checkpoint_calls: compiled calls between savings; None: time alone decides.

        Raises:
            EnsembleError: programs failed (a loss or gradient that is not finite, an exception in a hosted
                program); the others have finished.
            CheckpointError: a directory that cannot be written; a checkpoint that is damaged, or of another ensemble
                or version. Files are kept as they are.
            TypeError, ValueError: bad arguments, before anything runs.
            RuntimeError: the ensemble is running already.
        """
        options = partial(
            run_options, progress, max_seconds, callback, callback_steps, checkpoint_dir, checkpoint_seconds,
            checkpoint_calls,
        )  # fmt: skip
        run = self._prepared(batch_config, seed, on_error, options)
        try:
            return _raised(run.result(), on_error)
        finally:
            self._running = False

    def sample(
        self,
        result: Mapping[names.Name, Any],
        shots: int,
        *,
        seed: int = 0,
        at: str = "best",
        names: Iterable[names.Name] | None = None,
    ) -> EnsembleSamples:
        """Bitstrings measured in the states that training found; arguments and errors as for `ensembles.sample`.

        Example:
            >>> from ensembles import QAOA, ProgramEnsemble, adam
            >>> from ensembles.problems import MaxCut
            >>> edge = QAOA(MaxCut([(0, 1)]), layers=1, optimizer=adam(0.1), steps=60)
            >>> ensemble = ProgramEnsemble({"edge": edge})
            >>> ensemble.sample(ensemble.run(progress=False), shots=100)["edge"].best().objective
            1.0
        """
        return sample(self._programs, result, shots, seed=seed, at=at, names=names)

    def start(
        self,
        batch_config: BatchConfig | None = None,
        *,
        seed: int = 0,
        on_error: str = "raise",
        **options: Any,
    ) -> RunHandle:
        """`run` without blocking: a handle with ``join()``, ``cancel()`` and ``done()``. Arguments as for `run`.

        Callbacks are called in another thread.

        Join it: a run that is still going on when the script ends is cancelled, with a warning, and saved as always.

        Example:
            >>> from ensembles import VQE, ProgramEnsemble, scipy_minimize
            >>> from ensembles.problems import tfim
            >>> from jaxsim import ansatz
            >>> program = VQE(ansatz.hardware_efficient(2, 1), tfim(2), optimizer=scipy_minimize("COBYLA", maxiter=9))
            >>> handle = ProgramEnsemble([program]).start(progress=False)
            >>> handle.join()[0].evaluations
            9
        """
        known = ["batch_config", "seed", "on_error", *inspect.signature(run_options).parameters]
        refuse_unknown("start", options, known)
        run = self._prepared(batch_config, seed, on_error, partial(run_options, **options))

        def execute() -> EnsembleResult:
            try:
                return _raised(run.result(), on_error)
            finally:
                self._running = False

        try:
            return RunHandle(execute, run.cancel)
        except BaseException:  # no thread to be had
            self._running = False
            raise

    def _prepared(
        self, batch_config: Any, seed: Any, on_error: Any, options: Callable[[], RunOptions]
    ) -> EnsembleRun:
        """Checks everything that can be checked, then marks the ensemble as running."""
        config = _config(batch_config)
        root = _root_key(seed)
        if on_error not in ("raise", "collect"):
            raise ValueError(f"run: on_error must be 'raise' or 'collect', but {on_error!r} was given.")
        checked = options()
        if checked.callback is not None and all(program.hosted for program in self._programs.values()):
            raise ValueError(
                "run: a callback is called between flushes of compiled programs, but all programs here are ordinary "
                "Python, so it would never be; leave it out, and watch them from their own `run`."
            )
        with self._lock:
            if self._running:
                raise RuntimeError("run: this ensemble is running already; wait for it, or make another one.")
            self._running = True
        return EnsembleRun(self._programs, lambda: self._lowered_for(config), root, checked)

    def _lowered_for(self, config: BatchConfig) -> tuple[list[Row], list[Hosting], Plan]:
        """Rows of the compiled programs, hostings of the others, and the plan of the former."""
        rows, hostings = self._lowered()
        compiled = {name: program for name, program in self._programs.items() if not program.hosted}
        _check_precision(compiled, (row.parameters for row in rows))
        hosted = [name for name, program in self._programs.items() if program.hosted]
        _check_precision(hosted, (_floats(hosting) for hosting in hostings))
        return rows, hostings, make_plan(compiled, rows, config)

    def _lowered(self) -> tuple[list[Row], list[Hosting]]:
        if self._rows is None:
            compiled = [(name, program) for name, program in self._programs.items() if not program.hosted]
            rows = [program.row(name) for name, program in compiled]
            hostings = [program.hosting() for program in self._programs.values() if program.hosted]
            check_rows(compiled, rows)
            hosted = [(name, program) for name, program in self._programs.items() if program.hosted]
            check_hostings(hosted, hostings)
            self._rows = rows, hostings
        return self._rows


def _raised(result: EnsembleResult, on_error: str) -> EnsembleResult:
    if on_error == "raise" and result.failed():
        raise EnsembleError(result)
    return result


def _check_one_of_each(programs: Mapping[names.Name, Program]) -> None:
    """Refuses one object with a `run` of its own under two names: both threads would change its attributes."""
    seen: dict[int, names.Name] = {}
    for name, program in programs.items():
        own_run = isinstance(program, HostedProgram) or type(program).run is not Program.run
        if own_run and seen.setdefault(id(program), name) != name:
            raise ValueError(
                f"ProgramEnsemble: {seen[id(program)]!r} and {name!r} are the same {type(program).__name__} object, "
                "and its run would be under way twice at a time; make one for each name."
            )


def _config(given: BatchConfig | None) -> BatchConfig:
    if given is None:
        return BatchConfig()
    if not isinstance(given, BatchConfig):
        raise TypeError(f"batch_config must be a BatchConfig, but a {type(given).__name__} was given.")
    return given


def _root_key(seed: Any) -> np.ndarray:
    """Key data of the root key, made without running anything."""
    if isinstance(seed, bool | np.bool_) or not isinstance(seed, numbers.Integral):
        raise TypeError(f"run: seed is an integer, but {seed!r} was given.")
    if not 0 <= int(seed) < 2**64:
        raise ValueError(f"run: seed must be from 0 to 2**64 - 1, but {seed} was given.")
    return np.array([int(seed) >> 32, int(seed) & 0xFFFFFFFF], np.uint32)


def _check_precision(programs: Iterable[Any], parameters: Iterable[Any]) -> None:
    """Refuses to run double precision in single precision, which is what JAX would do without a word."""
    if jax.config.read("jax_enable_x64"):
        return
    for name, own in zip(programs, parameters, strict=True):
        if any(np.asarray(leaf).dtype == np.float64 for leaf in jax.tree.leaves(own)):
            raise ValueError(
                f"run: program {names.display_name(name)!r} was made in double precision, but JAX's 64-bit mode is "
                "off now: put the run, too, into `with jax.enable_x64(True):`, or switch it on for good with "
                "jax.config.update('jax_enable_x64', True)."
            )


def _floats(hosting: Hosting) -> Any:
    """Arrays in the precision of a hosted program."""
    if isinstance(hosting.subject, LossSubject):
        return hosting.subject.parameters(np.zeros(hosting.subject.num_parameters))
    if isinstance(hosting.subject, CircuitSubject):
        return np.zeros(0, hosting.subject.row.real_dtype)
    return np.zeros(0, np.float64 if hosting.dtype == np.complex128 else np.float32)
