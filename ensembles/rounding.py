"""Products that are rounded on their own, so that a row's bits do not depend on its company.

XLA lets the compiler contract `a * b + c` into one fused multiply-add and, for a batch of one, reorder scalar
factors. Whether it does so depends on how a loop is vectorised, and that depends on the batch size. `a * b +
c` with its product rounded first is what IEEE 754 defines, and then every batch size gives the same bits.

The means is adding a zero that only exists at run time: compilers must keep the addition, a multiply-add with
it rounds the product exactly once, and -0.0 leaves every number (0.0 and -0.0 included) as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

if TYPE_CHECKING:
    from jaxtyping import ArrayLike

__all__ = ["ZERO", "rounded"]

ZERO = np.float32(-0.0)
"""The zero to hand to `rounded`; it must enter a jitted function as an argument, never as a constant."""

_PRODUCTS = frozenset({"mul", "square", "integer_pow"})
_CALLS = frozenset({"jit", "pjit"})


def rounded(function: Callable[..., Any], zero: ArrayLike) -> Callable[..., Any]:
    """The same function, with every real product rounded before anything is added to it.

    Args:
        function: a function of pytrees of arrays to a pytree of arrays. Functions it jits are followed; what
            it does inside loops and conditionals stays as it is.
        zero: the scalar `ZERO`, as an argument of the surrounding jitted function.

    Returns:
        a function of the same arguments and results, to be used under `jit` (and `vmap`, `grad`, ... inside
        it).

    Example:
        >>> import jax, numpy as np
        >>> from ensembles.rounding import ZERO, rounded
        >>> third = np.float32(1 / 3)
        >>> f = jax.jit(lambda x, zero: rounded(lambda x: x * x - third * third, zero)(x))
        >>> float(f(third, ZERO))  # a fused multiply-add would leave the rounding error of one product
        0.0
    """

    def wrapped(*args: Any) -> Any:
        leaves, tree = jax.tree.flatten(args)

        def flat(*leaves: Any) -> Any:
            return function(*jax.tree.unflatten(tree, leaves))

        closed, shape = jax.make_jaxpr(flat, return_shape=True)(*leaves)
        start = jnp.asarray(zero)
        # An argument may itself be a product that is still unfinished when the compiler sees both.
        finished = [_finished(jnp.asarray(leaf), start) for leaf in leaves]
        return jax.tree.unflatten(jax.tree.structure(shape), _evaluate(closed, finished, start))

    return wrapped


def _evaluate(closed: Any, args: Sequence[Any], zero: jax.Array) -> list[Any]:
    jaxpr = closed.jaxpr
    values: dict[Any, Any] = dict(
        zip((*jaxpr.constvars, *jaxpr.invars), (*closed.consts, *args), strict=True)
    )

    def read(atom: Any) -> Any:
        # A literal has its value with it. (Its class is in jax.extend, whose import would add JAX settings.)
        return atom.val if hasattr(atom, "val") else values[atom]

    for equation in jaxpr.eqns:
        operands = [read(atom) for atom in equation.invars]
        primitive = equation.primitive
        if primitive.name in _CALLS:
            results = _evaluate(equation.params["jaxpr"], operands, zero)
        else:
            bound = primitive.get_bind_params(equation.params)
            # JAX before 0.10 returns (functions, parameters), later versions parameters alone.
            functions, parameters = bound if isinstance(bound, tuple) else ((), bound)
            results = primitive.bind(*functions, *operands, **parameters)
            if not primitive.multiple_results:
                results = [results]
            if primitive.name in _PRODUCTS:
                results = [_finished(result, zero) for result in results]
        values.update(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _finished(value: Any, zero: jax.Array) -> Any:
    if not jnp.issubdtype(value.dtype, jnp.floating):
        return value
    return value + zero.astype(value.dtype)
