"""Checkpoints of a run: what compiled programs need to go on, in a file that is whole at every moment.

A file is written beside its name, forced to the disk and then renamed, so that whatever kills the process leaves
either the old one or the new one. It has a header in plain text (format, versions, which ensemble, a checksum) and the
arrays as NumPy's npz, which needs no pickle. Results do not depend on batching, so a run may go on with another
`BatchConfig`; that it ends with the same bits needs the same ensemble, seed, machine and versions.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import platform
import re
import time
import types
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

import jaxsim
from ensembles.checkpoint_error import CheckpointError
from ensembles.names import Name, name_words
from ensembles.program import Program, Row
from ensembles.subjects import Hosting

__all__ = ["Checkpoint", "fingerprint"]

_MAGIC = b"ensembles checkpoint\n"
_FORMAT = 1
_FILE = "programs.checkpoint"

_SHARE_OF_TIME = 0.05
"""Saving takes no more of the time than this: a large run is saved less often."""


class Checkpoint:
    """The checkpoint of one run, in a directory of its own.

    Args:
        directory: made if need be.
        seconds: time between savings, at least; more if saving takes long.
        calls: compiled calls between savings; None: time alone decides.

    Attributes:
        fingerprint: 16 bytes that say which ensemble and seed; to be set before anything is loaded or saved.

    Raises:
        CheckpointError: a directory that cannot be written.
    """

    fingerprint = bytes(16)

    def __init__(self, directory: str | os.PathLike[str], seconds: float, calls: int | None) -> None:
        self.directory = Path(directory)
        self.path = self.directory / _FILE
        self._seconds, self._calls = seconds, calls
        self._pause, self._last_time, self._last_calls = seconds, time.monotonic(), 0
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            for left in self.path.parent.glob(f".{_FILE}.*"):
                left.unlink()
            trial = self._beside()
            trial.write_bytes(b"")
            trial.unlink()
        except OSError as error:
            raise CheckpointError(
                f"checkpoint_dir: {os.fspath(directory)!r} cannot be written: {error.strerror or error}. Give a "
                "directory that can."
            ) from error

    def _beside(self) -> Path:
        return self.path.with_name(f".{_FILE}.{os.getpid()}")

    def due(self, calls: int) -> bool:
        """Whether it is time to save.

        Args:
            calls: compiled calls made so far.
        """
        often = self._calls is not None and calls - self._last_calls >= self._calls
        return often or time.monotonic() - self._last_time >= self._pause

    def save(self, arrays: Mapping[str, np.ndarray], calls: int) -> None:
        """Puts arrays into the file, in place of what is there.

        Raises:
            CheckpointError: the file cannot be written; the old one is kept.
        """
        begun = time.monotonic()
        buffer = io.BytesIO()
        np.savez(buffer, **dict(arrays))  # type: ignore[arg-type]
        payload = buffer.getbuffer()
        header = {**self._expected(), "bytes": len(payload), "blake2b": _digest(payload)}
        trial = self._beside()
        try:
            with open(trial, "wb") as file:
                file.write(_MAGIC + json.dumps(header).encode() + b"\n")
                file.write(payload)
                file.flush()
                os.fsync(file.fileno())
            os.replace(trial, self.path)
            _sync_directory(self.path.parent)
        except OSError as error:
            with contextlib.suppress(OSError):
                trial.unlink()
            raise CheckpointError(
                f"The checkpoint {self.path} cannot be written: {error.strerror or error}. The one before is kept."
            ) from error
        self._last_time, self._last_calls = time.monotonic(), calls
        self._pause = max(self._seconds, (self._last_time - begun) / _SHARE_OF_TIME)

    def load(self) -> dict[str, np.ndarray] | None:
        """The arrays in the file; None if there is none yet.

        Raises:
            CheckpointError: a file that is damaged, no checkpoint, or of another ensemble or version; it is kept.
        """
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CheckpointError(
                f"The checkpoint {self.path} cannot be read: {error.strerror or error}."
            ) from error
        header, payload = self._parts(data)
        self._compare(header)
        with np.load(io.BytesIO(payload), allow_pickle=False) as file:
            return dict(file)

    def _parts(self, data: bytes) -> tuple[dict[str, Any], bytes]:
        damaged = CheckpointError(
            f"The checkpoint {self.path} is damaged or no checkpoint. It is kept; move it away to begin from the start."
        )
        if not data.startswith(_MAGIC):
            raise damaged
        line, _, payload = data[len(_MAGIC) :].partition(b"\n")
        try:
            header = json.loads(line)
            whole = header["bytes"] == len(payload) and header["blake2b"] == _digest(payload)
        except (ValueError, KeyError, TypeError):
            raise damaged from None
        # A newer format may have another checksum: say so rather than that it is damaged.
        if not whole and header.get("format") == _FORMAT:
            raise damaged
        return header, payload

    def _expected(self) -> dict[str, Any]:
        return {"format": _FORMAT, "ensemble": self.fingerprint.hex(), **_surroundings()}

    def _compare(self, header: Mapping[str, Any]) -> None:
        advice = "Give another checkpoint_dir, or move the file away to begin from the start; it is kept."
        expected = self._expected()
        if header.get("format") != _FORMAT:
            raise CheckpointError(
                f"The checkpoint {self.path} has format {header.get('format')}, but this version of ensembles "
                f"({jaxsim.__version__}) reads format {_FORMAT}. {advice}"
            )
        for name in _surroundings():
            if header.get(name) != expected[name]:
                raise CheckpointError(
                    f"The checkpoint {self.path} was made with {name} {header.get(name)!r}, but this is "
                    f"{expected[name]!r}: the run would not end with the same numbers. {advice}"
                )
        if header.get("ensemble") != expected["ensemble"]:
            raise CheckpointError(
                f"The checkpoint {self.path} is of another ensemble or seed: names, programs, steps, starting points "
                f"and the seed must be the same. {advice}"
            )


def _surroundings() -> dict[str, Any]:
    """What decides the last bits of a result besides the ensemble."""
    return {
        "ensembles": jaxsim.__version__,
        "jax": jax.__version__,
        "platform": jax.default_backend(),
        "machine": platform.machine(),
        "jax_enable_x64": bool(jax.config.read("jax_enable_x64")),
    }


def _digest(data: Any) -> str:
    return hashlib.blake2b(data, digest_size=32).hexdigest()


def _sync_directory(directory: Path) -> None:
    """A rename is on the disk once its directory is; systems that cannot do that are left alone."""
    with contextlib.suppress(OSError):
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


# which ensemble -------------------------------------------------------------------------------------------------


def fingerprint(
    names: Sequence[Name],
    programs: Sequence[Program],
    rows: Sequence[Row],
    hostings: Sequence[Hosting],
    root: np.ndarray,
) -> bytes:
    """16 bytes that are the same for the same ensemble and seed, in every process.

    Of losses it is the name, the code and what they close over that count.

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
            texts[key] = _stable(key) + _code(row.loss.value)
        digest.update(texts[key])
        _enter_arrays(digest, jax.tree.leaves(row))
    for hosting in hostings:
        if hosting.subject is not None:
            digest.update(_stable(jax.tree.structure(hosting.subject.row)))
            _enter_arrays(digest, jax.tree.leaves(hosting.subject.row))
        if hosting.initial is not None:
            _enter_arrays(digest, jax.tree.leaves(hosting.initial))
    return digest.digest()


def _stable(static: Any) -> bytes:
    """A text for something static, without the addresses that differ from process to process."""
    return re.sub(r"(at )?0x[0-9a-f]+", "", repr(static)).encode()


def _code(function: Any) -> bytes:
    """A function as bytes: its name, what it does, and the values that it closes over."""
    name = getattr(function, "__qualname__", type(function).__qualname__)
    parts = [name.encode(), _code_bytes(getattr(function, "__code__", None))]
    for cell in getattr(function, "__closure__", None) or ():
        with contextlib.suppress(ValueError):  # an empty cell
            parts.append(_value_bytes(cell.cell_contents))
    return b"|".join(parts)


def _code_bytes(code: Any) -> bytes:
    if not isinstance(code, types.CodeType):
        return b""
    constants = [_code_bytes(c) if isinstance(c, types.CodeType) else _stable(c) for c in code.co_consts]
    return b"|".join([code.co_code, repr(code.co_names).encode(), *constants])


def _value_bytes(value: Any) -> bytes:
    if callable(value):
        return _code(value) if hasattr(value, "__code__") else _stable(type(value))
    if isinstance(value, np.ndarray | jax.Array):
        array = np.asarray(value)
        return f"{array.dtype}{array.shape}".encode() + array.tobytes()
    return _stable(value)


def _enter_arrays(digest: Any, leaves: Iterable[Any]) -> None:
    for leaf in leaves:
        array = np.ascontiguousarray(leaf)
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.data if array.size else b"")
