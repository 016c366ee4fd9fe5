"""Ensembles of SciPy programs: this library's hosted driver and Divi, on QAOA for MaxCut.

    python benchmarks/divi.py                       # 32 graphs of 8 nodes, three rounds
    python benchmarks/divi.py --divi PATH/python    # an interpreter that has qoro-divi; else one is installed
    python benchmarks/divi.py --no-divi             # this library alone

Both train 32 QAOA programs (3-regular graphs, p = 2) with SciPy's own COBYLA or Nelder-Mead, each from its own
default start, and draw 1000 samples at the end; the column "rows" says how many circuits that was. Divi's 20
iterations of COBYLA are 30 evaluations, which is what SciPy's `maxiter` counts, so ours gets maxiter=30; the row
"COBYLA, maxiter=20" is for information. Ours has the library greenlet if the interpreter has it (the extra
`[hosted]`). Every measurement is a fresh process, and the two take turns. "process" is the time from launching the
interpreter to the first result, imports and compilation included; "first" that of the first run alone; "warm" the
median of five further runs. A run is everything from the graphs to results: programs are built anew.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PROGRAMS, NODES, LAYERS, SHOTS, WARM_RUNS = 32, 8, 2, 1000, 5

CASES = {
    "COBYLA": {"method": "COBYLA", "ours": 30, "divi": 20},
    "Nelder-Mead": {"method": "Nelder-Mead", "ours": 21, "divi": 20},
    "COBYLA, maxiter=20": {"method": "COBYLA", "ours": 20, "divi": 20},
}
"""Divi gives Nelder-Mead one iteration more than it is asked for."""

BARS = {("COBYLA", "warm"): 4.0, ("COBYLA", "process"): 2.0, ("Nelder-Mead", "warm"): 15.0}


# in the process that is measured ----------------------------------------------------------------------------


def _graphs() -> list[list[tuple[int, int]]]:
    import networkx as nx

    return [list(nx.random_regular_graph(3, NODES, seed=k).edges) for k in range(PROGRAMS)]


def _ours(graphs: Any, layers: int, method: str, iterations: int, shots: int) -> Callable[[], Any]:
    from ensembles import QAOA, ProgramEnsemble, scipy_minimize
    from ensembles.problems import MaxCut

    class Sampled(QAOA):
        """QAOA with samples at the end."""

        shares_thread = True

        def run(self, evaluate: Any) -> Any:
            found = super().run(evaluate)
            return {**found, "samples": evaluate.sample(found["parameters"], shots)}

    def run() -> tuple[int, list[float]]:
        optimizer = scipy_minimize(method, maxiter=iterations)
        programs = {
            f"g{k}": Sampled(MaxCut(edges), layers=layers, optimizer=optimizer)
            for k, edges in enumerate(graphs)
        }
        result = ProgramEnsemble(programs).run(progress=False)
        return result.stats.rows, [r.value for r in result.values()]

    return run


def _divi() -> Callable[..., Callable[[], Any]]:
    # By its path: with this folder among the places to look for modules, "divi" would be this file.
    sys.path[:] = [place for place in sys.path if Path(place).resolve() != HERE.resolve()]
    spec = importlib.util.spec_from_file_location("on_divi", HERE / "contestants" / "on_divi.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.prepare


def work(who: str, case: str) -> dict[str, Any]:
    """One run, then a few more."""
    started = time.perf_counter()
    prepare = _divi() if who == "divi" else _ours
    graphs = _graphs()
    row = CASES[case]
    run = prepare(graphs, LAYERS, row["method"], row[who], SHOTS)
    imported = time.perf_counter()
    times = []
    for k in range(1 + WARM_RUNS):
        begun = time.perf_counter()
        rows, values = run()
        times.append(time.perf_counter() - begun)
        if not k:
            print("first", flush=True)  # the parent's clock stops here
    return {
        "import": imported - started,
        "first": times[0],
        "warm": statistics.median(times[1:]),
        "rows": rows,
        "mean value": statistics.fmean(values),
    }


# the one that measures --------------------------------------------------------------------------------------


def measure(python: Path, who: str, case: str) -> dict[str, Any]:
    """A case in a fresh process."""
    dropped = ("JAX_", "XLA_", "OMP_", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    own = {"PYTHONPATH": str(HERE.parent)} if who == "ours" else {}
    begun = time.perf_counter()
    with subprocess.Popen(
        [str(python), str(Path(__file__)), "--work", who, case],
        stdout=subprocess.PIPE,
        env={**kept, **own, "JAX_PLATFORMS": "cpu", "DIVI_DISABLE_PROGRESS": "1"},
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        for line in lines:
            if line.strip() == "first":
                break
        until_first = time.perf_counter() - begun
        said = [line for line in lines if line.startswith("{")]
    if process.returncode or not said:
        raise SystemExit(f"{who}, {case}: the process failed (exit status {process.returncode}).")
    return {**json.loads(said[-1]), "process": until_first}


def show(records: list[dict[str, Any]]) -> None:
    """Medians over the rounds, and ratios within them."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{PROGRAMS} QAOA programs, {NODES} nodes, p={LAYERS}, {SHOTS} samples at the end")
    for head in ("", "", "rows", "mean value", "import", "first", "warm", "process"):
        table.add_column(head, justify="right" if head else "left")
    for case in dict.fromkeys(r["case"] for r in records):
        by = {who: [r for r in records if r["case"] == case and r["who"] == who] for who in ("ours", "divi")}
        for who, own in by.items():
            if own:
                shown = [
                    f"{statistics.median(r[k] for r in own):.3f} s"
                    for k in ("import", "first", "warm", "process")
                ]
                table.add_row(case, who, str(own[0]["rows"]), f"{own[0]['mean value']:.4f}", *shown)
        if all(by.values()):
            ratios = []
            for quantity in ("first", "warm", "process"):
                pairs = zip(by["divi"], by["ours"], strict=True)
                ratio = statistics.median(theirs[quantity] / ours[quantity] for theirs, ours in pairs)
                bar = BARS.get((case, quantity))
                ratios.append(f"{ratio:.2f} x" + (f" (bar {bar:g})" if bar else ""))
            table.add_row("", "divi / ours", "", "", "", *ratios)
    Console(soft_wrap=True).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", nargs=2, metavar=("WHO", "CASE"), help=argparse.SUPPRESS)
    parser.add_argument("--divi", type=Path, help="an interpreter that has qoro-divi")
    parser.add_argument("--no-divi", action="store_true", help="this library alone")
    parser.add_argument("--only", action="append", choices=CASES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=HERE / "results" / "divi.json")
    options = parser.parse_args()
    if options.work:
        print(json.dumps(work(*options.work)))
        return
    import machine
    from environments import python_of

    pythons = {"ours": Path(sys.executable)}
    if not options.no_divi:
        pythons["divi"] = options.divi or python_of("divi")
    records = []
    for number in range(options.rounds):
        for case in options.only or CASES:
            order = list(pythons) if number % 2 else list(reversed(pythons))
            records += [
                {"round": number, "who": who, "case": case, **measure(pythons[who], who, case)}
                for who in order
            ]
    show(records)
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text(json.dumps({"machine": machine.described(), "records": records}, indent=1))
    print(f"saved {options.output}")


if __name__ == "__main__":
    main()
