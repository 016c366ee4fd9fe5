"""Which engine runs a circuit: a short cost model with constants measured once.

The choice is a pure function of the circuit: not of what is compiled already, of other circuits, of timings or of free
memory. So results cannot depend on history.
"""

from __future__ import annotations

from typing import NamedTuple

from jaxsim.arguments import count
from jaxsim.circuit import Circuit
from jaxsim.lowering.forms import Given, Memory, layering, lowered_form, sequence
from jaxsim.lowering.layers import NoLayersError, TooManyLayersError

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

SHARING = 4.0
"""How many times more layers may cost than steps between gates given by arrays, which compile a kernel for every
structure (and depth) where layers share one. Not a measurement: QAOA on few qubits is 2.2, with XY mixers 6 to 33."""


class Choice(NamedTuple):
    """The engine chosen, and why.

    Attributes:
        engine: its name.
        reason: in words.
        costs: nanoseconds that a gradient is expected to take, by engine; without layers where there are too many.
    """

    engine: str
    reason: str
    costs: dict[str, float]


class _Cost(NamedTuple):
    """Of a circuit in one form.

    Attributes:
        used: what there is of it, in words.
        nanoseconds: that a gradient is expected to take.
        times: how often they count.
    """

    used: str
    nanoseconds: float
    times: float = 1.0

    @property
    def counted(self) -> float:
        """What is compared."""
        return self.times * self.nanoseconds


def _layer(num_wires: int, *, phases: bool) -> float:
    each_qubit, each_amplitude, both = LAYER
    return each_qubit * num_wires + (each_amplitude + both * num_wires + LAYER_PHASES * phases) * 2**num_wires


def _layers(given: Given, limit: int | None) -> _Cost:
    layers = layering(given, limit).layers
    phases = any(layer.masked or layer.table or any(layer.sign) for layer in layers)
    return _Cost(count(len(layers), "layer"), len(layers) * _layer(given.structure.num_wires, phases=phases))


def _steps(given: Given, keep_phase: bool) -> _Cost:
    found = sequence(given, keep_phase=keep_phase, absorb=False)
    num_angles = max((len(step.angles) for step in found.real), default=0)
    num_wires, used = given.structure.num_wires, count(len(found.real), "step")
    nanoseconds = len(found.real) * (STEP[0] * num_angles + STEP[1] * 2**num_wires)
    # A state that is prepared first is data like any other.
    if num_wires < LARGE_WIRES and any(item.gate != "initialize" for item in found.specials):
        return _Cost(f"{used}, compiled in and so counted {SHARING:g} times", nanoseconds, SHARING)
    return _Cost(used, nanoseconds)


def _operations(circuit: Circuit, keep_phase: bool) -> _Cost:
    form = lowered_form(circuit, "fused", keep_phase=keep_phase, exact=False)
    return _Cost(count(form.used, "operation"), form.used * OPERATION * 2**circuit.num_wires)


_CHOICES = Memory(4096)


def choose(circuit: Circuit, *, keep_phase: bool) -> Choice:
    """The engine for a circuit: that which is expected to take least for a gradient.

    What compiles anew for every structure has to be worth it: the fused engine takes part for large states only, and
    steps between gates given by arrays count `SHARING` times below that. The search for layers ends where they cost
    more than what is known already.

    Args:
        circuit: any circuit.
        keep_phase: whether the global phase matters. Observables do not: a circuit has the same engine for all of them,
            and what they take off its end counts here.
    """
    given = Given.of(circuit)
    return _CHOICES.recall((given.key, keep_phase), lambda: _choice(circuit, given, keep_phase))


def _choice(circuit: Circuit, given: Given, keep_phase: bool) -> Choice:
    n, missing = circuit.num_wires, None
    found = {"rotations": _steps(given, keep_phase)}
    if n >= LARGE_WIRES:
        found["fused"] = _operations(circuit, keep_phase)
    known = min(cost.counted for cost in found.values())
    limit = int(known / _layer(n, phases=False))
    try:
        found["layered"] = _layers(given, limit)
    except NoLayersError as error:
        missing = f"{error} has no layered form"
    except TooManyLayersError:
        pass
    # Where they cost the same: in this order
    order = [name for name in ("fused", "layered", "rotations") if name in found]
    best = min(order, key=lambda name: found[name].counted)
    others = [
        found[name].used for name in ("rotations", "layered", "fused") if name in found and name != best
    ]
    if missing is None and "layered" not in found:
        others.append(f"{count(limit + 1, 'layer')} or more")
    reason = f"{found[best].used} cost less than {' or '.join(others)}" if others else ""
    costs = {name: found[name].nanoseconds for name in ("rotations", "layered", "fused") if name in found}
    return Choice(best, ", and ".join(filter(None, (reason, missing))), costs)
