"""The plain form written as a TFLite file, tensor by tensor.

TensorFlow's converter derives scales itself and knows 8 bits alone; written directly, the file holds our grids to the
bit. Tensors are named for the layer whose output they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import tf_keras

from export.settle import settled
from export.tflite_groups import Group, groups
from export.tflite_rules import RULES, WITH_RELU, check
from export.tflite_tensors import Tensors, Value
from keras_models.graph import outputs, steps
from keras_models.lowered import Lowered
from runtime.atomic import writing
from runtime.contract import Contract
from runtime.errors import BadOption
from runtime.tflite import appended

__all__ = ["to_tflite"]


def to_tflite(lowered: Lowered, contract: Contract, path: str | Path, *, integer_io: bool = False) -> None:
    """Write the network and its contract; with `integer_io` what goes in and comes out is int8, else float."""
    lowered = settled(lowered.check())
    for step in steps(lowered.model):
        if type(step.layer) is not tf_keras.layers.InputLayer:
            check(step.layer)
    model = _model(lowered, contract, integer_io=integer_io)
    with writing(path) as file:
        file.write(appended(model, replace(contract, layout="NHWC")))


def _model(lowered: Lowered, contract: Contract, *, integer_io: bool) -> bytes:
    """The TFLite model, written for a small square; every size of the contract's multiple runs."""
    tensors = Tensors()
    values: dict[int, Value] = {}
    ins: dict[str, int] = {}
    for group in groups(lowered, with_relu=WITH_RELU):
        if group.reads:
            values[group.makes] = RULES[type(group.layer)](tensors, group, [values[read] for read in group.reads])
        else:
            size = 2 * contract.multiple
            ins[group.layer.name], values[group.makes] = _input(tensors, group, size, integer=integer_io)
    ends = [values[number] for number in outputs(lowered.model)]
    outs = _ends(tensors, ends, contract.exits, integer=integer_io)
    for tensor in (*ins.values(), *outs.values()):
        tensors.graph.dynamic(tensor)
    return tensors.graph.finish(ins, outs)


def _input(tensors: Tensors, group: Group, size: int, *, integer: bool) -> tuple[int, Value]:
    """The tensor that is fed, and the value the network reads."""
    shape = (1, size, size, int(group.layer.input_shape[0][-1]))
    if integer and group.grid is None:
        raise BadOption("integer_io", True, "float, since the network's input is not quantized")
    if integer:
        fed = tensors.input(group.name, shape, group.grid)
        return fed.tensor, fed
    fed = tensors.input(group.layer.name, shape)
    return fed.tensor, tensors.on(fed, group.grid, group.name)


def _ends(tensors: Tensors, ends: Sequence[Value], exits: Sequence[str], *, integer: bool) -> dict[str, int]:
    """The tensors that come out, by exit: in float, or as they are."""
    if integer and not all(end.grid for end in ends):
        raise BadOption("integer_io", True, "float, since the network's output is not quantized")
    return {
        name: (end if integer else tensors.floats(end)).tensor for name, end in zip(exits, ends, strict=True)
    }  # fmt: skip
