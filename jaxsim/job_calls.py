"""Many lowered circuits in few compiled calls: rows of one merge key together, each kernel compiled once a process."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from jaxsim import batch
from jaxsim.circuit import Circuit
from jaxsim.lowering.cost import choose
from jaxsim.lowering.direct import is_direct

if TYPE_CHECKING:
    from jaxtyping import Float, Int

__all__ = ["Part", "Task", "evaluate_tasks", "job_engine", "on_device", "runs_direct"]

ROWS_PER_CALL = 2048
BYTES_PER_CALL = 2**26
"""Most rows, and bytes of states, that are handed to `evaluate` at a time."""

DIRECT_WIRES = 12
"""Up to so many qubits a circuit that runs once is faster done in steps than brought into layers."""

UNIVERSAL_WIRES = 22
"""Up to so many qubits a circuit that runs once is faster done by a kernel that serves all circuits than by one of its
own, which would have to be compiled."""


@dataclass(frozen=True)
class Task:
    """A lowered circuit with the parameter sets it runs on.

    Attributes:
        place: position of the item in its chunk.
        lowered: the circuit.
        values: (rows, parameters), one row for each parameter set.
        targets: where results go: (rows,) or (rows, observables).
    """

    place: int
    lowered: batch.Lowered
    values: Float[np.ndarray, "rows parameters"]
    targets: Int[np.ndarray, "rows ..."]


class Part(NamedTuple):
    """Rows of a task in a call.

    Attributes:
        task: the task.
        rows: which of its rows.
        at: where their results are in those of the call.
    """

    task: Task
    rows: slice
    at: slice


def runs_direct(circuit: Circuit, asked: str) -> bool:
    """Whether a circuit whose state is wanted runs as it stands, by `jaxsim.direct`; a function of it alone."""
    return asked == "auto" and circuit.num_wires <= DIRECT_WIRES and is_direct(circuit)


def job_engine(circuit: Circuit, asked: str, *, keep_phase: bool) -> str:
    """The engine for a circuit of a job: a function of the circuit alone.

    A circuit without parameters runs once, so that the time it takes to lower it, and to compile if structure is
    compiled in, counts as much as the time it runs.
    """
    if asked != "auto" or circuit.num_parameters or circuit.operands:
        return asked
    if circuit.num_wires <= DIRECT_WIRES:
        return "rotations"
    choice = choose(circuit, keep_phase=keep_phase)
    if choice.engine == "fused" and circuit.num_wires <= UNIVERSAL_WIRES:
        return min(choice.costs.keys() - {"fused"}, key=choice.costs.__getitem__)
    return choice.engine


def evaluate_tasks(
    tasks: Iterable[Task], want: Any, device: Any, finish: Callable[[list[Part], Any], None]
) -> list[int]:
    """Runs all rows of the tasks and hands on their results, those of a task in order.

    Args:
        tasks: any; those of one merge key share calls.
        want: as for `evaluate`.
        device: what runs them; kernels are compiled for each.
        finish: takes rows and their results.

    Returns:
        The number of rows of each call.
    """
    groups: dict[Hashable, list[Task]] = {}
    for task in tasks:
        groups.setdefault(task.lowered.key, []).append(task)
    calls: list[int] = []
    for key, members in groups.items():
        for parts in _parts(members, want):
            values = _values_of(parts)
            calls.append(len(values))
            finish(parts, _compiled_once(_stacked(parts), values, want, (key, device)))
    return calls


def _parts(tasks: list[Task], want: str) -> Iterator[list[Part]]:
    """The rows of all tasks, in calls whose states fit in memory."""
    first, most = tasks[0].lowered, ROWS_PER_CALL
    if want == "statevector":
        most = max(1, min(most, BYTES_PER_CALL // (first.dtype.itemsize * 2**first.num_wires)))
    parts: list[Part] = []
    filled = 0
    for task in tasks:
        start, count = 0, len(task.values)
        while start < count:
            taken = min(count - start, most - filled)
            parts.append(Part(task, slice(start, start + taken), slice(filled, filled + taken)))
            start, filled = start + taken, filled + taken
            if filled == most:
                yield parts
                parts, filled = [], 0
    if parts:
        yield parts


def _values_of(parts: list[Part]) -> np.ndarray:
    count = parts[-1].at.stop
    values = np.zeros((count, max(int(part.task.lowered.num_parameters) for part in parts)))
    for task, rows, at in parts:
        values[at, : task.values.shape[1]] = task.values[rows]
    return values


def _stacked(parts: list[Part]) -> batch.Lowered:
    if len(parts) == 1:
        # One circuit on many parameter sets: its arrays need not be copied.
        own, count = parts[0].task.lowered, parts[0].at.stop
        return jax.tree.map(lambda leaf: np.broadcast_to(leaf, (count, *np.shape(leaf))), own)
    return batch.stack([part.task.lowered for part in parts for _ in range(part.at.stop - part.at.start)])


# compilation ----------------------------------------------------------------------------------------------

_ready: set[Hashable] = set()
_locks: dict[Hashable, threading.Lock] = {}
_guard = threading.Lock()


def _compiled_once(stacked: batch.Lowered, values: np.ndarray, want: Any, key: Hashable) -> Any:
    """`evaluate`; of several threads that need a kernel that is not compiled yet, one compiles it."""
    count = len(values)
    size = batch.block_size(count, stacked)
    signature = (key, want, size, jax.config.read("jax_enable_x64"))
    if signature in _ready:
        return batch.evaluate(stacked, values, want)
    with _guard:
        lock = _locks.setdefault(signature, threading.Lock())
    # The others wait for one block, not for all rows. A single row would have a kernel of its own.
    first = size - 1 if count - size == 1 and size > 1 else min(size, count)
    if len(set(stacked.num_parameters.tolist())) > 1:
        first = count

    def run(part: slice) -> Any:
        return batch.evaluate(jax.tree.map(lambda leaf: leaf[part], stacked), values[part], want)

    with lock:
        begun = run(slice(0, first))
        _ready.add(signature)
    if first == count:
        return begun
    return jax.tree.map(lambda *parts: np.concatenate(parts), begun, run(slice(first, count)))


def on_device(device: Any) -> contextlib.AbstractContextManager[Any]:
    """Runs what is inside on a device; None: on the one that is set."""
    return contextlib.nullcontext() if device is None else jax.default_device(device)
