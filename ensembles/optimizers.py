"""Optimisers as mergeable pytrees: update rules whose hyperparameters are data.

An `Optimizer` is a registered pytree. Its static part is the name of a rule and its settings, so it says what
gets compiled; its leaves are the hyperparameters, strong float32 scalars, so programs with different learning
rates share one compiled call. The rules are the rows of a table, `RULES`. The signature of a public function is its
row: parameters whose default is True or False, and those the row names as settings, are static, the others
hyperparameters, and a hyperparameter left at None is absent.

The functions are in `ensembles.rules`; what an optimiser does inside a call is in `ensembles.updates`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ParamSpec

import jax
import optax

from ensembles.hyperparameters import checked_number, true_or_false
from ensembles.rounding import ZERO
from ensembles.schedules import Schedule as DataSchedule
from ensembles.steps import Objective, Step

__all__ = [
    "CLIPPING",
    "RULES",
    "Identity",
    "Optimizer",
    "Rule",
    "as_optimizer",
    "check_loss",
    "clipped",
    "rule",
    "static_settings",
    "with_hyperparameters",
]

_P = ParamSpec("_P")


class Identity:
    """A static value that equals only itself: the object given, not one that looks like it.

    >>> Identity(optax.adam(0.1)) == Identity(optax.adam(0.1))
    False
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and self.value is other.value

    def __hash__(self) -> int:
        return hash(id(self.value))

    def __repr__(self) -> str:
        return f"<{getattr(self.value, '__qualname__', type(self.value).__name__)} at {id(self.value):#x}>"


@partial(
    jax.tree_util.register_dataclass, data_fields=["hyperparameters", "zero"], meta_fields=["kind", "static"]
)
@dataclass(frozen=True, repr=False)
class Optimizer:
    """An update rule and its hyperparameters; made by `adam`, `sgd`, ... or `as_optimizer`.

    A pytree: optimisers with equal tree structure differ in numbers only and share compiled calls.

    Attributes:
        kind: name of the row in `RULES`, or "optax" for an optax transformation used as given.
        static: pairs (name, value) of what is compiled in: flags and settings, and optax schedules or
            transformations by identity.
        hyperparameters: name -> strong float32 scalar, or a `schedules.Schedule` of such; the leaves.
        zero: a leaf that is always -0.0; `ensembles.rounding` says what it is for.

    Example:
        >>> from ensembles import adam
        >>> jax.tree.structure(adam(0.1)) == jax.tree.structure(adam(0.2))
        True
    """

    kind: str
    static: tuple[tuple[str, Any], ...]
    hyperparameters: dict[str, Any]
    zero: Any = field(default=ZERO)

    @property
    def pads(self) -> bool:
        """Whether parameters may be padded: whether derivatives that are zero do nothing."""
        return self.kind != "optax"

    @property
    def has_gradient(self) -> bool:
        """Whether steps know the norm of the gradient."""
        return self.kind not in RULES or RULES[self.kind].has_gradient

    def __repr__(self) -> str:
        shown = {**self.hyperparameters, **{name: value for name, value in self.static if value is not False}}
        # str, not repr: a float32 then reads 0.1.
        return f"{self.kind}({', '.join(f'{name}={value!s}' for name, value in shown.items())})"


@dataclass(frozen=True)
class Rule:
    """One row of the table of update rules.

    Attributes:
        name: what users call it.
        optax_rule: the optax function that makes the transformation from hyperparameters and flags; None for rules of
            our own, which have `start` and `step`.
        hyperparameters: names of the numbers, learning_rate first.
        settings: name -> check of what is compiled in, flags included.
        elementwise: whether each parameter's update depends on that parameter's gradients alone.
        schedules: whether the learning rate may be a function of the step.
        clips: whether what it follows can be clipped.
        needs: attribute that the loss must have, and in words what that is.
        make: the public function.
        start: function of (optimizer, parameters) to the first state; None: that of the optax rule.
        step: function of (optimizer, objective, state, parameters) to a `Step`; None: follow the gradient at the
            parameters, as the optax rule says.
        has_gradient: whether steps know the norm of the gradient.
    """

    name: str
    optax_rule: Callable[..., optax.GradientTransformation] | None
    hyperparameters: tuple[str, ...]
    settings: Mapping[str, Callable[[str, str, Any], Any]]
    elementwise: bool
    schedules: bool
    clips: bool
    needs: tuple[str, str] | None
    make: Callable[..., Optimizer]
    start: Callable[[Optimizer, Any], Any] | None = None
    step: Callable[[Optimizer, Objective, Any, Any], Step] | None = None
    has_gradient: bool = True


RULES: dict[str, Rule] = {}

CLIPPING = ("clip_value", "clip_norm")
"""Hyperparameters that belong to `clipped`, not to the rule."""


def rule(
    optax_rule: Callable[..., optax.GradientTransformation] | None = None,
    *,
    settings: Mapping[str, Callable[[str, str, Any], Any]] | None = None,
    elementwise: bool = True,
    schedules: bool = True,
    clips: bool = True,
    needs: tuple[str, str] | None = None,
    start: Callable[[Optimizer, Any], Any] | None = None,
    step: Callable[[Optimizer, Objective, Any, Any], Step] | None = None,
    has_gradient: bool = True,
) -> Callable[[Callable[_P, Optimizer]], Callable[_P, Optimizer]]:
    """Enter a function's signature as a row of `RULES`; calling it validates and makes an `Optimizer`."""

    def enter(function: Callable[_P, Optimizer]) -> Callable[_P, Optimizer]:
        name = function.__name__
        signature = inspect.signature(function)
        flags = [p.name for p in signature.parameters.values() if isinstance(p.default, bool)]
        checks = {**dict.fromkeys(flags, true_or_false), **(settings or {})}

        @functools.wraps(function)
        def make(*args: _P.args, **kwargs: _P.kwargs) -> Optimizer:
            given = signature.bind(*args, **kwargs)
            given.apply_defaults()
            return _optimizer(RULES[name], given.arguments)

        RULES[name] = Rule(
            name=name,
            optax_rule=optax_rule,
            hyperparameters=tuple(p for p in signature.parameters if p not in checks),
            settings=checks,
            elementwise=elementwise,
            schedules=schedules,
            clips=clips,
            needs=needs,
            make=make,
            start=start,
            step=step,
            has_gradient=has_gradient,
        )
        return make

    return enter


def _optimizer(rule: Rule, given: dict[str, Any]) -> Optimizer:
    static: list[tuple[str, Any]] = [
        (name, check(rule.name, name, given[name])) for name, check in rule.settings.items()
    ]
    if given.get("nesterov") and "momentum" in rule.hyperparameters and given["momentum"] is None:
        raise ValueError(
            f"{rule.name}: nesterov=True needs a momentum, but momentum is None. Give one, for example "
            f"momentum=0.9."
        )
    numbers_given = {name: given[name] for name in rule.hyperparameters if given[name] is not None}
    scheduled: dict[str, Any] = {}
    if "learning_rate" in rule.hyperparameters:
        rate = numbers_given.get("learning_rate")
        if rate is None:
            raise TypeError(
                f"{rule.name}: learning_rate must be a number{' or a schedule' if rule.schedules else ''}, but None "
                f"was given. Write for example {rule.name}(0.1)."
            )
        if callable(rate):
            if not rule.schedules:
                raise TypeError(
                    f"{rule.name}: learning_rate must be a number, because this rule adapts its own step sizes "
                    f"and takes no schedule, but {rate!r} was given."
                )
            del numbers_given["learning_rate"]
            if isinstance(rate, DataSchedule):
                scheduled["learning_rate"] = rate
            else:
                static.append(("learning_rate", Identity(rate)))
    numbers = {name: checked_number(rule.name, name, value) for name, value in numbers_given.items()}
    return Optimizer(rule.name, tuple(static), {**scheduled, **numbers})


def as_optimizer(optimizer: Any) -> Optimizer:
    """An `Optimizer` from what a user gave: one as it is, an optax transformation kept by identity.

    Programs share a compiled call if they hold the *same* transformation object; with `adam` & co. they
    share it whatever the hyperparameters.

    Errors: TypeError for anything else.

    Example:
        >>> import optax
        >>> from ensembles.optimizers import as_optimizer
        >>> as_optimizer(optax.chain(optax.clip(1.0), optax.adam(0.1))).kind
        'optax'
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, optax.GradientTransformation):
        return Optimizer("optax", (("transformation", Identity(optimizer)),), {})
    names = ", ".join(sorted(RULES))
    extra = " It is a function: call it with a learning rate." if callable(optimizer) else ""
    raise TypeError(
        f"optimizer: {optimizer!r} of type {type(optimizer).__name__} was given.{extra} Write for example "
        f"ensembles.adam(0.1) (there are {names}), or give an optax transformation such as optax.adam(0.1)."
    )


def with_hyperparameters(optimizer: Optimizer, changes: Mapping[str, Any]) -> Optimizer:
    """The optimiser with some hyperparameters or settings changed, those of `clipped` included.

    Errors: as for the function that made it; TypeError for names that it lacks.

    Example:
        >>> from ensembles import sgd
        >>> with_hyperparameters(sgd(0.1, momentum=0.9), {"learning_rate": 0.2})
        sgd(learning_rate=0.2, momentum=0.9)
    """
    everything = {**optimizer.hyperparameters, **static_settings(optimizer), **changes}
    clips = {name.removeprefix("clip_"): everything.pop(name) for name in CLIPPING if name in everything}
    # What clips may be an optax transformation, which has no numbers to change.
    made = optimizer if changes.keys() <= {*CLIPPING} else RULES[optimizer.kind].make(**everything)
    return clipped(made, **clips) if clips else made


def static_settings(optimizer: Optimizer) -> dict[str, Any]:
    """What is compiled in, by name: flags, settings, optax schedules and transformations themselves."""
    return {name: value.value if isinstance(value, Identity) else value for name, value in optimizer.static}


def check_loss(optimizer: Optimizer, loss: Any, kind: str) -> None:
    """Refuses an optimiser that needs to know more of a loss than the loss says.

    Args:
        optimizer: the optimiser.
        loss: the function of (parameters, data, key).
        kind: of the program, for the message.

    Raises:
        TypeError: the loss lacks what the rule needs.
    """
    row = RULES.get(optimizer.kind)
    if row is not None and row.needs is not None and not hasattr(loss, row.needs[0]):
        attribute, words = row.needs
        if not getattr(loss, "exact", True):
            raise TypeError(
                f"{kind}: {optimizer.kind} needs {words}, which estimates from shots lack. Leave out shots, or take "
                "another optimiser, for example ensembles.spsa(0.1)."
            )
        raise TypeError(
            f"{kind}: {optimizer.kind} needs {words}, which the losses of VQE and QAOA know. Give the loss a method "
            f"{attribute} (ensembles.steps.Objective says which), or take another optimiser, for example "
            "ensembles.adam(0.1)."
        )


# clipping ---------------------------------------------------------------------------------------------------


def clipped(optimizer: Any, *, norm: float | None = None, value: float | None = None) -> Optimizer:
    """The optimiser with gradients cut: every entry to [-value, value], then the whole to an Euclidean norm.

    What is cut is what the rule follows: the gradient; SPSA's estimate of it; the natural gradient. The numbers are
    data. Results and stopping rules see the norm before.

    Args:
        optimizer: made by `adam` & co., or an optax transformation.
        norm: most that the norm may be, > 0; None: any.
        value: most that the size of an entry may be, > 0; None: any.

    Returns:
        an `Optimizer`.

    Errors: TypeError and ValueError for numbers out of range, or none given; for rules that follow no gradient, or
    choose their own step lengths.

    Example:
        >>> from ensembles import clipped, sgd
        >>> clipped(sgd(0.1), norm=1.0)
        sgd(learning_rate=0.1, clip_norm=1.0)
    """
    optimizer = as_optimizer(optimizer)
    row = RULES.get(optimizer.kind)
    if row is not None and not row.clips:
        raise TypeError(
            f"clipped: {optimizer.kind} finds its own step lengths, so there is no gradient to clip."
        )
    given = {"clip_value": value, "clip_norm": norm}
    if norm is None and value is None:
        raise TypeError("clipped: give norm, value or both, for example clipped(adam(0.1), norm=1.0).")
    numbers = {
        name: checked_number("clipped", name, number) for name, number in given.items() if number is not None
    }
    return replace(optimizer, hyperparameters={**optimizer.hyperparameters, **numbers})
