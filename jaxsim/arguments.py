"""What gates are called with, checked and brought into one form: columns of wires, columns of angles, arrays.

A column has one entry for every gate that a call appends, or a single entry for all of them.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxsim.parameters import Expression

__all__ = [
    "AngleColumn",
    "angle_column",
    "array_operand",
    "broadcast_length",
    "check_wires",
    "count",
    "float_dtype",
    "integer",
    "one_angle",
    "real_array",
    "real_jax_array",
    "wire_column",
]

_UNIT_TOLERANCE = 1e-5


def count(number: int, noun: str) -> str:
    """A number with its noun, for messages: "1 gate", "2 gates"."""
    return f"{number} {noun}{'s' * (number != 1)}"


def integer(name: str, what: str, value: Any) -> int:
    """An integer; TypeError for anything else, also for True and 2.0."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} takes {what} as an integer, but {value!r} was given.")
    return int(value)


# wires ------------------------------------------------------------------------------------------------------


def wire_column(name: str, wires: Any) -> list[int]:
    """Wires as a list, from an integer or a sequence of integers; TypeError for anything else."""
    if type(wires) is int:  # as nearly always, and known in no time
        return [wires]
    if isinstance(wires, range):
        return list(wires)
    if isinstance(wires, Tracer):
        raise TypeError(
            f"{name}: wires are part of a circuit's structure, so they cannot be traced JAX values."
        )
    if isinstance(wires, np.ndarray | jax.Array):
        wires = np.asarray(wires).tolist()
    one = isinstance(wires, numbers.Integral)
    if not one and (isinstance(wires, str) or not isinstance(wires, Iterable)):
        raise TypeError(f"{name}: a wire is an integer or a sequence of integers, but {wires!r} was given.")
    column = [wires] if one else list(wires)
    for wire in column:
        if isinstance(wire, bool | np.bool_) or not isinstance(wire, numbers.Integral):
            raise TypeError(f"{name}: a wire is an integer, but {wire!r} was given.")
    return [int(wire) for wire in column]


def check_wires(name: str, wires: tuple[int, ...], num_wires: int) -> None:
    """Raises ValueError for a wire of one gate that does not exist or occurs twice."""
    for wire in wires:
        if not 0 <= wire < num_wires:
            raise ValueError(
                f"{name}: wire {wire} is out of range for a circuit of {count(num_wires, 'qubit')} "
                f"(0 to {num_wires - 1})."
            )
    if len(set(wires)) != len(wires):
        repeated = next(w for w in wires if wires.count(w) > 1)
        raise ValueError(f"{name}: wire {repeated} occurs twice in {wires}; a gate acts on different wires.")


# angles -----------------------------------------------------------------------------------------------------


class AngleColumn(NamedTuple):
    """One angle argument.

    Attributes:
        values: a list of floats or a 1-D JAX array; 0 where an expression says what the angle is.
        expressions: as many entries as `values`, None where there is a value; or empty.
    """

    values: Any
    expressions: list[Expression | None]


def angle_column(where: str, angle: Any) -> AngleColumn:
    """An angle as a column, from a number, an expression, a JAX value, or a sequence or 1-D array of them.

    Raises:
        TypeError: for what is not real.
        ValueError: for NaN, infinity, or more than one dimension.
    """
    if isinstance(angle, Sequence) and not isinstance(angle, str):
        entries = list(angle)
        if any(isinstance(entry, jax.Array) for entry in entries):
            return _jax_column(where, entries)
        if any(isinstance(entry, Expression) for entry in entries):
            angle = np.array(entries, dtype=object)
    elif isinstance(angle, jax.Array):
        values = real_jax_array(where, angle)
        _check_rank(where, values)
        return AngleColumn(values if values.ndim else values[None], [])
    elif isinstance(angle, Expression):
        return _mixed_column(where, [angle])
    if hasattr(angle, "__array__") and np.asarray(angle).dtype.kind == "O":
        array = np.asarray(angle)
        _check_rank(where, array)
        return _mixed_column(where, np.atleast_1d(array).tolist())
    array = real_array(where, angle)
    _check_rank(where, array)
    return AngleColumn(np.atleast_1d(array).tolist(), [])


def _mixed_column(where: str, entries: list[Any]) -> AngleColumn:
    """A column from numbers and expressions; an expression without parameters is a number."""
    column = AngleColumn([], [])
    for entry in entries:
        waits = isinstance(entry, Expression) and bool(entry.parameters)
        known = entry.evaluate({}) if isinstance(entry, Expression) and not waits else entry
        column.values.append(0.0 if waits else _number(where, known))
        column.expressions.append(entry if waits else None)
    return column


def _jax_column(where: str, entries: list[Any]) -> AngleColumn:
    """A column from JAX values, numbers and expressions."""
    known = [0.0 if isinstance(e, jax.Array) else e for e in entries]
    values, expressions = angle_column(where, known)
    leaves = [
        real_jax_array(where, e).astype(float_dtype())
        if isinstance(e, jax.Array)
        else np.asarray(v, float_dtype())
        for e, v in zip(entries, values)
    ]
    for leaf in leaves:
        _check_scalar(where, leaf)
    return AngleColumn(jnp.stack(leaves), expressions)


def _number(where: str, entry: Any) -> float:
    array = real_array(where, entry)
    _check_scalar(where, array)
    return float(array)


def _check_scalar(where: str, entry: Any) -> None:
    if entry.ndim:
        raise ValueError(
            f"{where}: an entry of a list of angles is a scalar, but one has shape {entry.shape}."
        )


def _check_rank(where: str, array: Any) -> None:
    if array.ndim > 1:
        raise ValueError(f"{where}: an angle is a scalar or a 1-D array, but has shape {array.shape}.")


def real_array(where: str, value: Any) -> np.ndarray:
    """Real finite numbers as a float64 array; TypeError or ValueError for anything else."""
    try:
        array = np.asarray(float(value) if isinstance(value, numbers.Real) else value)
    except (ValueError, OverflowError):
        array = np.asarray(None)
    if isinstance(value, bool) or array.dtype.kind not in "fiu":
        complex_given = " is complex" if array.dtype.kind == "c" else " was given"
        raise TypeError(f"{where}: angles are real numbers in radians, but {value!r}{complex_given}.")
    array = array.astype(np.float64)
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{where}: angles must be finite numbers, but {value!r} was given.")
    return array


def real_jax_array(where: str, value: jax.Array) -> jax.Array:
    """A JAX value as float32 or float64; TypeError if it is not real, ValueError if not finite (where known)."""
    if value.dtype == bool or not jnp.issubdtype(value.dtype, jnp.number):
        raise TypeError(f"{where}: angles are real numbers in radians, but a {value.dtype} array was given.")
    if jnp.issubdtype(value.dtype, jnp.complexfloating):
        raise TypeError(
            f"{where}: angles are real numbers in radians, but a complex {value.dtype} array was given."
        )
    if not isinstance(value, Tracer) and not np.all(np.isfinite(np.asarray(value, np.float64))):
        raise ValueError(f"{where}: angles must be finite numbers, but {value!r} was given.")
    return value if value.dtype in (np.float32, np.float64) else value.astype(float_dtype())


def one_angle(name: str, angle: Any) -> None:
    """Raises ValueError unless the angle is a scalar."""
    if np.ndim(angle) != 0:
        raise ValueError(
            f"{name} is one gate with one angle, but an array of shape {np.shape(angle)} was given."
        )


def float_dtype() -> Any:
    """The dtype of JAX's floats: float32, or float64 in 64-bit mode."""
    return jax.dtypes.canonicalize_dtype(np.float64)


def broadcast_length(name: str, wires: list[list[int]], angles: list[AngleColumn]) -> int:
    """How many gates a call appends; ValueError for columns that do not broadcast."""
    lengths = [len(column) for column in wires] + [len(column.values) for column in angles]
    longer = {length for length in lengths if length != 1}
    if len(longer) > 1:
        raise ValueError(
            f"{name}: angles and wires of lengths {lengths} do not broadcast; each must have length 1 or "
            "the same."
        )
    return longer.pop() if longer else 1


# arrays -----------------------------------------------------------------------------------------------------


class _Kind(NamedTuple):
    """One row of the kinds of array that a gate carries, as `Gate.operand` names them."""

    rank: int
    dtype: type
    defect: Any
    complaint: str


_KINDS = {
    "matrix": _Kind(
        2,
        np.complex128,
        lambda u: np.abs(u @ u.conj().T - np.eye(len(u))).max(),
        "the matrix is not unitary (the largest entry of U U^dagger - 1 is {:.1e}).",
    ),
    "phases": _Kind(
        1,
        np.complex128,
        lambda d: np.abs(np.abs(d) - 1).max(),
        "entries must have modulus 1, but one differs from it by {:.1e}. For exp(-i a d) with real d use "
        "evolve_diagonal(a, d).",
    ),
    "energies": _Kind(1, np.float64, lambda d: 0.0, ""),
    "amplitudes": _Kind(
        1,
        np.complex128,
        lambda s: abs(np.linalg.norm(s) - 1),
        "the norm of the state differs from 1 by {:.1e}; divide the state by its norm.",
    ),
}


def array_operand(name: str, kind: str, value: Any, num_wires: int) -> Any:
    """The array of a gate on so many target wires: read-only complex128 or float64, or a tracer as it is.

    Raises:
        TypeError: for what is not numbers, or complex where it must be real.
        ValueError: for a wrong shape, NaN, or an array that is not unitary (to 1e-5).
    """
    row = _KINDS[kind]
    shape = (2**num_wires,) * row.rank
    try:
        array = value if isinstance(value, Tracer) else np.asarray(value)
    except ValueError:
        raise ValueError(
            f"{name}: the array must have shape {shape}, but its rows differ in length."
        ) from None
    if num_wires == 0:
        raise ValueError(f"{name} acts on at least one wire, but none was given.")
    if array.shape != shape:
        wires = count(num_wires, "wire")
        raise ValueError(
            f"{name}: the array must have shape {shape} for {wires}, but has shape {array.shape}."
        )
    if not (array.dtype == bool or jnp.issubdtype(array.dtype, jnp.number)):
        raise TypeError(f"{name}: the array must hold numbers, but its dtype is {array.dtype}.")
    if row.dtype is np.float64 and jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise TypeError(f"{name}: the diagonal must be real, but its dtype is {array.dtype}.")
    if isinstance(array, Tracer):
        return array if jnp.issubdtype(array.dtype, jnp.inexact) else array.astype(float_dtype())
    array = array.astype(row.dtype)
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name}: the array must hold finite numbers, but has NaN or infinite entries.")
    defect = row.defect(array)
    if not defect <= _UNIT_TOLERANCE:
        raise ValueError(f"{name}: {row.complaint.format(defect)}")
    array.setflags(write=False)
    return array
