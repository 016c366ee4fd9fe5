"""This library, through its public interface: `compile` for a single set, else `lower`, `stack` and `evaluate`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import jax

import jaxsim as js
from jaxsim import ansatz
from problems import Circuit, Problem

Want = Literal["value", "value_and_grad"]
PAULI = {"X": js.X, "Y": js.Y, "Z": js.Z}


def circuit_of(operations: Circuit, num_wires: int, parameters: int) -> js.Circuit:
    """The circuit, gate by gate."""
    theta = js.ParameterVector("theta", parameters)
    circuit = js.Circuit(num_wires)
    for operation in operations:
        if operation.parameter is None:
            circuit.append(operation.name, (), operation.wires)
            continue
        angle = operation.factor * theta[operation.parameter]
        if operation.name == "rotation":
            circuit.pauli_rotation(angle, operation.word, operation.wires)
        else:
            circuit.append(operation.name, angle, operation.wires)
    return circuit


def circuits(problem: Problem) -> list[js.Circuit]:
    """A circuit for every set."""
    if problem.ansatz is not None:
        name, arguments = problem.ansatz
        return [getattr(ansatz, name)(*arguments)] * problem.sets
    parameters = problem.values.shape[1]
    return [circuit_of(c, problem.num_wires, parameters) for c in problem.circuits]


def observable(problem: Problem) -> js.PauliSum:
    """The observable."""
    total = None
    for coefficient, word in problem.terms:
        term = js.I()
        for wire, letter in word:
            term = term @ PAULI[letter](wire)
        total = coefficient * term if total is None else total + coefficient * term
    assert total is not None
    return total


def prepare(problem: Problem, want: Want, engine: str = "auto") -> Callable[[], Any]:
    made, measured = circuits(problem), observable(problem)
    if problem.sets == 1:
        compiled = js.compile(made[0], measured, engine=engine)
        values = problem.values[0]
        if want == "value":
            return lambda: (jax.block_until_ready(compiled(values)), None)
        return lambda: jax.block_until_ready(compiled.value_and_grad(values))
    groups = [
        (js.stack([row for _, row in members]), problem.values[[k for k, _ in members]])
        for members in grouped([js.lower(c, measured, engine=engine) for c in made])
    ]

    def call() -> Any:
        results = [js.evaluate(rows, values, want) for rows, values in groups]
        return results[0] if want == "value_and_grad" else (results[0], None)

    return call


def grouped(rows: list[js.Lowered]) -> list[list[tuple[int, js.Lowered]]]:
    """Numbered rows, those of equal keys together; the first row leads the first group."""
    groups: dict[Any, list[tuple[int, js.Lowered]]] = {}
    for k, row in enumerate(rows):
        groups.setdefault(row.key, []).append((k, row))
    return list(groups.values())


def keys_of(problem: Problem, engine: str = "auto") -> int:
    """Into how many groups the problem's circuits fall: as many compiled kernels and calls are needed."""
    measured = observable(problem)
    made = circuits(problem) if problem.ansatz is None else circuits(problem)[:1]
    return len(grouped([js.lower(c, measured, engine=engine) for c in made]))
