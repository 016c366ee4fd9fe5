"""Problems against plain loops over all assignments, and against networkx."""

from __future__ import annotations

import itertools
import math
import pickle

import networkx as nx
import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from ensembles import QAOA, adam
from ensembles.problems import (
    HUBO,
    QUBO,
    Best,
    BinaryProblem,
    Ising,
    MaxCut,
    MaxIndependentSet,
    MinVertexCover,
    NumberPartitioning,
)
from ensembles.problems.spin_polynomial import SpinPolynomial
from jaxsim import I, X, Z


def all_bits(n):
    """Every assignment, entry q of row k being bit q of k."""
    return [[k >> q & 1 for q in range(n)] for k in range(2**n)]


def assert_costs(problem, cost_of_bits, dense):
    """The diagonal, the operator and single costs, all against one plain function."""
    n = problem.n_qubits
    expected = np.array([cost_of_bits(bits) for bits in all_bits(n)])
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(problem.diagonal(), expected, atol=1e-12 * scale)
    np.testing.assert_allclose(np.diag(dense(problem.hamiltonian, n)).real, expected, atol=1e-12 * scale)
    for bits, value in list(zip(all_bits(n), expected))[:: max(1, 2**n // 8)]:
        assert problem.cost(bits) == pytest.approx(value, abs=1e-12 * scale)
    best = problem.best()
    extreme = expected.max() if problem.maximize else expected.min()
    assert best.value == pytest.approx(extreme, abs=1e-12 * scale)
    assert expected[int(best.bitstring, 2)] == pytest.approx(extreme, abs=1e-12 * scale)
    assert problem.loss_sign == (-1 if problem.maximize else 1)


@st.composite
def weighted_graphs(draw):
    n = draw(st.integers(2, 7))
    pairs = list(itertools.combinations(range(n), 2))
    edges = draw(st.lists(st.sampled_from(pairs), unique=True))
    weights = {k: draw(st.floats(0.5, 3)) for k in range(n)}
    return n, edges, weights


# sets of nodes ----------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(weighted_graphs())
def test_independent_sets_of_random_graphs(dense, case):
    n, edges, weights = case
    problem = MaxIndependentSet(edges, num_nodes=n, weights=weights)
    penalty = 2 * max(weights.values())

    def cost(bits):
        return sum(weights[q] * bits[q] for q in range(n)) - penalty * sum(
            bits[a] * bits[b] for a, b in edges
        )

    assert_costs(problem, cost, dense)
    # The best cost belongs to a real independent set, the heaviest: networkx finds it as a clique of the complement.
    best = problem.best().bitstring
    assert problem.is_feasible(best)
    complement = nx.complement(nx.Graph([*edges, *((q, q) for q in range(n))]))
    complement.remove_edges_from(nx.selfloop_edges(complement))
    for q in range(n):
        complement.add_node(q, weight=round(1e6 * weights[q]))
    _, heaviest = nx.max_weight_clique(complement)
    assert problem.objective(best) == pytest.approx(heaviest / 1e6, abs=1e-5)
    assert sum(weights[q] for q in problem.decode(best)) == pytest.approx(problem.objective(best))


@settings(max_examples=25, deadline=None)
@given(weighted_graphs())
def test_vertex_covers_of_random_graphs(dense, case):
    n, edges, weights = case
    problem = MinVertexCover(edges, num_nodes=n, weights=weights, penalty=10.0)

    def cost(bits):
        uncovered = sum((1 - bits[a]) * (1 - bits[b]) for a, b in edges)
        return sum(weights[q] * bits[q] for q in range(n)) + 10.0 * uncovered

    assert_costs(problem, cost, dense)
    best = problem.best().bitstring
    covers = [
        sum(weights[q] for q in range(n) if bits[q])
        for bits in all_bits(n)
        if all(bits[a] or bits[b] for a, b in edges)
    ]
    assert problem.is_feasible(best)
    assert problem.objective(best) == pytest.approx(min(covers))


def test_complements_of_covers_are_independent_sets():
    graph = nx.petersen_graph()
    cover, independent = MinVertexCover(graph), MaxIndependentSet(graph)
    assert independent.best().value == 4  # the independence number of the Petersen graph
    assert cover.best().value == 6
    chosen = cover.decode(cover.best().bitstring)
    assert nx.is_dominating_set(graph, chosen)
    rest = [node for node in graph if node not in chosen]
    assert graph.subgraph(rest).number_of_edges() == 0
    assert independent.is_feasible({node: int(node in rest) for node in graph})


def test_labels_and_weights_of_nodes():
    graph = nx.Graph([("a", "b"), ("b", "c")])
    graph.nodes["b"]["weight"] = 5.0
    problem = MaxIndependentSet(graph)
    assert problem.weights.tolist() == [1.0, 5.0, 1.0]
    assert problem.penalty == 10.0
    assert problem.decode(problem.best().bitstring) == ("b",)
    assert problem.decode("101") == ("a", "c")
    assert not problem.is_feasible({"a": 1, "b": 1, "c": 0})
    assert repr(problem) == "MaxIndependentSet(3 nodes, 2 edges)"
    assert MaxIndependentSet(nx.empty_graph(3)).best() == Best(3.0, "111")


# numbers ------------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=2, max_size=7))
def test_number_partitioning(dense, numbers):
    problem = NumberPartitioning(numbers)

    def difference(bits):
        return sum(a if bit == 0 else -a for a, bit in zip(numbers, bits))

    assert_costs(problem, lambda bits: difference(bits) ** 2, dense)
    for bits in all_bits(len(numbers))[::5]:
        zero, one = problem.decode(bits)
        assert abs(sum(zero) - sum(one)) == pytest.approx(problem.objective(bits), abs=1e-9)
        assert problem.objective(bits) == pytest.approx(abs(difference(bits)), abs=1e-9)


def test_numbers_with_labels():
    problem = NumberPartitioning({"b": 3, "a": 1, "c": 2})
    assert problem.variables == ("a", "b", "c")
    assert problem.best().value == 0.0
    assert sorted(map(sorted, problem.decode(problem.best().bitstring))) == [[1.0, 2.0], [3.0]]


# polynomials --------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(0, 10**6), st.booleans())
def test_qubo_forms_agree_with_the_matrix(dense, n, seed, maximize):
    rng = np.random.default_rng(seed)
    Q = rng.normal(size=(n, n)) * (rng.uniform(size=(n, n)) < 0.6)
    forms = [Q, Q.tolist(), scipy.sparse.csr_array(Q), {(i, j): Q[i, j] for i in range(n) for j in range(n)}]
    problems = [QUBO(form, offset=0.5, maximize=maximize) for form in forms]

    def cost(bits):
        return float(np.array(bits) @ Q @ np.array(bits)) + 0.5

    assert_costs(problems[0], cost, dense)
    for problem in problems[1:]:
        np.testing.assert_allclose(problem.diagonal(), problems[0].diagonal(), atol=1e-12)


@st.composite
def polynomials(draw):
    names = "abcdef"
    keys = draw(
        st.lists(st.frozensets(st.sampled_from(names), max_size=4), min_size=1, max_size=8, unique=True)
    )
    terms = {tuple(sorted(key)): draw(st.floats(-3, 3)) for key in keys}
    terms[("a",)] = 1.0
    return terms


@settings(max_examples=25, deadline=None)
@given(polynomials(), st.booleans())
def test_hubo_is_the_polynomial(dense, terms, maximize):
    problem = HUBO(terms, maximize=maximize)
    names = problem.variables

    def cost(bits):
        value = dict(zip(names, bits))
        return sum(c * math.prod(value[name] for name in key) for key, c in terms.items())

    assert_costs(problem, cost, dense)
    assert problem.decode("0" * len(names)) == dict.fromkeys(names, 0)


def test_hubo_keys():
    assert HUBO({("a", "b", "a"): 2.0, frozenset("ab"): 1.0, "a": 1, 7: 1}).diagonal().max() == 5.0
    assert HUBO({("b", "a"): 1.0}).variables == ("a", "b")
    assert HUBO({(): 4.0, "x": -1.0}).best() == Best(3.0, "1")


def test_ising_is_its_hamiltonian(dense):
    H = 0.5 * Z(0) @ Z(1) @ Z(3) - 2 * Z(2) + 1.5 * I() + Z(0) @ Z(1) @ Z(3)
    problem = Ising(H, n_qubits=5)
    expected = np.diag(dense(H, 5)).real
    np.testing.assert_allclose(problem.diagonal(), expected, atol=1e-12)
    assert problem.best().value == expected.min()
    assert Ising(H, maximize=True).best().value == expected.max()


def test_a_cut_as_a_qubo_and_as_an_ising_model():
    graph = nx.gnp_random_graph(7, 0.6, seed=3)
    cut = MaxCut(graph)
    qubo = QUBO(
        dict.fromkeys(graph.edges, 2.0) | {(u, u): -graph.degree[u] for u in graph if graph.degree[u]}
    )
    np.testing.assert_allclose(qubo.diagonal(), -cut.diagonal(), atol=1e-12)
    np.testing.assert_allclose(Ising(cut.hamiltonian, maximize=True).diagonal(), cut.diagonal(), atol=1e-12)


# the spin polynomial ---------------------------------------------------------------------------------------------


def test_splitting_keeps_the_terms_inside_parts():
    rng = np.random.default_rng(5)
    n = 9
    pairs = np.array(list(itertools.combinations(range(n), 2)), np.int32)[::2]
    polynomial = SpinPolynomial(1.0, rng.normal(size=n), pairs, rng.normal(size=len(pairs)))
    parts = [np.array([0, 4, 8]), np.array([7, 1]), np.array([2, 3, 5, 6])]
    for part, nodes in zip(polynomial.split(parts), parts):
        assert (np.diff(part.pairs.astype(int), axis=0) @ [n, 1] > 0).all()
        for bits in all_bits(len(nodes)):
            s = 1 - 2 * np.array(bits)
            place = {int(node): k for k, node in enumerate(nodes)}
            expected = sum(polynomial.fields[node] * s[k] for node, k in place.items())
            for (a, b), c in zip(pairs.tolist(), polynomial.couplings):
                if a in place and b in place:
                    expected += c * s[place[a]] * s[place[b]]
            assert part.values(s) == pytest.approx(expected)


# large, and refused ------------------------------------------------------------------------------------------


def test_large_problems_exist_but_do_not_fit_on_qubits():
    graph = nx.random_regular_graph(3, 2000, seed=0)
    for problem in (MaxCut(graph), MaxIndependentSet(graph), QUBO(dict.fromkeys(graph.edges, 1.0))):
        bits = np.random.default_rng(0).integers(0, 2, 2000)
        assert math.isfinite(problem.cost(bits))
        assert problem.cost("".join(map(str, bits[::-1]))) == problem.cost(bits)
        with pytest.raises(
            ValueError, match=r"2000 .*, but at most 30 fit, one qubit each; cut it into parts"
        ):
            _ = problem.hamiltonian
        with pytest.raises(ValueError, match=r"all 2\*\*2000 (cuts|assignments) are too many to try"):
            QAOA(problem, layers=1, optimizer=adam(0.1), steps=1)
    cut = MaxCut(graph)
    assert cut.cut(bits) == nx.cut_size(graph, [v for v, bit in zip(cut.nodes, bits) if bit])


def test_problems_pickle():
    problem = MaxIndependentSet(nx.cycle_graph(5))
    copy = pickle.loads(pickle.dumps(problem))
    assert copy.best() == problem.best()
    assert isinstance(copy, BinaryProblem)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: MaxIndependentSet([]), ValueError, r"the graph has no nodes; give at least one\."),
        (lambda: MaxIndependentSet([(0, 0)]), ValueError, r"joins a node to itself; leave it out\."),
        (
            lambda: MaxIndependentSet(3),
            TypeError,
            r"MaxIndependentSet: give a networkx graph or a list of edges",
        ),
        (lambda: MaxIndependentSet([(0, 1)], weights={2: 1}), ValueError, r"names 2, which is not a node"),
        (
            lambda: MaxIndependentSet([(0, 1)], weights={0: 0}),
            ValueError,
            r"weight of node 0 is 0\.0; .* above 0\.",
        ),
        (lambda: MaxIndependentSet([(0, 1)], weights={0: np.nan}), ValueError, r"weight of node 0 is nan"),
        (lambda: MaxIndependentSet([(0, 1)], weights=[1, 2]), TypeError, r"weights is a mapping from nodes"),
        (
            lambda: MinVertexCover([(0, 1)], penalty=1.0),
            ValueError,
            r"penalty must be above the largest weight",
        ),
        (
            lambda: MinVertexCover([(0, 1)], penalty=np.inf),
            ValueError,
            r"the penalty is inf; it must be a finite",
        ),
        (lambda: NumberPartitioning([1]), ValueError, r"at least 2 numbers are needed, but 1 were given"),
        (lambda: NumberPartitioning(5), TypeError, r"give a list of numbers, not 5"),
        (lambda: NumberPartitioning([1, "x"]), ValueError, r"the number of 1 is 'x'"),
        (lambda: QUBO(np.ones((2, 3))), ValueError, r"Q must have shape \(n, n\), but has shape \(2, 3\)\."),
        (lambda: QUBO([[1, np.nan], [0, 1]]), ValueError, r"finite real numbers"),
        (lambda: QUBO([[1j]]), ValueError, r"finite real numbers"),
        (lambda: QUBO("abc"), TypeError, r"give an \(n, n\) array of numbers or a mapping"),
        (lambda: QUBO({}), ValueError, r"there are no variables"),
        (lambda: QUBO({("a", "b", "c"): 1}), ValueError, r"a key is a pair of labels.* use HUBO"),
        (lambda: HUBO({}), ValueError, r"has no variables"),
        (lambda: HUBO([1, 2]), TypeError, r"give a mapping such as"),
        (lambda: HUBO({1.5: 1.0}), TypeError, r"a key is a tuple of labels"),
        (lambda: HUBO({("a",): "x"}), ValueError, r"the coefficient of \('a',\) is 'x'"),
        (lambda: HUBO({tuple(range(21)): 1.0}), ValueError, r"a product of 21 variables"),
        (lambda: Ising(X(0)), ValueError, r"must be diagonal"),
        (lambda: Ising(Z(3), n_qubits=2), ValueError, r"acts on 4 qubits, but n_qubits=2"),
        (lambda: Ising(5), TypeError, r"the hamiltonian is a PauliSum"),
        (
            lambda: QUBO([[1]]).cost("10"),
            ValueError,
            r"QUBO: the assignment has 2 bits, but the problem has 1 var",
        ),
    ],
)
def test_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
