"""High biases absorbed (Nagel, van Baalen, Blankevoort and Welling, 2019): less range for channels that never rest.

Where nearly all that a channel makes lies above zero, ReLU only passes it on, and what it never falls below,
c = max(0, mean - 3 deviations), need not be in it: c is taken from its bias, and what the next convolution made of it
is added to its bias. Values above c stay exactly as they were; the few below are cut off at c, no longer at 0.

Three things let no shift pass. LeakyReLU bends values below zero but does not cut them off, so that shifting one
changes more than its height. A convolution that pads with zeros would have to pad with -c: it reads something else at
the border, unless `padded` says that this is no matter. And the taps of a transposed convolution fall on pixels of
their own, which share one bias: take those apart first (keras_models/shuffle.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tf_keras

from keras_models.fold import plain
from keras_models.graph import steps
from keras_models.hoist import plain_relu
from keras_models.layers import AlignedUpsample
from keras_models.lowered import Lowered
from keras_models.rewrite import reweighted
from quant.calibrate import Samples, checked, values
from quant.places import CONVS
from quant.seams import Read, Seam, check_float, kind, seams
from runtime.errors import BadOption

__all__ = ["Absorbed", "Moments", "absorb", "height", "moved", "norm_moments", "sampled_moments"]

K = tf_keras.layers
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation of each channel that a convolution makes, before its activation."""

    mean: Array
    deviation: Array

    def divided(self, by: Array) -> Moments:
        """The same of channels made smaller: equalization says by how much."""
        return Moments(self.mean / by, self.deviation / by)


@dataclass(frozen=True)
class Absorbed:
    """What was taken from the bias of each convolution, a channel each, and why nothing was from the others."""

    shifts: Mapping[str, Array]
    skipped: Mapping[str, str]


def height(moments: Moments, *, deviations: float = 3.0) -> Array:
    """How far above zero nearly all of a channel lies; a channel without a finite mean stays where it is."""
    c = moments.mean - deviations * np.abs(moments.deviation)
    return np.where(np.isfinite(c), np.maximum(c, 0.0), 0.0)


def moved(kernel: Array, shift: Array, *, depthwise: bool = False) -> Array:
    """What a convolution without a bias makes of a constant a channel, far from any border."""
    taps = kernel.astype(np.float64).sum(axis=(0, 1))
    return (shift[:, None] * taps).ravel() if depthwise else shift @ taps


def norm_moments(model: Any) -> dict[str, Moments]:
    """What norms were trained to make, for the convolutions of `plain(model)` that they are folded into."""
    walk, kept = steps(model), {step.name for step in steps(plain(model).model)}
    makers = {step.makes: step for step in walk}
    found = {}
    for step in walk:
        if isinstance(step.layer, K.BatchNormalization) and step.name not in kept:
            norm, channels = step.layer, int(step.layer.output.shape[-1])
            mean = np.asarray(norm.beta, np.float64) if norm.center else np.zeros(channels)
            deviation = np.abs(np.asarray(norm.gamma, np.float64)) if norm.scale else np.ones(channels)
            found[makers[step.reads[0]].name] = Moments(mean, deviation)
    return found


def sampled_moments(lowered: Lowered, samples: Samples) -> dict[str, Moments]:
    """The moments of every convolution on all that `samples()` gives, once; memory is that of a batch."""
    convs = {step.makes: step.name for step in steps(lowered.model) if isinstance(step.layer, CONVS)}
    seen: dict[str, tuple[int, Array, Array]] = {}
    for batch in checked(lowered, samples):
        for step, array in values(lowered, batch, wanted=convs):
            part = array.reshape(-1, array.shape[-1]).astype(np.float64)
            new = len(part), part.mean(axis=0), part.var(axis=0) * len(part)
            seen[step.name] = _joined(seen[step.name], new) if step.name in seen else new
    return {name: Moments(mean, np.sqrt(squares / count)) for name, (count, mean, squares) in seen.items()}


def _joined(one: tuple[int, Array, Array], other: tuple[int, Array, Array]) -> tuple[int, Array, Array]:
    """Count, mean and squares about it of two parts together (Chan, Golub and LeVeque, 1979)."""
    (n, mean, squares), (m, mean2, squares2) = one, other
    apart = mean2 - mean
    return n + m, mean + apart * m / (n + m), squares + squares2 + apart**2 * n * m / (n + m)


def absorb(
    lowered: Lowered, moments: Mapping[str, Moments], *, deviations: float = 3.0, padded: bool = False
) -> tuple[Lowered, Absorbed]:
    """Nearly the same function with lower biases; `padded` also where it differs along the border of the image."""
    check_float(lowered, "absorb")
    if not (np.isfinite(deviations) and deviations >= 0):
        raise BadOption("deviations", deviations, "0 or more")
    layers = {step.name: step.layer for step in steps(lowered.model) if isinstance(step.layer, CONVS)}
    found, skipped = seams(lowered.model, stops=_stops)
    shifts: dict[str, Array] = {}
    biases = {name: _bias(layer) for name, layer in layers.items()}
    for seam in found:
        reason = _refusal(seam, layers, moments, padded=padded)
        if reason is None:
            c = _shared(height(moments[seam.maker], deviations=deviations), seam.period)
            if c.any():
                shifts[seam.maker] = c
                biases[seam.maker] -= c
                for read in seam.reads:
                    biases[read.name] += _reached(layers[read.name], read, c)
            else:
                reason = "no channel of it lies so far above zero"
        if reason is not None:
            skipped[seam.maker] = reason
    weights = {
        name: [layers[name].get_weights()[0], bias.astype(np.float32)]
        for name, bias in biases.items()
        if not np.array_equal(bias, _bias(layers[name]))
    }
    return Lowered(reweighted(lowered.model, weights)), Absorbed(shifts, skipped)


def _bias(layer: Any) -> Array:
    """The bias of a convolution, in float64; zeros where it has none."""
    return layer.bias.numpy().astype(np.float64) if layer.use_bias else np.zeros(int(layer.output.shape[-1]))


def _shared(c: Array, period: int) -> Array:
    """The least of the shifts of channels that a shuffle puts together, for all of them."""
    return np.tile(c.reshape(-1, period).min(axis=0), c.size // period)


def _reached(layer: Any, read: Read, c: Array) -> Array:
    """What a convolution makes of the part of its input that was absorbed."""
    shift = np.zeros(int(layer.input.shape[-1]))
    shift[read.start : read.start + read.period] = c[: read.period]
    return moved(layer.get_weights()[0], shift, depthwise=type(layer) is K.DepthwiseConv2D)


def _refusal(seam: Seam, layers: Mapping[str, Any], moments: Mapping[str, Moments], *, padded: bool) -> str | None:
    """Why no shift can cross a seam, if none can."""
    if seam.maker not in moments:
        return "its mean and deviation are not known"
    for read in seam.reads:
        layer = layers[read.name]
        if type(layer) is K.Conv2DTranspose:
            return f"taps with one bias for pixels of their own read it: {read.name}"
        if not padded and layer.padding != "valid" and max(layer.kernel_size) > 1:
            return f"a convolution that pads with zeros reads it: {read.name}"
    return None


def _stops(layer: Any) -> str | None:
    """What keeps a shift from passing a layer, in words."""
    match layer:
        case K.ReLU() if plain_relu(layer):
            return None
        case K.Activation() if kind(layer) in ("linear", "relu"):
            return None
        case K.MaxPooling2D() | K.UpSampling2D() | K.GlobalAveragePooling2D() | AlignedUpsample():
            return None
    return kind(layer)
