"""Gates given by arrays, as the engines hold them that take any: between steps, and between operations."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Special"]


class Special(NamedTuple):
    """A gate given by an array, on wires that are compiled in.

    Attributes:
        gate: unitary, diagonal, evolve_diagonal or initialize.
        wires: target wires.
        controls: mask of control wires.
        operand: which of the circuit's operands.
        angles: how many angles it takes.
    """

    gate: str
    wires: tuple[int, ...]
    controls: int
    operand: int
    angles: int
