"""The methods that append gates: one for each row of the gate table.

Those of gates on a fixed number of wires are made from the table. Written out are the ones that carry a Pauli
word or an array, or take any number of controls; for these a list of wires is one gate.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from jaxsim import gates
from jaxsim.arguments import (
    angle_column,
    array_operand,
    broadcast_length,
    check_wires,
    count,
    integer,
    one_angle,
    wire_column,
)
from jaxsim.circuit_leaves import AngleVector, Operands, source_of
from jaxsim.parameters import Expression, ParameterVector
from jaxsim.structure import Instruction, Structure

__all__ = ["GateMethods"]

MAX_KNOWN = 2**14

_KNOWN: dict[tuple[Any, ...], Instruction] = {}
"""Instructions that circuits share, by name, wires, first slot, controls and label. Of many circuits most gates are
known: objects that are not made need not be looked at by the garbage collector, which took half of the time."""


class GateMethods:
    """What `Circuit` inherits its gate methods from."""

    _num_wires: int
    _instructions: list[Instruction]
    _expressions: list[tuple[int, Expression]]
    _angles: AngleVector
    _operands: Operands
    _structure: Structure | None
    _open: int

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Callable[..., Self]: ...

    def append(self, gate: str | gates.Gate, angles: Any = (), wires: Any = (), *, controls: int = 0) -> Self:
        """Appends a gate of the table, given by name or as a row (also one made by `controlled`).

        Args:
            gate: name, alias or row.
            angles: the gate's angles in the row's order, each a number, array or expression; one that is not
                in a sequence or array stands for itself.
            wires: the gate's wires, controls first; each an integer or a sequence of integers to broadcast over.
            controls: further control wires, which then come first in `wires`.

        Raises:
            ValueError: unknown gate, wrong number of angles or wires, wire out of range or repeated.
            TypeError: an angle that is not real, a wire that is not an integer.

        Example:
            >>> from jaxsim import Circuit, controlled
            >>> Circuit(3).append(controlled("ry", 2), [0.3], [0, 1, 2]).count_gates()
            {'c2_ry': 1}
        """
        row = gates.gate(gate)
        if row.operand or row.has_label or row.any_controls:
            raise ValueError(f"{row.name} needs more than angles and wires: use Circuit.{row.name}(...).")
        row = gates.controlled(row, integer("append", "controls", controls))
        several = isinstance(angles, Sequence | ParameterVector) and not isinstance(angles, str)
        angles = tuple(angles) if several or np.ndim(angles) else (angles,)
        wires = tuple(wires) if isinstance(wires, Sequence) or np.ndim(wires) else (wires,)
        return self._append(row, angles, wires)

    def _append(
        self,
        row: gates.Gate,
        angles: tuple[Any, ...],
        wires: tuple[Any, ...],
        *,
        label: str = "",
        operand: Any = None,
        source: Any = None,
    ) -> Self:
        if operand is None and self._append_numbers(row, angles, wires, label):
            return self
        name = row.title
        if len(angles) != len(row.angles):
            names = f" ({', '.join(row.angles)})" if row.angles else ""
            raise ValueError(
                f"{name} takes {count(len(row.angles), 'angle')}{names}, but {len(angles)} were given."
            )
        if row.num_wires is not None and len(wires) != row.num_wires:
            raise ValueError(f"{name} acts on {count(row.num_wires, 'wire')}, but {len(wires)} were given.")
        wire_columns = [wire_column(name, w) for w in wires]
        columns = [angle_column(f"{name} ({what})", a) for what, a in zip(row.angles, angles)]
        gate_count = broadcast_length(name, wire_columns, columns)
        wire_rows = [tuple(_entry(column, b) for column in wire_columns) for b in range(gate_count)]
        for wire_row in wire_rows:
            check_wires(name, wire_row, self._num_wires)
        # Everything is checked: from here on the circuit changes.
        first_slot = self._angles.length
        self._angles.append([column.values for column in columns], gate_count)
        place = None if operand is None else self._operands.place(operand, source_of(source))
        for b, wire_row in enumerate(wire_rows):
            first = first_slot + b * len(columns)
            slots = tuple(range(first, first + len(columns)))
            for slot, column in zip(slots, columns):
                expression = _entry(column.expressions, b) if column.expressions else None
                if expression is not None:
                    self._expressions.append((slot, expression))
            instruction = Instruction(row.name, wire_row, slots, row.extra_controls, label, place)
            self._instructions.append(instruction)
        self._structure = None
        return self

    def _append_numbers(
        self, row: gates.Gate, angles: tuple[Any, ...], wires: tuple[Any, ...], label: str
    ) -> bool:
        """Appends one gate given by plain numbers, the usual case, in a fifth of the time; False for anything else."""
        if len(angles) != len(row.angles) or row.num_wires not in (None, len(wires)):
            return False
        for wire in wires:
            if type(wire) is not int or not 0 <= wire < self._num_wires:
                return False
        for angle in angles:
            if type(angle) is not float or not -math.inf < angle < math.inf:
                return False
        if len(wires) > 1 and len(set(wires)) < len(wires):
            return False
        key = (row.name, wires, self._angles.length if angles else 0, row.extra_controls, label)
        instruction = _KNOWN.get(key)
        if instruction is None:
            slots = tuple(range(key[2], key[2] + len(angles)))
            instruction = Instruction(row.name, wires, slots, row.extra_controls, label)
            if len(_KNOWN) < MAX_KNOWN:
                _KNOWN[key] = instruction
        if angles:
            self._angles.extend_numbers(angles)
        self._instructions.append(instruction)
        self._structure = None
        return True

    def _check_untouched(self, wires: tuple[int, ...]) -> None:
        if self._open:
            raise ValueError("initialize prepares a state before everything else, so it stands in no block.")
        acting = (i for i in self._instructions if i.gate not in ("barrier", "delay"))
        touched = {w for i in acting for w in i.wires}.intersection(wires)
        if touched:
            raise ValueError(
                f"initialize: wire {min(touched)} has been acted on already; prepare a state before any gate on "
                "its wires."
            )

    # gates that carry a word or an array, or take any number of controls ---------------------------------

    def pauli_rotation(self, angle: Any, label: str, wires: Any, *, controls: Any = ()) -> Self:
        """Appends exp(-i angle/2 P) with the Pauli word P: character k of `label` acts on ``wires[k]``.

        Args:
            angle: one angle in radians.
            label: characters I, X, Y, Z; upper case.
            wires: as many wires as characters (one gate, no broadcasting).
            controls: wires that must all be 1.

        Raises:
            ValueError: another character, or not as many characters as wires.

        Example:
            >>> from jaxsim import Circuit
            >>> Circuit(3).pauli_rotation(0.2, "XYZ", [0, 1, 2])
            Circuit(3 qubits, 1 gate: pauli_rotation 1)
        """
        targets = wire_column("pauli_rotation", wires)
        if not isinstance(label, str) or not label or set(label) - set("IXYZ"):
            raise ValueError(
                f"pauli_rotation takes a label made of I, X, Y and Z, such as 'XYZ', but {label!r} was given."
            )
        if len(label) != len(targets):
            raise ValueError(
                f"pauli_rotation: the label {label!r} has {count(len(label), 'character')} for "
                f"{count(len(targets), 'wire')}; character k acts on wires[k]."
            )
        one_angle("pauli_rotation", angle)
        before = wire_column("pauli_rotation", controls)
        row = gates.controlled("pauli_rotation", len(before))
        return self._append(row, (angle,), (*before, *targets), label=label)

    def mcx(self, controls: Any, target: int) -> Self:
        """Appends an X on `target` controlled by all of `controls`; one gate.

        Example:
            >>> from jaxsim import Circuit
            >>> Circuit(6).mcx(range(5), 5)
            Circuit(6 qubits, 1 gate: mcx 1)
        """
        return self._append_multi_controlled("mcx", (), controls, target)

    def mcp(self, angle: Any, controls: Any, target: int) -> Self:
        """Appends the phase exp(i angle) on the states in which all controls and the target are 1; one gate.

        Example:
            >>> from jaxsim import Circuit
            >>> Circuit(4).mcp(0.3, [0, 1, 2], 3)
            Circuit(4 qubits, 1 gate: mcp 1)
        """
        one_angle("mcp", angle)
        return self._append_multi_controlled("mcp", (angle,), controls, target)

    def _append_multi_controlled(self, name: str, angles: tuple, controls: Any, target: Any) -> Self:
        before, targets = wire_column(name, controls), wire_column(name, target)
        if len(targets) != 1:
            raise ValueError(
                f"{name} takes one target, but {count(len(targets), 'wire')} were given: {targets}."
            )
        row = gates.controlled(gates.gate(name).base, len(before))
        return self._append(row, angles, (*before, *targets))

    def unitary(self, matrix: Any, wires: Any, *, controls: Any = ()) -> Self:
        """Appends an arbitrary unitary given as an array; ``wires[0]`` is the least significant bit.

        Args:
            matrix: (2**k, 2**k) complex; checked for unitarity (1e-5) unless it is a tracer: a traced one has to be
                unitary, or gradients with diff="adjoint" are wrong. The same array used in several gates is
                stored once.
            wires: the k wires (one gate, no broadcasting).
            controls: wires that must all be 1.

        Raises:
            ValueError: wrong shape, or not unitary.

        Example:
            >>> from jaxsim import Circuit
            >>> Circuit(2).unitary([[0, 1], [1, 0]], 1, controls=0)
            Circuit(2 qubits, 1 gate: c1_unitary 1)
        """
        return self._append_array("unitary", (), matrix, wires, controls)

    def diagonal(self, phases: Any, wires: Any, *, controls: Any = ()) -> Self:
        """Appends a diagonal unitary given by its entries; ``wires[0]`` is the least significant bit.

        Args:
            phases: (2**k,) complex of modulus 1 (checked to 1e-5 unless it is a tracer).
            wires: the k wires (one gate, no broadcasting).
            controls: wires that must all be 1.

        Raises:
            ValueError: wrong shape, or an entry that is no phase.

        Example:
            >>> from jaxsim import Circuit
            >>> Circuit(1).diagonal([1, 1j], 0)
            Circuit(1 qubit, 1 gate: diagonal 1)
        """
        return self._append_array("diagonal", (), phases, wires, controls)

    def evolve_diagonal(self, angle: Any, values: Any, wires: Any = None, *, controls: Any = ()) -> Self:
        """Appends exp(-i angle D) for a diagonal operator D given as data, as in a QAOA cost layer.

        Args:
            angle: one angle; D is not halved.
            values: (2**k,) real, the diagonal of D; the same array used in several gates is stored once.
            wires: the k wires, all of the circuit's by default (one gate, no broadcasting).
            controls: wires that must all be 1.

        Raises:
            ValueError: wrong shape, NaN.
            TypeError: complex values.

        Example:
            >>> import numpy as np
            >>> from jaxsim import Circuit, Parameter
            >>> cut = np.array([0.0, 1.0, 1.0, 0.0])
            >>> c = Circuit(2).evolve_diagonal(Parameter("a"), cut).evolve_diagonal(Parameter("b"), cut)
            >>> len(c), len(c.operands)
            (2, 1)
        """
        one_angle("evolve_diagonal", angle)
        return self._append_array("evolve_diagonal", (angle,), values, wires, controls)

    def initialize(self, state: Any, wires: Any = None) -> Self:
        """Prepares `state` on wires that nothing has acted on yet.

        Args:
            state: (2**k,) complex amplitudes of norm 1 (checked to 1e-5 unless it is a tracer).
            wires: the k wires, all of the circuit's by default; ``wires[0]`` is the least significant bit.

        Raises:
            ValueError: wrong shape or norm, or a wire that a gate has acted on.

        Example:
            >>> from jaxsim import Circuit
            >>> Circuit(1).initialize([0.6, 0.8])
            Circuit(1 qubit, 1 gate: initialize 1)
        """
        if wires is not None:
            wires = wire_column("initialize", wires)
        self._check_untouched(tuple(range(self._num_wires) if wires is None else wires))
        return self._append_array("initialize", (), state, wires, ())

    def _append_array(self, name: str, angles: tuple, array: Any, wires: Any, controls: Any) -> Self:
        before = wire_column(name, controls)
        targets = list(range(self._num_wires)) if wires is None else wire_column(name, wires)
        row = gates.controlled(name, len(before))
        assert row.operand is not None
        operand = array_operand(name, row.operand, array, len(targets))
        return self._append(row, angles, (*before, *targets), operand=operand, source=array)


def _method(row: gates.Gate) -> Callable[..., Any]:
    """The method of a gate on a fixed number of wires: angles first, then wires; both broadcast."""
    names = (*row.angles, *gates.wire_names(row))

    def method(self: GateMethods, *args: Any, **kwargs: Any) -> GateMethods:
        if kwargs or len(args) != len(names):
            args = _by_position(row.name, names, args, kwargs)
        return self._append(row, args[: len(row.angles)], args[len(row.angles) :])

    method.__name__ = row.name
    method.__qualname__ = f"Circuit.{row.name}"
    method.__doc__ = f"Appends {row.name}: {row.description}. Arguments broadcast. Returns the circuit."
    parameters = [inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in ("self", *names)]
    method.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return method


def _by_position(name: str, names: tuple[str, ...], args: tuple, kwargs: dict[str, Any]) -> tuple:
    given = dict(zip(names, args, strict=False)) | kwargs
    unexpected = set(kwargs) - set(names[len(args) :])
    if unexpected or len(args) > len(names) or len(given) < len(names):
        got = ", ".join([count(len(args), "positional argument"), *kwargs])
        raise TypeError(f"{name} is called as c.{name}({', '.join(names)}), but got {got}.")
    return tuple(given[n] for n in names)


def _entry(column: list[Any], b: int) -> Any:
    return column[b] if len(column) > 1 else column[0]


for _row in gates.GATES.values():
    _written_out = getattr(GateMethods, _row.name, None)
    for _name in (_row.name, *_row.aliases):
        setattr(GateMethods, _name, _written_out or _method(_row))
