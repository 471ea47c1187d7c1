"""The ONNX writer: a walk over the plain form, channels first, grids as explicit Q/DQ pairs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras
from onnx import TensorProto, helper

from export.onnx_graph import Graph
from export.reference import bias_levels
from export.settle import settled
from keras_models.fixed_point import FixedPoint
from keras_models.graph import Step, outputs, steps
from keras_models.hoist import grids, moves, requantized
from keras_models.layers import AlignedUpsample, DepthToSpace
from keras_models.lowered import Lowered
from keras_models.quantize import Quantize
from runtime.atomic import writing
from runtime.contract import Contract
from runtime.errors import UnknownLayer
from runtime.ort import CONTRACT

__all__ = ["to_onnx"]

K = tf_keras.layers


def to_onnx(lowered: Lowered, contract: Contract, path: str | Path) -> None:
    """Write a network in the plain form; nothing is written unless every layer is known."""
    lowered = settled(lowered.check())
    walk = steps(lowered.model)
    graph, known, inner = Graph(), grids(walk), requantized(lowered.model)
    rounded = inner | {step.reads[0] for step in walk if isinstance(step.layer, Quantize)}
    tensors: dict[int, str] = {}
    for step in walk:
        reads = [tensors[tensor] for tensor in step.reads]
        if not reads:
            tensors[step.makes] = step.name
            continue
        grid, after = known[step.reads[0]], known[step.makes]
        if step.makes not in inner and isinstance(step.layer, K.Conv2D | K.DepthwiseConv2D):
            grid = None  # its sums are wanted in float
        made = _write(graph, step.layer, reads, grid, lowered)
        if _is_float(step, lowered) and known[step.reads[0]] is not None and step.makes in rounded:
            # A float kernel between two grids ONNX Runtime would round to 8 bits by itself; a leaky ReLU that does
            # nothing tells it not to, and becomes part of the convolution.
            made = graph.node("LeakyRelu", [made], f"{step.name}_float", alpha=1.0)
        if moves(step.layer) and after is not None:
            # Rounding again to the same grid changes nothing, and tells the engine that whole numbers may move.
            made = graph.quantize(made, after, f"{step.name}_same", saturate=False)
        tensors[step.makes] = made
    ends = [graph.rename(tensors[t], name) for t, name in zip(outputs(lowered.model), contract.exits, strict=True)]
    text = replace(contract, layout="NCHW").to_json()
    model = graph.model([_input(lowered.model)], [_output(end, contract) for end in ends], {CONTRACT: text})
    with writing(path) as file:
        file.write(model.SerializeToString())


def _is_float(step: Step, lowered: Lowered) -> bool:
    return isinstance(step.layer, K.Conv2D | K.DepthwiseConv2D) and step.name not in lowered.kernels


def _input(model: Any) -> Any:
    channels = model.inputs[0].shape[-1]
    return helper.make_tensor_value_info(
        model.input_names[0], TensorProto.FLOAT, ["batch", channels, "height", "width"]
    )


def _output(name: str, contract: Contract) -> Any:
    sides = [f"{name}_height", f"{name}_width"]
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", contract.channels, *sides])


def _write(graph: Graph, layer: Any, reads: list[str], grid: Any, lowered: Lowered) -> str:
    """One layer; returns the name of the tensor it makes, which is the layer's."""
    name, x = layer.name, reads[0]
    match layer:
        case Quantize() if grid is not None and grid != layer.grid:
            # Two roundings in a row ONNX Runtime takes for one; a leaky ReLU that does nothing keeps them apart, and
            # has an integer kernel.
            return graph.quantize(graph.node("LeakyRelu", [x], f"{name}_apart", alpha=1.0), layer.grid, name)
        case Quantize():
            return graph.quantize(x, layer.grid, name)
        case FixedPoint():
            return _fixed_point(graph, layer, x)
        case K.Conv2D() | K.DepthwiseConv2D():
            return _convolution(graph, layer, x, grid, lowered)
        case K.ReLU(max_value=None, negative_slope=slope, threshold=threshold) if not slope and not threshold:
            # ONNX Runtime has an integer kernel for a leaky ReLU, any slope, and none for this one.
            return graph.node("Relu", [x], name) if grid is None else graph.node("LeakyRelu", [x], name, alpha=0.0)
        case K.LeakyReLU():
            return graph.node("LeakyRelu", [x], name, alpha=float(layer.alpha))
        case K.Activation():
            return _activation(graph, layer, x)
        case K.MaxPooling2D(pool_size=pool, strides=strides) if pool == strides:
            return graph.node("MaxPool", [x], name, kernel_shape=list(pool), strides=list(strides))
        case K.UpSampling2D() | AlignedUpsample():
            return _enlarged(graph, layer, x)
        case K.GlobalAveragePooling2D(keepdims=True):
            return graph.node("GlobalAveragePool", [x], name)
        case K.Concatenate(axis=-1):
            return graph.node("Concat", reads, name, axis=1)
        case K.Add() if len(reads) == 2:
            return graph.node("Add", reads, name)
        case K.Multiply() if len(reads) == 2:
            return graph.node("Mul", reads, name)
        case DepthToSpace() if grid is None:
            return graph.node("DepthToSpace", [x], name, blocksize=layer.block, mode="DCR")
        case DepthToSpace():
            return _shuffle(graph, layer, x)
    raise UnknownLayer(name, type(layer).__name__, "the ONNX writer")


def _convolution(graph: Graph, layer: Any, x: str, grid: Any, lowered: Lowered) -> str:
    """Conv, its kernel turned to channels first; quantized where the kernel and its input both have a grid."""
    kernel, *biases = layer.get_weights()
    depthwise = isinstance(layer, K.DepthwiseConv2D)
    if depthwise and kernel.shape[3] != 1:
        raise UnknownLayer(layer.name, "DepthwiseConv2D with a depth multiplier", "the ONNX writer")
    outs = kernel.shape[2] if depthwise else kernel.shape[3]
    bias = biases[0] if biases else np.zeros(outs, np.float32)
    turn = (2, 3, 0, 1) if depthwise else (3, 2, 0, 1)
    own = lowered.kernels.get(layer.name)
    names = [f"{layer.name}_kernel", f"{layer.name}_bias"]
    if own is not None and grid is not None:
        weights = graph.kernel(own.quantize(kernel).transpose(turn), own, names[0])
        step = grid.scale * own.scale
        shift = graph.bias(bias_levels(np.broadcast_to(bias, outs), step, of=layer.name), step, names[1])
    else:
        weights = (
            graph.constant(names[0], kernel.transpose(turn))
            if own is None
            else graph.float_kernel(own.quantize(kernel).transpose(turn), own, names[0])
        )
        shift = graph.constant(names[1], bias)
    attributes = {"group": outs} if depthwise else {}
    return graph.node("Conv", [x, weights, shift], layer.name, **attributes, **_window(layer))


def _window(layer: Any) -> dict[str, list[int]]:
    """Strides, dilations and pads: TensorFlow's "same", for sides the stride divides."""
    reach = [(k - 1) * d + 1 for k, d in zip(layer.kernel_size, layer.dilation_rate, strict=True)]
    if layer.padding != "same" and reach != list(layer.strides):
        raise UnknownLayer(layer.name, f"{type(layer).__name__} with padding {layer.padding!r}", "the ONNX writer")
    total = [max(r - s, 0) for r, s in zip(reach, layer.strides, strict=True)]
    before = [t // 2 for t in total]
    return {
        "kernel_shape": list(layer.kernel_size),
        "strides": list(layer.strides),
        "dilations": list(layer.dilation_rate),
        "pads": before + [t - b for t, b in zip(total, before, strict=True)],
    }


def _activation(graph: Graph, layer: Any, x: str) -> str:
    kind = tf_keras.activations.serialize(layer.activation)
    match kind:
        case "linear":
            return graph.node("Identity", [x], layer.name)
        case "relu" | "sigmoid":
            return graph.node(kind.capitalize(), [x], layer.name)
        case "silu" | "swish":
            return graph.node("Mul", [x, graph.node("Sigmoid", [x], f"{layer.name}_gate")], layer.name)
    raise UnknownLayer(layer.name, f"Activation {kind}", "the ONNX writer")


def _fixed_point(graph: Graph, layer: Any, x: str) -> str:
    """The paper's quantizer, step by step in float: exact, since every number is a multiple of a power of two."""
    name = layer.name

    def rounded(part: str, bits: int, name: str) -> str:
        steps_ = graph.constant(f"{name}_steps", np.float32(1 << bits))
        ends = [
            graph.constant(f"{name}_low", np.float32(0)),
            graph.constant(f"{name}_high", np.float32((1 << bits) - 1)),
        ]
        scaled = graph.node("Mul", [graph.node("Clip", [part, *ends], f"{name}_clip"), steps_], f"{name}_scaled")
        return graph.node("Div", [graph.node("Round", [scaled], f"{name}_round"), steps_], name)

    size = graph.node("Abs", [x], f"{name}_size")
    whole = graph.node("Floor", [size], f"{name}_floor")
    fraction = graph.node("Sub", [size, whole], f"{name}_rest")
    parts = [rounded(whole, layer.integer, f"{name}_whole"), rounded(fraction, layer.fraction, f"{name}_fraction")]
    sign = graph.node("Sign", [x], f"{name}_sign")
    made = graph.node("Mul", [sign, graph.node("Add", parts, f"{name}_sum")], f"{name}_value")
    return graph.quantize(made, layer.grid, name)


def _shuffle(graph: Graph, layer: Any, x: str) -> str:
    """Depth to space, channels last: a cell's rows change places with the columns, and the rest is a matter of shape.

    ONNX Runtime's integer convolutions are channels last. The outer two Transposes cancel against those it would put
    around its own DepthToSpace, which has one thread and moves one byte at a time.
    """
    name, block = layer.name, layer.block
    channels = layer.input_shape[-1] // block**2

    def numbers(part: str, *values: int) -> str:
        return graph.constant(f"{name}_{part}", np.array(values, np.int64))

    last = graph.node("Transpose", [x], f"{name}_last", perm=[0, 2, 3, 1])
    cells = graph.node("Reshape", [last, numbers("cell", 0, 0, 0, block, block * channels)], f"{name}_cells")
    rows = graph.node("Transpose", [cells], f"{name}_rows", perm=[0, 1, 3, 2, 4])
    sides = graph.node("Shape", [graph.whole[x]], f"{name}_sides", start=2, end=4)
    sides = graph.node("Mul", [sides, numbers("block", block)], f"{name}_enlarged")
    shape = [numbers("batch", 0), sides, numbers("channels", channels)]  # a 0 keeps the batch
    large = graph.node("Reshape", [rows, graph.node("Concat", shape, f"{name}_shape", axis=0)], f"{name}_large")
    return graph.node("Transpose", [large], name, perm=[0, 3, 1, 2])


def _enlarged(graph: Graph, layer: Any, x: str) -> str:
    """Resize, in the coordinates of the Keras layer."""
    if isinstance(layer, AlignedUpsample):
        factors, how = (
            (layer.factor, layer.factor),
            {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
        )
    elif layer.interpolation == "nearest":
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        factors = layer.size
    elif layer.interpolation == "bilinear":
        factors, how = layer.size, {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    else:
        raise UnknownLayer(layer.name, f"UpSampling2D by {layer.interpolation}", "the ONNX writer")
    scales = graph.constant(f"{layer.name}_factors", np.array([1, 1, *factors], np.float32))
    return graph.node("Resize", [x, "", scales], layer.name, **how)
