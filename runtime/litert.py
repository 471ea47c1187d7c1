"""The LiteRT backend: a `.tflite` file on the CPU, through XNNPACK, which LiteRT uses by itself."""

from __future__ import annotations

import importlib.metadata
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtime.errors import BadContract, UnreadableFile
from runtime.hush import hushed
from runtime.library import engine
from runtime.tflite import read, require_finite, unpacked

__all__ = ["LiteRT", "Ran"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Ran:
    """What executes a graph: how many parts XNNPACK took, how many of all operators, and those it left, by kind."""

    engine: str
    delegates: int
    operators: int
    left: dict[str, int]


class LiteRT:
    """A network ready to run, with the contract that came with it."""

    # It takes twice the memory of ONNX Runtime: of a frame of 12 megapixels in six windows a sixth is laid out, in as
    # little time, though they overlap.
    fresh = 1.0

    def __init__(self, path: str | Path, *, threads: int | None = None, keep_all: bool = False) -> None:
        """`keep_all` keeps every tensor for `run_all`, which costs their memory; the numbers are the same."""
        library = engine("ai_edge_litert")
        model, self.contract = read(path)
        self.keep_all = keep_all
        require_finite(model, source=path)
        self._model = unpacked(model)  # the interpreter reads from it as long as it lives
        try:
            with warnings.catch_warnings(), hushed():
                # Keeping all tensors is for debugging, it says; it was asked for.
                warnings.filterwarnings("ignore", message=".*experimental_preserve_all_tensors", category=UserWarning)
                self._interpreter = library.Interpreter(
                    model_content=self._model, num_threads=threads, experimental_preserve_all_tensors=keep_all
                )
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            problem, remedy = f"cannot be run by LiteRT ({error})", "install a later ai-edge-litert"
            raise UnreadableFile(path, problem, remedy) from None
        self.version = f"LiteRT {importlib.metadata.version('ai-edge-litert')}"
        (self._input,) = self._interpreter.get_input_details()
        self._shape: tuple[int, ...] = tuple(self._input["shape"])
        ends = len(self._interpreter.get_output_details())
        if self._shape[3:] != (len(self.contract.planes),) or ends != len(self.contract.exits):
            said = f"{len(self.contract.planes)} planes in and {', '.join(self.contract.exits)} out"
            raise BadContract(path, f"does not have what its contract says: {said}", "write it again with qk-export")

    def run(self, batch: Array, *, out: Array | None = None) -> dict[str, Array]:
        """Each exit's output for a float32 batch (n, height, width, planes); int8 ends are converted here.

        The first is written to `out`, planes first, if there is one.
        """
        self._invoke(batch)
        made = {}
        for name, end in zip(self.contract.exits, self._interpreter.get_output_details(), strict=True):
            made[name] = _dequantized(self._interpreter.get_tensor(end["index"]), end)
        if out is not None:
            np.copyto(out, made[self.contract.exits[0]].transpose(0, 3, 1, 2))
            made[self.contract.exits[0]] = out
        return made

    def lend(self, batch: Array) -> Array:
        """The first exit as it lies in the interpreter's memory, which wants it forgotten before the next run."""
        self._invoke(batch)
        end = self._interpreter.get_output_details()[0]
        return _dequantized(self._interpreter.tensor(end["index"])(), end)

    def release(self) -> None:
        """LiteRT keeps the memory of its last size: here the least there is."""
        side = self.contract.multiple
        self._invoke(np.zeros((1, side, side, len(self.contract.planes)), np.float32))

    def run_all(self, batch: Array) -> dict[str, Array]:
        """Every tensor that is computed, by name, as it is: whole numbers where the file has them."""
        if not self.keep_all:
            raise ValueError("tensors are kept only with keep_all=True")
        self._invoke(batch)
        return {
            tensor["name"]: self._interpreter.get_tensor(tensor["index"])
            for operator in self._interpreter._get_ops_details()
            for tensor in map(self._tensors().__getitem__, operator["outputs"])
        }

    def zeros(self) -> dict[str, int]:
        """The zero point of every tensor of whole numbers, by name: files may store a grid shifted."""
        return {t["name"]: int(t["quantization_parameters"]["zero_points"][0]) for t in self._tensors().values()
                if t["quantization_parameters"]["zero_points"].size}  # fmt: skip

    def ran(self) -> Ran:
        """What executes the graph, operator by operator."""
        details = self._interpreter._get_ops_details()
        makers: dict[int, dict[str, Any]] = {}
        for operator in details:  # the delegates come last, and replace what they took
            makers.update(dict.fromkeys(map(int, operator["outputs"]), operator))
        wanted = [int(end["index"]) for end in self._interpreter.get_output_details()]
        used: dict[int, str] = {}
        while wanted:
            operator = makers.get(wanted.pop(), {})
            if operator and operator["index"] not in used:
                used[operator["index"]] = operator["op_name"]
                wanted += [int(tensor) for tensor in operator["inputs"]]
        kinds = Counter(used.values())
        delegates = kinds.pop("DELEGATE", 0)
        whole = sum(operator["op_name"] != "DELEGATE" for operator in details)
        return Ran(f"{self.version}, XNNPACK", delegates, whole, dict(kinds))

    def _invoke(self, batch: Array) -> None:
        """Feed and run; memory is laid out anew only when the shape has changed."""
        if batch.ndim != 4 or batch.dtype != np.float32 or batch.shape[3] != len(self.contract.planes):
            raise ValueError(f"a batch is (n, height, width, {len(self.contract.planes)}) in float32")
        self.contract.require_size(*batch.shape[1:3])
        if batch.shape != self._shape:
            self._shape = ()  # whatever there was is gone, also if this fails
            self._interpreter.resize_tensor_input(self._input["index"], batch.shape, strict=True)
            self._interpreter.allocate_tensors()
            self._shape = batch.shape
        np.copyto(self._interpreter.tensor(self._input["index"])(), _quantized(batch, self._input))
        self._interpreter.invoke()

    def _tensors(self) -> dict[int, dict[str, Any]]:
        return {int(tensor["index"]): tensor for tensor in self._interpreter.get_tensor_details()}


def _quantized(x: Array, tensor: dict[str, Any]) -> Array:
    """x as the tensor wants it: on its grid, half to even, if it is of whole numbers."""
    if tensor["dtype"] == np.float32:
        return x
    scale, zero = tensor["quantization"]
    limits = np.iinfo(tensor["dtype"])
    q: Array = np.clip(np.rint(x / np.float32(scale)) + zero, limits.min, limits.max).astype(tensor["dtype"])
    return q


def _dequantized(q: Array, tensor: dict[str, Any]) -> Array:
    """The float32 values of what came out."""
    if tensor["dtype"] == np.float32:
        return q
    scale, zero = tensor["quantization"]
    x: Array = np.subtract(q, np.float32(zero), dtype=np.float32)  # exact
    return np.multiply(x, np.float32(scale), out=x)
