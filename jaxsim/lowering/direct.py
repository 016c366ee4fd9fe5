"""Circuits of numbers alone as data, many at a time: what a circuit that runs once is lowered to.

Every gate becomes its two-level steps (`kernels.TwoLevel`), one for a gate on one qubit under whatever controls, one
for each Pauli rotation of the others, the global phase included. Nothing is merged and nothing is commuted: for a
circuit that runs once that takes longer than it saves. Python looks at each *different* instruction once; what depends
on angles is NumPy over the gates of all circuits, elementwise, so that a circuit's numbers do not depend on the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from jaxsim import gates

if TYPE_CHECKING:
    from jaxtyping import Complex, Int

    from jaxsim.circuit import Circuit
    from jaxsim.structure import Instruction

__all__ = ["DirectSteps", "is_direct", "lower_direct"]


class DirectSteps(NamedTuple):
    """The steps of several circuits, one circuit after the other.

    Attributes:
        masks: (steps, 3) int32: flip mask, parity mask, mask of controls.
        entries: (steps, 4) complex128: u[0], u[1], v[0], v[1].
        counts: (circuits,) how many steps each has.
    """

    masks: Int[np.ndarray, "steps 3"]
    entries: Complex[np.ndarray, "steps 4"]
    counts: Int[np.ndarray, " circuits"]


def is_direct(circuit: Circuit) -> bool:
    """Whether the circuit is made of gates and numbers alone."""
    structure = circuit.structure
    plain = structure.plain and not structure.expressions and not structure.num_operands
    return plain and not isinstance(circuit.angles, jax.Array)


# entries of steps -----------------------------------------------------------------------------------------


class _Matrix(NamedTuple):
    """The matrix of a gate on one qubit."""

    gate: str

    def entries(self, angles: Sequence[np.ndarray]) -> tuple[Any, ...]:
        formula = gates.GATES[self.gate].formula
        assert formula is not None  # gates on one qubit have one
        (a, b), (c, d) = formula(np, *angles)
        return a, d, b, c


class _Turn(NamedTuple):
    """exp(-i/2 (angle P + phase)), P a Pauli word; both are affine in the gate's angles, the offset last.

    P takes basis state j ^ x to (-i)**num_y (-1)**parity(j & z) times j.

    Attributes:
        angle, phase: coefficients and offset.
        num_y: letters Y of the word, modulo 4; None if it is diagonal.
    """

    angle: tuple[float, ...]
    phase: tuple[float, ...]
    num_y: int | None

    def entries(self, angles: Sequence[np.ndarray]) -> tuple[Any, ...]:
        half = 0.5 * _combined(self.angle, angles)
        if self.num_y is None:
            found = np.exp(-1j * half), np.exp(1j * half), 0.0, 0.0
        else:
            crossed = -1j * (-1j) ** self.num_y * np.sin(half)
            found = np.cos(half), np.cos(half), crossed, -crossed
        if not any(self.phase):
            return found
        turn = np.exp(-0.5j * _combined(self.phase, angles))
        return tuple(turn * entry for entry in found)


def _combined(made: tuple[float, ...], angles: Sequence[np.ndarray]) -> Any:
    return sum((c * angle for c, angle in zip(made, angles) if c), made[-1])


class _Part(NamedTuple):
    """One step of a gate: how its entries are made, and its masks."""

    formula: _Matrix | _Turn
    masks: tuple[int, int, int]


@lru_cache(maxsize=2**14)
def _parts(gate: str, wires: tuple[int, ...], extra_controls: int, label: str) -> tuple[_Part, ...]:
    row = gates.GATES[gate]
    base = gates.GATES[row.base]
    num_controls = row.num_controls + extra_controls
    controls = sum(1 << w for w in wires[:num_controls])
    targets = wires[num_controls:]
    if base.num_wires == 1:
        return (_Part(_Matrix(base.name), (1 << targets[0], 1 << targets[0], controls)),)
    form = gates.rotations(base.name, payload=label or None)
    phase = np.zeros(len(base.angles) + 1)
    words = []
    for rotation in form:
        made = (*rotation.coefficients, rotation.offset)
        if set(rotation.label) <= {"I"}:
            phase += made
        else:
            words.append((rotation.label, made))
    nothing = (0.0,) * len(phase)
    found = []
    # The phase goes with the first word; without any it is a step that multiplies everything.
    for k, (word, made) in enumerate(words or [("", nothing)]):
        x = sum(1 << w for letter, w in zip(word, targets) if letter in "XY")
        z = sum(1 << w for letter, w in zip(word, targets) if letter in "YZ")
        num_y = word.count("Y") % 4 if x else None
        turn = _Turn(made, nothing if k else tuple(phase.tolist()), num_y)
        found.append(_Part(turn, (x, z, controls)))
    return tuple(found)


# all gates of all circuits --------------------------------------------------------------------------------


def lower_direct(circuits: Sequence[Circuit]) -> DirectSteps:
    """The steps of circuits that are made of gates and numbers alone.

    Example:
        >>> import jaxsim as js
        >>> lower_direct([js.Circuit(2).h(0).rzz(0.3, 0, 1), js.Circuit(2).swap(0, 1)]).counts.tolist()
        [2, 3]
    """
    structures = [circuit.structure for circuit in circuits]
    listed = list(chain.from_iterable(structure.instructions for structure in structures))
    lengths = np.array([len(structure.instructions) for structure in structures])
    # Circuits share instruction objects: each is looked at once.
    addresses = np.fromiter(map(id, listed), np.int64, len(listed))
    _, first, which = np.unique(addresses, return_index=True, return_inverse=True)
    known = _described([listed[k] for k in first.tolist()])
    owner = np.repeat(np.arange(len(circuits)), lengths)
    slots = known.slots[which] + _starts(np.array([s.num_slots for s in structures]))[owner, None]

    # An instruction has one step or several.
    parts = known.counts[which]
    gate = np.repeat(np.arange(len(listed)), parts)
    place = np.arange(len(gate)) - _starts(parts)[gate]
    step = _starts(known.counts)[which[gate]] + place
    angles = np.concatenate(
        [np.zeros(1), *(np.asarray(c.angles) for c in circuits)]
    )  # what no gate takes is first
    entries = _entries(known.formulas, known.formula[step], angles, slots[gate])
    return DirectSteps(known.masks[step], entries, np.bincount(owner[gate], minlength=len(circuits)))


class _Described(NamedTuple):
    """Different instructions.

    Attributes:
        counts: how many steps each has.
        slots: (instructions, angles): where its angles are, counted from 1; padded with 1.
        masks: (steps, 3), of all steps of all of them.
        formula: (steps,): number of the formula of each.
        formulas: the formulas, with their number of angles.
    """

    counts: np.ndarray
    slots: np.ndarray
    masks: np.ndarray
    formula: np.ndarray
    formulas: list[tuple[Callable[[Sequence[np.ndarray]], tuple[Any, ...]], int]]


def _described(instructions: list[Instruction]) -> _Described:
    found = [_parts(i.gate, i.wires, i.controls, i.label) for i in instructions]
    width = max((len(i.slots) for i in instructions), default=0)
    slots = [(*i.slots, *(0,) * width)[:width] for i in instructions]
    numbers: dict[_Matrix | _Turn, int] = {}
    sizes: list[int] = []
    formula = []
    for i, parts in zip(instructions, found):
        for part in parts:
            number = numbers.setdefault(part.formula, len(numbers))
            if number == len(sizes):
                sizes.append(len(i.slots))
            formula.append(number)
    return _Described(
        counts=np.array([len(parts) for parts in found], np.int64),
        slots=np.array(slots, np.int64).reshape(len(slots), width) + 1,
        masks=np.array([part.masks for parts in found for part in parts], np.int32).reshape(-1, 3),
        formula=np.array(formula, np.int64),
        formulas=[(formula.entries, size) for formula, size in zip(numbers, sizes)],
    )


def _starts(counts: np.ndarray) -> np.ndarray:
    return np.cumsum(counts) - counts


def _entries(formulas: list[Any], formula: np.ndarray, angles: np.ndarray, slots: np.ndarray) -> np.ndarray:
    """The entries of all steps, those of one formula at a time."""
    entries = np.empty((len(formula), 4), np.complex128)
    order = np.argsort(formula, kind="stable")
    for members in np.split(order, np.cumsum(np.bincount(formula, minlength=len(formulas)))[:-1]):
        if len(members):
            made, size = formulas[formula[members[0]]]
            own = [angles[slots[members, k]] for k in range(size)]
            for k, entry in enumerate(made(own)):
                entries[members, k] = entry
    return entries
