"""Every transposed convolution becomes the 1x1 convolution and shuffle that equal it: engines run those in integers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import tf_keras

from keras_models.blocks import pointwise_from_transposed
from keras_models.fold import with_weights
from keras_models.graph import Step
from keras_models.grid import Grid
from keras_models.layers import DepthToSpace
from keras_models.lowered import Lowered
from keras_models.rewrite import copy, rebuild
from runtime.errors import UnknownLayer

__all__ = ["shuffled"]

K = tf_keras.layers


def shuffled(lowered: Lowered) -> Lowered:
    """The same function without transposed convolutions; the shuffle takes the layer's name."""
    kernels = dict(lowered.kernels)

    def make(step: Step, reads: list[Any]) -> Any:
        layer = step.layer
        if not isinstance(layer, K.Conv2DTranspose):
            return copy(layer, reads)
        whole_cells = layer.strides == (2, 2) and layer.kernel_size in ((1, 1), (2, 2))
        if not whole_cells or layer.padding != "same" or layer.output_padding is not None:
            raise UnknownLayer(layer.name, f"Conv2DTranspose {layer.kernel_size} by {layer.strides}", "the plain form")
        kernel, *bias = layer.get_weights()
        pointwise, shift = pointwise_from_transposed(kernel, bias[0] if bias else np.zeros(layer.filters, np.float32))
        name = f"{layer.name}_pointwise"
        if layer.name in kernels:
            kernels[name] = _four(kernels.pop(layer.name))
        x = with_weights(K.Conv2D(4 * layer.filters, 1, name=name), pointwise, shift)(reads[0])
        return DepthToSpace(2, name=layer.name)(x)

    return Lowered(rebuild(lowered.model, make), kernels)


def _four(grid: Grid) -> Grid:
    """The grid of a kernel whose output channels stand there four times."""
    return replace(grid, scale=np.tile(grid.scale, 4) if grid.scale.ndim else grid.scale, axis=-1)
