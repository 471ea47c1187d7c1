"""What the papers share: named convolutions, activations, ways up, and the way to the picture."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import tf_keras

from keras_models.layers import DepthToSpace

__all__ = [
    "TRUST",
    "Activation",
    "Up",
    "activate",
    "conv",
    "keras_separable",
    "picture",
    "pointwise_from_transposed",
    "separable",
    "up",
]

Activation = Literal["leaky-relu", "relu"]
Up = Literal["transposed", "shuffle"]
Tensor = Any
Array = np.ndarray[Any, np.dtype[np.float32]]
TRUST = 3.0  # before the sigmoid, which makes 0.95 of it


def activate(x: Tensor, kind: str, *, name: str) -> Tensor:
    """The activation of that name; 0.2 is the slope of See in the Dark."""
    match kind:
        case "leaky-relu":
            return tf_keras.layers.LeakyReLU(0.2, name=name)(x)
        case "relu":
            return tf_keras.layers.ReLU(name=name)(x)
        case "silu" | "sigmoid":
            return tf_keras.layers.Activation(kind, name=name)(x)
    raise ValueError(f"no activation {kind!r}")


def conv(x: Tensor, filters: int, *, name: str, kernel: int = 3, stride: int = 1, bias: bool = True) -> Tensor:
    """A convolution, nothing behind it."""
    return tf_keras.layers.Conv2D(filters, kernel, stride, padding="same", use_bias=bias, name=name)(x)


def separable(x: Tensor, filters: int, *, name: str) -> Tensor:
    """Depthwise 3x3, then pointwise 1x1, each with its bias (Keras' own layer has but one), nothing between."""
    x = tf_keras.layers.DepthwiseConv2D(3, padding="same", name=f"{name}_depthwise")(x)
    return conv(x, filters, kernel=1, name=f"{name}_pointwise")


def keras_separable(x: Tensor, filters: int, *, name: str) -> Tensor:
    """The same with one bias, behind the pointwise half, as the papers written in Keras have it."""
    x = tf_keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"{name}_depthwise")(x)
    return conv(x, filters, kernel=1, name=f"{name}_pointwise")


def up(x: Tensor, filters: int, *, name: str, how: Up, kernel: int = 2) -> Tensor:
    """Twice the size: a transposed convolution of stride 2, or the 1x1 convolution and shuffle that equal it."""
    if how == "transposed":
        return tf_keras.layers.Conv2DTranspose(filters, kernel, 2, padding="same", name=name)(x)
    return DepthToSpace(2, name=name)(conv(x, 4 * filters, kernel=1, name=f"{name}_conv"))


def pointwise_from_transposed(kernel: Array, bias: Array) -> tuple[Array, Array]:
    """The 1x1 convolution which, shuffled, equals a transposed one of stride 2.

    kernel[a, b, o, c] of size 1 or 2 (a smaller one fills the rest of its 2x2 cell with bias alone) becomes
    pointwise[0, 0, c, (2 a + b) * outs + o].
    """
    k, _, outs, ins = kernel.shape
    cell = np.zeros((2, 2, outs, ins), kernel.dtype)
    cell[:k, :k] = kernel
    return cell.transpose(3, 0, 1, 2).reshape(1, 1, ins, 4 * outs), np.tile(bias, 4)


def picture(x: Tensor, channels: int, *, upscale: int, onto: Tensor | None = None) -> Tensor:
    """The last 1x1 convolution, no activation, then into space; what it makes may be added `onto` something.

    A second one then says how far that is to be trusted, from not at all to wholly, channel by channel. It begins with
    nothing to add and next to full trust.
    """
    kinds, start = tf_keras.layers, "glorot_uniform" if onto is None else "zeros"
    made = kinds.Conv2D(channels, 1, kernel_initializer=start, name="picture_conv")(x)
    if onto is not None:
        full = tf_keras.initializers.Constant(TRUST)
        trust = kinds.Conv2D(channels, 1, kernel_initializer="zeros", bias_initializer=full, name="trust_conv")(x)
        trusted = kinds.Multiply(name="trusted")([onto, kinds.Activation("sigmoid", name="trust")(trust)])
        made = kinds.Add(name="picture_sum")([made, trusted])
    return DepthToSpace(upscale, name="picture")(made) if upscale > 1 else made
