"""Shots of circuits that go on after a measurement: this library beside AerSimulator, warm, taking turns.

    PYTHONPATH=. python benchmarks/dynamic.py              # a Python with qiskit and qiskit-aer
    PYTHONPATH=. python benchmarks/dynamic.py --shots 1000

Aer runs transpiled circuits, in double and single precision, as it is by default and with shot branching, which it has
to be asked for; the best is what we are compared with. As it is by default it simulates every shot, so there it gets a
hundredth of them and the time is multiplied. All use all cores. Both give counts: how far these are apart is printed
next to how far two runs of ours are, with different keys.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister, transpile
from qiskit_aer import AerSimulator
from rich.console import Console
from rich.table import Table

import jaxsim as js

ROUNDS = 5
DEFAULT_SHARE = 100

AER: dict[str, dict[str, Any]] = {
    "default": {},
    "branching": {"shot_branching_enable": True, "shot_branching_sampling_enable": True},
    "branching, single": {
        "shot_branching_enable": True,
        "shot_branching_sampling_enable": True,
        "precision": "single",
    },
}

Pair = tuple[js.Circuit, QuantumCircuit]


def pair(num_wires: int, **registers: int) -> Pair:
    """An empty circuit for us, and one for Qiskit."""
    ours = js.Circuit(num_wires)
    for name, size in registers.items():
        ours.register(name, size)
    theirs = [ClassicalRegister(size, name) for name, size in registers.items()]
    return ours, QuantumCircuit(QuantumRegister(num_wires), *theirs)


def both(circuits: Pair, name: str, *arguments: Any) -> None:
    for circuit in circuits:
        getattr(circuit, name)(*arguments)


def layers(circuits: Pair, rng: np.random.Generator, number: int) -> None:
    n = circuits[0].num_wires
    for _ in range(number):
        for wire in range(n):
            both(circuits, "ry", float(rng.uniform(0, 6)), wire)
            both(circuits, "rz", float(rng.uniform(0, 6)), wire)
        for wire in range(n - 1):
            both(circuits, "cx", wire, wire + 1)


def flipped_if(circuits: Pair, bit: int, wire: int) -> None:
    ours, theirs = circuits
    with ours.if_([b for r in ours.registers for b in r][bit]):
        ours.x(wire)
    with theirs.if_test((theirs.clbits[bit], 1)):
        theirs.x(wire)


def ten_qubits(measurements: int = 5) -> Pair:
    """Two layers, then five times: a measurement, an X if it gave 1, two layers; all measured at the end."""
    circuits, rng = pair(10, m=measurements), np.random.default_rng(0)
    layers(circuits, rng, 2)
    for k in range(measurements):
        both(circuits, "measure", k, k)
        flipped_if(circuits, k, k + 1)
        layers(circuits, rng, 2)
    both(circuits, "measure_all")
    return circuits


def teleportation() -> Pair:
    circuits = pair(3, m=2, out=1)
    for name, *arguments in [
        ("ry", 1.1, 0), ("h", 1), ("cx", 1, 2), ("cx", 0, 1), ("h", 0), ("measure", 0, 0), ("measure", 1, 1),
    ]:  # fmt: skip
        both(circuits, name, *arguments)
    flipped_if(circuits, 1, 2)
    both(circuits, "h", 2)
    flipped_if(circuits, 0, 2)
    both(circuits, "h", 2)
    both(circuits, "measure", 2, 2)
    return circuits


def repeat_until_success() -> Pair:
    """A coin of 3/4 tossed until it shows 0, at most 40 times; every time another wire turns."""
    circuits = ours, theirs = pair(2, coin=1, out=1)
    both(circuits, "ry", 2 * np.pi / 3, 0)
    both(circuits, "measure", 0, 0)
    with ours.while_(ours.registers[0] == 1, max_iterations=40):
        ours.reset(0).ry(2 * np.pi / 3, 0).ry(0.3, 1).measure(0, 0)
    with theirs.while_loop((theirs.clbits[0], 1)):
        theirs.reset(0)
        theirs.ry(2 * np.pi / 3, 0)
        theirs.ry(0.3, 1)
        theirs.measure(0, 0)
    both(circuits, "measure", 1, 1)
    return circuits


WORKLOADS: dict[str, Callable[[], Pair]] = {
    "10 qubits, 5 measurements inside": ten_qubits,
    "10 qubits, 9 measurements inside": lambda: ten_qubits(9),
    "teleportation": teleportation,
    "repeat until success": repeat_until_success,
}


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def distance(a: dict[str, int], b: dict[str, int]) -> float:
    """Half the sum of differences of relative frequencies."""
    keys = a.keys() | b.keys()
    shots_a, shots_b = sum(a.values()), sum(b.values())
    return 0.5 * sum(abs(a.get(k, 0) / shots_a - b.get(k, 0) / shots_b) for k in keys)


def measured(build: Callable[[], Pair], shots: int) -> dict[str, Any]:
    """Median seconds by contestant over rounds in which each has its turn, and distances of counts."""
    ours, theirs = build()
    key = jax.random.key(1)
    calls: dict[str, Callable[[], dict[str, int]]] = {"jaxsim": lambda: js.counts(ours, key, shots)}
    share = dict.fromkeys(["jaxsim", *AER], 1)
    for name, options in AER.items():
        simulator = AerSimulator(method="statevector", seed_simulator=1, **options)
        circuit = transpile(theirs, simulator)
        share[name] = 1 if options else DEFAULT_SHARE
        own = max(shots // share[name], 1)
        calls[name] = lambda simulator=simulator, circuit=circuit, own=own: (
            simulator.run(circuit, shots=own).result().get_counts()
        )
    times: dict[str, list[float]] = {name: [] for name in calls}
    counts: dict[str, dict[str, int]] = {}
    for turn in range(ROUNDS + 1):  # the first one warms up
        names = list(calls)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            took, counts[name] = seconds(calls[name])
            if turn:
                times[name].append(took * share[name])
    again = js.counts(ours, jax.random.key(2), shots)
    return {name: statistics.median(own) for name, own in times.items()} | {
        "apart": distance(counts["jaxsim"], counts["branching"]),
        "noise": distance(again, counts["jaxsim"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shots", type=int, default=100_000)
    parser.add_argument("--only", choices=WORKLOADS)
    given = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*left `while_")
    table = Table(
        "workload", "jaxsim", *(f"Aer {name}" for name in AER), "ratio to the best", "counts apart (noise)"
    )
    for title, build in WORKLOADS.items():
        if given.only not in (None, title):
            continue
        result = measured(build, given.shots)
        best = min(result[name] for name in AER)
        table.add_row(
            title,
            *(f"{1000 * result[name]:,.1f} ms" for name in ("jaxsim", *AER)),
            f"{best / result['jaxsim']:.0f}",
            f"{result['apart']:.3f} ({result['noise']:.3f})",
        )
    Console(width=160).print(f"{given.shots:,} shots, warm, medians of {ROUNDS}", table)


if __name__ == "__main__":
    main()
