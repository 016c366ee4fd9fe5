"""Records that a crash may cut off but not spoil: how the journal of a run lies in its file.

All numbers are little-endian. A header: magic, version, length of the fingerprint, the fingerprint, a BLAKE2b checksum.
Then records: a marker, the length of the content, a BLAKE2b checksum of the content, the content: program, question and
number of an evaluation, and the answer, arrays with their dtypes and shapes.

A crash leaves the beginning of a record at the end of the file, and that is cut off. Damage is told from it by the good
records that come after.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ensembles.checkpoint_error import CheckpointError

__all__ = ["Entry", "check_header", "framed", "header", "read_answer", "read_question", "scanned"]

_MAGIC = b"ensembles journal\n"
_VERSION = 1
_SUM = 16
_HEAD = struct.Struct("<IQ")  # version, bytes of the fingerprint
_MARKER = b"\xa7rec"
_FRAME = struct.Struct(f"<{len(_MARKER)}sQ{_SUM}s")  # marker, bytes of the content, checksum
_ENTRY = struct.Struct("<16s16sQ")  # program, question, number; the answer follows


class Entry(NamedTuple):
    """What a record holds.

    Attributes:
        program, question: 16 bytes each.
        number: which evaluation of the program it is.
        answer: array or tuple of arrays, uint8 for measured bits; None: there was an error.
    """

    program: bytes
    question: bytes
    number: int
    answer: Any


# writing --------------------------------------------------------------------------------------------------


def header(fingerprint: bytes) -> bytes:
    """What the file begins with."""
    body = _MAGIC + _HEAD.pack(_VERSION, len(fingerprint)) + fingerprint
    return body + _checksum(body)


def framed(entry: Entry) -> bytes:
    """An entry as a record."""
    content = _ENTRY.pack(*entry[:3]) + _encoded(entry.answer)
    return _FRAME.pack(_MARKER, len(content), _checksum(content)) + content


def _checksum(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_SUM, person=b"journal").digest()


# reading --------------------------------------------------------------------------------------------------


def read_question(file: int, offset: int) -> tuple[bytes, int]:
    """Question and number of a good record."""
    os.lseek(file, offset + _FRAME.size, os.SEEK_SET)
    _, question, number = _ENTRY.unpack(os.read(file, _ENTRY.size))
    return question, number


def read_answer(file: int, offset: int) -> Any:
    """The answer of a good record."""
    os.lseek(file, offset, os.SEEK_SET)
    _, length, _ = _FRAME.unpack(os.read(file, _FRAME.size))
    return _decoded(os.read(file, length)[_ENTRY.size :])


def scanned(path: Path, file: int, fingerprint: bytes) -> tuple[int, dict[bytes, array]]:
    """Where the good part of a file ends, and where the records of each program begin.

    Raises:
        CheckpointError: no journal, one of another ensemble or version, or a damaged one.
    """
    programs: dict[bytes, array] = {}
    expected = header(fingerprint)
    if os.fstat(file).st_size == 0:
        return 0, programs
    with mmap.mmap(file, 0, access=mmap.ACCESS_READ) as view:
        if not check_header(path, view, fingerprint):
            return 0, programs
        end = len(expected)
        for offset, following in _records(view, end):
            program, *_ = _ENTRY.unpack_from(view, offset + _FRAME.size)
            programs.setdefault(program, array("Q")).append(offset)
            end = following
        if _goes_on(view, end):
            raise CheckpointError(
                f"The journal {path} is damaged at byte {end}: good records follow what cannot be read. The file is "
                "kept as it is. Put a copy of it in its place, or give another directory to begin again."
            )
        return end, programs


def check_header(path: Path, view: mmap.mmap | bytes, fingerprint: bytes) -> bool:
    """Whether a file begins with the whole header; False if it was killed while it was made.

    Raises:
        CheckpointError: no journal, or one of another ensemble or version.
    """
    expected = header(fingerprint)
    found = view[: len(expected)]
    if found == expected or expected.startswith(found):
        return found == expected
    raise CheckpointError(_wrong_header(path, view))


def _wrong_header(path: Path, view: mmap.mmap | bytes) -> str:
    """Why a file is not the journal of this ensemble."""
    kept = "The file is kept as it is; give another directory."
    start = len(_MAGIC)
    if view[:start] != _MAGIC or len(view) < start + _HEAD.size:
        return f"The file {path} is no journal of a run. {kept}"
    version, length = _HEAD.unpack_from(view, start)
    if version != _VERSION:
        return (
            f"The journal {path} has format version {version}, but only {_VERSION} can be read here. {kept}"
        )
    stop = start + _HEAD.size + length
    if view[stop : stop + _SUM] != _checksum(view[:stop]):
        return f"The journal {path} is damaged in its header. {kept}"
    return f"The journal {path} is that of another ensemble, or of another seed. {kept}"


def _records(view: mmap.mmap, offset: int) -> Iterator[tuple[int, int]]:
    """(begin, end) of the good records from there on, up to the first that is not."""
    following = _end_of(view, offset)
    while following is not None:
        yield offset, following
        offset, following = following, _end_of(view, following)


def _end_of(view: mmap.mmap, offset: int) -> int | None:
    """Where the record at an offset ends; None if there is no good one."""
    start = offset + _FRAME.size
    if start > len(view):
        return None
    marker, length, checksum = _FRAME.unpack_from(view, offset)
    if marker != _MARKER or length < _ENTRY.size or start + length > len(view):
        return None
    content = view[start : start + length]
    return start + length if _checksum(content) == checksum else None


def _goes_on(view: mmap.mmap, offset: int) -> bool:
    """Whether there is a good record anywhere behind."""
    while (offset := view.find(_MARKER, offset + 1)) >= 0:
        if _end_of(view, offset) is not None:
            return True
    return False


# answers --------------------------------------------------------------------------------------------------

_BITS = b"bits"  # measured bits, eight in a byte
_PART = struct.Struct("<4sB")  # dtype, number of axes; then their lengths, then the data


def _encoded(answer: Any) -> bytes:
    """Arrays as bytes, exactly."""
    if answer is None:
        return b"\0"
    parts = answer if isinstance(answer, tuple) else (answer,)
    made = [bytes([2 * len(parts) + isinstance(answer, tuple)])]
    for part in parts:
        part: Any = np.asarray(part)
        if part.dtype.kind == "V":  # bfloat16 and the like, of which NumPy knows no letter
            part = part.astype(np.float64)
        is_bits = part.dtype == np.uint8
        dtype = _BITS if is_bits else part.dtype.newbyteorder("<").str.encode().ljust(4)
        made += [_PART.pack(dtype, part.ndim), struct.pack(f"<{part.ndim}Q", *part.shape)]
        made.append((np.packbits(part) if is_bits else part.astype(part.dtype.newbyteorder("<"))).tobytes())
    return b"".join(made)


def _decoded(content: bytes) -> Any:
    """What `_encoded` was given; arrays that may be written to."""
    count, is_tuple = divmod(content[0], 2)
    position, parts = 1, []
    for _ in range(count):
        dtype, axes = _PART.unpack_from(content, position)
        position += _PART.size
        shape = struct.unpack_from(f"<{axes}Q", content, position)
        position += 8 * axes
        size = int(np.prod(shape, dtype=np.int64))
        if dtype == _BITS:
            stop = position + -(-size // 8)
            bits = np.frombuffer(content[position:stop], np.uint8)
            parts.append(np.unpackbits(bits, count=size).reshape(shape))
        else:
            kind = np.dtype(dtype.decode().strip())
            stop = position + size * kind.itemsize
            parts.append(np.frombuffer(bytearray(content[position:stop]), kind).reshape(shape))
        position = stop
    if is_tuple:
        return tuple(parts)
    return parts[0] if parts else None
