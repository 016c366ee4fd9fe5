"""What all pictures share: a Figure of its own, without pyplot; saved, and shown by notebooks."""

from __future__ import annotations

import functools
import io
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["finished_figure", "legend_text", "new_figure"]


def new_figure(who: str, size: tuple[float, float]) -> Figure:
    """An empty figure of (width, height) inches; nothing of matplotlib's global state changes.

    Args:
        who: what needs it, for the message.

    Errors: ImportError without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(f"{who} needs matplotlib: pip install 'jaxsim-ensembles[viz]'") from error
    # A Figure by itself: pyplot would choose a backend and keep the figure alive.
    return Figure(figsize=size, layout="constrained")


def finished_figure(figure: Figure, path: str | Path | None, title: str | None) -> Figure:
    """The figure with its title, saved if there is a path (the suffix says how), and made to show in notebooks."""
    if title is not None:
        figure.axes[0].set_title(title)
    # Notebooks show any object that has this method; a Figure made without pyplot has none.
    vars(figure)["_repr_png_"] = functools.partial(_png, figure)
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def legend_text(label: str) -> str:
    """A label that legends show as it is; they leave out those that start with _, and take dollars for mathematics."""
    label = label.replace("$", r"\$")
    return f" {label}" if label.startswith("_") else label


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
