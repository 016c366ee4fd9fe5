"""`compile`: a circuit with named parameters as a function of their values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxsim import batch
from jaxsim.batch import Lowered
from jaxsim.circuit import Circuit, bind_values
from jaxsim.compilation import compiler_options
from jaxsim.compiled_circuits import CompiledCircuits, checked_values
from jaxsim.eager import evaluated_now, within_trace
from jaxsim.leaves import known
from jaxsim.lowering.forms import described
from jaxsim.observables import PauliSum
from jaxsim.terminal import unmeasured

if TYPE_CHECKING:
    from jaxtyping import Array

__all__ = ["CompiledCircuit", "compile"]


def _value(row: Lowered, values: Any, initial_state: Any) -> Array:
    function = batch.row_values if row.observables else batch.row_state
    return function(row, values, initial_state)


def _value_and_grad(row: Lowered, values: Any, initial_state: Any) -> tuple[Array, Array]:
    return batch.row_value_and_grad(row, values, initial_state)


def _first_of_block(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(rows: Lowered, values: Any, initial_state: Any) -> Any:
        return jax.tree.map(
            lambda a: a[0], jax.vmap(function, in_axes=(0, 0, None))(rows, values, initial_state)
        )

    return call


# From outside a circuit runs as the first row of a small block, for the bits of `evaluate`, and with options
# of our own, which functions inside a user's jit cannot have.
_OUTSIDE = {
    f: jax.jit(_first_of_block(f), compiler_options=compiler_options()) for f in (_value, _value_and_grad)
}
_INSIDE = {f: jax.jit(f) for f in (_value, _value_and_grad)}

_ARRAYS = (np.ndarray, jax.Array)


class CompiledCircuit:
    """A pure function of a circuit's parameters: expectation values, or the state if no observable was given.

    Call it with values, a flat array in the order of `parameters` or a mapping by parameter or name. It works
    inside and outside `jit`, `grad`, `vmap`. Called from outside, circuits of one size share compiled
    kernels.

    Attributes:
        parameters: the parameters, in the order in which a flat array gives their values.
        num_wires: number of qubits.
    """

    def __init__(self, circuit: Circuit, observable: Any, options: dict[str, Any]) -> None:
        self._circuit = circuit
        self._observable = observable
        self._options = options
        self._row = batch.lower(circuit, observable, **options)
        self._traced = any(isinstance(a, Tracer) for a in jax.tree.leaves(self._row))
        self._real = self._row.real_dtype
        self.parameters = circuit.parameters
        self.num_wires = circuit.num_wires

    def __call__(self, values: Any = (), *, initial_state: Any = None) -> Array:
        """The expectation value (a scalar; (m,) for m observables), or the state (2**n,).

        Args:
            values: flat array or mapping.
            initial_state: (2**n,) complex to start from instead of |0...0>; differentiable.
        """
        return self._call(_value, values, initial_state)

    def value_and_grad(self, values: Any = (), *, initial_state: Any = None) -> tuple[Array, Array]:
        """The expectation value and its gradient, (parameters,); for m observables (m,) and (m, parameters).

        Raises:
            ValueError: if no observable was given.
        """
        if not self._row.observables:
            raise ValueError("value_and_grad needs an observable: compile(circuit, observable=...).")
        value, gradient = self._call(_value_and_grad, values, initial_state)
        taken = len(self.parameters)
        if gradient.shape[-1] == taken:
            return value, gradient
        if isinstance(gradient, Tracer):
            return value, gradient[..., :taken]
        # On the host: a slice of its own would be compiled for every number of parameters.
        return value, jax.device_put(np.ascontiguousarray(np.asarray(gradient)[..., :taken]))

    def explain(self) -> str:
        """What runs: engine and why, its layers or steps, passes over the state, bytes."""
        return explained(self._circuit, self._row, self._options["engine"])

    def __repr__(self) -> str:
        what = f"{len(self._row.observables)} observables" if self._row.observables else "state"
        return f"CompiledCircuit({self.num_wires} qubits, {len(self.parameters)} parameters, {what})"

    # Rows hold NumPy arrays; these two are made once they are needed.

    @cached_property
    def _resident(self) -> tuple[Lowered, tuple[int, int]]:
        """A block with the row on the device, for calls from outside of JAX's transformations; and the shape of the
        values that it takes."""
        count = batch.block_size(1, self._row)
        with evaluated_now():
            return jax.device_put(batch.stack([self._row] * count)), (count, self._row.room)

    @cached_property
    def _exact(self) -> Lowered:
        """The row with all lengths compiled in, which has derivatives in every mode and nesting."""
        return batch.lower(self._circuit, self._observable, **self._options, exact=True)

    def _call(self, function: Callable[..., Any], values: Any, initial_state: Any) -> Any:
        # Of a small circuit the steps here take as long as the kernel: they are few.
        state = initial_state
        if state is not None:
            state = batch.check_initial_state("compile", state, self._row)
        flat = self._flat(values)
        if self._traced or isinstance(flat, Tracer) or isinstance(state, Tracer):
            return _INSIDE[function](self._exact, flat, state)
        rows, shape = self._resident
        block = np.zeros(shape, self._real)
        block[:, : flat.shape[0]] = flat
        if not within_trace():
            return _OUTSIDE[function](rows, block, state)
        with jax.ensure_compile_time_eval():
            return _OUTSIDE[function](rows, block, state)

    def _flat(self, values: Any) -> Any:
        real = self._real
        if isinstance(values, _ARRAYS) and values.shape == (len(self.parameters),):
            return checked_values(values, real)
        given = bind_values(self.parameters, values)
        flat = [given[p] for p in self.parameters]
        if any(isinstance(v, jax.Array) for v in flat):
            return jnp.stack([jnp.asarray(v, real) for v in flat])
        return np.array(flat, real)


def explained(circuit: Circuit, row: Lowered, asked: str) -> str:
    """What runs for a row: engine and why, its layers or steps, passes over the state, bytes."""
    state = row.dtype.itemsize * 2**row.num_wires
    data = sum(
        int(np.prod(np.shape(a))) * a.dtype.itemsize
        for a in jax.tree.leaves((row.data, row.operands, row.observables))
    )
    # As `lower` has made it: what is measured takes a Clifford operation off the end, if its words are known.
    absorb = bool(row.observables) and all(known(o.flips) is not None for o in row.observables)
    choice = batch.choice(circuit, keep_phase=not row.observables)
    why = choice.reason if asked == "auto" else "asked for"
    form = batch.form_of(circuit, row, absorb=absorb)
    absorbed = batch.form_of(circuit, row).used - form.used
    measured = f"; {absorbed} more go into the observables" if absorbed > 0 else ""
    alike = "of the same structure" if form.structured else "whose data have the same shapes"
    if row.atoms:
        alike += " and whose parameters are in the same expressions"
    others = ", ".join(f"{name} {cost / 1000:,.1f}" for name, cost in choice.costs.items())
    lines = {
        "engine": f"{row.engine}: {why} ({row.dtype}, diff={row.diff!r})",
        "qubits": f"{row.num_wires} (a state has {state:,} bytes)",
        "parameters": f"{int(row.num_parameters)}",
        "form": described(form) + measured,
        "estimate": f"{others} (microseconds of a gradient)",
        "observables": f"{len(row.observables)}",
        "data": f"{data:,} bytes; circuits {alike} share the compiled kernel",
    }
    return "\n".join(f"{name:12}{text}" for name, text in lines.items())


@overload
def compile(
    circuit: Circuit,
    observable: PauliSum | Sequence[PauliSum] | None = None,
    *,
    engine: str = "auto",
    diff: str = "adjoint",
    dtype: Any = None,
) -> CompiledCircuit: ...


@overload
def compile(
    circuit: Sequence[Circuit],
    observable: PauliSum | Sequence[PauliSum | Sequence[PauliSum]] | None = None,
    *,
    engine: str = "auto",
    diff: str = "adjoint",
    dtype: Any = None,
) -> CompiledCircuits: ...


def compile(
    circuit: Circuit | Sequence[Circuit],
    observable: PauliSum | Sequence[PauliSum | Sequence[PauliSum]] | None = None,
    *,
    engine: str = "auto",
    diff: str = "adjoint",
    dtype: Any = None,
) -> CompiledCircuit | CompiledCircuits:
    """The circuit as a pure function of the values of its parameters; or many circuits as one function.

    Args:
        circuit: a snapshot of it is taken; angles that are JAX values are kept as they are. A list of
            circuits, equal or not, gives a function of the values of all of them.
        observable: a sum with real coefficients, several, or None for the state. For a list of circuits one for all of
            them, or a list with what each takes: one sum, or as many as the others.
        engine: "layered", "rotations", "fused", or "auto" for the one that the cost model expects to be
            fastest.
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
        >>> circuits = [js.Circuit(2).rx(theta[0], k).cx(k, 1 - k) for k in (0, 1)]
        >>> g = js.compile(circuits, js.Z(0))  # one function, also inside jit and grad
        >>> [round(float(energy), 4) for energy in g([[0.1], [0.2]])]
        [0.995, 0.9801]
    """
    options = {"engine": engine, "dtype": dtype, "diff": diff, "absorb": True}
    if isinstance(circuit, Circuit):
        if observable is not None and not isinstance(observable, PauliSum):
            observable = batch.check_observables("compile", observable)
        return CompiledCircuit(unmeasured("compile", circuit).copy(), observable, options)
    if not isinstance(circuit, list | tuple):
        raise TypeError(
            f"compile takes a Circuit or a list of them, but a {type(circuit).__name__} was given."
        )
    for k, item in enumerate(circuit):
        if not isinstance(item, Circuit):
            raise TypeError(f"compile: item {k} of the list is a {type(item).__name__}, not a Circuit.")
    if not circuit:
        raise ValueError("compile: an empty list of circuits was given: give at least one.")
    circuits = [unmeasured("compile", item).copy() for item in circuit]
    return CompiledCircuits(circuits, observable, options)
