"""Which ensemble a checkpoint is of: equal in every process, different where a result could be."""

from __future__ import annotations

import functools
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ensembles import VQE, CheckpointError, Program, ProgramEnsemble, QNNRegressor, adam
from ensembles.fingerprint import described
from ensembles.problems import tfim
from jaxsim import Circuit, ParameterVector, Z, ansatz

CIRCUIT = ansatz.hardware_efficient(2, 1)


def shifted(x, data, key, by=0.0):
    return jnp.sum((x - by) ** 2)


def by_closure(by):
    return lambda x, data, key: shifted(x, data, key, by)


def by_default(by):
    def loss(x, data, key, by=by):
        return shifted(x, data, key, by)

    return loss


class Shifted:
    def __init__(self, by):
        self.by, self._calls = by, 0

    def __call__(self, x, data, key):
        self._calls += 1
        return shifted(x, data, key, self.by)

    method = __call__


def of_module(by):
    """The loss of a script that has the number, or something else, at its top."""
    script = {"__name__": "script", "BY": by, "shifted": shifted}
    source = (
        "def inner(x):\n    return x - BY\ndef loss(x, data, key):\n    return shifted(inner(x), data, key)"
    )
    exec(source, script)
    return script["loss"]


LOSSES = {
    "closure": by_closure,
    "list in a closure": lambda by: by_closure([np.zeros(2000), by]),
    "default": by_default,
    "partial": lambda by: functools.partial(shifted, by=by),
    "object": Shifted,
    "method": lambda by: Shifted(by).method,
    "jit": lambda by: jax.jit(by_closure(by)),
    "array of the module": lambda by: of_module(np.float32(by)),
    "circuit of the module": lambda by: of_module(CIRCUIT.bind(np.full(4, by))),
    "operator of the module": lambda by: of_module((1 + 1e-9 * by) * Z(0)),
    "optax": optax.adam,
    "schedule": lambda by: optax.adam(optax.warmup_cosine_decay_schedule(0.0, by, 3, 9)),
    "chain": lambda by: optax.chain(optax.clip(1.0), optax.sgd(by)),
    "loss of samples": lambda by: regressor(loss=lambda outputs, target: jnp.sum((outputs - by * target) ** 2)).loss,
}  # fmt: skip


def regressor(**options):
    x, w = ParameterVector("x", 1), ParameterVector("w", 1)
    circuit = Circuit(1).ry(x[0], 0).rx(w[0], 0)
    return QNNRegressor(circuit, Z(0), [0.1, 0.2], [0.3, 0.4], optimizer=adam(0.1), steps=3, **options)


@pytest.mark.parametrize("name", LOSSES)
def test_functions_differ_where_they_do_something_else(name):
    make = LOSSES[name]
    assert described(make(0.5)) == described(make(0.5))
    assert described(make(0.5)) != described(make(0.25))


def test_what_a_run_changes_does_not_count():
    schedule = optax.adam(optax.cosine_decay_schedule(0.1, 30))
    loss = Shifted(0.5)
    before = described(schedule), described(loss)
    vqe = VQE(CIRCUIT, tfim(2), optimizer=schedule, steps=2)
    ProgramEnsemble([vqe, Program(loss, np.zeros(2), optimizer=adam(0.1), steps=2)]).run(progress=False)
    assert loss._calls and (described(schedule), described(loss)) == before


def test_functions_that_call_themselves():
    def loss(x, data, key):
        return x if len(x) == 1 else loss(x[1:], data, key)

    assert described(loss) == described(loss)


IN_A_PROCESS = """
import optax, jax.numpy as jnp
from ensembles.fingerprint import described
KNOWN = {"a": 1.0, "b": 2.0}
def loss(x, data, key):
    return KNOWN["a"] * jnp.sum(x) if str(x.dtype) in {"float32", "float64", "float16"} else 0.0
print(described((loss, optax.lion(0.1), frozenset("abc"))).hex())
"""


def test_every_process_finds_the_same():
    found = {
        subprocess.run(
            [sys.executable, "-c", IN_A_PROCESS],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1 and len(found.pop()) == 65


def test_another_transformation_does_not_go_on_with_a_checkpoint(tmp_path):
    def stop(update):
        raise StopIteration

    def run(rate, **options):
        vqe = VQE(CIRCUIT, tfim(2), optimizer=optax.sgd(rate), steps=6)
        return ProgramEnsemble([vqe]).run(progress=False, checkpoint_dir=tmp_path, **options)

    run(0.1, callback=stop, callback_steps=2)
    with pytest.raises(CheckpointError, match="another ensemble"):
        run(0.2)
    assert run(0.1)[0].steps == 6
