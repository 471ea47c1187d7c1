"""Layer by layer: where a file parts from the reference first, in the very kernels that ship."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from export.reference import reference, tensorflow_convolve
from export.settle import settled
from keras_models.graph import steps
from keras_models.lowered import Lowered
from keras_models.quantize import Quantize
from runtime.litert import LiteRT
from runtime.ort import OnnxRuntime

__all__ = ["Layer", "first_departure", "layerwise"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Layer:
    """One tensor of whole numbers: how much of it equals the reference, and by how many steps it is off at worst."""

    name: str
    kind: str
    exact: float
    worst: int


def layerwise(lowered: Lowered, path: str | Path, x: Array) -> list[Layer]:
    """Every layer of the file that could be held against the reference, in the order they run; x is channels last."""
    plain = settled(lowered)
    wanted = reference(plain, x, convolve=tensorflow_convolve)
    lows = {step.name: step.layer.grid.low for step in steps(plain.model) if isinstance(step.layer, Quantize)}
    found = _onnx(path, x, plain) if Path(path).suffix == ".onnx" else _tflite(path, x, plain)
    rows = []
    for name, (kind, q) in found.items():
        if name in lows:
            level = wanted[name] - lows[name]
            # ONNX Runtime lays tensors out as it likes; of two layouts that fit, the wrong one is nowhere near.
            fits = [v for v in (q, q.transpose(0, 2, 3, 1)) if v.shape == level.shape]
            offs = sorted((np.abs(v.astype(np.int64) - level) for v in fits), key=np.mean)
            rows += [Layer(name, kind, float(np.mean(off == 0)), int(off.max())) for off in offs[:1]]
    return rows


def first_departure(rows: list[Layer]) -> Layer | None:
    """The first layer that does not equal the reference."""
    return next((row for row in rows if row.worst), None)


def _onnx(path: str | Path, x: Array, plain: Lowered) -> dict[str, tuple[str, Array]]:
    """The whole numbers inside ONNX Runtime's own optimized graph, which is run again with every one as an output."""
    with tempfile.TemporaryDirectory() as folder:
        optimized, opened = Path(folder) / "optimized.onnx", Path(folder) / "opened.onnx"
        engine = OnnxRuntime(path, optimized_model_filepath=str(optimized))
        model = onnx.load(optimized)
        nodes = {node.output[0]: node for node in model.graph.node}
        del model.graph.output[:]
        model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in nodes)
        onnx.save(model, opened)
        as_is = OnnxRuntime(opened, graph_optimization_level=engine.levels.ORT_DISABLE_ALL)
        values = as_is.session.run(list(nodes), {model.graph.input[0].name: x.transpose(0, 3, 1, 2)})
    rounded = {step.reads[0]: step.name for step in steps(plain.model) if isinstance(step.layer, Quantize)}
    after = {step.name: rounded.get(step.makes, step.name) for step in steps(plain.model)}
    found = {}
    for (output, node), value in zip(nodes.items(), values, strict=True):
        # An optimized node keeps the name of what it was made from, a number behind it.
        name = re.sub(r"(_token_\d+|_q|/duplicated)+$", "", node.name or output)
        if value.dtype == np.uint8 and value.ndim == 4:
            found[after.get(name, name)] = (node.op_type, value)
    return found


def _tflite(path: str | Path, x: Array, plain: Lowered) -> dict[str, tuple[str, Array]]:
    """The whole numbers inside LiteRT: there a grid is stored with its highest level at 127."""
    engine = LiteRT(path, keep_all=True)
    grids = {step.name: step.layer.grid for step in steps(plain.model) if isinstance(step.layer, Quantize)}
    zeros = engine.zeros()
    return {
        name: ("int8", value.astype(np.int64) - zeros[name] + grids[name].zero - grids[name].low)
        for name, value in engine.run_all(x).items()
        if name in grids and name in zeros
    }
