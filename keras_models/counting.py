"""What a network costs, from its graph: parameters, multiply-accumulates, activation memory. Nothing is looked up.

A layer that holds matrices but has no rule raises: a count that leaves it out would be a lie.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import tf_keras

from keras_models.geometry import pointwise
from keras_models.graph import Step, outputs, steps, unwrap
from runtime.errors import UnknownLayer

__all__ = ["Parameters", "macs", "parameters", "peak_activations"]

K = tf_keras.layers
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Parameters:
    """`trainable` and `all` as Keras counts them; `folded`: what is left for inference once BatchNorm is folded."""

    trainable: int
    all: int
    folded: int


def parameters(model: Any) -> Parameters:
    """Count the numbers of the network itself; what a quantizer remembers (ranges, steps) is not among them."""
    trainable = total = folded = 0
    walk = steps(model)
    makers, readers = {step.makes: step for step in walk}, _readers(walk)
    for step in {id(unwrap(step.layer)): step for step in walk}.values():
        layer = unwrap(step.layer)
        if type(layer).__name__ == "QuantizeLayer":
            continue
        # TFMOT's wrapper takes the kernel away from its layer; the ranges it adds are not trainable.
        trained = {id(w): math.prod(w.shape) for w in step.layer.trainable_weights}
        own = sum(({id(w): math.prod(w.shape) for w in layer.weights} | trained).values())
        total += own
        trainable += sum(trained.values())
        folded += own if not isinstance(layer, K.BatchNormalization) else _left_of_norm(step, makers, readers)
    return Parameters(trainable, total, folded)


def _left_of_norm(step: Step, makers: dict[int, Step], readers: dict[int, int]) -> int:
    """A norm right behind a convolution vanishes into it, leaving at most a bias; another is a scale and a shift."""
    before, channels = makers[step.reads[0]], unwrap(step.layer).moving_mean.shape[0]
    convolution = unwrap(before.layer)
    if isinstance(convolution, K.Conv2D | K.DepthwiseConv2D | K.SeparableConv2D) and readers[step.reads[0]] == 1:
        return 0 if convolution.use_bias else int(channels)
    return 2 * int(channels)


def macs(model: Any, height: int, width: int) -> int:
    """Multiply-accumulates of one image of that size (in pixels of the network's input)."""
    shapes = _shapes(model, height, width)
    return sum(_macs(unwrap(s.layer), [shapes[t] for t in s.reads], shapes[s.makes]) for s in steps(model))


def _macs(layer: Any, reads: list[Shape], makes: Shape) -> int:
    """Kernel size times positions; a position is one of the output's, but of the input's for a transposed one."""

    def area(shape: Shape) -> int:
        return math.prod(shape[1:-1])

    if isinstance(layer, K.SeparableConv2D):
        return (math.prod(layer.depthwise_kernel.shape) + math.prod(layer.pointwise_kernel.shape)) * area(makes)
    if isinstance(layer, K.DepthwiseConv2D):
        return math.prod(layer.depthwise_kernel.shape) * area(makes)
    if isinstance(layer, K.Conv2DTranspose) or type(layer).__name__ == "QConv2DTranspose":
        return math.prod(layer.kernel.shape) * area(reads[0])
    if isinstance(layer, K.Conv2D | K.Dense):
        return math.prod(layer.kernel.shape) * area(makes)
    if any(len(weight.shape) > 1 and min(weight.shape) > 1 for weight in layer.weights):
        raise UnknownLayer(layer.name, type(layer).__name__, "the count of multiply-accumulates")
    return 0


def peak_activations(model: Any, height: int, width: int, *, bytes_per_value: int = 4) -> int:
    """Bytes of the tensors alive at once, at worst, for one image of that size.

    A tensor lives from the step that makes it to the last step that reads it; a pointwise step with one input
    that nobody reads later works in place, as every engine does.
    """
    walk, shapes = steps(model), _shapes(model, height, width)
    last = {tensor: number for number, step in enumerate(walk) for tensor in step.reads}
    last.update(dict.fromkeys(outputs(model), len(walk)))
    alive: dict[int, int] = {}
    peak = 0
    for number, step in enumerate(walk):
        size = math.prod(shapes[step.makes]) * bytes_per_value
        dies = [tensor for tensor in set(step.reads) if last[tensor] == number]
        if pointwise(unwrap(step.layer)) and len(step.reads) == 1 and dies:
            alive.pop(dies.pop())
        alive[step.makes] = size
        peak = max(peak, sum(alive.values()))
        for tensor in dies:
            del alive[tensor]
        if step.makes not in last:
            del alive[step.makes]
    return peak


def _shapes(model: Any, height: int, width: int) -> dict[int, Shape]:
    """The shape of every tensor for one image of that size."""
    shapes: dict[int, Shape] = {}
    for step in steps(model):
        layer = unwrap(step.layer)
        if not step.reads:
            shapes[step.makes] = (1, height, width, layer.input_shape[0][-1])
            continue
        reads = [shapes[tensor] for tensor in step.reads]
        shapes[step.makes] = tuple(layer.compute_output_shape(reads if len(reads) > 1 else reads[0]))
    return shapes


def _readers(walk: list[Step]) -> dict[int, int]:
    count: dict[int, int] = {}
    for step in walk:
        for tensor in step.reads:
            count[tensor] = count.get(tensor, 0) + 1
    return count
