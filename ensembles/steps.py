"""One step of training: what an update rule may ask of a program, and what it answers.

The compiled driver makes an `Objective` for every row and step, and the row's optimiser turns it into a `Step`
(`updates.step`). Rules that follow one gradient share `gradient_step`; others, such as SPSA, ask for what they need.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ensembles.vectors import flat, length

__all__ = ["Objective", "Step", "all_finite", "gradient_rows", "gradient_step", "norm"]


class Objective(NamedTuple):
    """A program's loss at one step, for one row.

    A loss is a function of (parameters, data, key). It may have attributes that say more of it than a function can:
    ``value_and_grad(parameters, data, key)``, its own estimate of the gradient, and ``gradient_rows(data)``, how many
    state preparations that takes; ``metric(parameters, data, approximation)``, the Fisher information;
    ``frequencies(data)``, those that it has in each parameter.

    Attributes:
        loss: the loss.
        data: what it takes besides parameters and key.
        key: random key of this program and this step.
        trained: pytree of bool like the parameters: False where there is nothing but padding, whose derivatives are
            zero.
        last: () bool, whether only the loss at the parameters is wanted, because no update follows. Rules with loops
            inside a step then leave them out.
    """

    loss: Any
    data: Any
    key: Any
    trained: Any
    last: Any = False

    def value(self, parameters: Any, draw: Any = None) -> Any:
        """The loss; `draw` >= 1 numbers further evaluations of a step, each with random numbers of its own."""
        return self.loss(parameters, self.data, self._key(draw))

    def value_and_grad(self, parameters: Any, draw: Any = None) -> tuple[Any, Any]:
        """The loss and its derivatives."""
        own = getattr(self.loss, "value_and_grad", None) or jax.value_and_grad(self.loss)
        return own(parameters, self.data, self._key(draw))

    def gradient_rows(self) -> Any:
        """State preparations of one `value_and_grad`, an integer."""
        return gradient_rows(self.loss, self.data)

    def metric(self, parameters: Any, approximation: str = "full") -> Any:
        """The Fisher information matrix of the state by the parameters laid out in a vector; its diagonal for
        approximation="diagonal"."""
        return self.loss.metric(parameters, self.data, approximation)

    def frequencies(self) -> Any:
        """(parameters, room): the angular frequencies in each parameter, multiples of the first, and zeros."""
        return self.loss.frequencies(self.data)

    def rule_key(self) -> Any:
        """A key for random numbers of the rule's own, which no evaluation has."""
        return jax.random.fold_in(self.key, _RULE)

    def _key(self, draw: Any) -> Any:
        return self.key if draw is None else jax.random.fold_in(self.key, draw)


_RULE = 0x52554C45


class Step(NamedTuple):
    """What one step found and did.

    Attributes:
        value: the loss at the parameters before the update.
        parameters, state: after the update.
        finite: () bool, whether all that the update was made of is finite.
        gradient_norm: () Euclidean norm of the derivatives at the parameters before the update; 0 for rules without.
        rows: () int32, state preparations used.
    """

    value: Any
    parameters: Any
    state: Any
    finite: Any
    gradient_norm: Any
    rows: Any


def gradient_rows(loss: Callable[..., Any], data: Any) -> Any:
    """State preparations of one value and gradient: 1, unless the loss says otherwise."""
    own = getattr(loss, "gradient_rows", None)
    return 1 if own is None else own(data)


def norm(gradients: Any, zero: Any) -> Any:
    """Euclidean norm over a pytree of real arrays, (); its bits do not depend on company or padding."""
    return length(flat(gradients)[0], zero)


def all_finite(tree: Any) -> Any:
    """Whether a pytree holds finite numbers only, () bool."""
    finite = jnp.bool_(True)
    for leaf in jax.tree.leaves(tree):
        finite = finite & jnp.all(jnp.isfinite(leaf))
    return finite


def gradient_step(
    update: Callable[[Any, Any, Any, Any], tuple[Any, Any]],
    objective: Objective,
    state: Any,
    parameters: Any,
    zero: Any,
) -> Step:
    """A step of a rule that follows the gradient at the parameters.

    Args:
        update: function of (gradients, state, parameters, value) to (parameters, state).
        objective: the loss.
        state: the rule's.
        parameters: where the program is.
        zero: the optimiser's, for `norm`.
    """
    value, gradients = objective.value_and_grad(parameters)
    new_parameters, new_state = update(gradients, state, parameters, value)
    return Step(
        value=value,
        parameters=new_parameters,
        state=new_state,
        finite=all_finite(gradients),
        gradient_norm=norm(gradients, zero),
        rows=jnp.asarray(objective.gradient_rows(), jnp.int32),
    )
