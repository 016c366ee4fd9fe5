"""How outcomes are written: the keys of counts and the bits of shots, as Qiskit writes them.

Bit 0 of a register is its rightmost character, the register added last comes first, and a space stands between
registers. Bits that nothing was measured into are 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import UInt8

__all__ = ["Layout", "bits_of_codes", "codes_of_bits", "keys"]

MAX_TABLE_BITS = 12
"""Up to this width all keys of a layout are written once and kept."""


@dataclass(frozen=True)
class Layout:
    """Which bits of a code are which classical bits. A code is an integer that stands for the outcome of a shot.

    Attributes:
        places: pairs (bit of the code, classical bit).
        registers: their sizes, in the order added; classical bits are numbered register after register.
    """

    places: tuple[tuple[int, int], ...]
    registers: tuple[int, ...]

    @classmethod
    def plain(cls, num_bits: int) -> Layout:
        """One register, whose bits are those of the code."""
        return cls(tuple((k, k) for k in range(num_bits)), (num_bits,))

    @property
    def num_bits(self) -> int:
        """Number of classical bits."""
        return sum(self.registers)

    @cached_property
    def mask(self) -> int:
        """The bits of a code that are written anywhere."""
        return sum(1 << place for place in {place for place, _ in self.places})


def _columns(layout: Layout) -> tuple[int, dict[int, int]]:
    """The width of a key and, for each classical bit, where it stands in it."""
    width = layout.num_bits + max(len(layout.registers) - 1, 0)
    columns, bit = {}, 0
    for number, size in enumerate(layout.registers):
        for _ in range(size):
            columns[bit] = width - 1 - bit - number
            bit += 1
    return width, columns


def _written(layout: Layout, codes: np.ndarray) -> list[str]:
    width, columns = _columns(layout)
    if width == 0:
        return [""] * len(codes)
    letters = np.full((len(codes), width), ord(" "), np.uint8)
    letters[:, list(columns.values())] = ord("0")
    for place, bit in layout.places:
        letters[:, columns[bit]] += ((codes >> place) & 1).astype(np.uint8)
    return np.ascontiguousarray(letters).view(f"S{width}")[:, 0].astype(f"U{width}").tolist()


@lru_cache(maxsize=64)
def _table(layout: Layout, width: int) -> list[str]:
    return _written(layout, np.arange(2**width))


def keys(layout: Layout, codes: np.ndarray) -> list[str]:
    """The key of each code.

    >>> keys(Layout(((0, 0), (1, 2)), (2, 1)), np.array([1, 2]))
    ['0 01', '1 00']
    """
    width = max((place + 1 for place, _ in layout.places), default=0)
    if width > MAX_TABLE_BITS:
        return _written(layout, codes)
    table = _table(layout, width)
    return [table[code] for code in codes.tolist()]


def bits_of_codes(layout: Layout, codes: np.ndarray) -> UInt8[np.ndarray, "... bits"]:
    """The classical bits of each code: column b is bit b."""
    bits = np.zeros((*codes.shape, layout.num_bits), np.uint8)
    for place, bit in layout.places:
        bits[..., bit] = (codes >> place) & 1
    return bits


def codes_of_bits(bits: UInt8[np.ndarray, "shots bits"]) -> np.ndarray:
    """Codes whose bits are the given ones: int64, or Python integers where they do not fit."""
    packed = np.packbits(bits, axis=1, bitorder="little")
    if packed.shape[1] > 7:
        return np.array([int.from_bytes(row.tobytes(), "little") for row in packed], object)
    return np.pad(packed, ((0, 0), (0, 8 - packed.shape[1]))).view("<i8")[:, 0].astype(np.int64)
