"""The static part of a circuit: which gates act where, and where each angle goes.

A `Structure` is interned: equal structures are one object, with a hash computed once. JAX compares static
data on every call of a jitted function, so this comparison has to be a pointer comparison.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any, NamedTuple

from jaxsim.parameters import Expression, Parameter

__all__ = ["Instruction", "Structure"]


class Instruction(NamedTuple):
    """One gate of a circuit.

    Attributes:
        gate: name of a row of the gate table.
        wires: the wires it acts on, controls first.
        slots: positions of its angles in the circuit's angle vector.
        controls: leading control wires in addition to those that the row itself has.
        label: Pauli word of a `pauli_rotation` (character k acts on target wire k), else empty.
        operand: position of its array among the circuit's operands, or None.
    """

    gate: str
    wires: tuple[int, ...]
    slots: tuple[int, ...] = ()
    controls: int = 0
    label: str = ""
    operand: int | None = None


class Structure:
    """What a circuit compiles to depends on this and on nothing else about the circuit.

    Attributes:
        num_wires: number of qubits.
        instructions: the gates in time order.
        expressions: pairs (slot, expression) of the angles that wait for a value.
        num_slots: length of the angle vector.
        num_operands: number of array operands.
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
    )

    num_wires: int
    instructions: tuple[Instruction, ...]
    expressions: tuple[tuple[int, Expression], ...]
    num_slots: int
    num_operands: int
    parameters: tuple[Parameter, ...]
    _hash: int

    def __new__(
        cls,
        num_wires: int,
        instructions: tuple[Instruction, ...],
        expressions: tuple[tuple[int, Expression], ...],
        num_slots: int,
        num_operands: int,
    ) -> Structure:
        key = (num_wires, instructions, expressions, num_slots, num_operands)
        with _LOCK:
            known = _INTERNED.get(key)
            if known is not None:
                return known
            self = object.__new__(cls)
            self.num_wires, self.instructions, self.expressions, self.num_slots, self.num_operands = key
            found = {p for _, expression in expressions for p in expression.parameters}
            self.parameters = tuple(sorted(found, key=lambda p: p.sort_key))
            self._hash = hash(key)
            _INTERNED[key] = self
            return self

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other

    def __reduce__(self) -> tuple[Any, ...]:
        return (
            Structure,
            (self.num_wires, self.instructions, self.expressions, self.num_slots, self.num_operands),
        )

    def __repr__(self) -> str:
        return f"Structure({self.num_wires} qubits, {len(self.instructions)} gates)"


_LOCK = threading.Lock()
_INTERNED: weakref.WeakValueDictionary[Any, Structure] = weakref.WeakValueDictionary()
