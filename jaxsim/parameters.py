"""Named angles: `Parameter`, `ParameterVector` and the expressions one can make of them.

An expression is an immutable, hashable value: equal expressions compare equal in every process, so a circuit
structure that contains them is a cache key. Sums and multiples of parameters are kept in one normal form
(`Linear`), because engines take affine angles as plain data; anything else is a tree of `Call` nodes that is
evaluated before the engine runs.
"""

from __future__ import annotations

import functools
import math
import numbers
import re
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Expression", "Parameter", "ParameterVector"]


class _Function(NamedTuple):
    """One row of the function table: how a named function is written in NumPy (and jax.numpy)."""

    ufunc: np.ufunc
    arity: int
    jax_name: str


FUNCTIONS: dict[str, _Function] = {
    "multiply": _Function(np.multiply, 2, "multiply"),
    "divide": _Function(np.true_divide, 2, "true_divide"),
    "power": _Function(np.power, 2, "power"),
    "sin": _Function(np.sin, 1, "sin"),
    "cos": _Function(np.cos, 1, "cos"),
    "tan": _Function(np.tan, 1, "tan"),
    "arcsin": _Function(np.arcsin, 1, "arcsin"),
    "arccos": _Function(np.arccos, 1, "arccos"),
    "arctan": _Function(np.arctan, 1, "arctan"),
    "exp": _Function(np.exp, 1, "exp"),
    "log": _Function(np.log, 1, "log"),
    "sqrt": _Function(np.sqrt, 1, "sqrt"),
    "abs": _Function(np.absolute, 1, "abs"),
    "sign": _Function(np.sign, 1, "sign"),
}
_UFUNC_NAMES = {row.ufunc: name for name, row in FUNCTIONS.items()}
_INFIX = {"multiply": "*", "divide": "/", "power": "**"}
_ELEMENT = re.compile(r"(.+)\[(0|[1-9][0-9]*)\]")


def _element_by_element(ufunc: np.ufunc) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Lets an operator take arrays and parameter vectors on its right."""

    def extend(operator: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(operator)
        def extended(self: Expression, other: Any) -> Any:
            if isinstance(other, np.ndarray | ParameterVector) and np.ndim(other):
                return ufunc(self, np.asarray(other))
            return operator(self, other)

        return extended

    return extend


class Expression:
    """A real-valued function of parameters; base of `Parameter` and of everything computed from one.

    Supports ``+ - * / **`` with real numbers and other expressions, unary minus, `abs`, the NumPy functions
    sin, cos, tan, arcsin, arccos, arctan, exp, log, sqrt, abs, sign, and methods of the same names. With
    a NumPy array the result is an array of expressions.

    Example:
        >>> import numpy as np
        >>> from jaxsim import Parameter
        >>> a = Parameter("a")
        >>> 2 * a + 0.5
        2*a + 0.5
        >>> np.sin(a) * a
        sin(a)*a
        >>> a * np.array([1.0, 2.0])
        array([a, 2*a], dtype=object)
    """

    __slots__ = ()

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters that occur, sorted by name (vector elements by index)."""
        return tuple(sorted(set(self._walk()), key=lambda p: p.sort_key))

    def _walk(self) -> Iterator[Parameter]:
        raise TypeError("an expression is a Parameter or made of parameters")

    def evaluate(self, values: Mapping[Parameter, Any], xp: ModuleType | Any = math) -> Any:
        """The value at `values`, a mapping from each parameter to a number or array.

        `xp` supplies the functions: `math` for numbers, `numpy` or `jax.numpy` for arrays and tracers.
        """
        raise TypeError("an expression is a Parameter or made of parameters")

    # arithmetic -----------------------------------------------------------------------------------------

    @_element_by_element(np.add)
    def __add__(self, other: Any) -> Any:
        left, right = _linear(self), _linear(other)
        terms = dict(left.terms)
        for atom, coefficient in right.terms:
            terms[atom] = terms.get(atom, 0.0) + coefficient
        return _normal(terms, left.constant + right.constant)

    @_element_by_element(np.multiply)
    def __mul__(self, other: Any) -> Any:
        if (factor := _constant(other)) is not None:
            linear = _linear(self)
        elif (factor := _constant(self)) is not None:
            linear = _linear(other)
        else:
            return Call("multiply", (self, other))
        return _normal({atom: c * factor for atom, c in linear.terms}, linear.constant * factor)

    @_element_by_element(np.true_divide)
    def __truediv__(self, other: Any) -> Any:
        divisor = _constant(other)
        if divisor is None:
            return Call("divide", (self, other))
        if divisor == 0:
            raise ZeroDivisionError(f"cannot divide the expression {self} by zero.")
        linear = _linear(self)
        return _normal({atom: c / divisor for atom, c in linear.terms}, linear.constant / divisor)

    def __rtruediv__(self, other: Any) -> Any:
        return _linear(other) / self

    @_element_by_element(np.power)
    def __pow__(self, other: Any) -> Any:
        return Call("power", (self, other if isinstance(other, Expression) else _linear(other)))

    def __rpow__(self, other: Any) -> Any:
        return Call("power", (_linear(other), self))

    def __neg__(self) -> Expression:
        return self * -1.0

    def __pos__(self) -> Expression:
        return self

    @_element_by_element(np.subtract)
    def __sub__(self, other: Any) -> Any:
        return self + (-other if isinstance(other, Expression) else -_number(other))

    def __rsub__(self, other: Any) -> Any:
        return (-self) + other

    def __abs__(self) -> Expression:
        return Call("abs", (self,))

    __radd__ = __add__
    __rmul__ = __mul__

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Lets NumPy functions take expressions: ``np.sin(a)``, ``np.float64(2) * a``, arrays of them."""
        if method != "__call__" or kwargs:
            return NotImplemented
        arrays = tuple(map(np.asarray, inputs))
        if any(array.ndim for array in arrays):
            return np.frompyfunc(lambda *elements: ufunc(*elements), len(inputs), 1)(*arrays)
        if ufunc in _OPERATORS:
            left, *right = (x if isinstance(x, Expression) else _linear(x) for x in inputs)
            return _OPERATORS[ufunc](left, *right)
        if ufunc in _UFUNC_NAMES:
            return Call(_UFUNC_NAMES[ufunc], inputs)
        return NotImplemented

    def __float__(self) -> float:
        raise TypeError(f"the expression {self} has no value yet: bind its parameters first.")

    def sin(self) -> Expression:
        """Sine."""
        return Call("sin", (self,))

    def cos(self) -> Expression:
        """Cosine."""
        return Call("cos", (self,))

    def tan(self) -> Expression:
        """Tangent."""
        return Call("tan", (self,))

    def arcsin(self) -> Expression:
        """Inverse sine."""
        return Call("arcsin", (self,))

    def arccos(self) -> Expression:
        """Inverse cosine."""
        return Call("arccos", (self,))

    def arctan(self) -> Expression:
        """Inverse tangent."""
        return Call("arctan", (self,))

    def exp(self) -> Expression:
        """Exponential."""
        return Call("exp", (self,))

    def log(self) -> Expression:
        """Natural logarithm."""
        return Call("log", (self,))

    def sqrt(self) -> Expression:
        """Square root."""
        return Call("sqrt", (self,))

    def abs(self) -> Expression:
        """Absolute value."""
        return Call("abs", (self,))

    def sign(self) -> Expression:
        """Sign: -1, 0 or 1."""
        return Call("sign", (self,))


class Parameter(Expression):
    """A named angle whose value is given later.

    Two parameters of one name are the same parameter. In the parameters of a circuit, names come in order,
    and ``name[2]`` before ``name[10]``.

    Attributes:
        name: the name.
        sort_key: (name, index), index -1 for a parameter that is no element of a vector.

    Args:
        name: a non-empty string.

    Raises:
        TypeError: if the name is not a string.
        ValueError: if the name is empty.

    Example:
        >>> from jaxsim import Circuit, Parameter
        >>> a = Parameter("a")
        >>> Circuit(1).rx(2 * a, 0).parameters
        (a,)
    """

    __slots__ = ("_hash", "name", "sort_key")

    def __init__(self, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"a parameter's name is a string, but {name!r} is a {type(name).__name__}.")
        if not name:
            raise ValueError("a parameter's name must not be empty.")
        element = _ELEMENT.fullmatch(name)
        self.name = name
        self.sort_key = (element[1], int(element[2])) if element else (name, -1)
        self._hash = hash(("Parameter", name))

    def _walk(self) -> Iterator[Parameter]:
        yield self

    def evaluate(self, values: Mapping[Parameter, Any], xp: ModuleType | Any = math) -> Any:
        return values[self]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Parameter) and self.name == other.name

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        return (Parameter, (self.name,))

    def __repr__(self) -> str:
        return self.name


class ParameterVector(np.lib.mixins.NDArrayOperatorsMixin):
    """A sequence of parameters ``name[0], name[1], ...``.

    Indexing gives a `Parameter`; slices and `reshape` give NumPy object arrays of parameters, which gates
    broadcast over wires. Arithmetic and NumPy functions work element by element and give such arrays too.

    Args:
        name: a non-empty string.
        length: how many; an integer >= 0.

    Raises:
        TypeError: if the name is not a string or the length is not an integer.
        ValueError: if the length is negative.

    Example:
        >>> from jaxsim import Circuit, ParameterVector
        >>> theta = ParameterVector("theta", 4).reshape(2, 2)
        >>> Circuit(2).ry(theta[0], range(2)).rz(0.5 * theta[1], range(2)).parameters
        (theta[0], theta[1], theta[2], theta[3])
    """

    def __init__(self, name: str, length: int) -> None:
        if isinstance(length, bool) or not isinstance(length, numbers.Integral):
            raise TypeError(f"the length of a ParameterVector is an integer, but {length!r} was given.")
        if length < 0:
            raise ValueError(f"the length of a ParameterVector is at least 0, but {length} was given.")
        Parameter(name)
        self.name = name
        self._elements = np.empty(int(length), dtype=object)
        for k in range(int(length)):
            self._elements[k] = Parameter(f"{name}[{k}]")
        self._elements.setflags(write=False)

    def __len__(self) -> int:
        return len(self._elements)

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self._elements)

    def __getitem__(self, key: Any) -> Any:
        return self._elements[key]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self._elements.copy()

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if "out" in kwargs:
            return NotImplemented
        arrays = (x._elements if isinstance(x, ParameterVector) else x for x in inputs)
        return getattr(ufunc, method)(*arrays, **kwargs)

    def reshape(self, *shape: Any) -> np.ndarray:
        """The parameters as an object array of the given shape."""
        return self._elements.reshape(*shape)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ParameterVector) and (self.name, len(self)) == (other.name, len(other))

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(("ParameterVector", self.name, len(self)))

    def __reduce__(self) -> tuple[Any, ...]:
        return (ParameterVector, (self.name, len(self)))

    def __repr__(self) -> str:
        return f"ParameterVector({self.name!r}, {len(self)})"


class Linear(Expression):
    """The normal form ``sum_k coefficient_k * atom_k + constant``; atoms are parameters or calls."""

    __slots__ = ("_hash", "constant", "terms")

    def __init__(self, terms: tuple[tuple[Expression, float], ...], constant: float) -> None:
        self.terms = terms
        self.constant = constant
        self._hash = hash(("Linear", terms, constant))

    def _walk(self) -> Iterator[Parameter]:
        for atom, _ in self.terms:
            yield from atom._walk()

    def evaluate(self, values: Mapping[Parameter, Any], xp: ModuleType | Any = math) -> Any:
        total: Any = self.constant
        for atom, coefficient in self.terms:
            value = atom.evaluate(values, xp)
            term = value if coefficient == 1.0 else coefficient * value
            total = term if isinstance(total, float) and total == 0.0 else total + term
        return total

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Linear) and self.terms == other.terms and self.constant == other.constant

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        return (Linear, (self.terms, self.constant))

    def __repr__(self) -> str:
        text = ""
        for atom, coefficient in self.terms:
            sign = " - " if coefficient < 0 else " + "
            size = abs(coefficient)
            text += (sign if text else sign.strip(" +")) + (f"{atom}" if size == 1 else f"{size:.6g}*{atom}")
        if self.constant or not text:
            sign = " - " if self.constant < 0 else " + "
            text += (sign if text else sign.strip(" +")) + f"{abs(self.constant):.6g}"
        return text


class Call(Expression):
    """A function of the table applied to expressions."""

    __slots__ = ("_hash", "args", "function")

    def __init__(self, function: str, args: tuple[Expression, ...]) -> None:
        self.function = function
        self.args = args
        self._hash = hash(("Call", function, args))

    def _walk(self) -> Iterator[Parameter]:
        for arg in self.args:
            yield from arg._walk()

    def evaluate(self, values: Mapping[Parameter, Any], xp: ModuleType | Any = math) -> Any:
        xp = np if xp is math else xp
        function = getattr(xp, FUNCTIONS[self.function].jax_name)
        result = function(*(arg.evaluate(values, xp) for arg in self.args))
        return float(result) if isinstance(result, np.floating) else result

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Call) and self.function == other.function and self.args == other.args

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        return (Call, (self.function, self.args))

    def __repr__(self) -> str:
        if self.function in _INFIX:
            return _INFIX[self.function].join(map(_factor_text, self.args))
        return f"{self.function}({', '.join(map(repr, self.args))})"


_OPERATORS: dict[np.ufunc, Callable[..., Any]] = {
    np.add: lambda a, b: a + b,
    np.subtract: lambda a, b: a - b,
    np.multiply: lambda a, b: a * b,
    np.true_divide: lambda a, b: a / b,
    np.power: lambda a, b: a**b,
    np.negative: lambda a: -a,
    np.positive: lambda a: a,
    np.square: lambda a: a**2,
}


def _factor_text(arg: Expression) -> str:
    constant = _constant(arg)
    alone = constant >= 0 if constant is not None else not isinstance(arg, Linear)
    infix = isinstance(arg, Call) and arg.function in _INFIX
    return f"{arg}" if alone and not infix else f"({arg})"


def _number(value: Any) -> float:
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(
            f"an expression of parameters takes real numbers, but {value!r} is a {type(value).__name__}. "
            "Values computed by JAX go in as angles of their own, or through bind()."
        )
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"an expression of parameters takes finite numbers, but {value!r} was given.")
    return number


def _linear(value: Any) -> Linear:
    if isinstance(value, Linear):
        return value
    if isinstance(value, Expression):
        return Linear(((value, 1.0),), 0.0)
    return Linear((), _number(value))


def _constant(value: Any) -> float | None:
    """The number that a value is, or None if it depends on parameters."""
    if isinstance(value, Expression):
        return value.constant if isinstance(value, Linear) and not value.terms else None
    return _number(value)


def _order(atom: Expression) -> tuple[bool, tuple[str, int], str]:
    return (False, atom.sort_key, "") if isinstance(atom, Parameter) else (True, ("", 0), repr(to_json(atom)))


def _normal(terms: Mapping[Expression, float], constant: float) -> Expression:
    """The simplest expression for a sum: terms sorted, zeros kept only where nothing else is left."""
    if not all(map(math.isfinite, (*terms.values(), constant))):
        raise OverflowError("a coefficient of an expression of parameters became infinite.")
    kept = sorted(((a, c) for a, c in terms.items() if c != 0.0), key=lambda term: _order(term[0]))
    if len(kept) == 1 and kept[0][1] == 1.0 and constant == 0.0:
        return kept[0][0]
    return Linear(tuple(kept), constant)


# JSON -----------------------------------------------------------------------------------------------------


def to_json(expression: Expression) -> Any:
    """An expression as plain lists, for `from_json`."""
    if isinstance(expression, Parameter):
        return ["parameter", expression.name]
    if isinstance(expression, Linear):
        return ["linear", [[to_json(atom), c] for atom, c in expression.terms], expression.constant]
    if isinstance(expression, Call):
        return ["call", expression.function, [to_json(arg) for arg in expression.args]]
    raise TypeError(f"{expression!r} is not an expression of parameters.")


def from_json(data: Any) -> Expression:
    """The expression that `to_json` wrote; ValueError for anything else."""
    try:
        match data:
            case ["parameter", str(name)]:
                return Parameter(name)
            case ["linear", list(terms), constant]:
                total = _linear(constant)
                for atom, coefficient in terms:
                    total = total + from_json(atom) * _number(coefficient)
                return total
            case ["call", str(function), list(args)] if FUNCTIONS[function].arity == len(args):
                return Call(function, tuple(map(from_json, args)))
    except (TypeError, ValueError, KeyError, OverflowError, RecursionError):
        pass
    raise ValueError(f"{data!r:.200} does not describe an expression of parameters.")
