"""How a ReLU network begins: kernels on the scale of He, Zhang, Ren and Sun (2015), so that none of it goes silent.

On Keras' own scale (Glorot and Bengio, 2010) what a stack of ReLUs lets through becomes less with every layer. The
deep half of a U-Net then has next to no part in the picture, the first steps of a fast training push it below zero,
and there it stays: a gradient of zero brings nothing back.

A ReLU takes half of the second moment away, which twice the variance gives back. The depthwise half of a separable
convolution has none behind it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import tf_keras

from keras_models.graph import steps

__all__ = ["he", "reads"]


def he(model: Any, *, but: Collection[str] = ()) -> Any:
    """Draw kernels anew, in place, so that behind a ReLU the second moment is what it was; those of zeros stay."""
    unbent = _unbent(model)
    for layer in model.layers:
        kernel = next((weight for weight in layer.weights if "kernel" in weight.name), None)
        if layer.name not in but and kernel is not None and np.any(kernel.numpy()):
            scale = np.sqrt((1 if layer.name in unbent else 2) / reads(layer))
            kernel.assign(tf_keras.initializers.RandomNormal(0.0, scale)(kernel.shape))
    return model


def _unbent(model: Any) -> set[str]:
    """The layers whose sums convolutions alone read, as they are."""
    kinds, walk = tf_keras.layers, steps(model)
    convs = (kinds.Conv2D, kinds.DepthwiseConv2D, kinds.Conv2DTranspose)
    by_convs: set[int] = set()
    by_others: set[int] = set()
    for step in walk:
        (by_convs if isinstance(step.layer, convs) else by_others).update(step.reads)
    return {step.name for step in walk if step.makes in by_convs - by_others}


def reads(layer: Any) -> int:
    """How many numbers one number that a convolution makes is the sum of."""
    kinds = tf_keras.layers
    rows, columns, third, fourth = layer.kernel.shape if hasattr(layer, "kernel") else layer.depthwise_kernel.shape
    if isinstance(layer, kinds.DepthwiseConv2D):
        return int(rows * columns)
    if isinstance(layer, kinds.Conv2DTranspose):  # (rows, columns, outs, ins), of which a pixel sees a stride's part
        return int(np.ceil(rows / layer.strides[0]) * np.ceil(columns / layer.strides[1]) * fourth)
    return int(rows * columns * third)
