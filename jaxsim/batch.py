"""The seam: `lower` turns a circuit and its observables into a pytree of arrays, `evaluate` runs many of
them.

Lowered circuits with equal keys are stacked and run in one vmapped call, whatever circuits they are. Rows run
in blocks of a fixed size, one compiled kernel for a block and one for a single row, so that a new number of
rows compiles nothing; and no row's bits depend on the rows beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxsim import kernels, sampling
from jaxsim.arguments import integer
from jaxsim.circuit import Circuit
from jaxsim.compilation import compiler_options
from jaxsim.eager import evaluated_now
from jaxsim.engines import energy, layered, rotations
from jaxsim.engines.registry import ENGINES as FORMS
from jaxsim.engines.registry import Program, engine_name, engine_of
from jaxsim.leaves import known
from jaxsim.lowering.angles import parameter_room
from jaxsim.lowering.clifford import Frame, conjugate
from jaxsim.lowering.cost import Choice, choose
from jaxsim.lowering.forms import Form, cast, lowered_form
from jaxsim.lowering.layers import NoLayersError
from jaxsim.lowering.observable import LoweredObservable, lower_observable
from jaxsim.lowering.rotations import Item, Repeat, Steps
from jaxsim.observables import PauliSum
from jaxsim.parameters import Expression, Parameter
from jaxsim.terminal import unmeasured
from jaxsim.threads import rows_of_states, submit_blocks

if TYPE_CHECKING:
    from jaxtyping import Array

__all__ = ["ENGINES", "Blocks", "Lowered", "evaluate", "lower", "rows_per_block", "stack"]

ENGINES = ("auto", *FORMS)

Want = Literal["value", "value_and_grad", "statevector", "probabilities", "most_probable", "samples"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Lowered:
    """A circuit with its observables as a row: arrays to stack, and a static part to compile for.

    Attributes:
        data: arrays of the circuit, as its engine takes them.
        operands: arrays of gates given by arrays.
        observables: what is measured.
        bound: (bound,) angles that came as JAX values; they follow the parameters among the values.
        num_parameters: () int32, how many values the circuit takes.
        program: what the engine compiles for.
        room: how many places there are for the parameters among the values.
        atoms: non-affine expressions of the parameters, whose values come last; with `parameters` naming the
            values.
        single: whether one observable was given as itself, so that values are scalars.
        diff: "adjoint" or "backprop".
        dtype: complex dtype of the state.
    """

    data: Any
    operands: tuple[Any, ...]
    observables: tuple[LoweredObservable, ...]
    bound: Any
    num_parameters: Any
    program: Program = field(metadata={"static": True})
    room: int = field(metadata={"static": True})
    atoms: tuple[Expression, ...] = field(metadata={"static": True})
    parameters: tuple[Parameter, ...] = field(metadata={"static": True})
    single: bool = field(metadata={"static": True})
    diff: str = field(metadata={"static": True})
    dtype: np.dtype = field(metadata={"static": True})

    @property
    def num_wires(self) -> int:
        """Number of qubits."""
        return self.program.num_wires

    @property
    def engine(self) -> str:
        """The engine that runs the row."""
        return engine_name(self.program)

    @property
    def real_dtype(self) -> np.dtype:
        """Float dtype of angles and values."""
        return real_dtype(self.dtype)

    @property
    def lengths(self) -> Any:
        """How many layers, of each row, where that is data; else 0. A block runs as long as its longest row."""
        return self.data.count if self.engine == "layered" else np.zeros_like(self.num_parameters)

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
    try:
        wanted = np.dtype(np.complex64 if dtype is None else dtype)
    except TypeError:
        wanted = None
    if wanted not in (np.complex64, np.complex128):
        raise ValueError(f"dtype must be complex64 or complex128, but {wanted or repr(dtype)} was given.")
    if wanted == np.complex128 and not jax.config.read("jax_enable_x64"):
        raise ValueError(
            "dtype complex128 needs JAX's 64-bit mode, which is off: call "
            "jax.config.update('jax_enable_x64', True) at the start of the program, or use "
            "`with jax.enable_x64(True):` around all of the computation."
        )
    return wanted


def real_dtype(dtype: np.dtype) -> np.dtype:
    """The float dtype that goes with a complex one."""
    return np.dtype(np.float32 if dtype == np.complex64 else np.float64)


def check_initial_state(name: str, state: Any, row: Lowered) -> Any:
    """The state as an array for a row, or None.

    Raises:
        ValueError: another shape, NaN or infinity; a circuit that prepares a state itself.
    """
    if state is None:
        return None
    num_wires, dtype = row.num_wires, row.dtype
    if _prepares(row.program):
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


def _prepares(program: Program) -> bool:
    if isinstance(program, layered.Program):
        return bool(program.initialize)
    return any(getattr(item, "gate", "") == "initialize" for item in program.items)


def check_observables(name: str, observable: Any) -> tuple[PauliSum, ...]:
    """The observables that were given: one, several, or none for None.

    Raises:
        TypeError: what is no observable.
        ValueError: an empty list.
    """
    if observable is None or isinstance(observable, PauliSum):
        return () if observable is None else (observable,)
    if not isinstance(observable, Iterable):
        raise TypeError(
            f"{name}: observable is a PauliSum, a list of them, or None for the state, but {observable!r} was given."
        )
    observables = tuple(observable)
    if not observables:
        raise ValueError("an empty list of observables was given: give at least one, or None for the state.")
    for item in observables:
        if not isinstance(item, PauliSum):
            raise TypeError(f"an observable is a PauliSum, but a {type(item).__name__} was given.")
    return observables


def check_engine(engine: str) -> str:
    """The engine's name; ValueError for one that does not exist."""
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(map(repr, ENGINES))}, but {engine!r} was given.")
    return engine


def lower(
    circuit: Circuit,
    observable: PauliSum | Sequence[PauliSum] | None = None,
    *,
    engine: str = "auto",
    dtype: Any = None,
    diff: str = "adjoint",
    exact: bool | int | None = None,
    absorb: bool = False,
) -> Lowered:
    """The circuit, and what is measured on it, as a row.

    Rows are NumPy throughout, unless the circuit holds traced values. Leaves are padded to buckets of the
    circuit's own sizes.

    Args:
        circuit: any circuit.
        observable: a sum, or several to be measured in one pass; None if the state is wanted.
        engine: "layered", "rotations", "fused", or "auto" for the one that the cost model expects to be
            fastest.
        dtype: complex64 (default) or complex128, of the state.
        exact: whether lengths are compiled in where they could be data. Lengths that are data have no derivative in
            reverse mode but the one that `value_and_grad` has. None: compiled in if the circuit's angles are
            JAX values; a number: compiled in, and padded up to it.
        absorb: whether the row serves expectation values only, so that a Clifford operation at the end may be put
            into the observables.
        diff: how values are differentiated: "adjoint" undoes the circuit, "backprop" is JAX's own reverse
            mode.

    Raises:
        TypeError: not a circuit or not an observable.
        ValueError: unknown engine or diff, dtype without x64, observable on wires that the circuit lacks, an
            engine that cannot take the circuit.

    Example:
        >>> import jaxsim as js
        >>> a = js.lower(js.Circuit(2).rx(0.1, 0).cx(0, 1), js.Z(0), engine="layered")
        >>> b = js.lower(js.Circuit(2).h(0).swap(0, 1).rx(0.2, 0), js.Z(1), engine="layered")
        >>> a.key == b.key  # other gates, the same compiled call
        True
    """
    if not isinstance(circuit, Circuit):
        raise TypeError(f"lower takes a Circuit, but a {type(circuit).__name__} was given.")
    circuit = unmeasured("lower", circuit)
    check_engine(engine)
    if diff not in ("adjoint", "backprop"):
        raise ValueError(f"diff must be 'adjoint' or 'backprop', but {diff!r} was given.")
    dtype = check_dtype(dtype)
    real = real_dtype(dtype)
    single = isinstance(observable, PauliSum)
    observables = check_observables("lower", observable)
    traced = isinstance(circuit.angles, jax.Array)
    exact = diff == "backprop" or (traced if exact is None else exact)
    keep_phase = not observables
    if engine == "auto":
        engine = choose(circuit, keep_phase=keep_phase).engine
    # A Clifford operation at the end costs nothing where it can be put into the masks of what is measured.
    concrete = all(known(o.x_mask) is not None and known(o.z_mask) is not None for o in observables)
    absorb = absorb and bool(observables) and concrete
    try:
        form = lowered_form(circuit, engine, keep_phase=keep_phase, exact=exact, absorb=absorb, dtype=dtype)
    except NoLayersError as missing:
        raise ValueError(
            f"engine='layered' cannot take this circuit: {missing} has no layered form. Use engine='auto', which takes "
            "another engine for it."
        ) from None
    if form.frame is not None:
        observables = tuple(_conjugated(o, form.frame) for o in observables)
    structure = circuit.structure
    return Lowered(
        data=form.data,
        operands=tuple(cast(o, dtype) for o in circuit.operands[: form.operands]),
        observables=tuple(lower_observable(o, circuit.num_wires, real) for o in observables),
        bound=jnp.asarray(circuit.angles, real) if traced else np.zeros(0, real),
        num_parameters=np.int32(len(structure.parameters)),
        program=form.program,
        room=parameter_room(structure),
        atoms=form.atoms,
        parameters=structure.parameters if form.atoms else (),
        single=single,
        diff=diff,
        dtype=dtype,
    )


def _conjugated(observable: PauliSum, frame: Frame) -> PauliSum:
    """F^dagger H F."""
    observable.check_wires(frame.num_wires)
    x, z, signs = conjugate(np.asarray(observable.x_mask), np.asarray(observable.z_mask), frame)
    return PauliSum(x, z, observable.coefficients * signs)


def choice(circuit: Circuit, *, keep_phase: bool = False) -> Choice:
    """What `engine="auto"` takes for the circuit, and what each engine would cost."""
    return choose(unmeasured("choice", circuit), keep_phase=keep_phase)


def form_of(circuit: Circuit, row: Lowered, *, absorb: bool = False) -> Form:
    """The form in which a row that `lower` made of a circuit runs."""
    exact = getattr(row.program, "exact", False)
    keep_phase = not row.observables
    return lowered_form(
        circuit, row.engine, keep_phase=keep_phase, exact=exact, absorb=absorb, dtype=row.dtype
    )


# one row --------------------------------------------------------------------------------------------------


def all_values(row: Lowered, values: Array) -> Array:
    """The values that angles are made of: parameters, bound angles, non-affine expressions; never none."""
    real = row.real_dtype
    values = jnp.asarray(values, real)
    parts = [values, jnp.zeros(row.room - values.shape[0], real), jnp.asarray(row.bound, real)]
    if row.atoms:
        given = {p: values[k] for k, p in enumerate(row.parameters)}
        parts.append(jnp.stack([jnp.asarray(atom.evaluate(given, jnp), real) for atom in row.atoms]))
    if sum(part.shape[0] for part in parts) == 0:
        parts.append(jnp.zeros(1, real))
    return jnp.concatenate(parts)


def start_of(row: Lowered, initial_state: Array | None) -> tuple[Any, tuple[Array, ...], Array]:
    """The row's arrays, its operands and the state before the first gate, as JAX values."""
    operands = tuple(map(jnp.asarray, row.operands))
    state = engine_of(row.program).initial_state(row.program, operands, row.dtype, initial_state)
    return jax.tree.map(jnp.asarray, row.data), operands, state


def row_state(row: Lowered, values: Array, initial_state: Array | None = None) -> Array:
    """The final state of a row, (2**n,)."""
    data, operands, state = start_of(row, initial_state)
    values = all_values(row, values)
    state = engine_of(row.program).run(row.program, data, values, operands, state)
    return layered.with_phase(data, values, state) if row.engine == "layered" else state


def row_values(row: Lowered, values: Array, initial_state: Array | None = None) -> Array:
    """The expectation values of a row: a scalar for a single observable, else (observables,)."""
    data, operands, state = start_of(row, initial_state)
    observables = jax.tree.map(jnp.asarray, row.observables)
    function = energy.energies if row.diff == "adjoint" else energy.energies_by_backprop
    result = function(row.program, data, all_values(row, values), operands, state, observables)
    return result[0] if row.single else result


def row_value_and_grad(
    row: Lowered, values: Array, initial_state: Array | None = None
) -> tuple[Array, Array]:
    """The expectation values of a row and their derivatives, ([observables,] parameters)."""
    if row.diff == "backprop":
        outputs, pull = jax.vjp(lambda v: row_values(row, v, initial_state), values)
        eye = jnp.eye(len(row.observables), dtype=outputs.dtype)
        gradients = jax.vmap(lambda e: pull(e.reshape(outputs.shape))[0])(eye)
        return outputs, gradients[0] if row.single else gradients
    data, operands, state = start_of(row, initial_state)
    observables = jax.tree.map(jnp.asarray, row.observables)
    everything = all_values(row, values)
    outputs, by_value = energy.energies_and_gradients(
        row.program, data, everything, operands, state, observables
    )
    if row.atoms:
        _, pull = jax.vjp(lambda v: all_values(row, v), values)
        gradients = jax.vmap(lambda g: pull(g)[0])(by_value)
    else:
        gradients = by_value[:, : values.shape[0]]
    return (outputs[0], gradients[0]) if row.single else (outputs, gradients)


def _row_probabilities(row: Lowered, values: Array) -> Array:
    return kernels.probabilities(row_state(row, values))


def _row_most_probable(row: Lowered, values: Array) -> Array:
    return jnp.argmax(_row_probabilities(row, values)).astype(jnp.int32)


def _row_samples(row: Lowered, values: Array, key: Array, shots: int) -> Array:
    return sampling.sample_bits(key, _row_probabilities(row, values), shots)


ROW_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "value": row_values,
    "value_and_grad": row_value_and_grad,
    "statevector": row_state,
    "probabilities": _row_probabilities,
    "most_probable": _row_most_probable,
}


@partial(jax.jit, static_argnames=("want",), compiler_options=compiler_options())
def _block(rows: Lowered, values: Array, want: str) -> Any:
    return jax.vmap(ROW_FUNCTIONS[want])(rows, values)


@partial(jax.jit, static_argnames=("shots",), compiler_options=compiler_options())
def _sample_block(rows: Lowered, values: Array, keys: Array, shots: int) -> Any:
    return jax.vmap(partial(_row_samples, shots=shots))(rows, values, keys)


# many rows ------------------------------------------------------------------------------------------------


def rows_per_block(row: Lowered) -> int:
    """How many rows of this kind a block holds: a function of the row's own static data and of the platform alone."""
    return 1 if row.engine == "fused" else rows_of_states(row.num_wires)


PAIR_WIRES = 9
"""Up to this size a row alone runs as two: for a single row LLVM would unroll loops over few numbers, and fuse
multiplications with additions in another order than in a block."""


def block_size(count: int, row: Lowered) -> int:
    """Rows of the blocks in which `count` rows of this key run.

    A row alone has a kernel of its own, of one or two rows, if that is known to have the bits of a block: where
    no expressions of the parameters but affine ones occur, and no gates given by arrays but evolutions of all qubits
    (QAOA's costs). Else it runs in a full block.
    """
    if count > 1 or not _same_bits_alone(row):
        return rows_per_block(row)
    return min(rows_per_block(row), 2 if row.num_wires <= PAIR_WIRES else 1)


def _same_bits_alone(row: Lowered) -> bool:
    if row.atoms:
        return False
    if row.engine == "layered":
        return True
    return (
        isinstance(row.program, rotations.Program)
        and row.num_wires > 4
        and row.data.index.shape[-1] <= 2
        and row.data.special_index.shape[-1] <= 2
        and _only_steps_and_costs(row.program.items, row.num_wires)
    )


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
        TypeError: not a list of rows.
        ValueError: no rows, or different keys.
    """
    if not isinstance(rows, Sequence):
        raise TypeError(
            f"stack takes a list of rows, but a {type(rows).__name__} was given: stack([row, ...])."
        )
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
        rows = leaf[part] if part.start or part.stop < leaf.shape[0] else leaf
        short = size - rows.shape[0]
        return rows if not short else np.concatenate([rows, np.repeat(rows[:1], short, axis=0)])

    return jax.tree.map(cut, tree)


def row_lengths_differ(stacked: Lowered) -> bool:
    """Whether the rows have different numbers of layers."""
    return len(np.unique(stacked.lengths)) > 1


class Blocks:
    """Rows sorted, cut into blocks and brought to the device: for rows that are evaluated again and again.

    Args:
        stacked: rows as `stack` makes them: every leaf has a leading axis (rows,).
        keep: whether to bring them to the device now. Rows that are evaluated once go there as they are needed.

    Example:
        >>> import jaxsim as js, numpy as np
        >>> a = js.Parameter("a")
        >>> row = js.lower(js.Circuit(1).ry(a, 0), js.Z(0))
        >>> rows = js.Blocks(js.stack([row, row]))
        >>> [js.evaluate(rows, np.full((2, 1), x)).round(6).tolist() for x in (0.0, np.pi)]
        [[1.0, 1.0], [-1.0, -1.0]]
    """

    def __init__(self, stacked: Lowered, *, keep: bool = True) -> None:
        if not isinstance(stacked, Lowered):
            raise TypeError(
                f"rows come as stack([row, ...]) or as Blocks of it, but a {type(stacked).__name__} was given."
            )
        if np.ndim(stacked.num_parameters) == 0:
            raise ValueError(
                "rows come as stack([row, ...]), also if there is but one; a row by itself was given."
            )
        self.count, self.taken = len(stacked.num_parameters), int(np.max(stacked.num_parameters))
        self.room, self.dtype, self.measures = stacked.room, stacked.real_dtype, bool(stacked.observables)
        self.order = None
        if row_lengths_differ(stacked):
            # A block runs as long as its longest row: rows of a length go together.
            self.order = np.argsort(stacked.lengths, kind="stable")
            stacked = jax.tree.map(lambda leaf: leaf[self.order], stacked)
        self.size = block_size(self.count, stacked)
        self.cuts = blocks(self.count, self.size)
        self.parts = [take_block(stacked, part, self.size) for part in self.cuts]
        if keep:
            with evaluated_now():
                self.parts = jax.device_put(self.parts)
        shapes = tuple(leaf.shape[1:] for leaf in jax.tree.leaves(stacked))
        self.signature = (jax.tree.structure(stacked), shapes, self.size)


def evaluate(
    stacked: Lowered | Blocks,
    values: Any,
    want: Want = "value",
    *,
    keys: Any = None,
    shots: int | None = None,
) -> Any:
    """Runs many rows of one key.

    Args:
        stacked: rows as `stack` makes them: every leaf has a leading axis (rows,); or `Blocks` of them.
        values: (rows, parameters) real; of rows with fewer parameters than others the first ones count. Or a vector for
            each row.
        want: "value": expectation values, (rows,) or (rows, observables); "value_and_grad": those and (rows[,
            observables], parameters); "statevector": (rows, 2**n); "probabilities": (rows, 2**n);
            "most_probable": the index of the most probable basis state, (rows,); "samples": uint8 (rows,
            shots, n).
        keys: for samples, one for each row: (rows,) keys of JAX's or their uint32 (rows, 2) key data.
        shots: for samples, at least 1.

    Returns:
        NumPy arrays. Bitwise the same for a row whatever the other rows are.

    Raises:
        TypeError: rows that are not stacked, complex values, shots that are no integer.
        ValueError: shapes that do not fit; unknown `want`; values wanted of rows without observables.
    """
    rows = stacked if isinstance(stacked, Blocks) else Blocks(stacked, keep=False)
    if isinstance(values, list | tuple) and len({np.size(own) for own in values}) > 1:
        wide = max(rows.taken, *map(np.size, values))
        values = [np.pad(own, (0, wide - np.size(own))) for own in values]
    given = np.asarray(values)
    if given.dtype.kind == "c":
        raise TypeError(f"values are real angles in radians, but a {given.dtype} array was given.")
    given = given.astype(rows.dtype, copy=False)
    if given.shape != (rows.count, rows.taken):
        raise ValueError(
            f"values must have shape ({rows.count}, {rows.taken}): rows, parameters; but have shape {given.shape}."
        )
    if want.startswith("value") and not rows.measures:
        raise ValueError(f"want={want!r} needs an observable: give one to lower().")
    values = np.zeros((rows.count, rows.room), rows.dtype)
    values[:, : rows.taken] = given if rows.order is None else given[rows.order]
    arguments: tuple[Any, ...] = (values,)
    if want == "samples":
        keys, shots = _keys_and_shots(keys, shots, rows.count)
        function: Callable[..., Any] = partial(_sample_block, shots=shots)
        arguments = (values, keys if rows.order is None else keys[rows.order])
    elif want in ROW_FUNCTIONS:
        function = partial(_block, want=want)
    else:
        wants = ", ".join(map(repr, (*ROW_FUNCTIONS, "samples")))
        raise ValueError(f"want must be one of {wants}, but {want!r} was given.")
    calls = [
        (own, *take_block(arguments, part, rows.size))
        for own, part in zip(rows.parts, rows.cuts, strict=True)
    ]
    sent = submit_blocks(function, calls, (*rows.signature, want, shots))
    results = [future.result() for future in sent]
    pieces = [
        jax.tree.map(lambda a, n=p.stop - p.start: np.asarray(a)[:n], r)
        for p, r in zip(rows.cuts, results, strict=True)
    ]
    whole = pieces[0] if len(pieces) == 1 else jax.tree.map(lambda *a: np.concatenate(a), *pieces)
    if rows.order is not None:
        back = np.argsort(rows.order)
        whole = jax.tree.map(lambda a: a[back], whole)
    return (whole[0], whole[1][..., : rows.taken]) if want == "value_and_grad" else whole


def _keys_and_shots(keys: Any, shots: Any, count: int) -> tuple[np.ndarray, int]:
    """Key data (rows, 2) and the number of shots."""
    if keys is None or shots is None:
        raise ValueError("want='samples' needs keys and shots.")
    shots = integer("evaluate", "shots", shots)
    if shots < 1:
        raise ValueError(f"evaluate: shots must be at least 1, but {shots} was given.")
    if isinstance(keys, jax.Array) and jnp.issubdtype(keys.dtype, jax.dtypes.prng_key):
        keys = jax.random.key_data(keys)
    data = np.asarray(keys)
    if data.shape != (count, 2) or data.dtype.kind not in "iu":
        raise ValueError(
            f"keys must have shape ({count}, 2), the uint32 key data of one key for each row, as "
            f"jax.random.split(jax.random.key(0), {count}) has it; but have shape {data.shape} and dtype {data.dtype}."
        )
    return data.astype(np.uint32), shots
