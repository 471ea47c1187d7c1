"""Monocular depth: EfficientNet-B0 (Tan and Le, 2019) under a fuse-free decoder of type C (Mehta et al., 2022).

The encoder is built from its paper's table up to stage 6 of nine (the 112-channel one); the decoder adapts its
four last scales, adds them from deep to shallow, and joins all four at a quarter of the input's size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import tf_keras

from keras_models.blocks import Tensor, activate, conv
from keras_models.layers import AlignedUpsample
from keras_models.options import Channels, Width

__all__ = ["effnet_ffnet"]


@dataclass(frozen=True)
class Stage:
    """One row of the paper's table: `repeats` inverted residuals, the first of them with the stride."""

    expand: int
    kernel: int
    stride: int
    filters: int
    repeats: int


STAGES = (
    Stage(1, 3, 1, 16, 1),
    Stage(6, 3, 2, 24, 2),
    Stage(6, 5, 2, 40, 2),
    Stage(6, 3, 2, 80, 3),
    Stage(6, 5, 1, 112, 3),
)


def effnet_ffnet(
    *,
    in_channels: Channels = 3,
    out_channels: Channels = 1,
    width: Width = 32,
    activation: Literal["silu", "relu"] = "silu",
) -> tf_keras.Model:
    """`width` is the stem's; every other one keeps its published proportion to 32. `activation` is the encoder's."""

    def wide(published: int) -> int:
        return max(published * width // 32, 1)

    raw = tf_keras.Input((None, None, in_channels), name="raw")
    x = _norm_act(conv(raw, wide(32), stride=2, bias=False, name="stem"), activation, name="stem")
    taps = []
    for number, stage in enumerate(STAGES, start=1):
        for repeat in range(stage.repeats):
            stride = stage.stride if repeat == 0 else 1
            x = _inverted_residual(
                x, stage, wide(stage.filters), stride, activation, name=f"stage{number}_{repeat + 1}"
            )
        taps.append(x)
    branches = _fuse(taps[1:], wide(128), wide(16))
    x = tf_keras.layers.Concatenate(name="head_join")(branches)
    x = _norm_act(conv(x, wide(128), bias=False, name="head"), "relu", name="head")
    return tf_keras.Model(raw, conv(x, out_channels, kernel=1, name="picture_conv"))


def _norm_act(x: Tensor, activation: str, *, name: str) -> Tensor:
    x = tf_keras.layers.BatchNormalization(name=f"{name}_norm")(x)
    return activate(x, activation, name=f"{name}_act")


def _inverted_residual(x: Tensor, stage: Stage, filters: int, stride: int, activation: str, *, name: str) -> Tensor:
    """Widen, filter each channel, weigh the channels, narrow; add the input where the shape allows it."""
    before, ins = x, x.shape[-1]
    if stage.expand > 1:
        x = conv(x, ins * stage.expand, kernel=1, bias=False, name=f"{name}_expand")
        x = _norm_act(x, activation, name=f"{name}_expand")
    depthwise = tf_keras.layers.DepthwiseConv2D(
        stage.kernel, stride, padding="same", use_bias=False, name=f"{name}_depthwise"
    )
    x = _norm_act(depthwise(x), activation, name=f"{name}_depthwise")
    x = _squeeze_excite(x, max(ins // 4, 1), activation, name=f"{name}_excite")
    x = conv(x, filters, kernel=1, bias=False, name=f"{name}_project")
    x = tf_keras.layers.BatchNormalization(name=f"{name}_project_norm")(x)
    if stride == 1 and ins == filters:
        x = tf_keras.layers.Add(name=f"{name}_add")([x, before])
    return x


def _squeeze_excite(x: Tensor, squeezed: int, activation: str, *, name: str) -> Tensor:
    """Scale every channel by what the mean of all channels makes of it."""
    weight = tf_keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_mean")(x)
    weight = activate(conv(weight, squeezed, kernel=1, name=f"{name}_reduce"), activation, name=f"{name}_reduce_act")
    weight = activate(conv(weight, x.shape[-1], kernel=1, name=f"{name}_grow"), "sigmoid", name=f"{name}_gate")
    return tf_keras.layers.Multiply(name=name)([x, weight])


def _fuse(taps: list[Tensor], shallow: int, deep: int) -> list[Tensor]:
    """Adapt each tap, add from deep to shallow, and bring all to the size of the shallowest."""

    def block(x: Tensor, filters: int, kernel: int, name: str) -> Tensor:
        return _norm_act(conv(x, filters, kernel=kernel, bias=False, name=name), "relu", name=name)

    widths = [shallow, deep, deep, deep]
    shrinks = [1, 2, 4, 4]  # how much smaller each tap is than the first
    adapted = [block(tap, w, 1, f"adapt{i}") for i, (tap, w) in enumerate(zip(taps, widths, strict=True), start=1)]
    x, smooth = adapted[3], {}
    for i in (3, 2, 1, 0):
        if i < 3:
            x = block(x, widths[i], 1, f"lift{i + 1}")
            if shrinks[i] < shrinks[i + 1]:
                x = AlignedUpsample(shrinks[i + 1] // shrinks[i], name=f"lift{i + 1}_up")(x)
            x = tf_keras.layers.Add(name=f"lift{i + 1}_add")([x, adapted[i]])
        smooth[i] = x = block(x, widths[i], 3, f"smooth{i + 1}")
    return [
        smooth[i] if shrinks[i] == 1 else AlignedUpsample(shrinks[i], name=f"join{i + 1}_up")(smooth[i])
        for i in range(4)
    ]
