"""Learning rates that change from step to step, as data: their numbers are leaves, so programs with schedules of one
kind share compiled calls whatever the numbers. (An optax schedule works as well, but is compiled in.)

Names, arguments and values are those of optax; a step is an update of the program. The numbers are strong float32
scalars.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ensembles.hyperparameters import checked_number

__all__ = [
    "Schedule", "cosine_decay", "exponential_decay", "linear", "piecewise_constant", "warmup_cosine_decay",
]  # fmt: skip


@partial(jax.tree_util.register_dataclass, data_fields=["numbers"], meta_fields=["kind"])
@dataclass(frozen=True, repr=False)
class Schedule:
    """A learning rate as a function of the step: ``schedule(step)``.

    A pytree: schedules of one kind differ in numbers only and share compiled calls.

    Attributes:
        kind: name of the function that made it.
        numbers: name -> strong float32 scalar; vectors for "piecewise_constant".
    """

    kind: str
    numbers: dict[str, Any]

    def __call__(self, step: Any) -> Any:
        """The rate at a step, (), in the dtype of the numbers."""
        numbers = {name: jnp.asarray(number) for name, number in self.numbers.items()}
        dtype = jnp.result_type(*numbers.values())
        return _SHAPES[self.kind](jnp.asarray(step, dtype), **numbers)

    def __repr__(self) -> str:
        # str, not repr: a float32 then reads 0.1.
        shown = (f"{name}={_plain(number)}" for name, number in self.numbers.items())
        return f"{self.kind}({', '.join(shown)})"


def _plain(number: Any) -> str:
    return "[" + ", ".join(map(str, number)) + "]" if np.ndim(number) else str(number)


def _linear(step: Any, init_value: Any, end_value: Any, transition_steps: Any) -> Any:
    share = jnp.minimum(step / transition_steps, 1)
    return init_value + share * (end_value - init_value)


def _exponential(step: Any, init_value: Any, transition_steps: Any, decay_rate: Any) -> Any:
    return init_value * jnp.power(decay_rate, step / transition_steps)


def _cosine(step: Any, init_value: Any, decay_steps: Any, alpha: Any) -> Any:
    share = jnp.minimum(step / decay_steps, 1)
    cosine = 0.5 * (1 + jnp.cos(np.pi * share))
    return init_value * ((1 - alpha) * cosine + alpha)


def _warmup_cosine(
    step: Any, init_value: Any, peak_value: Any, warmup_steps: Any, decay_steps: Any, end_value: Any
) -> Any:
    up = init_value + step / jnp.maximum(warmup_steps, 1) * (peak_value - init_value)
    share = jnp.clip((step - warmup_steps) / (decay_steps - warmup_steps), 0, 1)
    down = end_value + 0.5 * (1 + jnp.cos(np.pi * share)) * (peak_value - end_value)
    return jnp.where(step < warmup_steps, up, down)


def _piecewise(step: Any, init_value: Any, boundaries: Any, scales: Any) -> Any:
    # One after the other: a product over an axis might take another order in a batch.
    rate = init_value
    for k in range(boundaries.shape[0]):
        rate = rate * jnp.where(step >= boundaries[k], scales[k], 1)
    return rate


_SHAPES = {
    "linear": _linear,
    "exponential_decay": _exponential,
    "cosine_decay": _cosine,
    "warmup_cosine_decay": _warmup_cosine,
    "piecewise_constant": _piecewise,
}


def _schedule(kind: str, **given: Any) -> Schedule:
    return Schedule(kind, {name: checked_number(kind, name, value) for name, value in given.items()})


def linear(init_value: float, end_value: float, transition_steps: float) -> Schedule:
    """From one rate to another on a straight line, which stays there.

    Args:
        init_value, end_value: rates, >= 0.
        transition_steps: how many steps it takes, > 0.

    Returns:
        a `Schedule` to give as a learning rate.

    Errors: TypeError for anything but real numbers, ValueError for numbers out of range, as for all schedules.

    Example:
        >>> from ensembles import schedules
        >>> float(schedules.linear(0.2, 0.1, 10)(5)).__round__(4)
        0.15
    """
    return _schedule("linear", init_value=init_value, end_value=end_value, transition_steps=transition_steps)


def exponential_decay(init_value: float, transition_steps: float, decay_rate: float) -> Schedule:
    """init_value * decay_rate ** (step / transition_steps).

    >>> round(float(exponential_decay(0.1, 10, 0.5)(20)), 6)
    0.025
    """
    return _schedule(
        "exponential_decay", init_value=init_value, transition_steps=transition_steps, decay_rate=decay_rate
    )


def cosine_decay(init_value: float, decay_steps: float, alpha: float = 0.0) -> Schedule:
    """Half a cosine from init_value to alpha * init_value (Loshchilov and Hutter, arXiv:1608.03983).

    >>> round(float(cosine_decay(0.1, 10)(5)), 6)
    0.05
    """
    return _schedule("cosine_decay", init_value=init_value, decay_steps=decay_steps, alpha=alpha)


def warmup_cosine_decay(
    init_value: float, peak_value: float, warmup_steps: float, decay_steps: float, end_value: float = 0.0
) -> Schedule:
    """A straight line up to peak_value, then half a cosine down to end_value; decay_steps counts both.

    >>> [round(float(warmup_cosine_decay(0.0, 0.1, 10, 30)(step)), 6) for step in (5, 10, 20, 30)]
    [0.05, 0.1, 0.05, 0.0]
    """
    schedule = _schedule(
        "warmup_cosine_decay",
        init_value=init_value,
        peak_value=peak_value,
        warmup_steps=warmup_steps,
        decay_steps=decay_steps,
        end_value=end_value,
    )
    if not schedule.numbers["decay_steps"] > schedule.numbers["warmup_steps"]:
        raise ValueError(
            f"warmup_cosine_decay: decay_steps counts the warm-up as well, so it must be more than warmup_steps="
            f"{warmup_steps!r}, but {decay_steps!r} was given."
        )
    return schedule


def piecewise_constant(init_value: float, boundaries_and_scales: Mapping[int, float]) -> Schedule:
    """init_value, multiplied by a scale from each boundary on. Schedules with equally many boundaries share calls.

    >>> [float(piecewise_constant(1.0, {10: 0.5, 20: 0.5})(step)) for step in (9, 10, 20)]
    [1.0, 0.5, 0.25]
    """
    kind = "piecewise_constant"
    if not isinstance(boundaries_and_scales, Mapping) or not boundaries_and_scales:
        raise TypeError(
            f"{kind}: boundaries_and_scales must map steps to scales, as in {{100: 0.5}}, but "
            f"{boundaries_and_scales!r} was given."
        )
    pairs = sorted(boundaries_and_scales.items())
    schedule = _schedule(kind, init_value=init_value)
    columns = (("boundaries", [step for step, _ in pairs]), ("scales", [scale for _, scale in pairs]))
    for name, column in columns:
        schedule.numbers[name] = np.stack([checked_number(kind, name, value) for value in column])
    return schedule
