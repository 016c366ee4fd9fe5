"""Clifford frames: constant Clifford gates pulled to the end of a circuit, where an observable absorbs them.

A circuit is F R_m ... R_1: first rotations about Pauli words, then one Clifford operation F. Appending a rotation
about P gives a rotation about F^dagger P F before F; appending a Clifford gate changes F alone. F is known by the words
into which it takes the X and the Z of every qubit (Aaronson and Gottesman, arXiv:quant-ph/0406196).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Int

__all__ = ["Frame", "Word", "conjugate", "quarter_turns"]


class Word(NamedTuple):
    """i**turns X^x Z^z."""

    x: int
    z: int
    turns: int

    def __matmul__(self, other: Word) -> Word:
        crossed = 2 * (self.z & other.x).bit_count()
        return Word(self.x ^ other.x, self.z ^ other.z, (self.turns + other.turns + crossed) % 4)

    def commutes(self, other: Word) -> bool:
        """Whether the words commute; else they anticommute."""
        return not ((self.x & other.z).bit_count() + (self.z & other.x).bit_count()) % 2

    @property
    def sign(self) -> int:
        """+1 or -1 times the Hermitian word with Y where both masks are set."""
        return 1 if self.turns == self.num_y % 4 else -1

    @property
    def num_y(self) -> int:
        """How many Y."""
        return (self.x & self.z).bit_count()


def pauli(x: int, z: int) -> Word:
    """The Hermitian word with Y where both masks are set."""
    return Word(x, z, (x & z).bit_count() % 4)


def quarter_turns(angle: float) -> int | None:
    """k if the angle is k pi/2 up to rounding, modulo 4; else None."""
    turns = angle / (math.pi / 2)
    return round(turns) % 4 if abs(turns - round(turns)) < 1e-12 else None


class Frame:
    """A Clifford operation F up to its phase.

    Attributes:
        images: F^dagger X_q F for every qubit q, then F^dagger Z_q F.
    """

    def __init__(self, num_wires: int) -> None:
        self.num_wires = num_wires
        self.images = [Word(1 << q, 0, 0) for q in range(num_wires)] + [
            Word(0, 1 << q, 0) for q in range(num_wires)
        ]
        self._identity = tuple(self.images)

    def image(self, x: int, z: int) -> Word:
        """F^dagger P F of the Hermitian word P with these masks."""
        found_x = found_z = 0
        turns = (x & z).bit_count()
        for mask, first in ((x, -1), (z, self.num_wires - 1)):
            while mask:
                low = mask & -mask
                own_x, own_z, own_turns = self.images[first + low.bit_length()]
                turns += own_turns + 2 * (found_z & own_x).bit_count()  # the product of the words
                found_x ^= own_x
                found_z ^= own_z
                mask ^= low
        return Word(found_x, found_z, turns % 4)

    def append(self, x: int, z: int, turns: int) -> None:
        """Puts a rotation by turns * pi/2 about the word with these masks after F."""
        if not turns:
            return
        word = self.image(x, z)
        # What anticommutes with P, Q, becomes Q exp(-i angle P): -i Q P, -Q or i Q P.
        factor = (Word(0, 0, 3) @ word, Word(0, 0, 2), Word(0, 0, 1) @ word)[turns - 1]
        for mask, first in ((z, 0), (x, self.num_wires)):
            for q in range(mask.bit_length()):
                if mask >> q & 1:
                    self.images[first + q] = self.images[first + q] @ factor

    def is_trivial_on(self, mask: int) -> bool:
        """Whether it leaves all words on these qubits alone."""
        n = self.num_wires
        while mask:
            q = mask.bit_length() - 1
            if self.images[q] != self._identity[q] or self.images[n + q] != self._identity[n + q]:
                return False
            mask ^= 1 << q
        return True

    @property
    def is_trivial(self) -> bool:
        """Whether it is the identity."""
        return tuple(self.images) == self._identity

    def least_rotations(self) -> int:
        """A bound on the number of `rotations` from below: each changes the images by one word (or their signs)."""
        changes: list[int] = []  # independent ones
        for image, own in zip(self.images, self._identity, strict=True):
            change = (image.x ^ own.x) << self.num_wires | (image.z ^ own.z)
            for other in changes:
                change = min(change, change ^ other)
            if change:
                changes.append(change)
        return len(changes) or int(not self.is_trivial)

    def rotations(self) -> list[tuple[int, int, int]]:
        """F as rotations (x, z, turns): about words with these masks by turns * pi/2, in time order, up to a phase.

        A quarter turn about P multiplies the images that anticommute with it by P (up to signs): a transvection. At
        most four lead the images of a qubit back to its X and Z (Koenig and Smolin, arXiv:1406.2170); then a Pauli word
        is left.
        """
        n, images, found = self.num_wires, list(self.images), []

        def turn(a: Word, b: Word) -> None:
            p = pauli(a.x ^ b.x, a.z ^ b.z)
            found.append((p.x, p.z, 1))
            for k, w in enumerate(images):
                if not w.commutes(p):
                    # Where F = G R, G^dagger Q G = R (F^dagger Q F) R^dagger, and R W R^dagger = -i P W.
                    images[k] = Word(0, 0, 3) @ p @ w

        for q in range(n):
            x, z = self._identity[q], self._identity[n + q]
            for k, goal in ((q, x), (n + q, z)):
                here = images[k]
                if (here.x, here.z) == (goal.x, goal.z):
                    continue
                if here.commutes(goal):
                    between = x @ z if k >= n else z if not here.commutes(z) else _between(here, q)
                    turn(here, between)
                    here = images[k]
                turn(here, goal)
        flips = sum(1 << q for q in range(n) if images[n + q].turns)
        signs = sum(1 << q for q in range(n) if images[q].turns)
        return [*found, (flips, signs, 2)] if flips or signs else found


def _between(word: Word, q: int) -> Word:
    """A word that anticommutes with X_q and with `word`, which commutes with X_q and Z_q."""
    support = (word.x | word.z) & ~(1 << q)
    low = support & -support
    return Word(0, 1 << q, 0) @ (Word(0, low, 0) if word.x & low else Word(low, 0, 0))


def conjugate(
    x_mask: Int[np.ndarray, " terms"], z_mask: Int[np.ndarray, " terms"], frame: Frame
) -> tuple[Int[np.ndarray, " terms"], Int[np.ndarray, " terms"], Int[np.ndarray, " terms"]]:
    """The terms of F^dagger H F: flip masks, parity masks, and the signs by which coefficients are multiplied.

    Args:
        x_mask, z_mask: Hermitian words, with Y where both are set.
        frame: F.
    """
    x_mask, z_mask = np.asarray(x_mask), np.asarray(z_mask)
    x, z = np.zeros_like(x_mask), np.zeros_like(z_mask)
    turns = np.bitwise_count(x_mask & z_mask).astype(np.int32)
    for k, image in enumerate(frame.images):
        given = x_mask if k < frame.num_wires else z_mask
        on = (given >> (k % frame.num_wires)) & 1
        turns = turns + on * (image.turns + 2 * np.bitwise_count(z & image.x))
        x, z = x ^ on * image.x, z ^ on * image.z
    num_y = np.bitwise_count(x & z)
    return x.astype(x_mask.dtype), z.astype(z_mask.dtype), 1 - (turns - num_y) % 4
