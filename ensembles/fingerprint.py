"""Which ensemble a checkpoint is of: 16 bytes, the same in every process for the same ensemble and seed.

Arrays enter with their bytes. Losses of a user's own, schedules and optax transformations enter as the program that
JAX makes of them, in which everything is that they have caught from around them. What Python does while that runs
(callbacks) is not in there, so functions enter by their code, too: with what they close over, defaults, attributes, and
the numbers, circuits and functions of their module that they name. Addresses never do, nor the order of sets.
"""

from __future__ import annotations

import contextlib
import dis
import functools
import hashlib
import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ensembles.advance import advance, first_carry
from ensembles.energy_loss import Energy
from ensembles.names import Name, name_words
from ensembles.optimizers import Identity
from ensembles.program import Program, Row
from ensembles.sampled_loss import SampledEnergy
from ensembles.subjects import Hosting
from jaxsim import Circuit, PauliSum
from jaxsim.parameters import to_json

__all__ = ["described", "fingerprint"]


def fingerprint(
    names: Sequence[Name],
    programs: Sequence[Program],
    rows: Sequence[Row],
    hostings: Sequence[Hosting],
    root: np.ndarray,
) -> bytes:
    """16 bytes that say which ensemble and seed.

    Args:
        names, programs: in the ensemble's order.
        rows: of the compiled programs.
        hostings: of the hosted ones.
        root: key data of the seed.
    """
    digest = hashlib.blake2b(root.tobytes(), digest_size=16, person=b"ensembles/run/1")
    texts: dict[Any, bytes] = {}
    for name, program in zip(names, programs, strict=True):
        kind = type(program)
        digest.update(name_words(name).tobytes())
        digest.update(f"{kind.__module__}.{kind.__qualname__}".encode())
        if program.hosted:
            # Not the code of its `run`: one that was changed goes on with new questions.
            digest.update(_stable(program.optimizer))
    for row in rows:
        key = row.key
        if key not in texts:
            functions = described((row.loss, row.optimizer.static))
            texts[key] = _stable(key) + _coefficients(row) + functions + _traced(row, root)
        digest.update(texts[key])
        _enter_arrays(digest, jax.tree.leaves(row))
    for hosting in hostings:
        if hosting.subject is not None:
            digest.update(_stable(jax.tree.structure(hosting.subject.row)))
            _enter_arrays(digest, jax.tree.leaves(hosting.subject.row))
        if hosting.initial is not None:
            _enter_arrays(digest, jax.tree.leaves(hosting.initial))
    return digest.digest()


def _coefficients(row: Row) -> bytes:
    """Those inside of a circuit's expressions, of which a key prints six digits."""
    parts = jax.tree.leaves(row.data, is_leaf=lambda part: hasattr(part, "atoms"))
    return repr([to_json(atom) for part in parts for atom in getattr(part, "atoms", ())]).encode()


_OUR_OWN = (Energy, SampledEnergy)
"""Losses that are data through and through."""


def _traced(row: Row, root: np.ndarray) -> bytes:
    """What a row's loss and update rule compile to; nothing where both are ours, because then the key says it all."""
    given = any(isinstance(value, Identity) for _, value in row.optimizer.static)
    if type(row.loss.value) in _OUR_OWN and not given:
        return b""
    alone = jax.tree.map(lambda leaf: np.asarray(leaf)[None], row)
    text = advance.lower(alone, first_carry([row], root), np.int32(1), np.int32(1)).as_text()
    return hashlib.blake2b(text.encode(), digest_size=32).digest()


def _enter_arrays(digest: Any, leaves: Iterable[Any]) -> None:
    for leaf in leaves:
        array = np.ascontiguousarray(leaf)
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.data if array.size else b"")


def _stable(static: Any) -> bytes:
    """A text for something static, without the addresses that differ from process to process."""
    return re.sub(r"(at )?0x[0-9a-f]+", "", repr(static)).encode()


def described(value: Any) -> bytes:
    """Anything a loss or an update rule may be made of, as 32 bytes.

    Example:
        >>> def scaled(factor):
        ...     return lambda x, data, key: factor * (x**2).sum()
        >>> described(scaled(1)) == described(scaled(1)), described(scaled(1)) == described(scaled(2))
        (True, False)
    """
    return _digest(value, ())


def _digest(value: Any, inside: tuple[int, ...]) -> bytes:
    if id(value) in inside:  # a function that calls itself, a list that holds itself
        return b"itself"
    kind = next((row for row in _KINDS if isinstance(value, row[0])), None)
    parts = _parts_of_any(value) if kind is None else kind[1](value)
    # 30 and 30.0 are the same number: some schedules of optax change their own from the one to the other.
    number = isinstance(value, int | float)
    digest = hashlib.blake2b(b"number" if number else type(value).__qualname__.encode(), digest_size=32)
    below = (*inside, id(value))
    found = (part if isinstance(part, bytes) else _digest(part, below) for part in parts)
    for part in sorted(found) if isinstance(value, set | frozenset) else found:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.digest()


def _parts_of_array(array: Any) -> Iterator[bytes]:
    array = np.asarray(array)
    yield f"{array.dtype}{array.shape}".encode()
    yield _stable(array) if array.dtype == object else array.tobytes()


def _parts_of_number(number: Any) -> list[bytes]:
    with contextlib.suppress(OverflowError):
        if float(number) == number:
            return [repr(float(number)).encode()]
    return [repr(number).encode()]


def _parts_of_code(code: types.CodeType) -> list[Any]:
    return [code.co_code, _stable(code.co_names), list(code.co_consts)]


def _parts_of_any(value: Any) -> Iterator[Any]:
    if not callable(value):
        yield _stable(value)
        return
    yield _stable(getattr(value, "__qualname__", ""))
    for name in ("__code__", "__defaults__", "__kwdefaults__", "__wrapped__"):
        yield getattr(value, name, None)
    for cell in getattr(value, "__closure__", None) or ():
        with contextlib.suppress(ValueError):  # an empty cell
            yield cell.cell_contents
    yield _public(value)
    if isinstance(value, types.FunctionType):
        yield _globals(value)


def _public(value: Any) -> dict[str, Any]:
    """Attributes of an object; not private ones, which may be caches."""
    return {name: own for name, own in getattr(value, "__dict__", {}).items() if not name.startswith("_")}


def _globals(function: types.FunctionType) -> dict[str, Any]:
    """What a function names in its module: numbers, arrays, circuits, and functions of the same module."""

    def names(code: types.CodeType) -> Iterator[str]:
        yield from (i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL")
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                yield from names(constant)

    found = {name: function.__globals__.get(name) for name in sorted(set(names(function.__code__)))}
    return {name: value for name, value in found.items() if _counts(value, function.__module__)}


def _counts(value: Any, module: str) -> bool:
    if isinstance(value, types.FunctionType):
        return value.__module__ == module
    return isinstance(value, bool | int | float | complex | str | list | tuple | dict | _Arrays | _Written)


_Arrays = np.ndarray | np.generic | jax.Array
_Written = Circuit | PauliSum

_KINDS: list[tuple[Any, Callable[[Any], Iterable[Any]]]] = [
    (_Arrays, _parts_of_array),
    (int | float, _parts_of_number),
    (types.CodeType, _parts_of_code),
    (Identity, lambda identity: [identity.value]),
    (_Written, lambda written: [written.to_json().encode()]),
    (Mapping, lambda mapping: [[key, value] for key, value in mapping.items()]),
    (list | tuple | set | frozenset, lambda many: many),
    (functools.partial, lambda partial: [partial.func, partial.args, partial.keywords]),
    (types.MethodType, lambda method: [method.__func__, _public(method.__self__)]),
    (type | types.ModuleType, lambda named: [named.__name__.encode()]),
]
"""What something consists of: bytes, or further values."""
