"""The compiled driver: pure-JAX programs, many steps a call.

One jitted function a group advances a block of rows by up to K steps, loss, gradient and update fused in one
loop; whether a row goes on is decided for each row and step inside. Between calls the host looks who has
ended and gives their lanes to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import jaxsim
from ensembles import optimizers
from ensembles.planner import Group, Plan, group_programs, resident_blocks
from ensembles.program import Row
from ensembles.schedule import STEPS_PER_CALL, Lanes, calls_of_flush
from ensembles.steps import Objective

__all__ = ["Carry", "CompiledRun", "Counts", "Outcome"]

_BUDGET = np.int32(STEPS_PER_CALL)


class Carry(NamedTuple):
    """What a program takes from step to step; every leaf has the program as its first axis.

    Attributes:
        parameters: where it is.
        optimizer_state: the optimiser's.
        step: int32, updates made; -1 before the start.
        active: whether there is more to do.
        failed: whether a loss or a gradient was not finite.
        best_value, best_parameters: the lowest loss seen, and where.
        final_value: the loss after the last update, once there is one.
    """

    parameters: Any
    optimizer_state: Any
    step: Any
    active: Any
    failed: Any
    best_value: Any
    best_parameters: Any
    final_value: Any


# inside the call ------------------------------------------------------------------------------------------


def _program_key(root: Any, words: Any) -> Any:
    key = jax.random.wrap_key_data(root, impl="threefry2x32")
    for k in range(4):
        key = jax.random.fold_in(key, words[k])
    return key


def _start(row: Row, carry: Carry, root: Any) -> Carry:
    """A row's first state if it has not started, else what it is."""
    fresh = carry.step < 0
    leaves, tree = jax.tree.flatten(row.parameters)
    keys = jax.random.split(jax.random.fold_in(_program_key(root, row.words), 0), len(leaves))
    # The difference is exact and there is one product: no multiply-add whose rounding a compiler could
    # choose.
    drawn = [
        jax.random.uniform(key, leaf.shape, leaf.dtype, -0.5, 0.5) * (2 * np.pi)
        for key, leaf in zip(keys, leaves, strict=True)
    ]
    parameters = jax.tree.map(
        lambda given, random: jnp.where(row.drawn, random, given),
        row.parameters,
        jax.tree.unflatten(tree, drawn),
    )
    first = carry._replace(
        parameters=parameters,
        optimizer_state=optimizers.init(row.optimizer, parameters),
        step=jnp.zeros_like(carry.step),
        best_parameters=parameters,
    )
    return _choose(fresh, first, carry)


def _choose(condition: Any, yes: Any, no: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)


def _advance_row(row: Row, carry: Carry, root: Any) -> tuple[Carry, Any]:
    """One step of one program: evaluate, and update unless this was the last evaluation."""
    key = jax.random.fold_in(jax.random.fold_in(_program_key(root, row.words), 1), carry.step)
    objective = Objective(row.loss.value, row.data, key, row.trained)
    step = optimizers.step(row.optimizer, objective, carry.optimizer_state, carry.parameters)
    value = step.value
    last = carry.step >= row.steps
    finite = jnp.isfinite(value) & (last | step.finite)
    good = carry.active & finite
    better = good & (value < carry.best_value)
    moves = good & ~last
    return Carry(
        parameters=_choose(moves, step.parameters, carry.parameters),
        optimizer_state=_choose(moves, step.state, carry.optimizer_state),
        step=carry.step + moves.astype(carry.step.dtype),
        active=moves,
        failed=carry.failed | (carry.active & ~finite),
        best_value=jnp.where(better, value, carry.best_value),
        best_parameters=_choose(better, carry.parameters, carry.best_parameters),
        final_value=jnp.where(good & last, value, carry.final_value),
    ), value


@partial(jax.jit, compiler_options=jaxsim.compiler_options())
def _advance(rows: Row, carry: Carry, root: Any, budget: Any) -> tuple[Carry, Any]:
    """A block advanced by up to `budget` steps; also the losses, (STEPS_PER_CALL, rows).

    The budget is a traced number and the loop ends when no row has more to do, so neither compiles anything.
    """
    carry = jax.vmap(_start, in_axes=(0, 0, None))(rows, carry, root)
    losses = jnp.zeros((STEPS_PER_CALL, *carry.best_value.shape), carry.best_value.dtype)

    def more(state: tuple[Any, Carry, Any]) -> Any:
        count, carry, _ = state
        return (count < budget) & jnp.any(carry.active)

    def body(state: tuple[Any, Carry, Any]) -> tuple[Any, Carry, Any]:
        count, carry, losses = state
        carry, values = jax.vmap(_advance_row, in_axes=(0, 0, None))(rows, carry, root)
        return count + 1, carry, lax.dynamic_update_index_in_dim(losses, values, count, 0)

    _, carry, losses = lax.while_loop(more, body, (jnp.int32(0), carry, losses))
    return carry, losses


# between the calls ----------------------------------------------------------------------------------------


Places = tuple[int, ...]
"""Which programs of a group sit in a block, by their place in the group."""


class _GroupStore:
    """The rows and states of a group, program by program in NumPy, block by block on the device while they
    run."""

    def __init__(self, group: Group, rows: Sequence[Row]) -> None:
        self.group = group
        self.key = rows[0].key
        self.rows = jax.tree.map(lambda *leaves: np.stack(leaves), *rows)
        self.place = {program: k for k, program in enumerate(group.programs)}
        self.carry = _empty_carry(rows[0], len(rows))
        self.resident: dict[Places, tuple[Any, Any]] = {}

    def block(self, places: Places, size: int) -> tuple[Any, Any]:
        """Rows and carry of a block, padded with inactive copies of its first row."""
        if places in self.resident and len(self.resident[places][1].step) == size:
            return self.resident[places]
        # Whoever sits in other blocks comes back to the host first.
        for other in [o for o in self.resident if set(o) & set(places)]:
            self.store(other)
        index = np.array(places + (places[0],) * (size - len(places)))
        rows, carry = jax.tree.map(lambda leaf: leaf[index], (self.rows, self.carry))
        carry.active[len(places) :] = False
        return jax.device_put(rows), carry

    def keep(self, places: Places, rows: Any, carry: Any) -> None:
        """Leaves a block on the device for its next call."""
        self.resident[places] = (rows, carry)

    def store(self, places: Places) -> None:
        """Brings a block's carry back to the host."""
        _, carry = self.resident[places]
        index = np.array(places)
        for mine, theirs in zip(jax.tree.leaves(self.carry), jax.tree.leaves(carry), strict=True):
            mine[index] = np.asarray(theirs)[: len(places)]
        del self.resident[places]

    def resident_bytes(self) -> int:
        """Bytes of the blocks that are on the device now."""
        rows = sum(len(carry.step) for _, carry in self.resident.values())
        return rows * self.group.block_bytes() // self.group.rows_per_block

    def store_all(self) -> None:
        """Brings every carry back to the host."""
        for places in list(self.resident):
            self.store(places)


def _empty_carry(row: Row, count: int) -> Carry:
    """Carries of programs that have not started."""
    parameters = jax.tree.map(np.asarray, row.parameters)
    state = jax.eval_shape(optimizers.init, row.optimizer, parameters)
    key = jax.eval_shape(lambda: jax.random.key(0))
    value = jax.eval_shape(row.loss.value, parameters, row.data, key)

    def zeros(leaf: Any) -> np.ndarray:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            raise ValueError(
                "optimizer: this optax transformation keeps a random key (as optax.add_noise does), which can not "
                "be used here. Draw the noise in the loss of a Program, from its key."
            )
        return np.zeros((count, *leaf.shape), leaf.dtype)

    return Carry(
        parameters=jax.tree.map(zeros, parameters),
        optimizer_state=jax.tree.map(zeros, state),
        step=np.full(count, -1, np.int32),
        active=np.ones(count, bool),
        failed=np.zeros(count, bool),
        best_value=np.full(count, np.inf, value.dtype),
        best_parameters=jax.tree.map(zeros, parameters),
        # Not NaN: jax_debug_nans would take it for an error.
        final_value=np.zeros(count, value.dtype),
    )


class Outcome(NamedTuple):
    """How one program ended; arrays on the host."""

    status: str
    steps: int
    history: np.ndarray
    best_value: float
    best_parameters: Any
    final_value: float
    final_parameters: Any
    failed_value: float | None


class Counts(NamedTuple):
    """What has happened so far."""

    flushes: int = 0
    calls: int = 0
    blocks: int = 0
    rows: int = 0
    padded_rows: int = 0
    largest_call: int = 0


class CompiledRun:
    """Runs the programs of an ensemble as a plan says, from the first flush to the last.

    Args:
        plan: the plan.
        names: the programs' names, in the ensemble's order.
        rows: their rows.
        root: uint32 (2,), key data of the root key.
        report: called after each flush with (steps made, programs ended, calls).
    """

    def __init__(
        self,
        plan: Plan,
        names: Sequence[Any],
        rows: Sequence[Row],
        root: np.ndarray,
        report: Callable[[int, int, int], None],
    ) -> None:
        self.plan, self.config, self.names, self.root = plan, plan.config, list(names), root
        self.report, self.limit = report, plan.config.resolved_memory_limit()
        self.groups, members = group_programs(rows)
        self.stores = [
            _GroupStore(group, [rows[p] for p in m]) for group, m in zip(plan.groups, members, strict=True)
        ]
        self.losses: list[list[np.ndarray]] = [[] for _ in rows]
        self.ended = np.zeros(len(rows), bool)
        self.counts = Counts()
        self.interrupted = False

    def run(self) -> None:
        """All flushes. Ctrl-C ends the run after the call in flight; `interrupted` says so."""
        try:
            self._run()
        except KeyboardInterrupt:
            self.interrupted = True

    def _run(self) -> None:
        lanes = Lanes(len(self.ended), self.config)
        steps_made = 0
        while lanes.under_way:
            for flush in lanes.walk():
                steps_made += self._flush(flush)
                for program in flush:
                    if self.ended[program]:
                        lanes.leave(program)
                self.report(steps_made, int(self.ended.sum()), self.counts.calls)
                if self.interrupted:
                    return

    def _flush(self, flush: list[int]) -> int:
        steps = calls = blocks = rows = padded = largest = 0
        for number, programs in calls_of_flush(flush, self.groups, self.names, self.config):
            store = self.stores[number]
            size = store.group.block_size(len(programs))
            places = [store.place[p] for p in programs]
            cuts = [tuple(places[i : i + size]) for i in range(0, len(places), size)]
            at_a_time = resident_blocks(store.group, size, self.limit)
            for first in range(0, len(cuts), at_a_time):
                if not self.interrupted:
                    steps += self._run_blocks(store, cuts[first : first + at_a_time], size)
                if at_a_time < len(cuts):
                    store.store_all()
            if sum(other.resident_bytes() for other in self.stores) > self.limit:
                for other in self.stores:
                    other.store_all()
            calls, blocks, rows = calls + 1, blocks + len(cuts), rows + len(places)
            padded, largest = padded + len(cuts) * size - len(places), max(largest, len(places))
        c = self.counts
        self.counts = Counts(
            c.flushes + 1, c.calls + calls, c.blocks + blocks, c.rows + rows, c.padded_rows + padded,
            max(c.largest_call, largest),
        )  # fmt: skip
        return steps

    def _run_blocks(self, store: _GroupStore, cuts: Sequence[Places], size: int) -> int:
        """Sends blocks off, then takes in what they did.

        After an interruption blocks under way are finished and taken in as well; those not begun stay as they
        were.
        """
        blocks = [(places, *store.block(places, size)) for places in cuts]
        sent: list[Future] = []
        try:
            arguments = [(rows, carry, self.root, _BUDGET) for _, rows, carry in blocks]
            sent = jaxsim.submit_blocks(_advance, arguments, (store.key, size))
            for future in sent:
                jax.block_until_ready(future.result())
        except KeyboardInterrupt:
            self.interrupted = True
            for future in sent:
                future.cancel()
        made = 0
        for (places, rows, before), future in zip(blocks, sent, strict=False):
            if future.cancelled():
                continue
            carry, losses = future.result()
            first = np.maximum(np.asarray(before.step), 0)
            steps = np.asarray(carry.step) - first
            active, values = np.asarray(carry.active), np.asarray(losses)
            for k, place in enumerate(places):
                program = store.group.programs[place]
                self.losses[program].append(values[: steps[k] + (not active[k]), k].copy())
                self.ended[program] = not active[k]
                made += int(steps[k])
            store.keep(places, rows, carry)
            if not active[: len(places)].any():
                store.store(places)
        return made

    def outcomes(self) -> list[Outcome]:
        """How every program ended, or where it is."""
        found: dict[int, Outcome] = {}
        for store in self.stores:
            store.store_all()
            for place, program in enumerate(store.group.programs):
                carry = jax.tree.map(lambda leaf, k=place: leaf[k], store.carry)
                found[program] = self._outcome(program, carry)
        return [found[program] for program in range(len(self.ended))]

    def _outcome(self, program: int, carry: Carry) -> Outcome:
        steps = max(int(carry.step), 0)
        losses = np.concatenate(self.losses[program]) if self.losses[program] else np.zeros(0)
        status = "failed" if carry.failed else "completed" if self.ended[program] else "cancelled"
        started = carry.step >= 0
        copied = jax.tree.map(np.array, carry)
        return Outcome(
            status=status,
            steps=steps,
            history=losses[:steps],
            best_value=float(carry.best_value) if np.isfinite(carry.best_value) else float("nan"),
            best_parameters=copied.best_parameters if started else None,
            final_value=float(carry.final_value) if status == "completed" else float("nan"),
            final_parameters=copied.parameters if started else None,
            failed_value=float(losses[steps]) if carry.failed else None,
        )
