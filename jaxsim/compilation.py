"""Compile time: options, a cache on disk, kernels made ahead of time."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxlib import version as jaxlib_version

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
    engine: str = "auto",
    dtype: Any = None,
    background: bool = False,
) -> Future | None:
    """Compiles the kernels that circuits of a size will use, before they are needed.

    Circuits share kernels by size: of qubits, of layers (up to 12, 48, 192, ...), of parameters and terms (rounded
    up). So one circuit stands for all that resemble it.

    Args:
        circuit: a circuit, or a number of qubits for a hardware-efficient one.
        observable: what will be measured; None for the energy of the transverse-field Ising chain.
        wants: as `evaluate` takes them.
        batches: whether blocks of rows will be run, too, and not only one circuit at a time.
        engine, dtype: as `lower` takes them.
        background: compile in a thread, and return a future at once.

    Returns:
        None, or a future that is done when the kernels are.

    Raises:
        ValueError, TypeError: as `lower`.

    Example:
        >>> import jaxsim as js
        >>> js.warmup(3, wants=["value"])
    """
    from jaxsim import ansatz, batch
    from jaxsim.circuit import Circuit
    from jaxsim.compiled_circuit import compile
    from jaxsim.observables import X, Z

    if not isinstance(circuit, Circuit):
        circuit = ansatz.hardware_efficient(circuit, 4) if circuit > 1 else Circuit(1).ry(0.1, 0)
    if observable is None:
        n = circuit.num_wires
        observable = sum((X(q) for q in range(n)), sum((Z(q) @ Z(q + 1) for q in range(n - 1)), 0 * Z(0)))
    single = compile(circuit, observable, engine=engine, dtype=dtype)
    row = batch.lower(circuit, observable, engine=engine, dtype=dtype)
    x64 = jax.config.read("jax_enable_x64")

    def work() -> None:
        values = np.zeros(len(circuit.parameters))
        with jax.enable_x64(x64):
            for want in wants:
                if want == "value":
                    single(values)
                elif want == "value_and_grad":
                    single.value_and_grad(values)
                if batches:
                    batch.evaluate(batch.stack([row, row]), np.stack([values, values]), want)  # type: ignore[arg-type]

    if not background:
        work()
        return None
    pool = ThreadPoolExecutor(1, thread_name_prefix="jaxsim-warmup")
    future = pool.submit(work)
    pool.shutdown(wait=False)
    return future
