"""On which levels a kernel is rounded: symmetric grids without the lowest level, one a channel or one for all.

A bias is rounded with it, to steps of input scale times kernel scale. Beside a large one tiny weights are nothing, and
their steps too small to count it in; a channel without weights has no steps of its own, and must not get coarse ones.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
import tf_keras

from export.round_kernels import channel_grid
from keras_models.graph import steps
from keras_models.grid import SMALLEST, Grid, divisible
from keras_models.hoist import grids
from keras_models.lowered import Lowered, kernel_of
from keras_models.rewrite import reweighted
from runtime.errors import BadOption, UnknownLayer

__all__ = ["Weights", "kernel_grid", "with_room"]

K = tf_keras.layers
Array = np.ndarray[Any, Any]
Weights = Literal["minmax", "mse"]

# Clips tried, as parts of the largest weight, the largest itself first: three octaves, since at 2 bits no bell curve
# is cut below a quarter.
CLIPS = 2.0 ** (-np.arange(49) / 16)
BIAS_STEPS = 1 << 29  # half of what the sums leave for a bias: rounding a scale must not reach the rest


def kernel_grid(layer: Any, *, bits: int, per_channel: bool, weights: Weights, x: Grid | None) -> Grid:
    """The grid of a convolution's kernel; `x` is the one its input lies on."""
    if weights not in get_args(Weights):
        raise BadOption("weights", weights, " or ".join(map(repr, get_args(Weights))))
    if getattr(layer, "depth_multiplier", 1) != 1:
        raise UnknownLayer(layer.name, "DepthwiseConv2D with a depth multiplier", "quantization")
    kernel = kernel_of(layer)
    axis = 3 if type(layer) is K.Conv2D else 2
    grid = channel_grid(kernel, bits=bits, axis=axis)
    if not per_channel:
        grid = replace(grid, scale=divisible(np.abs(kernel).max() / np.float32(grid.high)))
    if weights == "mse":
        grid = _least_error(kernel, grid)
    return _with_room(grid, layer, x)


def _least_error(kernel: Array, grid: Grid) -> Grid:
    """The grid scaled by the clip with the least squared error, for each channel its own."""
    rows = np.moveaxis(kernel, grid.axis, -1).reshape(-1, kernel.shape[grid.axis])
    if not grid.scale.ndim:
        rows = rows.reshape(-1, 1)
    scale = grid.scale.reshape(-1)
    best, least = scale, np.full(scale.shape, np.inf)
    for clip in CLIPS:
        trial = np.maximum(scale * np.float32(clip), SMALLEST)
        one = replace(grid, scale=trial, axis=-1)
        error = np.square(one.dequantize(one.quantize(rows)) - rows, dtype=np.float64).sum(axis=0)
        best, least = np.where(error < least, trial, best), np.minimum(error, least)
    return replace(grid, scale=best.reshape(grid.scale.shape))


def with_room(lowered: Lowered) -> Lowered:
    """The network with every kernel on steps in which its bias can be counted; the very same where all are."""
    walk = steps(lowered.model)
    known, layers = grids(walk), {step.name: step.layer for step in walk}
    own = {
        s.name: _with_room(lowered.kernels[s.name], s.layer, known[s.reads[0]])
        for s in walk
        if s.name in lowered.kernels
    }
    moved = {name: layers[name].get_weights() for name, grid in own.items() if grid != lowered.kernels[name]}
    if not moved:
        return lowered
    weights = {
        name: [own[name].dequantize(own[name].quantize(kernel)), *bias] for name, (kernel, *bias) in moved.items()
    }
    return Lowered(reweighted(lowered.model, weights), own)


def _with_room(grid: Grid, layer: Any, x: Grid | None) -> Grid:
    """The grid with steps so large that int32 holds the bias, and those of a channel without weights no larger."""
    kernel, *bias = layer.get_weights()
    if x is None or not bias:
        return grid
    need = np.abs(bias[0]).astype(np.float64) / (float(x.scale) * BIAS_STEPS)
    levels = np.abs(np.moveaxis(grid.quantize(kernel), grid.axis, -1)).reshape(-1, kernel.shape[grid.axis]).max(axis=0)
    if not grid.scale.ndim:
        need, levels = need.max(), levels.max()
    scale = np.maximum(np.where(levels > 0, grid.scale, 0), need)
    # With steps below it the sums' own would be no float32: then weights and bias are nothing, on any grid.
    least = SMALLEST / min(float(x.scale), 1.0)
    return replace(grid, scale=divisible(np.where(scale < least, 0, scale)))
