"""QAOA against dense matrices, formulas of the literature, and the promise that sizes alone decide what is shared."""

from __future__ import annotations

import functools
import math
from itertools import combinations

import networkx as nx
import numpy as np
import pytest
import scipy.linalg

import jaxsim as js
from ensembles import QAOA, ProgramEnsemble, adam
from ensembles.compilations import count_compilations
from ensembles.problems import HUBO, QUBO, MaxCut, MaxIndependentSet, NumberPartitioning
from ensembles.programs.depth import deeper, grow_depth, interp
from jaxsim import Parameter, X, Y, Z, ansatz, mixers

N = 4
GRAPH = MaxCut([(0, 1), (1, 2), (2, 3), (3, 0), (0, 2)])
PATH = MaxIndependentSet([(0, 1), (1, 2), (2, 3)])
COSTS = np.random.default_rng(1).normal(size=(N, N))


def qaoa(problem, *, layers=2, steps=0, **options):
    return QAOA(problem, layers=layers, optimizer=adam(0.05), steps=steps, **options)


def run(programs, **options):
    return ProgramEnsemble(programs).run(progress=False, seed=3, **options)


def kron_all(matrices):
    return functools.reduce(np.kron, reversed(matrices))


@pytest.fixture
def xy(word_matrix):
    """(XX + YY)/2 on two of N qubits."""

    def build(a, b, n=N):
        xx = word_matrix({a: "X", b: "X"}, n) + word_matrix({a: "Y", b: "Y"}, n)
        return xx.toarray() / 2

    return build


# what is computed --------------------------------------------------------------------------------------------

BETAS, GAMMAS = [0.3, 0.7], [0.4, -0.2]
PROBLEMS = {
    "cut": (GRAPH, -1),
    "qubo": (QUBO(COSTS), 1),
    "maximised": (QUBO(COSTS, maximize=True), -1),
    "hubo": (HUBO({(0, 1, 2): 1.5, (0, 3): 1.0}), 1),
    "independent set": (PATH, -1),
    "numbers": (NumberPartitioning([1.0, 2.0, 3.5, 4.0]), 1),
}
BEST = GRAPH.best().bitstring
WAYS = {
    "bitstring": BEST,
    "index": int(BEST, 2),
    "mapping": {q: int(BEST[N - 1 - q]) for q in range(N)},
    "bits": [int(b) for b in reversed(BEST)],
}


@pytest.fixture(scope="module")
def results():
    """Everything in one ensemble, so that there are few compilations."""
    start = [*BETAS, *GAMMAS]
    programs = {name: qaoa(problem, initial_parameters=start) for name, (problem, _) in PROBLEMS.items()}
    programs["trained"] = qaoa(PATH, steps=60)
    programs["half warm"] = qaoa(GRAPH, initial_parameters=start, warm_start="0101", regularization=0.5)
    for name, way in WAYS.items():
        programs[name] = qaoa(GRAPH, initial_parameters=[0.0] * 4, warm_start=way, regularization=0.1)
    return run(programs)


@pytest.mark.parametrize("name", list(PROBLEMS))
def test_the_loss_against_dense_matrices(name, results, word_matrix):
    problem, sign = PROBLEMS[name]
    diagonal = problem.diagonal()
    state = np.full(2**N, 2 ** (-N / 2), complex)
    mixer = sum(word_matrix({q: "X"}, N).toarray() for q in range(N))
    for beta, gamma in zip(BETAS, GAMMAS):
        state = scipy.linalg.expm(-1j * beta * mixer) @ (np.exp(1j * gamma * sign * diagonal) * state)
    expected = np.abs(state) ** 2 @ diagonal
    result = results[name]
    assert result.value == pytest.approx(sign * expected, rel=1e-5, abs=1e-5)
    assert result.expected == pytest.approx(expected, rel=1e-5, abs=1e-5)
    best, worst = (f(diagonal) for f in ((max, min) if sign < 0 else (min, max)))
    assert result.optimum == pytest.approx(best)
    assert result.ratio == pytest.approx((expected - worst) / (best - worst), abs=1e-5)
    winner = int(np.argmax(np.abs(state) ** 2))
    value = result.cut if name == "cut" else result.objective
    assert value == pytest.approx(problem.objective(result.solution))
    # Cuts are symmetric: the largest probability belongs to two bitstrings.
    assert diagonal[int(result.solution, 2)] == pytest.approx(diagonal[winner])


def test_constraints_are_reported(results):
    result = results["trained"]
    assert result.objective == 2.0 and result.feasible is True
    assert PATH.is_feasible(result.solution)


def test_sizes_alone_decide_what_is_shared(results):
    graphs = [MaxCut(nx.gnp_random_graph(N, p, seed=3)) for p in (0.5, 0.9)]
    others = [problem for problem, _ in PROBLEMS.values()]
    assert len(ProgramEnsemble([qaoa(p) for p in (*graphs, *others)]).plan().groups) == 1
    warm = [qaoa(GRAPH, warm_start=start) for start in ("0101", [0.1] * N)]
    assert len(ProgramEnsemble(warm).plan().groups) == 1
    with count_compilations() as compiled:  # `results` has compiled for the size
        run([qaoa(problem, steps=5) for problem in (*graphs, QUBO(np.eye(N)))])
    assert compiled.count == 0


def test_a_cost_with_more_terms_than_a_quadratic_one_has_a_shape_of_its_own():
    many = HUBO(
        {key: 1.0 + 0.1 * k for k, key in enumerate(combinations(range(N), 3))}
        | dict.fromkeys(combinations(range(N), 2), -0.5)
        | {(q,): 0.3 for q in range(N)}
        | {tuple(range(N)): 2.0}
    )
    assert many.hamiltonian.num_terms == 16
    key = qaoa(many).row("a").key
    assert key != qaoa(GRAPH).row("a").key
    assert (
        key == qaoa(HUBO({key: 1.0 for r in range(N + 1) for key in combinations(range(N), r)})).row("a").key
    )


# XY mixers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "n"), [("xy_ring", 4), ("xy_ring", 5), ("xy_complete", 4), ("xy_ring", 2)])
def test_xy_mixers_against_exponentials(name, n, xy):
    beta = 0.37
    chain = [(q, q + 1) for q in range(n - 1)]
    ring = [*chain[::2], *chain[1::2], *([(n - 1, 0)] if n > 2 else [])]
    bonds = {"xy_ring": ring, "xy_complete": list(combinations(range(n), 2))}[name]
    expected = np.eye(2**n)
    for a, b in bonds:
        expected = scipy.linalg.expm(-1j * beta * xy(a, b, n)) @ expected
    circuit = js.Circuit(n)
    mixers.MIXERS[name].append(circuit, beta)
    np.testing.assert_allclose(js.unitary(circuit), expected, atol=2e-6)


@pytest.mark.parametrize("mixer", [name for name, row in mixers.MIXERS.items() if row.keeps_weight])
@pytest.mark.parametrize("weight", [0, 1, 2, 4])
def test_xy_mixers_conserve_the_number_of_ones(mixer, weight):
    start = mixers.dicke_state(N, weight)
    rng = np.random.default_rng(weight)
    circuit = ansatz.qaoa(QUBO(COSTS).diagonal(), 3, mixer, initial_state=start).bind(rng.normal(size=6))
    odds = np.asarray(js.probabilities(circuit))
    ones = np.array([index.bit_count() for index in range(2**N)])
    assert odds[ones != weight].max(initial=0.0) < 1e-12
    assert odds.sum() == pytest.approx(1.0, abs=1e-5)


def test_dicke_states():
    state = mixers.dicke_state(5, 2)
    assert np.count_nonzero(state) == math.comb(5, 2)
    assert state @ state == pytest.approx(1.0)
    assert {int(k).bit_count() for k in np.flatnonzero(state)} == {2}


@pytest.mark.slow
def test_training_within_a_weight_sector():
    problem = QUBO(COSTS)
    programs = {
        m: qaoa(problem, layers=3, steps=80, mixer=m, hamming_weight=2) for m in ("xy_ring", "xy_complete")
    }
    result = run(programs)
    sector = [c for k, c in enumerate(problem.diagonal()) if k.bit_count() == 2]
    for best in result.values():
        assert best.optimum == pytest.approx(min(sector))
        assert best.value >= min(sector) - 1e-5
        assert best.solution.count("1") == 2
        assert best.ratio > 0.8


# warm starts ------------------------------------------------------------------------------------------------------


def test_the_warm_start_is_the_highest_state_of_its_mixer():
    c = np.array([0.2, 0.5, 0.75, 0.9])
    theta = 2 * np.arcsin(np.sqrt(c))
    start, append = mixers.warm_start(c)
    state = np.asarray(js.statevector(start))
    terms = sum(math.sin(t) * X(q) + math.cos(t) * Z(q) for q, t in enumerate(theta))
    matrix = terms.to_matrix(N)
    values, _ = np.linalg.eigh(matrix)
    np.testing.assert_allclose(matrix @ state, values[-1] * state, atol=1e-6)
    np.testing.assert_allclose(np.asarray(js.probabilities(start, [3])), [0.1, 0.9], atol=1e-6)
    beta = 0.41
    circuit = js.Circuit(N)
    append(circuit, beta)
    np.testing.assert_allclose(js.unitary(circuit), scipy.linalg.expm(-1j * beta * matrix), atol=2e-6)


def test_half_a_warm_start_is_plain_qaoa(results):
    assert results["half warm"].value == pytest.approx(results["cut"].value, abs=1e-5)


@pytest.mark.parametrize("name", list(WAYS))
def test_a_warm_start_starts_near_its_solution(name, results):
    # Each qubit is right with probability 0.9, independently.
    odds = [0.1 if BEST[N - 1 - q] == "0" else 0.9 for q in range(N)]
    weights = kron_all([np.array([1 - p, p]) for p in odds])
    assert -results[name].value == pytest.approx(weights @ GRAPH.diagonal(), abs=1e-5)
    assert results[name].solution == BEST


# depth --------------------------------------------------------------------------------------------------------


def interp_of_the_paper(u):
    """Zhou et al. (2020), equation B1, index by index."""
    p, result = len(u), []
    at = {0: 0.0, p + 1: 0.0, **{k + 1: value for k, value in enumerate(u)}}
    for i in range(1, p + 2):
        result.append((i - 1) / p * at[i - 1] + (p - i + 1) / p * at[i])
    return result


@pytest.mark.parametrize("angles", [[0.4], [0.4, 0.6], [0.1, 0.5, -0.3, 0.2, 0.9]])
def test_interp_is_the_formula_of_the_paper(angles):
    np.testing.assert_allclose(interp(angles), interp_of_the_paper(angles), atol=1e-15)
    twice = interp_of_the_paper(interp_of_the_paper(angles))
    np.testing.assert_allclose(interp(angles, len(angles) + 2), twice, atol=1e-15)
    np.testing.assert_array_equal(interp(angles, len(angles)), angles)


def test_interp_of_two_layers_by_hand():
    np.testing.assert_allclose(interp([0.4]), [0.4, 0.4])
    np.testing.assert_allclose(interp([0.4, 0.6]), [0.4, 0.5, 0.6])


def test_deeper_keeps_everything_else():
    program = qaoa(GRAPH, layers=1, steps=7, warm_start="0101", regularization=0.3)
    more = deeper(program, [0.3, 0.5], 3)
    assert (more.layers, more.steps, more.warm_start, more.regularization) == (3, 7, "0101", 0.3)
    np.testing.assert_allclose(more.initial_parameters, [0.3, 0.3, 0.3, 0.5, 0.5, 0.5], atol=1e-6)


@pytest.mark.slow
def test_growing_depth_reaches_what_rings_allow():
    """QAOA of p layers cuts (2p + 1)/(2p + 2) of a ring of more than 2p nodes (Farhi et al., 2014)."""
    ring = MaxCut([(k, (k + 1) % 8) for k in range(8)])
    path = MaxCut([(k, k + 1) for k in range(7)])
    rounds = grow_depth(
        {"ring": qaoa(ring, layers=1, steps=80), "path": qaoa(path, layers=1, steps=80)}, 3, progress=False
    )
    assert [len(r["ring"].parameters) for r in rounds] == [2, 4, 6]
    for p, result in enumerate(rounds, start=1):
        assert result.stats.groups == 1
        assert result["ring"].ratio == pytest.approx((2 * p + 1) / (2 * p + 2), abs=3e-3)
    assert [r["path"].ratio for r in rounds] == sorted(r["path"].ratio for r in rounds)


# refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: qaoa("graph"), TypeError, r"a problem such as MaxCut\(graph\) is needed"),
        (lambda: qaoa(GRAPH, layers=0), ValueError, r"layers must be at least 1, but 0 was given\."),
        (lambda: qaoa(GRAPH, mixer="xx"), ValueError, r"mixer='xx' is not known; choose one of x, xy_ring"),
        (lambda: qaoa(GRAPH, mixer="xy_ring"), ValueError, r"say how many there are, as in hamming_weight=2"),
        (lambda: qaoa(GRAPH, hamming_weight=2), ValueError, r"'xy_ring', 'xy_complete'\), not with mixer='x'"),
        (lambda: qaoa(GRAPH, mixer="xy_ring", hamming_weight=5), ValueError, r"weight is an integer from 0 to 4"),
        (lambda: qaoa(GRAPH, mixer="xy_ring", hamming_weight=1.5), TypeError, r"weight is an integer from 0 to 4"),
        (lambda: qaoa(GRAPH, mixer="xy_ring", hamming_weight=1, initial_state=[1] + [0] * 15), ValueError,
         r"both say where to start"),
        (lambda: qaoa(GRAPH, warm_start="0101", mixer="xy_ring"), ValueError, r"warm_start brings its own mixer"),
        (lambda: qaoa(GRAPH, warm_start="0101", regularization=0.6), ValueError, r"from 0 to 0\.5, but 0\.6"),
        (lambda: qaoa(GRAPH, warm_start="010"), ValueError, r"the assignment has 3 bits, but the graph has 4"),
        (lambda: qaoa(GRAPH, warm_start=[0.1, 0.2]), ValueError, r"one number from 0 to 1 for each of 4 qubits"),
        (lambda: qaoa(GRAPH, initial_state=np.ones(16)), ValueError, r"norm"),
        (lambda: qaoa(GRAPH, initial_state=js.Circuit(N).rx(Parameter("a"), 0)), ValueError, r"without parameters"),
        (lambda: qaoa(GRAPH, initial_parameters=[0.1]), ValueError, r"4"),
        (lambda: mixers.warm_start([0.5, 1.5]), ValueError, r"one number from 0 to 1 for each qubit"),
        (lambda: mixers.dicke_state(0, 0), ValueError, r"n is an integer from 1 to 30"),
        (lambda: interp([]), ValueError, r"one layer or more"),
        (lambda: interp([1.0, 2.0], 1), ValueError, r"there are 2 layers already"),
        (lambda: deeper(qaoa(GRAPH), [0.1]), ValueError, r"has 4 parameters, betas, then gammas"),
        (lambda: deeper(GRAPH, [0.1]), TypeError, r"deeper takes a QAOA"),
        (lambda: grow_depth(qaoa(GRAPH, layers=3), 2), ValueError, r"has 3 layers already, more than 2"),
        (lambda: grow_depth({"a": GRAPH}, 2), TypeError, r"'a' is a MaxCut, not a QAOA"),
        (lambda: ansatz.qaoa(GRAPH, 1, "xy_ring"), ValueError, r"initial_state=jaxsim\.mixers\.dicke_state\(4, 2\)"),
    ],
)  # fmt: skip
def test_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_mixer_of_ones_own():
    """Any function may append the mixer; here it mixes with Y."""
    program = qaoa(GRAPH, layers=1, initial_parameters=[0.3, 0.2], mixer=lambda c, b: c.ry(2 * b, range(N)))
    y = sum(Y(q) for q in range(N)).to_matrix(N)
    expected = scipy.linalg.expm(-0.3j * y) @ (np.exp(-0.2j * GRAPH.diagonal()) / 2 ** (N / 2))
    np.testing.assert_allclose(js.statevector(program.ansatz.bind([0.3, 0.2])), expected, atol=1e-6)
