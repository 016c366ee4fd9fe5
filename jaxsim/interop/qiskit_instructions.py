"""Qiskit's instructions, one by one, as ours.

Gates are found by their class in the table's Qiskit names, controls are taken apart into base and controls, and
whatever is not in the table is brought in through its definition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from jaxsim import gates
from jaxsim.circuit import Circuit
from jaxsim.classical import Bit
from jaxsim.interop.qiskit_angles import angle_from_qiskit
from jaxsim.interop.qiskit_conditions import condition_from_qiskit
from jaxsim.interop.qiskit_flow import FLOW

__all__ = ["NOTHING", "Importer"]

NOTHING = ("barrier", "delay")

_ADVICE = {
    "store": "classical variables are not supported; use registers of bits.",
    "break_loop": "break is not supported; put the condition into the loop.",
    "continue_loop": "continue is not supported; use if_.",
    "kraus": "noise is not supported yet.",
    "quantum_channel": "noise is not supported yet.",
    "superop": "noise is not supported yet.",
}


@cache
def _rows() -> dict[type, str]:
    """Classes of Qiskit's gates, and the rows they are."""
    from qiskit.circuit.library import get_standard_gate_name_mapping

    names = {row.qiskit: row.name for row in gates.GATES.values() if row.qiskit and not row.any_controls}
    return {
        gate.base_class: names[name]
        for name, gate in get_standard_gate_name_mapping().items()
        if name in names
    }


def _kind(operation: Any) -> type:
    return getattr(operation, "base_class", type(operation))


def _row(operation: Any) -> str | None:
    """The row that a gate is, if there is one; a controlled u with a phase is none."""
    name = _rows().get(_kind(operation))
    return name if name and len(operation.params) == len(gates.GATES[name].angles) else None


class Importer:
    """Appends Qiskit's instructions to a circuit.

    Attributes:
        circuit: ours.
        max_iterations: the most times that a while loop runs.
    """

    def __init__(self, circuit: Circuit, max_iterations: int) -> None:
        self.circuit = circuit
        self.max_iterations = max_iterations
        self._touched: set[int] = set()

    def body(
        self, circuit: Any, wires: Mapping[Any, int], bits: Mapping[Any, Bit], controls: Sequence[int] = ()
    ) -> None:
        """All instructions of a circuit, on `wires` where all `controls` are 1."""
        phase = angle_from_qiskit(circuit.global_phase)
        if not (isinstance(phase, float) and phase == 0.0):
            row = gates.controlled("global_phase", len(controls))
            self._append(row, (phase,), tuple(controls))
        for instruction in circuit.data:
            operation, qubits = instruction.operation, instruction.qubits
            if operation.name == "measure" and qubits[0] not in wires:
                continue  # an idle qubit, which is 0 as its bit is
            if operation.name in NOTHING:
                self._nothing(operation, [wires[q] for q in qubits if q in wires])
                continue
            self.instruction(
                operation, [wires[q] for q in qubits], [bits[c] for c in instruction.clbits], controls, bits
            )

    def instruction(
        self,
        operation: Any,
        wires: list[int],
        bits: list[Bit],
        controls: Sequence[int],
        names: Mapping[Any, Bit],
    ) -> None:
        """One instruction."""
        flow = FLOW.get(operation.name)
        condition = None if flow else getattr(operation, "condition", None)
        if controls and (flow or bits or operation.name == "reset" or condition is not None):
            raise ValueError(f"{operation.name!r} occurs inside a controlled gate; it cannot be controlled.")
        if condition is not None:  # Qiskit 1: c_if
            with self.circuit.if_(condition_from_qiskit(condition, names)):
                self._one(operation, wires, bits, controls)
        elif flow:
            flow(self, operation, wires, bits, names)
            self._touched.update(wires)
        else:
            self._one(operation, wires, bits, controls)

    def _one(self, operation: Any, wires: list[int], bits: list[Bit], controls: Sequence[int]) -> None:
        if operation.name == "measure":
            self.circuit.measure(wires, bits)
        elif operation.name == "reset":
            self.circuit.reset(wires)
        else:
            self.gate(operation, wires, bits, controls)
        self._touched.update(wires)

    def _nothing(self, operation: Any, wires: list[int]) -> None:
        if not wires:
            return
        if operation.name == "barrier":
            self.circuit.barrier(*wires)
        elif isinstance(operation.duration, int | float):
            self.circuit.delay(operation.duration, wires, unit=operation.unit)

    # gates ------------------------------------------------------------------------------------------------

    def gate(self, operation: Any, wires: list[int], bits: list[Bit], controls: Sequence[int] = ()) -> None:
        """A gate, where all `controls` are 1."""
        kind = _kind(operation)
        row, number = _row(operation), getattr(operation, "num_ctrl_qubits", 0)
        base = getattr(operation, "base_gate", None) if number else None
        if row is None and (base is None or (_kind(base) in _rows() and _row(base) is None)):
            self._other(kind.__name__, operation, wires, bits, controls)
            return
        # Wires whose control is open are flipped around the gate.
        state = getattr(operation, "ctrl_state", -1)
        flipped = [wire for k, wire in enumerate(wires[:number]) if not state >> k & 1]
        if flipped:
            self.circuit.x(flipped)
        if row is not None:
            angles = tuple(angle_from_qiskit(p) for p in operation.params)
            self._append(gates.controlled(row, len(controls)), angles, (*controls, *wires))
        else:
            self.gate(base, wires[number:], [], (*controls, *wires[:number]))
        if flipped:
            self.circuit.x(flipped)

    def _other(
        self, kind: str, operation: Any, wires: list[int], bits: list[Bit], controls: Sequence[int]
    ) -> None:
        _ARRAYS.get(kind, Importer._defined)(self, operation, wires, bits, controls)

    def _append(self, row: gates.Gate, angles: tuple[Any, ...], wires: tuple[int, ...]) -> None:
        self.circuit._append(row, angles, wires)

    def _unitary(self, operation: Any, wires: list[int], bits: list[Bit], controls: Sequence[int]) -> None:
        self.circuit.unitary(np.asarray(operation.params[0], complex), wires, controls=list(controls))

    def _diagonal(self, operation: Any, wires: list[int], bits: list[Bit], controls: Sequence[int]) -> None:
        self.circuit.diagonal(np.asarray(operation.params, complex), wires, controls=list(controls))

    def _prepared(self, operation: Any, wires: list[int], bits: list[Bit], controls: Sequence[int]) -> None:
        """A state, put in where nothing has happened yet; elsewhere as its definition says."""
        amplitudes = operation.params
        given = len(amplitudes) == 2 ** len(wires) and all(
            isinstance(a, int | float | complex) for a in amplitudes
        )
        if given and not controls and not self.circuit._open and not self._touched.intersection(wires):
            self.circuit.initialize(np.asarray(amplitudes, complex), wires)
        else:
            self._defined(operation, wires, bits, controls)

    def _annotated(self, operation: Any, wires: list[int], bits: list[Bit], controls: Sequence[int]) -> None:
        """A gate with modifiers: inverse, power, controls."""
        inner = sum(getattr(m, "num_ctrl_qubits", 0) for m in operation.modifiers)
        own = Circuit(max(len(wires) - inner, 1))
        Importer(own, self.max_iterations).gate(operation.base_op, list(range(len(wires) - inner)), [])
        before: list[int] = []
        flipped: list[int] = []
        # Each modifier acts on all that came before it; controls come in front.
        left = list(wires)
        for modifier in reversed(operation.modifiers):
            count = getattr(modifier, "num_ctrl_qubits", 0)
            new, left = left[:count], left[count:]
            before += new
            flipped += (
                [wire for k, wire in enumerate(new) if not modifier.ctrl_state >> k & 1] if count else []
            )
        for modifier in operation.modifiers:
            if type(modifier).__name__ == "InverseModifier":
                own = own.inverse()
            elif type(modifier).__name__ == "PowerModifier":
                own = self._powered(operation, own, modifier.power)
        if flipped:
            self.circuit.x(flipped)
        self._append_under(own, left, (*controls, *before))
        if flipped:
            self.circuit.x(flipped)

    @staticmethod
    def _powered(operation: Any, own: Circuit, power: float) -> Circuit:
        if float(power).is_integer():
            return own.power(int(power))
        matrix = np.asarray(operation.base_op.power(power).to_matrix())
        return Circuit(own.num_wires).unitary(matrix, range(own.num_wires))

    def _append_under(self, own: Circuit, wires: list[int], controls: tuple[int, ...]) -> None:
        """All gates of one of our circuits, under controls."""
        expressions = dict(own.structure.expressions)
        for i in own.instructions:
            row = gates.controlled(gates.controlled(i.gate, i.controls), len(controls))
            angles = tuple(expressions.get(slot, own.angles[slot]) for slot in i.slots)
            targets = tuple(wires[w] for w in i.wires)
            operand = None if i.operand is None else own.operands[i.operand]
            self.circuit._append(row, angles, (*controls, *targets), label=i.label, operand=operand)

    def _defined(self, operation: Any, wires: list[int], bits: list[Bit], controls: Sequence[int]) -> None:
        """What has no counterpart here, by its definition; or by its matrix."""
        name = operation.name
        if name in _ADVICE or name.startswith(("save_", "set_")):
            advice = _ADVICE.get(name, "say what you want with outputs=(...) of Simulator.run.")
            raise ValueError(f"{name!r} has no counterpart here: {advice}")
        definition = getattr(operation, "definition", None)
        if definition is not None:
            self.body(
                definition, dict(zip(definition.qubits, wires)), dict(zip(definition.clbits, bits)), controls
            )
            return
        try:
            matrix = np.asarray(operation.to_matrix())
        except Exception:
            raise ValueError(
                f"{name!r} has no counterpart here, no definition and no matrix; give it a definition in terms of "
                "standard gates."
            ) from None
        self.circuit.unitary(matrix, wires, controls=list(controls))


_ARRAYS = {
    "UnitaryGate": Importer._unitary,
    "DiagonalGate": Importer._diagonal,
    "Diagonal": Importer._diagonal,
    "Initialize": Importer._prepared,
    "StatePreparation": Importer._prepared,
    "AnnotatedOperation": Importer._annotated,
}
"""What is brought in otherwise than by name or definition."""
