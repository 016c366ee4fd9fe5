"""What a compiled call does: a block of rows, advanced by many steps.

Loss, gradient and update are fused in one loop; whether a row goes on is decided for each row and step inside it, so
that nothing depends on how many steps a call makes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import jaxsim
from ensembles import stopping, updates
from ensembles.keys import drawn_start, key_data
from ensembles.program import Row
from ensembles.schedule import STEPS_PER_CALL
from ensembles.steps import Objective

__all__ = ["Carry", "advance", "first_carry"]


class Carry(NamedTuple):
    """What a program takes from step to step; every leaf has the program as its first axis.

    Attributes:
        key: (2,) uint32, key data of the program's random numbers; never changes.
        parameters: where it is.
        optimizer_state: the optimiser's.
        patience: what its stopping rule remembers.
        step: int32, updates made; -1 before the start.
        rows: int32, state preparations used.
        active: whether there is more to do.
        converged: whether its stopping rule has ended it.
        failed: whether a loss or a gradient was not finite.
        best_value, best_parameters: the lowest loss seen, and where.
        final_value: the loss after the last update, once there is one.
    """

    key: Any
    parameters: Any
    optimizer_state: Any
    patience: Any
    step: Any
    rows: Any
    active: Any
    converged: Any
    failed: Any
    best_value: Any
    best_parameters: Any
    final_value: Any


def first_carry(rows: Sequence[Row], root: np.ndarray) -> Carry:
    """Carries of programs with equal merge keys before their first step, in NumPy.

    Args:
        rows: their rows.
        root: uint32 (2,), key data of the run's seed.

    Raises:
        ValueError: an optimiser that keeps a random key.
    """
    row, count = rows[0], len(rows)
    parameters = jax.tree.map(np.asarray, row.parameters)
    state = jax.eval_shape(updates.init, row.optimizer, parameters)
    key = jax.eval_shape(lambda: jax.random.key(0))
    value = jax.eval_shape(row.loss.value, parameters, row.data, key)

    def zeros(leaf: Any) -> np.ndarray:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            raise ValueError(
                "optimizer: this optax transformation keeps a random key (as optax.add_noise does), which can not "
                "be used here. Draw the noise in the loss of a Program, from its key."
            )
        return np.zeros((count, *leaf.shape), leaf.dtype)

    starts = jax.tree.map(lambda *own: np.stack(own), *(_start(row, root) for row in rows))
    return Carry(
        key=np.stack([key_data(root, row.words) for row in rows]),
        parameters=starts,
        optimizer_state=jax.tree.map(zeros, state),
        patience=stopping.fresh(count, value.dtype),
        step=np.full(count, -1, np.int32),
        rows=np.zeros(count, np.int32),
        active=np.ones(count, bool),
        converged=np.zeros(count, bool),
        failed=np.zeros(count, bool),
        best_value=np.full(count, np.inf, value.dtype),
        best_parameters=jax.tree.map(np.copy, starts),
        # Not NaN: jax_debug_nans would take it for an error.
        final_value=np.zeros(count, value.dtype),
    )


def _start(row: Row, root: np.ndarray) -> Any:
    """The parameters that a program starts from."""
    if not row.drawn:
        return row.parameters
    leaves, tree = jax.tree.flatten(row.parameters)
    masks = jax.tree.leaves(row.trained)
    drawn = drawn_start(root, row.words, sum(int(np.sum(mask)) for mask in masks))
    starts = []
    for leaf, mask in zip(leaves, masks, strict=True):
        start = np.zeros(np.shape(leaf), np.asarray(leaf).dtype)
        start[mask], drawn = drawn[: np.sum(mask)], drawn[np.sum(mask) :]
        starts.append(start)
    return jax.tree.unflatten(tree, starts)


def _begin(row: Row, carry: Carry) -> Carry:
    """The optimiser's first state, for a row that has not begun."""
    first = carry._replace(
        optimizer_state=updates.init(row.optimizer, carry.parameters),
        step=jnp.zeros_like(carry.step),
    )
    return _choose(carry.step < 0, first, carry)


def _choose(condition: Any, yes: Any, no: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)


def _advance_row(row: Row, carry: Carry) -> tuple[Carry, Any]:
    """One step of one program: evaluate, and update unless this was the last evaluation."""
    key = jax.random.fold_in(jax.random.wrap_key_data(carry.key, impl="threefry2x32"), carry.step)
    at_limit = carry.step >= row.steps
    objective = Objective(row.loss.value, row.data, key, row.trained, last=at_limit | ~carry.active)
    step = updates.step(row.optimizer, objective, carry.optimizer_state, carry.parameters)
    value = step.value
    patience, converged = stopping.decide(row.stopping, carry.patience, value, step.gradient_norm)
    converged = converged & ~at_limit
    last = at_limit | converged
    finite = jnp.isfinite(value) & (last | step.finite)
    good = carry.active & finite
    better = good & (value < carry.best_value)
    moves = good & ~last
    # The last evaluation needs the loss alone.
    rows = jnp.where(carry.active, jnp.where(good & last, 1, step.rows), 0)
    return Carry(
        key=carry.key,
        parameters=_choose(moves, step.parameters, carry.parameters),
        optimizer_state=_choose(moves, step.state, carry.optimizer_state),
        patience=_choose(good, patience, carry.patience),
        step=carry.step + moves.astype(carry.step.dtype),
        rows=carry.rows + rows.astype(carry.rows.dtype),
        active=moves,
        converged=carry.converged | (good & converged),
        failed=carry.failed | (carry.active & ~finite),
        best_value=jnp.where(better, value, carry.best_value),
        best_parameters=_choose(better, carry.parameters, carry.best_parameters),
        final_value=jnp.where(good & last, value, carry.final_value),
    ), value


@partial(jax.jit, compiler_options=jaxsim.compiler_options())
def advance(rows: Row, carry: Carry, budget: Any, least: Any) -> tuple[Carry, Any]:
    """A block advanced by up to `budget` steps; also the losses, (STEPS_PER_CALL, rows).

    Args:
        rows: stacked rows.
        carry: where they are.
        budget: () int32, most steps.
        least: () int32, with fewer rows than this left the call ends, so that others can take their places.

    Both numbers are traced and the loop ends when no row has more to do, so none of this compiles anything.
    """
    carry = jax.vmap(_begin)(rows, carry)
    losses = jnp.zeros((STEPS_PER_CALL, *carry.best_value.shape), carry.best_value.dtype)

    def more(state: tuple[Any, Carry, Any]) -> Any:
        count, carry, _ = state
        active = jnp.sum(carry.active, dtype=jnp.int32)
        return (count < budget) & (active > 0) & (active >= least)

    def body(state: tuple[Any, Carry, Any]) -> tuple[Any, Carry, Any]:
        count, carry, losses = state
        carry, values = jax.vmap(_advance_row)(rows, carry)
        return count + 1, carry, lax.dynamic_update_index_in_dim(losses, values, count, 0)

    _, carry, losses = lax.while_loop(more, body, (jnp.int32(0), carry, losses))
    return carry, losses
