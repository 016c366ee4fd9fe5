"""`BatchConfig`: how programs share compiled calls. It decides speed and memory, never results."""

from __future__ import annotations

import enum
import operator
import os
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxsim.memory import total_memory

__all__ = ["BatchConfig", "BatchMode"]

DEFAULT_MEMORY_SHARE = 0.5
"""Share of the total memory that calls may fill if `memory_limit` is not given."""

_MOST_DEFAULT_LANES = 256
_MANY_LANES = 1024


class BatchMode(enum.Enum):
    """Whether rows of different programs share calls.

    MERGED: they do. OFF: every program runs alone in its calls: same functions, same numbers.
    """

    MERGED = "merged"
    OFF = "off"


@dataclass(frozen=True)
class BatchConfig:
    """How the programs of an ensemble share compiled calls.

    Results never depend on it.

    Args:
        mode: `BatchMode.MERGED` (default) or `BatchMode.OFF`, or the strings "merged" and "off".
        max_batch_size: rows that trigger a flush: as soon as this many are pending, all that is pending is
            sent off (a program that submits several rows at once may exceed it). None: wait until every
            program that is under way has submitted.
        max_concurrent_programs: number of lanes, the programs under way at a time. -1: a lane for every
            program. None: `lanes` says.
        max_rows_per_call: no call has more rows than this; a larger group makes several calls. None: no cap.
        memory_limit: bytes that calls may fill. None: half of the total memory, container limits respected.

    Errors: TypeError for anything but integers where integers are due; ValueError for values out of range,
    for an unknown mode, and for max_batch_size, max_concurrent_programs or _sort_programs together with OFF.
    UserWarning for an explicit max_concurrent_programs above 1024.

    Example:
        >>> BatchConfig(max_batch_size=64).lanes(500)
        64
        >>> BatchConfig("off").mode
        <BatchMode.OFF: 'off'>
    """

    mode: BatchMode | str = BatchMode.MERGED
    max_batch_size: int | None = None
    max_concurrent_programs: int | None = None
    _sort_programs: bool = False
    max_rows_per_call: int | None = field(default=None, kw_only=True)
    memory_limit: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        normal: dict[str, Any] = {"mode": _mode(self.mode), "_sort_programs": _flag(self._sort_programs)}
        for name, (unit, also) in _INTEGERS.items():
            normal[name] = _integer(name, getattr(self, name), unit, also)
        if normal["mode"] is BatchMode.OFF:
            for name in ("max_batch_size", "max_concurrent_programs", "_sort_programs"):
                _refuse_with_off(name, normal[name])
        for name, value in normal.items():
            object.__setattr__(self, name, value)
        if self.max_concurrent_programs is not None and self.max_concurrent_programs > _MANY_LANES:
            warnings.warn(
                f"BatchConfig: max_concurrent_programs is {self.max_concurrent_programs}; more than "
                f"{_MANY_LANES} programs under way at a time cost much memory, and hosted ones a thread "
                f"each. max_batch_size bounds them; -1 gives a lane to every program without this warning.",
                UserWarning,
                stacklevel=3,
            )

    def lanes(self, n_programs: int) -> int:
        """Number of programs under way at a time, for an ensemble of `n_programs`.

        More programs than lanes is no error: a program that ends gives its lane to the next in line.

        Example:
            >>> BatchConfig(max_concurrent_programs=-1).lanes(5000)
            5000
        """
        if self.max_concurrent_programs not in (None, -1):
            return self.max_concurrent_programs
        if self.max_batch_size is not None:
            return min(self.max_batch_size, n_programs)
        if self.max_concurrent_programs == -1:
            return n_programs
        return min(max(n_programs, (os.cpu_count() or 1) + 4), _MOST_DEFAULT_LANES)

    def resolved_memory_limit(self) -> int:
        """Bytes that calls may fill: `memory_limit`, or half of `total_memory()`.

        >>> BatchConfig(memory_limit=2**30).resolved_memory_limit()
        1073741824
        """
        if self.memory_limit is not None:
            return self.memory_limit
        return int(total_memory() * DEFAULT_MEMORY_SHARE)


# name -> (what it counts, extra values allowed and how the message says so)
_INTEGERS: dict[str, tuple[str, dict[int, str]]] = {
    "max_batch_size": ("rows", {}),
    "max_concurrent_programs": ("programs", {-1: ", -1 (a lane for every program)"}),
    "max_rows_per_call": ("rows", {}),
    "memory_limit": ("bytes", {}),
}


def _mode(mode: Any) -> BatchMode:
    try:
        return BatchMode(mode)
    except ValueError:
        raise ValueError(
            f"BatchConfig: mode must be BatchMode.MERGED or BatchMode.OFF, or one of the strings 'merged' "
            f"and 'off', but {mode!r} was given."
        ) from None


def _flag(value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(
            f"BatchConfig: _sort_programs must be True or False, but {value!r} of type "
            f"{type(value).__name__} was given."
        )
    return bool(value)


def _integer(name: str, value: Any, unit: str, also: dict[int, str]) -> int | None:
    if value is None:
        return None
    words = f"an integer >= 1 (a number of {unit}){''.join(also.values())} or None"
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(
            f"BatchConfig: {name} must be {words}, but {value!r} of type {type(value).__name__} was given."
        ) from None
    if number < 1 and number not in also:
        raise ValueError(f"BatchConfig: {name} must be {words}, but {number} was given.")
    return number


def _refuse_with_off(name: str, value: Any) -> None:
    if value not in (None, False):
        raise ValueError(
            f"BatchConfig: {name} has no effect with mode BatchMode.OFF, where every program runs alone in "
            f"its calls, but {name}={value!r} was given. Leave it out, or use BatchMode.MERGED."
        )
