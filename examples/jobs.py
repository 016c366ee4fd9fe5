"""Jobs: a list of circuits on an executor of your own, in chunks of your choice: the same results from all of them.

(a) 60 circuits without an executor, on two threads and on two processes: equal, bit by bit.
(b) A Qiskit circuit with registers, where Qiskit is installed.
(c) Parameter sets and observables broadcast; a circuit that measures in the middle.

    python examples/jobs.py
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
from rich.console import Console
from rich.table import Table

import jaxsim as js
from jaxsim import Circuit, X, Z

console = Console()


def sixty() -> list[Circuit]:
    """60 circuits of 6 qubits, all different."""
    circuits = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        circuit = Circuit(6)
        for _ in range(12):
            a, b = map(int, rng.permutation(6)[:2])
            circuit.ry(rng.uniform(-np.pi, np.pi), a).cx(a, b)
        circuits.append(circuit)
    return circuits


def on_executors() -> None:
    """The same job three times."""
    circuits = sixty()
    simulator = js.Simulator(shots=1000, seed=7)
    spawn = multiprocessing.get_context("spawn")
    with ThreadPoolExecutor(2) as threads, ProcessPoolExecutor(2, mp_context=spawn) as processes:
        jobs = {
            "none, one chunk": simulator.run(circuits),
            "two threads, chunks of 2": simulator.run(circuits, executor=threads, max_job_size=2),
            "two processes, chunks of 20": simulator.run(circuits, executor=processes, max_job_size=20),
        }
        results = {name: job.result(timeout=120) for name, job in jobs.items()}
    table = Table("executor", "chunks", "compilations", "seconds", "equal")
    reference = results["none, one chunk"]
    for name, result in results.items():
        equal = all(result.counts(k) == reference.counts(k) for k in range(60))
        told = result.metadata
        table.add_row(
            name, str(len(told["chunks"])), str(told["compilations"]), f"{told['seconds']:.2f}", str(equal)
        )
    console.print(table)


def from_qiskit() -> None:
    """A circuit on 15 qubits of which three are in use: the others cost nothing."""
    try:
        from qiskit import QuantumCircuit
    except ImportError:
        console.print("Qiskit is not installed: pip install 'jaxsim-ensembles[qiskit]'")
        return
    circuit = QuantumCircuit(15, 15)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.cx(1, 2)
    circuit.measure([0, 1, 2], [0, 1, 2])
    console.print("GHZ from Qiskit:", js.Simulator(seed=1).run(circuit).result().counts())


def values_and_trajectories() -> None:
    """A grid of energies, and a qubit that is measured and flipped back."""
    theta = js.ParameterVector("theta", 2)
    ansatz = Circuit(2).ry(theta, range(2)).cx(0, 1)
    grid = np.random.default_rng(0).uniform(-np.pi, np.pi, (3, 1, 2))
    job = js.Simulator().run(ansatz, grid, [Z(0) @ Z(1), X(0)], outputs=("values", "gradients"))
    console.print("values", job.result().value().shape, "gradients", job.result().gradient().shape)

    circuit = Circuit(1)
    bits = circuit.register("c", 2)
    circuit.h(0).measure(0, bits[0])
    with circuit.if_(bits[0]):
        circuit.x(0)
    circuit.measure(0, bits[1])
    console.print("measured, then reset by hand:", js.Simulator(seed=2).run(circuit).result().counts())


if __name__ == "__main__":
    on_executors()
    from_qiskit()
    values_and_trajectories()
