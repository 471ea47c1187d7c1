"""A Keras model as a list of steps, in the order they run: what counting, lowering and writing all walk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import tf_keras

from runtime.errors import UnknownLayer

__all__ = ["Step", "outputs", "steps", "unwrap"]


@dataclass(frozen=True)
class Step:
    """One call of one layer: which tensors it reads, which one it makes."""

    layer: Any
    reads: tuple[int, ...]
    makes: int

    @property
    def name(self) -> str:
        """The layer's name, as the model's author gave it."""
        return str(self.layer.name)


def unwrap(layer: Any) -> Any:
    """The layer inside its wrappers (TFMOT quantizes by wrapping)."""
    while isinstance(layer, tf_keras.layers.Wrapper):
        layer = layer.layer
    return layer


def steps(model: Any) -> list[Step]:
    """Every step of a functional model, models inside it opened; tensors are numbered, the inputs come first."""
    return list(_walk(model, {}, []))


def outputs(model: Any) -> list[int]:
    """The numbers of the model's output tensors."""
    numbers: dict[int, int] = {}
    list(_walk(model, numbers, []))
    return [numbers[id(tensor)] for tensor in model.outputs]


def _walk(model: Any, numbers: dict[int, int], counter: list[None]) -> Iterator[Step]:
    """`numbers` maps the id of each Keras tensor to its number; an inner model's inputs are already in it."""

    def fresh() -> int:
        counter.append(None)
        return len(counter) - 1

    for node in _in_order(model):
        layer = node.layer
        outs = _flat(node.outputs)
        if len(outs) != 1:
            raise UnknownLayer(layer.name, type(layer).__name__, "a walk over layers with one output each")
        reads = tuple(numbers[id(tensor)] for tensor in _flat(node.keras_inputs)) if not node.is_input else ()
        if isinstance(layer, tf_keras.Model):
            inner = dict(zip((id(t) for t in layer.inputs), reads, strict=True))
            yield from _walk(layer, inner, counter)
            numbers[id(outs[0])] = inner[id(layer.outputs[0])]
        elif id(outs[0]) not in numbers:
            numbers[id(outs[0])] = fresh()
            yield Step(layer, reads, numbers[id(outs[0])])


def _in_order(model: Any) -> Iterator[Any]:
    """The nodes of a model, each after those it reads from."""
    if not getattr(model, "_is_graph_network", False):
        raise UnknownLayer(model.name, type(model).__name__, "a walk, which needs a functional model")
    for depth in sorted(model._nodes_by_depth, reverse=True):
        yield from model._nodes_by_depth[depth]


def _flat(structure: Any) -> list[Any]:
    return list(structure) if isinstance(structure, list | tuple) else [structure]
