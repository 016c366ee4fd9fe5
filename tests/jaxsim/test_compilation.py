"""Kernels made ahead of time, kept on disk, and run side by side."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest

import jaxsim as js
from jaxsim import Circuit, ParameterVector, X, Z, ansatz, threads
from jaxsim.compilation import machine_fingerprint
from jaxsim.threads import submit_blocks

CACHED = """
import sys, numpy as np, jaxsim as js
used = js.enable_compilation_cache(sys.argv[1])
f = js.compile(js.ansatz.hardware_efficient(2, 1), js.Z(0))
print(used, float(f.value_and_grad(np.zeros(4))[0]), len(list(used.iterdir())))
"""


def test_kernels_are_kept_on_disk(tmp_path):
    def run() -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", CACHED, str(tmp_path)], capture_output=True, text=True, check=True
        )
        return done.stdout.split()

    first, second = run(), run()
    assert first[0] == second[0] and machine_fingerprint() in first[0]
    assert first[0].startswith(str(tmp_path))
    assert float(first[1]) == float(second[1]) == pytest.approx(1.0)
    assert int(first[2]) > 0 and first[2] == second[2]  # the second process made no new kernels
    assert os.stat(first[0]).st_mode & 0o077 == 0  # what is in it will be run


def test_a_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        js.enable_compilation_cache(tmp_path / "file")


def test_after_a_warmup_nothing_compiles(compilations):
    observable = sum(X(q) for q in range(3)) + Z(0) @ Z(1) + Z(1) @ Z(2)
    js.warmup(3)
    circuit = ansatz.hardware_efficient(3, 4)
    row = js.lower(circuit, observable)
    with compilations() as count:
        js.compile(circuit, observable).value_and_grad(np.ones(24))
        js.evaluate(js.stack([row] * 5), np.ones((5, 24)), "value_and_grad")
    assert count.total == 0


def test_a_warmup_in_the_background(compilations):
    t = ParameterVector("t", 3)
    circuit, observable = Circuit(3).u(*t, 0).cx(0, 1).cz(1, 2), Z(2) + X(0)
    future = js.warmup(circuit, observable, wants=["value"], batches=False, background=True)
    assert future is not None and future.result(timeout=120) is None
    with compilations() as count:
        js.compile(circuit, observable)(np.ones(3))
    assert count.total == 0


UNDER_WAY = """
import numpy as np, jaxsim as js
from jax import monitoring
compiled = []
monitoring.register_event_duration_secs_listener(lambda event, _, **about: compiled.append(event))
c, o = js.ansatz.hardware_efficient(2, 1), js.Z(0)
future = js.warmup(c, o, wants=["value"], batches=False, background=True)
js.compile(c, o)(np.zeros(4))
future.result()
print(compiled.count("/jax/core/compile/backend_compile_duration"))
"""


def test_a_call_waits_for_a_warmup_in_the_background():
    """What is being compiled is not compiled again; and in a fresh process there is nothing beside the one kernel."""
    done = subprocess.run([sys.executable, "-c", UNDER_WAY], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1"]


def test_a_warmup_of_several_depths(compilations):
    """Deeper circuits have more parameters, and more room for them."""
    observable = X(0) + X(1) + Z(0) @ Z(1)
    js.warmup(2, layers=(2, 6), wants=["value"], batches=False, engine="layered")
    with compilations() as count:
        for layers in (2, 6, 3, 7):
            circuit = ansatz.hardware_efficient(2, layers)
            js.compile(circuit, observable, engine="layered")(np.ones(circuit.num_parameters))
    assert count.total == 0


def test_a_warmup_for_the_state_of_one_circuit(compilations):
    circuit = Circuit(2).ry(ParameterVector("t", 2), range(2)).cx(0, 1)
    js.warmup(circuit, Z(0), wants=["statevector"], batches=False)
    with compilations() as count:
        js.compile(circuit)(np.ones(2))
    assert count.total == 0


REFUSED = {
    "a negative number": ((-3,), {}, ValueError, "a number of qubits from 1 on, but -3 was given"),
    "none": ((0,), {}, ValueError, "from 1 on, but 0 was given"),
    "True": ((True,), {}, TypeError, "a number of qubits as an integer, but True was given"),
    "a string": (("10",), {}, TypeError, "as an integer, but '10' was given"),
    "a single want": ((2,), {"wants": "value"}, TypeError, "wants is a list, .* but 'value' was given"),
    "nothing": ((2,), {"wants": []}, ValueError, r"but \[\] was given"),
    "samples": ((2,), {"wants": ["samples"]}, ValueError, "wants may name 'value', .* but .'samples'. was given"),
    "blocks only": (
        (2,), {"wants": ["probabilities"], "batches": False}, ValueError, "with batches=False, wants may name 'value'"
    ),
    "no layers": ((2,), {"layers": (4, 0)}, ValueError, r"layers is a number from 1 on, .* but \(4, 0\) was given"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_warmup_refuses(what):
    arguments, options, error, sentence = REFUSED[what]
    with pytest.raises(error, match=sentence):
        js.warmup(*arguments, **options)


# side by side -----------------------------------------------------------------------------------------------


@pytest.fixture
def two_cores(monkeypatch):
    """Two threads for blocks, whatever the machine has."""
    with ThreadPoolExecutor(2) as pool:
        monkeypatch.setattr(threads, "_cores", lambda: 2)
        monkeypatch.setattr(threads, "_pool", lambda: pool)
        yield


@pytest.mark.usefixtures("two_cores")
def test_blocks_run_side_by_side_with_the_settings_of_the_caller():
    """Two blocks are inside at once; and a thread has JAX contexts of its own: 64-bit numbers would be lost."""
    together = threading.Barrier(2)

    def meet(k):
        if k > 0:  # the first one is run alone, to be compiled
            together.wait(timeout=60)

    def double(k, x):
        jax.debug.callback(meet, k)
        return 2 * x

    with jax.enable_x64(True):
        sent = submit_blocks(jax.jit(double), [(k, np.float64(1 / 3 + k)) for k in range(3)], "doubled")
        results = [future.result(timeout=60) for future in sent]
        jax.effects_barrier()
    assert not together.broken
    assert [float(r) for r in results] == [2 * (1 / 3 + k) for k in range(3)]
    assert {r.dtype for r in results} == {np.dtype("float64")}


def test_errors_of_a_block_reach_the_caller():
    def refuse(x):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        [f.result() for f in submit_blocks(refuse, [(1,), (2,)], "refused")]
