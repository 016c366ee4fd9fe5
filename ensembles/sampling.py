"""`sample`: bitstrings measured at what programs found, all programs together in merged calls."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import jaxsim
from ensembles.keys import digest
from ensembles.names import Name, display_name, name_words
from ensembles.program import Program
from ensembles.result import counted
from ensembles.table import html_table, text_table
from jaxsim.draws import draw_counts

if TYPE_CHECKING:
    from jaxtyping import Int64

__all__ = ["EnsembleSamples", "Outcome", "ProgramSamples", "sample"]

_MOST_BYTES = 2**28
"""Bytes of probabilities that a call may return."""

_PURPOSE = "ensembles/sample"
# where to sample -> attribute of a result
_PLACES = {"best": "parameters", "final": "final_parameters"}
_SHOWN = 10


class Outcome(NamedTuple):
    """One bitstring among the samples.

    Attributes:
        bitstring: qubit 0 rightmost.
        count: how often it was measured.
        share: count over shots.
        objective: its value in the problem's own terms (the cut, ...); None for programs without a problem.
        feasible: whether it obeys the problem's constraints; None where there are none.
    """

    bitstring: str
    count: int
    share: float
    objective: float | None = None
    feasible: bool | None = None


@dataclass(frozen=True, eq=False, repr=False)
class ProgramSamples:
    """What was measured of one program.

    Attributes:
        name: the program's name.
        shots: how often it was measured.
        num_qubits: how many qubits.
        outcomes: (different,) basis indices, most frequent first, of equally frequent ones the lowest first.
        frequencies: (different,) how often each was measured.
        problem: what the program optimises over bitstrings; None if it is no such program.
    """

    name: Name
    shots: int
    num_qubits: int
    outcomes: Int64[np.ndarray, " different"]
    frequencies: Int64[np.ndarray, " different"]
    problem: Any = None

    @cached_property
    def counts(self) -> dict[str, int]:
        """Bitstring (qubit 0 rightmost) -> how often, most frequent first."""
        return {
            self._text(k): int(count)
            for k, count in zip(self.outcomes.tolist(), self.frequencies, strict=True)
        }

    def top(self, n: int = _SHOWN) -> list[Outcome]:
        """The n most frequent bitstrings, or as many as there are.

        Errors: TypeError, ValueError if n is no integer of at least 1.
        """
        n = _at_least_one("top", "n", n)
        return [self._outcome(k) for k in range(min(n, len(self.outcomes)))]

    def best(self) -> Outcome:
        """The best bitstring that was measured at all, feasible ones first; the most frequent of equal ones.

        Errors: TypeError for programs without a problem.
        """
        if self.problem is None:
            raise TypeError(
                f"best: program {self.name!r} optimises an expectation value, so no bitstring is the best; see top(n)."
            )
        sign = getattr(self.problem, "loss_sign", -1.0)
        costs = [sign * _cost(self.problem, index) for index in self.outcomes.tolist()]
        feasible = [_feasible(self.problem, index) is not False for index in self.outcomes.tolist()]
        return self._outcome(min(range(len(costs)), key=lambda k: (not feasible[k], costs[k], k)))

    def _outcome(self, k: int) -> Outcome:
        index, count = int(self.outcomes[k]), int(self.frequencies[k])
        objective = feasible = None
        if self.problem is not None:
            objective, feasible = _objective(self.problem, index), _feasible(self.problem, index)
        return Outcome(self._text(index), count, count / self.shots, objective, feasible)

    def _text(self, index: int) -> str:
        return f"{index:0{self.num_qubits}b}"

    def _table(self) -> tuple[list[str], list[list[str]]]:
        shown = self.top(_SHOWN)
        heads = ["bitstring", "count", "share"]
        heads += [] if self.problem is None else [_objective_name(self.problem)]
        rows = [[o.bitstring, str(o.count), f"{o.share:.4f}"] for o in shown]
        if self.problem is not None:
            rows = [[*row, f"{o.objective:.6g}"] for row, o in zip(rows, shown, strict=True)]
            if any(o.feasible is not None for o in shown):
                heads.append("feasible")
                rows = [[*row, "yes" if o.feasible else "no"] for row, o in zip(rows, shown, strict=True)]
        return heads, rows

    def _summary(self) -> str:
        return (
            f"{display_name(self.name)}: {counted(self.shots, 'shot')} of {counted(self.num_qubits, 'qubit')}, "
            f"{counted(len(self.outcomes), 'different bitstring')}"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ProgramSamples):
            return NotImplemented
        return (self.name, self.shots, self.num_qubits, self.counts) == (
            other.name, other.shots, other.num_qubits, other.counts
        )  # fmt: skip

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"ProgramSamples({self._summary()})"

    def __str__(self) -> str:
        return f"{text_table(*self._table())}\n{self._summary()}"

    def _repr_html_(self) -> str:
        return html_table(*self._table(), notes=(self._summary(),))


class EnsembleSamples(Mapping[Name, ProgramSamples]):
    """The samples of programs by name; printing them shows the most frequent bitstring of each.

    Attributes:
        shots: of each program.
        calls: compiled calls that were made.
    """

    def __init__(self, samples: Iterable[ProgramSamples], shots: int, calls: int = 0) -> None:
        self._samples = {own.name: own for own in samples}
        self.shots, self.calls = shots, calls

    def __getitem__(self, name: Name) -> ProgramSamples:
        if name not in self._samples:
            some = ", ".join(repr(known) for known in list(self._samples)[:3])
            raise KeyError(f"No program {name!r} was sampled. Names are for example {some}.")
        return self._samples[name]

    def __contains__(self, name: object) -> bool:
        return name in self._samples

    def __iter__(self) -> Iterator[Name]:
        return iter(self._samples)

    def __len__(self) -> int:
        return len(self._samples)

    def top(self, n: int = 1) -> dict[Name, list[Outcome]]:
        """The n most frequent bitstrings of each program."""
        return {name: own.top(n) for name, own in self.items()}

    def _table(self) -> tuple[list[str], list[list[str]]]:
        with_problem = any(own.problem is not None for own in self.values())
        heads = [
            "program",
            "bitstring",
            "count",
            "share",
            *(["objective"] if with_problem else []),
            "different",
        ]
        rows = []
        for name, own in self.items():
            (first,) = own.top(1)
            value = "" if first.objective is None else f"{first.objective:.6g}"
            rows.append(
                [display_name(name), first.bitstring, str(first.count), f"{first.share:.4f}"]
                + ([value] if with_problem else [])
                + [str(len(own.outcomes))]
            )
        return heads, rows

    def _summary(self) -> str:
        return f"{counted(len(self), 'program')}, {counted(self.shots, 'shot')} each, in {counted(self.calls, 'call')}"

    def __repr__(self) -> str:
        return f"EnsembleSamples({self._summary()})"

    def __str__(self) -> str:
        return f"{text_table(*self._table())}\n{self._summary()}"

    def _repr_html_(self) -> str:
        return html_table(*self._table(), notes=(self._summary(),))


def sample(
    programs: Mapping[Name, Program],
    result: Mapping[Name, Any],
    shots: int,
    *,
    seed: int = 0,
    at: str = "best",
    names: Iterable[Name] | None = None,
) -> EnsembleSamples:
    """Measures all qubits of programs in the states that training found.

    Programs whose circuits can share a call do, whatever they minimise. Draws belong to the seed and the program's
    name: the same in every company, and the first ones of more shots are those of fewer.

    Args:
        programs: by name, such as ``ensemble.programs``.
        result: what running them gave, or a part of it.
        shots: how often each is measured, at least 1.
        seed: an integer from 0 to 2**64 - 1.
        at: "best": at `parameters`, where the lowest loss was seen; "final": at `final_parameters`.
        names: which programs; None: all in the result.

    Returns:
        Samples by name, each with `counts`, ``top(n)`` and, where the program optimises over bitstrings, ``best()``.

    Raises:
        TypeError: programs without a circuit whose state is the answer (`QNN`, `Program` with a loss of its own); shots
            or seed that are no integers.
        ValueError: programs that failed or have no parameters, names that programs or result lack, shots or seed out
            of range, another `at`.

    Example:
        >>> from ensembles import QAOA, ProgramEnsemble, adam
        >>> from ensembles.problems import MaxCut
        >>> square = MaxCut([(0, 1), (1, 2), (2, 3), (3, 0)])
        >>> ensemble = ProgramEnsemble({"square": QAOA(square, layers=2, optimizer=adam(0.1), steps=100)})
        >>> samples = sample(ensemble.programs, ensemble.run(progress=False), shots=1000, seed=7)
        >>> {o.bitstring for o in samples["square"].top(2)} == {"0101", "1010"}, samples["square"].best().objective
        (True, 4.0)
    """
    shots = _at_least_one("sample", "shots", shots)
    root = _root(seed)
    if at not in _PLACES:
        raise ValueError(f"sample: at must be 'best' or 'final', but {at!r} was given.")
    chosen = _chosen(programs, result, names)
    rows = {name: _row(name, programs[name]) for name in chosen}
    where = {name: _parameters(name, result[name], at, rows[name]) for name in chosen}
    groups: dict[Any, list[Name]] = {}
    for name, row in rows.items():
        groups.setdefault(row.key, []).append(name)
    found: dict[Name, ProgramSamples] = {}
    calls = 0
    for members in groups.values():
        at_a_time = max(
            1, _MOST_BYTES // (rows[members[0]].real_dtype.itemsize * 2 ** rows[members[0]].num_wires)
        )
        for start in range(0, len(members), at_a_time):
            some = members[start : start + at_a_time]
            odds = _probabilities([rows[name] for name in some], [where[name] for name in some])
            calls += 1
            for name, own in zip(some, odds, strict=True):
                found[name] = _drawn(name, programs[name], own, root, shots)
    return EnsembleSamples([found[name] for name in chosen], shots, calls)


def _probabilities(rows: list[jaxsim.Lowered], vectors: list[np.ndarray]) -> np.ndarray:
    values = np.zeros((len(rows), max(len(vector) for vector in vectors)))
    for place, vector in zip(values, vectors, strict=True):
        place[: len(vector)] = vector
    return jaxsim.evaluate(jaxsim.stack(rows), values, "probabilities")


def _drawn(name: Name, program: Any, odds: np.ndarray, root: bytes, shots: int) -> ProgramSamples:
    if not np.isfinite(odds).all():
        raise FloatingPointError(f"sample: the state of program {name!r} is not finite at its parameters.")
    words = name_words(name).astype("<u4").tobytes()
    different, frequencies = draw_counts(odds, digest(root + words, 16, _PURPOSE), shots)
    order = np.argsort(-frequencies, kind="stable")
    num_qubits = len(odds).bit_length() - 1
    return ProgramSamples(
        name=name,
        shots=shots,
        num_qubits=num_qubits,
        outcomes=different[order],
        frequencies=frequencies[order],
        problem=_problem(program, num_qubits),
    )


# what is given ----------------------------------------------------------------------------------------------


def _at_least_one(who: str, what: str, given: Any) -> int:
    if isinstance(given, bool | np.bool_) or not isinstance(given, numbers.Integral):
        raise TypeError(f"{who}: {what} is an integer, but {given!r:.60} was given.")
    if given < 1:
        raise ValueError(f"{who}: {what} must be at least 1, but {given} was given.")
    return int(given)


def _root(seed: Any) -> bytes:
    if isinstance(seed, bool | np.bool_) or not isinstance(seed, numbers.Integral):
        raise TypeError(f"sample: seed is an integer, but {seed!r:.60} was given.")
    if not 0 <= int(seed) < 2**64:
        raise ValueError(f"sample: seed must be from 0 to 2**64 - 1, but {seed} was given.")
    return int(seed).to_bytes(8, "little")


def _chosen(programs: Mapping[Name, Any], result: Mapping[Name, Any], names: Any) -> list[Name]:
    for given, what in ((programs, "programs are"), (result, "the result is what run gave,")):
        if not isinstance(given, Mapping):
            raise TypeError(
                f"sample: {what} a mapping by name, but a {type(given).__name__} was given; for the result of one "
                "program: {name: result[name]}, or names=[name]."
            )
    wanted: Any = result if names is None else [names] if isinstance(names, str | int) else names
    chosen = list(dict.fromkeys(wanted))
    for where, what in ((programs, "the ensemble has no program"), (result, "the result has no program")):
        missing = [name for name in chosen if name not in where]
        if missing:
            raise ValueError(
                f"sample: {what} {missing[0]!r} ({len(missing)} missing in all); give the result of these programs."
            )
    if not chosen:
        raise ValueError("sample: there is no program to sample; name at least one.")
    return chosen


def _row(name: Name, program: Any) -> jaxsim.Lowered:
    """The circuit as a row without observables, which do not change the state and need not be equal."""
    row = getattr(program, "_lowered", None)
    has_circuit = any(getattr(program, where, None) is not None for where in ("circuit", "ansatz"))
    if not isinstance(row, jaxsim.Lowered) or not has_circuit:
        raise TypeError(
            f"sample: program {name!r}, a {type(program).__name__}, has no circuit whose state at its parameters could "
            "be measured; leave it out with names=[...]."
        )
    return dataclasses.replace(row, observables=(), single=False)


def _parameters(name: Name, result: Any, at: str, row: jaxsim.Lowered) -> np.ndarray:
    given = getattr(result, _PLACES[at])
    status = getattr(result, "status", "completed")
    if status == "failed":
        raise ValueError(
            f"sample: program {name!r} failed ({result.error}), so there is no state to sample; leave it out with "
            "names=[...]."
        )
    if given is None:
        raise ValueError(
            f"sample: program {name!r} has no {_PLACES[at]} to sample at, as its status is {status!r}; leave it out "
            "with names=[...]."
        )
    vector = np.asarray(given, np.float64)
    needed = int(row.num_parameters)
    if vector.shape != (needed,) or not np.isfinite(vector).all():
        raise ValueError(
            f"sample: the {_PLACES[at]} of program {name!r} must be {needed} finite numbers, as its circuit takes, but "
            f"have shape {vector.shape}."
            if vector.shape != (needed,)
            else f"sample: the {_PLACES[at]} of program {name!r} are not finite."
        )
    return vector


# problems on bitstrings -------------------------------------------------------------------------------------


def _problem(program: Any, num_qubits: int) -> Any:
    """What the program optimises over bitstrings, if that is what it does."""
    problem: Any = getattr(program, "problem", None)
    return problem if hasattr(problem, "diagonal") and problem.n_qubits == num_qubits else None


def _cost(problem: Any, index: int) -> float:
    cost = getattr(problem, "cost", None)
    return float(np.asarray(problem.diagonal())[index] if cost is None else cost(index))


def _objective_name(problem: Any) -> str:
    return "cut" if hasattr(problem, "cut") else "objective"


def _objective(problem: Any, index: int) -> float:
    for method in ("cut", "objective"):
        if hasattr(problem, method):
            return float(getattr(problem, method)(index))
    return _cost(problem, index)


def _feasible(problem: Any, index: int) -> bool | None:
    return bool(problem.is_feasible(index)) if hasattr(problem, "penalty") else None
