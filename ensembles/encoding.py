"""Python values as JSON and arrays, bit by bit, and back; nothing that a file says is ever executed.

None, True, False, text, integers and finite floats are JSON's own, a list is a JSON array. Everything else is an
object with one key, which says what it is:

=============  =======================================================================================
``$float``     NaN or infinity: the 8 bytes of the double, the first one leading, as 16 hexadecimal digits
``$complex``   [real part, imaginary part]
``$bytes``     hexadecimal digits
``$tuple``     [entries]; also ``$set`` and ``$frozenset``
``$dict``      [[key, value], ...] in their order; also ``$ordered_dict``
``$array``     [member, start, shape]: entries of a flat array, in C order
``$scalar``    [member, start]: a NumPy scalar
=============  =======================================================================================

All arrays of a dtype are laid one after the other into one flat array, the member of the dtype's name.
"""

from __future__ import annotations

import math
import struct
import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["SWAPPED", "Decoder", "Encoder", "NotStorableError"]

_PLAIN_KINDS = "biufcUSMm"
"""Kinds of dtypes whose arrays hold their entries themselves."""

SWAPPED = "_swapped"
"""What the names of members in the other byte order end with."""

_COLLECTIONS: dict[type, str] = {tuple: "$tuple", set: "$set", frozenset: "$frozenset"}
_MAPPINGS: dict[type, str] = {dict: "$dict", OrderedDict: "$ordered_dict"}
_DEEPEST = 100


class NotStorableError(TypeError):
    """A value that has no place in a file; the message says which."""


class Encoder:
    """Turns values into what JSON holds, and keeps their arrays.

    Example:
        >>> encoder = Encoder()
        >>> encoder.encode([1.0, float("inf"), (True, None), np.float32([0.5, 2.0])])
        [1.0, {'$float': '7ff0000000000000'}, {'$tuple': [True, None]}, {'$array': ['float32', 0, [2]]}]
        >>> encoder.members()
        {'float32': array([0.5, 2. ], dtype=float32)}
    """

    def __init__(self) -> None:
        self._pieces: dict[str, list[np.ndarray]] = {}
        self._lengths: dict[str, int] = {}

    def members(self) -> dict[str, np.ndarray]:
        """The flat arrays."""
        return {member: np.concatenate(pieces) for member, pieces in self._pieces.items()}

    def encode(self, value: Any, depth: int = 0) -> Any:
        """The value as JSON has it.

        Errors: NotStorableError.
        """
        kind = type(value)
        if value is None or kind in (bool, str):
            return value
        if kind is int:
            if value.bit_length() > 10_000:
                raise NotStorableError("an integer of more than 10,000 bits")
            return value
        if kind is float:
            return value if math.isfinite(value) else {"$float": struct.pack(">d", value).hex()}
        if kind is complex:
            return {"$complex": [self.encode(value.real), self.encode(value.imag)]}
        if kind is bytes:
            return {"$bytes": value.hex()}
        if isinstance(value, np.ndarray | np.generic | jax.Array):
            return self._array(value)
        if depth > _DEEPEST:
            raise NotStorableError(f"more than {_DEEPEST} collections inside each other")
        if kind is list:
            return [self.encode(entry, depth + 1) for entry in value]
        if kind in _COLLECTIONS:
            return {_COLLECTIONS[kind]: [self.encode(entry, depth + 1) for entry in value]}
        if kind in _MAPPINGS:
            pairs = [[self.encode(k, depth + 1), self.encode(v, depth + 1)] for k, v in value.items()]
            return {_MAPPINGS[kind]: pairs}
        raise NotStorableError(f"a {kind.__name__}")

    def _array(self, value: Any) -> dict[str, Any]:
        if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
            raise NotStorableError("a random key (take jax.random.key_data of it)")
        array = np.asarray(value)
        if type(value) is not np.ndarray and isinstance(value, np.ndarray):
            raise NotStorableError(f"a {type(value).__name__}")
        if array.dtype.kind not in _PLAIN_KINDS:
            raise NotStorableError(f"an array of dtype {array.dtype}")
        member = _member(array.dtype)
        start = self._lengths.get(member, 0)
        # A copy, as the caller may go on with the array while it is being written.
        self._pieces.setdefault(member, []).append(array.flatten())
        self._lengths[member] = start + array.size
        if isinstance(value, np.generic):
            return {"$scalar": [member, start]}
        return {"$array": [member, start, list(array.shape)]}


def _member(dtype: np.dtype) -> str:
    """A dtype's name; arrays in the other byte order have members of their own."""
    order = dtype.byteorder
    foreign = order not in "=|" and order != {"little": "<", "big": ">"}[sys.byteorder]
    return f"{dtype.name}{SWAPPED}" if foreign else dtype.name


class Decoder:
    """Turns what `Encoder` made back into values.

    Args:
        members: the flat arrays.

    Example:
        >>> Decoder({"float32": np.float32([0.5, 2.0])}).decode([{"$array": ["float32", 1, [1]]}, {"$tuple": [True]}])
        [array([2.], dtype=float32), (True,)]
    """

    def __init__(self, members: Mapping[str, np.ndarray]) -> None:
        self._members = members
        self._kinds: dict[str, Callable[[Any], Any]] = {
            "$float": lambda digits: struct.unpack(">d", bytes.fromhex(digits))[0],
            "$complex": lambda parts: complex(*map(self.decode, parts)),
            "$bytes": bytes.fromhex,
            "$array": self._array,
            "$scalar": lambda place: self._array([*place, [1]])[0],
            **{name: self._collection(kind) for kind, name in _COLLECTIONS.items()},
            **{name: self._mapping(kind) for kind, name in _MAPPINGS.items()},
        }

    def decode(self, value: Any) -> Any:
        """The value.

        Errors: ValueError, KeyError, TypeError for what no `Encoder` makes.
        """
        if isinstance(value, list):
            return [self.decode(entry) for entry in value]
        if not isinstance(value, dict):
            return value
        ((kind, content),) = value.items()
        return self._kinds[kind](content)

    def _collection(self, kind: type) -> Callable[[Any], Any]:
        return lambda entries: kind(self.decode(entry) for entry in entries)

    def _mapping(self, kind: type) -> Callable[[Any], Any]:
        return lambda pairs: kind((self.decode(key), self.decode(entry)) for key, entry in pairs)

    def _array(self, place: Any) -> np.ndarray:
        member, start, shape = place
        size = math.prod(shape)
        flat = self._members[member]
        if min([start, *shape]) < 0 or start + size > len(flat):
            raise ValueError(f"entries {start} to {start + size} of {member!r}, which has {len(flat)}")
        return flat[start : start + size].reshape(shape).copy()
