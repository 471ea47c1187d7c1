"""Where a fixed-point network is rounded: rules of the graph alone, the same for every scheme."""

from __future__ import annotations

from typing import Any

import tf_keras

from keras_models.graph import Step
from keras_models.layers import DepthToSpace

__all__ = ["ACTIVATIONS", "CONVS", "DROPOUTS", "bends", "first_block", "loose", "moves", "readers", "waits"]

K = tf_keras.layers
CONVS = (K.Conv2D, K.DepthwiseConv2D, K.Conv2DTranspose)
ACTIVATIONS = (K.ReLU, K.LeakyReLU, K.Activation)
DROPOUTS = (K.Dropout, K.SpatialDropout2D, K.GaussianNoise)


def readers(walk: list[Step]) -> dict[int, list[Step]]:
    """Who reads each tensor."""
    found: dict[int, list[Step]] = {step.makes: [] for step in walk}
    for step in walk:
        for tensor in step.reads:
            found[tensor].append(step)
    return found


def loose(walk: list[Step], ends: list[int]) -> set[int]:
    """The result, and what leads to it through layers that only move values or bend them one by one."""
    after_each, found = readers(walk), set[int]()
    for step in reversed(walk):
        after = after_each[step.makes]
        on_the_way = all(s.makes in found and (moves(s.layer) or bends(s.layer)) for s in after)
        if on_the_way and (after or step.makes in ends):
            found.add(step.makes)
    return found


def first_block(walk: list[Step]) -> list[int]:
    """The convolutions before the image first shrinks."""
    block: list[int] = []
    for step in walk:
        strided = isinstance(step.layer, CONVS) and max(step.layer.strides) > 1
        if isinstance(step.layer, K.MaxPooling2D | K.AveragePooling2D) or (block and strided):
            break
        if isinstance(step.layer, CONVS):
            block.append(step.makes)
    return block


def moves(layer: Any) -> bool:
    """Whether every output is one of the inputs: the grid stays."""
    nearest = isinstance(layer, K.UpSampling2D) and layer.interpolation == "nearest"
    return nearest or isinstance(layer, (K.MaxPooling2D, DepthToSpace, *DROPOUTS))


def bends(layer: Any) -> bool:
    """Whether it is an activation or a norm: one value in, one value out, on no grid any more."""
    return isinstance(layer, (*ACTIVATIONS, K.BatchNormalization))


def waits(after: list[Step]) -> bool:
    """Whether all that comes next is an activation or a norm, behind which is soon enough to round."""
    return bool(after) and all(bends(step.layer) for step in after)
