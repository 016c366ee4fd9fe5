"""Which engine runs a circuit: a short cost model with constants measured once.

The choice is a pure function of the circuit: not of what is compiled already, of other circuits, of timings or of free
memory. So results cannot depend on history.
"""

from __future__ import annotations

from typing import NamedTuple

from jaxsim.circuit import Circuit
from jaxsim.lowering.forms import lowered_form
from jaxsim.lowering.layers import NoLayersError

__all__ = ["Choice", "choose"]

LARGE_WIRES = 16
"""From here on states no longer fit a core's cache, and structure that is compiled in saves passes over memory."""

LAYER = (4.5, 0.95)
"""Nanoseconds per amplitude of a gradient through a layer: at all, and for each qubit. AMD EPYC (Zen 5), one core;
measured on a former kernel, it still fits at 10 qubits and is low for fewer than 8."""
STEP = 2.6
"""Nanoseconds per amplitude of a gradient through a two-level step."""


class Choice(NamedTuple):
    """The engine chosen, and why.

    Attributes:
        engine: its name.
        reason: in words.
        costs: nanoseconds per amplitude that a gradient is expected to take, by engine.
    """

    engine: str
    reason: str
    costs: dict[str, float]


def choose(circuit: Circuit, *, keep_phase: bool, exact: bool | int) -> Choice:
    """The engine for a circuit.

    Args:
        circuit: any circuit.
        keep_phase, exact: as for `lowered_form`.
    """
    n = circuit.num_wires
    steps = lowered_form(circuit, "rotations", keep_phase=keep_phase, exact=exact)
    costs = {"rotations": STEP * steps.used}
    try:
        layers = lowered_form(circuit, "layered", keep_phase=keep_phase, exact=exact)
    except NoLayersError as missing:
        if n >= LARGE_WIRES:
            return Choice("fused", f"{n} qubits, and {missing} has no layered form", costs)
        return Choice("rotations", f"{missing} has no layered form", costs)
    costs["layered"] = (LAYER[0] + LAYER[1] * n) * layers.used
    if n >= LARGE_WIRES:
        return Choice("fused", f"{n} qubits: states of this size do not fit a core's cache", costs)
    if costs["rotations"] < costs["layered"]:
        return Choice("rotations", f"{steps.used} steps cost less than {layers.used} layers", costs)
    return Choice("layered", f"{layers.used} layers cost less than {steps.used} steps", costs)
