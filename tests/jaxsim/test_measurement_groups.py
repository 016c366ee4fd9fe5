"""Groups that are measured together against the letters of their words and against dense matrices."""

from __future__ import annotations

import functools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxsim import I, PauliSum, X, Y, Z
from jaxsim.measurement_groups import checked_shots, commuting_groups, lower_measurement

words = st.lists(st.text("IXYZ", min_size=4, max_size=4), min_size=1, max_size=12)


def fits(a, b):
    return all("I" in pair or pair[0] == pair[1] for pair in zip(a, b))


@settings(max_examples=60, deadline=None)
@given(words)
def test_groups_commute_qubit_by_qubit_and_lose_nothing(labels):
    measured = [label for label in labels if label != "IIII"]
    if not measured:
        return
    coefficients = np.arange(1.0, len(labels) + 1)
    total = PauliSum.from_list(list(zip(labels, coefficients)))
    groups = commuting_groups(total)
    for group in groups:
        own = [label for label, _ in group.to_list(4)]
        assert all(fits(a, b) for a in own for b in own)
    assert sum(group.num_terms for group in groups) == len(measured)
    constant = sum(c for label, c in zip(labels, coefficients) if label == "IIII")
    assert functools.reduce(lambda a, b: a + b, groups, constant * I()).equivalent(total)


def test_coefficients_do_not_matter():
    chain = sum(Z(q) @ Z(q + 1) for q in range(4)) + sum(X(q) for q in range(5))
    one, other = (commuting_groups(chain.with_coefficients(c)) for c in (np.ones(9), np.arange(9.0) - 4))
    assert [g.words for g in one] == [g.words for g in other]
    assert [g.num_terms for g in one] == [4, 5]


def test_arrays_against_dense_matrices(dense):
    rng = np.random.default_rng(0)
    labels = ["".join(rng.choice(list("IXYZ"), 3)) for _ in range(14)] + ["III"]
    total = PauliSum.from_list([(label, float(rng.normal())) for label in labels])
    m = lower_measurement("test", total, 3, 100, np.float64)
    h = np.array([[1, 1], [1, -1]]) / np.sqrt(2)
    turns = {(0, 0): np.eye(2), (1, 0): h, (1, 1): h @ np.diag([1, -1j])}
    found = m.constant * np.eye(8, dtype=complex)
    for g in range(len(m.shots)):
        letters = [turns[m.flipped[g] >> q & 1, m.turned[g] >> q & 1] for q in range(3)]
        u = functools.reduce(np.kron, reversed(letters))
        index = np.arange(8)[:, None]
        outcomes = ((-1.0) ** np.bitwise_count(index & m.support[g][None])) @ m.weights[g]
        if m.shots[g]:
            assert m.shots[g] == 100
            found = found + u.conj().T @ np.diag(outcomes) @ u
        else:
            assert not outcomes.any()
    np.testing.assert_allclose(found, dense(total, 3), atol=1e-12)


def test_shapes_are_those_of_buckets():
    def shapes(total):
        m = lower_measurement("test", total, 6, 10, np.float32)
        return m.support.shape, m.shots.shape, m.diagonal

    assert shapes(sum(Z(q) for q in range(5))) == shapes(sum(Z(q) @ Z(5) for q in range(5)) + Z(0))
    assert shapes(Z(0)) == ((1, 1), (1,), True)
    assert shapes(Z(0) + X(0)) == ((2, 1), (2,), False)


@pytest.mark.parametrize(
    ("observable", "error", "match"),
    [
        (I() * 3, ValueError, "multiple of the identity"),
        (1j * X(0), ValueError, "real coefficients"),
        (Z(5), ValueError, "wire 5"),
        ("Z0", TypeError, "an observable is a PauliSum"),
    ],
)
def test_what_cannot_be_measured(observable, error, match):
    with pytest.raises(error, match=match):
        lower_measurement("test", observable, 3, 100, np.float32)


@pytest.mark.parametrize(
    ("shots", "error", "match"),
    [
        (0, ValueError, "from 1 to"),
        (-3, ValueError, "from 1 to"),
        (2**31, ValueError, "from 1 to"),
        (True, TypeError, "shots is an integer"),
        (100.0, TypeError, "shots is an integer"),
        ("100", TypeError, "shots is an integer"),
    ],
)
def test_numbers_of_shots(shots, error, match):
    with pytest.raises(error, match=match):
        checked_shots("VQE", shots)
    assert checked_shots("VQE", np.int64(7)) == 7


def test_traced_words_are_refused():
    def energy(total):
        lower_measurement("test", total, 2, 10, np.float32)

    with pytest.raises(TypeError, match=r"words"):
        jax.jit(energy)(Z(0) + Y(1))
