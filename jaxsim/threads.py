"""Blocks of rows: how large they are, and how they run side by side on the cores of a CPU.

XLA runs a block of our size on one thread; so several blocks on as many threads use all cores. Which
thread runs a block changes none of its bits.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import jax

from jaxsim.eager import evaluated_now

__all__ = ["as_here", "in_background", "rows_of_states", "submit_blocks"]


# sizes ----------------------------------------------------------------------------------------------------


class BlockSize(NamedTuple):
    """What a block holds at most.

    Attributes:
        rows: so many rows.
        amplitudes: so many amplitudes, unless that is less than one state.
    """

    rows: int
    amplitudes: int


CPU_BLOCK = BlockSize(32, 2**14)
"""States of a block fit a core's cache, and XLA does not split them over threads."""
DEVICE_BLOCK = BlockSize(1024, 2**20)
"""On other platforms. So many amplitudes fill a large GPU and fit its cache, and passes over fewer should take no less
than their launch, so that blocks which are not full cost little. Reckoned, not measured."""


def rows_of_states(num_wires: int) -> int:
    """How many states a block holds on the platform in use: a power of two, and the same whatever is in it.

    >>> rows_of_states(40)
    1
    """
    block = CPU_BLOCK if _platform() == "cpu" else DEVICE_BLOCK
    return max(1, min(block.rows, block.amplitudes >> num_wires))


def _platform() -> str:
    device = getattr(jax.config, "jax_default_device", None)
    return getattr(device, "platform", device) or jax.default_backend()


# running --------------------------------------------------------------------------------------------------

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
    return _pool().submit(as_here(function))


def as_here(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with the options of JAX that are in force here, for another thread: contexts are a thread's own."""
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
        arguments: of each call, all of them concrete. Inside of somebody's `jit` they are evaluated now.
        signature: equal for calls that share a compiled function: the first of all such calls is made before the
            others, so that it is compiled once.
        signatures: one for each call, where they do not all share one; what is new is compiled side by side.

    Returns:
        Futures of the results. On a CPU those of a new signature are finished; elsewhere they may still be under way,
        as always in JAX.
    """
    if _platform() != "cpu" or _cores() == 1 or len(arguments) == 1:
        with evaluated_now():
            return [_done(function(*own)) for own in arguments]
    device = getattr(jax.config, "jax_default_device", None)
    call = as_here(lambda own: jax.block_until_ready(function(*own)))
    each = [(own, str(device)) for own in signatures or [signature] * len(arguments)]
    first = {own: k for k, own in reversed(list(enumerate(each))) if own not in _seen}
    leaders = sorted(first.values())
    sent: dict[int, Future] = {}
    if len(leaders) == 1:
        with evaluated_now():  # in the pool nothing is being traced
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
