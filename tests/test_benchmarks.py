"""Benchmarks run, at small sizes; and bars are read off the figures that they name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=BENCHMARKS,
        env={**os.environ, "PYTHONPATH": str(BENCHMARKS.parent)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


READ = """
from bars import BARS, reached, verdict
bar = next(bar for bar in BARS if bar.workload == "overhead")
figures = {"on_top_of_kernel_microseconds": 8.0, "on_top_microseconds": 60.0}
records = [{"workload": "overhead", "contestant": "jaxsim", "round": k, "figures": figures} for k in range(3)]
print(reached(bar, records), verdict(bar, reached(bar, records)))
"""


def test_the_call_is_judged_over_the_kernel_that_it_runs():
    """Not over a kernel of the caller's own."""
    assert run("-c", READ).split() == ["8.0", "reached"]


@pytest.mark.slow
def test_the_mode_for_gpus(tmp_path: Path):
    output = tmp_path / "trial.json"
    run("gpu.py", "--small", "--only", "ensemble", "--output", str(output))
    (case,) = json.loads(output.read_text())["cases"]
    assert "error" not in case and case["sets"] == 5 and 0 < case["warm"] < case["first"]
    assert output.with_suffix(".md").exists()


@pytest.mark.slow
def test_the_run_over_the_workloads(tmp_path: Path):
    output = tmp_path / "trial.json"
    run("run.py", "--quick", "--no-peers", "--only", "second", "--output", str(output))
    saved = json.loads(output.read_text())
    assert not saved["failures"]
    (record,) = saved["records"]
    assert record["workload"] == "second" and record["figures"]["compilations"] == 0
