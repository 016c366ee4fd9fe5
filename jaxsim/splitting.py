"""How the circuits of a job are cut into chunks."""

from __future__ import annotations

__all__ = ["in_words", "split"]


def split(count: int, max_job_size: int | None) -> tuple[range, ...]:
    """Consecutive chunks of at most `max_job_size` circuits, in input order; None: one chunk of all.

    Example:
        >>> [len(chunk) for chunk in split(61, 2)][-2:], len(split(61, 2))
        ([2, 1], 31)
        >>> split(3, None)
        (range(0, 3),)
    """
    size = count if max_job_size is None else max_job_size
    return tuple(range(start, min(start + size, count)) for start in range(0, count, size))


def in_words(indices: list[int]) -> str:
    """Positions of circuits for messages, neighbours together.

    >>> in_words([3]), in_words([0, 1, 2, 7])
    ('circuit 3', 'circuits 0 to 2, 7')
    """
    runs: list[list[int]] = []
    for index in sorted(indices):
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    texts = [str(a) if a == b else f"{a}, {b}" if b == a + 1 else f"{a} to {b}" for a, b in runs]
    shown = ", ".join(texts[:20]) + (", ..." if len(texts) > 20 else "")
    return f"circuit{'s' * (len(indices) > 1)} {shown}"
