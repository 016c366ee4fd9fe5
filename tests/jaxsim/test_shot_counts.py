"""Counts of shots against the multinomial distribution, worked out in double precision."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxsim.shot_counts import _intervals, draw_counts

counted = jax.jit(jax.vmap(draw_counts, in_axes=(0, None, None)))
EIGHT = np.array([0.4, 0.0, 0.25, 1e-4, 0.1, 0.2, 0.0099, 0.04], np.float32)


def keys(count, seed=0):
    return jax.random.split(jax.random.key(seed), count)


def large(outcomes, wires=11, seed=3):
    """Probabilities of a few outcomes among many."""
    rng = np.random.default_rng(seed)
    p = np.zeros(2**wires, np.float32)
    p[rng.permutation(2**wires)[:outcomes]] = rng.exponential(size=outcomes)
    return p


@pytest.mark.parametrize(
    "probabilities", [EIGHT, 3 * EIGHT, large(12)], ids=["few", "not normalised", "many"]
)
def test_how_often_outcomes_occur(probabilities):
    counts = np.asarray(counted(keys(200), probabilities, 1000)).sum(axis=0)
    assert counts.sum() == 200_000
    assert not counts[probabilities == 0].any()
    some = probabilities > 0
    expected = probabilities[some].astype(float) / probabilities.sum(dtype=float) * 200_000
    assert scipy.stats.chisquare(counts[some], expected).pvalue > 1e-3


def test_shots_are_independent():
    counts = np.asarray(counted(keys(2000, 1), EIGHT, 300)).astype(float)
    p = EIGHT / EIGHT.sum(dtype=float)
    for k in (0, 2, 5):
        # (sample variance over true variance) has a chi-square distribution
        statistic = counts[:, k].var(ddof=1) / (300 * p[k] * (1 - p[k])) * 1999
        assert 1e-3 < scipy.stats.chi2.cdf(statistic, 1999) < 1 - 1e-3
    covariance = np.cov(counts[:, 0], counts[:, 2])[0, 1]
    assert covariance == pytest.approx(-300 * p[0] * p[2], rel=0.25)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lengths_of_intervals_are_the_probabilities(dtype):
    rng = np.random.default_rng(0)
    p = (10.0 ** rng.uniform(-9, 0, 256)).astype(dtype)  # from likely to very rare
    p[rng.permutation(256)[:20]] = 0
    with jax.enable_x64(dtype == np.float64):
        starts, lengths, _ = (np.asarray(a, np.int64) for a in jax.jit(lambda p: _intervals(p)[:2] + (0,))(p))
    exact = p.astype(np.float64) / p.sum(dtype=np.float64)
    assert lengths.sum() == 2**31
    assert not lengths[p == 0].any()
    bound = 4 * 8 * np.finfo(dtype).eps * exact + 8 * 2.0**-31
    assert np.all(np.abs(lengths / 2**31 - exact) <= bound)
    # No gaps, no overlaps.
    order = np.lexsort((lengths, starts))
    assert np.array_equal(np.cumsum(lengths[order])[:-1], starts[order][1:])


def test_any_number_of_shots_is_one_compilation(compilations):
    keys_, p = keys(3), jnp.asarray(EIGHT)
    counted(keys_, p, np.int32(5))
    numbers = [0, 1, 127, 128, 129, 100_000]
    with compilations() as count:
        found = [np.asarray(counted(keys_, p, np.int32(number))) for number in numbers]
    assert count.total == 0
    assert [counts.sum(axis=1).tolist() for counts in found] == [[number] * 3 for number in numbers]


def test_numbers_of_shots_side_by_side():
    each = jax.jit(jax.vmap(draw_counts, in_axes=(0, None, 0)))
    shots = np.array([0, 1000, 7], np.int32)
    together = np.asarray(each(keys(3), EIGHT, shots))
    for k in range(3):
        alone = np.asarray(each(keys(3)[k : k + 1], EIGHT, shots[k : k + 1]))
        assert np.array_equal(together[k], alone[0])


@pytest.mark.parametrize("probabilities", [EIGHT, large(40)], ids=["compared", "descended"])
def test_bits_do_not_depend_on_company(probabilities):
    draw = jax.jit(jax.vmap(draw_counts, in_axes=(0, 0, None)))
    rng = np.random.default_rng(1)
    many = (probabilities * rng.uniform(0.5, 1.5, (17, 1))).astype(np.float32)
    together = np.asarray(draw(keys(17), many, 500))
    for size in (1, 4):
        assert np.array_equal(np.asarray(draw(keys(17)[:size], many[:size], 500)), together[:size])
