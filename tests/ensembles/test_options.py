"""What `ProgramEnsemble`, `run` and `start` are given, checked before anything runs."""

from __future__ import annotations

import copy
import pickle

import jax.numpy as jnp
import numpy as np
import pytest

from ensembles import QAOA, VQE, HostedProgram, Program, ProgramEnsemble, adam, scipy_minimize
from ensembles.problems import MaxCut, tfim
from ensembles.programs import QNN
from ensembles.schedule import STEPS_PER_CALL
from jaxsim import Circuit, Parameter, Z, ansatz

CIRCUIT = ansatz.hardware_efficient(2, 1)


def vqe(**options):
    return VQE(CIRCUIT, tfim(2), **{"optimizer": adam(0.1), "steps": 3, **options})


def square(x, data, key):
    return jnp.sum(x**2)


class Steps(HostedProgram):
    def run(self, evaluate):
        return None


# callbacks --------------------------------------------------------------------------------------------------


class Nothing:
    def __call__(self):
        pass


class Awaited:
    async def __call__(self, update):
        pass


class Told:
    def __init__(self):
        self.updates = []

    def __call__(self, update, further=None):
        self.updates.append(update)


def generator(update):
    yield update


async def coroutine(update):
    pass


@pytest.mark.parametrize(
    "callback, message",
    [
        (lambda: None, r"takes one argument, a RunUpdate, but .* has the signature \(\)"),
        (lambda a, b: None, r"has the signature \(a, b\)"),
        (Nothing(), r"has the signature \(\)"),
        (Awaited(), "is a coroutine"),
        (generator, "is a generator"),
        (coroutine, "is a coroutine"),
    ],
    ids=["none", "two", "object", "awaited", "generator", "coroutine"],
)
def test_callbacks_that_could_not_be_called_are_refused(callback, message):
    with pytest.raises(TypeError, match=f"run: callback .*{message}"):
        ProgramEnsemble([vqe()]).run(callback=callback, progress=False)


def test_callbacks_may_be_objects_and_take_more():
    told = Told()
    ProgramEnsemble([vqe()]).run(callback=told, callback_steps=STEPS_PER_CALL, progress=False)
    assert [update.steps.tolist() for update in told.updates] == [[3]]
    ProgramEnsemble([vqe()]).run(callback=str, max_seconds=10**400, progress=False)  # tells no signature


def test_callback_steps_have_a_limit():
    with pytest.raises(ValueError, match=f"callback_steps must be at most 64, .* but {STEPS_PER_CALL + 1}"):
        ProgramEnsemble([vqe()]).run(callback=print, callback_steps=STEPS_PER_CALL + 1)


def test_a_callback_that_would_never_be_called_is_refused():
    hosted = vqe(optimizer=scipy_minimize("COBYLA", maxiter=9), steps=None)
    with pytest.raises(ValueError, match="it would never be"):
        ProgramEnsemble([hosted]).run(callback=print, progress=False)
    told = Told()
    ProgramEnsemble([hosted, vqe()]).run(callback=told, progress=False)
    assert len(told.updates) == 1


# arguments --------------------------------------------------------------------------------------------------


def no_parameters(**options):
    return Program(square, {"a": np.zeros(0), "b": np.zeros((2, 0))}, **options)


def qnn():
    x, w = Parameter("x"), Parameter("w")
    return QNN(
        Circuit(1).rx(x, 0).ry(w, 0),
        Z(0),
        [0.1],
        [1.0],
        optimizer=adam(0.1),
        steps=1,
        initial_parameters=[1, 2],
    )


@pytest.mark.parametrize(
    "action, error, message",
    [
        (lambda: ProgramEnsemble({vqe(), vqe()}), TypeError, "a set was given"),
        (lambda: ProgramEnsemble(frozenset([vqe()])), TypeError, "a set was given"),
        (
            lambda: no_parameters(optimizer=adam(0.1), steps=1),
            ValueError,
            "holds no array to optimise, or empty ones only",
        ),
        (lambda: no_parameters(optimizer=scipy_minimize("COBYLA")), ValueError, "empty ones only"),
        (
            lambda: ProgramEnsemble([vqe()]).start(max_second=3),
            TypeError,
            "start: there is no argument 'max_second'. Did you mean 'max_seconds'",
        ),
        (
            lambda: ProgramEnsemble([vqe()]).run(max_seconds=-(10**400)),
            ValueError,
            "max_seconds must be above 0",
        ),
        (
            lambda: vqe(initial_parameters=np.zeros(3)),
            ValueError,
            r"^VQE: initial_parameters: values must have shape \(4,\)",
        ),
        (
            lambda: vqe(initial_parameters="random"),
            TypeError,
            "^VQE: initial_parameters: .* but 'random' was given",
        ),
        (
            lambda: QAOA(
                MaxCut([(0, 1)]), layers=1, optimizer=adam(0.1), steps=1, initial_parameters={"beta": [1.0]}
            ),
            ValueError,
            "^QAOA: initial_parameters: ",
        ),
        (qnn, ValueError, "^QNN: initial_parameters: "),
        (
            lambda: Steps(CIRCUIT, Z(0), initial_parameters=[1.0]),
            ValueError,
            "^HostedProgram: initial_parameters: ",
        ),
    ],
)
def test_bad_arguments_are_named(action, error, message):
    with pytest.raises(error, match=message):
        action()


# ensembles as values ----------------------------------------------------------------------------------------


def test_ensembles_can_be_copied_and_pickled():
    ensemble = ProgramEnsemble({"a": vqe(), ("b", 1): vqe(steps=5)})
    plan = ensemble.plan()
    for made in (copy.copy(ensemble), copy.deepcopy(ensemble), pickle.loads(pickle.dumps(ensemble))):
        assert list(made.programs) == ["a", ("b", 1)]
        assert made.plan() == plan
    assert made.run(progress=False) == ensemble.run(progress=False)
