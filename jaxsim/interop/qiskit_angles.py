"""Qiskit's symbolic angles as ours.

A `ParameterExpression` tells its form in one public way that all versions share: as text. It is read with Python's own
parser after its parameters have been given plain names, and what was read is held against the original at three points.
"""

from __future__ import annotations

import ast
import cmath
import math
import numbers
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxsim.parameters import Expression, Parameter

__all__ = ["angle_from_qiskit"]

_OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}

_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "Abs": np.abs,
    "sign": np.sign,
    "conj": lambda x: x,  # parameters are real
    "conjugate": lambda x: x,
}

_CONSTANTS = {"pi": math.pi, "E": math.e}

_POINTS = (0.3, 0.7071, 0.9)
"""Where an expression is compared with what was made of it; inside the domain of all functions."""


def angle_from_qiskit(value: Any) -> float | Expression:
    """An angle of a Qiskit gate as a number, a `Parameter` or an expression.

    Raises:
        TypeError: what is no real number or expression.
        ValueError: an expression that cannot be translated.
    """
    if isinstance(value, numbers.Real):
        return float(value)
    from qiskit.circuit import Parameter as QiskitParameter
    from qiskit.circuit import ParameterExpression

    if isinstance(value, QiskitParameter):
        return Parameter(value.name)
    if not isinstance(value, ParameterExpression):
        array = np.asarray(value)
        if array.shape == () and array.dtype.kind in "fiu":
            return float(array)
        raise TypeError(f"an angle is a real number or an expression of parameters, but {value!r} was given.")
    if not value.parameters:
        return _real(value, complex(value))
    return _translated(value)


def _real(value: Any, number: complex) -> float:
    if abs(number.imag) > 1e-12 * max(1.0, abs(number)):
        raise ValueError(f"the angle {value} is complex; angles are real.")
    return number.real


def _translated(value: Any) -> float | Expression:
    from qiskit.circuit import Parameter as QiskitParameter

    given = list(value.parameters)
    plain = {p: QiskitParameter(f"v{k}_") for k, p in enumerate(given)}
    ours = {f"v{k}_": Parameter(p.name) for k, p in enumerate(given)}
    try:
        result = _read(ast.parse(str(value.subs(plain)).strip(), mode="eval").body, ours)
    except (SyntaxError, KeyError, TypeError, OverflowError, ZeroDivisionError) as error:
        raise ValueError(f"the angle {value} cannot be translated: {error}.") from None
    for point in _POINTS:
        points = [point / (k + 1) for k in range(len(given))]
        expected = _at(lambda values: complex(value.bind(dict(zip(given, values)))), points)
        found = _at(lambda values: _evaluated(result, dict(zip(ours.values(), values))), points)
        if cmath.isfinite(expected) and not cmath.isclose(expected, found, rel_tol=1e-9, abs_tol=1e-12):
            raise ValueError(f"the angle {value} cannot be translated: {result} is not the same.")
        _real(value, expected)
    return result


def _at(function: Callable[[list[float]], complex], values: list[float]) -> complex:
    try:
        with np.errstate(all="ignore"):
            return complex(function(values))
    except (ValueError, ZeroDivisionError, OverflowError, TypeError):
        return complex("nan")


def _evaluated(expression: Any, values: dict[Parameter, float]) -> float:
    return expression.evaluate(values, np) if isinstance(expression, Expression) else expression


def _read(node: ast.expr, parameters: dict[str, Parameter]) -> Any:
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id=name):
            return parameters[name] if name in parameters else _CONSTANTS[name]
        case ast.BinOp(left=left, op=op, right=right):
            return _OPERATORS[type(op)](_read(left, parameters), _read(right, parameters))
        case ast.UnaryOp(op=op, operand=operand):
            return _OPERATORS[type(op)](_read(operand, parameters))
        case ast.Call(func=ast.Name(id=name), args=[argument]):
            return _FUNCTIONS[name](_read(argument, parameters))
    raise KeyError(ast.unparse(node))
