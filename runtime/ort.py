"""The ONNX Runtime backend: an `.onnx` file on the CPU, CUDA or TensorRT, on the provider that was asked for."""

from __future__ import annotations

import functools
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtime.contract import Contract
from runtime.errors import BadContract, BadOption, SetupError, UnreadableFile
from runtime.library import engine
from runtime.onnx_file import look
from runtime.selftest import FOLDER, SELF_TESTS, digest, expected, picture

__all__ = ["CONTRACT", "PROVIDERS", "OnnxRuntime", "Ran", "providers"]

CONTRACT = "qk_unet.contract"
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
Array = np.ndarray[Any, Any]
LONGEST = 200  # letters of its own words


@dataclass(frozen=True)
class Ran:
    """What executes a graph."""

    engine: str
    provider: str


class OnnxRuntime:
    """A network ready to run, with the contract that came with it."""

    def __init__(self, path: str | Path, *, provider: str = "cpu", threads: int | None = None, **options: Any) -> None:
        """`options` are set on ONNX Runtime's SessionOptions as they are."""
        self.library = library = engine("onnxruntime")
        wanted = _provider(library, provider)
        self.contract = Contract.from_json(look(path).metadata.get(CONTRACT), source=path)
        self.levels = library.GraphOptimizationLevel
        settings = library.SessionOptions()
        settings.log_severity_level = 3  # it warns of every shape it does not know beforehand: all of them
        settings.intra_op_num_threads = threads or 0
        settings.enable_mem_pattern = False  # a plan of memory for every size: half as much again, for no time
        # Between two runs the picture is developed: threads that wait for work would take a core from that.
        settings.add_session_config_entry("session.force_spinning_stop", "1")
        settings.add_session_config_entry("session.use_env_allocators", _arena(library))
        for name, value in options.items():
            setattr(settings, name, value)
        try:
            settings.add_session_config_entry("session.x64quantprecision", str(int(_cuts_off(library))))
            # Without its own way out: that takes the CPU, and prints so where answers are printed.
            self.session = library.InferenceSession(str(path), settings, providers=_chain(provider), enable_fallback=0)
        except Exception as error:  # its own exceptions share no base but this one
            raise _refused(path, provider, error) from None
        took = self.session.get_providers()[0]
        if took != wanted:
            raise SetupError(f"ONNX Runtime took {took} where {wanted} was asked for", "qk-run doctor")
        self._check_ends(path)
        self.ran = Ran(f"ONNX Runtime {library.__version__}", provider)

    def _check_ends(self, path: str | Path) -> None:
        """Raise `BadContract` unless the graph begins and ends as its contract says."""
        begins, ends = self.session.get_inputs(), [end.name for end in self.session.get_outputs()]
        channels = begins[0].shape[1] if len(begins) == 1 and len(begins[0].shape) == 4 else None
        if channels != len(self.contract.planes) or not set(self.contract.exits) <= set(ends):
            said = f"{len(self.contract.planes)} planes in and {', '.join(self.contract.exits)} out"
            raise BadContract(path, f"does not have what its contract says: {said}", "write it again with qk-export")

    def run(self, batch: Array, *, out: Array | None = None) -> dict[str, Array]:
        """Each exit's output, by name, for a float32 batch (n, planes, height, width).

        The first exit is written to `out` if there is one.
        """
        if batch.ndim != 4 or batch.dtype != np.float32 or batch.shape[1] != len(self.contract.planes):
            raise ValueError(f"a batch is (n, {len(self.contract.planes)}, height, width) in float32")
        self.contract.require_size(*batch.shape[2:])
        first, *others = self.contract.exits
        (read,) = (end.name for end in self.session.get_inputs())
        if out is None:
            found = self.session.run([first, *others], {read: batch})
            return dict(zip([first, *others], found, strict=True))
        ends = self.session.io_binding()
        ends.bind_cpu_input(read, np.ascontiguousarray(batch))
        ends.bind_output(first, "cpu", 0, np.float32, out.shape, out.ctypes.data)
        for name in others:
            ends.bind_output(name)
        self.session.run_with_iobinding(ends)
        copied = ends.copy_outputs_to_cpu()[1:] if others else []
        return {first: out, **dict(zip(others, copied, strict=True))}

    def release(self) -> None:
        """The arena gives back what is free at the end of a run: of a least one nearly all."""
        options = self.library.RunOptions()
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        (read,) = self.session.get_inputs()
        side = self.contract.multiple
        least = np.zeros((1, len(self.contract.planes), side, side), np.float32)
        self.session.run(list(self.contract.exits), {read.name: least}, options)


def providers() -> list[str]:
    """The names of the providers that the installed ONNX Runtime has, best first."""
    there = engine("onnxruntime").get_available_providers()
    return [name for name in ("tensorrt", "cuda", "cpu") if PROVIDERS[name] in there]


def _provider(library: Any, name: str) -> str:
    """ONNX Runtime's name for a provider that is there; it would fall back to the CPU without a word."""
    if name not in PROVIDERS:
        raise BadOption("provider", name, " or ".join(PROVIDERS))
    if PROVIDERS[name] not in library.get_available_providers():
        # Both bring the same files: one over the other leaves neither whole.
        remedy = "pip uninstall onnxruntime, then pip install 'qk-unet[gpu]'; on a Jetson see qk-run doctor"
        raise SetupError(f"this ONNX Runtime has no provider {name}", remedy)
    return PROVIDERS[name]


def _chain(name: str) -> list[Any]:
    """The provider and, behind TensorRT, the one for nodes it does not take; its engines are kept between runs."""
    if name != "tensorrt":
        return [PROVIDERS[name]]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qk-unet" / "tensorrt"
    cache.mkdir(parents=True, exist_ok=True)
    options = {
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": str(cache),
        "trt_timing_cache_enable": True,
        "trt_timing_cache_path": str(cache),
    }
    return [(PROVIDERS[name], options), PROVIDERS["cuda"]]


@functools.cache
def _arena(library: Any) -> str:
    """Memory on the CPU in pieces of the size that is asked for, once for the process: "1" if that can be had.

    As it comes, ONNX Runtime doubles its arena, and what a run takes at most cannot be said beforehand.
    """
    try:
        kind, ask = library.OrtMemoryInfo, library.OrtArenaCfg
        place = kind("Cpu", library.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, library.OrtMemType.DEFAULT)
        config = {"max_mem": 0, "arena_extend_strategy": 1, "initial_chunk_size_bytes": -1}
        library.create_and_register_allocator(place, ask({**config, "max_dead_bytes_per_chunk": -1}))
    except (AttributeError, RuntimeError, TypeError):  # not in this build, or somebody else was first
        return "0"
    return "1"


@functools.cache
def _cuts_off(library: Any) -> bool:
    """Whether sums of two products of 8 bits end at 16 bits here, as on x86 with AVX2 and without VNNI.

    An option takes exact kernels instead. Not with VNNI: its own are exact too, in less than half the time.
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    path, settings = FOLDER / SELF_TESTS["onnxruntime"], library.SessionOptions()
    settings.log_severity_level, settings.intra_op_num_threads = 3, 1
    session = library.InferenceSession(str(path), settings, providers=[PROVIDERS["cpu"]], enable_fallback=0)
    (read,) = session.get_inputs()
    (made,) = session.run(None, {read.name: np.ascontiguousarray(picture().transpose(0, 3, 1, 2))})
    return digest(made.transpose(0, 2, 3, 1)) != expected(path)


def _refused(path: str | Path, provider: str, error: Exception) -> UnreadableFile | SetupError:
    """On the CPU it is the file that is not taken, on a GPU more often the machine."""
    words = str(error).strip().partition("\n")[0]
    words = words if len(words) <= LONGEST else f"...{words[-LONGEST:]}"  # in front stand the places in its source
    if provider == "cpu":
        remedy = "fetch or write it again, or install a later onnxruntime"
        return UnreadableFile(path, f"cannot be run by ONNX Runtime ({words})", remedy)
    problem = f"ONNX Runtime cannot run {str(path)!r} on {provider} ({words})"
    return SetupError(problem, "qk-run doctor shows what starts here")
