"""Optimisers that are ordinary Python: what they have in common; grid and random search.

Given as the optimiser of a program (`VQE`, `QAOA`, `Program`), they make it a hosted program: it runs in a thread of
its own, and what it evaluates shares compiled calls with other programs. SciPy's methods are in `scipy_methods`,
differential evolution and CMA-ES in `evolution`.
"""

from __future__ import annotations

import difflib
import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from ensembles.evaluation import Evaluate

__all__ = [
    "FULL_TURN",
    "Bounds",
    "HostedOptimizer",
    "check_known",
    "checked_bounds",
    "checked_count",
    "grid_search",
    "pairs_of_bounds",
    "random_search",
]

Bounds: TypeAlias = "tuple[float, float] | tuple[tuple[float, float], ...]"

FULL_TURN: Bounds = (-math.pi, math.pi)
"""Bounds of every parameter where none are given."""

_ROWS_AT_ONCE = 1024
"""Rows that grid and random search submit together: blocks are full long before, and memory stays bounded."""


class HostedOptimizer(ABC):
    """An optimiser that asks for evaluations and waits for them.

    To write one: subclass it, with `minimize`. One object may serve any number of programs at the same time, so
    `minimize` keeps its state in local variables.

    Args:
        kind: what users call it.
        settings: what it was made with, to be shown.
    """

    has_gradient = True
    """Whether it may ask for derivatives; where it does not, circuits with `shots` need no shifts."""

    def __init__(self, kind: str, settings: Mapping[str, Any]) -> None:
        self.kind = kind
        self.settings = dict(settings)

    shares_thread = False
    """Whether programs with it can do with one thread: `Program.shares_thread` says what `minimize` must keep to."""

    @abstractmethod
    def minimize(self, evaluate: Evaluate) -> Mapping[str, Any] | None:
        """Minimises; returns what `HostedProgram.run` returns."""

    def check(self, num_parameters: int) -> None:  # noqa: B027
        """Refuses, when a program is made, what does not fit so many parameters; nothing here."""

    def most_rows(self, num_parameters: int) -> int | None:
        """How many rows it evaluates at most; None if that is not known."""
        return None

    def __repr__(self) -> str:
        shown = [f"{name}={value!r}" for name, value in self.settings.items() if value is not None]
        return f"{self.kind}({', '.join(shown)})"


# searches -------------------------------------------------------------------------------------------------


class _Search(HostedOptimizer):
    """Evaluates points that do not depend on what was found before."""

    has_gradient = False
    shares_thread = True

    def __init__(
        self,
        kind: str,
        settings: Mapping[str, Any],
        count: Callable[[int], int],
        points: Callable[[Evaluate], Iterator[np.ndarray]],
        check: Callable[[int], None],
    ) -> None:
        super().__init__(kind, settings)
        self._count, self._points, self._check = count, points, check

    def check(self, num_parameters: int) -> None:
        self._check(num_parameters)

    def most_rows(self, num_parameters: int) -> int | None:
        return self._count(num_parameters)

    def minimize(self, evaluate: Evaluate) -> dict[str, Any]:
        best, where = math.inf, evaluate.initial_parameters
        for points in self._points(evaluate):
            values = evaluate(points)
            low = int(np.argmin(values))
            if values[low] < best:
                best, where = float(values[low]), points[low]
        return {"parameters": where, "value": best}


_MOST_GRID_POINTS = 2**24


def grid_search(points: int | Sequence[int] = 21, *, bounds: Any = None) -> HostedOptimizer:
    """Evaluates a grid of points, both ends of every interval included; the first of equal ones wins.

    Args:
        points: how many along each parameter, one number for all or one for each.
        bounds: (low, high) for all parameters, or one pair for each; None: -pi to pi.

    Raises:
        TypeError, ValueError: numbers out of range; when a program is made, more than 2**24 points in all.

    Example:
        >>> grid_search(5).most_rows(num_parameters=3)
        125
    """
    several = isinstance(points, Sequence | np.ndarray)
    counts = [checked_count("grid_search", "points", n) for n in (points if several else [points])]  # type: ignore[union-attr]
    bounds = checked_bounds("grid_search", bounds)

    def shape(num_parameters: int) -> tuple[int, ...]:
        return tuple(counts) if several else (counts[0],) * num_parameters

    def check(num_parameters: int) -> None:
        if len(shape(num_parameters)) != num_parameters:
            raise ValueError(
                f"grid_search: points has {len(counts)} numbers, but the program has {num_parameters} parameters."
            )
        pairs_of_bounds("grid_search", bounds or FULL_TURN, num_parameters)
        if math.prod(shape(num_parameters)) > _MOST_GRID_POINTS:
            raise ValueError(
                f"grid_search: {' x '.join(map(str, shape(num_parameters)))} points are more than {_MOST_GRID_POINTS}; "
                "take fewer, or random_search."
            )

    def grid(evaluate: Evaluate) -> Iterator[np.ndarray]:
        sizes = shape(evaluate.num_parameters)
        pairs = pairs_of_bounds("grid_search", bounds or FULL_TURN, evaluate.num_parameters)
        axes = [np.linspace(low, high, n) for (low, high), n in zip(pairs, sizes, strict=True)]
        total = math.prod(sizes)
        for start in range(0, total, _ROWS_AT_ONCE):
            index = np.unravel_index(np.arange(start, min(start + _ROWS_AT_ONCE, total)), sizes)
            yield np.stack([axis[i] for axis, i in zip(axes, index, strict=True)], axis=1)

    return _Search(
        "grid_search", {"points": points, "bounds": bounds}, lambda p: math.prod(shape(p)), grid, check
    )


def random_search(samples: int, *, bounds: Any = None) -> HostedOptimizer:
    """Evaluates points drawn uniformly, from the seed and the program's name.

    Args:
        samples: how many.
        bounds: (low, high) for all parameters, or one pair for each; None: -pi to pi.

    Raises:
        TypeError, ValueError: numbers out of range.

    Example:
        >>> random_search(1000)
        random_search(samples=1000)
    """
    total = checked_count("random_search", "samples", samples)
    bounds = checked_bounds("random_search", bounds)

    def check(num_parameters: int) -> None:
        pairs_of_bounds("random_search", bounds or FULL_TURN, num_parameters)

    def draws(evaluate: Evaluate) -> Iterator[np.ndarray]:
        low, high = np.array(pairs_of_bounds("random_search", bounds or FULL_TURN, evaluate.num_parameters)).T
        for start in range(0, total, _ROWS_AT_ONCE):
            size = (min(_ROWS_AT_ONCE, total - start), evaluate.num_parameters)
            yield evaluate.random.uniform(low, high, size)

    return _Search("random_search", {"samples": total, "bounds": bounds}, lambda _: total, draws, check)


# arguments ------------------------------------------------------------------------------------------------


def checked_count(kind: str, name: str, value: Any) -> int:
    """The integer; TypeError for anything else, ValueError below 1."""
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{kind}: {name} is an integer, but {value!r} was given.") from None
    if number < 1:
        raise ValueError(f"{kind}: {name} must be at least 1, but {number} was given.")
    return number


def check_known(kind: str, options: Mapping[str, Any], known: frozenset[str]) -> None:
    """TypeError for an option that does not exist."""
    for name in options:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise TypeError(
                f"{kind}: there is no option {name!r}.{hint} There are {', '.join(sorted(known))}."
            )


def checked_bounds(kind: str, bounds: Any) -> Bounds | None:
    """Bounds in one form: (low, high), or a tuple of such pairs; None stays.

    Raises:
        ValueError: anything else, and pairs that are no intervals.
    """
    if bounds is None:
        return None
    try:
        array = np.asarray(bounds, np.float64)
    except (TypeError, ValueError):
        array = np.zeros(0)
    if not array.size or array.ndim not in (1, 2) or array.shape[-1] != 2:
        raise ValueError(
            f"{kind}: bounds are a pair (low, high) for all parameters, or one pair for each, but {bounds!r} was given."
        )
    pairs = array.reshape(-1, 2)
    if not np.all(np.isfinite(pairs)) or not np.all(pairs[:, 0] < pairs[:, 1]):
        raise ValueError(f"{kind}: bounds must be finite with low < high, but {bounds!r} was given.")
    own = tuple((float(low), float(high)) for low, high in pairs)
    return own[0] if array.ndim == 1 else own


def pairs_of_bounds(kind: str, bounds: Bounds, num_parameters: int) -> list[tuple[float, float]]:
    """One pair for each parameter.

    Raises:
        ValueError: another number of pairs.
    """
    array = np.reshape(bounds, (-1, 2))
    if np.ndim(bounds) == 1:
        array = np.tile(array, (num_parameters, 1))
    if len(array) != num_parameters:
        raise ValueError(
            f"{kind}: {len(array)} pairs of bounds were given, but the program has {num_parameters} parameters."
        )
    return [(float(low), float(high)) for low, high in array]
