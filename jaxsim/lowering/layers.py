"""Circuits as data, for dense circuits: layers of a gate on every qubit, then phases, then one affine map of the
basis index.

CX, SWAP and X networks of any size are such a map. Diagonal gates are *parity phases* exp(-i a/2 Z_m); one with a
mask m becomes an RZ on one qubit once a map has brought the parity m there. CZ gates are the sign of a quadratic form,
phases under two or more controls an entry of their own, energies given as an array a table. So a circuit is a
sequence of regions, each with gates, phases and a map. Gates move into the earliest region that they
commute to; closing the regions turns leftover parity phases into layers, as few as linear independence of
their masks allows.

What a layer does is *data*; only how many layers there is room for and which kinds of phases occur is static. So one
compiled kernel serves all circuits of a size.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from jaxsim import gates
from jaxsim.gate_matrices import under_controls
from jaxsim.lowering.angles import (
    NOTHING,
    Affine,
    Matrix,
    combine,
    constant_matrices,
    rotation_form,
    sources_of,
)
from jaxsim.lowering.euler import AXES, EMPTY, Euler, Rotation, Slot, euler_angles
from jaxsim.lowering.index_maps import (
    IndexMap,
    bits,
    bring_to_front,
    independent_sets,
    odd,
)
from jaxsim.lowering.two_qubits import parts
from jaxsim.parameters import Expression
from jaxsim.structure import Instruction, Structure

__all__ = ["Layering", "NoLayersError", "TooManyLayersError", "capacity", "lower_layers"]

MAX_PARITIES = 64
"""A controlled gate that would become more parity phases than this is left to other engines."""


MAX_DEVIATION = 1e-6
"""How far from unitary an array may be."""


class NoLayersError(Exception):
    """The circuit has a gate that this form does not take; the message names it."""


class TooManyLayersError(Exception):
    """The circuit has more layers than were allowed."""


class Table(NamedTuple):
    """Energies of all basis states and the angle that they are evolved by."""

    operand: int
    angle: Affine


class Masked(NamedTuple):
    """exp(i angle) where the bits in `mask` have the values in `value`."""

    mask: int
    value: int
    angle: Affine


class Layer(NamedTuple):
    """Gates on every qubit, phases of the bits they leave, a map of the bits.

    Attributes:
        slots: one for each qubit.
        sign: mask q holds the lower qubits that qubit q has a CZ with.
        masked, table: further phases, or None.
        map: where the basis states go.
    """

    slots: Sequence[Slot]
    sign: Sequence[int]
    masked: Masked | None
    table: Table | None
    map: IndexMap

    @property
    def idle(self) -> bool:
        """Whether nothing happens, up to a phase."""
        nothing = self.masked is None and self.table is None and not any(self.sign) and not self.map.flip
        return nothing and self.map.linear_is_identity and all(slot.idle for slot in self.slots)


class Layering(NamedTuple):
    """A circuit as layers.

    Attributes:
        num_wires: number of qubits.
        layers: in time order.
        phase: the global phase in radians.
        atoms: non-affine expressions whose values follow the parameters and the bound angles among the values.
        initialize: (wires, operand) of states that are prepared before everything else.
    """

    num_wires: int
    layers: tuple[Layer, ...]
    phase: Affine
    atoms: tuple[Expression, ...]
    initialize: tuple[tuple[tuple[int, ...], int], ...]


def capacity(layers: int) -> int:
    """How many layers there is room for: 12, 48, 192, ..."""
    room = 12
    while room < layers:
        room *= 4
    return room


def _entries(matrix: np.ndarray) -> Matrix:
    a, b, c, d = matrix.reshape(4).tolist()
    return a, b, c, d


@lru_cache(maxsize=1024)
def _diagonalized(matrix: Matrix) -> tuple[tuple[complex, complex], Matrix, Matrix]:
    """Eigenvalues of a unitary matrix, its eigenvectors as columns of a unitary one, and the adjoint of that."""
    values, vectors = np.linalg.eig(np.array(matrix).reshape(2, 2))
    if abs(matrix[1]) + abs(matrix[2]) < 1e-14:
        values, vectors = np.array([matrix[0], matrix[3]]), np.eye(2)
    # Of a normal matrix the eigenvectors are orthogonal, unless it is a number times the identity.
    vectors, _ = np.linalg.qr(vectors)
    first, second = values
    return (first, second), _entries(vectors), _entries(vectors.conj().T)


def _check_unitary(matrix: np.ndarray) -> None:
    if np.abs(matrix @ matrix.conj().T - np.eye(len(matrix))).max() > MAX_DEVIATION:
        raise NoLayersError("a unitary that is not unitary")


class _Region:
    """Gates on every qubit, then phases (of the bits after them), then a map."""

    __slots__ = ("map", "masked", "phases", "sign", "slots", "table")

    def __init__(self, num_wires: int) -> None:
        self.slots: list[Slot] = [EMPTY] * num_wires
        self.phases: dict[int, Affine] = {}
        self.sign = [0] * num_wires
        self.masked: Masked | None = None
        self.table: Table | None = None
        self.map = IndexMap(num_wires)

    @property
    def busy(self) -> bool:
        """Whether it is a layer at least, unless what comes later cancels what it has."""
        return bool(self.phases or self.masked or self.table) or not all(slot.idle for slot in self.slots)

    def holds(self, bits_of: int) -> bool:
        """Whether phases depend on some of these bits."""
        for mask in self.phases:
            if mask & bits_of:
                return True
        return bool(self.fixed_bits() & bits_of)

    def fixed_bits(self) -> int:
        """Bits whose values phases depend on, other than parity phases."""
        mask = self.masked.mask if self.masked else 0
        if self.table:
            mask = (1 << len(self.slots)) - 1
        for q, others in enumerate(self.sign):
            if others:
                mask |= others | 1 << q
        return mask


class _Builder:
    """Takes elementary operations in time order and puts each into the earliest region that it commutes to."""

    def __init__(self, num_wires: int, limit: int | None) -> None:
        self.num_wires = num_wires
        self.regions = [_Region(num_wires)]
        # The number of regions at which to see whether there are too many
        self.limit, self.check_at = limit, math.inf if limit is None else limit + 1
        self.phase = NOTHING
        self.initialize: list[tuple[tuple[int, ...], int]] = []

    # operations that move basis states ---------------------------------------------------------------------

    def flip(self, mask: int) -> None:
        """X on the qubits of the mask."""
        self.regions[-1].map.flip ^= mask

    def controlled_flip(self, control: int, target: int, at: int = -1) -> None:
        """Flips `target` where the parity of `control` is odd, after region `at`."""
        at %= len(self.regions)
        region = self.regions[at]
        control_before, negated = region.map.parity_before(control)
        target_before = region.map.flip_before(target)
        movable = (
            at > 0
            and all(region.slots[q].diagonal for q in bits(control_before))
            and all(region.slots[q].flips for q in bits(target_before))
            and not region.fixed_bits() & target_before
        )
        if not movable:
            region.map.add(control, target)
            return
        if negated:
            region.map.flip ^= target
        phases, region.phases = region.phases, {}
        self.controlled_flip(control_before, target_before, at - 1)
        for mask, angle in phases.items():
            # The phase of a parity before the flip is that of another parity after it.
            self._add_phase(at, mask ^ control_before if odd(mask & target_before) else mask, angle)

    def swap(self, a: int, b: int) -> None:
        """Exchanges two qubits."""
        self.regions[-1].map.swap(a, b)

    # diagonal operations -----------------------------------------------------------------------------------

    def turn(self, angle: Affine) -> None:
        """exp(i angle)."""
        self.phase = self.phase + angle

    def parity_phase(self, mask: int, angle: Affine) -> None:
        """exp(-i angle/2 Z_mask)."""
        before, negated = self.regions[-1].map.parity_before(mask)
        self._add_phase(len(self.regions) - 1, before, angle.scaled(-1.0) if negated else angle)

    def _add_phase(self, at: int, mask: int, angle: Affine) -> None:
        region = self.regions[at]
        if not mask:
            self.turn(angle.scaled(-0.5))
            return
        single = not mask & (mask - 1)
        if at and all(region.slots[q].diagonal for q in bits(mask)):
            before, negated = self.regions[at - 1].map.parity_before(mask)
            if not (single and before & (before - 1)):  # on one bit it costs nothing: it stays on one
                self._add_phase(at - 1, before, angle.scaled(-1.0) if negated else angle)
                return
        if single:
            q = mask.bit_length() - 1
            turned = region.slots[q].then((AXES["Z"], angle))
            assert turned is not None  # a rotation about Z always fits
            region.slots[q] = turned
            return
        total = region.phases.pop(mask, NOTHING) + angle
        turns = total.offset / (2 * math.pi)
        if total.terms or abs(turns - round(turns)) > 1e-14:
            region.phases[mask] = total
        elif round(turns) % 2:
            self.turn(Affine((), math.pi))

    def controlled_z(self, a: int, b: int) -> None:
        """The sign of the product of two bits."""
        at = len(self.regions) - 1
        first, first_negated = self.regions[at].map.parity_before(1 << a)
        second, second_negated = self.regions[at].map.parity_before(1 << b)
        while at and all(self.regions[at].slots[q].diagonal for q in bits(first | second)):
            at -= 1
            first, negated = self.regions[at].map.parity_before(first)
            first_negated ^= negated
            second, negated = self.regions[at].map.parity_before(second)
            second_negated ^= negated
        sign = self.regions[at].sign
        linear = 0
        for p in bits(first):
            for q in bits(second):
                if p == q:
                    linear ^= 1 << p
                else:
                    sign[max(p, q)] ^= 1 << min(p, q)
        # (u + 1) v = u v + v, and so on: what is left is linear.
        linear ^= (second if first_negated else 0) ^ (first if second_negated else 0)
        if first_negated and second_negated:
            self.turn(Affine((), math.pi))
        for q in bits(linear):
            # Z = i RZ(pi)
            self.turn(Affine((), math.pi / 2))
            self._add_phase(at, 1 << q, Affine((), math.pi))

    def masked_phase(self, mask: int, value: int, angle: Affine) -> None:
        """exp(i angle) where the bits in `mask` have the values in `value`."""
        region = self.regions[-1]
        rows = [region.map.rows[q] for q in bits(mask)]
        if region.masked is not None or any(row & (row - 1) for row in rows):
            region = self._open()
            rows = [1 << q for q in bits(mask)]
        value ^= region.map.flip & mask
        before = sum(row for row, q in zip(rows, bits(mask), strict=True) if value >> q & 1)
        region.masked = Masked(sum(rows), before, angle)

    def table(self, operand: int, angle: Affine) -> None:
        """exp(-i angle D), D the energies of all basis states."""
        region = self.regions[-1]
        if region.table or region.map.flip or not region.map.linear_is_identity:
            region = self._open()
        region.table = Table(operand, angle)

    # operations on one qubit -------------------------------------------------------------------------------

    def matrix(self, wire: int, matrix: Matrix) -> None:
        """A constant 2x2 matrix on a qubit."""
        if abs(matrix[0]) < 1e-14:
            # X times a diagonal
            self.matrix(wire, (matrix[2], 0, 0, matrix[1]))
            self.flip(1 << wire)
            return
        gamma, beta, alpha, phase = euler_angles(matrix)
        self.turn(Affine((), phase))
        if abs(beta) < 1e-14:
            self.parity_phase(1 << wire, Affine((), alpha + gamma))
        else:
            letters = zip("ZYZ", (gamma, beta, alpha), strict=True)
            self._rotate(wire, [(AXES[letter], Affine((), angle)) for letter, angle in letters])

    def rotation(self, wire: int, letter: str, angle: Affine) -> None:
        """exp(-i angle/2 P) on a qubit."""
        if letter == "Z":
            self.parity_phase(1 << wire, angle)
        else:
            self._rotate(wire, [(AXES[letter], angle)])

    def _rotate(self, wire: int, rotations: list[Rotation]) -> None:
        """Multiplies rotations on, in the earliest region where they fit."""
        about_x = all(axis == AXES["X"] for axis, _ in rotations)
        place: tuple[_Region, int, tuple[Slot, float]] | None = None
        at, moved = wire, rotations
        for region in reversed(self.regions):
            before = region.map.flip_before(1 << at)
            if before & (before - 1) or (not about_x and region.map.rows[at] != before):
                break
            if region.holds(before):
                break
            if region.map.flip >> at & 1:
                moved = [((x, -y, -z), angle) for (x, y, z), angle in moved]
            at = before.bit_length() - 1
            slot = region.slots[at]
            joined = self._joined(slot, moved)
            if joined is not None:
                place = (region, at, joined)
            if not (slot.idle or (about_x and slot.flips)):
                break
        if place is None:
            region = self._open()
            joined = self._joined(region.slots[wire], rotations)
            assert joined is not None  # anything fits an idle slot
            place = (region, wire, joined)
        region, at, (joined, phase) = place
        region.slots[at] = joined
        self.turn(Affine((), phase))

    def _joined(self, slot: Slot, rotations: list[Rotation]) -> tuple[Slot, float] | None:
        """The slot with the rotations multiplied on, and a phase; or None if it cannot hold them."""
        joined: Slot | None = slot
        for rotation in rotations:
            joined = joined.then(rotation)
            if joined is None:
                break
        if joined is not None and (joined.second.idle or not slot.second.idle):
            return joined, 0.0
        # Constant gates are multiplied out before they take a place of their own.
        if not any(angle.terms for _, angle in rotations):
            multiplied = slot.then_constant(rotations)
            if multiplied is not None:
                return multiplied
        return None if joined is None else (joined, 0.0)

    def _open(self) -> _Region:
        if len(self.regions) >= self.check_at:
            assert self.limit is not None
            short = self.limit - sum(region.busy for region in self.regions)
            if short < 0:
                raise TooManyLayersError
            self.check_at = len(self.regions) + short + 1
        self.regions.append(_Region(self.num_wires))
        return self.regions[-1]

    # gates -------------------------------------------------------------------------------------------------

    def word(self, label: str, wires: Sequence[int], angle: Affine) -> None:
        """exp(-i angle/2 P): basis changes around a parity phase."""
        acting = [(letter, wire) for letter, wire in zip(label, wires, strict=True) if letter != "I"]
        if len(acting) == 1:
            self.rotation(acting[0][1], acting[0][0], angle)
            return
        # X = V Z V^dagger with V = RY(pi/2), Y with V = RX(-pi/2)
        into = {"X": ("Y", -math.pi / 2), "Y": ("X", math.pi / 2)}
        for letter, wire in acting:
            if letter in into:
                self.rotation(wire, into[letter][0], Affine((), into[letter][1]))
        self.parity_phase(sum(1 << wire for _, wire in acting), angle)
        for letter, wire in acting:
            if letter in into:
                self.rotation(wire, into[letter][0], Affine((), -into[letter][1]))

    def controlled_word(self, label: str, wires: Sequence[int], angle: Affine, controls: int) -> None:
        """exp(-i angle/2 P) where two or more controls are all 1; P acts on one qubit or none."""
        acting = [(letter, wire) for letter, wire in zip(label, wires, strict=True) if letter != "I"]
        if not acting:
            self.masked_phase(controls, controls, angle.scaled(-0.5))
            return
        letter, wire = acting[0]
        into = {"X": ("Y", -math.pi / 2), "Y": ("X", math.pi / 2)}.get(letter)
        if into:
            self.rotation(wire, into[0], Affine((), into[1]))
        both = controls | 1 << wire
        self.masked_phase(both, controls, angle.scaled(-0.5))
        self.masked_phase(both, both, angle.scaled(0.5))
        if into:
            self.rotation(wire, into[0], Affine((), -into[1]))

    def controlled_matrix(self, wire: int, matrix: Matrix, controls: int) -> None:
        """A constant 2x2 matrix where two or more controls are all 1: its phases between its eigenbases."""
        values, vectors, adjoint = _diagonalized(matrix)
        self.matrix(wire, adjoint)
        both = controls | 1 << wire
        for value, eigenvalue in ((controls, values[0]), (both, values[1])):
            if abs(eigenvalue - 1) > 1e-14:
                self.masked_phase(both, value, Affine((), cmath.phase(eigenvalue)))
        self.matrix(wire, vectors)

    def add(self, i: Instruction, angles: tuple[Affine, ...], matrix: Matrix | None, operands: tuple) -> None:
        """An instruction of a circuit."""
        row = gates.GATES[i.gate]
        base = gates.GATES[row.base]
        num_controls = row.num_controls + i.controls
        controls = sum(1 << w for w in i.wires[:num_controls])
        wires = i.wires[num_controls:]
        if i.operand is not None:
            self._add_operand(i, base, controls, wires, angles, operands)
        elif base.name == "x" and num_controls < 2:
            if controls:
                self.controlled_flip(controls, 1 << wires[0])
            else:
                self.flip(1 << wires[0])
        elif base.name == "y" and num_controls == 1:  # S^dagger, CX, S on the target
            self.parity_phase(1 << wires[0], Affine((), -math.pi / 2))
            self.controlled_flip(controls, 1 << wires[0])
            self.parity_phase(1 << wires[0], Affine((), math.pi / 2))
        elif base.name == "z" and num_controls == 1:
            self.controlled_z(i.wires[0], i.wires[1])
        elif base.name == "swap" and not controls:
            self.swap(*wires)
        elif base.name == "dcx" and not controls:
            self.controlled_flip(1 << wires[0], 1 << wires[1])
            self.controlled_flip(1 << wires[1], 1 << wires[0])
        elif base.name == "iswap" and not controls:
            for wire in wires:  # S on both, CZ, SWAP
                self.turn(Affine((), math.pi / 4))
                self.parity_phase(1 << wire, Affine((), math.pi / 2))
            self.controlled_z(*wires)
            self.swap(*wires)
        elif base.name == "ecr" and not controls:  # CX between quarter turns, then X
            self.turn(Affine((), math.pi / 4))
            self.parity_phase(1 << wires[0], Affine((), math.pi / 2))
            self.rotation(wires[1], "X", Affine((), math.pi / 2))
            self.controlled_flip(1 << wires[0], 1 << wires[1])
            self.flip(1 << wires[0])
        elif base.name == "u_phase" and num_controls == 1:
            self._controlled_u(i.wires[0], i.wires[1], angles)
        elif base.name in ("p", "z") and num_controls > 1:
            mask = controls | 1 << wires[0]
            self.masked_phase(mask, mask, angles[0] if angles else Affine((), math.pi))
        elif matrix is not None and num_controls == 0:
            self.matrix(wires[0], matrix)
        elif matrix is not None and num_controls > 1:
            self.controlled_matrix(wires[0], matrix, controls)
        else:
            self._add_rotations(i, base, num_controls, controls, wires, angles)

    def _add_rotations(
        self,
        i: Instruction,
        base: gates.Gate,
        num_controls: int,
        controls: int,
        wires: tuple[int, ...],
        angles: tuple[Affine, ...],
    ) -> None:
        label = i.label if base.has_label else ""
        if num_controls > 1 and base.num_wires == 1:
            for rotation in rotation_form(base.name, 0, ""):
                self.controlled_word(rotation.label, wires, combine(rotation, angles), controls)
            return
        if 2**num_controls * len(rotation_form(base.name, 0, label)) > MAX_PARITIES:
            raise NoLayersError(f"{i.gate} under {num_controls} controls")
        for rotation in rotation_form(base.name, num_controls, label):
            angle = combine(rotation, angles)
            if set(rotation.label) <= {"I"}:
                self.turn(angle.scaled(-0.5))
            else:
                self.word(rotation.label, i.wires, angle)

    def _add_operand(
        self,
        i: Instruction,
        base: gates.Gate,
        controls: int,
        wires: tuple[int, ...],
        angles: tuple[Affine, ...],
        operands: tuple,
    ) -> None:
        assert i.operand is not None
        operand = operands[i.operand]
        everywhere = wires == tuple(range(self.num_wires))
        if base.name == "initialize":
            self.initialize.append((wires, i.operand))
        elif base.name == "evolve_diagonal" and everywhere:
            self.table(i.operand, angles[0])
        elif base.name == "unitary" and len(i.wires) <= 2 and isinstance(operand, np.ndarray):
            matrix = under_controls(np, np.asarray(operand, np.complex128), len(i.wires) - len(wires))
            self._constant(i.wires, matrix)
        elif base.name == "unitary" and len(wires) == 1 and isinstance(operand, np.ndarray):
            matrix = np.asarray(operand, np.complex128)
            _check_unitary(matrix)
            self.controlled_matrix(wires[0], _entries(matrix), controls)
        else:
            raise NoLayersError(f"{i.gate} on {len(i.wires)} wires, given by an array")

    def _constant(self, wires: tuple[int, ...], matrix: np.ndarray) -> None:
        """A constant matrix on one or two qubits."""
        _check_unitary(matrix)
        if len(wires) == 1:
            self.matrix(wires[0], _entries(matrix))
            return
        found = parts(matrix)
        assert found is not None  # it is unitary
        for part in found:
            first, second = wires[part.wire], wires[1 - part.wire]
            if part.kind == "matrix":
                self.matrix(first, part.matrix)
            elif part.kind == "cx":
                self.controlled_flip(1 << first, 1 << second)
            elif part.kind == "phase":
                self.parity_phase(1 << first | 1 << second, Affine((), part.angle))
            else:
                self.swap(first, second)

    def _controlled_u(self, control: int, target: int, angles: tuple[Affine, ...]) -> None:
        """A phase and RZ(phi) RY(theta) RZ(lam) where a qubit is 1, with two CX (Barenco et al., Phys. Rev. A 52, 3457
        (1995)): rotations that cancel, unless X comes between them."""
        theta, phi, lam, gamma = angles
        total = (phi + lam).scaled(0.5)
        phase = gamma + total
        self.turn(phase.scaled(0.5))
        self.parity_phase(1 << control, phase)
        self.rotation(target, "Z", (lam + phi.scaled(-1.0)).scaled(0.5))
        self.controlled_flip(1 << control, 1 << target)
        self.rotation(target, "Z", total.scaled(-1.0))
        self.rotation(target, "Y", theta.scaled(-0.5))
        self.controlled_flip(1 << control, 1 << target)
        self.rotation(target, "Y", theta.scaled(0.5))
        self.rotation(target, "Z", phi)

    # regions to layers -------------------------------------------------------------------------------------

    def close(self) -> tuple[Layer, ...]:
        """The regions as layers."""
        n = self.num_wires
        layers: list[Layer] = []
        for k, region in enumerate(self.regions):
            following = self.regions[k + 1] if k + 1 < len(self.regions) else None
            sets = self._phase_sets(region, following)
            here = IndexMap(n)  # coordinates of the layer being made, from those of the region
            slots: Sequence[Slot] = region.slots
            sign, masked, table = region.sign, region.masked, region.table
            for masks in sets:
                there = bring_to_front(n, masks)
                layers.append(Layer(slots, sign, masked, table, there.after(here.inverted())))
                turned = [EMPTY] * n
                for mask in masks:
                    after, _ = there.parity_after(mask)
                    turned[after.bit_length() - 1] = Slot(Euler(NOTHING, NOTHING, region.phases[mask]))
                slots, sign, masked, table, here = turned, [0] * n, None, None, there
            layers.append(Layer(slots, sign, masked, table, region.map.after(here.inverted())))
        self.turn(Affine((), math.pi * sum(slot.half_turns for layer in layers for slot in layer.slots)))
        return tuple(layer for layer in layers if not layer.idle)

    def _phase_sets(self, region: _Region, following: _Region | None) -> list[list[int]]:
        """The region's parity phases in independent sets, those left out that can wait for the next region."""
        sets = independent_sets(region.phases)
        if following is None or not sets:
            return sets
        waiting = {m: region.map.parity_after(m) for m in region.phases}
        waiting = {m: after for m, after in waiting.items() if not after[0] & (after[0] - 1)}
        fewer = independent_sets(m for m in region.phases if m not in waiting)
        if len(fewer) == len(sets):
            return sets
        for mask, (after, negated) in waiting.items():
            q = after.bit_length() - 1
            slot, angle = following.slots[q], region.phases[mask]
            # Nothing but the map lies between.
            following.slots[q] = slot.after_z(angle.scaled(-1.0) if negated else angle)
        return fewer


def lower_layers(
    structure: Structure, angles: np.ndarray | None, operands: tuple, *, limit: int | None = None
) -> Layering:
    """The circuit as layers.

    Args:
        structure: the static part of the circuit.
        angles: its concrete angle vector, which is folded in; None if it is traced: then angles are taken from the
            values, where they follow the parameters.
        operands: its operands; constant unitaries on one or two wires among them are folded.
        limit: how many layers are of use. With more gates to come that might cancel some, it is up to the part of the
            circuit that was seen whether there are too many.

    Raises:
        TooManyLayersError: for more layers than the limit.
        NoLayersError: for gates given by arrays, except constant unitaries on one or two wires and energies on all
            wires, and for gates on two or more wires under many controls.
    """
    sources, atoms = sources_of(structure, angles)
    constant = constant_matrices(structure, angles)
    builder = _Builder(structure.num_wires, limit)
    for position, instruction in enumerate(structure.instructions):
        given = tuple(sources[s] for s in instruction.slots)
        builder.add(instruction, given, constant.get(position), operands)
    layers = builder.close()
    return Layering(structure.num_wires, layers, builder.phase, atoms, tuple(builder.initialize))
