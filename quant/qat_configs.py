"""What TFMOT is told about a layer it has no rule for, or is to leave alone."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras

__all__ = ["EachDepthwise", "FixedRange", "KernelAlone", "Kernels", "Rounded", "RoundedGate", "Seam", "Unquantized"]

CHANNELS_LAST = (0, 1, 3, 2)  # of a depthwise kernel, and back


@tf_keras.utils.register_keras_serializable("qk_unet")
class Unquantized(tfmot.quantization.keras.QuantizeConfig):
    """Tells TFMOT to leave a layer as it is."""

    def get_weights_and_quantizers(self, layer: Any) -> list[Any]:
        """No weights."""
        return []

    def get_activations_and_quantizers(self, layer: Any) -> list[Any]:
        """No activations."""
        return []

    def set_quantize_weights(self, layer: Any, quantize_weights: Any) -> None:
        """Nothing to set."""
        pass  # AutoGraph fails on a body that is a docstring alone

    def set_quantize_activations(self, layer: Any, quantize_activations: Any) -> None:
        """Nothing to set."""
        pass  # AutoGraph fails on a body that is a docstring alone

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        """None."""
        return []

    def get_config(self) -> dict[str, Any]:
        """Nothing to remember."""
        return {}


@tf_keras.utils.register_keras_serializable("qk_unet")
class KernelAlone(Unquantized):
    """Tells TFMOT to round a convolution's kernel as the others are, and nothing that comes out."""

    def __init__(self, *, per_channel: bool = True) -> None:
        self.per_channel = per_channel

    def get_weights_and_quantizers(self, layer: Any) -> list[Any]:
        """Those of `Kernels`."""
        return list(self._others(layer).get_weights_and_quantizers(layer))

    def set_quantize_weights(self, layer: Any, quantize_weights: Any) -> None:
        """As TFMOT does."""
        self._others(layer).set_quantize_weights(layer, quantize_weights)

    def _others(self, layer: Any) -> Any:
        return Kernels(per_channel=self.per_channel).get_quantize_registry().get_quantize_config(layer)

    def get_config(self) -> dict[str, Any]:
        """Which grids."""
        return {"per_channel": self.per_channel}


class Kernels(tfmot.quantization.keras.default_8bit.Default8BitQuantizeScheme):
    """TFMOT's rules with one scale for a kernel, or one for each of its channels, a depthwise kernel's too."""

    def __init__(self, *, per_channel: bool = True) -> None:
        super().__init__(disable_per_axis=not per_channel)
        self.per_channel = per_channel

    def get_quantize_registry(self) -> Any:
        """TFMOT's, with one scale as it has that, else the one below."""
        return _Channels() if self.per_channel else super().get_quantize_registry()


class _Channels(tfmot.quantization.keras.default_8bit.Default8BitQuantizeRegistry):
    """TFMOT's own, but for depthwise kernels."""

    def get_quantize_config(self, layer: Any) -> Any:
        config = super().get_quantize_config(layer)
        if type(layer) is tf_keras.layers.DepthwiseConv2D:
            config.weight_quantizer = EachDepthwise()
        return config


class EachDepthwise(tfmot.quantization.keras.quantizers.LastValueQuantizer):
    """One symmetric range for each channel of a depthwise kernel (h, w, in, 1).

    TFMOT takes its last axis for the channels, which gives all of them one.
    """

    def __init__(self) -> None:
        super().__init__(num_bits=8, per_axis=True, symmetric=True, narrow_range=True)

    def build(self, tensor_shape: Any, name: str, layer: Any) -> Any:
        """Ranges for the channels."""
        return super().build(tf.TensorShape([tensor_shape[axis] for axis in CHANNELS_LAST]), name, layer)

    def __call__(self, inputs: Any, training: Any, weights: dict[str, Any], **kwargs: Any) -> Any:
        """Round."""
        turned = super().__call__(tf.transpose(inputs, CHANNELS_LAST), training, weights, **kwargs)
        return tf.transpose(turned, CHANNELS_LAST)

    def get_config(self) -> dict[str, Any]:
        """Nothing to remember."""
        return {}


@tf_keras.utils.register_keras_serializable("qk_unet")
class Rounded(Unquantized):
    """Tells TFMOT to round what a layer puts out, for layers it has no rule for."""

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        """Eight bits, the range a moving average of what was seen."""
        quantizer = tfmot.quantization.keras.quantizers.MovingAverageQuantizer
        return [quantizer(num_bits=8, per_axis=False, symmetric=False, narrow_range=False)]


@tf_keras.utils.register_keras_serializable("qk_unet")
class RoundedGate(Unquantized):
    """Rounds a sigmoid to steps of 1/256 from 0: the one grid on which LiteRT has an integer sigmoid."""

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        """Eight bits over a range that training does not move."""
        return [FixedRange()]


@tf_keras.utils.register_keras_serializable("qk_unet")
class FixedRange(tfmot.quantization.keras.quantizers.Quantizer):
    """Fake quantization in a range that training does not move, if none is given from 0 to 255/256."""

    HIGH = 255 / 256

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """The range, as variables that nothing changes."""
        ends = {"min_var": 0.0, "max_var": self.HIGH}
        return {
            key: layer.add_weight(f"{name}_{key}", initializer=tf_keras.initializers.Constant(end), trainable=False)
            for key, end in ends.items()
        }

    def __call__(self, inputs: Any, training: Any, weights: dict[str, Any], **kwargs: Any) -> Any:
        """Round."""
        return tf.quantization.fake_quant_with_min_max_vars(inputs, weights["min_var"], weights["max_var"])

    def get_config(self) -> dict[str, Any]:
        """Nothing to remember."""
        return {}


@tf_keras.utils.register_keras_serializable("qk_unet")
class Seam(tf_keras.layers.Layer):
    """Where a layer in float meets the others: what goes in comes out, rounded if the layer is wrapped."""

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Nothing."""
        return tf.identity(x)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Unchanged."""
        return shape
