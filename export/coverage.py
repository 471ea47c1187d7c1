"""What ONNX Runtime really runs in integers: read off its optimized graph and one profiled run, not assumed."""

from __future__ import annotations

import json
import math
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from runtime.ort import OnnxRuntime

__all__ = ["Coverage", "coverage"]

INTEGER = {"QLinearConv", "ConvInteger", "QGemm", "MatMulInteger", "QLinearMatMul"}
MULTIPLY = INTEGER | {"Conv", "FusedConv", "NhwcFusedConv", "ConvTranspose", "Gemm", "MatMul", "FusedMatMul"}


@dataclass(frozen=True)
class Coverage:
    """Multiply-accumulates in integer kernels and in all; Transposes; nodes that put out float, by name and kind."""

    integer_macs: int
    macs: int
    transposes: int
    floats: tuple[tuple[str, str], ...]
    nodes: Counter[str]

    @property
    def share(self) -> float:
        """The part of the work done in integers."""
        return self.integer_macs / self.macs if self.macs else 0.0


def coverage(path: str | Path, *, height: int, width: int) -> Coverage:
    """Run a file once at that size, at the optimization level that ships, and read what ran."""
    with tempfile.TemporaryDirectory() as folder:
        optimized = Path(folder) / "optimized.onnx"
        engine = OnnxRuntime(
            path,
            threads=1,
            optimized_model_filepath=str(optimized),
            enable_profiling=True,
            profile_file_prefix=str(Path(folder) / "profile"),
        )
        engine.run(np.zeros((1, len(engine.contract.planes), height, width), np.float32))
        events = json.loads(Path(engine.session.end_profiling()).read_text())
        graph = onnx.load(optimized).graph
    ran = [e for e in events if e.get("cat") == "Node" and e["name"].endswith("_kernel_time")]
    shapes = {e["name"].removesuffix("_kernel_time"): e["args"]["output_type_shape"] for e in ran}
    work = {node.name: _macs(node, graph, shapes) for node in graph.node if node.op_type in MULTIPLY}
    kinds = {node.name: node.op_type for node in graph.node}
    ends = {output.name for output in graph.output}
    inner = [n for n in graph.node if not (n.op_type == "DequantizeLinear" and set(n.output) <= ends)]
    return Coverage(
        integer_macs=sum(macs for name, macs in work.items() if kinds[name] in INTEGER),
        macs=sum(work.values()),
        transposes=sum(e["args"]["op_name"] == "Transpose" for e in ran),
        floats=tuple((n.name, n.op_type) for n in inner if _is_float(shapes.get(n.name))),
        nodes=Counter(e["args"]["op_name"] for e in ran),
    )


def _macs(node: Any, graph: Any, shapes: dict[str, Any]) -> int:
    """Every output number costs the kernel of one output channel; a transposed one is counted from its input."""
    weights = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    kernel = next(weights[name] for name in node.input if len(weights.get(name, ())) >= 2)
    (made,) = (shape for one in shapes[node.name][:1] for shape in one.values())
    if node.op_type == "ConvTranspose":
        strides = next((a.ints for a in node.attribute if a.name == "strides"), [1, 1])
        return math.prod(made) // math.prod(strides) * kernel[0] * math.prod(kernel[2:])
    return math.prod(made) * math.prod(kernel[1:])


def _is_float(shape: Any) -> bool:
    return bool(shape) and any("float" in one for one in shape)
