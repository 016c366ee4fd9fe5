"""The compiled driver: pure-JAX programs, many steps a call.

One jitted function a group (`ensembles.advance`) advances a block of rows by up to K steps. Between calls the host
looks who has ended and gives their lanes, and their places in the blocks, to the next.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxsim
from ensembles.advance import Carry, advance
from ensembles.group_store import GroupStore, Places
from ensembles.planner import Plan
from ensembles.program import Row
from ensembles.schedule import Lanes, block_size, calls_of_flush, least_rows
from ensembles.walk import line_of

__all__ = ["CompiledRun", "Counts", "Outcome"]


class Outcome(NamedTuple):
    """How one program ended; arrays on the host."""

    status: str
    steps: int
    evaluations: int
    history: np.ndarray
    best_value: float
    best_parameters: Any
    final_value: float
    final_parameters: Any
    failed_value: float | None
    seconds: float
    error: Exception | None = None
    """What its call raised, if that is why it failed."""


class Counts(NamedTuple):
    """What has happened so far; the fields of `Stats` say what."""

    flushes: int = 0
    calls: int = 0
    blocks: int = 0
    rows: int = 0
    padded_rows: int = 0
    largest_call: int = 0
    computed: int = 0
    call_seconds: float = 0.0


class _Piece(NamedTuple):
    """A block that is to be run: who sits in it, its size, and with how few rows left it ends its call."""

    store: GroupStore
    places: Places
    size: int
    least: int


class CompiledRun:
    """Runs the programs of an ensemble as a plan says, from the first flush to the last.

    Args:
        plan: the plan.
        names: the programs' names, in the ensemble's order.
        rows: their rows.
        root: uint32 (2,), key data of the root key.
        report: called after each block with (steps made, programs ended, calls).
        after_flush: called between flushes; may end the run by StopIteration.
        most_steps: further limit of the steps that a call makes for a row.
        deadline: reading of `time.monotonic` at which the run ends, as if cancelled.

    Attributes:
        ended: (programs,) bool.
        steps, latest, best: (programs,) updates made; the latest loss and the lowest, NaN before there is one.
        seconds: (programs,) each one's share of the time of its calls, by evaluations.
        errors: what the calls of programs raised, by program.
        counts: what has happened.
        interrupted: whether the run was ended before all programs had.
    """

    def __init__(
        self,
        plan: Plan,
        names: Sequence[Any],
        rows: Sequence[Row],
        root: np.ndarray,
        report: Callable[[int, int, int], None],
        *,
        after_flush: Callable[[CompiledRun], None] | None = None,
        most_steps: int | None = None,
        deadline: float | None = None,
    ) -> None:
        self.plan, self.config, self.names = plan, plan.config, list(names)
        self.report, self.limit = report, plan.config.resolved_memory_limit()
        self.after_flush, self.deadline = after_flush, deadline
        self.groups = [0] * len(rows)
        for number, group in enumerate(plan.groups):
            for program in group.programs:
                self.groups[program] = number
        self.line = line_of(plan.groups)
        self.stores = [GroupStore(group, [rows[p] for p in group.programs], root) for group in plan.groups]
        self.most_steps = most_steps
        # Losses with the step of the first: what is entered twice, after an interruption, changes nothing.
        self.losses: list[list[tuple[int, np.ndarray]]] = [[] for _ in rows]
        self.limits = np.array([int(row.steps) for row in rows], np.int64)
        self.ended = np.zeros(len(rows), bool)
        self.steps = np.zeros(len(rows), np.int64)
        self.latest = np.full(len(rows), np.nan)
        self.best = np.full(len(rows), np.nan)
        self.seconds = np.zeros(len(rows))
        self.errors: dict[int, Exception] = {}
        self.counts = Counts()
        self.interrupted = False

    def run(self) -> None:
        """All flushes. Ctrl-C ends the run after the calls in flight; `interrupted` says so."""
        try:
            self._run()
        except (KeyboardInterrupt, StopIteration):
            self.interrupted = True

    def _run(self) -> None:
        lanes = Lanes(self.line, self.config, set(np.flatnonzero(self.ended).tolist()))
        while lanes.under_way:
            for flush in lanes.walk():
                self._flush(flush, lanes.line)
                for program in flush:
                    if self.ended[program]:
                        lanes.leave(program)
                if self.after_flush is not None:
                    self.after_flush(self)
                if self.interrupted or self._late():
                    self.interrupted = True
                    return

    def _late(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline

    def _flush(self, flush: list[int], line: bool) -> None:
        calls = calls_of_flush(flush, self.groups, self.names, self.config)
        pieces = [piece for number, programs in calls for piece in self._pieces(number, programs, line)]
        counts = self.counts
        self.counts = counts._replace(
            flushes=counts.flushes + 1,
            largest_call=max(counts.largest_call, *(len(programs) for _, programs in calls)),
        )
        self._count(len(calls), pieces)
        for wave in self._waves(pieces):
            if not self.interrupted:
                self._run_blocks(wave)

    def _count(self, calls: int, pieces: Sequence[_Piece]) -> None:
        counts, rows = self.counts, sum(len(piece.places) for piece in pieces)
        self.counts = counts._replace(
            calls=counts.calls + calls,
            blocks=counts.blocks + len(pieces),
            rows=counts.rows + rows,
            padded_rows=counts.padded_rows + sum(piece.size for piece in pieces) - rows,
        )

    def _pieces(self, number: int, programs: list[int], line: bool) -> list[_Piece]:
        """The blocks of a call."""
        store = self.stores[number]
        left = int(max(self.limits[programs] + 1 - self.steps[programs]))
        group = store.group
        size = block_size(group.rows_per_block, group.rows_alone, len(programs), store.sizes, left)
        places = [store.place[p] for p in programs]
        cuts = [tuple(places[i : i + size]) for i in range(0, len(places), size)]
        others = line or len(cuts) > 1
        return [_Piece(store, cut, size, least_rows(len(cut), others)) for cut in cuts]

    def _waves(self, pieces: Sequence[_Piece]) -> Iterator[list[_Piece]]:
        """As many blocks at a time as the memory limit allows, at least one; what is left of others makes room."""
        wave: list[_Piece] = []
        taken = 0
        for piece in pieces:
            group = piece.store.group
            need = piece.size * group.block_bytes() // group.rows_per_block
            if wave and taken + need > self.limit:
                yield wave
                self._make_room(0)
                wave, taken = [], 0
            wave.append(piece)
            taken += need
        yield wave
        self._make_room(self.limit)

    def _make_room(self, limit: int) -> None:
        if sum(store.resident_bytes() for store in self.stores) > limit:
            for store in self.stores:
                store.store_all()

    def _run_blocks(self, pieces: Sequence[_Piece]) -> None:
        """Sends blocks off, and takes in what they did.

        After an interruption blocks under way are finished and taken in as well; those not begun stay as they
        were.
        """
        sent: list[Future] = []
        blocks: list[tuple[_Piece, Any, Any]] = []
        broken: list[tuple[Sequence[_Piece], Exception]] = []
        begun = time.perf_counter()
        try:
            blocks = [(piece, *piece.store.block(piece.places, piece.size)) for piece in pieces]
            begun = time.perf_counter()
            sent = jaxsim.submit_blocks(
                advance,
                [(rows, carry, self._budget(piece), np.int32(piece.least)) for piece, rows, carry in blocks],
                signatures=[(piece.store.key, piece.size) for piece in pieces],
            )
        except KeyboardInterrupt:
            self.interrupted = True
        except Exception as error:  # of one of them
            broken.append((pieces, error))
        waited, before = 0.0, self.steps + self.ended
        pending = deque(zip(blocks, sent, strict=False))
        while pending:
            try:
                (piece, rows, carry), future = pending[0]
                if not (self.interrupted and future.cancel()):
                    answer = _answer(future)
                    waited += time.perf_counter() - begun
                    if isinstance(answer, Exception):
                        broken.append(([piece], answer))
                    else:
                        self._take_in(piece, rows, carry, *answer)
                    begun = time.perf_counter()
                pending.popleft()
                self.interrupted = self.interrupted or self._late()
            except KeyboardInterrupt:
                self.interrupted = True
        made = self.steps + self.ended - before
        self.seconds += waited * made / max(int(made.sum()), 1)
        self.counts = self.counts._replace(call_seconds=self.counts.call_seconds + waited)
        for together, error in broken:
            self._apart(together, error)

    def _apart(self, pieces: Sequence[_Piece], error: Exception) -> None:
        """What fails for one must not fail for its company: each block again, then each row, in the same kernel.

        A row that fails alone is out, with the error. Its state stays as it was, so a resumed run tries it again.
        """
        first = pieces[0]
        if len(pieces) == len(first.places) == 1:
            program = first.store.group.programs[first.places[0]]
            self.errors[program], self.ended[program] = error, True
            self.report(int(self.steps.sum()), int(self.ended.sum()), self.counts.calls)
            return
        rows = [first._replace(places=(place,), least=min(first.least, 1)) for place in first.places]
        for piece in pieces if len(pieces) > 1 else rows:
            if not self.interrupted:
                self._count(1, [piece])
                self._run_blocks([piece])
                self._make_room(self.limit)

    def _budget(self, piece: _Piece) -> np.int32:
        most = piece.store.group.steps_per_call
        return np.int32(most if self.most_steps is None else min(most, self.most_steps))

    def _take_in(self, piece: _Piece, rows: Any, before: Carry, carry: Carry, losses: Any) -> None:
        store, count = piece.store, len(piece.places)
        programs = np.array(store.group.programs)[list(piece.places)]
        first = np.maximum(np.asarray(before.step)[:count], 0)
        last = np.asarray(carry.step)[:count]
        ended = ~np.asarray(carry.active)[:count]
        evaluated = last - first + ended
        values = np.asarray(losses)
        self.counts = self.counts._replace(computed=self.counts.computed + piece.size * int(evaluated.max()))
        for k, program in enumerate(programs.tolist()):
            self.losses[program].append((int(first[k]), values[: evaluated[k], k].copy()))
        store.keep(piece.places, rows, carry)
        self.ended[programs] = ended
        self.steps[programs] = last
        self.latest[programs] = values[evaluated - 1, np.arange(count)]
        best = np.asarray(carry.best_value)[:count]
        self.best[programs] = np.where(np.isfinite(best), best, np.nan)
        if ended.all():
            store.store(piece.places)
        self.report(int(self.steps.sum()), int(self.ended.sum()), self.counts.calls)

    # how programs ended --------------------------------------------------------------------------------------

    def outcomes(self) -> list[Outcome]:
        """How every program ended, or where it is."""
        found: dict[int, Outcome] = {}
        for store in self.stores:
            carries = store.up_to_date()
            for place, program in enumerate(store.group.programs):
                carry = jax.tree.map(lambda leaf, k=place: leaf[k], carries)
                found[program] = self._outcome(program, carry, store.rows[place].trained)
        return [found[program] for program in range(len(self.ended))]

    def history(self, program: int, length: int) -> np.ndarray:
        """The first losses of a program, (length,)."""
        chunks = self.losses[program]
        losses = np.zeros(length, chunks[0][1].dtype if chunks else np.float64)
        for first, values in chunks:
            losses[first : first + len(values)] = values[: max(length - first, 0)]
        return losses

    def _outcome(self, program: int, carry: Carry, trained: Any) -> Outcome:
        steps = max(int(carry.step), 0)
        failed, converged = bool(carry.failed), bool(carry.converged)
        losses, error = self.history(program, steps + failed), self.errors.get(program)
        status = "failed" if failed or error else "converged" if converged else "completed"
        status = "cancelled" if carry.active and error is None else status
        started = carry.step >= 0
        ended_well = status in ("completed", "converged")
        return Outcome(
            status=status,
            steps=steps,
            evaluations=int(carry.rows),
            history=losses[:steps],
            best_value=float(carry.best_value) if np.isfinite(carry.best_value) else float("nan"),
            best_parameters=_own(carry.best_parameters, trained) if started else None,
            final_value=float(carry.final_value) if ended_well else float("nan"),
            final_parameters=_own(carry.parameters, trained) if started else None,
            failed_value=float(losses[steps]) if failed else None,
            seconds=float(self.seconds[program]),
            error=error,
        )

    # checkpoints ----------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, np.ndarray]:
        """All that a run needs to go on, as arrays."""
        arrays: dict[str, np.ndarray] = {"seconds": self.seconds.copy()}
        for number, store in enumerate(self.stores):
            carry = store.up_to_date()
            for k, leaf in enumerate(jax.tree.leaves(carry)):
                arrays[f"group{number}/carry{k}"] = leaf
            known = [int(s) + int(f) for s, f in zip(np.maximum(carry.step, 0), carry.failed)]
            histories = [self.history(p, n) for p, n in zip(store.group.programs, known)]
            arrays[f"group{number}/losses"] = np.concatenate(histories).astype(carry.best_value.dtype)
        return arrays

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Goes back to a snapshot; to be called before `run`."""
        self.seconds += arrays.get("seconds", 0.0)  # older ones have none
        for number, store in enumerate(self.stores):
            leaves, tree = jax.tree.flatten(store.carry)
            saved = [arrays[f"group{number}/carry{k}"].copy() for k in range(len(leaves))]
            store.carry = carry = jax.tree.unflatten(tree, saved)
            ends = np.cumsum(np.maximum(carry.step, 0) + carry.failed)
            histories = np.split(arrays[f"group{number}/losses"], ends[:-1])
            for place, (program, losses) in enumerate(zip(store.group.programs, histories)):
                self.losses[program] = [(0, losses)]
                self.latest[program] = losses[-1] if len(losses) else np.nan
                self.steps[program] = max(int(carry.step[place]), 0)
                self.ended[program] = not carry.active[place]
                if np.isfinite(carry.best_value[place]):
                    self.best[program] = carry.best_value[place]


def _answer(future: Future) -> Any:
    """What a block gave, or what it raised."""
    try:
        return jax.block_until_ready(future.result())
    except Exception as error:
        return error


def _own(parameters: Any, trained: Any) -> Any:
    """A copy without padding, which only vectors have."""
    return jax.tree.map(lambda a, t: np.array(a if np.all(t) else a[t]), parameters, trained)
