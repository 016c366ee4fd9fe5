"""Time evolution under a Pauli sum: product formulas (Trotter, Suzuki) and QDrift.

The time may be a parameter: all angles are multiples of it, so circuits for any time, and for any coefficients of the
same words, share a structure and a compiled call.
"""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxsim.circuit import Circuit
from jaxsim.observables import PauliSum

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64

__all__ = ["product_formula", "qdrift", "trotter"]


def trotter(
    hamiltonian: PauliSum, time: Any, steps: int = 1, order: int = 2, *, num_wires: int | None = None
) -> Circuit:
    """A circuit for exp(-i time H) by a product formula with `steps` equal steps.

    Order 1 is the product of exp(-i t/steps c_k P_k) over the terms in their order, first term first in time; order 2
    goes there and back in half steps (Strang); order 2k is Suzuki's recursion (Suzuki, Phys. Lett. A 146, 319
    (1990)). The error for a fixed time falls as steps**-order. Neighbouring factors of one term are merged, the
    identity's term is a global phase.

    Args:
        hamiltonian: a sum with real coefficients.
        time: a number, a parameter or expression, or a JAX value; in units of 1 / energy.
        steps: at least 1.
        order: 1, 2, 4, 6, ...
        num_wires: number of qubits; by default as many as the sum acts on.

    Raises:
        TypeError: not a PauliSum, not integers.
        ValueError: steps or order out of range, complex coefficients, too few qubits.

    Example:
        >>> from jaxsim import Parameter, X, Z
        >>> from jaxsim.trotter import trotter
        >>> trotter(Z(0) @ Z(1) + 0.5 * X(0), Parameter("t"), steps=3, order=2)
        Circuit(2 qubits, 7 gates: pauli_rotation 7, 1 parameter)
    """
    terms, circuit = _start("trotter", hamiltonian, num_wires)
    steps = _positive("trotter", "steps", steps)
    order = _positive("trotter", "order", order)
    if order > 2 and order % 2:
        raise ValueError(f"trotter: order must be 1 or an even number, but {order} was given.")
    _identity(circuit, hamiltonian, time)
    coefficients = hamiltonian.real_coefficients()
    index, fractions = product_formula(len(terms), steps, order)
    for k, fraction in zip(index.tolist(), fractions.tolist()):
        position, label, wires = terms[k]
        circuit.pauli_rotation(2 * fraction * coefficients[position] * time, label, wires)
    return circuit


def product_formula(
    terms: int, steps: int, order: int
) -> tuple[Int64[np.ndarray, " factors"], Float64[np.ndarray, " factors"]]:
    """Which term each factor of a product formula belongs to, and what fraction of the time it takes, in time order.

    The fractions of a term add up to 1.

    Args:
        terms: number of terms, 0 or more.
        steps: at least 1.
        order: 1 or even.

    Example:
        >>> from jaxsim.trotter import product_formula
        >>> [a.tolist() for a in product_formula(2, 1, 2)]
        [[0, 1, 0], [0.5, 1.0, 0.5]]
    """
    forward = np.arange(terms)
    if order == 1:
        return np.tile(forward, steps), np.full(terms * steps, 1.0 / steps)
    weights = np.ones(1)
    for half in range(2, order // 2 + 1):
        outer = 1.0 / (4.0 - 4.0 ** (1.0 / (2 * half - 1)))
        weights = np.concatenate([outer * weights] * 2 + [(1 - 4 * outer) * weights] + [outer * weights] * 2)
    weights = np.tile(weights, steps) / steps
    index = np.tile(np.concatenate([forward, forward[::-1]]), len(weights))
    fractions = np.repeat(weights / 2, 2 * terms)
    if not len(index):
        return index, fractions
    starts = np.flatnonzero(np.concatenate([[True], index[1:] != index[:-1]]))
    return index[starts], np.add.reduceat(fractions, starts)


def qdrift(
    hamiltonian: PauliSum, time: Any, samples: int, seed: Any = 0, *, num_wires: int | None = None
) -> Circuit:
    """A random circuit that is exp(-i time H) on average: QDrift (Campbell, Phys. Rev. Lett. 123, 070503 (2019)).

    Draws `samples` terms, term k with probability |c_k| / lambda, lambda = sum_k |c_k|, and makes of each a rotation
    exp(-i sign(c_k) lambda time / samples P_k). Averaged over seeds, states err by at most
    2 lambda**2 time**2 / samples (diamond distance, to leading order), whatever the number of terms. The identity's
    term is a global phase and is not drawn.

    Args:
        hamiltonian: a sum with real, concrete coefficients.
        time: a number, a parameter or expression, or a JAX value.
        samples: number of rotations, at least 1.
        seed: of NumPy's `default_rng`: which terms are drawn; times of one trajectory share them.
        num_wires: number of qubits; by default as many as the sum acts on.

    Raises:
        TypeError, ValueError: as `trotter`; a sum whose coefficients are all 0.

    Example:
        >>> from jaxsim import X, Z
        >>> from jaxsim.trotter import qdrift
        >>> len(qdrift(Z(0) @ Z(1) + 0.5 * X(0), 0.3, samples=20, seed=7))
        20
    """
    terms, circuit = _start("qdrift", hamiltonian, num_wires)
    samples = _positive("qdrift", "samples", samples)
    coefficients = np.asarray(hamiltonian.real_coefficients())
    weights = np.abs(coefficients[[position for position, _, _ in terms]])
    total = float(weights.sum())
    if not total > 0:
        raise ValueError(
            "qdrift: all terms but the identity have the coefficient 0; there is nothing to draw."
        )
    _identity(circuit, hamiltonian, time)
    drawn = np.random.default_rng(seed).choice(len(terms), size=samples, p=weights / total)
    for k in drawn.tolist():
        position, label, wires = terms[k]
        angle = 2 * float(np.sign(coefficients[position])) * total / samples
        circuit.pauli_rotation(angle * time, label, wires)
    return circuit


def _start(
    caller: str, hamiltonian: Any, num_wires: int | None
) -> tuple[list[tuple[int, str, list[int]]], Circuit]:
    """The terms that are not the identity, as (position, label, wires), and an empty circuit."""
    if not isinstance(hamiltonian, PauliSum):
        raise TypeError(
            f"{caller}: the hamiltonian is a PauliSum, but a {type(hamiltonian).__name__} was given."
        )
    width = max(1, hamiltonian.num_wires) if num_wires is None else num_wires
    circuit = Circuit(width)
    hamiltonian.check_wires(width)
    terms = []
    for position, (x, z) in enumerate(zip(hamiltonian.x_mask.tolist(), hamiltonian.z_mask.tolist())):
        wires = [q for q in range(width) if (x | z) >> q & 1]
        if wires:
            label = "".join("IXZY"[(x >> q & 1) + 2 * (z >> q & 1)] for q in wires)
            terms.append((position, label, wires))
    return terms, circuit


def _identity(circuit: Circuit, hamiltonian: PauliSum, time: Any) -> None:
    """exp(-i time c) for the terms that are the identity."""
    coefficients = hamiltonian.real_coefficients()
    flat = (np.asarray(hamiltonian.x_mask) | np.asarray(hamiltonian.z_mask)) == 0
    if flat.any():
        circuit.global_phase(-sum(coefficients[k] for k in np.flatnonzero(flat).tolist()) * time)


def _positive(caller: str, what: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{caller}: {what} is an integer, 1 or more, but {value!r} was given.")
    if value < 1:
        raise ValueError(f"{caller}: {what} is an integer, 1 or more, but {value} was given.")
    return int(value)
