"""The options of a simulator, each with its check."""

from __future__ import annotations

import difflib
import numbers
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxsim import batch

__all__ = ["CHECKS", "JobInputError", "Options"]


class JobInputError(ValueError, TypeError):
    """An option of a simulator, or what a job was asked to do, that cannot be; nothing was submitted.

    Attributes:
        indices: the circuits at fault, if the fault is theirs.
    """

    def __init__(self, message: str, indices: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.indices = tuple(indices)

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (str(self), self.indices))


# options --------------------------------------------------------------------------------------------------


def _integer(least: int, what: str, most: int | None = None) -> Callable[[str, Any], int]:
    bounds = f">= {least}" if most is None else f">= {least} and <= {most}"

    def check(name: str, value: Any) -> int:
        integer = isinstance(value, numbers.Integral) and not isinstance(value, bool | np.bool_)
        number = operator.index(value) if integer else least - 1
        if number < least or (most is not None and number > most):
            raise JobInputError(f"{name} must be an integer {bounds} ({what}), but {value!r} was given.")
        return number

    return check


def _or_none(check: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    return lambda name, value: None if value is None else check(name, value)


def _dtype(name: str, value: Any) -> np.dtype:
    try:
        return batch.check_dtype(value)
    except (TypeError, ValueError) as error:
        raise JobInputError(str(error)) from None


def _engine(name: str, value: Any) -> str:
    try:
        return batch.check_engine(value)
    except (TypeError, ValueError) as error:
        raise JobInputError(str(error)) from None


def _executor(name: str, value: Any) -> Any:
    if isinstance(value, type) or not callable(getattr(value, "submit", None)):
        raise JobInputError(
            f"executor must have a method submit(function, *arguments) that returns a future, such as "
            f"concurrent.futures.ThreadPoolExecutor(4), but {value!r} was given."
        )
    context = getattr(value, "_mp_context", None)
    if getattr(context, "get_start_method", str)() == "fork":
        raise JobInputError(
            "executor forks its processes, and JAX, which has threads of its own, hangs in forked ones. Give "
            "ProcessPoolExecutor(mp_context=multiprocessing.get_context('spawn'))."
        )
    return value


MAX_SHOTS = 2**32
"""Numbers of shots, of which random words are made, have 32 bits."""


@dataclass(frozen=True)
class Options:
    """The options of a simulator, or of one job."""

    shots: int = 1024
    seed: int | None = None
    dtype: Any = jnp.complex64
    engine: str = "auto"
    executor: Any = None
    max_job_size: int | None = None
    memory_limit: int | None = None

    def changed(self, where: str, changes: Mapping[str, Any]) -> Options:
        """Other options, checked.

        Raises:
            JobInputError: an unknown name, or a value that is not allowed.
        """
        for name in changes:
            if name not in CHECKS:
                raise JobInputError(_unknown(where, name))
        return replace(self, **{name: CHECKS[name](name, value) for name, value in changes.items()})


CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "shots": _integer(1, "a number of shots", MAX_SHOTS),
    "seed": _or_none(_integer(0, "a seed, or None for a fresh one")),
    "dtype": _dtype,
    "engine": _engine,
    "executor": _or_none(_executor),
    "max_job_size": _or_none(_integer(1, "a number of circuits, or None for all")),
    "memory_limit": _or_none(_integer(1, "a number of bytes, or None for all there is")),
}
"""How each option is checked."""

# unknown options ------------------------------------------------------------------------------------------

RUN_ARGUMENTS = ("circuits", "parameter_values", "observables", "outputs")

_ELSEWHERE = {
    "seed_simulator": "It is called seed here.",
    "parameter_binds": "Values are given to run as parameter_values.",
    "memory": "For the bits of every shot ask run for outputs=('memory',).",
    "precision": "Give dtype='complex64' or dtype='complex128'.",
    "method": "There is one, state vectors; engine says how they are computed.",
    "device": "JAX's devices are used: with jax.default_device(...).",
    "noise_model": "Noise is not here yet.",
    "max_shot_size": "Shots of a circuit are not split.",
    "max_memory_mb": "Give memory_limit, in bytes.",
    "max_parallel_experiments": "Give an executor and max_job_size.",
    "max_parallel_shots": "All cores are used.",
    "max_parallel_threads": "All cores are used.",
    **dict.fromkeys(RUN_ARGUMENTS, "It is an argument of run."),
}
"""What options of Qiskit Aer are called here, and what is no option."""


def _unknown(where: str, name: str) -> str:
    known = (*CHECKS, *(RUN_ARGUMENTS if where == "run" else ()))
    close = difflib.get_close_matches(name, known)
    guess = f"Did you mean {' or '.join(map(repr, close))}?" if close else ""
    hint = _ELSEWHERE.get(name, guess)
    return f"{where} has no option {name!r}. {hint}{' ' * bool(hint)}There are: {', '.join(known)}."
