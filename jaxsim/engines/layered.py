"""The layered engine: runs a circuit that was lowered to layers, and runs it backwards.

A layer is a gate on every qubit, phases, and a gather by an affine map of the basis index. The gates are products RZ RY
RZ RY RZ, whose matrices are made while the circuit runs. All that distinguishes one circuit from another is in the
arrays, the number of layers included: one compiled kernel serves all circuits of a size, and the rows of a batch may be
different circuits. The backward run undoes the state instead of having stored it; all derivatives of a layer come from
sums of products of amplitudes on the way.

References: adjoint differentiation, Jones and Gacon, arXiv:2009.02823.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxsim import kernels, layer_kernels
from jaxsim.engines.preparation import prepared
from jaxsim.stepping import entry_at, with_entry_at

if TYPE_CHECKING:
    from jaxtyping import Array, Complex, Float, Int

    AnyArray = Array | np.ndarray
    """NumPy on the host, JAX inside a call."""

    Operands = tuple[Array, ...]

__all__ = ["FACTORS", "Data", "Program", "initial_state", "reverse", "run", "with_phase"]

FACTORS = "ZYZYZ"
"""Axes of the rotations that make up the gate on a qubit, in time order."""


class Program(NamedTuple):
    """The static part: what a kernel is compiled for.

    Attributes:
        num_wires: number of qubits.
        exact: whether the number of layers is compiled in; otherwise it is data, which has no reverse mode
            of its own, but compiles once for all circuits.
        sign: whether layers have a sign.
        masked: whether layers have a phase on some basis states.
        tables: operands that are energies of all basis states.
        initialize: (wires, operand) of states that are prepared before everything else.
    """

    num_wires: int
    exact: bool
    sign: bool
    masked: bool
    tables: tuple[int, ...]
    initialize: tuple[tuple[tuple[int, ...], int], ...]


class Data(NamedTuple):
    """The arrays of a circuit. Angles are a constant part and ``sum_t scale[t] * values[index[t]]``.

    Of the constant parts the cosine and sine are here, made in double precision: no digits are lost in large angles,
    and a circuit of constant gates is as exact as its dtype.

    Attributes:
        count: how many layers are in use.
        maps: for the gather that does a layer's map and the one that undoes it, what each bit of the new index
            contributes to the old one, and the old index of 0.
        index, scale: angles: half of that of each factor on each qubit; of the masked phase and of the table if there
            are such.
        turns: cosine and sine of their constant parts; without the table.
        table_offset: the constant part of the table's angle.
        sign: for each qubit the lower qubits it has a sign with.
        masked: mask and value of the bits that have the phase.
        table: which of the program's tables.
        phase_index, phase_scale, phase_turn: the global phase.
        back, back_scale: among all angles those that each value is used in, and their scales; padded with scale 0.
    """

    count: Any
    maps: Int[AnyArray, "layers 2 wires_and_start"]
    index: Int[AnyArray, "layers slots terms"]
    scale: Float[AnyArray, "layers slots terms"]
    turns: Float[AnyArray, "layers turning_slots 2"]
    table_offset: Float[AnyArray, "layers 1_or_none"]
    sign: Int[AnyArray, "layers wires_or_none"]
    masked: Int[AnyArray, "layers 2_or_none"]
    table: Int[AnyArray, "layers 1_or_none"]
    phase_index: Int[AnyArray, "1 terms"]
    phase_scale: Float[AnyArray, "1 terms"]
    phase_turn: Float[AnyArray, "1 2"]
    back: Int[AnyArray, "values uses"]
    back_scale: Float[AnyArray, "values uses"]


class _Layer(NamedTuple):
    """What one layer needs; every array has a leading axis over layers until it is taken apart.

    Attributes:
        turns: cosine and sine of half of the angle of each factor on each qubit, (factors, wires, 2).
        gates, adjoints: the gates on all qubits, as `layer_kernels.pair_matrices` gives them.
        maps: tables for doing and for undoing the map, as `layer_kernels.index_tables` gives them.
        sign, masked, table: as in `Data`.
        masked_turn: cosine and sine of the masked phase's angle.
        table_angle: the table's angle.
    """

    turns: Array
    gates: tuple[Array, Array]
    adjoints: tuple[Array, Array]
    maps: tuple[Array, Array]
    sign: Any
    masked: Any
    masked_turn: Array
    table: Any
    table_angle: Any


# angles ---------------------------------------------------------------------------------------------------


def _affine(index: AnyArray, scale: AnyArray, values: Array) -> Array:
    return _sum_of_last(scale * values.at[index].get(mode="promise_in_bounds"))


def _sum_of_last(terms: AnyArray) -> Array:
    """The sum over the last axis, in its order."""
    first, *others = lax.split(jnp.asarray(terms), (1,) * terms.shape[-1], axis=terms.ndim - 1)
    return lax.squeeze(sum(others, first), (terms.ndim - 1,))


def _layers(program: Program, data: Data, values: Array) -> _Layer:
    # For all layers at once, so that forward and backward run share the work and its compiled kernels.
    angles = _affine(data.index, data.scale, values)
    factors, turning = len(FACTORS) * program.num_wires, data.turns.shape[1]
    turns = _turned(data.turns, angles[:, :turning])
    by_factor = turns[:, :factors].reshape(-1, len(FACTORS), program.num_wires, 2)
    gates = layer_kernels.pair_matrices(_gates(by_factor))
    return _Layer(
        turns=by_factor,
        gates=gates,
        adjoints=(jnp.conj(jnp.swapaxes(gates[0], -1, -2)), jnp.conj(jnp.swapaxes(gates[1], -1, -2))),
        maps=layer_kernels.index_tables(jnp.asarray(data.maps)),
        sign=data.sign,
        masked=data.masked,
        masked_turn=turns[:, -1],
        table=data.table,
        table_angle=data.table_offset + angles[:, turning:],
    )


def _turned(constant: Float[AnyArray, "*angles 2"], angle: Float[Array, "*angles"]) -> Array:
    """Cosine and sine of a sum of which one part is given by cosine and sine."""
    c, s, c0, s0 = jnp.cos(angle), jnp.sin(angle), constant[..., 0], constant[..., 1]
    return jnp.stack([c * c0 - s * s0, s * c0 + c * s0], axis=-1)


def _gates(turns: Float[Array, "layers factors wires 2"]) -> Complex[Array, "layers wires 2 2"]:
    """The gates of all layers, [[a, -conj b], [b, conj a]] on every qubit."""
    factors = jnp.unstack(turns, axis=1)
    a = jnp.ones(factors[0].shape[:-1], jnp.result_type(turns.dtype, jnp.complex64))
    b = jnp.zeros_like(a)
    for factor, axis in zip(factors, FACTORS, strict=True):
        c, s = jnp.unstack(factor, axis=-1)
        if axis == "Z":
            turn = lax.complex(c, s)
            a, b = a * jnp.conj(turn), b * turn
        else:
            a, b = c * a - s * b, s * a + c * b
    return jnp.stack([a, -jnp.conj(b), b, jnp.conj(a)], axis=-1).reshape(*a.shape, 2, 2)


def _by_factors(
    turns: Float[Array, "factors wires 2"], by_axis: Float[Array, "3 wires outputs"]
) -> Float[Array, "factors wires outputs"]:
    """Derivatives by half of the angle of each factor, from those by rotations about X, Y, Z before the gate.

    A rotation about an axis between two factors is one about a turned axis before them all.
    """
    c, s = jnp.unstack(turns[..., None, :], axis=-1)
    cosines, sines = jnp.unstack(c * c - s * s), jnp.unstack(2 * s * c)
    x, y, z = jnp.unstack(by_axis)
    found = []
    for cosine, sine, axis in zip(cosines, sines, FACTORS, strict=True):
        if axis == "Z":
            found.append(z)
            x, y = cosine * x - sine * y, cosine * y + sine * x
        else:
            found.append(y)
            z, x = cosine * z - sine * x, cosine * x + sine * z
    return jnp.stack(found)


@jax.custom_batching.custom_vmap
def _largest(count: Array) -> Array:
    """The count itself; under vmap the largest of all rows, for all of them.

    A row then runs past its own layers through layers that do nothing, and that change no bits.
    """
    return count


@_largest.def_vmap
def _largest_of_rows(size: int, batched: Any, count: Array) -> tuple[Array, bool]:
    return jnp.max(count), False


def _each_layer(
    program: Program,
    data: Data,
    layers: _Layer,
    step: Callable[[Any, _Layer], tuple[Any, Any]],
    carry: Any,
    outputs: Array | None = None,
    *,
    reverse: bool = False,
) -> tuple[Any, Any]:
    """Carries something through all layers in use; `outputs` (layers, ...) takes what `step` gives for each."""
    if program.exact:
        return lax.scan(step, carry, layers, reverse=reverse)
    count = _largest(data.count)

    def body(k: Array, both: tuple[Any, Any]) -> tuple[Any, Any]:
        carry, outputs = both
        at = count - 1 - k if reverse else k
        carry, out = step(carry, entry_at(layers, at))
        return carry, None if outputs is None else with_entry_at(outputs, out, at)

    return lax.fori_loop(0, count, body, (carry, outputs))


# forward --------------------------------------------------------------------------------------------------


def initial_state(
    program: Program, operands: Operands, dtype: Any, state: Array | None = None
) -> Complex[Array, " dim"]:
    """The state before the first layer: `state` or |0...0>, with what `initialize` prepares put in."""
    return prepared(program.num_wires, program.initialize, operands, dtype, state)


def run(
    program: Program, data: Data, values: Float[Array, " values"], operands: Operands, state: Array
) -> Complex[Array, " dim"]:
    """The final state, up to its global phase.

    Args:
        program: the static part.
        data: the arrays.
        values: the values that angles are made of, at least one.
        operands: the circuit's operands.
        state: the initial state.
    """
    data = jax.tree.map(jnp.asarray, data)
    tables = _tables(program, operands, values.dtype)

    def step(state: Array, layer: _Layer) -> tuple[Array, None]:
        state = layer_kernels.gates_on_all(state, *layer.gates)
        state = _phases(program, tables, state, layer)
        return layer_kernels.gather(state, *(table[0] for table in layer.maps)), None

    state, _ = _each_layer(program, data, _layers(program, data, values), step, state)
    return _plain_zeros(state)


def with_phase(data: Data, values: Array, state: Complex[Array, " dim"]) -> Complex[Array, " dim"]:
    """The state with the circuit's global phase, which `run` leaves out: no expectation value depends on it."""
    data = jax.tree.map(jnp.asarray, data)
    phase = _affine(data.phase_index, data.phase_scale, values)[0]
    turn = _turned(data.phase_turn[0], phase)
    return _plain_zeros(layer_kernels.multiply(state, turn[0], turn[1]))


def _plain_zeros(array: Array) -> Array:
    """Without -0.0, of whose sign layers that do nothing may make another."""
    if jnp.iscomplexobj(array):
        return lax.complex(_plain_zeros(array.real), _plain_zeros(array.imag))
    return jnp.where(array == 0, 0, array)


def _tables(program: Program, operands: Operands, dtype: Any) -> Float[Array, "tables dim"]:
    return (
        jnp.stack([operands[k].astype(dtype) for k in program.tables])
        if program.tables
        else jnp.zeros((0, 1), dtype)
    )


def _phases(program: Program, tables: Array, state: Array, layer: _Layer, *, adjoint: bool = False) -> Array:
    if program.sign:
        state = layer_kernels.change_sign(state, layer.sign)
    if program.masked:
        state = layer_kernels.masked_phase(state, layer.masked, layer.masked_turn, adjoint=adjoint)
    if program.tables:
        table = _used_table(tables, layer)
        state = layer_kernels.evolve_table(state, table, layer.table_angle[0], adjoint=adjoint)
    return state


def _used_table(tables: Array, layer: _Layer) -> Array:
    return lax.dynamic_index_in_dim(tables, layer.table[0], keepdims=False)


# backward -------------------------------------------------------------------------------------------------


def reverse(
    program: Program,
    data: Data,
    values: Float[Array, " values"],
    operands: Operands,
    stack: Complex[Array, "states dim"],
) -> tuple[Complex[Array, "states dim"], Float[Array, "outputs values"], tuple[Array, ...]]:
    """Undoes the circuit on a final state and cotangents, differentiating on the way.

    Args:
        program, data, values, operands: as for `run`.
        stack: row 0 is the final state; row k + 1 is lambda_k, where output k changes by Re <lambda_k | d
            state>.

    Returns:
        The stack before the first layer; the derivative of each output with respect to each value; and for
        each operand the cotangents, (outputs, *operand.shape): output k changes by Re sum(cotangent_k * d
        operand).
    """
    data = jax.tree.map(jnp.asarray, data)
    tables = _tables(program, operands, values.dtype)
    num_outputs = stack.shape[0] - 1

    def step(carry: tuple[Array, Array], layer: _Layer) -> tuple[Any, Array]:
        stack, by_table = carry
        stack = layer_kernels.gather(stack, *(table[1] for table in layer.maps))
        extra = []
        if program.masked or program.tables:
            density = layer_kernels.z_density(stack)
        if program.masked:
            chosen = layer_kernels.selected(stack.shape[-1], layer.masked)
            extra.append(-kernels.tree_sum(jnp.where(kernels.on_each(chosen, density), density, 0)))
        if program.tables:
            extra.append(kernels.tree_sum(density * kernels.on_each(_used_table(tables, layer), density)))
            used = jnp.arange(len(program.tables)) == layer.table[0]
            by_table = by_table + jnp.where(used[:, None, None], layer.table_angle[0] * density[None], 0)
        stack = _phases(program, tables, stack, layer, adjoint=True)
        stack, by_axis = layer_kernels.undo_gates_on_all(stack, *layer.adjoints)
        by_turn = _by_factors(layer.turns, by_axis).reshape(-1, num_outputs)
        return (stack, by_table), jnp.concatenate([by_turn, *(e[None] for e in extra)])

    by_table = jnp.zeros((len(program.tables), num_outputs, tables.shape[1]), values.dtype)
    by_angle = jnp.zeros((*data.scale.shape[:2], num_outputs), values.dtype)
    carry, layers = (stack, by_table), _layers(program, data, values)
    (stack, by_table), by_angle = _each_layer(program, data, layers, step, carry, by_angle, reverse=True)
    by_operand = tuple(
        by_table[program.tables.index(k)].astype(o.dtype)
        if k in program.tables
        else jnp.zeros((num_outputs, *o.shape), o.dtype)
        for k, o in enumerate(operands)
    )
    return stack, _plain_zeros(_transposed_affine(data, by_angle)), by_operand


def _transposed_affine(data: Data, by_angle: Float[Array, "layers slots outputs"]) -> Array:
    """Derivatives by values from derivatives by angles: a padded gather, never a scatter."""
    flat = by_angle.reshape(-1, by_angle.shape[-1]).T
    used = flat.at[:, data.back].get(mode="promise_in_bounds")
    return _sum_of_last(used * data.back_scale[None])
