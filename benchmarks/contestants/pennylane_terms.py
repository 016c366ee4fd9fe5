"""What both of PennyLane's simulators are given: gates and observables."""

from __future__ import annotations

from typing import Any

import pennylane as qml

from problems import Problem

GATES = {"h": qml.Hadamard, "x": qml.X, "cx": qml.CNOT, "rx": qml.RX, "ry": qml.RY, "rz": qml.RZ}
PAULI = {"X": qml.X, "Y": qml.Y, "Z": qml.Z}


def observable(problem: Problem) -> Any:
    """The observable as PennyLane's linear combination."""
    words = []
    for _, word in problem.terms:
        factors = [PAULI[letter](wire) for wire, letter in word] or [qml.Identity(0)]
        words.append(factors[0] if len(factors) == 1 else qml.prod(*factors))
    return qml.Hamiltonian([coefficient for coefficient, _ in problem.terms], words)
