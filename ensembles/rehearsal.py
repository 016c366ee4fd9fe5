"""What results will need is compiled while hosted programs run.

Their Python keeps one core busy at most, and what a kind of program adds to its results at the end (`Program.extras`)
is known from the start; so a thread of its own does that once, at the starting points, to no other end than that JAX
has compiled it.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Sequence
from contextlib import suppress
from typing import Any

import jax

from ensembles.program import Program
from ensembles.subjects import Hosting

__all__ = ["Rehearsal"]

_rehearsed: set[Hashable] = set()


class Rehearsal:
    """Runs `extras` for a program or two of every kind and merge key, unless this process has done so before.

    Args:
        programs: hosted programs.
        hostings: what they evaluate.
    """

    def __init__(self, programs: Sequence[Program], hostings: Sequence[Hosting]) -> None:
        groups: dict[tuple, list[tuple[Program, Any]]] = {}
        for program, hosting in zip(programs, hostings, strict=True):
            kind, subject = type(program), hosting.subject
            if subject is not None and kind.extras.__func__ is not Program.extras.__func__:
                groups.setdefault((kind, subject.key), []).append((program, subject))
        # A row alone has a kernel of its own; two are as good as any number.
        scenes = {(*key, len(members) > 1): members[:2] for key, members in groups.items()}
        self._scenes = {key: members for key, members in scenes.items() if key not in _rehearsed}
        # JAX's contexts are those of a thread.
        contexts = jax.config.read("jax_enable_x64"), getattr(jax.config, "jax_default_device", None)
        self._thread = threading.Thread(target=self._play, args=contexts, name="ensembles rehearsal")
        self._due = threading.Lock()

    def begin(self) -> None:
        """Now is the time: what the programs evaluate first has been compiled. Further times are none."""
        if self._scenes and self._due.acquire(blocking=False):
            with suppress(RuntimeError):  # no thread to be had: then everything is compiled in its time
                self._thread.start()

    def _play(self, x64: bool, device: Any) -> None:
        with jax.enable_x64(x64), jax.default_device(device):
            for key, members in self._scenes.items():
                with suppress(Exception):  # what is wrong will be told when it is done in earnest
                    kind = type(members[0][0])
                    starts = [subject.parameters([0.0] * subject.num_parameters) for _, subject in members]
                    kind.extras([program for program, _ in members], [0.0] * len(members), starts)
                    _rehearsed.add(key)

    def end(self) -> None:
        """Waits until it is over."""
        if self._thread.ident is not None:
            with suppress(KeyboardInterrupt):  # it ends by itself, and the results are there
                self._thread.join()
