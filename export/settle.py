"""Sums and products of two tensors that every engine rounds alike.

ONNX Runtime adds by fused multiply-adds on precomputed zero points, LiteRT in float32 one after the other. Now and then
a pair of levels lies so near to a tie that they part by one, and a deep network makes many of one. But there are only
65536 pairs: all of them are tried, and where one parts, the result's scale is moved by a millionth or a few.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count, islice
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import tf_keras

from export.reference import Added, Levels, Product
from keras_models.graph import Step, steps
from keras_models.grid import Grid
from keras_models.hoist import grids
from keras_models.lowered import Lowered
from keras_models.quantize import Quantize
from keras_models.ready import ready
from keras_models.rewrite import copy, rebuild

__all__ = ["Pair", "settled"]

K = tf_keras.layers
Array = np.ndarray[Any, Any]

STEP = 2.0**-20  # of a scale: eight of the last bits of float32, and a thousandth of a level at the most
MOVES = 64  # tried on either side; one in two or three does
ROUNDS = 4  # a scale that moves is what the next layer reads

_MADE: WeakKeyDictionary[Lowered, Lowered] = WeakKeyDictionary()


@dataclass(frozen=True)
class Pair:
    """An Add or a Multiply, the grids of what it reads, and the one of its result."""

    layer: Any
    a: Grid
    b: Grid
    result: Grid

    def on(self, moved: Mapping[Grid, Grid]) -> Pair:
        """The same on other grids."""
        return Pair(self.layer, *(moved.get(grid, grid) for grid in (self.a, self.b, self.result)))

    def alike(self) -> bool:
        """Whether every pair of levels is rounded alike by all engines."""
        levels = (np.arange(grid.low, grid.high + 1) for grid in (self.a, self.b))
        p, q = np.meshgrid(*levels, indexing="ij")
        a, b = Levels(p, self.a), Levels(q, self.b)
        ours = _ours(self.layer, a, b, self.result)
        return all(np.array_equal(ours, other) for other in _others(self.layer, a, b, self.result))


def settled(lowered: Lowered) -> Lowered:
    """The form that files are written from, with no pair of levels that one engine rounds up and another down.

    A grid for which no small move helps stays: then files are proved as ever, with what they part by.
    """
    if lowered not in _MADE:
        plain = ready(lowered)
        moved = _moved(plain)
        _MADE[lowered] = _with_grids(plain, moved) if moved else plain
    return _MADE[lowered]


def _ours(layer: Any, a: Levels, b: Levels, result: Grid) -> Array:
    """The reference, which ONNX Runtime equals."""
    return Added(a, b).rounded(result) if isinstance(layer, K.Add) else Product(a.values * b.values).rounded(result)


def _others(layer: Any, a: Levels, b: Levels, result: Grid) -> Iterator[Array]:
    """LiteRT's ways: a float32 sum, divided by the scale or multiplied by its inverse; a product of whole numbers."""
    one = np.float32(1)
    if isinstance(layer, K.Add):
        both = a.values + b.values
        scaled = [both / result.scale, both * (one / result.scale)]
    else:
        whole = ((a.q - a.grid.zero) * (b.q - b.grid.zero)).astype(np.float32)
        scaled = [whole * (a.grid.scale * b.grid.scale / result.scale)]
    for values in scaled:
        yield np.clip(np.rint(values) + result.zero, result.low, result.high).astype(np.int32)


def _moved(plain: Lowered) -> dict[Grid, Grid]:
    """Grids that must be others, and which."""
    moved: dict[Grid, Grid] = {}
    pairs = list(_pairs(plain))
    for _ in range(ROUNDS):
        now = [(pair.result, pair.on(moved)) for pair in pairs]
        wrong = dict.fromkeys(grid for grid, pair in now if not pair.alike())
        if not wrong:
            break
        moved |= {grid: _near(grid, moved, [pair for own, pair in now if own == grid]) for grid in wrong}
    return {grid: other for grid, other in moved.items() if grid != other}


def _near(grid: Grid, moved: Mapping[Grid, Grid], pairs: list[Pair]) -> Grid:
    """The nearest scale with which all that is rounded to this grid is rounded alike."""
    old = moved.get(grid, grid)
    for move in islice((sign * size for size in count(1) for sign in (1, -1)), 2 * MOVES):
        near = replace(grid, scale=np.asarray(grid.scale * np.float32(1 + move * STEP)))
        if all(pair.on({old: near}).alike() for pair in pairs):
            return near
    return old


def _pairs(plain: Lowered) -> Iterator[Pair]:
    """Every Add and Multiply of two rounded tensors that is rounded itself."""
    walk = steps(plain.model)
    known, makers = grids(walk), {step.makes: step for step in walk}
    for step in walk:
        maker = makers.get(step.reads[0]) if isinstance(step.layer, Quantize) and step.reads else None
        if maker is not None and isinstance(maker.layer, K.Add | K.Multiply) and len(maker.reads) == 2:
            a, b = (known[tensor] for tensor in maker.reads)
            if a is not None and b is not None:
                yield Pair(maker.layer, a, b, step.layer.grid)


def _with_grids(plain: Lowered, moved: dict[Grid, Grid]) -> Lowered:
    def make(step: Step, reads: list[Any]) -> Any:
        if isinstance(step.layer, Quantize) and step.layer.grid in moved:
            return Quantize(moved[step.layer.grid], name=step.name)(reads[0])
        return copy(step.layer, reads)

    return Lowered(rebuild(plain.model, make), plain.kernels)
