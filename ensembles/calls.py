"""The calls of a flush of hosted programs: which requests share one, and what comes back to whom."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ensembles.compiled import Counts
from ensembles.config import BatchConfig
from ensembles.evaluation import Request
from ensembles.measurement import draw_bits
from ensembles.names import Name, natural_key

__all__ = ["Calls"]


class _Part(NamedTuple):
    """Some rows of a request, those of one call."""

    request: Request
    start: int
    stop: int


class _Made(NamedTuple):
    """A call that was made: its rows, the size of its blocks, and how long it took."""

    rows: int
    size: int
    seconds: float


class Calls:
    """Makes the calls of a flush.

    Args:
        names: the programs' names, by number.
        config: decides the order of rows in a call and how many a call may have.
    """

    def __init__(self, names: Sequence[Name], config: BatchConfig) -> None:
        self._config = config
        self._order = [natural_key(name) for name in names] if config._sort_programs else None
        self._memory = config.resolved_memory_limit()
        self._lock = threading.Lock()
        self.counts = Counts()

    def answer(self, requests: Sequence[Request]) -> None:
        """Gives every request its answer or its error. Never raises."""
        try:
            made = [self._answer(group) for group in self._groups(requests)]
            self._count(made)
        except BaseException as error:  # also what is no Exception: nobody may be left waiting
            for request in requests:
                if request.answer is None and request.error is None:
                    request.error = error

    def _groups(self, requests: Sequence[Request]) -> list[list[Request]]:
        groups: dict[tuple, list[Request]] = {}
        for request in requests:
            groups.setdefault((id(request.family), request.want), []).append(request)
        if self._order is not None:
            for group in groups.values():
                group.sort(key=lambda r: (self._order[r.program], r.number))  # type: ignore[index]
        return list(groups.values())

    def _answer(self, group: list[Request]) -> list[_Made]:
        try:
            return self._evaluate(group)
        except Exception as error:
            if len(group) == 1:
                group[0].error = error
                return []
        # What fails for one must not fail for its company.
        return [call for request in group for call in self._answer([request])]

    def _evaluate(self, group: list[Request]) -> list[_Made]:
        most = self._config.max_rows_per_call
        total = sum(len(request.values) for request in group)
        if most is None or total <= most:
            whole = [_Part(request, 0, len(request.values)) for request in group]
            cut = [whole]
        else:
            cut = _cut(group, most)
        pieces: dict[int, list[Any]] = {id(request): [] for request in group}
        made = []
        for parts in cut:
            begun = time.perf_counter()
            rows, size = self._call(parts, pieces)
            seconds = time.perf_counter() - begun
            made.append(_Made(rows, size, seconds))
            for request, start, stop in parts:
                request.seconds += seconds * (stop - start) / max(rows, 1)
        for request in group:
            own = pieces[id(request)]
            request.answer = own[0] if len(own) == 1 else _joined(own)
        return made

    def _call(self, parts: list[_Part], pieces: dict[int, list[Any]]) -> tuple[int, int]:
        rows = sum(part.stop - part.start for part in parts)
        first = parts[0].request
        size = first.subject.block_size(rows)
        row_bytes = first.family.row_bytes + first.output_bytes
        at_a_time = max(1, self._memory // (row_bytes * size)) * size
        for some in [parts] if rows <= at_a_time else _cut_parts(parts, at_a_time):
            answer = _evaluated(some)
            start = 0
            for request, begin, end in some:
                stop = start + end - begin
                share = _share(answer, start, stop, request)
                pieces[id(request)].append(_drawn(share, request, begin) if request.shots else share)
                start = stop
        return rows, size

    def _count(self, made: list[list[_Made]]) -> None:
        calls = [call for group in made for call in group]
        with self._lock:
            c = self.counts
            rows = sum(call.rows for call in calls)
            blocks = [-(-call.rows // call.size) for call in calls]
            padded = sum(count * call.size - call.rows for count, call in zip(blocks, calls, strict=True))
            self.counts = c._replace(
                flushes=c.flushes + 1,
                calls=c.calls + len(calls),
                blocks=c.blocks + sum(blocks),
                rows=c.rows + rows,
                padded_rows=c.padded_rows + padded,
                largest_call=max([c.largest_call, *(call.rows for call in calls)]),
                computed=c.computed + rows + padded,
                call_seconds=c.call_seconds + sum(call.seconds for call in calls),
            )


def _evaluated(parts: Sequence[_Part]) -> Any:
    """One call of a subject's kernel."""
    first = parts[0].request
    width = max(part.request.subject.num_parameters for part in parts)
    counts = [part.stop - part.start for part in parts]
    values = np.zeros((sum(counts), width))
    start = 0
    for (request, begin, end), count in zip(parts, counts, strict=True):
        values[start : start + count, : request.subject.num_parameters] = request.values[begin:end]
        start += count
    keys = None
    if first.subject.needs_keys:
        keys = np.concatenate([p.request.keys[p.start : p.stop] for p in parts])  # type: ignore[index]
    rows = first.family.rows([part.request.subject for part in parts], counts)
    return first.family.subject.evaluate(rows, values, first.want, keys)


def _share(answer: Any, start: int, stop: int, request: Request) -> Any:
    """A request's rows of an answer; derivatives by its own parameters only."""
    if request.want != "value_and_grad":
        return answer[start:stop]
    values, gradients = answer
    return values[start:stop], gradients[start:stop, ..., : request.subject.num_parameters]


def _drawn(probabilities: np.ndarray, request: Request, first: int) -> np.ndarray:
    """Bits drawn for rows of a request, from its row `first` on."""
    assert request.keys is not None and request.shots is not None
    keys = request.keys[first : first + len(probabilities)]
    return np.stack(
        [draw_bits(own, key, request.shots) for own, key in zip(probabilities, keys, strict=True)]
    )


def _joined(pieces: Sequence[Any]) -> Any:
    if isinstance(pieces[0], tuple):
        return tuple(np.concatenate(parts) for parts in zip(*pieces, strict=True))
    return np.concatenate(pieces)


def _cut(group: Sequence[Request], most: int) -> list[list[_Part]]:
    return _cut_parts([_Part(request, 0, len(request.values)) for request in group], most)


def _cut_parts(parts: Sequence[_Part], most: int) -> list[list[_Part]]:
    """The same rows in the same order, at most `most` in a list."""
    cut: list[list[_Part]] = [[]]
    room = most
    for request, start, stop in parts:
        while start < stop:
            if not room:
                cut.append([])
                room = most
            end = min(stop, start + room)
            cut[-1].append(_Part(request, start, end))
            room -= end - start
            start = end
    return cut
