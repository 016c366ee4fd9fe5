"""One workload by one contestant in this process: prints the measurements as a line of JSON.

    python benchmarks/worker.py WORKLOAD CONTESTANT [--small] [--engine NAME]

`first` is the time from data to the first result: the circuit is built, the function compiled and called. Imports are
timed apart.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import time
from typing import Any

import numpy as np

from contestants import CONTESTANTS, OURS
from measurement import peak_bytes, seconds_of, versions, warm_times
from workloads import WORKLOADS


def answer_of_first_set(result: Any) -> dict[str, Any]:
    """Value and gradient of set 0, for comparison."""
    values, gradients = result
    value = None if values is None else float(np.ravel(values)[0])
    gradient = None if gradients is None else np.atleast_2d(gradients)[0].tolist()
    return {"value": value, "gradient": gradient}


def measure(workload_name: str, contestant_name: str, small: bool, engine: str) -> dict[str, Any]:
    workload, contestant = WORKLOADS[workload_name], CONTESTANTS[contestant_name]
    problem = (workload.small if small else workload.problem)()
    importing, module = seconds_of(lambda: importlib.import_module(f"contestants.{contestant.module}"))
    record: dict[str, Any] = {
        "workload": workload_name,
        "contestant": contestant_name,
        "import": importing,
        "versions": versions(contestant.distributions),
    }
    ours = contestant_name == OURS
    if workload.want not in ("value", "value_and_grad"):
        figures = importlib.import_module("figures").FIGURES[workload.want]
        return {**record, "figures": figures(problem, engine)}
    options = {**contestant.options, **({"engine": engine} if ours else {})}
    started = time.perf_counter()
    call = module.prepare(problem, workload.want, **options)
    record["prepare"] = time.perf_counter() - started
    result = call()
    record["first"] = time.perf_counter() - started
    times = warm_times(call)
    record.update(warm=statistics.median(times), calls=len(times), sets=problem.sets)
    record.update(answer_of_first_set(result), peak_bytes=peak_bytes())
    if ours:
        record["keys"] = module.keys_of(problem, engine)
    return record


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("contestant", choices=CONTESTANTS)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--engine", default="auto")
    options = parser.parse_args()
    print(json.dumps(measure(options.workload, options.contestant, options.small, options.engine)))


if __name__ == "__main__":
    main()
