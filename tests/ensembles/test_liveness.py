"""No mix of threads, sizes, failures and cancellations hangs a hosted run, and nothing is left running.

Most ensembles get their answers from a stub, so that many can be tried; some from the engine. A watchdog, the
time limit of `join`, turns a hang into a failure.
"""

from __future__ import annotations

import faulthandler
import os
import random
import signal
import sys
import threading
import time

import numpy as np
import pytest

import jaxsim as js
from ensembles import (
    VQE,
    BatchConfig,
    Cancelled,
    EnsembleError,
    HostedProgram,
    ProgramEnsemble,
    adam,
    scipy_minimize,
)
from ensembles import hosted as driver
from jaxsim import Circuit, ParameterVector, Z

A = ParameterVector("a", 2)
PAIR = Circuit(2).ry(A[0], 0).rx(A[1], 1).cx(0, 1)
PLACE = np.array([0.3, -1.2])
SECONDS = 60.0


class Does(HostedProgram):
    """Runs a function of `evaluate`."""

    def __init__(self, function):
        super().__init__(PAIR, Z(0) @ Z(1))
        self.function = function

    def run(self, evaluate):
        return self.function(evaluate)


class Shares(Does):
    """The same, in a thread with others; of functions that wait for nothing else."""

    shares_thread = True


@pytest.fixture
def stub(monkeypatch):
    """Answers without an engine: zeros, late if need be, or an error; `stub.delay()` says how late."""

    def evaluate(rows, values, want="value"):
        time.sleep(evaluate.delay())
        if values[0, 0] == 99.0:
            raise MemoryError("stub")
        if want == "probabilities":
            return np.full((len(values), 4), 0.25, np.float32)
        return np.zeros(len(values), np.float32)

    evaluate.delay = lambda: 0.0
    monkeypatch.setattr(js, "evaluate", evaluate)
    return evaluate


@pytest.fixture(autouse=True)
def nothing_left_running():
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        left = [
            t for t in threading.enumerate() if t not in before and not t.name.startswith("jaxsim-blocks")
        ]
        if not left:
            return
        left[0].join(0.1)
    raise AssertionError(f"left running: {left}")


def joined(handle):
    """The result; a hang prints every thread and fails."""
    try:
        return handle.join(SECONDS)
    except TimeoutError:
        faulthandler.dump_traceback(file=sys.__stderr__, all_threads=True)
        handle.cancel()
        raise


def run(programs, config=None, **options):
    return joined(ProgramEnsemble(programs).start(config, progress=False, **{"seed": 7, **options}))


# one at a time ----------------------------------------------------------------------------------------------


def from_threads(evaluate, count, times):
    """Evaluates in several threads of the program at once; their errors are the program's."""
    errors = []

    def work():
        try:
            for _ in range(times):
                evaluate(PLACE)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("config", [BatchConfig(), BatchConfig(max_batch_size=3), BatchConfig("off")])
def test_programs_may_submit_from_several_threads(stub, config):
    programs = [Does(lambda evaluate, k=k: from_threads(evaluate, 1 + k % 3, 5)) for k in range(6)]
    result = run(programs, config)
    assert [r.evaluations for r in result.values()] == [5 * (1 + k % 3) for k in range(6)]


def test_a_program_that_never_submits_does_not_hold_up_the_others_for_longer_than_it_lives(stub):
    programs = {
        "idle": Does(lambda evaluate: time.sleep(0.2)),
        "busy": Does(lambda evaluate: [evaluate(PLACE) for _ in range(3)] and None),
    }
    result = run(programs)
    assert {r.status for r in result.values()} == {"completed"}
    assert result["busy"].evaluations == 3


@pytest.mark.parametrize("lanes", [1, 2, 5, 300])
@pytest.mark.parametrize("batch", [None, 1, 4, 1000])
def test_every_mix_of_lanes_and_triggers_ends(stub, lanes, batch):
    def some(evaluate, k):
        for _ in range(k % 4):
            evaluate(np.tile(PLACE, (k % 3, 1)))

    programs = [Does(lambda evaluate, k=k: some(evaluate, k)) for k in range(13)]
    result = run(programs, BatchConfig(max_batch_size=batch, max_concurrent_programs=lanes))
    assert {r.status for r in result.values()} == {"completed"}
    assert [r.evaluations for r in result.values()] == [k % 4 * (k % 3) for k in range(13)]


def test_a_failure_in_the_middle_releases_the_waiters(stub):
    def fails(evaluate):
        evaluate(PLACE)
        time.sleep(0.05)
        raise ValueError("half-way")

    programs = {k: Does(lambda evaluate: [evaluate(PLACE) for _ in range(4)] and None) for k in range(3)}
    result = run({**programs, "fails": Does(fails)}, on_error="collect")
    assert [r.status for r in result.values()] == ["completed"] * 3 + ["failed"]


def test_a_thread_that_outlives_its_program_is_told(stub):
    told = []

    def careless(evaluate):
        started = threading.Event()

        def late():
            started.set()
            time.sleep(0.1)
            try:
                evaluate(PLACE)
            except RuntimeError as error:
                told.append(str(error))

        threading.Thread(target=late).start()
        started.wait()

    result = run({"careless": Does(careless), "other": Does(lambda evaluate: time.sleep(0.3))})
    assert {r.status for r in result.values()} == {"completed"}
    assert "the run of program 'careless' has ended" in told[0]


def test_what_a_program_leaves_pending_is_dropped(stub):
    told = []

    def careless(evaluate):
        def wait():
            try:
                evaluate(PLACE)
            except RuntimeError as error:
                told.append(str(error))

        threading.Thread(target=wait).start()
        time.sleep(0.1)

    def other(evaluate):
        time.sleep(0.3)
        evaluate(PLACE)

    result = run({"careless": Does(careless), "other": Does(other)})
    assert result.stats.rows == 1
    assert "has ended" in told[0]


@pytest.mark.parametrize("kind", [Does, Shares])
def test_an_ensemble_may_run_inside_a_program(stub, kind):
    def nested(evaluate):
        inner = ProgramEnsemble([kind(lambda e: [e(PLACE) for _ in range(2)] and None) for _ in range(3)])
        evaluate(PLACE)
        return {"inner": len(inner.run(progress=False))}

    assert [r.inner for r in run([kind(nested) for _ in range(4)]).values()] == [3] * 4


# cancelling -------------------------------------------------------------------------------------------------


def endless(evaluate):
    while True:
        evaluate(PLACE)


def test_cancelling_marks_everything_and_keeps_what_there_is(stub):
    half_way = threading.Event()

    def counts(evaluate):
        for k in range(10**9):
            evaluate(PLACE)
            if k == 5:
                half_way.set()

    programs = {
        "quick": Does(lambda evaluate: evaluate(PLACE) and None),
        "endless": Does(counts),
        "waits": Does(lambda evaluate: None),
    }
    handle = ProgramEnsemble(programs).start(BatchConfig(max_concurrent_programs=2), progress=False)
    half_way.wait()
    assert not handle.done()
    handle.cancel()
    result = joined(handle)
    assert handle.done()
    assert result["endless"].status == "cancelled"
    assert len(result["endless"].history) == result["endless"].evaluations > 5
    assert result["quick"].status == "completed"
    assert joined(handle) is result


def test_programs_that_have_not_begun_are_cancelled_too(stub):
    handle = ProgramEnsemble([Does(endless) for _ in range(20)]).start(
        BatchConfig(max_concurrent_programs=2), progress=False
    )
    handle.cancel()
    handle.cancel()
    result = joined(handle)
    assert {r.status for r in result.values()} == {"cancelled"}
    assert all(np.isnan(r.value) for name, r in result.items() if name > 1)


def test_cancelled_is_no_exception_that_loops_catch(stub):
    def stubborn(evaluate):
        while True:
            try:
                evaluate(PLACE)
                evaluate(np.zeros((0, 2)))
            except Exception:
                continue

    handle = ProgramEnsemble([Does(stubborn) for _ in range(3)]).start(progress=False)
    time.sleep(0.02)
    handle.cancel()
    assert {r.status for r in joined(handle).values()} == {"cancelled"}


def test_a_program_may_clean_up_and_return(stub):
    def tidy(evaluate):
        try:
            endless(evaluate)
        except Cancelled:
            return {"note": "stopped"}

    def clumsy(evaluate):
        try:
            endless(evaluate)
        finally:
            raise ValueError("while cleaning up")

    handle = ProgramEnsemble({"tidy": Does(tidy), "clumsy": Does(clumsy)}).start(
        progress=False, on_error="collect"
    )
    time.sleep(0.02)
    handle.cancel()
    result = joined(handle)
    assert (result["tidy"].status, result["tidy"].note) == ("cancelled", "stopped")
    assert (result["clumsy"].status, str(result["clumsy"].error)) == ("failed", "while cleaning up")


def test_the_call_in_flight_is_finished(stub):
    under_way = threading.Event()

    def delay():
        under_way.set()
        return 0.2

    stub.delay = delay
    handle = ProgramEnsemble([Does(endless) for _ in range(3)]).start(progress=False)
    under_way.wait()
    handle.cancel()
    result = joined(handle)
    assert [r.evaluations for r in result.values()] == [1] * 3


def test_a_program_that_does_not_come_back_is_named(stub, monkeypatch):
    monkeypatch.setattr(driver, "GRACE", 0.1)
    release = threading.Event()
    programs = {"deaf": Does(lambda evaluate: release.wait()), "good": Does(endless)}
    ensemble = ProgramEnsemble(programs)
    handle = ensemble.start(progress=False)
    time.sleep(0.05)
    handle.cancel()
    with pytest.warns(RuntimeWarning, match="'deaf' are still busy"):
        # the warning comes from the run's own thread
        result = joined(handle)
    release.set()
    assert [r.status for r in result.values()] == ["cancelled"] * 2


def test_a_second_run_waits_for_the_first(stub):
    ensemble = ProgramEnsemble([Does(endless)])
    handle = ensemble.start(progress=False)
    with pytest.raises(RuntimeError, match="running already"):
        ensemble.run(progress=False)
    with pytest.raises(RuntimeError, match="running already"):
        ensemble.start(progress=False)
    with pytest.raises(TimeoutError, match="not done after"):
        handle.join(0.01)
    handle.cancel()
    joined(handle)
    again = ensemble.start(progress=False)
    again.cancel()
    assert joined(again)[0].status == "cancelled"


def test_join_raises_the_errors_of_the_run_every_time(stub):
    def fails(evaluate):
        raise KeyError("lost")

    handle = ProgramEnsemble({"a": Does(fails)}).start(progress=False)
    for _ in range(2):
        with pytest.raises(EnsembleError, match="'a': KeyError"):
            joined(handle)


def test_compiled_programs_are_cancelled_as_well():
    programs = {
        "compiled": VQE(PAIR, Z(0), optimizer=adam(0.01), steps=2_000_000),
        "hosted": VQE(PAIR, Z(0), optimizer=scipy_minimize("COBYLA", maxiter=10)),
    }
    handle = ProgramEnsemble(programs).start(progress=False)
    time.sleep(1.0)
    handle.cancel()
    result = joined(handle)
    assert {r.status for r in result.values()} == {"cancelled"}
    assert result["hosted"].evaluations == 0


# Ctrl-C -----------------------------------------------------------------------------------------------------


def interrupted(ensemble, seconds, config=None):
    """The result of a run that gets Ctrl-C after so many seconds; None if it came outside of the run itself."""
    done, over = threading.Event(), threading.Event()

    def send():
        time.sleep(seconds)
        os.kill(os.getpid(), signal.SIGINT)
        done.set()
        # Python itself drops an interrupt that falls into a finalizer or a callback of the garbage collector.
        while not over.wait(3.0):
            os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=send)
    faulthandler.dump_traceback_later(SECONDS, exit=True)
    try:
        sender.start()
        result = ensemble.run(config, progress=False)
        done.wait()
        time.sleep(0.01)
    except KeyboardInterrupt:
        result = None
    finally:
        over.set()
        sender.join()
        faulthandler.cancel_dump_traceback_later()
    return result


def test_ctrl_c_ends_a_run_with_what_there_is(stub):
    stub.delay = lambda: 0.001
    for kind in (Does, Shares):
        result = interrupted(ProgramEnsemble([kind(endless) for _ in range(4)]), 0.3)
        assert {r.status for r in result.values()} == {"cancelled"}
        assert all(r.evaluations > 10 for r in result.values())


def interrupt_at_random(count, stub):
    rng = random.Random(count)
    stub.delay = lambda: rng.choice([0.0, 0.0005])
    for _ in range(count):
        programs = rng.choice([1, 3, 40])
        config = BatchConfig(
            max_batch_size=rng.choice([None, 2, 8]), max_concurrent_programs=rng.choice([None, 2, -1])
        )
        ensemble = ProgramEnsemble([rng.choice([Does, Shares])(endless) for _ in range(programs)])
        result = interrupted(ensemble, rng.uniform(0, 0.02), config)
        if result is not None:
            assert {r.status for r in result.values()} == {"cancelled"}
        deadline = time.monotonic() + 5
        while any(t.name.startswith("ensembles lane") for t in threading.enumerate()):
            assert time.monotonic() < deadline
            time.sleep(0.001)
        assert not ensemble._running


def test_ctrl_c_at_any_moment(stub):
    interrupt_at_random(15, stub)


@pytest.mark.slow
def test_ctrl_c_at_many_moments(stub):
    interrupt_at_random(300, stub)


def test_join_hears_ctrl_c(stub):
    handle = ProgramEnsemble([Does(endless)]).start(progress=False)

    class Joined:
        def run(self, config, progress):
            return handle.join()

    assert interrupted(Joined(), 0.1)[0].status == "cancelled"


# many at random ---------------------------------------------------------------------------------------------


def action(rng, alone=True):
    """Something a program may do; `alone`: with a thread to itself."""
    kinds = ["one", "one", "one", "batch", "none", "sleep", "sample", "catch", "bad"]
    kind = rng.choice([*kinds, "threads"] if alone else kinds)

    def act(evaluate):
        if kind == "one":
            evaluate(PLACE)
        elif kind == "batch":
            evaluate(np.tile(PLACE, (size, 1)))
        elif kind == "none":
            evaluate(np.zeros((0, 2)))
        elif kind == "sleep":
            time.sleep(pause)
        elif kind == "threads":
            from_threads(evaluate, size, 2)
        elif kind == "sample":
            evaluate.sample(PLACE, 3)
        elif kind == "catch":
            try:
                evaluate([99.0, 0.0])  # the stub fails there
            except MemoryError:
                evaluate(PLACE)
        elif rng_fails:
            raise ValueError("at random")

    size, pause, rng_fails = rng.randint(1, 4), rng.choice([0.0, 0.001, 0.03]), rng.random() < 0.5
    return act


def random_program(rng, real):
    kind = rng.choice([Does, Shares])
    actions = [action(rng, kind is Does) for _ in range(rng.choice([0, 1, 3, 8]))]
    ending = rng.choice(["return", "return", "return", "raise", "exit", "endless"])

    def function(evaluate):
        for act in actions:
            act(evaluate)
        if ending == "raise":
            raise RuntimeError("at the end")
        if ending == "exit":
            raise SystemExit(1)
        if ending == "endless":
            for _ in range(10 if real else 10**9):
                evaluate(PLACE)

    return kind(function), ending == "endless" and not real


def random_ensemble(seed, stub=None):
    """Runs one; ends it from outside if that was drawn, or if it would not end by itself."""
    rng = random.Random(seed)
    if stub is not None:
        slow = rng.choice([0.0, 0.0, 0.0002, 0.002])
        stub.delay = lambda: slow
    made = [random_program(rng, stub is None) for _ in range(rng.choice([1, 2, 3, 5, 9, 20]))]
    config = rng.choice(
        [
            BatchConfig(),
            BatchConfig("off"),
            BatchConfig(max_rows_per_call=rng.randint(1, 4)),
            BatchConfig(
                max_batch_size=rng.choice([None, 1, 2, 7, 50]),
                max_concurrent_programs=rng.choice([None, -1, 1, 2, 3, 8]),
                _sort_programs=rng.random() < 0.5,
            ),
        ]
    )
    ensemble = ProgramEnsemble({f"p{k}": program for k, (program, _) in enumerate(made)})
    handle = ensemble.start(config, progress=False, seed=seed, on_error="collect")
    if any(is_endless for _, is_endless in made) or rng.random() < 0.3:
        time.sleep(rng.choice([0.0, 0.001, 0.01, 0.03]))
        handle.cancel()
        cancelled = True
    else:
        cancelled = False
    result = joined(handle)
    assert list(result) == list(ensemble.programs)
    statuses = {r.status for r in result.values()}
    assert statuses <= ({"completed", "failed", "cancelled"} if cancelled else {"completed", "failed"})
    for r in result.values():
        assert (r.error is not None) == (r.status == "failed")
    assert result.stats.rows >= result.stats.evaluations


@pytest.mark.parametrize("seed", range(25))
def test_random_ensembles_end(stub, seed):
    random_ensemble(seed, stub)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1000, 1480, 40))
def test_480_random_ensembles_end(stub, first):
    for seed in range(first, first + 40):
        random_ensemble(seed, stub)


@pytest.mark.slow
def test_20_random_ensembles_end_with_the_engine():
    for seed in range(2000, 2020):
        random_ensemble(seed)
