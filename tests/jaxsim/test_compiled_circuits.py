"""`compile` of a list: several observables each, values in every form, calls inside a user's own transformations."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxsim as js
from jaxsim import Circuit, ParameterVector, X, Z

T = ParameterVector("t", 3)
# cos(t0) and cos(t0) cos(t1) for Z(0) and Z(1); cos(t0 + t2) for Z(0)
CIRCUITS = [Circuit(2).ry(T[:2], range(2)).cx(0, 1), Circuit(2).rx(T, [0, 1, 0])]
VALUES = np.array([[0.1, 0.2, 7.0], [0.1, 0.2, 0.3]])
COSINES = np.cos([0.1, 0.4])


@pytest.fixture(scope="module")
def compiled():
    return js.compile(CIRCUITS, Z(0))


# several observables ----------------------------------------------------------------------------------------


def test_several_observables_each():
    """Values and derivatives by hand: rows with fewer parameters are padded for each observable."""
    f = js.compile(CIRCUITS, [[Z(0), Z(1)], [Z(0), X(1)]])
    energies, gradients = f.value_and_grad(VALUES)
    np.testing.assert_allclose(
        energies, [[np.cos(0.1), np.cos(0.1) * np.cos(0.2)], [np.cos(0.4), 0]], atol=1e-6
    )
    expected = [
        [[-np.sin(0.1), 0, 0], [-np.sin(0.1) * np.cos(0.2), -np.cos(0.1) * np.sin(0.2), 0]],
        [[-np.sin(0.4), 0, -np.sin(0.4)], [0, 0, 0]],
    ]
    np.testing.assert_allclose(gradients, expected, atol=1e-6)
    np.testing.assert_allclose(f(VALUES), energies)
    traced = jax.jit(f.value_and_grad)(VALUES)
    np.testing.assert_allclose(traced[0], energies, atol=1e-6)
    np.testing.assert_allclose(traced[1], expected, atol=1e-6)


UNLIKE = {
    "other numbers": ([[Z(0)], [Z(0), Z(1)]], ValueError, "circuit 0 has a list of 1 and circuit 1 has a list of 2"),
    "a state": ([Z(0), None], ValueError, "circuit 0 has one and circuit 1 has none"),
    "one and a list": ([Z(0), [Z(0)]], ValueError, "circuit 0 has one and circuit 1 has a list of 1"),
    "a number": (3, TypeError, "a list with what each takes, or None for the states, but 3 was given"),
    "numbers": ([3, Z(0)], TypeError, "observable is a PauliSum, .* but 3 was given"),
}  # fmt: skip


@pytest.mark.parametrize("what", UNLIKE)
def test_observables_that_do_not_fit(what):
    observable, error, sentence = UNLIKE[what]
    with pytest.raises(error, match=sentence):
        js.compile(CIRCUITS, observable)


# values -----------------------------------------------------------------------------------------------------


ROWS = {
    "array": VALUES,
    "lists": [[0.1, 0.2], [0.1, 0.2, 0.3]],
    "padded lists": [[0.1, 0.2, 7.0], [0.1, 0.2, 0.3]],
    "arrays": (np.array([0.1, 0.2, 7.0]), jnp.array([0.1, 0.2, 0.3])),
    "by name": [{"t[0]": 0.1, "t[1]": 0.2}, {"t": [0.1, 0.2, 0.3]}],
}


@pytest.mark.parametrize("form", ROWS)
def test_values_in_every_form(form, compiled):
    np.testing.assert_allclose(compiled(ROWS[form]), COSINES, atol=1e-6)


REFUSED = {
    "a number": (0.3, TypeError, r"an array of shape \(2, 3\), or a list with what each .* but 0.3 was given"),
    "None": (None, TypeError, "but None was given"),
    "a mapping": ({"t": VALUES}, TypeError, r"or a list with what each of 2 circuits takes, but \{'t'"),
    "surplus": ([[0.1, 0.2], [0.3] * 4], ValueError, "circuit 1 takes 3 values, padded to at most 3, but 4 were given"),
    "too few": ([[0.1], [0.3] * 3], ValueError, r"values must have shape \(2,\)"),
    "bool": (VALUES > 0, TypeError, "values are real angles in radians, but a bool array was given"),
    "complex": (VALUES + 0j, TypeError, "a complex128 array was given"),
    "NaN": (np.where(VALUES > 1, np.nan, VALUES), ValueError, "values must be finite numbers"),
    "infinity": (jnp.full((2, 3), np.inf), ValueError, "values must be finite numbers"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_values_that_do_not_fit(what, compiled):
    values, error, sentence = REFUSED[what]
    with pytest.raises(error, match=sentence):
        compiled(values)


# inside a user's own transformations ------------------------------------------------------------------------


def test_traced_values(compiled):
    """As an array, as rows of their own lengths, and by name."""
    np.testing.assert_allclose(jax.jit(compiled)(VALUES), COSINES, atol=1e-6)
    rows = jax.jit(lambda x, y: compiled([[x, 0.2], y]))(0.1, VALUES[1])
    np.testing.assert_allclose(rows, COSINES, atol=1e-6)
    slope = jax.jit(jax.grad(lambda x: compiled([{"t": x}, x]).sum()))(jnp.array([0.1, 0.2, 0.3]))
    np.testing.assert_allclose(slope, [-np.sin(0.1) - np.sin(0.4), 0, -np.sin(0.4)], atol=1e-6)


def test_concrete_values_inside_a_jitted_function(compiled):
    """They are evaluated while the function is traced, whatever it is traced for."""
    rows = js.stack([js.lower(CIRCUITS[1], Z(0))] * 2)

    def both(x):
        return x * (
            np.asarray(compiled(VALUES))[1]
            + js.evaluate(rows, VALUES)[1]
            + js.evaluate(js.Blocks(rows), VALUES)[1]
        )

    expected = 3 * (np.cos(0.4) + np.cos(0.4) + np.cos(0.4))
    assert float(jax.jit(both)(3.0)) == pytest.approx(expected, abs=1e-5)
    assert float(3 * jax.grad(both)(3.0)) == pytest.approx(expected, abs=1e-5)


# what is compiled, what is said -----------------------------------------------------------------------------


def test_a_new_number_of_circuits_compiles_nothing(compilations):
    circuits = [Circuit(2).rx(T[0], 0).cx(0, 1)] * 40
    for k in (2, 40):
        js.compile(circuits[:k], Z(1)).value_and_grad(np.zeros((k, 1)))
    with compilations() as count:
        for k in (3, 5, 33):
            js.compile(circuits[:k], Z(1)).value_and_grad(np.zeros((k, 1)))
    assert count.total == 0


def test_explain_of_several_circuits():
    """Of every call: its circuits and blocks, and of the longest circuit what it says itself."""
    layers = [Circuit(5).ry(T[0], range(5)).cx(range(4), range(1, 5)).rx(T[1], range(5))]
    layers.append(layers[0].copy().cx(range(4), range(1, 5)).ry(T[2], range(5)))
    f = js.compile([*layers, Circuit(2).ry(T[0], 0)], Z(0), engine="layered")
    text = f.explain()
    lines = text.splitlines()
    assert lines[0] == "3 circuits in 2 compiled calls"
    assert "circuits 0, 1, in blocks of 32 rows (whose states have 8,192 bytes)" in lines
    assert "circuits 2, in blocks of 2 rows (whose states have 64 bytes)" in lines
    longest = js.compile(layers[1], Z(0), engine="layered").explain()
    for line in longest.splitlines():
        assert f"  {line}" in lines
    assert "layered: asked for" in text and "passes over the state" in text
