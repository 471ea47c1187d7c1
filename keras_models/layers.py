"""The few layers Keras lacks. Each says itself how it moves pixels, so that counting needs no list of them."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

__all__ = ["AlignedUpsample", "DepthToSpace"]


@tf_keras.utils.register_keras_serializable("qk_unet")
class DepthToSpace(tf_keras.layers.Layer):
    """Move `block` x `block` groups of channels into space; channel (dy * block + dx) * c + k goes to (dy, dx)."""

    def __init__(self, block: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.block = block

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Rearrange."""
        return tf.nn.depth_to_space(x, self.block)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Larger by the block, thinner by its square."""
        n, h, w, c = shape
        return n, h and h * self.block, w and w * self.block, c and c // self.block**2

    def reads(self, low: int, high: int) -> tuple[int, int]:
        """The rows of the input that rows low..high of the output depend on."""
        return low // self.block, high // self.block

    def get_config(self) -> dict[str, Any]:
        """What __init__ needs."""
        return {**super().get_config(), "block": self.block}


@tf_keras.utils.register_keras_serializable("qk_unet")
class AlignedUpsample(tf_keras.layers.Layer):
    """Bilinear enlargement with the corners of input and output aligned, as PyTorch's align_corners does.

    Its step is (n - 1) / (factor n - 1): every output pixel depends on the image's size, so it cannot be tiled.
    """

    def __init__(self, factor: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Enlarge."""
        size = tf.shape(x)[1:3] * self.factor
        return tf.raw_ops.ResizeBilinear(images=x, size=size, align_corners=True, half_pixel_centers=False)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Larger by the factor."""
        n, h, w, c = shape
        return n, h and h * self.factor, w and w * self.factor, c

    def reads(self, low: int, high: int) -> None:
        """Everything."""

    def get_config(self) -> dict[str, Any]:
        """What __init__ needs."""
        return {**super().get_config(), "factor": self.factor}
