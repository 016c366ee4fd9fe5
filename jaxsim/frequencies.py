"""The frequencies that expectation values have in a circuit's parameters.

Along one parameter an expectation value is a trigonometric polynomial: a generator with eigenvalues g contributes
exp(i (g - h) a), and gates that share a parameter multiply, so that their frequencies add.

References: Wierichs, Izaac, Wang and Lin, Quantum 6, 677 (2022).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxsim.circuit import Circuit
from jaxsim.lowering.angles import bucket
from jaxsim.lowering.forms import lowered_form
from jaxsim.lowering.rotations import Repeat
from jaxsim.lowering.special import Special
from jaxsim.terminal import unmeasured

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jaxtyping import Float

    from jaxsim.lowering.rotations import Item

__all__ = ["MAX_FREQUENCIES", "parameter_frequencies"]

MAX_FREQUENCIES = 64


class _Comb(NamedTuple):
    """Frequencies that are multiples of `tooth`, up to `most`; none if that is 0."""

    tooth: float = 0.0
    most: float = 0.0

    def plus(self, other: _Comb) -> _Comb:
        return _Comb(_common(self.tooth, other.tooth), self.most + other.most)


def _common(a: float, b: float) -> float:
    """The greatest common divisor of two numbers, up to rounding."""
    a, b = max(a, b), min(a, b)
    least = 1e-9 * a
    while b > least:
        a, b = b, abs(a - b * round(a / b))
    return a


def parameter_frequencies(circuit: Circuit) -> Float[np.ndarray, "parameters room"]:
    """The angular frequencies that expectation values may have in each parameter of a circuit.

    Returns:
        float64 (parameters, room): in a row w, 2 w, ..., R w and then zeros, where w is the greatest number that all
        are multiples of; zeros only for a parameter without any. Rotations exp(-i a P / 2) have 1, controlled ones
        1/2 and 1, excitations of electrons 1 and 2 (in units of their angles), and those of gates that share a
        parameter add up. An observable may have fewer.

    Raises:
        TypeError: not a circuit.
        ValueError: a parameter in an expression that is not affine, or with more than 64 frequencies.

    Example:
        >>> import jaxsim as js
        >>> a, b = js.Parameter("a"), js.Parameter("b")
        >>> js.parameter_frequencies(js.Circuit(2).rx(a, 0).crz(b, 0, 1)).tolist()
        [[1.0, 0.0], [0.5, 1.0]]
    """
    if not isinstance(circuit, Circuit):
        raise TypeError(f"parameter_frequencies takes a Circuit, but a {type(circuit).__name__} was given.")
    circuit = unmeasured("parameter_frequencies", circuit)
    parameters = circuit.parameters
    form = lowered_form(circuit, "rotations", keep_phase=False, exact=False, absorb=True)
    for atom in form.atoms:
        name = next(iter(atom.parameters)).name
        raise ValueError(
            f"parameter_frequencies: parameter {name!r} is in an expression that is not affine, {atom}, so that "
            "expectation values are no trigonometric polynomials in it. Make the whole expression a parameter."
        )
    combs = [_Comb() for _ in parameters]
    for index, comb in _uses(form.program, form.data, circuit.operands):
        combs[index] = combs[index].plus(comb)
    counts = [round(comb.most / comb.tooth) if comb.most else 0 for comb in combs]
    for parameter, count in zip(parameters, counts, strict=True):
        if count > MAX_FREQUENCIES:
            raise ValueError(
                f"parameter_frequencies: expectation values have up to {count:,} frequencies in parameter "
                f"{parameter.name!r}, but at most {MAX_FREQUENCIES} are allowed: each takes two evaluations. Costs "
                "whose values have no common unit, and parameters in very many gates, want other methods, such as SPSA."
            )
    table = np.zeros((len(parameters), max(1, bucket(max(counts, default=1)))))
    for row, comb, count in zip(table, combs, counts, strict=True):
        row[:count] = comb.tooth * np.arange(1, count + 1)
    return table


def _uses(program: Any, data: Any, operands: tuple) -> Iterator[tuple[int, _Comb]]:
    """For every gate that has a value among its angles: which value, and the frequencies in it."""
    for step in range(len(data.x)):
        selected = bool(data.controls[step, 0])
        turns: dict[int, list[float]] = {}
        phases: dict[int, float] = {}
        for slot in range(data.index.shape[1]):
            for index, scale in _terms(data.index[step, slot], data.scale[step, slot]):
                if program.has_phase and slot == program.num_angles:
                    phases[index] = scale
                else:
                    turns.setdefault(index, []).append(scale)
        for index in turns.keys() | phases.keys():
            # Where the step acts it has phases +-scale / 2 about a common one, elsewhere 0.
            scales, phase = turns.get(index, []), phases.get(index, 0.0)
            if selected and len(scales) < 2:
                half = scales[0] / 2 if scales else 0.0
                yield index, _levels(np.array([0.0, phase - half, phase + half]))
            else:
                for scale in scales:
                    yield index, _levels(np.array([-scale / 2, scale / 2, *([0.0] if selected else [])]))
                if selected and phase:
                    yield index, _levels(np.array([0.0, phase]))
    angle = 0
    for special in _specials(program.items):
        for _ in range(special.angles):
            levels = [*np.unique(operands[special.operand]), *([0.0] if special.controls else [])]
            for index, scale in _terms(data.special_index[angle], data.special_scale[angle]):
                yield index, _levels(scale * np.array(levels, np.float64))
            angle += 1


def _terms(index: np.ndarray, scale: np.ndarray) -> Iterator[tuple[int, float]]:
    for k in np.flatnonzero(scale):
        yield int(index[k]), float(scale[k])


def _specials(items: Iterable[Item]) -> Iterator[Special]:
    """The items given by arrays, in the order in which they take their angles."""
    for item in items:
        match item:
            case Special():
                yield item
            case Repeat():
                for _ in range(item.times):
                    yield from _specials(item.items)


def _levels(levels: np.ndarray) -> _Comb:
    """The frequencies of exp(-i a D) from the eigenvalues of D: their differences."""
    levels = np.unique(levels)
    span = float(levels[-1] - levels[0])
    tooth = 0.0
    for gap in np.diff(levels):
        if gap > 1e-9 * span:
            tooth = _common(tooth, float(gap))
        if tooth and span / tooth > 1e6:  # no common unit to speak of
            break
    return _Comb(tooth, span)
