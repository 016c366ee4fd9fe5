"""What a compiled call will do is tried out on shapes before anything runs: what cannot be done is refused, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ensembles import names, updates
from ensembles.optimizers import RULES, Identity
from ensembles.program import Program, Row
from ensembles.steps import Objective
from ensembles.subjects import Hosting, LossSubject

__all__ = ["check_hostings", "check_rows"]


def check_rows(programs: Sequence[tuple[names.Name, Program]], rows: Sequence[Row]) -> None:
    """Refuses losses and update rules that could not run; each that differs is looked at once, never each program.

    Args:
        programs: names and compiled programs.
        rows: theirs.

    Raises:
        ValueError: a loss that is no real scalar, cannot be evaluated, or cannot be differentiated where the rule
            follows the gradient; an optax transformation that does not fit the parameters, or keeps a random key.
    """
    seen: set[Any] = set()
    for (name, program), row in zip(programs, rows, strict=True):
        if row.key in seen:
            continue
        seen.add(row.key)
        who = _who(name, program)
        for check, about in (
            (_check_loss, (row.parameters, row.data)),
            (_check_gradient, (row.parameters, row.data, row.optimizer.has_gradient)),
        ):
            what = (check, row.loss, _shapes(about))
            if what not in seen:
                seen.add(what)
                check(who, row)
        _check_rule(who, row)


def check_hostings(programs: Sequence[tuple[names.Name, Program]], hostings: Sequence[Hosting]) -> None:
    """The same for losses that hosted optimisers minimise; whether they can be differentiated is their own affair."""
    seen = set()
    for (name, program), hosting in zip(programs, hostings, strict=True):
        if isinstance(hosting.subject, LossSubject) and hosting.subject.key not in seen:
            seen.add(hosting.subject.key)
            start = hosting.subject.parameters(np.zeros(hosting.subject.num_parameters))
            _check_scalar(_who(name, program), hosting.subject.loss, start, hosting.subject.row)


def _who(name: names.Name, program: Program) -> str:
    return f"program {names.display_name(name)!r} ({program.describe()})"


def _shapes(tree: Any) -> Any:
    leaves, structure = jax.tree.flatten(tree)
    return structure, tuple((np.shape(leaf), np.asarray(leaf).dtype.str) for leaf in leaves)


def _key() -> Any:
    return jax.eval_shape(lambda: jax.random.key(0, impl="threefry2x32"))


def _check_loss(who: str, row: Row) -> None:
    _check_scalar(who, row.loss.value, row.parameters, row.data)


def _check_scalar(who: str, loss: Callable[..., Any], parameters: Any, data: Any) -> None:
    returned: list[Any] = []

    def watched(*arguments: Any) -> Any:
        returned.append(loss(*arguments))
        return returned[-1]

    try:
        value = jax.eval_shape(watched, parameters, data, _key())
    except Exception as error:
        raise ValueError(f"The loss of {who} cannot be evaluated: {type(error).__name__}: {error}") from error
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape != () or dtype is None or not np.issubdtype(dtype, np.floating):
        raise ValueError(f"The loss of {who} must return a real scalar, but returns {value}.")
    if isinstance(returned[-1], float):
        raise ValueError(
            f"The loss of {who} must return a JAX value, but returns the Python number {returned[-1]!r}, which does "
            "not depend on the parameters."
        )


def _check_gradient(who: str, row: Row) -> None:
    """In a block, as it will run. Losses of the package have derivatives, and tracing those takes long."""
    if not row.optimizer.has_gradient or _of_the_package(row.loss.value):
        return

    def gradient(parameters: Any, data: Any, key: Any) -> Any:
        return Objective(row.loss.value, data, key, row.trained).value_and_grad(parameters)

    block = jax.tree.map(lambda leaf: np.asarray(leaf)[None], (row.parameters, row.data))
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0, impl="threefry2x32"), 1))
    try:
        jax.eval_shape(jax.vmap(gradient), *block, keys)
    except Exception as error:
        raise ValueError(
            f"The loss of {who} cannot be differentiated in a block of rows, but {row.optimizer.kind} follows the "
            f"gradient: {type(error).__name__}: {error}\nTake an optimiser that needs none, for example "
            "ensembles.spsa(0.1), or give the loss a derivative (jax.custom_jvp)."
        ) from error


def _of_the_package(loss: Any) -> bool:
    return str(getattr(loss, "__module__", "")).startswith(f"{__package__}.")


def _check_rule(who: str, row: Row) -> None:
    """A step of what users may have written: an optax transformation, or a schedule of one of ours."""
    optimizer, rule = row.optimizer, RULES.get(row.optimizer.kind)
    given = any(isinstance(value, Identity) for _, value in optimizer.static)
    if not given or (rule is not None and rule.optax_rule is None):
        return

    def step(parameters: Any) -> Any:
        state = updates.init(optimizer, parameters)
        return state, updates.update(optimizer, parameters, state, parameters, jnp.float32(0))[1]

    try:
        before, after = jax.eval_shape(step, row.parameters)
    except Exception as error:
        raise ValueError(
            f"The optimizer of {who} cannot make a step: {type(error).__name__}: {error}"
        ) from error
    leaves = jax.tree.leaves(before)
    if any(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in leaves):
        raise ValueError(
            f"The optimizer of {who} keeps a random key, as optax.add_noise does, which cannot be used here. Draw the "
            "noise in the loss of a Program, from its key."
        )
    if [leaf.shape for leaf in leaves] != [leaf.shape for leaf in jax.tree.leaves(after)]:
        raise ValueError(
            f"The optimizer of {who} has a state whose shapes change from step to step; they must stay."
        )
