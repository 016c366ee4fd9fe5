"""The methods that measure, and that let what follows depend on what was measured."""

from __future__ import annotations

import contextlib
import numbers
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np

from jaxsim.arguments import check_wires, count, integer, wire_column
from jaxsim.circuit_leaves import AngleVector, Operands
from jaxsim.classical import Bit, Condition, Register, bit_numbers
from jaxsim.parameters import Expression
from jaxsim.structure import Instruction, Structure

if TYPE_CHECKING:
    from jaxsim.circuit import Circuit

__all__ = ["MeasurementMethods"]

MEASURED = "meas"
"""The register of measurements that name none."""

_UNITS = ("dt", "ps", "ns", "us", "ms", "s")


class MeasurementMethods:
    """What `Circuit` inherits its classical bits, measurements and blocks from."""

    _num_wires: int
    _instructions: list[Instruction]
    _expressions: list[tuple[int, Expression]]
    _angles: AngleVector
    _operands: Operands
    _structure: Structure | None
    _registers: list[Register]
    _open: int

    # bits -----------------------------------------------------------------------------------------------

    @property
    def registers(self) -> tuple[Register, ...]:
        """The registers of classical bits, in the order in which they were added."""
        return tuple(self._registers)

    @property
    def num_bits(self) -> int:
        """Number of classical bits. They are numbered register after register."""
        return sum(register.size for register in self._registers)

    def register(self, name: str, size: int | None = None) -> Register:
        """Adds a register of classical bits, all 0 at first, and returns it.

        Args:
            name: a name that no other register of this circuit has.
            size: number of bits, 0 or more; left out: the register that has this name already.

        Raises:
            ValueError: a name that is taken, or, without a size, one that no register has.

        Example:
            >>> from jaxsim import Circuit
            >>> circuit = Circuit(2)
            >>> c = circuit.register("c", 2)
            >>> circuit.h(0).measure([0, 1], c).registers
            (Register('c', 2),)
        """
        known = {register.name: register for register in self._registers}
        if size is None:
            if name not in known:
                raise ValueError(
                    f"register: there is no register {name!r} to return ({self._registers_in_words()}); give a size to "
                    "add one."
                )
            return known[name]
        if name in known:
            raise ValueError(
                f"register: the name {name!r} is taken by a register of {count(known[name].size, 'bit')}; choose "
                f"another name, or take that one: circuit.register({name!r})."
            )
        added = Register(name, size)
        self._registers.append(added)
        self._structure = None
        return added

    def _registers_in_words(self) -> str:
        named = ", ".join(f"{r.name} of {count(r.size, 'bit')}" for r in self._registers)
        return f"this circuit has {named}" if named else "this circuit has no registers"

    def _check_bits(self, name: str, bits: Iterable[Bit]) -> None:
        for bit in bits:
            if not any(bit in register for register in self._registers):
                raise ValueError(f"{name}: {bit} is no bit of this circuit: {self._registers_in_words()}.")

    def _bit_column(self, name: str, bits: Any) -> list[Bit]:
        if isinstance(bits, Bit):
            column = [bits]
        elif isinstance(bits, numbers.Integral) and not isinstance(bits, bool):
            everyone = list(bit_numbers(self._registers))
            if not 0 <= bits < len(everyone):  # type: ignore[operator]
                raise ValueError(
                    f"{name}: there is no bit {bits}: {self._registers_in_words()}. circuit.register(name, size) adds "
                    "bits; without bits, measure adds them itself."
                )
            column = [everyone[int(bits)]]
        elif isinstance(bits, Iterable) and not isinstance(bits, str):
            column = [bit for entry in bits for bit in self._bit_column(name, entry)]
        else:
            raise TypeError(
                f"{name}: bits are a register, a bit such as register[0], an integer, or a list of them, but {bits!r} "
                "was given."
            )
        self._check_bits(name, column)
        return column

    # measurement ----------------------------------------------------------------------------------------

    def measure(self, wires: Any, bits: Any = None) -> Self:
        """Measures wires in the basis of 0 and 1, into classical bits. Gates may follow.

        Args:
            wires: an integer or several.
            bits: as many: a register, bits, or their numbers. Left out: new bits of the register "meas", which is
                added if it is not there.

        Raises:
            ValueError: another number of bits than of wires, a bit of another circuit, a bit or wire given twice.
            TypeError: what is neither bit nor register.

        Example:
            >>> from jaxsim import Circuit
            >>> Circuit(2).h(0).measure(0).measure(1).num_bits
            2
        """
        column = wire_column("measure", wires)
        check_wires("measure", tuple(column), self._num_wires)
        if bits is None:
            targets = self._measured_bits(len(column))
        else:
            targets = self._bit_column("measure", bits)
            if len(targets) != len(column):
                raise ValueError(
                    f"measure: {count(len(column), 'wire')} and {count(len(targets), 'bit')} were given; each wire is "
                    "measured into a bit of its own."
                )
            if len(set(targets)) < len(targets):
                raise ValueError(
                    f"measure: {targets} names a bit twice; each wire is measured into a bit of its own."
                )
        self._instructions.extend(
            Instruction("measure", (wire,), bits=(bit,)) for wire, bit in zip(column, targets)
        )
        self._structure = None
        return self

    def _measured_bits(self, number: int) -> list[Bit]:
        """So many new bits of the register of measurements that name none."""
        place = next((k for k, r in enumerate(self._registers) if r.name == MEASURED), len(self._registers))
        before = self._registers[place].size if place < len(self._registers) else 0
        self._registers[place : place + 1] = [Register(MEASURED, before + number)]
        return self._registers[place][before:]

    def measure_all(self, name: str = MEASURED) -> Self:
        """Measures all wires at the end into a register added for them, wire k into its bit k.

        Raises:
            ValueError: if there is a register of this name.

        Example:
            >>> import jax, jaxsim as js
            >>> c = js.Circuit(2).x(1).measure_all()
            >>> js.counts(c, jax.random.key(0), 100)
            {'10': 100}
        """
        return self.measure(range(self._num_wires), self.register(name, self._num_wires))

    def reset(self, wires: Any) -> Self:
        """Sets wires to 0, whatever their state, as a measurement that nobody reads and an X where it gave 1.

        Example:
            >>> import jax, jaxsim as js
            >>> js.counts(js.Circuit(1).h(0).reset(0).measure_all(), jax.random.key(0), 100)
            {'0': 100}
        """
        column = wire_column("reset", wires)
        check_wires("reset", tuple(column), self._num_wires)
        self._instructions.extend(Instruction("reset", (wire,)) for wire in column)
        self._structure = None
        return self

    # what does nothing to a state -----------------------------------------------------------------------

    def barrier(self, *wires: Any) -> Self:
        """Draws a barrier across wires, all of them by default. It changes nothing that is computed."""
        column = [wire for given in wires for wire in wire_column("barrier", given)] or range(self._num_wires)
        check_wires("barrier", tuple(column), self._num_wires)
        self._instructions.append(Instruction("barrier", tuple(column)))
        self._structure = None
        return self

    def delay(self, duration: float, wires: Any, unit: str = "dt") -> Self:
        """Waits on wires. Without noise this changes nothing that is computed.

        Args:
            duration: a number >= 0.
            wires: an integer or several.
            unit: "dt", "ps", "ns", "us", "ms" or "s".
        """
        if isinstance(duration, bool) or not isinstance(duration, numbers.Real):
            raise TypeError(f"delay takes a duration as a number, but {duration!r} was given.")
        if not 0 <= duration < np.inf:
            raise ValueError(f"delay: a duration is a finite number >= 0, but {duration!r} was given.")
        if unit not in _UNITS:
            raise ValueError(f"delay: the unit is one of {', '.join(_UNITS)}, but {unit!r} was given.")
        column = wire_column("delay", wires)
        check_wires("delay", tuple(column), self._num_wires)
        label = f"{repr(float(duration)).removesuffix('.0')} {unit}"
        self._instructions.extend(Instruction("delay", (wire,), label=label) for wire in column)
        self._structure = None
        return self

    # blocks ---------------------------------------------------------------------------------------------

    @overload
    def if_(self, condition: Any) -> AbstractContextManager[None]: ...

    @overload
    def if_(self, condition: Any, then: Circuit, otherwise: Circuit | None = None) -> Self: ...

    def if_(self, condition: Any, then: Circuit | None = None, otherwise: Circuit | None = None) -> Any:
        """Does something only in shots in which a condition on classical bits holds.

        Args:
            condition: a bit, ``~bit``, ``register == 3``, or a combination with ``&``, ``|``, ``^``. It is
                looked at once, before the block.
            then: a circuit on the same wires and registers. Left out: a with-block follows, in which what is
                appended to this circuit is conditional; ``with circuit.else_():`` may come next.
            otherwise: what happens in the other shots.

        Raises:
            TypeError: what is no condition.
            ValueError: a condition on bits that this circuit lacks.

        Example:
            >>> import jax, jaxsim as js
            >>> circuit = js.Circuit(2)
            >>> c = circuit.register("c", 2)
            >>> _ = circuit.h(0).measure(0, c[0])
            >>> with circuit.if_(c[0]):
            ...     _ = circuit.x(1)
            >>> _ = circuit.measure(1, c[1])
            >>> sorted(js.counts(circuit, jax.random.key(0), 100))
            ['00', '11']
        """
        return self._flow("if_", self._condition("if_", condition), 0, then, otherwise)

    def else_(self) -> AbstractContextManager[None]:
        """A with-block, right after one of `if_`, for the shots in which its condition does not hold.

        Raises:
            ValueError: if no `if_` without an `else_` comes directly before.
        """
        before = self._instructions[-1] if self._instructions else None
        if before is None or before.gate != "if_else" or len(before.blocks) > 1:
            raise ValueError("else_ follows directly on a with-block of if_ that has no else_ yet.")

        def with_else(block: tuple[Instruction, ...]) -> Instruction:
            whole = self._instructions.pop()
            return whole._replace(wires=_wires_of((*whole.blocks[0], *block)), blocks=(*whole.blocks, block))

        return self._block(with_else)

    @overload
    def while_(
        self, condition: Any, body: None = None, *, max_iterations: int | None = None
    ) -> AbstractContextManager[None]: ...

    @overload
    def while_(self, condition: Any, body: Circuit, *, max_iterations: int | None = None) -> Self: ...

    def while_(
        self, condition: Any, body: Circuit | None = None, *, max_iterations: int | None = None
    ) -> Any:
        """Repeats something in a shot as long as a condition on classical bits holds, at most `max_iterations` times.

        A shot in which the condition still holds after so many times goes on behind the loop; sampling then warns, with
        the number of such shots. (Inside `jit` there is no warning. The bits tell, too: the condition holds.)

        Args:
            condition: as for `if_`; looked at before every repetition.
            body: a circuit on the same wires and registers; left out: a with-block follows.
            max_iterations: an integer >= 1; it must be given.

        Raises:
            TypeError: what is no condition.
            ValueError: no bound, or a condition on bits that this circuit lacks.

        Example:
            >>> import jax, jaxsim as js
            >>> circuit = js.Circuit(1)
            >>> c = circuit.register("c", 1)
            >>> _ = circuit.h(0).measure(0, c)
            >>> with circuit.while_(c[0], max_iterations=50):
            ...     _ = circuit.h(0).measure(0, c)
            >>> js.counts(circuit, jax.random.key(0), 100)
            {'0': 100}
        """
        if max_iterations is None:
            raise ValueError(
                "while_ needs a bound: give max_iterations=..., the most times that the body runs in a shot."
            )
        limit = integer("while_", "max_iterations", max_iterations)
        if limit < 1:
            raise ValueError(f"while_: max_iterations is at least 1, but {limit} was given.")
        return self._flow("while_", self._condition("while_", condition), limit, body, None)

    def for_(self, indices: Iterable[int], body: Circuit | Callable[[int], Circuit]) -> Self:
        """Appends a circuit once for every index, as a loop in Python would.

        Args:
            indices: such as ``range(3)``.
            body: a circuit, or a function that makes one from an index.

        Example:
            >>> from jaxsim import Circuit
            >>> Circuit(2).for_(range(3), lambda k: Circuit(2).rx(0.1 * k, 0).cx(0, 1))
            Circuit(2 qubits, 6 gates: rx 3, cx 3)
        """
        from jaxsim.circuit import Circuit

        made = [body if isinstance(body, Circuit) or not callable(body) else body(k) for k in indices]
        for part in made:
            self._append_circuit("for_", part)
        return self

    # how blocks are built: the instructions appended meanwhile are put into one ------------------------------

    def _condition(self, name: str, condition: Any) -> Condition:
        if isinstance(condition, tuple) and len(condition) == 2 and isinstance(condition[0], Bit | Register):
            condition = condition[0] == condition[1]  # as Qiskit writes it
        if not isinstance(condition, Condition):
            hint = (
                f"compare it with a number: register {condition.name!r} == 3."
                if isinstance(condition, Register)
                else "whether two bits are equal is ~(a ^ b)."
                if isinstance(condition, bool)
                else "such as register[0], ~register[0], register == 3, a & b."
            )
            raise TypeError(
                f"{name} takes a condition on classical bits, but {condition!r} was given; {hint}"
            )
        self._check_bits(name, condition.bits)
        return condition

    def _append_circuit(self, name: str, part: Any) -> None:
        from jaxsim.circuit import Circuit

        if not isinstance(part, Circuit):
            raise TypeError(f"{name} takes a Circuit, but a {type(part).__name__} was given.")
        cast: Any = self
        cast.compose(part)

    def _flow(self, name: str, condition: Condition, limit: int, then: Any, otherwise: Any) -> Any:
        gate = "while_loop" if limit else "if_else"

        def whole(block: tuple[Instruction, ...]) -> Instruction:
            return Instruction(gate, _wires_of(block), condition=condition, blocks=(block,), limit=limit)

        if then is None:
            if otherwise is not None:
                raise ValueError(
                    f"{name} was given what to do otherwise, but not what to do if the condition holds."
                )
            return self._block(whole)
        with self._block(whole):
            self._append_circuit(name, then)
        if otherwise is not None:
            with self.else_():
                self._append_circuit(name, otherwise)
        return self

    @contextlib.contextmanager
    def _block(self, finish: Callable[[tuple[Instruction, ...]], Instruction]) -> Iterator[None]:
        outer, registers, expressions = self._instructions, list(self._registers), list(self._expressions)
        angles, operands = (self._angles.array, self._angles.length), self._operands.copy()
        self._instructions, self._open = [], self._open + 1
        try:
            yield
        except BaseException:
            # As if the block had never been begun.
            self._angles, self._expressions, self._operands = AngleVector(*angles), expressions, operands
            self._registers, self._instructions = registers, outer
            raise
        else:
            block, self._instructions = tuple(self._instructions), outer
            outer.append(finish(block))
        finally:
            self._open -= 1
            self._structure = None


def _wires_of(block: Sequence[Instruction]) -> tuple[int, ...]:
    return tuple(sorted({wire for i in block for wire in i.wires}))
