"""What a callback is told while compiled programs run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ensembles.names import Name

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

__all__ = ["RunUpdate"]


@dataclass(frozen=True)
class RunUpdate:
    """Where the compiled programs of a run are, between two flushes. Arrays are copies.

    Attributes:
        names: the programs' names.
        steps: updates made.
        losses: the latest loss of each; NaN before the first.
        best: the lowest loss of each; NaN before the first.
        ended: whether they have ended.
        calls: compiled calls made.
        seconds: since the run began.
    """

    names: tuple[Name, ...]
    steps: Int[np.ndarray, " programs"]
    losses: Float[np.ndarray, " programs"]
    best: Float[np.ndarray, " programs"]
    ended: Bool[np.ndarray, " programs"]
    calls: int
    seconds: float

    def __str__(self) -> str:
        known = self.best[np.isfinite(self.best)]
        lowest = f", lowest loss {known.min():.8g}" if known.size else ""
        return (
            f"{int(self.ended.sum())} of {len(self.names)} programs ended, {int(self.steps.sum())} steps in "
            f"{self.calls} calls{lowest}, {self.seconds:.1f} s"
        )
