"""Angles as data, and small matrices on the host: what every lowering needs of a circuit's parameters.

An angle of a gate is affine in the *values*: the circuit's parameters, then its angles if those are traced, then
whatever expressions of the parameters are not affine.
"""

from __future__ import annotations

import cmath
import math
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np

from jaxsim import gates
from jaxsim.parameters import Call, Expression, Linear, Parameter
from jaxsim.structure import Structure

__all__ = [
    "AXES", "HADAMARD", "IDENTITY", "NOTHING", "Affine", "Matrix", "bucket", "combine", "constant_matrices",
    "parameter_room", "product", "rotation_form", "rz", "sources_of",
]  # fmt: skip


class Affine(NamedTuple):
    """``sum_k terms[k].coefficient * source[terms[k].index] + offset``: an angle in terms of the values."""

    terms: tuple[tuple[int, float], ...]
    offset: float

    def __add__(self, other: Affine) -> Affine:  # type: ignore[override]
        # One of them is constant more often than not.
        if not (self.terms and other.terms):
            return Affine(self.terms or other.terms, self.offset + other.offset)
        total = dict(self.terms)
        for index, coefficient in other.terms:
            total[index] = total.get(index, 0.0) + coefficient
        kept = tuple((i, c) for i, c in sorted(total.items()) if c != 0.0)
        return Affine(kept, self.offset + other.offset)

    def scaled(self, factor: float) -> Affine:
        """The angle times a number."""
        terms = tuple([(i, factor * c) for i, c in self.terms]) if self.terms else ()
        return Affine(terms, factor * self.offset)


NOTHING = Affine((), 0.0)

Matrix = tuple[complex, complex, complex, complex]
IDENTITY: Matrix = (1, 0, 0, 1)


def product(a: Matrix, b: Matrix) -> Matrix:
    """The product of two 2x2 matrices, each as its four entries."""
    return (
        a[0] * b[0] + a[1] * b[2],
        a[0] * b[1] + a[1] * b[3],
        a[2] * b[0] + a[3] * b[2],
        a[2] * b[1] + a[3] * b[3],
    )


_R = math.sqrt(0.5)
HADAMARD: Matrix = (_R, _R, _R, -_R)
AXES: dict[str, tuple[Matrix, Matrix]] = {
    "X": (HADAMARD, HADAMARD),
    "Y": ((_R, 1j * _R, 1j * _R, _R), (_R, -1j * _R, -1j * _R, _R)),
    "Z": (IDENTITY, IDENTITY),
}


def rz(angle: float) -> Matrix:
    """exp(-i angle/2 Z)."""
    half = cmath.exp(-0.5j * angle)
    return (half, 0, 0, half.conjugate())


_LEAST_ROOM = 16


def bucket(size: int) -> int:
    """The size up to which something is padded: 0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, ..."""
    if size <= 4:
        return size
    power = 1 << (size - 1).bit_length()
    return 3 * power // 4 if size <= 3 * power // 4 else power


def combine(rotation: gates.Rotation, angles: tuple[Affine, ...]) -> Affine:
    """The angle of one rotation of a gate in terms of the gate's angles."""
    total = Affine((), rotation.offset)
    for coefficient, angle in zip(rotation.coefficients, angles, strict=False):
        if coefficient:
            total = total + (angle if coefficient == 1 else angle.scaled(coefficient))
    return total


@lru_cache(maxsize=4096)
def rotation_form(base: str, controls: int, label: str) -> tuple[gates.Rotation, ...]:
    """`gates.rotations` of a row of the table, which is asked for again and again."""
    return gates.rotations(base, controls, payload=label or None)


def parameter_room(structure: Structure) -> int:
    """How many places the parameters have among the values: 0, 16, 32, 64, ...; circuits that differ in number share
    them. Places cost next to nothing beside a state, and a kernel of one's own costs a second."""
    number = len(structure.parameters)
    return max(_LEAST_ROOM, 1 << (number - 1).bit_length()) if number else 0


def sources_of(
    structure: Structure, angles: np.ndarray | None
) -> tuple[list[Affine], tuple[Expression, ...]]:
    """Each slot's angle in terms of the values: parameters, padded to their room, then (if traced) all slots,
    then non-affine atoms."""
    first_slot = parameter_room(structure)
    first_atom = first_slot + (structure.num_slots if angles is None else 0)
    place: dict[Expression, int] = {p: k for k, p in enumerate(structure.parameters)}
    atoms: list[Expression] = []

    def index_of(atom: Expression) -> int:
        if atom not in place:
            place[atom] = first_atom + len(atoms)
            atoms.append(atom)
        return place[atom]

    if angles is None:
        sources = [Affine(((first_slot + s, 1.0),), 0.0) for s in range(structure.num_slots)]
    else:
        sources = [Affine((), float(a)) for a in angles]
    for slot, expression in structure.expressions:
        if isinstance(expression, Linear):
            terms = tuple(sorted((index_of(atom), c) for atom, c in expression.terms))
            sources[slot] = Affine(terms, expression.constant)
        elif isinstance(expression, Parameter | Call):
            sources[slot] = Affine(((index_of(expression), 1.0),), 0.0)
    return sources, tuple(atoms)


class _Scalars:
    """The functions that formulas of the gate table use, for plain numbers."""

    cos, sin, exp = staticmethod(math.cos), staticmethod(math.sin), staticmethod(cmath.exp)


@cache
def _fixed_matrix(name: str) -> Matrix:
    return tuple(gates.matrix(name).reshape(4).tolist())


def constant_matrices(structure: Structure, angles: np.ndarray | None) -> dict[int, Matrix]:
    """Matrices of the 1-qubit gates (under whatever controls) whose angles are all known, by position."""
    waiting = {slot for slot, _ in structure.expressions}
    numbers = [] if angles is None else np.asarray(angles, np.float64).tolist()
    found: dict[int, Matrix] = {}
    for position, i in enumerate(structure.instructions):
        base = gates.GATES[gates.GATES[i.gate].base]
        if base.num_wires != 1:
            continue
        if not base.angles:
            found[position] = _fixed_matrix(base.name)
        elif angles is not None and not waiting.intersection(i.slots):
            assert base.formula is not None  # gates on one qubit have one
            (a, b), (c, d) = base.formula(_Scalars, *[numbers[s] for s in i.slots])
            found[position] = (a, b, c, d)
    return found


def room_for(size: int) -> int:
    """4, 16, 64, ...: terms of an angle and uses of a value are few, and seldom decide which kernel it is."""
    room = 4
    while room < size:
        room *= 4
    return room


def uses(index: np.ndarray, scale: np.ndarray, num_values: int) -> np.ndarray:
    """(values, uses): where each value is used, padded with one past the end."""
    used = np.flatnonzero(scale)
    order = used[np.argsort(index[used], kind="stable")]
    owners = index[order]
    counts = np.bincount(owners, minlength=num_values)
    table = np.full((num_values, room_for(int(counts.max(initial=1)))), len(index), np.int32)
    starts = np.cumsum(counts) - counts
    table[owners, np.arange(len(order)) - starts[owners]] = order
    return table
