"""A dynamic circuit rewritten to measure at the end only: the principle of deferred measurement.

A measurement becomes a CX onto a fresh wire, which holds the bit from then on; a condition becomes controls on those
wires; a reset swaps the wire with a fresh one. The new circuit has the same classical bits with the same distribution,
and its first wires are those of the old one, in the same state, averaged over outcomes. As it measures nothing before
the end, it has expectation values with gradients on every engine. Terminal measurements stay what they are.

Reference: Nielsen and Chuang, Quantum Computation and Quantum Information, section 4.4.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from jaxsim import gates
from jaxsim.circuit import MAX_WIRES, Circuit, from_structure
from jaxsim.classical import Bit, Condition
from jaxsim.structure import OPERATIONS, Instruction, Structure
from jaxsim.terminal import ordered

__all__ = ["deferred"]

MAX_CONDITION_BITS = 12

Controls = dict[int, int]
"""Wires, and the values that they must have."""


def deferred(circuit: Circuit, *, fresh: bool = True) -> Circuit:
    """A circuit that measures at the end only, with the same distribution of its classical bits.

    Its first wires are those of the circuit. Loops are unrolled to their bound. Parameters and JAX values stay what
    they are.

    Args:
        circuit: any circuit; one that is terminal already gains no wires.
        fresh: whether its wires start as 0.

    Raises:
        ValueError: if it would need more than 30 wires; a condition on more than 12 bits.

    Example:
        >>> import jax, jaxsim as js
        >>> def excited(angle):
        ...     c = js.Circuit(2)
        ...     m = c.register("m", 1)
        ...     c.ry(angle, 0).measure(0, m).h(0)
        ...     with c.if_(m[0]):
        ...         c.x(1)
        ...     return js.expectation(c.deferred(), js.Z(1))
        >>> round(float(jax.grad(excited)(0.5)), 4)  # of cos(angle)
        -0.4794
    """
    rewriting = _Rewriting(circuit.num_wires, fresh)
    body, last = ordered(circuit.structure, fresh)
    rewriting.instructions_of(body, {}, outermost=True)
    for i in last:
        rewriting.home[i.bits[0]] = i.wires[0]
    measured = [Instruction("measure", (wire,), bits=(bit,)) for bit, wire in rewriting.home.items()]
    old = circuit.structure
    structure = Structure(
        rewriting.num_wires,
        (*rewriting.result, *measured),
        old.expressions,
        old.num_slots,
        old.num_operands,
        old.registers,
    )
    return from_structure(structure, (circuit.angles, circuit.operands))


class _Rewriting:
    """The new circuit under construction.

    Attributes:
        num_wires: how many it has so far.
        result: its gates.
        home: the wire that holds each bit that has been measured.
        touched: wires that may not be 0.
    """

    def __init__(self, num_wires: int, fresh: bool) -> None:
        self.num_wires = num_wires
        self.result: list[Instruction] = []
        self.home: dict[Bit, int] = {}
        self.touched = set() if fresh else set(range(num_wires))

    def fresh(self) -> int:
        """A wire that is 0."""
        if self.num_wires == MAX_WIRES:
            raise ValueError(
                f"deferred: this circuit would need more than {MAX_WIRES} wires: one for each measurement that "
                "something depends on, for each reset, and for each condition on several bits, in every repetition of "
                "a loop."
            )
        self.num_wires += 1
        return self.num_wires - 1

    def instructions_of(
        self, block: Sequence[Instruction], controls: Controls, *, outermost: bool = False
    ) -> None:
        """Appends what a block does where all controls have their values."""
        for position, i in enumerate(block):
            if i.gate not in OPERATIONS:
                self.gate(i, controls)
            elif i.gate == "measure":
                wire, later = i.wires[0], block[position + 1 :]
                after = next((j.gate for j in later if wire in j.wires and j.gate != "measure"), None)
                # A wire that is reset holds the bit itself: the reset puts a fresh one in its place.
                self.measure(wire, i.bits[0], controls, stays=outermost and after == "reset")
            elif i.gate == "reset":
                self.reset(i.wires[0], controls)
            elif i.condition is not None:
                self.block(i, i.condition, controls)

    def gate(self, i: Instruction, controls: Controls) -> None:
        zeros = [wire for wire, value in controls.items() if not value]
        self.flip(zeros)
        if controls:
            row = gates.controlled(gates.resolve(i.gate, len(i.wires), i.controls), len(controls))
            i = i._replace(gate=row.name, wires=(*controls, *i.wires), controls=row.extra_controls)
        self.result.append(i)
        self.touched.update(i.wires)
        self.flip(zeros)

    def flip(self, wires: Sequence[int]) -> None:
        self.result.extend(Instruction("x", (wire,)) for wire in wires)

    def add(self, source: int, target: int, controls: Controls) -> None:
        """Flips the target where the source and all controls have their values."""
        both = self.both(controls, {source: 1})
        if both is not None:
            self.gate(Instruction("x", (target,)), both)

    def measure(self, wire: int, bit: Bit, controls: Controls, *, stays: bool) -> None:
        if stays:
            self.home[bit] = wire
            return
        copy, old = self.fresh(), self.home.get(bit)
        self.add(wire, copy, controls)
        if controls and old is not None:
            # Elsewhere the bit stays what it was.
            self.add(old, copy, {})
            self.add(old, copy, controls)
        self.home[bit] = copy

    def reset(self, wire: int, controls: Controls) -> None:
        if wire not in self.touched and wire not in self.home.values():
            return
        new = self.fresh()
        self.gate(Instruction("swap", (wire, new)), controls)
        if not controls:
            self.home = {bit: new if at == wire else at for bit, at in self.home.items()}
            self.touched.discard(wire)

    # conditions -----------------------------------------------------------------------------------------

    def block(self, i: Instruction, condition: Condition, controls: Controls) -> None:
        if i.gate == "while_loop":
            for _ in range(i.limit):
                both = self.both(controls, self.controls_of(condition, whole=True))
                if both is None:
                    return
                controls = both
                self.instructions_of(i.blocks[0], controls)
            return
        found = self.controls_of(condition, whole=len(i.blocks) == 1)
        opposite = None
        if found is None:
            opposite = {}
        elif len(found) == 1:
            opposite = {wire: 1 - value for wire, value in found.items()}
        for block, own in zip(i.blocks, (found, opposite)):
            both = self.both(controls, own)
            if both is not None:
                self.instructions_of(block, both)

    @staticmethod
    def both(outer: Controls, inner: Controls | None) -> Controls | None:
        """All controls together; None if they contradict each other."""
        if inner is None or any(outer.get(wire, value) != value for wire, value in inner.items()):
            return None
        return outer | inner

    def controls_of(self, condition: Condition, *, whole: bool) -> Controls | None:
        """Wires with values that say that a condition holds; None if it never does.

        Args:
            condition: on bits; those that have not been measured are 0.
            whole: whether several wires may be needed; else one whose other value says that it does not hold.
        """
        bits = [bit for bit in condition.bits if bit in self.home]
        wires = sorted({self.home[bit] for bit in bits})
        if len(wires) > MAX_CONDITION_BITS:
            raise ValueError(
                f"deferred: the condition {condition} is on more than {MAX_CONDITION_BITS} bits."
            )
        table = np.array(
            [
                bool(
                    condition.evaluate(
                        lambda bit, given=given: np.bool_(given.get(self.home.get(bit, -1), 0))
                    )
                )
                for given in (
                    dict(zip(wires, values)) for values in itertools.product((0, 1), repeat=len(wires))
                )
            ]
        ).reshape((2,) * len(wires))
        for axis in reversed(range(len(wires))):  # wires that make no difference
            if np.array_equal(np.take(table, 0, axis), np.take(table, 1, axis)):
                table = np.take(table, 0, axis)
                del wires[axis]
        if not wires:
            return {} if table else None
        if table.sum() == 1 and (whole or len(wires) == 1):
            return {wire: int(value) for wire, value in zip(wires, np.argwhere(table)[0])}
        return {self.computed(table, wires): 1}

    def computed(self, table: np.ndarray, wires: list[int]) -> int:
        """A fresh wire that holds a function of others, as a sum modulo 2 of products (its Reed-Muller form)."""
        result = self.fresh()
        form = table.astype(int)
        for axis in range(len(wires)):
            form = np.stack(
                [np.take(form, 0, axis), np.take(form, 0, axis) ^ np.take(form, 1, axis)], axis=axis
            )
        for factors in np.argwhere(form):
            product = {wire: 1 for wire, factor in zip(wires, factors) if factor}
            self.gate(Instruction("x", (result,)), product)
        return result
