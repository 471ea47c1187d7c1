"""What this process may use: memory and cores, and sizes as people write them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from runtime.errors import BadOption

__all__ = ["available", "cores", "parse", "peak", "peak_of", "resident", "total", "trim"]

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
LEAST = 2**20
ROOT = Path("/")


def parse(text: str, *, option: str = "--max-memory") -> int:
    """Bytes from "512M", "1.5G", "800MiB"."""
    found = re.fullmatch(r"\s*(\d{1,9}(?:\.\d{1,6})?)\s*([KMG]?)(?:i?B)?\s*", text, re.IGNORECASE)
    size = int(float(found[1]) * UNITS[found[2].upper()]) if found else 0
    if size < LEAST:
        raise BadOption(option, text, "a size such as 512M or 2G")
    return size


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def resident() -> int:
    """Bytes this process holds now, 0 where it cannot be told."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def peak_of(function: Callable[[], Any]) -> int:
    """Bytes this process holds at the peak of a call; 0 where Linux does not tell."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
    function()
    return peak()


def peak() -> int:
    """Bytes this process has held at most, since its start or the mark began anew; 0 where Linux does not tell."""
    found = re.search(r"^VmHWM:\s+(\d+) kB", _text(Path("/proc/self/status")), re.M)
    return int(found[1]) * 1024 if found else 0


def trim() -> None:
    """Give the system back what was freed; glibc keeps blocks of up to 32 MiB for the next one who asks."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def total(*, root: Path = ROOT) -> int:
    """Bytes there are, or that the container may have of them; 0: unknown."""
    found = re.search(r"^MemTotal:\s+(\d+) kB", _text(root / "proc/meminfo"), re.M)
    return min([int(found[1]) * 1024 if found else _pages("SC_PHYS_PAGES"), *(limit for limit, _ in _groups(root))])


def available(*, root: Path = ROOT) -> int:
    """Bytes that can be had now: the system's estimate, or less where a container is allowed less."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", _text(root / "proc/meminfo"), re.M)
    left = [max(limit - used, 0) for limit, used in _groups(root)]
    return min([int(found[1]) * 1024 if found else _pages("SC_AVPHYS_PAGES"), *left])


def _pages(name: str) -> int:
    try:
        return os.sysconf(name) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 0


def _groups(root: Path) -> Iterator[tuple[int, int]]:
    """Limit and use of every control group this process is in, of version 2 and 1, up to the root.

    Inside a container the path that /proc names may not be there; then the container's own group is the mounted root.
    """
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, kinds, path = line.split(":", 2)
        if kinds == "":
            mount, limit, used, idle = root / "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"
        elif "memory" in kinds.split(","):
            mount, limit = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
            used, idle = "memory.usage_in_bytes", "total_inactive_file"
        else:
            continue
        group = mount / path.lstrip("/")
        for one in (group, *group.parents):
            if (most := _text(one / limit).strip()).isdigit():  # the word "max" is no limit
                now = _text(one / used).strip()
                file = re.search(rf"^{idle} (\d+)", _text(one / "memory.stat"), re.M)
                # Files that were read and are not in use are counted, yet given back when asked for.
                yield int(most), int(now or 0) - (int(file[1]) if file else 0)
            if one == mount:
                break


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
