"""What this machine has to run a model with, whether it computes what it should, and the line that mends what it lacks.

Engines run the self-test, whose integers are the same on every machine. GPUs may round otherwise: of them is told
whether they start, and whether their integers are the same.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.errors import Error, MissingLibrary, SetupError, UnknownName
from runtime.library import engine as load
from runtime.memory import available, cores, total
from runtime.selftest import FOLDER, SELF_TESTS, digest, expected, picture

__all__ = [
    "Engine",
    "Machine",
    "SelfTest",
    "Start",
    "computed",
    "engines",
    "machine",
    "notes",
    "self_test",
    "starts",
]

LIBRARIES = {"cuda": "CUDA and cuDNN", "tensorrt": "TensorRT, CUDA and cuDNN"}  # which a GPU provider loads
JETPACK = {"32": "4", "35": "5", "36": "6", "38": "7"}  # by the release of Jetson Linux
ROOT = Path("/")


@dataclass(frozen=True)
class Machine:
    """The machine, in words and numbers; memory in bytes, 0 where it cannot be told."""

    system: str
    processor: str
    cores: int
    memory: int  # what there is, or what the container may have of it
    available: int  # what can be had now without swapping
    python: str
    libraries: dict[str, str]


@dataclass(frozen=True)
class Engine:
    """An inference engine: its version and providers, or the line that brings it, and what is wrong if it is broken."""

    name: str
    version: str | None
    providers: tuple[str, ...]
    remedy: str | None
    problem: str | None = None


@dataclass(frozen=True)
class Start:
    """Whether a GPU provider that ONNX Runtime lists starts, whether its integers are a CPU's, and what it lacks."""

    provider: str
    starts: bool
    equal: bool
    problem: str | None = None
    remedy: str | None = None


@dataclass(frozen=True)
class SelfTest:
    """Whether an engine computes here what it computed where the self-test was made, and why it did not run if so."""

    engine: str
    ok: bool
    digest: str
    expected: str
    ms: float
    problem: str | None = None


def machine() -> Machine:
    """This machine."""
    libraries = ("numpy", "rawpy", "tifffile", "pillow")
    own = {"qk-unet": _version("qk-unet") or "from a folder, not installed"}
    return Machine(
        system=platform.platform(),
        processor=_processor(),
        cores=cores(),
        memory=total(),
        available=available(),
        python=platform.python_version(),
        libraries=own | {name: version for name in libraries if (version := _version(name))},
    )


def engines() -> list[Engine]:
    """Every engine this project runs on, here or not."""
    return [
        _engine("onnxruntime", lambda ort: tuple(ort.get_available_providers())),
        _engine("ai_edge_litert", lambda _: ("XNNPACK",)),
    ]


def notes(*, providers: Collection[str] = (), root: Path = ROOT) -> list[str]:
    """What is worth knowing on a Jetson, where ONNX Runtime has these providers; nothing anywhere else."""
    try:
        release = (root / "etc/nv_tegra_release").read_text(errors="replace")
    except OSError:
        return []
    found = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", release)
    linux = f"Jetson Linux {found[1]}.{found[2]}" if found else "Jetson Linux of an unknown release"
    pack = f" (JetPack {JETPACK[found[1]]})" if found and found[1] in JETPACK else ""
    said = [linux + pack, f"CUDA {_cuda(root) or 'is not installed: sudo apt-get install nvidia-jetpack'}"]
    if not any((root / "usr/lib").glob("*/libnvinfer.so*")):
        said.append("TensorRT is not installed: sudo apt-get install nvidia-jetpack")
    if "CUDAExecutionProvider" not in providers:
        said.append(
            "for its GPU: pip uninstall onnxruntime, then install NVIDIA's onnxruntime-gpu wheel for this JetPack from "
            "the Jetson AI Lab index; pip install 'qk-unet[gpu]' brings a wheel for x86 servers"
        )
    return said


def starts() -> list[Start]:
    """Run the tiny network on each GPU provider that ONNX Runtime lists: it does so where no GPU is, too."""
    from runtime.ort import providers

    try:
        return [_start(provider) for provider in providers() if provider != "cpu"]
    except SetupError:  # no ONNX Runtime that can be loaded: `engines` tells
        return []


def _start(provider: str) -> Start:
    path = FOLDER / SELF_TESTS["onnxruntime"]
    try:
        found = computed("onnxruntime", path, threads=1, provider=provider)
    except Exception as error:  # what a driver raises shares no base but this one
        remedy = f"install the {LIBRARIES[provider]} that this onnxruntime-gpu was built for"
        return Start(provider, False, False, f"{provider} is listed and does not start ({_words(error)})", remedy)
    return Start(provider, True, found == expected(path))


def self_test(engine: str, *, folder: Path = FOLDER) -> SelfTest:
    """Run the tiny network with one thread and with two; `ok` if both give what is expected of every machine.

    An engine that is not installed is a `MissingLibrary`; one that fails in another way is not ok.
    """
    if engine not in SELF_TESTS:
        raise UnknownName("engine", engine, SELF_TESTS)
    path, found, begin = folder / SELF_TESTS[engine], "", time.perf_counter()
    wanted, problem = expected(path), None
    try:
        for threads in (1, 2):
            found = computed(engine, path, threads=threads)
            if found != wanted:
                problem = f"with {threads} threads its integers are others"
                break
    except MissingLibrary:
        raise
    except Error as error:
        found, problem = "", str(error)
    return SelfTest(engine, problem is None, found, wanted, 1e3 * (time.perf_counter() - begin), problem)


def computed(engine: str, path: Path, *, threads: int, provider: str = "cpu") -> str:
    """The SHA-256 of the levels a self-test file makes of an input that holds every level, channels last."""
    import numpy as np

    from runtime.litert import LiteRT
    from runtime.ort import OnnxRuntime

    x = picture()
    if engine == "onnxruntime":
        backend, x = OnnxRuntime(path, provider=provider, threads=threads), x.transpose(0, 3, 1, 2)
        made = next(iter(backend.run(np.ascontiguousarray(x)).values())).transpose(0, 2, 3, 1)
    else:
        (made,) = LiteRT(path, threads=threads).run(x).values()
    return digest(made)


def _engine(name: str, providers: Callable[..., tuple[str, ...]]) -> Engine:
    try:
        library = load(name)
    except MissingLibrary as missing:
        return Engine(name, None, (), missing.remedy)
    except SetupError as broken:
        return Engine(name, None, (), broken.remedy, broken.problem)
    version = next((v for pip in (name, f"{name}-gpu") if (v := _version(pip))), "of unknown version")
    return Engine(name, version, providers(library), None)


def _words(error: Exception) -> str:
    return error.problem if isinstance(error, Error) else str(error).strip().partition("\n")[0]


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


def _cuda(root: Path) -> str | None:
    try:
        about: Any = json.loads((root / "usr/local/cuda/version.json").read_text())
        return str(about["cuda"]["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
