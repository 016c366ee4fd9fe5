"""Many circuits, whatever they are, as one pure function of all their values."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxsim import batch
from jaxsim.batch import Lowered
from jaxsim.circuit import Circuit, bind_values
from jaxsim.parameters import Parameter

if TYPE_CHECKING:
    from jaxtyping import Array

__all__ = ["CompiledCircuits"]


class CompiledCircuits:
    """A pure function of the parameters of several circuits: one expectation value for each.

    Call it with values (circuits, parameters): row k holds the values of circuit k in the order of
    ``parameters[k]``; rows of circuits with fewer parameters than others are padded with anything. It works
    inside and outside `jit`, `grad`, `vmap`. Circuits that share a compiled kernel, whatever their gates, run
    in one call.

    Attributes:
        parameters: for each circuit its parameters, in the order in which a row gives their values.
        num_parameters: the most that a circuit has, the width of the values.
    """

    def __init__(
        self, circuits: Sequence[Circuit], observables: Sequence[Any], options: dict[str, Any]
    ) -> None:
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
        """The expectation values, (circuits,); or the states, (circuits, 2**n), if there is no observable.

        Args:
            values: (circuits, parameters) array, or a sequence with what one circuit takes for each.
        """
        want = "value" if self._groups[0][1].observables else "statevector"
        return self._run(values, want)

    def value_and_grad(self, values: Any) -> tuple[Array, Array]:
        """The expectation values (circuits,) and their gradients (circuits, parameters), zero where rows are padded.

        Raises:
            ValueError: if no observable was given.
        """
        if not self._groups[0][1].observables:
            raise ValueError("value_and_grad needs an observable: compile(circuits, observable=...).")
        return self._run(values, "value_and_grad")

    def explain(self) -> str:
        """Which circuits share a call, and what runs it."""
        lines = [f"{len(self)} circuits in {len(self._groups)} compiled calls"]
        for members, rows in self._groups:
            shown = ", ".join(map(str, members[:8])) + (", ..." if len(members) > 8 else "")
            lines.append(f"  {rows.engine}, {rows.num_wires} qubits, {rows.dtype}: circuits {shown}")
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
                result = jax.vmap(batch.ROW_FUNCTIONS[want])(rows, values[members][:, :taken])
            else:
                result = batch.evaluate(rows, values[members, :taken], want)  # type: ignore[arg-type]
            if want == "value_and_grad":
                pad = jnp.pad if traced else np.pad
                result = result[0], pad(result[1], ((0, 0), (0, self.num_parameters - taken)))
            results.append(result)
            order.append(members)
        back = np.argsort(np.concatenate(order))
        if traced:
            return jax.tree.map(lambda *parts: jnp.concatenate(parts)[back], *results)
        return jax.tree.map(lambda *parts: jnp.asarray(np.concatenate(parts)[back]), *results)

    def _checked(self, values: Any) -> Any:
        shape = (len(self), self.num_parameters)
        real = self._groups[0][1].real_dtype
        if not hasattr(values, "shape"):
            if len(values) != len(self):
                raise ValueError(f"values of {len(self)} circuits are wanted, but {len(values)} were given.")
            rows = []
            for own, given in zip(self.parameters, values, strict=True):
                known = bind_values(own, given[: len(own)] if isinstance(given, list | tuple) else given)
                rows.append(np.pad(np.array([known[p] for p in own], real), (0, shape[1] - len(own))))
            return np.stack(rows)
        if np.shape(values) != shape:
            raise ValueError(
                f"values must have shape {shape}: circuits, parameters of the one that has most; but have shape "
                f"{np.shape(values)}."
            )
        if jnp.issubdtype(values.dtype, jnp.complexfloating):
            raise TypeError(f"values are real angles in radians, but a {values.dtype} array was given.")
        return values.astype(real) if isinstance(values, Tracer) else np.asarray(values, real)
