"""Steps that are one operator in the file: a layer, the ReLU it can do itself, and the rounding of its output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container
from dataclasses import dataclass
from typing import Any

import tf_keras

from keras_models.graph import Step, outputs, steps
from keras_models.grid import Grid
from keras_models.lowered import Lowered
from keras_models.quantize import Quantize

__all__ = ["Group", "groups", "is_plain_relu"]


@dataclass(frozen=True)
class Group:
    """A layer, with the ReLU and the grid behind it; `name` is that of its last layer, `makes` its tensor's number."""

    layer: Any
    reads: tuple[int, ...]
    makes: int
    name: str
    kernel: Grid | None = None
    relu: bool = False
    grid: Grid | None = None

    @property
    def inner(self) -> str:
        """The name of what the layer makes before it is put on the grid, if it is."""
        return self.name if self.grid is None else str(self.layer.name)

    def shape(self, *shapes: tuple[int, ...]) -> tuple[int, ...]:
        """The shape that comes out where those go in."""
        return tuple(map(int, self.layer.compute_output_shape(list(shapes) if len(shapes) > 1 else shapes[0])))


def groups(lowered: Lowered, *, with_relu: Container[type]) -> list[Group]:
    """All steps of the network, grouped; layers of the types `with_relu` can do a ReLU themselves.

    A step joins the one before it if nobody else reads what lies between.
    """
    walk = steps(lowered.model)
    readers = Counter(read for step in walk for read in step.reads) + Counter(outputs(lowered.model))
    only = {read: step for step in walk for read in step.reads if readers[read] == 1}
    found: list[Group] = []
    joined: set[int] = set()
    for step in walk:
        if step.makes in joined:
            continue
        chain = [step]
        relu = type(step.layer) in with_relu and is_plain_relu(_layer(only.get(step.makes)))
        if relu:
            chain.append(only[step.makes])
        grid = step.layer.grid if type(step.layer) is Quantize else None
        behind = _layer(only.get(chain[-1].makes))
        if grid is None and type(behind) is Quantize:
            chain.append(only[chain[-1].makes])
            grid = behind.grid
        joined.update(member.makes for member in chain)
        last = chain[-1]
        kernel = lowered.kernels.get(step.name)
        found.append(Group(step.layer, step.reads, last.makes, last.name, kernel, relu, grid))
    return found


def is_plain_relu(layer: Any) -> bool:
    """Whether a layer is max(x, 0) and nothing more."""
    return type(layer) is tf_keras.layers.ReLU and layer.max_value is None and not (
        layer.negative_slope or layer.threshold
    )  # fmt: skip


def _layer(step: Step | None) -> Any:
    return step and step.layer
