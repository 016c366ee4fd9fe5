"""How often this thread has compiled something, as `jax.monitoring` reports it."""

from __future__ import annotations

import threading

from jax import monitoring

__all__ = ["compilations_of_thread", "count_compilations"]

_EVENT = "/jax/core/compile/backend_compile_duration"


class _Thread(threading.local):
    count = 0


_thread = _Thread()
_lock = threading.Lock()
_listening = False


def _on_event(event: str, duration_secs: float, **_: str | int) -> None:
    if event == _EVENT:
        _thread.count += 1


def compilations_of_thread() -> int:
    """Compilations by the calling thread since it first asked.

    >>> compilations_of_thread() >= 0
    True
    """
    global _listening
    with _lock:
        if not _listening:
            monitoring.register_event_duration_secs_listener(_on_event)
            _listening = True
    return _thread.count


def count_compilations(number: int) -> None:
    """Adds to those of the calling thread what another one has compiled for it."""
    _thread.count += number
