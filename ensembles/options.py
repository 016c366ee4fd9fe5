"""What `ProgramEnsemble.run` is asked for besides how to batch, checked before anything runs."""

from __future__ import annotations

import inspect
import math
import numbers
import os
from typing import Any

import numpy as np

from ensembles.checkpoint import Checkpoint
from ensembles.program import NOT_ORDINARY
from ensembles.progress import progress_enabled
from ensembles.runs import RunOptions
from ensembles.schedule import STEPS_PER_CALL

__all__ = ["run_options"]


def run_options(
    progress: bool | None = None,
    max_seconds: Any = None,
    callback: Any = None,
    callback_steps: Any = None,
    checkpoint_dir: Any = None,
    checkpoint_seconds: Any = 10.0,
    checkpoint_calls: Any = None,
) -> RunOptions:
    """The options of a run.

    Raises:
        TypeError, ValueError: as `ProgramEnsemble.run`.
        CheckpointError: a directory that cannot be written.
    """
    show = progress_enabled(progress)
    limit = None if max_seconds is None else _seconds("max_seconds", max_seconds)
    if callback is not None:
        _check_callback(callback)
    if callback_steps is not None:
        _check_count("callback_steps", callback_steps, STEPS_PER_CALL)
        if callback is None:
            raise ValueError(
                f"run: callback_steps={callback_steps} was given without a callback; give one, or neither."
            )
    pause = _seconds("checkpoint_seconds", checkpoint_seconds)
    if checkpoint_calls is not None:
        _check_count("checkpoint_calls", checkpoint_calls)
    checkpoint = None
    if checkpoint_dir is not None:
        if not isinstance(checkpoint_dir, str | os.PathLike):
            raise TypeError(f"run: checkpoint_dir is a path, but {checkpoint_dir!r} was given.")
        if not os.fspath(checkpoint_dir):
            raise ValueError("run: checkpoint_dir is empty; give a directory, or None for no checkpoints.")
        checkpoint = Checkpoint(checkpoint_dir, pause, checkpoint_calls)
    return RunOptions(show, limit, callback, callback_steps, checkpoint)


def _check_callback(given: Any) -> None:
    if not callable(given):
        raise TypeError(f"run: callback is a function of a RunUpdate, but {given!r} was given.")
    for is_one, what in NOT_ORDINARY.items():
        if is_one(given) or is_one(type(given).__call__):
            raise TypeError(
                f"run: callback must be an ordinary function of a RunUpdate, but {given!r} is {what}, which would do "
                "nothing when called."
            )
    try:
        signature = inspect.signature(given)
    except (TypeError, ValueError):  # some built-in functions do not tell
        return
    try:
        signature.bind(None)
    except TypeError:
        raise TypeError(
            f"run: callback takes one argument, a RunUpdate, but {given!r} has the signature {signature}."
        ) from None


def _seconds(name: str, value: Any) -> float:
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise TypeError(f"run: {name} is a number of seconds, but {value!r} was given.")
    try:
        seconds = float(value)
    except OverflowError:
        seconds = -math.inf if value < 0 else math.inf
    if not seconds > 0:
        raise ValueError(f"run: {name} must be above 0, but {value!s:.40} was given.")
    return seconds


def _check_count(name: str, value: Any, most: int | None = None) -> None:
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral):
        raise TypeError(f"run: {name} is an integer, but {value!r} was given.")
    if value < 1:
        raise ValueError(f"run: {name} must be at least 1, but {value} was given.")
    if most is not None and not value <= most:
        raise ValueError(
            f"run: {name} must be at most {most}, the steps that a compiled call makes, but {value} was given."
        )
