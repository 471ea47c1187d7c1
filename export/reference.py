"""The integer reference: what a quantized network computes, defined to the last bit.

The plain form run as whole numbers: int32 sums; times float32(s_x s_w / s_y); round half to even; add the zero
point; clamp. The bias is a whole number on the grid s_x s_w. Everything else (LeakyReLU, a change of grid before a
concatenation) is float32 arithmetic on the levels, then `Grid.quantize`: for 8 bits that is a table of 256 entries.
ONNX Runtime's CPU kernels follow these rules; where an operator has another one, it is named here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tf_keras

from export.enlarge import bilinear
from keras_models.fixed_point import FixedPoint, fixed
from keras_models.graph import Step, outputs, steps
from keras_models.grid import Grid
from keras_models.hoist import moves, plain_relu, requantized
from keras_models.layers import AlignedUpsample, DepthToSpace
from keras_models.lowered import Lowered
from keras_models.quantize import Quantize
from runtime.errors import BadGrid, UnknownLayer

__all__ = ["Convolve", "bias_levels", "multiplier", "numpy_convolve", "reference", "tensorflow_convolve"]

K = tf_keras.layers
MOST = 1 << 30  # half of int32 for the bias leaves half for the products
CONVS = (K.Conv2D, K.DepthwiseConv2D)
Array = np.ndarray[Any, Any]
Convolve = Callable[[Array, Array, Any], Array]


@dataclass(frozen=True)
class Levels:
    """Whole numbers on a grid."""

    q: Array
    grid: Grid

    @property
    def values(self) -> Array:
        """The float32 numbers they stand for."""
        return self.grid.dequantize(self.q)


@dataclass(frozen=True)
class Sums:
    """What a convolution of levels adds up, in steps of input scale times kernel scale."""

    q: Array
    x: Grid
    kernel: Grid

    @property
    def values(self) -> Array:
        """The float32 numbers they stand for, as a dequantized convolution without a Quantize behind it gives them."""
        return self.q.astype(np.float32) * (self.x.scale * self.kernel.scale)

    def biased(self, layer: Any, *, whole: bool) -> Sums | Array:
        """The sums with the bias: as a whole number if they are rounded next, else in float32, as it was trained."""
        bias = layer.get_weights()[1] if layer.use_bias else np.zeros(1, np.float32)
        if whole:
            return replace(self, q=self.q + bias_levels(bias, self.x.scale * self.kernel.scale, of=layer.name))
        return self.values + bias

    def requantized(self, grid: Grid) -> Levels:
        """ONNX Runtime's rule: one float32 multiplication, half to even, saturate."""
        scaled = self.q.astype(np.float32) * multiplier(self.x, self.kernel, grid)
        return Levels(np.clip(np.rint(scaled) + grid.zero, grid.low, grid.high).astype(np.int32), grid)


@dataclass(frozen=True)
class Product:
    """The float32 product of levels."""

    values: Array

    def rounded(self, grid: Grid) -> Array:
        """ONNX Runtime's rule: the zero point is added before rounding, so an odd one turns ties around."""
        q = np.rint(self.values / grid.scale + np.float32(grid.zero))
        return np.clip(q, grid.low, grid.high).astype(np.int32)


@dataclass(frozen=True)
class Added:
    """The sum of two tensors of levels."""

    a: Levels
    b: Levels

    @property
    def values(self) -> Array:
        """The float32 sum."""
        return self.a.values + self.b.values

    def rounded(self, grid: Grid) -> Array:
        """ONNX Runtime's rule, found by trying: two fused multiply-adds on top of what the zero points come to."""
        ratios = [one.grid.scale / grid.scale for one in (self.a, self.b)]
        zeros = [np.asarray(one.grid.zero - one.grid.low, np.float32) for one in (self.a, self.b)]
        levels = [(one.q - one.grid.low).astype(np.float32) for one in (self.a, self.b)]
        fixed = np.float32(grid.zero - grid.low) - _fused(zeros[0], ratios[0], ratios[1] * zeros[1])
        q = np.rint(_fused(levels[0], ratios[0], _fused(levels[1], ratios[1], fixed)))
        return np.clip(q + grid.low, grid.low, grid.high).astype(np.int32)


@dataclass(frozen=True)
class Averaged:
    """The mean of each channel of levels: sums of levels above zero, and how many were added up."""

    sums: Array
    count: int
    grid: Grid

    @property
    def values(self) -> Array:
        """The float32 mean."""
        return (self.sums * (np.float64(self.grid.scale) / self.count)).astype(np.float32)

    def rounded(self, grid: Grid) -> Array:
        """ONNX Runtime's rule: one float32 factor, the count within it."""
        factor = self.grid.scale / (grid.scale * np.float32(self.count))
        q = np.rint(self.sums.astype(np.float32) * factor) + grid.zero
        return np.clip(q, grid.low, grid.high).astype(np.int32)


def _fused(x: Array, y: Array, z: Array) -> Array:
    """x y + z, rounded to float32 once: products of float32 are exact in float64."""
    exact = np.asarray(x, np.float64) * np.float64(y) + np.asarray(z, np.float64)
    return np.asarray(exact, np.float32)


def multiplier(x: Grid, kernel: Grid, y: Grid) -> Array:
    """The float32 factor from sums to levels, in ONNX Runtime's order of operations."""
    return np.asarray(x.scale * kernel.scale / y.scale, np.float32)


def bias_levels(bias: Array, step: Array, *, of: str) -> Array:
    """The bias of a layer as whole steps of its sums, which are input scale times kernel scale."""
    steps_ = np.rint(bias.astype(np.float64) / step)
    if (np.abs(steps_) > MOST).any():
        found = f"a bias of {np.abs(bias).max():.3g} in steps so small, as {of!r} has"
        raise BadGrid(found, "wider ranges or smaller biases")
    return steps_.astype(np.int32)


def reference(lowered: Lowered, x: Array, *, convolve: Convolve | None = None) -> dict[str, Array]:
    """Every tensor of the network, by layer name: whole numbers where the form has grids, float32 elsewhere."""
    convolve = convolve or numpy_convolve
    inner = requantized(lowered.model)
    tensors: dict[int, Array | Levels | Sums] = {}
    for step in steps(lowered.model):
        reads = [tensors[tensor] for tensor in step.reads]
        made = _step(step, reads, lowered.kernels, convolve) if reads else np.asarray(x, np.float32)
        if isinstance(made, Sums) and isinstance(step.layer, CONVS):
            made = made.biased(step.layer, whole=step.makes in inner)
        tensors[step.makes] = made
    named = {step.name: tensors[step.makes] for step in steps(lowered.model)}
    found = {name: value.q if isinstance(value, Levels | Sums) else _values(value) for name, value in named.items()}
    ends = [tensors[tensor] for tensor in outputs(lowered.model)]
    return found | {f"output{i}": _values(end) for i, end in enumerate(ends)}


def _step(step: Step, reads: list[Any], kernels: Any, convolve: Convolve) -> Any:
    """One layer, in the most exact form its inputs allow."""
    layer, first = step.layer, reads[0]
    if isinstance(layer, Quantize):
        if isinstance(first, Sums):
            return first.requantized(layer.grid)
        if isinstance(first, Product | Added | Averaged):
            return Levels(first.rounded(layer.grid), layer.grid)
        return Levels(layer.grid.quantize(_values(first)), layer.grid)
    if isinstance(layer, CONVS) and isinstance(first, Levels) and layer.name in kernels:
        grid = kernels[layer.name]
        sums = convolve(first.q - first.grid.zero, grid.quantize(layer.get_weights()[0]) - grid.zero, layer)
        return Sums(sums, first.grid, grid)
    if moves(layer):
        return _moved(layer, reads)
    if isinstance(first, Sums) and plain_relu(layer):
        return Sums(np.maximum(first.q, 0), first.x, first.kernel)
    if isinstance(layer, K.Add) and len(reads) == 2 and all(isinstance(value, Levels) for value in reads):
        return Added(*reads)
    if isinstance(layer, K.GlobalAveragePooling2D) and isinstance(first, Levels):
        q = first.q.astype(np.int64) - first.grid.zero
        return Averaged(q.sum(axis=(1, 2), keepdims=True), q.shape[1] * q.shape[2], first.grid)
    arrays = [_values(value) for value in reads]
    if isinstance(layer, FixedPoint):
        return Levels(layer.grid.quantize(fixed(arrays[0], layer.integer, layer.fraction)), layer.grid)
    if isinstance(layer, AlignedUpsample):
        return bilinear(arrays[0], layer.factor, aligned=True)
    if isinstance(layer, K.UpSampling2D) and layer.interpolation == "bilinear" and len(set(layer.size)) == 1:
        return bilinear(arrays[0], layer.size[0], aligned=False)
    made = layer(arrays if len(arrays) > 1 else arrays[0]).numpy()
    return Product(made) if isinstance(layer, K.Multiply) else made


def _moved(layer: Any, reads: list[Any]) -> Any:
    """Movers work on whole numbers as they are, if all lie on one grid."""
    first = reads[0]
    if all(isinstance(value, Levels) and value.grid == first.grid for value in reads):
        return Levels(_move(layer, [value.q for value in reads]), first.grid)
    return _move(layer, [_values(value) for value in reads])


def _move(layer: Any, arrays: list[Array]) -> Array:
    x = arrays[0]
    n, h, w, c = x.shape
    match layer:
        case K.Concatenate():
            return np.concatenate(arrays, axis=-1)
        case DepthToSpace(block=b):
            return x.reshape(n, h, w, b, b, c // b**2).transpose(0, 1, 3, 2, 4, 5).reshape(n, h * b, w * b, c // b**2)
        case K.MaxPooling2D(pool_size=(b, _)) if layer.strides == layer.pool_size == (b, b):
            return x[:, : h // b * b, : w // b * b].reshape(n, h // b, b, w // b, b, c).max(axis=(2, 4))
        case K.UpSampling2D(size=(up, across)):
            return x.repeat(up, axis=1).repeat(across, axis=2)
    raise UnknownLayer(layer.name, type(layer).__name__, "the integer reference")


def _values(value: Any) -> Array:
    return value.values if isinstance(value, Levels | Sums | Product | Added | Averaged) else value


def numpy_convolve(x: Array, kernel: Array, layer: Any) -> Array:
    """The sums of a convolution of whole numbers, one kernel position after the other; exact in int64."""
    (kh, kw), (sh, sw), (dh, dw) = kernel.shape[:2], layer.strides, layer.dilation_rate
    n, h, w, _ = x.shape
    rows, columns = -(-h // sh), -(-w // sw)
    before_h, before_w = (max((k - 1) * d + 1 - s, 0) // 2 for k, s, d in ((kh, sh, dh), (kw, sw, dw)))
    padded = np.pad(x, ((0, 0), (before_h, kh * dh), (before_w, kw * dw), (0, 0)))
    depthwise = isinstance(layer, K.DepthwiseConv2D)
    total: Array = np.zeros((n, rows, columns, kernel.shape[2] if depthwise else kernel.shape[3]), np.int64)
    for i in range(kh):
        for j in range(kw):
            part = padded[:, i * dh : i * dh + rows * sh : sh, j * dw : j * dw + columns * sw : sw]
            # float64 holds these products and their sums exactly (below 2^53), and has a fast matmul.
            part = part * kernel[i, j, :, 0] if depthwise else part.astype(np.float64) @ kernel[i, j].astype(np.float64)
            total += part.astype(np.int64)
    return total


def tensorflow_convolve(x: Array, kernel: Array, layer: Any) -> Array:
    """The same sums by TensorFlow, in float64: exact as long as they stay below 2^53."""
    import tensorflow as tf

    run = tf.nn.depthwise_conv2d if isinstance(layer, K.DepthwiseConv2D) else tf.nn.conv2d
    sums = run(
        tf.constant(x, tf.float64),
        tf.constant(kernel, tf.float64),
        strides=[1, *layer.strides, 1],
        padding="SAME",
        dilations=list(layer.dilation_rate),
    )
    return sums.numpy().astype(np.int64)
