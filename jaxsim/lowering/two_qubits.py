"""Constant unitaries on two qubits as gates on one qubit around a few CX (Cartan's KAK decomposition).

Every 4x4 unitary is (A1 x A0) N(a, b, c) (B1 x B0) with N(a, b, c) = exp(i (a XX + b YY + c ZZ)). In the magic basis
gates on one qubit are real orthogonal matrices and N is diagonal, so U^T U = P D^2 P^T there, with a real orthogonal P
(Kraus and Cirac, Phys. Rev. A 63, 062309 (2001)). N takes three CX at most (Vatan and Williams, Phys. Rev. A 69, 032315
(2004)), two if c = 0, one if N(pi/4, 0, 0); and a SWAP, which is free in a map of basis states, adds pi/4 to all.
"""

from __future__ import annotations

import cmath
import itertools
import math
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np

from jaxsim.lowering.angles import AXES, IDENTITY, Matrix, product, rz

__all__ = ["Canonical", "Part", "canonical", "core_entries", "parts"]

MAX_DEVIATION = 2e-5
"""What the largest entry of U U^dagger - 1 may be; circuits take arrays up to 1e-5."""

_EXACT = 1e-12
_QUARTER = math.pi / 4

_PAULI = {"X": np.array([[0, 1], [1, 0]]), "Y": np.array([[0, -1j], [1j, 0]]), "Z": np.diag([1, -1])}
_MAGIC = np.array([[1, 0, 0, 1j], [0, 1j, 1, 0], [0, 1j, -1, 0], [1, 0, 0, -1j]]) * math.sqrt(0.5)
_WORDS = np.array(
    [np.real(np.diag(_MAGIC.conj().T @ np.kron(p, p) @ _MAGIC)).round() for p in _PAULI.values()]
)
"""Eigenvalues of XX, YY, ZZ in the magic basis."""


@cache
def _turns() -> dict[tuple[int, ...], Matrix]:
    """Gates V that turn the axes: (V x V) N(a, b, c) (V x V)^dagger = N with its angles in the order of the key."""
    found: dict[tuple[int, ...], Matrix] = {}
    for letters in itertools.product(("", "X", "Y", "Z"), repeat=2):
        turn, order = IDENTITY, [0, 1, 2]
        for letter in filter(None, letters):
            turn = product(_rotation(letter, math.pi / 2), turn)
            first, second = (k for k in range(3) if "XYZ"[k] != letter)
            order[first], order[second] = order[second], order[first]
        found.setdefault(tuple(order), turn)
    return found


class Canonical(NamedTuple):
    """(after[1] x after[0]) N(angles) (before[1] x before[0]), phase included; wire 0 is the low bit of an index.

    Attributes:
        before, after: matrices on wires 0 and 1.
        angles: a, b, c, each between -pi/4 and pi/4.
        error: how far from exact the given array may have been.
    """

    before: tuple[Matrix, Matrix]
    after: tuple[Matrix, Matrix]
    angles: tuple[float, float, float]
    error: float


class Part(NamedTuple):
    """One of the operations that a unitary on two qubits is made of.

    Attributes:
        kind: "matrix" on `wire`; "cx" with its control on `wire` and its target on the other one; "swap"; or "phase",
            exp(-i angle/2 ZZ).
        wire: 0 or 1.
        matrix: of kind "matrix".
        angle: of kind "phase".
    """

    kind: str
    wire: int = 0
    matrix: Matrix = IDENTITY
    angle: float = 0.0


# the decomposition ----------------------------------------------------------------------------------------


def canonical(matrix: np.ndarray) -> Canonical | None:
    """The decomposition of a 4x4 matrix, or None if it is not unitary (to 2e-5).

    An array that is unitary in single precision only is taken as the unitary next to it.

    Example:
        >>> import numpy as np
        >>> swap = np.eye(4)[[0, 2, 1, 3]]
        >>> [abs(round(angle * 4 / np.pi, 6)) for angle in canonical(swap).angles]
        [1.0, 1.0, 1.0]
    """
    given = np.ascontiguousarray(matrix, np.complex128)
    return _canonical(given.tobytes()) if given.shape == (4, 4) else None


@lru_cache(maxsize=4096)
def _canonical(entries: bytes) -> Canonical | None:
    given = np.frombuffer(entries, np.complex128).reshape(4, 4)
    deviation = float(np.abs(given @ given.conj().T - np.eye(4)).max())
    if not deviation < MAX_DEVIATION:
        return None
    left, _, right = np.linalg.svd(given)
    error = max(_EXACT, 8 * deviation)
    u = _MAGIC.conj().T @ (left @ right) @ _MAGIC
    p = _eigenvectors(u.T @ u)
    if np.linalg.det(p) < 0:
        p[:, 0] *= -1
    # D up to the signs of its entries, which decide whether what is left is a rotation.
    turns = np.angle(np.einsum("ji,jk,ki->i", p, u.T @ u, p)) / 2
    if np.linalg.det((u @ p * np.exp(-1j * turns)).real) < 0:
        turns[0] += math.pi
    outer = (u @ p * np.exp(-1j * turns)).real
    after = _factors(_MAGIC @ outer @ _MAGIC.conj().T)
    before = _factors(_MAGIC @ p.T @ _MAGIC.conj().T)
    after = _scaled(after[0], cmath.exp(1j * float(turns.mean()))), after[1]
    angles = []
    for letter, angle in zip("XYZ", (_WORDS @ turns / 4).tolist(), strict=True):
        # exp(i pi/2 XX) = i X x X
        whole = round(angle / (2 * _QUARTER))
        angle -= whole * 2 * _QUARTER
        nearest = min((0.0, _QUARTER, -_QUARTER), key=lambda goal: abs(angle - goal))
        angles.append(nearest if abs(angle - nearest) < error else angle)
        if whole % 2:
            flip = _entries(_PAULI[letter])
            after = product(after[0], flip), product(after[1], flip)
        after = _scaled(after[0], 1j**whole), after[1]
    a, b, c = angles
    return Canonical(
        (_clean(before[0], error), _clean(before[1], error)),
        (_clean(after[0], error), _clean(after[1], error)),
        (a, b, c),
        error,
    )


def _eigenvectors(symmetric: np.ndarray) -> np.ndarray:
    """A real orthogonal P with P^T S P diagonal, S symmetric and unitary.

    The real and the imaginary part of S commute. A combination of them has the eigenvectors of both unless two of
    its eigenvalues meet by accident, which is why there are several.
    """
    if np.abs(symmetric - np.diag(np.diag(symmetric))).max() < _EXACT:
        return np.eye(4)
    best, least = np.eye(4), math.inf
    for angle in (0.5, 1.3, 2.1, 2.9, 0.1, 0.9, 1.7, 2.5):
        mixed = math.cos(angle) * np.real(symmetric) + math.sin(angle) * np.imag(symmetric)
        _, vectors = np.linalg.eigh(mixed)
        made = vectors.T @ symmetric @ vectors
        apart = float(np.abs(made - np.diag(np.diag(made))).max())
        if apart < least:
            best, least = vectors, apart
        if least < 1e-14:
            break
    return best


def _factors(whole: np.ndarray) -> tuple[Matrix, Matrix]:
    """A0 and A1 of A1 x A0, both of determinant 1 up to rounding."""
    blocks = whole.reshape(2, 2, 2, 2).transpose(1, 3, 0, 2)  # [low out, low in, high out, high in]
    k = int(np.abs(blocks).argmax())
    a, b, c, d = np.unravel_index(k, blocks.shape)
    low, high = blocks[:, :, c, d], blocks[a, b]
    low = low / np.sqrt(np.linalg.det(low) + 0j)
    high = high / low[a, b]
    return _entries(low), _entries(high)


def _entries(matrix: np.ndarray) -> Matrix:
    a, b, c, d = np.asarray(matrix, np.complex128).reshape(4).tolist()
    return a, b, c, d


def _scaled(matrix: Matrix, factor: complex) -> Matrix:
    a, b, c, d = matrix
    return a * factor, b * factor, c * factor, d * factor


def _clean(matrix: Matrix, error: float) -> Matrix:
    """Without entries that are rounding errors: so that diagonal gates are seen to be diagonal."""
    a, b, c, d = matrix
    if abs(b) < error and abs(c) < error:
        return a / abs(a), 0, 0, d / abs(d)
    if abs(a) < error and abs(d) < error:
        return 0, b / abs(b), c / abs(c), 0
    return matrix


# what it is made of ---------------------------------------------------------------------------------------


def core_entries(angles: tuple[float, float, float]) -> Matrix:
    """u[0], v[0], v[1], u[1] of N(a, b, c) as one operation ``out[j] = u[p] s[j] + v[p] s[j ^ 3]``, p the parity of j.

    XX and YY act alike, up to a sign, on the states of a parity.
    """
    a, b, c = angles
    even, odd = cmath.exp(1j * c), cmath.exp(-1j * c)
    return (
        even * math.cos(a - b),
        even * 1j * math.sin(a - b),
        odd * 1j * math.sin(a + b),
        odd * math.cos(a + b),
    )


def parts(matrix: np.ndarray) -> tuple[Part, ...] | None:
    """A constant 4x4 unitary as matrices, CX, SWAP and phases in time order, with as few CX as can be; None if it is
    not unitary.

    Example:
        >>> import numpy as np
        >>> cx = np.eye(4)[[0, 3, 2, 1]]
        >>> [part.kind for part in parts(cx) if part.kind != "matrix"]
        ['cx']
    """
    given = np.ascontiguousarray(matrix, np.complex128)
    return _parts(given.tobytes()) if given.shape == (4, 4) else None


@lru_cache(maxsize=4096)
def _parts(entries: bytes) -> tuple[Part, ...] | None:
    found = _canonical(entries)
    if found is None:
        return None
    relabelled = _relabelling(np.frombuffer(entries, np.complex128).reshape(4, 4), found.error)
    if relabelled is not None:
        return relabelled
    direct, swapped = _core(found.angles), _core(tuple(angle - _QUARTER for angle in found.angles))
    core = direct
    if _num_cx(swapped) < _num_cx(direct):
        # N(pi/4, pi/4, pi/4) = exp(i pi/4) SWAP
        turn = Part("matrix", 0, _scaled(IDENTITY, cmath.exp(1j * _QUARTER)))
        core = [*swapped, turn, Part("swap")]
    ends = ([Part("matrix", k, m) for k, m in enumerate(own)] for own in (found.before, found.after))
    first, last = ends
    return tuple(_merged([*first, *core, *last]))


# All permutations of four basis states are affine: a flip after one of these, by the images of 01 and 10.
_LINEAR: dict[tuple[int, int], tuple[Part, ...]] = {
    (1, 2): (),
    (2, 1): (Part("swap"),),
    (3, 2): (Part("cx", 0),),
    (1, 3): (Part("cx", 1),),
    (2, 3): (Part("cx", 0), Part("cx", 1)),
    (3, 1): (Part("cx", 1), Part("cx", 0)),
}


def _relabelling(matrix: np.ndarray, error: float) -> tuple[Part, ...] | None:
    """Of a permutation with phases: the phases, then an affine map. None for other matrices, and for the phases of a
    CZ, which are better as a CX."""
    images = [int(k) for k in np.abs(matrix).argmax(axis=0)]
    rest = matrix.copy()
    rest[images, range(4)] = 0
    if len(set(images)) < 4 or np.abs(rest).max() >= error:
        return None
    phases = [cmath.phase(complex(matrix[image, j])) for j, image in enumerate(images)]
    both = (phases[0] - phases[1] - phases[2] + phases[3]) / 4
    whole = round(both / (2 * _QUARTER))
    both -= whole * 2 * _QUARTER
    phases[3] -= 2 * math.pi * whole
    if abs(abs(both) - _QUARTER) < error:
        return None
    first = cmath.exp(1j * (phases[0] - both)), cmath.exp(1j * (phases[1] + both))
    second = cmath.exp(1j * (phases[2] - phases[0] + 2 * both))
    flip = images[0]
    made = [Part("matrix", 0, (first[0], 0, 0, first[1])), Part("matrix", 1, (1, 0, 0, second))]
    made += [Part("phase", angle=-2 * both)] if abs(both) > error else []
    made += _LINEAR[images[1] ^ flip, images[2] ^ flip]
    made += [Part("matrix", wire, _entries(_PAULI["X"])) for wire in (0, 1) if flip >> wire & 1]
    return tuple(_merged(made))


def _num_cx(core: list[Part]) -> int:
    return sum({"cx": 1, "phase": 2}.get(part.kind, 0) for part in core)


def _core(given: tuple[float, ...]) -> list[Part]:
    """N of any angles, in time order."""
    angles, extra = [], []
    for letter, angle in zip("XYZ", given, strict=True):
        whole = round(angle / (2 * _QUARTER))
        angle -= whole * 2 * _QUARTER
        if abs(angle + _QUARTER) < _EXACT:  # pi/4 - pi/2
            angle, whole = _QUARTER, whole - 1
        angles.append(0.0 if abs(angle) < _EXACT else angle)
        flip = _entries(_PAULI[letter]) if whole % 2 else IDENTITY
        extra += [Part("matrix", 0, _scaled(flip, 1j**whole)), Part("matrix", 1, flip)]
    # The angles that are zero first or in the middle: one is that of ZZ, two are those of XX and ZZ.
    nonzero = sum(angle != 0 for angle in angles)
    order = sorted(range(3), key=lambda k: (angles[k] != 0, k))
    if nonzero == 2:
        order = [order[1], order[0], order[2]]
    elif nonzero in (0, 3):
        order = [0, 1, 2]
    a, b, c = (angles[k] for k in order)
    if nonzero == 0:
        middle = []
    elif nonzero == 1 and abs(c - _QUARTER) < _EXACT:
        middle = _QUARTER_TURN
    elif nonzero == 1:
        middle = [Part("phase", angle=-2 * c)]
    elif nonzero == 2:
        # CX takes X of its control to XX, Z of its target to ZZ.
        middle = [
            Part("cx"),
            Part("matrix", 0, _rotation("X", -2 * a)),
            Part("matrix", 1, _rotation("Z", -2 * c)),
            Part("cx"),
        ]
    else:
        middle = [
            Part("matrix", 1, rz(math.pi / 2)),
            Part("cx", 1),
            Part("matrix", 0, rz(math.pi / 2 - 2 * c)),
            Part("matrix", 1, _rotation("Y", math.pi / 2 - 2 * a)),
            Part("cx", 0),
            Part("matrix", 1, _rotation("Y", 2 * b - math.pi / 2)),
            Part("cx", 1),
            Part("matrix", 0, _scaled(rz(-math.pi / 2), cmath.exp(1j * _QUARTER))),
        ]
    if order != [0, 1, 2]:
        turn = _turns()[tuple(order)]
        back = turn[0].conjugate(), turn[2].conjugate(), turn[1].conjugate(), turn[3].conjugate()
        middle = [
            *(Part("matrix", k, turn) for k in (0, 1)),
            *middle,
            *(Part("matrix", k, back) for k in (0, 1)),
        ]
    return middle + extra


def _rotation(letter: str, angle: float) -> Matrix:
    return product(product(AXES[letter][0], rz(angle)), AXES[letter][1])


# exp(i pi/4 ZZ): CX is exp(i pi/4 (1 - Z0) (1 - X1)).
_QUARTER_TURN = [
    Part("matrix", 1, AXES["X"][0]),
    Part("matrix", 0, _scaled(rz(-math.pi / 2), cmath.exp(-1j * _QUARTER))),
    Part("matrix", 1, _rotation("X", -math.pi / 2)),
    Part("cx"),
    Part("matrix", 1, AXES["X"][1]),
]


def _merged(given: list[Part]) -> list[Part]:
    """Matrices in a row on a wire multiplied out, those that are the identity left out."""
    made: list[Part] = []
    waiting = [IDENTITY, IDENTITY]
    for part in [*given, Part("end")]:
        if part.kind == "matrix":
            waiting[part.wire] = product(part.matrix, waiting[part.wire])
            continue
        for wire, matrix in enumerate(waiting):
            matrix = _clean(matrix, _EXACT)
            if max(abs(x - y) for x, y in zip(matrix, IDENTITY, strict=True)) > 1e-15:
                made.append(Part("matrix", wire, matrix))
        waiting = [IDENTITY, IDENTITY]
        made.append(part)
    return made[:-1]
