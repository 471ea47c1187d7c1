"""The See-in-the-Dark U-Net (Chen, Chen, Xu and Koltun, 2018), and its depthwise-separable Light and Lighter forms.

Light makes the second convolution of each of the nine stacks separable, Lighter both (Howard et al., 2017).
"""

from __future__ import annotations

from functools import partial
from typing import Literal

import tf_keras

from keras_models.blocks import Activation, Tensor, Up, activate, conv, picture, separable, up
from keras_models.he import he
from keras_models.measured import measured
from keras_models.options import Cell, Channels, Levels, Surround, Upscale, Width
from runtime.errors import BadOption

__all__ = ["unet"]


def unet(
    *,
    in_channels: Channels = 4,
    out_channels: Channels = 12,
    upscale: Upscale = 2,
    width: Width = 32,
    levels: Levels = 5,
    activation: Activation = "leaky-relu",
    go_up: Up = "transposed",
    separable_convs: Literal["none", "second", "both"] = "none",
    residual: bool = False,
    cell: Cell = 1,
    surround: Surround = 0,
) -> tf_keras.Model:
    """Stacks of two convolutions at width, 2 width, 4 width, ...; pooled between, and back up past the skips.

    One in cells of 2 x 2 takes them in with its first convolution, 4x4 in steps of two, and makes all their pixels at
    once: what the outermost level spends where pixels are most, and memory is waited for, is spent on channels.

    A `residual` one makes not the picture but what the mosaic lacks of it (Zhang et al., 2017), and says how far what
    was measured is to be trusted: where there is little noise there is little to do, and colours stay as they were
    measured; where there is nothing but noise, nothing of it has to be cancelled.
    """
    if surround and not residual:
        raise BadOption("surround", surround, "residual=true with it: nothing that was measured is added otherwise")
    first, second = {"none": (conv, conv), "second": (conv, separable), "both": (separable, separable)}[separable_convs]

    def stack(x: Tensor, filters: int, name: str) -> Tensor:
        begin = partial(conv, kernel=2 * cell, stride=cell) if x is raw and cell > 1 else first
        for step, convolve in enumerate((begin, second), start=1):
            x = convolve(x, filters, name=f"{name}_conv{step}")
            x = activate(x, activation, name=f"{name}_act{step}")
        return x

    widths = [width << level for level in range(levels)]
    raw = x = tf_keras.Input((None, None, in_channels), name="raw")
    skips = []
    for level, filters in enumerate(widths[:-1], start=1):
        x = stack(x, filters, f"down{level}")
        skips.append(x)
        x = tf_keras.layers.MaxPooling2D(name=f"pool{level}")(x)
    x = stack(x, widths[-1], "bottom")
    for level, filters in reversed(list(enumerate(widths[:-1], start=1))):
        x = up(x, filters, how=go_up, name=f"up{level}")
        x = tf_keras.layers.Concatenate(name=f"join{level}")([x, skips.pop()])
        x = stack(x, filters, f"out{level}")
    onto = measured(raw, out_channels, upscale=upscale, cell=cell, surround=surround) if residual else None
    made = picture(x, out_channels * cell**2, upscale=upscale * cell, onto=onto)
    model = tf_keras.Model(raw, made)
    return he(model, but=("measured",)) if activation == "relu" else model
