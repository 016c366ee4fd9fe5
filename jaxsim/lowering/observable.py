"""Observables as data: the terms of a `PauliSum` grouped by flip mask.

All terms with one flip mask x act together as ``(H psi)[j ^ x] += d_x[j] psi[j]``, where the vector d_x is a
Walsh-Hadamard transform of the coefficients placed at their z masks. Which terms a Hamiltonian has is data;
static are only how many there are and how many flip masks, both rounded up to buckets, and whether some group
is diagonal. Terms of X alone are diagonal, too, after a Hadamard on every qubit: where there are several,
they are one group, which costs two transforms of the state.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxsim import kernels
from jaxsim.leaves import known
from jaxsim.lowering.angles import bucket
from jaxsim.observables import PauliSum

if TYPE_CHECKING:
    from jaxtyping import Array, Complex, Float

__all__ = ["LoweredObservable", "apply", "lower_observable"]

TABLE_LIMIT = 2**22
"""Entries of all diagonals of an observable up to which they are computed at once; beyond, term by term."""

LARGE_DIM = 2**14
"""From here on rows run one at a time, and diagonals of few terms are matrix products, whose bits depend on
the batch."""

TRANSVERSE_TERMS = 3
"""From so many terms of X alone on, transforming the state is cheaper than flipping it for each."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LoweredObservable:
    """An observable in the form that kernels take.

    Attributes:
        x, z: (terms,) int32 masks.
        weights: (terms,) real; the coefficients.
        num_y: (terms,) int32, how many Y a word has.
        group: (terms,) int32: 0 for the diagonal group, then that of X alone if there is one, then one for each flip
            mask.
        place: (terms,) int32, where in the group's table the coefficient goes: z, or x in the group of X alone.
        flips: (groups,) int32 flip masks.
        tabulated: whether the diagonals of all groups are computed at once.
        diagonal: whether there are terms without flips.
        transverse: whether there is a group of X alone.
        real: whether all words have an even number of Y.
    """

    x: Any
    z: Any
    weights: Any
    num_y: Any
    group: Any
    place: Any
    flips: Any
    tabulated: bool = field(metadata={"static": True})
    diagonal: bool = field(metadata={"static": True})
    transverse: bool = field(metadata={"static": True})
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
            x, z, weights, lax.population_count(x & z), zeros, zeros, np.zeros(0, np.int32),
            tabulated=False, diagonal=False, transverse=False, real=False,
        )  # fmt: skip
    of_x = (z_mask == 0) & (x_mask != 0)
    transverse = len(_distinct(x_mask[of_x])) >= TRANSVERSE_TERMS
    apart = (x_mask == 0) | (of_x & transverse)
    flips = _distinct(x_mask[~apart])
    group = np.where(x_mask == 0, 0, np.where(apart, 1, np.searchsorted(flips, x_mask) + 1 + transverse))
    place = np.where(apart & of_x, x_mask, z_mask)
    num_groups = bucket(len(flips))
    num_y = np.bitwise_count(x_mask & z_mask).astype(np.int32)

    def padded(array: np.ndarray, length: int, dtype: Any = np.int32) -> np.ndarray:
        result = np.zeros(length, dtype)
        result[: len(array)] = array
        return result

    concrete = known(weights)
    if concrete is not None:
        weights = padded(concrete, size, dtype)
    else:
        weights = jnp.concatenate([jnp.asarray(weights, dtype), jnp.zeros(size - terms, dtype)])
    return LoweredObservable(
        padded(x_mask, size), padded(z_mask, size), weights, padded(num_y, size), padded(group, size),
        padded(place, size), padded(flips, num_groups),
        tabulated=(num_groups + 1 + transverse) * 2**num_wires <= TABLE_LIMIT,
        diagonal=bool((x_mask == 0).any()),
        transverse=transverse,
        real=not (num_y % 2).any(),
    )  # fmt: skip


def _distinct(masks: np.ndarray) -> np.ndarray:
    """np.unique, which takes its time also where there is nothing, as in diagonal sums."""
    return np.unique(masks) if masks.size else masks


def apply(observable: LoweredObservable, state: Complex[Array, " dim"]) -> Complex[Array, " dim"]:
    """H |state>."""
    if not observable.tabulated:
        return _apply_terms(observable, state)
    diagonals = _diagonals(observable, state)
    result = diagonals[0] * state if observable.diagonal else jnp.zeros_like(state)
    if observable.transverse:
        # Two transforms, as one loop; their norm goes into the diagonal.
        factors = jnp.stack([diagonals[1] / state.shape[-1], jnp.ones_like(diagonals[1])])
        result = result + lax.scan(lambda s, d: (d * kernels.hadamard_transform(s), None), state, factors)[0]
    if not observable.flips.shape[0]:
        return result

    def add_group(total: Array, group: tuple[Array, Array]) -> tuple[Array, None]:
        flip_mask, diagonal = group
        return total + kernels.flip(diagonal * state, flip_mask), None

    return lax.scan(add_group, result, (observable.flips, diagonals[1 + observable.transverse :]))[0]


def _diagonals(observable: LoweredObservable, state: Array) -> Array:
    """(groups, 2**n): the diagonal of every group."""
    groups = observable.flips.shape[0] + 1 + observable.transverse
    if not observable.flips.shape[0] and state.shape[-1] >= LARGE_DIM:
        return jnp.stack([_summed_signs(observable, g, state.shape[-1]) for g in range(groups)])
    # i**num_y: its real or its imaginary part
    turns = observable.num_y & 3
    even = jnp.where(turns == 0, 1, jnp.where(turns == 2, -1, 0)).astype(observable.weights.dtype)

    def transformed(weights: Array) -> Array:
        table = jnp.zeros((groups, state.shape[-1]), weights.dtype)
        return kernels.hadamard_transform(table.at[observable.group, observable.place].add(weights))

    table = transformed(observable.weights * even)
    if observable.real:
        return table
    odd = jnp.where(turns == 1, 1, jnp.where(turns == 3, -1, 0)).astype(observable.weights.dtype)
    return lax.complex(table, transformed(observable.weights * odd))


def _summed_signs(observable: LoweredObservable, group: int, dim: int) -> Float[Array, " dim"]:
    """The diagonal of a group without flips as a matrix product: a sign is one of the low bits times one of the
    high bits."""
    low = (dim.bit_length() - 1) // 2

    def signs(bits: Array, length: int) -> Array:
        index = lax.iota(jnp.int32, length)[None, :]
        odd = kernels.parity(jnp.broadcast_to(index, (bits.shape[0], length)) & bits[:, None])
        return jnp.where(odd, -1, 1).astype(observable.weights.dtype)

    weights = jnp.where(observable.group == group, observable.weights, 0)
    high = weights[:, None] * signs(observable.place >> low, dim >> low)
    return jnp.matmul(high.T, signs(observable.place, 1 << low), precision=lax.Precision.HIGHEST).reshape(dim)


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
