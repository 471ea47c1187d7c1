"""Distillation (Vaze, Xie and Namburete, 2020): a student learns the task, and its teacher's feature maps.

    L = task loss + sum over the maps of w_i mean |teacher's map - student's map|

A map is what a layer of the float network puts out, by its name, wherever a scheme has since put it. Teacher's maps
are numbers of float16, kept on disk or not: both ways give the same loss to the bit. Each sample passes the teacher by
itself, since convolutions add up in another order when others are beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from keras_models.graph import steps, unwrap
from quant.fit import Batches
from quant.map_cache import MapCache
from runtime.errors import BadOption, UnknownName

__all__ = ["Taught", "distilled", "map_shapes", "map_weights", "tapped"]

Array = np.ndarray[Any, Any]
Loss = Callable[[Any, Any], Any]
Shape = tuple[int, int, int]

LARGEST = float(np.finfo(np.float16).max)  # beyond it a teacher's value would be infinite, and the loss with it


def tapped(model: Any, maps: Sequence[str]) -> Any:
    """The same network, the same weights, that also puts out what layers make: [picture, *maps].

    Names are those of the float network; the tensor is the one that the layers behind read, rounded if that is.
    """
    carriers = dict(_carriers(model))
    for name in maps:
        if name not in carriers:
            raise UnknownName("feature map", name, carriers)
    return tf_keras.Model(model.inputs, [*model.outputs, *(carriers[name] for name in maps)], name=model.name)


def _carriers(model: Any) -> Iterator[tuple[str, Any]]:
    """Each layer's name in the float network, and the tensor that holds its result; the last one of a name counts.

    TFMOT's wrappers put `quant_` in front; a ReLU inside its convolution has left its name there. Fixed point rounds
    in a layer of its own, named `_quantize`.
    """
    layers = [layer for layer in model.layers if not isinstance(layer, tf_keras.layers.InputLayer)]
    names = {layer.name for layer in layers}
    for layer in layers:
        name = unwrap(layer).name
        if name.removesuffix("_quantize") in names:
            name = name.removesuffix("_quantize")
        elif f"{name}_quantize" in names:
            continue
        yield getattr(layer, "carries", name), layer.output


def map_shapes(teacher: Any, student: Any, *, size: int) -> list[Shape]:
    """Height, width and channels of each map for inputs of that size; `BadOption` names two that differ."""
    ins = [network.inputs[0].shape[-1] for network in (teacher, student)]
    if ins[0] != ins[1]:
        raise BadOption("teacher", f"one of {ins[0]} planes", f"one of {ins[1]}, as the student has")
    x = tf.zeros((1, size, size, ins[0]))
    theirs, ours = (_named_shapes(network, x) for network in (teacher, student))
    for (their_name, their), (our_name, our) in zip(theirs, ours, strict=True):
        if their != our:
            pair = f"the teacher's {their_name!r} {their} beside the student's {our_name!r} {our}"
            raise BadOption("maps", pair, "layers of the same height, width and channels")
    return [shape for _, shape in ours]


def _named_shapes(network: Any, x: Any) -> list[tuple[str, Shape]]:
    made = network(x, training=False)[1:]
    return [(name, tuple(y.shape[1:])) for name, y in zip(network.output_names[1:], made, strict=True)]


def map_weights(shapes: Iterable[Sequence[int]], *, total: float) -> tuple[float, ...]:
    """The weight of each map, of shape (height, width, ...): in proportion to 1 / (H W), in sum `total`."""
    inverse = np.array([1 / (height * width) for height, width, *_ in shapes])
    return tuple((total * inverse / inverse.sum()).tolist())


def distilled(task_loss: Loss, weights: Sequence[float]) -> Loss:
    """The loss of (target, *teacher's maps) and [picture, *student's maps]."""

    def loss(y: Any, prediction: Any) -> Any:
        (target, *theirs), (picture, *ours) = y, prediction
        total = task_loss(target, picture)
        for weight, their, our in zip(weights, theirs, ours, strict=True):
            a, b = tf.cast(their, tf.float32), tf.cast(our, tf.float32)
            a.shape.assert_is_compatible_with(b.shape)
            total += weight * tf.reduce_mean(tf.abs(a - b))
        return total

    return loss


class Taught:
    """Data whose targets have the teacher's maps beside them; `samples` are so many different ones in turn.

    With samples and a folder each one's maps are computed once. The teacher is used as it stands: its BatchNorm and
    dropout as at inference, its weights those of no optimizer.
    """

    def __init__(self, data: Batches, teacher: Any, *, samples: int, cache: Path | None) -> None:
        self.data, self.samples = data, samples
        self._ask = tf.function(lambda x: teacher(x, training=False)[1:], reduce_retracing=True)
        self.shapes: list[Shape] = [one.shape for one in self._maps(data.batch([0])[0])]
        self._cache: MapCache | None = None
        if samples and cache is not None:
            self._cache = MapCache(cache, key=_key(teacher), samples=samples, shapes=self.shapes)

    def batch(self, numbers: Sequence[int]) -> tuple[Array, tuple[Array, ...]]:
        """Inputs; targets and the teacher's maps, these in float16."""
        x, y = self.data.batch(list(numbers))
        maps = [self._maps(one[None]) for one in x] if self._cache is None else self._kept(self._cache, numbers, x)
        return x, (y, *map(np.stack, zip(*maps, strict=True)))

    def _kept(self, cache: MapCache, numbers: Sequence[int], x: Array) -> list[list[Array]]:
        """Each sample's maps: from the disk, or made now and kept there."""
        places = [(number % self.samples, _seal(one)) for number, one in zip(numbers, x, strict=True)]
        found = [cache.read(*place) for place in places]
        maps = [self._maps(one[None]) if kept is None else kept for kept, one in zip(found, x, strict=True)]
        cache.write({place: made for place, made, kept in zip(places, maps, found, strict=True) if kept is None})
        return maps

    def _maps(self, x: Array) -> list[Array]:
        return [np.clip(y[0].numpy(), -LARGEST, LARGEST).astype("<f2") for y in self._ask(tf.constant(x))]


def _seal(x: Array) -> int:
    """What marks a sample's maps as there, and as those of this very input: 63 bits of its digest, never 0."""
    return int.from_bytes(hashlib.blake2b(np.ascontiguousarray(x).data, digest_size=8).digest(), "little") | 1


def _key(teacher: Any) -> str:
    """SHA-256 of a tapped network: its layers, its weights, which maps come out."""
    sha = hashlib.sha256(repr([(type(s.layer).__name__, s.name, s.reads) for s in steps(teacher)]).encode())
    sha.update(repr(teacher.output_names).encode())
    for weight in teacher.weights:
        sha.update(np.ascontiguousarray(weight.numpy()).data)
    return sha.hexdigest()
