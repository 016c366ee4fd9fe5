"""Segments of a program as rows, and running many states through one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsim import batch
from jaxsim.batch import Lowered
from jaxsim.circuit import Circuit, from_structure
from jaxsim.compilation import compiler_options
from jaxsim.dynamic.program import Segment
from jaxsim.terminal import part
from jaxsim.threads import submit_blocks

if TYPE_CHECKING:
    from jaxtyping import Array, Complex

__all__ = ["evolved", "lower_segment", "start_state"]

LAYERS_FAVOURED = (4.0, 40.0)
"""Layers are taken unless they cost more than so many times what steps cost, and so many nanoseconds per amplitude."""


def start_state(name: str, circuit: Circuit, initial_state: Any, dtype: Any) -> Any:
    """The state that a circuit starts from, (2**n,): as it is given, or |0...0>.

    Raises:
        ValueError: another shape, NaN or infinity; a circuit that prepares a state itself.
    """
    if initial_state is None:
        return np.eye(1, 2**circuit.num_wires, dtype=dtype)[0]
    prepares = tuple(i for i in circuit.instructions if i.gate == "initialize")
    alone = from_structure(part(circuit.structure, prepares), (circuit.angles, circuit.operands))
    return batch.check_initial_state(name, initial_state, batch.lower(alone, engine="rotations", dtype=dtype))


def lower_segment(
    circuit: Circuit, segment: Segment, *, dtype: Any, engine: str, exact: Any = None
) -> Lowered:
    """The gates of a segment as a row.

    "auto" takes an engine in which structure is data, so that segments of many circuits share kernels: layers, unless
    they cost far more than steps.

    Raises:
        ValueError: open parameters, or a batch of circuits.
    """
    if np.ndim(circuit.angles) != 1:
        raise ValueError(
            f"the angles have shape {np.shape(circuit.angles)}: this is a batch of circuits, as vmap makes them; "
            "sample inside the function that is vmapped."
        )
    if circuit.parameters:
        names = ", ".join(p.name for p in circuit.parameters[:5])
        raise ValueError(f"the circuit has unbound parameters: {names}. Give them values with bind(values).")
    gates = from_structure(part(circuit.structure, segment.instructions), (circuit.angles, circuit.operands))
    if engine == "auto":
        costs = batch.choice(gates, keep_phase=True).costs
        times, more = LAYERS_FAVOURED
        favoured = costs.get("layered", np.inf) <= times * costs.get("rotations", np.inf) + more
        engine = "layered" if favoured else "rotations"
    return batch.lower(gates, engine=engine, dtype=dtype, exact=exact)


@partial(jax.jit, compiler_options=compiler_options())
def _evolve(row: Lowered, states: Array) -> Array:
    return jax.vmap(lambda state: batch.row_state(row, jnp.zeros(0), state))(states)


def evolved(row: Lowered, states: Complex[np.ndarray, "states dim"]) -> Complex[np.ndarray, "states dim"]:
    """The states after a row, on all cores.

    They run in blocks of one size whatever their number, so the bits of one do not depend on the others.
    """
    size = batch.rows_per_block(row)
    cuts = batch.blocks(len(states), size)
    if len(cuts) > 2:
        row = jax.device_put(row)  # once for all blocks
    signature = ("evolved", jax.tree.structure(row), size, *(a.shape for a in jax.tree.leaves(row)))
    sent = submit_blocks(_evolve, [(row, batch.take_block(states, cut, size)) for cut in cuts], signature)
    pieces = [np.asarray(f.result())[: cut.stop - cut.start] for cut, f in zip(cuts, sent, strict=True)]
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
