"""Quantize moves up to where numbers are made, so that everything between two convolutions is whole numbers.

Rounding commutes with what only moves or picks values: MaxPooling2D, DepthToSpace, nearest UpSampling2D and
Concatenate. A ReLU in front of a grid that begins at zero does what the grid's own saturation does, and goes.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import tf_keras

from keras_models.fixed_point import FixedPoint
from keras_models.graph import Step, outputs, steps
from keras_models.grid import Grid
from keras_models.layers import DepthToSpace
from keras_models.lowered import Lowered
from keras_models.quantize import Quantize
from keras_models.rewrite import copy, rebuild

__all__ = ["grids", "hoisted", "moves", "plain_relu", "requantized"]

K = tf_keras.layers


def moves(layer: Any) -> bool:
    """Whether a layer's outputs are some of its inputs, in another place."""
    return isinstance(layer, K.MaxPooling2D | DepthToSpace | K.Concatenate) or (
        isinstance(layer, K.UpSampling2D) and layer.interpolation == "nearest"
    )


def grids(walk: list[Step]) -> dict[int, Grid | None]:
    """The grid that each tensor is known to lie on."""
    found: dict[int, Grid | None] = {}
    for step in walk:
        reads = {found[tensor] for tensor in step.reads}
        one = reads.pop() if len(reads) == 1 else None
        rounds = isinstance(step.layer, Quantize | FixedPoint)
        found[step.makes] = step.layer.grid if rounds else one if moves(step.layer) else None
    return found


def requantized(model: Any) -> set[int]:
    """The tensors whose only reader is a Quantize, or a ReLU with that only reader: sums never seen as such."""
    walk = steps(model)
    readers = _readers(model, walk)
    rounded = {step.reads[0] for step in walk if isinstance(step.layer, Quantize)}
    relus = {step.reads[0] for step in walk if plain_relu(step.layer) and step.makes in rounded & _single(readers)}
    return (rounded | relus) & _single(readers)


def _single(readers: Counter[int]) -> set[int]:
    return {tensor for tensor, count in readers.items() if count == 1}


def hoisted(lowered: Lowered) -> Lowered:
    """The same function with every Quantize as far up as it goes."""
    model = _without_idle(lowered.model)
    while wanted := _wanted(model):
        model = _lifted(model, wanted)
    return Lowered(_without_idle(model), lowered.kernels)


def _wanted(model: Any) -> dict[int, Quantize]:
    """The movers whose output is rounded though an input of theirs is not: their outputs, each with its Quantize."""
    walk, known = steps(model), grids(steps(model))
    makers = {step.makes: step for step in walk}
    readers = _readers(model, walk)
    wanted = {}
    for step in walk:
        if isinstance(step.layer, Quantize):
            mover = makers[step.reads[0]]
            bare = any(known[tensor] is None for tensor in mover.reads)
            if moves(mover.layer) and bare and readers[mover.makes] == 1:
                wanted[mover.makes] = step.layer
    return wanted


def _lifted(model: Any, wanted: dict[int, Quantize]) -> Any:
    """Each Quantize moved in front of the mover it follows, wherever the mover's input is not rounded yet."""
    known = grids(steps(model))
    taken = {step.name for step in steps(model)}

    def make(step: Step, reads: list[Any]) -> Any:
        if step.makes in wanted:
            rounding = wanted[step.makes]
            bare = [i for i, tensor in enumerate(step.reads) if known[tensor] is None]
            for i in bare:
                name = rounding.name if len(step.reads) == 1 else _fresh(f"{rounding.name}_{i}", taken)
                reads[i] = Quantize(rounding.grid, name=name)(reads[i])
            if len(bare) == len(reads):
                return copy(step.layer, reads)
            return Quantize(rounding.grid, name=rounding.name)(copy(step.layer, reads))
        if step.reads[0] in wanted and step.layer is wanted[step.reads[0]]:
            return reads[0]
        return copy(step.layer, reads)

    return rebuild(model, make)


def _fresh(name: str, taken: set[str]) -> str:
    """The name, or the first like it that no layer has: Keras numbers the layers that nobody named the same way."""
    while name in taken:
        name += "_"
    return name


def _without_idle(model: Any) -> Any:
    """No Quantize on the grid its input already lies on, no ReLU in front of a grid that begins at zero."""
    walk, known = steps(model), grids(steps(model))
    readers = _readers(model, walk)
    rounded = {step.reads[0]: step.layer.grid for step in walk if isinstance(step.layer, Quantize)}

    def make(step: Step, reads: list[Any]) -> Any:
        match step.layer:
            case Quantize() as layer if known[step.reads[0]] == layer.grid:
                return reads[0]
            case K.ReLU() as layer if plain_relu(layer):
                grid = rounded.get(step.makes)
                # Behind another grid it stays: two roundings in a row would be taken for one by ONNX Runtime.
                bare = known[step.reads[0]] is None
                if bare and grid is not None and grid.zero == grid.low and readers[step.makes] == 1:
                    return reads[0]
        return copy(step.layer, reads)

    return rebuild(model, make)


def plain_relu(layer: Any) -> bool:
    """Whether a layer is max(x, 0) and nothing else."""
    plain = type(layer) is K.ReLU and layer.max_value is None
    return plain and not layer.negative_slope and not layer.threshold


def _readers(model: Any, walk: list[Step]) -> Counter[int]:
    return Counter([tensor for step in walk for tensor in step.reads] + outputs(model))
