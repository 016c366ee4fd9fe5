"""Circuits that run once: their steps against Qiskit, bits that do not depend on company, compilations."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from jaxsim import Circuit, Parameter, Simulator
from jaxsim.direct import STEPS, DirectKernel
from jaxsim.gates import GATES
from jaxsim.lowering.direct import is_direct, lower_direct

N = 7


@pytest.fixture(scope="module")
def drawn(random_circuit):
    """Random circuits of the whole table: without gates, with one, around the steps of a call, of several calls."""
    sizes = [0, 1, 2, *range(20, 70, 3), 150, 200]
    return [random_circuit(k, N, size) for k, size in enumerate(sizes)]


def states_of(circuits: list[Circuit], dtype: str) -> np.ndarray:
    found = np.full((len(circuits), 2**N), np.nan, dtype)
    for rows, states in DirectKernel(N, np.dtype(dtype)).run(circuits):
        found[rows] = states
    return found


# what the states are --------------------------------------------------------------------------------------


def test_random_circuits_agree_with_qiskit_global_phase_included(drawn):
    circuits = [c.circuit() for c in drawn]
    with jax.enable_x64(True):
        found = states_of(circuits, "complex128")
    for own, state in zip(drawn, found):
        np.testing.assert_allclose(state, own.statevector(), atol=1e-12)
    np.testing.assert_allclose(states_of(circuits, "complex64"), found, atol=3e-6)


@pytest.mark.parametrize("extra", [0, 1, 2])
def test_every_gate_of_the_table(random_circuit, extra):
    """One by one, between rotations that make all amplitudes different."""
    names = [n for n, row in GATES.items() if not row.operand and (n != "global_phase" or not extra)]
    around = ("rx", "ry", "rz")
    drawn = []
    for k, name in enumerate(names):
        own = random_circuit(k, N, 12, names=around, extra_controls=False)
        gate = next(
            g for s in range(99) for g in random_circuit(s, 5, 1, names=(name,), extra_controls=False).gates
        )
        wires = (*range(5, 5 + extra), *gate.wires)
        if extra and name in ("mcx", "mcp", "pauli_rotation"):
            continue
        own.gates.insert(6, gate._replace(controls=extra, wires=wires))
        drawn.append(own)
    with jax.enable_x64(True):
        found = states_of([c.circuit() for c in drawn], "complex128")
    for own, state in zip(drawn, found):
        np.testing.assert_allclose(state, own.statevector(), atol=1e-12, err_msg=str(own.gates[6]))


def test_instructions_that_were_made_elsewhere():
    """Composed and inverted circuits have instructions of their own, with slots in other places."""
    piece = Circuit(3).u(0.3, 0.4, 0.5, 0).crx(0.7, 0, 2).rzz(0.9, 1, 2)
    circuit = Circuit(4).ry(0.2, 3).compose(piece, [3, 1, 0]).compose(piece.inverse(), [3, 1, 0]).ry(0.3, 3)
    state = Simulator().run(circuit, outputs="statevector").result().statevector()
    np.testing.assert_allclose(state[[0, 8]], [np.cos(0.25), np.sin(0.25)], atol=1e-6)


@pytest.mark.parametrize(
    "circuit, direct",
    [
        (Circuit(2).h(0), True),
        (Circuit(2), True),
        (Circuit(2).rx(Parameter("a"), 0), False),
        (Circuit(2).unitary(np.eye(2), 0), False),
        (Circuit(2).rx(jax.numpy.float32(0.5), 0), False),
    ],
)
def test_what_is_direct(circuit, direct):
    assert is_direct(circuit) == direct


# bits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_states_do_not_depend_on_the_other_circuits(drawn, dtype):
    circuits = [c.circuit() for c in drawn]
    with jax.enable_x64(True):
        together = states_of(circuits, dtype)
        order = np.random.default_rng(0).permutation(len(circuits))
        reordered = states_of([circuits[k] for k in order], dtype)
        many = states_of(circuits * 4, dtype)
        alone = np.concatenate([states_of([c], dtype) for c in circuits])
    assert together.tobytes() == alone.tobytes()
    assert together[order].tobytes() == reordered.tobytes()
    assert many.tobytes() == together.tobytes() * 4


def test_entries_do_not_depend_on_the_other_circuits(random_circuit):
    """Of vector instructions the last few numbers of an array might come out otherwise than the others."""
    circuits = [random_circuit(k, N, 40).circuit() for k in range(50)]
    together = lower_direct(circuits)
    alone = [lower_direct([c]) for c in circuits]
    assert together.entries.tobytes() == b"".join(a.entries.tobytes() for a in alone)
    assert together.masks.tobytes() == b"".join(a.masks.tobytes() for a in alone)
    assert together.counts.tolist() == [int(a.counts[0]) for a in alone]


# jobs -----------------------------------------------------------------------------------------------------


def test_a_list_is_one_compilation_for_each_number_of_qubits(random_circuit, compilations):
    circuits = [random_circuit(k, n, 30).circuit() for k in range(6) for n in (9, 10)]
    others = [random_circuit(k, n, STEPS + 30).circuit() for k in range(50, 60) for n in (9, 10)]
    simulator = Simulator(shots=10, seed=0)
    with compilations() as first:
        metadata = simulator.run(circuits).result().metadata
    assert first.total == metadata["compilations"] == 2
    assert metadata["rows_per_call"] == [6, 6]
    with compilations() as second:
        assert simulator.run(others).result().metadata["compilations"] == 0
    assert second.total == 0


def test_parameter_sets_of_a_circuit_without_parameters():
    """Each has shots of its own from the one state."""
    circuit = Circuit(3).h([0, 1, 2])
    result = (
        Simulator(shots=50, seed=3).run(circuit, np.zeros((2, 0)), outputs=("memory", "statevector")).result()
    )
    assert result.statevector(0).shape == (2, 8)
    first, second = result.memory(0)
    assert len(first) == len(second) == 50
    assert first.tolist() != second.tolist()


def test_asking_for_an_engine_runs_that(random_circuit):
    own = random_circuit(0, 4, 30)
    for engine in ("auto", "rotations", "layered"):
        state = Simulator(engine=engine).run(own.circuit(), outputs="statevector").result().statevector()
        np.testing.assert_allclose(state, own.statevector(), atol=3e-6)
