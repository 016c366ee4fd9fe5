"""Optimisers with a population, a generation of which is one batch of rows: differential evolution, CMA-ES."""

from __future__ import annotations

import inspect
import math
import numbers
from typing import TYPE_CHECKING, Any

import numpy as np

from ensembles.hosted_optimizers import (
    FULL_TURN,
    HostedOptimizer,
    check_known,
    checked_bounds,
    checked_count,
    pairs_of_bounds,
)

if TYPE_CHECKING:
    from ensembles.evaluation import Evaluate

__all__ = ["cma_es", "differential_evolution"]


class _DifferentialEvolution(HostedOptimizer):
    has_gradient = False
    shares_thread = True

    def __init__(self, bounds: Any, options: dict[str, Any]) -> None:
        super().__init__("differential_evolution", {"bounds": bounds, **options})
        self.bounds, self.options = bounds, options

    def check(self, num_parameters: int) -> None:
        if self.bounds is not None:
            pairs_of_bounds(self.kind, self.bounds, num_parameters)

    def most_rows(self, num_parameters: int) -> int | None:
        generations = self.options.get("maxiter", 1000)
        if not isinstance(self.options.get("init", ""), str):
            return (generations + 1) * len(self.options["init"])
        return (generations + 1) * max(5, self.options.get("popsize", 15) * num_parameters)

    def minimize(self, evaluate: Evaluate) -> dict[str, Any]:
        from scipy.optimize import differential_evolution

        pairs = pairs_of_bounds(self.kind, self.bounds or FULL_TURN, evaluate.num_parameters)
        low, high = np.array(pairs).T
        start = evaluate.initial_parameters
        inside = bool(np.all((low <= start) & (start <= high)))
        # SciPy renamed the argument in 1.15.
        named = "rng" if "rng" in inspect.signature(differential_evolution).parameters else "seed"
        result = differential_evolution(
            lambda x: evaluate(np.ascontiguousarray(x.T)),
            pairs,
            vectorized=True,
            updating="deferred",
            polish=False,
            x0=start if inside else None,
            **{named: evaluate.random},
            **self.options,
        )
        return {
            "parameters": result.x,
            "value": float(result.fun),
            "converged": bool(result.success),
            "message": str(result.message),
            "iterations": int(result.nit),
        }


_EVOLUTION_OPTIONS = frozenset(
    {"strategy", "maxiter", "popsize", "tol", "atol", "mutation", "recombination", "init"}
)


def differential_evolution(*, bounds: Any = None, **options: Any) -> HostedOptimizer:
    """SciPy's differential evolution: a generation is one batch of rows.

    Storn and Price, J. Global Optim. 11, 341 (1997). No local search follows (SciPy's `polish`), because it would use
    differences of values; start a gradient method from the result for that.

    Args:
        bounds: (low, high) for all parameters, or one pair for each; None: -pi to pi.
        options: strategy, maxiter (generations), popsize (times the number of parameters), tol, atol, mutation,
            recombination, init: as in `scipy.optimize.differential_evolution`.

    Raises:
        TypeError: an unknown option. ValueError: bounds that are none.

    Example:
        >>> differential_evolution(maxiter=50, popsize=10)
        differential_evolution(maxiter=50, popsize=10)
    """
    check_known("differential_evolution", options, _EVOLUTION_OPTIONS)
    for option in ("maxiter", "popsize"):
        if option in options:
            options[option] = checked_count("differential_evolution", option, options[option])
    bounds = checked_bounds("differential_evolution", bounds)
    return _DifferentialEvolution(bounds, options)


class _CmaEs(HostedOptimizer):
    has_gradient = False
    shares_thread = True

    def __init__(self, sigma: float, bounds: Any, options: dict[str, Any]) -> None:
        super().__init__("cma_es", {"sigma": sigma, "bounds": bounds, **options})
        self.sigma, self.bounds, self.options = sigma, bounds, options

    def check(self, num_parameters: int) -> None:
        if num_parameters < 2:
            raise ValueError(
                f"cma_es: at least 2 parameters are needed, but there are {num_parameters}; use grid_search."
            )
        if self.bounds is not None:
            pairs_of_bounds(self.kind, self.bounds, num_parameters)

    def most_rows(self, num_parameters: int) -> int | None:
        return self.options.get("maxfevals")

    def minimize(self, evaluate: Evaluate) -> dict[str, Any]:
        import cma

        random = evaluate.random
        options = {
            "verbose": -10,  # prints nothing, reads no file of signals
            "verb_log": 0,
            # Its own draws: the library's default is NumPy's global generator, which all threads share.
            "randn": lambda *shape: random.standard_normal(shape),
            **self.options,
        }
        if self.bounds is not None:
            pairs = pairs_of_bounds(self.kind, self.bounds, evaluate.num_parameters)
            options["bounds"] = [list(side) for side in zip(*pairs, strict=True)]
        strategy = cma.CMAEvolutionStrategy(evaluate.initial_parameters, self.sigma, options)
        while not strategy.stop():
            candidates = strategy.ask()
            strategy.tell(candidates, evaluate(np.array(candidates)).tolist())
        reasons = dict(strategy.stop())  # type: ignore[arg-type]
        best = strategy.result
        return {
            "parameters": np.array(best.xbest),
            "value": float(best.fbest),
            "converged": not set(reasons) <= {"maxiter", "maxfevals"},
            "message": ", ".join(f"{name}={value}" for name, value in reasons.items()),
            "iterations": int(strategy.countiter),
        }


_CMA_OPTIONS = frozenset(
    {"maxiter", "popsize", "maxfevals", "ftarget", "tolx", "tolfun", "tolfunhist", "CMA_diagonal"}
)


def cma_es(*, sigma: float = 0.5, bounds: Any = None, **options: Any) -> HostedOptimizer:
    """Covariance matrix adaptation evolution strategy, by the library `cma`: a generation is one batch of rows.

    Hansen, arXiv:1604.00772.

    Args:
        sigma: first standard deviation of the candidates, in radians.
        bounds: (low, high) for all parameters, or one pair for each; None: no bounds.
        options: maxiter (generations), popsize, maxfevals, ftarget, tolx, tolfun, tolfunhist, CMA_diagonal: as in
            `cma.CMAOptions`.

    Raises:
        ImportError: the library is not installed. TypeError: an unknown option. ValueError: numbers out of range.
    """
    try:
        import cma  # noqa: F401
    except ImportError:
        raise ImportError(
            "cma_es needs the library cma: pip install 'jaxsim-ensembles[cma]'. differential_evolution() does "
            "without."
        ) from None
    check_known("cma_es", options, _CMA_OPTIONS)
    if isinstance(sigma, bool) or not isinstance(sigma, numbers.Real) or not 0 < sigma < math.inf:
        raise ValueError(f"cma_es: sigma must be a finite number > 0, but {sigma!r} was given.")
    for option in ("maxiter", "popsize", "maxfevals"):
        if option in options:
            options[option] = checked_count("cma_es", option, options[option])
    bounds = checked_bounds("cma_es", bounds)
    return _CmaEs(float(sigma), bounds, options)
