"""What is asked of this library alone: named numbers instead of the time of one call."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import jaxsim as js
from contestants import ours
from ensembles.compilations import count_compilations
from jaxsim import compiled_circuit
from measurement import forget_peak, peak_bytes, resident_bytes, seconds_of, warm_seconds
from problems import Problem

Figures = dict[str, float]


def second_circuit(problem: Problem, engine: str) -> Figures:
    """The first circuit is run; then each of the others for the first time.

    Returns `milliseconds` (median) from a circuit that is built to its first value and gradient,
    `slowest_milliseconds`, `building_milliseconds` for the circuit itself, and `compilations` of them all.
    """
    observable = ours.observable(problem)
    parameters = problem.values.shape[1]

    def first_result(circuit: js.Circuit, values: np.ndarray) -> Any:
        return jax.block_until_ready(js.compile(circuit, observable, engine=engine).value_and_grad(values))

    first, *others = problem.circuits
    circuit = ours.circuit_of(first, problem.num_wires, parameters)
    first_seconds = seconds_of(lambda: first_result(circuit, problem.values[0]))[0]
    building, running = [], []
    with count_compilations() as compiled:
        for k, operations in enumerate(others, start=1):
            seconds, circuit = seconds_of(
                lambda operations=operations: ours.circuit_of(operations, problem.num_wires, parameters)
            )
            building.append(seconds)
            running.append(seconds_of(lambda c=circuit, k=k: first_result(c, problem.values[k]))[0])
    return {
        "milliseconds": 1e3 * statistics.median(running),
        "slowest_milliseconds": 1e3 * max(running),
        "building_milliseconds": 1e3 * statistics.median(building),
        "compilations": compiled.count,
        "first_circuit_seconds": first_seconds,
    }


def call_overhead(problem: Problem, engine: str, calls: int = 500) -> Figures:
    """What the whole Python call takes on top of a kernel called bare, which is one of two.

    `kernel` is the compiled function that all circuits of the size share, as the whole call runs it: its arguments are
    on the device already. `bare` is the same circuit under the caller's own `jax.jit`, with all but the angles compiled
    in, so that a call is JAX's dispatch of one array. All wait for the result; they take turns.
    """
    compiled = js.compile(ours.circuits(problem)[0], ours.observable(problem), engine=engine)
    values = problem.values[0]
    bare, on_device = jax.jit(compiled.value_and_grad), jax.device_put(values)
    kernel, arguments = shared_kernel(compiled, values)
    contenders: dict[str, Callable[[], Any]] = {
        "bare": lambda: jax.block_until_ready(bare(on_device)),
        "kernel": lambda: jax.block_until_ready(kernel(*arguments)),
        "whole": lambda: jax.block_until_ready(compiled.value_and_grad(values)),
        "whole_jax_array": lambda: jax.block_until_ready(compiled.value_and_grad(on_device)),
    }
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for call in contenders.values():
        call()
    for _ in range(calls):
        for name, call in contenders.items():
            times[name].append(seconds_of(call)[0])
    median = {name: 1e6 * statistics.median(own) for name, own in times.items()}
    return {
        "on_top_of_kernel_microseconds": median["whole"] - median["kernel"],
        "on_top_microseconds": median["whole"] - median["bare"],
        **{f"{name}_microseconds": value for name, value in median.items()},
    }


def shared_kernel(
    compiled: js.CompiledCircuit, values: np.ndarray
) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """The compiled function that a call of `compiled.value_and_grad` runs, and what it is given; caught on the way."""
    caught: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
    table = compiled_circuit._OUTSIDE  # there is no public name for it
    function = compiled_circuit._value_and_grad
    kernel = table[function]

    def catching(*arguments: Any) -> Any:
        caught.append((kernel, jax.device_put(arguments)))
        return kernel(*arguments)

    table[function] = catching
    try:
        compiled.value_and_grad(values)
    finally:
        table[function] = kernel
    return caught[0]


def gradient_memory(problem: Problem, engine: str) -> Figures:
    """The memory of one value and gradient, in states: as the compiler plans it, and as the process shows it.

    `planned_states` counts arguments, results and temporaries of the compiled function; `resident_states` is the
    peak of the process during a call less what it held before.
    """
    circuit, observable = ours.circuits(problem)[0], ours.observable(problem)
    row = js.lower(circuit, observable, engine=engine)
    state = row.dtype.itemsize * 2**problem.num_wires
    values = problem.values[0]
    compiled = jax.jit(jax.value_and_grad(js.row_values, argnums=1)).lower(row, values).compile()
    planned = compiled.memory_analysis()
    figures = {"state_bytes": float(state)}
    if planned is not None:
        sizes = (planned.argument_size_in_bytes, planned.output_size_in_bytes, planned.temp_size_in_bytes)
        figures["planned_states"] = (sum(sizes) - planned.alias_size_in_bytes) / state
    forget_peak()  # that of the compiler
    before = resident_bytes()
    figures["seconds"] = seconds_of(lambda: jax.block_until_ready(compiled(row, values)))[0]
    if before is not None:
        figures["resident_states"] = (peak_bytes() - before) / state
    return figures


def compile_time(problem: Problem, engine: str) -> Figures:
    """Seconds of tracing and compiling a value and gradient: a first call less a warm one."""
    circuit, observable = ours.circuits(problem)[0], ours.observable(problem)
    values = problem.values[0]
    jax.block_until_ready(jax.jit(lambda x: x + 1)(values))  # the start of the backend is no compile time
    lowering, compiled = seconds_of(lambda: js.compile(circuit, observable, engine=engine))

    def call() -> Any:
        return jax.block_until_ready(compiled.value_and_grad(values))

    with count_compilations() as compilations:
        first, _ = seconds_of(call)
    warm = warm_seconds(call)
    return {
        "compile_seconds": first - warm,
        "backend_seconds": compilations.seconds,
        "compilations": compilations.count,
        "lowering_seconds": lowering,
        "warm_seconds": warm,
    }


def lowering(problem: Problem, engine: str) -> Figures:
    """Milliseconds from a new circuit to the arrays that run, the choice of the engine among them: medians over the
    problem's circuits, `lower` and `compile` each on its own."""
    observable = ours.observable(problem)
    circuits = ours.circuits(problem)
    middle = len(circuits) // 2

    def milliseconds(call: Callable[..., Any], own: list[js.Circuit]) -> float:
        call(own[0], observable, engine=engine)
        times = [seconds_of(lambda c=c: call(c, observable, engine=engine))[0] for c in own[1:]]
        return 1e3 * statistics.median(times)

    # Neither call finds what the other one has lowered.
    return {
        "lowering_milliseconds": milliseconds(js.lower, circuits[:middle]),
        "compile_milliseconds": milliseconds(js.compile, circuits[middle:]),
    }


FIGURES: dict[str, Callable[[Problem, str], Figures]] = {
    "second": second_circuit,
    "overhead": call_overhead,
    "memory": gradient_memory,
    "compile": compile_time,
    "lowering": lowering,
}
