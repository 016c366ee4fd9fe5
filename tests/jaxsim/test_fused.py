"""The fused engine by itself: states against Qiskit, gradients against differences, loops, memory."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector

from jaxsim import Circuit, Parameter, X, Y, Z, block_kernels, compile
from jaxsim.engines import fused
from jaxsim.engines.energy import energies
from jaxsim.gates import GATES
from jaxsim.lowering.angles import parameter_room
from jaxsim.lowering.fuse import Lowering, Phase, lower_fused
from jaxsim.lowering.observable import lower_observable
from jaxsim.lowering.roll import Repeat, roll


@pytest.fixture(autouse=True)
def double_precision() -> Any:
    with jax.enable_x64(True):
        yield


def lowered(circuit: Circuit, *, traced: bool = False, keep_phase: bool = True) -> Lowering:
    angles = None if traced else np.asarray(circuit.angles, np.float64)
    return lower_fused(circuit.structure, angles, circuit.operands, keep_phase=keep_phase)


def cast(low: Lowering, dtype: Any = np.complex128) -> fused.Data:
    real = np.zeros(0, dtype).real.dtype
    return jax.tree.map(lambda a: a.astype(real) if a.dtype.kind == "f" else a, low.data)


def state_of(low: Lowering, values: Any, operands: tuple, dtype: Any = np.complex128) -> jax.Array:
    real = np.zeros(0, dtype).real.dtype
    operands = tuple(jnp.asarray(o, dtype if np.iscomplexobj(o) else real) for o in operands)
    start = fused.initial_state(low.program, operands, dtype)
    return jax.jit(fused.run, static_argnums=0)(
        low.program, cast(low, dtype), jnp.asarray(values, real), operands, start
    )


def gradient_of(
    low: Lowering, values: Any, operands: tuple, observables: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple]:
    """Energies of dense observables, derivatives by values, cotangents of operands."""
    operands = tuple(map(jnp.asarray, operands))
    start = fused.initial_state(low.program, operands, np.complex128)

    @jax.jit
    def whole(values: jax.Array, operands: tuple) -> Any:
        final = fused.run(low.program, low.data, values, operands, start)
        images = jnp.einsum("kij,j->ki", observables, final)
        stack = jnp.concatenate([final[None], 2 * images])
        before, by_value, by_operand = fused.reverse(low.program, low.data, values, operands, stack)
        return jnp.einsum("i,ki->k", final.conj(), images).real, by_value, by_operand, before[0]

    energies, by_value, by_operand, before = whole(jnp.asarray(values), operands)
    assert np.abs(before - start).max() < 1e-11
    return np.asarray(energies), np.asarray(by_value), by_operand


def random_observables(num_wires: int, count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    m = rng.normal(size=(count, 2**num_wires, 2**num_wires, 2)) @ np.array([1, 1j])
    return (m + m.conj().swapaxes(1, 2)) / 2 ** (num_wires / 2)


@pytest.mark.parametrize(
    "name", [g for g in GATES if g not in ("unitary", "diagonal", "evolve_diagonal", "initialize")]
)
@pytest.mark.parametrize("num_wires", [12])
def test_every_gate(random_circuit: Any, name: str, num_wires: int) -> None:
    random = random_circuit(5, num_wires, 6, names=(name, "ry", "h"))
    circuit = random.circuit()
    state = state_of(lowered(circuit), np.zeros(1), circuit.operands)
    assert np.abs(state - random.statevector()).max() < 1e-12


SIZES = [(n, s) for n in (1, 2, 3) for s in (0, 2)]
LARGER = [pytest.param(n, s, marks=pytest.mark.slow) for n in (6, 7, 9, 12) for s in (0, 2)]


@pytest.mark.parametrize(("num_wires", "seed"), SIZES + LARGER)
def test_random_circuits(random_circuit: Any, num_wires: int, seed: int) -> None:
    random = random_circuit(seed, num_wires, 40, arrays=3, initialize=seed == 2)
    circuit = random.circuit()
    expected = random.statevector()
    state = state_of(lowered(circuit), np.zeros(1), circuit.operands)
    assert np.abs(state - expected).max() < 1e-12
    single = state_of(lowered(circuit), np.zeros(1), circuit.operands, np.complex64)
    assert np.abs(single - expected).max() < 1e-5
    bound = np.concatenate([np.asarray(circuit.angles), np.zeros(1)])
    state = state_of(lowered(circuit, traced=True), bound, circuit.operands)
    assert np.abs(state - expected).max() < 1e-12


@pytest.mark.parametrize(
    ("num_wires", "seed"),
    [(2, 0), (5, 1), *(pytest.param(n, s, marks=pytest.mark.slow) for n, s in ((7, 2), (8, 3)))],
)
def test_gradients(random_circuit: Any, num_wires: int, seed: int) -> None:
    random = random_circuit(seed, num_wires, 25, arrays=3)
    circuit = random.circuit(lambda k, value: 0.5 * Parameter(f"p{k:03d}") + 0.1)
    observables = random_observables(num_wires, 2)
    low = lowered(circuit)
    values = 2 * (random.angles - 0.1)

    def energies(values: np.ndarray) -> np.ndarray:
        state = random.with_angles(0.5 * values + 0.1).statevector()
        return np.einsum("i,kij,j->k", state.conj(), observables, state).real

    found, by_value, _ = gradient_of(low, values, circuit.operands, observables)
    assert np.abs(found - energies(values)).max() < 1e-10
    step = 1e-4
    for k in range(len(values)):
        shift = np.eye(len(values))[k] * step
        expected = (energies(values + shift) - energies(values - shift)) / (2 * step)
        assert np.abs(by_value[:, k] - expected).max() < 1e-6


@pytest.mark.parametrize("controls", [(), (1,)])
def test_operand_cotangents(controls: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    unitary = np.linalg.qr(rng.normal(size=(4, 4)) + 1j * rng.normal(size=(4, 4)))[0]
    phases, energies = np.exp(1j * rng.normal(size=4)), rng.normal(size=8)
    circuit = Circuit(4)
    for wire in range(4):
        circuit = circuit.ry(0.3 + wire, wire)
    circuit = circuit.unitary(unitary, (3, 0), controls=controls)
    circuit = circuit.diagonal(phases, (2, 0), controls=controls)
    circuit = circuit.evolve_diagonal(0.7, energies, (3, 0, 2), controls=controls)
    for wire in range(4):
        circuit = circuit.rx(0.2, wire)
    observables = random_observables(4, 1)
    low = lowered(circuit)

    def energy(operands: tuple) -> jax.Array:
        start = fused.initial_state(low.program, operands, np.complex128)
        state = fused.run(low.program, low.data, jnp.zeros(1), operands, start)
        return jnp.einsum("i,ij,j->", state.conj(), observables[0], state).real

    operands = tuple(map(jnp.asarray, circuit.operands))
    expected = jax.grad(energy)(operands)
    _, _, by_operand = gradient_of(low, np.zeros(1), operands, observables)
    for found, wanted in zip(by_operand, expected, strict=True):
        assert np.abs(found[0] - wanted).max() < 1e-12


def layered(num_wires: int, layers: int, *, last: bool = True) -> Circuit:
    """Hadamard gates, then layers of RY, RZ and a CX ring, then RX."""
    circuit = Circuit(num_wires)
    for wire in range(num_wires):
        circuit = circuit.h(wire)
    k = 0
    for _ in range(layers):
        for gate in (circuit.ry, circuit.rz):
            for wire in range(num_wires):
                gate(Parameter(f"a{k:05d}"), wire)
                k += 1
        for wire in range(num_wires):
            circuit = circuit.cx(wire, (wire + 1) % num_wires)
    for wire in range(num_wires if last else 0):
        circuit = circuit.rx(Parameter(f"b{wire:03d}"), wire)
    return circuit


def size_of(items: tuple) -> int:
    return sum(size_of(i.items) if isinstance(i, Repeat) else 1 for i in items)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("num_wires", [8, 14, 20])
def test_layers_are_rolled(num_wires: int, last: bool) -> None:
    shallow = lowered(layered(num_wires, 4, last=last))
    deep = lowered(layered(num_wires, 64, last=last))
    assert size_of(deep.program.items) == size_of(shallow.program.items) < shallow.used
    assert sum(isinstance(i, Repeat) for i in deep.program.items) == 1


def test_roll() -> None:
    assert roll(tuple("habababc")) == ("h", Repeat(3, ("a", "b")), "c")
    assert roll(tuple("aabaab")) == (Repeat(2, ("a", "a", "b")),)
    assert roll(()) == ()


def test_rolled_layers_agree_with_qiskit() -> None:
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import Statevector

    n, layers = 7, 5
    circuit = layered(n, layers)
    values = np.random.default_rng(0).normal(size=len(circuit.parameters))
    qc = QuantumCircuit(n)
    qc.h(range(n))
    k = 0
    for _ in range(layers):
        for gate in (qc.ry, qc.rz):
            for wire in range(n):
                gate(values[k], wire)
                k += 1
        for wire in range(n):
            qc.cx(wire, (wire + 1) % n)
    for wire in range(n):
        qc.rx(values[k + wire], wire)
    state = state_of(lowered(circuit), values, ())
    assert np.abs(state - np.asarray(Statevector(qc).data)).max() < 1e-12


def test_numbers_do_not_change_what_is_compiled() -> None:
    def circuit(a: float, b: float) -> Circuit:
        return Circuit(8).rx(a, 0).ry(b, 1).rz(a, 1).crx(b, 0, 7).u(a, b, a, 3).rzz(b, 2, 6).cp(a, 0, 5)

    assert lowered(circuit(0.1, 0.2)).program == lowered(circuit(0.0, np.pi)).program


def test_one_phase_for_many_diagonal_gates() -> None:
    circuit = Circuit(12)
    for wire in range(12):
        circuit = circuit.rz(0.1, wire).rzz(0.2, wire, (wire + 5) % 12).cp(0.3, wire, (wire + 1) % 12)
    items = lowered(circuit).program.items
    assert len(items) == 1
    assert isinstance(items[0], Phase)


def test_mixer_phases_cancel_between_layers() -> None:
    circuit = Circuit(10)
    energies = np.arange(2**10, dtype=float)
    for layer in range(4):
        circuit = circuit.evolve_diagonal(0.1 * layer, energies, range(10))
        for wire in range(10):
            circuit = circuit.rx(0.2, wire)
    items = lowered(circuit).program.items
    assert size_of(items) < 12


def energy_of(circuit: Circuit, observable: Any, dtype: Any = np.complex128) -> Any:
    """The energy with the reversible rule, as a function of the values."""
    low = lowered(circuit, keep_phase=False)
    real = np.zeros(0, dtype).real.dtype
    data = jax.tree.map(jnp.asarray, cast(low, dtype))
    observables = (jax.tree.map(jnp.asarray, lower_observable(observable, circuit.num_wires, real)),)

    def energy(values: jax.Array) -> jax.Array:
        start = fused.initial_state(low.program, (), dtype)
        return energies(low.program, data, values, (), start, observables)[0]

    return energy


@pytest.mark.slow
def test_every_nesting_of_derivatives() -> None:
    n = 7
    circuit = Circuit(n)
    parameters = [Parameter(f"p{k}") for k in range(4)]
    for _ in range(1):
        circuit.rx(parameters[0], 0).ry(parameters[1], 5).cx(0, 5).rzz(parameters[2], 1, 6).h(1).cx(1, 2)
        circuit.crx(parameters[3], 2, 3).ryy(parameters[0], 3, 4).rz(parameters[1], 4)
    observable = Z(0) @ X(4) + Y(3) - 0.5 * X(1) @ Z(6)
    whole, room = energy_of(circuit, observable), parameter_room(circuit.structure)

    def energy(values: jax.Array) -> jax.Array:
        return whole(jnp.pad(values, (0, room - len(parameters))))

    at = jnp.array([0.3, -1.2, 0.8, 2.1])
    step = 1e-5
    gradient = jax.jit(jax.grad(energy))
    expected = [(energy(at + step * e) - energy(at - step * e)) / (2 * step) for e in jnp.eye(4)]
    np.testing.assert_allclose(gradient(at), expected, atol=1e-8)
    np.testing.assert_allclose(jax.jvp(energy, (at,), (jnp.ones(4),))[1], sum(expected), atol=1e-8)
    second = jnp.stack([(gradient(at + step * e) - gradient(at - step * e)) / (2 * step) for e in jnp.eye(4)])
    for hessian in (
        jax.jacfwd(jax.grad(energy)),
        jax.jacrev(jax.grad(energy)),
        jax.jacrev(jax.jacfwd(energy)),
    ):
        np.testing.assert_allclose(jax.jit(hessian)(at), second, atol=1e-7)
    many = jnp.stack([at, at + 0.1, -at])
    np.testing.assert_allclose(
        jax.jit(jax.vmap(jax.grad(energy)))(many), [gradient(row) for row in many], atol=1e-12
    )


@pytest.mark.slow
def test_memory_does_not_grow_with_depth() -> None:
    n, states = 20, []
    for layers in (4, 24):
        circuit = layered(n, layers)
        energy = energy_of(circuit, sum((Z(q) for q in range(1, n)), start=1.0 * Z(0)), np.complex64)
        values = jnp.zeros(parameter_room(circuit.structure), np.float32)
        memory = jax.jit(jax.value_and_grad(energy)).lower(values).compile().memory_analysis()
        states.append(memory.temp_size_in_bytes / (8 * 2**n))
    assert states[1] < 1.1 * states[0]
    assert states[0] < 8.5


@pytest.mark.slow
def test_parts_of_the_state_agree_with_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = layered(14, 3)
    values = np.random.default_rng(1).normal(size=len(circuit.parameters))
    low = lowered(circuit)
    start = fused.initial_state(low.program, (), np.complex128)
    found = []
    for bits in (12, 20):
        monkeypatch.setattr(block_kernels, "PART_BITS", bits)
        monkeypatch.setattr(block_kernels, "WHOLE_BITS", bits)

        def both(values: jax.Array) -> tuple[jax.Array, jax.Array]:
            final = fused.run(low.program, low.data, values, (), start)
            stack = jnp.stack([final, final[::-1]])
            return final, fused.reverse(low.program, low.data, values, (), stack)[1]

        found.append(jax.jit(both)(jnp.asarray(values)))
    np.testing.assert_allclose(found[0][0], found[1][0], atol=1e-13)
    np.testing.assert_allclose(found[0][1], found[1][1], atol=1e-12)


@pytest.mark.parametrize("seed", range(2))
def test_gates_at_the_end_that_relabel_basis_states_go_into_the_observable(seed: int) -> None:
    """The energy and its gradient are those of the state that Qiskit makes of the whole circuit."""
    rng, n = np.random.default_rng(seed), 4
    theta = [Parameter(f"t{k}") for k in range(n)]
    gates: list[tuple[str, Any, tuple[int, ...]]] = [("h", (), (q,)) for q in range(n)]
    gates += [("rx", theta[q], (q,)) for q in range(n)] + [("rzz", 0.3, (0, 2))]
    rotations = len(gates)
    for _ in range(12):
        name = ("cx", "swap", "x", "y", "z")[rng.integers(5)]
        wires = tuple(rng.permutation(n)[: 2 if name in ("cx", "swap") else 1].tolist())
        gates.append((name, (), wires))
    whole, first = Circuit(n), Circuit(n)
    for k, gate in enumerate(gates):
        whole.append(*gate)
        if k < rotations:
            first.append(*gate)
    observable = 0.3 * X(0) @ Y(2) + 0.7 * Z(1) @ Z(3) - 0.2 * X(1) @ X(3) + 1.1 * Z(0) + 0.4 * Y(1)
    matrix = observable.to_matrix(n)

    low = lower_fused(whole.structure, whole.angles, (), keep_phase=False, absorb=True)
    assert low.program == lowered(first, keep_phase=False).program
    assert low.frame is not None

    def truth(values: np.ndarray) -> float:
        circuit = QuantumCircuit(n)
        for name, angle, wires in gates:
            angles = () if angle == () else (values[wires[0]] if name == "rx" else angle,)
            getattr(circuit, name)(*angles, *wires)
        state = Statevector(circuit).data
        return float(np.real(state.conj() @ matrix @ state))

    values = rng.normal(size=n)
    energy = compile(whole, observable, engine="fused", dtype=np.complex128)
    value, gradient = energy.value_and_grad(values)
    np.testing.assert_allclose(value, truth(values), atol=1e-12)
    steps = 1e-5 * np.eye(n)
    differences = [(truth(values + step) - truth(values - step)) / 2e-5 for step in steps]
    np.testing.assert_allclose(gradient, differences, atol=1e-8)
