"""The picture that a mosaic is before anything is made of it: what a residual network adds to (Zhang et al., 2017)."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import tf_keras

from keras_models.mosaic import MOSAICS, Mosaic
from runtime.errors import BadOption
from runtime.pack import GRIDS

__all__ = ["measured", "nearest"]

Kernel = np.ndarray[Any, np.dtype[np.float32]]
COLOURS = "RGB"


def measured(raw: Any, channels: int, *, upscale: int, cell: int = 1, surround: int = 0) -> Any:
    """The planes of a mosaic as channels of its picture, by a convolution that begins as `nearest`.

    It sees a cell, and `surround` packed pixels on every side of it, which at first count for nothing.
    """
    mosaic = MOSAICS.get(raw.shape[-1])
    if mosaic is None or (channels, upscale) != (len(COLOURS) * mosaic.pack**2, mosaic.pack):
        raise BadOption("residual", True, "false, or a mosaic's planes and its picture in full size")
    kernel = in_cells(nearest(mosaic), pack=mosaic.pack, cell=cell)
    kernel = np.pad(kernel, ((surround, surround), (surround, surround), (0, 0), (0, 0)))
    start = tf_keras.initializers.Constant(kernel.tolist())
    kind = partial(tf_keras.layers.Conv2D, padding="same", kernel_initializer=start, name="measured")
    return kind(kernel.shape[-1], len(kernel), cell)(raw)


def in_cells(kernel: Kernel, *, pack: int, cell: int) -> Kernel:
    """A kernel of one packed pixel as that of `cell` x `cell` of them, each of which makes its part of the picture."""
    _, _, planes, made = kernel.shape
    apart = np.zeros((cell, cell, planes, cell, pack, cell, made // pack), kernel.dtype)  # rows, then a row's columns
    for row, column in np.ndindex(cell, cell):
        apart[row, column, :, row, :, column] = kernel.reshape(planes, pack, -1)
    return apart.reshape(cell, cell, planes, -1)


def nearest(mosaic: Mosaic) -> Kernel:
    """The kernel (1, 1, planes, pixels x colours) that gives each pixel of a mosaic the colours it lacks.

    A colour is what was measured at the pixel, or else the mean of its planes: over a packed pixel the mean of each
    colour is then what was measured of it.
    """
    kernel = np.zeros((1, 1, len(mosaic.planes), mosaic.pack, mosaic.pack, len(COLOURS)), np.float32)
    for row, column, colour in np.ndindex(*kernel.shape[3:]):
        same = [i for i, name in enumerate(mosaic.planes) if name[0] == COLOURS[colour]]
        here = [i for i in same if GRIDS[mosaic.cfa][mosaic.planes[i]] == ((row, column),)]
        kernel[0, 0, here or same, row, column, colour] = 1 / len(here or same)
    return kernel.reshape(1, 1, len(mosaic.planes), -1)
