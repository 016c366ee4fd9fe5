"""Polynomials in binary variables: QUBO (degree 2), HUBO (any degree), Ising models."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, ClassVar

import numpy as np

from ensembles.problems.binary import BinaryProblem, finite_number, in_order, plain
from ensembles.problems.spin_polynomial import SpinPolynomial
from jaxsim import PauliSum

__all__ = ["HUBO", "QUBO", "Ising"]


class QUBO(BinaryProblem):
    """Quadratic unconstrained binary optimisation: x^T Q x + offset over x in {0, 1}^n, as small as possible.

    Entries (i, j) and (j, i) add up; those on the diagonal are linear terms, as x * x = x.

    Args:
        Q: (n, n) real array, or a SciPy sparse one; or {(label, label): value}, with {(a, a): value} for linear
            terms. Qubit k is row k, or the k-th label, sorted where labels compare.
        offset: added to every value.
        maximize: whether the value is to be as large as possible instead.

    Raises:
        TypeError: neither an array nor a mapping.
        ValueError: not square, no variables, complex numbers, NaN or infinity, keys that are not pairs.

    Example:
        >>> q = QUBO({("a", "a"): -1, ("b", "b"): -1, ("a", "b"): 2})
        >>> q.best(), q.decode("01"), q.objective({"a": 1, "b": 1})
        (Best(value=-1.0, bitstring='01'), {'a': 1, 'b': 0}, 0.0)
        >>> QUBO([[1, -3], [0, 1]]).diagonal().tolist()
        [0.0, 1.0, 1.0, -1.0]
    """

    kind: ClassVar[str] = "QUBO"

    def __init__(self, Q: Any, *, offset: float = 0.0, maximize: bool = False) -> None:
        self.maximize = bool(maximize)
        constant = finite_number(offset, "QUBO: the offset")
        self.variables, rows, columns, values = _quadratic_entries(Q)
        linear = np.bincount(rows[rows == columns], values[rows == columns], minlength=len(self.variables))
        apart = rows != columns
        pairs = np.stack([rows[apart], columns[apart]], axis=1)
        self.polynomial = SpinPolynomial.from_binary_quadratic(constant, linear, pairs, values[apart])


class HUBO(BinaryProblem):
    """Higher-order binary optimisation: a polynomial in bits of any degree, as small as possible.

    Args:
        terms: {labels: coefficient}: ``{(): 1.0, ("a",): -2.0, ("a", "b", "c"): 3.0}`` is 1 - 2 a + 3 a b c. A key is a
            tuple or frozenset of labels (their order and repetitions do not matter, as x * x = x); a string or an
            integer stands for itself.
        maximize: whether the value is to be as large as possible instead.

    Raises:
        TypeError: not a mapping, other keys.
        ValueError: no variables, coefficients that are no finite real numbers; products of more than 20 variables.

    Example:
        >>> h = HUBO({("a", "b", "c"): -2, "a": 1})
        >>> h.best(), h.hamiltonian.num_terms
        (Best(value=-1.0, bitstring='111'), 8)
    """

    kind: ClassVar[str] = "HUBO"

    def __init__(self, terms: Mapping[Any, float], *, maximize: bool = False) -> None:
        if not isinstance(terms, Mapping):
            raise TypeError(
                f"HUBO: give a mapping such as {{('a', 'b', 'c'): 1.0}}, but a {type(terms).__name__} was given."
            )
        self.maximize = bool(maximize)
        found: dict[frozenset, float] = {}
        for key, value in terms.items():
            labels = frozenset(map(plain, _labels_of(key)))
            if len(labels) > MAX_DEGREE:
                raise ValueError(
                    f"HUBO: a product of {len(labels)} variables has 2**{len(labels)} terms in spins, which is too "
                    f"many; at most {MAX_DEGREE} variables."
                )
            found[labels] = found.get(labels, 0.0) + finite_number(value, f"HUBO: the coefficient of {key!r}")
        self.variables = in_order(list(dict.fromkeys(label for labels in found for label in labels)))
        if not self.variables:
            raise ValueError("HUBO: the polynomial has no variables; give at least one term with one.")
        place = {label: k for k, label in enumerate(self.variables)}
        self.polynomial = SpinPolynomial.from_binary_terms(
            len(self.variables),
            {tuple(sorted(place[label] for label in labels)): value for labels, value in found.items()},
        )


class Ising(BinaryProblem):
    """A cost that is given in Z operators: fields, couplings, and products of any number of them.

    Args:
        hamiltonian: a diagonal sum with real coefficients, on qubits 0 to `n_qubits` - 1.
        n_qubits: number of qubits; by default the highest that occurs, + 1.
        maximize: whether the value is to be as large as possible; by default as small.

    Raises:
        TypeError: not a PauliSum.
        ValueError: words with X or Y, complex coefficients, too few qubits.

    Example:
        >>> from jaxsim import Z
        >>> Ising(Z(0) @ Z(1) + 0.5 * Z(0)).best()
        Best(value=-1.5, bitstring='01')
    """

    kind: ClassVar[str] = "Ising"
    noun: ClassVar[str] = "qubit"

    def __init__(self, hamiltonian: PauliSum, *, n_qubits: int | None = None, maximize: bool = False) -> None:
        if not isinstance(hamiltonian, PauliSum):
            raise TypeError(
                f"Ising: the hamiltonian is a PauliSum, but a {type(hamiltonian).__name__} was given."
            )
        if not hamiltonian.is_diagonal:
            raise ValueError(
                "Ising: the hamiltonian must be diagonal, a sum of words of I and Z, but it has words with X or Y."
            )
        width = max(1, hamiltonian.num_wires) if n_qubits is None else n_qubits
        if width < hamiltonian.num_wires:
            raise ValueError(
                f"Ising: the hamiltonian acts on {hamiltonian.num_wires} qubits, but n_qubits={n_qubits} was given."
            )
        self.maximize = bool(maximize)
        self.variables = tuple(range(width))
        merged = hamiltonian.simplify().require_real()
        terms = {
            tuple(q for q in range(width) if mask >> q & 1): value
            for mask, value in zip(
                np.asarray(merged.z_mask).tolist(), np.asarray(merged.coefficients).tolist()
            )
        }
        self.polynomial = SpinPolynomial.from_terms(width, terms)

    @classmethod
    def from_polynomial(
        cls, polynomial: SpinPolynomial, variables: tuple[Hashable, ...], *, maximize: bool
    ) -> Ising:
        """The problem of a polynomial in spins, for variables with these labels; nothing is checked."""
        self = object.__new__(cls)
        self.maximize, self.variables, self.polynomial = maximize, variables, polynomial
        return self


MAX_DEGREE = 20


def _quadratic_entries(Q: Any) -> tuple[tuple[Hashable, ...], np.ndarray, np.ndarray, np.ndarray]:
    """Labels, rows, columns and values of the entries."""
    if isinstance(Q, Mapping):
        for key in Q:
            if not isinstance(key, tuple) or len(key) != 2:
                raise ValueError(
                    f"QUBO: a key is a pair of labels, (a, a) for a linear term, but {key!r} was given; use HUBO for "
                    "products of more."
                )
        labels = in_order(list(dict.fromkeys(plain(label) for key in Q for label in key)))
        place = {label: k for k, label in enumerate(labels)}
        rows, columns = (np.array([place[plain(key[k])] for key in Q], np.int64) for k in (0, 1))
        values = np.array([finite_number(value, f"QUBO: the entry {key!r}") for key, value in Q.items()])
    elif hasattr(Q, "tocoo"):
        sparse = Q.tocoo()
        _check_square(sparse.shape)
        labels = tuple(range(sparse.shape[0]))
        rows, columns, values = sparse.row.astype(np.int64), sparse.col.astype(np.int64), sparse.data
    else:
        try:
            dense = np.asarray(Q)
        except ValueError:  # rows of different lengths
            dense = np.zeros(0, object)
        if dense.dtype.kind not in "biufc":
            raise TypeError(
                f"QUBO: give an (n, n) array of numbers or a mapping {{(label, label): value}}, not {Q!r:.60}."
            )
        _check_square(dense.shape)
        labels = tuple(range(len(dense)))
        rows, columns = np.nonzero(dense)
        values = dense[rows, columns]
    if not labels:
        raise ValueError("QUBO: there are no variables; give at least one.")
    if values.dtype.kind == "c" or not np.all(np.isfinite(values)):
        raise ValueError(
            "QUBO: entries must be finite real numbers, but complex, NaN or infinite ones were given."
        )
    return labels, rows, columns, values.astype(np.float64)


def _check_square(shape: tuple[int, ...]) -> None:
    if len(shape) != 2 or shape[0] != shape[1]:
        raise ValueError(f"QUBO: Q must have shape (n, n), but has shape {shape}.")


def _labels_of(key: Any) -> tuple | frozenset:
    if isinstance(key, tuple | frozenset):
        return key
    if isinstance(key, str | int | np.integer):
        return (key,)
    raise TypeError(f"HUBO: a key is a tuple of labels such as ('a', 'b'), but {key!r} was given.")
