"""Layers as arrays: what the layered engine takes of a circuit."""

from __future__ import annotations

import numpy as np

from jaxsim.engines.layered import FACTORS, Data, Program
from jaxsim.lowering.angles import Affine, room_for, uses
from jaxsim.lowering.index_maps import IndexMap, gather_masks
from jaxsim.lowering.layers import Layering, capacity

__all__ = ["layer_arrays"]


def layer_arrays(layering: Layering, num_values: int, *, exact: bool | int) -> tuple[Program, Data]:
    """The static part and the arrays of a circuit.

    Args:
        layering: the circuit.
        num_values: how many values its angles are made of.
        exact: as many layers as there are, compiled in, instead of a number that is data.
    """
    n, layers = layering.num_wires, layering.layers
    room = capacity(len(layers)) if exact is False else max(len(layers), int(exact))
    program = Program(
        num_wires=n,
        exact=exact is not False,
        sign=any(any(layer.sign) for layer in layers),
        masked=any(layer.masked for layer in layers),
        tables=tuple(sorted({layer.table.operand for layer in layers if layer.table})),
        initialize=layering.initialize,
    )
    turning = len(FACTORS) * n
    slots = turning + program.masked + bool(program.tables)
    angles: list[tuple[int, Affine, float]] = []  # slot, angle, and the share of it that is taken
    sign = np.zeros((room, n if program.sign else 0), np.int32)
    masked = np.zeros((room, 2 if program.masked else 0), np.int32)
    table = np.zeros((room, 1 if program.tables else 0), np.int32)
    for k, layer in enumerate(layers):
        first = k * slots
        for q, slot in enumerate(layer.slots):
            angles += [(first + f * n + q, angle, 0.5) for f, angle in enumerate(slot.angles)]
        if program.sign:
            sign[k] = layer.sign
        if layer.masked:
            masked[k] = layer.masked.mask, layer.masked.value
            angles.append((first + turning, layer.masked.angle, 1.0))
        if layer.table:
            table[k] = program.tables.index(layer.table.operand)
            angles.append((first + slots - 1, layer.table.angle, 1.0))
    index, scale, offset = _affine_arrays(angles, room * slots)
    offset = offset.reshape(room, slots)
    turned = offset[:, : turning + program.masked]
    maps = [layer.map for layer in layers] + [IndexMap(n)] * (room - len(layers))
    phase = _affine_arrays([(0, layering.phase, 1.0)], 1)
    back = uses(index.reshape(-1), scale.reshape(-1), num_values)
    scales = np.append(scale.reshape(-1), 0.0)
    data = Data(
        count=np.int32(len(layers)),
        maps=gather_masks(maps, n),
        index=index.reshape(room, slots, -1),
        scale=scale.reshape(room, slots, -1),
        turns=np.stack([np.cos(turned), np.sin(turned)], axis=-1),
        table_offset=offset[:, turning + program.masked :],
        sign=sign,
        masked=masked,
        table=table,
        phase_index=phase[0],
        phase_scale=phase[1],
        phase_turn=np.stack([np.cos(phase[2]), np.sin(phase[2])], axis=-1),
        back=np.minimum(back // scale.shape[-1], room * slots - 1),
        back_scale=scales[back],
    )
    return program, data


def _affine_arrays(
    angles: list[tuple[int, Affine, float]], slots: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """index and scale (slots, terms) and offset (slots,) from the angles that are not zero, and shares of them."""
    width = room_for(max((len(angle.terms) for _, angle, _ in angles), default=1))
    index = np.zeros((slots, width), np.int32)
    scale = np.zeros((slots, width), np.float64)
    offset = np.zeros(slots, np.float64)
    for slot, angle, share in angles:
        offset[slot] = share * angle.offset
        for t, (value, factor) in enumerate(angle.terms):
            index[slot, t], scale[slot, t] = value, share * factor
    return index, scale, offset
