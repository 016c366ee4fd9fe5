"""A cost as a polynomial in spins: s = +1 for a bit 0 and s = -1 for a bit 1, the eigenvalues of Z."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from jaxsim import PauliSum

if TYPE_CHECKING:
    from jaxtyping import Float64, Int8, Int32, Int64

__all__ = ["MAX_QUBITS", "SpinPolynomial"]

MAX_QUBITS = 30
"""Masks of operators are int32."""


@dataclass(frozen=True, eq=False)
class SpinPolynomial:
    """constant + sum_i fields[i] s_i + sum_k couplings[k] s_a s_b + products of three and more spins.

    Any number of spins; only `hamiltonian` wants at most 30.

    Attributes:
        constant: the value that does not depend on the spins.
        fields: (n,) float64.
        pairs: (pairs, 2) int32, each a < b, sorted, without repetition.
        couplings: (pairs,) float64.
        higher: pairs (spins, coefficient) with three or more ascending spins, sorted.

    Example:
        >>> p = SpinPolynomial.from_terms(3, {(): 1.0, (0,): 2.0, (0, 1): -1.0, (0, 1, 2): 0.5})
        >>> p.values(np.array([[1, 1, 1], [-1, 1, 1]], np.int8)).tolist()
        [2.5, -0.5]
    """

    constant: float
    fields: Float64[np.ndarray, " n"]
    pairs: Int32[np.ndarray, "pairs 2"]
    couplings: Float64[np.ndarray, " pairs"]
    higher: tuple[tuple[tuple[int, ...], float], ...] = ()

    @classmethod
    def from_terms(cls, n: int, terms: Mapping[tuple[int, ...], float]) -> SpinPolynomial:
        """The polynomial with these coefficients; a key holds different spins, in ascending order."""
        fields = np.zeros(n)
        for key, value in terms.items():
            if len(key) == 1:
                fields[key[0]] = value
        pairs = sorted(key for key in terms if len(key) == 2)
        higher = sorted((key, float(terms[key])) for key in terms if len(key) > 2)
        return cls(
            float(terms.get((), 0.0)),
            fields,
            np.array(pairs, np.int32).reshape(-1, 2),
            np.array([terms[key] for key in pairs], np.float64),
            tuple(higher),
        )

    @classmethod
    def from_binary_terms(cls, n: int, terms: Mapping[tuple[int, ...], float]) -> SpinPolynomial:
        """The polynomial of sum over keys of coefficient * prod x_i, with x_i = (1 - s_i) / 2 in {0, 1}."""
        spins: dict[tuple[int, ...], float] = {}
        for key, value in terms.items():
            share = value / 2 ** len(key)
            for size in range(len(key) + 1):
                for subset in itertools.combinations(key, size):
                    spins[subset] = spins.get(subset, 0.0) + (-share if size % 2 else share)
        return cls.from_terms(n, spins)

    @classmethod
    def from_binary_quadratic(
        cls,
        constant: float,
        linear: Float64[np.ndarray, " n"],
        pairs: Int64[np.ndarray, "pairs 2"],
        weights: Float64[np.ndarray, " pairs"],
    ) -> SpinPolynomial:
        """The polynomial of constant + sum linear[i] x_i + sum weights[k] x_a x_b, without a loop.

        `pairs` may hold a pair several times and in any order, but no (a, a).
        """
        n = len(linear)
        low, high = pairs.min(axis=1, initial=n), pairs.max(axis=1, initial=0)
        codes, place = np.unique(low.astype(np.int64) * n + high, return_inverse=True)
        summed = np.bincount(place, weights, minlength=len(codes)).astype(np.float64)
        merged = np.stack([codes // max(n, 1), codes % max(n, 1)], axis=1).astype(np.int32)
        fields = -linear / 2
        for column in range(2):
            fields = fields - np.bincount(merged[:, column], summed / 4, minlength=n)
        total = constant + linear.sum() / 2 + summed.sum() / 4
        return cls(float(total), fields, merged, summed / 4)

    @property
    def n(self) -> int:
        """Number of spins."""
        return len(self.fields)

    @property
    def degree(self) -> int:
        """The largest number of spins in a product."""
        if self.higher:
            return max(len(key) for key, _ in self.higher)
        return 2 if len(self.pairs) else int(self.fields.any())

    def values(self, spins: Int8[np.ndarray, "... n"]) -> Float64[np.ndarray, "..."]:
        """The cost of spin configurations, (..., n) of +1 and -1."""
        spins = np.asarray(spins, np.float64)
        a, b = self.pairs.T
        total = self.constant + spins @ self.fields + (spins[..., a] * spins[..., b]) @ self.couplings
        for key, value in self.higher:
            total = total + value * spins[..., list(key)].prod(axis=-1)
        return total

    def split(self, parts: Sequence[Int64[np.ndarray, " nodes"]]) -> list[SpinPolynomial]:
        """For each of disjoint sets of spins the terms among them; spins are numbered in the order given.

        For quadratic polynomials; products of spins in different parts, and the constant, are in none.
        """
        label, place = np.full(self.n, -1, np.int64), np.zeros(self.n, np.int64)
        for k, nodes in enumerate(parts):
            label[nodes], place[nodes] = k, np.arange(len(nodes))
        owner = label[self.pairs[:, 0]]
        inside = (owner == label[self.pairs[:, 1]]) & (owner >= 0)
        pairs = np.sort(place[self.pairs[inside]], axis=1)
        order = np.lexsort((pairs[:, 1], pairs[:, 0], owner[inside]))
        pairs, couplings = pairs[order].astype(np.int32), self.couplings[inside][order]
        cuts = np.searchsorted(owner[inside][order], np.arange(len(parts) + 1))
        return [
            SpinPolynomial(0.0, self.fields[nodes], pairs[a:b], couplings[a:b])
            for nodes, a, b in zip(parts, cuts[:-1].tolist(), cuts[1:].tolist())
        ]

    def hamiltonian(self) -> PauliSum:
        """The operator: the identity, then the fields that are not 0, then the pairs, then the rest."""
        if self.n > MAX_QUBITS:
            raise ValueError(
                f"a cost on {self.n} variables has no operator on qubits: at most {MAX_QUBITS} fit, one qubit each."
            )
        fields = np.flatnonzero(self.fields)
        masks = [0, *(1 << fields).tolist()]
        masks += (np.left_shift(1, self.pairs.astype(np.int64)).sum(axis=1)).tolist()
        masks += [sum(1 << q for q in key) for key, _ in self.higher]
        coefficients = np.concatenate(
            [[self.constant], self.fields[fields], self.couplings, [value for _, value in self.higher]]
        )
        z_mask = np.array(masks, np.int32)
        return PauliSum(np.zeros_like(z_mask), z_mask, coefficients)
