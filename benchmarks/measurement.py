"""Clocks, memory and compilations of the process that is being measured."""

from __future__ import annotations

import contextlib
import importlib.metadata
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

FEWEST_CALLS, MOST_CALLS, SECONDS = 3, 200, 1.0


def seconds_of(call: Callable[[], Any]) -> tuple[float, Any]:
    """How long the call took, and what it returned."""
    started = time.perf_counter()
    result = call()
    return time.perf_counter() - started, result


def warm_times(call: Callable[[], Any]) -> list[float]:
    """Seconds of repeated calls: about one second of them, at least 3."""
    times: list[float] = []
    while len(times) < FEWEST_CALLS or (sum(times) < SECONDS and len(times) < MOST_CALLS):
        times.append(seconds_of(call)[0])
    return times


def warm_seconds(call: Callable[[], Any]) -> float:
    """The median of `warm_times`."""
    return statistics.median(warm_times(call))


def _status(entry: str) -> int | None:
    """A line of /proc/self/status, in bytes; None where there is no such file."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{entry}:")), None)


def resident_bytes() -> int | None:
    """Memory that the process holds now; None where the system does not tell."""
    return _status("VmRSS")


def peak_bytes() -> int:
    """Most memory that the process ever held, or has since `forget_peak`."""
    unit = 1 if sys.platform == "darwin" else 1024
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def forget_peak() -> None:
    """Lets the peak begin anew at what is held now, where the system (Linux) can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def versions(distributions: Iterable[str]) -> dict[str, str]:
    """Installed versions of these distributions."""
    found = {}
    for name in distributions:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
