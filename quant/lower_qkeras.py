"""From QKeras to the plain form: kernels on their grid, quantizers of activations as Quantize or FixedPoint.

QKeras rounds half to even, as Grid does, and its steps are powers of two: a lowered network computes the same numbers.
Two rules of QKeras are worth knowing. `alpha` multiplies the rounded value and does not divide the value before; and
the straight-through form x + (q - x) loses q once |x| is beyond 2^24 steps, where QKeras gives 0 and a grid saturates.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import qkeras
import tf_keras

from keras_models.fixed_point import FixedPoint
from keras_models.fold import norm_as_depthwise
from keras_models.graph import Step
from keras_models.grid import Grid
from keras_models.lowered import PLAIN, Lowered
from keras_models.quantize import Quantize
from keras_models.rewrite import copy, rebuild
from quant.kernel_grids import with_room
from quant.layers import ChannelBits, PaperFixed, QConv2DTranspose, geometry
from quant.places import DROPOUTS
from runtime.errors import BadGrid, BadNumbers, BadOption, UnknownLayer

__all__ = ["lower_qkeras"]

K = tf_keras.layers
Array = np.ndarray[Any, Any]

BITS = (qkeras.quantized_bits, ChannelBits)
# Each with its plain twin and the axis of its output channels.
CONVS = {
    qkeras.QConv2D: (K.Conv2D, -1),
    qkeras.QDepthwiseConv2D: (K.DepthwiseConv2D, 2),
    QConv2DTranspose: (K.Conv2DTranspose, 2),
}
KERNELS = "quantized_bits with alpha=1, a number or 'auto_po2', or PaperFixed; nothing stochastic, at least 2 bits"
ACTIVATIONS = "quantized_relu or quantized_bits with alpha=1, or PaperFixed; nothing stochastic, no slope, no sigmoid"


def lower_qkeras(model: Any) -> Lowered:
    """The plain form of a network trained in fixed point, by QKeras' quantizers or the paper's.

    Of a channel without weights QKeras' scale is the smallest it has, in which no bias could be counted.
    """
    kernels: dict[str, Grid] = {}

    def make(step: Step, reads: list[Any]) -> Any:
        layer = step.layer
        if type(layer) in CONVS:
            return _convolution(layer, reads[0], kernels)
        if isinstance(layer, qkeras.QActivation):
            return _activation(layer.quantizer, layer.name)(reads[0])
        if isinstance(layer, K.BatchNormalization) and type(layer) is K.BatchNormalization:
            return norm_as_depthwise(layer)(reads[0])
        if isinstance(layer, DROPOUTS):
            return reads[0]
        if type(layer) in PLAIN:
            return copy(layer, reads)
        raise UnknownLayer(step.name, type(layer).__name__, "the lowering of fixed-point networks")

    return with_room(Lowered(rebuild(model, make), kernels)).check()


def _convolution(layer: Any, x: Any, kernels: dict[str, Grid]) -> Any:
    """The plain twin, its kernel on the grid, called; and behind it the activation that QKeras may keep inside."""
    plain, axis = CONVS[type(layer)]
    if getattr(layer, "groups", 1) != 1 and plain is K.Conv2D:
        raise UnknownLayer(layer.name, "QConv2D in groups", "the lowering of fixed-point networks")
    for weight in layer.weights:
        if not np.isfinite(weight.numpy()).all():
            raise BadNumbers(weight.name)
    kernel_quantizer, bias_quantizer = layer.get_quantizers()
    kernel, *bias = layer.get_weights()
    if kernel_quantizer is not None:
        kernel, kernels[layer.name] = _kernel(kernel_quantizer, kernel, axis, layer.name)
    if bias and bias_quantizer is not None:
        bias = [_constant(bias_quantizer, bias[0], f"the bias quantizer of {layer.name!r}").numpy()]
    twin = plain(**geometry(layer))
    y = twin(x)
    twin.set_weights([kernel, *bias])
    inside = layer.activation
    if inside is None or inside is tf_keras.activations.linear:
        return y
    return _activation(inside, f"{layer.name}_quantize")(y)


def _kernel(quantizer: Any, kernel: Array, axis: int, name: str) -> tuple[Array, Grid]:
    """The kernel QKeras computes with, and the grid it lies on."""
    what = f"the kernel quantizer of {name!r}"
    values = _constant(quantizer, kernel, what).numpy()
    if type(quantizer) is PaperFixed:
        grid = _smallest(values, np.array(2.0**-quantizer.fraction), what)
    else:
        scale = _scale(quantizer, axis, kernel.ndim, what) * np.float32(_step(quantizer))
        signed = bool(quantizer.keep_negative)
        grid = Grid(scale, 0, quantizer.bits, signed, narrow=signed and bool(quantizer.symmetric), axis=axis)
    if not grid.holds(values):
        raise BadGrid(f"the kernel of {name!r}", "weights that lie on their grid")
    # Onto the level itself: the straight-through form may be off by the last bit of a float.
    return grid.dequantize(grid.quantize(values)), grid


def _constant(quantizer: Any, weights: Array, what: str) -> Any:
    """What a quantizer makes of weights that change no more; called eagerly, which leaves its scale readable."""
    known = type(quantizer) is PaperFixed or (
        type(quantizer) in BITS
        and not quantizer.use_stochastic_rounding
        and float(np.asarray(quantizer.qnoise_factor)) == 1
        and (quantizer.alpha == "auto_po2" if isinstance(quantizer.alpha, str) else True)
        and (quantizer.keep_negative or not isinstance(quantizer.alpha, str))
        and quantizer.bits > 1
    )
    if not known:
        raise BadOption(what, _words(quantizer), KERNELS)
    return quantizer(tf_keras.backend.constant(weights))


def _scale(quantizer: Any, axis: int, ndim: int, what: str) -> Array:
    """What QKeras multiplies a kernel's steps by: one number, or one an output channel."""
    scale = np.asarray(quantizer.scale, np.float32)
    if scale.size == 1:
        return scale.reshape(())
    shape = [1] * ndim
    shape[axis] = scale.size
    if np.broadcast_shapes(scale.shape, tuple(shape)) != tuple(shape):
        found = f"{_words(quantizer)} with a scale of shape {scale.shape}"
        raise BadOption(what, found, "one scale, or one an output channel")
    return scale.reshape(-1)


def _step(quantizer: Any) -> float:
    """The distance of two levels before alpha: bits - 1 of them, or all where there is no sign, share 2^integer."""
    signed = getattr(quantizer, "keep_negative", False)
    return 2.0 ** (int(np.asarray(quantizer.integer)) - quantizer.bits + bool(signed))


def _smallest(values: Array, step: Any, what: str) -> Grid:
    """The grid of fewest bits: few kernels of the paper need the level its carry can reach."""
    for bits in range(2, 9):
        grid = Grid(step, bits=bits, signed=True)
        if grid.holds(values):
            return grid
    raise BadGrid(f"{what} (it needs more than 8 bits)", "fewer integer or fraction bits")


def _activation(quantizer: Any, name: str) -> Any:
    """The plain layer that rounds as a quantizer of activations does; an unsigned grid around 0 is a ReLU too."""
    match quantizer:
        case PaperFixed():
            return FixedPoint(quantizer.integer, quantizer.fraction, name=name)
        case qkeras.quantized_relu() if _is_plain_relu(quantizer):
            return Quantize(Grid(np.array(_step(quantizer)), bits=quantizer.bits), name=name)
        case qkeras.quantized_bits() if _is_plain_bits(quantizer):
            signed = bool(quantizer.keep_negative)
            narrow = signed and bool(quantizer.symmetric)
            grid = Grid(np.array(_step(quantizer)), bits=quantizer.bits, signed=signed, narrow=narrow)
            return Quantize(grid, name=name)
    raise BadOption(f"the quantizer {name!r}", _words(quantizer), ACTIVATIONS)


def _is_plain_relu(quantizer: Any) -> bool:
    bounded = quantizer.relu_upper_bound is not None and not quantizer.is_quantized_clip
    return not (quantizer.use_sigmoid or quantizer.negative_slope or bounded) and _is_exact(quantizer)


def _is_plain_bits(quantizer: Any) -> bool:
    one = quantizer.alpha is None or (not isinstance(quantizer.alpha, str) and np.all(np.equal(quantizer.alpha, 1)))
    return type(quantizer) is qkeras.quantized_bits and bool(one) and quantizer.bits > 1 and _is_exact(quantizer)


def _is_exact(quantizer: Any) -> bool:
    return not quantizer.use_stochastic_rounding and float(np.asarray(quantizer.qnoise_factor)) == 1


def _words(quantizer: Any) -> str:
    """A quantizer and its options; QKeras' own words fail for some."""
    options = quantizer.get_config() if hasattr(quantizer, "get_config") else {}
    return f"{type(quantizer).__name__}({', '.join(f'{key}={value}' for key, value in options.items())})"
