"""Parameter shift: without noise against adjoint derivatives, with it against closed forms."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import scipy.stats

import jaxsim as js
from jaxsim import Circuit, I, Parameter, ParameterVector, X, Y, Z
from jaxsim.gates import GATES
from jaxsim.parameter_shift import (
    lower_sampled,
    parameter_shift,
    sampled_gradient_rows,
    sampled_state,
    sampled_value,
    sampled_value_and_grad,
)

A, B, C = Parameter("a"), Parameter("b"), Parameter("c")
OBSERVABLE = 0.7 * Z(0) @ Z(1) - X(0) @ Y(2) + 0.4 * Y(3) + 1.3 * X(1) + Z(2) @ X(3) + 0.5 * I()
RNG = np.random.default_rng(0)


def every_gate():
    """All gates of the table with angles, each angle a parameter of its own, and under a further control."""
    circuit, theta = Circuit(4), iter(ParameterVector("t", 200))
    circuit.h(range(4)).t(range(4)).cx([0, 1, 2], [1, 2, 3]).ry([0.3, 0.7, 1.9, -0.4], range(4))
    names = [name for name, row in GATES.items() if row.angles]
    used = 0
    for k, name in enumerate(names):
        angles = [next(theta) for _ in GATES[name].angles]
        used += len(angles)
        wires = [int(w) for w in np.roll(np.arange(4), k)]
        match name:
            case "pauli_rotation":
                circuit.pauli_rotation(angles[0], "YXZ", wires[:3])
            case "evolve_diagonal":
                circuit.evolve_diagonal(angles[0], RNG.normal(size=8), wires[:3])
            case "mcp":
                circuit.mcp(angles[0], wires[:2], wires[2])
            case _:
                circuit.append(name, tuple(angles), wires[: GATES[name].num_wires])
    circuit.evolve_diagonal(next(theta), RNG.normal(size=4), [0, 2], controls=[3])
    circuit.append("u", tuple(next(theta) for _ in range(3)), (1, 2, 3), controls=2)
    circuit.append("global_phase", next(theta), 1, controls=1)
    return circuit


def shared():
    """Parameters in several gates, affine and not, between gates given by arrays."""
    unitary = np.linalg.qr(RNG.normal(size=(4, 4)) + 1j * RNG.normal(size=(4, 4)))[0]
    state = RNG.normal(size=16)
    circuit = Circuit(4).initialize(state / np.linalg.norm(state))
    circuit.crx(2 * A - 0.3, 0, 1).evolve_diagonal(B, RNG.normal(size=16)).unitary(unitary, [1, 2])
    circuit.mcp(C + A, [0, 1, 2], 3).diagonal(np.exp(1j * RNG.normal(size=4)), [0, 3])
    circuit.pauli_rotation(A - 0.5 * B + 1, "XYZ", [0, 2, 3]).xx_plus_yy(B, 0.1, 1, 3).cswap(0, 1, 2)
    return circuit.ry(A * B, 2).cry(0.5 * C, 3, 0).rz(B.sin(), 1).rx(C, 1)


CIRCUITS = {"every gate": every_gate(), "shared": shared()}


@pytest.mark.parametrize("name", list(CIRCUITS))
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.complex64, 1e-5), (np.complex128, 1e-10)])
def test_without_noise_it_is_the_adjoint_gradient(name, dtype, tolerance):
    circuit = CIRCUITS[name]
    values = np.random.default_rng(1).uniform(-np.pi, np.pi, circuit.num_parameters)
    with jax.enable_x64(dtype == np.complex128):
        value, gradient = parameter_shift(circuit, OBSERVABLE, values, dtype=dtype)
        expected = js.compile(circuit, OBSERVABLE, dtype=dtype).value_and_grad(values)
        np.testing.assert_allclose(value, expected[0], atol=tolerance)
        np.testing.assert_allclose(gradient, expected[1], atol=tolerance)
    assert np.abs(gradient).max() > 0.05


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_random_circuits(seed, random_circuit):
    drawn = random_circuit(seed, 4, 14, arrays=2, initialize=seed % 2 == 0)
    theta = ParameterVector("t", 5)

    def angle(k, value):
        return (theta[k % 5] + value, 2 * theta[k % 5] - theta[(k + 1) % 5], theta[k % 5] * theta[k % 3])[
            k % 3
        ]

    circuit = drawn.circuit(angle)
    if not circuit.parameters:
        pytest.skip("no gate with an angle was drawn")
    values = np.random.default_rng(seed).uniform(-2, 2, circuit.num_parameters)
    _, gradient = parameter_shift(circuit, OBSERVABLE, values)
    expected = js.compile(circuit, OBSERVABLE).value_and_grad(values)[1]
    np.testing.assert_allclose(gradient, expected, atol=2e-5)


def test_a_rotation_by_hand():
    value, gradient = parameter_shift(Circuit(1).ry(2 * A + 0.3, 0), Z(0), {"a": 0.4})
    assert float(value) == pytest.approx(np.cos(1.1), abs=1e-6)
    assert gradient.shape == (1,)
    assert float(gradient[0]) == pytest.approx(-2 * np.sin(1.1), abs=1e-6)


@pytest.mark.parametrize(
    ("circuit", "rows"),
    [
        (Circuit(4).ry(A, 0), 3),
        (Circuit(4).rx(A, range(4)), 9),
        (Circuit(4).crx(A, 0, 1), 5),
        (Circuit(4).mcp(A, [0, 1], 2), 1 + 2 * 7),
        (Circuit(4).u(A, 0.2, B, 0), 5),
        # Two words of Z and a constant, which is a phase.
        (Circuit(4).evolve_diagonal(A, (Z(0) @ Z(1) + 0.1 * Z(2) + 3).diagonal(4)), 5),
        (Circuit(4).evolve_diagonal(A, (Z(0) @ Z(1) + 0.1 * Z(2)).diagonal(4).astype(np.float32)), 5),
        (Circuit(4).global_phase(A).ry(0.1, 0), 1),
    ],
)
def test_how_many_states_it_takes(circuit, rows):
    row = lower_sampled(circuit, Z(0), 100, gradient=True)
    assert int(sampled_gradient_rows(row)) == rows


def test_the_circuit_of_rotations_prepares_the_state():
    circuit = CIRCUITS["shared"]
    values = np.array([0.3, -1.2, 0.8], np.float32)
    row = lower_sampled(circuit, Z(0), 100, gradient=True)
    found = np.asarray(jax.jit(sampled_state)(row, values))
    expected = np.asarray(js.statevector(circuit.bind(values)))
    assert abs(np.vdot(found, expected)) == pytest.approx(1, abs=1e-5)


def test_problems_share_a_key():
    def row(edges, shots):
        cost = sum(Z(a) @ Z(b) for a, b in edges)
        return lower_sampled(js.ansatz.qaoa(cost, 1, num_wires=4), cost, shots, gradient=True)

    one, other = row([(0, 1), (1, 2), (2, 3)], 100), row([(0, 3), (1, 3), (0, 2)], 7)
    assert one.key == other.key
    assert one.key != row([(0, 1), (1, 2), (2, 3)], None).key


# with noise -------------------------------------------------------------------------------------------------

SHOTS, SEEDS = 100, 2000
NOISY = Circuit(2).ry(A, 0).crx(B, 0, 1)


@pytest.fixture(scope="module")
def noisy():
    row = lower_sampled(NOISY, Z(1) + 0.5 * Z(0), SHOTS, gradient=True)
    keys = jax.random.split(jax.random.key(7), SEEDS)
    found = jax.jit(jax.vmap(sampled_value_and_grad, in_axes=(None, None, 0)))
    values, gradients = found(row, np.array([0.8, -1.1], np.float32), keys)
    return row, keys, np.asarray(values, float), np.asarray(gradients, float)


def test_noisy_gradients_are_unbiased_with_the_variance_of_the_shifts(noisy):
    _, _, values, gradients = noisy
    a, b = 0.8, -1.1
    # <Z1> = 1 - sin(a/2)^2 (1 - cos b), <Z0> = cos a
    value = 1 - np.sin(a / 2) ** 2 * (1 - np.cos(b)) + 0.5 * np.cos(a)
    slopes = np.array([-np.sin(a) / 2 * (1 - np.cos(b)) - 0.5 * np.sin(a), -(np.sin(a / 2) ** 2) * np.sin(b)])
    assert abs(values.mean() - value) < 3.5 * values.std() / np.sqrt(SEEDS)
    assert np.all(np.abs(gradients.mean(axis=0) - slopes) < 3.5 * gradients.std(axis=0) / np.sqrt(SEEDS))
    # By a: (E(a + pi/2) - E(a - pi/2)) / 2, each with the variance of Z1 + Z0/2 over the shots.
    variance = 0.0
    for shifted in (a + np.pi / 2, a - np.pi / 2):
        p = np.sin(shifted / 2) ** 2
        outcomes = np.array([1.5, 0.5, -0.5 - 0.0, -1.5])  # (bit 0, bit 1) = 00, 10, 01, 11
        likely = np.array([1 - p, p * np.cos(b / 2) ** 2, 0, p * np.sin(b / 2) ** 2])
        variance += (likely @ outcomes**2 - (likely @ outcomes) ** 2) / SHOTS / 4
    statistic = gradients[:, 0].var(ddof=1) / variance * (SEEDS - 1)
    assert 1e-3 < scipy.stats.chi2.cdf(statistic, SEEDS - 1) < 1 - 1e-3


def test_the_value_is_that_of_an_evaluation_alone(noisy):
    row, keys, values, _ = noisy
    alone = jax.jit(sampled_value)
    for k in range(5):
        assert float(alone(row, np.array([0.8, -1.1], np.float32), keys[k])) == values[k]


@pytest.mark.slow
@pytest.mark.parametrize("atoms", [False, True])
def test_bits_do_not_depend_on_company(atoms):
    circuits = [
        Circuit(3).ry(A, 0).crx(B, 0, 1).cx(1, 2).rz(A * B if atoms else A - B, 2).h(2),
        Circuit(3).rx(B, 2).cry(A, 0, 1).cz(0, 2).ry(A * B if atoms else B + 0.2 * A, 0).h(1),
    ]
    rows = [
        lower_sampled(circuits[k % 2], Z(0) + (1 + k) * X(1), 50 + k, gradient=True, engine="rotations")
        for k in range(8)
    ]
    values = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)
    keys = jax.random.split(jax.random.key(2), 8)
    function = jax.jit(jax.vmap(sampled_value_and_grad), compiler_options=js.compiler_options())
    together = function(js.stack(rows), values, keys)
    for size in (2, 4):
        some = function(js.stack(rows[:size]), values[:size], keys[:size])
        assert np.array_equal(some[0], together[0][:size])
        assert np.array_equal(some[1], together[1][:size])


# bad input --------------------------------------------------------------------------------------------------


def test_gates_of_too_many_rotations_are_named():
    circuit = Circuit(16).h(range(16)).mcp(A, list(range(15)), 15)
    with pytest.raises(ValueError, match="mcp on 16 wires"):
        lower_sampled(circuit, Z(0), 100, gradient=True)
    assert lower_sampled(circuit, Z(0), 100, gradient=False).angles is None


@pytest.mark.parametrize(
    ("arguments", "options", "error", "match"),
    [
        ((NOISY, Z(0), [0.1, 0.2]), {"shots": 100}, TypeError, "give jax.random.key"),
        ((NOISY, Z(0), [0.1, 0.2]), {"shots": 0, "key": 0}, ValueError, "from 1 to"),
        ((NOISY, Z(0), [0.1]), {}, ValueError, "parameter"),
        ((NOISY, Z(5), [0.1, 0.2]), {}, ValueError, "wire 5"),
        ((NOISY, I(), [0.1, 0.2]), {}, ValueError, "multiple of the identity"),
        (("circuit", Z(0), [0.1]), {}, TypeError, "takes a Circuit"),
    ],
)
def test_bad_input(arguments, options, error, match):
    with pytest.raises(error, match=match):
        parameter_shift(*arguments, **options)


def test_gradients_need_rotations():
    row = lower_sampled(NOISY, Z(0), 100, gradient=False)
    with pytest.raises(ValueError, match="gradient=True"):
        sampled_value_and_grad(row, np.array([0.1, 0.2]), jax.random.key(0))


def test_traced_circuits_are_refused():
    def value(angle):
        lower_sampled(Circuit(1).rx(angle, 0).ry(A, 0), Z(0), 10, gradient=True)

    with pytest.raises(TypeError, match="traced by JAX"):
        jax.jit(value)(0.1)
