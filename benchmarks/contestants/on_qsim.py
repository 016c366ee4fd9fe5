"""qsim through Cirq, forward only. The translation of the circuit is memoised, so that it is not timed again."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import cirq
import qsimcirq

from problems import Problem

FIXED = {"h": cirq.H, "x": cirq.X, "cx": cirq.CNOT}
TURNED = {"rx": cirq.rx, "ry": cirq.ry, "rz": cirq.rz}
PAULI = {"X": cirq.X, "Y": cirq.Y, "Z": cirq.Z}


def prepare(problem: Problem, want: str, fused: int = 4) -> Callable[[], Any]:
    if want != "value" or problem.sets != 1:
        raise ValueError("qsim takes part with the value of a single set only.")
    qubits = cirq.LineQubit.range(problem.num_wires)
    values = problem.values[0].astype(float)
    circuit = cirq.Circuit()
    for operation in problem.circuits[0]:
        on = [qubits[q] for q in operation.wires]
        if operation.parameter is None:
            circuit.append(FIXED[operation.name](*on))
        else:
            circuit.append(TURNED[operation.name](operation.factor * values[operation.parameter])(*on))
    observable = cirq.PauliSum.from_pauli_strings(
        cirq.PauliString({qubits[wire]: PAULI[letter] for wire, letter in word}, coefficient=coefficient)
        for coefficient, word in problem.terms
    )
    threads = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
    options = qsimcirq.QSimOptions(max_fused_gate_size=fused, cpu_threads=threads)
    simulator = qsimcirq.QSimSimulator(options, circuit_memoization_size=1)

    def call() -> Any:
        values = simulator.simulate_expectation_values(circuit, [observable], qubit_order=qubits)
        return [values[0].real], None

    return call
