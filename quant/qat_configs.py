"""What TFMOT is told about a layer it has no rule for, or is to leave alone."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras

__all__ = ["FixedRange", "KernelAlone", "Rounded", "RoundedGate", "Seam", "Unquantized"]


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
    """Tells TFMOT to round a convolution's kernel as it would, and nothing that comes out."""

    def get_weights_and_quantizers(self, layer: Any) -> list[Any]:
        """TFMOT's own."""
        return list(_defaults(layer).get_weights_and_quantizers(layer))

    def set_quantize_weights(self, layer: Any, quantize_weights: Any) -> None:
        """As TFMOT does."""
        _defaults(layer).set_quantize_weights(layer, quantize_weights)


def _defaults(layer: Any) -> Any:
    return tfmot.quantization.keras.default_8bit.Default8BitQuantizeRegistry().get_quantize_config(layer)


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
    """Fake quantization from 0 to 255/256."""

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
