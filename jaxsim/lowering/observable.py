"""Observables as data: the terms of a `PauliSum` grouped by flip mask.

All terms with one flip mask x act together as ``(H psi)[j ^ x] += d_x[j] psi[j]``, where the vector d_x is a
Walsh-Hadamard transform of the coefficients placed at their z masks. Which terms a Hamiltonian has is data;
static are only how many there are and how many flip masks, both rounded up to buckets, and whether some group
is diagonal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Complex, Float

from jaxsim import kernels
from jaxsim.leaves import known
from jaxsim.lowering.angles import bucket
from jaxsim.observables import PauliSum

__all__ = ["LoweredObservable", "apply", "lower_observable"]

TABLE_LIMIT = 2**22
"""Entries of all diagonals of an observable up to which they are computed at once; beyond, term by term."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LoweredObservable:
    """An observable in the form that kernels take.

    Attributes:
        x, z: (terms,) int32 masks.
        weights: (terms,) real; the coefficients.
        num_y: (terms,) int32, how many Y a word has.
        group: (terms,) int32, which flip mask; 0 is the diagonal group.
        flips: (groups,) int32 flip masks of the groups 1, 2, ...
        tabulated: whether the diagonals of all groups are computed at once.
        diagonal: whether there are terms without flips.
        real: whether all words have an even number of Y.
    """

    x: Any
    z: Any
    weights: Any
    num_y: Any
    group: Any
    flips: Any
    tabulated: bool = field(metadata={"static": True})
    diagonal: bool = field(metadata={"static": True})
    real: bool = field(metadata={"static": True})


def lower_observable(observable: PauliSum, num_wires: int, dtype: Any) -> LoweredObservable:
    """The observable as arrays, padded to the buckets of its own sizes.

    Args:
        observable: masks concrete or traced; traced masks cannot be grouped and are taken term by term. A traced
            term on a wire that the circuit does not have counts as NaN.
        num_wires: qubits of the circuit it is measured on.
        dtype: float dtype of the weights.

    Raises:
        ValueError: a term on a wire that the circuit does not have; complex coefficients.
    """
    observable.check_wires(num_wires)
    weights = observable.real_coefficients()
    terms = observable.num_terms
    size = bucket(terms)
    x_mask, z_mask = known(observable.x_mask), known(observable.z_mask)
    if x_mask is None or z_mask is None:
        zeros = np.zeros(terms, np.int32)
        x, z = jnp.asarray(observable.x_mask), jnp.asarray(observable.z_mask)
        # Masks that are not known yet cannot be refused; a term on a wire that is not there makes the result NaN.
        weights = jnp.where((x | z) >> num_wires == 0, jnp.asarray(weights, dtype), jnp.nan)
        return LoweredObservable(
            x, z, weights, lax.population_count(x & z), zeros, np.zeros(0, np.int32),
            tabulated=False, diagonal=False, real=False,
        )  # fmt: skip
    flips = np.unique(x_mask)
    flips = flips[flips != 0]
    group = np.where(x_mask == 0, 0, np.searchsorted(flips, x_mask) + 1)
    num_groups = bucket(len(flips))
    num_y = np.bitwise_count(x_mask & z_mask).astype(np.int32)

    def padded(array: np.ndarray, length: int) -> np.ndarray:
        return np.concatenate([array, np.zeros(length - len(array), array.dtype)]).astype(np.int32)

    concrete = known(weights)
    if concrete is not None:
        weights = np.concatenate([concrete, np.zeros(size - terms)]).astype(dtype)
    else:
        weights = jnp.concatenate([jnp.asarray(weights, dtype), jnp.zeros(size - terms, dtype)])
    return LoweredObservable(
        padded(x_mask, size), padded(z_mask, size), weights, padded(num_y, size), padded(group, size),
        padded(flips, num_groups),
        tabulated=(num_groups + 1) * 2**num_wires <= TABLE_LIMIT,
        diagonal=bool((x_mask == 0).any()),
        real=not (num_y % 2).any(),
    )  # fmt: skip


def apply(observable: LoweredObservable, state: Complex[Array, " dim"]) -> Complex[Array, " dim"]:
    """H |state>."""
    if not observable.tabulated:
        return _apply_terms(observable, state)
    diagonals = _diagonals(observable, state)
    result = diagonals[0] * state if observable.diagonal else jnp.zeros_like(state)
    if not observable.flips.shape[0]:
        return result

    def add_group(total: Array, group: tuple[Array, Array]) -> tuple[Array, None]:
        flip_mask, diagonal = group
        return total + kernels.flip(diagonal * state, flip_mask), None

    return lax.scan(add_group, result, (observable.flips, diagonals[1:]))[0]


def _diagonals(observable: LoweredObservable, state: Array) -> Array:
    """(groups + 1, 2**n): the diagonal d_x of every group."""
    groups = observable.flips.shape[0] + 1
    # i**num_y: its real or its imaginary part
    turns = observable.num_y & 3
    even = jnp.where(turns == 0, 1, jnp.where(turns == 2, -1, 0)).astype(observable.weights.dtype)

    def transformed(weights: Array) -> Array:
        table = jnp.zeros((groups, state.shape[-1]), weights.dtype)
        return kernels.hadamard_transform(table.at[observable.group, observable.z].add(weights))

    table = transformed(observable.weights * even)
    if observable.real:
        return table
    odd = jnp.where(turns == 1, 1, jnp.where(turns == 3, -1, 0)).astype(observable.weights.dtype)
    return lax.complex(table, transformed(observable.weights * odd))


def _apply_terms(observable: LoweredObservable, state: Array) -> Array:
    index = kernels.basis(state)
    powers = jnp.array([1, 1j, -1, -1j], state.dtype)

    def add_term(total: Array, term: tuple[Array, ...]) -> tuple[Array, None]:
        x, z, weight, num_y = term
        signed = jnp.where(kernels.parity(index & z), -weight, weight) * state
        return total + powers[num_y & 3] * kernels.flip(signed, x), None

    terms = (observable.x, observable.z, observable.weights, observable.num_y)
    return lax.scan(add_term, jnp.zeros_like(state), terms)[0]


def expectation(observable: LoweredObservable, state: Complex[Array, " dim"]) -> Float[Array, ""]:
    """<state| H |state>."""
    return kernels.real_overlap(state, apply(observable, state))
