"""The end of a run: what may go wrong there loses nothing; and a run outlives neither its script nor Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest

import ensembles.checkpoint
import ensembles.runs
from ensembles import VQE, HostedProgram, ProgramEnsemble, adam
from ensembles.checkpoint import Checkpoint
from ensembles.interrupts import interrupts_wait
from ensembles.problems import tfim
from jaxsim import ansatz

CIRCUIT = ansatz.hardware_efficient(2, 1)
FILES = {"programs.checkpoint", "run.lock"}


def vqe(steps=3, kind=VQE, h=1.0):
    return kind(CIRCUIT, tfim(2, h=h), optimizer=adam(0.1), steps=steps)


def ctrl_c(*ignored):
    signal.raise_signal(signal.SIGINT)


# what programs add to their results -----------------------------------------------------------------------------


class Table(VQE):
    """Adds a table that takes too much memory for one program."""

    @classmethod
    def extras(cls, programs, values, parameters):
        if any(program.hamiltonian == tfim(2, h=3) for program in programs):
            raise MemoryError("a table of 2**40 numbers")
        return [{"table": value} for value in values]


class Impatient(VQE):
    """Somebody presses Ctrl-C while it computes what it adds."""

    @classmethod
    def extras(cls, programs, values, parameters):
        ctrl_c()
        return [{"table": value} for value in values]


def test_extras_that_fail_are_missing_for_their_program_only():
    made = {h: vqe(kind=Table, h=h) for h in (1, 2, 3, 4)}
    with pytest.warns(RuntimeWarning, match="results of '3' lack .*: MemoryError: a table") as caught:
        result = ProgramEnsemble(made).run(progress=False)
    assert len(caught) == 1
    assert {h: r.status for h, r in result.items()} == dict.fromkeys(made, "completed")
    assert {h: r.extra for h, r in result.items()} == {
        h: {} if h == 3 else {"table": r.value} for h, r in result.items()
    }


def test_ctrl_c_while_extras_are_computed_returns_the_result():
    made = {"table": vqe(kind=Table), "impatient": vqe(kind=Impatient)}
    with pytest.warns(RuntimeWarning, match="results of 'impatient' lack .*Ctrl-C came"):
        result = ProgramEnsemble(made).run(progress=False)
    assert {r.status for r in result.values()} == {"completed"}
    assert result["table"].extra and not result["impatient"].extra


# Ctrl-C while a run is saved --------------------------------------------------------------------------------------


class Waits(HostedProgram):
    def run(self, evaluate):
        evaluate(evaluate.initial_parameters)


def test_ctrl_c_inside_the_last_saving_loses_nothing(tmp_path, monkeypatch):
    made = {"c": vqe(), "h": Waits(CIRCUIT, tfim(2))}
    monkeypatch.setattr(ensembles.checkpoint.os, "fsync", ctrl_c)
    result = ProgramEnsemble(made).run(progress=False, checkpoint_dir=tmp_path)
    monkeypatch.undo()
    assert {name: r.status for name, r in result.items()} == {"c": "completed", "h": "cancelled"}
    assert {path.name for path in tmp_path.iterdir()} == {*FILES, "hosted.journal"}
    again = ProgramEnsemble(made).run(progress=False, checkpoint_dir=tmp_path)
    assert again == ProgramEnsemble(made).run(progress=False)


def test_ctrl_c_inside_a_saving_ends_the_run_after_it(tmp_path, monkeypatch):
    monkeypatch.setattr(ensembles.checkpoint.os, "fsync", ctrl_c)
    options = {"callback": lambda update: None, "callback_steps": 2, "checkpoint_calls": 1}
    result = ProgramEnsemble([vqe(6)]).run(progress=False, checkpoint_dir=tmp_path, **options)
    assert result[0].status == "cancelled" and 0 < result[0].steps < 6
    assert {path.name for path in tmp_path.iterdir()} == FILES


def test_a_saving_that_is_cut_leaves_no_file(tmp_path, monkeypatch):
    def cut(file):
        raise KeyboardInterrupt

    checkpoint = Checkpoint(tmp_path, 10.0, None)
    monkeypatch.setattr(ensembles.checkpoint.os, "fsync", cut)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save({"a": np.zeros(2)}, 1)
    assert list(tmp_path.iterdir()) == []


def test_handlers_of_ones_own_hear_of_ctrl_c_afterwards():
    heard = []
    before = signal.signal(signal.SIGINT, lambda *given: heard.append("mine"))
    try:
        with interrupts_wait(lambda: heard.append("never")):
            ctrl_c()
            heard.append("done")
        ctrl_c()
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == ["done", "mine", "mine"]


# scripts that end -------------------------------------------------------------------------------------------------


@pytest.fixture
def ended_script(monkeypatch):
    """As if the main thread had ended."""
    ended = threading.Thread()
    monkeypatch.setattr(ensembles.runs.threading, "main_thread", lambda: ended)


def test_a_run_that_nobody_joins_is_cancelled_and_says_so(ended_script, tmp_path):
    made = {"c": vqe(10**7), "h": Waits(CIRCUIT, tfim(2))}
    with pytest.warns(RuntimeWarning, match="script ended before this run did"):
        result = ProgramEnsemble(made).start(progress=False, checkpoint_dir=tmp_path).join(60)
    assert {r.status for r in result.values()} == {"cancelled"}
    assert (tmp_path / "programs.checkpoint").exists()


def test_what_python_refuses_at_the_end_of_a_script_is_no_silent_error(tmp_path, monkeypatch):
    def refused(run):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(ensembles.runs.HostedRun, "run", refused)
    made = {"c": vqe(), "h": Waits(CIRCUIT, tfim(2))}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        handle = ProgramEnsemble(made).start(progress=False, checkpoint_dir=tmp_path)
        with pytest.raises(RuntimeError, match="at interpreter shutdown"):
            handle.join(60)
    assert ["script ended before this run did" in str(w.message) for w in caught] == [True]
    assert (tmp_path / "programs.checkpoint").exists()


def test_a_run_that_ends_in_time_says_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ProgramEnsemble([vqe()]).start(progress=False).join(60)
    for thread in threading.enumerate():
        if thread.name == "ensembles watch":
            thread.join(10)
            assert not thread.is_alive()


SCRIPT = """
import sys, threading
from ensembles import VQE, HostedProgram, ProgramEnsemble, adam
from ensembles.problems import tfim
from jaxsim import ansatz

circuit, begun = ansatz.hardware_efficient(2, 1), threading.Event()

class Endless(HostedProgram):
    def run(self, evaluate):
        while True:
            evaluate(evaluate.initial_parameters)
            begun.set()

made = {
    "compiled": {k: VQE(circuit, tfim(2), optimizer=adam(0.01), steps=10**7) for k in range(40)},
    "hosted": {k: Endless(circuit, tfim(2)) for k in range(40)},
    "mixed": {"c": VQE(circuit, tfim(2), optimizer=adam(0.01), steps=10**7), "h": Endless(circuit, tfim(2))},
}[sys.argv[1]]
told = None if sys.argv[1] == "hosted" else lambda update: begun.set()
handle = ProgramEnsemble(made).start(progress=False, checkpoint_dir=sys.argv[2], callback=told)
if sys.argv[1] != "mixed":
    begun.wait(60)
print("the end", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind, file",
    [
        ("compiled", "programs.checkpoint"),
        ("hosted", "hosted.journal"),
        ("mixed", "programs.checkpoint"),
    ],
)
def test_scripts_end_in_good_time(tmp_path, kind, file):
    """With the exit code of the script, a word about the run, and what it had saved."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, kind, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0 and done.stdout == "the end\n"
    assert done.stderr.count("script ended before this run did") == 1 and "Traceback" not in done.stderr
    assert (tmp_path / file).exists()
