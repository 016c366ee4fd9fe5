"""What follows the branches of a dynamic circuit: shots that are drawn, or all outcomes with their probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

import numpy as np

from jaxsim.dynamic.outcomes import descend, shot_words
from jaxsim.dynamic.program import Measurement

__all__ = ["Children", "Distribution", "Followers", "Shots", "write_bits"]


class Children(NamedTuple):
    """The branches after a measurement.

    Attributes:
        parent: (branches,) the branch that each comes from.
        outcome: (branches,) what it measured.
        weight: (branches,) with which probability.
        followers: what follows them.
    """

    parent: np.ndarray
    outcome: np.ndarray
    weight: np.ndarray
    followers: Followers


class Followers(Protocol):
    """What follows branches."""

    def taken(self, kept: np.ndarray) -> Self:
        """Those of some branches; `kept` is (branches,) bool."""
        ...

    def joined(self, others: Sequence[Self], sizes: Sequence[int]) -> Self:
        """These and those of others, whose branches come after; `sizes` are numbers of branches, first these."""
        ...

    def number(self, chosen: np.ndarray) -> int:
        """How many shots follow some branches."""
        ...

    def measure(self, tree: list[np.ndarray], used: np.ndarray) -> Children:
        """The branches after a measurement.

        Args:
            tree: its probabilities, from `probability_tree`.
            used: (branches,) how many random words have been used.
        """
        ...

    def record(self, bits: np.ndarray, out: np.ndarray) -> None:
        """Writes what has come out; `bits` are those of the branches."""
        ...

    def record_last(
        self, tree: list[np.ndarray], used: np.ndarray, bits: np.ndarray, last: Measurement, out: np.ndarray
    ) -> None:
        """The same after one more measurement."""
        ...


def write_bits(bits: np.ndarray, measured: Measurement, outcomes: np.ndarray) -> None:
    """Writes outcomes of a measurement into rows of bits."""
    for place, bit in measured.bits:
        bits[:, bit] = (outcomes >> place) & 1


@dataclass(frozen=True)
class Shots:
    """Shots, each with the branch it follows.

    Attributes:
        key: (2,) uint32 key data.
        numbers: (shots,) their numbers.
        member: (shots,) their branches.
    """

    key: np.ndarray
    numbers: np.ndarray
    member: np.ndarray

    def taken(self, kept: np.ndarray) -> Shots:
        own = kept[self.member]
        return Shots(self.key, self.numbers[own], (np.cumsum(kept) - 1)[self.member[own]])

    def joined(self, others: Sequence[Shots], sizes: Sequence[int]) -> Shots:
        everyone = (self, *others)
        starts = np.cumsum([0, *sizes[:-1]])
        return Shots(
            self.key,
            np.concatenate([own.numbers for own in everyone]),
            np.concatenate([own.member + start for own, start in zip(everyone, starts)]),
        )

    def number(self, chosen: np.ndarray) -> int:
        return int(chosen[self.member].sum())

    def _drawn(self, tree: list[np.ndarray], used: np.ndarray) -> np.ndarray:
        words = shot_words(self.key, self.numbers, used[self.member], len(tree) - 1)
        return descend(tree, self.member, words)

    def measure(self, tree: list[np.ndarray], used: np.ndarray) -> Children:
        wires = len(tree) - 1
        codes, member = _compact((self.member << wires) | self._drawn(tree, used), len(used) << wires)
        parent, outcome = codes >> wires, codes & ((1 << wires) - 1)
        weight = tree[-1][parent, outcome]
        return Children(parent, outcome, weight, Shots(self.key, self.numbers, member))

    def record(self, bits: np.ndarray, out: np.ndarray) -> None:
        out[self.numbers] = bits[self.member]

    def record_last(
        self, tree: list[np.ndarray], used: np.ndarray, bits: np.ndarray, last: Measurement, out: np.ndarray
    ) -> None:
        own = bits[self.member]
        write_bits(own, last, self._drawn(tree, used))
        out[self.numbers] = own


def _compact(codes: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The codes that occur, ascending, and for each code its place among them."""
    if size > 4 * len(codes) + 2**16:
        return np.unique(codes, return_inverse=True)
    present = np.zeros(size, bool)
    present[codes] = True
    return np.flatnonzero(present), (np.cumsum(present) - 1)[codes]


@dataclass(frozen=True)
class Distribution:
    """Every outcome, with the probability of its branch.

    Attributes:
        values: (branches,) float64.
        columns: the bits of an outcome, the least significant first.
    """

    values: np.ndarray
    columns: tuple[int, ...]

    def taken(self, kept: np.ndarray) -> Distribution:
        return Distribution(self.values[kept], self.columns)

    def joined(self, others: Sequence[Distribution], sizes: Sequence[int]) -> Distribution:
        return Distribution(np.concatenate([self.values, *(other.values for other in others)]), self.columns)

    def number(self, chosen: np.ndarray) -> int:
        return 0

    def measure(self, tree: list[np.ndarray], used: np.ndarray) -> Children:
        joint = tree[-1]
        # What is left where amplitudes cancel is rounding.
        rounding = (8 * np.finfo(joint.dtype).eps) ** 2
        parent, outcome = np.nonzero(joint > rounding * tree[0])
        weight = joint[parent, outcome]
        share = weight.astype(np.float64) / tree[0][parent, 0]
        return Children(parent, outcome, weight, Distribution(self.values[parent] * share, self.columns))

    def record(self, bits: np.ndarray, out: np.ndarray) -> None:
        outcomes = bits[:, list(self.columns)].astype(np.int64) @ (1 << np.arange(len(self.columns)))
        np.add.at(out, outcomes, self.values)

    def record_last(
        self, tree: list[np.ndarray], used: np.ndarray, bits: np.ndarray, last: Measurement, out: np.ndarray
    ) -> None:
        parent, outcome, _, followers = self.measure(tree, used)
        own = bits[parent]
        write_bits(own, last, outcome)
        followers.record(own, out)
