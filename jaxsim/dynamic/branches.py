"""Shots of a dynamic circuit, sharing all that they have in common.

Each shot has random words of its own, and what it measures is decided by them alone, as if it were simulated by itself.
But shots that measured the same so far have the same state and the same bits: they are one *branch*, and a branch is
simulated once. So the part before the first measurement runs once, m measurements make at most 2**m branches, and there
are never more branches than shots.

Branches at the same step run together, in blocks of a fixed size. Those that are behind go first, so that branches meet
again after a block of `if_` or `while_`. States are NumPy arrays between calls; where those of all branches would not
fit a cache, some run to the end before the others go on.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from jaxsim import batch
from jaxsim.batch import Lowered
from jaxsim.circuit import Circuit, from_structure
from jaxsim.dynamic.followers import Distribution, Followers, Shots, write_bits
from jaxsim.dynamic.outcomes import collapsed, probability_tree
from jaxsim.dynamic.program import Measurement, Program, Segment, program_of
from jaxsim.dynamic.segments import evolved, lower_segment, start_state
from jaxsim.dynamic.steps import Again, Jump, Step, Test, flat
from jaxsim.eager import evaluated_now

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

__all__ = ["bit_probabilities", "check_distribution", "sample_dynamic"]

STATE_BYTES = 2**23
"""What states of branches that run side by side may take: about what a cache holds. More is slower."""

FEW_BYTES = 2**27
"""Of large states a few may take so much, so that all cores have something to do."""

MAX_PROBABILITY_BITS = 24


class _Pending(NamedTuple):
    """A measurement whose states have not been made yet."""

    measured: Measurement
    parent: np.ndarray
    outcome: np.ndarray
    weight: np.ndarray


@dataclass
class _Branches:
    """Branches at one step.

    Attributes:
        at: the step that comes next.
        states: (branches, 2**n); of the parents, while a measurement is pending.
        bits: (branches, bits) what has been measured.
        used: (branches,) how many random words.
        rounds: (branches, loops) how often the loops have run.
        followers: the shots.
        pending: the measurement that has just been made.
    """

    at: int
    states: np.ndarray
    bits: np.ndarray
    used: np.ndarray
    rounds: np.ndarray
    followers: Followers
    pending: _Pending | None = None

    def settle(self) -> None:
        """Makes the states after a pending measurement."""
        if self.pending is not None:
            measured, parent, outcome, weight = self.pending
            self.states, self.pending = collapsed(self.states[parent], measured, outcome, weight), None

    def taken(self, kept: np.ndarray, at: int) -> _Branches:
        """Some of the branches, at another step."""
        pending, states = self.pending, self.states
        if pending is None:
            states = states[kept]
        else:
            pending = _Pending(pending.measured, *(own[kept] for own in pending[1:]))
        followers = self.followers.taken(kept)
        return _Branches(at, states, self.bits[kept], self.used[kept], self.rounds[kept], followers, pending)

    def joined(self, others: Sequence[_Branches]) -> _Branches:
        """These and others at the same step."""
        everyone = (self, *others)
        for own in everyone:
            own.settle()
        return _Branches(
            self.at,
            np.concatenate([own.states for own in everyone]),
            np.concatenate([own.bits for own in everyone]),
            np.concatenate([own.used for own in everyone]),
            np.concatenate([own.rounds for own in everyone]),
            self.followers.joined([own.followers for own in others], [len(own.used) for own in everyone]),
        )


class _Run:
    """A circuit on its way.

    Args:
        circuit: with concrete leaves.
        program: what it does.
        dtype, engine: as for `sample_dynamic`.
        out: what has come out.
    """

    def __init__(self, circuit: Circuit, program: Program, dtype: Any, engine: str, out: np.ndarray) -> None:
        self.circuit, self.dtype, self.engine, self.out = circuit, batch.check_dtype(dtype), engine, out
        self.num_wires = program.num_wires
        self.numbers = program.numbers
        self.steps, self.loops = flat(program.operations)
        self.rows: dict[int, Lowered] = {}
        self.unfinished: dict[int, int] = {}  # of loops: shots that came to the limit
        size = self.dtype.itemsize << self.num_wires
        self.room = max(1, STATE_BYTES // size, min(4, FEW_BYTES // size))

    def start(self, followers: Followers, initial_state: Any) -> list[str]:
        """Runs one branch from the beginning, and all that come of it.

        Returns:
            What is to be said of loops that came to their bound.
        """
        state = np.asarray(start_state("sample", self.circuit, initial_state, self.dtype))[None]
        bits = np.zeros((1, len(self.numbers)), np.uint8)
        rounds = np.zeros((1, self.loops), np.int64)
        self.run(_Branches(0, state, bits, np.zeros(1, np.int64), rounds, followers))
        return [
            f"{self.unfinished[step.loop]} shots left `while_({step.condition})` after max_iterations="
            f"{step.limit} with its condition still true; they went on behind the loop."
            for step in self.steps
            if isinstance(step, Again) and self.unfinished.get(step.loop)
        ]

    def run(self, branches: _Branches) -> None:
        """Runs branches to the end."""
        waiting = {branches.at: [branches]}
        while waiting:
            at = min(waiting)
            arrived = waiting.pop(at)
            if at == len(self.steps):
                for own in arrived:
                    own.followers.record(own.bits, self.out)
                continue
            own = arrived[0].joined(arrived[1:]) if len(arrived) > 1 else arrived[0]
            count = len(own.used)
            if count > self.room and isinstance(self.steps[at], Segment):
                for start in range(0, count, self.room):
                    among = np.arange(count)
                    self.run(own.taken((among >= start) & (among < start + self.room), at))
                continue
            for after in self.advance(self.steps[at], own):
                waiting.setdefault(after.at, []).append(after)

    def advance(self, step: Step, own: _Branches) -> Iterator[_Branches]:
        """The branches after a step."""
        at = own.at
        match step:
            case Segment():
                own.settle()
                yield replace(own, at=at + 1, states=self.evolved(at, step, own.states))
            case Measurement():
                own.settle()
                tree = probability_tree(own.states, step.wires, self.num_wires)
                if at + 1 == len(self.steps):
                    own.followers.record_last(tree, own.used, own.bits, step, self.out)
                    return
                parent, outcome, weight, followers = own.followers.measure(tree, own.used)
                bits = own.bits[parent]
                write_bits(bits, step, outcome)
                yield _Branches(
                    at + 1,
                    own.states,
                    bits,
                    own.used[parent] + len(step.wires),
                    own.rounds[parent],
                    followers,
                    _Pending(step, parent, outcome, weight),
                )
            case Jump(to):
                yield replace(own, at=to)
            case Test(condition, otherwise):
                yield from self.split(own, self.holds(own, condition), at + 1, otherwise)
            case Again(condition, loop, limit, behind):
                holds, more = self.holds(own, condition), own.rounds[:, loop] < limit
                stuck = own.followers.number(holds & ~more)
                self.unfinished[loop] = self.unfinished.get(loop, 0) + stuck
                own.rounds[:, loop] = np.where(holds & more, own.rounds[:, loop] + 1, 0)
                yield from self.split(own, holds & more, at + 1, behind)

    def holds(self, own: _Branches, condition: Any) -> np.ndarray:
        value = condition.evaluate(lambda bit: own.bits[:, self.numbers[bit]].astype(bool))
        return np.broadcast_to(value, own.used.shape)

    def split(self, own: _Branches, holds: np.ndarray, then: int, otherwise: int) -> Iterator[_Branches]:
        for kept, at in ((holds, then), (~holds, otherwise)):
            if kept.all():
                yield replace(own, at=at)
            elif kept.any():
                yield own.taken(kept, at)

    def evolved(self, at: int, segment: Segment, states: np.ndarray) -> np.ndarray:
        """The states after a segment."""
        if at not in self.rows:
            self.rows[at] = lower_segment(self.circuit, segment, dtype=self.dtype, engine=self.engine)
        return evolved(self.rows[at], states)


def _concrete(circuit: Circuit) -> Circuit:
    """The circuit with leaves in NumPy, so that its segments are lowered once however often they run."""
    leaves = jax.tree.map(np.asarray, (circuit.angles, circuit.operands))
    return from_structure(circuit.structure, leaves)


def _warn(circuit: int, message: str) -> None:
    warnings.warn(message, stacklevel=4)


def sample_dynamic(
    circuits: Sequence[Circuit],
    keys: Any,
    shots: int,
    *,
    dtype: Any = None,
    engine: str = "auto",
    initial_state: Any = None,
    warn: Callable[[int, str], None] = _warn,
) -> list[UInt8[np.ndarray, "shots bits"]]:
    """Classical bits of shots of circuits that measure, inside or at the end.

    The bits of a shot depend on the circuit, its key and the number of the shot only: not on how many shots there are,
    nor on the other circuits.

    Args:
        circuits: without open parameters, with concrete angles.
        keys: (circuits, 2) uint32 key data, one key for each.
        shots: how many of each.
        dtype: complex64 (default) or complex128, of the states.
        engine: as for `compile`; "auto" takes one in which structure is data.
        initial_state: (2**n,) complex to start from instead of |0...0>.
        warn: is told the number of a circuit, and what is to be said of it; a warning by default.

    Returns:
        For each circuit (shots, bits): column b is classical bit b, register after register; 0 where nothing was
        measured.

    Warns:
        If shots leave a loop at its bound with the condition still true.

    Example:
        >>> import numpy as np
        >>> from jaxsim import Circuit
        >>> from jaxsim.dynamic import sample_dynamic
        >>> c = Circuit(1).h(0).measure(0).x(0).measure(0)
        >>> (bits,) = sample_dynamic([c], np.array([[0, 7]], np.uint32), 100)
        >>> bits.shape, bool((bits[:, 0] != bits[:, 1]).all())
        ((100, 2), True)
    """
    keys = np.asarray(keys, np.uint32)
    if keys.shape != (len(circuits), 2):
        raise ValueError(
            f"sample_dynamic: keys must have shape ({len(circuits)}, 2), a key for each circuit, but have shape "
            f"{keys.shape}."
        )
    results = []
    with evaluated_now():
        for place, (circuit, key) in enumerate(zip(circuits, keys, strict=True)):
            program = program_of(circuit.structure, initial_state is None)
            out = np.zeros((shots, circuit.num_bits), np.uint8)
            everyone = Shots(key, np.arange(shots), np.zeros(shots, np.int64))
            for message in _Run(_concrete(circuit), program, dtype, engine, out).start(
                everyone, initial_state
            ):
                warn(place, message)
            results.append(out)
    return results


def bit_probabilities(
    circuit: Circuit,
    bits: Sequence[int] | None = None,
    *,
    dtype: Any = None,
    engine: str = "auto",
    initial_state: Any = None,
) -> Float[np.ndarray, " outcomes"]:
    """The exact distribution of a circuit's classical bits, (2**bits,) float64.

    Every branch is followed, 2**m of them after m measurements inside the circuit.

    Args:
        circuit: without open parameters, with concrete angles.
        bits: numbers of the bits that form an outcome, the least significant first; all by default.
        dtype, engine, initial_state: as for `sample_dynamic`.

    Raises:
        ValueError: more than 24 bits.

    Example:
        >>> from jaxsim import Circuit
        >>> from jaxsim.dynamic import bit_probabilities
        >>> bit_probabilities(Circuit(1).h(0).measure(0).h(0).measure(0)).round(6).tolist()
        [0.25, 0.25, 0.25, 0.25]
    """
    columns = tuple(range(circuit.num_bits) if bits is None else bits)
    check_distribution(len(columns))
    program = program_of(circuit.structure, initial_state is None)
    out = np.zeros(2 ** len(columns))
    with evaluated_now():
        everything = Distribution(np.ones(1), columns)
        _Run(_concrete(circuit), program, dtype, engine, out).start(everything, initial_state)
    return out


def check_distribution(num_bits: int) -> None:
    """Raises ValueError if the distribution of so many bits is too large."""
    if num_bits > MAX_PROBABILITY_BITS:
        raise ValueError(
            f"probabilities: the distribution of {num_bits} bits is too large; the most is {MAX_PROBABILITY_BITS}. "
            "Draw shots with sample or counts."
        )
