"""The U-Net of the fixed-point paper (AskariHemmat et al., 2019, arXiv 1908.01073), before its quantizers.

A block is, twice: convolution, ReLU, BatchNorm. Where the paper rounds, a scheme puts its quantizers later.
"""

from __future__ import annotations

import tf_keras

from keras_models.blocks import Activation, Tensor, activate, conv
from keras_models.layers import DepthToSpace
from keras_models.options import Channels, Upscale, Width

__all__ = ["fixed_unet"]


def fixed_unet(
    *,
    in_channels: Channels = 1,
    out_channels: Channels = 1,
    upscale: Upscale = 1,
    width: Width = 64,
    activation: Activation = "relu",
) -> tf_keras.Model:
    """Widths w, 2w, 4w, and 4w at the bottom; bilinear ways up; a 3x3 convolution and a sigmoid at the end."""

    def block(x: Tensor, filters: int, name: str) -> Tensor:
        for step in (1, 2):
            x = conv(x, filters, name=f"{name}_conv{step}")
            x = activate(x, activation, name=f"{name}_act{step}")
            x = tf_keras.layers.BatchNormalization(name=f"{name}_norm{step}")(x)
        return x

    raw = x = tf_keras.Input((None, None, in_channels), name="raw")
    skips = []
    for level in (1, 2, 3):
        x = block(x, width << (level - 1), f"down{level}")
        skips.append(x)
        x = tf_keras.layers.MaxPooling2D(name=f"pool{level}")(x)
    x = block(x, 4 * width, "bottom")
    for level, filters in ((3, 4 * width), (2, 2 * width), (1, width)):
        x = tf_keras.layers.UpSampling2D(interpolation="bilinear", name=f"up{level}")(x)
        x = tf_keras.layers.Concatenate(name=f"join{level}")([x, skips.pop()])
        x = block(x, filters, f"out{level}")
    x = activate(conv(x, out_channels, name="picture_conv"), "sigmoid", name="picture_act")
    if upscale > 1:
        x = DepthToSpace(upscale, name="picture")(x)
    return tf_keras.Model(raw, x)
