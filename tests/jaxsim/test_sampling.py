"""Draws against exact distributions, and what a key fixes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

import jaxsim as js
from jaxsim import Circuit, ParameterVector, sampling
from jaxsim.batch import stack

KEY = jax.random.key(11)


def indices(bits: np.ndarray) -> np.ndarray:
    return (np.asarray(bits).astype(np.int64) << np.arange(bits.shape[1])).sum(1)


def assert_drawn_from(p: np.ndarray, outcomes: np.ndarray) -> None:
    """Pearson's test at one in ten thousand, rare outcomes pooled; impossible ones must not occur."""
    p = np.asarray(p, float)
    expected = p / p.sum() * len(outcomes)
    observed = np.bincount(outcomes, minlength=len(p))
    assert not observed[p == 0].any()
    rare = expected < 8
    if rare.any():
        expected = np.append(expected[~rare], expected[rare].sum())
        observed = np.append(observed[~rare], observed[rare].sum())
    kept = expected > 0
    assert chisquare(observed[kept], expected[kept]).pvalue > 1e-4


@pytest.fixture(scope="module")
def example(random_circuit):
    """A circuit on 5 qubits, and its exact distribution."""
    random = random_circuit(2, 5, 30)
    return random.circuit(), np.abs(random.statevector()) ** 2


# the distribution -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_chi_square(seed, example):
    circuit, p = example
    bits = js.sample(circuit, jax.random.key(seed), 20_000)
    assert bits.shape == (20_000, 5)
    assert bits.dtype == np.uint8
    assert_drawn_from(p, indices(bits))


def test_chi_square_of_an_exponential_distribution():
    """Outcomes whose probabilities span twelve orders of magnitude, unnormalised."""
    p = np.exp(-np.linspace(0, 28, 256))[np.random.default_rng(0).permutation(256)]
    outcomes = np.asarray(sampling.sample_indices(KEY, jnp.asarray(7 * p, jnp.float32), 200_000))
    assert_drawn_from(p.astype(np.float32), outcomes)


def test_shots_of_one_key_are_independent(example):
    """Pairs of neighbouring shots have the product distribution."""
    circuit, p = example
    first, second = indices(js.sample(circuit, KEY, 40_000)).reshape(-1, 2).T
    coarse = p.reshape(4, 8).sum(1)
    assert_drawn_from(np.outer(coarse, coarse).reshape(-1), (first // 8) * 4 + second // 8)


@pytest.mark.parametrize("qubits", [1, 12])
def test_impossible_outcomes_are_never_drawn(qubits):
    ghz = Circuit(qubits).h(0)
    for q in range(qubits - 1):
        ghz.cx(q, q + 1)
    outcomes = indices(js.sample(ghz, KEY, 30_000))
    assert set(outcomes) == {0, 2**qubits - 1}
    assert abs(outcomes.astype(bool).mean() - 0.5) < 5 * 0.5 / np.sqrt(30_000)
    assert set(indices(js.sample(Circuit(qubits).x(qubits - 1), KEY, 1000))) == {2 ** (qubits - 1)}


def test_impossible_outcomes_next_to_tiny_ones():
    p = np.zeros(64, np.float32)
    p[[3, 17, 40]] = [1e-30, 3e-30, 1e-37]
    outcomes = np.asarray(sampling.sample_indices(KEY, jnp.asarray(p), 20_000))
    assert set(outcomes) == {3, 17}
    assert_drawn_from(p, outcomes)


def test_complex128(example):
    circuit, p = example
    with jax.enable_x64(True):
        bits = js.sample(circuit, jax.random.key(5), 20_000, dtype=jnp.complex128)
        assert_drawn_from(p, indices(bits))


# wires and counts -------------------------------------------------------------------------------------------


def test_columns_are_the_wires_asked_for(example):
    circuit, _ = example
    everything = np.asarray(js.sample(circuit, KEY, 500))
    for wires in ([3], [4, 0], [2, 4, 1]):
        np.testing.assert_array_equal(js.sample(circuit, KEY, 500, wires), everything[:, wires])
    many = indices(js.sample(circuit, KEY, 20_000, [4, 0, 2]))
    assert_drawn_from(np.asarray(js.probabilities(circuit, [4, 0, 2])), many)


def test_counts():
    """Keys have wires[0] rightmost; the most frequent outcome comes first."""
    assert js.counts(Circuit(3).x(0), KEY, 50) == {"001": 50}
    assert js.counts(Circuit(3).x(0), KEY, 50, [1, 0]) == {"10": 50}
    circuit = Circuit(2).ry(0.8, 0).cx(0, 1)
    counts = js.counts(circuit, KEY, 5000)
    assert list(counts) == ["00", "11"]
    assert sum(counts.values()) == 5000
    assert all(type(number) is int for number in counts.values())
    outcomes = indices(js.sample(circuit, KEY, 5000))
    assert counts["11"] == (outcomes == 3).sum()


def test_from_an_initial_state():
    ones = np.eye(4)[3]
    assert js.counts(Circuit(2).x(1), KEY, 10, initial_state=ones) == {"01": 10}


# what a key fixes -------------------------------------------------------------------------------------------


def test_fewer_shots_are_the_first_of_more(example):
    circuit, _ = example
    many = np.asarray(js.sample(circuit, KEY, 1000))
    for shots in (1, 999):
        np.testing.assert_array_equal(js.sample(circuit, KEY, shots), many[:shots])


def test_a_key_draws_the_same_alone_under_jit_under_vmap_and_in_a_batch():
    theta = ParameterVector("t", 6)
    circuit = Circuit(3).ry(theta[:3], range(3)).cx([0, 1], [1, 2]).rx(theta[3:], range(3))
    angles = np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)
    keys = jax.random.split(KEY, 8)

    def draw(values, key):
        return js.sample(circuit.bind(values), key, 40)

    alone = np.stack([js.sample(circuit.bind(a), k, 40) for a, k in zip(angles, keys)])
    np.testing.assert_array_equal(jax.jit(jax.vmap(draw))(angles, keys), alone)
    rows = stack([js.lower(circuit)] * 8)
    together = js.evaluate(rows, angles, "samples", keys=jax.random.key_data(keys), shots=40)
    np.testing.assert_array_equal(together, alone)
    assert len({draws.tobytes() for draws in alone}) == 8


# size -------------------------------------------------------------------------------------------------------


def test_memory_is_never_shots_times_states():
    draw = jax.jit(lambda p, key: sampling.sample_bits(key, p, 4096))
    shapes = jax.ShapeDtypeStruct((2**14,), np.float32), jax.ShapeDtypeStruct((2,), np.uint32)
    needed = draw.lower(*shapes).compile().memory_analysis().temp_size_in_bytes
    assert needed < 20 * 4096 * 14 + 10 * 4 * 2**14 < 4096 * 2**14 / 16


def test_all_outcomes_of_24_qubits_are_reachable():
    """One float32 uniform in [0, 1) would only address half of them: every second lowest bit would be 0."""
    shots, outcomes = 100_000, 2**24
    drawn = indices(js.sample(Circuit(24).h(range(24)), KEY, shots))
    sigma = 0.5 / np.sqrt(shots)
    for q in range(24):
        assert abs((drawn >> q & 1).mean() - 0.5) < 5 * sigma
    for low in (0, 8, 16):
        assert_drawn_from(np.ones(256), drawn >> low & 255)
    # Birthdays: shots - shots**2 / (2 outcomes), give or take the root of the number of collisions.
    collisions = shots - len(np.unique(drawn))
    expected = shots - outcomes * -np.expm1(shots * np.log1p(-1 / outcomes))
    assert abs(collisions - expected) < 5 * np.sqrt(expected)


def test_an_initial_state_and_initialize_exclude_each_other():
    circuit = js.Circuit(2).initialize([0.6, 0.8], 0)
    with pytest.raises(ValueError, match="leave one of them out"):
        js.statevector(circuit, initial_state=np.array([0, 0.6, 0.8, 0]))


@pytest.mark.parametrize(
    ("probabilities", "word", "outcome"),
    [
        ([1.0, 1e-9], 0, 1),  # a share of 1e-9 is that of the 4 smallest among 2**32 words
        ([1.0, 1e-9], 3, 1),
        ([1.0, 1e-9], 5, 0),
        ([1e-9, 1.0], 0, 0),
        ([1e-9, 1.0], 2**32 - 1, 1),
        ([1.0, 0.0], 0, 0),
        ([1.0, 0.0], 2**32 - 1, 0),
        ([0.0, 1.0], 0, 1),
        ([0.0, 1.0], 2**32 - 1, 1),
    ],
)
def test_rare_outcomes_keep_their_odds(monkeypatch, probabilities, word, outcome):
    monkeypatch.setattr(jax.random, "bits", lambda key, shape, dtype: jnp.full(shape, word, dtype))
    drawn = sampling.sample_indices(jax.random.key(0), jnp.array(probabilities, jnp.float32), 1)
    assert drawn.tolist() == [outcome]
