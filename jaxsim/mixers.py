"""Mixers of QAOA, and the states that they start from.

A mixer layer is exp(-i beta M), or a product of such factors. The state to start from should be the highest state of
M, as `linear_ramp` leads from there to the highest state of the cost.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxsim.circuit import MAX_WIRES, Circuit

if TYPE_CHECKING:
    from jaxtyping import Float64

__all__ = ["MIXERS", "Mixer", "dicke_state", "warm_start"]

Append = Callable[[Circuit, Any], Any]


class Mixer(NamedTuple):
    """A row of the table of mixers.

    Attributes:
        append: function (circuit, beta) that appends a layer.
        keeps_weight: whether the layer conserves the number of ones, so that |+...+> is no place to start from.
        description: what M is.
        step: function of the number of qubits: how large a step is that turns about as much as one of `linear_ramp`
            does with sum_q X_q, whose two highest levels are 2 apart.
    """

    append: Append
    keeps_weight: bool
    description: str
    step: Callable[[int], float] = lambda n: 1.0


def _x(circuit: Circuit, beta: Any) -> None:
    circuit.rx(2 * beta, range(circuit.num_wires))


def _xy(pairs: Callable[[int], Sequence[tuple[int, int]]]) -> Append:
    def append(circuit: Circuit, beta: Any) -> None:
        bonds = pairs(circuit.num_wires)
        if bonds:
            circuit.xx_plus_yy(2 * beta, 0.0, [a for a, _ in bonds], [b for _, b in bonds])

    return append


def _ring(n: int) -> Sequence[tuple[int, int]]:
    chain = [(q, q + 1) for q in range(n - 1)]
    return [*chain[::2], *chain[1::2], *([(n - 1, 0)] if n > 2 else [])]


MIXERS: dict[str, Mixer] = {
    "x": Mixer(_x, False, "sum_q X_q"),
    "xy_ring": Mixer(
        _xy(_ring),
        True,
        "sum over neighbours on a ring of (XX + YY)/2: the even bonds, the odd ones, the last one",
    ),
    "xy_complete": Mixer(
        _xy(lambda n: list(combinations(range(n), 2))),
        True,
        "sum over all pairs of (XX + YY)/2, pair by pair",
    ),
}
"""The mixers by name. Those of XY type: Hadfield et al., arXiv:1709.03489; Wang et al., arXiv:1904.09314."""


def dicke_state(n: int, weight: int) -> Float64[np.ndarray, "2**n"]:
    """Amplitudes of the Dicke state: all bit strings of n bits with `weight` ones, superposed equally.

    Returns an array (2**n,), to start `qaoa` with a mixer that conserves the number of ones.

    Args:
        n: number of qubits, 1 to 30.
        weight: number of ones, 0 to n.

    Raises:
        TypeError: not integers.
        ValueError: out of range.

    Example:
        >>> from jaxsim.mixers import dicke_state
        >>> dicke_state(2, 1).round(3).tolist()
        [0.0, 0.707, 0.707, 0.0]
    """
    for what, value, least, most in (("n", n, 1, MAX_WIRES), ("weight", weight, 0, None)):
        most = n if most is None else most
        if isinstance(value, bool) or not isinstance(value, numbers.Integral):
            raise TypeError(
                f"dicke_state: {what} is an integer from {least} to {most}, but {value!r} was given."
            )
        if not least <= value <= most:
            raise ValueError(
                f"dicke_state: {what} is an integer from {least} to {most}, but {value} was given."
            )
    chosen = np.bitwise_count(np.arange(2 ** int(n))) == weight
    return chosen / math.sqrt(math.comb(int(n), int(weight)))


def warm_start(probabilities: Any) -> tuple[Circuit, Append]:
    """The start and the mixer of warm-started QAOA (Egger, Marecek and Woerner, Quantum 5, 479 (2021)).

    Qubit q starts in sqrt(1 - c_q) |0> + sqrt(c_q) |1>, the highest state of its term of the mixer,
    M_q = sin(theta_q) X + cos(theta_q) Z with theta_q = 2 arcsin(sqrt(c_q)). For c = 1/2 that is plain QAOA. All
    numbers enter as data, so different warm starts share a compiled call.

    Args:
        probabilities: (n,) numbers from 0 to 1: how likely each qubit is to be 1 in the beginning. At 0 and 1 a
            qubit never changes; keep away from them, by 0.25 for example.

    Returns:
        a circuit that prepares the state, and a function (circuit, beta) that appends exp(-i beta sum_q M_q).

    Raises:
        ValueError: not a vector of numbers from 0 to 1.

    Example:
        >>> import jaxsim as js
        >>> from jaxsim.mixers import warm_start
        >>> start, mixer = warm_start([0.25, 0.5])
        >>> [round(float(p), 3) for p in js.probabilities(start, [0])]
        [0.75, 0.25]
    """
    try:
        c = np.asarray(probabilities, np.float64)
    except (TypeError, ValueError):
        c = np.zeros(0)
    if c.ndim != 1 or not 1 <= c.size <= MAX_WIRES or not np.all((c >= 0) & (c <= 1)):
        raise ValueError(
            "warm_start: give one number from 0 to 1 for each qubit, how likely it is to be 1, but "
            f"{probabilities!r:.60} was given."
        )
    theta = 2 * np.arcsin(np.sqrt(c))
    start = Circuit(len(theta)).ry(theta, range(len(theta)))

    def append(circuit: Circuit, beta: Any) -> None:
        wires = range(len(theta))
        circuit.ry(-theta, wires).rz(2 * beta, wires).ry(theta, wires)

    return start, append
