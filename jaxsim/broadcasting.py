"""Parameter sets and observables of one circuit of a job, broadcast against each other as in Qiskit's PUBs.

Parameter sets are an array of any shape (sets), each with a value for every parameter; observables an array of any
shape; the circuit is evaluated on all pairs of the shape both broadcast to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxsim.arguments import real_array
from jaxsim.observables import PauliSum
from jaxsim.parameters import Parameter

if TYPE_CHECKING:
    from jaxtyping import Float, Int

__all__ = ["Pairs", "observable_array", "pairs", "parameter_sets"]

BY_NAME = "Outputs and shots are given by name: run(circuits, outputs=('counts',), shots=100)."


# parameter sets -------------------------------------------------------------------------------------------


def parameter_sets(parameters: Sequence[Parameter], given: Any) -> Float[np.ndarray, "*sets parameters"]:
    """The values of all parameters in their order, one row for each set.

    Args:
        parameters: as of a circuit.
        given: (*sets, parameters) real, for a single parameter also (*sets,); a mapping from parameters or names to
            (*sets,), from vectors or their names to (*sets, length), from tuples of names to (*sets, names), where
            the sets broadcast; None if there are no parameters.

    Raises:
        TypeError: values that are not real numbers.
        ValueError: shapes that do not fit, unknown or missing names, NaN.

    Example:
        >>> from jaxsim import Parameter
        >>> a, b = Parameter("a"), Parameter("b")
        >>> parameter_sets((a, b), {"a": [0.1, 0.2, 0.3], "b": 1.0}).shape
        (3, 2)
    """
    count = len(parameters)
    if given is None:
        if count:
            raise ValueError(f"its parameters have no values: {_names(parameters)}. Give parameter_values.")
        return np.zeros((0,))
    if isinstance(given, Mapping):
        return _by_name(parameters, given)
    if _is_text(given):
        raise TypeError(f"parameter_values are numbers, but {given!r} was given. {BY_NAME}")
    array = _real(given)
    if count == 1 and (array.ndim == 0 or array.shape[-1] != 1):
        array = array[..., None]
    if array.ndim == 0 or array.shape[-1] != count:
        raise ValueError(
            f"parameter_values must have shape (..., {count}), the last axis for the parameters "
            f"({_names(parameters) or 'none'}), but have shape {array.shape}.{'' if count else ' ' + BY_NAME}"
        )
    return array


def _by_name(parameters: Sequence[Parameter], given: Mapping[Any, Any]) -> np.ndarray:
    columns: dict[str, np.ndarray] = {}
    for key, value in given.items():
        array = _real(value)
        for name, column in _columns(parameters, key, array):
            if name in columns:
                raise ValueError(f"the parameter {name} is given two values.")
            columns[name] = column
    missing = [p for p in parameters if p.name not in columns]
    if missing:
        raise ValueError(f"parameter_values are missing for: {_names(missing)}.")
    try:
        ordered = np.broadcast_arrays(*(columns[p.name] for p in parameters))
    except ValueError:
        shapes = ", ".join(f"{name} {column.shape}" for name, column in columns.items())
        raise ValueError(f"the sets of parameter_values do not broadcast: {shapes}.") from None
    return np.stack(ordered, axis=-1) if parameters else np.zeros((0,))


def _columns(parameters: Sequence[Parameter], key: Any, array: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """What one entry of a mapping says: pairs (name of a parameter, its values)."""
    alone = {p.name for p in parameters}
    vectors = {p.sort_key[0] for p in parameters if p.sort_key[1] >= 0}
    if isinstance(key, tuple):
        names = [getattr(item, "name", item) for item in key]
    else:
        name = getattr(key, "name", key)
        if name in alone:
            return [(name, array)]
        if name not in vectors:
            known = _names(parameters) or "none"
            raise ValueError(
                f"parameter_values: {name!r} is no parameter of the circuit, which has: {known}."
            )
        length = array.shape[-1] if array.ndim else 0
        own = [p for p in parameters if p.sort_key[0] == name and p.sort_key[1] >= 0]
        if own[-1].sort_key[1] >= length:
            raise ValueError(
                f"parameter_values: {name!r} is a vector and takes an array (..., length), but has shape "
                f"{array.shape}, and {own[-1].name} is used."
            )
        return [(p.name, array[..., p.sort_key[1]]) for p in own]
    unknown = [name for name in names if name not in alone]
    if unknown:
        raise ValueError(f"parameter_values: {unknown[0]!r} is no parameter of the circuit.")
    if array.ndim == 0 or array.shape[-1] != len(names):
        raise ValueError(
            f"parameter_values: {len(names)} names take an array (..., {len(names)}), but it has shape {array.shape}."
        )
    return [(name, array[..., k]) for k, name in enumerate(names)]


def _real(given: Any) -> np.ndarray:
    array = real_array(
        "parameter_values", np.asarray(given) if not isinstance(given, list | tuple) else given
    )
    return np.array(array, np.float64)  # a copy: what is given may change later


def _is_text(given: Any) -> bool:
    return isinstance(given, str) or (isinstance(given, list | tuple) and bool(given) and _is_text(given[0]))


def _names(parameters: Sequence[Parameter]) -> str:
    return ", ".join(p.name for p in parameters[:8]) + (", ..." if len(parameters) > 8 else "")


# observables ----------------------------------------------------------------------------------------------


def observable_array(given: Any, convert: Callable[[Any], PauliSum]) -> np.ndarray:
    """Observables as an array of objects of their shape: () for one, (m,) for a list of m, and so on.

    Args:
        given: an observable, or nested lists of them, all of one depth and length.
        convert: makes a `PauliSum` of one.

    Raises:
        ValueError: no observables, or lists of different lengths.
    """
    shape = _shape(given)
    if 0 in shape:
        raise ValueError("an empty list of observables was given: give at least one.")
    result = np.empty(shape, object)
    for place in np.ndindex(shape):
        item = given
        for k in place:
            item = item[k]
        result[place] = convert(item)
    return result


def _shape(given: Any) -> tuple[int, ...]:
    if not isinstance(given, list | tuple | np.ndarray):
        return ()
    shapes = {_shape(item) for item in given}
    if len(shapes) > 1:
        raise ValueError("lists of observables must be of one depth and length, but they differ.")
    return (len(given), *shapes.pop()) if shapes else (0,)


# both -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pairs:
    """Which parameter set goes with which observable.

    Attributes:
        shape: what sets and observables broadcast to.
        rows, columns: (pairs,) positions among sets and observables.
    """

    shape: tuple[int, ...]
    rows: Int[np.ndarray, " pairs"]
    columns: Int[np.ndarray, " pairs"]


def pairs(sets: tuple[int, ...], observables: tuple[int, ...]) -> Pairs:
    """Sets and observables of these shapes, broadcast.

    Raises:
        ValueError: if they do not broadcast.

    Example:
        >>> pairs((3, 1), (2,)).shape
        (3, 2)
    """
    try:
        shape = np.broadcast_shapes(sets, observables)
    except ValueError:
        raise ValueError(
            f"parameter sets of shape {sets} and observables of shape {observables} do not broadcast."
        ) from None
    rows, columns = (
        np.broadcast_to(np.arange(int(np.prod(s)), dtype=np.int64).reshape(s), shape).reshape(-1)
        for s in (sets, observables)
    )
    return Pairs(shape, rows, columns)
