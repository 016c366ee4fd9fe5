"""`Circuit`: what the user writes.

A circuit is a pytree. Its leaves are one vector of angles and the arrays of gates that are given by arrays; its
static part is an interned `Structure`. Numbers, arrays and tracers used as angles are leaf data; a parameter
without a value is an entry 0 in the angle vector and an expression in the structure.

The methods that append gates are in `gate_methods`, those that measure in `measurement_methods`, the checks of what
they are called with in `arguments`, the leaves in `circuit_leaves`, values for parameters in `binding`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import jax
import numpy as np

from jaxsim import gates
from jaxsim.arguments import array_operand, check_wires, count, integer, wire_column
from jaxsim.binding import bind_values, split_expressions
from jaxsim.circuit_leaves import AngleVector, Operands, source_of
from jaxsim.classical import Bit, Register, bit_numbers
from jaxsim.gate_methods import GateMethods
from jaxsim.measurement_methods import MeasurementMethods
from jaxsim.parameters import Expression, Parameter
from jaxsim.structure import OPERATIONS, Instruction, Structure, moved, walk

__all__ = ["MAX_WIRES", "Circuit", "bind_values", "from_structure", "gate_name"]

MAX_WIRES = 30
"""Basis indices and bit masks are int32."""


class Circuit(GateMethods, MeasurementMethods):
    """A quantum circuit on `num_wires` qubits, empty at first.

    Gates are appended by methods named as in the gate table: angles first, then wires, as in
    ``c.rx(angle, wire)``, ``c.cx(control, target)``, ``c.cu(theta, phi, lam, gamma, control, target)``. Angles
    and wires broadcast: ``c.ry(angles, range(4))`` appends four gates. Every method changes the circuit and
    returns it. Angles are in radians: numbers, arrays, JAX values, parameters, or expressions of parameters.

    Args:
        num_wires: number of qubits, 1 to 30.

    Raises:
        TypeError: if `num_wires` is not an integer.
        ValueError: if it is out of range.

    Example:
        >>> from jaxsim import Circuit
        >>> c = Circuit(3).h(0).cx([0, 1], [1, 2]).rz(0.5, 2)
        >>> c
        Circuit(3 qubits, 4 gates: h 1, cx 2, rz 1)
        >>> c.depth()
        4
    """

    def __init__(self, num_wires: int) -> None:
        num_wires = integer("Circuit", "the number of qubits", num_wires)
        if not 1 <= num_wires <= MAX_WIRES:
            raise ValueError(f"Circuit takes 1 to {MAX_WIRES} qubits, but {num_wires} were asked for.")
        self._num_wires = num_wires
        self._instructions: list[Instruction] = []
        self._expressions: list[tuple[int, Expression]] = []
        self._angles = AngleVector()
        self._operands = Operands()
        self._registers: list[Register] = []
        self._structure: Structure | None = None
        self._open = 0  # blocks that a with statement has begun

    # what it is -----------------------------------------------------------------------------------------

    @property
    def num_wires(self) -> int:
        """Number of qubits."""
        return self._num_wires

    @property
    def structure(self) -> Structure:
        """The static part: interned and hashable."""
        if self._open:
            raise ValueError(
                "the circuit is unfinished: a block of if_ or while_ is open; leave its with statement first."
            )
        if self._structure is None:
            self._structure = Structure(
                self._num_wires,
                tuple(self._instructions),
                tuple(self._expressions),
                self._angles.length,
                len(self._operands.arrays),
                tuple(self._registers),
            )
        return self._structure

    @property
    def angles(self) -> Any:
        """The angle vector, (num_slots,) in radians: float64 NumPy (read-only), or JAX if any angle is."""
        return self._angles.array

    @property
    def operands(self) -> tuple[Any, ...]:
        """The arrays of gates that are given by arrays."""
        return tuple(self._operands.arrays)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Parameters without a value: sorted by name, elements of a vector by index."""
        return self.structure.parameters

    @property
    def num_parameters(self) -> int:
        """Number of parameters without a value."""
        return len(self.structure.parameters)

    @property
    def instructions(self) -> tuple[Instruction, ...]:
        """The gates and operations in time order."""
        return tuple(self._instructions)

    def __len__(self) -> int:
        return len(self._instructions)

    def count_gates(self) -> dict[str, int]:
        """How often each gate or operation is written: name -> count, in order of first appearance. Those in blocks
        count, whether or not they are done."""
        return dict(Counter(gate_name(i) for i in walk(self._instructions)))

    def depth(self) -> int:
        """Longest chain of gates and operations that share wires or bits; a gate on no wire (global phase), a barrier
        and a delay do not count. A block is as deep as what is in it, repeated or not."""
        return _depth(self._instructions)

    def __repr__(self) -> str:
        counts = ", ".join(f"{name} {number}" for name, number in self.count_gates().items())
        waiting = f", {count(self.num_parameters, 'parameter')}" if self.num_parameters else ""
        bits = f", {count(self.num_bits, 'bit')}" if self._registers else ""
        written = sum(1 for _ in walk(self._instructions))
        size = f"{count(self._num_wires, 'qubit')}{bits}, {count(written, 'gate')}"
        return f"Circuit({size}{': ' + counts if counts else ''}{waiting})"

    def __eq__(self, other: object) -> bool:
        """Same structure, registers included, same angles, same operands. Angles must be concrete."""
        if not isinstance(other, Circuit):
            return NotImplemented
        return (
            self.structure is other.structure
            and np.array_equal(np.asarray(self.angles), np.asarray(other.angles))
            and all(map(np.array_equal, self.operands, other.operands))
        )

    def __hash__(self) -> int:
        return hash(self.structure)

    # circuits from circuits -----------------------------------------------------------------------------

    def copy(self) -> Circuit:
        """A circuit of its own with the same gates."""
        result = from_structure(self.structure, (self.angles, self.operands))
        result._operands = self._operands.copy()
        return result

    __copy__ = copy

    def with_operands(self, operands: Sequence[Any]) -> Circuit:
        """The same gates given by other arrays, such as QAOA's with another cost: the circuits have one structure.

        Args:
            operands: as many as `operands`, each as its gate takes it.

        Raises:
            TypeError, ValueError: another number of arrays; as the gates: wrong shapes, NaN, not unitary.

        Example:
            >>> from jaxsim import Circuit, Parameter
            >>> c = Circuit(1).h(0).evolve_diagonal(Parameter("a"), [0.0, 1.0])
            >>> c.with_operands([[0.0, 2.0]]).operands
            (array([0., 2.]),)
        """
        if not isinstance(operands, list | tuple):
            raise TypeError(
                f"with_operands takes a list of arrays, but a {type(operands).__name__} was given: "
                "with_operands([array, ...])."
            )
        if len(operands) != len(self._operands.arrays):
            raise ValueError(
                f"with_operands takes {count(len(self._operands.arrays), 'array')} for this circuit, but "
                f"{len(operands)} were given."
            )
        arrays = list(operands)
        for i in walk(self._instructions):
            if i.operand is not None and arrays[i.operand] is operands[i.operand]:  # not checked yet
                kind, targets = gates.GATES[i.gate].operand, len(i.wires) - i.controls
                assert kind is not None
                arrays[i.operand] = array_operand(i.gate, kind, operands[i.operand], targets)
        result = from_structure(self.structure, (self.angles, ()))
        result._operands = Operands(arrays, map(source_of, operands))
        return result

    def compose(self, other: Circuit, wires: Sequence[int] | None = None, bits: Any = None) -> Self:
        """Appends all gates of `other`, whose wire k becomes ``wires[k]`` (the same wire by default).

        Args:
            other: a circuit.
            wires: as many as it has.
            bits: a register of this circuit, or bits, as many as `other` has: what becomes of them. By default its
                registers are those of the same name here; what is not here is added.

        Raises:
            TypeError: if `other` is no circuit.
            ValueError: if `other` has more wires than there is room for, or `wires` or `bits` does not fit; if `other`
                prepares a state on a wire that has been acted on; if a register has another size here.

        Example:
            >>> from jaxsim import Circuit
            >>> Circuit(3).h(0).compose(Circuit(2).cx(0, 1), [2, 0]).instructions[1].wires
            (2, 0)
        """
        if not isinstance(other, Circuit):
            raise TypeError(f"compose takes a Circuit, but a {type(other).__name__} was given.")
        if wires is None:
            if other.num_wires > self._num_wires:
                raise ValueError(
                    f"compose: a circuit of {other.num_wires} qubits does not fit on {self._num_wires}; give wires=... "
                    "for a circuit that is smaller, or make this one larger."
                )
            wires = range(other.num_wires)
        target = tuple(wire_column("compose", wires))
        if len(target) != other.num_wires:
            raise ValueError(
                f"compose: {len(target)} wires were given for a circuit of {count(other.num_wires, 'qubit')}."
            )
        check_wires("compose", target, self._num_wires)
        for i in other._instructions:
            if i.gate not in OPERATIONS and gates.GATES[i.gate].operand == "amplitudes":
                self._check_untouched(tuple(target[w] for w in i.wires))
        renamed, added = self._bits_of(other, bits)
        self._registers.extend(added)
        shift, places = self._angles.length, self._operands.extend(other._operands)
        instructions = [moved(i, target, shift, places, renamed) for i in other._instructions]
        self._expressions.extend([(shift + slot, e) for slot, e in other._expressions])
        self._instructions.extend(instructions)
        self._angles.extend(other._angles)
        self._structure = None
        return self

    def _bits_of(self, other: Circuit, bits: Any) -> tuple[dict[Bit, Bit], list[Register]]:
        """What the bits of another circuit are called here, and which of its registers are not here yet."""
        if bits is not None:
            column = self._bit_column("compose", bits)
            if len(column) != other.num_bits:
                raise ValueError(
                    f"compose: bits=... names {count(len(column), 'bit')} for a circuit of "
                    f"{count(other.num_bits, 'bit')}."
                )
            return dict(zip(bit_numbers(other._registers), column)), []
        known = {register.name: register for register in self._registers}
        for register in other._registers:
            here = known.get(register.name, register)
            if here.size != register.size:
                raise ValueError(
                    f"compose: register {register.name!r} has {count(register.size, 'bit')} there and "
                    f"{count(here.size, 'bit')} here; say with bits=... which bits of this circuit are meant."
                )
        return {}, [register for register in other._registers if register.name not in known]

    def __add__(self, other: Circuit) -> Circuit:
        """This circuit, then `other`, as a new circuit."""
        if not isinstance(other, Circuit):
            return NotImplemented
        return Circuit(max(self._num_wires, other.num_wires)).compose(self).compose(other)

    def remap(self, wires: Sequence[int] | Mapping[int, int], num_wires: int | None = None) -> Circuit:
        """A new circuit in which wire k is called ``wires[k]``, on `num_wires` qubits (as few as fit by default).

        Raises:
            ValueError: if `wires` does not name every wire once.

        Example:
            >>> from jaxsim import Circuit
            >>> Circuit(2).cx(0, 1).remap([3, 1])
            Circuit(4 qubits, 1 gate: cx 1)
        """
        if isinstance(wires, Mapping):
            wires = [wires[k] for k in range(self._num_wires) if k in wires]
        new = wire_column("remap", wires)
        if len(new) != self._num_wires:
            raise ValueError(
                f"remap takes a new wire for each of {count(self._num_wires, 'qubit')}, but {len(new)} were given."
            )
        wide = max(new) + 1 if num_wires is None else integer("remap", "num_wires", num_wires)
        check_wires("remap", tuple(new), wide)
        return Circuit(wide).compose(self, new)

    def repeat(self, times: int) -> Circuit:
        """A new circuit that does this one `times` times; 0 or more."""
        times = integer("repeat", "the number of times", times)
        if times < 0:
            raise ValueError(
                f"repeat takes an integer >= 0, but {times} was given; power(-1) is the inverse."
            )
        result = Circuit(self._num_wires)
        result._registers = list(self._registers)
        for _ in range(times):
            result.compose(self)
        return result

    def power(self, exponent: int) -> Circuit:
        """A new circuit: this one to an integer power; negative powers use the inverse."""
        exponent = integer("power", "the exponent", exponent)
        return self.repeat(exponent) if exponent >= 0 else self.inverse().repeat(-exponent)

    def inverse(self) -> Circuit:
        """A new circuit that undoes this one.

        Raises:
            ValueError: if the circuit prepares a state with `initialize`, measures, resets, or has blocks: no gate
                undoes that.

        Example:
            >>> from jaxsim import Circuit
            >>> Circuit(2).s(0).rx(0.5, 1).inverse()
            Circuit(2 qubits, 2 gates: rx 1, sdg 1)
        """
        lasting = next(
            (i.gate for i in self._instructions if i.gate in OPERATIONS - {"barrier", "delay"}), None
        )
        if lasting is not None:
            raise ValueError(
                f"inverse: the circuit has {lasting}, which no gate undoes; take the inverse of the part without it."
            )
        result = Circuit(self._num_wires)
        result._registers = list(self._registers)
        expressions = dict(self._expressions)
        # Of each new angle: slots of old ones with their coefficients, and what is added.
        terms: list[list[tuple[int, float]]] = []
        offsets: list[float] = []
        adjoints: dict[tuple[str, int], Any] = {}
        for i in reversed(self._instructions):
            if i.gate in OPERATIONS:
                result._instructions.append(i)
                continue
            place = None
            if i.operand is not None:
                if (i.gate, i.operand) not in adjoints:
                    adjoints[i.gate, i.operand] = gates.adjoint_operand(i.gate, self.operands[i.operand])
                place = result._operands.place(adjoints[i.gate, i.operand])
            for step in gates.inverse(i.gate, i.controls):
                slots = tuple(range(len(terms), len(terms) + len(step.angles)))
                for slot, angle in zip(slots, step.angles):
                    used = [(s, c) for s, c in zip(i.slots, angle.coefficients) if c]
                    waits = any(s in expressions for s, _ in used)
                    if waits:
                        values = [expressions[s] if s in expressions else self.angles[s] for s in i.slots]
                        result._expressions.append((slot, gates.affine(values, angle)))
                    terms.append([] if waits else used)
                    offsets.append(0.0 if waits else angle.offset)
                wires = i.wires if step.wires is None else tuple(i.wires[w] for w in step.wires)
                result._instructions.append(
                    Instruction(step.gate, wires, slots, step.controls, i.label, place)
                )
        result._angles = self._angles.combined(terms, offsets)
        return result

    def bind(self, values: Any) -> Circuit:
        """A new circuit in which parameters have values.

        Args:
            values: numbers or JAX values in the order of `parameters`, or a mapping from parameters or names (of
                a vector: its name, with an array) to values. A mapping may leave parameters open.

        Raises:
            TypeError: a value that is not real.
            ValueError: wrong length, unknown name, a value that makes an angle infinite or NaN.

        Example:
            >>> from jaxsim import Circuit, ParameterVector
            >>> t = ParameterVector("t", 2)
            >>> Circuit(2).rx(t, range(2)).bind({"t": [0.1, 0.2]}).angles
            array([0.1, 0.2])
        """
        given = bind_values(self.structure.parameters, values, partial=True)
        waiting, bound = split_expressions(self._expressions, given)
        result = self.copy()
        if bound:
            sources = values.values() if isinstance(values, Mapping) else [values]
            as_jax = any(isinstance(value, jax.Array) for value in (*sources, *bound.values()))
            result._angles = self._angles.replaced(bound, as_jax=as_jax)
        result._expressions = waiting
        result._structure = None
        return result

    def deferred(self) -> Circuit:
        """A circuit that measures at the end only and gives the same bits: measurements inside write fresh wires,
        blocks become controlled gates; see `jaxsim.dynamic.deferred`."""
        from jaxsim.dynamic.deferred import deferred

        return deferred(self)

    # pictures and files ---------------------------------------------------------------------------------

    def draw(self, output: str = "text", **options: Any) -> Any:
        """Draws the circuit; see `jaxsim.drawing.draw`.

        Args:
            output: "text" (a printable object), "mpl" (a matplotlib figure) or "svg" (a string).
            options: fold, the width in characters at which lines break.

        Example:
            >>> from jaxsim import Circuit
            >>> print(Circuit(2).h(0).cx(0, 1).draw())
                 ┌───┐
            q0: ─┤ H ├─●─
                 └───┘ │
            q1: ───────⊕─
        """
        from jaxsim import drawing

        return drawing.draw(self, output, **options)

    def _repr_svg_(self) -> str:
        from jaxsim import drawing

        return drawing.svg(self)

    def to_json(self) -> str:
        """The circuit as JSON text; `from_json` reads it. Angles and operands must be concrete."""
        from jaxsim import circuit_json

        return circuit_json.dumps(self)

    @classmethod
    def from_json(cls, text: str) -> Circuit:
        """The circuit that `to_json` wrote; ValueError for other text."""
        from jaxsim import circuit_json

        return circuit_json.loads(text)

    def save(self, path: str | Path) -> None:
        """Writes the circuit to a file, as JSON."""
        Path(path).write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Circuit:
        """The circuit that `save` wrote."""
        return cls.from_json(Path(path).read_text(encoding="utf-8"))

    def __reduce__(self) -> tuple[Any, ...]:
        leaves = jax.tree.map(np.asarray, (self.angles, self.operands))
        return (from_structure, (self.structure, leaves))


# the pytree -------------------------------------------------------------------------------------------------


def from_structure(structure: Structure, leaves: Any) -> Circuit:
    """The circuit with this structure and these leaves: its angles, and a tuple of its operands."""
    angles, operands = leaves
    circuit = object.__new__(Circuit)
    circuit._num_wires = structure.num_wires
    circuit._instructions = list(structure.instructions)
    circuit._expressions = list(structure.expressions)
    circuit._angles = AngleVector(angles, structure.num_slots)
    circuit._operands = Operands(operands)
    circuit._registers = list(structure.registers)
    circuit._structure = structure
    circuit._open = 0
    return circuit


jax.tree_util.register_pytree_with_keys(
    Circuit,
    lambda c: (
        ((jax.tree_util.GetAttrKey("angles"), c.angles), (jax.tree_util.GetAttrKey("operands"), c.operands)),
        c.structure,
    ),
    from_structure,
    lambda c: ((c.angles, c.operands), c.structure),
)


# gates -------------------------------------------------------------------------------------------


def gate_name(instruction: Instruction) -> str:
    """The gate's name with its additional controls: ``c2_ry`` is ry with two."""
    if not instruction.controls:
        return instruction.gate
    return gates.controlled(instruction.gate, instruction.controls).title


def _depth(instructions: Iterable[Instruction]) -> int:
    level: dict[int | Bit, int] = {}
    for i in instructions:
        shared = (*i.wires, *(bit for part in walk([i]) for bit in _bits_used(part)))
        steps = 0 if i.gate in ("barrier", "delay") else max([1, *map(_depth, i.blocks)])
        reached = steps + max((level.get(key, 0) for key in shared), default=0)
        level.update(dict.fromkeys(shared, reached))
    return max(level.values(), default=0)


def _bits_used(i: Instruction) -> tuple[Bit, ...]:
    return i.bits if i.condition is None else i.condition.bits
