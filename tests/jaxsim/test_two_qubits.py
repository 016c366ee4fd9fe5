"""Constant unitaries on two qubits: the decomposition against NumPy and Qiskit, how many layers and steps they take,
what circuits with them share."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator
from qiskit.synthesis import TwoQubitWeylDecomposition
from scipy.stats import unitary_group

import jaxsim as js
from jaxsim import Circuit, Parameter, X, Z, gates
from jaxsim.lowering.cost import choose
from jaxsim.lowering.forms import lowered_form
from jaxsim.lowering.layers import Layering, NoLayersError, lower_layers
from jaxsim.lowering.rotations import Lowering, lower_steps
from jaxsim.lowering.two_qubits import Part, canonical, core_entries, parts

PAULI = {"X": np.array([[0, 1], [1, 0]]), "Y": np.array([[0, -1j], [1j, 0]]), "Z": np.diag([1, -1])}
QUARTER = np.pi / 4


def local(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Matrices on wires 0 and 1."""
    return np.kron(second, first)


def core(a: float, b: float, c: float) -> np.ndarray:
    """exp(i (a XX + b YY + c ZZ))."""
    factors = [
        np.cos(x) * np.eye(4) + 1j * np.sin(x) * np.kron(p, p)
        for x, p in zip((a, b, c), PAULI.values(), strict=True)
    ]
    return factors[0] @ factors[1] @ factors[2]


def small(entries: Sequence[complex]) -> np.ndarray:
    return np.array(entries, complex).reshape(2, 2)


def product(made: Sequence[Part]) -> np.ndarray:
    """What the parts do one after the other."""

    def matrix(part: Part) -> np.ndarray:
        if part.kind == "matrix":
            own = small(part.matrix)
            return local(own, np.eye(2)) if part.wire == 0 else local(np.eye(2), own)
        if part.kind == "phase":
            return core(0, 0, -part.angle / 2)
        images = {"cx": ([0, 3, 2, 1], [0, 1, 3, 2])[part.wire], "swap": [0, 2, 1, 3]}[part.kind]
        return np.eye(4)[images]

    return reduce(lambda whole, part: matrix(part) @ whole, made, np.eye(4))


def random_local(seed: int) -> np.ndarray:
    return local(*(unitary_group.rvs(2, random_state=2 * seed + k) for k in range(2)))


def weyl(matrix: np.ndarray) -> int:
    """CX that the matrix takes if SWAP costs nothing, from Qiskit's Weyl coordinates."""

    def number(a: float, b: float, c: float) -> int:
        nonzero = [x for x in (a, b, c) if abs(x) > 1e-9]
        if not nonzero:
            return 0
        if len(nonzero) == 1 and abs(abs(nonzero[0]) - QUARTER) < 1e-9:
            return 1
        return 2 if len(nonzero) < 3 else 3

    found = TwoQubitWeylDecomposition(matrix)
    given = np.array([found.a, found.b, found.c])
    swapped = given - QUARTER
    return min(number(*(x - 2 * QUARTER * np.round(x / (2 * QUARTER)))) for x in (given, swapped))


MATRICES = {
    "identity": np.eye(4),
    "minus": -np.eye(4),
    "i": 1j * np.eye(4),
    **{name: gates.matrix(name) for name in ("cx", "cz", "swap", "iswap", "ecr", "dcx", "ch", "csx")},
    "cp": gates.matrix("cp", [0.3]),
    "rzz": gates.matrix("rzz", [-2.0]),
    "sqrt iswap": core(QUARTER / 2, QUARTER / 2, 0),
    "sqrt swap": core(QUARTER / 2, QUARTER / 2, QUARTER / 2),
    "diagonal": np.diag(np.exp(1j * np.array([0.1, 0.7, -2.0, 3.0]))),
    **{f"permutation {p}": np.eye(4)[list(p)] for p in itertools.permutations(range(4))},
    **{f"local {k}": random_local(k) for k in range(5)},
    **{f"random {k}": unitary_group.rvs(4, random_state=k) for k in range(40)},
}


def hard_cases() -> list[np.ndarray]:
    """Degenerate angles, alone, between gates on one qubit, and next to being degenerate."""
    rng = np.random.default_rng(0)
    found = []
    for k, angles in enumerate(itertools.product([0, QUARTER, -QUARTER, QUARTER / 2, 0.3], repeat=3)):
        phase = np.exp(1j * rng.normal())
        found += [core(*angles), phase * random_local(k) @ core(*angles) @ random_local(1000 + k)]
        found.append(core(*(np.array(angles) + rng.normal(size=3) * 10.0 ** -rng.integers(5, 16))))
    for p in itertools.permutations(range(4)):
        found.append(np.eye(4)[list(p)] * np.exp(1j * rng.normal(size=4)))
    return found


# the decomposition ----------------------------------------------------------------------------------------


def check(matrix: np.ndarray, tolerance: float) -> None:
    found, made = canonical(matrix), parts(matrix)
    assert found is not None and made is not None
    after, before = (local(*map(small, own)) for own in (found.after, found.before))
    np.testing.assert_allclose(after @ core(*found.angles) @ before, matrix, atol=tolerance)
    np.testing.assert_allclose(product(made), matrix, atol=tolerance)
    assert max(map(abs, found.angles)) <= QUARTER
    u0, v0, v1, u1 = core_entries(found.angles)
    whole = np.diag([u0, u1, u1, u0]) + np.fliplr(np.diag([v0, v1, v1, v0]))
    np.testing.assert_allclose(whole, core(*found.angles), atol=1e-14)


@pytest.mark.parametrize("name", MATRICES)
def test_any_unitary_phase_included(name):
    check(MATRICES[name], 1e-13)


def test_degenerate_ones():
    for matrix in hard_cases():
        check(matrix, 3e-12)


@pytest.mark.parametrize("name", MATRICES)
def test_no_more_cx_than_needed(name):
    """Two for a phase of ZZ; SWAP is free."""
    made = parts(MATRICES[name])
    assert made is not None
    number = sum({"cx": 1, "phase": 2}.get(part.kind, 0) for part in made)
    if name.startswith(("permutation", "dcx")):  # a map of basis states, whatever it is made of
        assert {part.kind for part in made} <= {"cx", "swap", "matrix"}
        assert all(abs(small(part.matrix)[0, 0]) == 0 for part in made if part.kind == "matrix")
    else:
        assert number == weyl(MATRICES[name])


def test_single_precision_is_as_good_as_the_numbers_given():
    """And does not cost a CX more: what is degenerate in exact numbers still is."""
    for matrix in hard_cases()[1:300:3]:
        rounded = matrix.astype(np.complex64)
        check(rounded, 1e-6)
        exact, single = parts(matrix), parts(rounded)
        assert exact is not None and single is not None
        assert sum(p.kind == "cx" for p in single) <= sum(p.kind == "cx" for p in exact)


def test_what_is_not_unitary_is_refused():
    assert canonical(np.diag([1, 1, 1, 1.1])) is None and parts(np.zeros((4, 4))) is None
    assert parts(np.eye(8)) is None and parts(np.full((4, 4), np.nan)) is None


# circuits -------------------------------------------------------------------------------------------------


def layers_of(circuit: Circuit) -> Layering:
    return lower_layers(circuit.structure, np.asarray(circuit.angles), circuit.operands)


def steps_of(circuit: Circuit) -> Lowering:
    return lower_steps(circuit.structure, circuit.angles, circuit.operands, keep_phase=False)


LAYERS = {
    "any": (lambda: Circuit(2).unitary(MATRICES["random 0"], [0, 1]), 4),
    "sqrt iswap": (lambda: Circuit(2).unitary(MATRICES["sqrt iswap"], [0, 1]), 3),
    "swap and more": (lambda: Circuit(2).unitary(core(0.3, 0.1, QUARTER), [0, 1]), 3),
    "swap": (lambda: Circuit(2).h(0).unitary(MATRICES["swap"], [0, 1]).h(1), 1),
    "cx": (lambda: Circuit(2).ry(0.1, [0, 1]).unitary(MATRICES["cx"], [0, 1]).ry(0.1, [0, 1]), 2),
    "controlled": (lambda: Circuit(2).unitary(PAULI["X"], 1, controls=0), 1),
    "brick of 4": (lambda: brick(4), 3 * 4 + 1),
}


def brick(depth: int) -> Circuit:
    circuit, seed = Circuit(6), 0
    for layer in range(depth):
        for a in range(layer % 2, 5, 2):
            circuit.unitary(unitary_group.rvs(4, random_state=seed), [a, a + 1])
            seed += 1
    return circuit


@pytest.mark.parametrize("family", LAYERS)
def test_few_layers(family):
    make, most = LAYERS[family]
    assert len(layers_of(make()).layers) == most


def test_an_entangler_is_one_step():
    circuit = Circuit(2).unitary(MATRICES["random 1"], [0, 1]).unitary(MATRICES["random 2"], [1, 0])
    assert steps_of(circuit).used == 2 * 3 + 2


def test_traced_matrices_and_larger_ones_stay_gates_of_their_own():
    matrix = MATRICES["random 3"]

    def energy(angle: jax.Array) -> jax.Array:
        turned = jnp.asarray(matrix) * jnp.exp(1j * angle)
        circuit = Circuit(2).ry(angle, 0).unitary(turned, [0, 1])
        with pytest.raises(NoLayersError):
            lower_layers(circuit.structure, None, circuit.operands)
        return js.expectation(circuit, Z(0))

    slope = jax.jit(jax.grad(energy))(0.3)
    step = 1e-3

    def plain(angle: float) -> float:
        state = matrix @ np.array([np.cos(angle / 2), np.sin(angle / 2), 0, 0])
        return float(np.abs(state) ** 2 @ [1, -1, 1, -1])

    assert slope == pytest.approx((plain(0.3 + step) - plain(0.3 - step)) / (2 * step), abs=1e-4)
    with pytest.raises(NoLayersError, match="unitary on 3 wires"):
        layers_of(Circuit(3).unitary(matrix, [1, 2], controls=0))


# what is shared -------------------------------------------------------------------------------------------


def volume(seed: int, num_wires: int = 4, depth: int = 4) -> tuple[Circuit, np.ndarray]:
    """A quantum-volume circuit, and its state by Qiskit."""
    rng = np.random.default_rng(seed)
    circuit, truth = Circuit(num_wires), QuantumCircuit(num_wires)
    for _ in range(depth):
        wires = rng.permutation(num_wires).tolist()
        for pair in zip(wires[::2], wires[1::2]):
            matrix = unitary_group.rvs(4, random_state=rng)
            circuit.unitary(matrix, pair)
            truth.unitary(matrix, pair)
    return circuit, Operator(truth).data[:, 0]


@pytest.mark.parametrize("engine", ["layered", "rotations", "auto"])
def test_different_matrices_share_a_kernel_and_not_their_numbers(engine, compilations):
    """The structures are equal: only the matrices tell the circuits apart."""
    matrices = [MATRICES[f"random {k}"] for k in range(4)]
    observable = np.kron(PAULI["Z"], np.eye(4)) + np.kron(np.eye(2), np.kron(PAULI["X"], np.eye(2)))
    values = []

    def energy(matrix: np.ndarray) -> float:
        circuit = Circuit(3).ry(0.4, range(3)).unitary(matrix, [0, 2]).unitary(matrix.conj().T, [2, 1])
        truth = QuantumCircuit(3)
        truth.ry(0.4, range(3))
        truth.unitary(matrix, [0, 2])
        truth.unitary(matrix.conj().T, [2, 1])
        state = Operator(truth).data[:, 0]
        value = float(js.compile(circuit, Z(2) + X(1), engine=engine)())
        assert value == pytest.approx(np.vdot(state, observable @ state).real, abs=1e-5)
        return value

    values.append(energy(matrices[0]))
    with compilations() as count:
        values += [energy(matrix) for matrix in matrices[1:]]
    assert count.total == 0
    assert len(set(values)) == 4
    keys = {js.lower(volume(seed)[0], Z(0), engine=engine).key for seed in range(3)}
    assert len(keys) == 1


def test_volume_circuits_are_qiskits():
    for seed in range(3):
        circuit, truth = volume(seed)
        for engine in ("layered", "rotations"):
            np.testing.assert_allclose(js.statevector(circuit, engine=engine), truth, atol=2e-6)


# the choice -----------------------------------------------------------------------------------------------


def test_the_choice_is_that_of_a_full_search(random_circuit):
    """Layers are given up where they cost more: that changes no choice."""
    from jaxsim.lowering.cost import LAYER, LAYER_PHASES, STEP

    given_up = 0
    for num_wires in (3, 6, 9):
        for seed in range(15):
            names = ("rzz", "rxx", "iswap", "crx", "ccx", "u", "unitary", "cz", "h")
            random = random_circuit(seed, num_wires, 30, names=names[: 9 if seed % 2 else 6])
            random.gates = [g for g in random.gates if g.name != "unitary" or len(g.wires) <= 2]
            circuit = random.circuit(lambda k, value: Parameter(f"a{k:03}"))
            layers = layers_of(circuit).layers
            phases = any(layer.masked or any(layer.sign) for layer in layers)
            steps = steps_of(circuit)
            amplitudes = 2**num_wires
            each = (
                LAYER[0] * num_wires + (LAYER[1] + LAYER[2] * num_wires + LAYER_PHASES * phases) * amplitudes
            )
            costs = {
                "layered": len(layers) * each,
                "rotations": steps.used * (STEP[0] * steps.num_angles + STEP[1] * amplitudes),
            }
            found = choose(circuit, keep_phase=False)
            assert found.engine == min(costs, key=costs.__getitem__)
            assert all(found.costs[name] == pytest.approx(costs[name]) for name in found.costs)
            given_up += "layered" not in found.costs
    assert given_up > 5


def test_operands_that_were_folded_are_of_no_use():
    matrix, energies = MATRICES["random 0"], np.arange(4.0)
    last = Circuit(2).evolve_diagonal(0.1, energies).unitary(matrix, [0, 1])
    for circuit, taken in ((Circuit(2).unitary(matrix, [0, 1]), 0), (last, 1)):
        for engine in ("layered", "rotations"):
            assert lowered_form(circuit, engine, keep_phase=False, exact=False).operands == taken
        assert lowered_form(circuit, "fused", keep_phase=False, exact=False).operands == len(circuit.operands)
