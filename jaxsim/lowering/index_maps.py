"""Affine maps of the basis index, y = A x ^ b over bits: what networks of CX, SWAP and X do.

Masks are integers, bit q for qubit q.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

__all__ = ["IndexMap", "bits", "gather_masks", "independent_sets", "odd"]


def odd(mask: int) -> bool:
    """Whether an odd number of bits is set."""
    return mask.bit_count() % 2 == 1


def bits(mask: int) -> Iterator[int]:
    """The positions of the bits that are set, lowest first."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


class IndexMap:
    """y = A x ^ b; the inverse of A is kept beside it, as both change by one row or column an operation.

    Attributes:
        rows: bit q of y is the parity of ``rows[q] & x``, and the flip.
        inverse: the rows of the inverse of A.
        flip: b.
    """

    __slots__ = ("flip", "inverse", "rows")

    def __init__(self, num_wires: int) -> None:
        self.rows = [1 << q for q in range(num_wires)]
        self.inverse = list(self.rows)
        self.flip = 0

    @property
    def linear_is_identity(self) -> bool:
        """Whether A is the identity."""
        return all(row == 1 << q for q, row in enumerate(self.rows))

    def parity_before(self, mask: int) -> tuple[int, bool]:
        """The parity of `mask` after the map as a parity before it: (mask, whether it is negated)."""
        before, rest = 0, mask
        while rest:
            low = rest & -rest
            before ^= self.rows[low.bit_length() - 1]
            rest ^= low
        return before, odd(mask & self.flip)

    def parity_after(self, mask: int) -> tuple[int, bool]:
        """The parity of `mask` before the map as a parity after it: (mask, whether it is negated)."""
        after = 0
        for q in bits(mask):
            after ^= self.inverse[q]
        return after, odd(after & self.flip)

    def flip_before(self, mask: int) -> int:
        """What has to be flipped before the map to flip `mask` after it."""
        before, bit = 0, 1
        for row in self.inverse:
            if (row & mask).bit_count() & 1:
                before |= bit
            bit <<= 1
        return before

    def add(self, control: int, target: int) -> None:
        """Then flip the bits `target` where the parity of `control` is odd; they share an even number of bits."""
        before, negated = self.parity_before(control)
        for q in bits(target):
            self.rows[q] ^= before
        self.inverse = [row ^ control if (row & target).bit_count() & 1 else row for row in self.inverse]
        if negated:
            self.flip ^= target

    def swap(self, a: int, b: int) -> None:
        """Then exchange two bits."""
        self.rows[a], self.rows[b] = self.rows[b], self.rows[a]
        both = 1 << a | 1 << b
        self.inverse = [row ^ both if (row >> a ^ row >> b) & 1 else row for row in self.inverse]
        if (self.flip >> a ^ self.flip >> b) & 1:
            self.flip ^= both

    def after(self, first: IndexMap) -> IndexMap:
        """This map after another one."""
        result = IndexMap(len(self.rows))
        result.rows = [first.parity_before(row)[0] for row in self.rows]
        result.inverse = [self.inverse_parity(row) for row in first.inverse]
        result.flip = self.flip ^ sum(1 << q for q, row in enumerate(self.rows) if odd(row & first.flip))
        return result

    def inverse_parity(self, mask: int) -> int:
        """The sum of the inverse's rows in the mask."""
        total = 0
        for q in bits(mask):
            total ^= self.inverse[q]
        return total

    def inverted(self) -> IndexMap:
        """The map that undoes this one."""
        result = IndexMap(len(self.rows))
        result.rows, result.inverse = list(self.inverse), list(self.rows)
        result.flip = self.flip_before(self.flip)
        return result


def bring_to_front(num_wires: int, masks: Iterable[int]) -> IndexMap:
    """A map after which each of some independent parities is the value of one bit; the other bits stay."""
    result = IndexMap(num_wires)
    taken = 0
    for mask in masks:
        # The parity in terms of the bits as they are now; some bit of it is still free to hold it.
        now = result.parity_after(mask)[0]
        free = now & ~taken
        if not free:
            raise ValueError("The parities are not independent.")
        pivot = free & -free
        result.add(now ^ pivot, pivot)
        taken |= pivot
    return result


def independent_sets(masks: Iterable[int]) -> list[list[int]]:
    """The masks in few linearly independent sets: each, lightest first, into the first set that takes it."""
    sets: list[tuple[list[int], dict[int, int]]] = []
    for mask in sorted(masks, key=lambda m: (m.bit_count(), m)):
        for members, basis in sets:
            if _extend(basis, mask):
                members.append(mask)
                break
        else:
            basis = {}
            _extend(basis, mask)
            sets.append(([mask], basis))
    return [members for members, _ in sets]


def _extend(basis: dict[int, int], mask: int) -> bool:
    while mask:
        top = mask.bit_length()
        if top not in basis:
            basis[top] = mask
            return True
        mask ^= basis[top]
    return False


def gather_masks(maps: list[IndexMap], num_wires: int) -> np.ndarray:
    """(maps, 2, n + 1) int32: for ``new[j] = old[index[j]]``, what each bit of j contributes to the index, and last the
    index of 0; first for doing a map, second for undoing it."""
    if not maps:
        return np.zeros((0, 2, num_wires + 1), np.int32)
    shift = np.arange(num_wires, dtype=np.int64)
    rows = np.array([(m.inverse, m.rows) for m in maps], np.int64)  # (maps, 2, n)
    matrix = rows[..., None] >> shift & 1  # [..., output bit, input bit]
    columns = (matrix << shift[:, None]).sum(axis=-2)
    starts = np.array([(m.flip_before(m.flip), m.flip) for m in maps], np.int64)
    return np.concatenate([columns, starts[..., None]], axis=-1).astype(np.int32)
