"""Which terms of an observable are measured together, and how: qubit-wise commuting groups, as data.

Two words commute qubit by qubit if they have the same letter wherever both have one. All words of such a group are
known from one measurement of every qubit along X, Y or Z. Which groups there are depends on the words alone, so
programs that differ in coefficients share compiled calls. Every group is measured with the same number of shots.

References: grouping by a greedy colouring, heaviest words first, Verteletskyi, Yen and Izmaylov, arXiv:1907.03358.
"""

from __future__ import annotations

import numbers
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from jaxsim.leaves import known
from jaxsim.lowering.angles import bucket
from jaxsim.observables import PauliSum

if TYPE_CHECKING:
    from jaxtyping import Int

__all__ = ["Measurement", "checked_shots", "commuting_groups", "lower_measurement"]

MOST_SHOTS = 2**30


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Measurement:
    """What is measured, as arrays that are padded to buckets of their own sizes.

    Attributes:
        flipped: (groups,) int32 masks: qubits that a group measures along X or Y.
        turned: (groups,) int32 masks: those along Y.
        support: (groups, terms) int32 masks: qubits whose outcomes a term multiplies.
        weights: (groups, terms) real: coefficients.
        constant: () real: coefficient of the identity, which is not measured.
        shots: (groups,) int32, 0 for padding; None: expectation values without noise.
        diagonal: whether all groups measure along Z only.
    """

    flipped: Any
    turned: Any
    support: Any
    weights: Any
    constant: Any
    shots: Any
    diagonal: bool = field(metadata={"static": True})


class _Groups(NamedTuple):
    """For each term its group, -1 for the identity; for each group the flip and parity masks of its letters."""

    of_term: Int[np.ndarray, " terms"]
    x: Int[np.ndarray, " groups"]
    z: Int[np.ndarray, " groups"]


def checked_shots(name: str, shots: Any) -> int:
    """The number of shots.

    Raises:
        TypeError: not an integer.
        ValueError: less than 1, or more than 2**30.
    """
    if isinstance(shots, bool | np.bool_) or not isinstance(shots, numbers.Integral):
        raise TypeError(f"{name}: shots is an integer, as in shots=1000, but {shots!r} was given.")
    number = int(shots)
    if not 1 <= number <= MOST_SHOTS:
        raise ValueError(f"{name}: shots must be from 1 to {MOST_SHOTS}, but {number} was given.")
    return number


def commuting_groups(observable: PauliSum) -> tuple[PauliSum, ...]:
    """The terms that are measured together, one sum a group; the identity is in none.

    Raises:
        TypeError: traced words.
        ValueError: complex coefficients; nothing but the identity.

    Example:
        >>> from jaxsim import X, Y, Z
        >>> from jaxsim.measurement_groups import commuting_groups
        >>> commuting_groups(Z(0) @ Z(1) + X(0) + 0.5 * Z(1) + X(1) @ Y(2) + 3)
        (1.0*Z0 Z1 + 0.5*Z1, 1.0*X1 Y2 + 1.0*X0)
    """
    observable, groups = _grouped("commuting_groups", observable)
    members = (np.flatnonzero(groups.of_term == g) for g in range(len(groups.x)))
    x, z = np.asarray(observable.x_mask), np.asarray(observable.z_mask)
    ordered = (own[np.argsort(-np.bitwise_count((x | z)[own]), kind="stable")] for own in members)
    return tuple(observable[own] for own in ordered)


def lower_measurement(
    name: str, observable: PauliSum, num_wires: int, shots: int | None, dtype: Any
) -> Measurement:
    """How to measure an observable.

    Args:
        name: who asks, for messages.
        observable: a sum of concrete words, with real coefficients.
        num_wires: qubits of the circuit it is measured on.
        shots: of each group; None: no noise.
        dtype: float dtype of the weights.

    Raises:
        TypeError: not a PauliSum, traced words or coefficients.
        ValueError: complex coefficients, a term on a wire that the circuit lacks, nothing but the identity.
    """
    if not isinstance(observable, PauliSum):
        raise TypeError(f"{name}: an observable is a PauliSum, but a {type(observable).__name__} was given.")
    observable.check_wires(num_wires)
    observable, groups = _grouped(name, observable)
    weights = known(observable.coefficients)
    if weights is None:
        raise TypeError(f"{name}: measuring needs concrete coefficients, but these are traced by JAX.")
    words = np.asarray(observable.x_mask) | np.asarray(observable.z_mask)
    number = len(groups.x)
    most = int(np.bincount(groups.of_term[groups.of_term >= 0]).max())
    room, terms = bucket(number), bucket(most)
    support, coefficients = np.zeros((room, terms), np.int32), np.zeros((room, terms), dtype)
    for g in range(number):
        own = groups.of_term == g
        support[g, : own.sum()], coefficients[g, : own.sum()] = words[own], weights[own]
    flipped, turned = np.zeros(room, np.int32), np.zeros(room, np.int32)
    flipped[:number], turned[:number] = groups.x, groups.x & groups.z
    each = None if shots is None else np.where(np.arange(room) < number, shots, 0).astype(np.int32)
    constant = np.asarray(weights[groups.of_term < 0].sum(), dtype)
    return Measurement(flipped, turned, support, coefficients, constant, each, diagonal=not flipped.any())


def _grouped(name: str, observable: PauliSum) -> tuple[PauliSum, _Groups]:
    observable = observable.require_real()
    x, z = known(observable.x_mask), known(observable.z_mask)
    if x is None or z is None:
        raise TypeError(f"{name}: which terms are measured together needs concrete words, not traced ones.")
    words = x | z
    if not words.any():
        raise ValueError(
            f"{name}: the observable is a multiple of the identity, so there is nothing to measure; add a term with X, "
            "Y or Z."
        )
    of_term = np.full(len(words), -1)
    bases = np.zeros((3, len(words)), np.int32)  # flip masks, parity masks, and where there is a letter
    count = 0
    for t in np.argsort(-np.bitwise_count(words).astype(int), kind="stable"):
        if not words[t]:
            continue
        gx, gz, letters = bases[:, :count]
        fits = ((gx ^ x[t]) | (gz ^ z[t])) & letters & words[t] == 0
        g = int(np.argmax(fits)) if fits.any() else count
        count = max(count, g + 1)
        bases[:, g] |= (x[t], z[t], words[t])
        of_term[t] = g
    return observable, _Groups(of_term, bases[0, :count], bases[1, :count])
