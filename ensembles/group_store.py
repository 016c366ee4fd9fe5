"""Rows and states of a group: program by program in NumPy, block by block on the device while they run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from ensembles.advance import Carry, first_carry
from ensembles.planner import Group
from ensembles.program import Row

__all__ = ["GroupStore", "Places"]

Places = tuple[int, ...]
"""Which programs of a group sit in a block, by their place in the group."""


class GroupStore:
    """The rows and states of a group.

    Args:
        group: the group.
        rows: of its programs.
        root: uint32 (2,), key data of the run's seed.

    Attributes:
        key: the merge key.
        place: program -> its place in the group.
        carry: states of all programs, in NumPy; those on the device are behind.
        sizes: sizes of the blocks that have run.
    """

    def __init__(self, group: Group, rows: Sequence[Row], root: np.ndarray) -> None:
        self.group = group
        self.key = rows[0].key
        self.rows = rows
        self.place = {program: k for k, program in enumerate(group.programs)}
        self.carry = first_carry(rows, root)
        self.sizes: set[int] = set()
        self._resident: dict[Places, tuple[Any, Any]] = {}
        self._block_of: dict[int, Places] = {}

    def block(self, places: Places, size: int) -> tuple[Any, Any]:
        """Rows and carry of a block, padded with inactive copies of its first row."""
        if places in self._resident and len(self._resident[places][1].step) == size:
            return self._resident[places]
        # Whoever sits in other blocks comes back to the host first.
        for other in {self._block_of[place] for place in places if place in self._block_of}:
            self.store(other)
        index = [*places, *[places[0]] * (size - len(places))]
        rows = jax.tree.map(lambda *leaves: np.stack(leaves), *(self.rows[place] for place in index))
        carry = jax.tree.map(lambda leaf: leaf[index], self.carry)
        carry.active[len(places) :] = False
        # A CPU reads NumPy's memory; elsewhere rows are brought over once, not for every call.
        return rows if jax.default_backend() == "cpu" else jax.device_put(rows), carry

    def keep(self, places: Places, rows: Any, carry: Any) -> None:
        """Leaves a block on the device for its next call."""
        self._resident[places] = (rows, carry)
        self._block_of.update(dict.fromkeys(places, places))

    def store(self, places: Places) -> None:
        """Brings a block's carry back to the host."""
        self._copy(places)
        del self._resident[places]
        for place in places:
            del self._block_of[place]

    def _copy(self, places: Places) -> None:
        _, carry = self._resident[places]
        index = np.array(places)
        for mine, theirs in zip(jax.tree.leaves(self.carry), jax.tree.leaves(carry), strict=True):
            mine[index] = np.asarray(theirs)[: len(places)]

    def store_all(self) -> None:
        """Brings every carry back to the host."""
        for places in list(self._resident):
            self.store(places)

    def up_to_date(self) -> Carry:
        """The states of all programs, in NumPy; blocks stay where they are."""
        for places in self._resident:
            self._copy(places)
        return self.carry

    def resident_bytes(self) -> int:
        """Bytes of the blocks that are on the device now."""
        rows = sum(len(carry.step) for _, carry in self._resident.values())
        return rows * self.group.block_bytes() // self.group.rows_per_block
