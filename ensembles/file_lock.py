"""A lock on an open file: one run at a time writes there."""

from __future__ import annotations

from ensembles.checkpoint_error import CheckpointError

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None

__all__ = ["lock"]


def lock(file: int, busy: str) -> None:
    """Keeps other runs out for as long as a file is open.

    Args:
        file: its descriptor, open for writing.
        busy: what to say to a run that comes second.

    Raises:
        CheckpointError: another run has it.
    """
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CheckpointError(busy) from None
    except OSError:  # a file system without locks
        return
