"""Qiskit's conditions on classical bits as ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxsim.classical import Bit, Condition

__all__ = ["condition_from_qiskit", "equal_to"]


def condition_from_qiskit(condition: Any, bits: Mapping[Any, Bit]) -> Condition:
    """A condition, given as a pair (bit or register, value) or as an expression.

    Args:
        condition: Qiskit's.
        bits: what Qiskit's bits are called here.

    Raises:
        ValueError: an expression that has no counterpart here.
    """
    if isinstance(condition, tuple):
        return equal_to(_bits_of(condition[0], bits), int(condition[1]))
    return _logical(condition, bits)


def equal_to(column: list[Bit], value: int) -> Condition:
    """Whether bits, the first the least significant, form a number.

    Raises:
        ValueError: no bits.
    """
    if not column:
        raise ValueError("a condition on a register without bits.")
    if not 0 <= value < 2 ** len(column):
        return column[0] & ~column[0]  # never
    terms = [bit if value >> k & 1 else ~bit for k, bit in enumerate(column)]
    result: Condition = terms[0]
    for term in terms[1:]:
        result = result & term
    return result


def _less_than(column: list[Bit], value: int) -> Condition:
    """Whether the number that bits form is less than a value, bit by bit from the lowest."""
    never: Condition = column[0] & ~column[0]
    if value <= 0:
        return never
    if value >= 2 ** len(column):
        return ~never
    result = never
    for k, bit in enumerate(column):
        result = (~bit | result) if value >> k & 1 else (~bit & result)
    return result


def _bits_of(target: Any, bits: Mapping[Any, Bit]) -> list[Bit]:
    return [bits[target]] if target in bits else [bits[bit] for bit in target]


def _logical(node: Any, bits: Mapping[Any, Bit]) -> Condition:
    from qiskit.circuit.classical import expr

    if isinstance(node, expr.Var):
        return _at_least_one(_variable(node, bits))
    if isinstance(node, expr.Cast):
        return _logical(node.operand, bits)
    if isinstance(node, expr.Unary) and node.op.name in ("LOGIC_NOT", "BIT_NOT"):
        return ~_logical(node.operand, bits)
    if isinstance(node, expr.Binary):
        name = node.op.name
        if name in _COMPARED and isinstance(node.right, expr.Value):
            return _COMPARED[name](_variable(node.left, bits), int(node.right.value))
        if name in _COMPARED and isinstance(node.left, expr.Value):
            return _COMPARED[_MIRRORED[name]](_variable(node.right, bits), int(node.left.value))
        if name in _COMPARED:
            raise ValueError(
                "a condition compares two registers, which has no counterpart here: compare with numbers only."
            )
        if name in _COMBINED:
            return _COMBINED[name](_logical(node.left, bits), _logical(node.right, bits))
    raise ValueError(f"the condition {node} has no counterpart here.")


def _variable(node: Any, bits: Mapping[Any, Bit]) -> list[Bit]:
    from qiskit.circuit.classical import expr

    if isinstance(node, expr.Cast):
        return _variable(node.operand, bits)
    if not isinstance(node, expr.Var) or getattr(node, "standalone", False):
        raise ValueError(f"{node} is no bit or register; only those can be in a condition here.")
    return _bits_of(node.var, bits)


def _at_least_one(column: list[Bit]) -> Condition:
    return column[0] if len(column) == 1 else ~equal_to(column, 0)


_COMBINED = {
    "LOGIC_AND": lambda a, b: a & b,
    "BIT_AND": lambda a, b: a & b,
    "LOGIC_OR": lambda a, b: a | b,
    "BIT_OR": lambda a, b: a | b,
    "BIT_XOR": lambda a, b: a ^ b,
}
_COMPARED = {
    "EQUAL": equal_to,
    "NOT_EQUAL": lambda column, value: ~equal_to(column, value),
    "LESS": _less_than,
    "LESS_EQUAL": lambda column, value: _less_than(column, value + 1),
    "GREATER": lambda column, value: ~_less_than(column, value + 1),
    "GREATER_EQUAL": lambda column, value: ~_less_than(column, value),
}
_MIRRORED = {
    "EQUAL": "EQUAL",
    "NOT_EQUAL": "NOT_EQUAL",
    "LESS": "GREATER",
    "LESS_EQUAL": "GREATER_EQUAL",
    "GREATER": "LESS",
    "GREATER_EQUAL": "LESS_EQUAL",
}
