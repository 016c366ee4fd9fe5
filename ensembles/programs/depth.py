"""Deeper QAOA from shallower: INTERP starts, and growing the depth layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ensembles.programs.arguments import rebuilt
from ensembles.programs.qaoa import QAOA

if TYPE_CHECKING:
    from jaxtyping import Float

    from ensembles.result import EnsembleResult

__all__ = ["deeper", "grow_depth", "interp"]


def interp(angles: Any, layers: int | None = None) -> Float[np.ndarray, " layers"]:
    """INTERP: angles for more layers by linear interpolation of good ones (Zhou et al., PRX 10, 021067 (2020)).

    From p to p + 1 layers, u'_i = (i - 1)/p u_{i-1} + (p - i + 1)/p u_i for i = 1, ..., p + 1, with
    u_0 = u_{p+1} = 0; for more layers again and again.

    Args:
        angles: (p,) the betas, or the gammas, of p layers.
        layers: how many are wanted, at least p; p + 1 by default.

    Raises:
        ValueError: no angles, or fewer layers than there are.

    Example:
        >>> interp([0.3, 0.6]).round(6).tolist()
        [0.3, 0.45, 0.6]
    """
    u = np.asarray(angles, np.float64)
    if u.ndim != 1 or not len(u):
        raise ValueError(
            f"interp: angles must have shape (layers,), one layer or more, but have shape {u.shape}."
        )
    wanted = len(u) + 1 if layers is None else layers
    if wanted < len(u):
        raise ValueError(
            f"interp: there are {len(u)} layers already, so {wanted} can not be interpolated to."
        )
    while len(u) < wanted:
        p = len(u)
        i = np.arange(1, p + 2)
        padded = np.concatenate([[0.0], u, [0.0]])
        u = (i - 1) / p * padded[i - 1] + (p - i + 1) / p * padded[i]
    return u


def deeper(program: QAOA, parameters: Any, layers: int | None = None) -> QAOA:
    """The same QAOA with more layers (one more by default), started by `interp` from parameters of this one.

    Args:
        program: a QAOA with p layers.
        parameters: (2p,) betas, then gammas, as results have them.
        layers: how many layers.

    Raises:
        TypeError: not a QAOA.
        ValueError: another number of parameters; fewer layers than there are.
    """
    if not isinstance(program, QAOA):
        raise TypeError(f"deeper takes a QAOA, but a {type(program).__name__} was given.")
    values = np.asarray(parameters, np.float64)
    if values.shape != (2 * program.layers,):
        raise ValueError(
            f"deeper: a QAOA of {program.layers} layers has {2 * program.layers} parameters, betas, then gammas, "
            f"but the shape {values.shape} was given."
        )
    betas, gammas = (interp(half, layers) for half in np.split(values, 2))
    return rebuilt(program, {"layers": len(betas), "initial_parameters": np.concatenate([betas, gammas])})


def grow_depth(programs: Mapping[Any, QAOA] | QAOA, layers: int, **options: Any) -> list[EnsembleResult]:
    """Trains QAOAs, then the same with one more layer from an `interp` start, and so on up to `layers` layers.

    Programs of one size and depth share a compiled call, so there is one compilation for each depth and size.

    Args:
        programs: {name: QAOA}, or one QAOA; they may have different depths, those that have reached `layers`
            are trained once.
        layers: the last depth.
        options: as for `ProgramEnsemble.run`.

    Returns:
        the result of each round, the last one with `layers` layers.

    Raises:
        TypeError: not QAOAs.
        ValueError: `layers` below the depth of a program.
        EnsembleError: as `ProgramEnsemble.run`.

    Example:
        >>> from ensembles import QAOA, adam
        >>> from ensembles.problems import MaxCut
        >>> ring = MaxCut([(k, (k + 1) % 6) for k in range(6)])
        >>> rounds = grow_depth(QAOA(ring, layers=1, optimizer=adam(0.05), steps=80), 2, progress=False)
        >>> [round(r["QAOA"].ratio, 2) for r in rounds]  # (2p + 1) / (2p + 2)
        [0.75, 0.83]
    """
    from ensembles.ensemble import ProgramEnsemble

    current: dict[Any, QAOA] = {"QAOA": programs} if isinstance(programs, QAOA) else dict(programs)
    for name, program in current.items():
        if not isinstance(program, QAOA):
            raise TypeError(f"grow_depth: {name!r} is a {type(program).__name__}, not a QAOA.")
        if program.layers > layers:
            raise ValueError(f"grow_depth: {name!r} has {program.layers} layers already, more than {layers}.")
    rounds = []
    while current:
        rounds.append(ProgramEnsemble(current).run(**options))
        found = rounds[-1]
        current = {
            name: deeper(program, found[name].parameters)
            for name, program in current.items()
            if program.layers < layers and found[name].parameters is not None
        }
    return rounds
