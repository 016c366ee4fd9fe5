"""Circuits as JSON text: versioned, exact to the last bit, checked when read.

The text is an object with the number of wires, the gates in time order, one a line, and the arrays that gates
refer to. An angle is a number, or a list that describes an expression of parameters; an entry of a complex array
is a pair [re, im]. Circuits that measure have registers, too, and are of version 2.
Whatever is read goes through the same checks as the calls that build a circuit.
"""

from __future__ import annotations

import json
import operator
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from jaxsim import classical, gates
from jaxsim.circuit import Circuit
from jaxsim.parameters import from_json, to_json
from jaxsim.structure import OPERATIONS, Instruction, walk

__all__ = ["dumps", "loads"]

_TYPE = "jaxsim.Circuit"
_VERSION = 2


def dumps(circuit: Circuit) -> str:
    """The circuit as JSON text, for `loads`.

    Raises:
        TypeError: if an angle or an array is traced by JAX, so that it has no value yet.
        ValueError: for a batch of circuits.

    Example:
        >>> from jaxsim import Circuit
        >>> print(Circuit(2).rx(0.5, 0).cx(0, 1).to_json())
        {
         "type": "jaxsim.Circuit",
         "version": 1,
         "num_wires": 2,
         "gates": [
          {"gate": "rx", "wires": [0], "angles": [0.5]},
          {"gate": "cx", "wires": [0, 1]}
         ],
         "operands": []
        }
    """
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(circuit)):
        raise TypeError(
            "to_json: the circuit holds values that JAX is tracing, which have no numbers yet; save it outside of "
            "jit, grad and vmap, or use parameters for these angles."
        )
    angles = np.asarray(circuit.angles, np.float64)
    if angles.ndim != 1:
        raise ValueError(
            f"to_json: the angles have shape {angles.shape}: this is a batch of circuits, as vmap makes them; save "
            "its circuits one by one."
        )
    written: list[Any] = angles.tolist()
    for slot, expression in circuit.structure.expressions:
        written[slot] = to_json(expression)
    kinds = {
        i.operand: gates.GATES[i.gate].operand for i in walk(circuit.instructions) if i.operand is not None
    }
    lines = [_object(i, written) for i in circuit.instructions]
    operands = [_array_list(kinds[k], operand) for k, operand in enumerate(circuit.operands)]
    plain = circuit.structure.plain and not circuit.registers  # which older versions read
    registers = json.dumps([(register.name, register.size) for register in circuit.registers])
    return (
        f'{{\n "type": "{_TYPE}",\n "version": {1 if plain else 2},\n "num_wires": {circuit.num_wires},\n'
        + ("" if plain else f' "registers": {registers},\n')
        + f' "gates": {_lines(lines)},\n "operands": {_lines(operands)}\n}}'
    )


def _lines(items: list[Any]) -> str:
    """A JSON list with an item a line."""
    return (
        "[\n  " + ",\n  ".join(json.dumps(item, allow_nan=False) for item in items) + "\n ]"
        if items
        else "[]"
    )


def _object(instruction: Instruction, angles: list[Any]) -> dict[str, Any]:
    """A gate or an operation; `angles` are those of the whole circuit."""
    i = instruction
    if i.condition is not None:
        blocks = [[_object(inner, angles) for inner in block] for block in i.blocks]
        fields = {"gate": i.gate, "condition": classical.to_json(i.condition), "blocks": blocks}
        return fields | ({"limit": i.limit} if i.limit else {})
    if i.bits:
        return {"gate": i.gate, "wires": i.wires, "bits": [(bit.register, bit.index) for bit in i.bits]}
    fields = {
        "gate": instruction.gate,
        "wires": instruction.wires,
        "angles": [angles[slot] for slot in instruction.slots],
        "controls": instruction.controls,
        "label": instruction.label,
    }
    given = {key: value for key, value in fields.items() if value or key in ("gate", "wires")}
    return given if instruction.operand is None else given | {"operand": instruction.operand}


def _array_list(kind: str | None, operand: Any) -> Any:
    array: Any = np.asarray(operand)
    if kind == "energies":
        return array.astype(np.float64).tolist()
    return np.stack([array.real, array.imag], axis=-1).astype(np.float64).tolist()


# reading ----------------------------------------------------------------------------------------------------


def loads(text: str) -> Circuit:
    """The circuit that `dumps` wrote.

    Raises:
        TypeError: if `text` is not text.
        ValueError: if it is not JSON, not a circuit, of a newer version, or damaged; the message says where.

    Example:
        >>> from jaxsim import Circuit
        >>> c = Circuit(2).rx(0.1, 0).cx(0, 1)
        >>> Circuit.from_json(c.to_json()) == c
        True
    """
    if not isinstance(text, str | bytes):
        raise TypeError(
            f"from_json takes the text that to_json wrote, but a {type(text).__name__} was given."
        )
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"from_json: the text is not JSON: {error}.") from None
    if not isinstance(data, dict) or data.get("type") != _TYPE:
        raise ValueError(f'from_json: the text is no circuit: it should be an object with "type": "{_TYPE}".')
    version = data.get("version")
    if type(version) is not int or not 1 <= version <= _VERSION:
        raise ValueError(
            f"from_json: the circuit was written in version {version!r} of the format, but this jaxsim reads up to "
            f"version {_VERSION}; a newer jaxsim may read it."
        )
    instructions, operands = data.get("gates"), data.get("operands")
    if not isinstance(instructions, list) or not isinstance(operands, list):
        raise ValueError('from_json: the circuit is damaged: "gates" and "operands" must be lists.')
    try:
        circuit = Circuit(data.get("num_wires"))  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise ValueError(f"from_json: the circuit is damaged: {error}") from None
    registers = data.get("registers", [])
    if not isinstance(registers, list) or not all(isinstance(r, list) and len(r) == 2 for r in registers):
        raise ValueError(
            'from_json: the circuit is damaged: "registers" must be a list of pairs [name, size].'
        )
    try:
        for name, size in registers:
            circuit.register(name, operator.index(size))
    except (TypeError, ValueError) as error:
        raise ValueError(f"from_json: the circuit is damaged: {error}") from None
    arrays = _Arrays(operands)
    for position, fields in enumerate(instructions):
        try:
            _append(circuit, fields, arrays)
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"from_json: the circuit is damaged at gate {position}: {error}") from None
    if len(circuit.operands) != len(operands):
        raise ValueError(
            f"from_json: the circuit is damaged: it has {len(operands)} operands, but its gates use "
            f"{len(circuit.operands)}."
        )
    return circuit


class _Arrays:
    """The arrays of a text, each converted once, so that gates that share one still do."""

    def __init__(self, operands: list[Any]) -> None:
        self.operands = operands
        self.converted: dict[tuple[int, bool], np.ndarray] = {}

    def get(self, index: Any, is_complex: bool) -> np.ndarray:
        if type(index) is not int or not 0 <= index < len(self.operands):
            raise ValueError(f"operand {index!r} is none of the {len(self.operands)} arrays.")
        if (index, is_complex) not in self.converted:
            try:
                array = np.asarray(self.operands[index])
            except ValueError:
                array = np.asarray(None)
            if array.dtype.kind not in "fiu" or (is_complex and (array.ndim < 2 or array.shape[-1] != 2)):
                raise ValueError(
                    f"operand {index} is no array of {'pairs [re, im]' if is_complex else 'numbers'}."
                )
            array = array.astype(np.float64)
            self.converted[index, is_complex] = array.view(np.complex128)[..., 0] if is_complex else array
        return self.converted[index, is_complex]


_OPERATION_FIELDS = {
    "measure": {"gate", "wires", "bits"},
    "reset": {"gate", "wires"},
    "barrier": {"gate", "wires"},
    "delay": {"gate", "wires", "label"},
    "if_else": {"gate", "condition", "blocks"},
    "while_loop": {"gate", "condition", "blocks", "limit"},
}


def _append_operation(circuit: Circuit, fields: dict[str, Any], arrays: _Arrays) -> None:
    gate = fields["gate"]
    if set(fields) != _OPERATION_FIELDS[gate]:
        raise ValueError(
            f"{gate} has {', '.join(sorted(_OPERATION_FIELDS[gate]))}, but here {', '.join(fields)}."
        )
    for key, kind in (("wires", list), ("bits", list), ("blocks", list), ("label", str), ("limit", int)):
        if key in fields and type(fields[key]) is not kind:
            raise ValueError(f"{key!r} must be of type {kind.__name__}, but is {fields[key]!r:.100}.")
    match gate:
        case "measure":
            pairs = [pair for pair in fields["bits"] if isinstance(pair, list) and len(pair) == 2]
            circuit.measure(fields["wires"], [classical.from_json(["bit", *pair]) for pair in pairs])
        case "reset" | "barrier":
            getattr(circuit, gate)(fields["wires"])
        case "delay":
            duration, _, unit = fields["label"].partition(" ")
            circuit.delay(float(duration), fields["wires"], unit)
        case _:
            condition, blocks = classical.from_json(fields["condition"]), fields["blocks"]
            if not 1 <= len(blocks) <= 1 + (gate == "if_else"):
                raise ValueError(f"{gate} does not have {len(blocks)} blocks.")
            for number, block in enumerate(blocks):
                if gate == "while_loop":
                    opened = circuit.while_(condition, max_iterations=fields["limit"])
                else:
                    opened = circuit.else_() if number else circuit.if_(condition)
                with opened:
                    for inner in block:
                        _append(circuit, inner, arrays)


def _append(circuit: Circuit, fields: Any, arrays: _Arrays) -> None:
    if isinstance(fields, dict) and str(fields.get("gate")) in OPERATIONS:
        _append_operation(circuit, fields, arrays)
        return
    known = {"gate": str, "wires": list, "angles": list, "controls": int, "label": str, "operand": int}
    if not isinstance(fields, dict) or not {"gate", "wires"} <= set(fields) <= set(known):
        raise ValueError(f"a gate is an object with {', '.join(known)}, but it is {fields!r:.100}.")
    for key, value in fields.items():
        if type(value) is not known[key]:
            raise ValueError(f"{key!r} must be of type {known[key].__name__}, but is {value!r:.100}.")
    row = gates.gate(fields["gate"])
    wires, controls = fields["wires"], fields.get("controls", 0)
    if any(type(wire) is not int for wire in wires):
        raise ValueError(f"wires must be integers, but are {wires!r:.100}.")
    angles = [_angle(angle) for angle in fields.get("angles", [])]
    if row.has_label != ("label" in fields) or bool(row.operand) != ("operand" in fields):
        carried = "a label" if row.has_label else "an operand" if row.operand else "neither label nor operand"
        raise ValueError(f"{row.name} carries {carried}, but has {', '.join(fields)}.")
    if not row.has_label and not row.operand:
        circuit.append(row, angles, wires, controls=controls)
        return
    if len(angles) != len(row.angles):
        raise ValueError(f"{row.name} takes {len(row.angles)} angles, but {len(angles)} are given.")
    if not 0 <= controls <= len(wires):
        raise ValueError(f"{row.name} has {len(wires)} wires, but {controls} of them are controls.")
    before, targets = wires[:controls], wires[controls:]
    extra = {"controls": before} if before else {}
    if row.has_label:
        circuit.pauli_rotation(angles[0], fields["label"], targets, **extra)
    else:
        array = arrays.get(fields["operand"], row.operand != "energies")
        getattr(circuit, row.name)(*angles, array, targets, **extra)


def _angle(data: Any) -> Any:
    if isinstance(data, list):
        return from_json(data)
    if type(data) not in (int, float):
        raise ValueError(
            f"an angle is a number or an expression of parameters, but {data!r:.100} is neither."
        )
    return data
