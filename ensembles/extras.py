"""What each kind of program adds to its results (`Program.extras`), once a run is over.

The results are there by then. So nothing that happens here may lose them: what cannot be computed is left out, with a
warning.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ensembles.names import Name, display_name
from ensembles.program import Program

__all__ = ["extras_of"]

_MOST_NAMES = 5


def extras_of(
    names: Sequence[Name], programs: Sequence[Program], outcomes: Sequence[Any]
) -> list[dict[str, Any]]:
    """The extras of all programs, those of a kind at once; {} for those that have no lowest loss.

    Where a kind's fail, its programs are tried one by one. Ctrl-C leaves out what is not there yet.

    Args:
        names, programs: in the ensemble's order.
        outcomes: their outcomes, with `best_value` and `best_parameters`.
    """
    found: list[dict[str, Any]] = [{} for _ in programs]
    kinds: dict[type[Program], list[int]] = {}
    for position, (program, outcome) in enumerate(zip(programs, outcomes, strict=True)):
        if np.isfinite(outcome.best_value) and outcome.best_parameters is not None:
            kinds.setdefault(type(program), []).append(position)

    def compute(kind: type[Program], members: Sequence[int]) -> None:
        values = [outcomes[p].best_value for p in members]
        parameters = [outcomes[p].best_parameters for p in members]
        extras = map(dict, kind.extras([programs[p] for p in members], values, parameters))
        for position, extra in list(zip(members, extras, strict=True)):
            found[position] = extra

    def failures(kind: type[Program], members: Sequence[int]) -> Iterator[tuple[int, Exception]]:
        try:
            return compute(kind, members)
        except Exception as error:
            if len(members) == 1:
                yield members[0], error
                return
        for position in members:  # what fails for one must not be missing for its company
            yield from failures(kind, [position])

    try:
        for kind in list(kinds):
            failed = dict(failures(kind, kinds[kind]))
            del kinds[kind]
            if failed:
                error = next(iter(failed.values()))
                _warn([names[p] for p in failed], f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        _warn([names[p] for members in kinds.values() for p in members], "Ctrl-C came")
    return found


def _warn(names: Sequence[Name], why: str) -> None:
    shown = ", ".join(repr(display_name(name)) for name in names[:_MOST_NAMES])
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    warnings.warn(
        f"run: the results of {shown}{more} lack what their kind of program adds (extra): {why}. All else is there.",
        RuntimeWarning,
        stacklevel=4,
    )
