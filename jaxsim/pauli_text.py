"""Pauli sums as text: dense labels, sparse labels, words such as "Z0 X3", JSON. NumPy only."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxsim.pauli_words import MAX_WIRES

if TYPE_CHECKING:
    from jaxsim.pauli_words import Masks

_JSON_TYPE = "jaxsim.PauliSum"
_SHOWN_TERMS = 8

# Letter number = x bit + 2 * z bit.
_LETTERS = "IXZY"
_NUMBER_OF_BYTE = np.full(256, 255, np.uint8)
_NUMBER_OF_BYTE[np.frombuffer(_LETTERS.encode(), np.uint8)] = np.arange(4)
_FACTOR = re.compile(r"([IXYZ])(\d+)")


def columns(terms: Any, width: int, caller: str, row: str) -> list[list[Any]]:
    """Columns of rows such as (label, coefficient); a mapping gives its items. `row` says what a row must be.

    >>> columns({"X0": 1, "Z1": 2}, 2, "from_terms", "(word, coefficient)")
    [['X0', 'Z1'], [1, 2]]
    """
    rows = list(terms.items() if isinstance(terms, Mapping) else terms)
    if not rows:
        raise ValueError(f"{caller}: at least one term is needed; the zero operator is written 0 * I().")
    for k, entry in enumerate(rows):
        if not isinstance(entry, (tuple, list)) or len(entry) != width:
            raise ValueError(f"{caller}: every term must be {row}, but term {k} is {entry!r}.")
    return [list(column) for column in zip(*rows)]


def checked_wire(wire: Any, caller: str) -> int:
    """The wire as an int.

    Errors: TypeError for anything but an integer, ValueError outside 0 to 29.

    >>> checked_wire(3, "X")
    3
    """
    try:
        if isinstance(wire, (bool, np.bool_)):
            raise TypeError
        index = operator.index(wire)
    except TypeError:
        raise TypeError(
            f"{caller}: a wire must be an integer from 0 to {MAX_WIRES - 1}, but {wire!r} of type "
            f"{type(wire).__name__} was given."
        ) from None
    if not 0 <= index < MAX_WIRES:
        raise ValueError(
            f"{caller}: wire {index} is out of range; an observable's wires go from 0 to {MAX_WIRES - 1}, "
            f"because its bit masks hold at most {MAX_WIRES} qubits."
        )
    return index


def masks_of_labels(labels: Sequence[str], caller: str) -> tuple[Masks, Masks]:
    """Masks (x, z) of dense labels, all of one length; the rightmost character acts on qubit 0, as in Qiskit.

    >>> x, z = masks_of_labels(["XIZ", "IYI"], "from_list")
    >>> x.tolist(), z.tolist()
    ([4, 2], [1, 2])
    """
    for k, label in enumerate(labels):
        if not isinstance(label, str):
            raise TypeError(
                f"{caller}: label {k} must be a string such as 'XIZ', but {label!r} of type "
                f"{type(label).__name__} was given."
            )
        if len(label) != len(labels[0]):
            raise ValueError(
                f"{caller}: all labels must have the same length, one character a qubit, but label {k} "
                f"({label!r}) has {len(label)} and label 0 ({labels[0]!r}) has {len(labels[0])}. Fill up "
                f"with 'I', or use from_sparse."
            )
    width = len(labels[0])
    if width > MAX_WIRES:
        raise ValueError(
            f"{caller}: labels may have at most {MAX_WIRES} characters (qubits), but these have {width}."
        )
    text = np.frombuffer("".join(labels).encode("ascii", "replace"), np.uint8).reshape(len(labels), width)
    numbers = _NUMBER_OF_BYTE[text]
    wrong = np.flatnonzero((numbers == 255).any(axis=1))
    if wrong.size:
        raise ValueError(
            f"{caller}: label {wrong[0]} ({labels[wrong[0]]!r}) has characters other than I, X, Y, Z "
            f"(capital letters)."
        )
    weights = 1 << np.arange(width)[::-1]
    x, z = (numbers & 1) @ weights, (numbers >> 1) @ weights
    return x.astype(np.int32), z.astype(np.int32)


def masks_of_factors(factors: Iterable[Iterable[tuple[str, Any]]], caller: str) -> tuple[Masks, Masks]:
    """Masks (x, z) of words given as factors (letter, wire); a wire may occur once in a word.

    >>> x, z = masks_of_factors([[("Z", 0), ("Y", 3)], []], "from_sparse")
    >>> x.tolist(), z.tolist()
    ([8, 0], [9, 0])
    """
    rows = []
    for k, word in enumerate(factors):
        x = z = seen = 0
        for letter, wire in word:
            number = _LETTERS.find(letter)
            if number < 0:
                raise ValueError(
                    f"{caller}: term {k} has the character {letter!r}; allowed are I, X, Y and Z."
                )
            bit = 1 << checked_wire(wire, f"{caller}, term {k}")
            if seen & bit:
                raise ValueError(
                    f"{caller}: term {k} names wire {int(wire)} twice; a wire may occur once in a word. "
                    f"Products such as X(0) @ Z(0) are written with @."
                )
            seen |= bit
            x |= bit * (number & 1)
            z |= bit * (number >> 1)
        rows.append((x, z))
    masks = np.array(rows, np.int32).reshape(-1, 2)
    return masks[:, 0].copy(), masks[:, 1].copy()


def masks_of_sparse_labels(labels: Sequence[Any], wires: Sequence[Any], caller: str) -> tuple[Masks, Masks]:
    """Masks (x, z) of sparse labels: character k of a label acts on wires[k] of its wires.

    >>> x, z = masks_of_sparse_labels(["ZY"], [[0, 3]], "from_sparse")
    >>> x.tolist(), z.tolist()
    ([8], [9])
    """
    for k, (label, places) in enumerate(zip(labels, wires)):
        if not isinstance(label, str) or not hasattr(places, "__len__") or len(label) != len(places):
            raise ValueError(
                f"{caller}: term {k} has the label {label!r} and the wires {places!r}; a label is a string "
                f"with one character for each wire of the list."
            )
    return masks_of_factors((zip(label, places) for label, places in zip(labels, wires)), caller)


def factors_of_text(text: Any, caller: str) -> list[tuple[str, int]]:
    """Factors of a word such as "Z0 X3"; "I" and "" are the identity.

    >>> factors_of_text("Z0 X3", "from_terms")
    [('Z', 0), ('X', 3)]
    """
    parts = text.split() if isinstance(text, str) else [""]
    matches = [_FACTOR.fullmatch(part) for part in parts if part != "I"]
    if not all(matches):
        raise ValueError(
            f"{caller}: {text!r} is not a Pauli word; write letters with wires, apart by blanks, such as "
            f"'Z0 X3', or 'I' for the identity."
        )
    return [(match[1], int(match[2])) for match in matches if match]


def word_of_masks(x: int, z: int) -> str:
    """The word as text.

    >>> word_of_masks(0b1000, 0b1001), word_of_masks(0, 0)
    ('Z0 Y3', 'I')
    """
    used = x | z
    wires = [q for q in range(used.bit_length()) if used >> q & 1]
    return " ".join(f"{_LETTERS[(x >> q & 1) + 2 * (z >> q & 1)]}{q}" for q in wires) or "I"


def labels_of_masks(x: Masks, z: Masks, num_wires: int) -> list[str]:
    """Dense labels of `num_wires` characters, the rightmost for qubit 0.

    >>> labels_of_masks(np.array([4, 2], np.int32), np.array([1, 2], np.int32), 3)
    ['XIZ', 'IYI']
    """
    shifts = np.arange(num_wires)[::-1]
    numbers = (x[:, None] >> shifts & 1) + 2 * (z[:, None] >> shifts & 1)
    text = np.frombuffer(_LETTERS.encode(), np.uint8)[numbers].tobytes().decode()
    return [text[k : k + num_wires] for k in range(0, len(text), num_wires)] if num_wires else [""] * len(x)


def number_text(number: complex) -> str:
    """A coefficient in at most six digits, in parentheses where both parts count.

    >>> number_text(1 / 3), number_text(2j), number_text(1 - 0.5j)
    ('0.333333', '2j', '(1.0-0.5j)')
    """
    real, imaginary = (repr(float(f"{part:.6g}")) for part in (number.real, number.imag))
    if not number.imag:
        return real
    imaginary = imaginary.removesuffix(".0") + "j"
    return imaginary if not number.real else f"({real}{'' if imaginary[0] == '-' else '+'}{imaginary})"


def sum_text(x: Masks, z: Masks, values: np.ndarray | None) -> str:
    """The sum in one line, at most 8 terms; "?" for coefficients that are not known.

    >>> sum_text(np.int32([0, 4]), np.int32([3, 0]), np.array([1.0, -0.5]))
    '1.0*Z0 Z1 - 0.5*X2'
    """
    words = map(word_of_masks, x[:_SHOWN_TERMS].tolist(), z[:_SHOWN_TERMS].tolist())
    numbers = ["?"] * x.size if values is None else map(number_text, values[:_SHOWN_TERMS].tolist())
    text = " + ".join(f"{number}*{word}" for number, word in zip(numbers, words)).replace("+ -", "- ")
    return text if x.size <= _SHOWN_TERMS else f"{text} + ... ({x.size:,} terms)"


def json_text(words: Sequence[str], values: np.ndarray) -> str:
    """JSON of words and coefficients, exact to the last bit.

    >>> json_text(["Z0"], np.array([0.5]))
    '{"type": "jaxsim.PauliSum", "version": 1, "words": ["Z0"], "coefficients": [0.5]}'
    """
    data = {"type": _JSON_TYPE, "version": 1, "words": list(words), "coefficients": np.real(values).tolist()}
    if np.iscomplexobj(values):
        data["imaginary"] = np.imag(values).tolist()
    return json.dumps(data)


def terms_of_json(data: str | Mapping[str, Any]) -> tuple[list[str], np.ndarray]:
    """Words and coefficients of what `json_text` wrote, as text or as the dict it stands for.

    Errors: ValueError for other data.

    >>> terms_of_json(json_text(["Z0"], np.array([0.5j])))
    (['Z0'], array([0.+0.5j]))
    """
    found: Any = json.loads(data) if isinstance(data, str) else data
    expected = {"type": _JSON_TYPE, "version": 1}
    if not isinstance(found, Mapping) or any(found.get(key) != value for key, value in expected.items()):
        raise ValueError(
            f"from_json: the data is not a PauliSum as to_json writes it; an object with {expected}, "
            f"'words' and 'coefficients' is needed."
        )
    missing = [key for key in ("words", "coefficients") if key not in found]
    if missing:
        raise ValueError(f"from_json: the data has no {missing[0]!r}; write it with to_json.")
    words, coefficients = list(found["words"]), np.asarray(found["coefficients"])
    if "imaginary" in found:
        coefficients = coefficients + 1j * np.asarray(found["imaginary"])
    if coefficients.shape != (len(words),):
        raise ValueError(
            f"from_json: every word needs one coefficient, but there are {len(words)} words and "
            f"coefficients of shape {coefficients.shape}."
        )
    return words, coefficients
