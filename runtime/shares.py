"""How much of a model runs in integers, and on the provider that was asked for: read off the engine, not assumed.

ONNX Runtime is asked what it ran: a profiled run of a second session, made like the first, names every kernel with
its provider and the types and shapes of what it read and wrote. Kernels are kept as they are there, for a layer's
multiply-accumulates are counted from its kernel. TensorRT runs many nodes as one, whose inside it does not tell.
For TFLite the operators' tensors have their types in the file; of the provider XNNPACK the session knows what it took.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtime import tflite
from runtime.library import engine
from runtime.litert import LiteRT
from runtime.onnx_file import look
from runtime.ort import PROVIDERS, OnnxRuntime
from runtime.session import Session

__all__ = ["Kernel", "Shares", "macs", "of_kernels", "of_operators", "shares"]

Shape = Sequence[int]
# The kernels that multiply; each ONNX Runtime name may come with Fused or Nhwc in front or Add behind.
MULTIPLY = ("Conv", "Gemm", "MatMul")
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32")
SIDE = 64  # of the profiled input, or the network's multiple: the shares of the work hardly change with it


@dataclass(frozen=True)
class Shares:
    """Parts of one: work done in integers, nodes on the provider asked for. None where the engine does not tell."""

    integers: float | None
    provider: float | None


@dataclass(frozen=True)
class Kernel:
    """A kernel that ran: its operator and provider, and the type and shape of each tensor in and out."""

    operator: str
    provider: str
    reads: tuple[tuple[str, tuple[int, ...]], ...]
    writes: tuple[tuple[str, tuple[int, ...]], ...]


def shares(session: Session, path: str | Path) -> Shares:
    """The shares of an opened model; `path` is the file it was opened from."""
    backend = session.backend
    if isinstance(backend, OnnxRuntime):
        kernels = _profiled(backend, Path(path))
        return of_kernels(kernels, provider=PROVIDERS[session.ran.provider], nodes=look(path).nodes.total())
    if isinstance(backend, LiteRT):
        ran = backend.ran()
        left = sum(ran.left.values())
        return Shares(of_operators(tflite.read(path)[0]), 1 - left / ran.operators if ran.operators else None)
    return Shares(None, None)


def of_kernels(kernels: Sequence[Kernel], *, provider: str, nodes: int) -> Shares:
    """Of what ONNX Runtime ran; `nodes` is how many the file has."""
    if not kernels:
        return Shares(None, None)
    elsewhere = sum(one.provider != provider for one in kernels)
    if provider == PROVIDERS["tensorrt"]:  # one kernel of its own stands for all nodes that it took
        return Shares(None, max(1 - elsewhere / max(nodes, 1), 0.0))
    work = [(macs(one), one.reads[0][0] in INTEGERS) for one in kernels if _multiplies(one)]
    return Shares(_share(work), 1 - elsewhere / len(kernels))


def of_operators(model: bytes) -> float | None:
    """The part of a TFLite model's multiply-accumulates whose input is of whole numbers."""
    schema = tflite.schema()
    root = schema.Model.GetRootAs(model)
    graph = root.Subgraphs(0)
    code, types = schema.BuiltinOperator, schema.TensorType
    integers = {types.INT8, types.UINT8, types.INT16, types.INT4}
    # Operator -> which input it works on, whether its output or its input says how often the kernel is laid on, and
    # the kernel's axes that each of those numbers costs. Kernels: (out, y, x, in), depthwise (1, y, x, out).
    rules = {
        code.CONV_2D: (0, False, (1, 2, 3)),
        code.DEPTHWISE_CONV_2D: (0, False, (1, 2)),
        code.FULLY_CONNECTED: (0, False, (1,)),
        code.TRANSPOSE_CONV: (2, True, (0, 1, 2)),
    }
    work = []
    for operator in (graph.Operators(i) for i in range(graph.OperatorsLength())):
        record = root.OperatorCodes(operator.OpcodeIndex())
        rule = rules.get(max(record.BuiltinCode(), record.DeprecatedBuiltinCode()))
        if rule is None:
            continue
        at, from_input, axes = rule
        read, kernel = (graph.Tensors(operator.Inputs(i)) for i in (at, 1))
        laid = read if from_input else graph.Tensors(operator.Outputs(0))
        cost = math.prod(kernel.Shape(axis) for axis in axes)
        work.append((math.prod(map(int, laid.ShapeAsNumpy())) * cost, read.Type() in integers))
    return _share(work)


def macs(ran: Kernel) -> int:
    """A kernel's multiply-accumulates."""
    made, read = math.prod(ran.writes[0][1]), ran.reads[0][1]
    kernel = next((shape for _, shape in ran.reads[1:] if len(shape) >= 2), (1, 1))
    if "ConvTranspose" in ran.operator:  # every number read is multiplied with the kernel of its channel
        return math.prod(read) * math.prod(kernel[1:])
    return made * (math.prod(kernel[1:]) if "Conv" in ran.operator else read[-1])


def _multiplies(ran: Kernel) -> bool:
    return any(kind in ran.operator for kind in MULTIPLY) and bool(ran.reads and ran.writes)


def _share(work: Iterable[tuple[int, bool]]) -> float | None:
    work = list(work)
    total = sum(count for count, _ in work)
    return sum(count for count, whole in work if whole) / total if total else None


def _profiled(backend: OnnxRuntime, path: Path) -> list[Kernel]:
    """What a session on the same providers runs, with kernels kept in the form in which their shape is told."""
    library = engine("onnxruntime")
    contract, took = backend.contract, backend.session.get_providers()
    options = backend.session.get_provider_options()
    side = -(-SIDE // contract.multiple) * contract.multiple
    with tempfile.TemporaryDirectory() as folder:
        settings = library.SessionOptions()
        settings.log_severity_level = 3
        settings.enable_profiling = True
        settings.profile_file_prefix = str(Path(folder) / "profile")
        settings.add_session_config_entry("session.disable_prepacking", "1")
        providers = [(name, options[name]) for name in took]
        session = library.InferenceSession(str(path), settings, providers=providers)
        planes = np.zeros((1, len(contract.planes), side, side), np.float32)
        session.run(None, {session.get_inputs()[0].name: planes})
        return _read(json.loads(Path(session.end_profiling()).read_text()))


def _read(events: Iterable[Mapping[str, Any]]) -> list[Kernel]:
    """The kernels among a profile's events."""
    return [
        Kernel(
            operator=event["args"]["op_name"],
            provider=event["args"].get("provider", ""),
            reads=_tensors(event["args"].get("input_type_shape", [])),
            writes=_tensors(event["args"].get("output_type_shape", [])),
        )
        for event in events
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")
    ]


def _tensors(told: Iterable[Mapping[str, Iterable[int]]]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple((kind, tuple(shape)) for one in told for kind, shape in one.items())
