"""qulacs, a loop over the sets; double precision is all it has. Its gradients come without values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from qulacs import Observable, ParametricQuantumCircuit, QuantumState

from problems import Circuit, Problem, without_diagonals

LETTERS = "IXYZ"
FIXED = {"h": "add_H_gate", "x": "add_X_gate", "cx": "add_CNOT_gate"}
TURNED = {"rx": "add_parametric_RX_gate", "ry": "add_parametric_RY_gate", "rz": "add_parametric_RZ_gate"}


def _circuit(operations: Circuit, num_wires: int) -> tuple[ParametricQuantumCircuit, np.ndarray, np.ndarray]:
    """The circuit; for each of its angles the value it is made of, and the factor (its rotations turn backwards)."""
    circuit = ParametricQuantumCircuit(num_wires)
    owners, factors = [], []
    for operation in operations:
        if operation.parameter is None:
            getattr(circuit, FIXED[operation.name])(*operation.wires)
            continue
        owners.append(operation.parameter)
        factors.append(-operation.factor)
        if operation.name == "rotation":
            letters = [LETTERS.index(letter) for letter in operation.word]
            circuit.add_parametric_multi_Pauli_rotation_gate(list(operation.wires), letters, 0.0)
        else:
            getattr(circuit, TURNED[operation.name])(*operation.wires, 0.0)
    return circuit, np.array(owners), np.array(factors)


def _observable(problem: Problem) -> Observable:
    observable = Observable(problem.num_wires)
    for coefficient, word in problem.terms:
        observable.add_operator(coefficient, " ".join(f"{letter} {wire}" for wire, letter in word))
    return observable


def prepare(problem: Problem, want: str) -> Callable[[], Any]:
    n, parameters = problem.num_wires, problem.values.shape[1]
    observable = _observable(problem)
    alone = len(problem.circuits) == 1
    circuits = [_circuit(c, n) for c in ((without_diagonals(problem),) if alone else problem.circuits)]
    rows = list(zip(circuits * problem.sets if alone else circuits, problem.values.astype(float)))
    state = QuantumState(n)

    def values() -> Any:
        results = []
        for (circuit, owners, factors), row in rows:
            for k, angle in enumerate((factors * row[owners]).tolist()):
                circuit.set_parameter(k, angle)
            state.set_zero_state()
            circuit.update_quantum_state(state)
            results.append(observable.get_expectation_value(state))
        return results, None

    def gradients() -> Any:
        results = []
        for (circuit, owners, factors), row in rows:
            for k, angle in enumerate((factors * row[owners]).tolist()):
                circuit.set_parameter(k, angle)
            results.append(np.bincount(owners, factors * circuit.backprop(observable), parameters))
        return None, results

    return values if want == "value" else gradients
