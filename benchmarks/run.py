"""Times this library and its peers in one run, and prints and saves the ratios.

    python benchmarks/run.py                    # everything: five rounds, about an hour on two cores
    python benchmarks/run.py --only ensemble    # one workload (may be given several times)
    python benchmarks/run.py --quick            # small sizes, one round: does everything run and agree?
    python benchmarks/run.py --no-peers         # this library alone
    python benchmarks/run.py --list             # workloads and who takes part

Every measurement is a fresh process without a persistent compilation cache; in a round every contestant has its turn
once, so that a change of the machine's load hits all of them. Every peer has its own virtual environment, made at the
first run (see environments.py). What cannot be installed, fails or disagrees with us is reported as such.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

import machine
import report
from bars import Record
from contestants import CONTESTANTS, OURS
from environments import InstallationError, python_of
from workloads import WORKLOADS

HERE = Path(__file__).parent
TIMEOUT = 1800.0
"""Seconds after which a process is given up."""

console = Console(soft_wrap=True)


class MeasurementError(Exception):
    """A process failed; the text is the end of what it said."""


def measure(python: Path, workload: str, contestant: str, options: argparse.Namespace) -> Record:
    """One workload by one contestant in a fresh process."""
    command = [str(python), str(HERE / "worker.py"), workload, contestant, "--engine", options.engine]
    started = time.perf_counter()
    try:
        done = subprocess.run(
            [*command, *(["--small"] if options.quick else [])],
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT,
            env=_environment(ours=contestant == OURS),
        )
    except subprocess.TimeoutExpired:
        raise MeasurementError(f"no result within {TIMEOUT:g} s") from None
    process = time.perf_counter() - started
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise MeasurementError(lines[-1])
    return {**json.loads(done.stdout.splitlines()[-1]), "process": process}


def _environment(*, ours: bool) -> dict[str, str]:
    """The process's variables: all cores for everybody, the CPU for JAX, no caches and flags from outside."""
    dropped = ("JAX_", "XLA_", "OMP_", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    own = {"PYTHONPATH": str(HERE.parent)} if ours else {}
    return {**kept, **own, "JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": str(machine.cores())}


def deviation(answer: Record, ours: Record) -> float | None:
    """The largest difference of value and gradient of set 0, relative where they exceed 1."""
    pairs = [(answer[k], ours[k]) for k in ("value", "gradient") if None not in (answer.get(k), ours.get(k))]
    differences = [
        np.max(np.abs(np.subtract(a, b))) / max(1.0, np.max(np.abs(b)))
        if np.shape(a) == np.shape(b)
        else float("inf")
        for a, b in pairs
    ]
    return float(max(differences)) if differences else None


def compared(records: Sequence[Record]) -> None:
    """Replaces the answers of a round by their deviations from ours."""
    ours = {record["workload"]: record for record in records if record["contestant"] == OURS}
    own = {name: {k: record.get(k) for k in ("value", "gradient")} for name, record in ours.items()}
    for record in records:
        if record["workload"] in own:
            record["deviation"] = deviation(record, own[record["workload"]])
        record.pop("gradient", None)


def turns(workloads: Sequence[str], peers: bool, number: int) -> Iterator[tuple[str, str]]:
    """Who measures what in a round; who comes first changes from round to round."""
    for name in workloads:
        workload = WORKLOADS[name]
        if workload.rounds is not None and number >= workload.rounds:
            continue
        taking_part = [c for c in workload.contestants if peers or c == OURS]
        start = number % len(taking_part)
        yield from ((name, c) for c in taking_part[start:] + taking_part[:start])


def interpreters(workloads: Sequence[str], peers: bool) -> tuple[dict[str, Path], list[dict[str, str]]]:
    """An interpreter for every contestant, and who has none because the installation failed."""
    wanted = dict.fromkeys(c for name in workloads for c in WORKLOADS[name].contestants if peers or c == OURS)
    found: dict[str, Path] = {}
    errors: dict[str, str] = {}
    for environment in dict.fromkeys(CONTESTANTS[c].environment for c in wanted):
        try:
            found[environment] = Path(sys.executable) if not environment else python_of(environment)
        except InstallationError as error:
            console.print(f"{environment}: not installed: {error}", markup=False)
            errors[environment] = f"not installed: {error}"
    failures = [
        {"workload": "all", "contestant": c, "error": errors[CONTESTANTS[c].environment]}
        for c in wanted
        if CONTESTANTS[c].environment in errors
    ]
    pythons = {c: found[e] for c in wanted if (e := CONTESTANTS[c].environment) in found}
    return pythons, failures


def run(options: argparse.Namespace) -> dict[str, Any]:
    """All rounds; saved after each of them."""
    workloads = options.only or list(WORKLOADS)
    pythons, failures = interpreters(workloads, options.peers)
    records: list[Record] = []
    versions: dict[str, dict[str, str]] = {}
    result = {
        "machine": machine.described(),
        "engine": options.engine,
        "quick": options.quick,
        "versions": versions,
        "failures": failures,
        "records": records,
    }
    failed = set()
    for number in range(options.rounds):
        this_round: list[Record] = []
        for workload, contestant in turns(workloads, options.peers, number):
            if contestant not in pythons or (workload, contestant) in failed:
                continue
            line = f"round {number + 1}/{options.rounds}  {workload:<12} {contestant:<14}"
            try:
                record = measure(pythons[contestant], workload, contestant, options)
            except MeasurementError as error:
                failed.add((workload, contestant))
                failures.append({"workload": workload, "contestant": contestant, "error": str(error)})
                console.print(f"{line} failed: {error}", markup=False)
                continue
            versions[contestant] = record.pop("versions")
            this_round.append({"round": number, **record})
            console.print(f"{line} {_said(record)}", markup=False, highlight=False)
        compared(this_round)
        records += this_round
        report.save(result, options.output)
    return result


def _said(record: Record) -> str:
    if "figures" in record:
        return ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in record["figures"].items())
    return f"first {report.seconds(record['first'])}, then {report.seconds(record['warm'])}"


def show_list() -> None:
    for name, workload in WORKLOADS.items():
        console.print(f"{name:<12} {workload.title}", highlight=False)
        console.print(f"{'':<12} {', '.join(workload.contestants)}", highlight=False)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=WORKLOADS, metavar="WORKLOAD")
    parser.add_argument("--rounds", type=int, help="5, or 1 with --quick")
    parser.add_argument("--quick", action="store_true", help="small sizes, one round")
    parser.add_argument("--no-peers", dest="peers", action="store_false", help="this library alone")
    parser.add_argument("--engine", default="auto", help="of this library")
    parser.add_argument("--output", type=Path, help="JSON file; the tables go beside it as Markdown")
    parser.add_argument("--list", action="store_true", help="workloads and contestants")
    options = parser.parse_args()
    complete = options.peers and not options.only and not options.quick
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.output = options.output or report.RESULTS / ("peers.json" if complete else "trial.json")
    return options


def main() -> int:
    options = parsed()
    if options.list:
        show_list()
        return 0
    result = run(options)
    report.show(result, console)
    console.print(f"saved {options.output} and {options.output.with_suffix('.md').name}", highlight=False)
    wrong = [r for r in result["records"] if (r.get("deviation") or 0.0) > report.TOLERANCE]
    for record in wrong:
        console.print(
            f"{record['workload']}: {record['contestant']} disagrees with us by {record['deviation']:.1e}"
        )
    ours_failed = any(failure["contestant"] == OURS for failure in result["failures"])
    return 1 if wrong or ours_failed else 0


if __name__ == "__main__":
    sys.exit(main())
