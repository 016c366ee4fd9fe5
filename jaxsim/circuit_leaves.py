"""The leaves of a circuit under construction: its angle vector and its arrays."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsim.arguments import float_dtype

__all__ = ["AngleVector", "Operands", "source_of"]


class AngleVector:
    """Angles in the order in which gates take them, NumPy as long as no JAX value is among them.

    Attributes:
        length: how many.
    """

    def __init__(self, array: Any = None, length: int = 0) -> None:
        self._parts: list[Any] = [] if array is None else [array]  # 1-D arrays; plain floats wait in lists
        self.length = length

    @property
    def array(self) -> Any:
        """(length,) float64 NumPy (read-only), or a JAX array; as it came if nothing was added."""
        if len(self._parts) != 1 or isinstance(self._parts[0], list):
            self._parts = [_concatenate(self._parts)]
        return self._parts[0]

    @property
    def vector(self) -> Any:
        """The same; ValueError if it is a batch of vectors."""
        return _one_vector(self.array)

    def append(self, columns: Sequence[Any], gate_count: int) -> None:
        """Takes one column per angle of a gate, each a list of 1 or `gate_count` floats or a JAX array."""
        if not columns or not gate_count:
            return
        if self._parts and not isinstance(self._parts[-1], list):
            _one_vector(self._parts[-1])
        if all(isinstance(column, list) for column in columns):
            if not (self._parts and isinstance(self._parts[-1], list)):
                self._parts.append([])
            full = [column * gate_count if len(column) == 1 else column for column in columns]
            self._parts[-1].extend(angle for row in zip(*full) for angle in row)
        elif len(columns) == 1 and columns[0].shape == (gate_count,):
            self._parts.append(columns[0])
        else:
            arrays = [jnp.asarray(column, float_dtype()) for column in columns]
            table = jnp.stack([jnp.broadcast_to(array, (gate_count,)) for array in arrays], axis=1)
            self._parts.append(table.reshape(-1))
        self.length += gate_count * len(columns)

    def extend_numbers(self, angles: Sequence[float]) -> None:
        """Takes the angles of one gate, all floats."""
        if not (self._parts and isinstance(self._parts[-1], list)):
            if self._parts:
                _one_vector(self._parts[-1])
            self._parts.append([])
        self._parts[-1].extend(angles)
        self.length += len(angles)

    def extend(self, other: AngleVector) -> None:
        """Takes all angles of another vector."""
        array, length = other.array, other.length  # before anything changes: `other` may be this vector
        if length:
            self._parts.append(array)
            self.length += length

    def combined(self, terms: list[list[tuple[int, float]]], offsets: list[float]) -> AngleVector:
        """New angles ``sum coefficient * angles[slot] + offset``, in one gather however many there are.

        Args:
            terms: of each new angle, pairs (slot, coefficient).
            offsets: of each new angle.
        """
        angles, width = self.vector, max(map(len, terms), default=0)
        padded = np.array([used + [(0, 0.0)] * (width - len(used)) for used in terms])
        padded = padded.reshape(len(terms), width, 2)
        slots, coefficients = padded[..., 0].astype(np.int32), padded[..., 1].astype(angles.dtype)
        new = (angles[slots] * coefficients).sum(axis=1) + np.array(offsets, angles.dtype)
        return AngleVector(_read_only(new), len(terms))

    def replaced(self, entries: dict[int, Any], *, as_jax: bool) -> AngleVector:
        """The vector with other angles at some slots; a JAX array if asked for or if it is one now."""
        angles = self.vector
        if as_jax or isinstance(angles, jax.Array):
            angles = jnp.asarray(angles, float_dtype())
            values = jnp.stack([jnp.asarray(value, angles.dtype) for value in entries.values()])
            return AngleVector(angles.at[np.array(list(entries))].set(values), self.length)
        angles = np.array(angles)
        angles[list(entries)] = list(entries.values())
        return AngleVector(_read_only(angles), self.length)


def _read_only(array: Any) -> Any:
    if isinstance(array, np.ndarray):
        array.setflags(write=False)
    return array


def _one_vector(angles: Any) -> Any:
    if angles.ndim != 1:
        raise ValueError(
            f"the angles have shape {angles.shape}: this is a batch of circuits, as vmap makes them, and takes no "
            "changes. Make them inside the function that is vmapped."
        )
    return angles


def _concatenate(parts: list[Any]) -> Any:
    arrays = [np.asarray(part, np.float64) if isinstance(part, list) else _one_vector(part) for part in parts]
    if all(isinstance(array, np.ndarray) for array in arrays):
        return _read_only(np.concatenate([np.zeros(0), *arrays]))
    return jnp.concatenate([jnp.asarray(array, float_dtype()) for array in arrays])


def _nothing() -> None:
    return None


class Operands:
    """The arrays of gates that are given by arrays. One array given to several gates is kept once.

    Attributes:
        arrays: the arrays.
    """

    def __init__(self, arrays: Iterable[Any] = (), sources: Iterable[Callable[[], Any]] = ()) -> None:
        self.arrays = list(arrays)
        # What the user gave for each
        self._sources: list[Callable[[], Any]] = list(sources) or [_nothing] * len(self.arrays)

    def place(self, array: Any, source: Callable[[], Any] = _nothing) -> int:
        """The position of an array, which is added if neither it nor what it was made from is known."""
        given = source()
        for k, known in enumerate(self.arrays):
            # What the user gave may have been changed since.
            if known is array or (given is not None and self._sources[k]() is given and _equal(known, array)):
                return k
        self.arrays.append(array)
        self._sources.append(source)
        return len(self.arrays) - 1

    def extend(self, other: Operands) -> list[int]:
        """Takes all arrays of another collection; their positions here."""
        return [self.place(*pair) for pair in tuple(zip(other.arrays, other._sources))]

    def copy(self) -> Operands:
        """A collection of its own with the same arrays."""
        return Operands(self.arrays, self._sources)


def source_of(given: Any) -> Callable[[], Any]:
    """A reference to what the user gave; a weak one to arrays, which may be large."""
    return weakref.ref(given) if isinstance(given, np.ndarray | jax.Array) else lambda: given


def _equal(a: Any, b: Any) -> bool:
    return a.dtype == b.dtype and np.array_equal(a, b)
