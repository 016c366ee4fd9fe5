"""What runs inside a worker: a chunk of items in, NumPy arrays out.

Circuits of a chunk are lowered and grouped by merge key; rows of a group share vmapped calls, in blocks of a fixed
size. So a row's results have the same bits in every chunk, call and worker.
"""

from __future__ import annotations

import os
import pickle
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import jax
import numpy as np

from jaxsim import batch
from jaxsim.broadcasting import Pairs
from jaxsim.compile_count import compilations_of_thread
from jaxsim.counts_keys import codes_of_bits
from jaxsim.direct import DirectKernel
from jaxsim.draws import added, draw, draw_counts, key_data, stream_key, tally
from jaxsim.dynamic import sample_dynamic
from jaxsim.job_calls import Part, Task, evaluate_tasks, job_engine, on_device, runs_direct
from jaxsim.job_items import SAMPLED, STATES, VALUES, Item

__all__ = ["Chunk", "ChunkResult", "check_process", "run_chunk"]

Data = tuple[dict[str, Any], ...]
"""Of each item, arrays by output."""

OBSERVABLES_PER_ROW = 8
"""Observables that share a state; more would make kernels that take long to compile."""


@dataclass(frozen=True)
class Chunk:
    """What is sent to a worker.

    Attributes:
        number: which chunk of the job.
        items: its circuits, in order.
        outputs: what is asked for.
        seed: of the job.
        dtype: of states, by name.
        engine: as asked for.
        x64: whether JAX has 64-bit values switched on.
        place: platform and number of the device to use; None: devices take turns.
    """

    number: int
    items: tuple[Item, ...]
    outputs: tuple[str, ...]
    seed: int
    dtype: str
    engine: str
    x64: bool
    place: tuple[str, int] | None = None

    def wants(self, outputs: Iterable[str]) -> bool:
        """Whether one of these is asked for."""
        return any(output in self.outputs for output in outputs)


@dataclass(frozen=True)
class ChunkResult:
    """What a worker gives back.

    Attributes:
        number: which chunk.
        data: for each item, by output: "counts" a list of (codes, numbers) for each parameter set, "memory" (sets,
            shots) codes, "statevector" and "probabilities" (sets, dim), "values" (pairs,), "gradients" (pairs,
            parameters).
        rows_per_call: rows of each compiled call.
        compilations: by this chunk.
        seconds: in the worker.
        worker: who it was.
        device: where it ran.
        warnings: what is to be said to the caller; those of Python do not leave the process.
    """

    number: int
    data: tuple[dict[str, Any], ...]
    rows_per_call: tuple[int, ...]
    compilations: int
    seconds: float
    worker: str
    device: str
    warnings: tuple[str, ...] = ()


_began_in: int | None = None
"""The process in which the first chunk ran."""


def check_process() -> None:
    """Raises RuntimeError in a process that was forked after chunks had run: JAX would hang there."""
    if _began_in not in (None, os.getpid()):
        raise RuntimeError(
            "this process was forked from one in which JAX had run, and JAX, which has threads of its own, hangs in "
            "forked processes. Start processes with multiprocessing.get_context('spawn')."
        )


def run_chunk(chunk: Chunk) -> ChunkResult:
    """Simulates the circuits of a chunk."""
    global _began_in
    check_process()
    _began_in = os.getpid()
    try:
        return _run_chunk(chunk)
    except Exception as error:
        raise _that_travels(error) from None


def _run_chunk(chunk: Chunk) -> ChunkResult:
    started, compiled = time.perf_counter(), compilations_of_thread()
    device = _device(chunk)
    data: Data = tuple({} for _ in chunk.items)
    rows: list[int] = []
    told: list[str] = []
    with jax.enable_x64(chunk.x64), on_device(device):
        for outputs, work in _WORK.items():
            if chunk.wants(outputs):
                rows += work(chunk, data, device, told)
    return ChunkResult(
        number=chunk.number,
        data=data,
        rows_per_call=tuple(rows),
        compilations=compilations_of_thread() - compiled,
        seconds=time.perf_counter() - started,
        worker=f"process {os.getpid()}, {threading.current_thread().name}",
        device=str(device or jax.local_devices()[0]),
        warnings=tuple(told),
    )


def _device(chunk: Chunk) -> Any:
    """The device of a chunk: the one that was named, or the next in turn; None where there is one only."""
    if chunk.place is not None:
        platform, index = chunk.place
        return jax.local_devices(backend=platform)[index]
    devices = jax.local_devices()
    return devices[chunk.number % len(devices)] if len(devices) > 1 else None


def _that_travels(error: Exception) -> Exception:
    """The error, or one that says the same if it could not be sent from process to process."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        text = "".join(traceback.format_exception(error))
        return RuntimeError(f"{type(error).__name__}: {error}\n{text}")
    return error


# states and shots -----------------------------------------------------------------------------------------


def _states(chunk: Chunk, data: Data, device: Any, told: list[str]) -> list[int]:
    """States, and the shots drawn from them, of circuits that do not measure in the middle."""
    dtypes = {"statevector": np.dtype(chunk.dtype), "probabilities": batch.real_dtype(np.dtype(chunk.dtype))}
    asked = {output: dtype for output, dtype in dtypes.items() if output in chunk.outputs}
    direct: dict[int, list[int]] = {}
    others: list[int] = []
    for place, item in enumerate(chunk.items):
        if item.dynamic:
            continue
        for output, dtype in asked.items():
            data[place][output] = np.empty((len(item.values), 2**item.circuit.num_wires), dtype)
        _prepare_shots(chunk, item, data[place])
        runs_once = runs_direct(item.circuit, chunk.engine)
        (direct.setdefault(item.circuit.num_wires, []) if runs_once else others).append(place)
    kernels = {num_wires: DirectKernel(num_wires, np.dtype(chunk.dtype)) for num_wires in direct}

    def tasks() -> Iterator[Task]:
        for place in others:
            item = chunk.items[place]
            engine = job_engine(item.circuit, chunk.engine, keep_phase=True)
            lowered = batch.lower(item.circuit, engine=engine, dtype=chunk.dtype)
            yield Task(place, lowered, item.values, np.arange(len(item.values)))

    def store(states: Any, kept: Iterable[tuple[int, int, int]]) -> None:
        """Keeps results; `kept` says of which circuit, of which of its parameter sets, and in which row they are."""
        results = {"statevector": states, "probabilities": states.real**2 + states.imag**2}
        for place, at, row in kept:
            item, own = chunk.items[place], data[place]
            for output in asked:
                own[output][at] = results[output][row]
            if chunk.wants(SAMPLED):
                _draw_shots(chunk, item, own, at, results["probabilities"][row])

    def finish(parts: list[Part], states: Any) -> None:
        for task, rows, at in parts:
            store(states, zip(repeat(task.place), task.targets[rows].tolist(), range(at.start, at.stop)))

    calls = []
    for num_wires, kernel in kernels.items():
        places = direct[num_wires]
        for rows, states in kernel.run([chunk.items[place].circuit for place in places]):
            own = [places[row] for row in rows.tolist()]
            store(states, ((p, at, k) for k, p in enumerate(own) for at in range(len(chunk.items[p].values))))
        calls.append(len(places))
    return calls + evaluate_tasks(tasks(), "statevector", device, finish)


def _draw_shots(chunk: Chunk, item: Item, own: dict[str, Any], at: int, probabilities: np.ndarray) -> None:
    """Shots of one parameter set: of what is measured."""
    key, shots = stream_key(chunk.seed, item.index, at), item.header.shots
    mask = item.header.layout.mask
    everything = mask == len(probabilities) - 1
    if "memory" in own or not everything:
        codes = draw(probabilities, key, shots)
        _store_shots(item, own, at, (piece if everything else piece & mask for piece in codes))
    else:
        own["counts"][at] = draw_counts(probabilities, key, shots)


def _prepare_shots(chunk: Chunk, item: Item, own: dict[str, Any]) -> None:
    sets = len(item.values)
    if "counts" in chunk.outputs:
        own["counts"] = [None] * sets
    if "memory" in chunk.outputs:
        width = max((place + 1 for place, _ in item.header.layout.places), default=1)
        own["memory"] = np.empty((sets, item.header.shots), np.min_scalar_type(2**width - 1))


def _store_shots(item: Item, own: dict[str, Any], at: int, pieces: Iterable[np.ndarray]) -> None:
    tables, done = [], 0
    for codes in pieces:
        if "counts" in own:
            tables.append(tally(codes))
        if "memory" in own:
            own["memory"][at, done : done + len(codes)] = codes
            done += len(codes)
    if "counts" in own:
        own["counts"][at] = added(tables)


def _trajectories(chunk: Chunk, data: Data, device: Any, told: list[str]) -> list[int]:
    """Shots of circuits that measure in the middle: those with equal numbers of shots together.

    What is to be said of them goes to `told`.
    """
    groups: dict[int, list[tuple[int, int]]] = {}
    for place, item in enumerate(chunk.items):
        if item.dynamic:
            _prepare_shots(chunk, item, data[place])
            for at in range(len(item.values)):
                groups.setdefault(item.header.shots, []).append((place, at))
    for shots, rows in groups.items():
        circuits, keys = [], []
        for place, at in rows:
            item = chunk.items[place]
            circuits.append(item.circuit.bind(item.values[at]) if item.values.shape[1] else item.circuit)
            keys.append(key_data(stream_key(chunk.seed, item.index, at)))

        def warn(row: int, message: str, rows: list[tuple[int, int]] = rows) -> None:
            told.append(f"circuit {chunk.items[rows[row][0]].index}: {message}")

        asked = {"dtype": chunk.dtype, "engine": chunk.engine, "warn": warn}
        bits = sample_dynamic(circuits, np.stack(keys), shots, **asked)
        for (place, at), own in zip(rows, bits):
            _store_shots(chunk.items[place], data[place], at, [codes_of_bits(np.asarray(own))])
    return [len(rows) for rows in groups.values()]


# values ---------------------------------------------------------------------------------------------------


def _values(chunk: Chunk, data: Data, device: Any, told: list[str]) -> list[int]:
    """Expectation values of all pairs of parameter set and observable, and their gradients if asked for."""
    gradients = "gradients" in chunk.outputs
    real = batch.real_dtype(np.dtype(chunk.dtype))

    def tasks() -> Iterator[Task]:
        for place, item in enumerate(chunk.items):
            if item.pairs is None:
                continue
            engine = job_engine(item.circuit, chunk.engine, keep_phase=False)
            count = len(item.pairs.rows)
            data[place]["values"] = np.empty(count, real)
            if gradients:
                data[place]["gradients"] = np.empty((count, item.values.shape[1]), real)
            for observables, rows, targets in _shared(item.pairs, len(item.values)):
                measured = [item.observables[k] for k in observables]
                lowered = batch.lower(item.circuit, measured, engine=engine, dtype=chunk.dtype, absorb=True)
                yield Task(place, lowered, item.values[rows], targets)

    def finish(parts: list[Part], results: Any) -> None:
        values, slopes = results if gradients else (results, None)
        for task, rows, at in parts:
            own, targets = data[task.place], task.targets[rows]
            own["values"][targets] = values[at]
            if slopes is not None:
                own["gradients"][targets] = slopes[at, :, : task.values.shape[1]]

    return evaluate_tasks(tasks(), "value_and_grad" if gradients else "value", device, finish)


def _shared(pairs: Pairs, sets: int) -> Iterator[tuple[list[int], np.ndarray, np.ndarray]]:
    """Observables that are measured on the same parameter sets: they, the sets, and which pairs (sets, observables)
    these are."""
    if not len(pairs.rows):
        return
    # Broadcasting pairs every set with as many observables as any other.
    order = np.argsort(pairs.rows, kind="stable").reshape(sets, -1)
    different, group = np.unique(pairs.columns[order], axis=0, return_inverse=True)
    for number, columns in enumerate(different):
        rows = np.flatnonzero(group.reshape(-1) == number)
        for start in range(0, len(columns), OBSERVABLES_PER_ROW):
            part = slice(start, start + OBSERVABLES_PER_ROW)
            yield columns[part].tolist(), rows, order[rows, part]


_WORK: dict[tuple[str, ...], Callable[[Chunk, Data, Any, list[str]], list[int]]] = {
    (*SAMPLED, *STATES): _states,
    SAMPLED: _trajectories,
    VALUES: _values,
}
"""What is done for which outputs."""
