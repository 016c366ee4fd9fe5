"""Quantum Fisher information: how far the state moves when a circuit's parameters do.

The state's derivatives by the parameters are forward derivatives through the engine, a few parameters at a time, so
that lowered circuits whose number of layers is data have them as well. Their part along the state is taken off; what is
left has the Fisher information as its Gram matrix, times four.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer

from jaxsim import batch, kernels
from jaxsim.batch import all_values, start_of
from jaxsim.binding import bind_values
from jaxsim.circuit import Circuit, from_structure
from jaxsim.compilation import compiler_options
from jaxsim.eager import evaluated_now
from jaxsim.engines.registry import engine_of
from jaxsim.parameters import ParameterVector
from jaxsim.structure import Structure
from jaxsim.terminal import unmeasured

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Array, Complex, Float, Int

    from jaxsim.batch import Lowered

__all__ = [
    "APPROXIMATIONS", "fisher_information", "parameter_layers", "row_fisher", "row_fisher_diagonal",
]  # fmt: skip

APPROXIMATIONS = ("full", "block_diagonal", "diagonal")

AT_ONCE = 2**17
"""Amplitudes of derivatives that are computed at a time for one row, or for a block of rows of up to 14 qubits."""

STORED_BYTES = 2**28
"""Up to this size all derivatives of a state are kept; above, each column is made by a reverse pass of its own."""


def fisher_information(
    circuit: Circuit,
    values: Any = None,
    *,
    approximation: str = "full",
    engine: str = "auto",
    dtype: Any = None,
) -> Float[Array, "parameters parameters"]:
    """The quantum Fisher information matrix of the state that a circuit prepares.

    F[i, j] = 4 Re(<d_i psi|d_j psi> - <d_i psi|psi><psi|d_j psi>), four times the Fubini-Study metric. A rotation
    exp(-i a P / 2) of a state has 1 - <P>^2.

    Args:
        circuit: any circuit without measurements but at the end.
        values: of its parameters, a flat array or a mapping; None for a circuit without parameters, which is then
            differentiated by each of its angles, in the order of ``circuit.angles``.
        approximation: "full"; "diagonal", zero elsewhere; or "block_diagonal", zero between parameters of different
            layers (`parameter_layers`).
        engine, dtype: as for `compile`.

    Returns:
        (parameters, parameters), symmetric, in the real dtype; a pure function inside `jit`, `vmap` and `grad`. It
        takes a forward derivative for each parameter. All derivatives of the state are in memory, parameters x 2**n
        amplitudes, up to 256 MiB of them; above, one at a time and for twice the time.

    Raises:
        TypeError: not a circuit.
        ValueError: unknown approximation; a circuit without angles; values that do not fit.

    References: Meyer, Quantum 5, 539 (2021), eq. 13; Stokes, Izaac, Killoran and Carleo, Quantum 4, 269 (2020).

    Example:
        >>> import jaxsim as js
        >>> a, b = js.Parameter("a"), js.Parameter("b")
        >>> circuit = js.Circuit(1).ry(a, 0).rz(b, 0)
        >>> print(abs(js.fisher_information(circuit, [0.5, 0.1])).round(3))  # 1 and sin(a)^2
        [[1.   0.  ]
         [0.   0.23]]
    """
    if not isinstance(circuit, Circuit):
        raise TypeError(f"fisher_information takes a Circuit, but a {type(circuit).__name__} was given.")
    _check_approximation("fisher_information", approximation)
    circuit = unmeasured("fisher_information", circuit).copy()
    layers = parameter_layers(circuit)
    if not layers.size:
        raise ValueError(
            "fisher_information: the circuit has no parameters and no angles to differentiate by."
        )
    if not circuit.parameters:
        if values is not None and np.size(values):
            raise ValueError("fisher_information: values were given, but the circuit has no open parameters.")
        open_circuit, vector = _with_angles_open(circuit)
    elif values is None:
        raise ValueError(
            f"fisher_information: give values for the circuit's {len(circuit.parameters)} parameters."
        )
    else:
        given = bind_values(circuit.parameters, values)
        open_circuit, vector = circuit, [given[p] for p in circuit.parameters]
    traced = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((vector, circuit)))
    row = batch.lower(open_circuit, engine=engine, dtype=dtype, exact=traced)
    real = row.real_dtype
    if traced:
        flat = jnp.stack([jnp.asarray(v, real) for v in vector])
        return _matrix(row, flat, layers, approximation)
    with evaluated_now():
        return _outside(row, np.array(vector, real), layers, approximation)


def _with_angles_open(circuit: Circuit) -> tuple[Circuit, Any]:
    """The circuit with its angles as parameters, and their values."""
    old = circuit.structure
    angles = ParameterVector("angle", old.num_slots)
    structure = Structure(
        old.num_wires,
        old.instructions,
        tuple(enumerate(angles)),
        old.num_slots,
        old.num_operands,
        old.registers,
    )
    return from_structure(structure, (np.zeros(old.num_slots), circuit.operands)), list(circuit.angles)


def _check_approximation(name: str, approximation: Any) -> None:
    if approximation not in APPROXIMATIONS:
        known = ", ".join(map(repr, APPROXIMATIONS))
        raise ValueError(f"{name}: approximation must be one of {known}, but {approximation!r} was given.")


def parameter_layers(circuit: Circuit) -> Int[np.ndarray, " parameters"]:
    """The layer of each parameter, int32, for block-diagonal Fisher information.

    Gates with parameters are taken in time order; one that acts after another of the current layer, on a wire that
    leads there directly or through other gates, opens the next layer. A parameter belongs to the layer of the first
    gate that has it. For a circuit without parameters, the same for each of its angles.

    References: Stokes, Izaac, Killoran and Carleo, Quantum 4, 269 (2020), section 3.

    Example:
        >>> import jaxsim as js
        >>> t = js.ParameterVector("t", 6)
        >>> c = js.Circuit(2).ry(t[:2], range(2)).rz(t[2:4], range(2)).cx(0, 1).ry(t[4:], range(2))
        >>> parameter_layers(c).tolist()
        [0, 0, 1, 1, 2, 2]
    """
    structure = circuit.structure
    if structure.parameters:
        place = {p: k for k, p in enumerate(structure.parameters)}
        used = {slot: [place[p] for p in expression.parameters] for slot, expression in structure.expressions}
        count = len(place)
    else:
        used = {slot: [slot] for slot in range(structure.num_slots)}
        count = structure.num_slots
    layers = np.full(count, -1, np.int32)
    layer, after = -1, 0
    for i in structure.instructions:
        wires = sum(1 << w for w in i.wires)
        parameters = [p for slot in i.slots for p in used.get(slot, ())]
        if parameters and (layer < 0 or after & wires):
            layer, after = layer + 1, wires
        elif parameters or after & wires:
            after |= wires
        for p in parameters:
            if layers[p] < 0:
                layers[p] = layer
    return np.maximum(layers, 0)


# one row --------------------------------------------------------------------------------------------------


def row_fisher(row: Lowered, values: Array) -> Float[Array, "parameters parameters"]:
    """The Fisher information matrix of a row of `lower` at values (parameters,), for use inside `jit` and `vmap`.

    A row's bits do not depend on other rows. What is said of memory at `fisher_information` holds for each row.
    """
    size, dim = values.shape[0], 2**row.num_wires
    if size * dim * row.dtype.itemsize > STORED_BYTES:
        return _by_reverse_passes(row, values)
    vectors = _over_parameters(row, values, lambda derivatives: derivatives, (dim,), row.dtype)

    def gram_row(k: Any) -> Array:
        vector = lax.dynamic_index_in_dim(vectors, k, keepdims=False)
        return 4 * kernels.real_overlap(kernels.on_each(vector, vectors), vectors)[:size]

    return _numbered(_count(row, 1), size, gram_row, (size,), row.real_dtype)


def row_fisher_diagonal(row: Lowered, values: Array) -> Float[Array, " parameters"]:
    """The diagonal of `row_fisher`, in the memory of a few states."""

    def of(vectors: Array) -> Array:
        return 4 * kernels.real_overlap(vectors, vectors)

    return _over_parameters(row, values, of, (), row.real_dtype)[: values.shape[0]]


def _state_function(row: Lowered, values: Array) -> tuple[Callable[[Array], Array], Any, Array]:
    """The state, up to its phase, as a function of the values that angles are made of."""
    data, operands, start = start_of(row, None)

    def state(everything: Array) -> Array:
        return engine_of(row.program).run(row.program, data, everything, operands, start)

    return state, (data, operands), start


def _over_parameters(
    row: Lowered,
    values: Array,
    function: Callable[[Complex[Array, "some dim"]], Array],
    shape: tuple[int, ...],
    dtype: Any,
) -> Array:
    """A function of the state's derivatives, less their part along the state, for some parameters at a time.

    Returns:
        the results along axis 0, (parameters, *shape), with zeros at the end for places without a parameter.
    """
    size = values.shape[0]
    some = max(1, min(size, AT_ONCE >> max(row.num_wires, 14)))
    chunks = -(-size // some)
    state, _, _ = _state_function(row, values)

    def of_values(values: Array) -> Array:
        return state(all_values(row, values))

    def chunk(k: Any) -> Array:
        chosen = k * some + jnp.arange(some)
        directions = (chosen[:, None] == jnp.arange(size)[None]).astype(values.dtype)
        final, vectors = jax.vmap(lambda d: jax.jvp(of_values, (values,), (d,)), out_axes=(None, 0))(
            directions
        )
        return function(_perpendicular(final, vectors))

    results = _numbered(_count(row, some), chunks, chunk, (some, *shape), dtype)
    return results.reshape(chunks * some, *shape)


def _count(row: Lowered, some: int) -> Any:
    """How many times `some` parameters there are: no more, though there be more places for them."""
    count = (row.num_parameters + some - 1) // some
    return _largest(count) if isinstance(count, Tracer) else int(count)


@jax.custom_batching.custom_vmap
def _largest(count: Array) -> Array:
    """The count itself; under vmap the largest of all rows, for all of them: what a row does past its own are zeros."""
    return count


@_largest.def_vmap
def _largest_of_rows(size: int, batched: Any, count: Array) -> tuple[Array, bool]:
    return jnp.max(count), False


def _numbered(count: Any, room: int, function: Callable[[Any], Array], shape: tuple, dtype: Any) -> Array:
    """function(0), function(1), ... up to a count, along axis 0, and zeros: (room, *shape)."""

    def put(k: Any, results: Array) -> Array:
        return lax.dynamic_update_index_in_dim(results, function(k), k, 0)

    return lax.fori_loop(0, count, put, jnp.zeros((room, *shape), dtype))


def _perpendicular(state: Complex[Array, " dim"], vectors: Complex[Array, "some dim"]) -> Array:
    """The vectors without their part along the state, of which global phases are made."""
    along = kernels.overlap(kernels.on_each(state, vectors), vectors)
    return vectors - along[:, None] * state[None]


def _by_reverse_passes(row: Lowered, values: Array) -> Array:
    """The matrix with few states in memory: each column is the gradient of Re <d_j psi|psi> with the bra fixed."""
    state, (data, operands), _ = _state_function(row, values)
    everything, pull = jax.vjp(lambda v: all_values(row, v), values)
    final = state(everything)

    def columns(vectors: Array) -> Array:
        stack = jnp.concatenate([final[None], 4 * vectors])
        _, by_value, _ = engine_of(row.program).reverse(row.program, data, everything, operands, stack)
        return jax.vmap(lambda g: pull(g)[0])(by_value)

    size = values.shape[0]
    return _over_parameters(row, values, columns, (size,), row.real_dtype)[:size]


def _matrix(row: Lowered, values: Array, layers: Any, approximation: str) -> Array:
    if approximation == "diagonal":
        return jnp.diag(row_fisher_diagonal(row, values))
    matrix = row_fisher(row, values)
    if approximation == "block_diagonal":
        layers = jnp.asarray(layers)
        matrix = jnp.where(layers[:, None] == layers[None, :], matrix, 0)
    return matrix


@partial(jax.jit, static_argnames=("approximation",), compiler_options=compiler_options())
def _outside(row: Lowered, values: Array, layers: Array, approximation: str) -> Array:
    return _matrix(row, values, layers, approximation)
