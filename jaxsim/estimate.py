"""Expectation values as an experiment finds them: from a finite number of shots, with seeded noise.

The state is turned into the basis of each group of terms that are measured together, and the outcomes of its shots are
drawn as counts. An estimate is unbiased, and its variance is the sum over the groups of the variance of the group's sum
of terms, over the shots. The key of a group is ``fold_in(key, group)``.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxsim import batch, kernels, simulate
from jaxsim.circuit import Circuit
from jaxsim.compilation import compiler_options
from jaxsim.measurement_groups import Measurement, checked_shots, lower_measurement
from jaxsim.observables import PauliSum
from jaxsim.shot_counts import draw_counts
from jaxsim.terminal import unmeasured

if TYPE_CHECKING:
    from jaxtyping import Array, Complex, Float

__all__ = ["estimate", "estimated"]


def estimate(
    circuit: Circuit,
    observable: PauliSum,
    key: Array,
    shots: int,
    *,
    dtype: Any = None,
    engine: str = "auto",
) -> Float[Array, ""]:
    """An estimate of an expectation value from a finite number of shots, a scalar.

    Terms that commute qubit by qubit are measured together, and each such group has `shots` shots; see
    `jaxsim.measurement_groups`. Another number of shots compiles nothing.

    Args:
        circuit: without open parameters.
        observable: one sum, with real coefficients.
        key: a JAX key; the same key gives the same estimate.
        shots: of each group, 1 to 2**30.
        dtype: complex64 (default) or complex128, of the state.
        engine: as for `compile`.

    Raises:
        TypeError: shots that are no integer, no key, traced words or coefficients.
        ValueError: fewer than 1 shots; complex coefficients; an observable that is a multiple of the identity, or on
            wires that the circuit lacks; unbound parameters.

    Example:
        >>> import jax, jaxsim as js
        >>> from jaxsim.estimate import estimate
        >>> bell = js.Circuit(2).h(0).cx(0, 1)
        >>> H = js.Z(0) @ js.Z(1) + 0.5 * js.X(0)
        >>> abs(float(estimate(bell, H, jax.random.key(0), shots=10_000)) - 1.0) < 0.03
        True
    """
    simulate.check_key("estimate", key)
    gates = unmeasured("estimate", simulate.closed("estimate", circuit))
    row = batch.lower(gates, engine=engine, dtype=dtype)
    shots = checked_shots("estimate", shots)
    measurement = lower_measurement("estimate", observable, circuit.num_wires, shots, row.real_dtype)
    return _estimate(row, measurement, key)


@partial(jax.jit, compiler_options=compiler_options())
def _estimate(row: batch.Lowered, measurement: Measurement, key: Array) -> Array:
    return estimated(measurement, batch.row_state(row, jnp.zeros(0)), key)


def estimated(measurement: Measurement, state: Complex[Array, " dim"], key: Array) -> Float[Array, ""]:
    """An estimate of the expectation value in a state; without noise if the measurement has no shots.

    Groups come one after the other, so that memory does not grow with them. NaN for a state that is not finite, or 0.
    """
    measurement = jax.tree.map(jnp.asarray, measurement)

    def add_group(total: Array, group: tuple[Any, ...]) -> tuple[Array, None]:
        number, flipped, turned, support, weights, shots = group
        own = state if measurement.diagonal else _turned(state, flipped, turned)
        # A product is finished before anything is added to it: else compilers may fuse the two, in one company and
        # not in another, and a last bit decides a shot.
        squares = lax.optimization_barrier((own.real * own.real, own.imag * own.imag))
        probabilities = squares[0] + squares[1]
        outcomes = kernels.hadamard_transform(jnp.zeros(state.shape, weights.dtype).at[support].add(weights))
        shares = probabilities
        if shots is not None:
            counts = draw_counts(jax.random.fold_in(key, number), probabilities, shots)
            shares = counts.astype(weights.dtype)
        mean = kernels.tree_sum(lax.optimization_barrier(outcomes * shares))
        if shots is not None:
            # XLA would divide one number, but multiply many numbers by the inverse.
            inverse = lax.optimization_barrier(1 / jnp.maximum(shots, 1).astype(weights.dtype))
            mean = lax.optimization_barrier(mean * inverse)
        # Counts are finite whatever the state is.
        sound = kernels.tree_sum(probabilities)
        return total + jnp.where((sound > 0) & jnp.isfinite(sound), mean, jnp.nan), None

    numbers = np.arange(measurement.support.shape[0], dtype=np.int32)
    groups = (
        numbers, measurement.flipped, measurement.turned, measurement.support, measurement.weights,
        measurement.shots,
    )  # fmt: skip
    start = jnp.zeros((), measurement.weights.dtype)
    return lax.scan(add_group, start, groups)[0] + measurement.constant


def _turned(state: Complex[Array, " dim"], flipped: Array, turned: Array) -> Complex[Array, " dim"]:
    """The state after H on the qubits in `flipped`, after S^dagger where they are in `turned`."""
    num_wires = state.shape[0].bit_length() - 1
    root = math.sqrt(0.5)
    # Entries of two-level operations: kept where the bit is 0 and 1, crossed to there.
    kinds = np.array(
        [[1, 1, 0, 0], [root, -root, root, root], [root, 1j * root, -1j * root, root]], np.complex128
    )
    wires = np.arange(num_wires, dtype=np.int32)
    kind = ((flipped >> wires) & 1) + ((turned >> wires) & 1)
    bits = jnp.asarray(1 << wires, jnp.int32)
    entries = jnp.asarray(kinds, state.dtype)[kind]
    steps = kernels.TwoLevel(bits, bits, jnp.zeros((num_wires, 2), jnp.int32), entries)
    return lax.scan(lambda s, step: (kernels.two_level(s, step), None), state, steps)[0]
