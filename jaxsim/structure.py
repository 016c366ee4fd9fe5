"""The static part of a circuit: which gates act where, and where each angle goes.

A `Structure` is interned: equal structures are one object, with a hash computed once. JAX compares static
data on every call of a jitted function, so this comparison has to be a pointer comparison.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from jaxsim.classical import Bit, Condition, Register
from jaxsim.parameters import Expression, Parameter

__all__ = ["OPERATIONS", "Instruction", "Structure", "moved", "walk"]

OPERATIONS = frozenset({"measure", "reset", "barrier", "delay", "if_else", "while_loop"})
"""What a circuit may do besides applying gates of the table."""


class Instruction(NamedTuple):
    """One gate or operation of a circuit.

    Attributes:
        gate: name of a row of the gate table, or of one of the `OPERATIONS`.
        wires: the wires it acts on, controls first.
        slots: positions of its angles in the circuit's angle vector.
        controls: leading control wires in addition to those that the row itself has.
        label: Pauli word of a `pauli_rotation` (character k acts on target wire k), duration of a delay, else empty.
        operand: position of its array among the circuit's operands, or None.
        bits: the classical bits that a measurement writes, one for each wire.
        condition: of an `if_else` or a `while_loop`.
        blocks: what happens if the condition holds, and for an `if_else` what else.
        limit: the most times that a `while_loop` runs.
    """

    gate: str
    wires: tuple[int, ...]
    slots: tuple[int, ...] = ()
    controls: int = 0
    label: str = ""
    operand: int | None = None
    bits: tuple[Bit, ...] = ()
    condition: Condition | None = None
    blocks: tuple[tuple[Instruction, ...], ...] = ()
    limit: int = 0


def walk(instructions: Iterable[Instruction]) -> Iterator[Instruction]:
    """All instructions, each before those in its blocks."""
    for i in instructions:
        yield i
        for block in i.blocks:
            yield from walk(block)


def moved(
    i: Instruction, wires: Sequence[int], shift: int, places: Sequence[int], bits: Mapping[Bit, Bit]
) -> Instruction:
    """The instruction in another circuit.

    Args:
        i: the instruction.
        wires: for each wire what it is called there.
        shift: how much later its angles come.
        places: for each operand its position there.
        bits: bits that are called otherwise there.
    """
    if i.gate not in OPERATIONS:
        return i._replace(
            wires=tuple(wires[w] for w in i.wires),
            slots=tuple(shift + s for s in i.slots),
            operand=None if i.operand is None else places[i.operand],
        )
    condition = i.condition
    return i._replace(
        wires=tuple(wires[w] for w in i.wires),
        bits=tuple(bits.get(bit, bit) for bit in i.bits),
        condition=condition.renamed(bits) if condition is not None and bits else condition,
        blocks=tuple(tuple(moved(j, wires, shift, places, bits) for j in block) for block in i.blocks),
    )


class _Key:
    """Everything that makes a structure. A tuple would compute its hash at every look; this does it once."""

    __slots__ = ("hash", "parts")

    def __init__(self, parts: tuple[Any, ...]) -> None:
        self.parts = parts
        self.hash = hash(parts)

    def __hash__(self) -> int:
        return self.hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.parts == other.parts


class Structure:
    """What a circuit compiles to depends on this and on nothing else about the circuit.

    Attributes:
        num_wires: number of qubits.
        instructions: the gates in time order.
        expressions: pairs (slot, expression) of the angles that wait for a value.
        num_slots: length of the angle vector.
        num_operands: number of array operands.
        registers: of classical bits, in the order in which they were added.
        plain: whether there are gates only.
    """

    __slots__ = (
        "__weakref__",
        "_hash",
        "expressions",
        "instructions",
        "num_operands",
        "num_slots",
        "num_wires",
        "parameters",
        "plain",
        "registers",
    )

    num_wires: int
    instructions: tuple[Instruction, ...]
    expressions: tuple[tuple[int, Expression], ...]
    num_slots: int
    num_operands: int
    parameters: tuple[Parameter, ...]
    registers: tuple[Register, ...]
    plain: bool
    _hash: int

    def __new__(
        cls,
        num_wires: int,
        instructions: tuple[Instruction, ...],
        expressions: tuple[tuple[int, Expression], ...],
        num_slots: int,
        num_operands: int,
        registers: tuple[Register, ...] = (),
    ) -> Structure:
        key = _Key((num_wires, instructions, expressions, num_slots, num_operands, registers))
        with _LOCK:
            known = _INTERNED.get(key)
            if known is not None:
                return known
            self = object.__new__(cls)
            self.num_wires, self.instructions, self.expressions = num_wires, instructions, expressions
            self.num_slots, self.num_operands, self.registers = num_slots, num_operands, registers
            self.plain = OPERATIONS.isdisjoint([i.gate for i in instructions])
            found = {p for _, expression in expressions for p in expression.parameters}
            self.parameters = tuple(sorted(found, key=lambda p: p.sort_key))
            self._hash = key.hash
            _INTERNED[key] = self
            return self

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other

    def __reduce__(self) -> tuple[Any, ...]:
        return (
            Structure,
            (
                self.num_wires,
                self.instructions,
                self.expressions,
                self.num_slots,
                self.num_operands,
                self.registers,
            ),
        )

    def __repr__(self) -> str:
        return f"Structure({self.num_wires} qubits, {len(self.instructions)} gates)"


_LOCK = threading.Lock()
_INTERNED: weakref.WeakValueDictionary[Any, Structure] = weakref.WeakValueDictionary()
