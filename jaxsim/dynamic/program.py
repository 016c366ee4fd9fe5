"""A circuit as what happens between its measurements: unitary segments, joint measurements, blocks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from jaxsim.classical import Bit, Condition, bit_numbers
from jaxsim.structure import OPERATIONS, Instruction, Structure
from jaxsim.terminal import ordered

__all__ = ["Choice", "Loop", "Measurement", "Operation", "Program", "Segment", "program_of"]


class Segment(NamedTuple):
    """Gates without measurement among them."""

    instructions: tuple[Instruction, ...]


class Measurement(NamedTuple):
    """Wires measured at one time.

    Attributes:
        wires: ascending.
        bits: pairs (place among the wires, number of the bit), in the order in which they are written.
        resets: places among the wires that are set to 0 afterwards.
    """

    wires: tuple[int, ...]
    bits: tuple[tuple[int, int], ...]
    resets: tuple[int, ...]


class Choice(NamedTuple):
    """One of two blocks."""

    condition: Condition
    then: tuple[Operation, ...]
    otherwise: tuple[Operation, ...]


class Loop(NamedTuple):
    """A block repeated while a condition holds, at most `limit` times."""

    condition: Condition
    body: tuple[Operation, ...]
    limit: int


Operation = Segment | Measurement | Choice | Loop


class Program(NamedTuple):
    """What a circuit does.

    Attributes:
        num_wires: number of qubits.
        operations: in time order.
        numbers: the number of each classical bit.
    """

    num_wires: int
    operations: tuple[Operation, ...]
    numbers: dict[Bit, int]


@lru_cache(maxsize=512)
def program_of(structure: Structure, fresh: bool = True) -> Program:
    """The program of a circuit.

    Args:
        structure: of any circuit.
        fresh: whether all wires start as 0.
    """
    numbers = bit_numbers(structure.registers)
    body, last = ordered(structure, fresh)
    return Program(structure.num_wires, _operations((*body, *last), numbers), numbers)


class _Joint:
    """A measurement under construction: all that is measured without a gate on these wires in between."""

    def __init__(self) -> None:
        self.written: list[tuple[int, int]] = []  # wire and bit
        self.resets: set[int] = set()
        self.wires: set[int] = set()

    def finished(self) -> Measurement:
        wires = tuple(sorted(self.wires))
        place = {wire: k for k, wire in enumerate(wires)}
        bits = tuple((place[wire], bit) for wire, bit in self.written)
        return Measurement(wires, bits, tuple(place[wire] for wire in sorted(self.resets)))


def _operations(instructions: Sequence[Instruction], numbers: dict[Bit, int]) -> tuple[Operation, ...]:
    result: list[Operation] = []
    gates: list[Instruction] = []
    joint = _Joint()

    def close() -> None:
        nonlocal joint
        if gates:
            result.append(Segment(tuple(gates)))
        if joint.wires:
            result.append(joint.finished())
        gates.clear()
        joint = _Joint()

    for i in instructions:
        if i.gate in ("measure", "reset"):
            wire = i.wires[0]
            if wire in joint.resets and i.gate == "measure":
                close()
            joint.wires.add(wire)
            if i.gate == "measure":
                joint.written.append((wire, numbers[i.bits[0]]))
            else:
                joint.resets.add(wire)
        elif i.gate not in OPERATIONS:
            # A gate on other wires may as well come before the measurement.
            if joint.wires.intersection(i.wires):
                close()
            gates.append(i)
        elif i.condition is not None:
            close()
            blocks = [_operations(block, numbers) for block in i.blocks]
            if i.gate == "while_loop":
                result.append(Loop(i.condition, blocks[0], i.limit))
            else:
                result.append(Choice(i.condition, blocks[0], blocks[1] if len(blocks) > 1 else ()))
    close()
    return tuple(result)
