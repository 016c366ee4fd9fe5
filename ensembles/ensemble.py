"""`ProgramEnsemble`: many programs, planned and run together."""

from __future__ import annotations

import inspect
import numbers
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from ensembles import names
from ensembles.checkpoint import Checkpoint
from ensembles.config import BatchConfig
from ensembles.hosted_program import HostedProgram
from ensembles.planner import Plan, make_plan, with_hosted
from ensembles.program import Program, Row
from ensembles.progress import progress_enabled
from ensembles.result import EnsembleError, EnsembleResult
from ensembles.run_update import RunUpdate
from ensembles.runs import EnsembleRun, RunHandle, RunOptions
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
            callback: a function of a `RunUpdate`, called between flushes of compiled programs. StopIteration from it
                ends the run as Ctrl-C does; any other exception is raised by `run`.
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

        Python waits for a run that nobody joins before it exits.

        Example:
            >>> from ensembles import VQE, ProgramEnsemble, scipy_minimize
            >>> from ensembles.problems import tfim
            >>> from jaxsim import ansatz
            >>> program = VQE(ansatz.hardware_efficient(2, 1), tfim(2), optimizer=scipy_minimize("COBYLA", maxiter=9))
            >>> handle = ProgramEnsemble([program]).start(progress=False)
            >>> handle.join()[0].evaluations
            9
        """
        unknown = set(options) - set(inspect.signature(run_options).parameters)
        if unknown:
            raise TypeError(f"start: {min(unknown)!r} is no argument of start; arguments are those of run.")
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
            _check_losses(compiled, rows)
            hosted = [(name, program) for name, program in self._programs.items() if program.hosted]
            _check_hosted_losses(hosted, hostings)
            self._rows = rows, hostings
        return self._rows


def run_options(
    progress: bool | None = None,
    max_seconds: Any = None,
    callback: Any = None,
    callback_steps: Any = None,
    checkpoint_dir: Any = None,
    checkpoint_seconds: Any = 10.0,
    checkpoint_calls: Any = None,
) -> RunOptions:
    """What `run` was asked for, checked.

    Raises:
        TypeError, ValueError: as `ProgramEnsemble.run`.
        CheckpointError: a directory that cannot be written.
    """
    show = progress_enabled(progress)
    if max_seconds is not None:
        _check_positive("max_seconds", max_seconds)
    if callback is not None and not callable(callback):
        raise TypeError(f"run: callback is a function of a RunUpdate, but {callback!r} was given.")
    if callback_steps is not None:
        _check_count("callback_steps", callback_steps)
        if callback is None:
            raise ValueError(
                f"run: callback_steps={callback_steps} was given without a callback; give one, or neither."
            )
    _check_positive("checkpoint_seconds", checkpoint_seconds)
    if checkpoint_calls is not None:
        _check_count("checkpoint_calls", checkpoint_calls)
    checkpoint = None
    if checkpoint_dir is not None:
        if not isinstance(checkpoint_dir, str | os.PathLike):
            raise TypeError(f"run: checkpoint_dir is a path, but {checkpoint_dir!r} was given.")
        if not os.fspath(checkpoint_dir):
            raise ValueError("run: checkpoint_dir is empty; give a directory, or None for no checkpoints.")
        checkpoint = Checkpoint(checkpoint_dir, float(checkpoint_seconds), checkpoint_calls)
    return RunOptions(show, max_seconds, callback, callback_steps, checkpoint)


def _check_positive(name: str, value: Any) -> None:
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise TypeError(f"run: {name} is a number of seconds, but {value!r} was given.")
    if not float(value) > 0:
        raise ValueError(f"run: {name} must be above 0, but {value!r} was given.")


def _check_count(name: str, value: Any) -> None:
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral):
        raise TypeError(f"run: {name} is an integer, but {value!r} was given.")
    if value < 1:
        raise ValueError(f"run: {name} must be at least 1, but {value} was given.")


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


def _check_losses(programs: Sequence[tuple[Any, Program]], rows: Sequence[Row]) -> None:
    """Refuses losses that are no real scalars; one abstract evaluation for each merge key."""
    seen = set()
    for (name, program), row in zip(programs, rows, strict=True):
        if row.key in seen:
            continue
        seen.add(row.key)
        _check_loss(name, program, row.loss.value, row.parameters, row.data)


def _check_loss(name: Any, program: Program, loss: Any, parameters: Any, data: Any) -> None:
    key = jax.eval_shape(lambda: jax.random.key(0))
    returned: list[Any] = []

    def watched(*arguments: Any) -> Any:
        returned.append(loss(*arguments))
        return returned[-1]

    try:
        value = jax.eval_shape(watched, parameters, data, key)
    except Exception as error:
        raise ValueError(
            f"The loss of program {names.display_name(name)!r} ({program.describe()}) cannot be evaluated: "
            f"{type(error).__name__}: {error}"
        ) from error
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape != () or dtype is None or not np.issubdtype(dtype, np.floating):
        raise ValueError(
            f"The loss of program {names.display_name(name)!r} ({program.describe()}) must return a real "
            f"scalar, but returns {value}."
        )
    if isinstance(returned[-1], float):
        raise ValueError(
            f"The loss of program {names.display_name(name)!r} ({program.describe()}) must return a JAX value, but "
            f"returns the Python number {returned[-1]!r}, which does not depend on the parameters."
        )


def _check_hosted_losses(programs: Sequence[tuple[Any, Program]], hostings: Sequence[Hosting]) -> None:
    """The same for losses that hosted optimisers minimise."""
    seen = set()
    for (name, program), hosting in zip(programs, hostings, strict=True):
        if isinstance(hosting.subject, LossSubject) and hosting.subject.key not in seen:
            seen.add(hosting.subject.key)
            start = hosting.subject.parameters(np.zeros(hosting.subject.num_parameters))
            _check_loss(name, program, program.loss, start, hosting.subject.row)


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
