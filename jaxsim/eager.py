"""Computing now, also inside of somebody's `jit`."""

from __future__ import annotations

import contextlib

import jax
from jax.core import Tracer

__all__ = ["evaluated_now", "within_trace"]


def evaluated_now() -> contextlib.AbstractContextManager[object]:
    """A context in which calls with concrete arguments run now and give concrete results.

    Outside of traces that is so anyway. There `jax.ensure_compile_time_eval` would do harm: while a function is being
    traced, it compiles and runs every operation on constants by itself, which takes longer than all the rest.
    """
    return jax.ensure_compile_time_eval() if within_trace() else contextlib.nullcontext()


def within_trace() -> bool:
    """Whether a function is being traced, so that calls with concrete arguments would become part of it."""
    # What is traced makes a tracer of any number; elsewhere this operation needs no compiled kernel.
    return isinstance(jax.lax.stop_gradient(0.0), Tracer)
