"""Which ensemble a checkpoint is of: equal in every process, different where a result could be."""

from __future__ import annotations

import dataclasses
import functools
import os
import subprocess
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ensembles.fingerprint
from ensembles import QAOA, VQE, CheckpointError, Program, ProgramEnsemble, QNNRegressor, adam, spsa
from ensembles.fingerprint import described, fingerprint
from ensembles.problems import MaxCut, tfim
from jaxsim import Circuit, Parameter, ParameterVector, Z, ansatz, compile

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


def of_module(by, function=shifted):
    """The loss of a script that has the number, or something else, and a function at its top."""
    script = {"__name__": "script", "BY": by, "shifted": function}
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


# what code does not say -----------------------------------------------------------------------------------------


def mark(program):
    """The fingerprint of an ensemble of one."""
    return fingerprint(["p"], [program], [program.row("p")], [], np.zeros(2, np.uint32))


@dataclasses.dataclass
class Settings:
    by: float


class Private:
    def __init__(self, by):
        self._by = by

    def __call__(self, x, data, key):
        return shifted(x, data, key, self._by)


def one_of_a_kind(by):
    """An object whose number is in its class; `__call__` has it in its own body."""
    body = {"by": by, "__call__": lambda self, x, data, key: shifted(x, data, key, self.by)}
    return type("Shifted", (), body)()


def with_rule(by):
    """A derivative of one's own, where nothing else differs."""

    @jax.custom_jvp
    def inner(x):
        return jnp.sum(x**2)

    inner.defjvp(lambda at, along: (inner(*at), by * jnp.sum(at[0] * along[0])))
    return lambda x, data, key: inner(x)


def calls(inner):
    """A loss that finds a function of the parameters around it."""
    return lambda x, data, key: jnp.sum(inner(x))


def by_object(found):
    """A loss that finds an object with the number around it."""
    return lambda x, data, key: shifted(x, data, key, found.by)


CAUGHT = {
    "jitted function": lambda by: calls(jax.jit(lambda x: shifted(x, None, None, by))),
    "jitted function of the module": lambda by: of_module(by, jax.jit(shifted)),
    "jitted partial of the module": lambda by: of_module(0.0, jax.jit(functools.partial(shifted, by=by))),
    "partial of the module": lambda by: of_module(0.0, functools.partial(shifted, by=by)),
    "compiled circuit": lambda by: calls(compile(CIRCUIT, by * Z(0))),
    "compiled circuit of the module": lambda by: of_module(0.0, calls(compile(CIRCUIT, by * Z(0)))),
    "dataclass": lambda by: by_object(Settings(by)),
    "namespace": lambda by: by_object(SimpleNamespace(by=by)),
    "private attribute": Private,
    "attribute of a class": one_of_a_kind,
    "derivative": with_rule,
    "transformed function": lambda by: calls(jax.vmap(lambda x: by * x)),
    "function in a dict": lambda by: calls({"f": lambda x: shifted(x, None, None, by)}["f"]),
}


@pytest.mark.parametrize("name", CAUGHT)
def test_losses_differ_by_whatever_they_have_caught(name):
    start = np.linspace(0.1, 0.4, 4)
    first, same, other = (
        mark(Program(CAUGHT[name](by), start, optimizer=adam(0.1), steps=2)) for by in (0.5, 0.5, 0.25)
    )
    assert first == same != other


def test_transformations_differ_by_whatever_they_have_caught():
    def made(by):
        scale = jax.jit(lambda updates: jax.tree.map(lambda u: by * u, updates))
        rule = optax.stateless(lambda updates, parameters: scale(updates))
        return mark(VQE(CIRCUIT, tfim(2), optimizer=rule, steps=2))

    assert made(0.5) == made(0.5) != made(0.25)


def test_callbacks_differ_by_their_code():
    def made(by):
        def loss(x, data, key):
            told = jax.ShapeDtypeStruct((), np.float32)
            place = jax.lax.stop_gradient(x)
            found = jax.pure_callback(
                lambda x: np.float32(by * x.sum()), told, place, vmap_method="sequential"
            )
            return jnp.sum(x**2) + jax.lax.stop_gradient(found)

        return mark(Program(loss, np.zeros(2), optimizer=adam(0.1), steps=2))

    assert made(0.5) == made(0.5) != made(0.25)


@pytest.mark.parametrize("shots", [None, 100])
def test_every_digit_inside_of_an_expression_counts(shots):
    def made(by):
        circuit = Circuit(1).ry((by * Parameter("a")).sin(), 0)
        return mark(VQE(circuit, Z(0), optimizer=adam(0.1), steps=2, shots=shots))

    assert made(1.1) == made(1.1) != made(1.1000001)


def test_programs_whose_losses_and_rules_are_ours_are_not_traced(monkeypatch):
    monkeypatch.setattr(ensembles.fingerprint, "advance", None)
    edge = QAOA(MaxCut([(0, 1)]), layers=1, optimizer=adam(0.1), steps=2)
    for program in (edge, VQE(CIRCUIT, tfim(2), optimizer=spsa(0.1), steps=2, shots=10)):
        assert mark(program) == mark(program)


def test_a_compiled_circuit_that_was_changed_does_not_go_on_with_a_checkpoint(tmp_path):
    def run(by):
        program = Program(calls(compile(CIRCUIT, by * Z(0))), np.full(4, 0.3), optimizer=adam(0.1), steps=2)
        return ProgramEnsemble([program]).run(progress=False, checkpoint_dir=tmp_path)

    first = run(1)
    assert run(1) == first
    with pytest.raises(CheckpointError, match="another ensemble"):
        run(2)


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
import jax, optax, numpy as np, jax.numpy as jnp
from ensembles import Program
from ensembles.fingerprint import described, fingerprint
KNOWN = {"a": 1.0, "b": 2.0}
helper = jax.jit(lambda x: jnp.clip(x, -1, 1) + jnp.asarray(np.arange(99.0)).sum())
def loss(x, data, key):
    return KNOWN["a"] * jnp.sum(helper(x)) if str(x.dtype) in {"float32", "float64", "float16"} else 0.0
program = Program(loss, np.ones(3), optimizer=optax.lion(0.1), steps=2)
mark = fingerprint(["p"], [program], [program.row("p")], [], np.zeros(2, np.uint32))
print(described((loss, optax.lion(0.1), frozenset("abc"))).hex() + mark.hex())
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
    assert len(found) == 1 and len(found.pop()) == 97


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
