"""Float networks in the plain form: BatchNorm folded away (Jacob et al., 2018), Dropout left out, activations apart.

A norm right behind a convolution that nobody else reads goes into its kernel and bias. Any other becomes a 1x1
depthwise convolution, which is what a norm is once its statistics stand still; unlike folding it forward, that is
exact at the border of the image too.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import tf_keras

from keras_models.graph import Step, outputs, steps
from keras_models.lowered import Lowered
from keras_models.rewrite import copy, rebuild

__all__ = ["Norm", "fold", "norm_as_depthwise", "norms_that_fold", "plain", "with_weights"]

K = tf_keras.layers
CONVS = (K.Conv2D, K.DepthwiseConv2D, K.Conv2DTranspose)
LINEAR = tf_keras.activations.linear
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Norm:
    """What a BatchNorm layer does at inference: x * gain + shift."""

    gain: Array
    shift: Array

    @classmethod
    def of(cls, layer: Any) -> Norm:
        """Read a layer; in float64, so that folding itself costs no accuracy."""
        mean, variance = (np.asarray(w, np.float64) for w in (layer.moving_mean, layer.moving_variance))
        gamma = np.asarray(layer.gamma, np.float64) if layer.scale else np.ones_like(mean)
        beta = np.asarray(layer.beta, np.float64) if layer.center else np.zeros_like(mean)
        gain = gamma / np.sqrt(variance + layer.epsilon)
        return cls(gain, beta - mean * gain)


def fold(kernel: Array, bias: Array | float, norm: Norm, *, axis: int = -1) -> tuple[Array, Array]:
    """Kernel and bias of the convolution that does its own norm; `axis` is the kernel's output channel."""
    shape = [1] * kernel.ndim
    shape[axis] = -1
    kernel = kernel * norm.gain.reshape(shape)
    return kernel.astype(np.float32), (bias * norm.gain + norm.shift).astype(np.float32)


def plain(model: Any, *, fold: bool = True) -> Lowered:
    """A float network in the plain form: the same function, nothing normed, dropped or bent inside a convolution.

    Without `fold` no norm goes into a kernel: each stands as the 1x1 depthwise convolution that it is.
    """
    norms = norms_that_fold(model) if fold else {}
    gone = {norm.name for norm in norms.values()}

    def make(step: Step, reads: list[Any]) -> Any:
        match step.layer:
            case K.BatchNormalization() if step.name in gone:
                return reads[0]
            case K.BatchNormalization() as norm if _is_channel_norm(norm):
                return norm_as_depthwise(norm)(reads[0])
            case K.Dropout() | K.SpatialDropout2D() | K.GaussianNoise():
                return reads[0]
        if step.name in norms:
            return _folded(step.layer, Norm.of(norms[step.name]))(reads[0])
        if type(step.layer) in CONVS and step.layer.activation is not LINEAR:
            return _activation(step.layer)(copy(step.layer, reads, activation="linear"))
        return copy(step.layer, reads)

    return Lowered(rebuild(model, make))


def norms_that_fold(model: Any) -> dict[str, Any]:
    """The norms that go into a convolution, by its name: right behind it, with nobody else to read it."""
    walk = steps(model)
    readers = Counter([tensor for step in walk for tensor in step.reads] + outputs(model))
    makers = {step.makes: step for step in walk}
    return {
        makers[step.reads[0]].name: step.layer
        for step in walk
        if _is_channel_norm(step.layer) and readers[step.reads[0]] == 1 and _can_fold(makers[step.reads[0]].layer)
    }


def _is_channel_norm(layer: Any) -> bool:
    """Whether a layer is a norm of each channel of an image."""
    return isinstance(layer, K.BatchNormalization) and list(layer.axis) == [3]


def _can_fold(layer: Any) -> bool:
    """Whether a norm behind a layer may go into it: a convolution, nothing bent between, one kernel a channel."""
    linear = type(layer) in CONVS and layer.activation is LINEAR
    return linear and layer.groups == 1 and getattr(layer, "depth_multiplier", 1) == 1


def _activation(layer: Any) -> Any:
    """The activation that a convolution keeps inside, as a layer."""
    name = f"{layer.name}_activation"
    is_relu = layer.activation is tf_keras.activations.relu
    return K.ReLU(name=name) if is_relu else K.Activation(layer.activation, name=name)


def norm_as_depthwise(layer: Any) -> Any:
    """The 1x1 depthwise convolution that equals a BatchNorm at inference."""
    norm = Norm.of(layer)
    twin = K.DepthwiseConv2D(1, name=layer.name)
    return with_weights(twin, norm.gain.astype(np.float32).reshape(1, 1, -1, 1), norm.shift.astype(np.float32))


def with_weights(layer: Any, kernel: Array, bias: Array) -> Any:
    """A fresh convolution, built for its kernel and filled."""
    ins = kernel.shape[3] if isinstance(layer, K.Conv2DTranspose) else kernel.shape[2]
    layer.build((None, None, None, ins))
    layer.set_weights([kernel, bias])
    return layer


def _folded(layer: Any, norm: Norm) -> Any:
    """A new convolution that does its norm itself."""
    axis = -1 if type(layer) is K.Conv2D else 2  # depthwise: (h, w, in, 1); transposed: (h, w, out, in)
    kernel, *bias = (w.astype(np.float64) for w in layer.get_weights())
    twin = type(layer).from_config({**layer.get_config(), "use_bias": True})
    return with_weights(twin, *fold(kernel, bias[0] if bias else 0.0, norm, axis=axis))
