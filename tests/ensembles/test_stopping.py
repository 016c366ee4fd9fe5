"""Early stopping: each program by its own rule, at the step at which a plain loop over its losses would stop."""

from __future__ import annotations

import numpy as np
import pytest

from ensembles import VQE, BatchConfig, EarlyStopping, Program, ProgramEnsemble, adam, scipy_minimize, sgd
from ensembles.problems import tfim
from jaxsim import ansatz

CIRCUIT = ansatz.hardware_efficient(3, 1)
STEPS = 150


def chain(h, stopping=None, steps=STEPS):
    return VQE(CIRCUIT, tfim(3, h=h), optimizer=adam(0.1), steps=steps, stopping=stopping)


def run(programs, config=None):
    return ProgramEnsemble(programs).run(config, seed=3, progress=False, on_error="collect")


@pytest.fixture(scope="module")
def full():
    """Runs to the last step: name -> all losses, that of the last evaluation included."""
    result = run({str(h): chain(h) for h in (0.5, 1.0, 2.0)})
    return {name: np.append(r.history, np.float32(r.final_value)) for name, r in result.items()}


def stops_at(losses, patience=None, min_delta=0.0, target=None):
    """The evaluation at which the rule is met, by the words of its definition; None: never."""
    lowest, since = np.inf, 0
    for t, loss in enumerate(losses):
        if target is not None and loss <= target:
            return t
        if loss < np.float32(lowest) - np.float32(min_delta):
            lowest, since = loss, 0
        else:
            since += 1
        if patience is not None and since >= patience:
            return t
    return None


RULES = [
    {"patience": 1},
    {"patience": 3, "min_delta": 1e-2},
    {"patience": 20, "min_delta": 1e-4},
    {"patience": 10**6},
    {"target": -3.2},
    {"target": 100.0},
    {"target": -1e6},
    {"patience": 2, "min_delta": 0.05, "target": -3.3},
]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_program_stops_where_a_plain_loop_would(full, rule):
    programs = {name: chain(float(name), EarlyStopping(**rule)) for name in full}
    result = run(programs)
    for name, losses in full.items():
        expected = stops_at(losses[:STEPS], **rule)
        found = result[name]
        steps = STEPS if expected is None else expected
        assert found.status == ("completed" if expected is None else "converged")
        assert (found.steps, found.evaluations) == (steps, steps + 1)
        assert found.history.tobytes() == losses[:steps].tobytes()
        assert found.final_value == losses[steps]
        assert found.value == losses[: steps + 1].min()


def test_the_norm_of_the_gradient_is_euclidean():
    def loss(x, center, key):
        return ((x - center) ** 2).sum()

    # Each update halves the distance to the centre: its gradient is 2 * 5 / 2**t.
    program = Program(
        loss,
        np.zeros(2),
        data=np.float32([3, 4]),
        optimizer=sgd(0.25),
        steps=50,
        stopping=EarlyStopping(gradient_norm=10 / 2**6),
    )
    found = run([program])[0]
    assert (found.status, found.steps) == ("converged", 6)
    np.testing.assert_allclose(found.final_parameters, [3 * (1 - 2**-6), 4 * (1 - 2**-6)], rtol=1e-6)


@pytest.mark.parametrize(
    "config",
    [BatchConfig("off"), BatchConfig(max_batch_size=3), BatchConfig(max_concurrent_programs=2)],
    ids=["off", "flush at 3", "two lanes"],
)
def test_states_are_never_shared(config):
    rules = [
        None,
        EarlyStopping(patience=2),
        EarlyStopping(patience=9, min_delta=1e-3),
        EarlyStopping(target=-3.0),
    ]
    programs = {(h, k): chain(h / 2, rule) for h in (1, 3) for k, rule in enumerate(rules)}
    merged = run(programs)
    assert merged == run(programs, config)
    assert {r.status for r in merged.values()} == {"completed", "converged"}
    alone = {name: run({name: program})[name] for name, program in programs.items()}
    assert all(merged[name] == alone[name] for name in programs)


def test_rules_are_data():
    ensemble = ProgramEnsemble([chain(1.0, EarlyStopping(patience=k + 1)) for k in range(5)] + [chain(1.0)])
    assert len(ensemble.plan().groups) == 1


def test_places_of_those_that_have_stopped_are_taken():
    """64 programs that stop at once among 32 that go on, 32 lanes."""
    programs = {k: chain(1.0, EarlyStopping(target=1e3) if k % 3 else None) for k in range(96)}
    stats = run(programs, BatchConfig(max_concurrent_programs=32)).stats
    assert stats.evaluations == 64 + 32 * (STEPS + 1)
    # If places were only given up at the end of a call of 64 steps, the first calls alone would idle through
    # 64 * 21 + 64 * 14 evaluations, and the blocks would make 13,000.
    assert stats.computed < 10_000


BAD = [
    (lambda: EarlyStopping(), ValueError, "give patience, gradient_norm or target"),
    (lambda: EarlyStopping(patience=0), ValueError, "patience is at least 1, but 0"),
    (lambda: EarlyStopping(patience=True), TypeError, "patience is an integer"),
    (lambda: EarlyStopping(patience=2.5), TypeError, "patience is an integer, but 2.5"),
    (
        lambda: EarlyStopping(patience=2, min_delta=-1),
        ValueError,
        "min_delta is a finite number of at least 0",
    ),
    (lambda: EarlyStopping(min_delta=0.1, target=0), ValueError, "give patience, too"),
    (lambda: EarlyStopping(target=float("nan")), ValueError, "target is a finite number"),
    (lambda: EarlyStopping(gradient_norm="1"), TypeError, "gradient_norm is a number"),
    (lambda: chain(1.0, stopping=5), TypeError, "stopping is an EarlyStopping"),
    (
        lambda: VQE(CIRCUIT, tfim(3), optimizer=scipy_minimize("COBYLA"), stopping=EarlyStopping(patience=3)),
        ValueError,
        "stops by rules of its own",
    ),
]


@pytest.mark.parametrize("build, error, words", BAD, ids=[words for _, _, words in BAD])
def test_bad_rules_are_refused_in_words(build, error, words):
    with pytest.raises(error, match=words):
        build()
