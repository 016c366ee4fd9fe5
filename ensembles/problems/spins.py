"""Spin-1/2 models on a chain, a ring or a grid, in Pauli operators (not spins: S = sigma / 2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxsim import PauliSum

Bonds = list[tuple[int, int]]


def _chain(shape: tuple[int, ...]) -> Bonds:
    return [(site, site + 1) for site in range(shape[0] - 1)]


def _ring(shape: tuple[int, ...]) -> Bonds:
    (n,) = shape
    if n < 3:
        raise ValueError(f"a ring needs at least 3 sites, not {n}; a chain of 2 has its one bond.")
    return [*_chain(shape), (0, n - 1)]


def _grid(shape: tuple[int, ...]) -> Bonds:
    sites = np.arange(math.prod(shape)).reshape(shape)
    along = (np.moveaxis(sites, axis, 0) for axis in range(sites.ndim))
    return sorted(
        pair for line in along for pair in zip(line[:-1].ravel().tolist(), line[1:].ravel().tolist())
    )


_LATTICES: dict[str, Callable[[tuple[int, ...]], Bonds]] = {"chain": _chain, "ring": _ring, "grid": _grid}


def _bonds(model: str, n: int, lattice: str, shape: Any) -> Bonds:
    if lattice not in _LATTICES:
        raise ValueError(f"{model}: lattice={lattice!r} is not known; choose one of {', '.join(_LATTICES)}.")
    if not isinstance(n, (int, np.integer)) or not 2 <= n <= 30:
        raise ValueError(
            f"{model}: the number of spins must be an integer from 2 to 30, but {n!r} was given."
        )
    if lattice != "grid":
        if shape is not None:
            raise ValueError(f"{model}: shape={shape} goes with lattice='grid'; a {lattice} needs none.")
        shape = (n,)
    elif not np.iterable(shape) or math.prod(shape) != n or min(shape) < 1:
        raise ValueError(
            f"{model}: lattice='grid' needs shape=(rows, columns) with {n} sites in all, but shape={shape} "
            "was given."
        )
    try:
        return _LATTICES[lattice](tuple(shape))
    except ValueError as error:
        raise ValueError(f"{model}: {error}") from None


def _spread(model: str, name: str, value: Any, number: int, what: str) -> Any:
    """One real coefficient a bond or site, from a number or an array; only traced ones are left to JAX."""
    xp = jnp if isinstance(value, Tracer) else np
    if np.iscomplexobj(value):
        raise TypeError(f"{model}: {name} must be real, but is complex; give its real part.")
    if np.shape(value) not in ((), (number,)):
        raise ValueError(
            f"{model}: {name} must be a number or one value for each of the {number} {what}, but has shape "
            f"{np.shape(value)}."
        )
    return xp.broadcast_to(value if xp is jnp else np.asarray(value, np.float64), (number,))


def _sum(terms: Sequence[tuple[Sequence[int], Sequence[int], Any]]) -> PauliSum:
    """One sum from groups of (x masks, z masks, coefficients)."""
    coefficients = [group[2] for group in terms]
    xp = jnp if any(isinstance(c, Tracer) for c in coefficients) else np
    x_mask, z_mask = (np.concatenate([np.asarray(group[k], np.int32) for group in terms]) for k in (0, 1))
    return PauliSum(x_mask, z_mask, xp.concatenate(coefficients))


def tfim(
    n: int, j: Any = 1.0, h: Any = 1.0, *, lattice: str = "chain", shape: Sequence[int] | None = None
) -> PauliSum:
    """The transverse-field Ising model, H = -j sum_<ab> Z_a Z_b - h sum_a X_a, on `n` spins.

    Returns a sum with one term a bond, then one a spin, zeros kept: models that differ in j and h share a
    compiled call. j and h are real numbers, arrays (one value a bond, one a spin) or traced JAX values.

    Lattices: "chain" and "ring" with bond k from spin k to k + 1 (a ring's last one back to spin 0); "grid"
    with open ends, `shape` such as (rows, columns), row-major, bonds sorted: (2, 3) puts row r, column c on
    qubit 3 r + c.

    Errors: ValueError for an unknown lattice, a number of spins, a shape or an array that does not fit;
    TypeError for complex coefficients.

    >>> model = tfim(3, j=2.0, h=0.5)
    >>> model.coefficients.tolist()
    [-2.0, -2.0, -0.5, -0.5, -0.5]
    """
    bonds = _bonds("tfim", n, lattice, shape)
    coupling = _spread("tfim", "j", j, len(bonds), "bonds")
    field = _spread("tfim", "h", h, n, "spins")
    pairs = [1 << a | 1 << b for a, b in bonds]
    sites = [1 << a for a in range(n)]
    return _sum([([0] * len(pairs), pairs, -coupling), (sites, [0] * n, -field)])


def xxz(
    n: int, j: Any = 1.0, delta: Any = 1.0, *, lattice: str = "chain", shape: Sequence[int] | None = None
) -> PauliSum:
    """The XXZ model on `n` spins, H = sum_<ab> j (X_a X_b + Y_a Y_b + delta Z_a Z_b).

    Returns a sum with the XX terms of all bonds, then YY, then ZZ, zeros kept. j and delta are numbers,
    arrays of one value a bond, or JAX values. Lattices, shape and errors: see `tfim`.

    >>> xxz(2, j=1.0, delta=0.5).coefficients.tolist()
    [1.0, 1.0, 0.5]
    """
    bonds = _bonds("xxz", n, lattice, shape)
    coupling = _spread("xxz", "j", j, len(bonds), "bonds")
    anisotropy = _spread("xxz", "delta", delta, len(bonds), "bonds")
    pairs, none = [1 << a | 1 << b for a, b in bonds], [0] * len(bonds)
    return _sum([(pairs, none, coupling), (pairs, pairs, coupling), (none, pairs, coupling * anisotropy)])


def heisenberg(
    n: int, j: Any = 1.0, *, lattice: str = "chain", shape: Sequence[int] | None = None
) -> PauliSum:
    """The Heisenberg model on `n` spins, H = j sum_<ab> (X_a X_b + Y_a Y_b + Z_a Z_b).

    Returns what `xxz` returns for delta = 1; j > 0 is antiferromagnetic.

    >>> heisenberg(3, lattice="ring").coefficients.size
    9
    """
    return xxz(n, j, 1.0, lattice=lattice, shape=shape)
