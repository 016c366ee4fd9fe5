"""The state that is left if measurements had given outcomes, and how probable those are."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxsim import batch, kernels
from jaxsim.batch import Lowered
from jaxsim.circuit import Circuit
from jaxsim.classical import Bit, Condition, Register
from jaxsim.dynamic.program import Choice, Loop, Measurement, Operation, Program, Segment, program_of
from jaxsim.dynamic.segments import evolved, lower_segment, start_state
from jaxsim.eager import evaluated_now
from jaxsim.terminal import ordered

if TYPE_CHECKING:
    from jaxtyping import Array, Complex, Float

__all__ = ["PostSelected", "post_select"]


class PostSelected(NamedTuple):
    """What `post_select` returns.

    Attributes:
        state: (2**n,) complex, of norm 1.
        probability: of the outcomes that were selected, all of them together.
    """

    state: Complex[Array, " dim"]
    probability: Float[Array, ""]


class _Projection(NamedTuple):
    """Basis states whose bits in `mask` are those of `value` are kept; then the bits in `flip` are flipped."""

    mask: int
    value: int
    flip: int


def post_select(
    circuit: Circuit,
    outcomes: Mapping[Any, int],
    *,
    dtype: Any = None,
    engine: str = "auto",
    initial_state: Any = None,
) -> PostSelected:
    """The final state of the shots in which measurements gave certain outcomes, and the probability of those.

    Works inside `jit`, `grad` and `vmap`; both results are differentiable.

    Args:
        circuit: without open parameters.
        outcomes: from bits to 0 or 1, and from registers to numbers. Every measurement that something follows on its
            wire, or a condition, must have its bit among them; bits of measurements at the end may be left out.
        dtype: complex64 (default) or complex128, of the state.
        engine: as for `compile`.
        initial_state: (2**n,) complex to start from instead of |0...0>.

    Raises:
        TypeError: a key that is neither bit nor register.
        ValueError: an outcome that is missing, not measured, or impossible; a bit that is measured twice; a reset of a
            wire that may be entangled, whose outcome nobody knows (measure it first).

    Example:
        >>> from jaxsim import Circuit
        >>> from jaxsim.dynamic import post_select
        >>> circuit = Circuit(2)
        >>> c = circuit.register("c", 1)
        >>> _ = circuit.h(0).cx(0, 1).measure(0, c)
        >>> state, probability = post_select(circuit, {c[0]: 1})
        >>> abs(state).round(4).tolist(), round(float(probability), 4)
        ([0.0, 0.0, 0.0, 1.0], 0.5)
    """
    if not isinstance(circuit, Circuit):
        raise TypeError(f"post_select takes a Circuit, but a {type(circuit).__name__} was given.")
    program = program_of(circuit.structure, initial_state is None)
    chosen = _chosen(circuit, outcomes)
    path = _Path(program, chosen, {i.bits[0] for i in ordered(circuit.structure).last})
    path.follow(program.operations)
    for bit in chosen.keys() - path.known.keys():
        raise ValueError(
            f"post_select: an outcome was given for {bit}, but with these outcomes it is never measured."
        )
    dtype = batch.check_dtype(dtype)
    traced = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((circuit, initial_state)))
    rows = tuple(
        lower_segment(circuit, own, dtype=dtype, engine=engine, exact=True if traced else None)
        for own in path.parts
        if isinstance(own, Segment)
    )
    projections = np.array([own for own in path.parts if isinstance(own, _Projection)], np.int32).reshape(
        -1, 3
    )
    order = "".join("s" if isinstance(own, Segment) else "p" for own in path.parts)
    state = start_state("post_select", circuit, initial_state, dtype)
    if traced:
        return PostSelected(*_traced(rows, projections, jnp.asarray(state), order))
    with evaluated_now():
        final = np.asarray(state)
        row, projection = iter(rows), iter(projections)
        for kind in order:
            final = evolved(next(row), final[None])[0] if kind == "s" else _projected(final, next(projection))
        probability = np.vdot(final, final).real
        if not probability > 0:
            raise ValueError(
                f"post_select: these outcomes are impossible, their probability is 0: {dict(outcomes)}."
            )
        return PostSelected(jnp.asarray(final / np.sqrt(probability)), jnp.asarray(probability))


def _chosen(circuit: Circuit, outcomes: Any) -> dict[Bit, int]:
    """The outcome of each bit that is given one."""
    if not isinstance(outcomes, Mapping):
        raise TypeError(
            "post_select takes a mapping from bits to outcomes, such as {register[0]: 1}, but "
            f"{outcomes!r} was given."
        )
    chosen: dict[Bit, int] = {}
    for key, value in outcomes.items():
        bits = [key] if isinstance(key, Bit) else list(key) if isinstance(key, Register) else None
        if bits is None:
            raise TypeError(f"post_select: outcomes are given for bits or registers, but {key!r} is neither.")
        known = [bit for register in circuit.registers for bit in register]
        for bit in bits:
            if bit not in known:
                raise ValueError(f"post_select: {bit} is no bit of this circuit, which has {known}.")
            if bit in chosen:
                raise ValueError(f"post_select: {bit} is given two outcomes.")
        whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        if not whole or not 0 <= int(value) < 2 ** len(bits):
            raise ValueError(
                f"post_select: the outcome of {key!r} is an integer from 0 to {2 ** len(bits) - 1}, but {value!r} was "
                "given."
            )
        chosen |= {bit: int(value) >> place & 1 for place, bit in enumerate(bits)}
    return chosen


class _Path:
    """The way through a program on which measurements have the given outcomes.

    Attributes:
        parts: what happens to the state.
        known: the bits that have been measured.
    """

    def __init__(self, program: Program, chosen: dict[Bit, int], terminal: set[Bit]) -> None:
        self.chosen, self.terminal = chosen, terminal
        self.names = {number: bit for bit, number in program.numbers.items()}
        self.parts: list[Segment | _Projection] = []
        self.known: dict[Bit, int] = {}

    def follow(self, operations: Sequence[Operation]) -> None:
        for operation in operations:
            match operation:
                case Segment():
                    self.parts.append(operation)
                case Measurement():
                    self.measure(operation)
                case Choice(condition, then, otherwise):
                    self.follow(then if self.holds(condition) else otherwise)
                case Loop(condition, body, limit):
                    for _ in range(limit):
                        if not self.holds(condition):
                            break
                        self.follow(body)

    def holds(self, condition: Condition) -> bool:
        return bool(condition.evaluate(lambda bit: np.bool_(self.known.get(bit, 0))))

    def measure(self, measured: Measurement) -> None:
        mask = value = flip = 0
        for place, wire in enumerate(measured.wires):
            bits = [self.names[number] for at, number in measured.bits if at == place]
            outcome = self.outcome(wire, bits, place in measured.resets)
            if outcome is not None:
                mask, value = mask | 1 << wire, value | outcome << wire
                flip |= (outcome << wire) * (place in measured.resets)
        if mask:
            self.parts.append(_Projection(mask, value, flip))

    def outcome(self, wire: int, bits: list[Bit], reset: bool) -> int | None:
        """What a wire is measured as; None if nobody asks."""
        for bit in bits:
            if bit in self.known:
                raise ValueError(
                    f"post_select: {bit} is measured more than once, so that one outcome does not say which; measure "
                    "into different bits."
                )
        given = {self.chosen[bit] for bit in bits if bit in self.chosen}
        if len(given) > 1:
            raise ValueError(
                f"post_select: {bits} hold one measurement, so they have one outcome, not two. If one of them is "
                "measured again later, measure into different bits."
            )
        if not given:
            if not reset and self.terminal.issuperset(bits):
                return None
            what = (
                f"gives no outcome for {bits[0]}"
                if bits
                else f"cannot know what the reset of wire {wire} found"
            )
            raise ValueError(
                f"post_select {what}, and the state depends on it. Measurements that something follows on their wire, "
                "or a condition, all need an outcome; before a reset, measure into a bit."
            )
        (outcome,) = given
        self.known |= dict.fromkeys(bits, outcome)
        return outcome


def _projected(state: Any, projection: Any) -> Any:
    mask, value, flip = projection
    xp = np if isinstance(state, np.ndarray) else jnp
    index = xp.arange(state.shape[0])
    return xp.where((index & mask) == value, state, 0)[index ^ flip]


@partial(jax.jit, static_argnames=("order",))
def _traced(rows: tuple[Lowered, ...], projections: Array, state: Array, order: str) -> tuple[Array, Array]:
    """The normalised state and its probability; `order` says where rows ("s") and projections ("p") stand."""
    row, projection = iter(rows), iter(range(len(projections)))
    for kind in order:
        if kind == "s":
            state = batch.row_state(next(row), jnp.zeros(0), state)
        else:
            state = _projected(state, projections[next(projection)])
    probability = kernels.real_overlap(state, state)
    # The inner where keeps derivatives finite where the outcomes are impossible.
    return state / jnp.sqrt(jnp.where(probability > 0, probability, 1)), probability
