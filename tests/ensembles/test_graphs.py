"""MaxCut against loops over edges and assignments, and closed forms of well-known graphs."""

from __future__ import annotations

import itertools
import pickle

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensembles.problems import MaxCut


def cut_by_loop(edges, index):
    return sum(w for u, v, w in edges if (index >> u & 1) != (index >> v & 1))


@st.composite
def weighted_edges(draw):
    n = draw(st.integers(2, 7))
    pairs = draw(
        st.lists(st.sampled_from(list(itertools.combinations(range(n), 2))), min_size=1, unique=True)
    )
    weights = draw(st.lists(st.floats(-5, 5), min_size=len(pairs), max_size=len(pairs)))
    return n, [(u, v, w) for (u, v), w in zip(pairs, weights)]


@settings(max_examples=60, deadline=None)
@given(weighted_edges())
def test_every_cut_of_random_graphs(case):
    n, edges = case
    problem = MaxCut(edges, num_nodes=n)
    expected = np.array([cut_by_loop(edges, k) for k in range(2**n)])
    np.testing.assert_allclose(problem.diagonal(), expected, atol=1e-12)
    assert problem.diagonal().dtype == np.float64
    np.testing.assert_allclose([problem.cut(k) for k in range(2**n)], expected, atol=1e-12)
    best = problem.best()
    assert abs(best.value - expected.max()) < 1e-12
    assert abs(expected[int(best.bitstring, 2)] - expected.max()) < 1e-12
    assert len(best.bitstring) == n


def test_the_hamiltonian_is_the_cost(dense):
    edges = [(0, 1, 0.5), (1, 2, -1.5), (0, 3, 2.0), (2, 3, 1.0)]
    problem = MaxCut(edges)
    expected = np.diag([cut_by_loop(edges, k) for k in range(16)])
    np.testing.assert_allclose(dense(problem.hamiltonian, 4), expected, atol=1e-14)
    assert problem.hamiltonian.coefficients.shape == (len(edges) + 1,)
    assert problem.loss_sign == -1.0


@pytest.mark.parametrize(
    ("graph", "value"),
    [
        (nx.cycle_graph(8), 8),
        (nx.cycle_graph(7), 6),
        (nx.complete_graph(7), 12),  # floor(n/2) ceil(n/2)
        (nx.complete_graph(8), 16),
        (nx.complete_bipartite_graph(3, 5), 15),
        (nx.star_graph(6), 6),
        (nx.petersen_graph(), 12),
        (nx.hypercube_graph(3), 12),
        (nx.path_graph(2), 1),
    ],
)
def test_optimum_of_well_known_graphs(graph, value):
    problem = MaxCut(graph)
    best = problem.best()
    assert best.value == value
    assert problem.cut(best.bitstring) == value
    assert problem.n_qubits == graph.number_of_nodes()
    # networkx counts independently
    assert nx.cut_size(graph, problem.partition(best.bitstring)[1]) == value


def test_weights_of_networkx_graphs_and_missing_ones():
    graph = nx.Graph()
    graph.add_edge("b", "a", weight=2.5)
    graph.add_edge("b", "c")
    problem = MaxCut(graph)
    assert problem.nodes == ("a", "b", "c")
    assert problem.edges.tolist() == [[0, 1], [1, 2]]
    assert problem.edges.dtype == np.int32
    assert problem.weights.tolist() == [2.5, 1.0]
    assert problem.weights.dtype == np.float64


def test_isolated_nodes_keep_their_qubits():
    graph = nx.Graph([(0, 2)])
    graph.add_nodes_from(range(4))
    for problem in (MaxCut(graph), MaxCut([(0, 2)], num_nodes=4)):
        assert problem.nodes == (0, 1, 2, 3)
        assert problem.best().value == 1
        assert problem.diagonal().shape == (16,)


def test_order_of_nodes_and_edges():
    assert MaxCut([(5, 3), (3, 9)]).nodes == (3, 5, 9)
    assert MaxCut([("z", 1), (1, (0, 0))]).nodes == ("z", 1, (0, 0))
    shuffled = MaxCut([(3, 2, 4.0), (1, 0, 5.0), (2, 1, 6.0)])
    assert shuffled.edges.tolist() == [[0, 1], [1, 2], [2, 3]]
    assert shuffled.weights.tolist() == [5.0, 6.0, 4.0]
    assert MaxCut(np.array([[0, 1], [1, 2]])).nodes == (0, 1, 2)


def test_ways_to_write_an_assignment():
    problem = MaxCut([("a", "b", 1.0), ("b", "c", 10.0), ("c", "d", 100.0)])
    # a and d in part 1: cuts a-b and c-d
    by_label = {"a": 1, "b": 0, "c": 0, "d": 1}
    ways = ["1001", 9, np.int64(9), [1, 0, 0, 1], np.array([1, 0, 0, 1], np.uint8), by_label]
    assert {problem.cut(way) for way in ways} == {101.0}
    assert problem.cut("0001") == 1.0  # the rightmost character is qubit 0, node a
    assert problem.partition("0001") == (("b", "c", "d"), ("a",))


def test_best_leaves_the_last_node_in_part_zero_and_takes_the_lowest_index():
    assert MaxCut(nx.complete_graph(4)).best().bitstring == "0011"
    assert MaxCut([(0, 1, -1.0)]).best() == (0.0, "00")


def test_sixteen_nodes_against_a_vectorised_loop():
    edges = [(u, v, 1.0 + 0.1 * u) for u, v in nx.random_regular_graph(3, 16, seed=4).edges]
    index = np.arange(2**16)
    expected = sum(w * ((index >> u ^ index >> v) & 1) for u, v, w in edges)
    np.testing.assert_allclose(MaxCut(edges).diagonal(), expected, atol=1e-12)
    assert abs(MaxCut(edges).best().value - expected.max()) < 1e-12


def test_repr_pickle_and_read_only_arrays():
    problem = MaxCut(nx.cycle_graph(5))
    assert repr(problem) == "MaxCut(5 nodes, 5 edges)"
    copy = pickle.loads(pickle.dumps(problem))
    assert copy.nodes == problem.nodes
    np.testing.assert_array_equal(copy.hamiltonian.z_mask, problem.hamiltonian.z_mask)
    with pytest.raises(ValueError, match="read-only"):
        problem.weights[0] = 2.0


@pytest.mark.parametrize(
    ("graph", "options", "message"),
    [
        ([], {}, r"MaxCut: the graph has no edges, so every cut is 0; give at least one edge\."),
        (nx.empty_graph(4), {}, r"the graph has no edges"),
        ([(0, 1), (2, 2)], {}, r"edge \(2, 2\) joins a node to itself and is never cut; leave it out\."),
        ([(0, 1), (1, 0)], {}, r"edge \(1, 0\) is given twice; give it once, with the sum of the weights\."),
        (nx.MultiGraph([(0, 1), (0, 1)]), {}, r"edge \(0, 1\) is given twice"),
        (nx.DiGraph([(0, 1)]), {}, r"the graph is directed; give graph\.to_undirected\(\)\."),
        ([(0, 1, np.nan)], {}, r"the weight of edge \(0, 1\) is nan; weights are finite real numbers\."),
        ([(0, 1, np.inf)], {}, r"is inf; weights are finite"),
        ([(0, 1, "heavy")], {}, r"is 'heavy'; weights are finite"),
        ([(0, 1, 1j)], {}, r"is 1j; weights are finite"),
        ([(0, 1, 2, 3)], {}, r"has 4 entries; an edge is \(u, v\) or \(u, v, weight\)\."),
        ([(0, 5)], {"num_nodes": 4}, r"node 5 is not one of 0 to 3, as num_nodes=4 demands"),
        ([(0, 5)], {"num_nodes": 0}, r"num_nodes must be an integer, 1 or more, not 0\."),
        (nx.path_graph(3), {"num_nodes": 4}, r"num_nodes goes with a list of edges"),
    ],
)
def test_refused_graphs(graph, options, message):
    with pytest.raises(ValueError, match=message):
        MaxCut(graph, **options)


def test_refused_types():
    with pytest.raises(TypeError, match=r"give a networkx graph or a list of edges .*, not int\."):
        MaxCut(5)


@pytest.mark.parametrize("call", ["diagonal", "best"])
def test_too_many_cuts_to_try(call):
    with pytest.raises(
        ValueError, match=r"27 nodes, and all 2\*\*27 cuts are too many to try; the limit is 26 nodes"
    ):
        getattr(MaxCut(nx.path_graph(27)), call)()


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("01", r"the assignment has 2 bits, but the graph has 3 nodes\."),
        ("012", r"the assignment contains '2'; every node needs 0 or 1\."),
        (8, r"basis index 8 is out of range for 3 nodes \(0 to 7\)\."),
        (-1, r"basis index -1 is out of range"),
        ({0: 1, 1: 0}, r"leaves out node 2; give 0 or 1 for every node\."),
        ({0: 1, 1: 0, 2: 1, 7: 1}, r"names 7, which is not a node of the graph\."),
        ([0, 1, 3], r"contains 3; every node needs 0 or 1\."),
    ],
)
def test_refused_assignments(assignment, message):
    with pytest.raises(ValueError, match=message):
        MaxCut([(0, 1), (1, 2)]).cut(assignment)
