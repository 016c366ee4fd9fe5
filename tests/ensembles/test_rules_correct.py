"""That update rules do what their papers say."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize

from ensembles import adam, optimizers, schedules, sgd, updates
from ensembles.optimizers import clipped
from ensembles.rounding import ZERO
from ensembles.rules import lbfgs, natural_gradient, rotosolve, spsa
from ensembles.rules.natural_gradient import solved
from ensembles.rules.rotosolve import lowest_point
from ensembles.steps import Objective
from ensembles.vectors import length, total


@partial(jax.jit, static_argnums=(0, 4))
def train(loss, optimizer, start, data, steps):
    """Parameters after each step, losses before, rows, norms."""
    trained = jax.tree.map(lambda a: jnp.ones(a.shape, bool), start)

    def body(carry, k):
        x, state = carry
        objective = Objective(loss, data, jax.random.fold_in(jax.random.key(1), k), trained)
        step = updates.step(optimizer, objective, state, x)
        return (step.parameters, step.state), (step.parameters, step.value, step.rows, step.gradient_norm)

    return jax.lax.scan(body, (start, updates.init(optimizer, start)), jnp.arange(steps))[1]


# vectors ----------------------------------------------------------------------------------------------------


def test_sums_and_lengths():
    values = np.random.default_rng(0).normal(size=(3, 37)).astype(np.float32)
    np.testing.assert_allclose(total(values), values.sum(axis=1), rtol=1e-5)
    padded = np.pad(values, ((0, 0), (0, 90)))
    assert np.asarray(total(values)).tobytes() == np.asarray(total(padded)).tobytes()
    np.testing.assert_allclose(length(values[0], ZERO), np.linalg.norm(values[0]), rtol=1e-6)
    np.testing.assert_allclose(length(values[0] * 1e30, ZERO), np.linalg.norm(values[0]) * 1e30, rtol=1e-6)
    assert length(np.zeros(3, np.float32), ZERO) == 0


# SPSA -------------------------------------------------------------------------------------------------------


def line(x, data, key):
    return jnp.sum(data * x)


def test_spsa_follows_spalls_gains():
    weights = np.array([1.0, -2.0, 0.5], np.float32)
    path, values, rows, _ = train(
        line, spsa(0.3, 0.1, alpha=0.7, stability=4), np.zeros(3, np.float32), weights, 6
    )
    path = np.vstack([np.zeros(3), path])
    np.testing.assert_allclose(values, path[:-1] @ weights, atol=1e-5)
    assert (rows == 3).all()
    drawn = set()
    for k, move in enumerate(np.diff(path, axis=0)):
        # On a straight line the estimate is signs * (signs @ weights) whatever the perturbation.
        signs = np.sign(move) * np.sign(move[0])
        gain = 0.3 * (5 / (5 + k)) ** 0.7
        np.testing.assert_allclose(move, -gain * (signs @ weights) * signs, rtol=1e-4)
        drawn.add(tuple(signs))
    assert len(drawn) > 1


def test_spsa_averages_over_directions_and_finds_minima_of_noisy_losses():
    def noisy(x, data, key):
        return jnp.sum((x - data) ** 2) + 0.05 * jax.random.normal(key)

    target = np.array([0.5, -1.0, 0.2, 0.9], np.float32)
    for resamplings, most in ((1, 0.3), (4, 0.15)):
        optimizer = spsa(0.15, 0.3, resamplings=resamplings)
        path, _, rows, _ = train(noisy, optimizer, np.zeros(4, np.float32), target, 200)
        assert np.abs(path[-1] - target).max() < most
        assert (rows == 1 + 2 * resamplings).all()


def test_spsa_evaluations_draw_numbers_of_their_own():
    def noise(x, data, key):
        return jax.random.normal(key) + 0 * jnp.sum(x)

    # With the same numbers everywhere the differences would vanish.
    path, values, _, _ = train(noise, spsa(0.1), np.zeros(2, np.float32), 0.0, 4)
    assert np.abs(np.diff(path, axis=0)).min() > 1e-3 and len(np.unique(values)) == 4


# natural gradient ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 7, 24])
def test_solver(size):
    generator = np.random.default_rng(size)
    factor = generator.normal(size=(size, size + 2))
    matrix, right = factor @ factor.T, generator.normal(size=size)
    with jax.enable_x64(True):
        found = jax.jit(solved)(matrix, right, ZERO)
        np.testing.assert_allclose(found, np.linalg.solve(matrix, right), rtol=1e-8)
    wide = np.pad(matrix.astype(np.float32), (0, 3)), np.pad(right.astype(np.float32), (0, 3))
    padded = np.asarray(jax.jit(solved)(*wide, ZERO))
    assert not padded[size:].any()
    short = np.asarray(jax.jit(solved)(matrix.astype(np.float32), right.astype(np.float32), ZERO))
    assert padded[:size].tobytes() == short.tobytes()


def test_solver_of_singular_matrices():
    vectors = np.array([[1.0, 2.0], [2.0, 4.0], [0.0, 1.0], [0.0, 0.0]])
    matrix = (vectors @ vectors.T).astype(np.float32)
    right = matrix @ np.array([1.0, 1.0, -1.0, 0.0], np.float32)
    found = np.asarray(jax.jit(solved)(matrix, right, ZERO))
    np.testing.assert_allclose(matrix @ found, right, atol=1e-5)
    assert np.isfinite(found).all()


class Metric:
    def __call__(self, x, data, key):
        return 0.5 * jnp.sum(data["curvatures"] * (x - 1) ** 2)

    def metric(self, x, data, approximation):
        return jnp.diagonal(data["fisher"]) if approximation == "diagonal" else data["fisher"]


@pytest.mark.parametrize("approximation", ["full", "diagonal"])
def test_natural_gradient_step(approximation):
    factor = np.random.default_rng(0).normal(size=(3, 5))
    fisher, curvatures = factor @ factor.T, np.array([1.0, 2.0, 3.0])
    start = np.array([0.2, -0.4, 3.0])
    gradient = curvatures * (start - 1)
    used = fisher if approximation == "full" else np.diag(np.diag(fisher))
    expected = start - 0.1 * np.linalg.solve(used / 4 + 0.01 * np.eye(3), gradient)
    data = {"curvatures": curvatures, "fisher": fisher}
    data = jax.tree.map(np.float32, data)
    optimizer = natural_gradient(0.1, 0.01, approximation=approximation)
    path, _, rows, norms = train(Metric(), optimizer, start.astype(np.float32), data, 1)
    np.testing.assert_allclose(path[0], expected, rtol=1e-5)
    np.testing.assert_allclose(norms[0], np.linalg.norm(gradient), rtol=1e-6)
    assert rows[0] == 4


# L-BFGS -------------------------------------------------------------------------------------------------------


def rosenbrock(x, data, key):
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2) + 0 * jnp.sum(data)


def test_lbfgs_needs_about_as_many_evaluations_as_scipys():
    start = np.array([-1.2, 1.0, -0.7, 1.5, 0.3])
    with jax.enable_x64(True):
        value_and_grad = jax.jit(jax.value_and_grad(lambda x: rosenbrock(x, 0.0, None)))
        found = scipy.optimize.minimize(
            lambda x: tuple(map(np.asarray, value_and_grad(x))), start, jac=True, method="L-BFGS-B", tol=1e-12
        )
        path, values, rows, _ = train(rosenbrock, lbfgs(), start, 0.0, 80)
        done = int(np.argmax(np.asarray(values) < 1e-8))
    assert done > 0
    np.testing.assert_allclose(path[-1], np.ones(5), atol=1e-6)
    assert np.sum(rows[:done]) < 1.3 * found.nfev
    assert (np.diff(values) <= 1e-12).all()  # it never climbs


def quadratic(x, data, key):
    return 0.5 * jnp.sum(data * (x - 1) ** 2)


def test_lbfgs_counts_what_it_evaluates_and_stops_where_nothing_is_lower():
    curvatures = np.array([1.0, 10.0, 100.0], np.float32)
    path, values, rows, norms = train(quadratic, lbfgs(), np.zeros(3, np.float32), curvatures, 40)
    np.testing.assert_allclose(path[-1], np.ones(3), atol=1e-5)
    np.testing.assert_allclose(norms[0], np.linalg.norm(curvatures), rtol=1e-6)
    assert rows[0] >= 2 and np.sum(rows) < 100
    assert rows[-1] == 0 and values[-1] == values[-2]  # stuck for good


def test_lbfgs_bounds_its_evaluations():
    _, _, rows, _ = train(rosenbrock, lbfgs(max_evaluations=2), np.array([-1.2, 1.0], np.float32), 0.0, 30)
    assert rows[0] <= 3 and rows[1:].max() == 2


def test_lbfgs_steps_back_from_where_the_loss_is_not_finite():
    def barrier(x, data, key):
        return (
            jnp.sum(x - jnp.log(1 - x)) + 0 * data
        )  # NaN beyond 1; its derivative 1 + 1 / (1 - x) points away

    def mirrored(x, data, key):
        return barrier(-x, data, key) + jnp.sum(3 * x)

    path, values, *_ = train(mirrored, lbfgs(20.0), np.array([0.5, 3.0], np.float32), 0.0, 25)
    assert np.isfinite(path).all() and np.isfinite(values).all()
    np.testing.assert_allclose(path[-1], [-0.5, -0.5], atol=1e-3)


def test_lbfgs_of_losses_that_draw():
    def minibatch(x, data, key):
        return 0.5 * jnp.sum((1 + 0.3 * jax.random.uniform(key, (3,))) * (x - data) ** 2)

    target = np.array([0.5, -1.0, 2.0], np.float32)
    path, _, rows, _ = train(minibatch, lbfgs(stochastic=True), np.zeros(3, np.float32), target, 15)
    np.testing.assert_allclose(path[-1], target, atol=1e-3)
    assert (rows[:5] >= 2).all()


# Rotosolve ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", [1, 2, 5])
def test_lowest_point_of_a_polynomial(room):
    generator = np.random.default_rng(room)
    grid = np.linspace(-np.pi, np.pi, 20001)
    find = jax.jit(lowest_point)
    for degree in range(1, room + 1):
        for _ in range(5):
            cosines, sines = generator.normal(size=(2, degree))

            def wave(x, cosines=cosines, sines=sines, degree=degree):
                k = np.arange(1, degree + 1)
                return (
                    0.7 + np.cos(np.multiply.outer(x, k)) @ cosines + np.sin(np.multiply.outer(x, k)) @ sines
                )

            values = np.full(2 * room + 1, 99.0)  # what is beyond must not matter
            values[: 2 * degree + 1] = wave(2 * np.pi * np.arange(2 * degree + 1) / (2 * degree + 1))
            phase, lowest = find(values.astype(np.float32), np.int32(degree), ZERO)
            assert abs(phase) <= np.pi + 1e-3
            np.testing.assert_allclose([lowest, wave(float(phase))], [wave(grid).min()] * 2, atol=3e-5)


class Trigonometric:
    """cos(x0 - 1) + 0.5 cos(2 x0) + cos(x1 / 2 + x0) of two parameters, and one that nothing depends on."""

    def __call__(self, x, data, key):
        return jnp.cos(x[0] - 1) + 0.5 * jnp.cos(2 * x[0]) + jnp.cos(x[1] / 2 + x[0])

    def frequencies(self, data):
        return data


def test_rotosolve_finds_the_minimum_along_each_parameter():
    frequencies = np.array([[1.0, 2.0], [0.5, 0.0], [0.0, 0.0]], np.float32)
    start = np.array([0.3, 0.7, 0.9], np.float32)
    path, values, rows, _ = train(Trigonometric(), rotosolve(), start, frequencies, 30)
    assert (rows == 1 + 4 + 2).all()
    loss = partial(Trigonometric(), data=None, key=None)
    grid = np.linspace(-np.pi, np.pi, 5001)
    first = jax.vmap(lambda a: loss(jnp.array([a, 0.7, 0.9])))(grid)
    np.testing.assert_allclose(path[0][0], grid[np.argmin(first)], atol=3e-3)
    assert (np.diff(values) < 1e-6).all() and (path[:, 2] == start[2]).all()
    everywhere = jax.vmap(lambda a: jnp.cos(a - 1) + 0.5 * jnp.cos(2 * a) - 1)(grid)
    np.testing.assert_allclose(values[-1], everywhere.min(), atol=1e-5)


# schedules and clipping -----------------------------------------------------------------------------------------

OF_OPTAX = {
    "linear": (schedules.linear(0.2, 0.05, 7), optax.linear_schedule(0.2, 0.05, 7)),
    "exponential": (schedules.exponential_decay(0.2, 5, 0.5), optax.exponential_decay(0.2, 5, 0.5)),
    "cosine": (schedules.cosine_decay(0.2, 9, 0.1), optax.cosine_decay_schedule(0.2, 9, 0.1)),
    "warm-up": (
        schedules.warmup_cosine_decay(0.01, 0.2, 4, 12, 0.02),
        optax.warmup_cosine_decay_schedule(0.01, 0.2, 4, 12, 0.02),
    ),
    "pieces": (
        schedules.piecewise_constant(0.2, {8: 0.1, 3: 0.5}),
        optax.piecewise_constant_schedule(0.2, {3: 0.5, 8: 0.1}),
    ),
}


@pytest.mark.parametrize("name", OF_OPTAX)
def test_schedules_are_those_of_optax(name):
    ours, theirs = OF_OPTAX[name]
    steps = np.arange(16)
    np.testing.assert_allclose(jax.vmap(ours)(steps), jax.vmap(theirs)(steps), rtol=1e-5, atol=1e-8)
    start, curvatures = np.zeros(3, np.float32), np.array([1.0, 2.0, 3.0], np.float32)
    path = train(quadratic, sgd(ours), start, curvatures, 16)[0]
    expected = train(quadratic, sgd(theirs), start, curvatures, 16)[0]
    np.testing.assert_allclose(path, expected, rtol=1e-5)


def test_repr_of_schedules():
    assert repr(sgd(schedules.linear(0.1, 0, 5))) == (
        "sgd(learning_rate=linear(init_value=0.1, end_value=0.0, transition_steps=5.0))"
    )
    assert repr(schedules.piecewise_constant(0.1, {5: 0.5})) == (
        "piecewise_constant(init_value=0.1, boundaries=[5.0], scales=[0.5])"
    )


def test_clipping_is_that_of_optax():
    start, curvatures = np.array([9.0, 1.1, -3.0], np.float32), np.array([1.0, 2.0, 3.0], np.float32)
    pairs = [
        (clipped(sgd(0.1), norm=2.0), optax.chain(optax.clip_by_global_norm(2.0), optax.sgd(0.1))),
        (clipped(adam(0.1), value=0.7), optax.chain(optax.clip(0.7), optax.adam(0.1))),
        (
            clipped(sgd(0.1), norm=1.0, value=0.7),
            optax.chain(optax.clip(0.7), optax.clip_by_global_norm(1.0), optax.sgd(0.1)),
        ),
        (clipped(optax.sgd(0.1), norm=2.0), optax.chain(optax.clip_by_global_norm(2.0), optax.sgd(0.1))),
    ]
    for ours, theirs in pairs:
        path, _, _, norms = train(quadratic, ours, start, curvatures, 8)
        expected = train(quadratic, optimizers.as_optimizer(theirs), start, curvatures, 8)[0]
        np.testing.assert_allclose(path, expected, rtol=1e-5)
        np.testing.assert_allclose(norms[0], np.linalg.norm(curvatures * (start - 1)), rtol=1e-6)


def test_clipping_of_a_gradient_that_is_zero():
    path = train(quadratic, clipped(sgd(0.1), norm=1.0), np.ones(3, np.float32), np.ones(3, np.float32), 1)[0]
    np.testing.assert_array_equal(path[0], 1)
