"""Results in a file of an open format: a zip archive of JSON and NumPy arrays.

``result.json``
    {"format": "ensembles.EnsembleResult", "version": 1, "package": version of the package that wrote it,
    "stats": {field: value}, "programs": [{field: value}, ...]}, the fields being those of `Stats` and `ProgramResult`,
    values as `ensembles.encoding` says; an error is {"type": name of its class, "text": its text}.
``float32.npy``, ``float64.npy``, ...
    all arrays of a dtype, laid one after the other. ``numpy.load`` of the file shows them.

The version goes up when older packages could not read a file right. No part is a pickle.
"""

from __future__ import annotations

import builtins
import io
import json
import os
import secrets
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import jaxsim
from ensembles.encoding import SWAPPED, Decoder, Encoder, NotStorableError

if TYPE_CHECKING:
    from ensembles.result import ProgramResult, Stats

__all__ = ["FORMAT", "VERSION", "StoredError", "load_result", "save_result"]

FORMAT = "ensembles.EnsembleResult"
VERSION = 1

_CONTENT = "result.json"
_ARRAY = ".npy"
_THEN = (1980, 1, 1, 0, 0, 0)  # the time of every member: equal results make equal files
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_DAMAGED = (
    zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, KeyError, IndexError,
    TypeError, AttributeError, OverflowError, OSError,
)  # fmt: skip
"""What reading a damaged archive raises."""


class _ForeignError(ValueError):
    """Whole, but nothing that could be read here."""


class StoredError(RuntimeError):
    """The error of a program in a loaded result, where its class is known by name only.

    Attributes:
        type_name: the name of its class.
    """

    def __init__(self, type_name: str, text: str) -> None:
        super().__init__(text)
        self.type_name = type_name

    def __reduce__(self) -> tuple[Any, ...]:
        return (StoredError, (self.type_name, str(self)))


def _check_path(who: str, given: Any) -> None:
    if not isinstance(given, str | os.PathLike) or not os.fspath(given):
        raise TypeError(f"{who}: name a file, as in {who}('night.result'), but {given!r:.60} was given.")


# writing --------------------------------------------------------------------------------------------------


def save_result(path: str | Path, results: Sequence[ProgramResult], stats: Stats) -> None:
    """Writes a file as `EnsembleResult.save` says."""
    _check_path("save", path)
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"save: {str(path)!r} is a directory; name a file in it.")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"save: there is no directory {str(target.parent)!r}; make it first.")
    encoder = Encoder()
    content = {
        "format": FORMAT,
        "version": VERSION,
        "package": jaxsim.__version__,
        "stats": {f.name: encoder.encode(getattr(stats, f.name)) for f in fields(stats)},
        "programs": [_encoded(result, encoder) for result in results],
    }
    _write(target, content, encoder.members())


def _encoded(result: ProgramResult, encoder: Encoder) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    for f in fields(result):
        value = getattr(result, f.name)
        if f.name == "error":
            entry[f.name] = None if value is None else {"type": error_type(value), "text": str(value)}
        elif f.name == "extra":
            entry[f.name] = {key: _stored(result, key, own, encoder) for key, own in value.items()}
        else:
            entry[f.name] = _stored(result, f.name, value, encoder)
    return entry


def _stored(result: ProgramResult, key: Any, value: Any, encoder: Encoder) -> Any:
    if type(key) is not str:
        raise TypeError(
            f"save: program {result.name!r} has an extra entry under {key!r:.60}; entries need names."
        )
    try:
        return encoder.encode(value)
    except NotStorableError as error:
        raise TypeError(
            f"save: entry {key!r} of program {result.name!r} is or holds {error}, which has no place in the file. "
            "Numbers, text, bytes, True, False, None, arrays, and lists, tuples, dicts and sets of those have. Nothing "
            "was written."
        ) from None


def error_type(error: BaseException) -> str:
    """The name of an error's class, that of the original for one that was loaded."""
    return error.type_name if isinstance(error, StoredError) else type(error).__name__


def _write(target: Path, content: Any, members: Mapping[str, np.ndarray]) -> None:
    """Beside the target first, then in its place, so that there is always a whole file."""
    # A name of its own in the same directory: a move between file systems would not be atomic.
    beside = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
    try:
        with open(beside, "xb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as archive:
                text = json.dumps(content, allow_nan=False, separators=(",", ":"))
                archive.writestr(_member(_CONTENT), text)
                for name, array in members.items():
                    buffer = io.BytesIO()
                    np.lib.format.write_array(buffer, array, allow_pickle=False)
                    archive.writestr(_member(name + _ARRAY), buffer.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, _THEN)
    member.compress_type = zipfile.ZIP_DEFLATED
    member.external_attr = 0o644 << 16
    return member


# reading --------------------------------------------------------------------------------------------------


def load_result(path: str | Path) -> tuple[list[ProgramResult], Stats]:
    """Reads a file as `EnsembleResult.load` says."""
    _check_path("load", path)
    shown = repr(str(path))
    with open(path, "rb") as file:
        if file.read(4) not in _ZIP:
            raise ValueError(
                f"load: {shown} is not a saved result; those are zip archives that EnsembleResult.save wrote."
            )
        try:
            with zipfile.ZipFile(file) as archive:
                return _from_archive(archive, shown)
        except _ForeignError:
            raise
        except _DAMAGED as error:
            raise ValueError(
                f"load: {shown} is damaged or cut short ({type(error).__name__}: {error}). It was left as it is."
            ) from error


def _from_archive(archive: zipfile.ZipFile, shown: str) -> tuple[list[ProgramResult], Stats]:
    names = archive.namelist()
    if _CONTENT not in names:
        raise _ForeignError(f"load: {shown} is a zip archive, but no saved result: it has no {_CONTENT}.")
    content = json.loads(archive.read(_CONTENT))
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise _ForeignError(f"load: {shown} holds something else than the result of an ensemble.")
    version = content.get("version")
    if version != VERSION:
        raise _ForeignError(
            f"load: {shown} is of format version {version}, written by jaxsim-ensembles {content.get('package')}, but "
            f"this is jaxsim-ensembles {jaxsim.__version__}, which reads version {VERSION}. Update the package."
        )
    # Reading a member to its end compares its checksum.
    arrays = [name for name in names if name.endswith(_ARRAY)]
    decoder = Decoder({name.removesuffix(_ARRAY): _array(archive.read(name), name) for name in arrays})
    programs = [_decoded(entry, decoder) for entry in content["programs"]]
    return programs, _stats(content["stats"], decoder)


def _array(content: bytes, name: str) -> np.ndarray:
    """A member, in the byte order of this machine unless its name says otherwise."""
    array = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    if not name.removesuffix(_ARRAY).endswith(SWAPPED):
        return native
    return native.astype(native.dtype.newbyteorder("S"))


def _decoded(entry: dict[str, Any], decoder: Decoder) -> ProgramResult:
    from ensembles.result import ProgramResult

    error = entry["error"]
    found = {key: decoder.decode(value) for key, value in entry.items() if key not in ("error", "extra")}
    found["extra"] = {key: decoder.decode(value) for key, value in entry["extra"].items()}
    found["error"] = None if error is None else _error(str(error["type"]), str(error["text"]))
    return ProgramResult(**found)


def _stats(entry: dict[str, Any], decoder: Decoder) -> Stats:
    from ensembles.result import Stats

    return Stats(**{key: decoder.decode(value) for key, value in entry.items()})


def _error(type_name: str, text: str) -> Exception:
    """Python's own errors as themselves, if they print as they did; others as `StoredError`."""
    kind = getattr(builtins, type_name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        try:
            error = kind(text)
        except Exception:  # some take more than a text
            return StoredError(type_name, text)
        if type(error).__name__ == type_name and str(error) == text:
            return error
    return StoredError(type_name, text)
