"""What QKeras lacks or has broken: a transposed convolution, a scale a channel that survives its config, the paper.

QKeras' own QConv2DTranspose calls a function that TensorFlow 2.21 no longer has.
"""

from __future__ import annotations

from typing import Any

import qkeras
import tensorflow as tf
import tf_keras
from qkeras.quantizers import BaseQuantizer

from keras_models.fixed_point import check_widths, fixed_straight_through

__all__ = ["ChannelBits", "PaperFixed", "QConv2DTranspose", "geometry"]


def geometry(layer: Any) -> dict[str, Any]:
    """The options that say what a convolution computes, whoever made it; no initializers, no quantizers."""
    names = ["kernel_size", "strides", "padding", "dilation_rate", "use_bias", "name"]
    # Keras' depthwise layer has `filters` and `groups` too, but knows them itself.
    names.append("depth_multiplier" if isinstance(layer, tf_keras.layers.DepthwiseConv2D) else "filters")
    return {name: getattr(layer, name) for name in names}


@tf_keras.utils.register_keras_serializable("qk_unet")
class QConv2DTranspose(tf_keras.layers.Conv2DTranspose):
    """A transposed convolution whose kernel and bias are quantized on every call; channels last, no output padding."""

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        *,
        kernel_quantizer: Any = None,
        bias_quantizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(filters, kernel_size, **kwargs)
        if self.output_padding is not None or self.data_format != "channels_last":
            raise ValueError("QConv2DTranspose has no output padding and knows channels last alone")
        self.kernel_quantizer = kernel_quantizer
        self.kernel_quantizer_internal = qkeras.get_quantizer(kernel_quantizer)
        self.bias_quantizer_internal = qkeras.get_quantizer(bias_quantizer)
        if hasattr(self.kernel_quantizer_internal, "_set_trainable_parameter"):
            self.kernel_quantizer_internal._set_trainable_parameter()  # as QKeras' layers: alpha=None is "auto_po2"

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """As Keras', with the quantized kernel."""
        quantize = self.kernel_quantizer_internal
        shape = tf.shape(x)
        sides = [
            shape[axis + 1] * stride + (max((size - 1) * gap + 1 - stride, 0) if self.padding == "valid" else 0)
            for axis, (size, stride, gap) in enumerate(
                zip(self.kernel_size, self.strides, self.dilation_rate, strict=True)
            )
        ]
        y = tf_keras.backend.conv2d_transpose(
            x,
            quantize(self.kernel) if quantize else self.kernel,
            tf.stack([shape[0], *sides, self.filters]),
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
        )
        y.set_shape(self.compute_output_shape(x.shape))
        if self.use_bias:
            round_bias = self.bias_quantizer_internal
            y = tf.nn.bias_add(y, round_bias(self.bias) if round_bias else self.bias)
        return y if self.activation is None else self.activation(y)

    def get_quantizers(self) -> list[Any]:
        """QKeras' protocol: of the kernel and of the bias."""
        return [self.kernel_quantizer_internal, self.bias_quantizer_internal]

    def get_config(self) -> dict[str, Any]:
        """What __init__ needs."""
        words = tf_keras.utils.serialize_keras_object
        return {
            **super().get_config(),
            "kernel_quantizer": words(self.kernel_quantizer_internal),
            "bias_quantizer": words(self.bias_quantizer_internal),
        }


@tf_keras.utils.register_keras_serializable("qk_unet")
class ChannelBits(qkeras.quantized_bits):
    """`quantized_bits` with the best power of two for each channel along `scale_axis`.

    QKeras can do it, but leaves the axis out of its config, and without it scales by the last axis, which is that of
    the input in a transposed kernel and none at all in a depthwise one.
    """

    def __init__(self, bits: int = 8, scale_axis: int = 3) -> None:
        super().__init__(bits, 0, alpha="auto_po2", scale_axis=scale_axis)

    def get_config(self) -> dict[str, Any]:
        """What __init__ needs."""
        return {"bits": self.bits, "scale_axis": self.scale_axis}


@tf_keras.utils.register_keras_serializable("qk_unet")
class PaperFixed(BaseQuantizer):
    """The quantizer of AskariHemmat et al. (2019) as QKeras wants one: of kernels and of activations."""

    def __init__(self, integer: int = 0, fraction: int = 4) -> None:
        super().__init__()
        check_widths(integer, fraction)
        self.integer, self.fraction = integer, fraction
        self.bits = integer + fraction + 1

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Quantize, the gradient straight through."""
        return fixed_straight_through(x, self.integer, self.fraction)

    def __str__(self) -> str:
        return f"PaperFixed({self.integer},{self.fraction})"

    def max(self) -> float:
        """The largest level, the carry included."""
        return float((1 << self.integer) - 1 + (self.fraction > 0))

    def min(self) -> float:
        """The lowest level."""
        return -self.max()

    def get_config(self) -> dict[str, Any]:
        """What __init__ needs."""
        return {"integer": self.integer, "fraction": self.fraction}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> PaperFixed:
        """Make one from its config."""
        return cls(**config)
