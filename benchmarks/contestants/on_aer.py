"""qiskit-aer: a list of circuits in one job, transpiled, in the forms that are fastest for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qiskit import QuantumCircuit, transpile
from qiskit_aer import AerSimulator

from machine import cores

_TOGETHER = {"max_parallel_experiments": cores(), "max_parallel_threads": cores()}

SETTINGS: dict[str, dict[str, Any]] = {
    "circuits side by side": _TOGETHER,
    "side by side, single precision": {**_TOGETHER, "precision": "single"},
    "side by side, no fusion": {**_TOGETHER, "fusion_enable": False},
    "one thread": {"max_parallel_threads": 1},
}
"""Options that were compared. With its own choice of threads, the default, Aer took 1.6 s for the list of the benchmark
on an idle machine, and 14 to 17 s while other programs ran."""


def build(circuits: list[list[tuple[str, tuple[float, ...], tuple[int, ...]]]], num_wires: int) -> list[Any]:
    """Qiskit's circuits of lists of (gate, angles, wires), all qubits measured."""
    built = []
    for gates in circuits:
        circuit = QuantumCircuit(num_wires)
        for name, angles, wires in gates:
            getattr(circuit, name)(*angles, *wires)
        circuit.measure_all()
        built.append(circuit)
    return built


def prepare(circuits: list[Any], shots: int, settings: str) -> Callable[[], list[dict[str, int]]]:
    """A function that runs all circuits and returns their counts."""
    simulator = AerSimulator(method="statevector", **SETTINGS[settings])
    transpiled = transpile(circuits, simulator, optimization_level=0)

    def run() -> list[dict[str, int]]:
        result = simulator.run(transpiled, shots=shots, seed_simulator=7).result()
        return [result.get_counts(k) for k in range(len(circuits))]

    return run
