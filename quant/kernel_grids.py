"""On which levels a kernel is rounded: symmetric grids without the lowest level, one a channel or one for all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
import tf_keras

from export.round_kernels import channel_grid
from keras_models.grid import SMALLEST, Grid
from runtime.errors import BadOption

__all__ = ["Weights", "kernel_grid"]

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
    kernel, *bias = layer.get_weights()
    axis = 3 if type(layer) is K.Conv2D else 2
    grid = channel_grid(kernel, bits=bits, axis=axis)
    if not per_channel:
        top = np.float32(grid.high)
        high = np.abs(kernel).max() / top
        grid = replace(grid, scale=np.asarray(high if high >= SMALLEST else 1.0, np.float32))
    if weights == "mse":
        grid = _least_error(kernel, grid)
    return _wide_enough(grid, bias[0], x) if bias and x is not None else grid


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


def _wide_enough(grid: Grid, bias: Array, x: Grid) -> Grid:
    """The grid with steps so large that int32 holds the bias: beside it, weights so small are nothing."""
    need = np.abs(bias).astype(np.float64) / (float(x.scale) * BIAS_STEPS)
    need = need if grid.scale.ndim else need.max()
    return replace(grid, scale=np.maximum(grid.scale, need.astype(np.float32)))
