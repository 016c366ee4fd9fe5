"""What all problems on binary variables have: assignments, costs, the best one by trying all."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from ensembles.problems.spin_polynomial import MAX_QUBITS, SpinPolynomial
from jaxsim import PauliSum

if TYPE_CHECKING:
    from jaxtyping import Float64, Int8

__all__ = ["MAX_ENUMERATED", "Assignment", "Best", "BinaryProblem", "finite_number", "in_order", "plain"]

MAX_ENUMERATED = 26
"""2**26 float64 values: 0.5 GiB."""

Assignment = str | int | Mapping[Any, int] | Sequence[int] | np.ndarray
"""A bit string (rightmost character: qubit 0), a basis index, {label: 0 or 1}, or 0 and 1 in the order of the
variables."""


class Best(NamedTuple):
    """The best value of a problem and its bit string; the rightmost character belongs to qubit 0."""

    value: float
    bitstring: str


class BinaryProblem:
    """A cost on binary variables, one qubit a variable; base of all problems for `QAOA`.

    Qubit k is ``variables[k]``. A bit is what measuring the qubit gives; Z is +1 for a bit 0. Subclasses say what
    `objective` and `decode` mean.

    Attributes:
        variables: the labels, in the order of the qubits.
        polynomial: the cost in spins.
        maximize: whether the cost is to be made as large as possible, or as small.
    """

    kind: ClassVar[str] = "BinaryProblem"
    noun: ClassVar[str] = "variable"
    whole: ClassVar[str] = "problem"

    variables: tuple[Hashable, ...]
    polynomial: SpinPolynomial
    maximize: bool = False

    # what QAOA takes ------------------------------------------------------------------------------------

    @property
    def n_qubits(self) -> int:
        """Number of variables, one qubit each."""
        return len(self.variables)

    @property
    def loss_sign(self) -> float:
        """The loss of a minimiser is `loss_sign` times the expectation value of `hamiltonian`."""
        return -1.0 if self.maximize else 1.0

    @cached_property
    def hamiltonian(self) -> PauliSum:
        """The cost as an operator, identity term first.

        Errors: ValueError above 30 variables.
        """
        self._refuse_above(MAX_QUBITS, f"but at most {MAX_QUBITS} fit, one qubit each")
        return self.polynomial.hamiltonian()

    def diagonal(self) -> Float64[np.ndarray, "2**n"]:
        """The cost of every basis state, (2**n,) float64.

        Errors: ValueError above 26 variables.
        """
        self._refuse_above(
            MAX_ENUMERATED, f"and all 2**{self.n_qubits} assignments are too many to try; the limit is {MAX_ENUMERATED}"
        )  # fmt: skip
        return self.hamiltonian.diagonal(self.n_qubits)

    # values ---------------------------------------------------------------------------------------------

    def cost(self, assignment: Assignment) -> float:
        """What `hamiltonian` gives for an assignment, penalties included.

        Errors: ValueError where it does not assign 0 or 1 to every variable.
        """
        return float(self.polynomial.values(self.spins(assignment)))

    def objective(self, assignment: Assignment) -> float:
        """The value of an assignment in the problem's own terms; here the `cost`."""
        return self.cost(assignment)

    def is_feasible(self, assignment: Assignment) -> bool:
        """Whether an assignment obeys all constraints; True where there are none."""
        self.bits(assignment)
        return True

    def decode(self, assignment: Assignment) -> Any:
        """An assignment in the problem's own terms; here a dict {label: 0 or 1}."""
        return dict(zip(self.variables, self.bits(assignment).tolist()))

    def best(self) -> Best:
        """The best cost, found by trying all; among equals the lowest basis index.

        Errors: ValueError above 26 variables.
        """
        costs = self.diagonal()
        index = int(costs.argmax() if self.maximize else costs.argmin())
        return Best(float(costs[index]), f"{index:0{self.n_qubits}b}")

    # assignments ----------------------------------------------------------------------------------------

    def bits(self, assignment: Assignment) -> Int8[np.ndarray, " n"]:
        """An assignment as 0 and 1, entry k for qubit k.

        Errors: ValueError where it does not assign 0 or 1 to every variable.
        """
        n, name = self.n_qubits, f"{self.kind}: the assignment"
        if isinstance(assignment, int | np.integer):
            if not 0 <= assignment < 2**n:
                raise ValueError(
                    f"{self.kind}: basis index {assignment} is out of range for {n} {self.noun}s (0 to {2**n - 1})."
                )
            assignment = f"{int(assignment):0{n}b}"
        if isinstance(assignment, Mapping):
            if missing := [label for label in self.variables if label not in assignment]:
                raise ValueError(
                    f"{name} leaves out {self.noun} {missing[0]!r}; give 0 or 1 for every {self.noun}."
                )
            if len(assignment) > n:
                known = set(self.variables)
                stranger = next(label for label in assignment if label not in known)
                raise ValueError(
                    f"{name} names {stranger!r}, which is not a {self.noun} of the {self.whole}."
                )
            values: list[Any] = [assignment[label] for label in self.variables]
        elif isinstance(assignment, str):
            values = [{"0": 0, "1": 1}.get(character, character) for character in reversed(assignment)]
        else:
            values = np.asarray(assignment).tolist()
        if len(values) != n:
            raise ValueError(f"{name} has {len(values)} bits, but the {self.whole} has {n} {self.noun}s.")
        if wrong := [value for value in values if value not in (0, 1)]:
            raise ValueError(f"{name} contains {wrong[0]!r}; every {self.noun} needs 0 or 1.")
        return np.array(values, np.int8)

    def spins(self, assignment: Assignment) -> Int8[np.ndarray, " n"]:
        """An assignment as eigenvalues of Z: +1 for a bit 0, -1 for a bit 1; errors as `bits`."""
        return 1 - 2 * self.bits(assignment)

    def _refuse_above(self, most: int, reason: str) -> None:
        if self.n_qubits > most:
            raise ValueError(
                f"{self.kind}: the {self.whole} has {self.n_qubits} {self.noun}s, {reason}; cut it into parts "
                "first (ensembles.partition)."
            )

    def __repr__(self) -> str:
        sense = "maximize" if self.maximize else "minimize"
        terms = int(np.count_nonzero(self.polynomial.fields)) + len(self.polynomial.pairs)
        return (
            f"{self.kind}({self.n_qubits} {self.noun}s, {terms + len(self.polynomial.higher)} terms, {sense})"
        )


# reading what users give --------------------------------------------------------------------------------


def plain(label: Any) -> Hashable:
    """The label; NumPy numbers become Python's."""
    return label.item() if isinstance(label, np.generic) else label


def in_order(labels: Sequence[Any]) -> tuple[Hashable, ...]:
    """The labels sorted, or as they are where they do not compare."""
    try:
        return tuple(sorted(labels))
    except TypeError:
        return tuple(labels)


def finite_number(value: Any, what: str, rule: str = "it must be a finite real number") -> float:
    """A finite real number as a float; ValueError "`what` is ...; `rule`." for anything else.

    >>> finite_number(np.float32(0.5), "the weight")
    0.5
    """
    try:
        number = math.nan if isinstance(value, str | bytes) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{what} is {value!r}; {rule}.")
    return number
