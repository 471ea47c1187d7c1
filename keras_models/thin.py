"""Thin U-Nets for distillation (Vaze, Xie and Namburete, 2020): 32 filters at every level.

The regular one teaches; the separable one, with one more convolution at the last block down, is the student.
A block is two convolutions, then BatchNorm; its output is both the skip and what is pooled.
"""

from __future__ import annotations

from typing import Literal

import tf_keras

from keras_models.blocks import Activation, Tensor, activate, conv, keras_separable, picture
from keras_models.options import Channels, Levels, Upscale, Width

__all__ = ["thin"]


def thin(
    *,
    in_channels: Channels = 1,
    out_channels: Channels = 1,
    upscale: Upscale = 1,
    width: Width = 32,
    levels: Levels = 6,
    activation: Activation = "relu",
    convs: Literal["regular", "separable"] = "regular",
    last_down_convs: Levels = 2,
) -> tf_keras.Model:
    """`levels` blocks down, the lowest one with dropout, and `levels` blocks up by nearest neighbour."""
    convolve = {"regular": conv, "separable": keras_separable}[convs]

    def block(x: Tensor, name: str, count: int = 2) -> Tensor:
        for step in range(1, count + 1):
            x = convolve(x, width, name=f"{name}_conv{step}")
            x = activate(x, activation, name=f"{name}_act{step}")
        return tf_keras.layers.BatchNormalization(name=f"{name}_norm")(x)

    raw = x = tf_keras.Input((None, None, in_channels), name="raw")
    skips = []
    for level in range(1, levels + 1):
        x = block(x, f"down{level}", last_down_convs if level == levels else 2)
        skips.append(x)
        x = tf_keras.layers.MaxPooling2D(name=f"pool{level}")(x)
    x = block(x, "bottom")
    x = tf_keras.layers.Dropout(0.5, name="bottom_dropout")(x)
    for level in range(levels, 0, -1):
        x = tf_keras.layers.UpSampling2D(name=f"up{level}")(x)
        x = tf_keras.layers.Concatenate(name=f"join{level}")([skips.pop(), x])
        x = block(x, f"out{level}")
    return tf_keras.Model(raw, picture(x, out_channels, upscale=upscale))
