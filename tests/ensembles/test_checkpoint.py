"""Nothing is lost: whatever ends a run, the same line run again ends with the bits of an undisturbed run."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest

import ensembles.checkpoint
from ensembles import (
    QAOA,
    VQE,
    BatchConfig,
    CheckpointError,
    EarlyStopping,
    Program,
    ProgramEnsemble,
    adam,
    file_lock,
    scipy_minimize,
    sgd,
)
from ensembles.checkpoint import Checkpoint
from ensembles.problems import MaxCut, tfim
from jaxsim import ansatz

CIRCUIT = ansatz.hardware_efficient(3, 1)
FILE = "programs.checkpoint"


def noisy(x, data, key):
    """A loss of one's own with random numbers; not a number for some programs, after a while."""
    loss = ((x - data[0]) ** 2).sum() + 0.1 * jax.random.normal(key, ())
    return jax.numpy.where((x < data[1]).all(), loss, jax.numpy.nan)


def programs():
    made = {
        (h, k): VQE(
            CIRCUIT,
            tfim(3, h=h),
            optimizer=adam(0.1),
            steps=40 + 30 * k,
            stopping=EarlyStopping(patience=5, min_delta=1e-3) if k == 1 else None,
        )
        for h in (1, 2)
        for k in range(3)
    }
    made["noisy"] = Program(noisy, np.zeros(2), data=np.float32([1, 9]), optimizer=adam(0.1), steps=90)
    made["fails"] = Program(noisy, np.zeros(2), data=np.float32([1, 0.5]), optimizer=adam(0.1), steps=90)
    made["ring"] = QAOA(
        MaxCut([(0, 1), (1, 2), (2, 0)]), layers=1, optimizer=sgd(0.1, momentum=0.9), steps=130
    )
    return made


def run(directory=None, config=None, made=None, **options):
    options = {"seed": 5, "progress": False, "on_error": "collect", "callback_steps": None, **options}
    return ProgramEnsemble(made or programs()).run(config, checkpoint_dir=directory, **options)


@pytest.fixture(scope="module")
def undisturbed():
    return run()


def stop_at(flush):
    """A callback that ends the run at some flush."""
    seen = []

    def callback(update):
        seen.append(update)
        if len(seen) == flush:
            raise StopIteration

    return callback


@pytest.mark.parametrize("flush", [1, 2, 5, 9])
def test_a_run_that_was_ended_goes_on_to_the_same_numbers(undisturbed, tmp_path, flush):
    first = run(tmp_path, callback=stop_at(flush), callback_steps=10)
    assert first != undisturbed
    assert any(r.status == "cancelled" for r in first.values())
    second = run(tmp_path)
    assert second == undisturbed
    assert second["fails"].status == "failed" and second[(1, 1)].status == "converged"
    third = run(tmp_path)
    assert third == undisturbed and third.stats.calls == 0


@pytest.mark.parametrize(
    "before, after",
    [("off", "merged"), ("merged", "off")],
)
def test_a_run_may_go_on_with_other_batches(undisturbed, tmp_path, before, after):
    run(tmp_path, BatchConfig(before), callback=stop_at(3), callback_steps=7)
    assert run(tmp_path, BatchConfig(after)) == undisturbed


def test_a_run_that_is_interrupted_often_ends_with_the_same_numbers(undisturbed, tmp_path):
    for _ in range(60):
        result = run(tmp_path, callback=stop_at(1), callback_steps=5)
        if all(r.status != "cancelled" for r in result.values()):
            break
    assert result == undisturbed


def test_a_callback_that_raises_loses_nothing(undisturbed, tmp_path):
    def callback(update):
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        run(tmp_path, callback=callback, callback_steps=20)
    assert (tmp_path / FILE).exists()
    assert run(tmp_path) == undisturbed


# time and callbacks ---------------------------------------------------------------------------------------------


def test_a_time_limit_returns_what_there_is(tmp_path):
    long = {k: VQE(CIRCUIT, tfim(3, h=k), optimizer=adam(0.1), steps=10**7) for k in (1, 2)}
    begun = time.monotonic()
    result = run(tmp_path, made=long, max_seconds=1.5)
    assert time.monotonic() - begun < 20
    assert {r.status for r in result.values()} == {"cancelled"}
    for r in result.values():
        assert r.steps == len(r.history) > 0 and r.value == r.history.min()
    again = run(tmp_path, made=long, max_seconds=0.5)
    assert all(again[k].steps > result[k].steps for k in long)
    assert all(again[k].history[: result[k].steps].tobytes() == result[k].history.tobytes() for k in long)


def test_callbacks_see_the_run(undisturbed):
    updates = []
    result = run(callback=updates.append, callback_steps=16)
    assert result == undisturbed
    names = updates[0].names
    assert names == tuple(result)
    steps = np.array([u.steps for u in updates])
    assert np.all(np.diff(steps, axis=0) >= 0) and np.all(np.diff(steps, axis=0) <= 16)
    assert steps[-1].tolist() == [r.steps for r in result.values()]
    assert updates[-1].ended.all() and not updates[0].ended.all()
    for update in updates:
        for k, name in enumerate(names):
            made = update.steps[k]
            if made and not update.ended[k]:
                assert update.losses[k] == result[name].history[made - 1]
                assert update.best[k] == result[name].history[:made].min()
    assert "programs ended" in str(updates[0])


def test_a_bad_row_touches_none_of_its_mates():
    """Beside a program whose loss is not a number, others keep every bit."""
    data = {k: np.float32([k, 9]) for k in range(20)}
    made = {k: Program(noisy, np.zeros(2), data=d, optimizer=adam(0.1), steps=30) for k, d in data.items()}
    good = run(made=made)
    for limit in (-1.0, 0.01, 0.3):  # not a number from the start, after a step, after some
        bad = {k: Program(noisy, np.zeros(2), data=np.float32([7, limit]), optimizer=adam(0.1), steps=30)
               for k in (3, 11)}  # fmt: skip
        mixed = run(made=made | bad)
        assert [name for name, r in mixed.items() if r.status == "failed"] == [3, 11]
        assert all(mixed[k] == good[k] for k in made if k not in bad)


# files that cannot be used --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    directory = tmp_path_factory.mktemp("saved")
    run(directory)
    return (directory / FILE).read_bytes()


def refused(path, data, words, **options):
    (path / FILE).write_bytes(data)
    with pytest.raises(CheckpointError, match=words) as error:
        run(path, **options)
    assert str(path / FILE) in str(error.value)
    assert (path / FILE).read_bytes() == data


def test_a_damaged_checkpoint_is_refused_and_kept(saved, tmp_path):
    for cut in (0, 5, 40, len(saved) // 2, len(saved) - 1):
        refused(tmp_path, saved[:cut], "damaged or no checkpoint")
    begin = saved.index(b"\n", 30)
    for place in np.random.default_rng(0).integers(begin, len(saved), 6):
        wrong = bytearray(saved)
        wrong[place] ^= 4
        refused(tmp_path, bytes(wrong), "damaged or no checkpoint")
    refused(tmp_path, saved + b"x", "damaged or no checkpoint")
    refused(tmp_path, b"a text of mine\n", "damaged or no checkpoint")


def with_header(saved, **changes):
    magic, header, payload = saved.split(b"\n", 2)
    return b"\n".join([magic, json.dumps({**json.loads(header), **changes}).encode(), payload])


def test_checkpoints_of_other_versions_and_ensembles_are_refused(saved, tmp_path):
    refused(
        tmp_path, with_header(saved, format=99), "format 99, but this version of ensembles .* reads format 1"
    )
    refused(tmp_path, with_header(saved, jax="0.0.1"), "made with jax '0.0.1', but this is")
    refused(tmp_path, with_header(saved, ensembles="9.9"), "made with ensembles '9.9'")
    refused(tmp_path, saved, "another ensemble or seed", seed=6)
    other = programs()
    other.pop("noisy")
    refused(tmp_path, saved, "another ensemble or seed", made=other)
    other = programs()
    other["ring"] = QAOA(MaxCut([(0, 1), (1, 2)]), layers=1, optimizer=sgd(0.1, momentum=0.9), steps=130)
    refused(tmp_path, saved, "another ensemble or seed", made=other)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_cannot_be_written_is_refused_before_anything_runs(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(CheckpointError, match="cannot be written"):
        run(tmp_path / "new", callback=lambda update: pytest.fail("it ran"))


def test_a_file_in_place_of_the_directory_is_refused(tmp_path):
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(CheckpointError, match="taken' cannot be written"):
        run(tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_disk_that_is_full_does_not_end_the_run(undisturbed, tmp_path, monkeypatch):
    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ensembles.checkpoint.os, "fsync", full)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert run(tmp_path, checkpoint_calls=1) == undisturbed
    assert sum("No space left" in str(w.message) for w in caught) == 1
    assert list(tmp_path.iterdir()) == [tmp_path / "run.lock"]


# directories --------------------------------------------------------------------------------------------------------


def names_in(directory):
    return {path.name for path in directory.iterdir()}


def small(name, **options):
    return {name: VQE(CIRCUIT, tfim(3), optimizer=adam(0.1), steps=2, **options)}


def hosted(name, maxiter=8):
    return {name: VQE(CIRCUIT, tfim(3), optimizer=scipy_minimize("COBYLA", maxiter=maxiter))}


@pytest.mark.skipif(file_lock.fcntl is None, reason="no locks on this system")
@pytest.mark.parametrize("second", [small("b"), hosted("b")], ids=["compiled", "hosted"])
def test_one_run_at_a_time_in_a_directory(tmp_path, second):
    begun = threading.Event()
    long = {"a": VQE(CIRCUIT, tfim(3), optimizer=adam(0.1), steps=10**7)}
    handle = ProgramEnsemble(long).start(
        seed=5,
        progress=False,
        checkpoint_dir=tmp_path,
        callback=lambda update: begun.set(),
        checkpoint_calls=1,
    )
    assert begun.wait(60)
    with pytest.raises(CheckpointError, match="in use by another run; wait for it"):
        run(tmp_path, made=second)
    handle.cancel()
    first = handle.join(60)["a"]
    assert names_in(tmp_path) == {FILE, "run.lock"}
    again = run(tmp_path, made=long, max_seconds=0.01)["a"]  # the lock is gone with the run
    assert again.history[: first.steps].tobytes() == first.history.tobytes()


def test_what_a_saving_left_is_cleared_away_only_where_nobody_else_is(tmp_path):
    left = tmp_path / f".{FILE}.{os.getpid()}"
    left.touch()
    first, second = Checkpoint(tmp_path, 10.0, None), Checkpoint(tmp_path, 10.0, None)
    assert left.exists()
    with first.locked():
        assert not left.exists()
        left.touch()
        if file_lock.fcntl is not None:
            with pytest.raises(CheckpointError, match="in use by another run"), second.locked():
                pass
            assert left.exists()


@pytest.mark.parametrize(
    "first, second",
    [
        (small("a"), hosted("b")),
        (small("a"), small("a") | hosted("b")),
        (hosted("a"), small("b")),
        (hosted("a"), hosted("a") | small("b")),
    ],
    ids=["compiled, hosted", "compiled, both", "hosted, compiled", "hosted, both"],
)
def test_another_ensemble_of_whatever_driver_is_refused_and_touches_nothing(tmp_path, first, second):
    run(tmp_path, made=first)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(CheckpointError, match="another ensemble"):
        run(tmp_path, made=second)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_directory_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    run("~/saved", made=small("a"))
    assert names_in(tmp_path) == {"home"}
    assert names_in(tmp_path / "home" / "saved") == {FILE, "run.lock"}
    with pytest.raises(CheckpointError, match="~nobody-of-this-name/saved' cannot be written"):
        run("~nobody-of-this-name/saved", made=small("a"))


BAD = [
    ({"max_seconds": 0}, ValueError, "max_seconds must be above 0, but 0"),
    ({"max_seconds": -2.5}, ValueError, "max_seconds must be above 0"),
    ({"max_seconds": float("nan")}, ValueError, "max_seconds must be above 0"),
    ({"max_seconds": "1"}, TypeError, "max_seconds is a number of seconds"),
    ({"max_seconds": True}, TypeError, "max_seconds is a number of seconds"),
    ({"callback": 3}, TypeError, "callback is a function of a RunUpdate"),
    ({"callback": print, "callback_steps": 0}, ValueError, "callback_steps must be at least 1"),
    ({"callback_steps": 5}, ValueError, "without a callback"),
    ({"checkpoint_seconds": 0}, ValueError, "checkpoint_seconds must be above 0"),
    ({"checkpoint_calls": 0}, ValueError, "checkpoint_calls must be at least 1"),
    ({"checkpoint_calls": 1.5}, TypeError, "checkpoint_calls is an integer"),
    ({"directory": 7}, TypeError, "checkpoint_dir is a path, but 7"),
    ({"directory": ""}, ValueError, "checkpoint_dir is empty"),
]


@pytest.mark.parametrize("options, error, words", BAD, ids=[words for _, _, words in BAD])
def test_bad_options_are_refused_before_anything_runs(options, error, words):
    with pytest.raises(error, match=words):
        run(**options)


# kill -9 --------------------------------------------------------------------------------------------------------

CHILD = """
import functools, hashlib, os, signal, sys
import jax
jax.config.update("jax_compilation_cache_dir", sys.argv[2])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
from ensembles import VQE, EarlyStopping, HostedProgram, ProgramEnsemble, adam, scipy_minimize
from ensembles.problems import tfim
from jaxsim import ansatz

moment = sys.argv[3]  # of the third saving, when this process kills itself; "" for never
# A saving forces a file to the disk, renames it, and forces the directory to the disk.
name, fatal = {"": ("", 0), "half": ("fsync", 5), "whole": ("fsync", 5), "renamed": ("fsync", 6)}[moment]
calls = 0

def dying(kept, *arguments):
    global calls
    calls += 1
    if calls == fatal:
        if moment == "half":
            os.ftruncate(arguments[0], os.fstat(arguments[0]).st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)
    return kept(*arguments)

if name:
    setattr(os, name, functools.partial(dying, getattr(os, name)))

circuit = ansatz.hardware_efficient(3, 1)
made = {k: VQE(circuit, tfim(3, h=1 + k / 8), optimizer=adam(0.1), steps=300 + 50 * k,
               stopping=EarlyStopping(patience=60) if k % 2 else None) for k in range(6)}

class Sampler(HostedProgram):
    def run(self, evaluate):
        x = evaluate.initial_parameters
        seen = [float(evaluate.sample(x + k, shots=20).mean()) for k in range(30)]
        return {"seen": tuple(seen)}

made["cobyla"] = VQE(circuit, tfim(3), optimizer=scipy_minimize("COBYLA", maxiter=150))
made["sampler"] = Sampler(circuit, tfim(3))
print("ready", flush=True)
result = ProgramEnsemble(made).run(seed=1, progress=False, checkpoint_dir=sys.argv[1] or None, checkpoint_calls=1)
bits = lambda a: None if a is None else a.tobytes()
text = repr([(name, r.history.tobytes(), bits(r.parameters), bits(r.final_parameters), r.value, r.status,
              r.evaluations, r.extra) for name, r in result.items()])
print(hashlib.sha256(text.encode()).hexdigest())
"""


def child(directory, cache, moment=""):
    environment = {**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(directory), str(cache), moment],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


def finished(process):
    out, _ = process.communicate(timeout=120)
    return re.findall("^[0-9a-f]{64}$", out, re.MULTILINE)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    (digest,) = finished(child("", cache))
    return digest, cache


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["half", "whole", "renamed"])
def test_killed_inside_a_saving(expected, tmp_path, moment):
    digest, cache = expected
    killed = child(tmp_path, cache, moment)
    assert finished(killed) == [] and killed.returncode == -signal.SIGKILL
    assert finished(child(tmp_path, cache)) == [digest]
    assert not list(tmp_path.glob(".*"))


@pytest.mark.slow
def test_killed_at_random_moments(expected, tmp_path):
    """One run, killed again and again, is brought to its end."""
    digest, cache = expected
    begun = time.monotonic()
    process = child(tmp_path, cache)
    process.stdout.readline()
    ready = time.monotonic()
    process.communicate()
    duration = time.monotonic() - ready
    assert ready > begun
    for number in range(20):
        directory: Path = tmp_path / str(number % 4)  # of four runs, each is killed five times
        process = child(directory, cache)
        process.stdout.readline()
        time.sleep(random.Random(number).uniform(0, duration))
        process.kill()
        process.communicate()
    for number in range(4):
        assert finished(child(tmp_path / str(number), cache)) == [digest]
