from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector

import jaxsim as js
from jaxsim import ansatz, fisher
from jaxsim.fisher import fisher_information, parameter_layers, row_fisher, row_fisher_diagonal

ENGINES = ("layered", "rotations", "fused")


class Random:
    """A random circuit, ours and Qiskit's: rotations of one and two qubits whose angles are scaled parameters, some of
    them shared, among Clifford gates."""

    def __init__(self, seed: int, shared: bool) -> None:
        generator = np.random.default_rng(seed)
        self.num_wires = n = int(generator.integers(2, 5))
        self.count = int(generator.integers(3, 7))
        gates = 2 * self.count if shared else self.count
        self.rotations = []  # (name, wires, parameter, scale)
        for k in range(gates):
            name = str(generator.choice(["rx", "ry", "rz", "rxx", "rzz"]))
            wires = [int(w) for w in generator.permutation(n)[: 2 if len(name) == 3 else 1]]
            scale = float(generator.choice([1.0, 0.5, -2.0])) if shared else 1.0
            self.rotations.append((name, wires, k % self.count, scale))
        self.between = [
            (str(generator.choice(["cx", "cz", "swap"])), [int(w) for w in generator.permutation(n)[:2]])
            for _ in range(gates)
        ]
        self.values = generator.uniform(-np.pi, np.pi, self.count)

    def ours(self) -> js.Circuit:
        theta = js.ParameterVector("theta", self.count)
        circuit = js.Circuit(self.num_wires).h(range(self.num_wires))
        for (name, wires, k, scale), (pair, places) in zip(self.rotations, self.between):
            getattr(circuit, name)(scale * theta[k], *wires)
            getattr(circuit, pair)(*places)
        return circuit

    def state(self, shifted: int | None = None) -> np.ndarray:
        """Qiskit's state, with pi added to the angle of one rotation: twice the derivative by that angle."""
        circuit = QuantumCircuit(self.num_wires)
        circuit.h(range(self.num_wires))
        for k, ((name, wires, p, scale), (pair, places)) in enumerate(zip(self.rotations, self.between)):
            getattr(circuit, name)(scale * self.values[p] + (np.pi if k == shifted else 0), *wires)
            getattr(circuit, pair)(*places)
        return Statevector(circuit).data

    def expected(self) -> np.ndarray:
        psi = self.state()
        derivatives = np.zeros((self.count, len(psi)), complex)
        for k, (_, _, p, scale) in enumerate(self.rotations):
            derivatives[p] += scale * self.state(k) / 2
        along = derivatives.conj() @ psi
        return 4 * (derivatives.conj() @ derivatives.T - np.outer(along, along.conj())).real


# Structure is compiled in with the fused engine, so each of its circuits takes seconds.
@pytest.mark.parametrize(
    "seed", [pytest.param(s, marks=[pytest.mark.slow] if s % 3 == 2 and s > 2 else []) for s in range(20)]
)
def test_equals_qiskit(seed):
    random = Random(seed, shared=seed % 2 == 1)
    found = fisher_information(random.ours(), random.values, engine=ENGINES[seed % 3])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, random.expected(), atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_double_precision_and_approximations(engine):
    random = Random(100, shared=True)
    with jax.enable_x64(True):
        options = {"engine": engine, "dtype": np.complex128}
        full = np.asarray(fisher_information(random.ours(), random.values, **options))
        diagonal = np.asarray(
            fisher_information(random.ours(), random.values, approximation="diagonal", **options)
        )
    np.testing.assert_allclose(full, random.expected(), atol=1e-12)
    np.testing.assert_allclose(diagonal, np.diag(np.diag(random.expected())), atol=1e-12)
    assert (full == full.T).all()


def test_closed_forms():
    theta = js.ParameterVector("t", 3)
    # Rotations of qubits of their own: 1 - <P>^2 each; |0> does not move under RZ.
    product = js.Circuit(3).rx(theta[0], 0).ry(theta[1], 1).rz(theta[2], 2)
    np.testing.assert_allclose(fisher_information(product, [0.3, 0.2, 0.1]), np.diag([1, 1, 0]), atol=1e-6)
    # Of exp(-i a C) it is four times the variance of C.
    a = js.Parameter("a")
    costs = np.random.default_rng(0).normal(size=8)
    found = fisher_information(js.Circuit(3).h(range(3)).evolve_diagonal(a, costs, range(3)), [0.7])
    np.testing.assert_allclose(found, [[4 * costs.var()]], rtol=1e-5)
    # RX(a) moves a state by a, and exp(-i b ZZ / 2) after it by sin(a) b.
    b = js.Parameter("b")
    bell = js.Circuit(2).rx(a, 0).rzz(b, 0, 1)
    np.testing.assert_allclose(
        fisher_information(bell, [0.4, 1.1]), np.diag([1, np.sin(0.4) ** 2]), atol=1e-6
    )


def test_expressions_that_are_not_affine():
    a = js.Parameter("a")
    found = fisher_information(js.Circuit(1).rx(a.sin(), 0), {"a": 0.6})
    np.testing.assert_allclose(found, [[np.cos(0.6) ** 2]], atol=1e-6)


def test_angles_of_a_circuit_without_parameters():
    circuit = js.Circuit(2).ry(0.3, 0).rz(0.4, 0).cx(0, 1).rx(0.5, 1)
    t = js.ParameterVector("t", 3)
    named = js.Circuit(2).ry(t[0], 0).rz(t[1], 0).cx(0, 1).rx(t[2], 1)
    expected = fisher_information(named, [0.3, 0.4, 0.5])
    np.testing.assert_allclose(fisher_information(circuit), expected, atol=1e-6)

    def direct(angle):
        return fisher_information(js.Circuit(2).ry(angle, 0).rz(0.4, 0))[1, 1]

    np.testing.assert_allclose(jax.jit(direct)(0.3), np.sin(0.3) ** 2, atol=1e-6)
    np.testing.assert_allclose(jax.grad(direct)(0.3), np.sin(0.6), atol=1e-5)


@pytest.mark.parametrize("engine", [*ENGINES[:2], pytest.param("fused", marks=pytest.mark.slow)])
def test_columns_by_reverse_passes(engine, monkeypatch):
    random = Random(101, shared=True)
    row = js.lower(random.ours(), engine=engine)
    values = random.values.astype(np.float32)
    monkeypatch.setattr(fisher, "STORED_BYTES", 0)
    np.testing.assert_allclose(jax.jit(row_fisher)(row, values), random.expected(), atol=1e-5)


def test_layers():
    t = js.ParameterVector("t", 6)
    circuit = js.Circuit(3).ry(t[0], 0).ry(t[1], 1).cx(1, 2).rz(t[2], 2).rz(t[3], 0).ry(t[0], 1).rx(t[4], 0)
    circuit.u(t[5], 0.1, t[5], 1)
    # rz on 2 follows ry on 1 through the CX; rz on 0 joins it.
    assert parameter_layers(circuit).tolist() == [0, 0, 1, 1, 2, 2]
    values = np.random.default_rng(0).normal(size=6)
    full = np.asarray(fisher_information(circuit, values))
    blocks = np.asarray(fisher_information(circuit, values, approximation="block_diagonal"))
    layers = np.array([0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(blocks, np.where(layers[:, None] == layers, full, 0))
    assert parameter_layers(ansatz.hardware_efficient(3, 1)).max() > 0


@pytest.mark.parametrize(
    "circuit",
    [
        pytest.param(ansatz.hardware_efficient(3, 2), id="layered"),
        pytest.param(ansatz.uccsd(4, 2), id="rotations", marks=pytest.mark.slow),
        pytest.param(ansatz.hardware_efficient(7, 1), id="seven qubits", marks=pytest.mark.slow),
    ],
)
def test_bits_do_not_depend_on_company(circuit):
    row = js.lower(circuit, js.Z(0))
    size = js.rows_per_block(row)
    values = np.random.default_rng(0).normal(size=(size, len(circuit.parameters))).astype(np.float32)
    block = jax.jit(jax.vmap(row_fisher), compiler_options=js.compiler_options())
    whole = np.asarray(block(js.stack([row] * size), values))
    assert np.ptp(whole, axis=0).max() > 0.01
    for places in ([0], [5], [3, 1]):
        part = np.asarray(block(js.stack([row] * len(places)), values[places]))
        assert part.tobytes() == whole[places].tobytes()


def test_rows_of_different_length_and_room():
    deep, short = ansatz.hardware_efficient(3, 2), ansatz.hardware_efficient(3, 1)
    rows = [js.lower(c, js.Z(0), engine="layered") for c in (deep, short)]
    if rows[0].key != rows[1].key:
        pytest.skip("the two do not share a kernel")
    room = max(row.room for row in rows)
    values = np.random.default_rng(0).normal(size=(2, room)).astype(np.float32)
    for k, circuit in enumerate((deep, short)):
        values[k, len(circuit.parameters) :] = 0
    together = np.asarray(jax.jit(jax.vmap(row_fisher))(js.stack(rows), values))
    diagonals = np.asarray(jax.jit(jax.vmap(row_fisher_diagonal))(js.stack(rows), values))
    for k, circuit in enumerate((deep, short)):
        count = len(circuit.parameters)
        alone = fisher_information(circuit, values[k, :count], engine="layered")
        np.testing.assert_allclose(together[k, :count, :count], alone, atol=1e-6)
        assert not together[k, count:].any() and not together[k, :, count:].any()
        np.testing.assert_allclose(diagonals[k], np.diag(together[k]), atol=1e-6)


def test_inside_transformations():
    t = js.ParameterVector("t", 2)
    circuit = js.Circuit(1).ry(t[0], 0).rz(t[1], 0)

    def trace(values):
        return jnp.trace(fisher_information(circuit, values))  # 1 + sin(t0)^2

    values = jnp.array([[0.3, 0.1], [0.9, 0.2]])
    found, slopes = jax.jit(jax.vmap(jax.value_and_grad(trace)))(values)
    np.testing.assert_allclose(found, 1 + np.sin([0.3, 0.9]) ** 2, atol=1e-6)
    np.testing.assert_allclose(slopes, [[np.sin(0.6), 0], [np.sin(1.8), 0]], atol=1e-5)


def test_bad_input():
    a = js.Parameter("a")
    with pytest.raises(TypeError, match="fisher_information takes a Circuit, but a int was given"):
        fisher_information(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must be one of 'full', 'block_diagonal', 'diagonal', but 'half'"):
        fisher_information(js.Circuit(1).rx(a, 0), [0.1], approximation="half")
    with pytest.raises(ValueError, match="no parameters and no angles"):
        fisher_information(js.Circuit(1).h(0))
    with pytest.raises(ValueError, match="give values for the circuit's 1 parameters"):
        fisher_information(js.Circuit(1).rx(a, 0))
    with pytest.raises(ValueError, match="values must have shape"):
        fisher_information(js.Circuit(1).rx(a, 0), [0.1, 0.2])
    with pytest.raises(ValueError, match="values were given, but the circuit has no open parameters"):
        fisher_information(js.Circuit(1).rx(0.1, 0), [0.1])
    with pytest.raises(ValueError, match="goes on after a measurement"):
        fisher_information(js.Circuit(1).rx(a, 0).measure(0).rx(a, 0), [0.1])
