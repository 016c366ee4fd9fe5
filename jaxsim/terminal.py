"""Which measurements are terminal: nothing that follows depends on them, so they can be left to the very end.

A circuit whose measurements are all terminal has one final state, that before it measures; any other circuit is
*dynamic*, the subject of `jaxsim.dynamic`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from jaxsim.circuit import Circuit, from_structure
from jaxsim.classical import Bit, bit_numbers
from jaxsim.structure import OPERATIONS, Instruction, Structure, walk

__all__ = ["Terminal", "measures", "ordered", "part", "split_terminal", "unmeasured"]


class Terminal(NamedTuple):
    """A circuit that measures at the end only.

    Attributes:
        circuit: its gates.
        wires: the wires that are measured; one may occur twice.
        bits: for each the number of the classical bit that it is measured into, each once.
    """

    circuit: Circuit
    wires: tuple[int, ...]
    bits: tuple[int, ...]


class Ordered(NamedTuple):
    """Instructions without those that do nothing, and with terminal measurements at the end.

    Attributes:
        body: everything else, in time order.
        last: the terminal measurements.
    """

    body: tuple[Instruction, ...]
    last: tuple[Instruction, ...]


@lru_cache(maxsize=1024)
def ordered(structure: Structure, fresh: bool = True) -> Ordered:
    """The instructions of a circuit, terminal measurements last.

    A measurement is terminal if no later instruction acts on its wire or looks at its bit, and if whatever writes that
    bit again is a terminal measurement, too. Barriers, delays and resets of untouched wires are left out.

    Args:
        structure: of any circuit.
        fresh: whether all wires start as 0.
    """
    body: list[Instruction] = []
    last: list[Instruction] = []
    used: set[int] = set()
    decisive: set[Bit] = set()  # bits that are looked at, or written where it matters
    written: set[Bit] = set()
    for i in reversed(structure.instructions):
        match i.gate:
            case "barrier" | "delay":
                continue
            case "measure" if i.wires[0] not in used and i.bits[0] not in decisive:
                # What is written again in any case is not written.
                last.extend([] if i.bits[0] in written else [i])
                written.update(i.bits)
                continue
        body.append(i)
        used.update(i.wires)
        for inner in walk([i]):
            decisive.update(inner.bits if inner.condition is None else inner.condition.bits)
    body.reverse()
    return Ordered(tuple(_without_idle_resets(body) if fresh else body), tuple(reversed(last)))


def _without_idle_resets(body: list[Instruction]) -> list[Instruction]:
    kept: list[Instruction] = []
    touched: set[int] = set()
    for i in body:
        if i.gate != "reset" or i.wires[0] in touched:
            kept.append(i)
            touched.update(i.wires)
    return kept


@lru_cache(maxsize=1024)
def _gates(structure: Structure, fresh: bool) -> Structure | None:
    """The structure of the gates of a terminal circuit; None for a dynamic one."""
    body = ordered(structure, fresh).body
    if any(i.gate in OPERATIONS for i in body):
        return None
    return part(structure, body)


def part(structure: Structure, instructions: tuple[Instruction, ...]) -> Structure:
    """Some instructions of a circuit, with the leaves of all."""
    return Structure(
        structure.num_wires, instructions, structure.expressions, structure.num_slots, structure.num_operands
    )


def split_terminal(circuit: Circuit, *, fresh: bool = True) -> Terminal | None:
    """The gates of a circuit, and what it measures in the end; None for a dynamic circuit.

    Dynamic is a circuit that measures or resets a wire and acts on it afterwards, or has blocks of `if_` or `while_`.

    Args:
        circuit: any circuit.
        fresh: whether all wires start as 0, so that resetting them at the start does nothing.

    Example:
        >>> from jaxsim import Circuit
        >>> from jaxsim.dynamic import split_terminal
        >>> split_terminal(Circuit(2).h(0).measure(0).h(1).measure(1))
        Terminal(circuit=Circuit(2 qubits, 2 gates: h 2), wires=(0, 1), bits=(0, 1))
        >>> split_terminal(Circuit(1).h(0).measure(0).h(0)) is None
        True
    """
    structure = circuit.structure
    if structure.plain and not structure.registers:
        return Terminal(circuit, (), ())
    found = _gates(structure, fresh)
    if found is None:
        return None
    numbers = bit_numbers(structure.registers)
    last = ordered(structure, fresh).last
    return Terminal(
        from_structure(found, (circuit.angles, circuit.operands)),
        tuple(i.wires[0] for i in last),
        tuple(numbers[i.bits[0]] for i in last),
    )


def measures(circuit: Circuit) -> bool:
    """Whether the circuit measures anything, in blocks included. Of any other all qubits are measured at the end,
    whether it has registers or not."""
    structure = circuit.structure
    return not structure.plain and any(i.gate == "measure" for i in walk(structure.instructions))


def unmeasured(name: str, circuit: Circuit, *, fresh: bool = True) -> Circuit:
    """The gates of a circuit: its state before what it measures in the end.

    Raises:
        ValueError: for a dynamic circuit, which has no one final state.
    """
    terminal = split_terminal(circuit, fresh=fresh)
    if terminal is not None:
        return terminal.circuit
    raise ValueError(
        f"{name}: the circuit goes on after a measurement or a reset, so its final state differs from shot to shot, "
        "and what is drawn has no derivative. sample and counts draw shots, probabilities gives the exact distribution "
        "of the bits, post_select the state for given outcomes. For exact values with gradients give "
        "deferred=True, or take circuit.deferred(): it measures fresh wires at the end instead."
    )
