"""`sweep`: many programs from one, with some of its fields varied."""

from __future__ import annotations

import copy
import difflib
import inspect
import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ensembles.hosted_optimizers import HostedOptimizer
from ensembles.optimizers import RULES, Optimizer, as_optimizer, with_hyperparameters
from ensembles.program import Program
from ensembles.programs.arguments import arguments_of, rebuilt
from ensembles.schedules import Schedule
from ensembles.stopping import EarlyStopping
from jaxsim import Circuit, PauliSum

__all__ = ["Sweep", "sweep"]


class Sweep(dict[str, Any]):
    """The programs of a sweep by name, for `ProgramEnsemble`; a dict that also knows the values.

    Attributes:
        axes: field -> its values, or their labels where a mapping was given; in the order of the names.
        shape: how many values each field has; zipped sweeps have one axis.

    Example:
        >>> from ensembles import VQE, ProgramEnsemble, adam
        >>> from ensembles.problems import tfim
        >>> from jaxsim import ansatz
        >>> vqe = VQE(ansatz.hardware_efficient(2, 1), tfim(2), optimizer=adam(0.1), steps=5)
        >>> programs = sweep(vqe, learning_rate=[0.05, 0.1, 0.2], seed=range(4))
        >>> programs.array(ProgramEnsemble(programs).run(progress=False)).shape
        (3, 4)
    """

    def __init__(
        self, programs: Mapping[str, Any], axes: Mapping[str, tuple[Any, ...]], shape: tuple[int, ...]
    ):
        super().__init__(programs)
        self.axes = dict(axes)
        self.shape = shape

    def array(self, result: Mapping[Any, Any], what: str | Callable[[Any], float] = "value") -> np.ndarray:
        """A number of each program's result as an array of `shape`, NaN where a program has none.

        Args:
            result: what running the programs gave.
            what: name of an attribute of the results ("value", "final_value", "ratio", ...), or a function of a
                result. Where it is an array, its axes come last.
        """
        read = what if callable(what) else lambda r: getattr(r, what, math.nan)
        entries = [np.asarray(read(result[name]), np.float64) for name in self]
        inner = max((entry.shape for entry in entries), key=len)
        return np.stack([np.broadcast_to(entry, inner) for entry in entries]).reshape(*self.shape, *inner)


def sweep(program: Any, /, *, zipped: bool = False, **fields: Any) -> Sweep:
    """Programs that differ in some fields: all combinations of their values, or (zipped) one of each at a time.

    A field is an argument of the program's constructor, a leaf (``hamiltonian``, ``initial_parameters``) or
    something static (``layers``, ``steps``); a hyperparameter of its optimiser (``learning_rate``); a key of its
    ``data``, where that is a dict; or ``seed``, which only goes into the name, from which a program's random numbers
    come, unless the constructor has a ``seed`` of its own. What differs in leaves shares compiled calls.

    Args:
        program: a program as the pattern; or a function that makes one from some of the fields.
        zipped: whether the k-th values belong together; all fields then have equally many.
        fields: field -> a sequence of values, or {label: value}.

    Returns:
        A dict {name: program}, to be given to `ProgramEnsemble`. Names are made of the values, as in
        "learning_rate=0.1,seed=3"; of values that are no numbers or text of their labels, or else their positions.

    Raises:
        TypeError: no program; a field that is not given as several values; values that the program refuses.
        ValueError: an unknown field, no values, equal values, zipped fields of different lengths.

    Example:
        >>> from ensembles import VQE, adam
        >>> from ensembles.problems import molecule
        >>> from jaxsim import ansatz
        >>> vqe = VQE(ansatz.uccsd(4, 2), molecule("H2", bond_length=0.75).hamiltonian, optimizer=adam(0.1), steps=50)
        >>> list(sweep(vqe, learning_rate=[0.1, 0.2], seed=range(2)))
        ['learning_rate=0.1,seed=0', 'learning_rate=0.1,seed=1', 'learning_rate=0.2,seed=0', 'learning_rate=0.2,seed=1']
        >>> bonds = {r: molecule("H2", bond_length=r).hamiltonian for r in (0.5, 0.75)}
        >>> list(sweep(vqe, hamiltonian=bonds))
        ['hamiltonian=0.5', 'hamiltonian=0.75']
    """
    if not isinstance(program, Program) and not callable(program):
        raise TypeError(
            f"sweep: the pattern is a program such as VQE(...), or a function that makes one, but a "
            f"{type(program).__name__} was given."
        )
    if not fields:
        raise ValueError("sweep: name at least one field to vary, as in learning_rate=[0.1, 0.2].")
    labels, values = {}, {}
    for field, given in fields.items():
        labels[field], values[field] = _values(field, given)
    if zipped and len({len(v) for v in values.values()}) > 1:
        lengths = ", ".join(f"{field} has {len(v)}" for field, v in values.items())
        raise ValueError(f"sweep: zipped fields must have equally many values, but {lengths}.")
    counts = [range(len(v)) for v in values.values()]
    places: Iterator[tuple[int, ...]] = zip(*counts) if zipped else itertools.product(*counts)
    maker = _Maker(program, list(fields))
    programs: dict[str, Any] = {}
    for place in places:
        chosen = {field: (values[field][k], k) for (field, k) in zip(fields, place)}
        name = ",".join(f"{field}={_text(labels[field][k])}" for field, k in zip(fields, place))
        if name in programs:
            raise ValueError(
                f"sweep: two programs would be called {name!r}, as values are equal or differ by less than 12 digits; "
                "give {label: value} to name them yourself."
            )
        programs[name] = maker.make(chosen)
    shape = (len(programs),) if zipped else tuple(len(v) for v in values.values())
    return Sweep(programs, {field: tuple(labels[field]) for field in fields}, shape)


# fields ---------------------------------------------------------------------------------------------------


class _Maker:
    """Makes programs from a pattern; what only differs in hyperparameters or the seed is not built anew."""

    def __init__(self, pattern: Any, fields: Sequence[str]) -> None:
        self._pattern = pattern
        self._built: dict[tuple[int, ...], Program] = {}
        own: list[str] = []
        if not isinstance(pattern, Program):
            own = _parameters_of(pattern, fields)
        self._own = own
        self._rest = [field for field in fields if field not in own]
        self._kinds: dict[str, str] | None = None

    def make(self, chosen: Mapping[str, tuple[Any, int]]) -> Program:
        first = self._first(chosen)
        if self._kinds is None:
            self._kinds = {field: _kind_of(first, field, self._own) for field in self._rest}
            _warn_of_idle_seeds(first, self._kinds)
        built = self._build(first, chosen)
        changes = {f: chosen[f][0] for f in self._rest if self._kinds[f] == "hyperparameter"}
        result = copy.copy(built)
        if changes:
            result.optimizer = with_hyperparameters(as_optimizer(built.optimizer), changes)
            if "_made_with" in vars(result):
                vars(result)["_made_with"] = {**vars(result)["_made_with"], "optimizer": result.optimizer}
        return result

    def _first(self, chosen: Mapping[str, tuple[Any, int]]) -> Program:
        """The pattern, or what the function makes of its own fields."""
        if isinstance(self._pattern, Program):
            return self._pattern
        key = (-1, *(chosen[field][1] for field in self._own))
        if key not in self._built:
            made = self._pattern(**{field: chosen[field][0] for field in self._own})
            if not isinstance(made, Program):
                raise TypeError(
                    f"sweep: the function must return a program such as VQE(...), but returned a {type(made).__name__}."
                )
            self._built[key] = made
        return self._built[key]

    def _build(self, first: Program, chosen: Mapping[str, tuple[Any, int]]) -> Program:
        assert self._kinds is not None
        arguments = [f for f in self._rest if self._kinds[f] in ("argument", "data")]
        if not arguments:
            return first
        key = tuple(chosen[field][1] for field in (*self._own, *arguments))
        if key not in self._built:
            changes = {f: chosen[f][0] for f in arguments if self._kinds[f] == "argument"}
            data = {f: chosen[f][0] for f in arguments if self._kinds[f] == "data"}
            if data:
                changes["data"] = {**arguments_of(first)["data"], **data}
            self._built[key] = rebuilt(first, changes)
        return self._built[key]


def _parameters_of(function: Callable[..., Any], fields: Sequence[str]) -> list[str]:
    """The fields that the function takes; ValueError if it needs others."""
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
        return list(fields)
    missing = [p.name for p in parameters if p.default is p.empty and p.name not in fields]
    if missing:
        raise ValueError(f"sweep: the function needs {missing[0]!r}; give it a list of values.")
    return [field for field in fields if any(p.name == field for p in parameters)]


def _kind_of(program: Program, field: str, own: Sequence[str]) -> str:
    """What a field is: an argument, a hyperparameter, an entry of the data, or the seed."""
    arguments = arguments_of(program)
    optimizer = getattr(program, "optimizer", None)
    hyperparameters = _hyperparameters_of(optimizer)
    data = arguments.get("data")
    entries = list(data) if isinstance(data, Mapping) else []
    for kind, known in (("argument", arguments), ("hyperparameter", hyperparameters), ("data", entries)):
        if field in known:
            return kind
    if field == "seed":
        return "seed"
    known = [*own, *arguments, *hyperparameters, *entries, "seed"]
    close = difflib.get_close_matches(field, known, n=3, cutoff=0.5)
    advice = f"Did you mean {' or '.join(map(repr, close))}? " if close else ""
    of = getattr(optimizer, "kind", "optimiser")
    if of == "optax":
        advice += "Numbers inside an optax transformation are not fields; take ensembles.adam and the like. "
    raise ValueError(
        f"sweep: a {type(program).__name__} has no field {field!r}. {advice}Fields are "
        f"{', '.join(known[: len(own) + len(arguments)])}; of {of}: {', '.join(hyperparameters) or 'none'}; "
        f"{'of the data: ' + ', '.join(map(str, entries)) + '; ' if entries else ''}and seed."
    )


def _hyperparameters_of(optimizer: Any) -> list[str]:
    if not isinstance(optimizer, Optimizer):
        return []
    rule = RULES.get(optimizer.kind)
    own = list(inspect.signature(rule.make).parameters) if rule else []
    return list(dict.fromkeys([*own, *optimizer.hyperparameters]))  # those of `clipped`, too


def _warn_of_idle_seeds(program: Program, kinds: Mapping[str, str]) -> None:
    """Seeds of a program that draws nothing at random give the same result each time."""
    fixed = getattr(program, "initial_parameters", None) is not None
    draws = program.hosted or not getattr(program, "exact", False) or not fixed
    draws = draws or getattr(program.optimizer, "kind", None) == "spsa"
    if set(kinds.values()) == {"seed"} and not draws:
        warnings.warn(
            f"sweep: a {type(program).__name__} with given initial_parameters and no shots draws nothing at random, so "
            "all seeds give the same result; leave initial_parameters out for random starts.",
            UserWarning,
            stacklevel=5,
        )


# values and names -------------------------------------------------------------------------------------------


def _values(field: str, given: Any) -> tuple[list[Any], list[Any]]:
    """The labels of a field's values, and the values."""
    one = isinstance(given, str | bytes | PauliSum | Circuit | Program | Optimizer)
    if one or not np.iterable(given):
        raise TypeError(
            f"sweep: {field} must be several values, such as a list, but {given!r:.60} was given; for one: [value]."
        )
    if isinstance(given, Mapping):
        labels, values = list(given), list(given.values())
    else:
        values = list(given)
        labels = [_label(value, k) for k, value in enumerate(values)]
    if not values:
        raise ValueError(f"sweep: {field} has no values; give at least one.")
    return labels, values


def _label(value: Any, position: int) -> Any:
    """What stands for a value in names: numbers, text themselves, optimisers and rules as they print, or a place."""
    if isinstance(value, np.generic | np.ndarray | jax.Array) and np.ndim(value) == 0:
        scalar = np.asarray(value)[()]
        value = (
            float(str(scalar)) if isinstance(scalar, np.floating) else scalar.item()
        )  # float32 0.1 reads 0.1
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, type):
        return value.__name__
    # An address differs from process to process, and with it would the name and all random numbers.
    prints = isinstance(value, _PRINTED) and " at 0x" not in repr(value)
    return repr(value) if prints else position


_PRINTED = Optimizer | HostedOptimizer | Schedule | EarlyStopping


def _text(label: Any) -> str:
    """A label in a name; 12 digits of a number, so that 0.1 + 0.2 reads 0.3."""
    if isinstance(label, np.generic):
        label = label.item()
    return f"{label:.12g}" if isinstance(label, float) else str(label)
