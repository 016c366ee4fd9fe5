"""Ensembles at scale: many programs beside a Python loop, memory, planning, and the host's share of a run.

    python benchmarks/ensembles_at_scale.py               # everything, some minutes
    python benchmarks/ensembles_at_scale.py --only loop   # loop, mixed, hydrogen, partition
    python benchmarks/ensembles_at_scale.py --rounds 1

loop      2,000 VQE programs (hardware-efficient ansatz, 6 qubits, 3 layers, Ising chains of different fields), 200
          steps of Adam each, beside the loop that one would write with PennyLane's lightning.qubit: adjoint
          derivatives in single precision and PennyLane's Adam, program after program. The loop is timed on a part of
          the work, as its time is proportional to it; ours is the whole run, planning and results included: "cold"
          the first in a process, "warm" the next one.
mixed     1,000 and 10,000 programs of 4 to 10 qubits, half of them with a circuit of their own: plan, peak memory.
hydrogen  H2, 41 bond lengths, 4 random starts each, 150 steps of Adam: the whole process.
partition MaxCut of random 3-regular graphs of 600 and 10,000 nodes in parts of at most 12 qubits, QAOA of two layers
          and 60 steps of Adam each, stitched: from the graph to the solution, and its cut beside the plain greedy one.

Every measurement is a fresh process; the peer and we take turns.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PROGRAMS, QUBITS, LAYERS, STEPS = 2000, 6, 3, 200
PEER_STEPS, PEER_WARMUP = 60, 5

BARS = {
    "programs x steps a second, over the loop": 150.0,
    "peak memory of 10,000 over 1,000, at most": 2.0,
    "plan of 10,000, seconds at most": 2.0,
    "host's share between calls, at most": 0.05,
    "hydrogen, whole process, seconds at most": 8.0,
    "partition of 10,000 nodes, seconds at most": 300.0,
    "partition of 10,000 nodes, cut over the greedy one": 1.0,
}


def fields() -> list[float]:
    """The transverse field of every program."""
    return [0.5 + 1.5 * k / PROGRAMS for k in range(PROGRAMS)]


# in the process that is measured ----------------------------------------------------------------------------


@contextmanager
def loop_time() -> Iterator[list[float]]:
    """The seconds that the compiled driver spends in its loop of calls."""
    from ensembles.compiled import CompiledRun

    kept, seconds = CompiledRun.run, [0.0]

    def run(self: CompiledRun) -> None:
        begun = time.perf_counter()
        kept(self)
        seconds[0] += time.perf_counter() - begun

    CompiledRun.run = run  # type: ignore[method-assign]
    try:
        yield seconds
    finally:
        CompiledRun.run = kept  # type: ignore[method-assign]


def loop_ours() -> dict[str, float]:
    from ensembles import VQE, ProgramEnsemble, adam
    from ensembles.problems import tfim
    from jaxsim import ansatz

    begun = time.perf_counter()
    circuit = ansatz.hardware_efficient(QUBITS, LAYERS)
    programs = {
        k: VQE(circuit, tfim(QUBITS, h=h), optimizer=adam(0.05), steps=STEPS) for k, h in enumerate(fields())
    }
    ensemble = ProgramEnsemble(programs)
    made = time.perf_counter()
    ensemble.run(progress=False)
    first = time.perf_counter()
    with loop_time() as loop:
        result = ensemble.run(progress=False)
    second = time.perf_counter()
    work = PROGRAMS * STEPS
    return {
        "build": made - begun,
        "cold": work / (first - made),
        "warm": work / (second - first),
        "host": 1 - result.stats.call_seconds / loop[0],
        "around": 1 - loop[0] / (second - first),
    }


def loop_lightning() -> dict[str, float]:
    import pennylane as qml
    from pennylane import numpy as np

    device = qml.device("lightning.qubit", wires=QUBITS, c_dtype=np.complex64)
    h = fields()[0]
    terms = [qml.Z(q) @ qml.Z(q + 1) for q in range(QUBITS - 1)] + [qml.X(q) for q in range(QUBITS)]
    hamiltonian = qml.Hamiltonian([-1.0] * (QUBITS - 1) + [-h] * QUBITS, terms)

    @qml.qnode(device, diff_method="adjoint")
    def energy(theta: Any) -> Any:
        for layer in range(LAYERS):
            for q in range(QUBITS):
                qml.RY(theta[layer, 0, q], q)
            for q in range(QUBITS):
                qml.RZ(theta[layer, 1, q], q)
            for q in range(QUBITS - 1):
                qml.CNOT([q, q + 1])
        return qml.expval(hamiltonian)

    optimizer = qml.AdamOptimizer(0.05)
    theta = np.array(np.random.default_rng(0).uniform(-3, 3, (LAYERS, 2, QUBITS)), requires_grad=True)
    for _ in range(PEER_WARMUP):
        theta = optimizer.step(energy, theta)
    begun = time.perf_counter()
    for _ in range(PEER_STEPS):
        theta = optimizer.step(energy, theta)
    return {"warm": PEER_STEPS / (time.perf_counter() - begun)}


def mixed(count: int, steps: int = STEPS) -> dict[str, float]:
    import numpy as np

    from ensembles import VQE, ProgramEnsemble, adam
    from ensembles.problems import tfim
    from jaxsim import Circuit, ParameterVector, ansatz

    rng = np.random.default_rng(0)

    def own(n: int) -> Circuit:
        layers = int(rng.integers(1, 4))
        theta = iter(ParameterVector("theta", 2 * n * layers))
        circuit = Circuit(n)
        for _ in range(layers):
            for q in range(n):
                getattr(circuit, rng.choice(["rx", "ry"]))(next(theta), q)
                circuit.rz(next(theta), q)
            wires = rng.permutation(n).tolist()
            for a, b in itertools.pairwise(wires):
                if rng.random() < 0.8:
                    circuit.cx(a, b)
        return circuit

    shared = {n: ansatz.hardware_efficient(n, 2) for n in range(4, 11)}
    programs = {}
    for k in range(count):
        n = 4 + k % 7
        circuit = own(n) if k % 2 else shared[n]
        field = float(rng.uniform(0.5, 2))
        programs[k] = VQE(circuit, tfim(n, h=field), optimizer=adam(0.05), steps=steps)
    ensemble = ProgramEnsemble(programs)
    begun = time.perf_counter()
    plan = ensemble.plan()
    planned = time.perf_counter()
    with loop_time() as loop:
        result = ensemble.run(progress=False)
    done = time.perf_counter()
    return {
        "plan": planned - begun,
        "run": done - planned,
        "groups": len(plan.groups),
        "compilations": result.stats.compilations,
        "compile_seconds": result.stats.compile_seconds,
        "host": 1 - result.stats.call_seconds / loop[0],
        "used": result.stats.evaluations / result.stats.computed,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def hydrogen() -> dict[str, float]:
    from ensembles import VQE, ProgramEnsemble, adam
    from ensembles.problems import bond_lengths, molecule
    from jaxsim import ansatz

    circuit = ansatz.uccsd(4, 2)
    molecules = {r: molecule("H2", bond_length=r) for r in bond_lengths("H2")}
    programs = {
        (f"{r}", start): VQE(circuit, m.hamiltonian, optimizer=adam(0.1), steps=150)
        for r, m in molecules.items()
        for start in range(4)
    }
    result = ProgramEnsemble(programs).run(seed=7, progress=False)
    errors = [min(result[f"{r}", s].value for s in range(4)) - m.exact_energy for r, m in molecules.items()]
    return {"largest error": max(errors), "lengths": len(errors)}


def partitioned(nodes: int) -> dict[str, float]:
    import networkx as nx

    from ensembles import adam
    from ensembles.problems import MaxCut
    from ensembles.programs import solve_partitioned

    graph = nx.random_regular_graph(3, nodes, seed=1)
    begun = time.perf_counter()
    solution, result = solve_partitioned(
        MaxCut(graph), 12, layers=2, optimizer=adam(0.1), steps=60, progress=False
    )
    seconds = time.perf_counter() - begun
    assert solution.objective == nx.cut_size(graph, solution.decode()[0])
    greedy = greedy_cut({node: list(graph[node]) for node in sorted(graph)})
    return {
        "seconds": seconds,
        "programs": len(result),
        "cut": solution.objective,
        "greedy": greedy,
        "ratio": solution.objective / greedy,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def greedy_cut(neighbours: dict[int, list[int]]) -> int:
    """Nodes in order, each to the side that cuts more edges to those placed before."""
    side: dict[int, int] = {}
    cut = 0
    for node, others in neighbours.items():
        placed = [sum(side.get(other) == own for other in others) for own in (0, 1)]
        side[node] = int(placed[0] > placed[1])
        cut += max(placed)
    return cut


TASKS = {
    "loop_ours": loop_ours,
    "loop_lightning": loop_lightning,
    "mixed_1000": lambda: mixed(1000),
    "mixed_10000": lambda: mixed(10000),
    "hydrogen": hydrogen,
    "partition_600": lambda: partitioned(600),
    "partition_10000": lambda: partitioned(10000),
}


# the process that compares ----------------------------------------------------------------------------------


def measured(task: str, python: str = sys.executable) -> dict[str, float]:
    """The figures of a task in a fresh process, and how long the process took."""
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent), "JAX_ENABLE_COMPILATION_CACHE": "0"}
    begun = time.perf_counter()
    done = subprocess.run(
        [python, __file__, "--task", task], capture_output=True, text=True, env=environment, check=False
    )
    seconds = time.perf_counter() - begun
    if done.returncode:
        raise SystemExit(f"{task} failed:\n{done.stderr[-2000:]}")
    return {**json.loads(done.stdout.splitlines()[-1]), "process": seconds}


def median(rounds: list[dict[str, float]]) -> dict[str, float]:
    """The median of every figure."""
    return {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description="Ensembles at scale.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["loop", "mixed", "hydrogen", "partition"])
    parser.add_argument("--task", choices=list(TASKS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task:
        print(json.dumps(TASKS[arguments.task]()))
        return
    if arguments.only in (None, "loop"):
        from environments import python_of

        peer_python = str(python_of("pennylane"))
        rounds = [
            (measured("loop_ours"), measured("loop_lightning", peer_python)) for _ in range(arguments.rounds)
        ]
        ours, peer = (median([pair[k] for pair in rounds]) for k in (0, 1))
        for temperature in ("cold", "warm"):
            ratio = statistics.median(a[temperature] / b["warm"] for a, b in rounds)
            print(
                f"loop, {temperature}: {ours[temperature]:,.0f} programs x steps a second, lightning "
                f"{peer['warm']:,.0f}: {ratio:.0f} x"
            )
        print(
            f"loop: building {ours['build']:.2f} s, host's share between calls {ours['host']:.1%}, before and after "
            f"them {ours['around']:.1%}"
        )
    if arguments.only in (None, "mixed"):
        small, large = (
            median([measured(task) for _ in range(max(1, arguments.rounds // 2))])
            for task in ("mixed_1000", "mixed_10000")
        )
        for name, figures in (("1,000", small), ("10,000", large)):
            print(
                f"mixed, {name}: plan {figures['plan']:.2f} s, run {figures['run']:.1f} s, "
                f"{figures['compilations']:.0f} compilations in {figures['compile_seconds']:.1f} s, "
                f"{figures['groups']:.0f} groups, peak {figures['peak']:.0f} MiB, host {figures['host']:.1%}, "
                f"{figures['used']:.0%} of the computed evaluations used"
            )
        print(f"mixed: peak memory {large['peak'] / small['peak']:.2f} x")
    if arguments.only in (None, "hydrogen"):
        figures = median([measured("hydrogen") for _ in range(arguments.rounds)])
        print(
            f"hydrogen: {figures['process']:.2f} s, largest error {1000 * figures['largest error']:.3f} mHa of "
            f"{figures['lengths']:.0f} lengths"
        )
    if arguments.only in (None, "partition"):
        for task, nodes in (("partition_600", "600"), ("partition_10000", "10,000")):
            figures = median([measured(task) for _ in range(max(1, arguments.rounds // 2))])
            print(
                f"partition, {nodes} nodes: {figures['seconds']:.1f} s ({figures['process']:.1f} s the process), "
                f"{figures['programs']:.0f} parts, cut {figures['cut']:.0f}, greedy {figures['greedy']:.0f}: "
                f"{figures['ratio']:.3f} x, peak {figures['peak']:.0f} MiB"
            )
    for name, bar in BARS.items():
        print(f"bar: {name}: {bar:g}")


if __name__ == "__main__":
    main()
