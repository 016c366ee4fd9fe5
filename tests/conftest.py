from __future__ import annotations

import functools
import signal
from pathlib import Path

import jax
import numpy as np
import pytest
import scipy.sparse

# Silent rank promotion hides shape mistakes; our own code spells broadcasts out.
jax.config.update("jax_numpy_rank_promotion", "raise")
# Every run compiles afresh: tests count compilations.
jax.config.update("jax_enable_compilation_cache", False)

# Shells start jobs in the background with Ctrl-C ignored; some tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

MOST_MAPPINGS = 20_000
"""Compiled kernels take some thirty memory mappings each, and Linux kills a process at 65,530."""


def forget_kernels() -> None:
    """Forgets compiled kernels, if there are many."""
    mappings = Path("/proc/self/maps")
    if mappings.exists() and mappings.read_bytes().count(b"\n") > MOST_MAPPINGS:
        jax.clear_caches()


def pytest_runtest_teardown() -> None:
    """Forgets compiled kernels, now and then."""
    forget_kernels()


@pytest.fixture(scope="session", name="forget_kernels")
def forgetting():
    """A function for tests that compile much themselves, to be called in between."""
    return forget_kernels


PAULI = {
    "I": np.eye(2, dtype=complex),
    "X": np.array([[0, 1], [1, 0]], complex),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1.0 + 0j, -1]),
}


@pytest.fixture(scope="session")
def word_matrix():
    """word_matrix({0: "X", 3: "Z"}, n): the Pauli word as a sparse complex128 matrix, by Kronecker
    products."""

    def build(letters: dict[int, str], n: int):
        factors = [scipy.sparse.csr_array(PAULI[letters.get(q, "I")]) for q in reversed(range(n))]
        return functools.reduce(lambda a, b: scipy.sparse.kron(a, b, format="csr"), factors)

    return build


@pytest.fixture(scope="session")
def dense(word_matrix):
    """dense(H, n): the matrix of a PauliSum, from the letters its masks stand for; dense complex128."""

    def build(operator, n: int):
        total = np.zeros((2**n, 2**n), complex)
        for x, z, c in zip(operator.x_mask, operator.z_mask, np.asarray(operator.coefficients)):
            letters = {q: "IXZY"[(x >> q & 1) + 2 * (z >> q & 1)] for q in range(n)}
            total += c * word_matrix(letters, n).toarray()
        return total

    return build
