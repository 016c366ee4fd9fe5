"""A program's loss and rule are its own affair: what cannot run is refused by name, what breaks fails alone."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ensembles.loss_checks
from ensembles import EnsembleError, Program, ProgramEnsemble, adam, sgd, spsa
from ensembles.compiled import CompiledRun


def square(x, data, key):
    return jnp.sum(x**2)


def halved(x, data, key):
    """Has no reverse derivative."""
    return jnp.sum(jax.lax.while_loop(lambda s: jnp.sum(s) > 1, lambda s: s / 2, x))


def uneven():
    """A rule whose state grows."""
    return optax.GradientTransformation(
        lambda p: jnp.zeros(1), lambda g, s, p=None: (g, jnp.concatenate([s, s]))
    )


def program(loss=square, optimizer=None, steps=3, **options):
    return Program(
        loss, np.ones(2), optimizer=sgd(0.1) if optimizer is None else optimizer, steps=steps, **options
    )


# before anything runs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "broken, message",
    [
        (lambda: program(halved), "loss of program 'bad' .* cannot be differentiated .* but sgd follows"),
        (
            lambda: program(optimizer=optax.masked(optax.adam(0.1), {"a": True})),
            "optimizer of program 'bad' .* cannot make a step",
        ),
        (
            lambda: program(optimizer=optax.add_noise(0.1, 0.1, 0)),
            "optimizer of program 'bad' .* keeps a random key",
        ),
        (lambda: program(optimizer=uneven()), "optimizer of program 'bad' .* state whose shapes change"),
        (
            lambda: program(optimizer=adam(lambda step: 0.1 if step < 2 else 0.01)),
            "optimizer of program 'bad' .* cannot make a step",
        ),
    ],
    ids=["derivative", "shapes", "key", "state", "schedule"],
)
def test_what_cannot_run_is_refused_by_name(broken, message):
    ensemble = ProgramEnsemble({"good": program(), "bad": broken()})
    with pytest.raises(ValueError, match=message):
        ensemble.plan()
    with pytest.raises(ValueError, match=message):
        ensemble.run(progress=False, on_error="collect")


def test_rules_without_gradients_and_rules_that_fit_pass():
    tree = {"a": np.ones(2), "b": np.ones(1)}
    masked = optax.masked(optax.adam(0.1), {"a": True, "b": False})

    def both(x, data, key):
        return jnp.sum(x["a"] ** 2) + jnp.sum(x["b"] ** 2)

    programs = [
        program(halved, spsa(0.1)),
        Program(both, tree, optimizer=masked, steps=1),
        program(optimizer=optax.polyak_sgd()),
        program(optimizer=spsa(optax.constant_schedule(0.1))),
    ]
    assert len(ProgramEnsemble(programs).plan().groups) == 4


def test_each_loss_is_tried_once_whatever_the_rules(monkeypatch):
    tried = []
    checked = ensembles.loss_checks._check_scalar
    monkeypatch.setattr(
        ensembles.loss_checks, "_check_scalar", lambda who, *rest: tried.append(who) or checked(who, *rest)
    )
    rules = [adam(0.1), adam(0.2), sgd(0.1), sgd(0.1, momentum=0.9), optax.adam(0.1), optax.adam(0.1)]
    ProgramEnsemble([program(optimizer=rule) for rule in rules for _ in range(3)]).plan()
    assert len(tried) == 1


# in the run -------------------------------------------------------------------------------------------------


def _on_the_host(x):
    if x[0] > 1.5:
        raise LookupError("mine")
    return np.float32((x**2).sum())


@jax.custom_jvp
def _called(x):
    return jax.pure_callback(_on_the_host, jax.ShapeDtypeStruct((), np.float32), x, vmap_method="sequential")


@_called.defjvp
def _(primals, tangents):
    return _called(primals[0]), 2 * jnp.vdot(primals[0], tangents[0])


def python(x, data, key):
    """Raises in Python if x[0] + data is above 1.5; descends otherwise."""
    return _called(x + data)


def rises(x, data, key):
    """Goes up along x[0], by 0.1 a step, and raises in Python once x[0] is above 1.5."""
    return _called(jax.lax.stop_gradient(x)) - jnp.sum(x * jnp.array([1.0, 0.0]))


@pytest.fixture
def quiet(caplog):
    """JAX logs what callbacks raise."""
    caplog.set_level("CRITICAL", logger="jax._src.callback")


def several(**extra):
    programs = {k: program(python, steps=9, data=np.float32(-0.1 * k)) for k in range(4)}
    return {**programs, "other": program(steps=200, optimizer=adam(0.1)), **extra}


def run(programs, **options):
    return ProgramEnsemble(programs).run(progress=False, **{"on_error": "collect", "seed": 3, **options})


def test_python_that_raises_in_a_loss_fails_its_program_alone(quiet):
    alone = run(several())
    assert {r.status for r in alone.values()} == {"completed"}
    programs = several(bad=program(python, steps=9, data=np.float32(1)))
    result = run(programs)
    assert list(result.failed()) == ["bad"]
    assert "mine" in str(result["bad"].error) and result["bad"].steps == 0
    for name, r in alone.items():
        assert result[name].history.tobytes() == r.history.tobytes()
        assert result[name].final_parameters.tobytes() == r.final_parameters.tobytes()
    with pytest.raises(EnsembleError, match="bad"):
        run(programs, on_error="raise")


def test_a_program_that_fails_in_the_middle_keeps_what_it_had(quiet):
    programs = {"mate": program(python, steps=9, data=np.float32(0)), "bad": program(rises, steps=90)}
    seen = []
    result = run(programs, callback=seen.append, callback_steps=3)
    bad = result["bad"]
    assert bad.status == "failed" and result["mate"].status == "completed"
    assert 0 < bad.steps == len(bad.history) < 9
    assert bad.value == bad.history.min() and bad.final_parameters[0] == pytest.approx(1 + 0.1 * bad.steps)


def test_a_resumed_run_tries_again_what_raised(quiet, tmp_path):
    programs = several(bad=program(python, steps=9, data=np.float32(1)))
    first = run(programs, checkpoint_dir=tmp_path)
    again = run(programs, checkpoint_dir=tmp_path)
    assert again["bad"].status == "failed" and "mine" in str(again["bad"].error)
    assert all(again[name].history.tobytes() == first[name].history.tobytes() for name in programs)
    assert 0 < again.stats.rows < first.stats.rows


def test_a_kernel_that_cannot_be_compiled_fails_its_group_alone(monkeypatch):
    """Whatever comes through the checks."""
    monkeypatch.setattr(ensembles.loss_checks, "_check_gradient", lambda who, row: None)
    result = run({"bad": program(halved), "worse": program(halved), "good": program()})
    assert sorted(result.failed()) == ["bad", "worse"]
    assert "Reverse-mode" in str(result["bad"].error)


def test_errors_of_the_driver_itself_are_raised(monkeypatch):
    def broken(*arguments):
        raise ZeroDivisionError

    monkeypatch.setattr(CompiledRun, "_take_in", broken)
    with pytest.raises(ZeroDivisionError):
        run({"a": program()})
