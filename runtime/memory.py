"""What this process may use: memory and cores, and sizes as people write them."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runtime.errors import BadOption

__all__ = ["available", "cores", "parse", "peak_of", "resident", "total"]

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
LEAST = 2**20


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
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
        function()
        return _status("VmHWM")
    except (OSError, StopIteration, ValueError):
        return 0


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def total() -> int:
    """Bytes this process may use at most: the machine's, or its container's where that is less. 0: unknown."""
    limits = [_number(path) for path in _LIMITS]
    with contextlib.suppress(AttributeError, ValueError, OSError):
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min((limit for limit in limits if limit), default=0)


def available() -> int:
    """Bytes that can still be taken without pushing others out, 0 where it cannot be told."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    free = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), 0)
    limit = min((n for n in map(_number, _LIMITS) if n), default=0)
    used = next((n for n in map(_number, _USED) if n), 0)
    return max(min(free, limit - used), 0) if limit else free


_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_USED = ("/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory/memory.usage_in_bytes")


def _number(path: str) -> int:
    """What stands in a control group's file; 0 for "max", for nothing, and for the kernel's idea of no limit."""
    try:
        number = int(Path(path).read_text())
    except (OSError, ValueError):
        return 0
    return number if number < 2**60 else 0
