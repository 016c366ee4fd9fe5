"""The sweep curve: a number of each result over a number of each program, such as energies over bond lengths."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ensembles.convergence import BAND, groups_in_order
from ensembles.figures import finished_figure, legend_text, new_figure
from ensembles.name_fields import GroupBy, NumberOf, numbers_of
from ensembles.names import Name
from ensembles.result import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ensembles.result import ProgramResult

__all__ = ["plot_curve"]

_WHO = "EnsembleResult.plot_curve"

_REDUCTIONS: dict[str, Callable[[np.ndarray], float]] = {
    "median": np.median,
    "mean": np.mean,
    "min": np.min,
    "max": np.max,
}  # type: ignore[assignment]
"""What becomes of several programs at one x."""


def plot_curve(
    results: Mapping[Name, ProgramResult],
    x: NumberOf,
    path: str | Path | None = None,
    *,
    y: str | Callable[[ProgramResult], float] = "value",
    group_by: GroupBy | None = None,
    reduce: str = "median",
    exact: float | Callable[[float], float] | Mapping[Any, float] | None = None,
    log: bool = False,
    xlabel: str | None = None,
    ylabel: str | None = None,
    title: str | None = None,
) -> Figure:
    """Draws what `EnsembleResult.plot_curve` says; the arguments are described there."""
    if reduce not in _REDUCTIONS:
        raise ValueError(
            f"{_WHO}: reduce={reduce!r} is not known; choose one of {', '.join(map(repr, _REDUCTIONS))}."
        )
    figure = new_figure(_WHO, (7.0, 4.5) if exact is None else (7.0, 6.0))
    heights = {name: _height(result, y) for name, result in results.items()}
    drawn = {name: height for name, height in heights.items() if math.isfinite(height)}
    if isinstance(y, str) and not any(hasattr(result, y) for result in results.values()):
        for result in results.values():
            getattr(result, y)  # which says what there is instead
    if not drawn:
        raise ValueError(f"{_WHO}: no program has a finite number {_named(y)!r} to draw.")
    places = numbers_of(x, drawn, f"{_WHO}: x")
    groups = {"": list(drawn)}
    if group_by is not None:
        groups = groups_in_order(group_by, drawn, f"{_WHO}: group_by")
    truth = None if exact is None else _truth(exact, places)
    upper, lower = _axes(figure, truth is not None)
    if truth is not None:
        known = dict(sorted({places[name]: truth[name] for name in drawn}.items()))
        upper.plot(list(known), list(known.values()), color="black", linewidth=1.0, label="exact")
    for label, members in groups.items():
        points = [(places[name], drawn[name]) for name in members]
        color = _draw(
            upper, points, reduce, label or _text(reduce, points), style="o-" if truth is None else "o"
        )
        if lower is not None and truth is not None:
            distances = [(places[name], abs(drawn[name] - truth[name])) for name in members]
            _draw(lower, distances, reduce, "", color=color)
    left_out = len(results) - len(drawn)
    if left_out:
        upper.plot([], [], " ", label=f"{left_out} without a value")
    upper.set_ylabel(_named(y) if ylabel is None else ylabel)
    if log:
        upper.set_yscale("log")
    bottom = upper if lower is None else lower
    bottom.set_xlabel(xlabel if xlabel is not None else x if isinstance(x, str) else "x")
    if lower is not None:
        lower.set_ylabel("|difference|")
        lower.set_yscale("log")
        lower.grid(alpha=0.3)
    upper.legend(fontsize="small")
    upper.grid(alpha=0.3)
    return finished_figure(figure, path, title)


def _axes(figure: Figure, two: bool) -> tuple[Any, Any]:
    if not two:
        return figure.subplots(), None
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
    return upper, lower


def _draw(
    axes: Any,
    points: list[tuple[float, float]],
    reduce: str,
    label: str,
    *,
    style: str = "o-",
    color: Any = None,
) -> Any:
    """The reduced values, and a band where a median stands for several programs; their colour."""
    columns: dict[float, list[float]] = {}
    for place, height in points:
        columns.setdefault(place, []).append(height)
    places = sorted(columns)
    several = {place: np.array(columns[place]) for place in places}
    heights = [float(_REDUCTIONS[reduce](column)) for column in several.values()]
    (line,) = axes.plot(places, heights, style, markersize=4, color=color, label=legend_text(label))
    if reduce == "median" and any(len(column) > 1 for column in several.values()):
        low, _, high = np.array([np.quantile(column, BAND) for column in several.values()]).T
        axes.fill_between(places, low, high, alpha=0.25, linewidth=0, color=line.get_color())
    return line.get_color()


def _text(reduce: str, points: list[tuple[float, float]]) -> str:
    """What the only line is."""
    places = len({place for place, _ in points})
    if places == len(points):
        return counted(len(points), "program")
    band = ", 10 to 90 %" if reduce == "median" else ""
    return f"{reduce}{band} of {len(points)} programs"


def _named(y: Any) -> str:
    return y if isinstance(y, str) else getattr(y, "__name__", "y")


def _height(result: ProgramResult, y: Any) -> float:
    if not isinstance(y, str) and not callable(y):
        raise TypeError(
            f"{_WHO}: y is an attribute of the results such as 'value', or a function of a result, but {y!r:.60} was "
            "given."
        )
    found: Any = getattr(result, y, None) if isinstance(y, str) else y(result)
    if found is None:
        return math.nan
    if isinstance(found, str) or np.ndim(found) != 0:
        raise ValueError(
            f"{_WHO}: {_named(y)!r} of {result.name!r} is {found!r:.60}, but a number is needed; give a function of a "
            "result as y."
        )
    return float(found)


def _truth(exact: Any, places: Mapping[Name, float]) -> dict[Name, float]:
    """The exact value of every program."""
    if callable(exact):
        function: Callable[[float], Any] = exact
        known = {place: float(function(place)) for place in dict.fromkeys(places.values())}
        return {name: known[place] for name, place in places.items()}
    if isinstance(exact, numbers.Real):
        return dict.fromkeys(places, float(exact))
    if not isinstance(exact, Mapping):
        raise TypeError(
            f"{_WHO}: exact is a number, a function of x, or a mapping from names or x to numbers, but {exact!r:.60} "
            "was given."
        )
    by_name: dict[Name, Any] = {name: name for name in places}
    for keys in (by_name, dict(places)):
        if all(key in exact for key in keys.values()):
            return {name: float(exact[key]) for name, key in keys.items()}
    missing = next(name for name, place in places.items() if name not in exact and place not in exact)
    raise ValueError(
        f"{_WHO}: exact has no value for {missing!r} or x={places[missing]:g}; give one for every name, or for every x."
    )
