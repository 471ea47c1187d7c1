"""Kernels rounded to few bits, activations left in float: a smaller file that needs no data to make."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import tf_keras

from keras_models.graph import Step, steps
from keras_models.grid import Grid, divisible
from keras_models.lowered import Lowered, kernel_of
from keras_models.rewrite import copy, rebuild
from keras_models.shuffle import shuffled
from runtime.contract import Contract
from runtime.errors import BadOption

__all__ = ["channel_grid", "round_kernels", "rounded"]

K = tf_keras.layers


def round_kernels(lowered: Lowered, *, bits: int) -> Lowered:
    """Every kernel on a symmetric grid a channel; a network that has grids already keeps them."""
    if lowered.kernels:
        raise BadOption("bits", bits, "a float network: this one is quantized already")
    if not 2 <= bits <= 8:
        raise BadOption("bits", bits, "2 to 8")
    lowered = shuffled(lowered)
    kernels = {
        step.name: channel_grid(kernel_of(step.layer), bits=bits, axis=-1 if type(step.layer) is K.Conv2D else 2)
        for step in steps(lowered.model)
        if isinstance(step.layer, K.Conv2D | K.DepthwiseConv2D)
    }

    def make(step: Step, reads: list[Any]) -> Any:
        made = copy(step.layer, reads)
        if step.name in kernels:
            grid, layer = kernels[step.name], made.node.layer
            kernel, *bias = layer.get_weights()
            layer.set_weights([grid.dequantize(grid.quantize(kernel)), *bias])
        return made

    return Lowered(rebuild(lowered.model, make), kernels)


def rounded(contract: Contract) -> Contract:
    """The contract of a network whose kernels were rounded: what was measured before was measured of another one."""
    return replace(contract, figures={}, scheme=f"{contract.scheme}, kernels rounded")


def channel_grid(kernel: np.ndarray[Any, Any], *, bits: int, axis: int) -> Grid:
    """The symmetric grid on which the largest weight of each channel is the highest level."""
    high = np.abs(kernel).max(axis=tuple(i for i in range(kernel.ndim) if i != axis % kernel.ndim))
    top = np.float32((1 << (bits - 1)) - 1)
    return Grid(divisible(high.astype(np.float32) / top), 0, bits, signed=True, narrow=True, axis=axis)
