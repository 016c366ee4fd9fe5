"""`compile`: a circuit with named parameters as a function of their values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxsim import batch
from jaxsim.batch import Lowered
from jaxsim.circuit import Circuit, bind_values
from jaxsim.lowering.rotations import Repeat, Steps
from jaxsim.observables import PauliSum
from jaxsim.parameters import Parameter

__all__ = ["CompiledCircuit", "compile"]


@jax.jit
def _value(row: Lowered, values: Any, initial_state: Any) -> Array:
    function = batch.row_values if row.observables else batch.row_state
    return function(row, values, initial_state)


@jax.jit
def _value_and_grad(row: Lowered, values: Any, initial_state: Any) -> tuple[Array, Array]:
    return batch.row_value_and_grad(row, values, initial_state)


class CompiledCircuit:
    """A pure function of a circuit's parameters: expectation values, or the state if no observable was given.

    Call it with values, a flat array in the order of `parameters` or a mapping by parameter or name. It works
    inside and outside `jit`, `grad`, `vmap`. Called from outside, circuits of one size share compiled
    kernels.

    Attributes:
        parameters: the parameters, in the order in which a flat array gives their values.
        num_wires: number of qubits.
    """

    def __init__(self, row: Lowered, parameters: tuple[Parameter, ...], steps: int) -> None:
        self._row = row
        self._steps = steps
        self.parameters = parameters
        self.num_wires = row.num_wires

    def __call__(self, values: Any = (), *, initial_state: Any = None) -> Array:
        """The expectation value (a scalar; (m,) for m observables), or the state (2**n,).

        Args:
            values: flat array or mapping.
            initial_state: (2**n,) complex to start from instead of |0...0>; differentiable.
        """
        return _value(self._row, self._flat(values), self._initial(initial_state))

    def value_and_grad(self, values: Any = (), *, initial_state: Any = None) -> tuple[Array, Array]:
        """The expectation value and its gradient, (parameters,); for m observables (m,) and (m, parameters).

        Raises:
            ValueError: if no observable was given.
        """
        if not self._row.observables:
            raise ValueError("value_and_grad needs an observable: compile(circuit, observable=...).")
        return _value_and_grad(self._row, self._flat(values), self._initial(initial_state))

    def explain(self) -> str:
        """What runs: engine, steps, passes over the state, bytes of a state."""
        row = self._row
        state = row.dtype.itemsize * 2**row.num_wires
        data = sum(np.asarray(a).nbytes for a in jax.tree.leaves((row.data, row.observables)))
        return "\n".join(
            [
                f"engine      rotations ({row.dtype}, diff={row.diff!r})",
                f"qubits      {row.num_wires} (a state has {state:,} bytes)",
                f"parameters  {len(self.parameters)}",
                f"steps       {self._steps}, padded to {row.data.x.shape[0]}; each reads and writes the state once",
                f"items       {' '.join(map(_describe, row.program.items)) or 'none'}",
                f"observables {len(row.observables)}",
                f"data        {data:,} bytes; circuits whose data have the same shapes share the compiled kernel",
            ]
        )

    def __repr__(self) -> str:
        what = f"{len(self._row.observables)} observables" if self._row.observables else "state"
        return f"CompiledCircuit({self.num_wires} qubits, {len(self.parameters)} parameters, {what})"

    def _initial(self, state: Any) -> Any:
        return batch.check_initial_state("compile", state, self._row)

    def _flat(self, values: Any) -> Any:
        real = self._row.data.sign.dtype
        if isinstance(values, jax.Array) and values.shape == (len(self.parameters),):
            if jnp.issubdtype(values.dtype, jnp.complexfloating):
                raise TypeError(f"values are real angles in radians, but a {values.dtype} array was given.")
            return values.astype(real)
        given = bind_values(self.parameters, values)
        flat = [given[p] for p in self.parameters]
        if any(isinstance(v, jax.Array) for v in flat):
            return jnp.stack([jnp.asarray(v, real) for v in flat])
        return np.array(flat, real)


def _describe(item: Any) -> str:
    if isinstance(item, Steps):
        return f"{item.count} steps"
    if isinstance(item, Repeat):
        return f"{item.times} x ({' '.join(map(_describe, item.items))})"
    return f"{item.gate} on {len(item.wires)} wires"


def compile(
    circuit: Circuit,
    observable: PauliSum | Sequence[PauliSum] | None = None,
    *,
    engine: str = "auto",
    diff: str = "adjoint",
    dtype: Any = None,
) -> CompiledCircuit:
    """The circuit as a pure function of the values of its parameters.

    Args:
        circuit: a snapshot of it is taken; angles that are JAX values are kept as they are.
        observable: a sum with real coefficients, several, or None for the state.
        engine: "auto" or "rotations".
        diff: "adjoint" differentiates by undoing the circuit, in memory flat in depth and in every mode;
            "backprop" is JAX's own.
        dtype: complex64 (default) or complex128, of the state.

    Raises:
        TypeError, ValueError: as `lower`.

    Example:
        >>> import jax, jaxsim as js
        >>> theta = js.ParameterVector("theta", 2)
        >>> f = js.compile(js.Circuit(2).ry(theta, range(2)).cx(0, 1), js.Z(1))
        >>> round(float(f({"theta": [0.1, 0.2]})), 4)  # cos(0.1) cos(0.2)
        0.9752
        >>> value, gradient = f.value_and_grad([0.1, 0.2])
        >>> gradient.shape
        (2,)
    """
    row = batch.lower(circuit, observable, engine=engine, dtype=dtype, diff=diff)
    steps = batch.num_steps(circuit, keep_phase=observable is None)
    return CompiledCircuit(row, circuit.parameters, steps)
