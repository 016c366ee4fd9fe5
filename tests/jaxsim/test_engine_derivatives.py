"""Derivatives by values, coefficients and the initial state, first and second, of every engine."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxsim as js
from jaxsim import Circuit, X, Y, Z

H = Z(0) @ X(1) - 0.7 * Y(2) + X(2)
WEIGHTS = np.array([1.0, 0.5])


def circuit(t: Any) -> Circuit:
    """An angle that occurs twice, controlled gates, constants."""
    c = Circuit(3).ry([t[0], t[1], t[2]], range(3)).cx(0, 1).rx(t[3], 1).rz(t[0], 2).cz(1, 2)
    return c.crx(t[1], 0, 2).ry(0.3, 0)


def loss(values: Any, coefficients: Any, start: Any, engine: str) -> Any:
    """Two observables in one pass."""
    observables = [H.with_coefficients(coefficients), Z(2)]
    found = js.expectation(
        circuit(values), observables, engine=engine, initial_state=start, dtype="complex128"
    )
    return found @ WEIGHTS


AT = np.array([0.3, -0.9, 1.4, 0.6])
COEFFICIENTS = np.array([1.0, -0.7, 1.0])
START = np.random.default_rng(0).normal(size=(2, 8)).T @ np.array([1, 1j])


@cache
def truth() -> tuple[Any, ...]:
    """The gradient by all three and the Hessian by values and coefficients, by JAX of dense matrices."""
    paulis = {"I": np.eye(2), "X": np.array([[0, 1], [1, 0]]), "Y": np.array([[0, -1j], [1j, 0]])}
    paulis["Z"] = np.diag([1.0, -1.0])

    def on(letters: str) -> np.ndarray:  # letter k acts on qubit k
        return np.kron(np.kron(paulis[letters[2]], paulis[letters[1]]), paulis[letters[0]]).astype(complex)

    words, single = jnp.asarray([on("ZXI"), on("IIY"), on("IIX")]), jnp.asarray(on("IIZ"))
    p0, p1 = np.diag([1.0, 0.0]), np.diag([0.0, 1.0])
    cx01 = np.kron(np.eye(2), np.kron(np.eye(2), p0) + np.kron(paulis["X"], p1))
    cz12 = np.kron(np.kron(np.eye(2), p0) + np.kron(paulis["Z"], p1), np.eye(2))

    def rotation(letters: str, angle: Any) -> Any:
        return jnp.cos(angle / 2) * np.eye(8) - 1j * jnp.sin(angle / 2) * on(letters)

    def dense(t: Any, c: Any, start: Any) -> Any:
        psi = start
        for letters, angle in (("YII", t[0]), ("IYI", t[1]), ("IIY", t[2])):
            psi = rotation(letters, angle) @ psi
        psi = rotation("IIZ", t[0]) @ (rotation("IXI", t[3]) @ (cx01 @ psi))
        psi = cz12 @ psi
        control = np.kron(np.eye(4), p1)
        psi = (np.eye(8) - control) @ psi + control @ (rotation("IIX", t[1]) @ psi)
        psi = rotation("YII", 0.3) @ psi
        means = jnp.einsum("i,kij,j->k", psi.conj(), jnp.concatenate([words, single[None]]), psi).real
        return means[:3] @ c * WEIGHTS[0] + means[3] * WEIGHTS[1]

    arguments = (jnp.asarray(AT), jnp.asarray(COEFFICIENTS), jnp.asarray(START))
    gradient = jax.jit(jax.grad(dense, (0, 1, 2)))(*arguments)
    return gradient, jax.jit(jax.hessian(dense, (0, 1)))(*arguments)


MODES = {
    "hessian": lambda f: jax.jacfwd(jax.jacrev(f, (0, 1)), (0, 1)),
    "jacrev(jacfwd)": lambda f: jax.jacrev(jax.jacfwd(f, (0, 1)), (0, 1)),
    "jacrev(jacrev)": lambda f: jax.jacrev(jax.jacrev(f, (0, 1)), (0, 1)),
}


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["layered", "rotations", "fused"])
def test_first_and_second_derivatives(engine):
    with jax.enable_x64(True):
        gradient, hessian = truth()
        f = lambda values, coefficients, start: loss(values, coefficients, start, engine)  # noqa: E731
        found = jax.jit(jax.grad(f, (0, 1, 2)))(AT, COEFFICIENTS, START)
        for one, other in zip(found, gradient, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-11)
        for mode in MODES.values():
            second = jax.jit(mode(f))(AT, COEFFICIENTS, START)
            for one, other in zip(jax.tree.leaves(second), jax.tree.leaves(hessian), strict=True):
                np.testing.assert_allclose(one, other, atol=1e-10)
