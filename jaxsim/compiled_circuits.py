"""Many circuits, whatever they are, as one pure function of all their values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxsim import batch
from jaxsim.arguments import count
from jaxsim.batch import Lowered
from jaxsim.circuit import Circuit, bind_values
from jaxsim.eager import evaluated_now
from jaxsim.observables import PauliSum
from jaxsim.parameters import Parameter

if TYPE_CHECKING:
    from jaxtyping import Array

__all__ = ["CompiledCircuits", "checked_values"]


class CompiledCircuits:
    """A pure function of the parameters of several circuits: one expectation value for each, or several.

    Call it with values (circuits, parameters): row k holds the values of circuit k in the order of
    ``parameters[k]``; rows of circuits with fewer parameters than others are padded with anything. It works
    inside and outside `jit`, `grad`, `vmap`. Circuits that share a compiled kernel, whatever their gates, run
    in one call.

    Attributes:
        parameters: for each circuit its parameters, in the order in which a row gives their values.
        num_parameters: the most that a circuit has, the width of the values.
    """

    def __init__(self, circuits: Sequence[Circuit], observable: Any, options: dict[str, Any]) -> None:
        observables = _one_for_each(observable, len(circuits))
        self._circuits, self._observables, self._options = circuits, observables, options
        self.parameters: tuple[tuple[Parameter, ...], ...] = tuple(c.parameters for c in circuits)
        self.num_parameters = max(len(own) for own in self.parameters)
        rows = [batch.lower(c, o, **options) for c, o in zip(circuits, observables, strict=True)]
        groups: dict[Any, list[int]] = {}
        for k, row in enumerate(rows):
            groups.setdefault(row.key, []).append(k)
        self._groups = [
            (np.array(members), batch.stack([rows[k] for k in members])) for members in groups.values()
        ]
        if not rows[0].observables and len({c.num_wires for c in circuits}) > 1:
            raise ValueError(
                "compile: states of circuits of different sizes do not fit one array; give an observable."
            )

    def __len__(self) -> int:
        return len(self._circuits)

    def __call__(self, values: Any) -> Array:
        """The expectation values, (circuits,); (circuits, m) for m observables each; or the states,
        (circuits, 2**n), if there is no observable.

        Args:
            values: (circuits, parameters) array, or a sequence with what one circuit takes for each.

        Raises:
            TypeError: values that are not real.
            ValueError: shapes that do not fit, NaN or infinity.
        """
        want = "value" if self._groups[0][1].observables else "statevector"
        return self._run(values, want)

    def value_and_grad(self, values: Any) -> tuple[Array, Array]:
        """The expectation values (circuits,) and their gradients (circuits, parameters), zero where rows are padded;
        for m observables each (circuits, m) and (circuits, m, parameters).

        Raises:
            TypeError, ValueError: as for a call; if no observable was given.
        """
        if not self._groups[0][1].observables:
            raise ValueError("value_and_grad needs an observable: compile(circuits, observable=...).")
        return self._run(values, "value_and_grad")

    def explain(self) -> str:
        """Which circuits share a call, and what runs it: of each call its blocks, and of its longest circuit what
        `CompiledCircuit.explain` says."""
        from jaxsim.compiled_circuit import explained

        lines = [f"{len(self)} circuits in {len(self._groups)} compiled calls"]
        for members, rows in self._groups:
            shown = ", ".join(map(str, members[:8])) + (", ..." if len(members) > 8 else "")
            size = batch.block_size(len(members), rows)
            states = size * rows.dtype.itemsize * 2**rows.num_wires
            place = int(np.argmax(rows.lengths))
            longest = members[place]
            row = jax.tree.map(lambda leaf, k=place: leaf[k], rows)
            told = explained(self._circuits[longest], row, self._options["engine"])
            lines.append(
                f"circuits {shown}, in blocks of {count(size, 'row')} (whose states have {states:,} bytes)"
            )
            lines += [f"  {line}" for line in (f"longest     circuit {longest}", *told.splitlines())]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"CompiledCircuits({len(self)} circuits, {self.num_parameters} parameters at most)"

    @cached_property
    def _traced_groups(self) -> list[tuple[np.ndarray, Lowered]]:
        """The groups with lengths compiled in, the longest of each, for all modes of differentiation."""
        exact = []
        for members, rows in self._groups:
            length = int(np.max(rows.data.count)) if rows.engine == "layered" else True
            own = [
                batch.lower(self._circuits[k], self._observables[k], **self._options, exact=length)
                for k in members
            ]
            exact.append((members, batch.stack(own) if len({row.key for row in own}) == 1 else rows))
        return exact

    def _run(self, values: Any, want: str) -> Any:
        values = self._checked(values)
        traced = isinstance(values, Tracer)
        results, order = [], []
        for members, rows in self._traced_groups if traced else self._groups:
            # Where a leaf of a stack is concrete it is NumPy; evaluate() takes rows in blocks, outside of traces only.
            taken = int(np.max(rows.num_parameters))
            if traced:
                own = jax.tree.map(
                    jnp.asarray, rows
                )  # as constants of a function with a derivative rule have to be
                result = jax.vmap(batch.ROW_FUNCTIONS[want])(own, values[members][:, :taken])
            else:
                result = batch.evaluate(rows, values[members, :taken], want)  # type: ignore[arg-type]
            if want == "value_and_grad":
                pad = jnp.pad if traced else np.pad
                padding = ((0, 0),) * (result[1].ndim - 1) + ((0, self.num_parameters - taken),)
                result = result[0], pad(result[1], padding)
            results.append(result)
            order.append(members)
        back = np.argsort(np.concatenate(order))
        if traced:
            return jax.tree.map(lambda *parts: jnp.concatenate(parts)[back], *results)
        with evaluated_now():  # nothing is compiled for a number of circuits
            return jax.tree.map(lambda *parts: jax.device_put(np.concatenate(parts)[back]), *results)

    def _checked(self, values: Any) -> Any:
        shape = (len(self), self.num_parameters)
        real = self._groups[0][1].real_dtype
        if hasattr(values, "shape"):
            if np.shape(values) != shape:
                raise ValueError(
                    f"values must have shape {shape}: circuits, parameters of the one that has most; but have shape "
                    f"{np.shape(values)}."
                )
            return checked_values(values, real)
        if not isinstance(values, Sequence) or isinstance(values, str):
            raise TypeError(
                f"values are an array of shape {shape}, or a list with what each of {len(self)} circuits takes, but "
                f"{values!r} was given."
            )
        if len(values) != len(self):
            raise ValueError(f"values of {len(self)} circuits are wanted, but {len(values)} were given.")
        rows = [self._row_of(k, given) for k, given in enumerate(values)]
        return (jnp if any(isinstance(row, Tracer) for row in rows) else np).stack(rows)

    def _row_of(self, k: int, given: Any) -> Any:
        """The values of circuit k, padded."""
        own, width, real = self.parameters[k], self.num_parameters, self._groups[0][1].real_dtype
        if isinstance(given, list | tuple) or getattr(given, "ndim", 0) == 1:
            if len(given) > width:
                raise ValueError(
                    f"circuit {k} takes {count(len(own), 'value')}, padded to at most {width}, but {len(given)} were "
                    "given."
                )
            given = given[: len(own)]
        known = bind_values(own, given)
        traced = any(isinstance(value, Tracer) for value in known.values())
        xp = jnp if traced else np
        return xp.pad(xp.array([known[p] for p in own], real), (0, width - len(own)))


def checked_values(values: Any, real: np.dtype) -> Any:
    """An array of values in a float dtype: in NumPy, or traced if it is.

    Raises:
        TypeError: values that are not real.
        ValueError: NaN or infinity.
    """
    kind = values.dtype
    if kind != real and not (jnp.issubdtype(kind, jnp.floating) or jnp.issubdtype(kind, jnp.integer)):
        raise TypeError(f"values are real angles in radians, but a {kind} array was given.")
    if isinstance(values, Tracer):
        return values.astype(real)
    host = np.asarray(values, real)
    if not np.isfinite(host).all():
        raise ValueError("values must be finite numbers, but have NaN or infinite entries.")
    return host


def _one_for_each(observable: Any, number: int) -> list[Any]:
    """What is measured on each of the circuits: nothing, one sum, or as many sums on each."""
    if observable is None or isinstance(observable, PauliSum):
        return [observable] * number
    if not isinstance(observable, Iterable):
        raise TypeError(
            "compile: observable is a PauliSum for all circuits, a list with what each takes, or None for the states, "
            f"but {observable!r} was given."
        )
    each = [
        own if own is None or isinstance(own, PauliSum) else batch.check_observables("compile", own)
        for own in observable
    ]
    if len(each) != number:
        raise ValueError(
            f"compile: {number} circuits take one observable for all, or {number}, but {len(each)} were given."
        )
    kinds = [
        "none" if own is None else f"a list of {len(own)}" if isinstance(own, tuple) else "one"
        for own in each
    ]
    other = next((k for k, kind in enumerate(kinds) if kind != kinds[0]), None)
    if other is not None:
        raise ValueError(
            "compile: all circuits take as many observables, so that their values fit one array, but circuit 0 has "
            f"{kinds[0]} and circuit {other} has {kinds[other]}."
        )
    return each
