"""Lowered circuits, run by a few lines of complex128 NumPy, against Qiskit; and what is merged, rolled and padded."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit.quantum_info import Operator

from jaxsim import Circuit, Parameter, ParameterVector, X, Y, Z, batch
from jaxsim.gates import GATES
from jaxsim.lowering.observable import lower_observable
from jaxsim.lowering.angles import bucket
from jaxsim.lowering.rotations import Lowering, Repeat, Special, Steps, lower_steps

PLAIN = [row.name for row in GATES.values() if not row.operand and not row.any_controls]


# what the arrays mean ---------------------------------------------------------------------------------------


def rz(angle: float) -> np.ndarray:
    return np.diag(np.exp([-0.5j * angle, 0.5j * angle]))


def step_matrix(lowering: Lowering, k: int, values: np.ndarray, num_wires: int) -> np.ndarray:
    """The matrix of step k on the whole register, from the definitions in TwoLevel and StepArrays."""
    s = lowering.steps
    slots = (s.scale[k] * values[s.index[k]]).sum(-1)
    small = s.constants[k, 0]
    for a in range(lowering.num_angles):
        small = small @ rz(slots[a]) @ s.constants[k, a + 1]
    if lowering.has_phase:
        small = np.exp(1j * slots[-1]) * small
    (u0, v0), (v1, u1) = small[0], (s.sign[k] * small[1, 0], small[1, 1])
    whole = np.zeros((2**num_wires, 2**num_wires), complex)
    for j in range(2**num_wires):
        if j & s.controls[k] != s.controls[k]:
            whole[j, j] = 1
        else:
            odd = (j & int(s.z[k])).bit_count() % 2
            whole[j, j] += u1 if odd else u0
            whole[j, j ^ s.x[k]] += v1 if odd else v0
    return whole


def matrix(lowering: Lowering, values: np.ndarray, num_wires: int) -> np.ndarray:
    """The matrix of a circuit without special items."""
    whole = np.eye(2**num_wires, dtype=complex)
    for k in range(len(lowering.steps.x)):
        whole = step_matrix(lowering, k, values, num_wires) @ whole
    return whole


def lowered(circuit: Circuit, *, keep_phase: bool = True) -> Lowering:
    return lower_steps(circuit.structure, circuit.angles, circuit.operands, keep_phase=keep_phase)


NOTHING = np.zeros(1)


# exactness --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PLAIN)
def test_every_gate_with_its_global_phase(name, random_circuit):
    """Three of a kind in a row, with and without further controls, so that merging has something to do."""
    for seed in range(3):
        random = random_circuit(seed, 5, 3, names=(name,), extra_controls=seed > 0)
        truth = Operator(random.qiskit()).data
        np.testing.assert_allclose(matrix(lowered(random.circuit()), NOTHING, 5), truth, atol=1e-13)


@pytest.mark.parametrize("name", [name for name in PLAIN if GATES[name].angles])
def test_every_gate_with_open_angles(name, random_circuit):
    for seed in range(2):
        random = random_circuit(seed, 5, 3, names=(name,), extra_controls=seed > 0)
        truth = Operator(random.qiskit()).data
        values = random.angles

        # Parameters sort by name, so zeros in front keep the order of the angles.
        circuit = random.circuit(lambda k, value: Parameter(f"a{k:03}"))
        np.testing.assert_allclose(matrix(lowered(circuit), values, 5), truth, atol=1e-13)

        # The same with angles that are traced when the circuit is lowered: they are all slots.
        numbers = random.circuit()
        lowering = lower_steps(numbers.structure, None, (), keep_phase=True)
        np.testing.assert_allclose(matrix(lowering, values, 5), truth, atol=1e-13)


@pytest.mark.parametrize("num_wires", range(1, 6))
def test_random_circuits(num_wires, random_circuit):
    for seed in range(6):
        random = random_circuit(seed, num_wires, 30)
        truth = Operator(random.qiskit()).data
        ours = matrix(lowered(random.circuit()), NOTHING, num_wires)
        np.testing.assert_allclose(ours, truth, atol=1e-12)

        # Without the global phase: equal up to one number.
        loose = matrix(lowered(random.circuit(), keep_phase=False), NOTHING, num_wires)
        assert abs(np.trace(loose.conj().T @ truth)) == pytest.approx(2**num_wires, abs=1e-10)


def test_expressions_become_affine_angles_and_atoms():
    a, b = Parameter("a"), Parameter("b")
    circuit = Circuit(1).rx(2 * a - b + 0.3, 0).rz(a + np.sin(b) - 1, 0).ry(a * b, 0)
    lowering = lowered(circuit)
    assert set(lowering.atoms) == {b.sin(), a * b}
    values = np.array([0.7, -0.4, 0, 0])
    values[2:] = [atom.evaluate({a: 0.7, b: -0.4}) for atom in lowering.atoms]
    numbers = Circuit(1).rx(2 * 0.7 + 0.4 + 0.3, 0).rz(0.7 + np.sin(-0.4) - 1, 0).ry(-0.28, 0)
    np.testing.assert_allclose(matrix(lowering, values, 1), matrix(lowered(numbers), NOTHING, 1), atol=1e-14)


# merging ----------------------------------------------------------------------------------------------------


def test_one_qubit_gates_on_a_wire_are_one_step():
    circuit = Circuit(2).h(0).rx(0.1, 0).h(1).s(0).u(0.1, 0.2, 0.3, 1).cx(0, 1).t(0).ry(0.2, 0)
    assert lowered(circuit, keep_phase=False).used == 4


def test_three_open_angles_fit_in_a_step():
    t = ParameterVector("t", 4)
    three = lowered(Circuit(1).rz(t[0], 0).h(0).ry(t[1], 0).rz(t[2], 0), keep_phase=False)
    assert (three.used, three.num_angles) == (1, 3)
    four = lowered(Circuit(1).rz(t[0], 0).ry(t[1], 0).rz(t[2], 0).ry(t[3], 0), keep_phase=False)
    assert (four.used, four.num_angles) == (2, 3)


def test_gates_that_cancel_leave_nothing():
    circuit = Circuit(2).x(0).x(0).h(1).h(1).cx(0, 1)
    assert lowered(circuit).used == 1
    assert lowered(Circuit(2)).used == 0


def test_phases_are_collected():
    """Uncontrolled phases make one step however many they are, and none where they do not matter."""
    circuit = Circuit(2).global_phase(0.3).z(0).h(1).cx(0, 1).global_phase(0.1)
    assert lowered(circuit).used == 1 + lowered(circuit, keep_phase=False).used
    opposite = Circuit(1).global_phase(0.3).h(0).global_phase(-0.3)
    assert lowered(opposite).used == 1


def test_a_controlled_gate_is_one_step():
    circuit = Circuit(6).mcx(range(5), 5).append("cu", [0.1, 0.2, 0.3, 0.4], range(4), controls=2)
    assert lowered(circuit).used == 2
    t = ParameterVector("t", 4)
    assert lowered(Circuit(2).cu(*t, 0, 1)).used == 1
    assert lowered(Circuit(5).mcp(t[0], [0, 1, 2], 3)).used == 1


# static sizes -----------------------------------------------------------------------------------------------


def test_buckets():
    sizes = [bucket(k) for k in range(40)]
    assert sizes[:17] == [0, 1, 2, 3, 4, 6, 6, 8, 8, 12, 12, 12, 12, 16, 16, 16, 16]
    assert all(k <= size <= max(4, 1.5 * k) for k, size in enumerate(sizes))
    assert all(bucket(size) == size for size in sizes)


def test_repeated_layers_are_rolled():
    gammas, betas = ParameterVector("g", 5), ParameterVector("b", 5)
    cost = np.arange(8.0)
    circuit = Circuit(3).h(range(3))
    for gamma, beta in zip(gammas, betas):
        circuit.evolve_diagonal(gamma, cost).rx(2 * beta, range(3))
    layer = (Steps(3), Special("evolve_diagonal", (0, 1, 2), 0, 0, 1))
    assert lowered(circuit, keep_phase=False).items == (Repeat(5, layer), Steps(3))


def test_a_diagonal_in_every_layer_is_an_operand_of_its_own_unless_it_is_the_same_array():
    cost = np.arange(4.0)
    same = Circuit(2).evolve_diagonal(0.1, cost).h([0, 1]).evolve_diagonal(0.1, cost).h([0, 1])
    other = Circuit(2).evolve_diagonal(0.1, cost).h([0, 1]).evolve_diagonal(0.1, cost.copy()).h([0, 1])
    assert len(same.operands) == 1
    assert isinstance(lowered(same, keep_phase=False).items[0], Repeat)
    assert len(other.operands) == 2
    assert len(lowered(other, keep_phase=False).items) == 4


def test_an_array_that_was_changed_meanwhile_is_another_operand():
    cost = np.arange(4.0)
    circuit = Circuit(2).evolve_diagonal(0.1, cost)
    cost[0] = 5
    circuit.evolve_diagonal(0.1, cost)
    assert [o[0] for o in circuit.operands] == [0, 5]


def test_initialize_comes_first():
    circuit = Circuit(3).h(0).initialize([0.6, 0.8], [2]).cx(0, 2)
    assert isinstance(lowered(circuit).items[0], Special)


def test_padding_is_an_exact_no_op():
    """Five steps are padded to six; the sixth leaves every bit alone."""
    lowering = lowered(Circuit(3).cx(0, 1).cz(1, 2).cx(2, 0).rzz(0.1, 0, 1).cy(0, 2), keep_phase=False)
    assert (lowering.used, len(lowering.steps.x)) == (5, 6)
    np.testing.assert_array_equal(step_matrix(lowering, 5, NOTHING, 3), np.eye(8))


def test_constant_one_qubit_unitaries_are_steps():
    matrix_x = np.array([[0, 1], [1, 0]])
    assert lowered(Circuit(2).unitary(matrix_x, 0).unitary(matrix_x, 1, controls=0)).items == (Steps(2),)


def test_lowering_runs_no_jax_operation(compilations, random_circuit):
    with compilations() as count:
        for n in (3, 7):
            random = random_circuit(n, n, 23, arrays=2)
            operator = Z(0) @ X(1) + 0.5 * Y(2)
            row = batch.lower(random.circuit(), [operator, Z(1)])
            assert all(isinstance(leaf, np.ndarray) for leaf in (*row.data, *row.operands, row.bound))
            theta = ParameterVector("t", 2 * n)
            batch.lower(Circuit(n).rx(theta[:n], range(n)).rz(np.sin(theta[n:]), range(n)), operator)
    assert count.total == 0


# observables ------------------------------------------------------------------------------------------------


def test_terms_are_grouped_by_flip_mask():
    operator = Z(0) + X(1) @ Z(2) + 2 * Y(1) + 0.5 * Z(0) @ Z(2) + X(0) @ X(2)
    row = lower_observable(operator, 3, np.float32)
    assert row.flips.tolist() == [0b010, 0b101]
    assert row.group.tolist() == [0, 1, 1, 0, 2, 0]  # 5 terms, padded to 6
    assert row.weights.tolist() == [1, 1, 2, 0.5, 1, 0]
    assert (row.tabulated, row.diagonal, row.real) == (True, True, False)


def test_equal_sizes_are_equal_keys():
    """The shape of an observable is its bucket of terms and flips, not which words it has."""
    keys = set()
    for operator in (Z(0) + X(1) + X(2), Z(2) + 0.1 * X(0) + 7 * X(0) @ X(1) @ Z(2)):
        keys.add(batch.lower(Circuit(3), operator).key)
    assert len(keys) == 1
