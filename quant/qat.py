"""Quantization-aware training in 8 bits (Jacob et al., 2018), by TFMOT: fake quantizers around every layer."""

from __future__ import annotations

from typing import Any

import tensorflow_model_optimization as tfmot
import tf_keras

from keras_models.layers import DepthToSpace

__all__ = ["quantization_aware"]

# A layer that only moves values needs no quantizer behind it: its output lies on the grid of its input.
MOVERS = (DepthToSpace,)


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


def quantization_aware(model: Any) -> Any:
    """A copy of a float network, its weights included, that trains as if it ran in 8 bits."""
    annotate = tfmot.quantization.keras.quantize_annotate_layer

    def wrap(layer: Any) -> Any:
        return annotate(layer, Unquantized()) if isinstance(layer, MOVERS) else annotate(layer)

    annotated = tf_keras.models.clone_model(model, clone_function=wrap)
    return tfmot.quantization.keras.quantize_apply(annotated)
