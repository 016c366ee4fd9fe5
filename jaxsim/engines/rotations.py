"""The rotation engine: runs a circuit that was lowered to two-level steps, and runs it backwards.

All that distinguishes one circuit from another is in the arrays; a run of steps is one `lax.scan`, whose body
is compiled once for all circuits of a size. The backward run undoes the state instead of having stored it, so
that the memory of a gradient does not grow with depth.

References: adjoint differentiation, Jones and Gacon, arXiv:2009.02823.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxsim import kernels
from jaxsim.engines.preparation import prepared
from jaxsim.lowering.rotations import Item, Repeat, Steps
from jaxsim.lowering.special import Special

if TYPE_CHECKING:
    from jaxtyping import Array, Complex, Float, Int

    AnyArray = Array | np.ndarray
    """NumPy on the host, JAX inside a call."""

    Operands = tuple[Array, ...]

__all__ = ["Data", "Program", "initial_state", "reverse", "run"]


class Program(NamedTuple):
    """The static part: what a kernel is compiled for.

    Attributes:
        num_wires: number of qubits.
        items: what happens, in time order.
        num_angles: angles of a step.
        has_phase: whether steps have a phase after their angles.
    """

    num_wires: int
    items: tuple[Item, ...]
    num_angles: int
    has_phase: bool


class Data(NamedTuple):
    """The arrays of a lowered circuit; see `lowering.rotations.Lowering`."""

    x: Int[AnyArray, " steps"]
    z: Int[AnyArray, " steps"]
    controls: Int[AnyArray, "steps 2"]
    sign: Float[AnyArray, " steps"]
    constants: Complex[AnyArray, "steps factors 2 2"]
    index: Int[AnyArray, "steps slots terms"]
    scale: Float[AnyArray, "steps slots terms"]
    special_index: Int[AnyArray, "specials terms"]
    special_scale: Float[AnyArray, "specials terms"]
    special_offset: Float[AnyArray, " specials"]
    back: Int[AnyArray, "values uses"]


class _Gradient(NamedTuple):
    """Derivatives of the outputs with respect to what the items consumed."""

    slots: Float[Array, "steps slots outputs"]
    specials: Float[Array, "specials outputs"]
    operands: tuple[Array, ...]


# angles ---------------------------------------------------------------------------------------------------


def _affine(index: AnyArray, scale: AnyArray, values: Array) -> Array:
    total: Any = scale[..., 0] * values[index[..., 0]]
    for k in range(1, index.shape[-1]):
        total = total + scale[..., k] * values[index[..., k]]
    return total


def _matrices(
    program: Program, data: Data, slots: Float[Array, "steps slots"]
) -> tuple[Complex[Array, "steps 4"], Complex[Array, "steps slots 4"]]:
    """For all steps the entries of U = exp(i phase) C0 RZ(a0) C1 RZ(a1) ..., and of (dU / d slot) U^dagger.

    With L = C0 RZ(a0) ... Ck the latter is L (-i/2 Z) L^dagger for angle k, and i for the phase.
    """
    constants = data.constants
    a, b, c, d = (constants[:, 0, i, j] for i in (0, 1) for j in (0, 1))
    half = 0.5 * slots[:, : program.num_angles]
    # Without the barriers XLA computes sines and products anew for each entry that they enter.
    ups = lax.optimization_barrier(lax.complex(jnp.cos(half), jnp.sin(half)))
    generators = []
    for k in range(program.num_angles):
        above = a * jnp.conj(c) - b * jnp.conj(d)
        kept = (_squared(a) - _squared(b), _squared(c) - _squared(d))
        generators.append(-0.5j * jnp.stack([*kept, above, data.sign * jnp.conj(above)], axis=-1))
        up, down = ups[:, k], jnp.conj(ups[:, k])
        a, b, c, d = a * down, b * up, c * down, d * up
        p, q, r, s = (constants[:, k + 1, i, j] for i in (0, 1) for j in (0, 1))
        products = (a * p + b * r, a * q + b * s, c * p + d * r, c * q + d * s)
        a, b, c, d = lax.optimization_barrier(products)
    entries = jnp.stack([a, d, b, data.sign * c], axis=-1)
    if program.has_phase:
        phase = slots[:, -1]
        entries = lax.complex(jnp.cos(phase), jnp.sin(phase))[:, None] * entries
        generators.append(jnp.broadcast_to(jnp.array([1j, 1j, 0, 0], entries.dtype), entries.shape))
    if not generators:
        return entries, jnp.zeros((len(entries), 0, 4), entries.dtype)
    return entries, jnp.stack(generators, axis=1)


def _squared(z: Any) -> Array:
    return jnp.square(z.real) + jnp.square(z.imag)


def _slots(data: Data, values: Array) -> tuple[Array, Array]:
    return (
        _affine(data.index, data.scale, values),
        _affine(data.special_index, data.special_scale, values) + data.special_offset,
    )


def _steps(data: Data, entries: Array) -> kernels.TwoLevel:
    x, z, controls = map(jnp.asarray, (data.x, data.z, data.controls))
    return kernels.TwoLevel(x, z, controls, entries)


# forward --------------------------------------------------------------------------------------------------


def initial_state(
    program: Program, operands: Operands, dtype: Any, state: Array | None = None
) -> Complex[Array, " dim"]:
    """The state before the first gate: `state` or |0...0>, with what `initialize` prepares put in."""
    initialize = tuple(
        (item.wires, item.operand)
        for item in program.items
        if isinstance(item, Special) and item.gate == "initialize"
    )
    return prepared(program.num_wires, initialize, operands, dtype, state)


def run(
    program: Program, data: Data, values: Float[Array, " values"], operands: Operands, state: Array
) -> Complex[Array, "*batch dim"]:
    """The final state.

    Args:
        program: the static part.
        data: the arrays.
        values: the values that angles are made of, at least one.
        operands: the circuit's operands.
        state: the initial state, (..., 2**n).
    """
    data = jax.tree.map(jnp.asarray, data)
    slots, specials = _slots(data, values)
    steps = _steps(data, _matrices(program, data, slots)[0])
    return _forward(program.num_wires, program.items, steps, specials, operands, state)


def _forward(
    num_wires: int, items: tuple[Item, ...], steps: Any, specials: Array, operands: Operands, state: Array
) -> Array:
    step_at = special_at = 0
    for item in items:
        num_steps, num_specials = _consumed(item)
        own = jax.tree.map(lambda a, i=step_at, n=num_steps: a[i : i + n], steps)
        own_specials = specials[special_at : special_at + num_specials]
        step_at, special_at = step_at + num_steps, special_at + num_specials
        match item:
            case Steps():
                state, _ = lax.scan(lambda s, step: (kernels.two_level(s, step), None), state, own)
            case Special():
                if item.gate != "initialize":
                    state = _apply_special(num_wires, item, own_specials, operands, state)
            case Repeat():
                state, _ = lax.scan(
                    lambda s, xs, item=item: (_forward(num_wires, item.items, *xs, operands, s), None),
                    state,
                    _folded(item, own, own_specials),
                )
    return state


def _consumed(item: Item) -> tuple[int, int]:
    """How many steps and special angles an item takes."""
    match item:
        case Steps():
            return item.count, 0
        case Special():
            return 0, item.angles
        case Repeat():
            inner = [_consumed(i) for i in item.items]
            return item.times * sum(a for a, _ in inner), item.times * sum(b for _, b in inner)


def _folded(item: Repeat, steps: Any, specials: Array) -> tuple[Any, Array]:
    # No -1 in the shapes: an axis may be empty.
    return jax.tree.map(
        lambda a: a.reshape(item.times, a.shape[0] // item.times, *a.shape[1:]), (steps, specials)
    )


def _unfolded(array: Array) -> Array:
    return array.reshape(array.shape[0] * array.shape[1], *array.shape[2:])


def _apply_special(
    num_wires: int, item: Special, angles: Array, operands: Operands, state: Array, *, adjoint: bool = False
) -> Array:
    operand = operands[item.operand]
    match item.gate:
        case "evolve_diagonal":
            phase = (angles[0] if adjoint else -angles[0]) * operand
            factors = lax.complex(jnp.cos(phase), jnp.sin(phase))
        case "diagonal":
            factors = jnp.conj(operand) if adjoint else operand
        case _:
            matrix = jnp.conj(operand.T) if adjoint else operand
            return kernels.apply_matrix(state, matrix, item.wires, item.controls, num_wires)
    factors = _over_basis(num_wires, item, factors)
    return kernels.select_controlled(kernels.on_each(factors, state) * state, state, item.controls)


def _over_basis(num_wires: int, item: Special, diagonal: Array) -> Array:
    """A diagonal on the item's wires as a diagonal on all."""
    everywhere = item.wires == tuple(range(num_wires))
    return diagonal if everywhere else diagonal[kernels.local_index(num_wires, item.wires)]


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
        The stack before the first gate; the derivative of each output with respect to each value; and for
        each operand the cotangents, (outputs, *operand.shape): output k changes by Re sum(cotangent_k * d
        operand).
    """
    data = jax.tree.map(jnp.asarray, data)
    slots, specials = _slots(data, values)
    entries, generators = _matrices(program, data, slots)
    num_outputs = stack.shape[0] - 1
    stack, gradient = _backward(
        program.num_wires,
        program.items,
        (_steps(data, entries), generators),
        specials,
        operands,
        stack,
        num_outputs,
    )
    by_value = _transposed_affine(data, values, gradient, num_outputs)
    return stack, by_value, gradient.operands


def _transposed_affine(data: Data, values: Array, gradient: _Gradient, num_outputs: int) -> Array:
    """Derivatives by values from derivatives by angles: a padded gather, never a scatter."""
    by_slot = data.scale[..., None] * gradient.slots[:, :, None, :]
    by_special = data.special_scale[..., None] * gradient.specials[:, None, :]
    flat = jnp.concatenate(
        [
            by_slot.reshape(-1, num_outputs),
            by_special.reshape(-1, num_outputs),
            jnp.zeros((1, num_outputs), values.dtype),
        ]
    )
    total = jnp.zeros((data.back.shape[0], num_outputs), values.dtype)
    for k in range(data.back.shape[1]):
        total = total + flat[data.back[:, k]]
    return total.T


def _backward(
    num_wires: int,
    items: tuple[Item, ...],
    steps: Any,
    specials: Array,
    operands: Operands,
    stack: Array,
    num_outputs: int,
) -> tuple[Array, _Gradient]:
    real = specials.dtype
    step_end, special_end = (sum(c) for c in zip((0, 0), *map(_consumed, items), strict=True))
    by_operand = tuple(jnp.zeros((num_outputs, *o.shape), o.dtype) for o in operands)
    slot_parts, special_parts = [], []
    for item in reversed(items):
        num_steps, num_specials = _consumed(item)
        own = jax.tree.map(lambda a, i=step_end, n=num_steps: a[i - n : i], steps)
        own_specials = specials[special_end - num_specials : special_end]
        step_end, special_end = step_end - num_steps, special_end - num_specials
        match item:
            case Steps():
                stack, slots = _undo_steps(own, stack)
                slot_parts.append(slots)
            case Special():
                if item.gate != "initialize":
                    stack, angle, operand = _undo_special(num_wires, item, own_specials, operands, stack)
                    special_parts.append(angle)
                    by_operand = tuple(
                        g + operand if k == item.operand else g for k, g in enumerate(by_operand)
                    )
            case Repeat():

                def body(carry: Any, xs: Any, item: Repeat = item) -> Any:
                    stack, total = carry
                    inner, angles = xs
                    stack, g = _backward(num_wires, item.items, inner, angles, operands, stack, num_outputs)
                    return (stack, jax.tree.map(jnp.add, total, g.operands)), (g.slots, g.specials)

                (stack, by_operand), (slots, angles) = lax.scan(
                    body, (stack, by_operand), _folded(item, own, own_specials), reverse=True
                )
                slot_parts.append(_unfolded(slots))
                special_parts.append(_unfolded(angles))
    num_slots = steps[1].shape[1]
    empty_slots = jnp.zeros((0, num_slots, num_outputs), real)
    return stack, _Gradient(
        jnp.concatenate([empty_slots, *reversed(slot_parts)]),
        jnp.concatenate([jnp.zeros((0, num_outputs), real), *reversed(special_parts)]),
        by_operand,
    )


def _undo_steps(steps: tuple[kernels.TwoLevel, Array], stack: Array) -> tuple[Array, Array]:
    """The stack before a run of steps, and derivatives by their slots (steps, slots, outputs)."""

    def body(carry: tuple[Array, Array], xs: tuple[kernels.TwoLevel, Array]) -> Any:
        # The terms of a derivative are summed one step late: only what a loop carries is stored for sure. In the step
        # itself XLA would make a gather of its own for each slice of the tree, which takes twice as long.
        stack, terms = carry
        return kernels.undo_two_level(stack, *xs), kernels.tree_sum(terms)

    num_slots = steps[1].shape[1]
    terms = jnp.zeros((num_slots, stack.shape[0] - 1, stack.shape[1]), stack.real.dtype)
    (stack, terms), late = lax.scan(body, (stack, terms), steps, reverse=True)
    return stack, jnp.concatenate([kernels.tree_sum(terms)[None], late[:-1]])


def _undo_special(
    num_wires: int, item: Special, angles: Array, operands: Operands, stack: Array
) -> tuple[Array, Array, Array]:
    """The stack before the item, derivatives by its angles (angles, outputs), cotangents of its operand."""
    before = _apply_special(num_wires, item, angles, operands, stack, adjoint=True)

    def outputs(operand: Array) -> Array:
        given = tuple(operand if k == item.operand else o for k, o in enumerate(operands))
        after = _apply_special(num_wires, item, angles, given, before[0])
        return kernels.real_overlap(stack[1:], kernels.on_each(after, stack[1:]))

    # Ordinary differentiation of one gate, once an output.
    _, pull = jax.vjp(outputs, operands[item.operand])
    (by_operand,) = jax.vmap(pull)(jnp.eye(stack.shape[0] - 1, dtype=stack.real.dtype))
    by_angle = jnp.zeros((0, stack.shape[0] - 1), stack.real.dtype)
    if item.angles:
        by_angle = _angle_derivative(num_wires, item, operands, stack)[None]
    return before, by_angle, by_operand


def _angle_derivative(num_wires: int, item: Special, operands: Operands, stack: Array) -> Array:
    """Derivatives of the outputs by the angle of exp(-i angle D), from the stack after it.

    Written out, because XLA's sum in an automatic derivative would have bits that depend on the batch.
    """
    energies, after = _over_basis(num_wires, item, operands[item.operand]), stack[0]
    change = lax.complex(energies * after.imag, -energies * after.real)
    change = kernels.select_controlled(change, jnp.zeros_like(change), item.controls)
    return kernels.real_overlap(stack[1:], kernels.on_each(change, stack[1:]))
