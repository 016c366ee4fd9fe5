"""What names say: the fields in the names of sweeps and the parts of tuples, and groups of programs by them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

from ensembles.names import Name, display_name

__all__ = ["GroupBy", "NumberOf", "fields_of", "labels_of", "numbers_of"]

GroupBy = str | Callable[[Name], Hashable] | Mapping[Name, Hashable]
"""Which group a program is in: a field of the names, a function of the name, or name -> group."""

NumberOf = str | Callable[[Name], float] | Mapping[Name, float]
"""A number of a program: a field of the names, a function of the name, or name -> number."""

_FIELD = re.compile(r"[^\W\d]\w*=")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?inf|nan")
_WORDS = {"True": True, "False": False, "None": None}


def fields_of(name: Name) -> dict[str, Any]:
    """The fields of a name, as `sweep` writes them; of a tuple also its parts.

    Example:
        >>> fields_of("learning_rate=0.1,seed=3")
        {'learning_rate': 0.1, 'seed': 3}
        >>> fields_of(("r=0.74", "adam", 2))
        {'r': 0.74, 'name[1]': 'adam', 'name[2]': 2}
        >>> fields_of("optimizer=sgd(0.1, momentum=0.9),seed=0")
        {'optimizer': 'sgd(0.1, momentum=0.9)', 'seed': 0}
        >>> fields_of("graph 7")
        {}
    """
    if isinstance(name, str):
        return _fields_of_text(name)
    if not isinstance(name, tuple):
        return {}
    found: dict[str, Any] = {}
    for k, part in enumerate(name):
        own = _fields_of_text(part) if isinstance(part, str) else {}
        if own and not own.keys() & found.keys():
            found.update(own)
        else:
            found[f"name[{k}]"] = display_name(part) if isinstance(part, tuple) else part
    return found


def _fields_of_text(text: str) -> dict[str, Any]:
    pieces: list[str] = []
    for piece in _split(text):
        if _FIELD.match(piece):
            pieces.append(piece)
        elif pieces:  # a comma inside a value
            pieces[-1] += f",{piece}"
        else:
            return {}
    found = {field: _value(value) for field, value in (piece.split("=", 1) for piece in pieces)}
    return found if len(found) == len(pieces) else {}


def _split(text: str) -> list[str]:
    """The text at its commas, but for those in brackets."""
    pieces, depth = [""], 0
    for character in text:
        depth = max(0, depth + (character in "([{") - (character in ")]}"))
        if character == "," and not depth:
            pieces.append("")
        else:
            pieces[-1] += character
    return pieces


def _value(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text


# what users give ------------------------------------------------------------------------------------------


def labels_of(given: Any, names: Iterable[Name], what: str) -> dict[Name, Any]:
    """The group of every program.

    Args:
        given: as `GroupBy`.
        names: of the programs.
        what: where it was given, for messages.

    Errors: TypeError for anything else, and for groups that are not hashable; ValueError for a field that a name lacks
    or a name that the mapping lacks.
    """
    names = list(names)
    if not isinstance(given, str | Mapping) and not callable(given):
        raise TypeError(
            f"{what} is a field of the names such as 'learning_rate', a function of a name, or a mapping from names, "
            f"but {given!r:.60} was given."
        )
    found = {name: _looked_up(given, name, names, what) for name in names}
    for name, label in found.items():
        try:
            hash(label)
        except TypeError:
            raise TypeError(
                f"{what}: the group of {name!r} is {label!r:.60}, which is not hashable; take text, numbers or tuples."
            ) from None
    return found


def numbers_of(given: Any, names: Iterable[Name], what: str) -> dict[Name, float]:
    """A real number for every program; arguments as for `labels_of`.

    Errors: as there; TypeError for what is no number, ValueError for NaN and infinity.
    """
    found = labels_of(given, names, what)
    for name, number in found.items():
        try:
            found[name] = math.nan if isinstance(number, str | bool) else float(number)
        except (TypeError, ValueError):
            found[name] = math.nan
        if not math.isfinite(found[name]):
            raise ValueError(f"{what}: for {name!r} it is {number!r:.60}, but a finite number is needed.")
    return found


def _looked_up(given: Any, name: Name, names: list[Name], what: str) -> Any:
    if isinstance(given, str):
        fields = fields_of(name)
        if given not in fields:
            known = list(dict.fromkeys(field for other in names for field in fields_of(other)))
            raise ValueError(
                f"{what}: the name {name!r} has no field {given!r}. "
                + (
                    f"Fields of the names are {', '.join(map(repr, known[:12]))}."
                    if known
                    else "No name has fields, as 'r=0.74,seed=3' would; give a function of the name, or a mapping."
                )
            )
        return fields[given]
    if isinstance(given, Mapping):
        if name not in given:
            missing = sum(other not in given for other in names)
            raise ValueError(
                f"{what}: the mapping has no entry for {name!r} ({missing} missing in all); give one for every program."
            )
        return given[name]
    return given(name)
