"""What a batching driver has to get right, as far as no other test here says it.

The list is that of behaviours which another ensemble library tests, and of those which it does not: routing, mixed
kinds of requests, pools of every size, names of every kind, failures at every stage, memory. Most tests get their
answers from a formula in place of an engine: an answer shows which row it belongs to.
"""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap
import threading
import time
import warnings

import numpy as np
import pytest

import jaxsim as js
from ensembles import VQE, BatchConfig, EnsembleError, HostedProgram, ProgramEnsemble, adam
from ensembles.hosted import HostedRun
from jaxsim import Circuit, ParameterVector, Z

A = ParameterVector("a", 2)
PAIR = Circuit(2).ry(A[0], 0).rx(A[1], 1).cx(0, 1)


class Does(HostedProgram):
    """Runs a function of `evaluate`."""

    def __init__(self, function, circuit=PAIR, observable=None, **options):
        super().__init__(circuit, Z(0) @ Z(1) if observable is None else observable, **options)
        self.function = function

    def run(self, evaluate):
        return self.function(evaluate)


@pytest.fixture
def calls(monkeypatch):
    """The values (rows, parameters) of every call, in order. A row's value is its first parameter; states are basis
    states whose number is that parameter modulo 4."""
    made = []

    def evaluate(rows, values, want="value"):
        made.append(np.array(values))
        if want == "probabilities":
            return np.eye(4, dtype=np.float32)[values[:, 0].astype(int) % 4]
        return values[:, 0].astype(np.float32)

    monkeypatch.setattr(js, "evaluate", evaluate)
    return made


def run(programs, config=None, **options):
    return ProgramEnsemble(programs).run(config, progress=False, **{"seed": 7, **options})


def marks(first, count, rows=1):
    """A program that evaluates `count` times, at places that only it goes to; returns its answers."""

    def function(evaluate):
        return [evaluate([[first + step, row] for row in range(rows)]).tolist() for step in range(count)]

    return Does(function)


# merging and routing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("programs", [1, 2, 3, 12])
@pytest.mark.parametrize(
    "config", [BatchConfig(), BatchConfig(_sort_programs=True), BatchConfig(max_rows_per_call=5)]
)
def test_every_answer_goes_where_it_belongs(calls, programs, config):
    result = run({k: marks(100 * k, 4, rows=1 + k % 3) for k in range(programs)}, config)
    for k, r in result.items():
        assert r.returned == [[100.0 * k + step] * (1 + k % 3) for step in range(4)]
    if config.max_rows_per_call is None:
        assert len(calls) == 4  # as many as steps
        assert {len(values) for values in calls} == {sum(1 + k % 3 for k in range(programs))}


def test_values_and_samples_wait_together_and_go_in_two_calls(calls):
    programs = {
        "exact": Does(lambda evaluate: evaluate([3.0, 0.0])),
        "shots": Does(lambda evaluate: evaluate.sample([2.0, 0.0], 5)),
        "more shots": Does(lambda evaluate: evaluate.sample([1.0, 0.0], 9)),
    }
    result = run(programs)
    assert (result.stats.flushes, result.stats.calls) == (1, 2)
    assert result["exact"].returned == 3.0
    assert result["shots"].returned.tolist() == [[0, 1]] * 5
    assert result["more shots"].returned.tolist() == [[1, 0]] * 9


NAMES = [
    "0",
    "0:0",
    "0@0",
    "[0]",
    "0,0",
    0,
    -1,
    ("0",),
    ("0", "0"),
    (0, 0),
    ((0,), 0),
    "p2",
    "p10",
    "é",
    10**30,
    "a b",
]


def test_names_of_every_kind_side_by_side(calls):
    """Names that look like one another, or hold what separates things elsewhere, of types that do not compare."""
    for config in (BatchConfig(), BatchConfig(_sort_programs=True), BatchConfig("off")):
        result = run({name: marks(10 * k, 3) for k, name in enumerate(NAMES)}, config)
        assert [r.returned for r in result.values()] == [
            [[10.0 * k], [10.0 * k + 1], [10.0 * k + 2]] for k in range(len(NAMES))
        ]
        draws = run({name: Does(lambda e: e.random.integers(2**60)) for name in NAMES}, config)
        assert len({r.returned for r in draws.values()}) == len(NAMES)


def test_sorted_rows_of_mixed_names(calls):
    """Integers by value, strings with their numbers by value, tuples."""
    order = [-1, 0, 2, 10, "p2", "p10", "q1", ("a", 2), ("a", 10)]
    shuffled = random.Random(5).sample(order, len(order))
    run({name: marks(order.index(name), 1) for name in shuffled}, BatchConfig(_sort_programs=True))
    assert calls[0][:, 0].tolist() == list(range(len(order)))


# the flush rule -------------------------------------------------------------------------------------------


def test_a_program_with_more_rows_than_the_trigger_goes_in_one_call(calls):
    run([marks(0, 1, rows=20)], BatchConfig(max_batch_size=8))
    assert [len(values) for values in calls] == [20]


def test_eight_programs_of_five_rows_and_a_trigger_of_ten(calls):
    run([marks(k, 1, rows=5) for k in range(8)], BatchConfig(max_batch_size=10, max_concurrent_programs=8))
    sizes = [len(values) for values in calls]
    assert sum(sizes) == 40
    assert {size % 5 for size in sizes} == {0}


@pytest.mark.parametrize(("trigger", "sizes"), [(3, [3]), (4, [3]), (1000, [3]), (None, [3]), (1, [1, 1, 1])])
def test_a_trigger_above_what_can_come_waits_for_all(calls, trigger, sizes):
    run([marks(k, 1) for k in range(3)], BatchConfig(max_batch_size=trigger, max_concurrent_programs=40))
    assert [len(values) for values in calls] == sizes


def test_calls_shrink_as_programs_end(calls):
    run([marks(10 * k, k + 1) for k in range(5)])
    assert [len(values) for values in calls] == [5, 4, 3, 2, 1]


# pools ----------------------------------------------------------------------------------------------------

POOLS = [
    (257, BatchConfig(), 256),
    (257, BatchConfig(max_batch_size=8), 8),
    (257, BatchConfig("off"), 1),
    (300, BatchConfig(max_concurrent_programs=300), 300),
    (3, BatchConfig(max_concurrent_programs=300), 3),
    (20, BatchConfig(max_concurrent_programs=-1, max_batch_size=6), 6),
    (4, BatchConfig(max_concurrent_programs=-1, max_batch_size=6), 4),
    (20, BatchConfig(max_concurrent_programs=7, max_batch_size=30), 7),
    (20, BatchConfig(max_concurrent_programs=1), 1),
]


@pytest.mark.parametrize(("programs", "config", "largest"), POOLS, ids=str)
def test_a_pool_of_any_size_runs_everything(calls, programs, config, largest):
    before = threading.active_count()
    result = run([marks(10 * k, 2) for k in range(programs)], config)
    assert [r.returned for r in result.values()] == [[[10.0 * k], [10.0 * k + 1]] for k in range(programs)]
    assert result.stats.largest_call == largest
    assert result.stats.rows == 2 * programs
    assert threading.active_count() == before


@pytest.mark.slow
def test_two_thousand_programs_at_a_time_without_a_warning(calls):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = run([marks(k, 1) for k in range(2000)], BatchConfig(max_concurrent_programs=-1))
    assert result.stats.largest_call == 2000
    with pytest.warns(UserWarning, match="max_concurrent_programs is 2000"):
        BatchConfig(max_concurrent_programs=2000)


# runs one after another -----------------------------------------------------------------------------------


def test_runs_leave_nothing_behind_for_the_next(calls):
    """Merged, then alone, then merged again, also after a run that was cancelled or failed."""
    fails = [False]

    def function(evaluate):
        bits = [evaluate.sample([k, 0.0], 4) for k in range(3)]
        if fails[0]:
            raise RuntimeError("this time")
        return {"bits": np.stack(bits), "draw": evaluate.random.integers(2**60)}

    ensemble = ProgramEnsemble({name: Does(function) for name in "abc"})
    first = ensemble.run(seed=3, progress=False)
    for config in (BatchConfig("off"), BatchConfig(max_batch_size=2), None):
        again = ensemble.run(config, seed=3, progress=False)
        assert again == first
        assert (again.stats.rows, again.stats.evaluations) == (9, 9)
    fails[0] = True
    with pytest.raises(EnsembleError, match="3 programs of 3 failed"):
        ensemble.run(seed=3, progress=False)
    handle = ensemble.start(seed=3, progress=False, on_error="collect")
    handle.cancel()
    handle.join()
    fails[0] = False
    assert ensemble.run(seed=3, progress=False) == first


def test_rows_of_programs_that_fail_count_once(calls):
    def fails(evaluate):
        evaluate(np.zeros((3, 2)))
        evaluate([0.0, 0.0])
        raise ValueError("after four rows")

    programs = {"fails": Does(fails), "good": marks(0, 2)}
    for config in (BatchConfig(), BatchConfig("off")):
        result = run(programs, config, on_error="collect")
        assert [r.evaluations for r in result.values()] == [4, 2]
        assert (result.stats.rows, result.stats.evaluations) == (6, 6)
        assert len(result["fails"].history) == 4


def test_rows_of_a_call_that_failed_are_nobodys(monkeypatch):
    def broken(rows, values, want="value"):
        if want == "probabilities":
            raise RuntimeError("no states today")
        return values[:, 0].astype(np.float32)

    monkeypatch.setattr(js, "evaluate", broken)
    programs = {"states": Does(lambda evaluate: evaluate.probabilities([1.0, 0.0])), "values": marks(5, 1)}
    result = run(programs, on_error="collect")
    assert [r.evaluations for r in result.values()] == [0, 1]
    assert str(result["states"].error) == "no states today"
    assert result["values"].returned == [[5.0]]


def test_a_failure_while_things_are_set_up_leaves_the_ensemble_usable(calls):
    class Late(Does):
        broken = True

        def hosting(self):
            if self.broken:
                raise OSError("not yet")
            return super().hosting()

    ensemble = ProgramEnsemble({"late": Late(lambda evaluate: evaluate([2.0, 0.0]))})
    for start in (ensemble.run, lambda **options: ensemble.start(**options).join()):
        with pytest.raises(OSError, match="not yet"):
            start(progress=False)
    Late.broken = False
    assert ensemble.run(progress=False)["late"].returned == 2.0


def test_a_display_that_fails_fails_nobody(calls):
    def report(ended, calls):
        raise BrokenPipeError("the terminal is gone")

    programs = [marks(10 * k, 3) for k in range(4)]
    hostings = [program.hosting() for program in programs]
    made = HostedRun(list("abcd"), programs, hostings, BatchConfig(), np.array([0, 1], np.uint32), report)
    made.run()
    assert [o.status for o in made.outcomes()] == ["completed"] * 4


def test_arrival_does_not_decide_results():
    """With the engine: two runs of one seed, in which programs come in another order each time."""

    def function(evaluate):
        found = []
        for k in range(3):
            time.sleep(random.choice([0.0, 0.001, 0.003]))
            found.append(evaluate.sample([0.3 * k, 1.0], 50))
        return {"bits": np.stack(found), "value": evaluate([0.4, 0.1])}

    def programs(names):
        return {name: Does(function) for name in names}

    first = run(programs("abcdef"))
    for config in (BatchConfig(_sort_programs=True), BatchConfig(max_batch_size=2), BatchConfig()):
        assert run(programs("abcdef"), config) == first
    more = run(programs("xfedcbay"), BatchConfig(_sort_programs=True))
    assert [more[name] for name in "abcdef"] == list(first.values())
    assert len({r.bits.tobytes() for r in more.values()}) == 8


def test_an_ensemble_of_nothing_is_refused():
    for nothing in ([], {}, iter(())):
        with pytest.raises(ValueError, match="at least one program"):
            ProgramEnsemble(nothing)


def test_many_structures_in_one_ensemble_compile_once_each():
    """Sizes 1 to 4 twice, both drivers; another ensemble of the same shapes compiles nothing."""

    def programs(scale):
        made = {}
        for n in range(1, 5):
            circuit = Circuit(n)
            for q in range(n):
                circuit.ry(A[q % 2], q)
            made["compiled", n] = VQE(circuit, scale * Z(0), optimizer=adam(0.1), steps=3, engine="layered")
            made["hosted", n] = Does(
                lambda e: [e(e.initial_parameters[: e.num_parameters])], circuit, scale * Z(0)
            )
        return made

    first = run(programs(1.0))
    assert first.stats.groups == len({*ProgramEnsemble(programs(1.0)).plan().groups})
    again = run(programs(2.0))
    assert again.stats.compilations == 0
    for name, r in again.items():
        assert r.history[0] == pytest.approx(2 * first[name].history[0], rel=1e-5)


PEAK = """
import resource
import numpy as np
from ensembles import BatchConfig, HostedProgram, ProgramEnsemble
from ensembles.problems import tfim
from jaxsim import ansatz

class Batch(HostedProgram):
    def __init__(self, rows):
        super().__init__(ansatz.hardware_efficient(12, 1), tfim(12))
        self.rows = rows
    def run(self, evaluate):
        evaluate(np.zeros((self.rows, evaluate.num_parameters)), gradient=True)

def peak(rows):
    config = BatchConfig(memory_limit=64 * 2**20)
    ProgramEnsemble([Batch(rows)]).run(config, progress=False)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

peak(64)
before = peak(512)
print(peak(6144) - before)
"""


@pytest.mark.slow
def test_peak_memory_does_not_grow_with_the_rows():
    """6,144 rows of 12 qubits: a state and what the reverse pass keeps, all at once, would be 1,150 MiB."""
    pytest.importorskip("resource")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PEAK)], capture_output=True, text=True, check=True
    )
    assert float(done.stdout.split()[-1]) < 200
