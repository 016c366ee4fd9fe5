"""Jobs: this library's Simulator and qiskit-aer on lists of circuits, and what executors gain.

    python benchmarks/jobs.py               # 1,000 circuits: whole processes cold, and warm, in turns with Aer
    python benchmarks/jobs.py --executors   # threads, processes and Dask on four kinds of list
    python benchmarks/jobs.py --count 100   # fewer circuits

Every measurement is a fresh process without a persistent compilation cache; the two take turns, and ratios are taken
within a round. Aer runs in the settings that are fastest for it here, which are found first; its time includes
transpiling. Needs qiskit-aer (and Dask for --executors) where this library is installed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import machine

SHOTS = 1000
GATES = {
    **dict.fromkeys(("h", "t", "sx"), (0, 1)),
    **dict.fromkeys(("rx", "ry", "rz"), (1, 1)),
    **dict.fromkeys(("cx", "cz"), (0, 2)),
    "rzz": (1, 2),
}
"""Name -> number of angles and of wires."""

Gates = list[tuple[str, tuple[float, ...], tuple[int, ...]]]


def listed(count: int, num_wires: int = 8, num_gates: int = 40, seed: int = 0) -> list[Gates]:
    """Circuits as data, all different."""
    rng = np.random.default_rng(seed)
    names = rng.choice(list(GATES), (count, num_gates)).tolist()
    angles = rng.uniform(-np.pi, np.pi, (count, num_gates)).tolist()
    order = np.tile(np.arange(num_wires), (count * num_gates, 1))
    wires = rng.permuted(order, axis=1)[:, :2].reshape(count, num_gates, 2).tolist()
    return [
        [(name, (angle,) * GATES[name][0], tuple(pair[: GATES[name][1]])) for name, angle, pair in zip(*row)]
        for row in zip(names, angles, wires)
    ]


# in the process that is measured ----------------------------------------------------------------------------


def _ours(circuits: list[Gates], num_wires: int) -> list[Any]:
    from jaxsim import Circuit

    built = []
    for gates in circuits:
        circuit = Circuit(num_wires)
        for name, angles, wires in gates:
            getattr(circuit, name)(*angles, *wires)
        built.append(circuit)
    return built


def work(who: str, count: int, warm: int) -> dict[str, Any]:
    """Builds the list, runs it once and then `warm` times."""
    started = time.perf_counter()
    data = listed(count)
    if who == "jaxsim":
        from jaxsim.simulator import Simulator

        imported = time.perf_counter()
        circuits = _ours(data, 8)
        simulator = Simulator(shots=SHOTS, seed=7)

        def run() -> list[dict[str, int]]:
            result = simulator.run(circuits).result()
            return [result.counts(k) for k in range(count)]

    else:
        from contestants import on_aer

        imported = time.perf_counter()
        run = on_aer.prepare(on_aer.build(data, 8), SHOTS, who)
    built = time.perf_counter()
    counts = run()
    first = time.perf_counter()
    times = []
    for _ in range(warm):
        begun = time.perf_counter()
        run()
        times.append(time.perf_counter() - begun)
    return {
        "import": imported - started,
        "build": built - imported,
        "first": first - built,
        "warm": statistics.median(times) if times else None,
        "shots": sum(counts[-1].values()),
    }


# in turns ---------------------------------------------------------------------------------------------------


def measured(*arguments: str) -> dict[str, Any]:
    """A fresh process; the time it took as a whole is among the results."""
    dropped = ("JAX_", "XLA_", "OMP_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    environment |= {"PYTHONPATH": str(Path(__file__).parent.parent), "JAX_PLATFORMS": "cpu"}
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, *arguments], capture_output=True, text=True, check=False, env=environment
    )
    process = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(done.stderr)
    return {**json.loads(done.stdout.splitlines()[-1]), "process": process}


def compare(count: int, rounds: int) -> None:
    """Both bars."""
    size = str(count)
    # The worse of two processes: some settings suffer from other programs much more than others.
    settings = {
        name: max(measured("--work", name, "--count", size, "--warm", "1")["warm"] for _ in range(2))
        for name in _aer_settings()
    }
    for name, seconds in settings.items():
        print(f"Aer, {name}: {seconds:.2f} s warm")
    best = min(settings, key=settings.__getitem__)
    cold, warm = [], []
    for number in range(rounds):
        both = {}
        for who in ("jaxsim", best) if number % 2 else (best, "jaxsim"):
            once = measured("--work", who, "--count", size, "--warm", "0")
            more = measured("--work", who, "--count", size, "--warm", "3")
            both[who] = (once["process"], more["warm"])
            parts = ", ".join(f"{part} {once[part]:.2f}" for part in ("import", "build", "first"))
            print(
                f"round {number + 1}, {who}: process {once['process']:.2f} s ({parts}), warm {more['warm']:.3f} s"
            )
        ours, aer = both["jaxsim"], both[best]
        cold.append(aer[0] / ours[0])
        warm.append(aer[1] / ours[1])
    print(
        f"whole process, Aer over jaxsim: {statistics.median(cold):.2f} ({', '.join(f'{r:.2f}' for r in cold)})"
    )
    print(f"warm, Aer over jaxsim: {statistics.median(warm):.2f} ({', '.join(f'{r:.2f}' for r in warm)})")


def _aer_settings() -> list[str]:
    from contestants import on_aer

    return list(on_aer.SETTINGS)


# executors --------------------------------------------------------------------------------------------------


def _sizes(_: int) -> tuple[list[Any], dict[str, Any]]:
    """Circuits of 12 sizes: as many kernels to compile."""
    return [_ours(listed(1, n, 60, seed=n), n)[0] for n in range(4, 16)], {}


def _small(_: int) -> tuple[list[Any], dict[str, Any]]:
    return _ours(listed(1000), 8), {}


def _new(seed: int) -> tuple[list[Any], dict[str, Any]]:
    """Circuits that have not been lowered before."""
    return _ours(listed(1000, seed=seed), 8), {}


def _wide(_: int) -> tuple[list[Any], dict[str, Any]]:
    return _ours(listed(8, 20, 60), 20), {}


def _gradients(_: int) -> tuple[list[Any], dict[str, Any]]:
    from jaxsim import X, Z, ansatz

    circuit = ansatz.hardware_efficient(10, 4)
    values = np.random.default_rng(0).uniform(-3, 3, (16, 32, circuit.num_parameters))
    asked = {
        "parameter_values": list(values),
        "observables": Z(0) @ Z(1) + X(2),
        "outputs": ("values", "gradients"),
    }
    return [circuit] * 16, asked


LISTS = {
    "12 sizes, each to be compiled": (_sizes, 1),
    "1,000 circuits of 8 qubits, 1,000 shots": (_small, 250),
    "1,000 new circuits of 8 qubits each time": (_new, 250),
    "8 circuits of 20 qubits": (_wide, 2),
    "16 x 32 gradients, 10 qubits": (_gradients, 4),
}
"""Title -> circuits, and how many of them a chunk has."""


@contextlib.contextmanager
def executor(name: str) -> Iterator[Any]:
    """An executor with two workers; None for "none"."""
    if name == "none":
        yield None
    elif name == "threads":
        with ThreadPoolExecutor(2) as pool:
            yield pool
    elif name == "processes":
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
            yield pool
    else:
        from distributed import Client, LocalCluster

        with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:  # noqa: SIM117
            with Client(cluster) as client:
                yield client.get_executor()


def work_on(name: str, title: str) -> dict[str, Any]:
    """The first run of a list on an executor, and the best of four more: other programs only make runs longer."""
    from jaxsim.simulator import Simulator

    make, size = LISTS[title]
    lists = [make(seed) for seed in range(5)]
    with executor(name) as pool:
        simulator = Simulator(shots=SHOTS, executor=pool, max_job_size=size if pool else None)
        times = []
        for seed, (circuits, asked) in enumerate(
            lists
        ):  # another seed: Dask remembers the results of equal calls
            begun = time.perf_counter()
            simulator.run(circuits, **asked, seed=seed).result()
            times.append(time.perf_counter() - begun)
    return {"first": times[0], "warm": min(times[1:])}


def compare_executors(rounds: int, titles: list[str]) -> None:
    """The table of docs/executors.md; the best of all rounds."""
    for title in titles:
        found: dict[str, list[tuple[float, float]]] = {}
        for _ in range(rounds):
            for name in ("none", "threads", "processes", "dask"):
                one = measured("--work-on", name, "--list", title)
                found.setdefault(name, []).append((one["first"], one["warm"]))
        for name, times in found.items():
            first, warm = (min(column) for column in zip(*times))
            print(f"{title:42} {name:10} first {first:6.2f} s, then {warm:6.3f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--executors", action="store_true")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--warm", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--work-on", help=argparse.SUPPRESS)
    parser.add_argument("--list", choices=LISTS, help="with --executors: this list alone")
    options = parser.parse_args()
    if options.work:
        print(json.dumps(work(options.work, options.count, options.warm)))
    elif options.work_on:
        print(json.dumps(work_on(options.work_on, options.list)))
    else:
        print(machine.described())
        if options.executors:
            compare_executors(options.rounds, [options.list] if options.list else list(LISTS))
        else:
            compare(options.count, options.rounds)


if __name__ == "__main__":
    main()
