"""Derivatives in every mode and nesting, against parameter shifts, finite differences and closed forms."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jaxsim as js
from jaxsim import Circuit, I, Parameter, ParameterVector, PauliSum, X, Y, Z, batch
from jaxsim.engines import rotations
from jaxsim.gates import GATES

COMPLEX128 = {"dtype": jnp.complex128}
PARAMETRISED = tuple(
    row.name for row in GATES.values() if row.angles and (not row.operand or row.name == "evolve_diagonal")
)
H3 = Z(0) @ X(1) - 0.7 * Y(2) + 0.4 * X(0) @ Y(1) @ Z(2) + 0.3 * I() + X(2)


@pytest.fixture(autouse=True)
def x64():
    """Everything here is compared to ten digits."""
    with jax.enable_x64(True):
        yield


def slope(f: Callable[[np.ndarray], float], at: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Central finite differences of a function of real numbers; of complex ones d/dRe - i d/dIm, as jax.grad has it."""
    directions = [1.0, 1j] if np.iscomplexobj(at) else [1.0]
    total = np.zeros(at.shape, at.dtype)
    for k in np.ndindex(at.shape):
        for direction in directions:
            shift = np.zeros(at.shape, at.dtype)
            shift[k] = step * direction
            change = (float(f(at + shift)) - float(f(at - shift))) / (2 * step)
            total[k] += change * np.conj(direction)
    return total


# gradients by angles ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_random_circuits_against_finite_differences_of_qiskit(seed, random_circuit, dense):
    num_wires = 3 + seed % 2
    random = random_circuit(seed, num_wires, 14, names=PARAMETRISED)
    matrix, values = dense(H3, num_wires), random.angles

    def truth(angles: np.ndarray) -> float:
        state = random.with_angles(angles).statevector()
        return np.vdot(state, matrix @ state).real

    expected = slope(truth, values)
    circuit = random.circuit(lambda k, value: Parameter(f"a{k:03}"))
    for diff in ("adjoint", "backprop")[: 2 - seed // 2]:
        value, gradient = js.compile(circuit, H3, diff=diff, **COMPLEX128).value_and_grad(values)
        assert float(value) == pytest.approx(truth(values), abs=1e-12)
        np.testing.assert_allclose(gradient, expected, atol=1e-8)


def test_every_parametrised_gate_by_its_shifts(dense):
    """Angles of Pauli rotations: half the difference at a + pi/2 and a - pi/2, exactly."""
    t = ParameterVector("t", 12)
    circuit = Circuit(3).h(range(3)).rx(t[0], 0).ry(t[1], 1).rz(t[2], 2).rxx(t[3], 0, 1).ryy(t[4], 1, 2)
    circuit.rzz(t[5], 0, 2).rzx(t[6], 2, 1).pauli_rotation(t[7], "XYZ", [2, 0, 1]).p(t[8], 0).cx(0, 1)
    circuit.pauli_rotation(t[9], "IYX", [0, 1, 2]).r(t[10], 0.3, 1).u1(t[11], 2).h(2)
    f = js.compile(circuit, H3, **COMPLEX128)
    at = np.random.default_rng(0).uniform(-np.pi, np.pi, 12)
    shifts = np.concatenate([at + np.pi / 2 * np.eye(12), at - np.pi / 2 * np.eye(12)])
    plus, minus = np.split(np.asarray(jax.jit(jax.vmap(f))(shifts)), 2)
    np.testing.assert_allclose(f.value_and_grad(at)[1], (plus - minus) / 2, atol=1e-13)


def test_expressions_and_shared_parameters():
    """Affine and other expressions of parameters that occur several times, next to constants."""
    a, b, c = Parameter("a"), Parameter("b"), Parameter("c")

    def energy(a: float, b: float, c: float) -> Circuit:
        circuit = Circuit(3).h(range(3)).rx(2 * a - b + 0.1, 0).rzz(a, 0, 1).cu(a, b, c, a + b + c, 1, 2)
        circuit.ry(np.sin(a) * b, 1).rx(c**2, 2).crx(a / (1 + b * b), 2, 0).rz(0.5 * np.exp(c) - 3 * a, 1)
        return circuit.evolve_diagonal(a - 0.5 * b, np.arange(8) / 3).p(np.sqrt(2 + a), 0).ry(0.4, 2)

    at = np.array([0.4, -0.8, 1.3])
    value, gradient = js.compile(energy(a, b, c), H3, **COMPLEX128).value_and_grad(at)
    numbers = lambda x: js.expectation(energy(*map(float, x)), H3, **COMPLEX128)  # noqa: E731
    assert float(value) == pytest.approx(float(numbers(at)), abs=1e-13)
    np.testing.assert_allclose(gradient, slope(numbers, at), atol=1e-9)


def test_a_parameter_that_changes_nothing_has_derivative_zero():
    t = ParameterVector("t", 3)
    f = js.compile(Circuit(2).rz(t[0], 0).global_phase(t[1]).rx(t[2], 1), Z(1))
    np.testing.assert_allclose(f.value_and_grad([0.1, 0.2, 0.3])[1], [0, 0, -np.sin(0.3)], atol=1e-7)


def test_float32_gradients():
    with jax.enable_x64(False):
        f = jax.jit(jax.grad(lambda a: js.expectation(Circuit(2).ry(a[0], 0).ry(a[1], 1).cx(0, 1), Z(1))))
        gradient = f(jnp.array([0.3, 0.5]))
    assert gradient.dtype == np.float32
    expected = [-np.sin(0.3) * np.cos(0.5), -np.cos(0.3) * np.sin(0.5)]
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


# gradients by everything else -------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [2**22, 0], ids=["tabulated", "term by term"])
def test_coefficients(limit, monkeypatch, dense, random_circuit):
    """d<H>/dc_k = <P_k>, also for words that occur twice and where coefficients are zero."""
    monkeypatch.setattr("jaxsim.lowering.observable.TABLE_LIMIT", limit)
    random = random_circuit(1, 3, 12)
    circuit, state = random.circuit(), random.statevector()
    operator = H3 + 0.0 * X(0) + Z(0) @ X(1)
    means = [np.vdot(state, dense(word, 3) @ state).real for word in operator.with_coefficients(np.ones(7))]

    def energy(coefficients):
        return js.expectation(circuit, operator.with_coefficients(coefficients), **COMPLEX128)

    at = jnp.asarray(operator.coefficients)
    np.testing.assert_allclose(jax.jit(jax.grad(energy))(at), means, atol=1e-12)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(energy))(at), means, atol=1e-12)


def test_coefficients_and_masks_traced(dense, random_circuit):
    random = random_circuit(1, 3, 12)
    state = random.statevector()

    @jax.jit
    def gradient(operator: PauliSum):
        f = lambda c: js.expectation(random.circuit(), operator.with_coefficients(c), **COMPLEX128)  # noqa: E731
        return jax.grad(f)(operator.coefficients)

    means = [np.vdot(state, dense(word, 3) @ state).real for word in H3.with_coefficients(np.ones(5))]
    np.testing.assert_allclose(gradient(H3), means, atol=1e-12)


def test_masks_are_integers_and_have_no_derivative():
    with pytest.raises(TypeError, match="int32"):
        jax.grad(lambda operator: js.expectation(Circuit(3), operator))(H3)


@pytest.mark.parametrize("diff", ["adjoint", "backprop"])
def test_initial_state(diff, random_circuit):
    circuit = random_circuit(5, 3, 8, names=PARAMETRISED).circuit()
    rng = np.random.default_rng(0)
    start = rng.normal(size=8) + 1j * rng.normal(size=8)

    def energy(state):
        return js.expectation(circuit, H3, initial_state=state, diff=diff, **COMPLEX128)

    expected = slope(jax.jit(energy), start)
    np.testing.assert_allclose(jax.jit(jax.grad(energy))(start), expected, atol=1e-8)
    # Forward mode by the real part: a real direction.
    direction = np.arange(8.0)
    tangent = jax.jit(lambda s, d: jax.jvp(energy, (s,), (d,))[1])(start, direction + 0j)
    assert float(tangent) == pytest.approx(float(expected.real @ direction), abs=1e-7)


def test_initialize(random_circuit):
    rng = np.random.default_rng(0)
    part = rng.normal(size=4) + 1j * rng.normal(size=4)

    def energy(amplitudes):
        circuit = Circuit(3).initialize(amplitudes, [2, 0]).rx(0.3, 1).cx(2, 1).ry(0.5, 0)
        return js.expectation(circuit, H3, **COMPLEX128)

    exact = jax.jit(energy)
    np.testing.assert_allclose(jax.jit(jax.grad(energy))(part), slope(exact, part), atol=1e-8)


def random_unitary(size: int, rng: np.random.Generator) -> np.ndarray:
    return np.linalg.qr(rng.normal(size=(size, size)) + 1j * rng.normal(size=(size, size)))[0]


ARRAYS = {
    "unitary": lambda c, u: c.unitary(u, [2, 0]),
    "controlled unitary": lambda c, u: c.unitary(u, [1, 2], controls=0),
    "unitary in a loop": lambda c, u: c.unitary(u, [0, 1]).rx(0.2, 2).unitary(u, [0, 1]).rx(0.2, 2),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_traced_unitaries(name):
    """Entry by entry, off the unitary matrices too."""
    matrix = random_unitary(4, np.random.default_rng(3))

    def energy(u):
        circuit = ARRAYS[name](Circuit(3).ry([0.3, 0.8, 1.1], range(3)).cx(0, 2), u).rx(0.4, 1).cx(1, 0)
        return js.expectation(circuit, H3, **COMPLEX128)

    value, gradient = jax.jit(jax.value_and_grad(energy))(matrix)
    exact = jax.jit(energy)
    assert float(value) == pytest.approx(float(exact(matrix)))
    np.testing.assert_allclose(gradient, slope(exact, matrix), atol=1e-8)


def test_traced_diagonals():
    """A diagonal and energies of an evolution, in a loop over layers and under a control."""
    rng = np.random.default_rng(4)
    phases, costs = np.exp(1j * rng.normal(size=4)), rng.normal(size=8)
    gammas = np.array([0.4, -0.7, 0.2])

    def energy(phases, costs, gammas):
        circuit = Circuit(3).h(range(3)).diagonal(phases, [2, 1], controls=0)
        for k in range(3):
            circuit.evolve_diagonal(gammas[k], costs).rx(0.3, range(3))
        return js.expectation(circuit.diagonal(phases, [0, 1]), H3, **COMPLEX128)

    exact = jax.jit(energy)
    by_phases, by_costs, by_gammas = jax.jit(jax.grad(energy, (0, 1, 2)))(phases, costs, gammas)
    np.testing.assert_allclose(by_phases, slope(lambda x: exact(x, costs, gammas), phases), atol=1e-8)
    np.testing.assert_allclose(by_costs, slope(lambda x: exact(phases, x, gammas), costs), atol=1e-8)
    np.testing.assert_allclose(by_gammas, slope(lambda x: exact(phases, costs, x), gammas), atol=1e-8)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_loops_whose_steps_have_no_angles(times):
    """Only the diagonal evolutions are parametrised: the steps between them have constants alone."""
    gamma, cost = ParameterVector("g", times), np.array([0.0, 1, 1, 0.5])
    circuit = Circuit(2).h(range(2))
    for k in range(times):
        circuit.evolve_diagonal(gamma[k], cost).rx(0.6, range(2))
    operator = Z(0) @ Y(1) + X(0)
    f = js.compile(circuit, operator, **COMPLEX128)
    at = np.linspace(0.3, 0.9, times)
    np.testing.assert_allclose(f.value_and_grad(at)[1], slope(f, at), atol=1e-9)


def test_repeated_evolutions_without_steps():
    gamma, cost = Parameter("g"), np.array([0.0, 1.0])
    plus = np.full(2, np.sqrt(0.5))
    circuit = Circuit(1).initialize(plus).evolve_diagonal(gamma, cost).evolve_diagonal(gamma, cost)
    value, gradient = js.compile(circuit, X(0), **COMPLEX128).value_and_grad([0.3])
    assert float(value) == pytest.approx(np.cos(0.6))
    np.testing.assert_allclose(gradient, [-2 * np.sin(0.6)])


def test_states_are_differentiated_by_jax():
    """Probabilities, fidelity and variance of ry(a)|0>."""
    a = 0.7
    rotated = lambda t: Circuit(1).ry(t, 0)  # noqa: E731
    p = jax.jit(jax.jacfwd(lambda t: js.probabilities(rotated(t), **COMPLEX128)))(a)
    np.testing.assert_allclose(p, [-np.sin(a) / 2, np.sin(a) / 2], atol=1e-12)
    f = jax.jit(jax.grad(lambda t: js.fidelity(Circuit(1), rotated(t), **COMPLEX128)))(a)
    assert float(f) == pytest.approx(-np.sin(a) / 2)
    v = jax.jit(jax.grad(lambda t: js.variance(rotated(t), Z(0), **COMPLEX128)))(a)
    assert float(v) == pytest.approx(np.sin(2 * a))


# nestings ---------------------------------------------------------------------------------------------------

P = 4


def energy(theta, diff: str = "adjoint"):
    """Rotations only, so that shifts give all derivatives; gates of each kind of item."""
    circuit = (
        Circuit(2).ry(theta[:2], range(2)).cx(0, 1).rzz(theta[2], 0, 1).h(0).rx(theta[3], 0).ry(theta[0], 1)
    )
    circuit.unitary(UNITARY, [1, 0])
    return js.expectation(circuit, Z(0) + 0.5 * X(1) @ Y(0), diff=diff, **COMPLEX128)


UNITARY = random_unitary(4, np.random.default_rng(8))
AT = np.array([0.3, -0.9, 1.4, 0.6])


@pytest.fixture(scope="module")
def truth():
    """Gradient and Hessian at AT from values: the Fourier series through five points in each angle is exact."""
    with jax.enable_x64(True):
        f = jax.jit(jax.vmap(energy))
        # theta[0] occurs twice: frequencies up to 2; the others up to 1. Five points determine them all.
        grid = 2 * np.pi * np.arange(5) / 5
        first = np.zeros(P)
        second = np.zeros((P, P))
        frequency = np.array([0, 1, 2, -2, -1])
        derivative = np.real(np.fft.ifft(1j * frequency))  # weights w with f'(0) = sum_m w_m f(-x_m)
        curvature = np.real(np.fft.ifft(-(frequency.astype(float) ** 2)))
        for i in range(P):
            points = np.array([AT - x * np.eye(P)[i] for x in grid])
            values = np.asarray(f(points))
            first[i], second[i, i] = derivative @ values, curvature @ values
            for j in range(i):
                points = np.array([AT - x * np.eye(P)[i] - y * np.eye(P)[j] for x in grid for y in grid])
                values = np.asarray(f(points)).reshape(5, 5)
                second[i, j] = second[j, i] = derivative @ values @ derivative
    return first, second


@pytest.mark.parametrize(
    ("diff", "mode"),
    [("adjoint", mode) for mode in ("grad", "jacfwd", "jacrev", "jvp", "linearize")]
    + [("backprop", "grad"), ("backprop", "jvp")],
)
def test_first_derivatives(diff, mode, truth):
    f = lambda t: energy(t, diff)  # noqa: E731
    along = {
        "jvp": lambda t: jnp.stack([jax.jvp(f, (t,), (e,))[1] for e in jnp.eye(P)]),
        "linearize": lambda t: jax.vmap(jax.linearize(f, t)[1])(jnp.eye(P)),
    }
    derivative = along.get(mode) or getattr(jax, mode)(f)
    np.testing.assert_allclose(jax.jit(derivative)(AT), truth[0], atol=1e-12)


SECOND = {
    "hessian": lambda f: jax.hessian(f),  # jacfwd(jacrev)
    "jacrev(jacfwd)": lambda f: jax.jacrev(jax.jacfwd(f)),
    "jacrev(jacrev)": lambda f: jax.jacrev(jax.jacrev(f)),
    "jacfwd(jacfwd)": lambda f: jax.jacfwd(jax.jacfwd(f)),
    "vmap(hvp)": lambda f: lambda t: jax.vmap(lambda v: jax.jvp(jax.grad(f), (t,), (v,))[1])(jnp.eye(P)),
}


@pytest.mark.parametrize("mode", SECOND)
def test_second_derivatives(mode, truth):
    np.testing.assert_allclose(jax.jit(SECOND[mode](energy))(AT), truth[1], atol=1e-11)


def test_batches(truth):
    points = AT + np.arange(3)[:, None] * np.array([[0.1, 0.2, 0.3, 0.4]])
    alone = np.stack([jax.jit(jax.grad(energy))(x) for x in points])
    np.testing.assert_allclose(alone[0], truth[0], atol=1e-12)
    np.testing.assert_allclose(jax.jit(jax.vmap(jax.grad(energy)))(points), alone, atol=1e-13)
    np.testing.assert_allclose(
        jax.jit(jax.grad(lambda x: jax.vmap(energy)(x).sum()))(points), alone, atol=1e-13
    )

    @jax.jit
    def scanned(points):
        return lax.scan(lambda total, x: (total + energy(x), jax.grad(energy)(x)), 0.0, points)

    _, gradients = scanned(points)
    np.testing.assert_allclose(gradients, alone, atol=1e-13)
    through = jax.jit(jax.grad(lambda x: scanned(x)[0]))(points)
    np.testing.assert_allclose(through, alone, atol=1e-13)


def test_through_a_training_loop():
    """Gradient descent on <Z> = cos(a): d a_T / d rate by the chain rule, by hand."""
    t = Parameter("t")
    f = js.compile(Circuit(1).ry(t, 0), Z(0), **COMPLEX128)

    @jax.jit
    def final_loss(rate):
        step = lambda a, _: (a - rate * jax.grad(f)(a), None)  # noqa: E731
        return f(lax.scan(step, jnp.array([0.4]), length=8)[0])

    a, slope_of_a, rate = 0.4, 0.0, 0.3
    for _ in range(8):
        a, slope_of_a = a + rate * np.sin(a), slope_of_a + np.sin(a) + rate * np.cos(a) * slope_of_a
    assert float(final_loss(rate)) == pytest.approx(np.cos(a), abs=1e-12)
    assert float(jax.jit(jax.grad(final_loss))(rate)) == pytest.approx(-np.sin(a) * slope_of_a, abs=1e-12)
    assert float(jax.jit(jax.jacfwd(final_loss))(rate)) == pytest.approx(-np.sin(a) * slope_of_a, abs=1e-12)


def test_several_observables():
    """ry(a) rz(b)|0>: <Z> = cos a, <X> = sin a cos b, <Y> = sin a sin b."""
    a, b = at = np.array([0.6, 1.1])
    f = lambda t: js.expectation(Circuit(1).ry(t[0], 0).rz(t[1], 0), [Z(0), X(0), Y(0)], **COMPLEX128)  # noqa: E731
    sa, ca, sb, cb = np.sin(a), np.cos(a), np.sin(b), np.cos(b)
    jacobian = [[-sa, 0], [ca * cb, -sa * sb], [ca * sb, sa * cb]]
    hessian = [
        [[-ca, 0], [0, 0]],
        [[-sa * cb, -ca * sb], [-ca * sb, -sa * cb]],
        [[-sa * sb, ca * cb], [ca * cb, -sa * sb]],
    ]
    np.testing.assert_allclose(jax.jit(jax.jacrev(f))(at), jacobian, atol=1e-12)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(f))(at), jacobian, atol=1e-12)
    np.testing.assert_allclose(jax.jit(jax.hessian(f))(at), hessian, atol=1e-12)
    weighted = jax.jit(jax.grad(lambda t: f(t) @ jnp.array([1.0, -2.0, 0.5])))(at)
    np.testing.assert_allclose(weighted, np.array([1, -2, 0.5]) @ jacobian, atol=1e-12)


def test_mixed_derivatives_by_angle_and_coefficient():
    """d2 (c cos a) / da dc = -sin a, in both orders."""

    def f(a, c):
        return js.expectation(Circuit(1).ry(a, 0), (2.0 * Z(0)).with_coefficients(c[None]), **COMPLEX128)

    a, c = 0.4, jnp.array(1.5)
    assert float(jax.jit(jax.grad(jax.grad(f), 1))(a, c)) == pytest.approx(-np.sin(a), abs=1e-12)
    assert float(jax.jit(jax.jacfwd(jax.grad(f, 1), 0))(a, c)) == pytest.approx(-np.sin(a), abs=1e-12)


def test_second_derivatives_along_a_path_of_unitaries():
    """U(t) = exp(-i t Y / 2) as an array: <Z> = cos t."""
    half = lambda t: jnp.array([[jnp.cos(t / 2), -jnp.sin(t / 2)], [jnp.sin(t / 2), jnp.cos(t / 2)]])  # noqa: E731
    f = lambda t: js.expectation(Circuit(1).unitary(half(t) + 0j, 0), Z(0), **COMPLEX128)  # noqa: E731
    assert float(jax.jit(jax.grad(f))(0.3)) == pytest.approx(-np.sin(0.3), abs=1e-12)
    assert float(jax.jit(jax.grad(jax.grad(f)))(0.3)) == pytest.approx(-np.cos(0.3), abs=1e-12)
    assert float(jax.jit(jax.jacfwd(jax.grad(f)))(0.3)) == pytest.approx(-np.cos(0.3), abs=1e-12)


# what runs --------------------------------------------------------------------------------------------------


def test_the_reverse_pass_runs_only_for_gradients(monkeypatch):
    calls = []
    honest = rotations.reverse
    monkeypatch.setattr(rotations, "reverse", lambda *a: calls.append(1) or honest(*a))
    t = ParameterVector("t", 2)
    circuit = Circuit(2).ry(t, range(2)).cx(0, 1)
    row = batch.lower(circuit, Z(0) + X(1), engine="rotations", **COMPLEX128)
    at, weights = np.zeros(2), row.observables[0].weights

    def value(values, weights=weights, diff="adjoint"):
        observable = row.observables[0]
        changed = type(observable)(**vars(observable) | {"weights": weights})
        return batch.row_values(type(row)(**vars(row) | {"observables": (changed,), "diff": diff}), values)

    for function in (value, jax.grad(value, 1)):
        jax.make_jaxpr(function)(at, weights)
    assert not calls  # neither a value nor a gradient by coefficients needs it
    jax.make_jaxpr(lambda v: jax.grad(value)(v, diff="backprop"))(at)
    assert not calls
    jax.make_jaxpr(jax.grad(value))(at)
    assert calls == [1]


def temporary_bytes(num_wires: int, layers: int, diff: str, engine: str) -> int:
    def loss(theta):
        circuit = Circuit(num_wires)
        for layer in range(layers):
            circuit.ry(theta[layer], range(num_wires)).cx(range(num_wires - 1), range(1, num_wires))
        return js.expectation(circuit, Z(0) @ Z(1) + X(2), diff=diff, engine=engine)

    shape = jax.ShapeDtypeStruct((layers, num_wires), np.float32)
    return jax.jit(jax.value_and_grad(loss)).lower(shape).compile().memory_analysis().temp_size_in_bytes


FLAT = {
    # qubits, growth of memory from 4 layers to 64, states; of smaller states the circuit's own arrays are no small part
    "layered": (16, 1.1, 12),
    "rotations": (16, 1.1, 12),
    "fused": (20, 1.3, 7),
}


@pytest.mark.parametrize("engine", FLAT)
def test_memory_is_flat_in_depth(engine):
    num_wires, growth, states = FLAT[engine]
    with jax.enable_x64(False):
        shallow, deep = (temporary_bytes(num_wires, layers, "adjoint", engine) for layers in (4, 64))
        assert deep < growth * shallow
        assert deep < states * 2**num_wires * 8


@pytest.mark.slow
def test_memory_of_backprop_is_not():
    with jax.enable_x64(False):
        assert temporary_bytes(12, 64, "backprop", "layered") > 8 * temporary_bytes(
            12, 64, "adjoint", "layered"
        )
