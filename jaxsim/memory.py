"""How much memory there is."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

__all__ = ["in_words", "total_memory"]

_UNKNOWN_MEMORY = 4 * 2**30


def total_memory(root: Path = Path("/")) -> int:
    """Total memory in bytes that this process may use: the machine's, or less where a control group says so.

    Reads Linux control groups of version 2 (memory.max) and 1 (memory.limit_in_bytes), those of the process
    and of every group above it. Where nothing can be found out, 4 GiB.

    Args:
        root: the file system to look in.

    >>> total_memory() > 2**20
    True
    """
    limits = [*_control_group_limits(root)]
    with contextlib.suppress(AttributeError, ValueError, OSError):  # not every platform has them
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min((limit for limit in limits if limit > 0), default=_UNKNOWN_MEMORY)


def _control_group_limits(root: Path) -> list[int]:
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    # Inside a container the path may be the host's and so not exist; its own limit is then that of the mount.
    files = {root / "sys/fs/cgroup/memory.max", root / "sys/fs/cgroup/memory/memory.limit_in_bytes"}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        version_1 = "memory" in controllers.split(",")
        if not version_1 and controllers:
            continue
        mount = root / ("sys/fs/cgroup/memory" if version_1 else "sys/fs/cgroup")
        group = mount / path.strip("/")
        name = "memory.limit_in_bytes" if version_1 else "memory.max"
        files.update(folder / name for folder in (group, *group.parents) if folder.is_relative_to(mount))
    limits = []
    for file in sorted(files):
        try:
            limits.append(int(file.read_text()))
        except (OSError, ValueError):  # no such group, or the word "max"
            continue
    return limits


def in_words(size: float) -> str:
    """A number of bytes for messages.

    >>> in_words(3 * 2**30), in_words(1500)
    ('3.0 GiB', '1.5 KiB')
    """
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            break
        size /= 1024
    return f"{size:.0f} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
