"""Training in fixed point: QKeras' layers around a network of the zoo, or the quantizers of the fixed-point U-Net.

QKeras (Coelho et al., 2021) rounds kernels and activations to whole multiples of a power of two. A kernel has one
power a channel, chosen anew at every step, or steps of 2^(1 - bits) throughout; an activation has `integer` bits before
the point. Values are rounded where an engine stores them: behind the activation, behind a BatchNorm that follows it,
behind whatever else makes new values (a way up, a sum, a mean, a concatenation of different grids), and at the input.
The last result stays float unless `output_bits` are given; so do BatchNorm, and biases behind kernels of many steps.

The other scheme is that of AskariHemmat et al. (2019): everything but the first block's convolutions, the last one,
biases and BatchNorm, by a quantizer of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import qkeras
import tf_keras

from keras_models.fixed_point import check_widths
from keras_models.graph import Step, outputs, steps
from keras_models.grid import Grid
from keras_models.rewrite import copy, rebuild
from quant.layers import ChannelBits, PaperFixed, QConv2DTranspose, geometry
from quant.places import ACTIVATIONS, CONVS, first_block, loose, moves, readers, waits
from runtime.errors import BadOption, UnknownLayer

__all__ = ["fixed_point", "paper_fixed_point"]

K = tf_keras.layers
Array = np.ndarray[Any, Any]
Scales = Literal["channel", "one"]

QUANTIZED = dict(zip(CONVS, (qkeras.QConv2D, qkeras.QDepthwiseConv2D, QConv2DTranspose), strict=True))
BIAS_BITS = 24  # what float32 holds exactly
AT_ONCE = 16  # samples in memory, with what all layers make of them
INTEGERS = range(9)  # QKeras raises the integer 2 to this power, which TensorFlow refuses below zero


@dataclass(frozen=True)
class Rounding:
    """A quantizer of activations, as numbers."""

    bits: int
    integer: int
    signed: bool

    @property
    def grid(self) -> Grid:
        """Its levels."""
        return Grid(np.array(2.0 ** (self.integer - self.bits + self.signed)), bits=self.bits, signed=self.signed)

    def layer(self, name: str) -> Any:
        """It as a layer; the unsigned one is a ReLU as well."""
        if self.signed:
            return qkeras.QActivation(qkeras.quantized_bits(self.bits, self.integer, alpha=1), name=name)
        return qkeras.QActivation(qkeras.quantized_relu(self.bits, self.integer), name=name)

    def trials(self) -> list[Rounding]:
        """The same bits with every integer part, and with a sign if there is none yet."""
        signs = (True,) if self.signed else (False, True)
        return [replace(self, integer=integer, signed=signed) for signed in signs for integer in INTEGERS]

    def error(self, values: Array) -> float:
        """What rounding loses of them, squared and summed."""
        rounded = self.grid.dequantize(self.grid.quantize(values))
        return float(np.square(rounded - values, dtype=np.float64).sum())


def fixed_point(
    model: Any,
    *,
    weight_bits: int = 8,
    activation_bits: int = 8,
    input_bits: int = 8,
    output_bits: int | None = None,
    integer: int = 1,
    scales: Scales = "channel",
    samples: Array | None = None,
) -> Any:
    """A copy of a float network, its weights included, that trains in fixed point.

    `integer` is that of every activation, 0 for the input and for a sigmoid, whose range is known; with `samples`, a
    batch of inputs, each one is fitted instead. `scales="one"` gives kernels QKeras' `alpha=1`: steps of 2^(1 - bits)
    in every layer, coarser only where a weight is beyond 1.
    """
    _check_bits(weights=weight_bits, activations=activation_bits, input=input_bits, output=output_bits)
    if integer not in INTEGERS:
        raise BadOption("integer", integer, f"a whole number from 0 to {INTEGERS[-1]}")
    if scales not in get_args(Scales):
        raise BadOption("scales", scales, " or ".join(map(repr, get_args(Scales))))
    walk = steps(model)
    plan = _plan(walk, outputs(model), Rounding(activation_bits, integer, True), input_bits, output_bits)
    if samples is not None:
        plan = _fitted(model, plan, samples)
    plan, grids = _without_idle_joins(walk, plan)
    inputs: dict[int, Any] = {}

    def make(step: Step, reads: list[Any]) -> Any:
        reads = [
            rounded_input(tensor, x) if tensor in names else x for tensor, x in zip(step.reads, reads, strict=True)
        ]
        rounding = plan.get(step.makes)
        if rounding and not rounding.signed and _is_relu(step.layer):
            return rounding.layer(step.name)(reads[0])
        kernel = _kernel_quantizer(step.layer, weight_bits, scales)
        bias = None if scales == "channel" or kernel is None else _bias_quantizer(kernel, grids[step.reads[0]])
        y = _quantized(step, reads, kernel, bias)
        return rounding.layer(f"{step.name}_quantize")(y) if rounding else y

    def rounded_input(tensor: int, x: Any) -> Any:
        if tensor not in inputs:
            inputs[tensor] = plan[tensor].layer(f"{names[tensor]}_quantize")(x)
        return inputs[tensor]

    names = {step.makes: step.name for step in walk if not step.reads}
    return rebuild(model, make)


def paper_fixed_point(model: Any, *, weights: tuple[int, int] = (0, 4), activations: tuple[int, int] = (6, 0)) -> Any:
    """A copy of a float network that trains as the fixed-point U-Net did; each pair is integer and fraction bits.

    The defaults are the published 4 and 6 bits, the sign extra: weights below 1 in steps of 1/16, activations whole.
    """
    check_widths(*weights)
    check_widths(*activations)
    walk = steps(model)
    after, free = readers(walk), loose(walk, outputs(model))
    convs = [step.makes for step in walk if isinstance(step.layer, CONVS)]
    quantized = {*convs[:-1]} - {*first_block(walk)}
    rounded = {
        step.makes
        for step in walk
        if step.makes not in free
        and isinstance(step.layer, (*ACTIVATIONS, K.BatchNormalization))
        and not waits(after[step.makes])
    }

    def make(step: Step, reads: list[Any]) -> Any:
        quantizer = PaperFixed(*weights) if step.makes in quantized else None
        y = _quantized(step, reads, quantizer)
        if step.makes in rounded:
            y = qkeras.QActivation(PaperFixed(*activations), name=f"{step.name}_quantize")(y)
        return y

    return rebuild(model, make)


def _check_bits(**bits: int | None) -> None:
    for what, number in bits.items():
        if number is not None and not (isinstance(number, int) and 2 <= number <= 8):
            raise BadOption(f"bits of the {what}", number, "a whole number from 2 to 8")


def _plan(
    walk: list[Step], ends: list[int], rounding: Rounding, input_bits: int, output_bits: int | None
) -> dict[int, Rounding]:
    """Which tensors are rounded, and how; concatenations on trial."""
    after, free = readers(walk), loose(walk, ends)
    signed: dict[int, bool] = {}
    plan: dict[int, Rounding] = {}
    for step in walk:
        signed[step.makes] = _can_be_negative(step, [signed[tensor] for tensor in step.reads])
        bits = rounding.bits if step.makes not in free else output_bits
        integer = 0 if _is_sigmoid(step.layer) else rounding.integer
        if not step.reads:
            plan[step.makes] = Rounding(input_bits, 0, signed=False)
        elif bits and not moves(step.layer) and not waits(after[step.makes]):
            plan[step.makes] = Rounding(bits, integer, signed[step.makes])
    return plan


def _without_idle_joins(
    walk: list[Step], plan: dict[int, Rounding]
) -> tuple[dict[int, Rounding], dict[int, Rounding | None]]:
    """The plan, less the concatenations whose parts lie on one and the same grid; and where every tensor lies then."""
    plan = dict(plan)
    grids: dict[int, Rounding | None] = {}
    for step in walk:
        parts = {grids[tensor] for tensor in step.reads}
        stays = moves(step.layer) or (isinstance(step.layer, K.Concatenate) and len(parts) == 1 and None not in parts)
        if stays:
            plan.pop(step.makes, None)
        grids[step.makes] = parts.pop() if stays else plan.get(step.makes)
    return plan, grids


def _fitted(model: Any, plan: Mapping[int, Rounding], samples: Array) -> dict[int, Rounding]:
    """The plan with the sign and the integer part of each tensor that lose least of the samples."""
    lost = {tensor: dict.fromkeys(rounding.trials(), 0.0) for tensor, rounding in plan.items()}
    signed = {tensor: rounding.signed for tensor, rounding in plan.items()}
    for tensor, values in _values(model, plan, samples):
        signed[tensor] |= bool(values.min() < 0)
        for trial in lost[tensor]:
            lost[tensor][trial] += trial.error(values)
    return {
        tensor: min((trial for trial in losses if trial.signed == signed[tensor]), key=losses.__getitem__)
        for tensor, losses in lost.items()
    }


def _values(model: Any, wanted: Iterable[int], samples: Array) -> Iterator[tuple[int, Array]]:
    """What the float network computes at those tensors, some samples at a time."""
    found: dict[int, Any] = {}

    def make(step: Step, reads: list[Any]) -> Any:
        found.update(zip(step.reads, reads, strict=True))
        found[step.makes] = copy(step.layer, reads)
        return found[step.makes]

    twin = rebuild(model, make)
    probe = tf_keras.Model(twin.inputs, {str(tensor): found[tensor] for tensor in wanted})
    for first in range(0, len(samples), AT_ONCE):
        for tensor, value in probe(samples[first : first + AT_ONCE]).items():
            yield int(tensor), value.numpy()


def _can_be_negative(step: Step, reads: list[bool]) -> bool:
    same = (K.Concatenate, K.Add, K.Multiply, K.UpSampling2D, K.GlobalAveragePooling2D, K.AveragePooling2D)
    if moves(step.layer) or isinstance(step.layer, same):
        return any(reads)
    return bool(step.reads) and not _is_relu(step.layer) and not _is_sigmoid(step.layer)


def _is_relu(layer: Any) -> bool:
    return isinstance(layer, K.ReLU) and layer.max_value is None and not layer.negative_slope and not layer.threshold


def _is_sigmoid(layer: Any) -> bool:
    return isinstance(layer, K.Activation) and layer.activation is tf_keras.activations.sigmoid


def _kernel_quantizer(layer: Any, bits: int, scales: Scales) -> Any:
    if not isinstance(layer, CONVS):
        return None
    if scales == "channel":
        return ChannelBits(bits, scale_axis=3 if type(layer) is K.Conv2D else 2)
    largest = float(np.abs(layer.get_weights()[0]).max())
    integer = next((i for i in INTEGERS if largest <= 1 << i), INTEGERS[-1])
    return qkeras.quantized_bits(bits, integer, alpha=1)


def _bias_quantizer(kernel: Any, x: Rounding | None) -> Any:
    """Biases as whole steps of the sums they are added to, so that the trained network is the integer one.

    Only where kernels have one step throughout: a step a channel moves with the weights, and its bias is rounded when
    the network is lowered.
    """
    if x is None:
        return None
    step = x.integer - x.bits + x.signed + int(kernel.integer) - kernel.bits + 1
    return qkeras.quantized_bits(BIAS_BITS, max(step + BIAS_BITS - 1, 0), alpha=1)


def _quantized(step: Step, reads: list[Any], quantizer: Any, bias_quantizer: Any = None) -> Any:
    """Call the quantized twin of a convolution, with its weights; without a quantizer, a copy of the layer."""
    layer = step.layer
    known = type(layer) in CONVS and layer.activation is tf_keras.activations.linear
    grouped = type(layer) is K.Conv2D and layer.groups != 1
    if (grouped or not known) and any(len(weight.shape) > 1 for weight in layer.weights):
        raise UnknownLayer(step.name, type(layer).__name__, "training in fixed point")
    if quantizer is None:
        return copy(layer, reads)
    # Without a constraint of our own, QKeras' would cut weights off at 1 after the first step.
    free: dict[str, Any] = {"constraint": tf_keras.constraints.Constraint(), "initializer": "zeros"}
    kind = "depthwise" if type(layer) is K.DepthwiseConv2D else "kernel"
    options = {f"{kind}_{key}": value for key, value in free.items()} | {f"{kind}_quantizer": quantizer}
    if bias_quantizer is not None and layer.use_bias:
        options |= {"bias_quantizer": bias_quantizer, "bias_constraint": tf_keras.constraints.Constraint()}
    twin = QUANTIZED[type(layer)](**geometry(layer), **options)
    y = twin(reads[0])
    twin.set_weights(layer.get_weights())
    return y
