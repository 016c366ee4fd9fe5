"""Classical bits: registers of them, and conditions on them.

A bit is a name and a position, as a parameter is a name: two registers of one name are the same register. What a
circuit holds of them is static; which value a bit has is known when the circuit runs.
"""

from __future__ import annotations

import numbers
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, SupportsIndex, overload

import numpy as np

__all__ = ["Bit", "Comparison", "Condition", "Register", "bit_numbers", "from_json", "to_json"]

_OPERATORS: dict[str, tuple[Callable[..., Any], str]] = {
    "not": (operator.invert, "~"),
    "and": (operator.and_, " & "),
    "or": (operator.or_, " | "),
    "xor": (operator.xor, " ^ "),
}
"""What can be made of conditions: on boolean arrays, and as it is written."""

_COMPARISONS = {
    "==": ("==", 0, False),
    "!=": ("==", 0, True),
    "<": ("<", 0, False),
    "<=": ("<", 1, False),
    ">": ("<", 1, True),
    ">=": ("<", 0, True),
}
"""Each comparison as ``==`` or ``<`` with a value so much larger, and whether the opposite is meant."""


# conditions -------------------------------------------------------------------------------------------------


class Condition:
    """True or false, depending on classical bits; static and hashable.

    Made from bits and registers: ``bit``, ``~bit``, ``a & b``, ``a | b``, ``a ^ b``, ``register == 3``,
    ``register < 2``. A condition has no truth value while a circuit is built: ``if``, ``and``, ``or`` and ``not``
    of Python do not apply to it.

    Attributes:
        bits: the bits that it depends on, each once.

    Example:
        >>> from jaxsim.classical import Register
        >>> c = Register("c", 2)
        >>> (c[0] & ~c[1]) | (c == 2)
        ((c[0] & ~c[1]) | c == 2)
    """

    __slots__ = ("_key",)

    _key: tuple

    def __init__(self, name: str, *operands: Condition) -> None:
        self._key = (name, *operands)

    @property
    def bits(self) -> tuple[Bit, ...]:
        return tuple(dict.fromkeys(bit for part in self._key[1:] for bit in part.bits))

    def evaluate(self, value_of: Callable[[Bit], Any]) -> Any:
        """The truth value, given boolean values or arrays of the bits."""
        name, *operands = self._key
        return _OPERATORS[name][0](*(part.evaluate(value_of) for part in operands))

    def renamed(self, names: Mapping[Bit, Bit]) -> Condition:
        """The same condition on other bits; those without a new name stay."""
        name, *operands = self._key
        return Condition(name, *(part.renamed(names) for part in operands))

    def __invert__(self) -> Condition:
        negated = type(self) is Condition and self._key[0] == "not"
        return self._key[1] if negated else Condition("not", self)

    def __and__(self, other: Condition) -> Condition:
        return Condition("and", self, other) if isinstance(other, Condition) else NotImplemented

    def __or__(self, other: Condition) -> Condition:
        return Condition("or", self, other) if isinstance(other, Condition) else NotImplemented

    def __xor__(self, other: Condition) -> Condition:
        return Condition("xor", self, other) if isinstance(other, Condition) else NotImplemented

    def __eq__(self, other: object) -> Any:
        """With 0 or 1 the condition or its opposite; with another condition whether both are written the same."""
        if isinstance(other, Condition):
            return type(self) is type(other) and self._key == other._key
        if isinstance(other, numbers.Integral):
            if other not in (0, 1):
                raise ValueError(f"{self} is 0 or 1, so it is never {other}.")
            return self if other else ~self
        return NotImplemented

    def __ne__(self, other: object) -> Any:
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else not equal if isinstance(equal, bool) else ~equal

    def __hash__(self) -> int:
        return hash(self._key)

    def __bool__(self) -> bool:
        raise TypeError(
            f"the condition {self} has no value while the circuit is built. Give it to if_ or while_; for and, or, "
            "not write &, |, ~."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), self._key)

    def __repr__(self) -> str:
        name, *operands = self._key
        sign = _OPERATORS[name][1]
        if name == "not":
            return f"{sign}({operands[0]})" if isinstance(operands[0], Comparison) else f"{sign}{operands[0]}"
        return f"({operands[0]}{sign}{operands[1]})"


class Bit(Condition):
    """One classical bit, ``register[index]``; as a condition it is true if the bit is 1.

    Attributes:
        register: name of its register.
        index: its position there.
    """

    __slots__ = ()

    def __init__(self, register: str, index: int) -> None:
        self._key = (register, index)

    @property
    def register(self) -> str:
        return self._key[0]

    @property
    def index(self) -> int:
        return self._key[1]

    @property
    def bits(self) -> tuple[Bit, ...]:
        return (self,)

    def evaluate(self, value_of: Callable[[Bit], Any]) -> Any:
        return value_of(self)

    def renamed(self, names: Mapping[Bit, Bit]) -> Condition:
        return names.get(self, self)

    def __repr__(self) -> str:
        return f"{self.register}[{self.index}]"


class Comparison(Condition):
    """Whether bits, read as a number with the first the least significant, are equal to or less than a value."""

    __slots__ = ()

    def __init__(self, sign: str, bits: Sequence[Bit], value: int) -> None:
        self._key = (sign, tuple(bits), value)

    @property
    def bits(self) -> tuple[Bit, ...]:
        return self._key[1]

    def evaluate(self, value_of: Callable[[Bit], Any]) -> Any:
        sign, bits, value = self._key
        result: Any = np.bool_(sign == "==" or value >> len(bits))
        for place, bit in enumerate(bits):  # bits below decide where this one is that of the value
            is_one = value_of(bit)
            one = value >> place & 1
            if sign == "==":
                result = (is_one if one else ~is_one) & result
            elif not value >> len(bits):
                result = ~is_one | result if one else ~is_one & result
        return result

    def renamed(self, names: Mapping[Bit, Bit]) -> Condition:
        sign, bits, value = self._key
        return Comparison(sign, [names.get(bit, bit) for bit in bits], value)

    def __repr__(self) -> str:
        sign, bits, value = self._key
        whole = bits and bits == tuple(Register(bits[0].register, len(bits)))
        return f"{bits[0].register if whole else list(bits)} {sign} {value}"


# registers --------------------------------------------------------------------------------------------------


class Register(Sequence[Bit]):
    """A named row of classical bits; `Circuit.register` makes one and adds it to a circuit.

    Indexing gives bits. Compared with an integer it is a condition on the number that its bits form, bit 0 the least
    significant.

    Attributes:
        name: the name.
        size: number of bits.

    Args:
        name: a non-empty string.
        size: an integer >= 0.

    Raises:
        TypeError, ValueError: another name or size.

    Example:
        >>> from jaxsim.classical import Register
        >>> c = Register("c", 2)
        >>> c[1], c == 3, list(c)
        (c[1], c == 3, [c[0], c[1]])
    """

    __slots__ = ("name", "size")

    def __init__(self, name: str, size: int) -> None:
        if not isinstance(name, str) or not name:
            raise TypeError(f"a register's name is a non-empty string, but {name!r} was given.")
        if isinstance(size, bool) or not isinstance(size, numbers.Integral):
            raise TypeError(f"register {name!r}: its size is an integer, but {size!r} was given.")
        if size < 0:
            raise ValueError(f"register {name!r}: its size is at least 0, but {size} was given.")
        self.name, self.size = name, int(size)

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, index: SupportsIndex) -> Bit: ...

    @overload
    def __getitem__(self, index: slice) -> list[Bit]: ...

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [Bit(self.name, k) for k in range(*index.indices(self.size))]
        at = operator.index(index)
        if not -self.size <= at < self.size:
            raise IndexError(
                f"register {self.name!r} has {self.size} bits, so there is no {self.name}[{at}]."
            )
        return Bit(self.name, at % self.size)

    def __iter__(self) -> Iterator[Bit]:
        return (Bit(self.name, k) for k in range(self.size))

    def __contains__(self, bit: object) -> bool:
        return isinstance(bit, Bit) and bit.register == self.name and bit.index < self.size

    def _compared(self, sign: str, value: object) -> Any:
        if isinstance(value, bool) or not isinstance(value, numbers.Integral):
            return NotImplemented
        value = int(value)
        if not 0 <= value < 2**self.size:
            raise ValueError(
                f"register {self.name!r} of {self.size} bits has values 0 to {2**self.size - 1}, but is compared with "
                f"{value}."
            )
        kind, more, opposite = _COMPARISONS[sign]
        condition = Comparison(kind, tuple(self), value + more)
        return ~condition if opposite else condition

    def __eq__(self, other: object) -> Any:
        if isinstance(other, Register):
            return (self.name, self.size) == (other.name, other.size)
        return self._compared("==", other)

    def __ne__(self, other: object) -> Any:
        return not self == other if isinstance(other, Register) else self._compared("!=", other)

    def __lt__(self, value: int) -> Condition:
        return self._compared("<", value)

    def __le__(self, value: int) -> Condition:
        return self._compared("<=", value)

    def __gt__(self, value: int) -> Condition:
        return self._compared(">", value)

    def __ge__(self, value: int) -> Condition:
        return self._compared(">=", value)

    def __hash__(self) -> int:
        return hash((self.name, self.size))

    def __reduce__(self) -> tuple[Any, ...]:
        return (Register, (self.name, self.size))

    def __repr__(self) -> str:
        return f"Register({self.name!r}, {self.size})"


def bit_numbers(registers: Sequence[Register]) -> dict[Bit, int]:
    """The position of each bit among all: register after register."""
    return {bit: k for k, bit in enumerate(bit for register in registers for bit in register)}


# JSON -------------------------------------------------------------------------------------------------------


def to_json(condition: Condition) -> list[Any]:
    """The condition as lists, for `from_json`."""
    name, *operands = condition._key
    if isinstance(condition, Bit):
        return ["bit", name, *operands]
    if isinstance(condition, Comparison):
        return [name, list(map(to_json, operands[0])), operands[1]]
    return [name, *map(to_json, operands)]


def from_json(data: Any) -> Condition:
    """The condition that `to_json` wrote; ValueError for anything else."""
    match data:
        case ["bit", str(name), int(index)] if type(index) is int and index >= 0:
            return Bit(name, index)
        case [("==" | "<") as sign, list(parts), int(value)] if 0 <= value <= 2 ** len(parts):
            bits = [bit for part in parts if isinstance(bit := from_json(part), Bit)]
            if len(bits) == len(parts):
                return Comparison(sign, bits, value)
        case ["not", inner]:
            return Condition("not", from_json(inner))
        case [("and" | "or" | "xor") as name, left, right]:
            return Condition(name, from_json(left), from_json(right))
    raise ValueError(f"a condition is a list such as ['bit', 'c', 0], but it is {data!r:.100}.")
