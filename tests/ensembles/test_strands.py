"""Lanes that share a thread: who does, what that changes (no result), and that nobody is left asleep."""

from __future__ import annotations

import contextlib
import importlib.util
import threading
import time

import numpy as np
import pytest

import jaxsim as js
from ensembles import (
    QAOA,
    VQE,
    BatchConfig,
    Cancelled,
    HostedOptimizer,
    HostedProgram,
    ProgramEnsemble,
    adam,
    cma_es,
    differential_evolution,
    grid_search,
    random_search,
    scipy_minimize,
    strands,
)
from ensembles import hosted as driver
from ensembles.problems import MaxCut
from ensembles.scipy_methods import SCIPY_METHODS
from ensembles.strands import Strand, sleep_here
from jaxsim import Circuit, ParameterVector, X, Z

greenlet = pytest.importorskip("greenlet")

A = ParameterVector("a", 2)
PAIR = Circuit(2).ry(A[0], 0).rx(A[1], 1).cx(0, 1)
FIELD = Z(0) @ Z(1) + 0.5 * X(0)
PLACE = np.array([0.3, -1.2])


class Does(HostedProgram):
    """Runs a function of `evaluate`."""

    def __init__(self, function):
        super().__init__(PAIR, FIELD)
        self.function = function

    def run(self, evaluate):
        return self.function(evaluate)


class Shares(Does):
    """The same, among others."""

    shares_thread = True


def run(programs, config=None, **options):
    return ProgramEnsemble(programs).run(config, progress=False, **{"seed": 7, **options})


@pytest.fixture
def no_greenlet(monkeypatch):
    monkeypatch.setattr(strands, "_module", lambda: None)


def lanes():
    return [t.name for t in threading.enumerate() if t.name.startswith("ensembles lane")]


# a strand ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 5])
def test_lanes_of_a_strand_take_turns(count):
    strand, told = Strand(count), []
    first = [strand.new_sleep() for _ in range(count)]
    ended = threading.Event()

    def lane(k):
        first[k].sleep()
        for turn in range(3):
            own = sleep_here()
            own.wake()  # before it sleeps: once is enough, and again does nothing
            own.wake()
            own.sleep()
            told.append((k, turn, threading.get_ident()))
        if len(told) == 3 * count:
            ended.set()

    strand.start([lambda k=k: lane(k) for k in range(count)], "ensembles lane")
    assert not told
    for sleep in reversed(first):
        sleep.wake()
    assert ended.wait(10)
    strand.join()
    assert {(k, turn) for k, turn, _ in told} == {(k, turn) for k in range(count) for turn in range(3)}
    assert len({thread for _, _, thread in told}) == 1
    # Or greenlet looks through all objects for who keeps it.
    assert strand._hub is None


def test_a_lane_that_raises_leaves_the_others_alone(monkeypatch):
    told, complaints = [], []
    monkeypatch.setattr(threading, "excepthook", lambda args: complaints.append(args.exc_value))
    strand = Strand(2)
    sleep = strand.new_sleep()

    def fails():
        raise SystemError("a defect")

    strand.start([fails, lambda: (sleep.sleep(), told.append("on"))], "ensembles lane")
    sleep.wake()
    strand.join()
    assert told == ["on"] and [str(error) for error in complaints] == ["a defect"]


def test_sleeps_belong_to_who_sleeps():
    """A thread that a lane starts can not sleep as the lane does."""
    strand, made = Strand(2), []

    def lane():
        thread = threading.Thread(target=lambda: made.append(sleep_here()))
        thread.start()
        thread.join()
        made.append(sleep_here())

    strand.start([lane, lambda: None], "ensembles lane")
    strand.join()
    made.append(sleep_here())
    assert [type(sleep).__name__ for sleep in made] == ["_ThreadSleep", "_SharedSleep", "_ThreadSleep"]


def test_greenlets_of_a_lane_of_its_own():
    """A lane may switch to greenlets that it makes; one that sleeps and ends is not the lane's end."""
    strand, told = Strand(2), []

    def sleeps():
        sleep = sleep_here()
        sleep.wake()
        sleep.sleep()

    def lane():
        child = greenlet.greenlet(lambda: (sleeps(), told.append("child")))
        child.switch()
        for _ in range(3):
            sleeps()
        told.append("lane")

    strand.start([lane, lambda: (sleeps(), sleeps(), told.append("other"))], "ensembles lane")
    strand.join()
    assert sorted(told) == ["child", "lane", "other"]


# who shares -------------------------------------------------------------------------------------------------


class Slow(HostedOptimizer):
    """An optimiser of a user's own, which may do anything."""

    def __init__(self):
        super().__init__("Slow", {})

    def minimize(self, evaluate):
        return {"value": evaluate(PLACE)}


def program(optimizer, kind=VQE, **options):
    return kind(PAIR, FIELD, optimizer=optimizer, **options)


class Overridden(VQE):
    """Does more than its optimiser."""

    def run(self, evaluate):
        return super().run(evaluate)


class Promised(Overridden):
    """... but waits for nothing else."""

    shares_thread = True


def test_who_shares_a_thread():
    kept = [
        scipy_minimize("COBYLA"),
        differential_evolution(),
        grid_search(3),
        random_search(3),
    ]
    if importlib.util.find_spec("cma"):
        kept.append(cma_es())
    assert [program(optimizer).shares_thread for optimizer in kept] == [True] * len(kept)
    assert not program(Slow()).shares_thread
    assert not program(scipy_minimize("TNC")).shares_thread  # compiled code that calls back
    assert not program(kept[0], Overridden).shares_thread
    assert program(kept[0], Promised).shares_thread
    assert not Does(len).shares_thread and Shares(len).shares_thread
    assert not program(adam(0.1), steps=2).shares_thread


def seen_lanes(monkeypatch):
    seen, real = [], js.evaluate

    def evaluate(rows, values, want="value"):
        seen.append(len(lanes()))
        return real(rows, values, want)

    monkeypatch.setattr(js, "evaluate", evaluate)
    return seen


def mixed():
    cobyla = scipy_minimize("COBYLA", maxiter=6)
    made = {f"cobyla {k}": VQE(PAIR, (1 + k) * FIELD, optimizer=cobyla) for k in range(5)}
    made |= {f"own {k}": Does(lambda evaluate: [evaluate(PLACE * i) for i in range(8)]) for k in range(2)}
    return made


def test_one_thread_for_all_that_share(monkeypatch):
    seen = seen_lanes(monkeypatch)
    run({name: p for name, p in mixed().items() if "cobyla" in name})
    assert set(seen) == {1}
    seen.clear()
    run(mixed())
    assert max(seen) == 3  # one thread for five, and two for the others
    assert not lanes()


@pytest.mark.parametrize(
    "config, threads",
    [
        (BatchConfig("off"), 5),
        (BatchConfig(max_batch_size=3), 3),
        (BatchConfig(max_rows_per_call=3), 1),
    ],
)
def test_threads_where_some_run_while_others_wait_for_a_call(monkeypatch, config, threads):
    seen = seen_lanes(monkeypatch)
    run({name: p for name, p in mixed().items() if "cobyla" in name}, config)
    assert max(seen) == threads


@pytest.mark.usefixtures("no_greenlet")
def test_threads_for_all_without_greenlet(monkeypatch):
    seen = seen_lanes(monkeypatch)
    run(mixed())
    assert max(seen) == 7


def test_a_program_that_shares_no_thread_takes_a_lane_of_one_that_does(monkeypatch):
    """Fewer lanes than programs: a lane in the shared thread ends, and a program that may block is next."""
    seen = seen_lanes(monkeypatch)
    threads = {}

    def tells(name):
        def function(evaluate):
            threads[name] = threading.get_ident()
            return evaluate(PLACE)

        return function

    made = {f"share {k}": Shares(tells(f"share {k}")) for k in range(4)}
    made |= {f"own {k}": Does(tells(f"own {k}")) for k in range(3)}
    made |= {f"again {k}": Shares(tells(f"again {k}")) for k in range(2)}
    result = run(made, BatchConfig(max_concurrent_programs=3))
    assert {r.status for r in result.values()} == {"completed"}
    assert len({threads[f"share {k}"] for k in range(4)}) == 1
    assert threads["share 0"] not in {threads[f"own {k}"] for k in range(3)}
    assert result.stats.largest_call == 3
    assert not lanes() and seen


def test_a_thread_that_can_not_be_had_later_is_done_without(monkeypatch):
    real, started = threading.Thread.start, []

    def start(self):
        if self.name.startswith("ensembles lane"):
            started.append(self)
            if len(started) > 1:
                raise RuntimeError("can't start new thread")
        real(self)

    monkeypatch.setattr(threading.Thread, "start", start)
    made = [Shares(lambda evaluate: evaluate(PLACE)) for _ in range(3)]
    made += [Does(lambda evaluate: evaluate(PLACE)) for _ in range(3)]
    result = run(made, BatchConfig(max_concurrent_programs=2))
    assert {r.status for r in result.values()} == {"completed"}
    assert len(started) > 1


# nothing changes --------------------------------------------------------------------------------------------


def zoo():
    """Programs with every optimiser, compiled ones, and ordinary Python."""
    ring = MaxCut([(0, 1), (1, 2), (2, 3), (3, 0)])
    optimizers = {
        "COBYLA": scipy_minimize("COBYLA", maxiter=12),
        "Nelder-Mead": scipy_minimize("Nelder-Mead", maxiter=6),
        "L-BFGS-B": scipy_minimize("L-BFGS-B", maxiter=4),
        "trust-constr": scipy_minimize("trust-constr", maxiter=3),
        "evolution": differential_evolution(maxiter=2, popsize=3),
        "grid": grid_search(3),
        "random": random_search(20),
    }
    if importlib.util.find_spec("cma"):
        optimizers["cma"] = cma_es(maxiter=3)
    made = {("pair", name): VQE(PAIR, FIELD, optimizer=optimizer) for name, optimizer in optimizers.items()}
    made |= {("ring", k): QAOA(ring, layers=1 + k, optimizer=optimizers["COBYLA"]) for k in range(3)}
    made["shots"] = VQE(PAIR, FIELD, optimizer=optimizers["COBYLA"], shots=50)
    made["own"] = Does(lambda evaluate: {"bits": evaluate.sample(PLACE, 20), "value": evaluate(PLACE)})
    made["shares"] = Shares(lambda evaluate: {"draw": evaluate.random.uniform(), "value": evaluate(PLACE)})
    made["compiled"] = VQE(PAIR, FIELD, optimizer=adam(0.1), steps=5)
    return made


def told(result):
    return {
        name: (r.status, r.value, np.asarray(r.parameters).tolist(), r.history.tolist(), r.evaluations)
        for name, r in result.items()
    }


@pytest.mark.parametrize(
    "config",
    [
        None,
        BatchConfig(max_rows_per_call=3),
        BatchConfig(max_batch_size=4),
        BatchConfig(max_concurrent_programs=2),
    ],
)
def test_bits_do_not_depend_on_who_shares_a_thread(config, monkeypatch):
    shared = told(run(zoo(), config))
    monkeypatch.setattr(strands, "_module", lambda: None)
    assert told(run(zoo(), config)) == shared


@pytest.mark.parametrize("method", SCIPY_METHODS)
@pytest.mark.filterwarnings("ignore")
def test_every_method_runs_in_several_programs_at_a_time(method, monkeypatch):
    """Also those that SciPy keeps behind a lock."""

    def several():
        options = {"maxfun": 8} if method == "TNC" else {"maxiter": 4}
        optimizer = scipy_minimize(method, **options)
        made = {k: VQE(PAIR, (1 + k) * FIELD, optimizer=optimizer) for k in range(3)}
        handle = ProgramEnsemble(made).start(progress=False, seed=7, on_error="collect")
        try:
            return handle.join(60)
        except TimeoutError:
            handle.cancel()
            raise

    shared = told(several())
    assert all(history for _, _, _, history, _ in shared.values())
    monkeypatch.setattr(strands, "_module", lambda: None)
    assert told(several()) == shared


def test_settings_of_a_lane_are_its_own():
    """NumPy's error handling is a context of who runs, not of the thread."""
    seen = {}

    def strict(evaluate):
        with np.errstate(divide="raise"):
            evaluate(PLACE)
            evaluate(PLACE)
            seen["strict"] = np.geterr()["divide"]

    def careless(evaluate):
        evaluate(PLACE)
        seen["careless"] = np.geterr()["divide"]
        evaluate(PLACE)

    run([Shares(strict), Shares(careless)])
    assert seen == {"strict": "raise", "careless": np.geterr()["divide"]}


# nobody is left asleep --------------------------------------------------------------------------------------


def test_errors_of_one_are_its_own():
    def fails(evaluate):
        evaluate(PLACE)
        raise ValueError("mine")

    def leaves(evaluate):
        evaluate(PLACE)
        raise SystemExit(1)

    made = [Shares(fails), Shares(leaves), Shares(lambda evaluate: [evaluate(PLACE) for _ in range(4)])]
    result = run(made, on_error="collect")
    assert [r.status for r in result.values()] == ["failed", "failed", "completed"]
    assert not lanes()


def test_cancel_ends_all_of_a_thread():
    started = threading.Event()
    cleaned = []

    def endless(evaluate):
        try:
            while True:
                evaluate(PLACE)
                started.set()
        finally:
            cleaned.append(None)

    handle = ProgramEnsemble([Shares(endless) for _ in range(6)]).start(progress=False)
    assert started.wait(30)
    handle.cancel()
    assert {r.status for r in handle.join(30).values()} == {"cancelled"}
    assert len(cleaned) == 6 and not lanes()


def test_who_is_named_when_a_thread_is_busy(monkeypatch):
    """Programs that wait behind another one are not busy themselves."""
    monkeypatch.setattr(driver, "GRACE", 0.2)
    entered, release = threading.Event(), threading.Event()

    def busy(evaluate):
        evaluate(PLACE)
        entered.set()
        release.wait(30)

    made = {f"quick {k}": Shares(lambda evaluate: [evaluate(PLACE) for _ in range(9)]) for k in range(3)}
    handle = ProgramEnsemble({**made, "busy": Shares(busy)}).start(progress=False)
    assert entered.wait(30)
    handle.cancel()
    with pytest.warns(RuntimeWarning, match="the programs 'busy' are still busy"):
        result = handle.join(30)
    assert {r.status for r in result.values()} == {"cancelled"}
    release.set()
    deadline = time.monotonic() + 10
    while lanes() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not lanes()


def test_who_runs_long_in_a_shared_thread_holds_up_no_other_thread():
    order = []
    made = {
        "first": Shares(lambda evaluate: None),
        "long": Shares(lambda evaluate: (time.sleep(1.0), order.append("long"))),
        "quick": Does(lambda evaluate: order.append("quick")),
    }
    run(made)
    assert order == ["quick", "long"]


def breaks_its_promise(answers):
    """Starts threads and waits for them."""

    def ask(evaluate):
        with contextlib.suppress(Cancelled):
            answers.append(evaluate(PLACE))

    def function(evaluate):
        threads = [threading.Thread(target=ask, args=(evaluate,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

    return Shares(function)


def test_answers_reach_threads_of_a_program_that_says_it_has_none(monkeypatch):
    """After the first answer it is running, so that later ones are not due a turn: the clock gives it to them."""
    answers, delays = [], iter([0.1, 0.3, 0.5])

    def evaluate(rows, values, want="value"):
        time.sleep(next(delays))
        return np.zeros(len(values), np.float32)

    monkeypatch.setattr(js, "evaluate", evaluate)
    began = time.monotonic()
    result = run([Shares(lambda evaluate: None), breaks_its_promise(answers)], max_seconds=30)
    assert len(answers) == 3
    assert time.monotonic() - began < 25  # not only when the end of the run wakes everybody
    assert {r.status for r in result.values()} == {"completed"}


def test_who_waits_forever_for_others_of_its_thread_can_be_ended():
    """The barrier waits for a program that can not go on before this one does."""
    answers = []
    result = run([breaks_its_promise(answers), Shares(lambda evaluate: evaluate(PLACE))], max_seconds=0.5)
    assert not answers
    assert {r.status for r in result.values()} == {"cancelled"}
    assert not lanes()


def test_the_clock_is_not_asked_for_one_thread(monkeypatch):
    """Each look at it costs a change of threads."""
    waits, real = [], threading.Condition.wait

    def wait(self, timeout=None):
        waits.append(timeout)
        return real(self, timeout)

    monkeypatch.setattr(threading.Condition, "wait", wait)
    run([Shares(lambda evaluate: [evaluate(PLACE) for _ in range(50)]) for _ in range(4)])
    assert driver.PATIENCE not in waits
