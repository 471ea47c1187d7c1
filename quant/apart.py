"""Activations taken apart before a network is quantized: what an engine rounds on its own becomes a layer of its own.

A SiLU is a sigmoid and a product, and LiteRT's integer sigmoid has one grid only; both have to be rounded. A ReLU is
one layer however it was written, and what does nothing goes.
"""

from __future__ import annotations

from typing import Any

import tf_keras

from keras_models.graph import Step, steps
from keras_models.lowered import Lowered
from keras_models.rewrite import copy, rebuild

__all__ = ["apart", "kind_of"]

K = tf_keras.layers
SILU = ("silu", "swish")


def apart(lowered: Lowered) -> Lowered:
    """The same function with a layer wherever values are rounded; the network itself if it is so already."""
    if not any(kind_of(step.layer) in (*SILU, "linear", "relu") for step in steps(lowered.model)):
        return lowered

    def make(step: Step, reads: list[Any]) -> Any:
        match kind_of(step.layer):
            case "linear":
                return reads[0]
            case "relu":
                return K.ReLU(name=step.name)(reads[0])
            case kind if kind in SILU:
                gate = K.Activation("sigmoid", name=f"{step.name}_gate")(reads[0])
                return K.Multiply(name=step.name)([reads[0], gate])
        return copy(step.layer, reads)

    return Lowered(rebuild(lowered.model, make), lowered.kernels)


def kind_of(layer: Any) -> str | None:
    """The name of an Activation layer's function; None for any other layer."""
    return str(tf_keras.activations.serialize(layer.activation)) if isinstance(layer, K.Activation) else None
