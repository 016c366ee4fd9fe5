"""`compile`: values in every form, inside and outside JAX's transformations, and kernels that are shared."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxsim as js
from jaxsim import Circuit, Parameter, ParameterVector, X, Y, Z

T = ParameterVector("t", 11)
A, B = Parameter("a"), Parameter("b")


def circuit() -> Circuit:
    return Circuit(3).rx(T[10], 2).ry(B, 0).rzz(A, 0, 1).h(1).rx(T[2], 1).cx(0, 2).ry(2 * A, 2)


OPERATOR = Z(0) @ Z(2) + 0.5 * X(1) - 0.3 * Y(2)
# in the order of the parameters: a, b, t[2], t[10]
VALUES = np.array([0.3, -0.7, 1.1, 2.0])
BY_NAME = {"a": 0.3, "b": -0.7, "t[2]": 1.1, "t[10]": 2.0}


@pytest.fixture(scope="module")
def expected():
    return float(js.expectation(circuit().bind(VALUES), OPERATOR))


def test_parameters_are_sorted_by_name_and_elements_by_index():
    f = js.compile(circuit(), OPERATOR)
    assert [p.name for p in f.parameters] == ["a", "b", "t[2]", "t[10]"]
    assert f.num_wires == 3
    assert repr(f) == "CompiledCircuit(3 qubits, 4 parameters, 1 observables)"


FORMS = {
    "list": VALUES.tolist(),
    "NumPy": VALUES,
    "float32": VALUES.astype(np.float32),
    "JAX": jnp.asarray(VALUES),
    "by name": BY_NAME,
    "by parameter": {A: 0.3, B: -0.7, T[2]: 1.1, T[10]: 2.0},
    "with a vector": {
        "a": 0.3,
        "b": -0.7,
        "t": np.arange(11) * 0.0 + np.eye(11)[2] * 1.1 + np.eye(11)[10] * 2,
    },
    "JAX numbers by name": {name: jnp.float32(value) for name, value in BY_NAME.items()},
    "in any order": dict(reversed(BY_NAME.items())),
}


@pytest.mark.parametrize("form", FORMS)
def test_values_in_every_form(form, expected):
    f = js.compile(circuit(), OPERATOR)
    assert float(f(FORMS[form])) == pytest.approx(expected, abs=1e-6)
    value, gradient = f.value_and_grad(FORMS[form])
    assert float(value) == pytest.approx(expected, abs=1e-6)
    assert gradient.shape == (4,)
    assert gradient.dtype == np.float32


REFUSED = {
    "too few": ([0.1] * 3, ValueError, r"values must have shape \(4,\), one for each parameter \(a, b, t\[2\], "),
    "a matrix": (np.zeros((2, 2)), ValueError, r"but have shape \(2, 2\)"),
    "too many, JAX": (jnp.zeros(5), ValueError, r"values must have shape \(4,\)"),
    "missing": ({"a": 0.1, "b": 0.2}, ValueError, r"values are missing for: t\[2\], t\[10\]"),
    "unknown": (BY_NAME | {"c": 1.0}, ValueError, "'c' is no parameter of this circuit, which has: a, b"),
    "complex": (VALUES + 0j, TypeError, "real"),
    "complex, JAX": (jnp.zeros(4, complex), TypeError, "values are real angles in radians, but a complex64"),
    "NaN": ([np.nan, 0, 0, 0], ValueError, "finite"),
    "NaN, NumPy": (np.array([np.nan, 0, 0, 0]), ValueError, "finite"),
    "infinity, JAX": (jnp.array([np.inf, 0, 0, 0]), ValueError, "finite"),
    "bool": (VALUES > 0, TypeError, "values are real angles in radians, but a bool array was given"),
    "nothing": ((), ValueError, r"values must have shape \(4,\)"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_values_that_do_not_fit(what):
    values, error, sentence = REFUSED[what]
    f = js.compile(circuit(), OPERATOR)
    with pytest.raises(error, match=sentence):
        f(values)


ARGUMENTS = {
    "observable": (lambda call: call(circuit(), 3), TypeError, "observable is a PauliSum, a list of them, or None"),
    "dtype": (lambda call: call(circuit(), Z(0), dtype="complx"), ValueError, "complex128, but 'complx' was given"),
}  # fmt: skip


@pytest.mark.parametrize("what", ARGUMENTS)
@pytest.mark.parametrize("call", [js.compile, js.lower])
def test_arguments_that_do_not_fit(call, what):
    make, error, sentence = ARGUMENTS[what]
    with pytest.raises(error, match=sentence):
        make(call)


def test_it_is_a_snapshot(expected):
    c = circuit()
    f = js.compile(c, OPERATOR)
    c.rx(0.7, 0)
    assert float(f(VALUES)) == pytest.approx(expected, abs=1e-6)
    values = VALUES.copy()
    operator_before = float(f(values))
    values[0] = 3
    assert float(f(VALUES)) == operator_before


def test_without_an_observable_it_is_the_state():
    f = js.compile(circuit())
    np.testing.assert_allclose(f(VALUES), js.statevector(circuit().bind(VALUES)), atol=1e-6)
    with pytest.raises(
        ValueError, match=r"value_and_grad needs an observable: compile\(circuit, observable=...\)"
    ):
        f.value_and_grad(VALUES)
    assert repr(f) == "CompiledCircuit(3 qubits, 4 parameters, state)"


def test_a_circuit_without_parameters():
    f = js.compile(Circuit(1).ry(0.3, 0), Z(0))
    assert float(f()) == pytest.approx(np.cos(0.3))
    value, gradient = f.value_and_grad()
    assert gradient.shape == (0,)
    assert float(value) == pytest.approx(np.cos(0.3))


def test_several_observables(expected):
    f = js.compile(circuit(), [OPERATOR, Z(1)])
    values, jacobian = f.value_and_grad(VALUES)
    assert (values.shape, jacobian.shape) == ((2,), (2, 4))
    assert float(values[0]) == pytest.approx(expected, abs=1e-6)
    np.testing.assert_allclose(jacobian[1], js.compile(circuit(), Z(1)).value_and_grad(VALUES)[1], atol=1e-6)
    np.testing.assert_allclose(jax.jacrev(f)(jnp.asarray(VALUES)), jacobian, atol=1e-6)


def test_an_initial_state():
    start = np.array([0.6, 0, 0, 0, 0, 0.8j, 0, 0])
    f = js.compile(circuit(), OPERATOR)
    bound = circuit().bind(VALUES)
    value, gradient = f.value_and_grad(VALUES, initial_state=start)
    assert float(value) == pytest.approx(
        float(js.expectation(bound, OPERATOR, initial_state=start)), abs=1e-6
    )
    h = 1e-2  # of a trigonometric function: the error is h**2 / 6
    difference = (
        f(VALUES + [h, 0, 0, 0], initial_state=start) - f(VALUES - [h, 0, 0, 0], initial_state=start)
    ) / (2 * h)
    assert float(gradient[0]) == pytest.approx(float(difference), abs=1e-3)
    np.testing.assert_allclose(
        js.compile(circuit())(VALUES, initial_state=start),
        js.statevector(bound, initial_state=start),
        atol=1e-6,
    )
    with pytest.raises(
        ValueError, match=r"initial_state must have shape \(8,\) for 3 qubits, but has shape \(4,\)"
    ):
        f(VALUES, initial_state=np.ones(4))


def test_inside_transformations(expected):
    f = js.compile(circuit(), OPERATOR)
    gradient = np.asarray(f.value_and_grad(VALUES)[1])
    values = jnp.asarray(VALUES)
    assert float(jax.jit(f)(values)) == pytest.approx(expected, abs=1e-6)
    np.testing.assert_allclose(jax.grad(f)(values), gradient, atol=1e-6)
    batch = jnp.stack([values, values + 0.1])
    energies, gradients = jax.jit(jax.vmap(f.value_and_grad))(batch)
    assert float(energies[0]) == pytest.approx(expected, abs=1e-6)
    np.testing.assert_allclose(gradients[0], gradient, atol=1e-6)
    # A mapping is a pytree: gradients come by name.
    by_name = jax.jit(jax.grad(lambda v: f(v)))({k: jnp.float32(v) for k, v in BY_NAME.items()})
    np.testing.assert_allclose([by_name[k] for k in BY_NAME], gradient, atol=1e-6)


def test_compiled_inside_a_jitted_function(expected):
    """Angles that are JAX values stay what they are; parameters are for later."""

    @jax.jit
    def both(fixed, values):
        c = Circuit(3).rx(T[10], 2).ry(B, 0).rzz(A, 0, 1).h(1).rx(fixed, 1).cx(0, 2).ry(2 * A, 2)
        f = js.compile(c, OPERATOR)
        return f.value_and_grad(values), jax.grad(lambda x: f(x)[()])(values)

    (value, gradient), again = both(1.1, jnp.asarray(VALUES[[0, 1, 3]]))
    assert float(value) == pytest.approx(expected, abs=1e-6)
    np.testing.assert_allclose(
        gradient, js.compile(circuit(), OPERATOR).value_and_grad(VALUES)[1][jnp.array([0, 1, 3])], atol=1e-6
    )
    np.testing.assert_allclose(again, gradient, atol=1e-6)


def test_derivative_by_an_angle_that_is_a_jax_value():
    """d/dx cos(x + a) with a parameter a in the same circuit."""

    def energy(x, a):
        return js.compile(Circuit(1).ry(x, 0).ry(A, 0), Z(0))([a])

    gradient = jax.jit(jax.grad(energy, (0, 1)))(0.4, 0.3)
    np.testing.assert_allclose(gradient, [-np.sin(0.7)] * 2, atol=1e-6)


def test_circuits_of_one_size_share_their_kernels(compilations):
    """After the first, neither new circuits nor new observables nor new values compile anything."""
    first = js.compile(circuit(), OPERATOR, engine="layered")
    first(VALUES), first.value_and_grad(VALUES)
    others = [
        Circuit(3).ry(T[10], 0).rx(B, 1).rxx(A, 0, 1).ry(T[2], 0).cx(1, 0).rx(-A, 1),
        Circuit(3).rz(A, 2).rx(B - 1, 1).ryy(A, 0, 2).s(0).rz(T[2], 2).cy(2, 1).ry(T[10], 0),
    ]
    with compilations() as count:
        for k, other in enumerate(others):
            f = js.compile(other, X(0) @ X(1) + 0.25 * k * Z(1) - Y(0) @ Z(2), engine="layered")
            for values in (VALUES, VALUES[::-1].tolist(), BY_NAME):
                f(values)
                f.value_and_grad(values)
    assert count.total == 0


def annealing(n):
    c = Circuit(n).h(range(n))
    for k in range(4):
        c.evolve_diagonal(T[k], np.arange(2.0**n)).rx(T[4 + k], range(n))
    return c


def test_explain():
    c = annealing(3)
    lines = dict(line.split(maxsplit=1) for line in js.compile(c, [Z(0), X(1)]).explain().splitlines())
    why = "5 layers cost less than 15 steps, compiled in and so counted 4 times"
    assert lines["engine"] == f"layered: {why} (complex64, diff='adjoint')"
    assert lines["qubits"] == "3 (a state has 64 bytes)"
    assert lines["parameters"] == "8"
    assert lines["form"] == "5 layers (room for 12), 20 passes over the state"
    assert set(lines["estimate"].split()) >= {"layered", "rotations"}
    assert lines["observables"] == "2"
    assert "0 layers" in js.compile(Circuit(1)).explain()
    asked = js.compile(c, Z(0), engine="rotations").explain()
    assert "rotations: asked for" in asked and "15 steps and 4 gates given by arrays, as many passes" in asked
    fused = js.compile(c, Z(0), engine="fused").explain()
    assert "fused: asked for" in fused
    for text in (asked, fused):
        assert "circuits of the same structure share the compiled kernel" in text
    assert lines["data"].endswith("circuits whose data have the same shapes share the compiled kernel")


def test_explain_counts_the_energies():
    """For which there is one array in all layers."""
    data = []
    for n in (8, 9):
        text = js.compile(annealing(n), Z(0), engine="rotations").explain()
        (line,) = (line for line in text.splitlines() if line.startswith("data"))
        data.append(int(line.split()[1].replace(",", "")))
    assert data[0] > 256 * 4 and data[1] - data[0] >= 256 * 4


@pytest.mark.parametrize("engine", ["rotations", "fused"])
def test_explain_tells_of_what_runs(engine):
    """The Clifford gates at the end of the circuit go into what is measured."""
    circuit = js.ansatz.hardware_efficient(6, 2)
    used = []
    for observable in (Z(0), None):
        text = js.compile(circuit, observable, engine=engine).explain()
        (form,) = (line.split(maxsplit=1)[1] for line in text.splitlines() if line.startswith("form"))
        used.append(int(form.split()[0]))
    assert used[0] < used[1]
    if engine == "rotations":
        assert used == [6 + 12, 2 * (6 + 5)]  # RY RZ on a wire are one step, and the CX after them
    free = js.Parameter("a") * js.Parameter("b")
    text = js.compile(Circuit(1).ry(free, 0), Z(0)).explain()
    assert "the same shapes and whose parameters are in the same expressions share" in text


def test_explain_says_why():
    """A few rotations about long words take steps; a gate given by a matrix on three qubits has no layers."""
    words = Circuit(6)
    for k, word in enumerate(("XYZXYZ", "ZZXXYY", "YXZYXZ")):
        words.pauli_rotation(0.1 * k + 0.1, word, range(6))
    assert "rotations: 3 steps cost less than" in js.compile(words, Z(0)).explain()
    matrix = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))[0]
    explained = js.compile(Circuit(3).unitary(matrix, range(3)), Z(0)).explain()
    assert "rotations: unitary on 3 wires, given by an array has no layered form" in explained
