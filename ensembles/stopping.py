"""When a compiled program stops before its last step: each program by its own rule, decided at every step."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

__all__ = ["EarlyStopping", "Patience", "Stopping", "as_stopping", "decide", "fresh"]

_NEVER = np.int32(2**31 - 1)


@dataclass(frozen=True, repr=False)
class EarlyStopping:
    """When a program has converged; whatever is met first ends it, with the status "converged".

    It is decided at every evaluation of the loss, before the update, so it depends neither on batching nor on how
    many steps a compiled call makes. The numbers are data: programs with different rules share compiled calls. The
    program's `steps` remain its limit.

    Args:
        patience: end after this many evaluations in a row without a loss lower by more than `min_delta` than the
            lowest one of before, at least 1.
        min_delta: what counts as lower, in the units of the loss, at least 0.
        gradient_norm: end where the Euclidean norm of the gradient is at most this, in units of the loss per unit of
            the parameters. Not for rules that know no gradient (`rotosolve`).
        target: end as soon as the loss is at most this.

    Raises:
        TypeError: anything but numbers.
        ValueError: numbers out of range; none of patience, gradient_norm and target; min_delta without patience.

    Example:
        >>> from ensembles import VQE, EarlyStopping, ProgramEnsemble, adam
        >>> from ensembles.problems import tfim
        >>> from jaxsim import ansatz
        >>> circuit, rule = ansatz.hardware_efficient(2, 1), EarlyStopping(patience=10, min_delta=1e-4)
        >>> vqe = VQE(circuit, tfim(2), optimizer=adam(0.1), steps=1000, stopping=rule)
        >>> result = ProgramEnsemble({"chain": vqe}).run(progress=False)["chain"]
        >>> result.status, result.steps < 500
        ('converged', True)
    """

    patience: int | None = None
    min_delta: float = 0.0
    gradient_norm: float | None = None
    target: float | None = None

    def __repr__(self) -> str:
        given = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        return f"EarlyStopping({', '.join(f'{name}={value}' for name, value in given.items())})"

    def __post_init__(self) -> None:
        if self.patience is not None:
            if isinstance(self.patience, bool | np.bool_) or not isinstance(self.patience, numbers.Integral):
                raise TypeError(f"EarlyStopping: patience is an integer, but {self.patience!r} was given.")
            if not 1 <= self.patience < _NEVER:
                raise ValueError(f"EarlyStopping: patience is at least 1, but {self.patience} was given.")
        for name, least in _LEAST.items():
            _check_number(name, getattr(self, name), least)
        if self.patience is None and self.gradient_norm is None and self.target is None:
            raise ValueError("EarlyStopping: give patience, gradient_norm or target, or several of them.")
        if self.patience is None and self.min_delta:
            raise ValueError(
                f"EarlyStopping: min_delta={self.min_delta!r} says what patience counts; give patience, too."
            )


_LEAST = {"min_delta": 0.0, "gradient_norm": 0.0, "target": -math.inf}


def _check_number(name: str, value: Any, least: float) -> None:
    if value is None:
        return
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise TypeError(f"EarlyStopping: {name} is a number, but {value!r} was given.")
    if not math.isfinite(value) or value < least:
        limit = "" if math.isinf(least) else f" of at least {least:g}"
        raise ValueError(f"EarlyStopping: {name} is a finite number{limit}, but {value!r} was given.")


class Stopping(NamedTuple):
    """An `EarlyStopping` as leaves of a row; what was left out can not be met."""

    patience: Any
    min_delta: Any
    gradient_norm: Any
    target: Any


def as_stopping(rule: EarlyStopping | None, dtype: Any) -> Stopping:
    """The rule as leaves, in the dtype of the program's numbers."""
    patience, min_delta, gradient_norm, target = (
        (None, 0.0, None, None)
        if rule is None
        else (rule.patience, rule.min_delta, rule.gradient_norm, rule.target)
    )
    return Stopping(
        patience=np.int32(_NEVER if patience is None else patience),
        min_delta=np.asarray(min_delta, dtype),
        gradient_norm=np.asarray(-math.inf if gradient_norm is None else gradient_norm, dtype),
        target=np.asarray(-math.inf if target is None else target, dtype),
    )


class Patience(NamedTuple):
    """What is remembered from step to step: the loss to beat, and for how many evaluations nothing has."""

    reference: Any
    stale: Any


def fresh(count: int, dtype: Any) -> Patience:
    """Of programs that have not started, (count,)."""
    return Patience(np.full(count, np.inf, dtype), np.zeros(count, np.int32))


def decide(rule: Stopping, patience: Patience, value: Any, gradient_norm: Any) -> tuple[Patience, Any]:
    """What is remembered after an evaluation, and whether the program has converged.

    Args:
        rule: the program's.
        patience: from the evaluation before.
        value: () loss at the parameters before the update.
        gradient_norm: () norm of its derivatives.
    """
    lower = value < patience.reference - rule.min_delta.astype(value.dtype)
    stale = jnp.where(lower, 0, patience.stale + 1)
    after = Patience(jnp.where(lower, value, patience.reference), stale)
    met = (stale >= rule.patience) | (value <= rule.target) | (gradient_norm <= rule.gradient_norm)
    return after, met
