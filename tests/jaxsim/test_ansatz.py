"""Ready-made circuits against dense matrices built by hand, closed forms and published energies."""

from __future__ import annotations

import functools
import re
import time

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
import scipy.sparse.linalg
from qiskit.circuit import ParameterVector as QiskitVector
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import Operator

import jaxsim as js
from ensembles.problems import MaxCut, bond_lengths, molecule
from jaxsim import Circuit, I, Z, ansatz
from jaxsim.gates import GATES

TWO_WIRE_GATES = [row.name for row in GATES.values() if row.num_wires == 2]


def unitary(circuit: Circuit, values=()) -> np.ndarray:
    with jax.enable_x64(True):
        return np.asarray(js.unitary(circuit.bind(values), dtype=jnp.complex128))


def names(parameters) -> list[str]:
    return [p.name for p in parameters]


# hardware-efficient layers ----------------------------------------------------------------------------------


def test_the_default_layer_is_ry_rz_and_a_cx_chain_and_nothing_else():
    expected = Circuit(4)
    theta = js.ParameterVector("theta", 16).reshape(2, 2, 4)
    for layer in theta:
        for q in range(4):
            expected.ry(layer[0, q], q)
        for q in range(4):
            expected.rz(layer[1, q], q)
        expected.cx(0, 1).cx(1, 2).cx(2, 3)
    assert ansatz.hardware_efficient(4, 2).structure is expected.structure


def bonds(pattern: str, n: int) -> list[tuple[int, int]]:
    """As Qiskit's blocks are entangled, by hand."""
    if pattern == "full":
        return [(a, b) for a in range(n) for b in range(a + 1, n)]
    if pattern == "brick":
        return [(a, a + 1) for start in (0, 1) for a in range(start, n - 1, 2)]
    return [(a, a + 1) for a in range(n - 1)] + ([(n - 1, 0)] if pattern == "ring" and n > 2 else [])


@pytest.mark.parametrize("pattern", ansatz.PATTERNS)
@pytest.mark.parametrize(
    "rotations, entangler, final",
    [
        (("ry", "rz"), "cx", True),
        (("h", "rx"), "crz", False),
        (("u",), "rzz", True),
        (("sx", "rz", "sx"), "ecr", False),
    ],
)
def test_hardware_efficient_is_the_circuit_written_out_in_qiskit(pattern, rotations, entangler, final):
    n, layers = 4, 2
    circuit = ansatz.hardware_efficient(n, layers, rotations, entangler, pattern, final_rotations=final)
    theta = iter(QiskitVector("theta", circuit.num_parameters))
    reference = QuantumCircuit(n)

    def put(gate, *wires):
        getattr(reference, gate)(*(next(theta) for _ in GATES[gate].angles), *wires)

    for layer in range(layers + final):
        for gate in rotations:
            for q in range(n):
                put(gate, q)
        if layer < layers:
            for pair in bonds(pattern, n):
                put(entangler, *pair)
    assert next(theta, None) is None
    values = np.random.default_rng(1).uniform(-np.pi, np.pi, circuit.num_parameters)
    expected = Operator(reference.assign_parameters(values)).data
    np.testing.assert_allclose(unitary(circuit, values), expected, atol=1e-12)


@pytest.mark.parametrize("entangler", TWO_WIRE_GATES)
def test_every_two_wire_gate_entangles(entangler):
    circuit = ansatz.hardware_efficient(3, 2, ("ry",), entangler)
    assert circuit.count_gates() == {"ry": 6, entangler: 4}
    assert circuit.num_parameters == 6 + 4 * len(GATES[entangler].angles)
    in_time = [circuit.structure.expressions[k][1].name for k in range(circuit.num_parameters)]
    assert in_time == names(circuit.parameters)


def test_small_and_empty_cases():
    assert ansatz.hardware_efficient(1, 2).count_gates() == {"ry": 2, "rz": 2}
    assert ansatz.hardware_efficient(2, 1, pattern="ring").count_gates()["cx"] == 1
    assert len(ansatz.hardware_efficient(3, 0)) == 0
    assert ansatz.hardware_efficient(3, 0, final_rotations=True).num_parameters == 6
    assert ansatz.hardware_efficient(3, 1, "ry").count_gates() == {"ry": 3, "cx": 2}
    assert names(ansatz.hardware_efficient(1, 1, parameters="a").parameters) == ["a[0]", "a[1]"]


# bricks -----------------------------------------------------------------------------------------------------


def test_bricks_alternate_between_the_even_and_the_odd_bonds():
    circuit = ansatz.brick(5, 3, "u_cz")
    cz = [i.wires for i in circuit.instructions if i.gate == "cz"]
    assert cz == [(0, 1), (2, 3), (1, 2), (3, 4), (0, 1), (2, 3)]
    assert ansatz.brick(2, 3, "cx").count_gates() == {"cx": 3}
    assert len(ansatz.brick(4, 0)) == 0
    in_time = [expression.name for _, expression in circuit.structure.expressions]
    assert in_time == names(circuit.parameters)
    assert len(in_time) == 6 * 6


def test_the_su4_block_reaches_every_direction_of_su4():
    """dU U^-1 spans the 15-dimensional algebra at a generic point."""
    block = ansatz.brick(2, 1, "su4")
    assert block.num_parameters == 15
    at = np.random.default_rng(2).uniform(-1, 1, 15)
    U, step = unitary(block, at), 1e-5
    directions = []
    for k in range(15):
        dU = (unitary(block, at + step * np.eye(15)[k]) - unitary(block, at - step * np.eye(15)[k])) / (
            2 * step
        )
        generator = -1j * dU @ U.conj().T
        generator -= np.trace(generator) / 4 * np.eye(4)
        directions.append(np.concatenate([generator.real.ravel(), generator.imag.ravel()]))
    assert np.linalg.svd(np.array(directions), compute_uv=False)[-1] > 1e-2


def test_the_su4_block_is_the_cartan_decomposition():
    def u(theta, phi, lam):
        return np.array(
            [
                [np.cos(theta / 2), -np.exp(1j * lam) * np.sin(theta / 2)],
                [np.exp(1j * phi) * np.sin(theta / 2), np.exp(1j * (phi + lam)) * np.cos(theta / 2)],
            ]
        )

    X, Y, Z2 = np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])
    v = np.random.default_rng(3).uniform(-np.pi, np.pi, 15)
    middle = scipy.linalg.expm(-0.5j * sum(a * np.kron(P, P) for a, P in zip(v[6:9], (X, Y, Z2))))
    expected = np.kron(u(*v[12:]), u(*v[9:12])) @ middle @ np.kron(u(*v[3:6]), u(*v[:3]))
    np.testing.assert_allclose(unitary(ansatz.brick(2, 1), v), expected, atol=1e-12)


def test_an_xy_brickwork_conserves_the_number_of_ones():
    circuit = ansatz.brick(5, 4, "xx_plus_yy")
    values = np.random.default_rng(4).uniform(-np.pi, np.pi, circuit.num_parameters)
    ones = np.array([bin(k).count("1") for k in range(32)])
    U = unitary(circuit, values)
    assert np.abs(U[ones[:, None] != ones[None, :]]).max() < 1e-12
    assert np.abs(U[3]).max() < 0.99


# QAOA -------------------------------------------------------------------------------------------------------


def dense_qaoa(diagonal, gammas, betas) -> np.ndarray:
    """exp(-i b sum X) exp(-i g C) layer by layer on the uniform superposition, as dense matrices."""
    n = int(np.log2(len(diagonal)))
    state = np.full(2**n, 2 ** (-n / 2), complex)
    for g, b in zip(gammas, betas):
        one = scipy.linalg.expm(-1j * b * np.array([[0, 1], [1, 0]]))
        state = functools.reduce(np.kron, [one] * n) @ (np.exp(-1j * g * diagonal) * state)
    return state


def ring(n: int) -> MaxCut:
    return MaxCut([(q, (q + 1) % n) for q in range(n)])


def test_qaoa_against_dense_matrices():
    rng = np.random.default_rng(5)
    diagonal, values = rng.normal(size=16), rng.uniform(-1, 1, (2, 3))
    circuit = ansatz.qaoa(diagonal, 3)
    assert names(circuit.parameters) == ["beta[0]", "beta[1]", "beta[2]", "gamma[0]", "gamma[1]", "gamma[2]"]
    with jax.enable_x64(True):
        bound = circuit.bind({"gamma": values[0], "beta": values[1]})
        state = js.statevector(bound, dtype=jnp.complex128)
        flat = js.compile(circuit, dtype=jnp.complex128)(np.concatenate([values[1], values[0]]))
    np.testing.assert_allclose(state, dense_qaoa(diagonal, *values), atol=1e-12)
    np.testing.assert_allclose(flat, state, atol=1e-14)


def test_a_cost_layer_is_one_gate_and_the_cost_is_stored_once():
    circuit = ansatz.qaoa(ring(6), 3)
    assert circuit.count_gates() == {"h": 6, "evolve_diagonal": 3, "rx": 18}
    assert len(circuit.operands) == 1
    assert circuit.num_parameters == 6


def test_costs_of_one_size_do_not_see_each_other():
    costs = [np.arange(8.0), np.arange(8.0)[::-1].copy(), np.zeros(8)]
    circuits = [ansatz.qaoa(cost, 2) for cost in costs]
    circuits[0].h(0)
    circuits.append(ansatz.qaoa(costs[1], 2))
    assert [len(c) for c in circuits] == [12, 11, 11, 11]
    for cost, circuit in zip([*costs, costs[1]], circuits, strict=True):
        np.testing.assert_array_equal(circuit.operands[0], cost)
    assert len(circuits[1].evolve_diagonal(0.1, costs[1]).operands) == 1
    with pytest.raises(ValueError, match="finite"):
        ansatz.qaoa([0.0] * 7 + [np.nan], 2)
    assert ansatz.qaoa(np.zeros(8), 0).operands == ()
    assert ansatz.qaoa([0.0] * 7 + [np.nan], 0).count_gates() == {"h": 3}


def test_a_cost_is_a_diagonal_a_pauli_sum_or_a_problem():
    problem = MaxCut([(0, 1, 0.5), (1, 2, 2.0), (0, 2, 1.0)])
    circuits = [ansatz.qaoa(cost, 2) for cost in (problem, problem.hamiltonian, problem.diagonal())]
    circuits.append(ansatz.qaoa(problem.diagonal().tolist(), 2))
    circuits.append(ansatz.qaoa(jnp.asarray(problem.diagonal()), 2))
    for circuit in circuits:
        assert circuit.structure is circuits[0].structure
        np.testing.assert_array_equal(circuit.operands[0], [0, 1.5, 2.5, 3, 3, 2.5, 1.5, 0])
    assert ansatz.qaoa(Z(0) @ Z(1), 1, num_wires=4).num_wires == 4
    assert ansatz.qaoa(3 * I(), 1).num_wires == 1


def test_graphs_on_as_many_nodes_share_a_compiled_call():
    graphs = [nx.random_regular_graph(3, 8, seed=s) for s in range(2)] + [nx.path_graph(8)]
    circuits = [ansatz.qaoa(MaxCut(graph), 2) for graph in graphs]
    assert len({id(c.structure) for c in circuits}) == 1
    assert len({js.lower(c, Z(0)).key for c in circuits}) == 1


def test_the_cost_may_be_a_traced_value():
    def energy(diagonal, values):
        return js.expectation(ansatz.qaoa(diagonal, 1).bind(values), Z(0) @ Z(1))

    values = jnp.array([0.3, 0.4])
    diagonals = jnp.array([[0.0, 1, 1, 0], [0.5, 0, 0, 2]])
    together = jax.jit(jax.vmap(energy, (0, None)))(diagonals, values)
    zz = np.array([1, -1, -1, 1])
    expected = [np.abs(dense_qaoa(np.array(d), [0.4], [0.3])) ** 2 @ zz for d in diagonals]
    np.testing.assert_allclose(together, expected, atol=1e-6)


def test_one_layer_on_triangle_free_graphs_is_the_closed_form():
    """Wang, Hadfield, Jiang, Rieffel, Phys. Rev. A 97, 022304 (2018): an edge whose ends have d + 1 and e + 1
    neighbours, none in common, is cut with 1/2 + 1/4 sin 4b sin g (cos^d g + cos^e g)."""
    graph = nx.complete_bipartite_graph(2, 3)
    graph.add_edge(0, 5)
    problem = MaxCut(graph)
    f = js.compile(ansatz.qaoa(problem, 1), problem.hamiltonian)
    for beta, gamma in np.random.default_rng(6).uniform(-2, 2, (5, 2)):
        expected = sum(
            0.5
            + 0.25
            * np.sin(4 * beta)
            * np.sin(gamma)
            * sum(np.cos(gamma) ** (graph.degree[node] - 1) for node in edge)
            for edge in graph.edges
        )
        assert abs(float(f([beta, gamma])) - expected) < 1e-5


@pytest.mark.parametrize("layers, fraction", [(1, 3 / 4), (2, 5 / 6)])
def test_rings_reach_the_known_fraction_of_edges(layers, fraction):
    """Farhi, Goldstone, Gutmann (2014): (2p + 1) / (2p + 2) on rings of more than 2p + 1 nodes."""
    problem = ring(8)
    f = js.compile(ansatz.qaoa(problem, layers), problem.hamiltonian)

    def loss(values):
        value, gradient = f.value_and_grad(values)
        return -float(value), -np.asarray(gradient, float)

    gammas, betas = ansatz.linear_ramp(layers)
    best = scipy.optimize.minimize(loss, np.concatenate([betas, gammas]), jac=True, method="L-BFGS-B")
    assert abs(-best.fun / 8 - fraction) < 1e-4


def test_the_ramp_climbs_towards_the_largest_cut():
    for seed in range(3):
        problem = MaxCut(nx.random_regular_graph(3, 8, seed=seed))
        diagonal, best = problem.diagonal(), problem.best().value

        def ratio(layers, sign=1, diagonal=diagonal, best=best):
            gammas, betas = ansatz.linear_ramp(layers)
            return np.abs(dense_qaoa(diagonal, sign * gammas, betas)) ** 2 @ diagonal / best

        mean = diagonal.mean() / best
        ratios = [ratio(p) for p in (1, 2, 4, 8, 16)]
        assert mean < ratios[0] and all(np.diff(ratios) > 0) and ratios[-1] > 0.9
        assert ratio(8, sign=-1) < 0.3 * mean  # -gammas: towards the smallest


def test_the_ramp_is_the_midpoint_rule():
    gammas, betas = ansatz.linear_ramp(4, dt=0.8)
    np.testing.assert_allclose(gammas, [0.1, 0.3, 0.5, 0.7])
    np.testing.assert_allclose(gammas + betas, 0.8)
    assert [a.shape for a in ansatz.linear_ramp(0)] == [(0,), (0,)]


# unitary coupled cluster ------------------------------------------------------------------------------------


def annihilators(n: int):
    """Jordan-Wigner ladder operators as Kronecker products, qubit 0 rightmost."""
    lower, string = scipy.sparse.csr_array([[0.0, 1.0], [0.0, 0.0]]), scipy.sparse.diags_array([1.0, -1.0])
    return [
        functools.reduce(
            lambda a, b: scipy.sparse.kron(a, b, format="csr"),
            [scipy.sparse.eye_array(2)] * (n - 1 - p) + [lower] + [string] * p,
        )
        for p in range(n)
    ]


def generators(n: int, electrons: int):
    """T - T^dagger of every excitation, from the ladder operators."""
    a = annihilators(n)
    result = []
    for occupied, virtual in ansatz.excitations(n, electrons):
        ladder = [a[p].T for p in virtual] + [a[p] for p in reversed(occupied)]
        T = functools.reduce(lambda left, right: left @ right, ladder)
        result.append((T - T.T).tocsr())
    return result


def test_ladder_operators_anticommute():
    a = [op.toarray() for op in annihilators(4)]
    for p in range(4):
        for q in range(4):
            np.testing.assert_array_equal(a[p] @ a[q].T + a[q].T @ a[p], (p == q) * np.eye(16))
            np.testing.assert_array_equal(a[p] @ a[q] + a[q] @ a[p], np.zeros((16, 16)))


@pytest.mark.parametrize("n, electrons", [(4, 2), (6, 2), (6, 3)])
def test_each_excitation_is_the_exponential_of_its_ladder_operators(n, electrons):
    circuit = ansatz.uccsd(n, electrons)
    reference = np.eye(2**n)[:, np.arange(2**n) ^ (2**electrons - 1)]  # the X gates of Hartree-Fock
    for k, A in enumerate(generators(n, electrons)):
        values = np.zeros(circuit.num_parameters)
        values[k] = 0.7 + 0.1 * k
        expected = scipy.linalg.expm(values[k] * A.toarray()) @ reference
        np.testing.assert_allclose(unitary(circuit, values), expected, atol=1e-10)


@pytest.mark.parametrize("n, electrons", [(4, 2), (6, 4), (8, 4), (8, 3)])
def test_the_whole_circuit_is_the_product_in_order(n, electrons):
    rng = np.random.default_rng(7)
    start = rng.normal(size=2**n) + 1j * rng.normal(size=2**n)
    start /= np.linalg.norm(start)
    circuit = ansatz.uccsd(n, electrons)
    values = rng.normal(size=circuit.num_parameters)
    expected = start[np.arange(2**n) ^ (2**electrons - 1)]
    for value, A in zip(values, generators(n, electrons)):
        expected = scipy.sparse.linalg.expm_multiply(value * A, expected)
    with jax.enable_x64(True):
        state = js.statevector(circuit.bind(values), initial_state=start, dtype=jnp.complex128)
    np.testing.assert_allclose(state, expected, atol=1e-10)


@pytest.mark.parametrize(
    "n, electrons, doubles, singles",
    # doubles: pairs of like spin, C(o, 2) C(v, 2) for each, and of unlike spin, o_up o_down v_up v_down
    [(4, 2, 1, 2), (8, 4, 18, 8), (10, 2, 16, 8), (6, 3, 4, 4), (4, 4, 0, 0), (4, 0, 0, 0)],
)
def test_number_of_excitations(n, electrons, doubles, singles):
    found = ansatz.excitations(n, electrons)
    assert [len(occupied) for occupied, _ in found] == [2] * doubles + [1] * singles
    assert len(set(found)) == len(found)
    circuit = ansatz.uccsd(n, electrons)
    assert circuit.num_parameters == doubles + singles
    assert circuit.count_gates().get("pauli_rotation", 0) == 8 * doubles + 2 * singles


@pytest.mark.parametrize("n, electrons", [(8, 4), (6, 3)])
def test_electrons_and_spin_are_conserved(n, electrons):
    circuit = ansatz.uccsd(n, electrons)
    values = np.random.default_rng(8).normal(size=circuit.num_parameters)
    p = np.asarray(js.probabilities(circuit.bind(values)))
    index = np.arange(2**n)
    up, down = (sum(index >> q & 1 for q in range(spin, n, 2)) for spin in (0, 1))
    allowed = (up == (electrons + 1) // 2) & (down == electrons // 2)
    assert p[~allowed].sum() < 1e-10
    assert p[2**electrons - 1] < 0.9


@functools.cache
def compiled(name: str, length: float):
    with jax.enable_x64(True):
        m = molecule(name, bond_length=length)
        return m, js.compile(ansatz.uccsd(m.n_qubits, m.n_electrons), m.hamiltonian, dtype=jnp.complex128)


@pytest.mark.parametrize("name", ["H2", "H4", "LiH"])
def test_at_zero_it_is_hartree_fock_where_singles_have_no_gradient(name):
    for length in bond_lengths(name)[::8]:
        m, f = compiled(name, length)
        with jax.enable_x64(True):
            value, gradient = f.value_and_grad(np.zeros(len(f.parameters)))
            vacuum = js.expectation(
                ansatz.hartree_fock(m.n_qubits, m.n_electrons), m.hamiltonian, dtype=jnp.complex128
            )
        assert abs(float(value) - m.hartree_fock_energy) < 1e-9
        assert abs(float(vacuum) - m.hartree_fock_energy) < 1e-9
        sizes = np.array([len(occupied) for occupied, _ in ansatz.excitations(m.n_qubits, m.n_electrons)])
        assert np.abs(gradient[sizes == 1]).max() < 1e-5  # Brillouin, to the convergence of Hartree-Fock
        assert np.abs(gradient[sizes == 2]).max() > 1e-2


def minimum(name: str, length: float) -> float:
    m, f = compiled(name, length)

    def loss(values):
        with jax.enable_x64(True):
            value, gradient = f.value_and_grad(values)
        return float(value), np.asarray(gradient)

    start = np.zeros(len(f.parameters))
    best = scipy.optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options={"ftol": 1e-13})
    return best.fun - m.exact_energy


@pytest.mark.parametrize("length", [0.3, 0.74, 1.5, 2.5])
def test_hydrogen_reaches_the_exact_energy(length):
    length = min(bond_lengths("H2"), key=lambda grid: abs(grid - length))
    assert -1e-9 < minimum("H2", length) < 1e-6


def test_lithium_hydride_is_within_chemical_accuracy():
    """Two electrons: singles and doubles are all there is; only the Trotter product differs from exact."""
    assert -1e-9 < minimum("LiH", 1.6) < 1e-4


def test_many_starts_train_in_one_vmapped_function():
    m = molecule("H2", bond_length=0.74)
    f = js.compile(ansatz.uccsd(4, 2), m.hamiltonian)

    @jax.jit
    @jax.vmap
    def train(values):
        def step(values, _):
            return values - 0.3 * jax.grad(f)(values), None

        return f(jax.lax.scan(step, values, None, 60)[0])

    starts = jax.random.uniform(jax.random.key(0), (4, 3), minval=-0.3, maxval=0.3)
    np.testing.assert_allclose(train(starts), m.exact_energy, atol=1e-3)


# all of them ------------------------------------------------------------------------------------------------

BUILDERS = {
    "hardware_efficient": lambda: ansatz.hardware_efficient(5, 3, pattern="ring"),
    "brick": lambda: ansatz.brick(5, 3),
    "qaoa": lambda: ansatz.qaoa(np.arange(16.0), 2),
    "uccsd": lambda: ansatz.uccsd(6, 2),
    "hartree_fock": lambda: ansatz.hartree_fock(6, 2),
}


@pytest.mark.parametrize("name", BUILDERS)
def test_equal_arguments_give_one_structure(name):
    first, second = BUILDERS[name](), BUILDERS[name]()
    assert first is not second
    assert first.structure is second.structure
    assert first == second


@pytest.mark.parametrize(
    "build, milliseconds",
    [(lambda: ansatz.uccsd(8, 4), 30), (lambda: ansatz.hardware_efficient(10, 4), 3)],
)
def test_building_is_fast(build, milliseconds):
    def seconds() -> float:
        start = time.perf_counter()
        _ = build().structure
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < milliseconds / 1000


ERRORS = [
    (
        lambda: ansatz.hardware_efficient(0, 1),
        ValueError,
        "the number of qubits must be an integer from 1 to 30",
    ),
    (lambda: ansatz.hardware_efficient(31, 1), ValueError, "but 31 was given"),
    (lambda: ansatz.hardware_efficient(True, 1), TypeError, "but True was given"),
    (lambda: ansatz.hardware_efficient(2, -1), ValueError, "layers must be an integer, 0 or more, but -1"),
    (lambda: ansatz.hardware_efficient(2, 1.0), TypeError, "layers must be an integer, 0 or more, but 1.0"),
    (
        lambda: ansatz.hardware_efficient(2, 1, ("ry", "cx")),
        ValueError,
        "a rotation must be a gate on 1 wire, but 'cx' was given; choose one of id, x, y",
    ),
    (
        lambda: ansatz.hardware_efficient(2, 1, entangler="ccx"),
        ValueError,
        "the entangler must be a gate on 2 wires, but 'ccx' was given; choose one of swap, iswap",
    ),
    (lambda: ansatz.hardware_efficient(2, 1, entangler=None), ValueError, "but None was given; choose"),
    (
        lambda: ansatz.hardware_efficient(2, 1, pattern="star"),
        ValueError,
        "pattern='star' is not known; choose one of chain, ring, brick, full.",
    ),
    (lambda: ansatz.brick(1, 1), ValueError, "brick: the number of qubits must be an integer from 2 to 30"),
    (lambda: ansatz.brick(4, 1, "su5"), ValueError, "but 'su5' was given; choose one of su4, u_cz, swap"),
    (lambda: ansatz.qaoa(np.ones(4), -1), ValueError, "qaoa: layers must be"),
    (lambda: ansatz.qaoa(np.ones(4), 1, "xy"), ValueError, "choose one of x, xy_ring, xy_complete."),
    (lambda: ansatz.qaoa(np.ones(6), 1), ValueError, "has shape (2**n,), n >= 1, but (6,) was given"),
    (lambda: ansatz.qaoa(np.ones(1), 1), ValueError, "but (1,) was given"),
    (lambda: ansatz.qaoa(np.ones((2, 2)), 1), ValueError, "but (2, 2) was given"),
    (lambda: ansatz.qaoa(1j * np.ones(4), 1), TypeError, "but an array of dtype complex128 was given"),
    (lambda: ansatz.qaoa("cut", 1), TypeError, "a problem with n_qubits and diagonal()"),
    (lambda: ansatz.qaoa(js.X(0) + Z(1), 1), ValueError, "must be diagonal, a sum of words of I and Z"),
    (lambda: ansatz.qaoa(np.ones(4), 1, num_wires=3), ValueError, "num_wires goes with a PauliSum"),
    (lambda: ansatz.qaoa(Z(4), 1, num_wires=3), ValueError, "num_wires must be from 5"),
    (lambda: ansatz.linear_ramp(1.5), TypeError, "linear_ramp: layers must be"),
    (lambda: ansatz.uccsd(5, 2), ValueError, "uccsd: n_qubits must be even"),
    (lambda: ansatz.uccsd(4, 5), ValueError, "uccsd: 5 electrons do not fit in 4 spin orbitals, one each."),
    (lambda: ansatz.uccsd(4, -1), ValueError, "n_electrons must be an integer, 0 or more"),
    (lambda: ansatz.hartree_fock(0, 0), ValueError, "hartree_fock: n_qubits must be an integer from 2 to 30"),
    (lambda: ansatz.excitations(4, 2.0), TypeError, "excitations: n_electrons must be an integer"),
]


@pytest.mark.parametrize(
    "build, kind, message", ERRORS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_errors_say_what_is_allowed(build, kind, message):
    with pytest.raises(kind, match=re.escape(message)) as raised:
        build()
    assert str(raised.value).endswith((".", ")"))
