"""The quantizer of the fixed-point U-Net (AskariHemmat et al., 2019): whole part and fraction, each rounded for itself.

    q(x, n)  = round(clamp(x, 0, 2^n - 1) 2^n) / 2^n                    round half to even
    fixed(x) = sign(x) (q(floor |x|, i) + q(|x| - floor |x|, f))

Its quirks are kept. Without integer bits the whole part is discarded (1.25 becomes 0.25), without fraction bits the
fraction is; overflow keeps the fraction (9.25 becomes 3.25 with two integer bits); and a fraction may be rounded up to
a whole 1, so that the largest level is 2^i, one step beyond what i and f bits would hold. It is no clamp to a grid,
though all its levels lie on one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from keras_models.grid import Grid
from runtime.errors import BadOption

__all__ = ["FixedPoint", "check_widths", "fixed", "fixed_straight_through", "grid_of"]

Array = np.ndarray[Any, Any]

WIDEST = 8  # a clamped whole part times 2^n, at most 2^16, is exact in float32; no grid has more bits anyway


def fixed(x: Array, integer: int, fraction: int) -> Array:
    """The quantizer in NumPy, for finite x."""
    size = np.abs(np.asarray(x, np.float32))
    whole = np.floor(size)
    return np.sign(x).astype(np.float32) * (_rounded(whole, integer) + _rounded(size - whole, fraction))


def _rounded(x: Array, bits: int) -> Array:
    steps = np.float32(1 << bits)
    return np.rint(np.clip(x, 0, steps - 1) * steps) / steps


def fixed_straight_through(x: tf.Tensor, integer: int, fraction: int) -> tf.Tensor:
    """The same in TensorFlow; its gradient is one everywhere, as in the paper."""

    def rounded(x: tf.Tensor, bits: int) -> tf.Tensor:
        steps = float(1 << bits)
        return tf.round(tf.clip_by_value(x, 0.0, steps - 1) * steps) / steps

    @tf.custom_gradient
    def forward(x: tf.Tensor) -> tuple[tf.Tensor, Any]:
        size = tf.abs(x)
        whole = tf.floor(size)
        return tf.sign(x) * (rounded(whole, integer) + rounded(size - whole, fraction)), lambda up: up

    return forward(tf.convert_to_tensor(x))


def grid_of(integer: int, fraction: int) -> Grid:
    """The smallest grid that holds every level: -top..top in steps of 2^-f, the carry included."""
    top = ((1 << integer) - 1 + (fraction > 0)) << fraction
    return Grid(np.array(2.0**-fraction), bits=max(top.bit_length() + 1, 2), signed=True, narrow=True)


def check_widths(integer: int, fraction: int) -> None:
    """Raise an `Error` unless both parts have a width that can be computed with, and not both are empty."""
    for part, bits in (("integer bits", integer), ("fraction bits", fraction)):
        if not (isinstance(bits, int) and 0 <= bits <= WIDEST):
            raise BadOption(part, bits, f"a whole number from 0 to {WIDEST}")
    if integer + fraction == 0:
        raise BadOption("integer bits plus fraction bits", 0, "at least one bit in all: everything would become zero")


@tf_keras.utils.register_keras_serializable("qk_unet")
class FixedPoint(tf_keras.layers.Layer):
    """The paper's quantizer as a layer of the plain form."""

    def __init__(self, integer: int, fraction: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_widths(integer, fraction)
        self.integer, self.fraction = integer, fraction

    @property
    def grid(self) -> Grid:
        """The grid its output lies on; `BadGrid` where that needs more than 8 bits."""
        return grid_of(self.integer, self.fraction)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Round."""
        return fixed_straight_through(x, self.integer, self.fraction)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Unchanged."""
        return shape

    def get_config(self) -> dict[str, Any]:
        """What __init__ needs."""
        return {**super().get_config(), "integer": self.integer, "fraction": self.fraction}
