"""The forms a circuit is lowered to, one for each engine, with what they cost."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxsim.circuit import Circuit
from jaxsim.engines import layered, rotations
from jaxsim.lowering.angles import parameter_room, uses
from jaxsim.lowering.clifford import Frame
from jaxsim.lowering.fuse import lower_fused
from jaxsim.lowering.layer_arrays import layer_arrays
from jaxsim.lowering.layers import capacity, lower_layers
from jaxsim.lowering.rotations import lower_steps
from jaxsim.parameters import Expression
from jaxsim.structure import Structure

__all__ = ["Form", "described", "lowered_form"]


class Form(NamedTuple):
    """A circuit as an engine takes it.

    Attributes:
        program: what the engine compiles for.
        data: arrays, in double precision.
        atoms: non-affine expressions of the parameters, whose values come last among the values.
        used: layers, steps or operations, without padding.
        frame: a Clifford operation after them, by which what is measured is conjugated.
    """

    program: Any
    data: Any
    atoms: tuple[Expression, ...]
    used: int
    frame: Frame | None = None


def _num_values(structure: Structure, angles: np.ndarray | None, atoms: tuple[Expression, ...]) -> int:
    bound = structure.num_slots if angles is None else 0
    return max(parameter_room(structure) + bound + len(atoms), 1)


def _layered(
    structure: Structure, angles: Any, operands: tuple, keep_phase: bool, exact: bool | int, absorb: bool
) -> Form:
    layering = lower_layers(structure, angles, operands)
    num_values = _num_values(structure, angles, layering.atoms)
    program, data = layer_arrays(layering, num_values, exact=exact)
    return Form(program, data, layering.atoms, len(layering.layers))


def _rotations(
    structure: Structure, angles: Any, operands: tuple, keep_phase: bool, exact: bool | int, absorb: bool
) -> Form:
    lowering = lower_steps(structure, angles, operands, keep_phase=keep_phase, absorb=absorb)
    steps = lowering.steps
    index = np.concatenate([steps.index.reshape(-1), lowering.special_index.reshape(-1)])
    scale = np.concatenate([steps.scale.reshape(-1), lowering.special_scale.reshape(-1)])
    data = rotations.Data(
        x=steps.x,
        z=steps.z,
        controls=steps.controls,
        sign=steps.sign,
        constants=steps.constants,
        index=steps.index,
        scale=steps.scale,
        special_index=lowering.special_index,
        special_scale=lowering.special_scale,
        special_offset=lowering.special_offset,
        back=uses(index, scale, _num_values(structure, angles, lowering.atoms)),
    )
    program = rotations.Program(structure.num_wires, lowering.items, lowering.num_angles, lowering.has_phase)
    return Form(program, data, lowering.atoms, lowering.used, lowering.frame)


def _fused(
    structure: Structure, angles: Any, operands: tuple, keep_phase: bool, exact: bool | int, absorb: bool
) -> Form:
    return Form(*lower_fused(structure, angles, operands, keep_phase=keep_phase, absorb=absorb))


_LOWER = {"layered": _layered, "rotations": _rotations, "fused": _fused}

_FORMS: OrderedDict[tuple, Form] = OrderedDict()
_MAX_FORMS = 4096


def lowered_form(
    circuit: Circuit, engine: str, *, keep_phase: bool, exact: bool | int, absorb: bool = False
) -> Form:
    """The circuit in the form of an engine.

    Args:
        circuit: any circuit.
        engine: "layered", "rotations" or "fused".
        keep_phase: whether the global phase matters.
        exact: whether lengths are compiled in, where they could be data.
        absorb: whether a Clifford frame may be left to what is measured.

    Raises:
        NoLayersError: if the circuit has no layered form.
    """
    angles = None if isinstance(circuit.angles, jax.Array) else np.asarray(circuit.angles)
    absorb = absorb and engine != "layered"  # the same form: it is made once
    exact = exact if engine == "layered" else False
    arguments = (circuit.structure, angles, circuit.operands, keep_phase, exact, absorb)
    if any(i.gate == "unitary" for i in circuit.instructions):
        return _LOWER[engine](*arguments)  # its entries may have been folded
    key = (engine, circuit.structure, None if angles is None else angles.tobytes(), keep_phase, exact, absorb)
    found = _FORMS.get(key)
    if found is None:
        found = _FORMS[key] = _LOWER[engine](*arguments)
        while len(_FORMS) > _MAX_FORMS:
            _FORMS.popitem(last=False)
    return found


def described(form: Form) -> str:
    """Layers, steps or operations of the form, and how often a forward run passes over the state."""
    program = form.program
    if isinstance(program, layered.Program):
        passes = (program.num_wires + 1) // 2 + 1 + program.sign + program.masked
        passes = (passes + bool(program.tables)) * form.used
        room = "" if program.exact else f" (room for {capacity(form.used)})"
        return f"{form.used} layers{room}, {passes} passes over the state"
    what = "steps" if isinstance(program, rotations.Program) else "operations"
    return f"{form.used} {what}, as many passes over the state"
