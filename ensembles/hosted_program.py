"""`HostedProgram`: ordinary blocking Python that evaluates circuits."""

from __future__ import annotations

from typing import Any

import jax

import jaxsim
from ensembles.program import Program, check_run, engine_reason
from ensembles.programs.arguments import start_vector
from ensembles.subjects import CircuitSubject, Hosting

__all__ = ["HostedProgram"]


class HostedProgram(Program):
    """A program whose `run` is ordinary Python: any optimiser, any loop, that calls ``evaluate`` and waits.

    Subclass it and write ``run(self, evaluate)``. Programs of an ensemble run side by side, each in its thread, and
    what they evaluate at the same time shares compiled calls. `evaluate` is an `Evaluate`: ``evaluate(parameters)`` is
    the expectation value, ``evaluate(parameters, gradient=True)`` a pair with the derivatives,
    ``evaluate([x1, x2, ...])`` several at once, ``evaluate.sample(parameters, shots)`` measured bits.

    What `run` returns: None, or a mapping whose entries become attributes of the result, except "parameters" and
    "value" (the final ones) and "converged" (whether the program stopped by its own rule); anything else becomes the
    attribute ``returned``. The result's `value` and `parameters` are the lowest loss that was seen, and where.

    A run with a checkpoint directory that was killed runs `run` again from its beginning, and `evaluate` gives the
    answers it gave before, at once. So it should be deterministic: no clock, and `evaluate.random` for draws.
    `ensembles.journal` says more.

    A program that shall not go on raises; its error is in the result. A run that is cancelled raises `Cancelled` from
    the next ``evaluate``.

    Args:
        circuit: what is evaluated; a snapshot is taken. None: circuits are given in the calls.
        observable: a sum, or several, for expectation values.
        initial_parameters: (parameters,) radians, or a mapping by name, for ``evaluate.initial_parameters``; None
            draws them, uniform on [-pi, pi), from the program's key.
        dtype: complex64 (default) or complex128, of the state.
        engine: as for `jaxsim.compile`.

    Raises:
        TypeError, ValueError: no circuit or observable, wrong shapes, no method `run`.

    Example:
        >>> from ensembles import HostedProgram, ProgramEnsemble
        >>> from jaxsim import Circuit, Parameter, Z
        >>> class Descent(HostedProgram):
        ...     def run(self, evaluate):
        ...         x = evaluate.initial_parameters
        ...         for _ in range(30):
        ...             energy, slope = evaluate(x, gradient=True)
        ...             x = x - 0.5 * slope
        ...         return {"parameters": x, "last_slope": abs(slope).max()}
        >>> circuit = Circuit(1).rx(Parameter("a"), 0)
        >>> ensemble = ProgramEnsemble({k: Descent(circuit, k * Z(0), initial_parameters=[1.0]) for k in (1, 2)})
        >>> [round(r.value, 3) for r in ensemble.run(progress=False).values()]
        [-1.0, -2.0]
    """

    kind = "HostedProgram"

    def __init__(
        self,
        circuit: jaxsim.Circuit | None = None,
        observable: Any = None,
        *,
        initial_parameters: Any = None,
        dtype: Any = None,
        engine: str = "auto",
    ) -> None:
        if circuit is not None and not isinstance(circuit, jaxsim.Circuit):
            raise TypeError(
                f"{self.kind}: the circuit is a Circuit, but a {type(circuit).__name__} was given."
            )
        if circuit is None and initial_parameters is not None:
            raise ValueError(f"{self.kind}: initial_parameters need a circuit, but none was given.")
        check_run(type(self))
        self.optimizer, self.steps = None, None
        self.circuit = None if circuit is None else circuit.copy()
        self.observable, self._dtype, self._engine = observable, dtype, engine
        # Also without a circuit: a wrong dtype or engine is refused here and not in the middle of a run.
        template = jaxsim.Circuit(1) if self.circuit is None else self.circuit
        row = jaxsim.lower(template, None if circuit is None else observable, engine=engine, dtype=dtype)
        if any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(row)):
            raise TypeError(
                f"{self.kind}: circuit and observable must be concrete, not values traced by JAX."
            )
        self._lowered = row
        self.initial_parameters = None
        if initial_parameters is not None:
            given = start_vector(self.kind, template.parameters, initial_parameters, row.real_dtype)
            self.initial_parameters = given

    def hosting(self) -> Hosting:
        subject = None
        if self.circuit is not None:
            subject = CircuitSubject(self._lowered, self.circuit.parameters)
        return Hosting(
            subject, self.initial_parameters, self.circuit, self.observable, self._dtype, self._engine
        )

    def describe(self) -> str:
        name = type(self).__name__
        if self.circuit is None:
            return f"{name}, circuits of its own"
        lowered = self._lowered
        size = f"{lowered.num_wires} qubits, {int(lowered.num_parameters)} parameters"
        return f"{name} {size}, engine {lowered.engine!r}"

    def reason(self) -> str:
        return "" if self.circuit is None else engine_reason(self.circuit, self._engine, self._lowered)

    def state_bytes(self) -> int:
        return 6 * self._lowered.dtype.itemsize * 2**self._lowered.num_wires

    def __repr__(self) -> str:
        return f"<{self.describe()}>"
