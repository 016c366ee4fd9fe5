"""Rotosolve: one parameter after the other is put where the loss is lowest along it, in closed form."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from ensembles.optimizers import Optimizer, rule
from ensembles.rounding import rounded
from ensembles.steps import Objective, Step
from ensembles.vectors import flat, flat_mask, total

if TYPE_CHECKING:
    from jaxtyping import Array, Float

__all__ = ["lowest_point", "rotosolve"]

TURN = 2 * math.pi


class _Sweep(NamedTuple):
    """A sweep under way: where it is, the loss there, evaluations so far, and whether all were finite."""

    vector: Any
    value: Any
    evaluations: Any
    finite: Any


def _start(optimizer: Optimizer, parameters: Any) -> tuple[()]:
    return ()


def _step(optimizer: Optimizer, objective: Objective, state: Any, parameters: Any) -> Step:
    vector, unflatten = flat(parameters)
    zero = optimizer.zero
    frequencies = jnp.asarray(objective.frequencies(), vector.dtype)
    moves = flat_mask(objective.trained) & ~jnp.asarray(objective.last, bool)
    degrees = jnp.where(moves, jnp.sum(frequencies > 0, axis=1, dtype=jnp.int32), 0)
    points = 2 * frequencies.shape[1] + 1

    def along(p: Any, sweep: _Sweep) -> _Sweep:
        degree = degrees[p]
        base = jnp.where(degree > 0, frequencies[p, 0], 1)
        own = jnp.arange(len(vector)) == p

        def evaluate(k: Any, values: Array) -> Array:
            def shift(k: Any) -> Any:
                return (TURN * k.astype(vector.dtype)) / ((2 * degree + 1).astype(vector.dtype) * base)

            there = jnp.where(own, sweep.vector + rounded(shift, zero)(k), sweep.vector)
            value = objective.value(unflatten(there), draw=sweep.evaluations + k)
            return jnp.where(jnp.arange(points) == k, jnp.asarray(value, values.dtype), values)

        values = jnp.where(jnp.arange(points) == 0, sweep.value, 0)
        values = lax.fori_loop(1, 2 * degree + 1, evaluate, values)
        phase, lowest = lowest_point(values, degree, zero)
        finite = jnp.all(jnp.isfinite(values))
        # What rounding can make of equal losses is no reason to move.
        least = 4 * np.finfo(vector.dtype).eps * jnp.max(jnp.abs(values))
        better = finite & (sweep.value - lowest > least)
        return _Sweep(
            vector=jnp.where(own & better, sweep.vector + phase / base, sweep.vector),
            value=jnp.where(better, lowest, sweep.value),
            evaluations=sweep.evaluations + 2 * degree,
            finite=sweep.finite & finite,
        )

    value = objective.value(parameters)
    sweep = _Sweep(vector, jnp.asarray(value, vector.dtype), jnp.int32(0), jnp.bool_(True))
    sweep = lax.fori_loop(0, len(vector), along, sweep)
    return Step(
        value=value,
        parameters=unflatten(sweep.vector),
        state=(),
        finite=sweep.finite,
        gradient_norm=jnp.zeros((), vector.dtype),
        rows=sweep.evaluations + 1,
    )


def lowest_point(values: Float[Array, " points"], degree: Any, zero: Any) -> tuple[Any, Any]:
    """Where a trigonometric polynomial is lowest, in [-pi, pi], and its value there.

    Args:
        values: the polynomial at 0, 2 pi / (2 degree + 1), ...; those beyond 2 degree + 1 are ignored.
        degree: () int32, at most half the number of values.
        zero: the optimiser's.
    """
    room = values.shape[0] // 2
    if room == 1:
        return rounded(_lowest_of_wave, zero)(values, degree)
    mean, cosines, sines = rounded(_fourier, zero)(values, degree)
    orders = np.arange(1, room + 1)

    def at(phases: Array, cosines: Array, sines: Array) -> tuple[Array, Array, Array]:
        """The polynomial less its mean, and two derivatives."""
        shape = (*phases.shape, room)
        k, a, b = (jnp.broadcast_to(v, shape) for v in (jnp.asarray(orders, phases.dtype), cosines, sines))
        angles = k * phases[..., None]
        c, s = jnp.cos(angles), jnp.sin(angles)
        level, slope = a * c + b * s, b * c - a * s
        return total(level), total(k * slope), -total(k * (k * level))

    count = 16 * room
    grid = jnp.asarray((np.arange(count) - count // 2) * (TURN / count), values.dtype)
    best = grid[jnp.argmin(rounded(lambda c, s: at(grid, c, s)[0], zero)(cosines, sines))]

    def newton(_: Any, phase: Any) -> Any:
        def of(phase: Any, cosines: Array, sines: Array) -> Any:
            _, slope, bend = at(phase, cosines, sines)
            move = jnp.where(bend > 0, -slope / jnp.where(bend > 0, bend, 1), 0)
            return jnp.clip(phase + move, best - TURN / count, best + TURN / count)

        return rounded(of, zero)(phase, cosines, sines)

    phase = lax.fori_loop(0, 6, newton, best)
    level = rounded(lambda p, c, s: at(p, c, s)[0], zero)(phase, cosines, sines)
    return phase, mean + level


def _lowest_of_wave(values: Array, degree: Any) -> tuple[Any, Any]:
    """`lowest_point` of a sine wave, from three values."""
    first, second, third = values[0], values[1], values[2]
    cosine = (2 * first - second - third) / 3
    sine = (second - third) * math.sqrt(1 / 3)
    mean = (first + second + third) / 3
    lowest = mean - jnp.sqrt(cosine * cosine + sine * sine)
    flat = degree == 0
    return jnp.where(flat, 0, jnp.arctan2(-sine, -cosine)), jnp.where(flat, first, lowest)


def _fourier(values: Array, degree: Any) -> tuple[Any, Array, Array]:
    """The mean, and the coefficients of cosines and sines of order 1, 2, ..., zero beyond the degree."""
    room = values.shape[0] // 2
    count = 2 * degree + 1
    used = jnp.where(jnp.arange(2 * room + 1) < count, values, 0)
    share = 1 / count.astype(values.dtype)
    products = np.outer(np.arange(1, room + 1), np.arange(2 * room + 1))
    angles = (products % count).astype(values.dtype) * (TURN * share)
    scale = jnp.where(np.arange(1, room + 1) <= degree, 2 * share, 0)
    used_by_order = jnp.broadcast_to(used, angles.shape)
    cosines, sines = total(jnp.cos(angles) * used_by_order), total(jnp.sin(angles) * used_by_order)
    return total(used) * share, cosines * scale, sines * scale


@rule(
    elementwise=False,
    clips=False,
    needs=("frequencies", "the frequencies that the loss has in each parameter"),
    start=_start,
    step=_step,
    has_gradient=False,
)
def rotosolve() -> Optimizer:
    """Rotosolve (Ostaszewski, Grant and Benedetti, Quantum 5, 391, 2021): no learning rate, no gradients.

    Along one parameter the loss of a circuit is a trigonometric polynomial. Its frequencies follow from the circuit
    (`jaxsim.parameter_frequencies`), 2 R evaluations at equal distances give it exactly where there are R of them, and
    the parameter goes to where it is lowest. So parameters that occur in several gates, with factors, or in controlled
    or excitation gates are as exact as those of one rotation, for which R = 1 (Wierichs, Izaac, Wang and Lin, Quantum
    6, 677, 2022). A step is a sweep over all parameters in their order; it takes 1 + the sum of 2 R evaluations.
    What the loss is after a parameter has moved is known from its polynomial, and measured anew once a sweep.

    Returns:
        an `Optimizer` without hyperparameters.

    Errors: TypeError when a program is made whose loss is no circuit's; ValueError for circuits with parameters in
    expressions that are not affine, or with more than 64 frequencies, as costs with arbitrary weights have.

    Example:
        >>> from ensembles import rules
        >>> rules.rotosolve()
        rotosolve()
    """
    ...
