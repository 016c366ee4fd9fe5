"""`ProgramEnsemble`: many programs, planned and run together."""

from __future__ import annotations

import numbers
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ensembles import names
from ensembles.compilations import count_compilations
from ensembles.compiled import CompiledRun, Outcome
from ensembles.config import BatchConfig
from ensembles.planner import Plan, make_plan
from ensembles.program import Program, Row
from ensembles.progress import progress as progress_bar
from ensembles.progress import progress_enabled
from ensembles.result import EnsembleError, EnsembleResult, ProgramResult, Stats

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
            self._programs[name] = program
        self._rows: list[Row] | None = None
        self._running = False

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

        Args:
            batch_config: how programs share calls; the default configuration if None.
        """
        return make_plan(self._programs, self._lowered(), _config(batch_config))

    def run(
        self,
        batch_config: BatchConfig | None = None,
        *,
        seed: int = 0,
        on_error: str = "raise",
        progress: bool | None = None,
    ) -> EnsembleResult:
        """Trains all programs.

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

        Raises:
            EnsembleError: programs failed (a loss or gradient that is not finite); the others have finished.
            TypeError, ValueError: bad arguments, before anything runs.
            RuntimeError: the ensemble is running already.
        """
        config = _config(batch_config)
        root = _root_key(seed)
        if on_error not in ("raise", "collect"):
            raise ValueError(f"run: on_error must be 'raise' or 'collect', but {on_error!r} was given.")
        enabled = progress_enabled(progress)
        if self._running:
            raise RuntimeError("run: this ensemble is running already; wait for it, or make another one.")
        self._running = True
        try:
            result = self._run(config, root, enabled)
        finally:
            self._running = False
        if on_error == "raise" and result.failed():
            raise EnsembleError(result)
        return result

    def _run(self, config: BatchConfig, root: np.ndarray, show: bool) -> EnsembleResult:
        started = time.perf_counter()
        with count_compilations() as compiled:
            rows = self._lowered()
            _check_precision(self._programs, rows)
            plan = make_plan(self._programs, rows, config)
            total_steps = sum(program.steps for program in self._programs.values())
            with progress_bar(len(self), total_steps, show) as bar:
                run = CompiledRun(
                    plan,
                    list(self._programs),
                    rows,
                    root,
                    lambda steps, ended, calls: bar.update(
                        steps_done=steps, programs_done=ended, calls=calls
                    ),
                )
                run.run()
            outcomes = run.outcomes()
            extras = _extras(list(self._programs.values()), outcomes)
        seconds = time.perf_counter() - started
        results = [
            _result(name, outcome, extra)
            for name, outcome, extra in zip(self._programs, outcomes, extras, strict=True)
        ]
        counts = run.counts
        stats = Stats(
            calls=counts.calls,
            blocks=counts.blocks,
            rows=counts.rows,
            padded_rows=counts.padded_rows,
            flushes=counts.flushes,
            groups=len(plan.groups),
            compilations=compiled.count,
            compile_seconds=compiled.seconds,
            run_seconds=seconds - compiled.seconds,
            largest_call=counts.largest_call,
            evaluations=sum(r.evaluations for r in results),
        )
        return EnsembleResult(results, stats)

    def _lowered(self) -> list[Row]:
        if self._rows is None:
            rows = [program.row(name) for name, program in self._programs.items()]
            _check_losses(list(self._programs.items()), rows)
            self._rows = rows
        return self._rows


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
        key = jax.eval_shape(lambda: jax.random.key(0))
        try:
            value = jax.eval_shape(row.loss.value, row.parameters, row.data, key)
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


def _check_precision(programs: Iterable[Any], rows: Sequence[Row]) -> None:
    """Refuses to run double precision in single precision, which is what JAX would do without a word."""
    if jax.config.read("jax_enable_x64"):
        return
    for name, row in zip(programs, rows, strict=True):
        if any(np.asarray(leaf).dtype == np.float64 for leaf in jax.tree.leaves(row.parameters)):
            raise ValueError(
                f"run: program {names.display_name(name)!r} was made in double precision, but JAX's 64-bit mode is "
                "off now: put the run, too, into `with jax.enable_x64(True):`, or switch it on for good with "
                "jax.config.update('jax_enable_x64', True)."
            )


def _extras(programs: Sequence[Program], outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """What each kind of program adds to its results, computed for all programs of the kind at once."""
    found: list[dict[str, Any]] = [{} for _ in programs]
    kinds: dict[type[Program], list[int]] = {}
    for position, (program, outcome) in enumerate(zip(programs, outcomes, strict=True)):
        if np.isfinite(outcome.best_value):
            kinds.setdefault(type(program), []).append(position)
    for kind, members in kinds.items():
        values = [outcomes[p].best_value for p in members]
        parameters = [outcomes[p].best_parameters for p in members]
        extras = kind.extras([programs[p] for p in members], values, parameters)
        for position, extra in zip(members, extras, strict=True):
            found[position] = extra
    return found


def _result(name: names.Name, outcome: Outcome, extra: dict[str, Any]) -> ProgramResult:
    error = None
    evaluations = outcome.steps + (outcome.status != "cancelled")
    if outcome.failed_value is not None:
        what = "a gradient" if np.isfinite(outcome.failed_value) else f"the loss is {outcome.failed_value}"
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
        steps=outcome.steps,
        extra=extra,
    )
