"""Computing now, also inside of somebody's `jit`."""

from __future__ import annotations

import contextlib

import jax
import numpy as np
from jax.core import Tracer

__all__ = ["evaluated_now", "within_trace"]

_probe = jax.jit(lambda: np.int32(0))


def evaluated_now() -> contextlib.AbstractContextManager[object]:
    """A context in which calls with concrete arguments run now and give concrete results.

    Outside of traces that is so anyway. There `jax.ensure_compile_time_eval` would do harm: while a function is being
    traced, it compiles and runs every operation on constants by itself, which takes longer than all the rest.
    """
    return jax.ensure_compile_time_eval() if within_trace() else contextlib.nullcontext()


def within_trace() -> bool:
    """Whether a function is being traced, so that calls with concrete arguments would become part of it."""
    return isinstance(_probe(), Tracer)
