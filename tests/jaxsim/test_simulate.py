"""What one asks of a circuit, against Qiskit and dense NumPy."""

from __future__ import annotations

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from qiskit.quantum_info import DensityMatrix, Operator, Statevector, entropy, partial_trace

import jaxsim as js
from jaxsim import Circuit, I, Parameter, ParameterVector, PauliSum, X, Y, Z

TOLERANCE = {"complex64": 1e-6, "complex128": 1e-12}
both_precisions = pytest.mark.parametrize("dtype", TOLERANCE)


def precision(dtype: str) -> contextlib.AbstractContextManager:
    return jax.enable_x64(dtype == "complex128")


# 200 random circuits ----------------------------------------------------------------------------------------

SEEDS = range(25)  # of each size, 1 to 8 qubits


def arrays_of(seed: int) -> dict:
    """Gates given by arrays compile for each circuit anew, so few circuits have them."""
    return {5: {"arrays": 2}, 11: {"arrays": 2, "initialize": True}}.get(seed, {})


def state_of(random, seed: int, dtype: str) -> np.ndarray:
    """The state, with the angles handed over in the way that the seed says."""
    values = random.angles
    match seed:
        case 20 | 21:  # bound parameters, in expressions
            parameters = [Parameter(f"a{k:03}") for k in range(len(values))]
            circuit = random.circuit(lambda k, value: 2 * parameters[k] + 0.25)
            state = js.statevector(circuit.bind((values - 0.25) / 2), dtype=dtype)
        case 22:  # open parameters: all angles are combinations of five
            t = ParameterVector("t", 5)
            at = np.array([0.3, -1.1, 0.7, 2.1, -0.2])
            circuit = random.circuit(
                lambda k, value: value - at[k % 5] + 0.5 * at[k % 3] + t[k % 5] - 0.5 * t[k % 3]
            )
            state = js.compile(circuit, dtype=dtype)(at[: circuit.num_parameters])
        case 24:  # JAX values
            build = jax.jit(lambda theta: js.statevector(random.circuit(lambda k, _: theta[k]), dtype=dtype))
            state = build(jnp.asarray(values))
        case _:
            state = js.statevector(random.circuit(), dtype=dtype)
    return np.asarray(state)


@both_precisions
@pytest.mark.parametrize("num_wires", range(1, 9))
def test_random_circuits_are_qiskits(num_wires, dtype, random_circuit):
    worst = 0.0
    with precision(dtype):
        for seed in SEEDS:
            gates = 12 if seed == 24 else 45
            random = random_circuit(seed, num_wires, gates, **arrays_of(seed))
            state = state_of(random, seed, dtype)
            assert state.dtype == dtype
            worst = max(worst, abs(state - random.statevector()).max())
    assert worst <= TOLERANCE[dtype]


def test_new_circuits_compile_nothing(compilations, random_circuit):
    """Circuits share kernels by size: 40 more circuits compile only where their bucket of steps is a new one."""
    keys, circuits = set(), [random_circuit(seed, 4, 45).circuit() for seed in range(100, 140)]
    with compilations() as count:
        for circuit in circuits:
            js.statevector(circuit)
            keys.add(js.lower(circuit).key)
    assert count.total <= len(keys) <= 4
    with compilations() as count:
        for seed in range(200, 240):
            circuit = random_circuit(seed, 4, 45).circuit()
            if js.lower(circuit).key in keys:
                js.statevector(circuit)
    assert count.total == 0


def test_the_random_circuits_cover_the_table(random_circuit):
    seen = {
        gate.name
        for n in range(1, 9)
        for seed in SEEDS
        for gate in random_circuit(seed, n, 45, **arrays_of(seed)).gates
    }
    assert seen == set(js.GATES)


# states -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def example(random_circuit):
    """A circuit on 4 qubits, and its final state."""
    random = random_circuit(7, 4, 20)
    return random.circuit(), random.statevector()


def random_state(num_wires: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    state = rng.normal(size=2**num_wires) + 1j * rng.normal(size=2**num_wires)
    return state / np.linalg.norm(state)


def test_amplitudes_by_index_and_by_string(example):
    circuit, state = example
    ours = js.amplitudes(circuit, [3, "1000", np.int64(15)])
    np.testing.assert_allclose(ours, state[[3, 8, 15]], atol=1e-6)


def test_qubit_zero_is_the_rightmost_character():
    np.testing.assert_array_equal(js.statevector(Circuit(3).x(0)), np.eye(8)[1])
    np.testing.assert_array_equal(js.amplitudes(Circuit(3).x(0), ["001", "100"]), [1, 0])


@both_precisions
def test_unitary_has_the_global_phase(dtype, random_circuit):
    random = random_circuit(3, 3, 20, arrays=1)
    with precision(dtype):
        ours = js.unitary(random.circuit(), dtype=dtype)
        assert ours.dtype == dtype
        np.testing.assert_allclose(ours, Operator(random.qiskit()).data, atol=TOLERANCE[dtype])


def test_overlap_and_fidelity(example, random_circuit):
    circuit, state = example
    other = random_circuit(8, 4, 20)
    inner = np.vdot(other.statevector(), state)
    assert js.overlap(other.circuit(), circuit) == pytest.approx(inner, abs=1e-6)
    assert js.fidelity(other.circuit(), circuit) == pytest.approx(abs(inner) ** 2, abs=1e-6)
    assert js.overlap(circuit, other.circuit()) == pytest.approx(inner.conj(), abs=1e-6)


@both_precisions
def test_initial_state(dtype, random_circuit):
    random, start = random_circuit(3, 3, 20), random_state(3)
    truth = Operator(random.qiskit()).data @ start
    with precision(dtype):
        ours = js.statevector(random.circuit(), initial_state=start, dtype=dtype)
        np.testing.assert_allclose(ours, truth, atol=TOLERANCE[dtype])
        value = js.expectation(random.circuit(), Z(0) @ X(2), initial_state=jnp.asarray(start), dtype=dtype)
        expected = Statevector(truth).expectation_value(_qiskit_operator(Z(0) @ X(2), 3)).real
        assert value == pytest.approx(expected, abs=TOLERANCE[dtype])
        p = js.probabilities(random.circuit(), [2, 0], initial_state=start, dtype=dtype)
        np.testing.assert_allclose(p, Statevector(truth).probabilities([2, 0]), atol=TOLERANCE[dtype])


@pytest.mark.parametrize("wires", [(0,), (2,), (0, 1), (2, 0), (3, 1), (1, 3, 0), (3, 2, 1, 0)])
def test_initialize_on_some_wires(wires):
    """The other wires stay in |0>; wires[0] is the least significant bit."""
    part = random_state(len(wires), seed=len(wires))
    expected = np.zeros(16, complex)
    for local, amplitude in enumerate(part):
        expected[sum((local >> k & 1) << w for k, w in enumerate(wires))] = amplitude
    np.testing.assert_allclose(js.statevector(Circuit(4).initialize(part, wires)), expected, atol=1e-7)


def test_initialize_several_wires_after_gates_on_others():
    a, b = random_state(1, seed=1), random_state(2, seed=2)
    circuit = Circuit(4).h(1).initialize(a, 3).cx(1, 3).initialize(b, [2, 0])
    state = np.zeros(16, complex)
    for j in range(16):
        if not j & 2:
            state[j] = a[j >> 3] * b[(j >> 2 & 1) + 2 * (j & 1)]
    plain = Operator.from_circuit(_qiskit(lambda qc: (qc.h(1), qc.cx(1, 3)), 4)).data @ state
    np.testing.assert_allclose(js.statevector(circuit), plain, atol=1e-6)


def test_initialize_under_compile_and_with_traced_amplitudes():
    part = random_state(2)
    theta = Parameter("theta")
    f = js.compile(Circuit(3).initialize(part, [0, 2]).rx(theta, 1).cx(1, 2), Z(2) + X(0))
    expected = float(js.expectation(Circuit(3).initialize(part, [0, 2]).rx(0.3, 1).cx(1, 2), Z(2) + X(0)))
    assert f([0.3]) == pytest.approx(expected, abs=1e-6)
    traced = jax.jit(
        lambda a: js.expectation(Circuit(3).initialize(a, [0, 2]).rx(0.3, 1).cx(1, 2), Z(2) + X(0))
    )
    assert traced(part.astype(np.complex64)) == pytest.approx(expected, abs=1e-6)


def _qiskit(build, num_wires):
    from qiskit import QuantumCircuit

    qc = QuantumCircuit(num_wires)
    build(qc)
    return qc


def _qiskit_operator(operator: PauliSum, num_wires: int):
    from qiskit.quantum_info import SparsePauliOp

    return SparsePauliOp.from_list(operator.to_list(num_wires))


# expectation values -----------------------------------------------------------------------------------------

OBSERVABLES = {
    "diagonal": Z(0) @ Z(1) - 0.7 * Z(3),
    "identity": 0.3 * I() + Z(1),
    "only the identity": -2.5 * I(),
    "one Y": Y(2) + X(0),
    "odd and even numbers of Y": Y(0) @ X(1) + 0.4 * Y(1) @ Y(2) @ Y(3) + Y(0) @ Y(1) + Z(2),
    "duplicates": Z(0) + 0.5 * X(1) + Z(0) + 0.25 * X(1) - X(1) @ Z(2),
    "zero coefficients": 0.0 * X(0) + Z(1) + 0.0 * I(),
    "zero": 0.0 * I(),
    "many flips": sum(0.1 * (k + 1) * X(k % 4) @ Y((k + 1) % 4) for k in range(7))
    + X(0) @ X(1) @ X(2) @ X(3),
}


@pytest.mark.parametrize(
    ("path", "name"),
    [("tabulated", name) for name in OBSERVABLES]
    + [("term by term", name) for name in ("odd and even numbers of Y", "duplicates", "many flips")],
)
def test_expectation_and_variance(path, name, example, dense, monkeypatch):
    circuit, state = example
    operator = OBSERVABLES[name]
    if path == "term by term":
        monkeypatch.setattr("jaxsim.lowering.observable.TABLE_LIMIT", 0)
    assert js.lower(circuit, operator).observables[0].tabulated == (path == "tabulated")
    matrix = dense(operator, 4)
    mean = np.vdot(state, matrix @ state).real
    assert js.expectation(circuit, operator) == pytest.approx(mean, abs=3e-6)
    square = np.vdot(matrix @ state, matrix @ state).real
    assert js.variance(circuit, operator) == pytest.approx(square - mean**2, abs=2e-5)


def test_several_observables_in_one_pass(example, dense):
    circuit, state = example
    operators = [OBSERVABLES[k] for k in ("diagonal", "one Y", "many flips", "identity")]
    matrices = [dense(o, 4) for o in operators]
    means = [np.vdot(state, m @ state).real for m in matrices]
    np.testing.assert_allclose(js.expectation(circuit, operators), means, atol=3e-6)
    variances = [np.vdot(m @ state, m @ state).real - a**2 for m, a in zip(matrices, means)]
    np.testing.assert_allclose(js.variance(circuit, operators), variances, atol=2e-5)
    assert js.expectation(circuit, operators[:1]).shape == (1,)


def test_an_observable_as_an_argument_of_jit(example, dense, compilations):
    """Its masks are traced then, and other observables of as many terms compile nothing."""
    circuit, state = example
    f = jax.jit(lambda operator: js.expectation(circuit, operator))
    for name in ("odd and even numbers of Y", "many flips"):
        operator = OBSERVABLES[name][:4]
        expected = np.vdot(state, dense(operator, 4) @ state).real
        with compilations() as count:
            assert float(f(operator)) == pytest.approx(expected, abs=3e-6)
        assert count.total == (1 if name.startswith("odd") else 0)
    stacked = jax.tree.map(lambda *a: np.stack(a), OBSERVABLES["diagonal"], OBSERVABLES["identity"])
    both = jax.vmap(lambda operator: js.expectation(circuit, operator))(stacked)
    expected = [np.vdot(state, dense(OBSERVABLES[k], 4) @ state).real for k in ("diagonal", "identity")]
    np.testing.assert_allclose(both, expected, atol=3e-6)


def test_a_traced_term_on_a_wire_that_is_not_there_is_not_dropped():
    f = jax.jit(lambda operator: js.expectation(Circuit(2), operator))
    assert np.isnan(f(Z(0) + X(2)))
    assert f(Z(0) + X(1)) == 1


def test_circuits_are_arguments_like_others(example):
    """A circuit is a pytree: jit, vmap and grad take it."""
    circuit = Circuit(2).ry([0.1, 0.2], range(2)).cx(0, 1)
    energy = lambda c: js.expectation(c, Z(1))  # noqa: E731
    gradient = jax.jit(jax.grad(energy))(circuit)
    np.testing.assert_allclose(
        gradient.angles, [-np.sin(0.1) * np.cos(0.2), -np.cos(0.1) * np.sin(0.2)], atol=1e-6
    )
    stacked = jax.tree.map(lambda a: np.stack([a, a + 1]), circuit)
    expected = [np.cos(0.1) * np.cos(0.2), np.cos(1.1) * np.cos(1.2)]
    np.testing.assert_allclose(jax.vmap(energy)(stacked), expected, atol=1e-6)
    np.testing.assert_allclose(jax.jit(js.statevector)(example[0]), example[1], atol=1e-6)


@both_precisions
def test_dtype_of_the_result(dtype, example):
    circuit, _ = example
    real = {"complex64": "float32", "complex128": "float64"}[dtype]
    with precision(dtype):
        assert js.statevector(circuit, dtype=dtype).dtype == dtype
        assert js.expectation(circuit, Z(0), dtype=dtype).dtype == real
        assert js.probabilities(circuit, dtype=dtype).dtype == real


def test_complex64_is_the_default_also_where_x64_is_on(example):
    with jax.enable_x64(True):
        assert js.statevector(example[0]).dtype == np.complex64
        assert js.expectation(example[0], Y(1)).dtype == np.float32


def test_an_empty_circuit():
    np.testing.assert_array_equal(js.statevector(Circuit(2)), [1, 0, 0, 0])
    assert js.expectation(Circuit(2), Z(1)) == 1
    assert js.variance(Circuit(2), X(1)) == 1
    np.testing.assert_array_equal(js.unitary(Circuit(1)), np.eye(2))


# probabilities and subsystems -------------------------------------------------------------------------------


@pytest.mark.parametrize("wires", [None, [0], [3], [1, 2], [3, 0], [2, 0, 3, 1], 2, np.array([1, 0])])
def test_probabilities_and_their_order(wires, example):
    circuit, state = example
    chosen = range(4) if wires is None else np.atleast_1d(wires).tolist()
    expected = Statevector(state).probabilities(list(chosen))
    np.testing.assert_allclose(js.probabilities(circuit, wires), expected, atol=1e-6)


@both_precisions
@pytest.mark.parametrize("wires", [(0,), (3, 1), (1, 2, 0)])
def test_reduced_density_matrix_and_entropy(wires, dtype, example):
    circuit, state = example
    # partial_trace keeps the order of the register: permute it to that of `wires`.
    rest = [w for w in range(4) if w not in wires]
    order = [*wires, *rest]
    rho = partial_trace(DensityMatrix(_permuted(state, order)), list(range(len(wires), 4)))
    with precision(dtype):
        ours = js.reduced_density_matrix(circuit, wires, dtype=dtype)
        np.testing.assert_allclose(ours, rho.data, atol=TOLERANCE[dtype])
        bits = float(js.entropy(circuit, wires, dtype=dtype))
        assert bits == pytest.approx(entropy(rho, base=2), abs=2e-5 if dtype == "complex64" else 1e-11)
        nats = js.entropy(circuit, wires, base=np.e, dtype=dtype)
        assert nats == pytest.approx(bits * np.log(2), rel=1e-5)


def _permuted(state: np.ndarray, order: list[int]) -> np.ndarray:
    """The state with wire order[k] as wire k."""
    index = [sum((m >> k & 1) << w for k, w in enumerate(order)) for m in range(len(state))]
    return state[index]


def test_entropy_of_product_and_maximally_entangled_states():
    assert js.entropy(Circuit(3).h(0).ry(0.3, 1).cx(0, 2), [1]) == pytest.approx(0, abs=1e-5)
    assert js.entropy(Circuit(2).h(0).cx(0, 1), [1]) == pytest.approx(1, abs=1e-6)


def test_entropy_has_a_derivative():
    """cos(a/2)|00> + sin(a/2)|11> has entropy h(p), p = cos(a/2)**2; h' = log2((1-p)/p) p'."""
    a = 0.8
    p = np.cos(a / 2) ** 2
    slope = jax.jit(jax.grad(lambda t: js.entropy(Circuit(2).ry(t, 0).cx(0, 1), [0])))(a)
    assert slope == pytest.approx(np.log2((1 - p) / p) * -np.sin(a) / 2, abs=1e-5)
    assert np.isfinite(jax.jit(jax.grad(lambda t: js.entropy(Circuit(2).ry(t, 0), [0])))(a))


# errors -----------------------------------------------------------------------------------------------------

A = Parameter("alpha")
KEY = jax.random.key(0)

SENTENCES = {
    "unbound": (
        lambda: js.statevector(Circuit(1).rx(A, 0)),
        ValueError,
        r"statevector: the circuit has unbound parameters: alpha. Give them values with bind\(values\)",
    ),
    "unbound, many": (
        lambda: js.expectation(Circuit(8).rx(ParameterVector("t", 8), range(8)), Z(0)),
        ValueError,
        r"expectation: the circuit has unbound parameters: t\[0\], t\[1\], t\[2\], t\[3\], t\[4\], \.\.\.\.",
    ),
    "no circuit": (
        lambda: js.probabilities("H"), TypeError, "probabilities takes a Circuit, but a str was given"
    ),
    "no circuit to lower": (
        lambda: js.lower([1]), TypeError, "lower takes a Circuit, but a list was given"
    ),
    "wire": (
        lambda: js.probabilities(Circuit(2), [2]),
        ValueError,
        r"probabilities: wire 2 is out of range for a circuit of 2 qubits \(0 to 1\)",
    ),
    "negative wire": (lambda: js.sample(Circuit(2), KEY, 5, [-1]), ValueError, "sample: wire -1 is out of range"),
    "repeated wire": (
        lambda: js.reduced_density_matrix(Circuit(2), [0, 0]),
        ValueError,
        r"reduced_density_matrix: wires must name at least one qubit, each once, but \(0, 0\) was given",
    ),
    "no wire": (lambda: js.probabilities(Circuit(2), []), ValueError, "at least one qubit"),
    "fractional wire": (
        lambda: js.probabilities(Circuit(2), [0.5]), TypeError, "a wire is an integer, but 0.5 was given"
    ),
    "shots": (lambda: js.sample(Circuit(1), KEY, 0), ValueError, "sample: shots must be at least 1, but 0"),
    "fractional shots": (
        lambda: js.counts(Circuit(1), KEY, 1e3), TypeError, "shots is an integer, but 1000.0 was given"
    ),
    "key": (
        lambda: js.sample(Circuit(1), 7, 10), TypeError, r"sample draws with a key: give jax.random.key\(seed\)"
    ),
    "old key": (
        lambda: js.sample(Circuit(1), jax.random.PRNGKey(0), 10), TypeError, "sample draws with a key"
    ),
    "complex128": (
        lambda: js.statevector(Circuit(1), dtype=jnp.complex128),
        ValueError,
        "dtype complex128 needs JAX's 64-bit mode, which is off: call jax.config.update",
    ),
    "real dtype": (
        lambda: js.statevector(Circuit(1), dtype=jnp.float32),
        ValueError,
        "dtype must be complex64 or complex128, but float32 was given",
    ),
    "observable too wide": (
        lambda: js.expectation(Circuit(2), Z(2)),
        ValueError,
        r"The observable acts on wire 2 but the circuit has 2 qubits \(0 to 1\)",
    ),
    "complex coefficients": (
        lambda: js.expectation(Circuit(1), 1j * Z(0)), ValueError, "Expectation values need real coefficients"
    ),
    "no observable": (
        lambda: js.expectation(Circuit(1), "Z"), TypeError, "an observable is a PauliSum, but a str was given"
    ),
    "no observables": (
        lambda: js.expectation(Circuit(1), []), ValueError, "an empty list of observables was given"
    ),
    "engine": (
        lambda: js.statevector(Circuit(1), engine="fast"),
        ValueError,
        "engine must be one of .auto., .layered., .rotations., .fused., but 'fast' was given",
    ),
    "diff": (
        lambda: js.expectation(Circuit(1), Z(0), diff="shift"),
        ValueError,
        "diff must be 'adjoint' or 'backprop', but 'shift' was given",
    ),
    "initial state": (
        lambda: js.statevector(Circuit(2), initial_state=[1, 0]),
        ValueError,
        r"statevector: initial_state must have shape \(4,\) for 2 qubits, but has shape \(2,\)",
    ),
    "initial state with NaN": (
        lambda: js.statevector(Circuit(1), initial_state=[np.nan, 0]), ValueError, "must hold finite numbers"
    ),
    "initialize a wire twice": (
        lambda: Circuit(1).x(0).compose(Circuit(1).initialize([0.6, 0.8])),
        ValueError,
        "initialize: wire 0 has been acted on already; prepare a state before any gate on its wires",
    ),
    "outcome": (
        lambda: js.amplitudes(Circuit(2), ["012"]), ValueError, "a string of 2 characters 0 and 1, but '012'"
    ),
    "outcome index": (
        lambda: js.amplitudes(Circuit(2), [4]), ValueError, r"index 4 is out of range for 2 qubits \(0 to 3\)"
    ),
    "one outcome": (
        lambda: js.amplitudes(Circuit(2), "01"), TypeError, r"takes a list of outcomes, such as \['01'\]"
    ),
    "counts under jit": (
        lambda: jax.jit(lambda key: js.counts(Circuit(1), key, 3))(KEY),
        TypeError,
        "counts gives a Python dictionary, which jit, vmap and grad do not take; use sample there",
    ),
    "unitary too large": (lambda: js.unitary(Circuit(14)), ValueError, "the matrix of 14 qubits is too large"),
    "unitary of a preparation": (
        lambda: js.unitary(Circuit(1).initialize([0.6, 0.8])), ValueError, "prepares a state with initialize"
    ),
    "overlap": (
        lambda: js.overlap(Circuit(1), Circuit(2)), ValueError, "the circuits have 1 and 2 qubits"
    ),
    "entropy base": (lambda: js.entropy(Circuit(1), [0], base=1), ValueError, "base must be greater than 1"),
    "overlap of no circuit": (
        lambda: js.overlap(Circuit(1), "0"), TypeError, "overlap takes a Circuit, but a str was given"
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", SENTENCES)
def test_errors_say_what_to_do(what):
    call, error, sentence = SENTENCES[what]
    with pytest.raises(error, match=sentence):
        call()
