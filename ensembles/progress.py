"""The progress bar of a run: on standard error, in terminals and notebooks only, gone when the run ends."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["ProgressReporter", "progress", "progress_enabled"]

VARIABLE = "ENSEMBLES_PROGRESS"
_OFF = frozenset({"0", "false", "off", "no"})
_SECONDS_BETWEEN_REFRESHES = 0.2


def progress_enabled(flag: bool | None = None) -> bool:
    """Whether to show a progress bar.

    Args:
        flag: True or False decides. None: no if the environment variable ENSEMBLES_PROGRESS is 0 (or false,
            off, no), else yes if standard error is an interactive terminal or this is a notebook.

    Errors: TypeError for any other flag.

    >>> progress_enabled(False)
    False
    """
    if isinstance(flag, (bool, np.bool_)):
        return bool(flag)
    if flag is not None:
        raise TypeError(
            f"progress must be True, False or None, but {flag!r} of type {type(flag).__name__} was given."
        )
    if os.environ.get(VARIABLE, "").strip().lower() in _OFF:
        return False
    from rich.console import Console

    console = Console(stderr=True)
    # rich takes FORCE_COLOR for a terminal; a log file that wants colours wants no bar.
    return console.is_jupyter or (console.is_interactive and sys.stderr is not None and sys.stderr.isatty())


class ProgressReporter:
    """A progress bar; a context manager made by `progress`. One that is not enabled does nothing.

    Errors of the display (a closed terminal) never reach the run.
    """

    def __init__(
        self, total_programs: int, total_steps: int, enabled: bool, console: Console | None = None
    ) -> None:
        self._progress = None
        self._task = None
        self._ended = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="ensembles progress", daemon=True)
        if not enabled:
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            TextColumn("{task.fields[programs_done]}/{task.fields[programs]} programs"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f} steps, {task.fields[calls]} calls"),
            TimeElapsedColumn(),
            console=console if console is not None else Console(stderr=True),
            auto_refresh=False,
            transient=True,
        )
        self._task = self._progress.add_task(
            "", total=total_steps, programs=total_programs, programs_done=0, calls=0
        )

    def __enter__(self) -> ProgressReporter:
        if self._progress is not None:
            with suppress(OSError, ValueError):
                self._progress.start()
            self._ticker.start()
        return self

    def _tick(self) -> None:
        # Our own ticker and not rich's: it is joined at the end, and a closed terminal does not print a
        # traceback.
        while self._progress is not None and not self._ended.wait(_SECONDS_BETWEEN_REFRESHES):
            with suppress(OSError, ValueError):
                self._progress.refresh()

    def update(
        self, *, steps_done: int | None = None, programs_done: int | None = None, calls: int | None = None
    ) -> None:
        """Sets the totals reached so far; what is None stays. Cheap: the display refreshes by itself.

        Args:
            steps_done: optimiser steps done by all programs together.
            programs_done: programs that have ended.
            calls: compiled calls made.
        """
        if self._progress is None or self._task is None:
            return
        fields: dict[str, Any] = {"programs_done": programs_done, "calls": calls}
        fields = {key: number for key, number in fields.items() if number is not None}
        self._progress.update(self._task, completed=steps_done, **fields)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._ended.set()
            self._ticker.join()
            with suppress(OSError, ValueError):
                self._progress.stop()


def progress(
    total_programs: int, total_steps: int, enabled: bool, console: Console | None = None
) -> ProgressReporter:
    """A progress bar over programs and steps, as a context manager.

    Args:
        total_programs: programs in the run.
        total_steps: steps of all of them together.
        enabled: False gives a reporter that does nothing.
        console: a rich Console to draw on; default: standard error.

    Example:
        >>> with progress(2, 100, enabled=False) as bar:
        ...     bar.update(steps_done=50, programs_done=1, calls=3)
    """
    return ProgressReporter(total_programs, total_steps, enabled, console)
