"""Times this library on JAX's default device, and says what share of the device's memory bandwidth it uses.

    PYTHONPATH=. python benchmarks/gpu.py            # a machine with a GPU; nothing but this library's dependencies
    PYTHONPATH=. python benchmarks/gpu.py --small    # small sizes, for trying it out on a CPU

The bandwidth is measured in the same run, by a copy and by y = a x + y on large arrays. The bytes that a workload moves
are counted in passes, in which a state is read and written once, by two models:

- "layer": all one-qubit gates and the permutation (or rotation, or diagonal) that follows them are one pass. No
  simulator that keeps its state in main memory can move less without working on several layers at a time.
- "gate": every one-qubit gate (products of neighbours on a wire are one) and every permutation is a pass of its own.

A value takes the passes once; a gradient three times, as the reverse pass undoes two states. A share above 1 means
that states stayed in a cache, or that gates share passes.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from rich.console import Console

import machine
from contestants import ours
from measurement import seconds_of, versions, warm_seconds
from problems import Circuit, Problem, hardware_efficient, qaoa, random_networks, random_rotations
from report import RESULTS, Sheet, as_markdown, as_rich, seconds

COMPLEX64 = 8


@dataclass(frozen=True)
class Case:
    """What is run, at a size for a large device and at one for trying it out."""

    title: str
    problem: Callable[[], Problem]
    small: Callable[[], Problem]
    want: ours.Want = "value_and_grad"


forward = partial(hardware_efficient, observable="z")

CASES: dict[str, Case] = {
    "ensemble": Case(
        "gradient, n=10, L=4, 64 sets",
        partial(hardware_efficient, 10, 4, sets=64),
        partial(hardware_efficient, 4, 2, sets=5),
    ),
    "large-ensemble": Case(
        "gradient, n=10, L=4, 4096 sets",
        partial(hardware_efficient, 10, 4, sets=4096),
        partial(hardware_efficient, 4, 2, sets=70),
    ),
    "different": Case(
        "gradient, n=10, L=4, 1024 different",
        partial(random_networks, 10, 4, sets=1024),
        partial(random_networks, 4, 2, sets=5),
    ),
    "sparse": Case(
        "gradient, n=10, 1024 x 80 rotations",
        partial(random_rotations, 10, 80, sets=1024),
        partial(random_rotations, 5, 12, sets=4),
    ),
    "gradient-16": Case(
        "gradient, n=16, L=4, 64 sets",
        partial(hardware_efficient, 16, 4, sets=64),
        partial(hardware_efficient, 6, 2, sets=4),
    ),
    "gradient-20": Case(
        "gradient, n=20, L=4", partial(hardware_efficient, 20, 4), partial(hardware_efficient, 8, 2)
    ),
    "gradient-24": Case(
        "gradient, n=24, L=4", partial(hardware_efficient, 24, 4), partial(hardware_efficient, 9, 2)
    ),
    "gradient-26": Case(
        "gradient, n=26, L=4", partial(hardware_efficient, 26, 4), partial(hardware_efficient, 10, 2)
    ),
    "qaoa": Case("QAOA gradient, p=8, n=20", partial(qaoa, 20, 8), partial(qaoa, 6, 2)),
    "forward-24": Case("value, n=24, L=10", partial(forward, 24, 10), partial(forward, 9, 3), "value"),
    "forward-28": Case("value, n=28, L=4", partial(forward, 28, 4), partial(forward, 10, 3), "value"),
}


# what must be moved -----------------------------------------------------------------------------------------


def passes(circuit: Circuit) -> tuple[int, int]:
    """How often the state is read and written: by layers, by gates."""
    layers = gates = 0
    turned: set[int] = set()  # wires whose last gate was a one-qubit gate
    in_permutation = False
    for operation in circuit:
        if len(operation.wires) == 1 and operation.name != "rotation":
            gates += operation.wires[0] not in turned
            turned.add(operation.wires[0])
            in_permutation = False
            continue
        if operation.name != "cx" or not in_permutation:
            layers += 1
            gates += 1
        in_permutation = operation.name == "cx"
        turned -= set(operation.wires)
    return layers + bool(turned), gates


def moved_bytes(problem: Problem, want: ours.Want) -> tuple[float, float]:
    """Bytes of all sets: by layers, by gates."""
    counts = [passes(circuit) for circuit in problem.circuits]
    times = 3 if want == "value_and_grad" else 1
    per_pass = 2 * COMPLEX64 * 2**problem.num_wires * times * problem.sets
    layers, gates = (statistics.mean(column) for column in zip(*counts))
    return layers * per_pass, gates * per_pass


def bandwidth(size: int) -> float:
    """Bytes a second of the device's memory, reads and writes together: the better of a copy and an axpy."""
    x = jnp.ones(size // 4, jnp.float32)
    copy = jax.jit(lambda x: -x)  # a plain copy could be left out by the compiler
    axpy = jax.jit(lambda x, y: 0.5 * x + y, donate_argnums=1)
    held = [jnp.ones_like(x)]

    def add() -> None:
        held[0] = jax.block_until_ready(axpy(x, held[0]))

    calls: tuple[tuple[int, Callable[[], Any]], ...] = ((2, lambda: jax.block_until_ready(copy(x))), (3, add))
    for _, call in calls:
        call()
    return max(arrays * size / warm_seconds(call) for arrays, call in calls)


# measuring --------------------------------------------------------------------------------------------------


def measure(case: Case, small: bool, engine: str, per_second: float) -> dict[str, Any]:
    """Times of one case, and its shares of the bandwidth."""
    problem = (case.small if small else case.problem)()
    sizes = {"qubits": problem.num_wires, "sets": problem.sets}
    try:
        preparing, call = seconds_of(lambda: ours.prepare(problem, case.want, engine))
        first = preparing + seconds_of(call)[0]
        warm = warm_seconds(call)
    except Exception as error:  # out of memory, say: the other cases are still worth having
        return {"title": case.title, **sizes, "error": str(error).splitlines()[0]}
    by_layers, by_gates = moved_bytes(problem, case.want)
    return {
        "title": case.title,
        **sizes,
        "keys": ours.keys_of(problem, engine),
        "first": first,
        "warm": warm,
        "bytes_by_layers": by_layers,
        "bytes_by_gates": by_gates,
        "share_by_layers": by_layers / warm / per_second,
        "share_by_gates": by_gates / warm / per_second,
    }


def sheet(report: dict[str, Any]) -> Sheet:
    """The table of a run."""

    def rows() -> Iterator[tuple[str, ...]]:
        for case in report["cases"]:
            if "error" in case:
                yield case["title"], "", "", "", "", f"failed: {case['error'][:60]}"
                continue
            spent = (case["first"], case["warm"], case["warm"] / case["sets"])
            shares = (f"{100 * case[k]:.3g} %" for k in ("share_by_layers", "share_by_gates"))
            yield case["title"], *map(seconds, spent), *shares

    device = f"{report['device']}: share of the {report['bandwidth'] / 1e9:.0f} GB/s measured"
    title = f"{device}{', small sizes whatever the names say' if report['small'] else ''}"
    heads = ("", "first", "then", "per set", "by layers", "by gates")
    return Sheet(title, heads, list(rows()))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=CASES, metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--small", action="store_true", help="small sizes")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--output", type=Path, help="JSON file; the table goes beside it as Markdown")
    options = parser.parse_args()
    device = jax.devices()[0]
    name = device.device_kind if device.platform != "cpu" else machine.processor()
    on_chip = device.platform == "cpu" or options.small
    per_second = bandwidth(2**27 if on_chip else 2**31)
    console = Console()
    console.print(f"{name}: {per_second / 1e9:.0f} GB/s", highlight=False)
    report: dict[str, Any] = {
        "device": name,
        "platform": device.platform,
        "machine": machine.described(),
        "versions": versions(("jax", "jaxlib", "numpy")),
        "engine": options.engine,
        "small": options.small,
        "bandwidth": per_second,
        "cases": [],
    }
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    default = "trial.json" if options.small or options.only else f"{device.platform}-{slug}.json"
    output = options.output or RESULTS / default
    output.parent.mkdir(parents=True, exist_ok=True)
    for case in options.only or CASES:
        report["cases"].append(measure(CASES[case], options.small, options.engine, per_second))
        found = report["cases"][-1]
        said = found.get("error") or f"first {seconds(found['first'])}, then {seconds(found['warm'])}"
        console.print(f"{case:<15} {said}", markup=False, highlight=False)
        output.write_text(json.dumps(report, indent=1) + "\n")
        output.with_suffix(".md").write_text(as_markdown(sheet(report)) + "\n")
    console.print(as_rich(sheet(report)))
    console.print(f"saved {output}", highlight=False)


if __name__ == "__main__":
    main()
