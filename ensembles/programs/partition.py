"""`partition`: a problem too large for its qubits, cut into parts, a QAOA for each, and one solution from all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

import jaxsim
from ensembles.problems.binary import MAX_ENUMERATED, BinaryProblem
from ensembles.problems.qubo import Ising
from ensembles.programs import stitching
from ensembles.programs.clusters import METHODS, clusters, inside_share
from ensembles.programs.partitioned_solution import PartitionedSolution
from ensembles.programs.qaoa import QAOA
from ensembles.programs.stitching import Energy
from ensembles.result import counted

if TYPE_CHECKING:
    from jaxtyping import Int8, Int64

    from ensembles.result import EnsembleResult

__all__ = ["Partition", "partition", "solve_partitioned"]

_ROWS_AT_A_TIME = 256


@dataclass(frozen=True, eq=False)
class Partition:
    """A problem in parts; made by `partition`.

    Attributes:
        problem: the whole problem.
        parts: the variables of each part, as positions in ``problem.variables``, ascending.
        method: how it was cut.
    """

    problem: BinaryProblem
    parts: tuple[Int64[np.ndarray, " nodes"], ...]
    method: str
    _kept: dict[str, QAOA] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.parts)

    @cached_property
    def inside(self) -> float:
        """The share of the couplings' total weight that lies inside parts; the rest is left to `stitch`."""
        polynomial = self.problem.polynomial
        return inside_share(polynomial.pairs, polynomial.couplings, self.parts, polynomial.n)

    def __repr__(self) -> str:
        sizes = [len(part) for part in self.parts]
        return (
            f"Partition({self.problem!r} in {counted(len(self), 'part')} of {min(sizes)} to {max(sizes)} "
            f"by {self.method}, {self.inside:.0%} of the weight inside)"
        )

    def subproblem(self, part: int) -> Ising:
        """The terms of the cost among the variables of a part."""
        return self._subproblems[part]

    @cached_property
    def _subproblems(self) -> list[Ising]:
        variables, maximize = self.problem.variables, self.problem.maximize
        polynomials = self.problem.polynomial.split(self.parts)
        return [
            Ising.from_polynomial(p, tuple(variables[k] for k in nodes.tolist()), maximize=maximize)
            for p, nodes in zip(polynomials, self.parts, strict=True)
        ]

    def programs(
        self, *, layers: int, optimizer: Any, steps: int | None = None, prefix: str = "part", **options: Any
    ) -> dict[str, QAOA]:
        """A QAOA for each part, {"part 0": ...}, for `ProgramEnsemble`; parts of one size share compiled calls.

        Args:
            layers, optimizer, steps, options: as for `QAOA`; errors, too.
            prefix: what names begin with, so that several partitions can be in one ensemble.
        """
        made = {
            f"{prefix} {k}": QAOA(problem, layers=layers, optimizer=optimizer, steps=steps, **options)
            for k, problem in enumerate(self._subproblems)
        }
        self._kept.clear()
        self._kept.update(made)
        return made

    def candidates(
        self, result: Mapping[Any, Any], count: int = 16, *, programs: Mapping[str, QAOA] | None = None
    ) -> list[Int8[np.ndarray, "candidates nodes"]]:
        """The most probable configurations of each part at its best parameters, as spins +1 and -1.

        Args:
            result: what running the programs gave; may hold others besides.
            count: how many of each part.
            programs: as made by `programs`; by default those made last.

        Raises:
            ValueError: no programs yet, a part without a result.
        """
        made = self._kept if programs is None else programs
        if len(made) != len(self.parts):
            raise ValueError(
                "stitch: there are no programs yet; call programs(...), run them, and give the result."
            )
        groups: dict[Any, list[int]] = {}
        parameters, of_part = [], list(made.values())
        for k, (name, program) in enumerate(made.items()):
            if name not in result or getattr(result[name], "parameters", None) is None:
                raise ValueError(
                    f"stitch: the result has no parameters for {name!r}; run all programs of the partition."
                )
            parameters.append(np.asarray(result[name].parameters))
            groups.setdefault(program.lowered.key, []).append(k)
        found: list[Any] = [None] * len(self.parts)
        for members in groups.values():
            for start in range(0, len(members), _ROWS_AT_A_TIME):
                some = members[start : start + _ROWS_AT_A_TIME]
                rows = jaxsim.stack([of_part[k].lowered for k in some])
                odds = jaxsim.evaluate(rows, [parameters[k] for k in some], "probabilities")
                for k, spins in zip(some, stitching.candidate_spins(odds, count), strict=True):
                    found[k] = spins
        return found

    def stitch(
        self,
        result: Mapping[Any, Any],
        *,
        beam_width: int = 32,
        candidates: int = 16,
        revisits: int = 0,
        programs: Mapping[str, QAOA] | None = None,
    ) -> PartitionedSolution:
        """One solution from the candidates of all parts, by beam search over the whole cost.

        Parts are placed one after the other with one of their most probable configurations each; of all partial
        solutions the `beam_width` best are kept. Couplings between parts count as soon as both ends are placed.

        Args:
            result: what running the programs gave.
            beam_width: how many partial solutions are kept; 1 is greedy.
            candidates: how many configurations of each part are tried.
            revisits: how often each part may choose among its candidates again afterwards, all others fixed.
            programs: as made by `programs`; by default those made last.

        Raises:
            TypeError, ValueError: numbers below 1 (revisits: 0), a part without a result.
        """
        for what, value, least in (
            ("beam_width", beam_width, 1),
            ("candidates", candidates, 1),
            ("revisits", revisits, 0),
        ):
            _integer("stitch", what, value, least)
        spins_of = self.candidates(result, candidates, programs=programs)
        energy = Energy.of(self.problem.polynomial, self.problem.loss_sign)
        spins = stitching.beam_search(energy, self.parts, spins_of, beam_width)
        method = f"{counted(len(self), 'part')}, beam of {beam_width}, {candidates} candidates each"
        if revisits:
            spins, rounds = stitching.revisited(energy, self.parts, spins_of, spins, revisits)
            method += f", {rounds} rounds of revisits"
        return PartitionedSolution(self.problem, ((1 - spins) // 2).astype(np.int8), method)


def partition(
    problem: BinaryProblem, max_qubits: int = 12, *, method: str | Sequence[Any] = "growth", seed: int = 0
) -> Partition:
    """A problem with a quadratic cost, of any size, cut into parts of at most `max_qubits` variables.

    Args:
        problem: MaxCut, MaxIndependentSet, QUBO, ... with products of at most two variables.
        max_qubits: largest part, 1 to 26.
        method: how: "growth" grows parts one after the other (fast, fills them); "community" takes Louvain communities;
            "spectral" and "kernighan_lin" bisect again and again; or the parts themselves, lists of the
            problem's variables.
        seed: for methods that draw.

    Raises:
        TypeError: no problem.
        ValueError: unknown method, max_qubits out of range, a cost of higher degree; given parts that are too large
            or do not hold every variable once.
        ImportError: methods that need networkx without it.

    Example:
        >>> from ensembles import ProgramEnsemble, adam
        >>> from ensembles.problems import MaxCut
        >>> ring = MaxCut([(k, (k + 1) % 40) for k in range(40)])
        >>> parts = partition(ring, 8)
        >>> parts
        Partition(MaxCut(40 nodes, 40 edges) in 5 parts of 8 to 8 by growth, 88% of the weight inside)
        >>> programs = parts.programs(layers=2, optimizer=adam(0.1), steps=60)
        >>> result = ProgramEnsemble(programs).run(progress=False)
        >>> parts.stitch(result).objective
        40.0
    """
    if not isinstance(problem, BinaryProblem):
        raise TypeError(
            f"partition: a problem such as MaxCut(graph) or QUBO(Q) is needed, but a {type(problem).__name__} was "
            "given."
        )
    polynomial = problem.polynomial
    if polynomial.degree > 2:
        raise ValueError(
            f"partition: the cost has products of {polynomial.degree} variables; parts are cut at products of two only."
        )
    most = _integer("partition", "max_qubits", max_qubits, 1)
    if most > MAX_ENUMERATED:
        raise ValueError(f"partition: max_qubits must be from 1 to {MAX_ENUMERATED}, but {most} was given.")
    if not isinstance(method, str):
        return Partition(problem, _given_parts(problem, method, most), "hand")
    if method not in METHODS:
        raise ValueError(
            f"partition: method={method!r} is not known; choose one of {', '.join(map(repr, METHODS))}, or "
            "give the parts."
        )
    weights = abs(Energy.of(polynomial, 1.0).couplings)
    return Partition(problem, tuple(clusters(weights, most, method, seed)), method)


def solve_partitioned(
    problem: BinaryProblem,
    max_qubits: int = 12,
    *,
    layers: int,
    optimizer: Any,
    steps: int | None = None,
    method: str | Sequence[Any] = "growth",
    beam_width: int = 32,
    candidates: int = 16,
    revisits: int = 0,
    seed: int = 0,
    **options: Any,
) -> tuple[PartitionedSolution, EnsembleResult]:
    """`partition`, a QAOA for each part in one ensemble, and `stitch`; returns the solution and the ensemble's result.

    Args:
        problem, max_qubits, method: as for `partition`.
        layers, optimizer, steps: as for `QAOA`.
        beam_width, candidates, revisits: as for `Partition.stitch`.
        seed: of the cut and the run.
        options: as for `ProgramEnsemble.run`.

    Example:
        >>> from ensembles import adam
        >>> from ensembles.problems import MaxCut
        >>> ring = MaxCut([(k, (k + 1) % 24) for k in range(24)])
        >>> options = {"layers": 2, "optimizer": adam(0.1), "steps": 60, "progress": False}
        >>> solve_partitioned(ring, 8, **options)[0].objective
        24.0
    """
    from ensembles.ensemble import ProgramEnsemble

    parts = partition(problem, max_qubits, method=method, seed=seed)
    programs = parts.programs(layers=layers, optimizer=optimizer, steps=steps)
    result = ProgramEnsemble(programs).run(seed=seed, **options)
    return parts.stitch(result, beam_width=beam_width, candidates=candidates, revisits=revisits), result


def _given_parts(
    problem: BinaryProblem, given: Sequence[Any], most: int
) -> tuple[Int64[np.ndarray, " nodes"], ...]:
    place = {label: k for k, label in enumerate(problem.variables)}
    parts, seen = [], set()
    for part in given:
        for label in part:
            if label not in place:
                raise ValueError(f"partition: {label!r} is no variable of the problem.")
            if label in seen:
                raise ValueError(f"partition: {label!r} is in two parts; every variable belongs to one.")
            seen.add(label)
        if not 1 <= len(part) <= most:
            raise ValueError(
                f"partition: a part has {len(part)} variables, but must have 1 to max_qubits={most}."
            )
        parts.append(np.sort(np.array([place[label] for label in part], np.int64)))
    if len(seen) < len(place):
        missing = next(label for label in problem.variables if label not in seen)
        raise ValueError(f"partition: {missing!r} is in no part; every variable belongs to one.")
    return tuple(parts)


def _integer(caller: str, what: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{caller}: {what} is an integer, {least} or more, but {value!r} was given.")
    if value < least:
        raise ValueError(f"{caller}: {what} is an integer, {least} or more, but {value} was given.")
    return int(value)
