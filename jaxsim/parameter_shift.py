"""Parameter shift: derivatives of expectation values from expectation values alone, as an experiment can have them.

If an angle a enters a circuit as one rotation exp(-i a/2 P) about a Pauli word, the derivative of an expectation value
E by it is (E(a + pi/2) - E(a - pi/2)) / 2. So every gate with a trainable angle is written as such rotations, each with
an angle of its own: a rotation under k controls is 2**k of them, an evolution by a diagonal one for each word of Z in
its Walsh-Hadamard transform. Derivatives are chained through the affine map that makes these angles of the parameters.

References: Mitarai et al., arXiv:1803.00745; Schuld et al., arXiv:1811.11184.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxsim import batch, gates, kernels
from jaxsim.circuit import Circuit, bind_values, from_structure
from jaxsim.compilation import compiler_options
from jaxsim.estimate import estimated
from jaxsim.lowering.angles import Affine, bucket, combine, parameter_room, sources_of, uses
from jaxsim.measurement_groups import Measurement, checked_shots, lower_measurement
from jaxsim.observables import PauliSum
from jaxsim.parameters import Expression, Parameter, ParameterVector
from jaxsim.simulate import check_key
from jaxsim.structure import Instruction, Structure
from jaxsim.terminal import unmeasured

if TYPE_CHECKING:
    from jaxtyping import Array, Complex, Float

__all__ = [
    "AngleMap",
    "SampledRow",
    "lower_sampled",
    "parameter_shift",
    "sampled_block_sizes",
    "sampled_gradient_rows",
    "sampled_state",
    "sampled_state_bytes",
    "sampled_value",
    "sampled_value_and_grad",
]

MOST_ROTATIONS = 2**14
"""A gradient by parameter shift takes two states for each; with more it would not end."""

AMPLITUDES_AT_A_TIME = 2**11
"""Of all states that one row has at a time."""

ROWS_PER_BLOCK = 4
"""Rows of a block, where each has many states at a time already."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class AngleMap:
    """The angles of rotations as affine functions of parameters, and of expressions of them that are not affine.

    Attributes:
        index, scale: (rotations, terms): which values, times what, add up to an angle.
        back: (values, uses) int32: where each value is used in `index`.
        room: places for the parameters among the values; expressions follow.
        atoms: the expressions, of `parameters`.
    """

    index: Any
    scale: Any
    back: Any
    room: int = field(metadata={"static": True})
    atoms: tuple[Expression, ...] = field(metadata={"static": True})
    parameters: tuple[Parameter, ...] = field(metadata={"static": True})

    def angles(self, parameters: Float[Array, " parameters"]) -> Float[Array, " rotations"]:
        """The angles."""
        values = self._values(parameters)
        # A product is finished before anything is added to it; see `estimated`.
        terms = lax.optimization_barrier(jnp.asarray(self.scale) * values[jnp.asarray(self.index)])
        return _summed(terms)

    def pulled_back(
        self, parameters: Float[Array, " parameters"], by_angle: Float[Array, " rotations"]
    ) -> Float[Array, " parameters"]:
        """Derivatives by the parameters from derivatives by the angles."""
        by_term = lax.optimization_barrier(jnp.asarray(self.scale) * by_angle[:, None])
        flat = jnp.concatenate([jnp.ravel(by_term), jnp.zeros(1, by_term.dtype)])
        by_value = kernels.tree_sum(flat[jnp.asarray(self.back)])
        if not self.atoms:
            return by_value[: parameters.shape[0]]
        _, pull = jax.vjp(self._values, parameters)
        return pull(by_value)[0]

    def _values(self, parameters: Array) -> Array:
        parts = [parameters, jnp.zeros(self.room - parameters.shape[0], parameters.dtype)]
        if self.atoms:
            given = {p: parameters[k] for k, p in enumerate(self.parameters)}
            parts.append(
                jnp.stack([jnp.asarray(a.evaluate(given, jnp), parameters.dtype) for a in self.atoms])
            )
        return jnp.concatenate(parts)


def _summed(terms: Array) -> Array:
    total = terms[:, 0]
    for k in range(1, terms.shape[1]):
        total = total + terms[:, k]
    return total


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SampledRow:
    """A circuit and how an observable is measured on it: a row for finite shots, as `lower_sampled` makes it.

    Attributes:
        row: the circuit; a function of the parameters, or of the angles of rotations if there is a map to those.
        angles: None where no gradient is wanted.
        measurement: what is measured, and how often.
    """

    row: batch.Lowered
    angles: AngleMap | None
    measurement: Measurement

    @property
    def num_wires(self) -> int:
        """Number of qubits."""
        return self.row.num_wires

    @property
    def engine(self) -> str:
        """The engine that runs the row."""
        return self.row.engine

    @property
    def dtype(self) -> np.dtype:
        """Complex dtype of the state."""
        return self.row.dtype

    @property
    def real_dtype(self) -> np.dtype:
        """Float dtype of angles and values."""
        return self.row.real_dtype

    @property
    def key(self) -> tuple:
        """The merge key: rows with equal keys share a compiled call."""
        leaves, treedef = jax.tree.flatten(self)
        return (treedef, tuple((np.shape(leaf), np.dtype(leaf.dtype).str) for leaf in leaves))


# lowering -------------------------------------------------------------------------------------------------


def lower_sampled(
    circuit: Circuit,
    observable: PauliSum,
    shots: int | None,
    *,
    gradient: bool,
    engine: str = "auto",
    dtype: Any = None,
    name: str = "lower_sampled",
) -> SampledRow:
    """The circuit, and how an observable is measured on it, as a row. Its arrays are NumPy.

    Args:
        circuit: any circuit without traced values.
        observable: a sum of concrete words and real coefficients.
        shots: of each group of terms that are measured together; None: no noise.
        gradient: whether gradients are wanted. Then the circuit is written as rotations.
        engine: as for `jaxsim.lower`.
        dtype: complex64 (default) or complex128, of the state.
        name: who asks, for messages.

    Raises:
        TypeError: not a circuit, not a PauliSum; traced values; shots that are no integer.
        ValueError: as for `lower` and `lower_measurement`; fewer than 1 shots; a gate that would be too many rotations.

    Example:
        >>> import jaxsim as js
        >>> from jaxsim.parameter_shift import lower_sampled, sampled_gradient_rows
        >>> row = lower_sampled(js.Circuit(2).crx(js.Parameter("a"), 0, 1), js.Z(1), shots=100, gradient=True)
        >>> int(sampled_gradient_rows(row))  # 1, and two for each of two rotations
        5
    """
    if not isinstance(circuit, Circuit):
        raise TypeError(f"{name} takes a Circuit, but a {type(circuit).__name__} was given.")
    if any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(circuit)):
        raise TypeError(f"{name}: the circuit must be concrete, but it holds values traced by JAX.")
    shots = None if shots is None else checked_shots(name, shots)
    real = batch.real_dtype(batch.check_dtype(dtype))
    measurement = lower_measurement(name, observable, circuit.num_wires, shots, real)
    circuit, angles = unmeasured(name, circuit), None
    if gradient and circuit.parameters:
        circuit, angles = _as_rotations(name, circuit)
        angles = dataclasses.replace(angles, scale=angles.scale.astype(real))
    return SampledRow(batch.lower(circuit, engine=engine, dtype=dtype), angles, measurement)


def _as_rotations(name: str, circuit: Circuit) -> tuple[Circuit, AngleMap]:
    """The circuit with its trainable gates as rotations, each with a parameter of its own, and the map to these."""
    structure, numbers = circuit.structure, np.asarray(circuit.angles, np.float64)
    sources, atoms = sources_of(structure, numbers)
    written, operands, phi = _Written(len(numbers)), {}, ParameterVector("phi", 0)
    trained: list[Affine] = []
    for i in structure.instructions:
        if not any(sources[s].terms for s in i.slots):
            place = None if i.operand is None else operands.setdefault(i.operand, len(operands))
            written.instructions.append(i._replace(operand=place))
            continue
        for word, angle in _rotations(name, circuit, i, sources):
            if not angle.terms:
                written.rotate(word, i.wires, angle.offset)
                continue
            if len(trained) == len(phi):
                phi = ParameterVector("phi", 2 * len(phi) + 16)
            written.rotate(word, i.wires, angle.offset, phi[len(trained)])
            trained.append(angle)
    rotations = from_structure(
        Structure(
            structure.num_wires,
            tuple(written.instructions),
            tuple(written.expressions),
            len(numbers) + len(written.angles),
            len(operands),
        ),
        (np.concatenate([numbers, written.angles]), tuple(circuit.operands[k] for k in operands)),
    )
    return rotations, _angle_map(trained, parameter_room(structure), atoms, structure.parameters)


class _Written:
    """Instructions of a circuit under construction, with the angles that come after `first`."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.instructions: list[Instruction] = []
        self.expressions: list[tuple[int, Any]] = []
        self.angles: list[float] = []

    def rotate(self, word: str, wires: tuple[int, ...], offset: float, angle: Any = None) -> None:
        """Appends the rotation about a word by the angle plus the offset."""
        slot = self.first + len(self.angles)
        letters = [(letter, wire) for letter, wire in zip(word, wires, strict=True) if letter != "I"]
        label, on = "".join(letter for letter, _ in letters), tuple(wire for _, wire in letters)
        if angle is not None:
            self.expressions.append((slot, angle + offset if offset else angle))
        self.angles.append(offset if angle is None else 0.0)
        if len(label) == 1:
            self.instructions.append(Instruction(f"r{label.lower()}", on, (slot,)))
        else:
            self.instructions.append(Instruction("pauli_rotation", on, (slot,), label=label))


def _rotations(
    name: str, circuit: Circuit, i: Instruction, sources: list[Affine]
) -> list[tuple[str, Affine]]:
    """A trainable gate as rotations about words other than the identity."""
    row = gates.GATES[i.gate]
    whole = gates.resolve(row, len(i.wires), i.controls)
    payload: Any = i.label or None
    if i.operand is not None:
        payload = np.asarray(circuit.operands[i.operand])
    angles = tuple(sources[s] for s in i.slots)
    size = 2**whole.num_controls * (1 if i.operand is None else payload.size)
    if size > MOST_ROTATIONS:
        raise ValueError(
            f"{name}: a gradient by parameter shift takes two states for each rotation about a Pauli word, and "
            f"{whole.title} on {len(i.wires)} wires, with a trainable angle, is up to {size} of them; the most is "
            f"{MOST_ROTATIONS}. Train without shots, or with an optimiser that takes no gradient."
        )
    form = gates.rotations(whole.base, whole.num_controls, payload=payload)
    if i.operand is not None:
        # What the rounding of the diagonal itself leaves in its transform is not there.
        largest = max((abs(r.coefficients[0]) for r in form), default=0.0)
        form = tuple(r for r in form if abs(r.coefficients[0]) > 8 * np.finfo(payload.dtype).eps * largest)
    return [(r.label, combine(r, angles)) for r in form if r.label.strip("I")]


def _angle_map(
    trained: list[Affine], room: int, atoms: tuple[Expression, ...], parameters: tuple[Parameter, ...]
) -> AngleMap:
    terms = max((len(angle.terms) for angle in trained), default=1)
    index = np.zeros((bucket(len(trained)), bucket(terms)), np.int32)
    scale = np.zeros(index.shape, np.float64)
    for r, angle in enumerate(trained):
        for t, (value, coefficient) in enumerate(angle.terms):
            index[r, t], scale[r, t] = value, coefficient
    back = uses(index.reshape(-1), scale.reshape(-1), room + len(atoms))
    return AngleMap(index, scale, back, room, atoms, parameters if atoms else ())


# one row --------------------------------------------------------------------------------------------------


def sampled_gradient_rows(row: SampledRow) -> Any:
    """State preparations of a value and gradient: 1, and 2 for each rotation with a trainable angle; () int32."""
    return 1 + 2 * row.row.num_parameters


def sampled_state(row: SampledRow, parameters: Float[Array, " parameters"]) -> Complex[Array, " dim"]:
    """The final state of a row, (2**n,)."""
    return batch.row_state(row.row, _turns(row, parameters))


def sampled_value(row: SampledRow, parameters: Float[Array, " parameters"], key: Array) -> Float[Array, ""]:
    """An estimate of the expectation value. It is the value that `sampled_value_and_grad` finds with the same key."""
    return _evaluated(row, _turns(row, parameters), jnp.int32(0), key)


def sampled_value_and_grad(
    row: SampledRow, parameters: Float[Array, " parameters"], key: Array
) -> tuple[Float[Array, ""], Float[Array, " parameters"]]:
    """Estimates of the expectation value and of its derivatives, all of shots of their own.

    States are made so many at a time as fit `AMPLITUDES_AT_A_TIME`; how many there are is data.
    """
    if row.angles is None:
        if np.size(parameters):
            raise ValueError("gradients by parameter shift need a row that was lowered with gradient=True.")
        return sampled_value(row, parameters, key), jnp.zeros(np.shape(parameters), row.real_dtype)
    parameters = jnp.asarray(parameters, row.real_dtype)
    turns = row.angles.angles(parameters)
    number = 1 + 2 * turns.shape[0]
    size = _at_a_time(row)
    found = jnp.zeros(-(-number // size) * size, row.real_dtype)

    def chunk(place: Array, found: Array) -> Array:
        numbers = place * size + lax.iota(jnp.int32, size)
        values = jax.vmap(_evaluated, in_axes=(None, None, 0, None))(row, turns, numbers, key)
        return lax.dynamic_update_slice_in_dim(found, values, place * size, 0)

    chunks = (sampled_gradient_rows(row) + size - 1) // size
    found = lax.fori_loop(0, jnp.asarray(chunks, jnp.int32), chunk, found)
    by_turn = found[1:number].reshape(-1, 2)
    return found[0], row.angles.pulled_back(parameters, 0.5 * (by_turn[:, 0] - by_turn[:, 1]))


def _turns(row: SampledRow, parameters: Array) -> Array:
    """What the circuit of the row takes: its parameters, or the angles of its rotations."""
    parameters = jnp.asarray(parameters, row.real_dtype)
    return parameters if row.angles is None else row.angles.angles(parameters)


def _evaluated(row: SampledRow, turns: Array, number: Array, key: Array) -> Array:
    """Evaluation 0 is at the angles; 1 + 2r and 2 + 2r are with angle r shifted by +pi/2 and -pi/2."""
    which = (number - 1) // 2
    quarter = jnp.where(number % 2 == 1, 0.5 * math.pi, -0.5 * math.pi).astype(turns.dtype)
    shifted = (lax.iota(jnp.int32, turns.shape[0]) == which) & (number > 0)
    state = batch.row_state(row.row, jnp.where(shifted, turns + quarter, turns))
    return estimated(row.measurement, state, jax.random.fold_in(key, number))


def _at_a_time(row: SampledRow) -> int:
    """How many states of a gradient are made at a time."""
    most = max(1, AMPLITUDES_AT_A_TIME >> row.num_wires)
    number = 1 + 2 * row.angles.index.shape[0] if row.angles is not None else 1
    return min(most, 1 << (number - 1).bit_length())


def sampled_state_bytes(row: SampledRow) -> int:
    """Bytes of the states, and of the intervals that shots are drawn from, that a row has at a time."""
    return (_at_a_time(row) << row.num_wires) * (3 * row.dtype.itemsize + 6 * row.real_dtype.itemsize)


def sampled_block_sizes(row: SampledRow) -> tuple[int, int]:
    """How many rows a block holds, and how many that of a row alone: functions of the row's static data."""
    alone, most = batch.block_size(1, row.row), batch.rows_per_block(row.row)
    if row.angles is None:
        return most, alone
    size = min(most, ROWS_PER_BLOCK)
    return size, size if row.angles.atoms else min(size, alone)


# of one circuit -------------------------------------------------------------------------------------------


def parameter_shift(
    circuit: Circuit,
    observable: PauliSum,
    values: Any,
    *,
    shots: int | None = None,
    key: Array | None = None,
    dtype: Any = None,
    engine: str = "auto",
) -> tuple[Float[Array, ""], Float[Array, " parameters"]]:
    """An expectation value and its derivatives by parameter shift: a scalar and (parameters,).

    Args:
        circuit: with open parameters.
        observable: one sum, with real coefficients.
        values: of the parameters, (parameters,) in their order or a mapping by name.
        shots: of each group of terms, in each of 1 + 2 rotations states; None: no noise.
        key: a JAX key, with shots.
        dtype: complex64 (default) or complex128, of the state.
        engine: as for `compile`.

    Raises:
        TypeError: as `lower_sampled`; shots without a key.
        ValueError: as `lower_sampled`.

    Example:
        >>> import jaxsim as js
        >>> from jaxsim.parameter_shift import parameter_shift
        >>> value, gradient = parameter_shift(js.Circuit(1).ry(js.Parameter("a"), 0), js.Z(0), [0.5])
        >>> round(float(gradient[0]), 4)  # -sin(0.5)
        -0.4794
    """
    row = lower_sampled(
        circuit, observable, shots, gradient=True, engine=engine, dtype=dtype, name="parameter_shift"
    )
    if shots is not None or key is not None:
        check_key("parameter_shift", key)
    given = bind_values(circuit.parameters, values)
    vector = jnp.asarray([given[p] for p in circuit.parameters], row.real_dtype)
    return _parameter_shift(row, vector, jax.random.key(0) if key is None else key)


@partial(jax.jit, compiler_options=compiler_options())
def _parameter_shift(row: SampledRow, values: Array, key: Array) -> tuple[Array, Array]:
    return sampled_value_and_grad(row, values, key)
