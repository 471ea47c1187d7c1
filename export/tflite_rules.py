"""How each layer of the plain form is written in TFLite: one rule a layer.

A rule computes in integers where all it reads lies on grids and its output has one, and in float otherwise. Layers
that only move values keep the grid of what they read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tf_keras

from export.tflite_convolutions import conv, depthwise
from export.tflite_groups import Group, is_plain_relu
from export.tflite_tensors import Tensors, Value
from keras_models.fixed_point import FixedPoint
from keras_models.grid import Grid
from keras_models.layers import AlignedUpsample, DepthToSpace
from keras_models.quantize import Quantize
from runtime.errors import UnknownLayer

__all__ = ["RULES", "WITH_RELU", "check"]

K = tf_keras.layers
Rule = Callable[[Tensors, Group, list[Value]], Value]
# The one grid that TFLite's int8 sigmoid can make.
SIGMOID = Grid(np.array(1 / 256))


def check(layer: Any) -> None:
    """Raise `UnknownLayer` unless there is a rule for the layer, as it is configured."""
    kind, config = type(layer), layer.get_config()
    described, known = kind.__name__, kind in RULES and config.get("data_format") != "channels_first"
    if kind is K.Activation:
        described, known = f"Activation({config['activation']!r})", config["activation"] in ACTIVATIONS
    elif kind is K.ReLU:
        known = is_plain_relu(layer)
    elif kind is K.UpSampling2D:
        square = layer.size[0] == layer.size[1]
        known = known and (layer.interpolation == "bilinear" or (layer.interpolation == "nearest" and square))
    elif kind is K.Concatenate:
        known = layer.axis in (-1, 3)
    elif kind is K.GlobalAveragePooling2D:
        known = known and layer.keepdims
    elif isinstance(layer, K.Conv2D):
        known = known and config["activation"] == "linear" and config.get("groups", 1) == 1
    if not known:
        raise UnknownLayer(layer.name, described, "the TFLite writer")


def _compute(t: Tensors, g: Group, xs: list[Value], kind: str, *, integers: bool = True, **options: Any) -> Value:
    """An operator that rounds: in integers if all lies on grids, else in float and then put on the grid."""
    shape = g.shape(*(x.shape for x in xs))
    if integers and g.grid and all(x.grid for x in xs):
        return t.make_saturated(kind, xs, g.name, shape, g.grid, **options)
    return t.on(t.make(kind, [t.floats(x) for x in xs], g.inner, shape, **options), g.grid, g.name)


def _move(t: Tensors, g: Group, x: Value, kind: str, **options: Any) -> Value:
    """An operator that only picks or moves values: what comes out lies on the same grid."""
    name = g.inner if g.grid != x.grid else g.name
    return t.on(t.make(kind, [x], name, g.shape(x.shape), x.grid, **options), g.grid, g.name)


def _quantize(t: Tensors, g: Group, xs: list[Value]) -> Value:
    return t.on(xs[0], g.grid, g.name)


def _fixed_point(t: Tensors, g: Group, xs: list[Value]) -> Value:
    """The layer's formula, in float, where it is exact: clamps that nothing can reach are left out."""
    x, label = t.floats(xs[0]), g.layer.name

    def number(value: float) -> int:
        return t.constant(f"{label}/{value:g}", np.full((1, 1, 1, 1), value, np.float32))

    def op(kind: str, *reads: Value | int, name: str) -> Value:
        return t.make(kind, reads, name, x.shape)

    size = op("ABS", x, name=f"{label}/size")
    whole = op("FLOOR", size, name=f"{label}/whole")
    parts = []
    if g.layer.integer:
        parts.append(op("MINIMUM", whole, number(2**g.layer.integer - 1), name=f"{label}/cut"))
    if g.layer.fraction:
        steps = op("MUL", op("SUB", size, whole, name=f"{label}/part"), number(2**g.layer.fraction), name=f"{label}/up")
        rounded = op("ROUND", steps, name=f"{label}/rounded")
        parts.append(op("MUL", rounded, number(2**-g.layer.fraction), name=f"{label}/fraction"))
    total = parts[0] if len(parts) == 1 else op("ADD", *parts, name=f"{label}/sum")
    made = op("MUL", total, op("SIGN", x, name=f"{label}/sign"), name=g.inner)
    return t.on(made, g.grid, g.name)


def _relu(t: Tensors, g: Group, xs: list[Value]) -> Value:
    return _move(t, g, xs[0], "RELU")


def _leaky_relu(t: Tensors, g: Group, xs: list[Value]) -> Value:
    """In float, which between two grids becomes a table."""
    return _compute(t, g, xs, "LEAKY_RELU", integers=False, alpha=float(g.layer.alpha))


def _activation(t: Tensors, g: Group, xs: list[Value]) -> Value:
    return ACTIVATIONS[g.layer.get_config()["activation"]](t, g, xs)


def _sigmoid(t: Tensors, g: Group, xs: list[Value]) -> Value:
    return _compute(t, g, xs, "LOGISTIC", integers=g.grid == SIGMOID)


def _silu(t: Tensors, g: Group, xs: list[Value]) -> Value:
    x = t.floats(xs[0])
    gate = t.make("LOGISTIC", [x], f"{g.layer.name}/gate", x.shape)
    return t.on(t.make("MUL", [x, gate], g.inner, x.shape), g.grid, g.name)


def _max_pool(t: Tensors, g: Group, xs: list[Value]) -> Value:
    (height, width), (down, right) = g.layer.pool_size, g.layer.strides
    padding = ("same", "valid").index(g.layer.padding)
    return _move(t, g, xs[0], "MAX_POOL_2D", padding=padding, strideH=down, strideW=right, filterHeight=height,
                 filterWidth=width)  # fmt: skip


def _depth_to_space(t: Tensors, g: Group, xs: list[Value]) -> Value:
    return _move(t, g, xs[0], "DEPTH_TO_SPACE", blockSize=g.layer.block)


def _up_sample(t: Tensors, g: Group, xs: list[Value]) -> Value:
    """Nearest neighbour: every channel once for each pixel of its cell, then depth to space. No size is computed."""
    if g.layer.interpolation == "bilinear":
        return _resize(t, g, xs[0], g.layer.size, halfPixelCenters=True)
    x, block = xs[0], g.layer.size[0]
    wide = (*x.shape[:3], x.shape[3] * block**2)
    copies = t.make("CONCATENATION", [x] * block**2, f"{g.layer.name}/copies", wide, x.grid, axis=3)
    name = g.inner if g.grid != x.grid else g.name
    made = t.make("DEPTH_TO_SPACE", [copies], name, g.shape(x.shape), x.grid, blockSize=block)
    return t.on(made, g.grid, g.name)


def _aligned_upsample(t: Tensors, g: Group, xs: list[Value]) -> Value:
    return _resize(t, g, xs[0], (g.layer.factor, g.layer.factor), alignCorners=True)


def _resize(t: Tensors, g: Group, x: Value, factors: tuple[int, int], **options: Any) -> Value:
    """Bilinear, in float: the int8 kernel rounds its weights. The new size is computed from the old one."""
    size = t.size(x, factors, name=f"{g.layer.name}/size")
    made = t.make("RESIZE_BILINEAR", [t.floats(x), size], g.inner, g.shape(x.shape), **options)
    return t.on(made, g.grid, g.name)


def _mean(t: Tensors, g: Group, xs: list[Value]) -> Value:
    """In float: LiteRT's int8 kernel breaks ties its own way."""
    axes = t.constant(f"{g.layer.name}/axes", np.array([1, 2], np.int32))
    made = t.make("MEAN", [t.floats(xs[0]), axes], g.inner, g.shape(xs[0].shape), keepDims=g.layer.keepdims)
    return t.on(made, g.grid, g.name)


def _concatenate(t: Tensors, g: Group, xs: list[Value]) -> Value:
    """TFLite's int8 kernel needs one grid for all: each input is put on that of the output first."""
    grid = g.grid or (xs[0].grid if len({x.grid for x in xs}) == 1 else None)
    if grid and all(x.grid for x in xs):
        xs = [t.on(x, grid, f"{g.name}/{i}") for i, x in enumerate(xs)]
        return t.make("CONCATENATION", xs, g.name, g.shape(*(x.shape for x in xs)), grid, axis=3)
    return _compute(t, g, xs, "CONCATENATION", integers=False, axis=3)


def _add(t: Tensors, g: Group, xs: list[Value]) -> Value:
    """In float: XNNPACK's int8 kernel adds with multipliers of 20 bits, and parts from the reference often.

    A float sum does so for a pair of levels in 65536 or none, which settle.py has put right.
    """
    return _fold(t, g, xs, "ADD")


def _multiply(t: Tensors, g: Group, xs: list[Value]) -> Value:
    """In integers if there are two."""
    if g.grid and len(xs) == 2 and all(x.grid for x in xs):
        return t.make_fused("MUL", xs, g.name, g.shape(*(x.shape for x in xs)), g.grid, relu=g.relu)
    return _fold(t, g, xs, "MUL")


def _fold(t: Tensors, g: Group, xs: list[Value], kind: str) -> Value:
    """TFLite's operators take two: one after the other, in float, where nothing is rounded."""
    shape = g.shape(*(x.shape for x in xs))
    made, *rest = [t.floats(x) for x in xs]
    for i, x in enumerate(rest, start=1):
        last = i == len(rest)
        made = t.make_fused(kind, [made, x], g.inner if last else f"{g.layer.name}/{i}", shape, relu=g.relu and last)
    return t.on(made, g.grid, g.name)


RULES: dict[type, Rule] = {
    K.Conv2D: conv,
    K.DepthwiseConv2D: depthwise,
    K.ReLU: _relu,
    K.LeakyReLU: _leaky_relu,
    K.Activation: _activation,
    K.MaxPooling2D: _max_pool,
    K.UpSampling2D: _up_sample,
    K.GlobalAveragePooling2D: _mean,
    K.Concatenate: _concatenate,
    K.Add: _add,
    K.Multiply: _multiply,
    DepthToSpace: _depth_to_space,
    AlignedUpsample: _aligned_upsample,
    Quantize: _quantize,
    FixedPoint: _fixed_point,
}
ACTIVATIONS: dict[str, Rule] = {
    "linear": _quantize,
    "relu": _relu,
    "sigmoid": _sigmoid,
    "silu": _silu,
    "swish": _silu,
}
WITH_RELU = (K.Conv2D, K.DepthwiseConv2D, K.Add, K.Multiply)
