"""Which engine runs a circuit: a short cost model with constants measured once.

The choice is a pure function of the circuit: not of what is compiled already, of other circuits, of timings or of free
memory. So results cannot depend on history.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from jaxsim.circuit import Circuit
from jaxsim.engines import layered, rotations
from jaxsim.lowering.forms import Form, lowered_form
from jaxsim.lowering.layers import NoLayersError
from jaxsim.lowering.rotations import Special, Steps

__all__ = ["Choice", "choose"]

LARGE_WIRES = 16
"""From here on states no longer fit a core's cache, and structure that is compiled in saves passes over memory."""

# Nanoseconds on one core of an AMD EPYC (Zen 5), fitted to gradients of some sixty circuits of 2 to 14 qubits;
# docs/performance.md has the table. What all engines do alike (the observable, a call's share) is left out.

LAYER = (240.0, 3.3, 1.06)
"""A gradient through a layer: for each qubit; for each amplitude; for each amplitude and qubit."""
LAYER_PHASES = 6.0
"""For each amplitude, where layers have signs, masked phases or tables."""
STEP = (90.0, 2.6)
"""A gradient through a two-level step: for each of its angles; for each amplitude."""
OPERATION = 2.6
"""A gradient through a block or a phase of the fused engine, for each amplitude of a large state."""


class Choice(NamedTuple):
    """The engine chosen, and why.

    Attributes:
        engine: its name.
        reason: in words.
        costs: nanoseconds that a gradient is expected to take, by engine.
    """

    engine: str
    reason: str
    costs: dict[str, float]


def _layers(form: Form, program: layered.Program) -> float:
    n, phases = program.num_wires, program.sign or program.masked or bool(program.tables)
    each_qubit, each_amplitude, both = LAYER
    return form.used * (each_qubit * n + (each_amplitude + both * n + LAYER_PHASES * phases) * 2**n)


def _steps(form: Form, program: rotations.Program) -> float:
    return form.used * (STEP[0] * program.num_angles + STEP[1] * 2**program.num_wires)


def _compiles_structure(program: rotations.Program) -> bool:
    """Whether there are gates given by arrays between steps; a state that is prepared first is data like any other."""
    return any(
        not (isinstance(item, Steps) or (isinstance(item, Special) and item.gate == "initialize"))
        for item in program.items
    )


def _operations(form: Form, program: Any) -> float:
    return form.used * OPERATION * 2**program.num_wires


_COSTS = {"rotations": _steps, "layered": _layers, "fused": _operations}
_WORDS = {"rotations": "steps", "layered": "layers", "fused": "operations"}


def choose(circuit: Circuit, *, keep_phase: bool, exact: bool | int) -> Choice:
    """The engine for a circuit: that which is expected to take least for a gradient.

    What compiles anew for every structure takes part for large states only, or if there is nothing else: the fused
    engine, and steps between gates given by arrays.

    Args:
        circuit: any circuit.
        keep_phase, exact: as for `lowered_form`.
    """
    n, missing = circuit.num_wires, None
    forms = {"rotations": lowered_form(circuit, "rotations", keep_phase=keep_phase, exact=exact)}
    try:
        forms["layered"] = lowered_form(circuit, "layered", keep_phase=keep_phase, exact=exact)
    except NoLayersError as error:
        missing = f"{error} has no layered form"
    if n >= LARGE_WIRES:
        forms["fused"] = lowered_form(circuit, "fused", keep_phase=keep_phase, exact=exact)
    elif "layered" in forms and _compiles_structure(forms["rotations"].program):
        del forms["rotations"]
        missing = "steps between gates given by arrays are compiled for every structure"
    costs = {name: _COSTS[name](form, form.program) for name, form in forms.items()}
    # Where they cost the same: in this order
    best = min((name for name in ("fused", "layered", "rotations") if name in costs), key=costs.__getitem__)
    used = {name: f"{form.used} {_WORDS[name]}" for name, form in forms.items()}
    others = " or ".join(text for name, text in used.items() if name != best)
    reason = f"{used[best]} cost less than {others}" if others else ""
    return Choice(best, ", and ".join(filter(None, (reason, missing))), costs)
