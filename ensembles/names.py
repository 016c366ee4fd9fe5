"""Names of programs: what they may be, how they sort, and the random words that belong to them.

A program's random keys fold in words computed from its name, never its position: adding, removing or
reordering programs changes nothing for the others. The words are BLAKE2b of a typed encoding, so they are the
same in every process and version, and 1 differs from "1".
"""

from __future__ import annotations

import hashlib
import numbers
import operator
import re
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import UInt32

__all__ = ["Name", "check_name", "display_name", "name_words", "natural_key"]

Name: TypeAlias = "str | int | tuple[Name, ...]"

_DIGITS = re.compile(r"([0-9]+)")
# Part of the hash, so that another use of BLAKE2b on the same bytes gives unrelated words.
_PERSON = b"ensembles/name/1"


def check_name(name: Any) -> Name:
    """The name in normal form: a str, an int, or a tuple of names.

    Args:
        name: a string, an integer (NumPy's become int), or a tuple of these, nested if need be.

    Errors: TypeError for anything else (True and False too), ValueError for an empty string.

    Example:
        >>> import numpy as np
        >>> check_name(("H2", np.int64(3)))
        ('H2', 3)
    """
    if isinstance(name, str):
        if not name:
            raise ValueError(
                "Program name: an empty string was given; give every program a name that can be read."
            )
        # str.__str__ and not str: members of a str Enum print as their class otherwise.
        return str.__str__(name)
    if isinstance(name, tuple):
        return tuple(check_name(part) for part in name)
    if isinstance(name, numbers.Integral) and not isinstance(name, (bool, np.bool_)):
        return operator.index(name)
    advice = "Write it as text, for example" if isinstance(name, numbers.Real) else "Use for example"
    raise TypeError(
        f"Program name: {name!r} of type {type(name).__name__} was given, but a name is a string, an "
        f"integer, or a tuple of them. {advice} {_suggestion(name)}."
    )


def _suggestion(name: Any) -> str:
    if isinstance(name, list):
        return f"tuple({name!r})"
    return repr(str(name)) if isinstance(name, (numbers.Real, np.bool_)) else "'program 0'"


def name_words(name: Any) -> UInt32[np.ndarray, "4"]:
    """Four uint32 words that belong to a name, the same in every process, on every machine, in every version.

    Errors: as `check_name`.

    Example:
        >>> name_words("a").tolist() == name_words(("a",)).tolist()
        False
    """
    digest = hashlib.blake2b(_encoded(check_name(name)), digest_size=16, person=_PERSON).digest()
    return np.frombuffer(digest, "<u4").astype(np.uint32)


def _encoded(name: Name) -> bytes:
    """A prefix-free encoding: type, then length, then content."""
    if isinstance(name, str):
        content = name.encode("utf-8", "surrogatepass")
        return b"s" + len(content).to_bytes(8, "little") + content
    if isinstance(name, int):
        content = name.to_bytes(name.bit_length() // 8 + 1, "little", signed=True)
        return b"i" + len(content).to_bytes(8, "little") + content
    return b"t" + len(name).to_bytes(8, "little") + b"".join(map(_encoded, name))


def natural_key(name: Name) -> tuple[Any, ...]:
    """A sort key: integers by value, then strings with their numbers by value, then tuples part by part.

    Example:
        >>> sorted(["p10", ("a", 1), "p2", 7], key=natural_key)
        [7, 'p2', 'p10', ('a', 1)]
    """
    if isinstance(name, str):
        # A split by digits alternates text and numbers, so equal positions hold comparable things. Numbers
        # compare by length, then digits: int() refuses very long ones.
        parts: list[Any] = _DIGITS.split(name)
        parts[1::2] = [(len(digits := part.lstrip("0")), digits) for part in parts[1::2]]
        return (1, tuple(parts), name)
    if isinstance(name, int):
        return (0, name)
    return (2, tuple(natural_key(part) for part in name))


def display_name(name: Name) -> str:
    """A name as tables and plots show it: text as it is, tuples with commas.

    Example:
        >>> display_name(("H2", 0, ("seed", 1)))
        'H2, 0, (seed, 1)'
    """
    if isinstance(name, str):
        return name if name.isprintable() else repr(name)[1:-1]
    if isinstance(name, int):
        return str(name)
    return ", ".join(
        f"({display_name(part)})" if isinstance(part, tuple) else display_name(part) for part in name
    )
