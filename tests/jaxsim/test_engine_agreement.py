"""All three engines with both ways to differentiate, on circuits of the whole gate table.

`test_engines.py` compares layers and steps on 300 circuits. Here the engine that compiles every circuit takes part, so
there are fewer; and rows differentiated by backprop, in batches.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import jaxsim as js
from jaxsim import Circuit, Parameter, X, Y, Z

TOLERANCE = {"complex64": 1e-5, "complex128": 1e-10}
COUNT = 6  # of each number of qubits


def observable(num_wires: int) -> Any:
    last = num_wires - 1
    return 0.7 * Z(0) + 0.3 * X(last) - 0.5 * Y(0) + (X(0) @ Z(last) if last else 0.2 * X(0))


def circuits(build: Any, num_wires: int) -> list[tuple[Circuit, np.ndarray, Any]]:
    """Circuits, half of whose angles are parameters; their values; and the same gates for Qiskit."""
    made = []
    for seed in range(COUNT):
        random = build(5000 + seed, num_wires, 12)
        names = [Parameter(f"a{k:03}") for k in range(len(random.angles))]
        circuit = random.circuit(lambda k, value, own=names: 0.5 * own[k] + 0.1 if k % 2 else value)
        values = [2 * (random.angles[int(p.name[1:])] - 0.1) for p in circuit.parameters]
        made.append((circuit, np.array(values), random))
    return made


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("num_wires", range(1, 7))
def test_every_engine_and_both_ways_to_differentiate(num_wires, dtype, random_circuit, dense):
    operator, matrix = observable(num_wires), dense(observable(num_wires), num_wires)
    near = TOLERANCE[dtype]
    with jax.enable_x64(dtype == "complex128"):
        for circuit, values, random in circuits(random_circuit, num_wires):
            state = random.statevector()
            expected, reference = np.vdot(state, matrix @ state).real, None
            for engine in ("rotations", "layered", "fused"):
                for diff in ("adjoint", "backprop"):
                    row = js.lower(circuit, operator, engine=engine, diff=diff, dtype=dtype)
                    rows = js.stack([row, row, row])
                    batch = np.stack([values, 0.5 * values, values])
                    energies, gradients = js.evaluate(rows, batch, "value_and_grad")
                    np.testing.assert_allclose(energies[[0, 2]], expected, atol=near)
                    reference = gradients if reference is None else reference
                    np.testing.assert_allclose(gradients, reference, atol=near)
                    if engine == "layered" and diff == "adjoint":
                        alone = js.compile(circuit, operator, engine=engine, dtype=dtype)
                        np.testing.assert_allclose(alone.value_and_grad(values)[1], reference[0], atol=near)
