"""The convergence picture: loss over steps, for a few programs or for many."""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ensembles.names import Name, display_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ensembles.result import ProgramResult

__all__ = ["plot_convergence"]


def plot_convergence(
    results: Mapping[Name, ProgramResult],
    path: str | Path | None = None,
    *,
    exact: float | Mapping[Name, float] | None = None,
    log: bool | None = None,
    max_lines: int = 12,
    title: str | None = None,
) -> Figure:
    """Draws what `EnsembleResult.plot` says; the arguments are described there."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "EnsembleResult.plot needs matplotlib: pip install 'jaxsim-ensembles[viz]'"
        ) from error

    curves = _curves(results, exact)
    if not curves:
        raise ValueError(
            "EnsembleResult.plot: no program has a history to draw, because none has done a step."
        )
    # A Figure by itself: pyplot would choose a backend and keep the figure alive.
    figure = Figure(figsize=(7.0, 4.5), layout="constrained")
    axes = figure.subplots()
    if len(curves) <= max_lines:
        for name, curve in curves.items():
            # A label that starts with an underscore would be left out of the legend.
            label = display_name(name)
            axes.plot(curve, label=f" {label}" if label.startswith("_") else label, linewidth=1.5)
    else:
        steps, low, middle, high = _band(list(curves.values()))
        axes.fill_between(steps, low, high, alpha=0.3, linewidth=0, label="10 to 90 % of programs")
        axes.plot(steps, middle, linewidth=1.5, label=f"median of {len(curves)} programs")
    axes.set_xlabel("step")
    axes.set_ylabel("loss" if exact is None else "|loss - exact|")
    if log or (log is None and exact is not None):
        axes.set_yscale("log")
    axes.legend(fontsize="small")
    axes.grid(alpha=0.3)
    if title is not None:
        axes.set_title(title)
    # Notebooks show any object that has this method; a Figure made without pyplot has none.
    vars(figure)["_repr_png_"] = functools.partial(_png, figure)
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def _curves(results: Mapping[Name, ProgramResult], exact: Any) -> dict[Name, np.ndarray]:
    drawn = {name: np.asarray(r.history, np.float64) for name, r in results.items() if np.size(r.history)}
    if exact is None:
        return drawn
    if not isinstance(exact, Mapping):
        exact = dict.fromkeys(drawn, exact)
    missing = [name for name in drawn if name not in exact]
    if missing:
        raise ValueError(
            f"EnsembleResult.plot: exact has no value for {missing[0]!r} ({len(missing)} missing in "
            f"all); give a number for all programs or a mapping with every name."
        )
    return {name: np.abs(curve - float(exact[name])) for name, curve in drawn.items()}


def _band(curves: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    length = max(map(len, curves))
    table = np.stack([np.pad(curve, (0, length - len(curve)), mode="edge") for curve in curves])
    # A step at which no program has a number stays empty instead of warning.
    steps = np.flatnonzero(np.isfinite(table).any(axis=0))
    table = np.where(np.isfinite(table), table, np.nan)[:, steps]
    return steps, *np.nanquantile(table, (0.1, 0.5, 0.9), axis=0)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
