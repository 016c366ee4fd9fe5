"""Layers, run by a few lines of complex128 NumPy, against Qiskit; how many there are; and the kernels that run them."""

from __future__ import annotations

import sys

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator
from scipy.stats import unitary_group

import jaxsim as js
from jaxsim import Circuit, Parameter, ParameterVector, X, Z, ansatz, layer_kernels
from jaxsim.lowering.euler import AXES, EMPTY, Slot, euler_angles
from jaxsim.lowering.index_maps import IndexMap, bring_to_front, gather_masks, independent_sets, odd
from jaxsim.lowering.layers import Layering, NoLayersError, capacity, lower_layers

PAULI = {"X": np.array([[0, 1], [1, 0]]), "Y": np.array([[0, -1j], [1j, 0]]), "Z": np.diag([1, -1])}


def rotation(letter: str, angle: float) -> np.ndarray:
    return np.cos(angle / 2) * np.eye(2) - 1j * np.sin(angle / 2) * PAULI[letter]


def value_of(angle, values) -> float:
    return angle.offset + sum(factor * values[k] for k, factor in angle.terms)


def slot_matrix(slot: Slot, values) -> np.ndarray:
    """The product of the slot's rotations."""
    u = np.eye(2)
    for letter, angle in zip("ZYZYZ", slot.angles, strict=True):
        u = rotation(letter, value_of(angle, values)) @ u
    return u


def run(layering: Layering, values, operands, psi: np.ndarray) -> np.ndarray:
    """What the layers do to a state."""
    j = np.arange(len(psi))

    def parity(mask: int) -> np.ndarray:
        return np.bitwise_count(j & mask) & 1

    for layer in layering.layers:
        for q, slot in enumerate(layer.slots):
            psi = np.einsum("ij,ajb->aib", slot_matrix(slot, values), psi.reshape(-1, 2, 2**q)).reshape(-1)
        for q, others in enumerate(layer.sign):
            psi = psi * np.where((j >> q & 1) & parity(others), -1, 1)
        if layer.masked:
            chosen = (j & layer.masked.mask) == layer.masked.value
            psi = psi * np.where(chosen, np.exp(1j * value_of(layer.masked.angle, values)), 1)
        if layer.table:
            psi = psi * np.exp(-1j * value_of(layer.table.angle, values) * operands[layer.table.operand])
        index = sum((parity(row) << q for q, row in enumerate(layer.map.rows)), 0 * j) ^ layer.map.flip
        moved = np.zeros_like(psi)
        moved[index] = psi
        psi = moved
    return psi * np.exp(1j * value_of(layering.phase, values))


def layers_of(circuit: Circuit) -> Layering:
    return lower_layers(circuit.structure, np.asarray(circuit.angles), circuit.operands)


# the form ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_wires", range(1, 7))
def test_random_circuits_are_qiskits(num_wires, random_circuit):
    """The whole table of gates, with controls; half of the angles are parameters."""
    for seed in range(30):
        random = random_circuit(seed, num_wires, 25)
        parameters = [Parameter(f"a{k:03}") for k in range(len(random.angles))]
        circuit = random.circuit(lambda k, value, own=parameters: 2 * own[k] if k % 2 else value)
        found = {p: random.angles[int(p.name[1:])] / 2 for p in circuit.parameters}
        layering = layers_of(circuit)
        psi = np.eye(2**num_wires, dtype=complex)[0]
        got = run(layering, [found[p] for p in circuit.parameters], circuit.operands, psi)
        np.testing.assert_allclose(got, Operator(random.qiskit()).data[:, 0], atol=1e-11)


@pytest.mark.parametrize("num_wires", range(2, 6))
def test_constant_matrices_on_two_wires_are_qiskits(num_wires, random_circuit):
    """Also on one, and on one under a control, among gates that have layers of their own."""
    for seed in range(12):
        random = random_circuit(seed, num_wires, 16, names=("unitary", "ecr", "cu", "cx", "ry", "rzz", "t"))
        random.gates = [g for g in random.gates if g.name != "unitary" or len(g.wires) < 3]
        circuit = random.circuit()
        psi = np.eye(2**num_wires, dtype=complex)[0]
        got = run(layers_of(circuit), [], circuit.operands, psi)
        np.testing.assert_allclose(got, Operator(random.qiskit()).data[:, 0], atol=1e-11)


def test_cu_with_open_angles_is_qiskits():
    values = np.array([0.3, -0.8, 1.1, 0.4])
    circuit = Circuit(2).h([0, 1]).cu(*ParameterVector("a", 4), 1, 0).ry(0.2, [0, 1])
    truth = QuantumCircuit(2)
    truth.h([0, 1])
    truth.cu(*values, 1, 0)
    truth.ry(0.2, [0, 1])
    got = run(layers_of(circuit), values, (), np.eye(4, dtype=complex)[0])
    np.testing.assert_allclose(got, Operator(truth).data[:, 0], atol=1e-12)


LAYERS = {
    "chain": (lambda: ansatz.hardware_efficient(10, 4), 4),
    "ring": (lambda: ansatz.hardware_efficient(10, 4, pattern="ring"), 4),
    "all pairs": (lambda: ansatz.hardware_efficient(10, 4, pattern="full"), 4),
    "rz ry": (lambda: ansatz.hardware_efficient(10, 4, rotations=("rz", "ry")), 4),
    "rx": (lambda: ansatz.hardware_efficient(10, 4, rotations=("rx",)), 4),
    "cz brick": (lambda: ansatz.hardware_efficient(10, 4, entangler="cz", pattern="brick"), 4),
    "cz all pairs": (lambda: ansatz.hardware_efficient(10, 4, entangler="cz", pattern="full"), 4),
    "swaps": (lambda: Circuit(4).h(range(4)).swap(0, 1).cx(1, 2).swap(2, 3).x(1).cx(3, 0), 1),
    "iswap": (lambda: Circuit(2).ry(0.1, range(2)).iswap(0, 1).ry(0.2, range(2)), 2),
    "ecr": (lambda: Circuit(2).ry(0.1, range(2)).ecr(0, 1).ry(0.2, range(2)), 2),
    "ecr alone": (lambda: Circuit(2).ecr(0, 1), 1),
    "cu": (lambda: Circuit(2).cu(*ParameterVector("a", 4), 0, 1), 3),
    "cswap": (lambda: Circuit(3).ry(0.1, range(3)).cswap(0, 1, 2).ry(0.2, range(3)), 7),
    "xx + yy": (lambda: Circuit(2).ry(0.1, range(2)).xx_plus_yy(Parameter("a"), 0.2, 0, 1), 5),
    "mcx of 9": (lambda: Circuit(10).mcx(range(9), 9), 2),
    "mcp of 9": (lambda: Circuit(10).mcp(0.3, range(9), 9), 1),
    "toffoli": (lambda: Circuit(3).ccx(0, 1, 2), 2),
    "table, p=3": (lambda: qaoa_table(10, 3), 4),
    "3-regular, p=2": (lambda: qaoa_words(nx.random_regular_graph(3, 10, seed=1), 2), 9),
    "ring, p=2": (lambda: qaoa_words(nx.cycle_graph(10), 2), 7),
    "complete, p=2": (lambda: qaoa_words(nx.complete_graph(10), 2), 21),
    "nothing": (lambda: Circuit(3).h(0).h(0).cx(0, 1).cx(0, 1).s(1).sdg(1), 0),
}


def qaoa_table(n: int, p: int) -> Circuit:
    t = ParameterVector("t", 2 * p)
    circuit = Circuit(n).h(range(n))
    for k in range(p):
        circuit.evolve_diagonal(t[2 * k], np.arange(2.0**n)).rx(t[2 * k + 1], range(n))
    return circuit


def qaoa_words(graph: nx.Graph, p: int) -> Circuit:
    t = ParameterVector("t", 2 * p)
    n = len(graph)
    circuit = Circuit(n).h(range(n))
    for k in range(p):
        for a, b in graph.edges:
            circuit.rzz(t[2 * k], a, b)
        circuit.rx(t[2 * k + 1], range(n))
    return circuit


@pytest.mark.parametrize("family", LAYERS)
def test_families_take_few_layers(family):
    make, most = LAYERS[family]
    assert len(layers_of(make()).layers) == most


def test_the_work_of_lowering_grows_with_the_number_of_gates():
    """Counted in calls of functions: eight times the layers, not sixty-four times the work."""

    def calls(layers: int) -> int:
        circuit, count = ansatz.hardware_efficient(8, layers), 0

        def seen(frame, event, argument):
            nonlocal count
            count += event == "call"

        sys.setprofile(seen)
        try:
            layers_of(circuit)
        finally:
            sys.setprofile(None)
        return count

    assert calls(64) < 10 * calls(8)


def test_what_has_no_layers_is_named():
    matrix = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))[0]
    for circuit in (
        Circuit(3).unitary(matrix, range(3)),
        Circuit(3).diagonal(np.exp(1j * np.arange(4)), [0, 2]),
        Circuit(3).evolve_diagonal(0.1, np.arange(4.0), [0, 1]),
    ):
        with pytest.raises(NoLayersError, match=f"{circuit.instructions[0].gate} on . wires"):
            layers_of(circuit)
        np.testing.assert_allclose(js.statevector(circuit), js.unitary(circuit)[:, 0], atol=1e-6)


def test_capacities():
    assert [capacity(k) for k in (0, 1, 12, 13, 48, 49, 700)] == [12, 12, 12, 48, 48, 192, 768]


# Euler angles -----------------------------------------------------------------------------------------------


def test_euler_angles_of_any_unitary():
    matrices = [unitary_group.rvs(2, random_state=k) for k in range(50)]
    diagonals = [np.diag(np.exp(1j * np.random.default_rng(k).normal(size=2) * 3)) for k in range(10)]
    for u in [*matrices, *diagonals, *(PAULI["X"] @ d for d in diagonals), PAULI["Y"]]:
        gamma, beta, alpha, phase = euler_angles(tuple(u.reshape(4).tolist()))
        made = rotation("Z", alpha) @ rotation("Y", beta) @ rotation("Z", gamma)
        np.testing.assert_allclose(np.exp(1j * phase) * made, u, atol=1e-12)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("XYZ"), st.booleans(), st.integers(-4, 4), st.floats(-3, 3)), max_size=7
    )
)
def test_rotations_join_exactly_or_not_at_all(steps):
    """Multiples of pi/2, other constants and parameters, in any order."""
    from jaxsim.lowering.angles import Affine

    values = np.random.default_rng(0).normal(size=8)
    slot, product = EMPTY, np.eye(2)
    for k, (letter, free, quarters, number) in enumerate(steps):
        angle = Affine(((k, 1.0),), 0.0) if free else Affine((), quarters * np.pi / 2 if quarters else number)
        joined = slot.then((AXES[letter], angle))
        if joined is None:
            assert letter != "Z" and not slot.second.idle
            return
        slot, product = joined, rotation(letter, value_of(angle, values)) @ product
        made = (-1) ** slot.half_turns * slot_matrix(slot, values)
        np.testing.assert_allclose(made, product, atol=1e-11)
        if slot.flips:
            np.testing.assert_allclose(product @ PAULI["X"], PAULI["X"] @ product, atol=1e-9)


# index maps -------------------------------------------------------------------------------------------------


def mapped(m: IndexMap, x: int) -> int:
    return sum(int(odd(row & x)) << q for q, row in enumerate(m.rows)) ^ m.flip


def random_map(n: int, seed: int):
    """A map, and the same as a function."""
    rng = np.random.default_rng(seed)
    m, steps = IndexMap(n), []
    for _ in range(15):
        a, b = (int(q) for q in rng.permutation(n)[:2])
        kind = rng.integers(3)
        if kind == 0:
            m.add(1 << a, 1 << b)
            steps.append(lambda x, a=a, b=b: x ^ ((x >> a & 1) << b))
        elif kind == 1:
            m.swap(a, b)
            steps.append(lambda x, a=a, b=b: x ^ ((x >> a ^ x >> b) & 1) * (1 << a | 1 << b))
        else:
            m.flip ^= 1 << a
            steps.append(lambda x, a=a: x ^ 1 << a)

    def function(x: int) -> int:
        for step in steps:
            x = step(x)
        return x

    return m, function


@pytest.mark.parametrize("seed", range(10))
def test_index_maps(seed):
    n = 5
    m, f = random_map(n, seed)
    first, g = random_map(n, seed + 100)
    both, undone = m.after(first), m.inverted()
    low, high = layer_kernels.index_tables(jnp.asarray(gather_masks([m], n)[0]))
    numbers = jnp.broadcast_to(jnp.arange(2**n, dtype=jnp.complex64), (2, 2**n))
    index = np.asarray(jax.vmap(layer_kernels.gather)(numbers, low, high)).real.astype(int)
    for x in range(2**n):
        y = f(x)
        assert mapped(m, x) == y and mapped(both, x) == f(g(x)) and mapped(undone, y) == x
        assert index[0][y] == x and index[1][x] == y
    mask, negated = m.parity_before(0b10110)
    assert all(odd(f(x) & 0b10110) == odd(x & mask) ^ negated for x in range(2**n))
    mask, negated = m.parity_after(0b01101)
    assert all(odd(x & 0b01101) == odd(f(x) & mask) ^ negated for x in range(2**n))
    assert all(f(x ^ m.flip_before(0b00101)) == f(x) ^ 0b00101 for x in range(2**n))


def test_parities_are_brought_to_bits_in_independent_sets():
    masks = list(range(1, 32))
    sets = independent_sets(masks)
    assert sorted(mask for chosen in sets for mask in chosen) == masks
    for chosen in sets:
        m = bring_to_front(5, chosen)
        for mask in chosen:
            after, _ = m.parity_after(mask)
            assert after.bit_count() == 1
    with pytest.raises(ValueError, match="not independent"):
        bring_to_front(3, [1, 2, 3])


# one kernel for all -----------------------------------------------------------------------------------------


def test_circuits_of_a_size_share_one_kernel(compilations):
    """Other gates, other networks, another number of layers and of parameters (within a bucket): nothing compiles."""

    def circuit(seed: int) -> Circuit:
        rng = np.random.default_rng(seed)
        layers = 3 + seed % 2
        trained = set(rng.permutation(5 * layers)[: 13 + seed % 3].tolist())
        made = Circuit(5)
        for layer in range(layers):
            for q in range(5):
                k = 5 * layer + q
                gate = rng.choice(["rx", "ry"])
                getattr(made, gate)(Parameter(f"a{k:02}") if k in trained else float(seed + k), q)
            made.rx(0.5, layer % 5)
            for _ in range(4):
                made.cx(*(int(q) for q in rng.permutation(5)[:2]))
        return made

    hamiltonian = sum(X(q) for q in range(5)) + Z(0) @ Z(1)
    js.compile(circuit(0), hamiltonian, engine="layered").value_and_grad(np.zeros(circuit(0).num_parameters))
    with compilations() as count:
        for seed in range(1, 12):
            made = circuit(seed)
            f = js.compile(made, hamiltonian * (1 + seed), engine="layered")
            values = np.random.default_rng(seed).normal(size=made.num_parameters)
            _, gradient = f.value_and_grad(values)
            assert gradient.shape == values.shape
    assert count.total == 0


def test_many_circuits_in_a_training_loop_of_the_users(compilations):
    """64 different circuits as one function inside a jitted step: one compilation."""
    import optax

    t = ParameterVector("t", 16)
    rng = np.random.default_rng(0)
    circuits = []
    for _ in range(64):
        c = Circuit(4)
        for layer in range(2):
            c.ry(t[8 * layer : 8 * layer + 4], range(4)).rz(t[8 * layer + 4 : 8 * layer + 8], range(4))
            for _ in range(3):
                c.cx(*(int(q) for q in rng.permutation(4)[:2]))
        circuits.append(c)
    f = js.compile(circuits, sum(Z(q) for q in range(4)))
    assert "64 circuits in 1 compiled calls" in f.explain() and len(f) == 64
    optimizer = optax.adam(0.2)
    values = jnp.asarray(rng.normal(size=(64, 16)), jnp.float32)
    energies, gradients = f.value_and_grad(values)
    before = energies
    for k in (0, 17, 63):
        value, gradient = js.compile(circuits[k], sum(Z(q) for q in range(4))).value_and_grad(values[k])
        assert energies[k] == pytest.approx(float(value), abs=1e-6)
        np.testing.assert_allclose(gradients[k], gradient, atol=1e-6)

    @jax.jit
    def step(values, state):
        energies, gradients = f.value_and_grad(values)
        updates, state = optimizer.update(gradients, state)
        return optax.apply_updates(values, updates), state, energies

    state = optimizer.init(values)
    with compilations() as count:
        for _ in range(60):
            values, state, energies = step(values, state)
    assert count.total == 1
    assert (energies < before).all() and np.median(energies) < -3.99


def test_many_circuits_of_different_sizes():
    a, b = Parameter("a"), Parameter("b")
    circuits = [Circuit(2).rx(a, 0), Circuit(3).rx(a, 0).ry(b, 1), Circuit(2).ry(b, 1).cx(1, 0)]
    f = js.compile(circuits, [Z(0), Z(1), Z(0)])
    values = np.array([[0.1, 7.0], [0.2, 0.3], [0.4, 7.0]])
    np.testing.assert_allclose(f(values), np.cos([0.1, 0.3, 0.4]), atol=1e-6)
    np.testing.assert_allclose(f([[0.1], {"a": 0.2, "b": 0.3}, [0.4]]), np.cos([0.1, 0.3, 0.4]), atol=1e-6)
    expected = [[-np.sin(0.1), 0], [0, -np.sin(0.3)], [-np.sin(0.4), 0]]
    np.testing.assert_allclose(f.value_and_grad(values)[1], expected, atol=1e-6)
    np.testing.assert_allclose(jax.jit(jax.jacrev(lambda v: f(v).sum()))(values), expected, atol=1e-6)
    with pytest.raises(ValueError, match=r"values must have shape \(3, 2\)"):
        f(values[:2])
    with pytest.raises(ValueError, match="values of 3 circuits are wanted, but 1 were given"):
        f([[0.1]])
    with pytest.raises(ValueError, match="3 circuits take one observable for all, or 3, but 2 were given"):
        js.compile(circuits, [Z(0), Z(1)])
    with pytest.raises(TypeError, match="item 1 of the list is a str, not a Circuit"):
        js.compile([circuits[0], "rx"], Z(0))
    with pytest.raises(ValueError, match="an empty list of circuits"):
        js.compile([], Z(0))
    with pytest.raises(ValueError, match="states of circuits of different sizes"):
        js.compile(circuits)
