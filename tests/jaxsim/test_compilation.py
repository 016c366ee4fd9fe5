"""Kernels made ahead of time, kept on disk, and run side by side."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import jax
import numpy as np
import pytest

import jaxsim as js
from jaxsim import Circuit, ParameterVector, X, Z, ansatz
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


def test_blocks_run_side_by_side_with_the_settings_of_the_caller():
    """A thread has JAX contexts of its own: 64-bit numbers would be lost."""
    seen = set()

    def double(x):
        jax.debug.callback(lambda: seen.add(threading.get_ident()))
        return 2 * x

    with jax.enable_x64(True):
        sent = submit_blocks(jax.jit(double), [(np.float64(1 / 3 + k),) for k in range(6)], "doubled")
        results = [future.result() for future in sent]
    assert [float(r) for r in results] == [2 * (1 / 3 + k) for k in range(6)]
    assert {r.dtype for r in results} == {np.dtype("float64")}


def test_errors_of_a_block_reach_the_caller():
    def refuse(x):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        [f.result() for f in submit_blocks(refuse, [(1,), (2,)], "refused")]
