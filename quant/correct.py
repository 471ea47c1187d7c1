"""Bias correction (Nagel, van Baalen, Blankevoort and Welling, 2019), by samples: what rounding shifts is put back.

Rounding a kernel moves the mean of each channel that it makes, and such shifts add up on the way through a network.
Convolution after convolution, in the order they run, the mean over samples of (float - quantized) is added to the
bias; what comes later is measured with all that came before put right. Memory is that of one batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_models.graph import Step, steps
from keras_models.lowered import Lowered, kernel_of
from keras_models.rewrite import reweighted
from quant.calibrate import Samples, checked, values
from quant.places import CONVS
from runtime.errors import BadOption

__all__ = ["correct", "means", "twins"]

Array = np.ndarray[Any, Any]


def correct(quantized: Lowered, lowered: Lowered, samples: Samples) -> Lowered:
    """The quantized network with biases such that each convolution's mean is that of the float network's.

    `lowered` is the float network it was made from, with layers of the same names; `samples()` gives the batches, the
    same ones each time: they are gone through once for every convolution.
    """
    convs = twins(quantized, lowered)
    wanted = means(lowered, samples, names=[step.name for step in convs])
    # Every convolution gets a bias; this copy is changed as the corrections become known.
    own = Lowered(reweighted(quantized.model, {s.name: [kernel_of(s.layer), _bias(s.layer)] for s in convs}))
    for step in convs:
        off = wanted[step.name] - means(own, samples, names=[step.name])[step.name]
        bias = own.model.get_layer(step.name).bias
        bias.assign((bias.numpy().astype(np.float64) + off).astype(np.float32))
    return Lowered(own.model, quantized.kernels)


def means(lowered: Lowered, samples: Samples, *, names: list[str]) -> Mapping[str, Array]:
    """The mean of each channel that some layers make, over every pixel of every sample."""
    tensors = [step.makes for step in steps(lowered.model) if step.name in names]
    total: dict[str, Array] = {}
    count: dict[str, int] = {}
    for batch in checked(lowered, samples):
        for step, array in values(lowered, batch, wanted=tensors):
            pixels = array.reshape(-1, array.shape[-1])
            total[step.name] = total.get(step.name, 0) + pixels.sum(axis=0, dtype=np.float64)
            count[step.name] = count.get(step.name, 0) + len(pixels)
    return {name: total[name] / count[name] for name in names}


def twins(quantized: Lowered, lowered: Lowered) -> list[Step]:
    """The convolutions of a quantized network; each must have a namesake in the float one."""
    theirs = {step.name: step.layer for step in steps(lowered.model) if isinstance(step.layer, CONVS)}
    found = [step for step in steps(quantized.model) if isinstance(step.layer, CONVS)]
    for step in found:
        twin = theirs.get(step.name)
        if twin is None or kernel_of(twin).shape != kernel_of(step.layer).shape:
            allowed = "the very network, shuffled or not, that was quantized: its layers go by name"
            raise BadOption("the float network", f"one without a layer like {step.name!r}", allowed)
    return found


def _bias(layer: Any) -> Array:
    return layer.bias.numpy() if layer.use_bias else np.zeros(int(layer.output.shape[-1]), np.float32)
