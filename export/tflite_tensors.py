"""Values on their way through a TFLite graph: float or on a grid, and the operators that take one to the other.

TFLite's kernels compute in int8, our grids are mostly uint8: a grid is stored shifted, its highest level as 127. So
the type itself saturates at the top, whatever the bits. At the bottom 8 bits saturate too; fewer need a floor: a
fused ReLU where the lowest level is zero, else a step over the 8-bit grid that begins at the same level.

From grid to grid a value goes by DEQUANTIZE and QUANTIZE: XNNPACK makes a table of 256 bytes of the pair, and of a
LeakyReLU between the two, which gives what our rule gives. Its int8 QUANTIZE and LEAKY_RELU take half the time, but
round the ratio of the scales to 1/256 first: a tenth of what comes out is then a step off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from export.flatbuffer import Flatbuffer, Levels
from keras_models.grid import Grid

__all__ = ["Tensors", "Value", "shift"]

TOP, BOTTOM = 127, -128
NONE, RELU = 0, 1  # the schema's names of fused activations
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Value:
    """A tensor of the file, its shape at the size the file is written for, and its grid unless it is float."""

    tensor: int
    shape: tuple[int, ...]
    grid: Grid | None = None


def shift(grid: Grid) -> int:
    """What is added to a grid's whole numbers to store them in int8."""
    return TOP - grid.high


def bounded(grid: Grid) -> bool:
    """Whether int8 saturates at the grid's lowest level by itself."""
    return grid.low + shift(grid) == BOTTOM


def unbounded(grid: Grid) -> Grid:
    """The grid of 8 bits that begins at the same level and goes on above the highest."""
    return Grid(grid.scale, grid.zero - grid.low)


def levels(grid: Grid) -> Levels:
    """The grid as the file writes it."""
    return Levels(grid.scale, grid.zero + shift(grid))


@dataclass
class Tensors:
    """The graph under construction, and the ways between float and grids."""

    graph: Flatbuffer = field(default_factory=Flatbuffer)

    def constant(self, name: str, array: Array, *, grid: Levels | None = None) -> int:
        """A constant of the array's own type."""
        kind = {"f4": "FLOAT32", "i4": "INT32", "i1": "INT8"}[array.dtype.str[1:]]
        data = np.ascontiguousarray(array).tobytes()
        return self.graph.tensor(name, array.shape, kind, levels=grid, data=data)

    def input(self, name: str, shape: tuple[int, ...], grid: Grid | None = None) -> Value:
        """A tensor that no operator makes."""
        return self._value(name, shape, grid)

    def make(
        self, kind: str, reads: Sequence[Value | int], name: str, shape: tuple[int, ...], grid: Grid | None = None,
        **options: Any,
    ) -> Value:  # fmt: skip
        """One operator and the value it makes; an int among `reads` is a constant."""
        made = self._value(name, shape, grid)
        self.graph.operator(kind, [r if isinstance(r, int) else r.tensor for r in reads], made.tensor, **options)
        return made

    def make_fused(
        self, kind: str, reads: Sequence[Value | int], name: str, shape: tuple[int, ...], grid: Grid | None = None,
        *, relu: bool = False, **options: Any,
    ) -> Value:  # fmt: skip
        """The same for operators with a ReLU of their own; on a grid, saturated at its own levels."""
        if relu or grid is None or (not bounded(grid) and grid.zero == grid.low):
            fused = RELU if relu or grid is not None else NONE
            return self.make(kind, reads, name, shape, grid, fusedActivationFunction=fused, **options)
        return self.make_saturated(kind, reads, name, shape, grid, fusedActivationFunction=NONE, **options)

    def make_saturated(
        self, kind: str, reads: Sequence[Value | int], name: str, shape: tuple[int, ...], grid: Grid, **options: Any
    ) -> Value:
        """The same for operators without one."""
        if bounded(grid):
            return self.make(kind, reads, name, shape, grid, **options)
        return self.on(self.make(kind, reads, f"{name}/unbounded", shape, unbounded(grid), **options), grid, name)

    def floats(self, x: Value) -> Value:
        """x in float; made anew for each layer that reads it, or XNNPACK would find no table to make."""
        if x.grid is None:
            return x
        return self.make("DEQUANTIZE", [x], f"{self.graph.tensors[x.tensor].name}/float", x.shape)

    def size(self, x: Value, factors: tuple[int, int], *, name: str) -> int:
        """The tensor that holds factors times the height and width of x, whatever they turn out to be."""
        whole = [self.graph.tensor(f"{name}/{part}", (n,), "INT32") for part, n in (("shape", 4), ("old", 2))]
        begin, end, step = (
            self.constant(f"{name}/{part}", np.array(value, np.int32))
            for part, value in (("begin", [1]), ("end", [3]), ("step", [1]))
        )
        times = self.constant(f"{name}/times", np.array(factors, np.int32))
        made = self.graph.tensor(name, (2,), "INT32")
        self.graph.operator("SHAPE", [x.tensor], whole[0], outType=2)
        self.graph.operator("STRIDED_SLICE", [whole[0], begin, end, step], whole[1])
        self.graph.operator("MUL", [whole[1], times], made)
        return made

    def on(self, x: Value, grid: Grid | None, name: str) -> Value:
        """x on a grid (or as it is, if there is none): rounded there unless it lies on it already."""
        if grid is None or grid == x.grid:
            return x
        if not bounded(grid) and x.grid != unbounded(grid):
            x = self.on(x, unbounded(grid), f"{name}/unbounded")
        return self.make("QUANTIZE", [self.floats(x)], name, x.shape, grid)

    def _value(self, name: str, shape: tuple[int, ...], grid: Grid | None) -> Value:
        if grid is None:
            return Value(self.graph.tensor(name, shape, "FLOAT32"), shape)
        return Value(self.graph.tensor(name, shape, "INT8", levels=levels(grid)), shape, grid)
