"""Value and gradient of a variational energy, here and on other simulators.

The workload: a hardware-efficient ansatz of n qubits and L layers (RY and RZ on every qubit, then a chain of CX),
the energy of the transverse-field Ising chain, 64 parameter sets. Every simulator runs in a fresh process, in turn,
`--repeat` times; the medians are printed: the first call (compilation included, imports not) and a warm call, per
parameter set.

    python benchmarks/gradient.py                                  # this library alone
    python benchmarks/gradient.py --peers-python venv/bin/python   # with those peers that are installed there:
                                                                   # tensorcircuit-ng, pennylane, qulacs
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

SETS = 64


def angles(n: int, layers: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 2 * np.pi, (SETS, layers, 2, n)).astype(np.float32)


def ours(n: int, layers: int, different: bool = False) -> Callable[[], Any]:
    import jaxsim as js
    from ensembles.problems import tfim
    from jaxsim import Circuit, ParameterVector, ansatz

    rng = np.random.default_rng(1)

    def circuit() -> Circuit:
        """As the ansatz, but with a CX network of its own in every layer."""
        theta = ParameterVector("theta", layers * 2 * n).reshape(layers, 2, n)
        c = Circuit(n)
        for layer in theta:
            c.ry(layer[0], range(n)).rz(layer[1], range(n))
            for _ in range(n - 1):
                c.cx(*(int(q) for q in rng.permutation(n)[:2]))
        return c

    circuits = [circuit() if different else ansatz.hardware_efficient(n, layers) for _ in range(SETS)]
    values = angles(n, layers).reshape(SETS, -1)

    groups: dict[Any, list[int]] = {}
    rows = [js.lower(c, tfim(n)) for c in circuits]
    for k, row in enumerate(rows):
        groups.setdefault(row.key, []).append(k)
    stacked = [(js.stack([rows[k] for k in members]), values[members]) for members in groups.values()]
    return lambda: [js.evaluate(row, own, "value_and_grad") for row, own in stacked]


def different(n: int, layers: int) -> Callable[[], Any]:
    return ours(n, layers, different=True)


def tensorcircuit(n: int, layers: int) -> Callable[[], Any]:
    import jax
    import tensorcircuit as tc

    backend = tc.set_backend("jax")
    tc.set_dtype("complex64")

    def energy(theta: Any) -> Any:
        c = tc.Circuit(n)
        for layer in range(layers):
            for q in range(n):
                c.ry(q, theta=theta[layer, 0, q])
            for q in range(n):
                c.rz(q, theta=theta[layer, 1, q])
            for q in range(n - 1):
                c.cx(q, q + 1)
        state = tc.Circuit(n, inputs=c.state())
        bonds = sum(backend.real(state.expectation_ps(z=[q, q + 1])) for q in range(n - 1))
        return -bonds - sum(backend.real(state.expectation_ps(x=[q])) for q in range(n))

    function = jax.jit(jax.vmap(jax.value_and_grad(energy)))
    values = angles(n, layers)
    return lambda: jax.block_until_ready(function(values))


def pennylane(n: int, layers: int) -> Callable[[], Any]:
    import jax
    import pennylane as qml

    words = [qml.Z(q) @ qml.Z(q + 1) for q in range(n - 1)] + [qml.X(q) for q in range(n)]
    hamiltonian = qml.Hamiltonian([-1.0] * len(words), words)

    @qml.qnode(qml.device("default.qubit", wires=n), diff_method="backprop")
    def energy(theta: Any) -> Any:
        for layer in range(layers):
            for q in range(n):
                qml.RY(theta[layer, 0, q], q)
            for q in range(n):
                qml.RZ(theta[layer, 1, q], q)
            for q in range(n - 1):
                qml.CNOT([q, q + 1])
        return qml.expval(hamiltonian)

    function = jax.jit(jax.vmap(jax.value_and_grad(energy)))
    values = angles(n, layers)
    return lambda: jax.block_until_ready(function(values))


def qulacs(n: int, layers: int) -> Callable[[], Any]:
    from qulacs import Observable, ParametricQuantumCircuit

    observable = Observable(n)
    for q in range(n - 1):
        observable.add_operator(-1.0, f"Z {q} Z {q + 1}")
    for q in range(n):
        observable.add_operator(-1.0, f"X {q}")
    circuit = ParametricQuantumCircuit(n)
    for _ in range(layers):
        for q in range(n):
            circuit.add_parametric_RY_gate(q, 0.0)
        for q in range(n):
            circuit.add_parametric_RZ_gate(q, 0.0)
        for q in range(n - 1):
            circuit.add_CNOT_gate(q, q + 1)
    values = -angles(n, layers).reshape(SETS, -1).astype(float)  # its rotations have the other sign

    def call() -> None:
        for row in values:
            for k, value in enumerate(row):
                circuit.set_parameter(k, value)
            circuit.backprop(observable)

    return call


CONTESTANTS = {
    "jaxsim": ours,
    "jaxsim, 64 different circuits": different,
    "tensorcircuit-ng, jit(vmap)": tensorcircuit,
    "PennyLane default.qubit, jit(vmap)": pennylane,
    "qulacs, loop": qulacs,
}


def measure(name: str, n: int, layers: int) -> dict[str, float]:
    """Seconds of the first call and of a warm one."""
    started = time.perf_counter()
    call = CONTESTANTS[name](n, layers)
    call()
    first = time.perf_counter() - started
    warm = []
    for _ in range(5):
        started = time.perf_counter()
        call()
        warm.append(time.perf_counter() - started)
    return {"first": first, "warm": statistics.median(warm)}


def in_fresh_process(python: str, name: str, n: int, layers: int) -> dict[str, float] | None:
    command = [python, __file__, "--only", name, "--qubits", str(n), "--layers", str(layers)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--qubits", type=int, default=10)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--peers-python", help="an interpreter that has the peers installed")
    parser.add_argument("--only", choices=CONTESTANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measure(options.only, options.qubits, options.layers)))
        return
    times: dict[str, list[dict[str, float]]] = {}
    for _ in range(options.repeat):
        for name in CONTESTANTS:
            python = sys.executable if name.startswith("jaxsim") else options.peers_python
            result = in_fresh_process(python, name, options.qubits, options.layers) if python else None
            if result:
                times.setdefault(name, []).append(result)
    print(f"n={options.qubits}, L={options.layers}, {SETS} parameter sets, complex64 where there is a choice")
    print(f"{'':<36}{'first call / s':>16}{'per set / us':>16}")
    for name, results in times.items():
        first = statistics.median(r["first"] for r in results)
        warm = statistics.median(r["warm"] for r in results)
        print(f"{name:<36}{first:>16.2f}{1e6 * warm / SETS:>16.0f}")


if __name__ == "__main__":
    main()
