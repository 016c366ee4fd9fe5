"""Single and double precision: what is folded where, how errors grow, and that no dot is done in less."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxsim as js
from jaxsim import Circuit, Parameter, ParameterVector, X, Z, batch
from jaxsim.lowering.forms import lowered_form


def test_constant_angles_are_folded_in_double_precision():
    """2,000 gates on one wire are one step: the error is that of one rounding, not of 2,000."""
    rng = np.random.default_rng(0)
    angles = rng.uniform(-np.pi, np.pi, (1000, 2))
    circuit, state = Circuit(1), np.array([1, 0j])
    for a, b in angles:
        circuit.ry(a, 0).rz(b, 0)
        c, s = np.cos(a / 2), np.sin(a / 2)
        state = np.exp([-0.5j * b, 0.5j * b]) * (np.array([[c, -s], [s, c]]) @ state)
    for engine in ("layered", "rotations"):
        assert lowered_form(circuit, engine, keep_phase=False, exact=False).used == 1
    np.testing.assert_allclose(js.statevector(circuit), state, atol=1e-7)


def test_large_constant_angles_and_offsets_keep_their_digits():
    """1e6 radians have only two decimals in single precision."""
    turns = 2 * np.pi * 159_155
    a = Parameter("a")
    assert float(js.expectation(Circuit(1).ry(turns + 0.3, 0), Z(0))) == pytest.approx(np.cos(0.3), abs=1e-6)
    f = js.compile(Circuit(1).ry(a + turns, 0), Z(0))
    assert float(f([0.3])) == pytest.approx(np.cos(0.3), abs=1e-6)
    assert float(f.value_and_grad([0.3])[1][0]) == pytest.approx(-np.sin(0.3), abs=1e-6)


def test_bound_values_are_not_rounded_before_they_are_used():
    a = Parameter("a")
    big = 2 * np.pi * 159_155 + 0.3
    bound = Circuit(1).ry(a, 0).bind([big])
    assert float(js.expectation(bound, Z(0))) == pytest.approx(np.cos(0.3), abs=1e-6)


@pytest.mark.parametrize(("dtype", "most"), [("complex64", 3e-5), ("complex128", 1e-13)])
def test_the_norm_after_a_thousand_steps(dtype, most):
    rng = np.random.default_rng(1)
    circuit = Circuit(5)
    for _ in range(100):
        circuit.u(*rng.uniform(-np.pi, np.pi, (3, 5)), range(5)).cx(range(4), range(1, 5))
    with jax.enable_x64(dtype == "complex128"):
        state = np.asarray(js.statevector(circuit, dtype=dtype)).astype(complex)
    assert abs(np.linalg.norm(state) - 1) < most


def test_gradients_in_both_precisions_agree():
    rng = np.random.default_rng(2)
    theta = ParameterVector("t", 30)
    circuit = Circuit(5)
    for layer in range(3):
        circuit.ry(theta[10 * layer : 10 * layer + 5], range(5)).rz(
            theta[10 * layer + 5 : 10 * layer + 10], range(5)
        )
        circuit.cx(range(4), range(1, 5))
    operator = sum(0.3 * X(q) + Z(q) @ Z((q + 1) % 5) for q in range(5))
    values = rng.normal(size=30)
    single = js.compile(circuit, operator).value_and_grad(values)
    with jax.enable_x64(True):
        double = js.compile(circuit, operator, dtype=jnp.complex128).value_and_grad(values)
    assert [part.dtype for part in (*single, *double)] == ["float32"] * 2 + ["float64"] * 2
    for a, b in zip(single, double):
        np.testing.assert_allclose(a, b, atol=3e-6)


@pytest.mark.parametrize("given", [np.float16, np.float32, np.float64, np.int32, "JAX"])
def test_values_of_any_real_dtype(given):
    f = js.compile(Circuit(1).ry(Parameter("a"), 0), Z(0))
    values = jnp.array([2.0], jnp.bfloat16) if given == "JAX" else np.array([2], given)
    value, gradient = f.value_and_grad(values)
    assert float(value) == pytest.approx(np.cos(2), abs=1e-6)
    assert gradient.dtype == np.float32


def test_single_precision_circuits_where_x64_is_on():
    """Double precision values, angles and coefficients do not widen a complex64 state."""
    theta = ParameterVector("t", 2)
    with jax.enable_x64(True):
        f = js.compile(Circuit(2).ry(theta, range(2)).cx(0, 1), Z(1))
        value, gradient = f.value_and_grad(jnp.array([0.1, 0.2]))
        assert (value.dtype, gradient.dtype) == (np.float32, np.float32)
        build = lambda a, c: js.expectation(Circuit(1).ry(a, 0), (1.0 * Z(0)).with_coefficients(c))  # noqa: E731
        outputs = jax.jit(jax.value_and_grad(build, (0, 1)))(jnp.float64(0.3), jnp.ones(1))
        assert outputs[0].dtype == np.float32
        assert [g.dtype for g in outputs[1]] == [np.float64, np.float64]
        assert float(outputs[1][0]) == pytest.approx(-np.sin(0.3), abs=1e-6)


def dots(jaxpr) -> list:
    found = []
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            found.append(equation)
        for inner in jax.tree.leaves(
            equation.params, is_leaf=lambda p: hasattr(p, "eqns") or hasattr(p, "jaxpr")
        ):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                found.extend(dots(inner))
    return found


def test_every_dot_asks_for_full_precision():
    """Accelerators use fewer bits unless told otherwise."""
    u = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    a = Parameter("a")
    circuit = Circuit(3).ry(a, 0).unitary(u, [0, 2]).rx(a, 1).unitary(u, [1, 2], controls=0)
    row = js.lower(circuit, X(0) @ Z(1) + Z(2))
    jaxpr = jax.make_jaxpr(lambda v: batch.row_value_and_grad(row, v))(np.zeros(1, np.float32))
    density = jax.make_jaxpr(lambda v: js.reduced_density_matrix(circuit.bind(v), [0]))(
        np.zeros(1, np.float32)
    )
    found = dots(jaxpr.jaxpr)
    assert len(found) > 2
    for equation in [*found, *dots(density.jaxpr)]:
        assert set(equation.params["precision"]) == {jax.lax.Precision.HIGHEST}
