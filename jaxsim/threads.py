"""Blocks of rows side by side on the cores of a CPU.

XLA runs a block of our size on one thread; so several blocks on as many threads use all cores. Which
thread runs a block changes none of its bits.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any

import jax

__all__ = ["in_background", "submit_blocks"]

_seen: set[Hashable] = set()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_cores(), thread_name_prefix="jaxsim-blocks")


# Threads do not survive a fork: a child starts its own.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_background(function: Callable[[], Any]) -> Future:
    """Sends off ``function()`` to a thread, with the options of JAX that are in force here."""
    return _pool().submit(_as_here(function))


def _as_here(function: Callable[..., Any]) -> Callable[..., Any]:
    # JAX's contexts are those of a thread.
    x64, device = jax.config.read("jax_enable_x64"), getattr(jax.config, "jax_default_device", None)

    def call(*arguments: Any) -> Any:
        with jax.enable_x64(x64), jax.default_device(device):
            return function(*arguments)

    return call


def submit_blocks(
    function: Callable[..., Any],
    arguments: Sequence[tuple[Any, ...]],
    signature: Hashable | None = None,
    *,
    signatures: Sequence[Hashable] | None = None,
) -> list[Future]:
    """Sends off ``function(*a)`` for every a: on a CPU to a thread for each core, else in the order given.

    Args:
        function: a jitted function.
        arguments: of each call.
        signature: equal for calls that share a compiled function: the first of all such calls is made before the
            others, so that it is compiled once.
        signatures: one for each call, where they do not all share one; what is new is compiled side by side.

    Returns:
        Futures of the results. On a CPU those of a new signature are finished; elsewhere they may still be under way,
        as always in JAX.
    """
    if jax.default_backend() != "cpu" or _cores() == 1 or len(arguments) == 1:
        return [_done(function(*own)) for own in arguments]
    device = getattr(jax.config, "jax_default_device", None)
    call = _as_here(lambda own: jax.block_until_ready(function(*own)))
    each = [(own, str(device)) for own in signatures or [signature] * len(arguments)]
    first = {own: k for k, own in reversed(list(enumerate(each))) if own not in _seen}
    leaders = sorted(first.values())
    sent: dict[int, Future] = {}
    if len(leaders) == 1:
        sent[leaders[0]] = _done(call(arguments[leaders[0]]))
    else:
        sent = {k: _pool().submit(call, arguments[k]) for k in leaders}
        for future in sent.values():
            future.result()
    _seen.update(first)
    return [sent[k] if k in sent else _pool().submit(call, own) for k, own in enumerate(arguments)]


def _done(result: Any) -> Future:
    future: Future = Future()
    future.set_result(result)
    return future
