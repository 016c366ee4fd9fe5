"""Compile time: options, a cache on disk, kernels made ahead of time."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxlib import version as jaxlib_version

from jaxsim.arguments import integer

__all__ = ["compiler_options", "enable_compilation_cache", "machine_fingerprint", "warmup"]


@cache
def compiler_options() -> dict[str, Any] | None:
    """Options of XLA that our kernels are compiled with.

    Of jax 0.10 XLA's newer way to compile loops for CPUs takes twice as long for our kernels, which are not faster for
    it; later versions have no such choice, and need none. Vectors as wide as the processor has them save a tenth: our
    loops shuffle within vectors, and wide ones need fewer shuffles. Functions called inside a user's own `jit` are
    compiled with the user's options.
    """
    version = tuple(int(part) for part in jax.__version__.split(".")[:2])
    options = {"xla_cpu_prefer_vector_width": 512}
    return {"xla_cpu_use_fusion_emitters": False, **options} if version == (0, 10) else options


# the cache on disk ----------------------------------------------------------------------------------------


def machine_fingerprint() -> str:
    """A short name for what compiled code depends on: processor, jaxlib, Python."""
    facts = [
        platform.machine(),
        platform.system(),
        jaxlib_version.__version__,
        *map(str, sys.version_info[:2]),
    ]
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        facts.append(platform.processor())
    else:
        kept = ("model name", "flags", "Features", "CPU part")
        facts += sorted({line for line in lines if line.startswith(kept)})
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:12]


def enable_compilation_cache(path: str | os.PathLike[str] | None = None) -> Path:
    """Keeps compiled kernels on disk, so that the next process need not compile them.

    It switches JAX's own persistent cache on, for everything that this process compiles from now on. Entries are kept
    apart by processor and jaxlib, since code made for one crashes on another. Only use a directory that nobody
    else can write to.

    Args:
        path: a directory, made if it is not there; None for ``jaxsim`` in the user's cache directory.

    Returns:
        The directory in use, inside `path`.

    Raises:
        OSError: the directory cannot be made or written.

    Example:
        >>> import jaxsim as js, tempfile
        >>> used = js.enable_compilation_cache(tempfile.mkdtemp())  # doctest: +SKIP
    """
    if path is None:
        path = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jaxsim"
    directory = Path(path).expanduser() / f"jaxlib-{jaxlib_version.__version__}-{machine_fingerprint()}"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not os.access(directory, os.W_OK):
        raise PermissionError(f"enable_compilation_cache: {directory} cannot be written.")
    jax.config.update("jax_compilation_cache_dir", str(directory))
    # Our kernels take less than the second from which on JAX would keep them.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    # JAX looks at the directory once, at the first compilation.
    from jax.experimental.compilation_cache import compilation_cache

    compilation_cache.reset_cache()
    return directory


# ahead of time --------------------------------------------------------------------------------------------


def warmup(
    circuit: Any,
    observable: Any = None,
    *,
    wants: Sequence[str] = ("value_and_grad",),
    batches: bool = True,
    layers: int | Sequence[int] = 4,
    engine: str = "auto",
    dtype: Any = None,
    background: bool = False,
) -> Future | None:
    """Compiles the kernels that circuits of a size will use, before they are needed.

    Circuits share kernels by size: of qubits, of layers (up to 12, 48, 192, ...), of parameters (up to 16, 32, 64, ...)
    and terms (rounded up). So one circuit stands for all that resemble it. A call that needs a kernel which is being
    compiled in the background waits for it.

    Args:
        circuit: a circuit, or a number of qubits for a hardware-efficient one.
        observable: what will be measured; None for the energy of the transverse-field Ising chain.
        wants: as `evaluate` takes them, but "samples", which compile for every number of shots.
        batches: whether blocks of rows will be run, too, and not only one circuit at a time.
        layers: of the hardware-efficient circuit; several are compiled one after the other: (4, 8, 16) are the next
            sizes, too.
        engine, dtype: as `lower` takes them.
        background: compile in a thread, and return a future at once.

    Returns:
        None, or a future that is done when the kernels are.

    Raises:
        TypeError: neither a circuit nor a number; as `lower`.
        ValueError: no qubits, no such `wants`; as `lower`.

    Example:
        >>> import jaxsim as js
        >>> js.warmup(3, wants=["value"])
    """
    from jaxsim.circuit import Circuit
    from jaxsim.threads import as_here

    _check_wants(wants, batches)
    depths = _depths(layers)
    circuits = [circuit] if isinstance(circuit, Circuit) else [_stand_in(circuit, depth) for depth in depths]
    calls = [
        call
        for each in circuits
        for call in _calls(each, observable, wants, batches, {"engine": engine, "dtype": dtype})
    ]

    def work() -> None:
        for call in calls:
            call()

    if not background:
        work()
        return None
    pool = ThreadPoolExecutor(1, thread_name_prefix="jaxsim-warmup")
    future = pool.submit(as_here(work))
    pool.shutdown(wait=False)
    return future


_ALONE: dict[str, Callable[[Any, Any, np.ndarray], Any]] = {
    "value": lambda measured, state, values: measured(values),
    "value_and_grad": lambda measured, state, values: measured.value_and_grad(values),
    "statevector": lambda measured, state, values: state(values),
}
"""How one circuit at a time is asked: what is compiled with an observable, and without."""


def _calls(
    circuit: Any, observable: Any, wants: Sequence[str], batches: bool, options: dict[str, Any]
) -> Iterator[Callable[[], Any]]:
    """Calls that need the kernels; the circuit is lowered at once."""
    from jaxsim import batch
    from jaxsim.compiled_circuit import compile
    from jaxsim.observables import X, Z

    if observable is None:
        n = circuit.num_wires
        first, *terms = [*map(X, range(n)), *(Z(q) @ Z(q + 1) for q in range(n - 1))]
        observable = sum(terms, first)
    measured, state = compile(circuit, observable, **options), compile(circuit, **options)
    row = batch.lower(circuit, observable, **options)
    values = np.zeros(len(circuit.parameters))
    for want in wants:
        if want in _ALONE:
            yield partial(_ALONE[want], measured, state, values)
        if batches:
            yield partial(batch.evaluate, batch.stack([row, row]), np.stack([values, values]), want)  # type: ignore[arg-type]


def _stand_in(num_wires: Any, depth: int) -> Any:
    """The circuit that stands for those of a size."""
    from jaxsim import ansatz
    from jaxsim.circuit import Circuit

    num_wires = integer("warmup", "a circuit, or a number of qubits", num_wires)
    if num_wires < 1:
        raise ValueError(
            f"warmup takes a circuit, or a number of qubits from 1 on, but {num_wires} was given."
        )
    return ansatz.hardware_efficient(num_wires, depth) if num_wires > 1 else Circuit(1).ry(0.1, 0)


def _depths(layers: Any) -> list[int]:
    depths = [
        integer("warmup", "layers", own) for own in (layers if isinstance(layers, Sequence) else [layers])
    ]
    if not depths or min(depths) < 1:
        raise ValueError(
            f"warmup: layers is a number from 1 on, or several of them, but {layers!r} was given."
        )
    return depths


def _check_wants(wants: Any, batches: bool) -> None:
    from jaxsim.batch import ROW_FUNCTIONS

    if isinstance(wants, str) or not isinstance(wants, Sequence):
        raise TypeError(f"warmup: wants is a list, such as ['value_and_grad'], but {wants!r} was given.")
    allowed = ROW_FUNCTIONS if batches else _ALONE
    unknown = [want for want in wants if want not in allowed]
    if unknown or not wants:
        raise ValueError(
            f"warmup: with batches={batches}, wants may name {', '.join(map(repr, allowed))}, but {wants!r} was given."
        )
