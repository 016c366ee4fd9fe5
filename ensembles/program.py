"""`Program`: one thing to train, and the `Row` that it becomes.

A row is a pytree: what loss, how the optimiser updates and what shapes things have is static; the circuit's arrays, the
coefficients, the start, the hyperparameters, the number of steps and the name's key words are leaves. Rows with equal
keys share a compiled call. Programs with a hosted optimiser, or a `run` of their own, do not become rows: they are
run by the hosted driver.
"""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxsim
from ensembles import names
from ensembles.hosted_optimizers import HostedOptimizer
from ensembles.optimizers import Identity, Optimizer, as_optimizer, check_loss
from ensembles.stopping import EarlyStopping, Stopping, as_stopping
from ensembles.subjects import GENERIC_ROWS_PER_BLOCK, Hosting, LossSubject
from jaxsim.batch import choice, form_of
from jaxsim.lowering.forms import described

__all__ = ["NOT_ORDINARY", "Program", "Row", "check_run", "engine_reason"]

_MOST_STEPS = 2**31 - 2  # steps + 1 evaluations are counted in int32


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Row:
    """A lowered program. Leaves are NumPy arrays.

    Attributes:
        data: what the loss takes besides parameters and key.
        parameters: where to start; zeros where the start is drawn.
        optimizer: rule and hyperparameters.
        steps: () int32, how many updates.
        stopping: when it has converged.
        words: (4,) uint32, which program this is, for its keys.
        drawn: () bool, whether the start is drawn, uniform on [-pi, pi).
        trained: pytree of bool like the parameters: False where they are padding.
        loss: function of (parameters, data, key), by identity.
        rows_per_block: how many rows a block holds.
        rows_alone: how many rows the block of a row alone holds: 1, or `rows_per_block` where a kernel for one row
            would not have the bits of a block.
    """

    data: Any
    parameters: Any
    optimizer: Optimizer
    steps: Any
    stopping: Stopping
    words: Any
    drawn: Any
    trained: Any
    loss: Identity = field(metadata={"static": True})
    rows_per_block: int = field(metadata={"static": True})
    rows_alone: int = field(metadata={"static": True})

    @property
    def length(self) -> int:
        """How long a step of the row takes beside others of its key, in steps of its circuit; 0 if all are alike."""
        circuit = getattr(self.data, "row", self.data)
        return int(circuit.lengths) if isinstance(circuit, jaxsim.Lowered) else 0

    @cached_property
    def key(self) -> tuple:
        """The merge key: tree structure, and shapes and dtypes of the leaves."""
        leaves, treedef = jax.tree.flatten(self)
        return (treedef, tuple((np.shape(leaf), np.asarray(leaf).dtype.str) for leaf in leaves))


class Program:
    """An optimisation of any pure JAX loss.

    Args:
        loss: ``loss(parameters, data, key) -> real scalar``, differentiable in `parameters`; a pure JAX
            function. Programs share compiled calls only if they hold the *same* function object: put what
            differs into `data`. It runs in blocks of 16 rows, a program alone included: sums and matrix products
            round differently without a batch axis, and so no result depends on company.
        initial_parameters: array or pytree of real arrays.
        data: pytree of arrays handed to the loss, copied; never differentiated.
        optimizer: `ensembles.adam(...)` and the like, or an optax transformation; or a hosted one, such as
            `ensembles.scipy_minimize("COBYLA")`.
        steps: how many updates, at least 0; not for hosted optimisers, which have limits of their own.
        stopping: an `EarlyStopping`, if the program may stop before.

    Raises:
        TypeError: a loss that is not callable, complex or non-numeric parameters, data that are no numbers, not an
            optimiser.
        ValueError: steps missing or out of range; parameters that are NaN or infinite; integers that do not fit.

    Example:
        >>> import jax.numpy as jnp, numpy as np
        >>> from ensembles import Program, ProgramEnsemble, adam
        >>> def loss(x, center, key):
        ...     return jnp.sum((x - center) ** 2)
        >>> def program(c):
        ...     return Program(loss, np.zeros(2), data=np.float32(c), optimizer=adam(0.1), steps=200)
        >>> programs = {c: program(c) for c in (1, 2)}
        >>> result = ProgramEnsemble(programs).run(progress=False)
        >>> [round(float(result[c].final_parameters[0]), 2) for c in (1, 2)]
        [1.0, 2.0]
    """

    kind = "Program"
    optimizer: Any
    steps: Any
    stopping: Any

    def __init__(
        self,
        loss: Callable[[Any, Any, Any], Any],
        initial_parameters: Any,
        *,
        data: Any = None,
        optimizer: Any,
        steps: int | None = None,
        stopping: EarlyStopping | None = None,
    ) -> None:
        if not callable(loss):
            raise TypeError(
                f"{self.kind}: loss is a function of (parameters, data, key), but {loss!r} was given."
            )
        self.loss = loss
        self.initial_parameters = jax.tree.map(_real_leaf, initial_parameters)
        if not sum(leaf.size for leaf in jax.tree.leaves(self.initial_parameters)):
            raise ValueError(
                f"{self.kind}: initial_parameters holds no array to optimise, or empty ones only."
            )
        self.data = jax.tree.map(_data_leaf, data)
        self._set_training(optimizer, steps, stopping)

    def _set_training(self, optimizer: Any, steps: int | None, stopping: EarlyStopping | None = None) -> None:
        if stopping is not None and not isinstance(stopping, EarlyStopping):
            raise TypeError(
                f"{self.kind}: stopping is an EarlyStopping, as in EarlyStopping(patience=20), but {stopping!r} was "
                "given."
            )
        self.stopping = stopping
        own_run = type(self).run is not Program.run
        if own_run:
            check_run(type(self))
        if own_run or isinstance(optimizer, HostedOptimizer):
            if steps is not None:
                raise ValueError(
                    f"{self.kind}: steps={steps!r} was given, but a program that is ordinary Python has no steps to "
                    'count; limit its optimiser, as in scipy_minimize("COBYLA", maxiter=200).'
                )
            if stopping is not None:
                raise ValueError(
                    f"{self.kind}: stopping was given, but a program that is ordinary Python stops by rules of its "
                    "own; give its optimiser a tolerance."
                )
            self.optimizer, self.steps = optimizer, None
            if isinstance(optimizer, HostedOptimizer):
                subject = self.hosting().subject
                optimizer.check(0 if subject is None else subject.num_parameters)
            return
        self.optimizer = as_optimizer(optimizer)
        if stopping is not None and stopping.gradient_norm is not None and not self.optimizer.has_gradient:
            raise ValueError(
                f"{self.kind}: stopping has a gradient_norm, but {self.optimizer.kind} computes no gradient; use "
                "patience or target."
            )
        if steps is None:
            raise ValueError(f"{self.kind}: say how many updates to make, as in steps=200.")
        if isinstance(steps, bool) or not isinstance(steps, numbers.Integral):
            raise TypeError(f"{self.kind}: steps is an integer, but {steps!r} was given.")
        if steps < 0:
            raise ValueError(f"{self.kind}: steps must be at least 0, but {steps} was given.")
        if steps > _MOST_STEPS:
            raise ValueError(f"{self.kind}: steps must be at most {_MOST_STEPS}, but {steps} was given.")
        self.steps = int(steps)
        check_loss(self.optimizer, getattr(self, "loss", None), self.kind)

    def row(self, name: Any) -> Row:
        """The program as a row, for the program's name in its ensemble."""
        return Row(
            data=self.data,
            parameters=self.initial_parameters,
            optimizer=self.optimizer,
            steps=np.int32(self.steps),
            stopping=as_stopping(self.stopping, self._float_dtype()),
            words=names.name_words(name),
            drawn=np.bool_(False),
            trained=jax.tree.map(lambda leaf: np.ones(leaf.shape, bool), self.initial_parameters),
            loss=Identity(self.loss),
            rows_per_block=GENERIC_ROWS_PER_BLOCK,
            rows_alone=GENERIC_ROWS_PER_BLOCK,
        )

    def _float_dtype(self) -> Any:
        """Dtype of the parameters, all together."""
        return np.result_type(*jax.tree.leaves(self.initial_parameters))

    @property
    def hosted(self) -> bool:
        """Whether it is ordinary Python (a hosted optimiser, or a `run` of its own), run by the hosted driver."""
        return isinstance(self.optimizer, HostedOptimizer) or type(self).run is not Program.run

    @property
    def shares_thread(self) -> bool:
        """Whether hosted programs of this kind can do with one thread.

        A subclass with a `run` of its own may say so in its body, ``shares_thread = True``, if `run` waits for nothing
        but `evaluate` (no sleep, file, lock, thread or event loop), and calls `evaluate` from Python only: not from a
        function that compiled code calls back (such as SciPy's solvers of equations and JAX's callbacks), not while JAX
        traces or inside a block that changes its settings. Then it decides speed, never results.
        """
        return type(self).run is Program.run and getattr(self.optimizer, "shares_thread", False)

    def hosting(self) -> Hosting:
        """What the hosted driver evaluates."""
        subject = LossSubject(self.loss, self.initial_parameters, self.data)
        return Hosting(subject, subject.initial())

    def run(self, evaluate: Any) -> Any:
        """What a hosted program does: ordinary Python that calls `evaluate`, an `Evaluate`, and waits for its answers.

        This one runs the hosted optimiser. A subclass may do anything else; `HostedProgram` says what to return.
        """
        if not isinstance(self.optimizer, HostedOptimizer):
            raise TypeError(
                f"{self.kind}: this program has no hosted optimiser to run, but {self.optimizer!r}."
            )
        return self.optimizer.minimize(evaluate)

    def describe(self) -> str:
        """What a group of such programs is, for the plan."""
        return f"{self.kind} {getattr(self.loss, '__name__', 'loss')}"

    def reason(self) -> str:
        """Why its circuit runs in the engine that it does, for the plan; empty without a circuit of its own."""
        return ""

    def state_bytes(self) -> int:
        """Bytes of the states that one evaluation keeps, for the memory limit; 0 if unknown."""
        return 0

    @classmethod
    def extras(
        cls, programs: Sequence[Any], values: Sequence[float], parameters: Sequence[Any]
    ) -> list[dict[str, Any]]:
        """What results of this kind have besides the common fields.

        Args:
            programs: those of the kind that have a lowest loss.
            values: their lowest losses.
            parameters: where those were seen.

        Returns:
            One mapping a program.
        """
        return [{} for _ in programs]

    def __repr__(self) -> str:
        how = f"{self.optimizer}" if self.hosted else f"{self.optimizer}, {self.steps} steps"
        return f"{self.describe()} ({how})"


def engine_reason(circuit: jaxsim.Circuit, asked: str, lowered: jaxsim.Lowered) -> str:
    """Its layers or steps, the passes over the state, and why a circuit runs in an engine.

    Args:
        circuit: the circuit.
        asked: the argument `engine`.
        lowered: what it became.
    """
    form, found = described(form_of(circuit, lowered)), choice(circuit)
    why = f"asked for by engine={asked!r}" if asked != "auto" else found.reason
    known = asked != "auto" or found.engine == lowered.engine
    return f"{form}: {why}" if known and why else form


def check_run(kind: type[Program]) -> None:
    """Refuses classes whose `run` could not be run, before anything is.

    Raises:
        TypeError: no `run`, one that is no ordinary method, or one of other arguments.
    """
    run, name = kind.run, kind.__name__
    if run is Program.run or not callable(run):
        raise TypeError(f"{name}: write a method run(self, evaluate), which is what the program does.")
    for is_one, what in NOT_ORDINARY.items():
        if is_one(run):
            raise TypeError(
                f"{name}: run must be an ordinary method that calls evaluate and waits, but it is {what}."
            )
    try:
        inspect.signature(run).bind(None, None)
    except TypeError:
        raise TypeError(
            f"{name}: run takes one argument, as in run(self, evaluate), but has the signature "
            f"run{inspect.signature(run)}."
        ) from None


NOT_ORDINARY: dict[Callable[[Any], bool], str] = {
    inspect.iscoroutinefunction: "a coroutine (async def)",
    inspect.isgeneratorfunction: "a generator (it has a yield)",
    inspect.isasyncgenfunction: "an asynchronous generator",
}
"""Functions whose call does nothing yet, and what they are."""


def _real_leaf(leaf: Any) -> np.ndarray:
    array = np.asarray(leaf)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"initial_parameters must be real numbers, but an array of {array.dtype} was given.")
    dtype = jax.dtypes.canonicalize_dtype(array.dtype if array.dtype.kind == "f" else np.float32)
    array = array.astype(dtype)
    if not np.all(np.isfinite(array)):
        raise ValueError("initial_parameters must be finite, but NaN or infinity was given.")
    return array


def _data_leaf(leaf: Any) -> np.ndarray:
    """A copy, so that an array that is reused in a loop does not change programs made before; in JAX's dtype."""
    kind = getattr(leaf, "dtype", None)
    if kind is not None and jnp.issubdtype(kind, jax.dtypes.prng_key):
        raise TypeError(
            "data must be arrays of numbers, but a random key was given; give jax.random.key_data(key)."
        )
    array = np.array(leaf)
    if not (jnp.issubdtype(array.dtype, np.number) or array.dtype == bool):
        raise TypeError(f"data must be arrays of numbers, but an array of {array.dtype} was given.")
    dtype = jax.dtypes.canonicalize_dtype(array.dtype)
    if array.dtype.kind in "iu" and dtype != array.dtype and not np.array_equal(array, array.astype(dtype)):
        raise ValueError(
            f"data holds integers that do not fit {dtype}, which is what JAX computes with unless jax_enable_x64 is on."
        )
    return array.astype(dtype)
