"""The arguments a program was made with, and the same program with some of them changed."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np

from jaxsim import Circuit, Parameter, bind_values

__all__ = ["arguments_of", "rebuilt", "refuse_unknown", "remembers_arguments", "start_vector"]

_Self = TypeVar("_Self")
_P = ParamSpec("_P")


def remembers_arguments(
    init: Callable[Concatenate[_Self, _P], None],
) -> Callable[Concatenate[_Self, _P], None]:
    """Decorates ``__init__``, so that `arguments_of` and `rebuilt` know what the program was made with.

    Of an inherited chain the outermost call counts. Circuits are kept as snapshots.
    """
    signature = inspect.signature(init)
    parameters = list(signature.parameters.values())[1:]
    usual = all(p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) for p in parameters)
    by_position = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    defaults = {p.name: p.default for p in parameters}

    def bound(self: Any, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments by name; TypeError as a call has it."""
        if usual and len(args) <= len(by_position) and kwargs.keys().isdisjoint(by_position[: len(args)]):
            found = {**defaults, **dict(zip(by_position, args, strict=False)), **kwargs}
            if all(value is not inspect.Parameter.empty for value in found.values()):
                return found
        try:  # in the general case, or to say what is wrong
            given = signature.bind(self, *args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}: {error}.") from None
        given.apply_defaults()
        arguments = dict(given.arguments)
        for parameter in parameters:
            if parameter.kind is parameter.VAR_KEYWORD:
                arguments.update(arguments.pop(parameter.name))
        return arguments

    @functools.wraps(init)
    def wrapped(self: _Self, /, *args: _P.args, **kwargs: _P.kwargs) -> None:
        if "_made_with" not in vars(self):
            if all(p.kind is not p.VAR_KEYWORD for p in parameters):
                refuse_unknown(type(self).__name__, kwargs, list(defaults))
            vars(self)["_made_with"] = {
                name: value.copy() if isinstance(value, Circuit) else value
                for name, value in bound(self, args, kwargs).items()
                if value is not self
            }
        init(self, *args, **kwargs)

    return wrapped


def refuse_unknown(name: str, given: Iterable[str], known: Sequence[str]) -> None:
    """TypeError for a keyword that is no argument of `name`, with those that come close."""
    for keyword in given:
        if keyword not in known:
            close = difflib.get_close_matches(keyword, known, n=2)
            advice = f"Did you mean {' or '.join(map(repr, close))}? " if close else ""
            raise TypeError(f"{name}: there is no argument {keyword!r}. {advice}It takes {', '.join(known)}.")


def start_vector(kind: str, parameters: Sequence[Parameter], given: Any, dtype: Any) -> np.ndarray:
    """The argument `initial_parameters` of a program as a vector.

    Args:
        kind: of the program, for messages.
        parameters: in their order.
        given: a vector, or a mapping by name.
        dtype: of the vector.

    Raises:
        TypeError, ValueError: as `jaxsim.bind_values`.
    """
    try:
        bound = bind_values(parameters, given)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{kind}: initial_parameters: {str(error).removeprefix('bind: ')}") from None
    return np.array([bound[p] for p in parameters], dtype)


def arguments_of(program: Any) -> dict[str, Any]:
    """What a program was made with: name -> value, defaults included.

    Programs whose ``__init__`` does not remember its arguments have to keep them as attributes of the same names.

    Errors: TypeError for a program that keeps one under no such name.

    Example:
        >>> import numpy as np
        >>> from ensembles import Program, adam
        >>> def loss(x, data, key):
        ...     return (x**2).sum()
        >>> sorted(arguments_of(Program(loss, np.zeros(2), optimizer=adam(0.1), steps=5)))
        ['data', 'initial_parameters', 'loss', 'optimizer', 'steps', 'stopping']
    """
    if "_made_with" in vars(program):
        return dict(vars(program)["_made_with"])
    parameters = list(inspect.signature(type(program)).parameters.values())
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    found = {}
    for parameter in parameters:
        if parameter.kind in variable:
            continue
        kept = next((name for name in (parameter.name, f"_{parameter.name}") if hasattr(program, name)), None)
        if kept is None:
            raise TypeError(
                f"A {type(program).__name__} does not say what {parameter.name!r} it was made with, so no other can be "
                f"made from it: keep the argument as an attribute, self.{parameter.name} = {parameter.name}, or give a "
                "function that makes the program."
            )
        found[parameter.name] = getattr(program, kept)
    return found


def rebuilt(program: Any, changes: Mapping[str, Any]) -> Any:
    """A program of the same class, made with some arguments changed.

    Example:
        >>> import numpy as np
        >>> from ensembles import Program, adam
        >>> def loss(x, data, key):
        ...     return (x**2).sum()
        >>> rebuilt(Program(loss, np.zeros(2), optimizer=adam(0.1), steps=5), {"steps": 7}).steps
        7
    """
    quickly = getattr(program, "_quickly_rebuilt", None)  # some changes need no lowering
    found = quickly(changes) if quickly else None
    return type(program)(**{**arguments_of(program), **changes}) if found is None else found
