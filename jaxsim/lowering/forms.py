"""The forms a circuit is lowered to, one for each engine, with what they cost."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxsim.arguments import count
from jaxsim.circuit import Circuit
from jaxsim.engines import layered, rotations
from jaxsim.lowering import fused_form
from jaxsim.lowering.angles import parameter_room, uses
from jaxsim.lowering.clifford import Frame
from jaxsim.lowering.fuse import lower_fused
from jaxsim.lowering.layer_arrays import layer_arrays
from jaxsim.lowering.layers import Layering, capacity, lower_layers
from jaxsim.lowering.rotations import Ordering, Sequence, assemble
from jaxsim.parameters import Expression
from jaxsim.structure import Structure

__all__ = ["Form", "Given", "Memory", "cast", "described", "layering", "lowered_form", "sequence"]


class Form(NamedTuple):
    """A circuit as an engine takes it.

    Attributes:
        program: what the engine compiles for.
        data: arrays, in double precision.
        atoms: non-affine expressions of the parameters, whose values come last among the values.
        used: layers, steps or operations, without padding.
        frame: a Clifford operation after them, by which what is measured is conjugated.
        specials: gates given by arrays that are compiled in between the steps.
        operands: how many of the circuit's operands, from the first one on, the engine has a use for: those after them
            have been folded.
    """

    program: Any
    data: Any
    atoms: tuple[Expression, ...]
    used: int
    frame: Frame | None = None
    specials: int = 0
    operands: int = 0

    @property
    def structured(self) -> bool:
        """Whether what happens in it, and where, is compiled in: then other circuits have kernels of their own."""
        return isinstance(self.program, fused_form.Program) or bool(self.specials)


class Given(NamedTuple):
    """What a circuit's forms are made of."""

    structure: Structure
    angles: np.ndarray | None
    operands: tuple

    @classmethod
    def of(cls, circuit: Circuit) -> Given:
        """The parts of a circuit; angles that are JAX values are left out."""
        angles = None if isinstance(circuit.angles, jax.Array) else np.asarray(circuit.angles)
        return cls(circuit.structure, angles, circuit.operands)

    @property
    def key(self) -> tuple:
        """What the forms depend on: of the operands those that are folded."""
        angles = None if self.angles is None else self.angles.tobytes()
        return self.structure, angles, tuple(map(_folded, self.operands))


def _folded(operand: Any) -> bytes | bool:
    if not isinstance(operand, np.ndarray):
        return False
    return operand.tobytes() if operand.shape in ((2, 2), (4, 4)) else True


# what has been lowered ------------------------------------------------------------------------------------


class Memory:
    """The last results, by key."""

    def __init__(self, size: int) -> None:
        self._size, self._known = size, OrderedDict[tuple, Any]()

    def recall(self, key: tuple, make: Callable[[], Any]) -> Any:
        """What is known, or is made now."""
        found = self._known.get(key)
        return self.keep(key, make()) if found is None else found

    def keep(self, key: tuple, result: Any) -> Any:
        """The result, known from now on."""
        self._known[key] = result
        while len(self._known) > self._size:
            self._known.popitem(last=False)
        return result


_FORMS = Memory(4096)
_LAYERINGS = Memory(64)
_ORDERINGS = Memory(64)


def layering(given: Given, limit: int | None = None) -> Layering:
    """The circuit's layers, not yet as arrays.

    Raises:
        NoLayersError: if it has none.
        TooManyLayersError: if there are more than the limit.
    """

    def make() -> Layering:
        # The search with a limit that it did not come to is the whole one. Not the other way round: whether it does
        # come to the limit must not depend on what was asked before.
        return _LAYERINGS.keep((given.key, None), lower_layers(*given, limit=limit))

    return _LAYERINGS.recall((given.key, limit), make)


def sequence(given: Given, *, keep_phase: bool, absorb: bool) -> Sequence:
    """The circuit's steps, not yet as arrays."""
    ordering = _ORDERINGS.recall((given.key, keep_phase), lambda: Ordering(*given, keep_phase=keep_phase))
    return ordering.steps(absorb=absorb)


# forms ----------------------------------------------------------------------------------------------------


def _num_values(structure: Structure, angles: np.ndarray | None, atoms: tuple[Expression, ...]) -> int:
    bound = structure.num_slots if angles is None else 0
    return max(parameter_room(structure) + bound + len(atoms), 1)


def _layered(given: Given, keep_phase: bool, exact: bool | int, absorb: bool) -> Form:
    layers = layering(given)
    num_values = _num_values(given.structure, given.angles, layers.atoms)
    program, data = layer_arrays(layers, num_values, exact=exact)
    taken = (*program.tables, *(operand for _, operand in program.initialize))
    return Form(program, data, layers.atoms, len(layers.layers), operands=max(taken, default=-1) + 1)


def _rotations(given: Given, keep_phase: bool, exact: bool | int, absorb: bool) -> Form:
    structure = given.structure
    found = sequence(given, keep_phase=keep_phase, absorb=absorb)
    lowering = assemble(found)
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
        back=uses(index, scale, _num_values(structure, given.angles, lowering.atoms)),
    )
    program = rotations.Program(structure.num_wires, lowering.items, lowering.num_angles, lowering.has_phase)
    specials = found.specials
    taken = max((item.operand for item in specials), default=-1) + 1
    return Form(program, data, lowering.atoms, lowering.used, lowering.frame, len(specials), taken)


def _fused(given: Given, keep_phase: bool, exact: bool | int, absorb: bool) -> Form:
    lowering = lower_fused(*given, keep_phase=keep_phase, absorb=absorb)
    return Form(*lowering, operands=len(given.operands))


_LOWER = {"layered": _layered, "rotations": _rotations, "fused": _fused}


def lowered_form(
    circuit: Circuit,
    engine: str,
    *,
    keep_phase: bool,
    exact: bool | int,
    absorb: bool = False,
    dtype: np.dtype | None = None,
) -> Form:
    """The circuit in the form of an engine.

    Args:
        circuit: any circuit.
        engine: "layered", "rotations" or "fused".
        keep_phase: whether the global phase matters.
        exact: whether lengths are compiled in, where they could be data.
        absorb: whether a Clifford frame may be left to what is measured.
        dtype: of states; the data are in its precision, and the rows of equal circuits share them. None: double.

    Raises:
        NoLayersError: if the circuit has no layered form.
    """
    given = Given.of(circuit)
    absorb = absorb and engine != "layered"  # the same form: it is made once
    exact = exact if engine == "layered" else False

    def make() -> Form:
        if dtype is not None and engine == "fused":  # the choice of an engine has made it
            form = lowered_form(circuit, engine, keep_phase=keep_phase, exact=exact, absorb=absorb)
        else:
            form = _LOWER[engine](given, keep_phase, exact, absorb)
        if dtype is not None:
            form = form._replace(data=jax.tree.map(partial(cast, dtype=dtype), form.data))
        for array in jax.tree.leaves(form.data):
            if isinstance(array, np.ndarray):  # rows share them
                array.flags.writeable = False
        return form

    return _FORMS.recall((engine, given.key, keep_phase, exact, absorb, dtype), make)


def cast(array: Any, dtype: np.dtype) -> Any:
    """The array in the precision of states of a dtype; integers stay as they are."""
    kind = np.dtype(array.dtype).kind
    if kind not in "cf":
        return array.astype(array.dtype)
    return array.astype(dtype if kind == "c" else np.finfo(dtype).dtype)


def described(form: Form) -> str:
    """Layers, steps or operations of the form, and how often a forward run passes over the state."""
    program = form.program
    if isinstance(program, layered.Program):
        passes = (program.num_wires + 1) // 2 + 1 + program.sign + program.masked
        passes = (passes + bool(program.tables)) * form.used
        room = "" if program.exact else f" (room for {capacity(form.used)})"
        return f"{count(form.used, 'layer')}{room}, {passes} passes over the state"
    if not isinstance(program, rotations.Program):
        return f"{count(form.used, 'operation')}, as many passes over the state"
    arrays = f" and {count(form.specials, 'gate')} given by arrays" if form.specials else ""
    return f"{count(form.used, 'step')}{arrays}, as many passes over the state"
