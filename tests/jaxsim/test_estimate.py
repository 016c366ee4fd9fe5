"""Estimates from shots against dense matrices: mean, variance, seeds, bits."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import scipy.stats

import jaxsim as js
from jaxsim import I, X, Y, Z
from jaxsim.estimate import estimate, estimated
from jaxsim.measurement_groups import commuting_groups, lower_measurement

H = Z(0) @ Z(1) + 0.5 * Z(1) - 0.7 * X(0) + 0.3 * X(0) @ Y(2) + 0.2 * Y(1) @ Y(2) + 1.5 * I()
SHOTS, SEEDS = 130, 3000


@pytest.fixture(scope="module")
def state():
    rng = np.random.default_rng(5)
    vector = rng.normal(size=8) + 1j * rng.normal(size=8)
    return vector / np.linalg.norm(vector)


@pytest.fixture(scope="module")
def draw():
    return jax.jit(jax.vmap(estimated, in_axes=(None, None, 0)))


@pytest.fixture(scope="module")
def estimates(state, draw):
    keys = jax.random.split(jax.random.key(1), SEEDS)
    measurement = lower_measurement("test", H, 3, SHOTS, np.float32)
    return np.asarray(draw(measurement, state.astype(np.complex64), keys), np.float64)


def mean(matrix, state):
    return (state.conj() @ matrix @ state).real


def test_estimates_are_unbiased_with_the_variance_of_their_groups(estimates, state, dense):
    variance = 0.0
    for group in commuting_groups(H):
        matrix = dense(group, 3)
        variance += (mean(matrix @ matrix, state) - mean(matrix, state) ** 2) / SHOTS
    score = (estimates.mean() - mean(dense(H, 3), state)) / np.sqrt(variance / SEEDS)
    assert abs(score) < 3.5
    statistic = estimates.var(ddof=1) / variance * (SEEDS - 1)
    assert 1e-3 < scipy.stats.chi2.cdf(statistic, SEEDS - 1) < 1 - 1e-3


def test_seeds_are_independent(estimates):
    assert abs(np.corrcoef(estimates[1:], estimates[:-1])[0, 1]) < 0.1


def test_without_noise(state, dense):
    measurement = lower_measurement("test", H, 3, None, np.float32)
    found = jax.jit(estimated)(measurement, state.astype(np.complex64), jax.random.key(0))
    assert float(found) == pytest.approx(mean(dense(H, 3), state), abs=1e-6)


def test_states_that_are_not_finite_give_nan(draw):
    measurement = lower_measurement("test", H, 3, SHOTS, np.float32)
    for broken in (np.full(8, np.nan), np.zeros(8), np.full(8, np.inf)):
        state = broken.astype(np.complex64)
        assert np.isnan(draw(measurement, state, jax.random.split(jax.random.key(0), SEEDS))).all()


# of one circuit ---------------------------------------------------------------------------------------------


def bell():
    return js.Circuit(2).h(0).cx(0, 1)


def test_what_has_no_variance_is_exact():
    total = Z(0) @ Z(1) + 2 * X(0) @ X(1) - Y(0) @ Y(1) + 3
    assert float(estimate(bell(), total, jax.random.key(0), 10)) == pytest.approx(7.0, abs=1e-6)


def test_the_key_decides_and_shots_compile_nothing(compilations):
    keys = jax.random.key(3), jax.random.key(4)
    first = estimate(bell(), Z(0) + X(1), keys[0], 999)
    with compilations() as count:
        again = estimate(bell(), Z(0) + X(1), keys[0], 999)
        other = estimate(bell(), Z(0) + X(1), keys[1], 999)
        many = estimate(bell(), 0.5 * Z(0) + 2 * X(1), keys[0], 1_000_000)
    assert count.total == 0
    assert float(first) == float(again) != float(other)
    assert float(many) == pytest.approx(0.0, abs=0.012)


def test_in_double_precision():
    with jax.enable_x64(True):
        found = estimate(bell(), Z(0) @ Z(1) + X(0), jax.random.key(0), 1000, dtype=np.complex128)
    assert found.dtype == np.float64
    assert abs(float(found) - 1) < 0.15


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((bell(), Z(0), 7, 100), TypeError, "give jax.random.key"),
        ((bell(), Z(0), None, 0), ValueError, "from 1 to"),
        ((bell(), Z(0), None, 1.5), TypeError, "shots is an integer"),
        ((bell(), [Z(0)], None, 10), TypeError, "an observable is a PauliSum"),
        ((bell(), 2 * I(), None, 10), ValueError, "multiple of the identity"),
        ((js.Circuit(1).rx(js.Parameter("a"), 0), Z(0), None, 10), ValueError, "unbound parameters"),
        (("circuit", Z(0), None, 10), TypeError, "takes a Circuit"),
    ],
)
def test_bad_input(arguments, error, match):
    circuit, observable, key, shots = arguments
    with pytest.raises(error, match=match):
        estimate(circuit, observable, jax.random.key(0) if key is None else key, shots)
