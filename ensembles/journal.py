"""The journal of a run: the answers that hosted programs were given, so that a run that was killed can go on.

A hosted program is ordinary Python, and where it stands cannot be saved. But it does the same again if it is given the
same answers. So every answer goes into a file before the program sees it, and when the same line runs again, what the
file holds is given back without computing, bit for bit, until a program asks something that was not asked before.

Programs have to be deterministic for that: one that reads the clock, or draws from a random source of its own (not
`evaluate.random`), asks other things the second time, and is then evaluated afresh. The same holds for a program
whose Python was changed. Of a program that draws samples from several threads at once, the draws belong to the order
in which its threads ask.

The file grows by what programs are told: about 80 bytes for a value, 4 or 8 more for each derivative, a bit for each
measured bit, 8 or 16 bytes for each amplitude of a state. It is handed to the operating system at every flush, which
outlasts the death of the process (kill -9) at any moment, but perhaps not that of the machine.
"""

from __future__ import annotations

import os
import threading
import warnings
from array import array
from contextlib import suppress
from pathlib import Path
from typing import Any

from ensembles.checkpoint_error import CheckpointError
from ensembles.file_lock import lock
from ensembles.records import Entry, check_header, framed, header, read_answer, read_question, scanned

__all__ = ["Journal", "Replay"]

_MOST_OF_A_HEADER = 4096


class Journal:
    """The file, open for more; made by `Journal.open`. May be used from several threads."""

    def __init__(self, path: Path, file: int, end: int, offsets: dict[bytes, array]) -> None:
        self._path, self._file, self._offsets = path, file, offsets
        self._unwritten: list[bytes] = []
        self._written = end
        self._lock = threading.Lock()

    @staticmethod
    def check(path: str | os.PathLike[str], fingerprint: bytes) -> None:
        """Refuses a journal that `open` would refuse for its header; touches nothing.

        Raises:
            CheckpointError: a file that cannot be read, that is no journal or one of another ensemble or version.
        """
        path = Path(path)
        try:
            with path.open("rb") as file:
                check_header(path, file.read(_MOST_OF_A_HEADER), fingerprint)
        except FileNotFoundError:
            return
        except OSError as error:
            raise CheckpointError(f"The journal {path} cannot be read: {error.strerror or error}.") from error

    @classmethod
    def open(cls, path: str | os.PathLike[str], fingerprint: bytes) -> Journal:
        """The journal at a path: a new one, or what a run before left.

        What a crash left half-written at the end is cut off.

        Args:
            path: of the file; its directory is made if need be.
            fingerprint: of the ensemble and the seed; a journal of another one is refused.

        Raises:
            CheckpointError: a file that cannot be written, that another run has open, that is no journal or one of
                another ensemble or version, or that is damaged before its end. The file is kept as it is.

        Example:
            >>> import tempfile
            >>> import numpy as np
            >>> program, question = b"16 bytes of name", b"16 bytes of what"
            >>> with tempfile.TemporaryDirectory() as directory:
            ...     journal = Journal.open(directory + "/hosted.journal", b"these programs")
            ...     journal.record(program, question, 0, np.array([0.25]))
            ...     journal.close()
            ...     again = Journal.open(directory + "/hosted.journal", b"these programs")
            ...     replay = again.replay(program)
            ...     print(replay.take(question), replay.take(question))
            ...     again.close()
            (0, array([0.25])) (1, None)
        """
        path, file = Path(path), -1
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
            lock(
                file, f"The journal {path} is in use by another run; wait for it, or give another directory."
            )
            end, offsets = scanned(path, file, fingerprint)
            os.ftruncate(file, end)
            journal = cls(path, file, end, offsets)
            if not end:
                journal._unwritten.append(header(fingerprint))
                journal._write()
            return journal
        except BaseException as error:
            if file >= 0:
                os.close(file)
            if isinstance(error, OSError):
                raise CheckpointError(
                    f"The journal {path} cannot be opened for writing: {error.strerror or error}. Give a directory "
                    "that can be written."
                ) from error
            raise

    def __len__(self) -> int:
        """How many records earlier runs left."""
        return sum(map(len, self._offsets.values()))

    def replay(self, program: bytes) -> Replay:
        """What earlier runs were told about a program, given by 16 bytes of its own."""
        with self._lock:
            offsets = () if self._file < 0 else self._offsets.get(program, ())
            return Replay(self, [(*read_question(self._file, offset), offset) for offset in offsets])

    def answer(self, offset: int) -> Any:
        """The answer in the record that begins there; None if there is none, or once the journal is closed."""
        with self._lock:
            return None if self._file < 0 else read_answer(self._file, offset)

    def record(self, program: bytes, question: bytes, number: int, answer: Any) -> None:
        """Notes an answer, to be written at the next `flush`; nothing once the journal is closed.

        Args:
            program, question: 16 bytes each.
            number: which evaluation of the program it is.
            answer: array or tuple of arrays; None: there was an error, and the number is used up.
        """
        with self._lock:
            if self._file >= 0:
                self._unwritten.append(framed(Entry(program, question, number, answer)))

    def flush(self) -> None:
        """Hands everything noted to the operating system.

        A disk that is full is no reason to lose a run: there is a RuntimeWarning, the run goes on, and nothing more
        is noted.
        """
        with self._lock:
            try:
                return self._write()
            except OSError as error:
                reason = error.strerror or error
                with suppress(OSError):  # what was written in part must not have anything behind it
                    os.ftruncate(self._file, self._written)
                self._close()
        warnings.warn(
            f"The journal {self._path} cannot be written any more: {reason}. The run goes on; if it is killed, hosted "
            "programs go on from what was written before.",
            RuntimeWarning,
            stacklevel=2,
        )

    def close(self) -> None:
        """Flushes and closes the file; a second time is none."""
        self.flush()
        with self._lock:
            self._close()

    def _close(self) -> None:
        file, self._file = self._file, -1
        self._unwritten.clear()
        if file >= 0:
            os.close(file)

    def _write(self) -> None:
        if self._file < 0 or not self._unwritten:
            return
        os.lseek(self._file, self._written, os.SEEK_SET)
        data = b"".join(self._unwritten)
        waiting = memoryview(data)
        while waiting:
            waiting = waiting[os.write(self._file, waiting) :]
        self._unwritten.clear()
        self._written += len(data)


class Replay:
    """One program's answers from earlier runs, each given once, and the numbers of its evaluations.

    Args:
        journal: where the answers are.
        entries: (question, number, offset), in the order of the file.
    """

    def __init__(self, journal: Journal, entries: list[tuple[bytes, int, int]]) -> None:
        self._journal = journal
        self._numbers = {number for _, number, _ in entries}
        self._next = 0
        # Of one number and question the later record holds: it was evaluated again after an error.
        offsets = {(number, question): offset for question, number, offset in entries}
        self._known: dict[bytes, list[tuple[int, int]]] = {}
        for (number, question), offset in sorted(offsets.items(), reverse=True):
            self._known.setdefault(question, []).append((number, offset))

    def take(self, question: bytes) -> tuple[int, Any]:
        """The number of this evaluation, and its answer if it is known, else None.

        A question that was asked before keeps the number it had, by which its draws and its place in the history go;
        a new one gets the lowest that is free. The caller sees to it that threads come one at a time.
        """
        known = self._known.get(question)
        if known:
            number, offset = known.pop()
            return number, self._journal.answer(offset)
        while self._next in self._numbers:
            self._next += 1
        self._next += 1
        return self._next - 1, None
