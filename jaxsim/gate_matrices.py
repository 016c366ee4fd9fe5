"""The formulas of the gate table: matrices, and rotation forms of gates that carry a Pauli word or an array.

`xp` is numpy or jax.numpy. Angles are arrays of one common shape (...), in radians. A formula never looks at
values, so that tracers pass. Entries come as nested lists in which constants stay plain numbers; `stacked`
makes an array of them. What each gate does is said in its row of the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from math import sqrt
from types import ModuleType
from typing import Any

import numpy as np

__all__ = ["PAULI", "identity_but", "stacked", "under_controls", "z_words"]


# entries ----------------------------------------------------------------------------------------------------


def rx(xp: ModuleType, theta: Any) -> Any:
    c, s = xp.cos(theta / 2), -1j * xp.sin(theta / 2)
    return [[c, s], [s, c]]


def ry(xp: ModuleType, theta: Any) -> Any:
    c, s = xp.cos(theta / 2), xp.sin(theta / 2)
    return [[c, -s], [s, c]]


def rz(xp: ModuleType, theta: Any) -> Any:
    return [[xp.exp(-0.5j * theta), 0], [0, xp.exp(0.5j * theta)]]


def r(xp: ModuleType, theta: Any, phi: Any) -> Any:
    c, s = xp.cos(theta / 2), -1j * xp.sin(theta / 2)
    return [[c, s * xp.exp(-1j * phi)], [s * xp.exp(1j * phi), c]]


def p(xp: ModuleType, lam: Any) -> Any:
    return [[1, 0], [0, xp.exp(1j * lam)]]


def u(xp: ModuleType, theta: Any, phi: Any, lam: Any) -> Any:
    c, s = xp.cos(theta / 2), xp.sin(theta / 2)
    return [[c, -s * xp.exp(1j * lam)], [s * xp.exp(1j * phi), c * xp.exp(1j * (phi + lam))]]


def u2(xp: ModuleType, phi: Any, lam: Any) -> Any:
    half = 1 / sqrt(2)
    return [[half, -half * xp.exp(1j * lam)], [half * xp.exp(1j * phi), half * xp.exp(1j * (phi + lam))]]


def u_phase(xp: ModuleType, theta: Any, phi: Any, lam: Any, gamma: Any) -> Any:
    phase = xp.exp(1j * gamma)
    return [[phase * entry for entry in row] for row in u(xp, theta, phi, lam)]


def global_phase(xp: ModuleType, theta: Any) -> Any:
    return [[xp.exp(1j * theta)]]


def rxx(xp: ModuleType, theta: Any) -> Any:
    c, s = xp.cos(theta / 2), -1j * xp.sin(theta / 2)
    return [[c, 0, 0, s], [0, c, s, 0], [0, s, c, 0], [s, 0, 0, c]]


def ryy(xp: ModuleType, theta: Any) -> Any:
    c, s = xp.cos(theta / 2), -1j * xp.sin(theta / 2)
    return [[c, 0, 0, -s], [0, c, s, 0], [0, s, c, 0], [-s, 0, 0, c]]


def rzz(xp: ModuleType, theta: Any) -> Any:
    equal, different = xp.exp(-0.5j * theta), xp.exp(0.5j * theta)
    return [[equal, 0, 0, 0], [0, different, 0, 0], [0, 0, different, 0], [0, 0, 0, equal]]


def rzx(xp: ModuleType, theta: Any) -> Any:
    c, s = xp.cos(theta / 2), -1j * xp.sin(theta / 2)
    return [[c, 0, s, 0], [0, c, 0, -s], [s, 0, c, 0], [0, -s, 0, c]]


def xx_plus_yy(xp: ModuleType, theta: Any, beta: Any) -> Any:
    c, s = xp.cos(theta / 2), -1j * xp.sin(theta / 2)
    return [[1, 0, 0, 0], [0, c, s * xp.exp(-1j * beta), 0], [0, s * xp.exp(1j * beta), c, 0], [0, 0, 0, 1]]


def xx_minus_yy(xp: ModuleType, theta: Any, beta: Any) -> Any:
    c, s = xp.cos(theta / 2), -1j * xp.sin(theta / 2)
    return [[c, 0, 0, s * xp.exp(-1j * beta)], [0, 1, 0, 0], [0, 0, 1, 0], [s * xp.exp(1j * beta), 0, 0, c]]


def identity_but(size: int, entries: dict[tuple[int, int], complex]) -> list[list[complex]]:
    """The identity but for these entries, by (row, column)."""
    return [[entries.get((i, j), complex(i == j)) for j in range(size)] for i in range(size)]


# gates that carry a Pauli word or an array: whole matrices --------------------------------------------------

PAULI = {
    "I": np.array([[1, 0], [0, 1]]),
    "X": np.array([[0, 1], [1, 0]]),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.array([[1, 0], [0, -1]]),
}
"""The Pauli matrices by letter."""


def pauli_rotation(xp: ModuleType, label: str, theta: Any) -> Any:
    c, s = xp.cos(theta / 2)[..., None, None], -1j * xp.sin(theta / 2)[..., None, None]
    word = reduce(np.kron, (PAULI[letter] for letter in reversed(label)), np.eye(1)).astype(s.dtype)
    return c * _lift(np.eye(2 ** len(label), dtype=s.dtype), s.ndim) + s * _lift(word, s.ndim)


def unitary(xp: ModuleType, operand: Any) -> Any:
    return xp.asarray(operand)


def diagonal(xp: ModuleType, operand: Any) -> Any:
    entries = xp.asarray(operand)
    on = _lift(np.eye(entries.shape[-1], dtype=bool), entries.ndim + 1)
    return xp.where(on, entries[..., None, :], 0)


def evolve_diagonal(xp: ModuleType, operand: Any, theta: Any) -> Any:
    energies, theta = xp.asarray(operand), theta[..., None]
    rank = max(energies.ndim, theta.ndim)
    return diagonal(xp, xp.exp(-1j * (_lift(theta, rank) * _lift(energies, rank))))


# and their rotation forms: triples (Pauli word, coefficient of the angle if there is one, offset) -----------


def rotation_of_word(label: str) -> Iterable[tuple[Any, ...]]:
    return [(label, 1, 0)]


def rotations_of_phases(operand: Any) -> Iterable[tuple[Any, ...]]:
    return ((word, -2 * weight) for word, weight in z_words(np.angle(operand)))


def rotations_of_energies(operand: Any) -> Iterable[tuple[Any, ...]]:
    return ((word, 2 * weight, 0) for word, weight in z_words(operand))


def z_words(diagonal: Any) -> Iterable[tuple[str, float]]:
    """Words of I and Z with weights whose sum has this real diagonal; what vanishes to rounding is left out.

    The weights are the Walsh-Hadamard transform of the diagonal, over its length. Character k is for bit k.
    """
    values = np.asarray(diagonal, dtype=np.float64)
    num_wires = values.size.bit_length() - 1
    weights = values.reshape((2,) * num_wires)
    for axis in range(num_wires):
        zero, one = np.moveaxis(weights, axis, 0)
        weights = np.stack([zero + one, zero - one], axis) / 2
    negligible = np.finfo(np.float64).eps * np.abs(values).max()
    for bits in np.argwhere(np.abs(weights) > negligible):
        yield "".join("IZ"[bit] for bit in reversed(bits)), float(weights[tuple(bits)])


# from entries to arrays -------------------------------------------------------------------------------------


def stacked(xp: ModuleType, entries: Sequence[Sequence[Any]], shape: tuple[int, ...], dtype: Any) -> Any:
    """The array (*shape, size, size) of entries that are arrays of this shape or plain numbers."""
    flat = [
        entry.astype(dtype) if hasattr(entry, "dtype") else dtype.type(entry)
        for row in entries
        for entry in row
    ]
    size = len(entries)
    return xp.stack([xp.broadcast_to(entry, shape) for entry in flat], axis=-1).reshape(*shape, size, size)


def under_controls(xp: ModuleType, block: Any, num_controls: int) -> Any:
    """The identity with `block` in place where all of the lowest bits, the controls, are 1."""
    if not num_controls:
        return block
    size, low, rank = block.shape[-1], 2**num_controls, block.ndim + 2
    on = np.zeros((1, low, 1, low), dtype=bool)
    on[:, -1, :, -1] = True
    rest = np.eye(size * low, dtype=block.dtype).reshape(size, low, size, low)
    whole = xp.where(_lift(on, rank), block[..., :, None, :, None], _lift(rest, rank))
    return whole.reshape(*block.shape[:-2], size * low, size * low)


def _lift(array: Any, rank: int) -> Any:
    """The array with axes of length 1 in front, so that ranks are equal where arrays meet."""
    return array.reshape((1,) * (rank - array.ndim) + array.shape)
