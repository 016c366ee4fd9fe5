"""Computing now, also inside of somebody's `jit`."""

from __future__ import annotations

import contextlib

import jax
import numpy as np
from jax.core import Tracer

__all__ = ["evaluated_now"]

_probe = jax.jit(lambda: np.int32(0))


def evaluated_now() -> contextlib.AbstractContextManager[object]:
    """A context in which calls with concrete arguments run now and give concrete results.

    Outside of traces that is so anyway. There `jax.ensure_compile_time_eval` would do harm: while a function is being
    traced, it compiles and runs every operation on constants by itself, which takes longer than all the rest.
    """
    return jax.ensure_compile_time_eval() if isinstance(_probe(), Tracer) else contextlib.nullcontext()
