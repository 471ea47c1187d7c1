"""A convolution as a product of matrices: the patches it sees, drawn from samples, times its kernel."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import tf_keras

__all__ = ["Reservoir", "bias_row", "from_matrix", "patches", "places_of", "to_matrix"]

K = tf_keras.layers
Array = np.ndarray[Any, Any]


def to_matrix(kernel: Array, layer: Any) -> Array:
    """A kernel as (groups, inputs, outputs): one group, but one a channel where channels are not mixed."""
    height, width, *channels = kernel.shape
    match layer:
        case K.DepthwiseConv2D():
            return kernel.transpose(2, 0, 1, 3).reshape(channels[0], height * width, channels[1])
        case K.Conv2DTranspose():
            return kernel.transpose(3, 0, 1, 2).reshape(1, channels[1], -1)
    return kernel.reshape(1, -1, channels[1])


def from_matrix(matrix: Array, shape: tuple[int, ...], layer: Any) -> Array:
    """The kernel of that shape again."""
    height, width, *channels = shape
    match layer:
        case K.DepthwiseConv2D():
            return matrix.reshape(channels[0], height, width, channels[1]).transpose(1, 2, 0, 3)
        case K.Conv2DTranspose():
            return matrix.reshape(channels[1], height, width, channels[0]).transpose(1, 2, 3, 0)
    return matrix.reshape(shape)


def patches(x: Array, layer: Any, places: Array) -> Array:
    """What a convolution sees at places (rows of image, row, column of its output): (groups, places, inputs)."""
    n, i, j = places.T
    if isinstance(layer, K.Conv2DTranspose):
        return x[n, i, j][None]  # a place of its input: the pixels it becomes are outputs of their own
    rows, columns = (_taps(at, layer, axis, x.shape[1 + axis]) for axis, at in enumerate((i, j)))
    inside = ((rows >= 0) & (rows < x.shape[1]))[:, :, None] & ((columns >= 0) & (columns < x.shape[2]))[:, None]
    rows, columns = np.clip(rows, 0, x.shape[1] - 1), np.clip(columns, 0, x.shape[2] - 1)
    seen = x[n[:, None, None], rows[:, :, None], columns[:, None]] * inside[..., None]
    if isinstance(layer, K.DepthwiseConv2D):
        return seen.transpose(3, 0, 1, 2).reshape(x.shape[-1], len(places), -1)
    return seen.reshape(1, len(places), -1)


def _taps(at: Array, layer: Any, axis: int, size: int) -> Array:
    """The rows or columns under a kernel: (places, taps); before 0 and from `size` on lies the padding."""
    taps, stride, spacing = layer.kernel_size[axis], layer.strides[axis], layer.dilation_rate[axis]
    reach = (taps - 1) * spacing + 1
    padding = max((-(-size // stride) - 1) * stride + reach - size, 0) // 2 if layer.padding == "same" else 0
    return at[:, None] * stride - padding + np.arange(taps) * spacing


def places_of(layer: Any, shape: tuple[int, ...]) -> Array:
    """Every pixel that a layer makes of an input of that shape, or reads if it is a transposed one."""
    if isinstance(layer, K.Conv2DTranspose):
        return np.argwhere(np.ones(shape[:3], bool))
    return np.argwhere(np.ones(layer.compute_output_shape(shape)[:3], bool))


def bias_row(layer: Any) -> Array:
    """The bias of a layer, shaped for its matrix: (groups, 1, outputs), or 0."""
    if not layer.use_bias:
        return np.zeros((1, 1, 1), np.float32)
    bias = layer.bias.numpy()
    match layer:
        case K.DepthwiseConv2D():
            return bias.reshape(layer.input.shape[-1], 1, -1)
        case K.Conv2DTranspose():
            return np.tile(bias, layer.kernel_size[0] * layer.kernel_size[1])[None, None]
    return bias[None, None]


class Reservoir:
    """At most `size` patches out of as many as come, each as likely as any other to be kept; several views of each."""

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        self.size, self.rng = size, rng
        self.keys: Array = np.empty(0)
        self.views: list[Array] = []

    def see(self, layer: Any, inputs: Iterable[Array]) -> None:
        """Draw from everything that a layer sees in inputs of one shape, the same places in each."""
        inputs = list(inputs)
        places = places_of(layer, inputs[0].shape)
        # Each place draws a number and the smallest stay: no need to know how many places there will have been.
        drawn = self.rng.random(len(places))
        new = _smallest(drawn, self.size)
        found = [patches(x, layer, places[new]) for x in inputs]
        keys = np.concatenate([self.keys, drawn[new]])
        kept = _smallest(keys, self.size)
        views = [np.concatenate(pair, axis=1) for pair in zip(self.views, found, strict=True)] if self.views else found
        self.keys, self.views = keys[kept], [view[:, kept] for view in views]


def _smallest(keys: Array, count: int) -> Array:
    """Where the smallest numbers stand, in order of their places."""
    return np.sort(np.argsort(keys, kind="stable")[:count])
