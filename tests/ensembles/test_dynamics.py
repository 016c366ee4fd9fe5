"""Time evolution against dense matrix exponentials: errors fall with the order that the formulas have."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

import jaxsim as js
from ensembles import ProgramEnsemble
from ensembles.compilations import count_compilations
from ensembles.problems import tfim
from ensembles.programs.dynamics import TimeEvolution, time_evolution
from ensembles.programs.sweep import sweep
from jaxsim import I, Parameter, PauliSum, X, Y, Z
from jaxsim.trotter import product_formula, qdrift, trotter

H = 0.7 * Z(0) @ Z(1) + 0.3 * X(0) - 0.8 * Y(1) @ X(2) + 0.2 * I() + 0.5 * Z(2) + 0.4 * X(1)
MATRIX = H.to_matrix(3)


def run(programs):
    return ProgramEnsemble(programs).run(progress=False)


def exact(matrix, t, observable, start=None):
    n = len(matrix).bit_length() - 1
    state = np.eye(2**n)[0] if start is None else start
    state = scipy.linalg.expm(-1j * t * matrix) @ state
    return (state.conj() @ observable.to_matrix(n) @ state).real


def dense_unitary(circuit):
    """The product of the exponentials that the circuit's gates stand for, as dense matrices."""
    n, angles = circuit.num_wires, np.asarray(circuit.angles)
    matrix = np.eye(2**n, dtype=complex)
    for i in circuit.instructions:
        if i.gate == "global_phase":
            matrix = np.exp(1j * angles[i.slots[0]]) * matrix
            continue
        assert i.gate == "pauli_rotation"
        word = PauliSum.from_sparse([(i.label, list(i.wires), 1.0)]).to_matrix(n)
        half = angles[i.slots[0]] / 2
        matrix = (np.cos(half) * np.eye(2**n) - 1j * np.sin(half) * word) @ matrix
    return matrix


# circuits ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 2, 4, 6])
def test_errors_fall_with_the_order(order):
    t, steps = 0.9, np.array([2, 4, 8]) if order < 6 else np.array([2, 4])
    with jax.enable_x64(True):
        errors = [
            np.linalg.norm(
                js.unitary(trotter(H, t, int(n), order), dtype=jnp.complex128)
                - scipy.linalg.expm(-1j * t * MATRIX),
                2,
            )
            for n in steps
        ]
    slopes = np.diff(np.log(errors)) / np.diff(np.log(steps))
    np.testing.assert_allclose(slopes, -order, atol=0.25)


def test_one_step_is_the_product_of_exponentials():
    """In the order of the terms, first term first in time, global phase included."""
    t = 0.6
    factors = [scipy.linalg.expm(-1j * t * term.to_matrix(3)) for term in H]
    expected = np.eye(8)
    for factor in factors:
        expected = factor @ expected
    np.testing.assert_allclose(dense_unitary(trotter(H, t, 1, 1)), expected, atol=1e-12)
    half = [scipy.linalg.expm(-0.5j * t * term.to_matrix(3)) for term in H]
    expected = np.eye(8)
    for factor in (*half, *reversed(half)):
        expected = factor @ expected
    np.testing.assert_allclose(dense_unitary(trotter(H, t, 1, 2)), expected, atol=1e-12)


def test_commuting_terms_need_one_step():
    chain = Z(0) @ Z(1) + 0.5 * Z(1) @ Z(2) - Z(0)
    for order in (1, 2, 4):
        np.testing.assert_allclose(
            js.unitary(trotter(chain, 1.3, 1, order)),
            scipy.linalg.expm(-1.3j * chain.to_matrix(3)),
            atol=3e-6,
        )


@pytest.mark.parametrize(("order", "steps"), [(1, 3), (2, 3), (4, 2), (6, 1)])
def test_fractions_of_a_term_add_up_and_neighbours_differ(order, steps):
    index, fractions = product_formula(4, steps, order)
    np.testing.assert_allclose(np.bincount(index, fractions), 1.0, atol=1e-12)
    if order > 1:
        assert (index[1:] != index[:-1]).all()
        np.testing.assert_array_equal(index, index[::-1])
        np.testing.assert_allclose(fractions, fractions[::-1], atol=1e-15)
    if order == 2:
        assert len(index) == 2 * 3 * steps + 1


def test_time_as_parameter_as_expression_and_as_jax_value():
    named = trotter(H, Parameter("t"), 3).bind({"t": 0.4})
    doubled = trotter(H, 2 * Parameter("s"), 3).bind({"s": 0.2})
    plain = dense_unitary(trotter(H, 0.4, 3))
    for circuit in (named, doubled):
        np.testing.assert_allclose(dense_unitary(circuit), plain, atol=1e-12)
    np.testing.assert_allclose(js.statevector(named), plain[:, 0], atol=1e-6)

    def energy(t):
        return js.expectation(trotter(H, t, 3), Z(0))

    slope = jax.grad(energy)(jnp.float32(0.4))
    shifted = [float(energy(jnp.float32(0.4 + d))) for d in (-1e-2, 1e-2)]
    assert float(slope) == pytest.approx((shifted[1] - shifted[0]) / 2e-2, abs=2e-3)


def test_qdrift_on_average():
    """Averaged over draws the channel is that of H up to 2 lambda**2 t**2 / N (Campbell, 2019); the draws' own spread
    comes on top."""
    t, samples, draws = 0.4, 60, 120
    total = sum(abs(c) for c in H.coefficients) - 0.2
    state = scipy.linalg.expm(-1j * t * MATRIX)[:, 0]
    states = np.array([dense_unitary(qdrift(H, t, samples, seed=k))[:, 0] for k in range(draws)])
    mean = np.einsum("ka,kb->ab", states, states.conj()) / draws
    distance = np.abs(np.linalg.eigvalsh(mean - np.outer(state, state.conj()))).sum() / 2
    assert distance < 2 * (total * t) ** 2 / samples + 3 / np.sqrt(draws * samples)
    one = np.outer(states[0], states[0].conj())
    assert np.abs(np.linalg.eigvalsh(one - np.outer(state, state.conj()))).sum() / 2 > distance


def test_qdrift_draws():
    circuit = qdrift(H, 0.4, 50, seed=3)
    rotations = [i for i in circuit.instructions if i.gate == "pauli_rotation"]
    total = sum(abs(c) for c in H.coefficients) - 0.2
    assert len(rotations) == 50
    signs = {"ZZ": 1, "YX": -1, "X": 1, "Z": 1}
    angles = np.asarray(circuit.angles)
    for i in rotations:
        assert angles[i.slots[0]] == pytest.approx(signs[i.label] * 2 * total * 0.4 / 50)
    assert circuit == qdrift(H, 0.4, 50, seed=3)
    assert circuit != qdrift(H, 0.4, 50, seed=4)


# programs --------------------------------------------------------------------------------------------------------


def test_rabi_oscillation():
    times = np.linspace(0, 3, 20)
    programs = time_evolution(X(0), times, [Z(0), Y(0)], trotter_steps=1)
    found = programs.array(run(programs), "expectations")
    np.testing.assert_allclose(found[:, 0], np.cos(2 * times), atol=1e-5)
    np.testing.assert_allclose(found[:, 1], -np.sin(2 * times), atol=1e-5)


def test_a_dense_list_of_times_is_one_group():
    model = tfim(4, h=0.8)
    options = {"trotter_steps": 30, "order": 2}
    few = time_evolution(model, np.linspace(0, 1, 40), Z(0), **options)
    assert len(ProgramEnsemble(few).plan().groups) == 1
    assert run(few).stats.groups == 1
    many = time_evolution(model, np.linspace(0.01, 1.2, 500), Z(0), **options)
    with count_compilations() as compiled:
        result = run(many)
        # Other coefficients of the same words are data, too.
        other = run(time_evolution(tfim(4, h=0.3), np.linspace(0, 1, 40), Z(0), **options))
    assert compiled.count == 0
    matrix = model.to_matrix(4)
    for k in (0, 250, 499):
        t = list(many.axes["time"])[k]
        assert many.array(result)[k] == pytest.approx(exact(matrix, t, Z(0)), abs=2e-3)
    expected = exact(tfim(4, h=0.3).to_matrix(4), 1.0, Z(0))
    assert list(other.values())[-1].value == pytest.approx(expected, abs=2e-3)


def test_initial_states_and_several_observables():
    model, t = tfim(4, h=0.8), 0.7
    bell = js.Circuit(2).h(0).cx(0, 1)
    starts = {
        "bits": ("0110", np.eye(16)[0b0110]),
        "circuit": (bell, np.asarray(js.statevector(js.Circuit(4).compose(bell)))),
    }
    observables = [Z(3), X(0) @ X(1), Y(2)]
    options = {"trotter_steps": 40, "engine": "rotations"}
    result = run(
        {n: TimeEvolution(model, t, observables, initial_state=s, **options) for n, (s, _) in starts.items()}
    )
    for name, (_, state) in starts.items():
        expected = [exact(model.to_matrix(4), t, o, state) for o in observables]
        np.testing.assert_allclose(result[name].expectations, expected, atol=2e-3)
        assert result[name].value == pytest.approx(expected[0], abs=2e-3)
        assert result[name].steps == 0
        assert result[name].evaluations == 1


def test_amplitudes_as_the_initial_state():
    amplitudes = np.array([0.6, 0, 0, 0.8j])
    circuit = TimeEvolution(X(0), 1.0, Z(0), initial_state=amplitudes).circuit
    assert circuit.instructions[0].gate == "initialize"
    np.testing.assert_array_equal(circuit.operands[0], amplitudes)


@pytest.mark.slow
def test_draws_of_qdrift_share_calls_and_come_near():
    model, t = tfim(4, h=0.8), 0.5
    pattern = TimeEvolution(model, t, Z(0), method="qdrift", samples=120)
    programs = sweep(pattern, seed=range(40))
    result = run(programs)
    # Neighbours that commute are joined, so draws differ a little in length: rooms of one size, or of two.
    assert result.stats.groups <= 2
    values = programs.array(result)
    spread = values.std() / np.sqrt(len(values))
    assert 0 < spread < 0.05
    bias = 2 * (np.abs(model.coefficients).sum() * t) ** 2 / 120
    assert abs(values.mean() - exact(model.to_matrix(4), t, Z(0))) < bias + 3 * spread


def test_times_of_one_seed_share_the_draw():
    pattern = TimeEvolution(tfim(4), 0.5, Z(0), method="qdrift", samples=20, seed=9)
    moved = pattern.at(0.25)
    assert moved.circuit is pattern.circuit
    assert (moved.time, pattern.time) == (0.25, 0.5)
    assert "time 0.25, qdrift" in repr(moved)


def test_widths():
    assert TimeEvolution(X(0), 1.0, Z(0) @ Z(2)).circuit.num_wires == 3
    assert TimeEvolution(X(0), 1.0, Z(0), initial_state="0001").circuit.num_wires == 4
    assert len(TimeEvolution(3 * I(), 1.0, Z(0)).circuit.parameters) == 1


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: TimeEvolution("H", 1.0, Z(0)), TypeError, r"the hamiltonian is a PauliSum, but a str"),
        (
            lambda: TimeEvolution(X(0), 1.0, "Z"),
            TypeError,
            r"an observable is a PauliSum, but a str",
        ),
        (lambda: TimeEvolution(X(0), 1.0, []), TypeError, r"the observable is a PauliSum, or a list"),
        (lambda: TimeEvolution(X(0), [1.0, 2.0], Z(0)), TypeError, r"for many: time_evolution\."),
        (lambda: TimeEvolution(X(0), np.inf, Z(0)), ValueError, r"the time must be finite, but inf"),
        (
            lambda: TimeEvolution(X(0), 1.0, Z(0), method="magnus"),
            ValueError,
            r"choose one of 'trotter', 'qdrift'",
        ),
        (
            lambda: TimeEvolution(X(0), 1.0, Z(0), order=3),
            ValueError,
            r"order must be 1 or an even number, but 3",
        ),
        (
            lambda: TimeEvolution(X(0), 1.0, Z(0), trotter_steps=0),
            ValueError,
            r"steps is an integer, 1 or more",
        ),
        (
            lambda: TimeEvolution(X(0), 1.0, Z(0), method="qdrift", samples=1.5),
            TypeError,
            r"samples is an integer",
        ),
        (
            lambda: TimeEvolution(X(0), 1.0, Z(0), initial_state="0a"),
            ValueError,
            r"made of 0 and 1, but '0a'",
        ),
        (
            lambda: TimeEvolution(X(2), 1.0, Z(0), initial_state="01"),
            ValueError,
            r"has 2 qubits, but .* act on 3",
        ),
        (lambda: TimeEvolution(X(0), 1.0, Z(0), initial_state=[1, 1]), ValueError, r"norm"),
        (lambda: TimeEvolution(1j * X(0), 1.0, Z(0)), ValueError, r"real coefficients"),
        (lambda: time_evolution(X(0), [], Z(0)), ValueError, r"times must have shape \(times,\)"),
        (
            lambda: time_evolution(X(0), [1.0, 1.0], Z(0)),
            ValueError,
            r"two programs would be called 'time=1'",
        ),
        (lambda: time_evolution(X(0), [0.0, np.nan], Z(0)), ValueError, r"the time must be finite, but nan"),
        (lambda: qdrift(0 * X(0), 1.0, 5), ValueError, r"nothing to draw"),
        (lambda: trotter(Z(3), 1.0, num_wires=2), ValueError, r"acts on wire 3 but the circuit has 2 qubits"),
    ],
)
def test_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
