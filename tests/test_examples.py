"""Every example runs, at reduced size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"

SIZES = {
    "custom_loss": "{out} --lengths 3 --steps 5 --starts 1",
    "h2_curve": "{out} --lengths 3 --starts 2 --steps 10",
    "hyperparameter_sweep": "{out} --seeds 2 --steps 5",
    "jobs": "",
    "maxcut_partition": "{out} --nodes 60 --qubits 6 --steps 10",
    "qaoa_depth": "{out} --layers 2 --graphs 2",
    "qnn": "{out} --steps 5 --seeds 1",
    "scipy_program": "--small",
    "teleportation": "",
    "time_evolution": "{out} --times 20",
}


def test_every_example_is_run() -> None:
    # What `make demo` runs has tests of its own.
    assert {path.stem for path in EXAMPLES.glob("*.py")} - {"main_job"} == set(SIZES)


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZES)
def test_example_runs(name: str, tmp_path: Path) -> None:
    arguments = SIZES[name].format(out=tmp_path).split()
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py"), *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    if "{out}" in SIZES[name]:
        assert list(tmp_path.glob("*.png"))
