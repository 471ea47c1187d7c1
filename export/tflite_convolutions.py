"""Convolutions in TFLite: kernels as whole numbers on their own grid, biases on that of the accumulator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from export.bits import beside
from export.flatbuffer import Levels
from export.reference import bias_levels
from export.tflite_groups import Group
from export.tflite_tensors import Tensors, Value
from keras_models.grid import Grid

__all__ = ["conv", "depthwise"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Kernel:
    """A kernel as TFLite arranges it: floats, or whole numbers with one scale for each output channel or for all."""

    array: Array
    bias: Array
    axis: int
    scale: Array | None = None
    bits: int = 8


def conv(t: Tensors, g: Group, xs: list[Value]) -> Value:
    """A convolution: kernels are stored (out, height, width, in)."""
    kernel = _kernel(g, 3, axis=0, arrange=lambda k: k.transpose(3, 0, 1, 2))
    return _convolve(t, g, xs[0], kernel, kind="CONV_2D", shape=g.shape(xs[0].shape), **_window(g.layer))


def depthwise(t: Tensors, g: Group, xs: list[Value]) -> Value:
    """A depthwise convolution: kernels are stored (1, height, width, out)."""
    kernel = _kernel(g, 2, axis=3, arrange=lambda k: k.reshape(1, *k.shape[:2], -1))
    return _convolve(
        t, g, xs[0], kernel, kind="DEPTHWISE_CONV_2D", shape=g.shape(xs[0].shape),
        depthMultiplier=g.layer.depth_multiplier, **_window(g.layer),
    )  # fmt: skip


def _window(layer: Any) -> dict[str, int]:
    """How the window moves, in the words of the schema."""
    (down, right), (high, wide) = layer.strides, layer.dilation_rate
    padding = ("same", "valid").index(layer.padding)
    return {"padding": padding, "strideH": down, "strideW": right, "dilationHFactor": high, "dilationWFactor": wide}


def _kernel(g: Group, outs: int, *, axis: int, arrange: Callable[[Array], Array]) -> Kernel:
    """The layer's kernel; `outs` is the axis of its output channels in Keras, `axis` the one in TFLite."""
    array, *bias = g.layer.get_weights()
    grid, count = g.kernel, arrange(array).shape[axis]
    offset = bias[0] if bias else np.zeros(count, np.float32)
    if grid is None or not _fits(grid, outs):
        return Kernel(arrange(array), offset, axis)
    scale = grid.scale.ravel()
    if scale.size > 1:  # a depthwise kernel with a multiplier has several outputs for each scale
        scale = np.repeat(scale, count // scale.size)
    return Kernel(arrange(grid.quantize(array)), offset, axis, scale, grid.bits)


def _fits(grid: Grid, outs: int) -> bool:
    """Whether TFLite's integer kernels can use the grid: symmetric, and one scale or one for each output channel."""
    return grid.signed and grid.zero == 0 and (grid.scale.size == 1 or grid.axis % 4 == outs)


def _convolve(
    t: Tensors, g: Group, x: Value, kernel: Kernel, *, kind: str, shape: tuple[int, ...], **options: Any
) -> Value:
    """In integers if input, kernel and output lie on grids, else in float."""
    label = g.layer.name
    if x.grid and g.grid and kernel.scale is not None:
        scale = (x.grid.scale * kernel.scale).astype(np.float32)
        weights = _stored(t, f"{label}/kernel", kernel)
        bias = t.constant(f"{label}/bias", bias_levels(kernel.bias, scale, of=label), grid=Levels(scale))
        return t.make_fused(kind, [x, weights, bias], g.name, shape, g.grid, relu=g.relu, **options)
    array = kernel.array
    if kernel.scale is not None:
        along = [1, 1, 1, 1]
        along[kernel.axis] = kernel.scale.size
        array = array.astype(np.float32) * kernel.scale.reshape(along)
    weights = t.constant(f"{label}/kernel", array.astype(np.float32))
    bias = t.constant(f"{label}/bias", kernel.bias.astype(np.float32))
    inner = g.name if g.grid is None else f"{g.name}/float"
    made = t.make_fused(kind, [t.floats(x), weights, bias], inner, shape, relu=g.relu, **options)
    return t.on(made, g.grid, g.name)


def _stored(t: Tensors, name: str, kernel: Kernel) -> int:
    """The kernel as a constant, in the fewest bits that LiteRT computes with."""
    bits = 4 if kernel.bits <= 4 else 8
    scale = np.asarray(kernel.scale)
    return t.graph.tensor(
        name,
        kernel.array.shape,
        f"INT{bits}",
        levels=Levels(scale, axis=kernel.axis),
        data=beside(kernel.array, bits).tobytes(),
    )
