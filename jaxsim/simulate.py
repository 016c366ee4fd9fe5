"""What one asks of a circuit: pure functions of circuits, observables and keys.

All work on circuits whose parameters have values, numbers or JAX values alike, inside and outside `jit`,
`grad`, `vmap`, `jvp` and their nestings. The state's dtype is complex64 unless `dtype` says otherwise.

Of a circuit that measures at the end, states and expectation values are those before it measures; shots, counts and
probabilities are those of its classical bits. Circuits that go on after a measurement are the subject of `dynamic`.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxsim import batch, dynamic, kernels, sampling
from jaxsim.batch import Lowered
from jaxsim.circuit import Circuit
from jaxsim.classical import Register
from jaxsim.counts_keys import Layout, codes_of_bits, keys
from jaxsim.dynamic import Terminal, unmeasured
from jaxsim.leaves import known
from jaxsim.lowering.observable import apply
from jaxsim.observables import PauliSum
from jaxsim.terminal import measures

if TYPE_CHECKING:
    from jaxtyping import Array, Complex, Float, UInt8

__all__ = [
    "amplitudes",
    "counts",
    "entropy",
    "expectation",
    "fidelity",
    "overlap",
    "probabilities",
    "reduced_density_matrix",
    "sample",
    "statevector",
    "unitary",
    "variance",
]

MAX_UNITARY_WIRES = 13
"""A unitary on more qubits would take more than a gigabyte."""


def closed(name: str, circuit: Circuit) -> Circuit:
    if not isinstance(circuit, Circuit):
        raise TypeError(f"{name} takes a Circuit, but a {type(circuit).__name__} was given.")
    open_parameters = circuit.parameters
    if open_parameters:
        names = ", ".join(p.name for p in open_parameters[:5]) + (", ..." if len(open_parameters) > 5 else "")
        raise ValueError(
            f"{name}: the circuit has unbound parameters: {names}. Give them values with bind(values), or use "
            "compile(circuit, ...) for a function of them."
        )
    return circuit


def _lower(
    name: str, circuit: Circuit, observable: Any = None, *, initial_state: Any = None, **options: Any
) -> Lowered:
    # Derivatives by an initial state are JAX's own, which want lengths compiled in.
    exact = True if isinstance(initial_state, Tracer) else None
    gates = unmeasured(name, closed(name, circuit), fresh=initial_state is None)
    return batch.lower(gates, observable, exact=exact, absorb=True, **options)


def _deferred(name: str, circuit: Circuit, initial_state: Any, wanted: bool) -> tuple[Circuit, Any]:
    """The circuit, rewritten to measure at the end if that is wanted, and its initial state."""
    if not wanted:
        return circuit, initial_state
    wide = dynamic.deferred(closed(name, circuit), fresh=initial_state is None)
    if initial_state is not None:
        if np.shape(initial_state) != (2**circuit.num_wires,):
            raise ValueError(
                f"{name}: initial_state must have shape ({2**circuit.num_wires},) for {circuit.num_wires} qubits, but "
                f"has shape {np.shape(initial_state)}."
            )
        initial_state = jnp.pad(initial_state, (0, 2**wide.num_wires - 2**circuit.num_wires))
    return wide, initial_state


def _traced(*values: Any) -> bool:
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(values))


def _no_values(row: Lowered) -> np.ndarray:
    return np.zeros(0, row.real_dtype)


def _chosen_wires(name: str, wires: Sequence[int] | None, num_wires: int) -> tuple[int, ...]:
    if wires is None:
        return tuple(range(num_wires))
    chosen: tuple[Any, ...] = tuple(wires) if isinstance(wires, Iterable) else (wires,)
    for wire in chosen:
        if isinstance(wire, bool | np.bool_) or not isinstance(wire, numbers.Integral):
            raise TypeError(f"{name}: a wire is an integer, but {wire!r} was given.")
        if not 0 <= int(wire) < num_wires:
            raise ValueError(
                f"{name}: wire {wire} is out of range for a circuit of {num_wires} qubits (0 to {num_wires - 1})."
            )
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(f"{name}: wires must name at least one qubit, each once, but {chosen} was given.")
    return tuple(int(wire) for wire in chosen)


def _positive_shots(name: str, shots: Any) -> int:
    if isinstance(shots, bool) or not isinstance(shots, numbers.Integral):
        raise TypeError(f"{name}: shots is an integer, but {shots!r} was given.")
    if shots < 1:
        raise ValueError(f"{name}: shots must be at least 1, but {shots} was given.")
    return int(shots)


def check_key(name: str, key: Any) -> None:
    if not (
        isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and key.shape == ()
    ):
        raise TypeError(
            f"{name} draws with a key: give jax.random.key(seed), not {type(key).__name__} {key!r:.40}."
        )


def _basis_index(name: str, outcome: Any, num_wires: int) -> int:
    if isinstance(outcome, str):
        if len(outcome) != num_wires or set(outcome) - {"0", "1"}:
            raise ValueError(
                f"{name}: an outcome of {num_wires} qubits is a string of {num_wires} characters 0 and 1, "
                f"but {outcome!r} was given."
            )
        return int(outcome, 2)
    if isinstance(outcome, bool) or not isinstance(outcome, numbers.Integral):
        raise TypeError(f"{name}: an outcome is an index or a string of 0 and 1, but {outcome!r} was given.")
    if not 0 <= int(outcome) < 2**num_wires:
        raise ValueError(
            f"{name}: index {outcome} is out of range for {num_wires} qubits (0 to {2**num_wires - 1})."
        )
    return int(outcome)


# kernels: one compilation for all circuits of a size --------------------------------------------------------


@jax.jit
def _state(row: Lowered, initial_state: Any) -> Array:
    return batch.row_state(row, jnp.zeros(0), initial_state)


@jax.jit
def _values(row: Lowered, initial_state: Any) -> Array:
    return batch.row_values(row, jnp.zeros(0), initial_state)


@jax.jit
def _variances(row: Lowered, initial_state: Any) -> Array:
    state = batch.row_state(row, jnp.zeros(0), initial_state)
    images = jnp.stack([apply(o, state) for o in jax.tree.map(jnp.asarray, row.observables)])
    means = kernels.real_overlap(images, kernels.on_each(state, images))
    result = jnp.maximum(kernels.real_overlap(images, images) - means**2, 0)
    return result[0] if row.single else result


@partial(jax.jit, static_argnames=("wires",))
def _probabilities(row: Lowered, initial_state: Any, wires: tuple[int, ...]) -> Array:
    p = kernels.probabilities(batch.row_state(row, jnp.zeros(0), initial_state))
    return kernels.marginal(p, wires, row.num_wires)


@partial(jax.jit, static_argnames=("shots",))
def _samples(row: Lowered, initial_state: Any, key: Array, shots: int) -> Array:
    p = kernels.probabilities(batch.row_state(row, jnp.zeros(0), initial_state))
    return sampling.sample_bits(key, p, shots)


@jax.jit
def _arranged(bits: Array, columns: Array) -> Array:
    """Column k is column ``columns[k]`` of the bits; 0 where that is -1."""
    return jnp.where((columns >= 0)[None], bits[:, columns], 0).astype(jnp.uint8)


@partial(jax.jit, static_argnames=("size",))
def _scattered(p: Array, outcomes: Array, size: int) -> Array:
    return jnp.zeros(size, p.dtype).at[outcomes].set(p, unique_indices=True)


@jax.jit
def _columns(row: Lowered) -> Array:
    basis = jnp.eye(2**row.num_wires, dtype=row.dtype)
    return jax.vmap(lambda column: batch.row_state(row, jnp.zeros(0), column))(basis).T


@partial(jax.jit, static_argnames=("wires",))
def _reduced(row: Lowered, initial_state: Any, wires: tuple[int, ...]) -> Array:
    state = batch.row_state(row, jnp.zeros(0), initial_state)
    index = kernels.spread_index(row.num_wires, wires)
    columns = kernels.gather(state, index).reshape(-1, 2 ** len(wires))
    return jnp.matmul(columns.T, jnp.conj(columns), precision=jax.lax.Precision.HIGHEST)


# states -----------------------------------------------------------------------------------------------------


def statevector(
    circuit: Circuit, *, initial_state: Any = None, dtype: Any = None, engine: str = "auto"
) -> Complex[Array, " dim"]:
    """The final state, (2**n,); entry j has the qubits in the bits of j.

    Args:
        circuit: without open parameters.
        initial_state: (2**n,) complex to start from instead of |0...0>; differentiable, taken as it is: not
            normalised.
        dtype: complex64 (default) or complex128.
        engine: as for `compile`.

    Raises:
        ValueError: unbound parameters, wrong shape, complex128 without x64.

    Example:
        >>> import jaxsim as js
        >>> js.statevector(js.Circuit(2).h(0).cx(0, 1)).real.round(4).tolist()
        [0.707099974155426, 0.0, 0.0, 0.707099974155426]
    """
    row = _lower("statevector", circuit, initial_state=initial_state, dtype=dtype, engine=engine)
    return _state(row, batch.check_initial_state("statevector", initial_state, row))


def amplitudes(circuit: Circuit, outcomes: Any, **options: Any) -> Complex[Array, " outcomes"]:
    """Amplitudes of some basis states.

    Args:
        circuit: without open parameters.
        outcomes: basis indices, or strings of 0 and 1 with qubit 0 rightmost.
        options: as for `statevector`.

    Example:
        >>> import jaxsim as js
        >>> abs(js.amplitudes(js.Circuit(2).x(0), ["01", "10"])).tolist()
        [1.0, 0.0]
    """
    if isinstance(outcomes, str | numbers.Integral):
        raise TypeError(
            f"amplitudes takes a list of outcomes, such as [{outcomes!r}], but {outcomes!r} was given."
        )
    state = statevector(circuit, **options)
    indices = [_basis_index("amplitudes", o, circuit.num_wires) for o in outcomes]
    return state[np.array(indices, np.int32)]


def unitary(circuit: Circuit, *, dtype: Any = None, engine: str = "auto") -> Complex[Array, "dim dim"]:
    """The circuit's matrix, (2**n, 2**n), global phase included.

    Raises:
        ValueError: more than 13 qubits, or a circuit that prepares a state with `initialize`, or measures.
    """
    if isinstance(circuit, Circuit) and any(i.gate in ("measure", "reset") for i in circuit.instructions):
        raise ValueError("unitary: a circuit that measures or resets has no matrix.")
    row = _lower("unitary", circuit, dtype=dtype, engine=engine)
    if circuit.num_wires > MAX_UNITARY_WIRES:
        raise ValueError(
            f"unitary: the matrix of {circuit.num_wires} qubits is too large; the most is {MAX_UNITARY_WIRES}."
        )
    if any(i.gate == "initialize" for i in circuit.instructions):
        raise ValueError("unitary: a circuit that prepares a state with initialize has no matrix.")
    return _columns(row)


def overlap(bra: Circuit, ket: Circuit, **options: Any) -> Complex[Array, ""]:
    """<bra|ket> of the final states of two circuits on as many qubits."""
    bra, ket = closed("overlap", bra), closed("overlap", ket)
    if bra.num_wires != ket.num_wires:
        raise ValueError(f"overlap: the circuits have {bra.num_wires} and {ket.num_wires} qubits.")
    return kernels.overlap(statevector(bra, **options), statevector(ket, **options))


def fidelity(a: Circuit, b: Circuit, **options: Any) -> Float[Array, ""]:
    """|<a|b>|**2 of the final states of two circuits on as many qubits."""
    inner = overlap(a, b, **options)
    return inner.real**2 + inner.imag**2


# expectation values -----------------------------------------------------------------------------------------


def expectation(
    circuit: Circuit,
    observable: PauliSum | Sequence[PauliSum],
    *,
    initial_state: Any = None,
    dtype: Any = None,
    engine: str = "auto",
    diff: str = "adjoint",
    deferred: bool = False,
) -> Float[Array, " outputs"]:
    """Expectation value of an observable, or of several on one run of the circuit.

    Args:
        circuit: without open parameters.
        observable: a sum with real coefficients: the result is a scalar; or a sequence of m of them: (m,).
        initial_state: (2**n,) complex to start from instead of |0...0>.
        dtype: complex64 (default) or complex128, of the state; the result is its real counterpart.
        engine: as for `compile`.
        diff: "adjoint" differentiates by undoing the circuit, in memory flat in depth and in every mode;
            "backprop" is JAX's own.
        deferred: whether a circuit that goes on after a measurement is taken as `Circuit.deferred` rewrites it. The
            result is the mean over all outcomes, exact and differentiable.

    Raises:
        ValueError: unbound parameters, observable on wires that the circuit lacks, complex coefficients, a circuit that
            goes on after a measurement.

    Example:
        >>> import jax, jaxsim as js
        >>> energy = lambda a: js.expectation(js.Circuit(1).ry(a, 0), js.Z(0))
        >>> round(float(jax.grad(energy)(0.5)), 4)  # -sin(0.5)
        -0.4794
    """
    circuit, initial_state = _deferred("expectation", circuit, initial_state, deferred)
    row = _lower(
        "expectation", circuit, observable, initial_state=initial_state, dtype=dtype, engine=engine, diff=diff
    )
    return _values(row, batch.check_initial_state("expectation", initial_state, row))


def variance(
    circuit: Circuit,
    observable: PauliSum | Sequence[PauliSum],
    *,
    initial_state: Any = None,
    dtype: Any = None,
    engine: str = "auto",
    deferred: bool = False,
) -> Float[Array, " outputs"]:
    """Variance <H**2> - <H>**2 of an observable (a scalar) or of m of them ((m,)); arguments as for
    `expectation`."""
    circuit, initial_state = _deferred("variance", circuit, initial_state, deferred)
    row = _lower("variance", circuit, observable, initial_state=initial_state, dtype=dtype, engine=engine)
    return _variances(row, batch.check_initial_state("variance", initial_state, row))


# measurement ------------------------------------------------------------------------------------------------


def probabilities(
    circuit: Circuit,
    wires: Sequence[int] | None = None,
    *,
    initial_state: Any = None,
    dtype: Any = None,
    engine: str = "auto",
    deferred: bool = False,
) -> Float[Array, " outcomes"]:
    """Probabilities of the outcomes that `sample` draws, (2**k,): of qubits, or of classical bits.

    Args:
        circuit: without open parameters.
        wires: bit k of an outcome is ``wires[k]``. By default all qubits; if the circuit measures, its classical
            bits, register after register.
        initial_state: (2**n,) complex to start from instead of |0...0>.
        dtype: complex64 (default) or complex128, of the state; the result is its real counterpart.
        engine: as for `compile`.
        deferred: as for `expectation`; needed for derivatives, and inside `jit`, if the circuit goes on after a
            measurement. Otherwise every branch of such a circuit is followed.

    Example:
        >>> import jaxsim as js
        >>> js.probabilities(js.Circuit(2).h(0).cx(0, 1), [1]).round(4).tolist()
        [0.5, 0.5]
        >>> js.probabilities(js.Circuit(1).h(0).measure(0).x(0).measure(0)).round(4).tolist()
        [0.0, 0.5, 0.5, 0.0]
    """
    circuit, initial_state = _deferred("probabilities", circuit, initial_state, deferred)
    options = {"initial_state": initial_state, "dtype": dtype, "engine": engine}
    classical = wires is None and measures(closed("probabilities", circuit))
    terminal = dynamic.split_terminal(circuit, fresh=initial_state is None)
    if terminal is None:
        if _traced(circuit, initial_state):
            unmeasured("probabilities", circuit)  # raises
        measured, bits = (circuit, None) if classical else _measuring("probabilities", circuit, wires)
        exact = dynamic.bit_probabilities(measured, bits, **options)
        return jnp.asarray(exact, batch.real_dtype(batch.check_dtype(dtype)))
    if classical:
        return _bit_probabilities(terminal, circuit.num_bits, options)
    row = _lower("probabilities", circuit, **options)
    chosen = _chosen_wires("probabilities", wires, circuit.num_wires)
    return _probabilities(row, batch.check_initial_state("probabilities", initial_state, row), chosen)


def _bit_probabilities(terminal: Terminal, num_bits: int, options: dict[str, Any]) -> Array:
    dynamic.check_distribution(num_bits)
    wires = tuple(sorted(set(terminal.wires)))
    p = probabilities(terminal.circuit, wires, **options) if wires else jnp.ones(1)
    outcomes = np.arange(len(p))
    places = [(wires.index(wire), bit) for wire, bit in zip(terminal.wires, terminal.bits)]
    indices = sum(((outcomes >> place & 1) << bit for place, bit in places), np.zeros_like(outcomes))
    return p if np.array_equal(indices, np.arange(2**num_bits)) else _scattered(p, indices, 2**num_bits)


def _measuring(name: str, circuit: Circuit, wires: Sequence[int] | None) -> tuple[Circuit, range]:
    """The circuit with wires measured at its end, and the numbers of the bits that they are measured into."""
    chosen = _chosen_wires(name, wires, circuit.num_wires)
    own = max((register.name for register in circuit.registers), key=len, default="") + "_"
    result = circuit.copy()
    result.measure(chosen, result.register(own, len(chosen)))
    return result, range(circuit.num_bits, result.num_bits)


def sample(
    circuit: Circuit,
    key: Array,
    shots: int,
    wires: Sequence[int] | None = None,
    *,
    initial_state: Any = None,
    dtype: Any = None,
    engine: str = "auto",
) -> UInt8[Array, "shots wires"]:
    """Measurement outcomes: (shots, k) bits, column k is ``wires[k]``, or classical bit k.

    With one key, the first outcomes are the same for any larger number of shots. Needs memory for the state
    and for the result, never for shots x 2**n.

    If the circuit goes on after a measurement, shots that have measured the same share a state; inside `jit` every shot
    has its own, in blocks. Then it has no derivative: `grad` raises.

    Args:
        circuit: without open parameters.
        key: ``jax.random.key(seed)``.
        shots: a positive integer.
        wires: which qubits. By default all of them; if the circuit measures, its classical bits, register after
            register, 0 where nothing was measured.

    Example:
        >>> import jax, jaxsim as js
        >>> bits = js.sample(js.Circuit(2).h(0).cx(0, 1), jax.random.key(0), 100)
        >>> bits.shape, bool((bits[:, 0] == bits[:, 1]).all())
        ((100, 2), True)
        >>> bits = js.sample(js.Circuit(1).h(0).measure(0).x(0).measure(0), jax.random.key(0), 100)
        >>> bits.shape, bool((bits[:, 0] != bits[:, 1]).all())
        ((100, 2), True)
    """
    shots = _positive_shots("sample", shots)
    check_key("sample", key)
    options = {"initial_state": initial_state, "dtype": dtype, "engine": engine}
    classical = wires is None and measures(closed("sample", circuit))
    terminal = dynamic.split_terminal(circuit, fresh=initial_state is None)
    if terminal is None:
        measured, numbers = (circuit, None) if classical else _measuring("sample", circuit, wires)
        bits = _dynamic_samples(measured, key, shots, options)
        return bits if numbers is None else bits[:, np.array(numbers)]
    if classical:
        bits = sample(terminal.circuit, key, shots, **options)
        columns = np.full(circuit.num_bits, -1, np.int32)
        columns[list(terminal.bits)] = terminal.wires
        return bits if np.array_equal(columns, np.arange(bits.shape[1])) else _arranged(bits, columns)
    row = _lower("sample", circuit, **options)
    chosen = _chosen_wires("sample", wires, circuit.num_wires)
    bits = _samples(row, batch.check_initial_state("sample", initial_state, row), key, shots)
    return bits if chosen == tuple(range(circuit.num_wires)) else bits[:, np.array(chosen)]


def _dynamic_samples(circuit: Circuit, key: Array, shots: int, options: dict[str, Any]) -> Array:
    words = jax.random.key_data(key)
    if words.shape != (2,):  # not threefry
        words = jax.random.bits(key, (2,), jnp.uint32)
    if _traced(circuit, words, options["initial_state"]):
        return dynamic.sample_traced(circuit, words, shots, **options)
    return jnp.asarray(dynamic.sample_dynamic([circuit], np.asarray(words)[None], shots, **options)[0])


def counts(
    circuit: Circuit, key: Array, shots: int, wires: Sequence[int] | None = None, **options: Any
) -> dict[str, int]:
    """How often each outcome occurs: strings with ``wires[0]`` rightmost, most frequent first.

    If the circuit measures and no wires are given, the keys are those of Qiskit: a word for each register, the one
    that was added last leftmost, bit 0 of each rightmost.

    Not for use under `jit`: the result is a Python dictionary. Arguments as for `sample`.

    Example:
        >>> import jax, jaxsim as js
        >>> js.counts(js.Circuit(2).x(1), jax.random.key(0), 100)
        {'10': 100}
        >>> c = js.Circuit(2).x(1)
        >>> a, b = c.register("a", 1), c.register("b", 2)
        >>> js.counts(c.measure([0, 1], b), jax.random.key(0), 100)
        {'10 0': 100}
    """
    bits = known(sample(circuit, key, shots, wires, **options))
    if bits is None:
        raise TypeError(
            "counts gives a Python dictionary, which jit, vmap and grad do not take; use sample there."
        )
    whole = (Register("c", bits.shape[1]),)
    registers = circuit.registers if wires is None and measures(circuit) else whole
    places = tuple((k, k) for k in range(bits.shape[1]))
    codes, numbers = np.unique(codes_of_bits(bits), return_counts=True)
    words = keys(Layout(places, tuple(register.size for register in registers)), codes)
    return {words[k]: int(numbers[k]) for k in np.argsort(-numbers, kind="stable")}


# subsystems -------------------------------------------------------------------------------------------------


def reduced_density_matrix(
    circuit: Circuit,
    wires: Sequence[int],
    *,
    initial_state: Any = None,
    dtype: Any = None,
    engine: str = "auto",
) -> Complex[Array, "dim dim"]:
    """The state of some of the qubits, (2**k, 2**k); ``wires[0]`` is the least significant bit.

    Example:
        >>> import jaxsim as js
        >>> js.reduced_density_matrix(js.Circuit(2).h(0).cx(0, 1), [0]).real.round(4).tolist()
        [[0.5, 0.0], [0.0, 0.5]]
    """
    row = _lower("reduced_density_matrix", circuit, initial_state=initial_state, dtype=dtype, engine=engine)
    chosen = _chosen_wires("reduced_density_matrix", wires, circuit.num_wires)
    if len(chosen) > MAX_UNITARY_WIRES:
        raise ValueError(
            f"reduced_density_matrix: at most {MAX_UNITARY_WIRES} wires, but {len(chosen)} were given."
        )
    return _reduced(row, batch.check_initial_state("reduced_density_matrix", initial_state, row), chosen)


def entropy(circuit: Circuit, wires: Sequence[int], *, base: float = 2.0, **options: Any) -> Float[Array, ""]:
    """Von Neumann entropy of some of the qubits, -tr(rho log rho); in bits unless `base` says otherwise.

    Example:
        >>> import jaxsim as js
        >>> round(float(js.entropy(js.Circuit(2).h(0).cx(0, 1), [0])), 4)
        1.0
    """
    if not base > 1:
        raise ValueError(f"entropy: base must be greater than 1, but {base!r} was given.")
    rho = reduced_density_matrix(circuit, wires, **options)
    weights = jnp.linalg.eigvalsh(rho)
    positive = weights > jnp.finfo(weights.dtype).eps
    # The inner where keeps the derivative finite where a weight is zero.
    terms = jnp.where(positive, weights * jnp.log(jnp.where(positive, weights, 1)), 0)
    return -jnp.sum(terms) / np.log(base).astype(weights.dtype)
