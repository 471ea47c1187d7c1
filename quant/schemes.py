"""From a float network to one that trains as it will run, and from that to the plain form: one line a scheme."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tf_keras

from keras_models.fold import CONVS, plain
from keras_models.graph import steps
from keras_models.lowered import Lowered
from keras_models.unfold import unfolded
from quant.absorb import absorb, sampled_moments
from quant.apart import apart
from quant.calibrate import calibrated, check_room, of_layers
from quant.correct import correct
from quant.equalize import equalize
from quant.fixed_point import fixed_point, paper_fixed_point
from quant.lower_qkeras import lower_qkeras
from quant.lower_tfmot import lower_tfmot
from quant.ptq import ptq
from quant.qat import named_by, quantization_aware
from quant.round_up import round_up
from quant.rounding import kernel_bits
from quant.scheme import FixedPoint, Float, PaperFixedPoint, Ptq, Qat, Scheme

__all__ = ["bring_back", "check", "lower", "quantize", "wanted"]

Array = np.ndarray[Any, Any]
Progress = Callable[[int, int], None]
AT_ONCE = 4  # samples in memory, with what all layers make of them


def wanted(scheme: Scheme) -> int:
    """How many samples a scheme looks at before it begins."""
    return scheme.samples if isinstance(scheme, Qat | FixedPoint | Ptq) else 0


def check(model: Any, scheme: Scheme, *, trains: bool = False) -> None:
    """Raise an `Error` for a layer that the scheme names and the network has not: before hours of training."""
    match scheme:
        case Qat(skip=skip):
            named_by(skip, plain(model).model if scheme.fold else model)
        case Ptq():
            lowered = apart(plain(model, fold=scheme.fold))
            check_room(lowered, scheme.room)
            layers = steps(lowered.model)
            norms = {layer.name for layer in model.layers if isinstance(layer, tf_keras.layers.BatchNormalization)}
            kernels = [s.name for s in layers if isinstance(s.layer, CONVS) and not (trains and s.name in norms)]
            kernel_bits(kernels, bits=scheme.weight_bits, own=scheme.bits_of)


def quantize(
    model: Any,
    scheme: Scheme,
    *,
    samples: Array | None = None,
    trains: bool = True,
    progress: Progress = lambda done, of: None,
) -> Any:
    """The network under that scheme, its weights included; `Float` is the network itself.

    After post-training quantization it is in the plain form, or if it `trains` on, one that trains from those ranges.
    `progress` is told how many samples were looked at, and of how many.
    """
    match scheme:
        case Float():
            return model
        case Qat():
            return quantization_aware(
                model,
                samples=samples,
                skip=scheme.skip,
                weight_bits=scheme.weight_bits,
                per_channel=scheme.per_channel,
                fold=scheme.fold,
            )
        case FixedPoint():
            return fixed_point(
                model,
                weight_bits=scheme.weight_bits,
                activation_bits=scheme.activation_bits,
                input_bits=scheme.input_bits,
                output_bits=scheme.output_bits,
                integer=scheme.integer,
                scales=scheme.scales,
                samples=samples,
            )
        case PaperFixedPoint(weights=weights, activations=activations):
            return paper_fixed_point(model, weights=weights, activations=activations)
        case Ptq():
            return _after_training(model, scheme, samples, trains=trains, progress=progress)


def _after_training(model: Any, scheme: Ptq, samples: Array | None, *, trains: bool, progress: Progress) -> Any:
    if samples is None:
        raise ValueError("post-training quantization looks at samples")

    def batches() -> Iterator[Array]:
        yield from (samples[first : first + AT_ONCE] for first in range(0, len(samples), AT_ONCE))

    def seen(batch: int) -> None:
        progress(min(batch * AT_ONCE, len(samples)), len(samples))

    lowered = apart(plain(model, fold=scheme.fold))
    if trains:
        if scheme.equalize:
            raise ValueError("an equalized network is no zoo network any more: it does not train on")
        found = calibrated(lowered, batches, method=scheme.method, room=scheme.room, progress=seen)
        return quantization_aware(
            model,
            samples=samples,
            ranges=of_layers(lowered, found),
            weight_bits=scheme.weight_bits,
            bits_of=scheme.bits_of,
            per_channel=scheme.per_channel,
            fold=scheme.fold,
            still=scheme.still,
        )
    if scheme.equalize:
        lowered, _ = equalize(lowered)
    if scheme.absorb:
        lowered, _ = absorb(lowered, sampled_moments(lowered, batches))
    small = ptq(
        lowered,
        batches,
        method=scheme.method,
        weights=scheme.weights,
        weight_bits=scheme.weight_bits,
        activation_bits=scheme.activation_bits,
        per_channel=scheme.per_channel,
        symmetric=scheme.symmetric,
        bits_of=scheme.bits_of,
        room=scheme.room,
        progress=seen,
    )
    small = round_up(small, lowered, batches) if scheme.round_up else small
    return correct(small, lowered, batches) if scheme.correct else small


def lower(model: Any, scheme: Scheme) -> Lowered:
    """What was trained, in the form that files are written from."""
    match scheme:
        case Float(fold=fold):
            return plain(model, fold=fold)
        case Ptq() if isinstance(model, Lowered):
            return model
        case Qat() | Ptq():
            return lower_tfmot(model)
        case FixedPoint() | PaperFixedPoint():
            return lower_qkeras(model)


def bring_back(trained: Any, *, into: Any) -> None:
    """The float weights that were trained under a scheme, in the float network: where another scheme may begin.

    A norm that was folded before the training then only adds the bias. Post-training quantization trains no weights.
    """
    if isinstance(trained, Lowered):
        return
    found = {weight.name: weight.numpy() for weight in trained.weights}
    found = unfolded(found, like=into)
    for weight in into.weights:
        weight.assign(found[weight.name])
