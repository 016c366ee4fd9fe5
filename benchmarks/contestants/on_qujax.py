"""qujax, one jitted function; of many circuits it runs copies of the first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import qujax

from problems import Problem

GATES = {"h": "H", "x": "X", "cx": "CX", "rx": "Rx", "ry": "Ry", "rz": "Rz"}


def prepare(problem: Problem, want: str) -> Callable[[], Any]:
    operations = problem.circuits[0]
    turned = [operation for operation in operations if operation.parameter is not None]
    owners = np.array([operation.parameter for operation in turned])
    # Its angles are in units of pi.
    factors = np.array([operation.factor / np.pi for operation in turned], np.float32)
    positions = iter(range(len(turned)))
    slots = [[] if operation.parameter is None else [next(positions)] for operation in operations]
    state = qujax.get_params_to_statetensor_func(
        [GATES[operation.name] for operation in operations],
        [list(operation.wires) for operation in operations],
        slots,
        problem.num_wires,
    )
    measured = qujax.get_statetensor_to_expectation_func(
        [[letter for _, letter in word] for _, word in problem.terms],
        [[wire for wire, _ in word] for _, word in problem.terms],
        [coefficient for coefficient, _ in problem.terms],
    )

    def energy(theta: Any) -> Any:
        return measured(state(theta[owners] * factors))

    function = energy if want == "value" else jax.value_and_grad(energy)
    compiled = jax.jit(function if problem.sets == 1 else jax.vmap(function))
    values = jnp.asarray(problem.values[0] if problem.sets == 1 else problem.values)
    if want == "value":
        return lambda: (jax.block_until_ready(compiled(values)), None)
    return lambda: jax.block_until_ready(compiled(values))
