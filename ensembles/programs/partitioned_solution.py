"""What a partitioned problem ends with: one solution of the whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ensembles.problems.binary import BinaryProblem
from ensembles.programs import stitching
from ensembles.programs.stitching import Energy

if TYPE_CHECKING:
    from jaxtyping import Int8

__all__ = ["PartitionedSolution"]


@dataclass(frozen=True, eq=False)
class PartitionedSolution:
    """A solution of the whole problem.

    Attributes:
        problem: the problem.
        bits: (n,) 0 and 1, entry k for ``problem.variables[k]``.
        method: how it was found, in words.
    """

    problem: BinaryProblem
    bits: Int8[np.ndarray, " n"]
    method: str

    @property
    def bitstring(self) -> str:
        """The bits as text, the first variable rightmost."""
        return "".join(map(str, self.bits[::-1].tolist()))

    @property
    def objective(self) -> float:
        """Its value in the problem's own terms: the cut, the size of the set, ..."""
        return self.problem.objective(self.bits)

    @property
    def cost(self) -> float:
        """Its cost, penalties included."""
        return self.problem.cost(self.bits)

    @property
    def feasible(self) -> bool:
        """Whether it obeys all constraints."""
        return self.problem.is_feasible(self.bits)

    def decode(self) -> Any:
        """The solution in the problem's own terms: the two sides of a cut, the set, ..."""
        return self.problem.decode(self.bits)

    def improved_by_single_flips(self) -> PartitionedSolution:
        """Another solution: this one after flipping single bits as long as that improves the cost.

        A classical local search (1-opt), which owes nothing to the quantum programs; compare both.
        """
        energy = Energy.of(self.problem.polynomial, self.problem.loss_sign)
        spins, flips = stitching.flipped_one_by_one(energy, 1 - 2 * self.bits)
        return PartitionedSolution(
            self.problem, ((1 - spins) // 2).astype(np.int8), f"{self.method}, then {flips} single flips"
        )

    def __repr__(self) -> str:
        feasible = "" if self.feasible else ", not feasible"
        return f"PartitionedSolution({self.problem!r}: objective {self.objective:g}{feasible}; {self.method})"
