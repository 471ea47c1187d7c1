"""TFMOT's quantization-aware models (Jacob et al., 2018) in the plain form: wrappers off, what they did written out.

A kernel becomes what its fake quantizer made of it. Where TFMOT left a BatchNorm unquantized behind a convolution
it meant it to be folded, and scaling a channel scales its grid: the folded kernel still lies on levels.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import tf_keras

from keras_models.fold import Norm, fold, norm_as_depthwise, with_weights
from keras_models.graph import Step, steps, unwrap
from keras_models.grid import Grid, divisible
from keras_models.lowered import Lowered
from keras_models.quantize import Quantize
from keras_models.rewrite import copy, rebuild
from quant.kernel_grids import with_room
from quant.qat import activation_ranges
from quant.qat_configs import Seam, Unquantized
from quant.rounding import activation_grid
from runtime.errors import BadGrid, UnknownLayer

__all__ = ["lower_tfmot"]

K = tf_keras.layers
CONVS = (K.Conv2D, K.DepthwiseConv2D, K.Conv2DTranspose)


def lower_tfmot(model: Any) -> Lowered:
    """The same function, up to rounding ties, in plain layers."""
    walk = steps(model)
    makers = {step.makes: step for step in walk}
    readers = Counter(tensor for step in walk for tensor in step.reads)
    norms = {
        step.reads[0]: unwrap(step.layer)
        for step in walk
        if isinstance(unwrap(step.layer), K.BatchNormalization)
        and readers[step.reads[0]] == 1
        and _can_fold(makers[step.reads[0]])
    }
    kernels: dict[str, Grid] = {}

    def make(step: Step, reads: list[Any]) -> Any:
        layer = unwrap(step.layer)
        if type(layer).__name__ == "QuantizeLayer":
            return _rounded(reads[0], _range(step.layer.quantizer_vars, "the input"), "raw")
        if type(layer) in CONVS:
            x = _convolution(step, norms.get(step.makes), kernels)(reads[0])
            x = _activated(x, _named(layer.activation), f"{layer.name}_activation")
        elif isinstance(layer, K.BatchNormalization):
            x = reads[0] if step.reads[0] in norms else _lone_norm(step, kernels)(reads[0])
        elif isinstance(layer, K.Dropout | Seam):
            x = reads[0]
        elif isinstance(layer, K.Activation):
            x = _activated(reads[0], _named(layer.activation), layer.name)
        else:
            x = copy(layer, reads)
        return _rounded(x, _output_grid(step.layer), layer.name)

    return with_room(Lowered(rebuild(model, make), kernels)).check()


def _can_fold(maker: Step) -> bool:
    """Whether a step is a convolution with nothing behind it, neither a quantizer nor an activation of its own."""
    layer = unwrap(maker.layer)
    return type(layer) in CONVS and _named(layer.activation) == "linear" and _output_grid(maker.layer) is None


def _convolution(step: Step, norm: Any, kernels: dict[str, Grid]) -> Any:
    """The plain convolution whose kernel lies where the quantizer put it, the norm behind it folded in."""
    layer, (kernel, grid) = unwrap(step.layer), _kernel(step.layer)
    bias = layer.bias.numpy() if layer.use_bias else np.zeros(1, np.float32)
    axis = -1 if type(layer) is K.Conv2D else 2
    if norm is not None:
        folding = Norm.of(norm)
        kernel, bias = fold(kernel, bias, folding, axis=axis)
        grid = grid and _scaled(grid, folding.gain, axis)
    if grid is not None:
        # Onto the levels to the last bit: the folding above rounds.
        kernel = grid.dequantize(grid.quantize(kernel))
        kernels[layer.name] = grid
    channels = kernel.shape[axis]
    twin = type(layer).from_config({**layer.get_config(), "use_bias": True, "activation": "linear"})
    return with_weights(twin, kernel, np.broadcast_to(bias, channels))


def _lone_norm(step: Step, kernels: dict[str, Grid]) -> Any:
    """A norm with no convolution to fold into: a 1x1 depthwise one whose gains are the ends of their grids, exactly."""
    layer = unwrap(step.layer)
    twin = norm_as_depthwise(layer)
    if type(step.layer.quantize_config) is Unquantized:  # left in float
        return twin
    gain, shift = twin.get_weights()
    grid = kernels[layer.name] = Grid(divisible(np.abs(gain) / 127).ravel(), bits=8, signed=True, narrow=True, axis=2)
    twin.set_weights([grid.dequantize(grid.quantize(gain)), shift])
    return twin


def _named(activation: Any) -> str:
    """The name of an activation, TFMOT's wrapping taken off."""
    function = getattr(activation, "activation", activation)
    return "linear" if type(function).__name__ == "NoOpActivation" else tf_keras.activations.serialize(function)


def _activated(x: Any, kind: str, name: str) -> Any:
    """An activation as a layer of the plain form."""
    match kind:
        case "linear":
            return x
        case "relu":
            return K.ReLU(name=name)(x)
        case "sigmoid":
            return K.Activation(kind, name=name)(x)
    raise UnknownLayer(name, f"activation {kind}", "the lowering of quantization-aware networks")


def _kernel(wrapper: Any) -> tuple[np.ndarray[Any, Any], Grid | None]:
    """The kernel as inference sees it, and its grid: symmetric, narrow, one scale or one for each channel it makes."""
    if not getattr(wrapper, "_weight_vars", None):
        return unwrap(wrapper).get_weights()[0], None
    ((weight, quantizer, ranges),) = wrapper._weight_vars
    kernel = quantizer(weight, False, weights=ranges).numpy()
    high = np.maximum(np.abs(ranges["min_var"].numpy()), np.abs(ranges["max_var"].numpy()))
    scale = divisible(high / np.float32((1 << (quantizer.num_bits - 1)) - 1))
    one, axis = not quantizer.per_axis, 2 if type(unwrap(wrapper)) is K.DepthwiseConv2D else -1
    return kernel, Grid(scale.reshape(()) if one else scale, 0, quantizer.num_bits, signed=True, narrow=True, axis=axis)


def _scaled(grid: Grid, gain: np.ndarray[Any, Any], axis: int) -> Grid:
    """The grid of a kernel whose channels were scaled."""
    return replace(grid, scale=divisible(grid.scale * np.abs(gain)), axis=axis)


def _output_grid(wrapper: Any) -> Grid | None:
    """The grid of what a wrapped layer puts out, if TFMOT rounds it."""
    ranges = activation_ranges(wrapper)
    return _range(ranges[0], repr(wrapper.name.removeprefix("quant_"))) if ranges else None


def _range(ranges: dict[str, Any], name: str) -> Grid:
    try:
        return activation_grid(float(ranges["min_var"].numpy()), float(ranges["max_var"].numpy()), bits=8)
    except BadGrid as error:
        raise BadGrid(f"{error.found}, as {name} has", error.allowed) from None


def _rounded(x: Any, grid: Grid | None, name: str) -> Any:
    return x if grid is None else Quantize(grid, name=f"{name}_grid")(x)
