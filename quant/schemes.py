"""From a float network to one that trains as it will run, and from that to the plain form: one line a scheme."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_models.fold import plain
from keras_models.lowered import Lowered
from quant.fixed_point import fixed_point, paper_fixed_point
from quant.lower_qkeras import lower_qkeras
from quant.lower_tfmot import lower_tfmot
from quant.qat import quantization_aware
from quant.recipe import FixedPoint, Float, PaperFixedPoint, Qat, Scheme

__all__ = ["bring_back", "lower", "quantize", "wanted"]

Array = np.ndarray[Any, Any]


def wanted(scheme: Scheme) -> int:
    """How many samples a scheme looks at before it begins."""
    return scheme.samples if isinstance(scheme, Qat | FixedPoint) else 0


def quantize(model: Any, scheme: Scheme, *, samples: Array | None = None) -> Any:
    """The network under that scheme, its weights included; `Float` is the network itself."""
    match scheme:
        case Float():
            return model
        case Qat():
            return quantization_aware(model, samples=samples, skip=scheme.skip)
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


def lower(model: Any, scheme: Scheme) -> Lowered:
    """What was trained, in the form that files are written from."""
    match scheme:
        case Float():
            return plain(model)
        case Qat():
            return lower_tfmot(model)
        case FixedPoint() | PaperFixedPoint():
            return lower_qkeras(model)


def bring_back(trained: Any, *, into: Any) -> None:
    """The float weights that were trained under a scheme, in the float network: where another scheme may begin."""
    found = {weight.name: weight for weight in trained.weights}
    for weight in into.weights:
        weight.assign(found[weight.name])
