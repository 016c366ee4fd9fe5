"""`landscape`: the loss along a line or over a plane of parameters, and its picture."""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxsim
from ensembles.figures import finished_figure, new_figure
from ensembles.hosted_optimizers import HostedOptimizer
from ensembles.program import Program, Row
from ensembles.result import ProgramResult
from ensembles.rules import sgd

if TYPE_CHECKING:
    from jaxtyping import Float
    from matplotlib.figure import Figure

__all__ = ["Landscape", "landscape"]

_POINTS_PER_BLOCK = 64


@dataclass(frozen=True, eq=False)
class Landscape:
    """Losses on a grid.

    Attributes:
        axes: one or two arrays: how far along each direction the grid goes from the center.
        labels: what the directions are.
        values: (points,) or (points of the first axis, points of the second) losses.
        center: (parameters,) where all axes are 0.
        directions: (axes, parameters).
    """

    axes: tuple[Float[np.ndarray, " points"], ...]
    labels: tuple[str, ...]
    values: Float[np.ndarray, "..."]
    center: Float[np.ndarray, " parameters"]
    directions: Float[np.ndarray, "axes parameters"]

    def lowest(self) -> tuple[float, Float[np.ndarray, " parameters"]]:
        """The lowest loss on the grid, and its parameters."""
        place = np.unravel_index(int(np.nanargmin(self.values)), self.values.shape)
        offsets = np.array([axis[k] for axis, k in zip(self.axes, place)])
        return float(self.values[place]), self.center + offsets @ self.directions

    def plot(self, path: str | Path | None = None, *, title: str | None = None) -> Figure:
        """The picture: a curve for a line, filled contours for a plane; a cross marks the center.

        Args:
            path: where to save it; the suffix (.png, .pdf, .svg) says how.
            title: text above the picture.

        Returns:
            a matplotlib Figure; nothing of matplotlib's global state changes.

        Errors: ImportError without matplotlib.
        """
        figure = new_figure("Landscape.plot", (6.0, 4.5))
        axes = figure.subplots()
        if len(self.axes) == 1:
            axes.plot(self.axes[0], self.values, linewidth=1.5)
            axes.axvline(0.0, color="gray", linewidth=0.8, linestyle=":")
            axes.set_ylabel("loss")
            axes.grid(alpha=0.3)
        else:
            filled = axes.contourf(*self.axes, self.values.T, levels=30)
            figure.colorbar(filled, label="loss")
            axes.plot(0.0, 0.0, "x", color="white")
            axes.set_ylabel(self.labels[1])
        axes.set_xlabel(self.labels[0])
        return finished_figure(figure, path, title)


def landscape(
    program: Program,
    along: Any,
    across: Any = None,
    *,
    center: Any = None,
    span: tuple[float, float] | float = np.pi,
    points: int | tuple[int, int] = 41,
    seed: int = 0,
) -> Landscape:
    """The loss of a program on a line, or with `across` on a plane, through a point of its parameters.

    All points of a grid run in blocks through one compiled call; another grid, or another program with the same merge
    key, compiles nothing.

    Args:
        program: VQE, QAOA, QNN, or any `Program` with a loss.
        along: a direction: the name of a parameter ("gamma[0]"), its index, a vector (parameters,) such as the way from
            one solution to another, or "random" for a random unit vector.
        across: another one, for a plane.
        center: (parameters,), or the program's result, whose best parameters are taken; by default where the program
            starts, or 0 where that is drawn.
        span: from where to where along each direction, in its own length; one number s is -s to s.
        points: how many along each direction, at least 2.
        seed: of random directions, and of the key for losses that draw.

    Raises:
        TypeError: no program with a loss; a direction of another type.
        ValueError: an unknown parameter, shapes that do not fit, a direction of length 0, fewer than 2 points, an
            empty span.

    Example:
        >>> import numpy as np
        >>> from ensembles import VQE, adam
        >>> from jaxsim import Circuit, Parameter, Z
        >>> vqe = VQE(Circuit(1).ry(Parameter("a"), 0), Z(0), optimizer=adam(0.1), steps=1)
        >>> scan = landscape(vqe, "a", points=5)
        >>> bool(np.allclose(scan.values, np.cos(scan.axes[0]), atol=1e-6)), round(scan.lowest()[0], 4)
        (True, -1.0)
    """
    if not isinstance(program, Program):
        raise TypeError(
            f"landscape: a program such as VQE(...) is needed, but a {type(program).__name__} was given."
        )
    row = _as_trained(program).row("landscape")
    leaves, tree = jax.tree.flatten(row.parameters)
    # Rows of programs with optimisers of their own may have room for more parameters than there are.
    own = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(row.trained)])
    size = int(own.sum())
    middle = np.concatenate([np.ravel(leaf) for leaf in leaves]).astype(np.float64)[own]
    if isinstance(center, ProgramResult):
        if center.parameters is None:
            raise ValueError(
                f"landscape: the result of {center.name!r} has no parameters to be the center, as it {center.status}."
            )
        center = center.parameters
    if center is not None:
        middle = _vector(center, size, "center")
    rng = np.random.default_rng(seed)
    wanted = [along] if across is None else [along, across]
    named = [_direction(program, direction, size, rng) for direction in wanted]
    directions = np.stack([vector for vector, _ in named])
    ends = _span(span)
    counts = _counts(points, len(wanted))
    axes = tuple(np.linspace(*ends, count) for count in counts)
    offsets = np.stack([grid.ravel() for grid in np.meshgrid(*axes, indexing="ij")], axis=1)
    vectors = np.zeros((len(offsets), len(own)))
    vectors[:, own] = middle + offsets @ directions
    values = _losses(row, vectors, tree, leaves, seed).reshape(counts)
    return Landscape(axes, tuple(label for _, label in named), values, middle, directions)


@functools.partial(jax.jit, compiler_options=jaxsim.compiler_options())
def _block(row: Row, parameters: Any, key: Any) -> Any:
    """The loss at many parameters."""
    key = jax.random.wrap_key_data(key, impl="threefry2x32")
    return jax.vmap(lambda p: row.loss.value(p, row.data, key))(parameters)


def _losses(row: Row, vectors: np.ndarray, tree: Any, leaves: Any, seed: int) -> np.ndarray:
    cuts = np.cumsum([np.size(leaf) for leaf in leaves])[:-1]
    key = np.array([seed >> 32 & 0xFFFFFFFF, seed & 0xFFFFFFFF], np.uint32)
    data = jax.device_put(row)
    blocks = []
    for start in range(0, len(vectors), _POINTS_PER_BLOCK):
        part = vectors[start : start + _POINTS_PER_BLOCK]
        part = np.concatenate([part, np.repeat(part[-1:], _POINTS_PER_BLOCK - len(part), axis=0)])
        shaped = [
            piece.reshape(-1, *np.shape(leaf)).astype(leaf.dtype)
            for piece, leaf in zip(np.split(part, cuts, axis=1), leaves)
        ]
        blocks.append((data, jax.tree.unflatten(tree, shaped), key))
    sent = jaxsim.submit_blocks(_block, blocks, ("ensembles.landscape", row.key))
    values = np.concatenate([np.asarray(jnp.real(future.result())) for future in sent])
    return values[: len(vectors)].astype(np.float64)


# arguments --------------------------------------------------------------------------------------------------


def _as_trained(program: Program) -> Program:
    """The program with an optimiser that makes it a row, as programs of a hosted optimiser are none."""
    if not program.hosted:
        return program
    if not isinstance(program.optimizer, HostedOptimizer):
        raise TypeError(f"landscape: a {type(program).__name__} has no loss of its own, only its `run`.")
    other = copy.copy(program)
    other.optimizer, other.steps = sgd(0.0), 0
    return other


def _vector(given: Any, size: int, what: str) -> np.ndarray:
    """A vector from a flat array or a pytree of arrays."""
    try:
        vector = np.concatenate([np.ravel(np.asarray(leaf, np.float64)) for leaf in jax.tree.leaves(given)])
    except (TypeError, ValueError):
        raise TypeError(f"landscape: {what} must be real numbers, but {given!r:.60} was given.") from None
    if vector.shape != (size,) or not np.isfinite(vector).all():
        raise ValueError(
            f"landscape: {what} must be {size} finite numbers, one a parameter, but has shape {vector.shape}."
            if vector.shape != (size,)
            else f"landscape: {what} must be finite, but NaN or infinity was given."
        )
    return vector


def _direction(program: Program, given: Any, size: int, rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """A direction as a vector, and what it is called."""
    names = [p.name for p in _parameters(program)]
    if isinstance(given, str) and given == "random" and given not in names:
        vector = rng.normal(size=size)
        return vector / np.linalg.norm(vector), "random direction"
    if isinstance(given, str | jaxsim.Parameter):
        name = given if isinstance(given, str) else given.name
        if name not in names:
            some = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
            raise ValueError(
                f"landscape: there is no parameter {name!r}; the program has {some or 'parameters without names'}; or "
                "give an index, a vector, or 'random'."
            )
        return np.eye(size)[names.index(name)], name
    if isinstance(given, int | np.integer) and not isinstance(given, bool):
        if not 0 <= given < size:
            raise ValueError(f"landscape: there are parameters 0 to {size - 1}, but {given} was given.")
        return np.eye(size)[int(given)], names[given] if names else f"parameter {given}"
    vector = _vector(given, size, "a direction")
    if not vector.any():
        raise ValueError("landscape: a direction of length 0 leads nowhere; give another vector.")
    return vector, "direction"


def _parameters(program: Program) -> tuple[Any, ...]:
    """The parameters by name, of programs that have a circuit."""
    for where in ("weights", "ansatz"):
        found = getattr(program, where, None)
        if found is not None:
            return tuple(found.parameters) if isinstance(found, jaxsim.Circuit) else tuple(found)
    return ()


def _span(given: Any) -> tuple[float, float]:
    ends = np.asarray(given, np.float64)
    ends = np.array([-ends, ends]) if ends.ndim == 0 else ends
    if ends.shape != (2,) or not np.isfinite(ends).all() or ends[0] >= ends[1]:
        raise ValueError(
            f"landscape: span is a number above 0, or a pair (from, to) in ascending order, but {given!r} was given."
        )
    return float(ends[0]), float(ends[1])


def _counts(given: Any, axes: int) -> tuple[int, ...]:
    counts = tuple(given) if isinstance(given, tuple | list) else (given,) * axes
    if len(counts) != axes or any(
        isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 2 for n in counts
    ):
        raise ValueError(
            f"landscape: points is an integer, 2 or more, or one for each of {axes} directions, but {given!r} was "
            "given."
        )
    return tuple(int(n) for n in counts)
