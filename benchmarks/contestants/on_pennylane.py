"""PennyLane's default.qubit on JAX, one jitted function, backpropagation; of many circuits copies of the first.

Between evolutions under a diagonal cost the state leaves the device and is multiplied by the phases: its own diagonal
gate becomes a matrix (too large at 16 qubits), and one gate a term takes longer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml

from contestants.pennylane_terms import GATES, observable
from problems import Circuit, Problem, big_endian


def _apply(operations: Circuit, theta: Any) -> None:
    for operation in operations:
        angles = () if operation.parameter is None else (operation.factor * theta[operation.parameter],)
        GATES[operation.name](*angles, wires=operation.wires)


def _of_words(problem: Problem) -> Callable[[Any], Any]:
    """The energy of a sum of Pauli words."""
    measured = observable(problem)

    @qml.qnode(qml.device("default.qubit", wires=problem.num_wires), diff_method="backprop")
    def energy(theta: Any) -> Any:
        _apply(problem.circuits[0], theta)
        return qml.expval(measured)

    return energy


def _of_diagonal(problem: Problem, cost: np.ndarray) -> Callable[[Any], Any]:
    """The mean of a diagonal cost after evolutions under it."""
    wires = range(problem.num_wires)
    diagonal = np.asarray(big_endian(cost), np.float32)
    circuit = problem.circuits[0]
    breaks = [k for k, operation in enumerate(circuit) if operation.name == "evolve"]

    @qml.qnode(qml.device("default.qubit", wires=problem.num_wires), diff_method="backprop")
    def advanced(state: Any, theta: Any, operations: Circuit) -> Any:
        if state is not None:
            qml.StatePrep(state, wires=wires, validate_norm=False)
        _apply(operations, theta)
        return qml.state()

    def energy(theta: Any) -> Any:
        state = advanced(None, theta, circuit[: breaks[0]])
        for start, stop in zip(breaks, [*breaks[1:], len(circuit)]):
            angle = circuit[start].factor * theta[circuit[start].parameter]
            state = advanced(state * jnp.exp(-1j * angle * diagonal), theta, circuit[start + 1 : stop])
        return jnp.sum(diagonal * jnp.abs(state) ** 2)

    return energy


def prepare(problem: Problem, want: str) -> Callable[[], Any]:
    energy = _of_words(problem) if problem.cost is None else _of_diagonal(problem, problem.cost)
    function = energy if want == "value" else jax.value_and_grad(energy)
    compiled = jax.jit(function if problem.sets == 1 else jax.vmap(function))
    values = jnp.asarray(problem.values[0] if problem.sets == 1 else problem.values)
    if want == "value":
        return lambda: (jax.block_until_ready(compiled(values)), None)
    return lambda: jax.block_until_ready(compiled(values))
