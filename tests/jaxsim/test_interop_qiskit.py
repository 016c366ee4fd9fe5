"""Circuits from Qiskit: every gate against Qiskit's matrices, counts against Aer's keys where it is installed."""

from __future__ import annotations

import pickle
import threading
from concurrent.futures import Future
from math import pi

import jax
import numpy as np
import pytest
import qiskit.circuit.library as library
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import (
    AnnotatedOperation,
    Clbit,
    ControlModifier,
    Gate,
    InverseModifier,
    Parameter,
    ParameterVector,
    PowerModifier,
)
from qiskit.circuit.classical import expr
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.quantum_info import Operator, SparsePauliOp, Statevector, random_unitary

import jaxsim as js
from jaxsim.gates import GATES
from jaxsim.interop.qiskit import from_qiskit, observable_from_qiskit, qubits_in_use
from jaxsim.job_options import JobInputError
from jaxsim.simulator import Simulator

STANDARD = {
    name: gate
    for name, gate in get_standard_gate_name_mapping().items()
    if name not in ("delay", "reset", "measure")
}


def with_numbers(gate: Gate) -> Gate:
    rng = np.random.default_rng(len(gate.name))
    return gate.base_class(*rng.uniform(-3, 3, len(gate.params)).tolist()) if gate.params else gate


def check(operation, expected: QuantumCircuit | None = None) -> js.Circuit:
    """The operation on wires in disorder, against Qiskit's matrix."""
    wires = np.random.default_rng(operation.num_qubits).permutation(max(operation.num_qubits, 1)).tolist()
    qc = QuantumCircuit(len(wires))
    qc.append(operation, wires[: operation.num_qubits])
    ours = from_qiskit(qc)
    matrix = Operator(qc if expected is None else expected).data
    with jax.enable_x64(True):
        state = np.asarray(js.statevector(ours, dtype="complex128"))
        np.testing.assert_allclose(state, matrix[:, 0], atol=1e-9)
        if len(wires) <= 5:
            np.testing.assert_allclose(js.unitary(ours, dtype="complex128"), matrix, atol=1e-9)
    return ours


# gates ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STANDARD)
def test_standard_gates(name):
    ours = check(with_numbers(STANDARD[name]))
    row = next(row for row in GATES.values() if row.qiskit == name)
    assert ours.instructions[0].gate == row.name  # by the table, and not taken apart


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, gate in STANDARD.items() if gate.num_qubits])
def test_standard_gates_under_controls(name):
    gate = with_numbers(STANDARD[name])
    for controls, state in ((1, 0), (1, 1), (2, 1)):
        if gate.num_qubits + controls <= 5:
            check(gate.control(controls, ctrl_state=state, annotated=False))
            check(gate.control(controls, ctrl_state=state, annotated=True))
    check(gate.inverse(annotated=True))


@pytest.mark.parametrize(
    "gate",
    [
        library.CXGate(ctrl_state=0),
        library.CCXGate(ctrl_state=2),
        library.MCXGate(4, ctrl_state=6),
        library.MCXGate(5),
        library.MCPhaseGate(0.3, 3),
        library.C3XGate(),
        library.C4XGate(),
        library.C3SXGate(),
        library.RXXGate(0.3).control(2, ctrl_state=1),
        library.CUGate(0.1, 0.2, 0.3, 0.4).control(1, ctrl_state=0),
        library.UnitaryGate(random_unitary(4, seed=1)),
        library.UnitaryGate(random_unitary(4, seed=1)).control(2, ctrl_state=2),
        library.DiagonalGate(list(np.exp(1j * np.arange(4)))),
        library.PauliGate("XYZ"),
        library.PermutationGate([2, 0, 1]),
        library.QFTGate(3),
        library.QFTGate(2).control(1),
        library.HamiltonianGate(np.array([[1, 0.5], [0.5, -1]]), 0.3),
        AnnotatedOperation(library.RYGate(0.4), [PowerModifier(2), InverseModifier(), ControlModifier(1, 0)]),
        AnnotatedOperation(library.SwapGate(), [PowerModifier(0.5), ControlModifier(2, 1)]),
        library.HGate().power(0.5),
        library.GlobalPhaseGate(0.7),
    ],
    ids=lambda gate: gate.name,
)
def test_other_gates(gate):
    check(gate)


def test_gates_of_ones_own_come_by_their_definition():
    inner = QuantumCircuit(2, global_phase=0.3, name="mine")
    inner.h(0)
    inner.cx(0, 1)
    inner.rz(0.2, 1)
    for gate in (
        inner.to_gate(),
        inner.to_gate().control(1, ctrl_state=0),
        inner.to_gate().control(2).inverse(),
    ):
        check(gate)
    again = QuantumCircuit(2)
    again.append(inner.to_gate(), [1, 0])
    check(again.to_gate())


def test_a_gate_that_only_borrows_a_name_is_not_taken_for_it():
    class Named(Gate):
        def _define(self):
            self.definition = QuantumCircuit(1)
            self.definition.x(0)

    check(Named("h", 1, []))


def test_states():
    for prepare in ("initialize", "prepare_state"):
        for given, wires in (([0.6, 0.8j], [1]), ("+1", [0, 1]), (2, [0, 1])):
            qc, reference = QuantumCircuit(2), QuantumCircuit(2)
            getattr(qc, prepare)(given, wires)
            reference.prepare_state(given, wires)
            qc.h(0)
            reference.h(0)
            result = Simulator().run(qc, outputs="statevector").result()
            np.testing.assert_allclose(result.statevector(), Statevector(reference).data, atol=1e-6)


def test_initialize_after_gates_resets():
    qc = QuantumCircuit(1)
    qc.h(0)
    qc.initialize([0, 1], 0)
    assert Simulator(shots=20).run(qc).result().counts() == {"1": 20}


# parameters -------------------------------------------------------------------------------------------------

A, B, V = Parameter("θ a"), Parameter("b"), ParameterVector("t", 12)
EXPRESSIONS = [
    A,
    2 * A + 0.1,
    A * 0.12345678901234567 + B / 3,
    A.sin() * B**2,
    (A - B).exp() / (1 + A * A),
    abs(A - 1),
    A.arcsin() + B.arctan().cos() - B.arccos(),
    -A,
    V[0] * V[1] + pi,
    (A - 0.5).sign(),
    A.log(),
    A**B,
    A.conjugate(),
    2j * A * 1j,
    A - B - V[2],
    A - (B - V[2]),
    A / (B * V[0]),
    A / (B / V[0]),
    -(A + B) * 2,
    (-A) ** 2,
    -(A**2),
    A ** (B**2),
    (A**B) ** 2,
    A**0.5 + 2**A,
    A.tan() + 1e-7 * B,
    V[10] + V[2],
]


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=lambda e: f"expression{EXPRESSIONS.index(e)}")
def test_expressions(expression):
    qc = QuantumCircuit(1, global_phase=0.5 * expression)
    qc.rx(expression, 0)
    ours = from_qiskit(qc)
    assert [p.name for p in ours.parameters] == [p.name for p in qc.parameters]
    values = np.random.default_rng(1).uniform(0.1, 0.9, len(qc.parameters))
    expected = Operator(qc.assign_parameters(values)).data
    angle = ours.bind(values).angles
    np.testing.assert_allclose(
        np.exp(1j * angle[0]) * library.RXGate(angle[1]).to_matrix(), expected, atol=1e-12
    )


def test_parameters_become_arguments_with_gradients():
    qc = QuantumCircuit(2)
    qc.ry(V[0] * V[1], 0)
    qc.cx(0, 1)
    f = js.compile(from_qiskit(qc), js.Z(1))
    value, gradient = f.value_and_grad([0.3, 0.8])
    assert value == pytest.approx(np.cos(0.24), abs=1e-6)
    np.testing.assert_allclose(gradient, [-0.8 * np.sin(0.24), -0.3 * np.sin(0.24)], atol=1e-6)


def test_complex_angles_are_refused():
    qc = QuantumCircuit(1)
    qc.global_phase = 0
    qc.rx(1j * A, 0)
    with pytest.raises(ValueError, match=r"complex|translated"):
        from_qiskit(qc)


# registers and measurement ----------------------------------------------------------------------------------


def several_registers() -> QuantumCircuit:
    qc = QuantumCircuit(QuantumRegister(3, "q"), ClassicalRegister(2, "a"), ClassicalRegister(3, "b"))
    qc.x(0)
    qc.measure(0, 3)
    qc.measure(1, 0)
    qc.measure(0, 1)
    return qc


def added_register() -> QuantumCircuit:
    qc = QuantumCircuit(3, 3)
    qc.x(1)
    qc.barrier()
    qc.delay(100, 1)
    qc.measure_all()
    return qc


def last_write_wins() -> QuantumCircuit:
    qc = QuantumCircuit(3, 3)
    qc.x(1)
    qc.measure(1, 0)
    qc.measure(0, 0)
    qc.measure(1, 2)
    return qc


def reset_between() -> QuantumCircuit:
    qc = QuantumCircuit(2, 2)
    qc.x(0)
    qc.measure(0, 0)
    qc.reset(0)
    qc.measure(0, 1)
    return qc


def conditional() -> QuantumCircuit:
    qc = QuantumCircuit(2, 2)
    qc.h(0)
    qc.measure(0, 0)
    with qc.if_test((qc.clbits[0], 1)) as otherwise:
        qc.x(1)
    with otherwise:
        qc.id(1)
    qc.measure(1, 1)
    return qc


def conditions_on_registers() -> QuantumCircuit:
    qc = QuantumCircuit(3, 3)
    qc.x(0)
    qc.measure(0, 0)
    qc.measure(0, 1)
    with qc.if_test(expr.logic_and(qc.clbits[0], expr.less(qc.cregs[0], 4))):
        qc.x(2)
    with qc.if_test(expr.logic_not(expr.equal(3, qc.cregs[0]))):
        qc.x(1)
    with qc.if_test((qc.cregs[0], 3)), qc.if_test(expr.bit_xor(qc.clbits[0], qc.clbits[2])):
        qc.x(1)
    qc.measure(1, 1)
    qc.measure(2, 2)
    return qc


def loops_and_switch() -> QuantumCircuit:
    qc = QuantumCircuit(3, 3)
    qc.h(0)
    qc.measure(0, 0)
    with qc.while_loop((qc.clbits[0], 1)):
        qc.h(0)
        qc.measure(0, 0)
    with qc.switch(qc.cregs[0]) as case:
        with case(0):
            qc.x(1)
        with case(1, 2):
            qc.x(2)
        with case(case.DEFAULT):
            qc.x(0)
    with qc.for_loop(range(2)) as k:
        qc.rx(k * pi, 2)
    qc.measure([1, 2], [1, 2])
    return qc


def wide() -> QuantumCircuit:
    qc = QuantumCircuit(40, 3)
    qc.x(35)
    qc.cx(35, 7)
    qc.measure([35, 7, 2], [0, 1, 2])
    return qc


OUTCOMES = {
    several_registers: {"010 10"},
    added_register: {"010 000"},
    last_write_wins: {"100"},
    reset_between: {"01"},
    conditional: {"00", "11"},
    conditions_on_registers: {"111"},
    loops_and_switch: {"110"},
    wide: {"011"},
}


@pytest.mark.parametrize("make", OUTCOMES, ids=lambda make: make.__name__)
def test_counts_are_keyed_as_qiskit_keys_them(make):
    qc = make()
    assert set(Simulator(shots=50, seed=1).run(qc).result().counts()) == OUTCOMES[make]
    aer = pytest.importorskip("qiskit_aer")
    counts = aer.AerSimulator(seed_simulator=1).run(qc, shots=50).result().get_counts()
    assert set(counts) == OUTCOMES[make]


def test_circuits_keep_names_metadata_and_order():
    circuits = [QuantumCircuit(1, name=f"c{k}", metadata={"k": k}) for k in range(3)]
    for k, qc in enumerate(circuits):
        qc.rx(A, 0)
        qc.measure_all()
        assert qc.metadata == {"k": k}
    result = Simulator(shots=5).run(circuits, [[0.0], [pi], [[0.0], [pi]]], max_job_size=2).result()
    assert [result.name(k) for k in range(3)] == ["c0", "c1", "c2"]
    assert [result.circuit_metadata(k) for k in range(3)] == [{"k": k} for k in range(3)]
    assert [result.counts(k) for k in range(3)] == [{"0": 5}, {"1": 5}, [{"0": 5}, {"1": 5}]]
    assert [qc.metadata for qc in circuits] == [{"k": k} for k in range(3)]


def test_subclasses_of_quantum_circuit():
    class Mine(QuantumCircuit):
        pass

    mine = Mine(1)
    mine.x(0)
    result = Simulator(shots=4).run([mine, js.Circuit(1)]).result()
    assert result.counts(0) == {"1": 4} and result.counts(1) == {"0": 4}


def test_a_circuit_with_registers_but_without_measurements_measures_every_qubit():
    qc = QuantumCircuit(2, 3)
    qc.x(1)
    assert Simulator(shots=5).run(qc).result().counts() == {"10": 5}


def test_bits_outside_of_registers_come_last():
    qc = QuantumCircuit([*QuantumRegister(1)], ClassicalRegister(1, "loose"))
    qc.add_bits([Clbit()])
    qc.x(0)
    qc.measure(0, 1)
    ours = from_qiskit(qc)
    assert [(r.name, r.size) for r in ours.registers] == [("loose", 1), ("loose_", 1)]


# idle qubits ------------------------------------------------------------------------------------------------


def test_idle_qubits_of_wide_circuits_are_left_out():
    qc = QuantumCircuit(127)
    qc.h(100)
    qc.cx(100, 7)
    qc.barrier()
    qc.measure_all()
    assert qubits_in_use(qc) == (7, 100)
    assert from_qiskit(qc).num_wires == 2
    counts = Simulator(shots=100, seed=3).run(qc).result().counts()
    ones = ["1" if 126 - k in (7, 100) else "0" for k in range(127)]
    assert set(counts) == {"0" * 127, "".join(ones)}


def test_wide_circuits_without_measurements_have_all_qubits_in_their_keys():
    qc = QuantumCircuit(40)
    qc.x(35)
    result = Simulator(shots=3).run(qc, outputs=("counts", "memory")).result()
    assert result.counts() == {"00001" + 35 * "0": 3}
    assert np.flatnonzero(result.memory()[0]).tolist() == [35] and result.memory().shape == (3, 40)
    qc.reset(2)
    qc.x(2)
    assert Simulator(shots=3).run(qc).result().counts() == {"00001" + 32 * "0" + "100": 3}
    assert Simulator(shots=3).run(QuantumCircuit(40)).result().counts() == {40 * "0": 3}


@pytest.mark.parametrize("output", ["statevector", "probabilities"])
def test_states_of_wide_circuits_are_refused(output):
    with pytest.raises(JobInputError, match=f"{output} cannot be had of 40 qubits, only of 30"):
        Simulator().run(QuantumCircuit(40), outputs=output)


def test_observables_of_wide_circuits():
    angle = 0.7
    qc, narrow = QuantumCircuit(127), QuantumCircuit(3)
    for circuit, (a, b, _) in ((qc, (100, 7, 0)), (narrow, (2, 1, 0))):  # qubit 0 is idle
        circuit.ry(angle, a)
        circuit.cx(a, b)
    words = [
        ("ZZ", "ab"),
        ("X", "c"),
        ("Z", "c"),
        ("YY", "ab"),
        ("ZX", "ac"),
        ("", ""),
        ("Z", "a"),
        ("XXZ", "abc"),
    ]
    terms = [(word, on, 0.3 + k) for k, (word, on) in enumerate(words)]

    def operators(a, b, c, size):
        place = {"a": a, "b": b, "c": c}
        return [SparsePauliOp.from_sparse_list([(w, [place[q] for q in on], v)], size) for w, on, v in terms]

    wide = operators(100, 7, 0, 127)
    expected = [Statevector(narrow).expectation_value(o).real for o in operators(2, 1, 0, 3)]
    everything = [*wide, sum(wide[1:], wide[0])]
    values = Simulator().run(qc, observables=everything, outputs="values").result().value()
    np.testing.assert_allclose(values, [*expected, sum(expected)], atol=2e-6)
    labels = ["I" * 26 + "Z" + "I" * 100, "I" * 126 + "X", js.Z(7) + 2 * js.Z(0) + 4 * js.X(29)]
    values = Simulator().run(qc, observables=labels, outputs="values").result().value()
    np.testing.assert_allclose(values, [np.cos(angle), 0, np.cos(angle) + 2], atol=2e-6)
    with pytest.raises(JobInputError, match="one of 2 qubits, but the circuit has 127"):
        Simulator().run(qc, observables="ZZ", outputs="values")
    with pytest.raises(JobInputError, match="a label is made of I, X, Y and Z"):
        Simulator().run(qc, observables="Q" * 127, outputs="values")


def test_idle_qubits_of_small_circuits_are_kept():
    qc = QuantumCircuit(5)
    qc.x(3)
    assert from_qiskit(qc).num_wires == 5
    assert from_qiskit(qc, keep_idle=False).num_wires == 1
    assert Simulator().run(
        qc, None, SparsePauliOp("IZIII"), outputs="values"
    ).result().value() == pytest.approx(-1)


def test_a_measured_idle_qubit_overwrites():
    qc = QuantumCircuit(40, 1)
    qc.x(3)
    qc.measure(3, 0)
    qc.measure(4, 0)
    assert Simulator(shots=4).run(qc).result().counts() == {"0": 4}


# what is refused --------------------------------------------------------------------------------------------


def test_refusals_in_words():
    many = QuantumCircuit(31)
    many.h(range(31))
    with pytest.raises(ValueError, match="31 qubits in use; 1 to 30"):
        from_qiskit(many)
    with pytest.raises(TypeError, match="takes a QuantumCircuit, but a str"):
        from_qiskit("bell")
    opaque = QuantumCircuit(1)
    opaque.append(Gate("opaque", 1, []), [0])
    with pytest.raises(ValueError, match=r"'opaque' has no counterpart here.*definition"):
        from_qiskit(opaque)
    shared = QuantumCircuit(1)
    first = ClassicalRegister(1, "a")
    shared.add_register(first, ClassicalRegister(name="b", bits=[first[0]]))
    with pytest.raises(ValueError, match="'b' shares bits"):
        from_qiskit(shared)


def test_several_circuits_that_cannot_be_imported_are_named_together():
    good, bad = QuantumCircuit(1), QuantumCircuit(1)
    good.h(0)
    bad.append(Gate("opaque", 1, []), [0])
    with pytest.raises(JobInputError, match="2 of 4 circuits cannot be run") as caught:
        Simulator().run([good, bad, js.Circuit(1), bad])
    assert caught.value.indices == (1, 3)


def test_save_instructions_of_aer_say_what_to_do():
    pytest.importorskip("qiskit_aer")
    qc = QuantumCircuit(1)
    qc.save_statevector()
    with pytest.raises(ValueError, match=r"'save_statevector'.*outputs"):
        from_qiskit(qc)


# observables ------------------------------------------------------------------------------------------------


def test_observables():
    operator = SparsePauliOp(["XIZ", "IYI", "III"], [0.5, -1.0, 0.25])
    np.testing.assert_allclose(observable_from_qiskit(operator).to_matrix(3), operator.to_matrix())
    qc = QuantumCircuit(3)
    qc.u(0.3, 0.4, 0.5, range(3))
    qc.cx(0, 2)
    result = Simulator().run(qc, None, [operator, SparsePauliOp("ZZZ")], outputs="values").result()
    expected = [Statevector(qc).expectation_value(o).real for o in (operator, SparsePauliOp("ZZZ"))]
    np.testing.assert_allclose(result.value(), expected, atol=1e-6)
    with pytest.raises(TypeError, match="SparsePauliOp or Pauli"):
        observable_from_qiskit(object())


def test_sparse_observables():
    quantum_info = pytest.importorskip("qiskit.quantum_info")
    if not hasattr(SparsePauliOp, "from_sparse_observable"):
        pytest.skip("this Qiskit has none")
    operator = quantum_info.SparseObservable.from_list([("ZIX", 0.5), ("II0", 2.0)])
    expected = SparsePauliOp(["ZIX", "III", "IIZ"], [0.5, 1.0, 1.0])
    found = SparsePauliOp.from_list(observable_from_qiskit(operator).to_list(3))
    assert found.equiv(expected)


def test_metadata_is_a_snapshot_that_stays_here():
    qc = QuantumCircuit(1, name="own", metadata={"list": [1], "function": lambda: 1})
    sent = []

    class Pickling:
        """As a pool of processes does."""

        def submit(self, function, *arguments):
            sent.append(pickle.dumps(arguments))
            future = Future()
            future.set_result(function(*pickle.loads(sent[-1])))
            return future

    result = Simulator(shots=1, executor=Pickling()).run(qc).result()
    qc.metadata["list"].append(2)
    assert result.name() == "own" and result.circuit_metadata()["list"] == [1]
    result.circuit_metadata()["list"].append(3)
    assert result.circuit_metadata()["list"] == [1]
    assert b"own" not in sent[0]
    qc.metadata["lock"] = threading.Lock()
    with pytest.raises(JobInputError, match="circuit 0: its metadata cannot be copied: TypeError"):
        Simulator().run(qc)


def test_conditions_between_registers_are_refused_in_words():
    a, b = ClassicalRegister(2, "a"), ClassicalRegister(2, "b")
    qc = QuantumCircuit(QuantumRegister(1), a, b)
    with qc.if_test(expr.less(a, b)):
        qc.x(0)
    with pytest.raises(ValueError, match=r"compares two registers.*compare with numbers only"):
        from_qiskit(qc)
