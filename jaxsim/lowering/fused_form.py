"""The fused form of a circuit: real blocks on neighbouring qubits, phases, permutations, and gates given by arrays.

Static is the list of operations with their wires. All numbers are data: what the factors of a block are, the
masks of phases, and how angles are made of values.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from jaxsim.block_kernels import Factors, Terms
from jaxsim.lowering.clifford import Frame
from jaxsim.lowering.roll import Repeat
from jaxsim.lowering.special import Special
from jaxsim.parameters import Expression

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from jaxsim.block_kernels import AnyArray

__all__ = [
    "BITS", "LOW_BITS", "Block", "Data", "Item", "Lowering", "Permute", "Phase", "Program", "windows",
]  # fmt: skip

LOW_BITS = 6
"""Qubits of the block on the lowest qubits."""

BITS = 5
"""Qubits of all other blocks. They start at this qubit or above: below, matrix products are slow."""


@lru_cache(maxsize=64)
def windows(num_wires: int) -> tuple[tuple[int, int, int], ...]:
    """(start, bits, mask) of every place for a block, the best first."""
    low = min(LOW_BITS, num_wires)
    windows = [(0, low, (1 << low) - 1)]
    if num_wires > LOW_BITS:
        last = num_wires - BITS
        starts = sorted(range(min(BITS, last), last + 1), key=lambda s: (s <= BITS, s))
        windows += [(s, BITS, (1 << BITS) - 1 << s) for s in starts]
    return tuple(windows)


class Block(NamedTuple):
    """A real matrix on the qubits start, ..., start + bits - 1; `trained` if some angle in it may change."""

    start: int
    bits: int
    trained: bool


class Phase(NamedTuple):
    """A diagonal; `counts` as for `block_kernels.phase_tables`; `trained` if some angle in it may change."""

    counts: tuple[int, int, int, int]
    trained: bool


class Permute(NamedTuple):
    """A linear map of the basis index."""


Item = Block | Phase | Permute | Special | Repeat


class Program(NamedTuple):
    """What a kernel is compiled for: number of qubits, and the operations in time order."""

    num_wires: int
    items: tuple[Item, ...]


class Data(NamedTuple):
    """The arrays of a lowered circuit, in the order in which operations consume them.

    Attributes:
        low, blocks: factors of the blocks on the lowest qubits, and of all others.
        terms: terms of the phases.
        columns: (permutations, 2, wires) columns of the index maps, forward and backward.
        index, scale, offset: how each angle is made of values. Angles are those of `low`, of `blocks`, the
            coefficients of terms, and those of special gates.
        back: (values, uses): where each value is used among all (angle, addend), padded with one past the
            end.
    """

    low: Factors
    blocks: Factors
    terms: Terms
    columns: Int[AnyArray, "permutations 2 wires"]
    index: Int[AnyArray, "angles addends"]
    scale: Float[AnyArray, "angles addends"]
    offset: Float[AnyArray, " angles"]
    back: Int[AnyArray, "values uses"]


class Lowering(NamedTuple):
    """A circuit in the form that the engine runs.

    Attributes:
        program: the static part.
        data: the arrays, in double precision.
        atoms: non-affine expressions whose values follow the parameters and the bound angles among the
            values.
        used: number of operations.
        frame: a Clifford operation after them, which what is measured is conjugated by; None is none.
    """

    program: Program
    data: Data
    atoms: tuple[Expression, ...]
    used: int
    frame: Frame | None = None
