"""When a run is saved and when it ends by the clock; in which order rows enter calls; engines that draw alike."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import ensembles.checkpoint
from ensembles import VQE, BatchConfig, HostedProgram, ProgramEnsemble, adam, sample
from ensembles.checkpoint import Checkpoint
from ensembles.problems import tfim
from ensembles.schedule import calls_of_flush
from jaxsim import ansatz

CIRCUIT = ansatz.hardware_efficient(2, 1)


class Endless(HostedProgram):
    def run(self, evaluate):
        while True:
            evaluate(evaluate.initial_parameters)


class Samples(HostedProgram):
    def __init__(self, place, circuit, **options):
        super().__init__(circuit, **options)
        self.place = place

    def run(self, evaluate):
        return {"bits": evaluate.sample(self.place, 500)}


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set; writing a file takes `clock.saving` seconds."""

    class Clock:
        now, saving = 100.0, 0.0

        def monotonic(self):
            return self.now

    made = Clock()
    fsync = ensembles.checkpoint.os.fsync

    def slow(file):
        made.now += made.saving / 2  # once for the file, once for the directory
        fsync(file)

    monkeypatch.setattr(ensembles.checkpoint.time, "monotonic", made.monotonic)
    monkeypatch.setattr(ensembles.checkpoint.os, "fsync", slow)
    return made


def test_savings_are_due_after_seconds_or_calls(clock, tmp_path):
    checkpoint = Checkpoint(tmp_path, 10.0, 3)
    assert not checkpoint.due(2) and checkpoint.due(3)
    clock.now += 9.9
    assert not checkpoint.due(0)
    clock.now += 0.1
    assert checkpoint.due(0)
    checkpoint.save({"a": np.zeros(2)}, 7)  # both are counted from the last saving on
    assert not checkpoint.due(9) and checkpoint.due(10)
    clock.now += 10
    assert checkpoint.due(7)
    assert not Checkpoint(tmp_path, 10.0, None).due(10**6)


def test_large_runs_are_saved_less_often(clock, tmp_path):
    """Saving takes a twentieth of the time at most."""
    clock.saving = 2.0
    checkpoint = Checkpoint(tmp_path, 10.0, None)
    checkpoint.save({"a": np.zeros(2)}, 1)
    clock.now += 39
    assert not checkpoint.due(10**6)
    clock.now += 1
    assert checkpoint.due(1)


def test_a_run_saves_every_so_many_calls(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(
        Checkpoint, "save", lambda self, arrays, calls: saved.append(calls) or kept(self, calls)
    )

    def kept(checkpoint, calls):
        checkpoint._last_calls = calls

    program = VQE(CIRCUIT, tfim(2), optimizer=adam(0.1), steps=60)
    options = {
        "progress": False,
        "callback": lambda update: None,
        "callback_steps": 6,
        "checkpoint_seconds": 1e6,
    }
    result = ProgramEnsemble([program]).run(checkpoint_dir=tmp_path, checkpoint_calls=4, **options)
    assert result.stats.calls == 11
    assert saved == [4, 8, 11]  # and at the end


def test_a_resumed_run_counts_the_seconds_before_it(tmp_path):
    program = VQE(CIRCUIT, tfim(2), optimizer=adam(0.1), steps=60)

    def after_three(update):
        if update.calls == 3:
            raise StopIteration

    ensemble = ProgramEnsemble({"a": program, "b": program})
    options = {"progress": False, "checkpoint_dir": tmp_path}
    first = ensemble.run(callback=after_three, callback_steps=6, **options)
    second = ensemble.run(**options)
    third = ensemble.run(**options)
    for name in ("a", "b"):
        assert 0 < first[name].seconds < second[name].seconds == third[name].seconds


def test_a_time_limit_is_that_of_both_drivers():
    """Compiled programs run first; what they leave is for the hosted ones, and nobody waits for ever."""
    programs = {
        "hosted": Endless(CIRCUIT, tfim(2)),
        "compiled": VQE(CIRCUIT, tfim(2), optimizer=adam(0.1), steps=3),
    }
    ProgramEnsemble({"compiled": programs["compiled"]}).run(progress=False)  # compiles
    result = ProgramEnsemble(programs).start(progress=False, max_seconds=2.0).join(60)
    assert {name: r.status for name, r in result.items()} == {"hosted": "cancelled", "compiled": "completed"}
    assert result["hosted"].evaluations == len(result["hosted"].history) > 0


def test_rows_of_compiled_programs_enter_in_natural_order_if_asked():
    names = ["p10", "p2", 3, "p1", 20]
    ordered = BatchConfig(_sort_programs=True, max_rows_per_call=2)
    assert calls_of_flush([0, 1, 2, 3, 4], [0] * 5, names, ordered) == [(0, [2, 4]), (0, [3, 1]), (0, [0])]
    plain = BatchConfig(max_rows_per_call=2)
    assert calls_of_flush([3, 1, 0, 2], [0] * 5, names, plain) == [(0, [3, 1]), (0, [0, 2])]
    assert calls_of_flush([0, 1, 2, 3], [0, 1, 0, 1], names, ordered) == [(0, [2, 0]), (1, [3, 1])]


def test_samples_do_not_depend_on_the_engine():
    """At one place, where no draw is decided by rounding."""
    circuit, place = ansatz.hardware_efficient(4, 2), np.linspace(0, 3, 16)
    found = []
    for engine in ("layered", "rotations", "fused"):
        vqe = VQE(circuit, tfim(4), optimizer=adam(0.1), steps=1, engine=engine)
        samples = sample({"s": vqe}, {"s": SimpleNamespace(parameters=place)}, 500, seed=3)
        result = ProgramEnsemble({"s": Samples(place, circuit, engine=engine)}).run(progress=False, seed=3)
        found.append((samples["s"].counts, result["s"].bits.tobytes()))
    assert found[0] == found[1] == found[2]
    assert len(found[0][0]) > 1


PEAK = """
import resource
from ensembles import VQE, BatchConfig, ProgramEnsemble, adam
from ensembles.problems import tfim
from jaxsim import ansatz

circuit, programs = ansatz.hardware_efficient(12, 1), 2048

def peak(batch):
    program = VQE(circuit, tfim(12), optimizer=adam(0.1), steps=1)
    config = BatchConfig(max_batch_size=batch, memory_limit=32 * 2**20)
    ProgramEnsemble([program] * programs).run(config, progress=False)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

peak(16)
before = peak(16)
print(peak(programs) - before)
"""


@pytest.mark.slow
def test_peak_memory_does_not_grow_with_the_batch():
    """Flushes of 16 programs of 12 qubits, and then of 2,048, whose states would be 384 MiB all at once."""
    pytest.importorskip("resource")
    done = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True)
    assert float(done.stdout.split()[-1]) < 100
