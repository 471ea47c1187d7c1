"""What this machine has to run a model with, whether it computes what it should, and the line that mends what it lacks.

The self-test is a tiny int8 network that lies beside this file as `selftest.onnx` and `selftest.tflite`. Whole numbers
have no rounding to differ in: on every machine and with any number of threads the SHA-256 of the output's levels is the
stored one. Where it is not, the engine's integer kernels are not those the models were proved with.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.errors import Error, MissingLibrary, UnknownName
from runtime.library import need
from runtime.memory import available, cores, total

__all__ = [
    "DIGESTS",
    "SELF_TESTS",
    "STEP",
    "Engine",
    "Machine",
    "SelfTest",
    "computed",
    "engines",
    "machine",
    "notes",
    "self_test",
]

SELF_TESTS = {"onnxruntime": "selftest.onnx", "ai_edge_litert": "selftest.tflite"}
DIGESTS = "selftest.json"
SIDE = 64  # pixels of the self-test's input
STEP = 0.1  # of the grid its output lies on, from -128 to 127 steps
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
    """An inference engine: its version and providers, or the line that installs it."""

    name: str
    version: str | None
    providers: tuple[str, ...]
    remedy: str | None


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
        _engine("onnxruntime", "cpu", lambda ort: tuple(ort.get_available_providers())),
        _engine("ai_edge_litert", "litert", lambda _: ("XNNPACK",)),
    ]


def notes(*, root: Path = ROOT) -> list[str]:
    """What is worth knowing on a Jetson; nothing anywhere else."""
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
    return [*said, "its GPU needs an onnxruntime-gpu built for this JetPack"]


def self_test(engine: str, *, folder: Path = Path(__file__).parent) -> SelfTest:
    """Run the tiny network with one thread and with two; `ok` if both give what is expected of every machine.

    An engine that is not installed is a `MissingLibrary`; one that fails in another way is not ok.
    """
    if engine not in SELF_TESTS:
        raise UnknownName("engine", engine, SELF_TESTS)
    path, digest, begin = folder / SELF_TESTS[engine], "", time.perf_counter()
    expected = str(json.loads((folder / DIGESTS).read_text())[path.name])
    problem = None
    try:
        for threads in (1, 2):
            digest = computed(engine, path, threads=threads)
            if digest != expected:
                problem = f"with {threads} threads its integers are others"
                break
    except MissingLibrary:
        raise
    except Error as error:
        digest, problem = "", str(error)
    return SelfTest(engine, problem is None, digest, expected, 1e3 * (time.perf_counter() - begin), problem)


def computed(engine: str, path: Path, *, threads: int) -> str:
    """The SHA-256 of the levels a self-test file makes of an input that holds every level, channels last."""
    import numpy as np

    from runtime.litert import LiteRT
    from runtime.ort import OnnxRuntime

    # Scattered without a generator, whose numbers another version could change; 7919 has no part in 256.
    x = (np.arange(SIDE * SIDE * 4) * 7919 % 256 / 255).astype(np.float32).reshape(1, SIDE, SIDE, 4)
    if engine == "onnxruntime":
        (made,) = OnnxRuntime(path, threads=threads).run(np.ascontiguousarray(x.transpose(0, 3, 1, 2))).values()
        made = made.transpose(0, 2, 3, 1)
    else:
        (made,) = LiteRT(path, threads=threads).run(x).values()
    # Levels, since the float behind the last one differs in its last bit: ARM multiplies and adds at once.
    return hashlib.sha256(np.rint(made / STEP).astype("<i2").tobytes()).hexdigest()


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


def _cuda(root: Path) -> str | None:
    try:
        about: Any = json.loads((root / "usr/local/cuda/version.json").read_text())
        return str(about["cuda"]["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
