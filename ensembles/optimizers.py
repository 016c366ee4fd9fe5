"""Optimisers as mergeable pytrees: update rules whose hyperparameters are data.

An `Optimizer` is a registered pytree. Its static part is the name of a rule and its settings, so it says what
gets compiled; its leaves are the hyperparameters, strong float32 scalars, so programs with different learning
rates share one compiled call. The signature of each public function below is its row of the table: parameters
whose default is True or False, and those the row names as settings, are static, the others hyperparameters, and a
hyperparameter left at None is absent.

Here are the table, and the rules of optax; rules of our own are in `ensembles.rules`. `init`, `step` and `update` are
pure functions for use inside `jit` and `vmap`; they build the optax rule from the leaves while tracing.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ParamSpec

import jax
import jax.numpy as jnp
import optax

from ensembles.hyperparameters import checked_number, true_or_false
from ensembles.rounding import ZERO, rounded
from ensembles.schedules import Schedule as DataSchedule
from ensembles.steps import Objective, Step, gradient_step, norm

__all__ = [
    "RULES",
    "Identity",
    "Optimizer",
    "Rule",
    "adabelief",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "amsgrad",
    "as_optimizer",
    "check_loss",
    "clip",
    "clipped",
    "init",
    "lamb",
    "lion",
    "nadam",
    "nadamw",
    "numbers_and_settings",
    "radam",
    "rmsprop",
    "rprop",
    "rule",
    "sgd",
    "step",
    "update",
    "with_hyperparameters",
    "yogi",
]

Schedule = Callable[[Any], Any]
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
        >>> from ensembles.optimizers import adam
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

_CLIPPING = ("clip_value", "clip_norm")


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
        >>> with_hyperparameters(sgd(0.1, momentum=0.9), {"learning_rate": 0.2})
        sgd(learning_rate=0.2, momentum=0.9)
    """
    everything = {**optimizer.hyperparameters, **_settings(optimizer), **changes}
    clips = {name.removeprefix("clip_"): everything.pop(name) for name in _CLIPPING if name in everything}
    # What clips may be an optax transformation, which has no numbers to change.
    made = optimizer if changes.keys() <= {*_CLIPPING} else RULES[optimizer.kind].make(**everything)
    return clipped(made, **clips) if clips else made


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
        >>> from ensembles.optimizers import clipped, sgd
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


def clip(optimizer: Optimizer, gradients: Any) -> Any:
    """Gradients as `clipped` says; as they are if nothing was said."""
    limits = {name: optimizer.hyperparameters.get(name) for name in _CLIPPING}
    if limits["clip_value"] is not None:
        most = limits["clip_value"]
        gradients = jax.tree.map(lambda g: jnp.clip(g, -_like(most, g), _like(most, g)), gradients)
    if limits["clip_norm"] is not None:
        size = norm(gradients, optimizer.zero)
        factor = jnp.minimum(1, _like(limits["clip_norm"], size) / jnp.where(size > 0, size, 1))
        gradients = jax.tree.map(lambda g: g * _like(factor, g), gradients)
    return gradients


def _like(number: Any, array: Any) -> Any:
    return jnp.asarray(number, array.dtype)


# inside the call --------------------------------------------------------------------------------------------


def numbers_and_settings(optimizer: Optimizer, dtype: Any) -> dict[str, Any]:
    """Everything by name, without clipping: numbers in the dtype, schedules as functions of the step."""
    return {**_numbers(optimizer, dtype), **_settings(optimizer)}


def _numbers(optimizer: Optimizer, dtype: Any) -> dict[str, Any]:
    # In the parameters' dtype: a float32 1 - b2**t would cost float64 programs half of their digits.
    return {
        name: jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), value)
        for name, value in optimizer.hyperparameters.items()
        if name not in _CLIPPING
    }


def _settings(optimizer: Optimizer) -> dict[str, Any]:
    return {name: value.value if isinstance(value, Identity) else value for name, value in optimizer.static}


def _transformation(optimizer: Optimizer, numbers: dict[str, Any]) -> optax.GradientTransformationExtraArgs:
    settings = _settings(optimizer)
    if optimizer.kind == "optax":
        return optax.with_extra_args_support(settings["transformation"])
    optax_rule = RULES[optimizer.kind].optax_rule
    assert optax_rule is not None  # else the row has a start and a step
    return optax.with_extra_args_support(optax_rule(**numbers, **settings))


def _dtype(parameters: Any) -> Any:
    return jnp.result_type(*jax.tree.leaves(parameters))


def _strong(value: Any, like: Any = None) -> jax.Array:
    """`value` as an array without weak type, in the dtype of `like`: a scan's carry keeps its type."""
    array = jnp.asarray(value)
    dtype = array.dtype if like is None else like.dtype
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return array
    return jnp.asarray(array, dtype)


def init(optimizer: Optimizer, parameters: Any) -> Any:
    """The optimiser's state before the first step.

    Args:
        optimizer: as made by `adam` & co. or `as_optimizer`.
        parameters: pytree of real arrays.

    Returns:
        a pytree of arrays without weak types, whose shapes and dtypes `update` keeps.

    Example:
        >>> import jax.numpy as jnp
        >>> from ensembles import optimizers
        >>> optimizers.init(optimizers.sgd(0.1, momentum=0.9), jnp.zeros(3))[0].trace.shape
        (3,)
    """
    row = RULES.get(optimizer.kind)
    if row is not None and row.start is not None:
        return row.start(optimizer, parameters)
    transformation = _transformation(optimizer, _numbers(optimizer, _dtype(parameters)))
    return jax.tree.map(_strong, transformation.init(parameters))


def step(optimizer: Optimizer, objective: Objective, state: Any, parameters: Any) -> Step:
    """One step of training: evaluates the objective as the rule needs it, and updates.

    Args:
        optimizer: as given to `init`.
        objective: the program's loss at this step.
        state: from `init` or the step before.
        parameters: pytree of real arrays.
    """
    row = RULES.get(optimizer.kind)
    if row is not None and row.step is not None:
        return row.step(optimizer, objective, state, parameters)
    return gradient_step(partial(update, optimizer), objective, state, parameters, optimizer.zero)


def update(
    optimizer: Optimizer, gradients: Any, state: Any, parameters: Any, value: Any = None
) -> tuple[Any, Any]:
    """One step of a rule that follows one gradient: new parameters and new state.

    Args:
        optimizer: as given to `init`.
        gradients: pytree like `parameters`.
        state: from `init` or the step before.
        parameters: pytree of real arrays.
        value: the loss at `parameters`, a scalar, for rules that ask for it (`optax.polyak_sgd`, ...).

    Returns:
        (parameters, state), shapes and dtypes as given, no weak types. Products are rounded one by one, so
        that the bits do not depend on how many programs share the call (`ensembles.rounding`).

    Errors: ValueError if a transformation used as given needs more than gradients and value (a line search).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ensembles import optimizers
        >>> opt, x = optimizers.sgd(0.25), jnp.array([1.0, 2.0])
        >>> state = optimizers.init(opt, x)
        >>> x, state = jax.jit(optimizers.update)(opt, 2 * x, state, x)
        >>> x
        Array([0.5, 1. ], dtype=float32)
    """

    def step(
        numbers: dict[str, Any], gradients: Any, state: Any, parameters: Any, extra: Any
    ) -> tuple[Any, Any]:
        transformation = _transformation(optimizer, numbers)
        try:
            updates, new_state = transformation.update(gradients, state, parameters, **extra)
        except TypeError as error:
            if "keyword-only argument" not in str(error):
                raise
            raise ValueError(
                f"optimizer: this optax transformation needs more than gradients and the loss ({error}). "
                f"Rules with a line search evaluate the loss themselves and can not be used here; take one "
                f"without, for example ensembles.adam(0.1)."
            ) from error
        new = jax.tree.map(lambda p, u: p + jnp.asarray(u, p.dtype), parameters, updates)
        return new, jax.tree.map(lambda new, old: _strong(new, old), new_state, state)

    extra = {} if value is None else {"value": value}
    numbers = _numbers(optimizer, _dtype(parameters))
    gradients = clip(optimizer, gradients)
    return rounded(step, optimizer.zero)(numbers, gradients, state, parameters, extra)


@rule(optax.adabelief)
def adabelief(
    learning_rate: float | Schedule,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-16,
    eps_root: float = 1e-16,
    *,
    nesterov: bool = False,
) -> Optimizer:
    """AdaBelief: Adam scaled by the gradient's spread around its mean (Zhuang et al., arXiv:2010.07468)."""
    ...


@rule(optax.adagrad)
def adagrad(
    learning_rate: float | Schedule, initial_accumulator_value: float = 0.1, eps: float = 1e-7
) -> Optimizer:
    """AdaGrad: steps shrink with the sum of squared gradients (Duchi et al., JMLR 12, 2121, 2011)."""
    ...


@rule(optax.adam)
def adam(
    learning_rate: float | Schedule,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    *,
    nesterov: bool = False,
) -> Optimizer:
    """Adam (Kingma and Ba, arXiv:1412.6980): the usual choice, with a learning rate of 0.01 to 0.2 radians.

    Args:
        learning_rate: step size in the units of the parameters, or an optax schedule (a function of the
            step).
        b1: rate at which the mean of the gradient forgets, in [0, 1).
        b2: rate at which the mean of its square forgets, in [0, 1).
        eps: added to the denominator outside the square root.
        eps_root: added inside it.
        nesterov: use Nesterov momentum.

    Returns:
        an `Optimizer`; schedules are kept by identity, numbers are data.

    Errors: TypeError for anything but real numbers, ValueError for negative, infinite or NaN ones.

    Example:
        >>> from ensembles.optimizers import adam
        >>> adam(0.1)
        adam(learning_rate=0.1, b1=0.9, b2=0.999, eps=1e-08, eps_root=0.0)
    """
    ...


@rule(optax.adamax)
def adamax(
    learning_rate: float | Schedule, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> Optimizer:
    """Adamax: Adam in the infinity norm (Kingma and Ba, arXiv:1412.6980, section 7)."""
    ...


@rule(optax.adamw)
def adamw(
    learning_rate: float | Schedule,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    weight_decay: float = 1e-4,
    *,
    nesterov: bool = False,
) -> Optimizer:
    """Adam with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101)."""
    ...


@rule(optax.amsgrad)
def amsgrad(
    learning_rate: float | Schedule,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
) -> Optimizer:
    """AMSGrad: Adam whose step sizes never grow again (Reddi et al., arXiv:1904.09237)."""
    ...


@rule(optax.lamb, elementwise=False)
def lamb(
    learning_rate: float | Schedule,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-6,
    eps_root: float = 0.0,
    weight_decay: float = 0.0,
) -> Optimizer:
    """LAMB: Adam rescaled to the norm of the parameters (You et al., arXiv:1904.00962)."""
    ...


@rule(optax.lion)
def lion(
    learning_rate: float | Schedule, b1: float = 0.9, b2: float = 0.99, weight_decay: float = 1e-3
) -> Optimizer:
    """Lion: the sign of a momentum (Chen et al., arXiv:2302.06675)."""
    ...


@rule(optax.nadam)
def nadam(
    learning_rate: float | Schedule,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
) -> Optimizer:
    """Adam with Nesterov momentum (Dozat, ICLR workshop 2016)."""
    ...


@rule(optax.nadamw)
def nadamw(
    learning_rate: float | Schedule,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    weight_decay: float = 1e-4,
) -> Optimizer:
    """`adamw` with Nesterov momentum."""
    ...


@rule(optax.radam)
def radam(
    learning_rate: float | Schedule,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    threshold: float = 5.0,
    *,
    nesterov: bool = False,
) -> Optimizer:
    """Rectified Adam: plain momentum until the variance is known (Liu et al., arXiv:1908.03265)."""
    ...


@rule(optax.rmsprop)
def rmsprop(
    learning_rate: float | Schedule,
    decay: float = 0.9,
    eps: float = 1e-8,
    initial_scale: float = 0.0,
    momentum: float | None = None,
    *,
    eps_in_sqrt: bool = True,
    centered: bool = False,
    nesterov: bool = False,
    bias_correction: bool = False,
) -> Optimizer:
    """RMSProp, with momentum and centring on request (Tieleman and Hinton 2012; Graves, arXiv:1308.0850)."""
    ...


@rule(optax.rprop, schedules=False)
def rprop(
    learning_rate: float,
    eta_minus: float = 0.5,
    eta_plus: float = 1.2,
    min_step_size: float = 1e-6,
    max_step_size: float = 50.0,
) -> Optimizer:
    """Rprop: step sizes from the signs of successive gradients (Riedmiller and Braun, IJCNN 1993)."""
    ...


@rule(optax.sgd)
def sgd(
    learning_rate: float | Schedule, momentum: float | None = None, *, nesterov: bool = False
) -> Optimizer:
    """Gradient descent, with momentum on request (Sutskever et al., ICML 2013).

    >>> sgd(0.1, momentum=0.9)
    sgd(learning_rate=0.1, momentum=0.9)
    """
    ...


@rule(optax.yogi)
def yogi(learning_rate: float | Schedule, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-3) -> Optimizer:
    """Yogi: Adam whose second moment grows additively (Zaheer et al., NeurIPS 2018)."""
    ...
