"""The same bits in other processes: on one core and on two, and whatever else was compiled before."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

SCRIPT = """
import hashlib, json, os, sys
import numpy as np, jax, jaxsim as js
from jaxsim import X, Y, Z, ansatz

cores, before, cases = json.loads(sys.argv[1])
if cores:
    os.sched_setaffinity(0, cores)  # before JAX starts its threads
if before:
    for n in (3, 6):
        circuit = ansatz.hardware_efficient(n, 2, pattern="ring")
        js.compile(circuit, Z(0) + X(1)).value_and_grad(np.ones(circuit.num_parameters))
        js.compile(circuit, engine="rotations")(np.ones(circuit.num_parameters))
    jax.jit(lambda x: x @ x)(np.ones((64, 64)))
for n, rows, engine in cases:
    circuit = ansatz.hardware_efficient(n, 3)
    values = np.random.default_rng(n).normal(size=(rows, circuit.num_parameters))
    energy = sum((0.3 * X(q) for q in range(n)), 0.7 * Z(0) @ Z(n - 1) + Y(1))
    row = js.lower(circuit, energy, engine=engine)
    found = js.evaluate(js.stack([row] * rows), values, "value_and_grad")
    alone = js.compile(circuit, energy, engine=engine).value_and_grad(values[0])
    assert np.isfinite(found[1]).all() and np.abs(found[1]).max() > 0.01
    print(n, engine, *(hashlib.sha256(np.asarray(a).tobytes()).hexdigest() for a in (*found, *alone)))
"""

SMALL = [(10, 20, "layered"), (10, 20, "rotations")]
LARGE = [(14, 3, "layered"), (16, 2, "layered"), (14, 3, "rotations"), (16, 2, "fused"), (18, 1, "fused")]


def bits(cases: list[tuple[int, int, str]], cores: list[int], before: bool) -> list[str]:
    given = json.dumps([cores, before, cases])
    done = subprocess.run([sys.executable, "-c", SCRIPT, given], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    return done.stdout.splitlines()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores cannot be chosen here")
@pytest.mark.parametrize(
    "cases", [SMALL, pytest.param(LARGE, marks=pytest.mark.slow)], ids=["small", "large"]
)
def test_neither_cores_nor_history_change_a_bit(cases):
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("there is one core only")
    two = bits(cases, cores[:2], before=False)
    assert len(two) == len(cases) and len(set(two)) == len(two)
    # In another order and after other work; on one core.
    assert sorted(bits(cases[::-1], cores[:1], before=True)) == sorted(two)
