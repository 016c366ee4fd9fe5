"""What a job asks of one circuit: checked in `run()`, plain enough to travel to another process."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from jaxsim.broadcasting import Pairs, observable_array, pairs, parameter_sets
from jaxsim.circuit import MAX_WIRES, Circuit, from_structure
from jaxsim.counts_keys import Layout
from jaxsim.dynamic import split_terminal
from jaxsim.job_observables import job_observable
from jaxsim.observables import PauliSum
from jaxsim.structure import Structure, moved
from jaxsim.terminal import measures

__all__ = ["OUTPUTS", "SAMPLED", "STATES", "VALUES", "Header", "Item", "job_item", "needed_bytes"]

SAMPLED = ("counts", "memory")
STATES = ("statevector", "probabilities")
VALUES = ("values", "gradients")
OUTPUTS = (*SAMPLED, *STATES, *VALUES)
"""Everything a job can be asked for."""

FULL_WIRES = 10
"""Up to so many qubits idle ones are simulated: such states are small, and circuits of one size share kernels."""

RESIDENT_STATES = {"gradients": 6, "values": 4}
"""States that a row needs at a time; 3 for any other output."""

SHOT_BYTES = 64
"""What a shot of a circuit that measures in the middle takes while it runs, besides its bits."""


@dataclass(frozen=True)
class Header:
    """What has to be known of an item to read its results.

    Attributes:
        shots: how many.
        set_shape: shape of the parameter sets.
        value_shape: shape of the values: parameter sets and observables broadcast.
        layout: which bits of an outcome are which classical bits.
        num_wires: qubits of the circuit.
        wires: which of them were simulated, ascending, since nothing acts on the others; None: all.
        name, metadata: of the circuit, if it has them. They stay where the result is read: metadata may be anything.
    """

    shots: int
    set_shape: tuple[int, ...]
    value_shape: tuple[int, ...]
    layout: Layout
    num_wires: int
    wires: tuple[int, ...] | None
    name: str = ""
    metadata: dict[str, Any] | None = None


@dataclass(frozen=True)
class Item:
    """One circuit of a job with all that is asked of it.

    Attributes:
        index: its position among the circuits of the job.
        circuit: a snapshot, without idle qubits; without its measurements unless `dynamic`.
        dynamic: whether it measures in the middle.
        header: what is known of it.
        values: (sets, parameters) float64.
        observables: what is measured on it.
        pairs: which parameter set goes with which observable.
    """

    index: int
    circuit: Circuit
    dynamic: bool
    header: Header
    values: np.ndarray
    observables: tuple[PauliSum, ...]
    pairs: Pairs | None


def job_item(
    index: int,
    circuit: Circuit,
    values: Any,
    observables: Any,
    shots: int,
    outputs: tuple[str, ...],
    *,
    qubits: tuple[int, ...] | None = None,
    num_qubits: int | None = None,
) -> Item:
    """One circuit with what is asked of it, as an item.

    Args:
        index: its position.
        circuit: a snapshot is taken.
        values: as `parameter_sets` takes them.
        observables: one, or nested lists of them; None if no values are asked for.
        shots: how many.
        outputs: of `OUTPUTS`.
        qubits: of a circuit that was given with idle qubits too many to simulate: which of them its wires are.
        num_qubits: how many it had.

    Raises:
        TypeError, ValueError: what is wrong with it, as the end of a sentence.
    """
    snapshot = _snapshot(circuit)
    sets = parameter_sets(snapshot.parameters, values)
    num_qubits = num_qubits or snapshot.num_wires
    gates, dynamic, layout = _measured(snapshot, qubits or range(num_qubits), num_qubits)
    array, paired = None, None
    if any(output in VALUES for output in outputs):
        if observables is None:
            raise ValueError("values or gradients are asked for, but it has no observable. Give observables.")
        array = observable_array(observables, lambda one: job_observable(one, num_qubits, qubits))
        for observable in array.flat:
            observable.check_wires(snapshot.num_wires)
            observable.require_real()
        paired = pairs(sets.shape[:-1], array.shape)
    _check_outputs(outputs, dynamic, num_qubits)
    compact, wires = _without_idle(gates, array)
    if wires is not None and not dynamic:
        place = {wire: k for k, wire in enumerate(wires)}
        layout = Layout(tuple((place[w], bit) for w, bit in layout.places if w in place), layout.registers)
    shape = sets.shape[:-1]
    header = Header(
        shots=shots,
        set_shape=shape,
        value_shape=() if paired is None else paired.shape,
        layout=layout,
        num_wires=num_qubits,
        wires=wires,
    )
    rows = sets.reshape(math.prod(shape), sets.shape[-1])
    flat = () if array is None else tuple(_on_wires(o, wires) for o in array.flat)
    return Item(index, compact, dynamic, header, rows, flat, paired)


def _check_outputs(outputs: tuple[str, ...], dynamic: bool, num_qubits: int) -> None:
    refused = ", ".join(output for output in outputs if output not in SAMPLED)
    if dynamic and refused:
        raise ValueError(
            f"it measures or resets qubits in the middle, so that it has no single state: {refused} cannot be had of "
            "it. Ask for counts or memory."
        )
    refused = ", ".join(output for output in outputs if output in STATES)
    if num_qubits > MAX_WIRES and refused:
        raise ValueError(
            f"{refused} cannot be had of {num_qubits} qubits, only of {MAX_WIRES}, though few are in use. Ask for "
            "counts, memory or values, or give jaxsim.interop.qiskit.from_qiskit(circuit), which has only those in use."
        )


def _snapshot(circuit: Any) -> Circuit:
    if not isinstance(circuit, Circuit):
        raise TypeError(
            f"a {type(circuit).__name__} was given, not a Circuit; several circuits are given as a list."
        )
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(circuit)):
        raise TypeError(
            "it holds traced values: a job runs outside of jit, grad and vmap. Use js.expectation there."
        )
    if circuit.angles.ndim != 1:
        raise ValueError(
            f"its angles have shape {circuit.angles.shape}: this is a batch of circuits, as vmap makes them."
        )
    if isinstance(circuit.angles, np.ndarray):
        return circuit.copy()
    leaves, structure = jax.tree.flatten(circuit)
    copy = jax.tree.unflatten(structure, [np.array(leaf) for leaf in leaves])
    if not np.all(np.isfinite(copy.angles)):
        raise ValueError("some of its angles are not finite numbers.")
    return copy


def _measured(circuit: Circuit, qubits: Sequence[int], num_qubits: int) -> tuple[Circuit, bool, Layout]:
    """The circuit without measurements, unless it measures in the middle; whether it does; how outcomes are written.

    `qubits` are its wires among all qubits.
    """
    everything = Layout(tuple(enumerate(qubits)), (num_qubits,))
    if circuit.structure.plain:
        return circuit, False, everything
    sizes = tuple(register.size for register in circuit.registers)
    terminal = split_terminal(circuit)
    if terminal is not None:
        places = tuple(zip(terminal.wires, terminal.bits))
        return terminal.circuit, False, Layout(places, sizes) if measures(circuit) else everything
    if measures(circuit):
        return circuit, True, Layout(Layout.plain(circuit.num_bits).places, sizes)
    # It resets qubits; like any other without measurements it measures all of them at the end.
    first = circuit.num_bits
    circuit.measure(range(circuit.num_wires))
    return (
        circuit,
        True,
        Layout(tuple((first + place, bit) for place, bit in everything.places), everything.registers),
    )


# idle qubits ----------------------------------------------------------------------------------------------


def _without_idle(circuit: Circuit, observables: np.ndarray | None) -> tuple[Circuit, tuple[int, ...] | None]:
    """The circuit on the qubits that something acts on or is measured by an observable, and which these are."""
    if circuit.num_wires <= FULL_WIRES:
        return circuit, None
    structure = circuit.structure
    kept = [i for i in structure.instructions if i.gate not in ("barrier", "delay")]
    used = {wire for i in kept for wire in i.wires}
    for observable in () if observables is None else observables.flat:
        mask = int(np.bitwise_or.reduce(observable.x_mask | observable.z_mask))
        used.update(wire for wire in range(circuit.num_wires) if mask >> wire & 1)
    if len(used) == circuit.num_wires:
        return circuit, None
    wires = tuple(sorted(used)) or (0,)
    places = [wires.index(wire) if wire in used else -1 for wire in range(circuit.num_wires)]
    same = range(structure.num_operands)
    narrow = Structure(
        len(wires),
        tuple(moved(i, places, 0, same, {}) for i in kept),
        structure.expressions,
        structure.num_slots,
        structure.num_operands,
        structure.registers,
    )
    return from_structure(narrow, (circuit.angles, circuit.operands)), wires


def _on_wires(observable: PauliSum, wires: tuple[int, ...] | None) -> PauliSum:
    if wires is None:
        return observable
    x, z = (_gathered(np.asarray(mask), wires) for mask in (observable.x_mask, observable.z_mask))
    return PauliSum(x, z, observable.coefficients)


def _gathered(masks: np.ndarray, wires: tuple[int, ...]) -> np.ndarray:
    parts = [((masks >> wire) & 1) << k for k, wire in enumerate(wires)]
    return np.bitwise_or.reduce(parts).astype(np.int32)


# memory ---------------------------------------------------------------------------------------------------


def needed_bytes(item: Item, outputs: tuple[str, ...], itemsize: int) -> tuple[int, int]:
    """Bytes that simulating one row of the item takes, with all shots if it is dynamic, and bytes of its results.

    Args:
        item: the item.
        outputs: what is asked for.
        itemsize: bytes of an amplitude.
    """
    states = max((RESIDENT_STATES.get(output, 3) for output in outputs), default=3)
    sets, header = len(item.values), item.header
    running = states * itemsize * 2**item.circuit.num_wires
    if item.dynamic:
        running += header.shots * (SHOT_BYTES + (1 + sets) * item.circuit.num_bits)
    amplitudes, pairs_ = 2**header.num_wires, math.prod(header.value_shape)
    sizes = {
        "memory": sets * header.shots * 8,
        "statevector": sets * amplitudes * itemsize,
        "probabilities": sets * amplitudes * itemsize // 2,
        "values": pairs_ * 8,
        "gradients": pairs_ * 8 * max(item.values.shape[1], 1),
    }
    return running, sum(sizes.get(output, 0) for output in outputs)
