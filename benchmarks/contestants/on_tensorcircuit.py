"""tensorcircuit-ng on JAX, one jitted function; of many circuits it runs copies of the first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tensorcircuit as tc

from problems import Problem, big_endian

BACKEND = tc.set_backend("jax")
tc.set_dtype("complex64")


def prepare(problem: Problem, want: str) -> Callable[[], Any]:
    n = problem.num_wires
    diagonal = None if problem.cost is None else np.asarray(big_endian(problem.cost), np.float32)

    def energy(theta: Any) -> Any:
        circuit = tc.Circuit(n)
        for operation in problem.circuits[0]:
            if operation.name == "evolve":
                phase = operation.factor * theta[operation.parameter] * diagonal
                circuit = tc.Circuit(n, inputs=circuit.state() * jnp.exp(-1j * phase))
            elif operation.parameter is None:
                getattr(circuit, operation.name)(*operation.wires)
            else:
                angle = operation.factor * theta[operation.parameter]
                getattr(circuit, operation.name)(*operation.wires, theta=angle)
        state = circuit.state()
        if diagonal is not None:
            return jnp.sum(diagonal * jnp.abs(state) ** 2)
        measured = tc.Circuit(n, inputs=state)
        total = 0.0
        for coefficient, word in problem.terms:
            wires = {letter.lower(): [q for q, own in word if own == letter] for _, letter in word}
            total += coefficient * BACKEND.real(measured.expectation_ps(**wires))
        return total

    function = energy if want == "value" else jax.value_and_grad(energy)
    compiled = jax.jit(function if problem.sets == 1 else jax.vmap(function))
    values = jnp.asarray(problem.values[0] if problem.sets == 1 else problem.values)
    if want == "value":
        return lambda: (jax.block_until_ready(compiled(values)), None)
    return lambda: jax.block_until_ready(compiled(values))
