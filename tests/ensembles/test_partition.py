"""Partitioned problems: clusters, the beam search against all assignments, whole solutions against greedy ones."""

from __future__ import annotations

import itertools
import sys

import networkx as nx
import numpy as np
import pytest
import scipy.sparse

from ensembles import ProgramEnsemble, adam
from ensembles.compilations import count_compilations
from ensembles.problems import HUBO, QUBO, MaxCut, MaxIndependentSet
from ensembles.programs import stitching
from ensembles.programs.clusters import METHODS, clusters, inside_share
from ensembles.programs.partition import partition, solve_partitioned
from ensembles.programs.stitching import Energy

QAOA = {"layers": 1, "optimizer": adam(0.1), "steps": 40}


def weights_of(graph):
    matrix = nx.to_scipy_sparse_array(graph, nodelist=sorted(graph), dtype=float)
    return scipy.sparse.csr_array(abs(matrix))


def greedy_cut(graph):
    """Nodes in order, each to the side that cuts more edges to placed neighbours."""
    side, cut = {}, 0
    for node in sorted(graph):
        placed = [sum(side.get(other) == s for other in graph[node]) for s in (0, 1)]
        side[node] = 0 if placed[1] >= placed[0] else 1
        cut += placed[1 - side[node]]
    return cut


def all_spins(n):
    return 1 - 2 * np.array(list(itertools.product([0, 1], repeat=n)), np.int8)


# clusters -----------------------------------------------------------------------------------------------------------


GRAPHS = {
    "regular": nx.random_regular_graph(3, 60, seed=1),
    "in pieces": nx.disjoint_union_all(
        [nx.path_graph(5), nx.complete_graph(7), nx.empty_graph(6), nx.cycle_graph(3)]
    ),
    "tree": nx.balanced_tree(3, 3),
    "dense": nx.gnp_random_graph(30, 0.5, seed=2),
}


@pytest.mark.parametrize("name", list(GRAPHS))
@pytest.mark.parametrize("method", list(METHODS))
def test_every_node_is_in_one_cluster_that_fits(method, name):
    graph = GRAPHS[name]
    weights = weights_of(graph)
    found = clusters(weights, 5, method, seed=3)
    assert sorted(np.concatenate(found).tolist()) == sorted(graph)
    assert max(map(len, found)) <= 5
    assert all((np.diff(c) > 0).all() for c in found)
    again = clusters(weights, 5, method, seed=3)
    assert [c.tolist() for c in found] == [c.tolist() for c in again]


@pytest.mark.parametrize("method", list(METHODS))
def test_cliques_are_clusters(method):
    """Four cliques in a row, each joined to the next by a light edge."""
    graph = nx.disjoint_union_all([nx.complete_graph(6)] * 4)
    nx.set_edge_attributes(graph, 1.0, "weight")
    for k in range(3):
        graph.add_edge(6 * k, 6 * k + 7, weight=0.1)
    found = clusters(weights_of(graph), 6, method)
    assert [c.tolist() for c in found] == [list(range(6 * k, 6 * k + 6)) for k in range(4)]


@pytest.mark.parametrize("method", list(METHODS))
def test_more_weight_inside_than_by_chance(method):
    graph = GRAPHS["regular"]
    pairs = np.array(graph.edges, np.int32)
    found = clusters(weights_of(graph), 12, method)
    rng = np.random.default_rng(0)
    chance = np.array_split(rng.permutation(60), 5)
    ones = np.ones(len(pairs))
    label = {node: k for k, c in enumerate(found) for node in c.tolist()}
    assert inside_share(pairs, ones, found, 60) == pytest.approx(
        np.mean([label[a] == label[b] for a, b in graph.edges])
    )
    assert inside_share(pairs, ones, found, 60) > inside_share(pairs, ones, chance, 60) + 0.2


def test_what_does_not_touch_shares_a_part():
    found = clusters(weights_of(nx.empty_graph(20)), 8)
    assert sorted(map(len, found)) == [4, 8, 8]
    assert [len(c) for c in clusters(weights_of(nx.path_graph(1)), 4)] == [1]


@pytest.mark.parametrize("method", ["community", "kernighan_lin"])
def test_methods_that_need_networkx_say_so(method, monkeypatch):
    monkeypatch.setitem(sys.modules, "networkx", None)
    with pytest.raises(
        ImportError, match=r"needs networkx: pip install 'jaxsim-ensembles\[graphs\]'; or use 'growth'"
    ):
        clusters(weights_of(nx.path_graph(9)), 4, method)


# stitching ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def energy():
    rng = np.random.default_rng(4)
    problem = QUBO(rng.normal(size=(9, 9)) * (rng.uniform(size=(9, 9)) < 0.5))
    return problem, Energy.of(problem.polynomial, 1.0)


PARTS = [np.array([0, 3, 8]), np.array([1, 2, 7]), np.array([4, 5, 6])]


def test_energies_are_costs(energy):
    problem, e = energy
    constant = problem.polynomial.constant
    for spins in all_spins(9)[::37]:
        assert e.value(spins) + constant == pytest.approx(problem.cost((1 - spins) // 2))
    inside = e.within(PARTS[0], all_spins(3))
    matrix = e.couplings.toarray()[np.ix_(PARTS[0], PARTS[0])]
    expected = [e.fields[PARTS[0]] @ s + sum(matrix[a, b] * s[a] * s[b] for a, b in ((0, 1), (0, 2), (1, 2)))
                for s in all_spins(3).astype(int)]  # fmt: skip
    np.testing.assert_allclose(inside, expected, atol=1e-12)


def test_a_wide_beam_over_all_candidates_finds_the_optimum(energy):
    problem, e = energy
    spins = stitching.beam_search(e, PARTS, [all_spins(3)] * 3, 512)
    assert problem.cost((1 - spins) // 2) == pytest.approx(problem.best().value)


@pytest.mark.parametrize("width", [1, 3])
def test_a_narrow_beam_does_what_a_plain_one_does(energy, width):
    """The same search with lists: partial configurations, sorted by their energy."""
    _, e = energy
    options = [all_spins(3)[[0, 3, 6]], all_spins(3)[[1, 2]], all_spins(3)]
    order = stitching._order(e, PARTS)
    beams = [np.zeros(9, np.int8)]
    for k in order:
        longer = []
        for beam in beams:
            for option in options[k]:
                new = beam.copy()
                new[PARTS[k]] = option
                placed = new != 0
                j, h = e.couplings.toarray()[np.ix_(placed, placed)], e.fields[placed]
                s = new[placed].astype(float)
                longer.append((h @ s + s @ j @ s / 2, new))
        longer.sort(key=lambda pair: pair[0])
        beams = [new for _, new in longer[:width]]
    np.testing.assert_array_equal(stitching.beam_search(e, PARTS, options, width), beams[0])


def test_the_next_part_is_the_one_with_the_most_coupling_to_those_placed(energy):
    _, e = energy
    order = stitching._order(e, PARTS)
    j = np.abs(e.couplings.toarray())
    between = np.array(
        [[j[np.ix_(a, b)].sum() * (k != m) for m, b in enumerate(PARTS)] for k, a in enumerate(PARTS)]
    )
    assert order[0] == between.sum(axis=1).argmax()
    assert between[order[0], order[1]] >= between[order[0], order[2]]


def test_candidates_are_the_most_probable_states():
    odds = np.random.default_rng(0).dirichlet(np.ones(16), size=3).astype(np.float32)
    found = stitching.candidate_spins(odds, 5)
    assert found.shape == (3, 5, 4)
    for row, spins in zip(odds, found):
        index = ((1 - spins) // 2) @ [1, 2, 4, 8]
        np.testing.assert_array_equal(index, np.argsort(-row)[:5])
    assert stitching.candidate_spins(odds, 99).shape == (3, 16, 4)
    tied = stitching.candidate_spins(np.full((1, 4), 0.25), 4)[0]
    np.testing.assert_array_equal(((1 - tied) // 2) @ [1, 2], [0, 1, 2, 3])


def test_revisits_end_where_no_part_can_do_better(energy):
    _, e = energy
    options = [all_spins(3)[::2], all_spins(3)[1:5], all_spins(3)]
    start = np.concatenate([o[0] for o in options])[np.argsort(np.concatenate(PARTS))]
    spins, _ = stitching.revisited(e, PARTS, options, start, 50)
    assert e.value(spins) <= e.value(start)
    for nodes, choices in zip(PARTS, options):
        for choice in choices:
            other = spins.copy()
            other[nodes] = choice
            assert e.value(other) >= e.value(spins) - 1e-9


def test_single_flips_end_in_a_local_minimum():
    graph = nx.random_regular_graph(4, 200, seed=2)
    problem = MaxCut([(u, v, 0.5 + (u * v) % 7) for u, v in graph.edges])
    e = Energy.of(problem.polynomial, problem.loss_sign)
    start = (1 - 2 * np.random.default_rng(0).integers(0, 2, 200)).astype(np.int8)
    spins, flips = stitching.flipped_one_by_one(e, start)
    assert flips >= np.count_nonzero(spins != start) > 0
    for node in range(200):
        other = spins.copy()
        other[node] *= -1
        assert e.value(other) >= e.value(spins) - 1e-9
    assert e.value(spins) < e.value(start)


# whole problems -----------------------------------------------------------------------------------------------------


RING = MaxCut([(k, (k + 1) % 24) for k in range(24)])
REGULAR = nx.random_regular_graph(3, 48, seed=5)
LETTERS = {k: f"node {k:02}" for k in range(24)}


@pytest.fixture(scope="module")
def solved():
    """Three problems in parts of 4, all in one ensemble."""
    problems = {
        "ring": RING,
        "regular": MaxCut(REGULAR),
        "set": MaxIndependentSet(nx.relabel_nodes(nx.cycle_graph(24), LETTERS)),
    }
    parts = {name: partition(problem, 4) for name, problem in problems.items()}
    programs = {}
    for name, p in parts.items():
        programs |= p.programs(**QAOA, prefix=name)
    return parts, ProgramEnsemble(programs).run(progress=False, seed=2)


def test_parts_of_one_size_share_a_call(solved):
    parts, result = solved
    assert {len(part) for p in parts.values() for part in p.parts} == {4}
    assert result.stats.groups == 1
    with count_compilations() as compiled:
        other = partition(MaxCut(nx.random_regular_graph(3, 40, seed=9)), 4)
        found = ProgramEnsemble(other.programs(**QAOA)).run(progress=False)
        other.stitch(found)
    assert len(found) == 10
    # Only what reads the candidates has not run before, at the most.
    assert compiled.count <= 1


def test_a_ring_is_cut_whole(solved):
    parts, result = solved
    solution = parts["ring"].stitch(result)
    assert solution.objective == 24.0
    zero, one = solution.decode()
    assert sorted(zero + one) == list(range(24))
    assert solution.feasible
    assert RING.cut(solution.bitstring) == 24.0


def test_a_regular_graph_is_cut_better_than_greedily(solved):
    parts, result = solved
    solution = parts["regular"].stitch(result, beam_width=16, candidates=8)
    assert solution.objective == nx.cut_size(REGULAR, solution.decode()[1])
    assert solution.objective >= greedy_cut(REGULAR)
    improved = solution.improved_by_single_flips()
    assert improved.objective >= solution.objective
    assert "single flips" in improved.method
    assert "single flips" not in solution.method
    again = parts["regular"].stitch(result, beam_width=16, candidates=8)
    np.testing.assert_array_equal(again.bits, solution.bits)
    revisited = parts["regular"].stitch(result, beam_width=16, candidates=8, revisits=9)
    assert revisited.objective >= solution.objective


def test_a_set_with_constraints(solved):
    parts, result = solved
    solution = parts["set"].stitch(result, candidates=16)
    assert solution.feasible
    chosen = solution.decode()
    assert solution.objective == len(chosen) == solution.cost
    assert 9 <= len(chosen) <= 12
    assert set(chosen) <= set(LETTERS.values())


def test_subproblems_hold_the_terms_inside(solved):
    parts, _ = solved
    p = parts["regular"]
    inside = 0
    for k, part in enumerate(p.parts):
        problem = p.subproblem(k)
        nodes = [p.problem.variables[q] for q in part]
        assert problem.variables == tuple(nodes)
        inside += REGULAR.subgraph(nodes).number_of_edges()
        cut = nx.cut_size(REGULAR.subgraph(nodes), nodes[:2])
        edges = REGULAR.subgraph(nodes).number_of_edges()
        assert problem.cost("0011") == pytest.approx(cut - edges / 2)
    assert p.inside == pytest.approx(inside / 72)


def test_in_one_go(solved):
    _, own = solved
    solution, result = solve_partitioned(RING, 4, **QAOA, progress=False, seed=2)
    assert solution.objective == 24.0
    assert set(result) == {f"part {k}" for k in range(6)}
    # The ramp draws nothing: names and seeds change no number.
    assert result["part 3"].value == own["ring 3"].value


def test_parts_by_hand_and_their_errors():
    problem = MaxCut(nx.path_graph(6))
    given = partition(problem, 3, method=[[5, 3, 1], [0, 2, 4]])
    assert [p.tolist() for p in given.parts] == [[1, 3, 5], [0, 2, 4]]
    assert given.inside == 0.0
    for parts, message in (
        ([[0, 1, 2], [3, 4]], r"5 is in no part"),
        ([[0, 1, 2], [2, 3, 4], [5]], r"2 is in two parts"),
        ([[0, 1, 2, 3], [4, 5]], r"a part has 4 variables, but must have 1 to max_qubits=3"),
        ([[0, 1, 9]], r"9 is no variable of the problem"),
    ):
        with pytest.raises(ValueError, match=message):
            partition(problem, 3, method=parts)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: partition(REGULAR, 4),
            TypeError,
            r"a problem such as MaxCut\(graph\) or QUBO\(Q\) is needed",
        ),
        (lambda: partition(HUBO({("a", "b", "c"): 1.0}), 4), ValueError, r"products of 3 variables"),
        (
            lambda: partition(RING, 4, method="metis"),
            ValueError,
            r"choose one of 'growth', 'community', 'spectral'",
        ),
        (lambda: partition(RING, 0), ValueError, r"max_qubits is an integer, 1 or more, but 0"),
        (lambda: partition(RING, 27), ValueError, r"max_qubits must be from 1 to 26"),
        (lambda: partition(RING, 4.0), TypeError, r"max_qubits is an integer"),
        (lambda: partition(RING, 4).stitch({}), ValueError, r"there are no programs yet"),
    ],
)
def test_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_results_that_do_not_fit():
    parts = partition(RING, 4)
    parts.programs(**QAOA)
    with pytest.raises(ValueError, match=r"no parameters for 'part 0'; run all programs"):
        parts.stitch({})
    with pytest.raises(ValueError, match=r"beam_width is an integer, 1 or more, but 0"):
        parts.stitch({}, beam_width=0)


@pytest.mark.slow
def test_ten_thousand_nodes_are_cut_into_parts_and_planned():
    """Everything but the training, whose time a benchmark measures."""
    graph = nx.random_regular_graph(3, 10_000, seed=1)
    parts = partition(MaxCut(graph), 12)
    assert sorted(np.concatenate(parts.parts).tolist()) == list(range(10_000))
    assert max(map(len, parts.parts)) == 12
    assert parts.inside > 0.58
    plan = ProgramEnsemble(parts.programs(layers=2, optimizer=adam(0.1), steps=60)).plan()
    assert plan.programs == len(parts) <= 870
    assert len(plan.groups) == len({len(part) for part in parts.parts}) <= 6
