"""The methods of `scipy.optimize.minimize` as optimisers of programs."""

from __future__ import annotations

import difflib
import sys
import warnings
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ensembles.hosted_optimizers import HostedOptimizer, checked_bounds, checked_count, pairs_of_bounds

if TYPE_CHECKING:
    from jaxtyping import Float64

    from ensembles.evaluation import Evaluate

__all__ = ["SCIPY_METHODS", "scipy_minimize"]


class Method(NamedTuple):
    """What a method of `scipy.optimize.minimize` takes; and whether it is compiled code that calls back."""

    gradient: bool = False
    hessian: bool = False
    bounds: bool = False
    constraints: bool = False
    calls_back: bool = False


SCIPY_METHODS: dict[str, Method] = {
    "Nelder-Mead": Method(bounds=True),
    "Powell": Method(bounds=True),
    "CG": Method(gradient=True),
    "BFGS": Method(gradient=True),
    "Newton-CG": Method(gradient=True, hessian=True),
    "L-BFGS-B": Method(gradient=True, bounds=True),
    "TNC": Method(gradient=True, bounds=True, calls_back=True),
    "COBYLA": Method(bounds=True, constraints=True),
    "COBYQA": Method(bounds=True, constraints=True),
    "SLSQP": Method(gradient=True, bounds=True, constraints=True),
    "trust-constr": Method(gradient=True, hessian=True, bounds=True, constraints=True),
    "dogleg": Method(gradient=True, hessian=True),
    "trust-ncg": Method(gradient=True, hessian=True),
    "trust-exact": Method(gradient=True, hessian=True),
    "trust-krylov": Method(gradient=True, hessian=True),
}


class _ScipyMinimize(HostedOptimizer):
    def __init__(self, method: str, bounds: Any, constraints: Any, tol: Any, options: dict[str, Any]) -> None:
        super().__init__("scipy_minimize", {"bounds": bounds, "tol": tol, **options})
        self.method, self.options, self.tol, self.constraints = method, options, tol, constraints
        self.bounds = bounds
        self._fits: set[int] = set()  # numbers of parameters that have been checked

    @property
    def has_gradient(self) -> bool:  # type: ignore[override]
        return SCIPY_METHODS[self.method].gradient

    @property
    def shares_thread(self) -> bool:
        return not SCIPY_METHODS[self.method].calls_back

    def __repr__(self) -> str:
        shown = [repr(self.method)]
        shown += [f"{name}={value!r}" for name, value in self.settings.items() if value is not None]
        return f"scipy_minimize({', '.join(shown)})"

    def _arguments(self, num_parameters: int) -> dict[str, Any]:
        bounds = (
            None if self.bounds is None else pairs_of_bounds("scipy_minimize", self.bounds, num_parameters)
        )
        return {
            "method": self.method,
            "bounds": bounds,
            "constraints": self.constraints,
            "tol": self.tol,
            "options": dict(self.options),
        }

    def check(self, num_parameters: int) -> None:
        if num_parameters in self._fits:
            return
        from scipy.optimize import OptimizeWarning, minimize

        arguments = self._arguments(num_parameters)
        start = np.zeros(num_parameters)
        if arguments["bounds"] is not None:
            start = np.clip(start, *np.array(arguments["bounds"]).T)

        def stop(*_: Any) -> Any:
            raise _ReachedError

        # SciPy looks at its options before it calls the function, and only then is the trial over.
        method = SCIPY_METHODS[self.method]
        derivatives = {"jac": stop} if method.gradient else {}
        if method.hessian:
            derivatives["hess"] = stop
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                warnings.simplefilter("error", OptimizeWarning)
                minimize(stop, start, **arguments, **derivatives)
        except _ReachedError:
            self._fits.add(num_parameters)
        except Exception as error:
            raise ValueError(
                f"scipy_minimize: {self.method} does not take {self.options or 'these arguments'} for {num_parameters} "
                f"parameters: {error}"
            ) from error

    def most_rows(self, num_parameters: int) -> int | None:
        # SciPy's other methods finish what they have begun (a simplex, a line search) before they look at a limit, and
        # COBYLA raises one below its first simplex.
        limit = self.options.get("maxiter")
        return max(limit, num_parameters + 2) if self.method == "COBYLA" and limit else None

    def minimize(self, evaluate: Evaluate) -> dict[str, Any]:
        from scipy.optimize import minimize

        if self.method == "COBYQA":
            _lift_lock()
        method = SCIPY_METHODS[self.method]
        arguments = self._arguments(evaluate.num_parameters)
        if method.gradient:
            arguments["jac"] = True
        if method.hessian:
            arguments["hess"] = lambda x: _hessian(evaluate, x)

        def function(x: np.ndarray) -> Any:
            return evaluate(x, gradient=method.gradient)

        result = minimize(function, evaluate.initial_parameters, **arguments)
        counted = {"iterations": int(result.nit)} if "nit" in result else {}  # COBYLA counts evaluations only
        return {
            "parameters": result.x,
            "value": float(result.fun),
            "converged": bool(result.success),
            "message": str(result.message),
            **counted,
        }


class _ReachedError(Exception):
    """The trial of a method's arguments has come to the first evaluation."""


def _hessian(evaluate: Evaluate, x: np.ndarray) -> Float64[np.ndarray, "size size"]:
    """Central differences of exact gradients, all in one batch."""
    size = len(x)
    # The third root of the precision balances rounding against the cubic term (Press et al., Numerical Recipes, 5.7).
    step = float(np.cbrt(evaluate.precision))
    shifts = step * np.eye(size)
    _, gradients = evaluate(np.concatenate([x + shifts, x - shifts]), gradient=True)
    hessian = (gradients[:size] - gradients[size:]) / (2 * step)
    return (hessian + hessian.T) / 2


def scipy_minimize(
    method: str = "COBYLA",
    *,
    bounds: Any = None,
    constraints: Any = (),
    tol: float | None = None,
    **options: Any,
) -> HostedOptimizer:
    """Any method of `scipy.optimize.minimize`, as the optimiser of a program.

    Methods that use derivatives get exact ones (never differences of values), those that use second derivatives
    central differences of exact gradients, evaluated in one batch.

    Args:
        method: "COBYLA", "Nelder-Mead", "L-BFGS-B", ...: the keys of `SCIPY_METHODS`; upper or lower case.
        bounds: (low, high) for all parameters, or one pair for each; for methods that take bounds.
        constraints: as SciPy takes them; for methods that do.
        tol: SciPy's tolerance.
        options: the method's options, such as maxiter (COBYLA's counts evaluations; that is SciPy's definition),
            rhobeg, xatol.

    Returns:
        an optimiser for `VQE`, `QAOA` and `Program`. Their results have, besides the common fields, `message` and,
        where SciPy counts them, `iterations`; the status is "converged" if SciPy reports success, else "completed".

    Raises:
        TypeError, ValueError: unknown methods, bounds or constraints that the method does not take; when a program is
            made, options that the method does not know.

    Example:
        >>> from ensembles import QAOA, ProgramEnsemble, scipy_minimize
        >>> from ensembles.problems import MaxCut
        >>> ring = MaxCut([(0, 1), (1, 2), (2, 3), (3, 0)])
        >>> program = QAOA(ring, layers=2, optimizer=scipy_minimize("COBYLA", maxiter=40))
        >>> result = ProgramEnsemble({"ring": program}).run(progress=False)["ring"]
        >>> result.evaluations <= 40, result.cut
        (True, 4.0)
    """
    known = {name.lower(): name for name in SCIPY_METHODS}
    if not isinstance(method, str):
        raise TypeError(f"scipy_minimize: method is a string such as 'COBYLA', but {method!r} was given.")
    name = known.get(method.lower())
    if name is None:
        close = difflib.get_close_matches(method.lower(), known, n=1)
        hint = f" Did you mean {known[close[0]]!r}?" if close else ""
        raise ValueError(
            f"scipy_minimize: there is no method {method!r}.{hint} There are {', '.join(SCIPY_METHODS)}."
        )
    if bounds is not None and not SCIPY_METHODS[name].bounds:
        raise ValueError(
            f"scipy_minimize: {name} takes no bounds; methods that do are {_that_take('bounds')}."
        )
    if not SCIPY_METHODS[name].constraints and constraints not in ((), [], None):
        raise ValueError(
            f"scipy_minimize: {name} takes no constraints; methods that do are {_that_take('constraints')}."
        )
    bounds = checked_bounds("scipy_minimize", bounds)
    for option in ("maxiter", "maxfev", "maxfun"):
        if options.get(option) is not None:
            options[option] = checked_count("scipy_minimize", option, options[option])
    return _ScipyMinimize(name, bounds, constraints or (), tol, options)


def _lift_lock() -> None:
    """Lets COBYQA run in several programs at a time.

    SciPy before 1.18 runs it behind a lock, for the sake of how it prints. Of programs that share calls one would hold
    it and wait in `evaluate` for the others, and these for the lock.
    """
    module = sys.modules.get("scipy.optimize._cobyqa_py")
    if hasattr(module, "COBYQA_LOCK"):
        vars(module)["COBYQA_LOCK"] = nullcontext()


def _that_take(what: str) -> str:
    return ", ".join(name for name, method in SCIPY_METHODS.items() if getattr(method, what))
