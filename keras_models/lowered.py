"""The one plain form that every scheme is lowered to and every file is written from.

A functional model of plain layers: Conv2D, DepthwiseConv2D, Conv2DTranspose (2x2 or 1x1, stride 2), ReLU, LeakyReLU,
Activation, MaxPooling2D, UpSampling2D, GlobalAveragePooling2D, Concatenate, Add, Multiply, DepthToSpace,
AlignedUpsample, and Quantize where activations are rounded. BatchNorm and Dropout are gone. A kernel that is quantized
already lies on its grid, which stands in `kernels` under the layer's name. Float networks have no grids at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tf_keras

from keras_models.fixed_point import FixedPoint
from keras_models.graph import steps
from keras_models.grid import Grid
from keras_models.layers import AlignedUpsample, DepthToSpace
from keras_models.quantize import Quantize
from runtime.errors import BadGrid, BadNumbers, UnknownLayer

__all__ = ["PLAIN", "Lowered", "kernel_of"]

K = tf_keras.layers
PLAIN = (
    K.InputLayer, K.Conv2D, K.DepthwiseConv2D, K.Conv2DTranspose, K.ReLU, K.LeakyReLU, K.Activation, K.MaxPooling2D,
    K.UpSampling2D, K.GlobalAveragePooling2D, K.Concatenate, K.Add, K.Multiply, DepthToSpace, AlignedUpsample, Quantize,
    FixedPoint,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Lowered:
    """A plain model and the grids of its quantized kernels, by layer name; another one is another network."""

    model: Any
    kernels: Mapping[str, Grid] = field(default_factory=dict)

    def __call__(self, x: Any) -> Any:
        """The float forward pass, grids included."""
        return self.model(x)

    def check(self) -> Lowered:
        """Raise an `Error` unless the form is plain, its numbers are finite, and its kernels lie on their grids."""
        for step in steps(self.model):
            if type(step.layer) not in PLAIN:
                raise UnknownLayer(step.name, type(step.layer).__name__, "the plain form that files are written from")
            if (odd := _odd(step.layer)) is not None:
                raise UnknownLayer(step.name, f"{type(step.layer).__name__} with {odd}", "the plain form")
            for weight in step.layer.weights:
                if not np.isfinite(weight.numpy()).all():
                    raise BadNumbers(weight.name)
        for name, grid in self.kernels.items():
            if not grid.holds(kernel_of(self.model.get_layer(name))):
                raise BadGrid(f"the kernel of {name!r}", "weights that lie on their grid")
        return self


def _odd(layer: Any) -> str | None:
    """What keeps a convolution from being a plain one, in words."""
    if not isinstance(layer, K.Conv2D | K.DepthwiseConv2D):
        return None
    if layer.activation is not tf_keras.activations.linear:
        return "an activation inside"
    if layer.data_format != "channels_last":
        return "channels first"
    return None if layer.groups == 1 else f"groups={layer.groups}"


def kernel_of(layer: Any) -> np.ndarray[Any, Any]:
    """The kernel of a convolution of any kind."""
    return layer.get_weights()[0]
