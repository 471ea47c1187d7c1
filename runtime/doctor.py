"""What this machine has to run a model with, and the very line that mends what it lacks."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import MissingLibrary
from runtime.library import need

__all__ = ["Engine", "Machine", "engines", "machine"]


@dataclass(frozen=True)
class Machine:
    """The machine, in words and numbers; memory in bytes, 0 where it cannot be told."""

    system: str
    processor: str
    cores: int
    memory: int
    python: str
    libraries: dict[str, str]


@dataclass(frozen=True)
class Engine:
    """An inference engine: its version and providers, or the line that installs it."""

    name: str
    version: str | None
    providers: tuple[str, ...]
    remedy: str | None


def machine() -> Machine:
    """This machine."""
    libraries = ("qk-unet", "numpy", "rawpy", "tifffile", "pillow")
    return Machine(
        system=platform.platform(),
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory=_memory(),
        python=platform.python_version(),
        libraries={name: version for name in libraries if (version := _version(name))},
    )


def engines() -> list[Engine]:
    """Every engine this project runs on, here or not."""
    return [
        _engine("onnxruntime", "cpu", lambda ort: tuple(ort.get_available_providers())),
        _engine("ai_edge_litert", "litert", lambda _: ("XNNPACK",)),
    ]


def _engine(module: str, extra: str, providers: Callable[..., tuple[str, ...]]) -> Engine:
    try:
        library = need(module, library=module, extra=extra)
    except MissingLibrary as missing:
        return Engine(module, None, (), missing.remedy)
    version = next((v for name in (module, f"{module}-gpu") if (v := _version(name))), "of unknown version")
    return Engine(module, version, providers(library), None)


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    """The model by name; Linux tells it on x86, a device tree on the boards."""
    info, board = Path("/proc/cpuinfo"), Path("/proc/device-tree/model")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return f"{line.partition(':')[2].strip()} ({platform.machine()})"
    if board.exists():
        return f"{board.read_text(errors='replace').strip(chr(0))} ({platform.machine()})"
    return platform.machine()


def _memory() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 0
