"""Natural gradient: descent in the geometry of states instead of that of parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from ensembles.hyperparameters import one_of
from ensembles.optimizers import Optimizer, rule
from ensembles.rounding import rounded
from ensembles.steps import Objective, Step, all_finite, norm
from ensembles.updates import clip, numbers_and_settings
from ensembles.vectors import flat, flat_mask, moved

if TYPE_CHECKING:
    from jaxtyping import Array, Float

    from ensembles.schedules import Schedule

__all__ = ["natural_gradient", "solved"]


class _State(NamedTuple):
    count: Any


def _start(optimizer: Optimizer, parameters: Any) -> _State:
    return _State(jnp.int32(0))


def _step(optimizer: Optimizer, objective: Objective, state: _State, parameters: Any) -> Step:
    vector, unflatten = flat(parameters)
    trained, zero = flat_mask(objective.trained), optimizer.zero
    numbers = numbers_and_settings(optimizer, vector.dtype)
    approximation = numbers["approximation"]
    value, gradients = objective.value_and_grad(parameters)
    gradient = jnp.where(trained, flat(gradients)[0], 0)
    fisher = jnp.asarray(objective.metric(parameters, approximation), vector.dtype)
    if approximation == "diagonal":
        metric = fisher / 4 + numbers["damping"]
        usable = trained & (metric > 0)
        direction = jnp.where(usable, gradient / jnp.where(usable, metric, 1), 0)
    else:
        both = trained[:, None] & trained[None, :]
        damping = jnp.where(jnp.eye(len(vector), dtype=bool), numbers["damping"], 0)
        metric = jnp.where(both, fisher / 4 + damping, 0)
        direction = solved(metric, gradient, zero)
    rate = numbers["learning_rate"]
    if callable(rate):
        rate = rounded(lambda count: jnp.asarray(rate(count), vector.dtype), zero)(state.count)
    after = moved(vector, -rate, clip(optimizer, direction), zero)
    derivatives = jnp.sum(trained, dtype=jnp.int32)
    return Step(
        value=value,
        parameters=unflatten(after),
        state=_State(state.count + 1),
        finite=all_finite((gradient, fisher, after)),
        gradient_norm=norm(gradient, zero),
        rows=jnp.asarray(objective.gradient_rows(), jnp.int32) + derivatives,
    )


def solved(matrix: Float[Array, "n n"], right: Float[Array, " n"], zero: Any) -> Float[Array, " n"]:
    """The x with matrix x = right, for a symmetric matrix without negative eigenvalues.

    Elimination column by column, all of it elementwise, so that a row's bits depend neither on how many rows there are
    nor on padding, which factorisations of batches do not promise. Where what is left of a column is zero up to
    rounding, x is 0 there.
    """
    index = jnp.arange(matrix.shape[0])
    least = 64 * np.finfo(matrix.dtype).eps * jnp.max(jnp.abs(jnp.diagonal(matrix)))

    def eliminate(k: Any, both: tuple[Array, Array]) -> tuple[Array, Array]:
        def of(matrix: Array, right: Array) -> tuple[Array, Array]:
            row = lax.dynamic_index_in_dim(matrix, k, keepdims=False)
            pivot = row[k]
            factors = jnp.where((index > k) & (pivot > least), row / jnp.where(pivot > least, pivot, 1), 0)
            return matrix - factors[:, None] * row[None, :], right - factors * right[k]

        return rounded(of, zero)(*both)

    def substitute(back: Any, both: tuple[Array, Array]) -> tuple[Array, Array]:
        k = matrix.shape[0] - 1 - back

        def of(right: Array, found: Array) -> tuple[Array, Array]:
            column = lax.dynamic_index_in_dim(upper, k, 1, keepdims=False)
            pivot = column[k]
            x = jnp.where(pivot > least, right[k] / jnp.where(pivot > least, pivot, 1), 0)
            return right - jnp.where(index < k, column, 0) * x, jnp.where(index == k, x, found)

        return rounded(of, zero)(*both)

    upper, right = lax.fori_loop(0, matrix.shape[0], eliminate, (matrix, right))
    _, found = lax.fori_loop(0, matrix.shape[0], substitute, (right, jnp.zeros_like(right)))
    return found


@rule(
    settings={"approximation": one_of("full", "block_diagonal", "diagonal")},
    elementwise=False,
    needs=("metric", "the Fisher information of a state"),
    start=_start,
    step=_step,
)
def natural_gradient(
    learning_rate: float | Schedule | Callable[[Any], Any],
    damping: float = 1e-3,
    *,
    approximation: str = "full",
) -> Optimizer:
    """Quantum natural gradient (Stokes, Izaac, Killoran and Carleo, Quantum 4, 269, 2020).

    A step moves by -learning_rate d, where (F / 4 + damping) d is the gradient and F the quantum Fisher information
    of the state (`jaxsim.fisher_information`), F / 4 the Fubini-Study metric. It costs a gradient and a derivative of
    the state for each parameter, which is what `evaluations` counts: 1 + parameters.

    Args:
        learning_rate: step size, or a schedule.
        damping: added to the metric's diagonal, >= 0; where the state does not depend on some combination of
            parameters, the metric has no inverse without.
        approximation: "full"; "block_diagonal", with blocks of parameters that one layer of gates has
            (`jaxsim.parameter_layers`); or "diagonal". Compiled in.

    Returns:
        an `Optimizer`; numbers are data.

    Errors: TypeError and ValueError for numbers out of range or an unknown approximation; TypeError when a program is
    made whose loss has no Fisher information.

    Example:
        >>> from ensembles import rules
        >>> rules.natural_gradient(0.1)
        natural_gradient(learning_rate=0.1, damping=0.001, approximation=full)
    """
    ...
