"""C-UNet and C-UNet++ (Bahl, Daniel, Moretti and Lafarge, 2019): tiny, and without skip connections.

C-UNet++ is built as its figure draws it; the 9,129 parameters of its text come out of nothing the figure allows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import tf_keras

from keras_models.blocks import Activation, Tensor, Up, activate, conv, keras_separable, picture, up
from keras_models.options import Channels, Upscale, Width

__all__ = ["cunet"]

Convolution = Callable[..., Tensor]

# The convolutions of each stage, on the way down and on the way up.
PLANS: dict[str, tuple[list[list[Convolution]], list[list[Convolution]]]] = {
    "c-unet": ([[conv, conv, keras_separable]] * 3, [[conv, conv]] * 3),
    "c-unet++": ([[conv], [keras_separable], [keras_separable]], [[], [], [conv]]),
}


def cunet(
    *,
    in_channels: Channels = 4,
    out_channels: Channels = 12,
    upscale: Upscale = 2,
    width: Width = 8,
    activation: Activation = "relu",
    go_up: Up = "transposed",
    plan: Literal["c-unet", "c-unet++"] = "c-unet",
) -> tf_keras.Model:
    """Three stages down at width, 2 width, 4 width, each pooled; three up in the other order."""

    def stage(x: Tensor, filters: int, name: str, convolutions: list[Convolution]) -> Tensor:
        for step, convolve in enumerate(convolutions, start=1):
            x = convolve(x, filters, name=f"{name}_conv{step}")
            x = activate(x, activation, name=f"{name}_act{step}")
        return x

    down, back = PLANS[plan]
    raw = x = tf_keras.Input((None, None, in_channels), name="raw")
    for level, convolutions in enumerate(down, start=1):
        x = stage(x, width << (level - 1), f"down{level}", convolutions)
        x = tf_keras.layers.MaxPooling2D(name=f"pool{level}")(x)
    for level, convolutions in zip((3, 2, 1), back, strict=True):
        x = up(x, width << (level - 1), how=go_up, name=f"up{level}")
        x = stage(x, width << (level - 1), f"out{level}", convolutions)
    return tf_keras.Model(raw, picture(x, out_channels, upscale=upscale))
