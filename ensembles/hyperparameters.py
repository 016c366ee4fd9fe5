"""Checks of what optimisers are made with: numbers, which are data, and settings, which are compiled in."""

from __future__ import annotations

import math
import numbers
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["checked_number", "one_of", "true_or_false", "whole_number"]

# A range, in words and as a predicate; names that are not here take any finite number >= 0.
_RANGES: dict[str, tuple[str, Callable[[float], bool]]] = {
    **dict.fromkeys(("b1", "b2", "decay", "momentum"), ("lie in [0, 1) as a float32", lambda x: 0 <= x < 1)),
    **dict.fromkeys(
        ("perturbation", "clip_norm", "clip_value", "transition_steps", "decay_steps", "decay_rate"),
        ("be a finite number > 0 as a float32", lambda x: math.isfinite(x) and x > 0),
    ),
    "max_evaluations": ("be a finite number >= 1 as a float32", lambda x: math.isfinite(x) and x >= 1),
}
_NOT_NEGATIVE = ("be a finite number >= 0 as a float32", lambda x: math.isfinite(x) and x >= 0)


def checked_number(kind: str, name: str, value: Any) -> Any:
    """One hyperparameter as a strong float32 scalar; traced values pass, for derivatives by them."""
    if isinstance(value, Tracer):
        return jnp.asarray(value, jnp.float32)
    if isinstance(value, (np.ndarray, jax.Array)) and value.ndim == 0:
        value = value.item()
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        hint = " For several values make one program for each." if np.ndim(value) else ""
        raise TypeError(
            f"{kind}: {name} must be a real number, but {value!r} of type {type(value).__name__} was given.{hint}"
        )
    # Range and finiteness are judged after rounding to float32, which is what the rule computes with.
    with np.errstate(over="ignore"):
        number = np.float32(value)
    words, fits = _RANGES.get(name, _NOT_NEGATIVE)
    if not fits(float(number)):
        raise ValueError(f"{kind}: {name} must {words}, but {value!r} was given.")
    return number


def whole_number(least: int, most: int) -> Callable[[str, str, Any], int]:
    """The check of a setting that is an integer."""

    def check(kind: str, name: str, value: Any) -> int:
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
            raise TypeError(
                f"{kind}: {name} must be an integer, but {value!r} of type {type(value).__name__} was given."
            )
        if not least <= int(value) <= most:
            raise ValueError(f"{kind}: {name} must be from {least} to {most}, but {value} was given.")
        return int(value)

    return check


def one_of(*choices: str) -> Callable[[str, str, Any], str]:
    """The check of a setting that is one of some words."""

    def check(kind: str, name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(
                f"{kind}: {name} must be one of {', '.join(map(repr, choices))}, but {value!r} was given."
            )
        return value

    return check


def true_or_false(kind: str, name: str, value: Any) -> bool:
    """The check of a flag."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(
            f"{kind}: {name} must be True or False, but {value!r} of type {type(value).__name__} was given."
        )
    return bool(value)
