"""1-qubit gates as products of rotations with angles affine in the values.

`Euler` is RZ(alpha) RY(beta) RZ(gamma). Rotations are multiplied on from the left as long as the product stays of
that form with affine angles: always about Z; about another axis where what stands to its left in the product is
constant and turns that axis into Y (it joins beta) or into Z (it joins gamma). A `Slot` is a product of two of these,
RZ RY RZ RY RZ: it holds any two rotations about X, Y or Z, with rotations about Z around them.
"""

from __future__ import annotations

import cmath
import math
from typing import NamedTuple

from jaxsim.lowering.angles import NOTHING, Affine, Matrix, product

__all__ = ["EMPTY", "IDLE", "Euler", "Rotation", "Slot", "euler_angles"]

Axis = tuple[float, float, float]
Rotation = tuple[Axis, Affine]
"""exp(-i angle/2 axis . (X, Y, Z))."""

AXES: dict[str, Axis] = {"X": (1.0, 0.0, 0.0), "Y": (0.0, 1.0, 0.0), "Z": (0.0, 0.0, 1.0)}

_SMALL = 1e-12


def _multiple(angle: Affine, unit: float) -> int | None:
    """How many units the angle is, if it is constant and a whole number of them."""
    if angle.terms:
        return None
    turns = angle.offset / unit
    nearest = round(turns)
    return nearest if abs(turns - nearest) < _SMALL else None


class Euler(NamedTuple):
    """RZ(alpha) RY(beta) RZ(gamma), and a constant phase in units of pi that came up on the way."""

    gamma: Affine
    beta: Affine
    alpha: Affine
    half_turns: int = 0

    @property
    def diagonal(self) -> bool:
        """Whether it is a rotation about Z."""
        return not self.beta.terms and not self.beta.offset

    @property
    def idle(self) -> bool:
        """Whether it is the identity, up to its phase."""
        gamma, beta, alpha, _ = self
        return not (beta.offset or alpha.offset or gamma.offset or beta.terms or alpha.terms or gamma.terms)

    @property
    def flips(self) -> bool:
        """Whether it is a rotation about X, up to its phase: then it commutes with X."""
        if self.idle:
            return True
        gamma, alpha = _multiple(self.gamma, math.pi / 2), _multiple(self.alpha, math.pi / 2)
        return gamma is not None and alpha is not None and gamma % 2 == 1 and (gamma + alpha) % 4 == 0

    def reduced(self) -> Euler:
        """With beta zero if it is a multiple of pi that can be had without it, and alpha zero if beta is."""
        half = _multiple(self.beta, math.pi)
        if half is None or half % 2:
            return self
        # RY(2 pi) = -1
        total = self.alpha + self.gamma
        whole = _multiple(total, 2 * math.pi)
        if whole is not None:
            return Euler(NOTHING, NOTHING, NOTHING, self.half_turns + half // 2 + whole)
        return Euler(NOTHING, NOTHING, total, self.half_turns + half // 2)

    def then(self, rotation: Rotation) -> Euler | None:
        """With a rotation multiplied on from the left, or None if the form cannot hold it."""
        (x, y, z), angle = rotation
        if abs(z) > 1 - _SMALL:
            return self._replace(alpha=self.alpha + angle.scaled(math.copysign(1.0, z))).reduced()
        gamma, beta, alpha = self.gamma, self.beta, self.alpha
        if self.diagonal:
            gamma, alpha = gamma + alpha, NOTHING
        elif (half := _multiple(beta, math.pi)) is not None and half % 2:
            gamma, alpha = gamma + alpha.scaled(-1.0), NOTHING  # RZ(a) RY(pi) = RY(pi) RZ(-a)
        if alpha.terms:
            return None
        cosine, sine = math.cos(alpha.offset), math.sin(alpha.offset)
        x, y = cosine * x + sine * y, cosine * y - sine * x
        if abs(y) > 1 - _SMALL:
            beta = beta + angle.scaled(math.copysign(1.0, y))
            return Euler(gamma, beta, alpha, self.half_turns).reduced()
        if self.diagonal:
            # Nothing in the way: the axis is turned into Y by rotations about Z and, if need be, not at all.
            if abs(z) < _SMALL:
                turn = math.atan2(-x, y)  # RZ(turn) takes Y to the axis
                gamma = gamma + Affine((), -turn)
                return Euler(gamma, beta + angle, Affine((), alpha.offset + turn), self.half_turns).reduced()
            return None
        if beta.terms:
            return None
        cosine, sine = math.cos(beta.offset), math.sin(beta.offset)
        z = cosine * z + sine * x
        if abs(z) > 1 - _SMALL:
            return self._replace(gamma=gamma + angle.scaled(math.copysign(1.0, z)), alpha=alpha)
        return None

    def matrix(self) -> Matrix | None:
        """Its matrix, phase included, if all angles are constant."""
        if self.alpha.terms or self.beta.terms or self.gamma.terms:
            return None
        cosine, sine = math.cos(self.beta.offset / 2), math.sin(self.beta.offset / 2)
        plus = cmath.exp(-0.5j * (self.alpha.offset + self.gamma.offset))
        minus = cmath.exp(-0.5j * (self.alpha.offset - self.gamma.offset))
        sign = -1.0 if self.half_turns % 2 else 1.0
        return (
            sign * plus * cosine,
            -sign * minus * sine,
            sign * minus.conjugate() * sine,
            sign * plus.conjugate() * cosine,
        )


IDLE = Euler(NOTHING, NOTHING, NOTHING)


class Slot(NamedTuple):
    """A product of two, `first` acting first; `second` is idle or neither of them is diagonal."""

    first: Euler = IDLE
    second: Euler = IDLE

    @property
    def idle(self) -> bool:
        """Whether it is the identity, up to its phase."""
        return self.first.idle and self.second.idle

    @property
    def diagonal(self) -> bool:
        """Whether it is a rotation about Z."""
        return self.first.diagonal and self.second.diagonal

    @property
    def flips(self) -> bool:
        """Whether it is a rotation about X, up to its phase: then it commutes with X."""
        return self.first.flips and self.second.flips

    @property
    def half_turns(self) -> int:
        """The phase that came up on the way, in units of pi."""
        return self.first.half_turns + self.second.half_turns

    @property
    def angles(self) -> tuple[Affine, ...]:
        """Of RZ, RY, RZ, RY, RZ in time order."""
        first, second = self
        return first.gamma, first.beta, first.alpha + second.gamma, second.beta, second.alpha

    def then(self, rotation: Rotation) -> Slot | None:
        """With a rotation multiplied on from the left, or None if the slot cannot hold it."""
        if self.second.idle:
            joined = self.first.then(rotation)
            if joined is not None:
                return self._replace(first=joined)
        joined = self.second.then(rotation)
        return None if joined is None else self._replace(second=joined)._normal()

    def then_constant(self, rotations: list[Rotation]) -> tuple[Slot, float] | None:
        """With constant rotations multiplied on from the left, and the phase that is left over; None if what they would
        be multiplied to is not constant, too."""
        last = self.first if self.second.idle else self.second
        matrix = last.matrix()
        if matrix is None:
            return None
        for rotation in rotations:
            own = IDLE.then(rotation)
            factor = own.matrix() if own else None
            if factor is None:
                return None
            matrix = product(factor, matrix)
        gamma, beta, alpha, phase = euler_angles(matrix)
        joined = Euler(Affine((), gamma), Affine((), beta), Affine((), alpha))
        slot = self._replace(first=joined) if self.second.idle else self._replace(second=joined)
        return slot._normal(), phase

    def after_z(self, angle: Affine) -> Slot:
        """With an RZ before everything else."""
        return self._replace(first=self.first._replace(gamma=self.first.gamma + angle))

    def _normal(self) -> Slot:
        """What stands second put into the first place if the first one takes it."""
        first, second = self
        if second.idle or not (first.diagonal or second.diagonal):
            return self
        turns = second.half_turns
        if second.diagonal:
            joined = first.then((AXES["Z"], second.alpha + second.gamma))
        else:
            joined = second._replace(gamma=second.gamma + first.alpha + first.gamma)
            turns = first.half_turns
        assert joined is not None  # a rotation about Z always fits
        return Slot(joined._replace(half_turns=joined.half_turns + turns))


EMPTY = Slot()


def euler_angles(m: Matrix) -> tuple[float, float, float, float]:
    """(gamma, beta, alpha, phase) of a unitary 2x2 matrix exp(i phase) RZ(alpha) RY(beta) RZ(gamma)."""
    beta = 2 * math.atan2(abs(m[2]), abs(m[0]))
    if abs(m[2]) < 1e-14:
        total = cmath.phase(m[3] / m[0])
        return 0.0, 0.0, total, cmath.phase(m[0]) + total / 2
    if abs(m[0]) < 1e-14:
        difference = cmath.phase(m[2] / -m[1])
        return 0.0, math.pi, difference, cmath.phase(m[2]) - difference / 2
    total, difference = cmath.phase(m[3] / m[0]), cmath.phase(m[2] / -m[1])
    alpha, gamma = (total + difference) / 2, (total - difference) / 2
    # The halves leave a sign open, which goes into the phase.
    phase = cmath.phase(m[0]) + total / 2
    if (m[2] * cmath.exp(-1j * (phase + (alpha - gamma) / 2))).real < 0:
        alpha, gamma = alpha + math.pi, gamma - math.pi
    return gamma, beta, alpha, phase
