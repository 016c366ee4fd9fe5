"""`Simulator`: the job face. Lists of circuits in, a `Job` out, on any executor."""

from __future__ import annotations

import copy
import difflib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsim import memory
from jaxsim.broadcasting import BY_NAME
from jaxsim.circuit import Circuit
from jaxsim.job_items import OUTPUTS, VALUES, Header, Item, job_item, needed_bytes
from jaxsim.job_options import CHECKS, JobInputError, Options
from jaxsim.job_threads import in_threads
from jaxsim.jobs import Job
from jaxsim.lowering.forms import lowered_form
from jaxsim.lowering.layers import NoLayersError
from jaxsim.splitting import in_words, split
from jaxsim.worker import Chunk, check_process, run_chunk

__all__ = ["JobInputError", "Simulator"]


# the simulator --------------------------------------------------------------------------------------------


class Simulator:
    """Runs lists of circuits, in chunks, on any executor.

    Results have the same bits for every chunk size, executor, number of workers and order of completion.

    Args:
        shots: how often each circuit is measured; `run` also takes one number for each circuit.
        seed: an integer >= 0. Circuit i draws from a stream that belongs to (seed, i, parameter set). None: a fresh
            seed for each job, told in `result.metadata["seed"]`.
        dtype: complex64 or complex128, of states.
        engine: "auto", "layered", "rotations" or "fused".
        executor: anything with ``submit(function, *arguments)`` whose futures have ``result(timeout)``: thread pools,
            process pools (spawned), Dask's ``client.get_executor()``. It is the caller's, who shuts it down. None: a
            thread that ends with the job, or one for each device where there are several.
        max_job_size: circuits in a chunk; a job of 61 with 2 is 31 submissions. None: one chunk of all.
        memory_limit: bytes that a circuit, and the results of a job, may take. None: all the memory of this machine.

    Raises:
        JobInputError: (a ValueError and a TypeError) an unknown option, or a value that is not allowed.

    Example:
        >>> import jaxsim as js
        >>> sim = js.Simulator(shots=100, seed=7)
        >>> bell = js.Circuit(2).h(0).cx(0, 1)
        >>> result = sim.run([bell, bell.copy().x(0)]).result()
        >>> sorted(result.counts(0)), sorted(result.counts(1))
        (['00', '11'], ['01', '10'])
    """

    def __init__(
        self,
        *,
        shots: int = 1024,
        seed: int | None = None,
        dtype: Any = jnp.complex64,
        engine: str = "auto",
        executor: Any = None,
        max_job_size: int | None = None,
        memory_limit: int | None = None,
        **unknown: Any,
    ) -> None:
        given = {
            "shots": shots,
            "seed": seed,
            "dtype": dtype,
            "engine": engine,
            "executor": executor,
            "max_job_size": max_job_size,
            "memory_limit": memory_limit,
        }
        self._options = Options().changed("Simulator", {**given, **unknown})

    @property
    def options(self) -> Options:
        """The options as they are now."""
        return self._options

    def set_options(self, **options: Any) -> None:
        """Changes options for the jobs to come; those that are under way keep theirs.

        Raises:
            JobInputError: an unknown option, or a value that is not allowed.

        Example:
            >>> import jaxsim as js
            >>> sim = js.Simulator()
            >>> sim.set_options(max_jobsize=2)
            Traceback (most recent call last):
            ...
            jaxsim.job_options.JobInputError: Simulator has no option 'max_jobsize'. Did you mean 'max_job_size'? ...
        """
        self._options = self._options.changed("Simulator", options)

    def run(
        self,
        circuits: Any,
        parameter_values: Any = None,
        observables: Any = None,
        outputs: Sequence[str] = ("counts",),
        **options: Any,
    ) -> Job:
        """Submits circuits and returns at once.

        Everything that can be checked is checked before anything is submitted. Circuits, values and options are taken
        as they are now.

        Args:
            circuits: a `Circuit` or Qiskit's QuantumCircuit, or a list of them. Without measurements all qubits are
                measured at the end.
            parameter_values: of one circuit an array (*sets, parameters) in the order of `circuit.parameters`, or a
                mapping from names to arrays; of a list of circuits a list with one of those, or None, for each.
            observables: of one circuit an observable (a `PauliSum`, a label such as "ZIX", an operator of Qiskit), or
                nested lists of them, which broadcast against the parameter sets; of a list of circuits one observable
                for all, or a list with one entry for each.
            outputs: some of "counts", "memory" (the bits of every shot), "statevector", "probabilities", "values" and
                "gradients".
            options: those of the simulator, for this job alone; `shots` may be a list with a number for each circuit.

        Raises:
            JobInputError: (a ValueError and a TypeError) naming every circuit at fault; nothing was submitted.
            RuntimeError: an executor that takes no work; a process that was forked from one in which jobs had run.

        Example:
            >>> import jaxsim as js
            >>> theta = js.Parameter("theta")
            >>> job = js.Simulator().run(js.Circuit(1).ry(theta, 0), [[0.0], [1.0]], js.Z(0), outputs=("values",))
            >>> [round(float(value), 4) for value in job.result().value()]
            [1.0, 0.5403]
        """
        check_process()
        several = isinstance(circuits, list | tuple)
        shots = options.pop("shots", None)
        given = self._options.changed("run", options)
        listed = _circuits(circuits)
        wanted = _outputs(outputs, observables)
        items, headers = _items(
            listed,
            _each("parameter_values", parameter_values, len(listed), several),
            _each("observables", observables, len(listed), several),
            _shots(given.shots if shots is None else shots, len(listed)),
            wanted,
            given,
        )
        _check_memory(items, wanted, given)
        return _submitted(items, headers, wanted, given)

    def __repr__(self) -> str:
        changed = {n: v for n, v in vars(self._options).items() if v != getattr(Options(), n)}
        return f"Simulator({', '.join(f'{name}={value!r}' for name, value in changed.items())})"


# what run() is called with --------------------------------------------------------------------------------


def _circuits(circuits: Any) -> list[Any]:
    if isinstance(circuits, Circuit) or not isinstance(circuits, list | tuple):
        return [circuits]
    if not circuits:
        raise JobInputError("run takes at least one circuit, but an empty list was given.")
    return list(circuits)


def _outputs(outputs: Any, observables: Any) -> tuple[str, ...]:
    single = isinstance(outputs, str) or not isinstance(outputs, Iterable)
    wanted: tuple[Any, ...] = (outputs,) if single else tuple(outputs)
    unknown = [output for output in wanted if output not in OUTPUTS]
    if unknown or not wanted:
        what = f"{unknown[0]!r}" if unknown else "none"
        close = difflib.get_close_matches(str(unknown[0]), OUTPUTS) if unknown else []
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise JobInputError(
            f"outputs are some of {', '.join(map(repr, OUTPUTS))}, but {what} was given.{hint}"
        )
    if observables is not None and not set(VALUES).intersection(wanted):
        raise JobInputError(
            f"observables were given, but outputs={wanted!r} asks for no values: add 'values' or 'gradients'."
        )
    return tuple(dict.fromkeys(wanted))


def _each(name: str, given: Any, count: int, several: bool) -> list[Any]:
    """What is given for each circuit."""
    if given is None or not several:
        return [given] * count
    if name == "observables" and not isinstance(given, list | tuple | np.ndarray):
        return [given] * count
    if isinstance(given, Mapping | str) or not hasattr(given, "__len__"):
        raise JobInputError(
            f"{name} of a list of circuits is a list with an entry for each of them, but a {type(given).__name__} was "
            f"given. {BY_NAME}"
        )
    if len(given) != count:
        raise JobInputError(
            f"{name} must have an entry for each of {count} circuits, but has {len(given)}. {BY_NAME}"
        )
    return list(given)


def _shots(given: Any, count: int) -> list[int]:
    check = CHECKS["shots"]
    if not isinstance(given, list | tuple | np.ndarray) or np.ndim(given) == 0:
        return [check("shots", given)] * count
    if len(given) != count:
        raise JobInputError(
            f"shots must be one number, or one for each of {count} circuits, but {len(given)} were given."
        )
    return [check("shots", number) for number in given]


def _items(
    circuits: list[Any],
    values: list[Any],
    observables: list[Any],
    shots: list[int],
    outputs: tuple[str, ...],
    options: Options,
) -> tuple[list[Item], list[Header]]:
    """The items, and their headers with name and metadata."""
    items: list[Item] = []
    headers: list[Header] = []
    faults: dict[int, str] = {}
    for k, circuit in enumerate(circuits):
        try:
            own, origin, about = _ours(circuit)
            item = job_item(k, own, values[k], observables[k], shots[k], outputs, **origin)
            _check_engine(item.circuit, options.engine)
        except (TypeError, ValueError, NoLayersError, OverflowError) as error:
            faults[k] = str(error)
        else:
            items.append(item)
            headers.append(replace(item.header, **about) if about else item.header)
    if faults:
        lines = [f"\n  circuit {k}: {fault}" for k, fault in list(faults.items())[:20]]
        more = f"\n  and {len(faults) - 20} more" if len(faults) > 20 else ""
        bad = in_words(list(faults))
        many = f"{len(faults)} of {len(circuits)} circuits" if len(circuits) > 1 else "the circuit"
        raise JobInputError(
            f"{many} cannot be run ({bad}); nothing was submitted." + "".join(lines) + more,
            list(faults),
        )
    return items, headers


def _ours(circuit: Any) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """The circuit as ours; if it is Qiskit's, the qubits that `job_item` is told of, and name and metadata."""
    if not any(kind.__module__.startswith("qiskit.") for kind in type(circuit).__mro__):
        return circuit, {}, {}
    from jaxsim.interop.qiskit import from_qiskit, qubits_in_use

    own = from_qiskit(circuit)
    try:
        metadata = copy.deepcopy(circuit.metadata)
    except Exception as error:
        raise ValueError(f"its metadata cannot be copied: {type(error).__name__}: {error}.") from None
    about = {"name": circuit.name, "metadata": metadata}
    if own.num_wires == circuit.num_qubits:
        return own, {}, about
    return own, {"qubits": qubits_in_use(circuit) or (0,), "num_qubits": circuit.num_qubits}, about


def _check_engine(circuit: Circuit, engine: str) -> None:
    if engine != "layered":
        return
    try:
        lowered_form(circuit, "layered", keep_phase=True, exact=False)
    except NoLayersError as missing:
        raise ValueError(
            f"engine='layered' cannot take it: {missing} has no layered form. Use engine='auto'."
        ) from None


def _check_memory(items: list[Item], outputs: tuple[str, ...], options: Options) -> None:
    limit = options.memory_limit or memory.total_memory()
    itemsize = np.dtype(options.dtype).itemsize
    sizes = [needed_bytes(item, outputs, itemsize) for item in items]
    large = [k for k, (running, _) in enumerate(sizes) if running > limit]
    if large:
        most = max(large, key=lambda k: sizes[k][0])
        what = f"{items[most].circuit.num_wires} qubits"
        if items[most].dynamic:
            what += f" and {items[most].header.shots} shots of measurements in the middle"
        raise JobInputError(
            f"{in_words(large)}: {what} need {memory.in_words(sizes[most][0])} of memory, but there are "
            f"{memory.in_words(limit)}; nothing was submitted. Use fewer qubits or shots, dtype complex64, or another "
            "memory_limit if the workers have more.",
            large,
        )
    results = sum(size for _, size in sizes)
    if results > limit:
        raise JobInputError(
            f"the results need {memory.in_words(results)} of memory, but there are {memory.in_words(limit)}; nothing "
            "was submitted. Ask for other outputs, or for fewer circuits at a time."
        )


# submission -----------------------------------------------------------------------------------------------


def _submitted(items: list[Item], headers: list[Header], outputs: tuple[str, ...], options: Options) -> Job:
    seed = secrets.randbits(63) if options.seed is None else options.seed
    dtype = np.dtype(options.dtype).name
    x64, place = bool(jax.config.read("jax_enable_x64")), _named_device()
    parts = split(len(items), options.max_job_size)
    chunks = [
        Chunk(number, tuple(items[k] for k in part), outputs, seed, dtype, options.engine, x64, place)
        for number, part in enumerate(parts)
    ]
    metadata = {"seed": seed, "outputs": list(outputs), "dtype": dtype, "engine": options.engine}
    job = Job(headers, parts, metadata)
    if options.executor is not None:
        job._submit(lambda number: options.executor.submit(run_chunk, chunks[number]))
        return job
    # Several devices run several chunks at a time.
    threads = 1 if place else min(len(chunks), jax.local_device_count())
    futures = in_threads([partial(run_chunk, chunk) for chunk in chunks], threads)
    job._submit(futures.__getitem__)
    return job


def _named_device() -> tuple[str, int] | None:
    """Platform and number of the device that JAX was told to use; None if it was told none."""
    device = getattr(jax.config, "jax_default_device", None)
    if device is None:
        return None
    if isinstance(device, str):
        return device, 0
    return device.platform, jax.local_devices(backend=device.platform).index(device)
