"""Solutions of parts put together: a beam search over the candidates of each part, and single flips afterwards.

Everything here is an energy to be made small, E(s) = sum_i h_i s_i + sum_ij J_ij s_i s_j, in spins +1 and -1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ensembles.problems.spin_polynomial import SpinPolynomial

if TYPE_CHECKING:
    from jaxtyping import Float64, Int8, Int64

__all__ = ["Energy", "beam_search", "candidate_spins", "flipped_one_by_one", "revisited"]

Spins: TypeAlias = "Int8[np.ndarray, ' n']"
Parts: TypeAlias = "Sequence[Int64[np.ndarray, ' nodes']]"
Candidates: TypeAlias = "Sequence[Int8[np.ndarray, 'candidates nodes']]"


@dataclass(frozen=True, eq=False)
class Energy:
    """A quadratic energy.

    Attributes:
        fields: (n,) h.
        couplings: (n, n) sparse, symmetric; each pair is there twice and counts once.
    """

    fields: Float64[np.ndarray, " n"]
    couplings: Any

    @classmethod
    def of(cls, polynomial: SpinPolynomial, sign: float) -> Energy:
        """`sign` times the quadratic polynomial, without its constant."""
        from scipy.sparse import coo_array

        n = polynomial.n
        a, b = polynomial.pairs.astype(np.int64).T
        values = np.concatenate([polynomial.couplings, polynomial.couplings]) * sign
        matrix = coo_array((values, (np.concatenate([a, b]), np.concatenate([b, a]))), shape=(n, n))
        return cls(sign * polynomial.fields, matrix.tocsr())

    def value(self, spins: Spins) -> float:
        """E of one configuration."""
        s = spins.astype(np.float64)
        return float(self.fields @ s + 0.5 * (s @ (self.couplings @ s)))

    def within(self, nodes: np.ndarray, spins: Int8[np.ndarray, "k nodes"]) -> Float64[np.ndarray, " k"]:
        """The fields and couplings of some nodes among themselves, for k configurations of them."""
        s = spins.astype(np.float64)
        inside = self.couplings[nodes][:, nodes].toarray()
        return s @ self.fields[nodes] + 0.5 * np.einsum("ki,ij,kj->k", s, inside, s)


def candidate_spins(
    probabilities: Float64[np.ndarray, "parts dim"], count: int
) -> Int8[np.ndarray, "parts candidates nodes"]:
    """The `count` most probable basis states of each part as spins, the most probable first; all if there are fewer."""
    dim = probabilities.shape[1]
    count = min(count, dim)
    if count < dim:
        chosen = np.argpartition(-probabilities, count - 1, axis=1)[:, :count]
    else:
        chosen = np.broadcast_to(np.arange(dim), probabilities.shape)
    ranked = np.take_along_axis(probabilities, chosen, axis=1)
    # Of equal probabilities the lower index first, so that the order is fully determined.
    order = np.lexsort((chosen, -ranked), axis=1)
    chosen = np.take_along_axis(chosen, order, axis=1)
    bits = chosen[..., None] >> np.arange(dim.bit_length() - 1) & 1
    return (1 - 2 * bits).astype(np.int8)


def beam_search(energy: Energy, parts: Parts, candidates: Candidates, width: int) -> Spins:
    """The best configuration that a beam search finds with one of its candidates in each part.

    Parts are placed one after the other, always the one with the most coupling to those placed; of all
    continuations of the partial configurations kept, the `width` with the lowest energy are kept.

    Args:
        energy: of all spins.
        parts: the nodes of each part.
        candidates: for each part its configurations.
        width: how many partial configurations are kept.
    """
    order = _order(energy, parts)
    n = len(energy.fields)
    spins = np.zeros((n, 1), np.int8)
    energies = np.zeros(1)
    for k in order:
        nodes, options = parts[k], candidates[k]
        beside = _field_from_outside(energy, nodes, spins)
        total = energies[:, None] + energy.within(nodes, options) + beside.T @ options.T.astype(np.float64)
        flat = total.ravel()
        kept = np.arange(flat.size)
        if flat.size > width:
            kept = np.argpartition(flat, width - 1)[:width]
        kept = kept[np.lexsort((kept, flat[kept]))]
        beam, option = np.divmod(kept, len(options))
        spins, energies = spins[:, beam], flat[kept]
        spins[nodes] = options[option].T
    return np.ascontiguousarray(spins[:, 0])


def _order(energy: Energy, parts: Parts) -> list[int]:
    """The order in which parts are placed: next is the one with the most coupling to those placed."""
    from scipy.sparse import coo_array

    label = np.zeros(len(energy.fields), np.int64)
    for k, nodes in enumerate(parts):
        label[nodes] = k
    coo = energy.couplings.tocoo()
    between = coo_array(
        (np.abs(coo.data), (label[coo.row], label[coo.col])), shape=(len(parts), len(parts))
    ).tocsr()
    between.setdiag(0.0)
    placed_weight = np.zeros(len(parts))
    open_parts = np.ones(len(parts), bool)
    order = [int(np.argmax(between.sum(axis=1)))]
    while True:
        open_parts[order[-1]] = False
        row = slice(between.indptr[order[-1]], between.indptr[order[-1] + 1])
        placed_weight[between.indices[row]] += between.data[row]
        if not open_parts.any():
            return order
        order.append(int(np.argmax(np.where(open_parts, placed_weight, -1.0))))


def _field_from_outside(
    energy: Energy, nodes: np.ndarray, spins: Int8[np.ndarray, "n beams"]
) -> Float64[np.ndarray, "nodes beams"]:
    """What the spins of other nodes add to the fields of these, for each configuration; open spins are 0."""
    rows = energy.couplings[nodes]
    columns, place = np.unique(rows.indices, return_inverse=True)
    dense = np.zeros((len(nodes), len(columns)))
    dense[np.repeat(np.arange(len(nodes)), np.diff(rows.indptr)), place] = rows.data
    dense[:, np.isin(columns, nodes)] = 0.0
    return dense @ spins[columns].astype(np.float64)


def revisited(
    energy: Energy, parts: Parts, candidates: Candidates, spins: Spins, rounds: int
) -> tuple[Spins, int]:
    """The configuration after choosing the candidate of each part anew, given all others, until nothing changes.

    Returns the configuration and the number of rounds made, at most `rounds`.
    """
    spins = spins.copy()
    for made in range(rounds):
        changed = False
        for nodes, options in zip(parts, candidates, strict=True):
            beside = _field_from_outside(energy, nodes, spins[:, None])[:, 0]
            total = energy.within(nodes, options) + options @ beside
            now = energy.within(nodes, spins[None, nodes])[0] + spins[nodes] @ beside
            best = int(np.argmin(total))
            if total[best] < now - 1e-9 * max(1.0, abs(now)):
                spins[nodes] = options[best]
                changed = True
        if not changed:
            return spins, made
    return spins, rounds


def flipped_one_by_one(energy: Energy, spins: Spins) -> tuple[Spins, int]:
    """A local minimum: single spins flipped as long as that lowers the energy, always the one that lowers it most.

    Returns the configuration and the number of flips.
    """
    import heapq

    spins = spins.copy()
    couplings = energy.couplings
    gain = 2 * spins * (energy.fields + couplings @ spins.astype(np.float64))  # energy that a flip saves
    least = 1e-9 * max(1.0, float(np.abs(gain).max(initial=0.0)))
    heap = [(-g, k) for k, g in enumerate(gain.tolist()) if g > least]
    heapq.heapify(heap)
    flips = 0
    while heap:
        saved, node = heapq.heappop(heap)
        if -saved != gain[node] or gain[node] <= least:
            continue
        spins[node] = -spins[node]
        gain[node] = -gain[node]
        flips += 1
        row = slice(couplings.indptr[node], couplings.indptr[node + 1])
        beside = couplings.indices[row]
        gain[beside] += 4 * couplings.data[row] * spins[node] * spins[beside]
        for other in beside.tolist():
            if gain[other] > least:
                heapq.heappush(heap, (-float(gain[other]), other))
        if gain[node] > least:
            heapq.heappush(heap, (-float(gain[node]), node))
    return spins, flips
