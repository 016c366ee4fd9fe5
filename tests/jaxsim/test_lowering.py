"""Lowered circuits, run by a few lines of complex128 NumPy, against Qiskit; and what is merged, rolled and padded."""

from __future__ import annotations

from itertools import pairwise

import jax
import numpy as np
import pytest
from qiskit.quantum_info import Operator, Pauli
from scipy.linalg import expm

from jaxsim import Circuit, Parameter, ParameterVector, X, Y, Z, ansatz, batch
from jaxsim.gates import GATES
from jaxsim.lowering.angles import bucket, parameter_room
from jaxsim.lowering.clifford import conjugate
from jaxsim.lowering.observable import lower_observable
from jaxsim.lowering.rotations import Lowering, Repeat, Steps, lower_steps, masks
from jaxsim.lowering.special import Special

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
        controls, value = s.controls[k]
        if (j ^ value) & controls not in (0, controls & s.x[k]):
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


def lowered(circuit: Circuit, *, keep_phase: bool = True, absorb: bool = False) -> Lowering:
    return lower_steps(
        circuit.structure, circuit.angles, circuit.operands, keep_phase=keep_phase, absorb=absorb
    )


def word_matrix(x: int, z: int, num_wires: int) -> np.ndarray:
    """The Hermitian Pauli word, by Qiskit."""
    letters = ("IXZY"[(x >> q & 1) + 2 * (z >> q & 1)] for q in reversed(range(num_wires)))
    return Pauli("".join(letters)).to_matrix()


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


@pytest.mark.parametrize("num_wires", range(2, 6))
def test_constant_matrices_on_two_wires(num_wires, random_circuit):
    """Also on one, and on one under a control; all of them are steps."""
    for seed in range(8):
        random = random_circuit(seed, num_wires, 16, names=("unitary", "ecr", "cu", "cx", "ry", "rzz", "t"))
        random.gates = [g for g in random.gates if g.name != "unitary" or len(g.wires) < 3]
        lowering = lowered(random.circuit())
        assert all(isinstance(item, Steps) for item in lowering.items)
        truth = Operator(random.qiskit()).data
        np.testing.assert_allclose(matrix(lowering, NOTHING, num_wires), truth, atol=1e-11)


def test_expressions_become_affine_angles_and_atoms():
    a, b = Parameter("a"), Parameter("b")
    circuit = Circuit(1).rx(2 * a - b + 0.3, 0).rz(a + np.sin(b) - 1, 0).ry(a * b, 0)
    lowering = lowered(circuit)
    assert set(lowering.atoms) == {b.sin(), a * b}
    room = parameter_room(circuit.structure)  # expressions come after the places of the parameters
    values = np.zeros(room + 2)
    values[:2] = 0.7, -0.4
    values[room:] = [atom.evaluate({a: 0.7, b: -0.4}) for atom in lowering.atoms]
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


# sets of rotations ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("electrons", [2, 4])
def test_an_excitation_is_one_step(electrons):
    """Two words of a single and eight of a double excitation; the X of the reference state are one step together."""
    circuit = ansatz.uccsd(8, electrons)
    assert lowered(circuit, keep_phase=False).used == 1 + circuit.num_parameters
    absorbed = lowered(circuit, keep_phase=False, absorb=True)
    assert (absorbed.used, absorbed.num_angles, absorbed.frame is None) == (circuit.num_parameters, 1, False)


def test_a_double_excitation_couples_two_patterns():
    """Against the exponential of a^dag_5 a^dag_3 a_1 a_0 - h.c., up to sign, in Jordan-Wigner encoding."""
    lowering = np.array([[0, 1], [0, 0]])
    n = 6

    def annihilate(q: int) -> np.ndarray:
        factors = [np.diag([1, -1])] * q + [lowering] + [np.eye(2)] * (n - q - 1)
        whole = np.eye(1)
        for factor in factors:
            whole = np.kron(factor, whole)
        return whole

    excite = annihilate(5).T @ annihilate(3).T @ annihilate(1) @ annihilate(0)
    words, wires = {}, (0, 1, 2, 3, 4, 5)
    for x in range(2**n):
        for z in range(2**n):
            share = np.trace(word_matrix(x, z, n) @ (excite - excite.T)) / 2**n if x == 0b101011 else 0
            if abs(share) > 1e-12:
                words["".join("IXZY"[(x >> q & 1) + 2 * (z >> q & 1)] for q in wires)] = share.imag
    assert len(words) == 8
    theta = Parameter("t")
    circuit = Circuit(n)
    for word, share in words.items():
        circuit.pauli_rotation(-2 * share * theta, word, wires)
    lowering = lowered(circuit)
    assert lowering.used == 1
    np.testing.assert_allclose(
        matrix(lowering, np.array([0.7]), n), expm(0.7 * (excite - excite.T)), atol=1e-13
    )


def test_joined_rotations_are_exact():
    """Random commuting words with one flip mask and random signs: some sets are projectors, most are not."""
    rng = np.random.default_rng(7)
    n, joined = 4, 0
    a, b = ParameterVector("t", 2)
    for _ in range(150):
        x, first = (int(k) for k in rng.integers(0, 2**n, 2))
        free = [d for d in range(2**n) if (x & d).bit_count() % 2 == 0]
        chosen = rng.choice(free, min(len(free), int(rng.choice([2, 4, 5]))), replace=False)
        circuit, truth = Circuit(n), np.eye(2**n)
        for d in chosen:
            z, sign = first ^ int(d), rng.choice([1, 1, 1, -1])
            word = "".join("IXZY"[(x >> q & 1) + 2 * (z >> q & 1)] for q in range(n))
            circuit.pauli_rotation(sign * (a - b + 0.2), word, range(n))
            truth = expm(-0.5j * sign * 0.9 * word_matrix(x, z, n)) @ truth
        lowering = lowered(circuit)
        joined += lowering.used < len(chosen)
        np.testing.assert_allclose(matrix(lowering, np.array([0.4, -0.3]), n), truth, atol=1e-13)
    assert 20 < joined < 130


def test_rotations_that_are_not_a_projector_stay_apart():
    t = ParameterVector("t", 2)
    assert lowered(Circuit(2).rxx(t[0], 0, 1).ryy(t[0], 0, 1)).used == 1
    assert lowered(Circuit(2).rxx(t[0], 0, 1).ryy(-t[0], 0, 1)).used == 1
    assert lowered(Circuit(2).rxx(t[0], 0, 1).ryy(t[1], 0, 1)).used == 2
    assert lowered(Circuit(2).rxx(t[0], 0, 1).ryy(2 * t[0], 0, 1)).used == 2
    assert lowered(Circuit(2).rxx(t[0], 0, 1).rxx(t[0], 0, 1)).used == 2
    assert lowered(Circuit(2).rxx(t[0], 0, 1).rzx(t[0], 0, 1)).used == 2


# Clifford frames --------------------------------------------------------------------------------------------

CLIFFORDS = ("h", "s", "sdg", "x", "y", "z", "sx", "cx", "cy", "cz", "swap", "iswap", "ecr", "dcx")


def ladder(circuit: Circuit, angle: object, word: str, wires: tuple[int, ...]) -> None:
    """exp(-i angle/2 P) out of basis changes, a chain of CX, and RZ."""
    into = {"X": "h", "Y": "sx", "Z": "id", "I": "id"}
    out = {"X": "h", "Y": "sxdg", "Z": "id", "I": "id"}
    acting = [wire for letter, wire in zip(word, wires) if letter != "I"]
    for letter, wire in zip(word, wires):
        circuit.append(into[letter], [], [wire])
    for low, high in pairwise(acting):
        circuit.cx(low, high)
    circuit.rz(angle, acting[-1])
    for low, high in reversed(list(pairwise(acting))):
        circuit.cx(low, high)
    for letter, wire in zip(word, wires):
        circuit.append(out[letter], [], [wire])


def test_ladders_of_cx_are_rotations():
    """UCCSD as compilers write it: one step an excitation, as from Pauli rotations."""
    plain = ansatz.uccsd(4, 2)
    expressions = dict(plain.structure.expressions)
    values = np.array([0.3, -0.8, 1.1])
    circuit, truth = Circuit(4).x([0, 1]), word_matrix(0b0011, 0, 4)
    for i in plain.instructions[2:]:
        angle = expressions[i.slots[0]]
        ladder(circuit, angle, i.label, i.wires)
        whole = word_matrix(*masks(i.label, i.wires), 4)
        truth = expm(-0.5j * angle.evaluate(dict(zip(plain.parameters, values))) * whole) @ truth
    lowering = lowered(circuit, keep_phase=False)
    assert lowering.used == 4
    ours = matrix(lowering, values, 4)
    assert abs(np.trace(ours.conj().T @ truth)) == pytest.approx(16, abs=1e-12)


def test_cost_layers_of_cx_are_rotations():
    gamma, beta = Parameter("g"), Parameter("m")
    edges = [(0, 1), (1, 2), (2, 3), (3, 0), (0, 2)]
    circuit = Circuit(4).h(range(4))
    for a, b in edges:
        circuit.cx(a, b).rz(gamma, b).cx(a, b)
    circuit.rx(beta, range(4))
    assert lowered(circuit).used > 13
    assert lowered(circuit, keep_phase=False).used <= 4 + len(edges) + 4


def test_frames_are_taken_only_where_they_save_steps():
    layers = ansatz.hardware_efficient(6, 2)
    assert lowered(layers, keep_phase=False).used == lowered(layers).used == 2 * (6 + 5)
    assert lowered(layers, keep_phase=False, absorb=True).used == 6 + 12


@pytest.mark.parametrize("num_wires", range(1, 5))
def test_cliffords_at_the_end(num_wires, random_circuit):
    """Rotations between Cliffords: the steps are the circuit up to a phase; without the frame at the end what is
    measured is conjugated."""
    rng = np.random.default_rng(num_wires)
    names = [name for name in CLIFFORDS if GATES[name].num_wires <= num_wires]
    for seed in range(12):
        random = random_circuit(
            seed, num_wires, 25, names=(*names, "rx", "t", *(["crx"] if num_wires > 1 else []))
        )
        circuit = random.circuit()
        truth = Operator(random.qiskit()).data
        whole = lowered(circuit, keep_phase=False)
        ours = matrix(whole, NOTHING, num_wires)
        assert abs(np.trace(ours.conj().T @ truth)) == pytest.approx(2**num_wires, abs=1e-10)

        absorbed = lowered(circuit, keep_phase=False, absorb=True)
        assert absorbed.used <= whole.used <= lowered(circuit).used
        if absorbed.frame is None:
            continue
        ours = matrix(absorbed, NOTHING, num_wires)
        x, z = rng.integers(0, 2**num_wires, (2, 4)).astype(np.int32)
        new_x, new_z, signs = conjugate(x, z, absorbed.frame)
        assert new_x.dtype == new_z.dtype == np.int32
        for k in range(4):
            expected = truth.conj().T @ word_matrix(x[k], z[k], num_wires) @ truth
            word = signs[k] * word_matrix(new_x[k], new_z[k], num_wires)
            np.testing.assert_allclose(ours.conj().T @ word @ ours, expected, atol=1e-12)


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


def test_rows_of_equal_circuits_share_their_arrays():
    """Which nobody can change; of 10,000 programs that is most of the memory."""
    circuit = ansatz.hardware_efficient(3, 2)
    rows = [batch.lower(c, Z(0)) for c in (circuit, circuit.copy())]
    first, second = (jax.tree.leaves(row.data) for row in rows)
    assert all(a is b for a, b in zip(first, second))
    with pytest.raises(ValueError, match="read-only"):
        rows[0].data.index[...] = 0
