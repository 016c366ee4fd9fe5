"""SPSA: descent along a random direction, from two losses a step whatever the number of parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from ensembles.hyperparameters import whole_number
from ensembles.optimizers import Optimizer, rule
from ensembles.rounding import rounded
from ensembles.steps import Objective, Step, all_finite
from ensembles.updates import clip, numbers_and_settings
from ensembles.vectors import flat, flat_mask, moved

if TYPE_CHECKING:
    from jaxtyping import Array, Bool, Float

    from ensembles.schedules import Schedule

__all__ = ["spsa"]


class _State(NamedTuple):
    count: Any


def _start(optimizer: Optimizer, parameters: Any) -> _State:
    return _State(jnp.int32(0))


def _signs(key: Any, trained: Bool[Array, " size"], dtype: Any) -> Float[Array, " size"]:
    """+-1 for each trained parameter, from a key of its own: drawn alike whatever padding there is."""
    keys = jax.vmap(lambda k: jax.random.fold_in(key, k))(jnp.arange(trained.shape[0]))
    bits = jax.vmap(lambda k: jax.random.bits(k, (), jnp.uint32))(keys)
    return jnp.where(trained, 1 - 2 * (bits & 1).astype(dtype), 0)


def _step(optimizer: Optimizer, objective: Objective, state: _State, parameters: Any) -> Step:
    vector, unflatten = flat(parameters)
    trained, zero = flat_mask(objective.trained), optimizer.zero
    numbers = numbers_and_settings(optimizer, vector.dtype)
    rate, width = rounded(lambda count: _gains(numbers, count), zero)(state.count)
    directions = numbers["resamplings"]

    def evaluate(_: None, k: Any) -> tuple[None, tuple[Any, Any]]:
        signs = _signs(jax.random.fold_in(objective.rule_key(), k // 2), trained, vector.dtype)
        shift = jnp.where(k % 2 == 0, width, -width)
        return None, (objective.value(unflatten(moved(vector, shift, signs, zero)), draw=k + 1), signs)

    value = objective.value(parameters)
    _, (values, signs) = lax.scan(evaluate, None, jnp.arange(2 * directions))
    differences = (values[0::2] - values[1::2]).astype(vector.dtype) / (2 * width)
    estimate = _mean(differences, signs[0::2], zero)
    estimate = clip(optimizer, estimate)
    return Step(
        value=value,
        parameters=unflatten(moved(vector, -rate, estimate, zero)),
        state=_State(state.count + 1),
        finite=all_finite(values),
        gradient_norm=jnp.zeros((), vector.dtype),
        rows=jnp.int32(1 + 2 * directions),
    )


def _gains(numbers: dict[str, Any], count: Any) -> tuple[Any, Any]:
    """Spall's sequences a_k and c_k; a schedule is a_k itself."""
    k = count.astype(numbers["perturbation"].dtype)
    width = numbers["perturbation"] / jnp.power(k + 1, numbers["gamma"])
    rate = numbers["learning_rate"]
    if callable(rate):
        return jnp.asarray(rate(count), k.dtype), width
    stability = numbers["stability"]
    return rate * jnp.power((stability + 1) / (stability + 1 + k), numbers["alpha"]), width


def _mean(
    differences: Float[Array, " directions"], signs: Float[Array, "directions size"], zero: Any
) -> Array:
    """The mean of the directions times their differences, summed in their order."""

    def of(differences: Array, signs: Array) -> Array:
        terms = [differences[k] * signs[k] for k in range(differences.shape[0])]
        return sum(terms[1:], terms[0]) / len(terms)

    return rounded(of, zero)(differences, signs)


@rule(settings={"resamplings": whole_number(1, 64)}, start=_start, step=_step, has_gradient=False)
def spsa(
    learning_rate: float | Schedule | Callable[[Any], Any],
    perturbation: float = 0.2,
    *,
    alpha: float = 0.602,
    gamma: float = 0.101,
    stability: float = 10.0,
    resamplings: int = 1,
) -> Optimizer:
    """Simultaneous perturbation stochastic approximation (Spall, IEEE Trans. Automat. Contr. 37, 332, 1992): for noisy
    losses, and where gradients cost too much.

    Step k = 0, 1, ... moves by a_k times the slope along a random direction of +-1, found from the losses at
    +-c_k along it. The gains are a_k = learning_rate ((stability + 1) / (stability + 1 + k))^alpha and c_k =
    perturbation / (k + 1)^gamma (Spall, IEEE Trans. Aerosp. Electron. Syst. 34, 817, 1998). A step takes three
    evaluations, or 1 + 2 resamplings: the loss at the parameters, for the history, and two for each direction; each
    draws random numbers of its own.

    Args:
        learning_rate: the first gain a_0; a schedule gives all of them.
        perturbation: c_0, in the units of the parameters; with few shots rather more.
        alpha, gamma: how fast the gains shrink.
        stability: for about how many steps a_k stays large; a tenth of all is the custom.
        resamplings: directions to average over, 1 to 64; compiled in.

    Returns:
        an `Optimizer`; numbers are data.

    Errors: TypeError and ValueError for numbers out of range.

    Example:
        >>> from ensembles import rules
        >>> rules.spsa(0.1)
        spsa(learning_rate=0.1, perturbation=0.2, alpha=0.602, gamma=0.101, stability=10.0, resamplings=1)
    """
    ...
