"""Hosted optimisers against SciPy on energies from dense matrices, and against plain searches."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.optimize

from ensembles import (
    SCIPY_METHODS,
    VQE,
    BatchConfig,
    HostedOptimizer,
    Program,
    ProgramEnsemble,
    adam,
    cma_es,
    differential_evolution,
    grid_search,
    random_search,
    scipy_minimize,
)
from ensembles.scipy_methods import _hessian
from jaxsim import Circuit, ParameterVector, X, Z

A = ParameterVector("a", 2)
PAIR = Circuit(2).ry(A[0], 0).rx(A[1], 1).cx(0, 1)
FIELD = Z(0) @ Z(1) + 0.5 * X(0)
START = np.array([0.4, -0.9])
MATRIX = np.diag([1.0, -1, -1, 1]) + 0.5 * np.kron(np.eye(2), [[0, 1], [1, 0]])


def exact_energy(parameters):
    """<FIELD> after the gates of PAIR as dense matrices; complex128."""
    a, b = parameters
    ry = np.array([[np.cos(a / 2), -np.sin(a / 2)], [np.sin(a / 2), np.cos(a / 2)]])
    rx = np.array([[np.cos(b / 2), -1j * np.sin(b / 2)], [-1j * np.sin(b / 2), np.cos(b / 2)]])
    state = np.kron(rx[:, 0], ry[:, 0])[[0, 3, 2, 1]]
    return (state.conj() @ MATRIX @ state).real


def exact_gradient(parameters):
    shifts = np.pi / 2 * np.eye(2)
    return np.array([(exact_energy(parameters + s) - exact_energy(parameters - s)) / 2 for s in shifts])


def exact_hessian(parameters):
    shifts = np.pi / 2 * np.eye(2)
    return np.array([(exact_gradient(parameters + s) - exact_gradient(parameters - s)) / 2 for s in shifts])


def vqe(optimizer, **options):
    return VQE(PAIR, FIELD, optimizer=optimizer, **{"initial_parameters": START, **options})


def run(programs, config=None, **options):
    return ProgramEnsemble(programs).run(config, progress=False, **{"seed": 7, **options})


def result_of(optimizer, **options):
    return run([vqe(optimizer, **options)])[0]


# SciPy ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", SCIPY_METHODS)
def test_every_method_finds_what_scipy_finds(method):
    wants = SCIPY_METHODS[method]
    derivatives = {"jac": exact_gradient} if wants.gradient else {}
    derivatives |= {"hess": exact_hessian} if wants.hessian else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = scipy.optimize.minimize(exact_energy, START, method=method, **derivatives)
        result = result_of(scipy_minimize(method))
    assert result.final_value == pytest.approx(reference.fun, abs=2e-5)
    assert result.value <= result.final_value
    assert result.status in ("completed", "converged")
    assert result.evaluations >= len(result.history)
    assert exact_energy(result.parameters) == pytest.approx(result.value, abs=1e-6)


def test_cobyla_goes_the_way_that_scipy_goes():
    path = []
    options = {"maxiter": 12, "rhobeg": 0.3}
    reference = scipy.optimize.minimize(
        lambda x: path.append(exact_energy(x)) or path[-1], START, method="COBYLA", options=options
    )
    result = result_of(scipy_minimize("cobyla", **options))
    np.testing.assert_allclose(result.history, path, atol=1e-4)
    assert (result.status, result.evaluations) == ("completed", 12)
    assert result.message == reference.message


def test_a_method_that_has_converged_says_so():
    result = result_of(scipy_minimize("Nelder-Mead", xatol=1e-2, fatol=1e-2))
    assert result.status == "converged"
    assert result.iterations > 3


def test_bounds_and_constraints_hold():
    bounded = result_of(scipy_minimize("L-BFGS-B", bounds=(-1.0, 1.0)))
    reference = scipy.optimize.minimize(
        exact_energy, START, jac=exact_gradient, method="L-BFGS-B", bounds=[(-1, 1)] * 2
    )
    assert bounded.final_value == pytest.approx(reference.fun, abs=1e-5)
    assert np.abs(bounded.final_parameters).max() <= 1
    own = result_of(scipy_minimize("Nelder-Mead", bounds=[(0.3, 0.5), (-1.0, 2.0)]))
    assert 0.3 <= own.final_parameters[0] <= 0.5 + 1e-6
    line = {"type": "eq", "fun": lambda x: x[0] - x[1]}
    tied = result_of(scipy_minimize("SLSQP", constraints=[line]))
    assert tied.final_parameters[0] == pytest.approx(tied.final_parameters[1], abs=1e-4)


def test_second_derivatives_are_differences_of_exact_first_ones():
    class Look(VQE):
        def run(self, evaluate):
            return {"hessian": _hessian(evaluate, START)}

    result = run([Look(PAIR, FIELD, optimizer=None)])[0]
    np.testing.assert_allclose(result.hessian, exact_hessian(START), atol=2e-4)
    assert result.evaluations == 4  # one batch


def test_programs_share_calls_and_keep_their_own_way():
    methods = ["COBYLA", "Nelder-Mead", "Powell"]
    programs = {m: vqe(scipy_minimize(m, maxiter=6), initial_parameters=None) for m in methods}
    together = run(programs)
    assert together.stats.groups == 1
    assert together.stats.calls < together.stats.rows
    for name, program in programs.items():
        alone = run({name: program}, BatchConfig("off"))[name]
        assert alone.history.tobytes() == together[name].history.tobytes()


# populations ------------------------------------------------------------------------------------------------

LOWEST = min(
    exact_energy([a, b]) for a in np.linspace(-np.pi, np.pi, 201) for b in np.linspace(-np.pi, np.pi, 41)
)


def test_differential_evolution_takes_a_generation_as_a_batch():
    optimizer = differential_evolution(maxiter=15, popsize=8)
    ensemble = ProgramEnsemble({k: vqe(optimizer, initial_parameters=None) for k in "ab"})
    result = ensemble.run(progress=False, seed=3)
    for r in result.values():
        assert r.value == pytest.approx(LOWEST, abs=1e-2)
        assert r.evaluations <= optimizer.most_rows(2)
    assert ensemble.plan().hosted_rows == 2 * 16 * 16
    assert result.stats.largest_call == 32
    alone = ProgramEnsemble({"b": vqe(optimizer, initial_parameters=None)}).run(progress=False, seed=3)
    assert alone["b"].history.tobytes() == result["b"].history.tobytes()
    assert result["a"].history.tobytes() != result["b"].history.tobytes()


def test_differential_evolution_keeps_its_bounds():
    result = result_of(differential_evolution(maxiter=3, popsize=5, bounds=[(0.0, 0.1), (1.0, 1.2)]))
    assert np.all((result.parameters >= [0.0, 1.0 - 1e-6]) & (result.parameters <= [0.1 + 1e-6, 1.2 + 1e-6]))


def test_cma_es_draws_from_its_program_alone():
    pytest.importorskip("cma")
    optimizer = cma_es(sigma=0.8, maxiter=25, popsize=6)
    before = np.random.get_state()[1].tobytes()
    result = run({k: vqe(optimizer, initial_parameters=None) for k in "ab"})
    assert np.random.get_state()[1].tobytes() == before
    for r in result.values():
        assert r.value == pytest.approx(LOWEST, abs=1e-2)
        assert r.evaluations == 6 * r.iterations
    alone = run({"b": vqe(optimizer, initial_parameters=None)}, BatchConfig("off"))
    assert alone["b"].history.tobytes() == result["b"].history.tobytes()
    bounded = result_of(cma_es(bounds=(-0.5, 0.5), maxiter=5), initial_parameters=[0.1, 0.1])
    assert np.abs(bounded.parameters).max() <= 0.5 + 1e-6


def test_cma_es_without_its_library_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cma", None)
    with pytest.raises(ImportError, match=r"pip install 'jaxsim-ensembles\[cma\]'"):
        cma_es()


# searches ---------------------------------------------------------------------------------------------------


def test_grid_search_finds_the_lowest_point_of_the_grid():
    axes = [np.linspace(-np.pi, np.pi, 41), np.linspace(-np.pi, np.pi, 30)]
    energies = np.array([[exact_energy([a, b]) for b in axes[1]] for a in axes[0]])
    result = result_of(grid_search([41, 30]))
    np.testing.assert_allclose(result.history, energies.ravel(), atol=2e-6)  # more than one batch, in order
    assert result.value == pytest.approx(energies.min(), abs=1e-6)
    assert exact_energy(result.final_parameters) == pytest.approx(energies.min(), abs=1e-5)
    corner = result_of(grid_search(2, bounds=[(0.0, 1.0), (2.0, 3.0)]))
    expected = [exact_energy([a, b]) for a in (0.0, 1.0) for b in (2.0, 3.0)]
    np.testing.assert_allclose(corner.history, expected, atol=1e-6)


def test_random_search_draws_inside_its_bounds():
    result = result_of(random_search(1500, bounds=[(0.0, 0.2), (1.0, 1.1)]))
    assert len(result.history) == result.evaluations == 1500
    assert result.value == result.history.min() == result.final_value
    assert np.all((result.parameters > [0.0, 1.0]) & (result.parameters < [0.2, 1.1]))
    assert exact_energy(result.parameters) == pytest.approx(result.value, abs=1e-6)
    assert len(set(result.history.tolist())) > 1000
    again = run({0: vqe(random_search(1500, bounds=[(0.0, 0.2), (1.0, 1.1)]))})[0]
    assert again.history.tobytes() == result.history.tobytes()


def test_an_optimiser_of_ones_own():
    class Halving(HostedOptimizer):
        """Halves the parameters."""

        def __init__(self, times):
            super().__init__("halving", {"times": times})
            self.times = times

        def minimize(self, evaluate):
            x = evaluate.initial_parameters
            for _ in range(self.times):
                evaluate(x)
                x = x / 2
            return {"parameters": x}

    program = vqe(Halving(3))
    assert "halving(times=3)" in repr(program)
    result = run([program])[0]
    np.testing.assert_allclose(result.history, [exact_energy(START / 2**k) for k in range(3)], atol=1e-6)


# bad input --------------------------------------------------------------------------------------------------


def loss(x, data, key):
    return x.sum()


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda: scipy_minimize("COBILA"), ValueError, "Did you mean 'COBYLA'.*Nelder-Mead"),
        (lambda: scipy_minimize(print), TypeError, "a string such as 'COBYLA'"),
        (lambda: scipy_minimize("BFGS", bounds=(0, 1)), ValueError, "BFGS takes no bounds.*L-BFGS-B"),
        (lambda: scipy_minimize("BFGS", constraints=[{}]), ValueError, "takes no constraints.*SLSQP"),
        (lambda: scipy_minimize("COBYLA", maxiter=0), ValueError, "maxiter must be at least 1"),
        (lambda: scipy_minimize("COBYLA", maxiter=2.5), TypeError, "maxiter is an integer"),
        (lambda: scipy_minimize("COBYLA", bounds=(1, 0)), ValueError, "low < high"),
        (lambda: scipy_minimize("COBYLA", bounds="wide"), ValueError, "a pair"),
        (lambda: scipy_minimize("COBYLA", bounds=[(0, 1), (0, np.inf)]), ValueError, "finite"),
        (lambda: vqe(scipy_minimize("COBYLA", maxitr=3)), ValueError, "maxitr"),
        (lambda: vqe(scipy_minimize("Nelder-Mead", initial_simplex=np.zeros((4, 3)))), ValueError, "simplex"),
        (lambda: vqe(scipy_minimize("COBYLA", bounds=[(0, 1)] * 3)), ValueError, "3 pairs.*2 parameters"),
        (lambda: vqe(scipy_minimize("COBYLA"), steps=10), ValueError, "maxiter=200"),
        (lambda: vqe("COBYLA"), TypeError, "adam"),
        (lambda: vqe(adam(0.1)), ValueError, "steps=200"),
        (lambda: differential_evolution(maxitr=3), TypeError, "Did you mean 'maxiter'"),
        (lambda: differential_evolution(popsize=0), ValueError, "popsize must be at least 1"),
        (lambda: vqe(differential_evolution(bounds=[(0, 1)])), ValueError, "1 pairs.*2 parameters"),
        (lambda: grid_search(0), ValueError, "points must be at least 1"),
        (lambda: grid_search(2.5), TypeError, "points is an integer"),
        (lambda: vqe(grid_search([3, 3, 3])), ValueError, "3 numbers, but the program has 2"),
        (lambda: vqe(grid_search(10_000)), ValueError, "random_search"),
        (lambda: random_search(0), ValueError, "at least 1"),
        (lambda: random_search(True), TypeError, "integer"),
        (lambda: Program(loss, np.zeros(1), optimizer=scipy_minimize(), steps=1), ValueError, "maxiter"),
    ],
)
def test_bad_input_is_refused_in_words(build, error, words):
    with pytest.raises(error, match=words):
        build()


def test_bad_input_of_cma_es_is_refused_in_words():
    pytest.importorskip("cma")
    for build, error, words in [
        (lambda: cma_es(sigma=0), ValueError, "sigma"),
        (lambda: cma_es(sigmo=1), TypeError, "Did you mean|there is no option"),
        (lambda: cma_es(maxiter=0), ValueError, "maxiter"),
        (lambda: Program(loss, np.zeros(1), optimizer=cma_es()), ValueError, "at least 2 parameters"),
    ]:
        with pytest.raises(error, match=words):
            build()


@pytest.mark.parametrize(
    ("optimizer", "text"),
    [
        (scipy_minimize("cobyla", maxiter=20), "scipy_minimize('COBYLA', maxiter=20)"),
        (
            scipy_minimize("SLSQP", bounds=[0, 1], tol=0.1),
            "scipy_minimize('SLSQP', bounds=(0.0, 1.0), tol=0.1)",
        ),
        (grid_search([2, 3]), "grid_search(points=[2, 3])"),
        (random_search(5), "random_search(samples=5)"),
        (differential_evolution(popsize=4), "differential_evolution(popsize=4)"),
    ],
)
def test_optimisers_print_what_they_were_made_with(optimizer, text):
    assert repr(optimizer) == text
