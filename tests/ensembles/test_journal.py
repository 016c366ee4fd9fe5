"""A hosted run that was killed goes on with the same numbers; what is wrong with its journal is said."""

from __future__ import annotations

import errno
import importlib.util
import os
import random
import signal
import subprocess
import sys
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxsim as js
from ensembles import (
    VQE,
    BatchConfig,
    Cancelled,
    HostedProgram,
    Program,
    ProgramEnsemble,
    cma_es,
    differential_evolution,
    file_lock,
    random_search,
    scipy_minimize,
)
from ensembles.checkpoint_error import CheckpointError
from ensembles.hosted import HostedRun
from ensembles.journal import Journal
from jaxsim import Circuit, ParameterVector, X, Z

A = ParameterVector("a", 2)
PAIR = Circuit(2).ry(A[0], 0).rx(A[1], 1).cx(0, 1)
FIELD = Z(0) @ Z(1) + 0.5 * X(0)
PLACE = np.array([0.3, -1.2])
FAILS = 99.5


class Does(HostedProgram):
    """Runs a function of `evaluate`."""

    def __init__(self, function, circuit=PAIR, observable=FIELD, **options):
        super().__init__(circuit, observable, **options)
        self.function = function

    def run(self, evaluate):
        return self.function(evaluate)


def run(programs, path=None, *, config=None, seed=7, fingerprint=b"ours", start=None, **options):
    """A hosted run; `start`, if given, is called with it beforehand."""
    journal = None if path is None else Journal.open(path, fingerprint)
    hostings = [program.hosting() for program in programs.values()]
    root = np.array([0, seed], np.uint32)
    made = HostedRun(
        list(programs),
        list(programs.values()),
        hostings,
        config or BatchConfig(),
        root,
        journal=journal,
        **options,
    )
    if start is not None:
        start(made)
    try:
        made.run()
    finally:
        if journal is not None:
            journal.close()
    return made


def bits(run):
    """Everything that the programs of a run found, as bytes."""
    found = []
    for o in run.outcomes():
        arrays = [
            o.history,
            o.best_value,
            o.final_value,
            o.best_parameters,
            o.final_parameters,
            *o.extra.values(),
        ]
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(arrays)]
        told = (o.status, repr(o.error), o.evaluations, list(o.extra))
        found.append((told, [(leaf.dtype.str, leaf.shape, leaf.tobytes()) for leaf in leaves]))
    return found


@pytest.fixture
def calls(monkeypatch):
    """How many compiled calls were made, as a list of their rows."""
    made = []
    true_evaluate, true_submit = js.evaluate, js.submit_blocks

    def evaluate(rows, values, want="value"):
        made.append(len(values))
        return true_evaluate(rows, values, want)

    def submit(function, blocks, signature):
        made.append(len(blocks))
        return true_submit(function, blocks, signature)

    monkeypatch.setattr(js, "evaluate", evaluate)
    monkeypatch.setattr(js, "submit_blocks", submit)
    return made


@pytest.fixture
def formula(monkeypatch):
    """Answers from a formula in place of an engine, so that many runs can be tried; the list has their rows."""
    made = []

    def evaluate(rows, values, want="value"):
        made.append(len(values))
        if np.any(values[:, 0] == FAILS):
            raise MemoryError("too much")
        waves = np.sin(values + np.arange(values.shape[1]))
        if want == "probabilities":
            return np.abs(np.stack([waves[:, 0], waves[:, 1], 0 * waves[:, 0], waves[:, 0] ** 2], 1))
        value = waves.sum(1).astype(np.float32)
        return (value, np.cos(values).astype(np.float32)) if want == "value_and_grad" else value

    monkeypatch.setattr(js, "evaluate", evaluate)
    return made


# the same numbers -----------------------------------------------------------------------------------------


def noisy_loss(parameters, data, key):
    return jnp.sum((parameters - data) ** 2) + 0.1 * jax.random.normal(key)


def everything(evaluate):
    """Asks for all there is."""
    x, found = evaluate.initial_parameters, []
    for _ in range(3):
        _, slope = evaluate(x, gradient=True)
        places = x + evaluate.random.normal(size=(3, 2))
        x = places[np.argmin(evaluate(places))] - 0.1 * slope
        found += [evaluate.sample(x, 11), evaluate.sample(places, 3), evaluate.statevector(x)]
        found += [evaluate.probabilities(places), evaluate(np.zeros((0, 2)))]
        found.append(evaluate(x, circuit=Circuit(2).rx(A[0], 0).ry(A[1], 1), observable=[Z(0), X(1)]))
        found += list(evaluate(places, gradient=True, observable=[Z(0), X(1), Z(1)]))
    return {"parameters": x, **{f"entry {k}": entry for k, entry in enumerate(found)}}


def fails_half_way(evaluate):
    for _ in range(3):
        evaluate(PLACE)
        evaluate.sample(PLACE, 5)
    raise ValueError("half-way")


def recovers(evaluate):
    """From an evaluation that always fails."""
    values = []
    for k in range(4):
        try:
            evaluate([[np.nan, 0.0]] if k % 2 else [[0.0, 0.0, 0.0]])
        except ValueError:
            values.append(evaluate.sample([0.1 * k, 0.2], 9))
    return {"values": np.stack(values)}


PROGRAMS = {
    "cobyla": lambda: VQE(PAIR, FIELD, optimizer=scipy_minimize("COBYLA", maxiter=15)),
    "lbfgs": lambda: VQE(PAIR, FIELD, optimizer=scipy_minimize("L-BFGS-B", maxiter=5)),
    "newton": lambda: VQE(PAIR, FIELD, optimizer=scipy_minimize("trust-exact", maxiter=3)),
    "cma": lambda: VQE(PAIR, FIELD, optimizer=cma_es(sigma=0.3, maxfevals=30)),
    "evolution": lambda: VQE(PAIR, FIELD, optimizer=differential_evolution(maxiter=2, popsize=3)),
    "random": lambda: VQE(PAIR, FIELD, optimizer=random_search(20)),
    "noisy": lambda: Program(
        noisy_loss, np.zeros(2), data=np.float32(1), optimizer=scipy_minimize("Nelder-Mead", maxiter=6)
    ),
    "everything": lambda: Does(everything),
    "fails": lambda: Does(fails_half_way),
    "recovers": lambda: Does(recovers),
    "nothing": lambda: Does(lambda evaluate: {"note": 1}),
}


if importlib.util.find_spec("cma") is None:
    del PROGRAMS["cma"]


def programs(*names):
    return {name: PROGRAMS[name]() for name in names or PROGRAMS}


def test_all_that_was_asked_is_answered_without_a_call(tmp_path, calls):
    undisturbed = run(programs())
    assert bits(run(programs(), tmp_path / "j")) == bits(undisturbed)
    del calls[:]
    again = run(programs(), tmp_path / "j")
    assert bits(again) == bits(undisturbed)
    assert calls == []
    assert (again.counts.rows, again.counts.calls) == (0, 0)


def test_a_run_cut_anywhere_goes_on_with_the_same_numbers(tmp_path, calls):
    undisturbed = bits(run(programs(), tmp_path / "whole"))
    data = (tmp_path / "whole").read_bytes()
    rng, configs = random.Random(3), [BatchConfig(), BatchConfig("off"), BatchConfig(max_batch_size=3)]
    rows = sum(calls)
    for k, cut in enumerate(sorted(rng.sample(range(len(data)), 6))):
        (tmp_path / "cut").write_bytes(data[:cut])
        del calls[:]
        assert bits(run(programs(), tmp_path / "cut", config=configs[k % 3])) == undisturbed
        assert 0 < sum(calls) < rows
        del calls[:]
        assert bits(run(programs(), tmp_path / "cut")) == undisturbed  # and now all is there again
        assert calls == []


def test_programs_alone_and_in_other_company_find_their_own_answers(tmp_path, calls):
    undisturbed = dict(zip(PROGRAMS, bits(run(programs(), tmp_path / "j")), strict=True))
    del calls[:]
    for names in (["everything"], ["noisy", "cobyla"]):
        assert bits(run(programs(*names), tmp_path / "j")) == [undisturbed[name] for name in names]
    assert calls == []


def test_double_precision_comes_back_as_it_was(tmp_path, calls):
    with jax.enable_x64(True):
        made = {"x": Does(everything, dtype=np.complex128)}
        first = bits(run(made, tmp_path / "j"))
        del calls[:]
        assert bits(run(made, tmp_path / "j")) == first
    assert calls == []


def test_answers_may_be_written_to(tmp_path, formula):
    def careless(evaluate):
        found = [evaluate(np.zeros((2, 2))), evaluate.sample(PLACE, 4), evaluate.probabilities(PLACE)]
        for array in found:
            array += 1
        return {"sum": sum(array.sum() for array in found)}

    first = run({"x": Does(careless)}, tmp_path / "j")
    assert bits(run({"x": Does(careless)}, tmp_path / "j")) == bits(first)


def from_threads(evaluate):
    """Several threads that ask at random times, and for samples of the same state."""
    found = {}

    def work(k):
        rng = random.Random()
        for step in range(4):
            time.sleep(rng.choice([0.0, 0.001]))
            found[k, step] = evaluate([k, step])
            if step == 2 and k == 1:
                found["bits"] = evaluate.sample(PLACE, 30)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {str(key): found[key] for key in sorted(found, key=str)}


def test_threads_of_a_program_keep_their_order_and_draws(tmp_path, formula):
    """The order in which threads ask is left to chance; a run that goes on keeps what was written of it."""
    made = {k: Does(from_threads) for k in range(2)}
    first = bits(run(made, tmp_path / "j"))
    for _ in range(3):
        del formula[:]
        assert bits(run(made, tmp_path / "j")) == first
        assert formula == []
    data = (tmp_path / "j").read_bytes()
    for share in (0.3, 0.6, 0.9):
        (tmp_path / "cut").write_bytes(data[: int(share * len(data))])
        for (told, found), (told_first, found_first) in zip(
            bits(run(made, tmp_path / "cut")), first, strict=True
        ):
            assert told == told_first
            history, *_ = (np.sort(np.frombuffer(part[0][2])) for part in (found, found_first))
            assert history.tobytes() == np.sort(np.frombuffer(found_first[0][2])).tobytes()


def test_an_error_keeps_its_number(tmp_path, formula):
    """Of an evaluation that failed nothing is known but that it was made: it is made again."""

    def catches(evaluate):
        values = []
        for k in range(6):
            try:
                values.append(evaluate([FAILS if k == 2 else 0.1 * k, 0.0]))
            except MemoryError:
                values.append(7.0)
            values.append(evaluate.sample(PLACE, 6).sum())
        return {"values": np.array(values)}

    first = bits(run({"x": Does(catches)}, tmp_path / "j"))
    del formula[:]
    assert bits(run({"x": Does(catches)}, tmp_path / "j")) == first
    assert formula == [1]
    data = (tmp_path / "j").read_bytes()
    (tmp_path / "cut").write_bytes(data[: len(data) // 2])
    assert bits(run({"x": Does(catches)}, tmp_path / "cut")) == first


def at_random(seed):
    """A program that does what was drawn, and goes on from what it is answered."""

    def function(evaluate):
        rng, x, found = random.Random(seed), evaluate.initial_parameters, []
        for _ in range(rng.choice([0, 1, 4, 12])):
            kind = rng.choice(["one", "batch", "none", "slope", "samples", "states", "caught", "draw"])
            if kind == "one":
                x = x + 0.1 * evaluate(x)
            elif kind == "batch":
                found.append(evaluate(np.stack([x, x + 1, x - 1])[: rng.randint(1, 3)]))
            elif kind == "none":
                found.append(evaluate(np.zeros((0, 2))))
            elif kind == "slope":
                x = x - 0.1 * evaluate(x, gradient=True)[1]
            elif kind == "samples":
                x = x + evaluate.sample(x, rng.randint(1, 20))[0]
            elif kind == "states":
                found.append(evaluate.probabilities([x, x]))
            elif kind == "caught":
                try:
                    evaluate([FAILS, 0.0])
                except MemoryError:
                    x = x + 0.5
            else:
                x = x + evaluate.random.normal(size=2)
        if rng.random() < 0.2:
            raise ValueError(f"at {x}")
        return {"parameters": x, **{f"found {k}": array for k, array in enumerate(found)}}

    return Does(function)


@pytest.mark.parametrize("seed", range(20))
def test_random_programs_cut_at_random_go_on(tmp_path, formula, seed):
    rng = random.Random(seed)
    made = {k: at_random(rng.random()) for k in range(rng.randint(1, 6))}
    undisturbed = bits(run(made, tmp_path / "j"))
    data = (tmp_path / "j").read_bytes()
    for _ in range(4):
        (tmp_path / "j").write_bytes(data[: rng.randint(0, len(data))])
        config = rng.choice(
            [BatchConfig(), BatchConfig("off"), BatchConfig(max_batch_size=2, max_rows_per_call=2)]
        )
        deadline = rng.choice([None, time.monotonic() + 0.002])
        run(made, tmp_path / "j", config=config, deadline=deadline)
        assert bits(run(made, tmp_path / "j")) == undisturbed
        data = (tmp_path / "j").read_bytes()


# other questions ------------------------------------------------------------------------------------------


def test_a_program_that_asks_otherwise_goes_on_afresh(tmp_path, formula):
    def walk(places):
        return Does(lambda evaluate: {"values": np.array([evaluate(x) for x in places])})

    path = [[0.1 * k, 0.2] for k in range(5)]
    run({"x": walk(path)}, tmp_path / "j")
    changed = path[:3] + [[5.0, k] for k in range(4)] + path[3:]
    del formula[:]
    assert (
        bits(run({"x": walk(changed)}, tmp_path / "j"))[0][1][-1] == bits(run({"x": walk(changed)}))[0][1][-1]
    )
    assert sum(formula) == 4 + len(changed)
    del formula[:]
    run({"x": walk(changed)}, tmp_path / "j")
    assert formula == []


@pytest.mark.parametrize(
    "other",
    [
        {"circuit": Circuit(2).rx(A[0], 0).rx(A[1], 1).cx(0, 1)},
        {"circuit": Circuit(2).ry(1.0000001 * A[0], 0).rx(A[1], 1).cx(0, 1)},
        {"circuit": Circuit(2).ry((1.0000001 * A[0]).sin(), 0).rx(A[1], 1).cx(0, 1)},
        {"observable": Z(0) @ Z(1) + 0.5000001 * X(0)},
        {"observable": [FIELD]},
        {"engine": "fused"},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_evaluated_is_part_of_the_question(tmp_path, formula, other):
    def ask(evaluate):
        evaluate(PLACE)

    for _ in range(2):
        run(
            {"x": Does(ask), "y": Does(ask, circuit=Circuit(2).ry(A[0].sin(), 0).rx(A[1], 1))}, tmp_path / "j"
        )
    assert sum(formula) == 2
    run({"x": Does(ask, **other)}, tmp_path / "j")
    assert sum(formula) == 3


def test_the_seed_the_name_and_the_shots_are_part_of_the_question(tmp_path, formula):
    made = {"x": Does(lambda evaluate: {"bits": evaluate.sample(PLACE, 5)})}
    run(made, tmp_path / "j")
    assert len(formula) == 1
    run(made, tmp_path / "j", seed=8)
    assert len(formula) == 2
    run({"y": made["x"]}, tmp_path / "j")
    assert len(formula) == 3
    run({"x": Does(lambda evaluate: {"bits": evaluate.sample(PLACE, 6)})}, tmp_path / "j")
    assert len(formula) == 4


def test_a_loss_that_was_edited_is_evaluated_afresh(tmp_path, calls):
    def program(scale, caught):
        def loss(x, data, key):
            return scale * jnp.sum((x - data) ** 2 * jnp.asarray(caught))

        return {"x": Program(loss, np.zeros(2), data=np.ones(2), optimizer=random_search(3))}

    weights = np.arange(2.0, dtype=np.float32)
    run(program(1.0, weights), tmp_path / "j")
    del calls[:]
    run(program(1.0, weights), tmp_path / "j")  # another function object that says the same
    assert calls == []
    for changed in (program(2.0, weights), program(1.0, weights + 1)):
        del calls[:]
        assert bits(run(changed, tmp_path / "j")) == bits(run(changed))
        assert len(calls) == 2


def test_a_derivative_that_was_edited_is_evaluated_afresh(tmp_path):
    class Asks(Program):
        def run(self, evaluate):
            return {"gradient": evaluate(np.ones(2), gradient=True)[1].tolist()}

    def program(factor):
        @jax.custom_jvp
        def inner(x):
            return jnp.sum(x**2)

        inner.defjvp(lambda at, along: (inner(*at), factor * jnp.sum(at[0] * along[0])))
        return {"x": Asks(lambda x, data, key: inner(x), np.ones(2), optimizer=None)}

    for factor in (2.0, 3.0):
        assert run(program(factor), tmp_path / "j").outcomes()[0].extra["gradient"] == [factor, factor]


# from the outside -----------------------------------------------------------------------------------------


def test_an_ensemble_with_a_checkpoint_directory_keeps_a_journal(tmp_path, formula):
    def ensemble():
        return ProgramEnsemble({"walk": at_random(4), "cobyla": PROGRAMS["cobyla"]()})

    undisturbed = ensemble().run(seed=3, progress=False)
    options = {"checkpoint_dir": tmp_path, "progress": False}
    assert ensemble().run(seed=3, **options) == undisturbed
    del formula[:]
    again = ensemble().run(BatchConfig("off"), seed=3, **options)
    assert again == undisturbed
    assert formula == []
    assert again.stats.evaluations == undisturbed.stats.evaluations
    assert again.stats.rows == 0
    with pytest.raises(CheckpointError, match="another ensemble, or of another seed"):
        ensemble().run(seed=4, **options)
    [path] = tmp_path.glob("*.journal")
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(CheckpointError, match="damaged"):
        ensemble().run(seed=3, **options)
    assert path.read_bytes() == damaged
    assert formula == []


# damage ---------------------------------------------------------------------------------------------------


def short(evaluate):
    """Three records of different kinds."""
    evaluate(PLACE, gradient=True)
    return {"bits": evaluate.sample(PLACE, 5), "value": evaluate(PLACE)}


@pytest.fixture
def written(tmp_path, formula):
    """A journal of three records: path, bytes, where each begins, and what the run found."""
    path = tmp_path / "deep" / "hosted.journal"
    found = bits(run({"x": Does(short)}, path))
    journal = Journal.open(path, b"ours")
    assert len(journal) == 3
    [offsets] = journal._offsets.values()
    journal.close()
    del formula[:]
    return path, path.read_bytes(), list(offsets), found


def test_a_torn_last_record_is_dropped_wherever_it_was_torn(written, formula):
    path, data, offsets, found = written
    for cut in range(offsets[-1], len(data)):
        path.write_bytes(data[:cut])
        journal = Journal.open(path, b"ours")
        assert len(journal) == 2
        journal.close()
        assert path.read_bytes() == data[: offsets[-1]]
        path.write_bytes(data[:cut])
        assert bits(run({"x": Does(short)}, path)) == found
        assert path.read_bytes() == data
    assert sum(formula) == len(data) - offsets[-1]


def test_a_file_torn_while_it_was_made_begins_again(written):
    path, data, offsets, found = written
    for cut in range(offsets[0] + 1):
        path.write_bytes(data[:cut])
        assert bits(run({"x": Does(short)}, path)) == found
        assert path.read_bytes() == data


def test_a_tail_of_zeros_is_dropped(written):
    path, data, offsets, found = written
    path.write_bytes(data[: offsets[-1] + 9] + bytes(500))
    assert bits(run({"x": Does(short)}, path)) == found
    assert path.read_bytes() == data


def test_damage_before_the_end_is_an_error_and_the_file_is_kept(written):
    path, data, offsets, _ = written
    for place in range(offsets[0], offsets[2]):
        damaged = bytearray(data)
        damaged[place] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"hosted\.journal is damaged at byte \d+.* kept as it is"):
            Journal.open(path, b"ours")
        assert path.read_bytes() == damaged


def test_bytes_that_are_lost_or_inserted_are_damage(written):
    path, data, offsets, _ = written
    first, second, third = (data[a:b] for a, b in zip(offsets, [*offsets[1:], None], strict=True))
    start = data[: offsets[0]]
    for wrong in (start + first[:-1] + second + third, start + first + b"x" + second, start + b"x" + third):
        path.write_bytes(wrong)
        with pytest.raises(CheckpointError, match="is damaged"):
            Journal.open(path, b"ours")
        assert path.read_bytes() == wrong


def test_headers_that_do_not_fit(written):
    path, data, _, _ = written
    with pytest.raises(
        CheckpointError, match=r"hosted\.journal is that of another ensemble, or of another seed"
    ):
        Journal.open(path, b"theirs")
    with pytest.raises(CheckpointError, match="another ensemble"):
        Journal.open(path, b"ours, and longer")
    assert path.read_bytes() == data
    version = data.index(b"\n") + 1
    for wrong, words in [
        (data[:version] + b"\2" + data[version + 1 :], "format version 2, but only 1 can be read"),
        (b"something else altogether\n" * 9, "is no journal"),
        (b"x", "is no journal"),
        (data[: version + 12] + b"O" + data[version + 13 :], "damaged in its header"),
    ]:
        path.write_bytes(wrong)
        with pytest.raises(CheckpointError, match=rf"hosted\.journal.*{words}"):
            Journal.open(path, b"ours")
        assert path.read_bytes() == wrong


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for path in (tmp_path / "file" / "hosted.journal", tmp_path):
        with pytest.raises(CheckpointError, match=r"cannot be opened for writing: .*directory"):
            Journal.open(path, b"ours")
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.skipif(file_lock.fcntl is None, reason="no locks on this system")
def test_one_run_at_a_time(tmp_path):
    journal = Journal.open(tmp_path / "j", b"ours")
    with pytest.raises(CheckpointError, match="in use by another run"):
        Journal.open(tmp_path / "j", b"ours")
    journal.close()
    Journal.open(tmp_path / "j", b"ours").close()


@pytest.mark.parametrize("after", [0, 1, 70, 200, 400])
def test_a_full_disk_does_not_end_the_run(tmp_path, formula, monkeypatch, after):
    """Part of a record may still be written; what can be read afterwards is good."""
    undisturbed = bits(run({"x": Does(from_one_thread)}))
    Journal.open(tmp_path / "j", b"ours").close()
    true_write, left = os.write, [after]

    def write(file, data):
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        count = true_write(file, data[: left[0]])
        left[0] -= count
        return count

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        with pytest.warns(RuntimeWarning, match=r"No space left.* The run goes on"):
            found = run({"x": Does(from_one_thread)}, tmp_path / "j")
    assert bits(found) == undisturbed
    del formula[:]
    assert bits(run({"x": Does(from_one_thread)}, tmp_path / "j")) == undisturbed
    assert len(formula) < 12 or after < 100


def from_one_thread(evaluate):
    return {"bits": np.stack([evaluate.sample([0.1 * k, evaluate([k, 0.5])], 4) for k in range(6)])}


# killed ---------------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
import numpy as np
sys.path.insert(0, {tests!r})
import jaxsim as js
import test_journal as t

def evaluate(rows, values, want="value"):
    waves = np.sin(values + np.arange(values.shape[1]))
    if want == "probabilities":
        return np.abs(np.stack([waves[:, 0], waves[:, 1], 0 * waves[:, 0], waves[:, 0] ** 2], 1))
    return waves.sum(1).astype(np.float32)

js.evaluate, left, true_write = evaluate, [{left}], os.write

def write(file, data):
    left[0] -= len(data)
    if left[0] < 0:
        true_write(file, data[: left[0]])
        os.kill(os.getpid(), signal.SIGKILL)
    return true_write(file, data)

os.write = write
t.run(t.killed_programs(), {path!r})
"""


def killed_programs():
    return {
        "cobyla": VQE(PAIR, FIELD, optimizer=scipy_minimize("COBYLA", maxiter=25)),
        "samples": Does(from_one_thread),
    }


@pytest.mark.parametrize(
    "left", [700, *(pytest.param(k, marks=pytest.mark.slow) for k in (1, 150, 1203, 2500))]
)
def test_killed_in_the_middle_of_a_write(tmp_path, formula, left):
    undisturbed = bits(run(killed_programs()))
    path = str(tmp_path / "j")
    script = KILLED.format(tests=os.path.dirname(__file__), left=left, path=path)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    del formula[:]
    assert bits(run(killed_programs(), path)) == undisturbed
    assert sum(formula) < 25 + 12 or left < 200


# the end of time ------------------------------------------------------------------------------------------


def endless(evaluate):
    for k in range(10**9):
        evaluate([k, 0.5])


@pytest.mark.parametrize(
    "config", [BatchConfig(), BatchConfig("off"), BatchConfig(max_concurrent_programs=2)]
)
def test_a_deadline_ends_a_run_with_what_there_is(formula, config):
    made = {"quick": Does(short), **{k: Does(endless) for k in range(3)}}
    ended = run(made, config=config, deadline=time.monotonic() + 0.6)
    quick, *others = ended.outcomes()
    assert ended.out_of_time
    assert ended.cancelled
    assert quick.status == "completed"
    assert {o.status for o in others} == {"cancelled"}
    assert others[0].evaluations == len(others[0].history) > 10
    assert not ended.interrupted


def test_a_deadline_that_has_passed_begins_nothing(formula):
    ended = run({k: Does(endless) for k in range(3)}, deadline=time.monotonic() - 1)
    assert ended.out_of_time
    assert [(o.status, o.evaluations) for o in ended.outcomes()] == [("cancelled", 0)] * 3
    assert formula == []


def test_a_deadline_wakes_those_who_wait(formula):
    """One waits in evaluate for another that is busy; it gets Cancelled."""
    told, release = [], threading.Event()

    def waits(evaluate):
        try:
            evaluate(PLACE)
        except Cancelled:
            told.append(time.monotonic())
            release.set()
            raise

    ended = run(
        {"waits": Does(waits), "busy": Does(lambda evaluate: release.wait(30) and evaluate(PLACE))},
        deadline=time.monotonic() + 0.1,
    )
    assert [o.status for o in ended.outcomes()] == ["cancelled", "cancelled"]
    assert len(told) == 1


def test_a_deadline_that_does_not_come_changes_nothing(formula):
    ended = run({"x": Does(short)}, deadline=time.monotonic() + 1000)
    assert not ended.out_of_time
    assert bits(ended) == bits(run({"x": Does(short)}))


def test_what_was_begun_before_the_deadline_is_finished_by_later_runs(tmp_path, formula):
    def long(evaluate):
        x = evaluate.initial_parameters
        for _ in range(60):
            time.sleep(0.002)
            x = x - 0.1 * evaluate(x) + 0.01 * evaluate.sample(x, 1)[0]
        return {"parameters": x}

    made = {k: Does(long) for k in range(3)}
    undisturbed, runs = bits(run(made)), 0
    while True:
        # never so short that nothing new is reached
        ended = run(made, tmp_path / "j", deadline=time.monotonic() + 0.2 + 0.3 * runs)
        runs += 1
        if not ended.out_of_time:
            break
    assert runs > 1
    assert bits(ended) == undisturbed


def test_a_run_is_cancelled_also_while_it_repeats_old_answers(tmp_path, formula):
    run({"x": Does(endless)}, tmp_path / "j", deadline=time.monotonic() + 0.2)
    rows, half_way = len(formula), threading.Event()
    assert rows > 20

    def slow(evaluate):
        for k in range(10**9):
            if k == 10:
                half_way.set()
                time.sleep(0.1)
            evaluate([k, 0.5])

    def cancel_half_way(made):
        threading.Thread(target=lambda: (half_way.wait(), made.cancel())).start()

    ended = run({"x": Does(slow)}, tmp_path / "j", start=cancel_half_way)
    assert [o.status for o in ended.outcomes()] == ["cancelled"]
    assert ended.outcomes()[0].evaluations == 10
