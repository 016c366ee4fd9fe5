"""A wheel, built through the source distribution, works outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).parent.parent

SMOKE = """
import sys
import jax, numpy as np
import ensembles, jaxsim as js
from ensembles import VQE, ProgramEnsemble, adam
from ensembles.problems import MaxCut, molecule, tfim
from jaxsim import Circuit, Z

for package in (js, ensembles):
    assert package.__file__.startswith(sys.prefix), package.__file__

bell = Circuit(2).h(0).cx(0, 1)
np.testing.assert_allclose(js.probabilities(bell), [0.5, 0, 0, 0.5], atol=1e-6)
assert abs(float(js.expectation(bell, Z(0) @ Z(1))) - 1) < 1e-6

hydrogen = molecule("H2", bond_length=0.735)
assert abs(hydrogen.exact_energy - (-1.137306)) < 1e-5
assert MaxCut([(0, 1), (1, 2)]).best().value == 2

ansatz = js.ansatz.hardware_efficient(2, layers=1)
ensemble = ProgramEnsemble({"a": VQE(ansatz, tfim(2), optimizer=adam(0.1), steps=5)})
assert len(ensemble.run(seed=1, progress=False)) == 1
print("smoke test passed")
"""


def run(*command, cwd, **variables):
    arguments = [str(c) for c in command]
    environment = {**os.environ, **variables}
    done = subprocess.run(arguments, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{arguments} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", out, CHECKOUT, cwd=out)
    (path,) = out.glob("*.whl")
    return path


def test_the_wheel_holds_types_and_data(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {"jaxsim/py.typed", "ensembles/py.typed"} <= set(names)
    data = {p.relative_to(CHECKOUT).as_posix() for p in (CHECKOUT / "ensembles/problems/data").glob("*.npz")}
    assert data and data <= set(names)
    assert not [n for n in names if n.startswith(("tests", "examples", "benchmarks", "scripts"))]
    assert any(n.endswith("licenses/LICENSE") for n in names)


def test_the_installed_wheel_passes_a_smoke_test(wheel, tmp_path):
    """Our packages come from the wheel, the dependencies from the environment of the tests."""
    environment = tmp_path / "venv"
    run(sys.executable, "-m", "venv", environment, cwd=tmp_path)
    python = environment / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=tmp_path)
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip()
    (Path(site) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    said = run(python, "-c", SMOKE, cwd=elsewhere, ENSEMBLES_PROGRESS="0", PYTHONPATH="")
    assert "smoke test passed" in said
