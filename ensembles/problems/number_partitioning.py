"""Number partitioning: two heaps of numbers with sums as equal as possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ensembles.problems.binary import Assignment, BinaryProblem, finite_number, in_order, plain
from ensembles.problems.spin_polynomial import SpinPolynomial

if TYPE_CHECKING:
    from jaxtyping import Float64

__all__ = ["NumberPartitioning"]


class NumberPartitioning(BinaryProblem):
    """Put numbers on two heaps so that the sums differ as little as possible.

    The cost, to be minimised, is the square of the difference, (sum_i a_i s_i)**2 with spins s_i (Lucas,
    arXiv:1302.5843, section 2.1); `objective` is the difference itself, without sign.

    Args:
        numbers: a sequence of finite numbers, at least two; or {label: number}. The variables are the positions, or
            the labels.

    Raises:
        TypeError: not numbers.
        ValueError: fewer than two, NaN or infinity.

    Example:
        >>> heaps = NumberPartitioning([4, 5, 6, 7, 8])
        >>> heaps.objective("00011"), heaps.decode("00011"), heaps.best().value
        (12.0, ((6.0, 7.0, 8.0), (4.0, 5.0)), 0.0)
    """

    kind: ClassVar[str] = "NumberPartitioning"
    noun: ClassVar[str] = "number"

    numbers: Float64[np.ndarray, " n"]

    def __init__(self, numbers: Sequence[float] | Mapping[Any, float]) -> None:
        if isinstance(numbers, str) or not np.iterable(numbers):
            raise TypeError(f"NumberPartitioning: give a list of numbers, not {numbers!r:.60}.")
        if isinstance(numbers, Mapping):
            self.variables = in_order([plain(label) for label in numbers])
            values = [numbers[label] for label in self.variables]
        else:
            values = list(numbers)
            self.variables = tuple(range(len(values)))
        if len(values) < 2:
            raise ValueError(
                f"NumberPartitioning: at least 2 numbers are needed, but {len(values)} were given."
            )
        what = "NumberPartitioning: the number of {!r}"
        self.numbers = np.array([finite_number(v, what.format(k)) for k, v in zip(self.variables, values)])
        self.numbers.setflags(write=False)
        n = len(values)
        a, b = np.triu_indices(n, 1)
        self.polynomial = SpinPolynomial(
            float(self.numbers @ self.numbers),
            np.zeros(n),
            np.stack([a, b], axis=1).astype(np.int32),
            2 * self.numbers[a] * self.numbers[b],
        )

    def objective(self, assignment: Assignment) -> float:
        """How much the sums of the two heaps differ."""
        return float(abs(self.spins(assignment).astype(np.float64) @ self.numbers))

    def decode(self, assignment: Assignment) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The numbers with bit 0, and those with bit 1."""
        bits = self.bits(assignment)
        zero, one = (tuple(self.numbers[bits == side].tolist()) for side in (0, 1))
        return zero, one
