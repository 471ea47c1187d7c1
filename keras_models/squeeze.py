"""Squeeze U-Net (Beheshti and Johnsson, 2020): a U-Net of fire modules.

A fire module squeezes with a 1x1 convolution, then expands to half 3x3, half 1x1. The text names no
activation: ReLU is assumed, behind every convolution but the ways up and the last.
"""

from __future__ import annotations

from functools import partial

import tf_keras

from keras_models.blocks import Activation, Tensor, Up, activate, conv, picture, up
from keras_models.options import Channels, Upscale, Width

__all__ = ["squeeze"]

# Squeezed and expanded filters of each level, from the top, at the published width of 64.
LEVELS = ((32, 128), (48, 256), (64, 512), (80, 1024))


def squeeze(
    *,
    in_channels: Channels = 4,
    out_channels: Channels = 12,
    upscale: Upscale = 2,
    width: Width = 64,
    activation: Activation = "relu",
    go_up: Up = "transposed",
) -> tf_keras.Model:
    """`width` is that of the first convolution; everything else keeps the paper's proportion to it."""
    levels = [(max(s * width // 64, 1), 2 * max(e * width // 128, 1)) for s, e in LEVELS]
    down = partial(_fire, activation=activation)
    back = partial(_fire, activation=activation, go_up=go_up)

    raw = tf_keras.Input((None, None, in_channels), name="raw")
    x = _plain(raw, "down0", width, activation)
    skips = [x]
    for level, (squeezed, filters) in enumerate(levels, start=1):
        x = tf_keras.layers.MaxPooling2D(name=f"pool{level}")(x)
        x = down(x, f"down{level}_fire1", squeezed, filters)
        x = down(x, f"down{level}_fire2", squeezed, filters)
        skips.append(x)
    skips.pop()
    for level in (3, 2, 1):
        squeezed_below, (squeezed, filters) = levels[level][0], levels[level - 1]
        x = back(x, f"up{level}", squeezed_below, filters)
        x = tf_keras.layers.Concatenate(name=f"join{level}")([x, skips.pop()])
        x = down(x, f"out{level}_fire1", squeezed, filters)
        x = down(x, f"out{level}_fire2", squeezed, filters)
    x = up(x, width, how=go_up, name="up0")
    x = tf_keras.layers.Concatenate(name="join0")([x, skips.pop()])
    x = _plain(x, "out0", width, activation)
    return tf_keras.Model(raw, picture(x, out_channels, upscale=upscale))


def _plain(x: Tensor, name: str, filters: int, activation: Activation) -> Tensor:
    """Two 3x3 convolutions."""
    for step in (1, 2):
        x = activate(conv(x, filters, name=f"{name}_conv{step}"), activation, name=f"{name}_act{step}")
    return x


def _fire(
    x: Tensor, name: str, squeezed: int, filters: int, *, activation: Activation, go_up: Up | None = None
) -> Tensor:
    """A fire module, or its transposed twin: there both halves double the size, and the kernels are 2x2 and 1x1.

    The twin squeezes with a transposed 1x1 convolution of stride 1, which is a 1x1 convolution. Activating each half
    is activating the whole, and lets an engine do it inside the convolution.
    """
    x = activate(conv(x, squeezed, kernel=1, name=f"{name}_squeeze"), activation, name=f"{name}_squeeze_act")
    if go_up:
        halves = [up(x, filters // 2, kernel=k, how=go_up, name=f"{name}_expand{k}") for k in (2, 1)]
    else:
        halves = [conv(x, filters // 2, kernel=k, name=f"{name}_expand{k}") for k in (3, 1)]
    halves = [activate(half, activation, name=f"{name}_act{i}") for i, half in enumerate(halves, start=1)]
    return tf_keras.layers.Concatenate(name=name)(halves)
