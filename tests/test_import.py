"""Importing the packages leaves the process as it was."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

OBSERVE = """
import json, logging, os, signal, sys, threading
import jax, optax, numpy, jaxtyping, rich

def state():
    named = logging.root.manager.loggerDict.items()
    loggers = {"root": logging.root, **{k: v for k, v in named if hasattr(v, "handlers")}}
    return {
        "config": {name: repr(value) for name, value in jax.config.values.items()},
        "environment": dict(os.environ),
        "signals": {s.name: repr(signal.getsignal(s)) for s in signal.Signals},
        "handlers": {name: [repr(h) for h in v.handlers] for name, v in loggers.items() if v.handlers},
        "levels": {name: logger.level for name, logger in loggers.items() if logger.level},
        "threads": sorted(t.name for t in threading.enumerate()),
        "numpy errors": numpy.geterr(),
    }

before = state()
import jaxsim, ensembles
after = state()
optional = ("matplotlib", "networkx", "qiskit", "scipy", "dask")
heavy = [m for m in optional if m in sys.modules]

# JAX refuses to change the number of CPU devices once a backend exists.
try:
    jax.config.update("jax_num_cpu_devices", 2)
    backend_free = True
except RuntimeError:
    backend_free = False
print(json.dumps({"before": before, "after": after, "heavy": heavy, "backend_free": backend_free}))
"""


@pytest.fixture(scope="module")
def observed():
    done = subprocess.run([sys.executable, "-c", OBSERVE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "what", ["config", "environment", "signals", "handlers", "levels", "threads", "numpy errors"]
)
def test_import_changes_nothing(observed, what):
    assert observed["after"][what] == observed["before"][what]


def test_import_starts_no_backend(observed):
    assert observed["backend_free"], (
        "importing created a JAX backend: something ran a jnp operation at import"
    )


def test_optional_packages_are_imported_only_when_used(observed):
    assert observed["heavy"] == []
