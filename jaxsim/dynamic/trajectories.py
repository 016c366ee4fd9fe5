"""Shots of a dynamic circuit inside a user's own `jit` or `vmap`: a trajectory for each shot, with its own key.

Here nothing is known while the program is traced, so shots cannot be sorted into branches. What precedes the first
measurement is simulated once; then every shot has a state of its own, in blocks that bound memory. The random words are
those of `branches`, so the bits are the same, up to outcomes that rounding decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from jaxsim import batch
from jaxsim.circuit import Circuit
from jaxsim.classical import Condition
from jaxsim.dynamic.outcomes import collapsed, descend, probability_tree, random_words
from jaxsim.dynamic.program import Choice, Loop, Measurement, Operation, Program, Segment, program_of
from jaxsim.dynamic.segments import lower_segment, start_state

if TYPE_CHECKING:
    from jaxtyping import Array, UInt8

__all__ = ["sample_traced"]

STATE_BYTES = 2**26
"""What the states of a block of shots may take."""


class _Shot(NamedTuple):
    """A shot on its way.

    Attributes:
        state: (2**n,).
        bits: (bits,) bool.
        used: how many random words.
    """

    state: Array
    bits: Array
    used: Array


class _Trajectory:
    """What one shot does."""

    def __init__(self, circuit: Circuit, program: Program, dtype: Any, engine: str) -> None:
        self.program = program
        # Lowered here, before any loop is traced.
        self.rows: dict[Segment, batch.Lowered] = {}
        self._lower(circuit, program.operations, dtype, engine)

    def _lower(self, circuit: Circuit, operations: Sequence[Operation], dtype: Any, engine: str) -> None:
        for operation in operations:
            match operation:
                case Segment() if operation not in self.rows:
                    self.rows[operation] = lower_segment(
                        circuit, operation, dtype=dtype, engine=engine, exact=True
                    )
                case Choice(_, then, otherwise):
                    self._lower(circuit, (*then, *otherwise), dtype, engine)
                case Loop(_, body, _):
                    self._lower(circuit, body, dtype, engine)

    def run(self, operations: Sequence[Operation], key: Array, shot: _Shot) -> _Shot:
        """The shot after some operations; `key` is its own."""
        for operation in operations:
            shot = self._step(operation, key, shot)
        return shot

    def _step(self, operation: Operation, key: Array, shot: _Shot) -> _Shot:
        match operation:
            case Segment():
                state = batch.row_state(self.rows[operation], jnp.zeros(0), shot.state)
                return shot._replace(state=state)
            case Measurement():
                return self._measured(operation, key, shot)
            case Choice(condition, then, otherwise):
                blocks = [partial(self.run, block, key) for block in (then, otherwise)]
                return lax.cond(self._holds(condition, shot), *blocks, shot)
            case Loop(condition, body, limit):

                def again(carry: tuple[Array, _Shot]) -> Array:
                    return (carry[0] < limit) & self._holds(condition, carry[1])

                def repeated(carry: tuple[Array, _Shot]) -> tuple[Array, _Shot]:
                    return carry[0] + 1, self.run(body, key, carry[1])

                return lax.while_loop(again, repeated, (jnp.int32(0), shot))[1]

    def _measured(self, measured: Measurement, key: Array, shot: _Shot) -> _Shot:
        wires = measured.wires
        tree = probability_tree(shot.state[None], wires, self.program.num_wires)
        words = random_words(key, shot.used, len(wires))[None]
        outcome = descend(tree, jnp.zeros(1, jnp.int32), words)
        state = collapsed(shot.state[None], measured, outcome, tree[-1][0, outcome])[0]
        bits = shot.bits
        for place, bit in measured.bits:
            bits = bits.at[bit].set(((outcome[0] >> place) & 1).astype(bool))
        return _Shot(state, bits, shot.used + len(wires))

    def _holds(self, condition: Condition, shot: _Shot) -> Array:
        return jnp.asarray(condition.evaluate(lambda bit: shot.bits[self.program.numbers[bit]]))


# derivatives are refused ----------------------------------------------------------------------------------------


@jax.custom_jvp
def _without_derivative(leaf: Array) -> Array:
    return leaf


@partial(_without_derivative.defjvp, symbolic_zeros=True)
def _refuse(primals: tuple[Array], tangents: tuple[Any]) -> Any:
    if not isinstance(tangents[0], SymbolicZero):
        raise TypeError(
            "sample: shots of a circuit that goes on after a measurement have no derivative: an outcome is 0 or 1, and "
            "jumps where an angle changes. For a gradient take expectation(..., deferred=True) or circuit.deferred(), "
            "which measures fresh wires at the end; or keep the shots out of it: jax.lax.stop_gradient on the angles."
        )
    return primals[0], tangents[0]


# all shots ------------------------------------------------------------------------------------------------------


def sample_traced(
    circuit: Circuit,
    key: Array,
    shots: int,
    *,
    dtype: Any = None,
    engine: str = "auto",
    initial_state: Any = None,
) -> UInt8[Array, "shots bits"]:
    """Classical bits of shots of a circuit that measures, with angles, arrays or a key that JAX traces.

    Args:
        circuit: without open parameters.
        key: (2,) uint32 key data.
        shots: how many.
        dtype: complex64 (default) or complex128, of the states.
        engine: as for `compile`.
        initial_state: (2**n,) complex to start from instead of |0...0>.

    Raises:
        TypeError: under differentiation by what the circuit holds.
    """
    circuit, initial_state = jax.tree.map(_guarded, (circuit, initial_state))
    program = program_of(circuit.structure, initial_state is None)
    operations = program.operations
    dtype = batch.check_dtype(dtype)
    trajectory = _Trajectory(circuit, program, dtype, engine)
    state = jnp.asarray(start_state("sample", circuit, initial_state, dtype))
    begin = _Shot(state, jnp.zeros(len(program.numbers), bool), jnp.uint32(0))
    key = jax.random.wrap_key_data(key, impl="threefry2x32")
    shared = int(bool(operations) and isinstance(operations[0], Segment))
    begin = trajectory.run(operations[:shared], key, begin)

    def one(number: Array) -> Array:
        return trajectory.run(operations[shared:], jax.random.fold_in(key, number), begin).bits

    return _in_blocks(jax.vmap(one), shots, dtype.itemsize << circuit.num_wires).astype(jnp.uint8)


def _guarded(leaf: Any) -> Any:
    return _without_derivative(leaf) if isinstance(leaf, jax.Array) else leaf


def _in_blocks(function: Callable[[Array], Array], shots: int, state_bytes: int) -> Array:
    """The function of 0, 1, ... shots - 1, so many at a time as memory has room for."""
    room = max(1, STATE_BYTES // (4 * state_bytes))
    if shots <= room:
        return function(jnp.arange(shots))
    blocks = -(-shots // room)
    numbers = jnp.arange(blocks * room).reshape(blocks, room)
    results = lax.map(function, numbers)
    return results.reshape(blocks * room, -1)[:shots]
