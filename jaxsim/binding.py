"""Values for parameters: given as one array in their order, or by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxsim.arguments import real_array, real_jax_array
from jaxsim.parameters import Expression, Parameter

__all__ = ["bind_values", "split_expressions"]


def bind_values(
    parameters: Sequence[Parameter], values: Any, *, partial: bool = False
) -> dict[Parameter, Any]:
    """Pairs parameters with values given as a flat array in their order or as a mapping by parameter or name.

    Args:
        parameters: as of a circuit.
        values: (len(parameters),) real; or a mapping from parameters or names to numbers, and from vectors or
            their names to 1-D arrays.
        partial: whether a mapping may leave parameters out.

    Returns:
        Floats, or tracers where values are traced.

    Raises:
        TypeError: a value that is not real.
        ValueError: wrong length, NaN, a name that is no parameter, a parameter given twice, or (unless
            `partial`) a parameter without a value.

    Example:
        >>> from jaxsim import ParameterVector, bind_values
        >>> t = ParameterVector("t", 2)
        >>> bind_values(t, [0.1, 0.2]) == bind_values(t, {"t": [0.1, 0.2]}) == {t[0]: 0.1, t[1]: 0.2}
        True
    """
    if not isinstance(values, Mapping):
        array = _array(values)
        if array.shape != (len(parameters),):
            raise ValueError(
                f"values must have shape ({len(parameters)},), one for each parameter ({_names(parameters)}), "
                f"but have shape {array.shape}."
            )
        return {p: array[k] for k, p in enumerate(parameters)}
    alone = {p.name: p for p in parameters}
    vectors: dict[str, list[Parameter]] = {}
    for p in parameters:
        if p.sort_key[1] >= 0:
            vectors.setdefault(p.sort_key[0], []).append(p)
    given: dict[Parameter, Any] = {}
    for key, value in values.items():
        name, array = getattr(key, "name", key), _array(value)
        if name not in alone and name not in vectors:
            known = _names(parameters) or "none"
            raise ValueError(f"bind: {name!r} is no parameter of this circuit, which has: {known}.")
        if array.ndim == 0 and name in alone:
            pairs = [(alone[name], array[()])]
        elif array.ndim == 1 and name in vectors:
            pairs = _elements(name, vectors[name], array)
        else:
            expected = "a 1-D array with an entry for each element" if name in vectors else "one number"
            raise ValueError(f"bind: {name!r} takes {expected}, but has shape {array.shape}.")
        for parameter, number in pairs:
            if parameter in given:
                raise ValueError(f"bind: {parameter} is given two values.")
            given[parameter] = number
    missing = [p for p in parameters if p not in given]
    if missing and not partial:
        raise ValueError(f"values are missing for: {_names(missing)}.")
    return given


def _array(value: Any) -> Any:
    """Real numbers: a float64 array, or a tracer."""
    entries = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else []
    if any(isinstance(entry, Tracer) for entry in entries):
        value = jnp.stack(entries)
    if isinstance(value, jax.Array):
        value = real_jax_array("bind", value)
        return value if isinstance(value, Tracer) else np.asarray(value, np.float64)
    return real_array("bind", value)


def _elements(name: str, elements: list[Parameter], array: Any) -> list[tuple[Parameter, Any]]:
    for p in elements:
        if p.sort_key[1] >= len(array):
            raise ValueError(f"bind: {len(array)} values were given for {name!r}, but {p} is used.")
    return [(p, array[p.sort_key[1]]) for p in elements]


def _names(parameters: Sequence[Parameter]) -> str:
    return ", ".join(p.name for p in parameters[:8]) + (", ..." if len(parameters) > 8 else "")


def split_expressions(
    expressions: Iterable[tuple[int, Expression]], given: Mapping[Parameter, Any]
) -> tuple[list[tuple[int, Expression]], dict[int, Any]]:
    """Angles that still wait for a value (slot, expression), and values of the others (by slot).

    Raises:
        ValueError: a value that is not finite, or an expression that would mix a traced value with open parameters.
    """
    xp = jnp if any(isinstance(value, Tracer) for value in given.values()) else np
    waiting: list[tuple[int, Expression]] = []
    values: dict[int, Any] = {}
    for slot, expression in expressions:
        known = [p in given for p in expression.parameters]
        if any(known) and not all(known):
            expression = _substituted(expression, given)
        if expression.parameters and not all(known):
            waiting.append((slot, expression))
            continue
        with np.errstate(all="ignore"):
            values[slot] = expression.evaluate(given, xp)
        if xp is np and not np.isfinite(values[slot]):
            raise ValueError(f"bind: the angle {expression} has the value {values[slot]}; it must be finite.")
    return waiting, values


def _substituted(expression: Expression, given: Mapping[Parameter, Any]) -> Expression:
    """The expression with numbers in place of some of its parameters."""
    if any(isinstance(given.get(p), Tracer) for p in expression.parameters):
        raise ValueError(
            f"bind: the angle {expression} would be left with some parameters open and others bound to JAX "
            "values; bind all parameters of an expression together."
        )
    return expression.evaluate({p: given.get(p, p) for p in expression.parameters}, np)
