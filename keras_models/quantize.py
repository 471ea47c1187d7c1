"""The Keras layer around a grid: its output lies on the grid, its gradient passes straight through."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

from keras_models.grid import Grid

__all__ = ["Quantize"]


@tf_keras.utils.register_keras_serializable("qk_unet")
class Quantize(tf_keras.layers.Layer):
    """Round activations to a grid of one scale, exactly as `Grid.quantize` and `Grid.dequantize` do."""

    def __init__(self, grid: Grid | dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.grid = grid if isinstance(grid, Grid) else Grid(**grid)
        if self.grid.scale.ndim:
            raise ValueError("activations have one scale")

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Round; outside the grid the gradient stops, inside it is one."""
        grid = self.grid
        # In a graph TensorFlow turns a division by a constant into a product with its inverse. In float64 either one,
        # rounded to float32, is the exact quotient rounded: two float32 numbers have none close enough to a tie.
        scale, zero = tf.constant(grid.scale), float(grid.zero)
        divisor = tf.constant(grid.scale, tf.float64)

        @tf.custom_gradient
        def straight_through(x: tf.Tensor) -> tuple[tf.Tensor, Any]:
            steps = tf.round(tf.cast(tf.cast(x, tf.float64) / divisor, tf.float32)) + zero
            inside = (steps >= grid.low) & (steps <= grid.high)
            rounded = (tf.clip_by_value(steps, grid.low, grid.high) - zero) * scale
            return rounded, lambda up: tf.where(inside, up, tf.zeros_like(up))

        return straight_through(x)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Unchanged."""
        return shape

    def get_config(self) -> dict[str, Any]:
        """What __init__ needs."""
        return {**super().get_config(), "grid": self.grid.to_config()}
