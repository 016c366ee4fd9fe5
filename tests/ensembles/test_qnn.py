"""QNNs against plain loops over samples, finite differences, and the promise that data are leaves."""

from __future__ import annotations

import copy
import itertools
import math
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxsim as js
from ensembles import ProgramEnsemble, adam
from ensembles.compilations import count_compilations
from ensembles.programs.qnn import QNN
from ensembles.programs.sample_losses import LOSSES, loss_of_each, padded_samples
from ensembles.programs.supervised import QNNClassifier, QNNRegressor
from ensembles.programs.sweep import sweep
from jaxsim import Circuit, Parameter, ParameterVector, Z

X = ParameterVector("x", 2)
W = ParameterVector("w", 4)
CIRCUIT = Circuit(2).ry(X, range(2)).ry(W[:2], range(2)).cx(0, 1).rz(X[0] * X[1], 1).ry(W[2:], range(2))
CIRCUIT.rz(2 * X[0], 0).rx(X[1], 0)
RNG = np.random.default_rng(7)
INPUTS = RNG.uniform(-1, 1, (9, 2))
TARGETS = np.tanh(2 * INPUTS[:, 0])
SIGNS = np.sign(INPUTS[:, 0] - 0.1)
WEIGHTS = RNG.normal(size=4)


Z0 = Z(0)


def make(circuit=CIRCUIT, observables=Z0, inputs=INPUTS, targets=TARGETS, *, steps=5, **options):
    return QNN(circuit, observables, inputs, targets, optimizer=adam(0.1), steps=steps, **options)


REGRESSOR = QNNRegressor(CIRCUIT, Z0, INPUTS, TARGETS, optimizer=adam(0.1), steps=120)
MORE = RNG.uniform(-1, 1, (12, 2))
LABELS = np.where(MORE[:, 0] > 0.1, "up", "down")
CLASSIFIER = QNNClassifier(CIRCUIT, Z0, MORE, LABELS, optimizer=adam(0.1), steps=120)


def run(programs, **options):
    return ProgramEnsemble(programs).run(progress=False, seed=3, **options)


def outputs_by_loop(weights, inputs, observables=(Z0,)):
    """Each sample's circuit bound by name, its state contracted with dense matrices."""
    rows = []
    for x in inputs:
        state = np.asarray(js.statevector(CIRCUIT.bind({"x": x, "w": weights})), np.complex128)
        rows.append([(state.conj() @ o.to_matrix(2) @ state).real for o in observables])
    return np.array(rows)


LOSSES_BY_HAND = {
    "squared": lambda o, y, s: (o - y) ** 2,
    "hinge": lambda o, y, s: max(0.0, 1 - y * o),
    "logistic": lambda o, y, s: math.log(1 + math.exp(-s * y * o)),
}


def cubic(outputs, target):
    return jnp.sum(jnp.abs(outputs - target) ** 3)


# the loss ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def results():
    """What is trained and evaluated, in one ensemble: few compilations. Nine samples are padded to twelve."""
    fixed = {"initial_parameters": WEIGHTS, "steps": 0}
    programs = {
        name: make(targets=SIGNS, loss=name, sharpness=3.0, **fixed) for name in ("squared", "logistic")
    }
    programs["cubic"] = make(loss=cubic, **fixed)
    programs |= {("regressor", k): copy.copy(REGRESSOR) for k in range(3)}
    programs |= {("classifier", k): copy.copy(CLASSIFIER) for k in range(3)}
    return run(programs)


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_the_loss_is_the_mean_over_samples(loss, results):
    outputs = outputs_by_loop(WEIGHTS, INPUTS)[:, 0]
    expected = np.mean([LOSSES_BY_HAND[loss](o, y, 3.0) for o, y in zip(outputs, SIGNS)])
    assert results[loss].value == pytest.approx(expected, abs=1e-5)
    assert results[loss].training_loss == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("loss", list(LOSSES_BY_HAND))
def test_the_table_of_losses(loss):
    function = jax.jit(LOSSES[loss])
    for output, target in itertools.product([-0.9, 0.2, 1.0], [-1.0, 1.0]):
        found = function(jnp.array([output]), jnp.array([target]), 3.0)
        assert float(found) == pytest.approx(LOSSES_BY_HAND[loss](output, target, 3.0), abs=1e-6)


def test_a_loss_of_ones_own(results):
    outputs = outputs_by_loop(WEIGHTS, INPUTS)[:, 0]
    assert results["cubic"].value == pytest.approx(np.mean(np.abs(outputs - TARGETS) ** 3), abs=1e-5)


def test_cross_entropy():
    observables, classes = [Z(0), Z(1)], (SIGNS > 0).astype(int)
    outputs = outputs_by_loop(WEIGHTS, INPUTS, observables)
    scores = np.exp(4.0 * outputs)
    expected = -np.mean(np.log(scores[np.arange(9), classes] / scores.sum(axis=1)))
    program = make(observables=observables, targets=np.eye(2)[classes], loss="cross_entropy", sharpness=4.0)
    found = loss_of_each(
        program.loss, outputs.astype(np.float32), program.targets.astype(np.float32), np.float32(4.0)
    )
    assert float(np.mean(found)) == pytest.approx(expected, abs=1e-5)


def test_gradients_against_finite_differences():
    with jax.enable_x64(True):
        program = make(loss="logistic", targets=SIGNS, batch_size=4, dtype=jnp.complex128)
        row = program.row("a")
        loss = jax.jit(jax.value_and_grad(row.loss.value))
        key, h = jax.random.key(0), 1e-5
        _, gradient = loss(jnp.asarray(WEIGHTS), row.data, key)
        values = [[float(loss(WEIGHTS + s * h * e, row.data, key)[0]) for s in (1, -1)] for e in np.eye(4)]
    np.testing.assert_allclose(gradient, -np.diff(values, axis=1)[:, 0] / (2 * h), atol=1e-8)
    assert np.abs(gradient).max() > 1e-3


def test_a_minibatch_is_some_of_the_samples():
    """Every value is the mean over a subset of the right size; all subsets come up; padding never does."""
    inputs, targets = INPUTS[:5], TARGETS[:5]  # padded to six
    program = make(inputs=inputs, targets=targets, batch_size=2)
    row = program.row("a")
    draws = jax.jit(jax.vmap(lambda key: row.loss.value(jnp.asarray(WEIGHTS, jnp.float32), row.data, key)))
    found = np.asarray(draws(jax.random.split(jax.random.key(1), 300)))
    each = (outputs_by_loop(WEIGHTS, inputs)[:, 0] - targets) ** 2
    subsets = np.array([(each[a] + each[b]) / 2 for a, b in itertools.combinations(range(5), 2)])
    distance = np.abs(found[:, None] - subsets)
    assert distance.min(axis=1).max() < 1e-5
    counts = np.bincount(distance.argmin(axis=1), minlength=10)
    assert counts.min() > 8  # 30 expected of each
    assert found.mean() == pytest.approx(each.mean(), abs=0.1)


# features and weights ----------------------------------------------------------------------------------------------


def test_features_by_name_in_any_order():
    """Parameters a, m, z in alphabetical order; the features are z and a, in this order of columns."""
    a, m, z = Parameter("a"), ParameterVector("m", 2), Parameter("z")
    circuit = Circuit(1).ry(m[0], 0).rx(z, 0).rz(a, 0).ry(m[1], 0)
    inputs = np.array([[0.3, -0.8], [1.0, 0.2]])
    program = QNN(circuit, Z(0), inputs, np.zeros(2), features=["z", a], optimizer=adam(0.1), steps=1)
    assert [p.name for p in program.weights] == ["m[0]", "m[1]"]
    expected = [
        float(js.expectation(circuit.bind({"z": x[0], "a": x[1], "m": [0.5, 0.7]}), Z(0))) for x in inputs
    ]
    np.testing.assert_allclose(program.predict([0.5, 0.7], inputs), expected, atol=1e-6)


def test_predictions_and_several_outputs():
    program = make(observables=[Z(0), Z(1)], targets=np.zeros((9, 2)))
    inputs = RNG.uniform(-1, 1, (5, 2))
    np.testing.assert_allclose(
        program.predict(WEIGHTS, inputs), outputs_by_loop(WEIGHTS, inputs, [Z(0), Z(1)]), atol=1e-5
    )
    assert make().predict(WEIGHTS, inputs).shape == (5,)


def test_padding_of_samples():
    assert [len(padded_samples(np.ones((n, 1)))) for n in (1, 2, 3, 4, 5, 6, 7, 9, 13, 17)] == [
        1, 2, 3, 4, 6, 6, 8, 12, 16, 24,
    ]  # fmt: skip


# sharing -----------------------------------------------------------------------------------------------------------


def test_data_are_leaves(results):
    folds = [np.arange(15) % 3 != k for k in range(3)]
    inputs = RNG.uniform(-1, 1, (15, 2))
    programs = {f"fold {k}": make(inputs=inputs[f], targets=inputs[f, 0]) for k, f in enumerate(folds)}
    programs["more"] = make(inputs=inputs[:12], targets=inputs[:12, 1])
    programs |= sweep(make(), targets=list(RNG.normal(size=(3, 9))))
    with count_compilations() as compiled:  # `results` has compiled the squared loss
        result = run(programs)
    assert (result.stats.groups, compiled.count) == (1, 0)


def test_company_changes_no_bit():
    programs = {k: make(targets=TARGETS * k, batch_size=4, steps=12) for k in range(1, 6)}
    together = run(programs)
    for k in (1, 5):
        alone = run({k: programs[k]})[k]
        assert alone.history.tobytes() == together[k].history.tobytes()
        assert alone.parameters.tobytes() == together[k].parameters.tobytes()
    assert len(set(together[1].history.tolist())) == 12


def test_pickled_programs_still_share_calls():
    program = make(loss="logistic", targets=SIGNS, batch_size=4)
    copied = pickle.loads(pickle.dumps(program))
    assert copied.row("a").key == program.row("a").key


def test_options_of_a_classifier_can_be_swept():
    programs = sweep(CLASSIFIER, sharpness=[1.0, 2.0], batch_size=[4])
    assert [p.loss.batch_size for p in programs.values()] == [4, 4]
    assert len({p.row("a").key for p in programs.values()}) == 1


# learning ----------------------------------------------------------------------------------------------------------


def test_a_classifier_learns(results):
    best = min((results["classifier", k] for k in range(3)), key=lambda r: r.training_loss)
    assert best.accuracy > 0.9
    assert set(CLASSIFIER.predict(best.parameters, [[0.9, 0.0], [-0.9, 0.0]])) == {"up", "down"}
    assert best.accuracy == np.mean(CLASSIFIER.predict(best.parameters, MORE) == LABELS)


def test_a_regressor_learns(results):
    best = min((results["regressor", k] for k in range(3)), key=lambda r: r.value)
    assert best.r2 > 0.8
    residual = np.sum((REGRESSOR.predict(best.parameters, INPUTS) - TARGETS) ** 2)
    assert best.r2 == pytest.approx(1 - residual / np.sum((TARGETS - TARGETS.mean()) ** 2), abs=1e-5)


def test_three_classes_take_three_observables():
    inputs = np.linspace(-1, 1, 30)[:, None] * [1, 0]
    labels = np.digitize(inputs[:, 0], [-0.3, 0.3])
    observables = [Z(0), Z(1), -1.0 * Z(0) @ Z(1)]
    program = QNNClassifier(CIRCUIT, observables, inputs, labels, optimizer=adam(0.1), steps=0)
    assert program.loss.kind == "cross_entropy"
    outputs = outputs_by_loop(WEIGHTS, inputs, observables)
    assert np.array_equal(program.predict(WEIGHTS, inputs), outputs.argmax(axis=1))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: make(circuit="c"), TypeError, r"the circuit is a Circuit, but a str was given"),
        (lambda: make(observables="Z"), TypeError, r"PauliSum"),
        (lambda: make(features="y"), ValueError, r"no parameter or vector 'y' to be a feature; it has w\[0\]"),
        (lambda: make(features=["x", "x[0]"]), ValueError, r"a feature is named twice"),
        (lambda: make(features=["x", "w"], inputs=np.ones((9, 6))), ValueError, r"nothing to train"),
        (lambda: make(inputs=INPUTS[:, :1]), ValueError, r"inputs must have shape \(samples, 2\)"),
        (lambda: make(targets=np.ones((9, 3))), ValueError, r"targets must have shape \(samples, 1\)"),
        (lambda: make(targets=TARGETS[:4]), ValueError, r"of as many samples, .* 9 and 4"),
        (lambda: make(inputs=np.ones((0, 2)), targets=[]), ValueError, r"at least one, but are of 0 and 0"),
        (lambda: make(targets=np.full(9, np.nan)), ValueError, r"targets must be finite"),
        (lambda: make(targets=["a"] * 9), TypeError, r"targets must be real numbers"),
        (lambda: make(loss="mse"), ValueError, r"loss='mse' is not known; choose one of 'squared', 'hinge'"),
        (lambda: make(batch_size=10), ValueError, r"batch_size must be from 1 to 9"),
        (lambda: make(batch_size=2.0), TypeError, r"batch_size is an integer or None"),
        (lambda: make(sharpness=0), ValueError, r"sharpness is a number above 0"),
        (lambda: make().predict(WEIGHTS[:2], INPUTS), ValueError, r"parameters must have shape \(4,\)"),
        (lambda: make().predict(WEIGHTS, INPUTS[0]), ValueError, r"inputs must have shape \(samples, 2\)"),
        (lambda: QNNClassifier(CIRCUIT, Z(0), INPUTS, np.arange(9), optimizer=adam(0.1), steps=1), ValueError,
         r"there are 9 classes; two classes take one observable or two"),
        (lambda: QNNClassifier(CIRCUIT, Z(0), INPUTS, SIGNS, classes=[0, 1], optimizer=adam(0.1), steps=1), ValueError,
         r"the label -1\.0 is none of the classes"),
        (lambda: QNNClassifier(CIRCUIT, Z(0), INPUTS, INPUTS, optimizer=adam(0.1), steps=1), ValueError,
         r"labels must have shape \(samples,\)"),
    ],
)  # fmt: skip
def test_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
