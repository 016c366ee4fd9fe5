"""L-BFGS: a quasi-Newton method with a line search, all of it inside the compiled step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ensembles.hyperparameters import whole_number
from ensembles.optimizers import Optimizer, rule
from ensembles.rounding import rounded
from ensembles.steps import Objective, Step, all_finite
from ensembles.updates import numbers_and_settings
from ensembles.vectors import dot, flat, flat_mask, length, moved

if TYPE_CHECKING:
    from jaxtyping import Array

__all__ = ["lbfgs"]

DECREASE, CURVATURE = 1e-4, 0.9
"""Wolfe's conditions: a step of length t is taken if the loss falls by DECREASE * t * |slope| at least and the slope
there is flatter than CURVATURE of what it was."""


class _State(NamedTuple):
    """What is remembered; the newest pair comes first.

    Attributes:
        moves, changes: (memory, size), of the parameters and of the gradient.
        products: (memory,) their dot products; 0 where there is no pair.
        value, gradient: at the parameters.
        known: () bool, whether value and gradient are.
        stuck: () bool, whether the last search from a bare gradient found nothing.
    """

    moves: Any
    changes: Any
    products: Any
    value: Any
    gradient: Any
    known: Any
    stuck: Any


class _Search(NamedTuple):
    """A line search under way: `low` is the longest step known to be too short, `high` the shortest too long.

    Attributes:
        value, gradient, slope: at the start of the line.
        direction: (size,).
        step: the length to try next.
        low, low_value, low_slope, low_gradient, high: the bracket.
        evaluations: int32, made so far.
        known: whether the start has been evaluated.
        done: whether `low` is the step to take.
    """

    value: Any
    gradient: Any
    slope: Any
    direction: Any
    step: Any
    low: Any
    low_value: Any
    low_slope: Any
    low_gradient: Any
    high: Any
    evaluations: Any
    known: Any
    done: Any


def _start(optimizer: Optimizer, parameters: Any) -> _State:
    vector, _ = flat(parameters)
    memory = dict(optimizer.static)["memory_size"]
    pairs = jnp.zeros((memory, vector.shape[0]), vector.dtype)
    scalar, no = jnp.zeros((), vector.dtype), jnp.bool_(False)
    return _State(pairs, pairs, jnp.zeros(memory, vector.dtype), scalar, jnp.zeros_like(vector), no, no)


def _step(optimizer: Optimizer, objective: Objective, state: _State, parameters: Any) -> Step:
    vector, unflatten = flat(parameters)
    trained, zero = flat_mask(objective.trained), optimizer.zero
    numbers = numbers_and_settings(optimizer, vector.dtype)

    def evaluate(x: Array) -> tuple[Array, Array]:
        value, gradients = objective.value_and_grad(unflatten(x))
        return jnp.asarray(value, x.dtype), jnp.where(trained, flat(gradients)[0], 0)

    kind = jax.eval_shape(objective.value, parameters).dtype
    evaluations = jnp.int32(0)
    starts = (~state.known).astype(jnp.int32)
    if numbers["stochastic"]:
        # Another draw of the loss: what was found with the last one says nothing of this one's.
        value, gradient = evaluate(vector)
        state = state._replace(value=value, gradient=gradient, known=jnp.bool_(True))
        evaluations = starts = jnp.int32(1)
    search = _line(state, evaluations, numbers["learning_rate"], zero)
    most = jnp.asarray(numbers["max_evaluations"], jnp.int32) + starts
    idle = objective.last | state.stuck

    def more(search: _Search) -> Any:
        left = search.evaluations < most
        return ~search.known | (~search.done & left & ~idle & jnp.isfinite(search.value))

    def body(search: _Search) -> _Search:
        value, gradient = evaluate(moved(vector, search.step, search.direction, zero))
        tried = _tried(search, value, gradient, zero)
        begun = _begun(search, value, gradient, numbers["learning_rate"], zero)
        return _choose(search.known, tried, begun)

    search = lax.while_loop(more, body, search)
    # Without an acceptable length the longest one will do that lowers the loss.
    took = search.low > 0
    move = jnp.where(took, rounded(lambda t, d: t * d, zero)(search.low, search.direction), 0)
    new = _remembered(state, search, took, move, bool(numbers["stochastic"]), zero)
    return Step(
        value=jnp.asarray(search.value, kind),
        parameters=unflatten(jnp.where(took, vector + move, vector)),
        state=new,
        finite=jnp.isfinite(search.value) & all_finite(search.gradient),
        gradient_norm=length(search.gradient, zero),
        rows=search.evaluations * jnp.asarray(objective.gradient_rows(), jnp.int32),
    )


def _choose(condition: Any, yes: Any, no: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)


# directions -------------------------------------------------------------------------------------------------


def _direction(state: _State, gradient: Array, zero: Any) -> Array:
    """Minus the approximate inverse Hessian times the gradient, by two loops (Nocedal, Math. Comp. 35, 773, 1980)."""
    used = state.products > 0
    inverse = jnp.where(used, 1 / jnp.where(used, state.products, 1), 0)

    def newest_first(vector: Array, pair: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        move, change, inverse = pair
        share = inverse * dot(move, vector, zero)
        return moved(vector, -share, change, zero), share

    def oldest_first(vector: Array, pair: tuple[Array, Array, Array, Array]) -> tuple[Array, None]:
        move, change, inverse, share = pair
        return moved(vector, share - _product(inverse, dot(change, vector, zero), zero), move, zero), None

    vector, shares = lax.scan(newest_first, gradient, (state.moves, state.changes, inverse))
    curvature = dot(state.changes[0], state.changes[0], zero)
    vector = vector * jnp.where(used[0], state.products[0] / jnp.where(curvature > 0, curvature, 1), 1)
    vector, _ = lax.scan(oldest_first, vector, (state.moves, state.changes, inverse, shares), reverse=True)
    return -vector


def _product(a: Any, b: Any, zero: Any) -> Any:
    return rounded(lambda a, b: a * b, zero)(a, b)


def _remembered(
    state: _State, search: _Search, took: Any, move: Array, stochastic: bool, zero: Any
) -> _State:
    """The state after the search."""
    change = search.low_gradient - search.gradient
    product = dot(move, change, zero)
    size = dot(change, change, zero)
    # Curvature must be positive beyond rounding, or the Hessian would not be.
    keep = took & (product > np.finfo(move.dtype).eps * size)

    def pushed(old: Array, new: Array) -> Array:
        return jnp.where(keep, jnp.concatenate([new[None], old[:-1]]), old)

    # A search that found nothing starts again from the bare gradient.
    lost = ~took & search.known & (search.evaluations > 0)
    bare = state.products[0] == 0
    return _State(
        moves=pushed(state.moves, move),
        changes=pushed(state.changes, change),
        products=jnp.where(lost, 0, pushed(state.products, product)),
        value=jnp.where(took, search.low_value, search.value),
        gradient=jnp.where(took, search.low_gradient, search.gradient),
        known=search.known,
        stuck=jnp.bool_(False) if stochastic else state.stuck | (lost & bare),
    )


# line search ------------------------------------------------------------------------------------------------


def _line(state: _State, evaluations: Any, rate: Any, zero: Any) -> _Search:
    """The search from where the state is; where that is not known, of length 0, which finds out."""
    newton = _direction(state, state.gradient, zero)
    bare = state.products[0] == 0
    downhill = dot(newton, state.gradient, zero) < 0
    direction = jnp.where(downhill & ~bare, newton, -state.gradient)
    direction = jnp.where(state.known, direction, 0)
    first = _first_length(state.gradient, rate, zero)
    step = jnp.where(state.known, jnp.where(downhill & ~bare, rate, first), 0)
    return _from_start(state.value, state.gradient, direction, step, evaluations, state.known, zero)


def _first_length(gradient: Array, rate: Any, zero: Any) -> Any:
    """A length for the bare gradient: a move by `rate` at most."""
    return rate / jnp.maximum(length(gradient, zero), 1)


def _begun(search: _Search, value: Any, gradient: Array, rate: Any, zero: Any) -> _Search:
    """The search from a start that has just been evaluated, with nothing remembered."""
    step = _first_length(gradient, rate, zero)
    return _from_start(value, gradient, -gradient, step, search.evaluations + 1, jnp.bool_(True), zero)


def _from_start(
    value: Any, gradient: Array, direction: Array, step: Any, evaluations: Any, known: Any, zero: Any
) -> _Search:
    slope = dot(direction, gradient, zero)
    nothing = jnp.zeros_like(slope)
    return _Search(
        value=value,
        gradient=gradient,
        slope=slope,
        direction=direction,
        step=jnp.asarray(step, slope.dtype),
        low=nothing,
        low_value=value,
        low_slope=slope,
        low_gradient=gradient,
        high=jnp.full_like(slope, np.inf),
        evaluations=evaluations,
        known=known,
        # Where the gradient is zero there is no line.
        done=known & ~(slope < 0),
    )


def _tried(search: _Search, value: Any, gradient: Array, zero: Any) -> _Search:
    """The search after an evaluation at `step`."""

    def decide(search: _Search, value: Any, slope: Any) -> tuple[Any, Any, Any]:
        t, eps = search.step, np.finfo(slope.dtype).eps
        falls = value <= search.value + DECREASE * t * search.slope
        # Near a minimum losses differ by rounding alone, and slopes tell more (Hager and Zhang, SIAM J. Optim. 16,
        # 170, 2005).
        level = value <= search.value + 8 * eps * jnp.abs(search.value)
        falls = falls | (level & (slope <= (2 * DECREASE - 1) * search.slope))
        flat = slope >= CURVATURE * search.slope
        # Too long: the parabola through what is known at `low` and the loss here.
        width = t - search.low
        excess = value - search.low_value - search.low_slope * width
        lowest = -search.low_slope * width * width / (2 * jnp.where(excess > 0, excess, 1))
        within = jnp.where(excess > 0, jnp.clip(lowest, 0.1 * width, 0.9 * width), 0.5 * width)
        shorter = search.low + jnp.where(jnp.isfinite(within), within, 0.5 * width)
        # Too short: where the slope would be zero.
        gain = slope - search.low_slope
        ahead = jnp.where(gain > 0, -slope * width / jnp.where(gain > 0, gain, 1), 9 * t)
        longer = jnp.where(
            jnp.isfinite(search.high), t + 0.5 * (search.high - t), t + jnp.clip(ahead, t, 9 * t)
        )
        return falls, flat, jnp.where(falls, longer, shorter)

    slope = dot(search.direction, gradient, zero)
    finite = jnp.isfinite(value) & all_finite(gradient)
    falls, flat, step = rounded(decide, zero)(search, value, slope)
    falls = falls & finite
    step = jnp.where(finite, step, 0.5 * (search.low + search.step))
    return search._replace(
        step=step,
        low=jnp.where(falls, search.step, search.low),
        low_value=jnp.where(falls, value, search.low_value),
        low_slope=jnp.where(falls, slope, search.low_slope),
        low_gradient=jnp.where(falls, gradient, search.low_gradient),
        high=jnp.where(falls, search.high, search.step),
        evaluations=search.evaluations + 1,
        done=falls & flat,
    )


@rule(
    settings={"memory_size": whole_number(1, 64)},
    elementwise=False,
    schedules=False,
    clips=False,
    start=_start,
    step=_step,
)
def lbfgs(
    learning_rate: float = 1.0,
    max_evaluations: float = 20,
    *,
    memory_size: int = 10,
    stochastic: bool = False,
) -> Optimizer:
    """Limited-memory BFGS (Liu and Nocedal, Math. Program. 45, 503, 1989): the fewest evaluations for exact losses.

    Each step searches along its direction for a length that fulfils the weak Wolfe conditions, by bracketing with
    parabolas; mostly the first length tried does. What a search has found is kept, so that a step costs one
    evaluation of loss and gradient if it does (and one more at the first step). Where no length lowers the loss, the
    memory is dropped; where then the gradient's own direction does not either, the program stays where it is, and
    its steps cost nothing.

    Args:
        learning_rate: the first length tried, in units of the quasi-Newton step, which 1 takes whole. Along the bare
            gradient, that is at the first step, the parameters move by this much at most.
        max_evaluations: most lengths tried in a step, >= 1.
        memory_size: steps to remember, 1 to 64; compiled in.
        stochastic: whether the loss draws random numbers: then it is evaluated anew at the parameters at each step,
            with the numbers of that step. Compiled in.

    Returns:
        an `Optimizer`; numbers are data.

    Errors: TypeError and ValueError for numbers out of range.

    Example:
        >>> from ensembles import rules
        >>> rules.lbfgs()
        lbfgs(learning_rate=1.0, max_evaluations=20.0, memory_size=10)
    """
    ...
