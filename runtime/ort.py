"""The ONNX Runtime backend: an `.onnx` file on the CPU, CUDA or TensorRT, on the provider that was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtime.contract import Contract
from runtime.errors import BadOption, SetupError, UnreadableFile
from runtime.library import need

__all__ = ["CONTRACT", "PROVIDERS", "OnnxRuntime", "Ran"]

CONTRACT = "qk_unet.contract"
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Ran:
    """What executes a graph."""

    engine: str
    provider: str


class OnnxRuntime:
    """A network ready to run, with the contract that came with it."""

    def __init__(self, path: str | Path, *, provider: str = "cpu", threads: int | None = None, **options: Any) -> None:
        """`options` are set on ONNX Runtime's SessionOptions as they are."""
        library = need("onnxruntime", library="onnxruntime", extra="cpu")
        wanted = _provider(library, provider)
        self.levels = library.GraphOptimizationLevel
        settings = library.SessionOptions()
        settings.log_severity_level = 3  # it warns of every shape it does not know beforehand: all of them
        settings.intra_op_num_threads = threads or 0
        for name, value in options.items():
            setattr(settings, name, value)
        try:
            self.session = library.InferenceSession(str(path), settings, providers=[wanted])
        except Exception as error:  # its own exceptions share no base but this one
            remedy = "fetch or write it again, or install a later onnxruntime"
            raise UnreadableFile(path, f"cannot be run by ONNX Runtime ({_first_line(error)})", remedy) from None
        took = self.session.get_providers()[0]
        if took != wanted:
            raise SetupError(f"ONNX Runtime took {took} where {wanted} was asked for", "qk-run doctor")
        self.ran = Ran(f"ONNX Runtime {library.__version__}", provider)
        text = self.session.get_modelmeta().custom_metadata_map.get(CONTRACT)
        self.contract = Contract.from_json(text, source=path)

    def run(self, batch: Array) -> dict[str, Array]:
        """Each exit's output, by name, for a float32 batch (n, planes, height, width)."""
        if batch.ndim != 4 or batch.dtype != np.float32 or batch.shape[1] != len(self.contract.planes):
            raise ValueError(f"a batch is (n, {len(self.contract.planes)}, height, width) in float32")
        self.contract.require_size(*batch.shape[2:])
        names = list(self.contract.exits)
        (read,) = (end.name for end in self.session.get_inputs())
        return dict(zip(names, self.session.run(names, {read: batch}), strict=True))


def _provider(library: Any, name: str) -> str:
    """ONNX Runtime's name for a provider that is there; it would fall back to the CPU without a word."""
    if name not in PROVIDERS:
        raise BadOption("provider", name, " or ".join(PROVIDERS))
    if PROVIDERS[name] not in library.get_available_providers():
        raise SetupError(
            f"this ONNX Runtime has no provider {name}", "pip install 'qk-unet[gpu]' on a machine with CUDA"
        )
    return PROVIDERS[name]


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]
