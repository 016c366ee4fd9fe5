"""Circuits that run once: one kernel for all of a size, whatever their gates and however many.

The kernel takes the states of a block of circuits through at most `STEPS` steps, which are data; longer circuits
are several calls. It is compiled in the background while circuits are being lowered.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxsim import kernels
from jaxsim.compilation import compiler_options
from jaxsim.compile_count import compilations_of_thread, count_compilations
from jaxsim.lowering.direct import DirectSteps, lower_direct
from jaxsim.threads import in_background, rows_of_states, submit_blocks

if TYPE_CHECKING:
    from jaxtyping import Array, Complex, Int

    from jaxsim.circuit import Circuit

__all__ = ["DirectKernel", "States"]

STEPS = 64
"""Steps of a call."""

BYTES_AT_A_TIME = 2**22
"""States that are under way while those before them are used."""

IDLE = np.array([0, 0, 1 << 30], np.int32)
"""Masks of a step that does nothing: no basis state has that bit."""


@partial(jax.jit, compiler_options=compiler_options())
def _block(
    states: Complex[Array, "rows dim"],
    masks: Int[Array, "steps rows 3"],
    entries: Complex[Array, "steps rows 4"],
    count: Int[Array, ""],
) -> Complex[Array, "rows dim"]:
    def body(k: Array, states: Array) -> Array:
        own, factors = (lax.dynamic_index_in_dim(a, k, keepdims=False) for a in (masks, entries))
        x, z, controls = (own[:, i] for i in range(3))
        step = kernels.TwoLevel(x, z, jnp.stack([controls, controls], axis=-1), factors)
        return jax.vmap(kernels.two_level)(states, step)

    return lax.fori_loop(0, count, body, states)


class States(NamedTuple):
    """Final states.

    Attributes:
        rows: which circuits.
        states: (rows, dim).
    """

    rows: Int[np.ndarray, " rows"]
    states: Complex[np.ndarray, "rows dim"]


class DirectKernel:
    """The kernel of a number of qubits, on the device and with the options of JAX that are in force now.

    Args:
        num_wires: number of qubits.
        dtype: complex dtype of states.
    """

    def __init__(self, num_wires: int, dtype: np.dtype) -> None:
        self.num_wires = num_wires
        self.dtype = dtype
        self.rows = rows_of_states(num_wires)
        self._start = np.zeros((self.rows, 2**num_wires), dtype)
        self._start[:, 0] = 1
        self._compiling, self._is_first = self._compiled()

    def _compiled(self) -> tuple[Future[int], bool]:
        """Compiles in the background, once a process. The future's result is how many compilations that took; and
        whether it was begun here."""
        device = getattr(jax.config, "jax_default_device", None)
        key = (self.num_wires, self.dtype.str, str(device), bool(jax.config.read("jax_enable_x64")))
        with _guard:
            known = _compiling.get(key)
            # What has failed may succeed now: there may not have been enough memory.
            if known is None or (known.done() and known.exception() is not None):
                _compiling[key] = in_background(self._compile)
            return _compiling[key], _compiling[key] is not known

    def _compile(self) -> int:
        before = compilations_of_thread()
        self._through(
            np.broadcast_to(IDLE, (STEPS, self.rows, 3)), np.zeros((STEPS, self.rows, 4), self.dtype), 0
        )
        return compilations_of_thread() - before

    def run(self, circuits: Sequence[Circuit]) -> Iterator[States]:
        """The final states of circuits, in no order: while some are used, the next are under way."""
        size = max(self.rows, BYTES_AT_A_TIME // (self.dtype.itemsize << self.num_wires))
        waiting: list[tuple[np.ndarray, Future[Any]]] = []
        for start in range(0, len(circuits), size):
            steps = lower_direct(circuits[start : start + size])
            blocks = list(self._blocks(steps))
            compiled = self._compiling.result()
            if self._is_first and not start:
                count_compilations(compiled)
            key: Hashable = (DirectKernel, self.num_wires, self.dtype.str)
            sent = submit_blocks(self._through, [arguments for _, arguments in blocks], key)
            yield from self._finished(waiting)
            waiting = [(start + rows, future) for (rows, _), future in zip(blocks, sent)]
        yield from self._finished(waiting)

    def _finished(self, waiting: list[tuple[np.ndarray, Future[Any]]]) -> Iterator[States]:
        for rows, future in waiting:
            yield States(rows, np.asarray(future.result())[: len(rows)])

    def _blocks(self, steps: DirectSteps) -> Iterator[tuple[np.ndarray, tuple[np.ndarray, np.ndarray, int]]]:
        """Circuits of a block, and its steps: circuits of a length go together."""
        ends = np.cumsum(steps.counts)
        order = np.argsort(steps.counts, kind="stable")
        for start in range(0, len(order), self.rows):
            rows = order[start : start + self.rows]
            counts = steps.counts[rows]
            length = int(counts.max())
            room = max(-(-length // STEPS), 1) * STEPS
            column = np.repeat(np.arange(len(rows)), counts)
            place = np.arange(len(column)) - np.repeat(np.cumsum(counts) - counts, counts)
            taken = np.repeat(ends[rows] - counts, counts) + place
            masks = np.empty((room, self.rows, 3), np.int32)
            masks[...] = IDLE
            entries = np.zeros((room, self.rows, 4), self.dtype)
            masks[place, column] = steps.masks[taken]
            entries[place, column] = steps.entries[taken]
            yield rows, (masks, entries, length)

    def _through(self, masks: np.ndarray, entries: np.ndarray, length: int) -> Any:
        states: Any = self._start
        for start in range(0, max(length, 1), STEPS):
            part = slice(start, start + STEPS)
            states = _block(states, masks[part], entries[part], np.int32(min(length - start, STEPS)))
        return states


_compiling: dict[Hashable, Future[int]] = {}
_guard = threading.Lock()
