"""Observables of a job, in every form in which they are given, as `PauliSum`s on a circuit's wires."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxsim.observables import PauliSum

__all__ = ["job_observable"]


def job_observable(given: Any, num_qubits: int, qubits: Sequence[int] | None = None) -> PauliSum:
    """An observable on the wires of a circuit.

    Args:
        given: a `PauliSum`; a label with a character for each qubit, that of qubit 0 last; an operator of Qiskit.
        num_qubits: of the circuit as it was given.
        qubits: which of them are its wires; the others are 0. None: all, in their order.

    Raises:
        TypeError: anything else.
        ValueError: a label or operator of another number of qubits; letters other than I, X, Y, Z.

    Example:
        >>> job_observable("XIZ", 3), job_observable("XIZ", 3, qubits=[2])
        (1.0*Z0 X2, 1.0*X0)
    """
    if isinstance(given, PauliSum):
        if qubits is None:
            return given
        width = max(given.num_wires, 1)
        terms = [(label.rjust(num_qubits, "I"), value) for label, value in given.to_list(width)]
    else:
        terms = _terms(given)
        length = len(terms[0][0])
        if length != num_qubits:
            raise ValueError(
                f"the observable {given!r:.60} is one of {length} qubits, but the circuit has {num_qubits}. Give a "
                "character for each qubit, that of qubit 0 last, or a PauliSum such as Z(0) @ Z(1)."
            )
    return PauliSum.from_list(terms if qubits is None else _gathered(terms, qubits))


def _terms(given: Any) -> list[tuple[str, Any]]:
    if isinstance(given, str):
        if not set(given) <= set("IXYZ"):
            raise ValueError(f"a label is made of I, X, Y and Z, but {given!r:.60} was given.")
        return [(given, 1.0)]
    if type(given).__module__.startswith("qiskit"):
        from jaxsim.interop.qiskit import terms_from_qiskit

        return terms_from_qiskit(given)
    raise TypeError(
        f"an observable is a PauliSum such as Z(0) @ Z(1), but a {type(given).__name__} was given."
    )


def _gathered(terms: list[tuple[str, Any]], qubits: Sequence[int]) -> list[tuple[str, Any]]:
    """Terms on some qubits where the others are 0: there Z is 1, and the means of X and Y are 0."""
    idle = sorted(set(range(len(terms[0][0]))).difference(qubits))
    result = []
    for label, value in terms:
        letters = label[::-1]
        moved = any(letters[qubit] in "XY" for qubit in idle)
        result.append(("".join(letters[qubit] for qubit in reversed(qubits)), 0 * value if moved else value))
    return result
