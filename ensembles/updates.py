"""What an optimiser does in a compiled call: its first state, and its steps.

`init`, `step` and `update` are pure functions for use inside `jit` and `vmap`; they build the optax rule from the
leaves while tracing. Rules of our own have a start and a step in their row, and take numbers and clipping from here.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ensembles.optimizers import CLIPPING, RULES, Optimizer, static_settings
from ensembles.rounding import rounded
from ensembles.steps import Objective, Step, gradient_step, norm

__all__ = ["clip", "init", "numbers_and_settings", "step", "update"]


def init(optimizer: Optimizer, parameters: Any) -> Any:
    """The optimiser's state before the first step.

    Args:
        optimizer: as made by `adam` & co. or `as_optimizer`.
        parameters: pytree of real arrays.

    Returns:
        a pytree of arrays without weak types, whose shapes and dtypes `update` keeps.

    Example:
        >>> import jax.numpy as jnp
        >>> from ensembles import sgd, updates
        >>> updates.init(sgd(0.1, momentum=0.9), jnp.zeros(3))[0].trace.shape
        (3,)
    """
    row = RULES.get(optimizer.kind)
    if row is not None and row.start is not None:
        return row.start(optimizer, parameters)
    transformation = _transformation(optimizer, _numbers(optimizer, _dtype(parameters)))
    return jax.tree.map(_strong, transformation.init(parameters))


def step(optimizer: Optimizer, objective: Objective, state: Any, parameters: Any) -> Step:
    """One step of training: evaluates the objective as the rule needs it, and updates.

    Args:
        optimizer: as given to `init`.
        objective: the program's loss at this step.
        state: from `init` or the step before.
        parameters: pytree of real arrays.
    """
    row = RULES.get(optimizer.kind)
    if row is not None and row.step is not None:
        return row.step(optimizer, objective, state, parameters)
    return gradient_step(partial(update, optimizer), objective, state, parameters, optimizer.zero)


def update(
    optimizer: Optimizer, gradients: Any, state: Any, parameters: Any, value: Any = None
) -> tuple[Any, Any]:
    """One step of a rule that follows one gradient: new parameters and new state.

    Args:
        optimizer: as given to `init`.
        gradients: pytree like `parameters`.
        state: from `init` or the step before.
        parameters: pytree of real arrays.
        value: the loss at `parameters`, a scalar, for rules that ask for it (`optax.polyak_sgd`, ...).

    Returns:
        (parameters, state), shapes and dtypes as given, no weak types. Products are rounded one by one, so
        that the bits do not depend on how many programs share the call (`ensembles.rounding`).

    Errors: ValueError if a transformation used as given needs more than gradients and value (a line search).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ensembles import sgd, updates
        >>> opt, x = sgd(0.25), jnp.array([1.0, 2.0])
        >>> state = updates.init(opt, x)
        >>> x, state = jax.jit(updates.update)(opt, 2 * x, state, x)
        >>> x
        Array([0.5, 1. ], dtype=float32)
    """

    def step(
        numbers: dict[str, Any], gradients: Any, state: Any, parameters: Any, extra: Any
    ) -> tuple[Any, Any]:
        transformation = _transformation(optimizer, numbers)
        try:
            updates, new_state = transformation.update(gradients, state, parameters, **extra)
        except TypeError as error:
            if "keyword-only argument" not in str(error):
                raise
            raise ValueError(
                f"optimizer: this optax transformation needs more than gradients and the loss ({error}). "
                f"Rules with a line search evaluate the loss themselves and can not be used here; take one "
                f"without, for example ensembles.adam(0.1)."
            ) from error
        new = jax.tree.map(lambda p, u: p + jnp.asarray(u, p.dtype), parameters, updates)
        return new, jax.tree.map(lambda new, old: _strong(new, old), new_state, state)

    extra = {} if value is None else {"value": value}
    numbers = _numbers(optimizer, _dtype(parameters))
    gradients = clip(optimizer, gradients)
    return rounded(step, optimizer.zero)(numbers, gradients, state, parameters, extra)


def numbers_and_settings(optimizer: Optimizer, dtype: Any) -> dict[str, Any]:
    """Everything by name, without clipping: numbers in the dtype, schedules as functions of the step."""
    return {**_numbers(optimizer, dtype), **static_settings(optimizer)}


def _numbers(optimizer: Optimizer, dtype: Any) -> dict[str, Any]:
    # In the parameters' dtype: a float32 1 - b2**t would cost float64 programs half of their digits.
    return {
        name: jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), value)
        for name, value in optimizer.hyperparameters.items()
        if name not in CLIPPING
    }


def _transformation(optimizer: Optimizer, numbers: dict[str, Any]) -> optax.GradientTransformationExtraArgs:
    settings = static_settings(optimizer)
    if optimizer.kind == "optax":
        return optax.with_extra_args_support(settings["transformation"])
    optax_rule = RULES[optimizer.kind].optax_rule
    assert optax_rule is not None  # else the row has a start and a step
    return optax.with_extra_args_support(optax_rule(**numbers, **settings))


def _dtype(parameters: Any) -> Any:
    return jnp.result_type(*jax.tree.leaves(parameters))


def _strong(value: Any, like: Any = None) -> jax.Array:
    """`value` as an array without weak type, in the dtype of `like`: a scan's carry keeps its type."""
    array = jnp.asarray(value)
    dtype = array.dtype if like is None else like.dtype
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return array
    return jnp.asarray(array, dtype)


def clip(optimizer: Optimizer, gradients: Any) -> Any:
    """Gradients as `clipped` says; as they are if nothing was said."""
    limits = {name: optimizer.hyperparameters.get(name) for name in CLIPPING}
    if limits["clip_value"] is not None:
        most = limits["clip_value"]
        gradients = jax.tree.map(lambda g: jnp.clip(g, -_like(most, g), _like(most, g)), gradients)
    if limits["clip_norm"] is not None:
        size = norm(gradients, optimizer.zero)
        factor = jnp.minimum(1, _like(limits["clip_norm"], size) / jnp.where(size > 0, size, 1))
        gradients = jax.tree.map(lambda g: g * _like(factor, g), gradients)
    return gradients


def _like(number: Any, array: Any) -> Any:
    return jnp.asarray(number, array.dtype)
