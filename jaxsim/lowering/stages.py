"""Gates as real orthogonal ones and diagonal ones, gathered in stages that may happen at one time.

Every gate of the table can be written so: RX = S^-1 RY S, a Pauli rotation is real after a phase gate on one of its
wires, or diagonal after a Hadamard gate on each of them, a controlled gate is a diagonal one between 1-qubit gates.
What is diagonal commutes, so all of it between two real stages is *one* phase, whatever the number of gates. CX and
SWAP are real too; where their wires are too far apart for a block they become a permutation of the basis.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass, field

import numpy as np

from jaxsim import gates
from jaxsim.lowering.angles import AXES, HADAMARD, IDENTITY, NOTHING, Affine, Matrix, combine, product, rz
from jaxsim.lowering.fused_form import windows
from jaxsim.lowering.special import Special
from jaxsim.structure import Instruction

__all__ = ["Factor", "Real", "Stage", "StageBuilder", "add_gate"]

Real = tuple[float, ...]


@dataclass(frozen=True)
class Factor:
    """A real gate on neighbouring wires: a rotation about a word with an odd number of Y, or a matrix."""

    mask: int
    controls: int
    x: int = 0
    z: int = 0
    angle: Affine = NOTHING
    wires: tuple[int, ...] = ()
    matrix: Real = ()


@dataclass
class Stage:
    """Operations of one kind that may happen at one time.

    `kept` are terms with an angle of the circuit: they stay even if that happens to be 0, since numbers must
    not change what is compiled.
    """

    kind: str
    factors: list[Factor] = field(default_factory=list)
    terms: dict[tuple[int, int], Affine] = field(default_factory=dict)
    kept: set[tuple[int, int]] = field(default_factory=set)
    index: list[int] = field(default_factory=list)
    special: tuple[Special, tuple[Affine, ...]] | None = None


_X2: Real = (0, 1, 1, 0)
_H2: Real = tuple(float(np.real(h)) for h in HADAMARD)
_SWAP: Real = (1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1)
_REAL = {"x": _X2, "h": _H2, "swap": _SWAP}
"""Constant real gates that are factors of a block, with any controls."""


class StageBuilder:
    """Puts gates into stages, each as early as the gates before it allow."""

    def __init__(self, num_wires: int, keep_phase: bool) -> None:
        self.num_wires = num_wires
        self.keep_phase = keep_phase
        self.windows = windows(num_wires)
        self.stages: list[Stage] = []
        self.first: list[Special] = []
        self.pending: dict[int, Matrix] = {}
        self.phase = NOTHING
        # Per wire: the last stage with something diagonal, and with something else
        self.diagonal = [-1] * num_wires
        self.other = [-1] * num_wires

    # stages

    def _stage(self, kind: str, mask: int) -> Stage:
        """The first stage of this kind that comes after all that does not commute; made if there is none."""
        wires = [w for w in range(self.num_wires) if mask >> w & 1]
        after = max((self.other[w] for w in wires), default=-1)
        if kind == "phase":
            at = after + 1
        else:
            at = max(max((self.diagonal[w] for w in wires), default=-1) + 1, after)
            if 0 <= at < len(self.stages) and at == after and self.stages[at].kind != kind:
                at += 1
        at = max(at, 0)
        while at < len(self.stages) and (self.stages[at].kind != kind or kind in ("special", "permute")):
            at += 1
        if at == len(self.stages):
            self.stages.append(Stage(kind))
        last = self.diagonal if kind == "phase" else self.other
        for w in wires:
            last[w] = max(last[w], at)
        return self.stages[at]

    def factor(self, factor: Factor) -> None:
        self._stage("real", factor.mask | factor.controls).factors.append(factor)

    def term(self, z: int, c: int, coefficient: Affine, *, fixed: bool) -> None:
        """exp(i coefficient f), f as in `block_kernels.Terms`; `fixed` if no angle of the circuit is in it."""
        if not z | c:
            self.phase = self.phase + coefficient
            return
        stage = self._stage("phase", z | c)
        stage.terms[z, c] = stage.terms.get((z, c), NOTHING) + coefficient
        if not fixed:
            stage.kept.add((z, c))

    def turn(self, mask: int, angle: float) -> None:
        """A fixed phase where all bits of the mask are 1."""
        self.term(0, mask, Affine((), angle), fixed=True)

    def permute(self, mask: int, rows: list[int]) -> None:
        """out[j] = s[g(j)], where bit b of g(j) is the parity of j & rows[b]."""
        wires = [w for w in range(self.num_wires) if mask >> w & 1]
        last = max(max(self.other[w], self.diagonal[w]) for w in wires)
        at = next(
            (k for k in range(max(last, 0), len(self.stages)) if self.stages[k].kind == "permute"), None
        )
        if at is None:
            at = len(self.stages)
            self.stages.append(Stage("permute", index=[1 << w for w in range(self.num_wires)]))
        for w in wires:
            self.other[w] = at
        before = self.stages[at].index
        # s_new[j] = s_old[g(j)] and s_old[j] = s[h(j)]: the new map is h(g(j)).
        self.stages[at].index = [_xor(rows, h) for h in before]

    # gates

    def flush(self, mask: int) -> None:
        """Emits the constant 1-qubit gates that wait on the wires in the mask."""
        for wire in [w for w in self.pending if mask >> w & 1]:
            self._constant(wire, self.pending.pop(wire))

    def wait(self, wire: int, matrix: Matrix) -> None:
        """A constant 1-qubit gate."""
        self.pending[wire] = product(matrix, self.pending.get(wire, IDENTITY))

    def _constant(self, wire: int, matrix: Matrix) -> None:
        """A constant unitary as diag(p, q) times a real matrix times diag(1, r)."""
        bit = 1 << wire
        a, b, c, d = matrix
        if abs(b) + abs(c) < 1e-12:
            self.phase = self.phase + Affine((), cmath.phase(a))
            self.turn(bit, cmath.phase(d / a))
            return
        large = max(matrix, key=abs)
        turn = cmath.phase(large)
        if turn >= math.pi - 1e-9:
            turn = 0.0
        turned = [entry * cmath.exp(-1j * turn) for entry in matrix]
        if sum(abs(entry.imag) for entry in turned) < 1e-12:
            self.phase = self.phase + Affine((), turn)
            real = tuple(entry.real for entry in turned)
            self.factor(Factor(bit, 0, wires=(wire,), matrix=real))
            return
        if abs(a) < 1e-12:
            p, q, r = cmath.phase(-b), cmath.phase(c), 0.0
        else:
            p, q = cmath.phase(a), cmath.phase(c)
            r = cmath.phase(-b / a * abs(a))
        self.turn(bit, r)
        self.factor(Factor(bit, 0, wires=(wire,), matrix=(abs(a), -abs(b), abs(c), abs(d))))
        self.phase = self.phase + Affine((), p)
        self.turn(bit, q - p)

    def fits(self, mask: int) -> bool:
        """Whether some block has all these wires."""
        return any(mask & ~window == 0 for _, _, window in self.windows)

    def rotation(
        self, label: str, wires: tuple[int, ...], angle: Affine, controls: int, *, fixed: bool
    ) -> None:
        """exp(-i angle/2 P) where all controls are 1."""
        word = [(letter, wire) for letter, wire in zip(label, wires, strict=True) if letter != "I"]
        x = sum(1 << wire for letter, wire in word if letter in "XY")
        z = sum(1 << wire for letter, wire in word if letter in "YZ")
        if len(word) == 1 and not controls and fixed:
            letter, wire = word[0]
            frame = AXES[letter]
            self.wait(wire, product(product(frame[0], rz(angle.offset)), frame[1]))
            return
        self.flush(x | z | controls)
        if not x:
            self.term(z, controls, angle.scaled(-0.5), fixed=fixed)
        elif self.fits(x | z | controls):
            even = not (x & z).bit_count() % 2
            # S X S^-1 = Y and S Y S^-1 = -X: a phase gate on one wire makes the word real.
            wire = next((1 << w for letter, w in word if letter == "X"), x & -x) if even else 0
            if even:
                self.turn(wire, math.pi / 2)
                if z & wire:
                    angle = angle.scaled(-1)
            self.factor(Factor(x | z, controls, x=x, z=z ^ wire, angle=angle))
            if even:
                self.turn(wire, -math.pi / 2)
        else:
            self._turn(word, -1)
            self.term(x | z, controls, angle.scaled(-0.5), fixed=fixed)
            self._turn(word, 1)

    def _turn(self, word: list[tuple[str, int]], sign: int) -> None:
        """The 1-qubit gates that take the letters of a word to Z (sign -1), or back."""
        for letter, wire in word:
            if letter != "Z":
                phase = (1, 0, 0, 1j * sign)
                turn = IDENTITY if letter == "X" else phase
                self.wait(wire, product(HADAMARD, turn) if sign < 0 else product(turn, HADAMARD))
        self.flush(sum(1 << wire for _, wire in word) if sign < 0 else 0)

    def real_gate(self, base: str, wires: tuple[int, ...], controls: int) -> bool:
        """A constant gate of `_REAL` where all controls are 1; False if it has to be done in another way."""
        mask = sum(1 << w for w in wires) | controls
        if self.fits(mask):
            self.flush(mask)
            self.factor(Factor(mask & ~controls, controls, wires=wires, matrix=_REAL[base]))
        elif base == "swap" and not controls:
            self.flush(mask)
            rows = [1 << w for w in range(self.num_wires)]
            rows[wires[0]], rows[wires[1]] = rows[wires[1]], rows[wires[0]]
            self.permute(mask, rows)
        elif base == "x" and controls.bit_count() == 1:
            self.flush(mask)
            rows = [1 << w for w in range(self.num_wires)]
            rows[wires[0]] |= controls
            self.permute(mask, rows)
        elif base == "x":
            self.wait(wires[0], HADAMARD)
            self.flush(mask)
            self.turn(mask, math.pi)
            self.wait(wires[0], HADAMARD)
        else:
            return False
        return True

    def special(self, item: Special, angles: tuple[Affine, ...]) -> None:
        if item.gate == "initialize":
            # Nothing has acted on its wires: it may as well come first.
            self.first.append(item)
            return
        mask = sum(1 << w for w in item.wires) | item.controls
        self.flush(mask)
        self.stages.append(Stage("special", special=(item, angles)))
        diagonal = item.gate in ("diagonal", "evolve_diagonal")
        last = self.diagonal if diagonal else self.other
        for w in range(self.num_wires):
            if mask >> w & 1:
                last[w] = len(self.stages) - 1

    def finish(self) -> None:
        self.flush(-1)
        if self.keep_phase and (self.phase.terms or self.phase.offset):
            stage = next((s for s in reversed(self.stages) if s.kind == "phase"), None)
            if stage is None:
                stage = Stage("phase")
                self.stages.append(stage)
            stage.terms[0, 0] = self.phase
            stage.kept.add((0, 0))


def _xor(values: list[int], mask: int) -> int:
    total = 0
    while mask:
        low = mask & -mask
        total ^= values[low.bit_length() - 1]
        mask ^= low
    return total


def add_gate(
    builder: StageBuilder, i: Instruction, sources: list[Affine], matrix: Matrix | None, operands: tuple
) -> None:
    """Puts an instruction into stages.

    Args:
        builder: of the circuit.
        i: the instruction.
        sources: each slot's angle in terms of the values.
        matrix: of its 1-qubit gate where that is known.
        operands: the circuit's.
    """
    row = gates.GATES[i.gate]
    base = gates.GATES[row.base]
    num_controls = row.num_controls + i.controls
    controls = sum(1 << w for w in i.wires[:num_controls])
    wires = i.wires[num_controls:]
    angles = tuple(sources[s] for s in i.slots)
    if i.operand is not None:
        operand = operands[i.operand]
        if base.name == "unitary" and len(wires) == 1 and not controls and isinstance(operand, np.ndarray):
            a, b, c, d = operand.reshape(4).tolist()
            builder.wait(wires[0], (a, b, c, d))
        else:
            builder.special(Special(base.name, wires, controls, i.operand, len(angles)), angles)
    elif base.name == "pauli_rotation":
        builder.rotation(i.label, wires, angles[0], controls, fixed=False)
    elif matrix is not None and not angles and not controls:
        builder.wait(wires[0], matrix)
    elif base.name in _REAL and builder.real_gate(base.name, wires, controls):
        pass
    elif base.name in ("p", "u1"):
        mask = controls | 1 << wires[0]
        builder.flush(mask)
        builder.term(0, mask, angles[0], fixed=False)
    elif matrix is not None and not angles and abs(matrix[0] - 1) + abs(matrix[1]) + abs(matrix[2]) < 1e-14:
        mask = controls | 1 << wires[0]
        builder.flush(mask)
        builder.turn(mask, cmath.phase(matrix[3]))
    else:
        for rotation in gates.rotations(base):
            angle = combine(rotation, angles)
            builder.rotation(rotation.label, wires, angle, controls, fixed=not any(rotation.coefficients))
