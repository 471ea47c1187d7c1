"""Quantization-aware training in 8 bits (Jacob et al., 2018), by TFMOT: fake quantizers around every layer."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras

from keras_models.graph import Step, steps
from keras_models.layers import AlignedUpsample, DepthToSpace
from keras_models.rewrite import copy, rebuild

__all__ = ["Rounded", "RoundedGate", "Unquantized", "activation_ranges", "quantization_aware"]

K = tf_keras.layers
CONVS = (K.Conv2D, K.DepthwiseConv2D)


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


def quantization_aware(model: Any, *, samples: Any = None) -> Any:
    """A copy of a float network, its weights included, that trains as if it ran in 8 bits.

    TFMOT starts every activation range at -6 to 6 and moves it by a thousandth a step. With `samples` the ranges
    begin where the float network's own activations lie on them.
    """
    model = _relu_inside(_silu_apart(model))
    readers = Counter(tensor for step in steps(model) for tensor in step.reads)
    rules = {step.name: rule for step in steps(model) if (rule := _rule(step, readers)) is not None}

    def wrap(layer: Any) -> Any:
        return tfmot.quantization.keras.quantize_annotate_layer(layer, rules.get(layer.name))

    annotated = tf_keras.models.clone_model(model, clone_function=wrap)
    aware = tfmot.quantization.keras.quantize_apply(annotated)
    if samples is not None:
        _start_ranges(aware, model, samples)
    return aware


def _rule(step: Step, readers: Counter[int]) -> Any:
    """What TFMOT has to be told about a layer; None where it knows."""
    match step.layer:
        case DepthToSpace():
            return Unquantized()  # it moves values: its output lies on the grid of its input
        case K.Activation() as layer if _named(layer) == "sigmoid":
            return RoundedGate()
        case K.Multiply() | AlignedUpsample():
            return Rounded()
        case K.BatchNormalization() if not (
            _is_linear_conv(step.layer.input._keras_history.layer) and readers[step.reads[0]] == 1
        ):
            return Rounded()
    return None


def _is_linear_conv(layer: Any) -> bool:
    return isinstance(layer, CONVS) and _named(layer) == "linear"


def _named(layer: Any) -> str:
    return str(tf_keras.activations.serialize(layer.activation))


def _silu_apart(model: Any) -> Any:
    """The same network with each SiLU as the sigmoid and the product it is, so that both are rounded."""

    def make(step: Step, reads: list[Any]) -> Any:
        if not (isinstance(step.layer, K.Activation) and _named(step.layer) in ("silu", "swish")):
            return copy(step.layer, reads)
        gate = K.Activation("sigmoid", name=f"{step.name}_gate")(reads[0])
        return K.Multiply(name=step.name)([reads[0], gate])

    return rebuild(model, make)


def _relu_inside(model: Any) -> Any:
    """The same network with each ReLU as its convolution's own activation.

    TFMOT 0.8 takes a convolution in front of a ReLU layer for an addition, and leaves its kernel in float.
    """
    walk = steps(model)
    readers = Counter(tensor for step in walk for tensor in step.reads)
    relus = {step.reads[0] for step in walk if type(step.layer) is K.ReLU and readers[step.reads[0]] == 1}
    convs = {step.makes for step in walk if isinstance(step.layer, CONVS) and step.makes in relus}

    def make(step: Step, reads: list[Any]) -> Any:
        if step.makes in convs:
            return copy(step.layer, reads, activation="relu")
        if step.reads[0] in convs:
            return reads[0]
        return copy(step.layer, reads)

    return rebuild(model, make)


def _start_ranges(aware: Any, model: Any, samples: Any) -> None:
    """Set each activation range to what the float network's layer of that name puts out."""
    layers = [layer for layer in model.layers if f"quant_{layer.name}" in {w.name for w in aware.layers}]
    seen = tf_keras.Model(model.inputs, {layer.name: layer.output for layer in layers})(samples)
    for wrapper in aware.layers:
        if type(wrapper).__name__ == "QuantizeLayer":
            _assign(wrapper.quantizer_vars, samples)
        elif wrapper.name.removeprefix("quant_") in seen:
            moves = not isinstance(wrapper.quantize_config, RoundedGate)
            for ranges in activation_ranges(wrapper) if moves else ():
                _assign(ranges, seen[wrapper.name.removeprefix("quant_")])


def activation_ranges(wrapper: Any) -> list[dict[str, Any]]:
    """The range variables of what a wrapped layer puts out: of its output, or of its activation's output."""
    if getattr(wrapper, "_output_quantizers", None):
        return [wrapper._output_quantizer_vars]
    found = (getattr(a, "_post_activation_vars", None) for a in getattr(wrapper, "_quantize_activations", ()))
    return [ranges for ranges in found if ranges]


def _assign(ranges: dict[str, Any], values: Any) -> None:
    values = np.asarray(values)
    ranges["min_var"].assign(min(values.min(), 0.0))
    ranges["max_var"].assign(max(values.max(), 0.0))
