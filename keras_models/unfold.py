"""The way back from folding: weights of a network that was folded, in the network that has its BatchNorms.

Such a norm does nothing but add the bias of a convolution that has none of its own; one that stood as a 1x1 depthwise
convolution has its kernel and bias again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tf_keras

from keras_models.fold import norms_that_fold

__all__ = ["unfolded"]

K = tf_keras.layers
Array = np.ndarray[Any, Any]


def unfolded(found: Mapping[str, Array], *, like: Any) -> dict[str, Array]:
    """Weights by name, with those of the norms of `like` that are not among them."""
    result = dict(found)
    makers = {norm.name: name for name, norm in norms_that_fold(like).items()}
    for layer in like.layers:
        if not isinstance(layer, K.BatchNormalization) or f"{layer.name}/moving_mean:0" in found:
            continue
        if (gain := found.get(f"{layer.name}/depthwise_kernel:0")) is not None:
            result |= _norm(layer, gain.ravel(), found[f"{layer.name}/bias:0"])
        elif (bias := found.get(f"{makers.get(layer.name)}/bias:0")) is not None:
            has_one = like.get_layer(makers[layer.name]).use_bias
            result |= _norm(layer, np.ones_like(bias), np.zeros_like(bias) if has_one else bias)
    return result


def _norm(layer: Any, gain: Array, shift: Array) -> dict[str, Array]:
    """The weights of a norm that computes x * gain + shift."""
    values = {
        "gamma": gain * np.sqrt(np.float32(1 + layer.epsilon)),
        "beta": shift,
        "moving_mean": np.zeros_like(shift),
        "moving_variance": np.ones_like(shift),
    }
    return {f"{layer.name}/{kind}:0": value for kind, value in values.items()}
