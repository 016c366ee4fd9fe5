"""The seam: `lower` turns a circuit and its observables into a pytree of arrays, `evaluate` runs many of
them.

Lowered circuits with equal keys are stacked and run in one vmapped call, whatever circuits they are. Rows run
in blocks of a fixed size, one compiled kernel for a block and one for a single row, so that a new number of
rows compiles nothing; and no row's bits depend on the rows beside it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxsim import kernels, sampling
from jaxsim.circuit import Circuit
from jaxsim.engines import energy, rotations
from jaxsim.lowering.angles import bucket
from jaxsim.lowering.observable import LoweredObservable, lower_observable
from jaxsim.lowering.rotations import Item, Lowering, Repeat, Steps, lower_steps
from jaxsim.observables import PauliSum
from jaxsim.parameters import Expression, Parameter

__all__ = ["ENGINES", "Lowered", "evaluate", "lower", "rows_per_block", "stack"]

ENGINES = ("auto", "rotations")

Want = Literal["value", "value_and_grad", "statevector", "probabilities", "most_probable", "samples"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Lowered:
    """A circuit with its observables as a row: arrays to stack, and a static part to compile for.

    Attributes:
        data: arrays of the circuit.
        operands: arrays of gates given by arrays.
        observables: what is measured.
        bound: (bound,) angles that came as JAX values; they follow the parameters among the values.
        program: what the engine compiles for.
        num_parameters: how many values the circuit takes.
        atoms: non-affine expressions of the parameters, whose values come last; with `parameters` naming the
            values.
        single: whether one observable was given as itself, so that values are scalars.
        diff: "adjoint" or "backprop".
    """

    data: rotations.Data
    operands: tuple[Any, ...]
    observables: tuple[LoweredObservable, ...]
    bound: Any
    program: rotations.Program = field(metadata={"static": True})
    num_parameters: int = field(metadata={"static": True})
    atoms: tuple[Expression, ...] = field(metadata={"static": True})
    parameters: tuple[Parameter, ...] = field(metadata={"static": True})
    single: bool = field(metadata={"static": True})
    diff: str = field(metadata={"static": True})

    @property
    def num_wires(self) -> int:
        """Number of qubits."""
        return self.program.num_wires

    @property
    def dtype(self) -> np.dtype:
        """Complex dtype of the state."""
        return np.dtype(self.data.constants.dtype)

    @property
    def key(self) -> tuple:
        """The merge key: rows with equal keys share a compiled call."""
        leaves, treedef = jax.tree.flatten(self)
        return (treedef, tuple((np.shape(leaf), np.dtype(leaf.dtype).str) for leaf in leaves))


# lowering -------------------------------------------------------------------------------------------------


def check_dtype(dtype: Any) -> np.dtype:
    """complex64 or complex128; None is complex64.

    Raises:
        ValueError: another dtype, or complex128 while JAX has 64-bit values switched off.
    """
    wanted = np.dtype(np.complex64 if dtype is None else dtype)
    if wanted not in (np.complex64, np.complex128):
        raise ValueError(f"dtype must be complex64 or complex128, but {wanted} was given.")
    if wanted == np.complex128 and not jax.config.read("jax_enable_x64"):
        raise ValueError(
            "dtype complex128 needs JAX's 64-bit mode, which is off: call "
            "jax.config.update('jax_enable_x64', True) at the start of the program, or use "
            "`with jax.enable_x64(True):` around all of the computation."
        )
    return wanted


def check_initial_state(name: str, state: Any, row: Lowered) -> Any:
    """The state as an array for a row, or None.

    Raises:
        ValueError: another shape, NaN or infinity; a circuit that prepares a state itself.
    """
    if state is None:
        return None
    num_wires, dtype = row.num_wires, row.dtype
    if any(getattr(item, "gate", "") == "initialize" for item in row.program.items):
        raise ValueError(
            f"{name}: the circuit prepares a state with initialize, so it takes no initial_state; leave one of them "
            "out."
        )
    if np.shape(state) != (2**num_wires,):
        raise ValueError(
            f"{name}: initial_state must have shape ({2**num_wires},) for {num_wires} qubits, but has shape "
            f"{np.shape(state)}."
        )
    if isinstance(state, jax.Array):
        return state.astype(dtype)
    host = np.asarray(state, dtype)
    if not np.all(np.isfinite(host)):
        raise ValueError(f"{name}: initial_state must hold finite numbers, but has NaN or infinite entries.")
    return host


def check_engine(engine: str) -> str:
    """The engine's name; ValueError for one that does not exist."""
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(map(repr, ENGINES))}, but {engine!r} was given.")
    return "rotations"


def lower(
    circuit: Circuit,
    observable: PauliSum | Sequence[PauliSum] | None = None,
    *,
    engine: str = "auto",
    dtype: Any = None,
    diff: str = "adjoint",
) -> Lowered:
    """The circuit, and what is measured on it, as a row.

    Rows are NumPy throughout, unless the circuit holds traced values. Leaves are padded to buckets of the
    circuit's own sizes.

    Args:
        circuit: any circuit.
        observable: a sum, or several to be measured in one pass; None if the state is wanted.
        engine: "auto" or "rotations".
        dtype: complex64 (default) or complex128, of the state.
        diff: how values are differentiated: "adjoint" undoes the circuit, "backprop" is JAX's own reverse
            mode.

    Raises:
        TypeError: not a circuit or not an observable.
        ValueError: unknown engine or diff, dtype without x64, observable on wires that the circuit lacks.

    Example:
        >>> import jaxsim as js
        >>> a = js.lower(js.Circuit(2).rx(0.1, 0).cx(0, 1), js.Z(0))
        >>> b = js.lower(js.Circuit(2).h(0).swap(0, 1).ry(0.2, 0), js.Z(1))
        >>> a.key == b.key  # 2 steps and 5, padded to 2 and 6
        False
    """
    if not isinstance(circuit, Circuit):
        raise TypeError(f"lower takes a Circuit, but a {type(circuit).__name__} was given.")
    check_engine(engine)
    if diff not in ("adjoint", "backprop"):
        raise ValueError(f"diff must be 'adjoint' or 'backprop', but {diff!r} was given.")
    dtype = check_dtype(dtype)
    real = np.dtype(np.float32 if dtype == np.complex64 else np.float64)
    single = isinstance(observable, PauliSum)
    observables = () if observable is None else (observable,) if single else tuple(observable)
    if observable is not None and not observables:
        raise ValueError("an empty list of observables was given: give at least one, or None for the state.")
    for item in observables:
        if not isinstance(item, PauliSum):
            raise TypeError(f"an observable is a PauliSum, but a {type(item).__name__} was given.")
    angles = circuit.angles
    traced = isinstance(angles, jax.Array)
    lowering = _lowering(circuit, keep_phase=not observables)
    structure = circuit.structure
    num_bound = structure.num_slots if traced else 0
    num_values = max(len(structure.parameters) + num_bound + len(lowering.atoms), 1)
    steps = lowering.steps
    data = rotations.Data(
        x=steps.x,
        z=steps.z,
        controls=steps.controls,
        sign=steps.sign.astype(real),
        constants=steps.constants.astype(dtype),
        index=steps.index,
        scale=steps.scale.astype(real),
        special_index=lowering.special_index,
        special_scale=lowering.special_scale.astype(real),
        special_offset=lowering.special_offset.astype(real),
        back=_uses(lowering, num_values),
    )
    return Lowered(
        data=data,
        operands=tuple(_cast(o, dtype, real) for o in circuit.operands),
        observables=tuple(lower_observable(o, circuit.num_wires, real) for o in observables),
        bound=jnp.asarray(angles, real) if traced else np.zeros(0, real),
        program=rotations.Program(circuit.num_wires, lowering.items, lowering.num_angles, lowering.has_phase),
        num_parameters=len(structure.parameters),
        atoms=lowering.atoms,
        parameters=structure.parameters if lowering.atoms else (),
        single=single,
        diff=diff,
    )


def _cast(operand: Any, dtype: np.dtype, real: np.dtype) -> Any:
    return operand.astype(dtype if np.dtype(operand.dtype).kind == "c" else real)


def _uses(lowering: Lowering, num_values: int) -> np.ndarray:
    """(values, uses): where each value is used among all (slot, term) pairs, padded with one past the end."""
    index = np.concatenate([lowering.steps.index.reshape(-1), lowering.special_index.reshape(-1)])
    scale = np.concatenate([lowering.steps.scale.reshape(-1), lowering.special_scale.reshape(-1)])
    used = np.flatnonzero(scale)
    order = used[np.argsort(index[used], kind="stable")]
    owners = index[order]
    counts = np.bincount(owners, minlength=num_values)
    width = bucket(int(counts.max(initial=0)))
    table = np.full((num_values, width), len(index), np.int32)
    starts = np.cumsum(counts) - counts
    table[owners, np.arange(len(order)) - starts[owners]] = order
    return table


_LOWERINGS: OrderedDict[tuple, Lowering] = OrderedDict()
_MAX_LOWERINGS = 4096


def _lowering(circuit: Circuit, *, keep_phase: bool) -> Lowering:
    """The steps of a circuit; of circuits with operands or traced angles only the structure decides."""
    angles = None if isinstance(circuit.angles, jax.Array) else np.asarray(circuit.angles)
    folded = any(i.gate == "unitary" for i in circuit.instructions)
    if folded:
        return lower_steps(circuit.structure, angles, circuit.operands, keep_phase=keep_phase)
    key = (circuit.structure, None if angles is None else angles.tobytes(), keep_phase)
    found = _LOWERINGS.get(key)
    if found is None:
        found = lower_steps(circuit.structure, angles, circuit.operands, keep_phase=keep_phase)
        _LOWERINGS[key] = found
        while len(_LOWERINGS) > _MAX_LOWERINGS:
            _LOWERINGS.popitem(last=False)
    return found


def num_steps(circuit: Circuit, *, keep_phase: bool = False) -> int:
    """How many steps the circuit becomes, without padding; a global phase is one if it is kept."""
    return _lowering(circuit, keep_phase=keep_phase).used


# one row --------------------------------------------------------------------------------------------------


def _all_values(row: Lowered, values: Array) -> Array:
    """The values that angles are made of: parameters, bound angles, non-affine expressions; never none."""
    real = row.data.sign.dtype
    parts = [jnp.asarray(values, real), jnp.asarray(row.bound, real)]
    if row.atoms:
        given = {p: values[k] for k, p in enumerate(row.parameters)}
        parts.append(jnp.stack([jnp.asarray(atom.evaluate(given, jnp), real) for atom in row.atoms]))
    if sum(part.shape[0] for part in parts) == 0:
        parts.append(jnp.zeros(1, real))
    return jnp.concatenate(parts)


def row_state(row: Lowered, values: Array, initial_state: Array | None = None) -> Array:
    """The final state of a row, (2**n,)."""
    operands = tuple(map(jnp.asarray, row.operands))
    state = rotations.initial_state(row.program, operands, row.dtype, initial_state)
    data = jax.tree.map(jnp.asarray, row.data)
    return rotations.run(row.program, data, _all_values(row, values), operands, state)


def row_values(row: Lowered, values: Array, initial_state: Array | None = None) -> Array:
    """The expectation values of a row: a scalar for a single observable, else (observables,)."""
    operands = tuple(map(jnp.asarray, row.operands))
    state = rotations.initial_state(row.program, operands, row.dtype, initial_state)
    data, observables = jax.tree.map(jnp.asarray, (row.data, row.observables))
    function = energy.energies if row.diff == "adjoint" else energy.energies_by_backprop
    result = function(row.program, data, _all_values(row, values), operands, state, observables)
    return result[0] if row.single else result


def row_value_and_grad(
    row: Lowered, values: Array, initial_state: Array | None = None
) -> tuple[Array, Array]:
    """The expectation values of a row and their derivatives, ([observables,] parameters)."""
    if row.single:
        return jax.value_and_grad(lambda v: row_values(row, v, initial_state))(values)
    outputs, pull = jax.vjp(lambda v: row_values(row, v, initial_state), values)
    return outputs, jax.vmap(lambda e: pull(e)[0])(jnp.eye(len(row.observables), dtype=outputs.dtype))


def _row_probabilities(row: Lowered, values: Array) -> Array:
    return kernels.probabilities(row_state(row, values))


def _row_most_probable(row: Lowered, values: Array) -> Array:
    return jnp.argmax(_row_probabilities(row, values)).astype(jnp.int32)


def _row_samples(row: Lowered, values: Array, key: Array, shots: int) -> Array:
    return sampling.sample_bits(key, _row_probabilities(row, values), shots)


_ROW_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "value": row_values,
    "value_and_grad": row_value_and_grad,
    "statevector": row_state,
    "probabilities": _row_probabilities,
    "most_probable": _row_most_probable,
}


@partial(jax.jit, static_argnames=("want",))
def _single(row: Lowered, values: Array, want: str) -> Any:
    return _ROW_FUNCTIONS[want](row, values)


@partial(jax.jit, static_argnames=("want",))
def _block(rows: Lowered, values: Array, want: str) -> Any:
    return jax.vmap(_ROW_FUNCTIONS[want])(rows, values)


@partial(jax.jit, static_argnames=("shots",))
def _sample_block(rows: Lowered, values: Array, keys: Array, shots: int) -> Any:
    return jax.vmap(partial(_row_samples, shots=shots))(rows, values, keys)


# many rows ------------------------------------------------------------------------------------------------


def rows_per_block(num_wires: int) -> int:
    """How many rows a block holds: few enough that their states fit a core's cache; a function of the size
    alone."""
    return max(1, min(64, 2 ** (16 - num_wires)) if num_wires < 16 else 1)


SMALL_WIRES = 4
"""Up to this size a row alone runs in a full block: LLVM unrolls loops over few numbers and then fuses
multiplications with additions in another order, so that a kernel for one row would not have the bits of a block."""


def block_size(count: int, row: Lowered) -> int:
    """Rows of the blocks in which `count` rows of this key run.

    A row alone has a kernel of its own if that is known to have the bits of a block: above `SMALL_WIRES`, where all
    angles are multiples of single values, and no gates are given by arrays but evolutions of all qubits (QAOA's costs).
    Else it runs in a full block.
    """
    simple = (
        row.num_wires > SMALL_WIRES
        and not row.atoms
        and row.data.index.shape[-1] == 1
        and row.data.special_index.shape[-1] == 1
        and _only_steps_and_costs(row.program.items, row.num_wires)
    )
    return 1 if count == 1 and simple else rows_per_block(row.num_wires)


def _only_steps_and_costs(items: tuple[Item, ...], num_wires: int) -> bool:
    return all(
        _only_steps_and_costs(item.items, num_wires)
        if isinstance(item, Repeat)
        else isinstance(item, Steps) or (item.gate == "evolve_diagonal" and len(item.wires) == num_wires)
        for item in items
    )


def stack(rows: Sequence[Any]) -> Any:
    """Rows of equal keys stacked along a new leading axis, in NumPy.

    Raises:
        ValueError: no rows, or different keys.
    """
    if not rows:
        raise ValueError("stack takes at least one row.")
    if len({jax.tree.structure(row) for row in rows}) > 1:
        raise ValueError("stack takes rows with equal keys, but their structures differ.")
    if len({tuple((np.shape(leaf), leaf.dtype) for leaf in jax.tree.leaves(row)) for row in rows}) > 1:
        raise ValueError("stack takes rows with equal keys, but the shapes or dtypes of their arrays differ.")
    return jax.tree.map(lambda *leaves: np.stack(leaves), *rows)


def blocks(count: int, size: int) -> list[slice]:
    """How `count` rows are cut into blocks; the last one may be short."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def take_block(tree: Any, part: slice, size: int) -> Any:
    """The rows of a block, padded with copies of its first row up to `size`."""

    def cut(leaf: Any) -> Any:
        rows = leaf[part]
        short = size - rows.shape[0]
        return rows if not short else np.concatenate([rows, np.repeat(rows[:1], short, axis=0)])

    return jax.tree.map(cut, tree)


def evaluate(
    stacked: Lowered, values: Any, want: Want = "value", *, keys: Any = None, shots: int | None = None
) -> Any:
    """Runs many rows of one key.

    Args:
        stacked: rows as `stack` makes them: every leaf has a leading axis (rows,).
        values: (rows, parameters) real.
        want: "value": expectation values, (rows,) or (rows, observables); "value_and_grad": those and (rows[,
            observables], parameters); "statevector": (rows, 2**n); "probabilities": (rows, 2**n);
            "most_probable": the index of the most probable basis state, (rows,); "samples": uint8 (rows,
            shots, n).
        keys: for samples, uint32 (rows, 2) key data, one for each row.
        shots: for samples.

    Returns:
        NumPy arrays. Bitwise the same for a row whatever the other rows are.

    Raises:
        ValueError: shapes that do not fit; unknown `want`; values wanted of rows without observables.
    """
    values = np.asarray(values, stacked.data.sign.dtype)
    count = len(stacked.data.x)
    if values.shape != (count, stacked.num_parameters):
        raise ValueError(
            f"values must have shape ({count}, {stacked.num_parameters}): rows, parameters; but have shape "
            f"{values.shape}."
        )
    if want.startswith("value") and not stacked.observables:
        raise ValueError(f"want={want!r} needs an observable: give one to lower().")
    arguments: tuple[Any, ...] = (stacked, values)
    if want == "samples":
        if keys is None or shots is None:
            raise ValueError("want='samples' needs keys and shots.")
        function: Callable[..., Any] = partial(_sample_block, shots=shots)
        arguments = (stacked, values, np.asarray(keys, np.uint32))
    elif want in _ROW_FUNCTIONS:
        function = partial(_block, want=want)
    else:
        wants = ", ".join(map(repr, (*_ROW_FUNCTIONS, "samples")))
        raise ValueError(f"want must be one of {wants}, but {want!r} was given.")
    results = []
    size = block_size(count, stacked)
    cuts = blocks(count, size)
    for part in cuts:
        results.append((part, function(*take_block(arguments, part, size))))
    pieces = [jax.tree.map(lambda a, n=p.stop - p.start: np.asarray(a)[:n], r) for p, r in results]
    return jax.tree.map(lambda *a: np.concatenate(a), *pieces)
