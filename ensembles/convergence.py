"""The convergence picture: loss over steps, for a few programs, for many, or for groups of them."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ensembles.figures import finished_figure, legend_text, new_figure
from ensembles.name_fields import GroupBy, labels_of
from ensembles.names import Name, display_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ensembles.result import ProgramResult

__all__ = ["BAND", "MOST_GROUPS", "groups_in_order", "plot_convergence"]

BAND = (0.1, 0.5, 0.9)
"""Quantiles of a band: where it begins, its line, where it ends."""

MOST_GROUPS = 20
"""More bands than these can not be told apart."""


def plot_convergence(
    results: Mapping[Name, ProgramResult],
    path: str | Path | None = None,
    *,
    group_by: GroupBy | None = None,
    exact: float | Mapping[Name, float] | None = None,
    log: bool | None = None,
    max_lines: int = 12,
    title: str | None = None,
) -> Figure:
    """Draws what `EnsembleResult.plot` says; the arguments are described there."""
    figure = new_figure("EnsembleResult.plot", (7.0, 4.5))
    curves = _curves(results, exact)
    if not curves:
        raise ValueError(
            "EnsembleResult.plot: no program has a history to draw, because none has done a step."
        )
    axes = figure.subplots()
    if group_by is not None:
        for label, members in groups_in_order(group_by, curves, "EnsembleResult.plot: group_by").items():
            _draw_band(axes, [curves[name] for name in members], f"{label} ({len(members)})")
    elif len(curves) <= max_lines:
        for name, curve in curves.items():
            axes.plot(curve, label=legend_text(display_name(name)), linewidth=1.5)
    else:
        _draw_band(axes, list(curves.values()), f"median of {len(curves)} programs", "10 to 90 % of programs")
    axes.set_xlabel("step")
    axes.set_ylabel("loss" if exact is None else "|loss - exact|")
    if log or (log is None and exact is not None):
        axes.set_yscale("log")
    heading = None if group_by is None else "median, 10 to 90 % (programs)"
    axes.legend(fontsize="small", title=heading, title_fontsize="small")
    axes.grid(alpha=0.3)
    return finished_figure(figure, path, title)


def groups_in_order(group_by: Any, names: Mapping[Name, Any], what: str) -> dict[str, list[Name]]:
    """The programs of each group by its text: numbers ascending, other groups as they come.

    Errors: as `labels_of`; ValueError for more than 20 groups.
    """
    labels = labels_of(group_by, names, what)
    members: dict[Any, list[Name]] = {}
    for name, label in labels.items():
        members.setdefault(label, []).append(name)
    if len(members) > MOST_GROUPS:
        some = ", ".join(repr(label) for label in list(members)[:3])
        raise ValueError(
            f"{what} makes {len(members)} groups ({some}, ...), but more than {MOST_GROUPS} can not be told apart; put "
            "several values into a group, as a function of the name can."
        )
    if all(isinstance(label, numbers.Real) for label in members):
        members = dict(sorted(members.items()))
    texts: dict[str, list[Name]] = {}
    for label, own in members.items():
        text = _text(label)
        # 1 and "1" are two groups; text in quotes tells them apart.
        texts[text if text not in texts else repr(label)] = own
    return texts


def _text(label: Any) -> str:
    if isinstance(label, tuple):
        return ", ".join(map(_text, label))
    return f"{label:.6g}" if isinstance(label, float | np.floating) else str(label)


def _draw_band(axes: Any, curves: list[np.ndarray], label: str, band_label: str | None = None) -> None:
    """The median over programs, and a band around it; a program that has ended keeps its last loss."""
    steps, low, middle, high = _band(curves)
    (line,) = axes.plot(steps, middle, linewidth=1.5, label=legend_text(label))
    axes.fill_between(steps, low, high, alpha=0.25, linewidth=0, color=line.get_color(), label=band_label)


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
    return steps, *np.nanquantile(table, BAND, axis=0)
