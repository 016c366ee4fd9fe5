"""Qiskit's control flow as blocks of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from jaxsim.classical import Bit
from jaxsim.interop.qiskit_conditions import condition_from_qiskit, equal_to

if TYPE_CHECKING:
    from jaxsim.interop.qiskit_instructions import Importer

__all__ = ["FLOW"]


def _block(to: Importer, block: Any, wires: list[int], bits: list[Bit], names: Mapping[Any, Bit]) -> None:
    inner = {**names, **dict(zip(block.clbits, bits))}
    to.body(block, dict(zip(block.qubits, wires)), inner)


def _if_else(
    to: Importer, operation: Any, wires: list[int], bits: list[Bit], names: Mapping[Any, Bit]
) -> None:
    with to.circuit.if_(condition_from_qiskit(operation.condition, names)):
        _block(to, operation.blocks[0], wires, bits, names)
    if len(operation.blocks) > 1:
        with to.circuit.else_():
            _block(to, operation.blocks[1], wires, bits, names)


def _while_loop(
    to: Importer, operation: Any, wires: list[int], bits: list[Bit], names: Mapping[Any, Bit]
) -> None:
    condition = condition_from_qiskit(operation.condition, names)
    with to.circuit.while_(condition, max_iterations=to.max_iterations):
        _block(to, operation.blocks[0], wires, bits, names)


def _for_loop(
    to: Importer, operation: Any, wires: list[int], bits: list[Bit], names: Mapping[Any, Bit]
) -> None:
    indices, parameter, block = operation.params
    for index in indices:
        one = block if parameter is None else block.assign_parameters({parameter: index})
        _block(to, one, wires, bits, names)


def _switch_case(
    to: Importer, operation: Any, wires: list[int], bits: list[Bit], names: Mapping[Any, Bit]
) -> None:
    from qiskit.circuit import CASE_DEFAULT

    target = getattr(operation.target, "var", operation.target)
    column = [names[target]] if target in names else [names[bit] for bit in target]

    def rest(cases: list[tuple[Any, Any]]) -> None:
        labels, block = cases[0]
        if CASE_DEFAULT in labels:
            _block(to, block, wires, bits, names)
            return
        condition = equal_to(column, int(labels[0]))
        for label in labels[1:]:
            condition = condition | equal_to(column, int(label))
        with to.circuit.if_(condition):
            _block(to, block, wires, bits, names)
        if len(cases) > 1:
            with to.circuit.else_():
                rest(cases[1:])

    rest(list(operation.cases_specifier()))


def _box(to: Importer, operation: Any, wires: list[int], bits: list[Bit], names: Mapping[Any, Bit]) -> None:
    _block(to, operation.blocks[0], wires, bits, names)


FLOW: dict[str, Callable[[Importer, Any, list[int], list[Bit], Mapping[Any, Bit]], None]] = {
    "if_else": _if_else,
    "while_loop": _while_loop,
    "for_loop": _for_loop,
    "switch_case": _switch_case,
    "box": _box,
}
"""What each of Qiskit's control-flow operations becomes."""
