"""`CheckpointError`: what was saved of a run cannot be used."""

from __future__ import annotations

__all__ = ["CheckpointError"]


class CheckpointError(RuntimeError):
    """What was saved of a run is damaged, or of another ensemble or version, or cannot be written.

    The message names the file, which is kept as it is.
    """
