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
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

import jaxsim
from ensembles.checkpoint_error import CheckpointError
from ensembles.file_lock import lock

__all__ = ["Checkpoint"]

_MAGIC = b"ensembles checkpoint\n"
_FORMAT = 1
_FILE = "programs.checkpoint"
_LOCK = "run.lock"

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
        self._seconds, self._calls = seconds, calls
        self._pause, self._last_time, self._last_calls = seconds, time.monotonic(), 0
        try:
            self.directory = Path(directory).expanduser()
            self.path = self.directory / _FILE
            self.directory.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.directory):
                pass
        except (OSError, RuntimeError) as error:  # RuntimeError: no home directory
            raise _unwritable(directory, error) from error

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other runs out of the directory, until the end of the block.

        Raises:
            CheckpointError: another run is there already, or the directory cannot be written any more.
        """
        try:
            file = os.open(self.directory / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise _unwritable(self.directory, error) from error
        try:
            lock(
                file,
                f"The directory {self.directory} is in use by another run; wait for it, or give another "
                "checkpoint_dir.",
            )
            for left in self.directory.glob(f".{_FILE}.*"):
                left.unlink()
            yield
        finally:
            os.close(file)

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
        except BaseException as error:
            with contextlib.suppress(OSError):
                trial.unlink()
            if not isinstance(error, OSError):
                raise
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


def _unwritable(directory: str | os.PathLike[str], error: Exception) -> CheckpointError:
    reason = getattr(error, "strerror", None) or error
    return CheckpointError(
        f"checkpoint_dir: {os.fspath(directory)!r} cannot be written: {reason}. Give a directory that can."
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
