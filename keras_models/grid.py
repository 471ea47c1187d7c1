"""The levels a number may take once it is quantized: a value, and its mathematics in NumPy.

A grid is scale * (q - zero) for the whole numbers q of `bits` bits, signed or not; a narrow one leaves out the
lowest. The scale may be one number or one a channel.

Rounding is that of ONNX' QuantizeLinear: divide in float32, round half to even, add the zero point, saturate.
TensorFlow's fake quantization multiplies by 1 / scale and rounds half up: the two differ at ties alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from runtime.errors import BadGrid

__all__ = ["Grid", "divisible"]

Array = np.ndarray[Any, Any]
SMALLEST = np.finfo(np.float32).tiny  # below it are the subnormal numbers, which some engines take for zero


@dataclass(frozen=True, eq=False)
class Grid:
    """Levels scale * (q - zero); `axis` is the channel axis of a scale that is not a single number."""

    scale: Array
    zero: int = 0
    bits: int = 8
    signed: bool = False
    narrow: bool = False
    axis: int = -1

    def __post_init__(self) -> None:
        with np.errstate(over="ignore"):
            scale = np.array(self.scale, np.float32)
        scale.setflags(write=False)
        object.__setattr__(self, "scale", scale)
        _check_bits(self.bits)
        if scale.ndim > 1 or not scale.size or not (np.isfinite(scale) & (scale >= SMALLEST)).all():
            worst = scale.min() if scale.size else scale
            raise BadGrid(f"scale {worst}", "a finite scale above 0, one or one a channel")
        if not (self.low <= self.zero <= self.high and self.zero == int(self.zero)):
            raise BadGrid(f"zero point {self.zero}", f"a whole one from {self.low} to {self.high}")

    @property
    def low(self) -> int:
        """The lowest whole number."""
        return (-(1 << (self.bits - 1)) if self.signed else 0) + self.narrow

    @property
    def high(self) -> int:
        """The highest whole number."""
        return (1 << (self.bits - self.signed)) - 1

    @cached_property
    def levels(self) -> Array:
        """Every value the grid holds: (count,), or (count, channels)."""
        return self.dequantize(np.arange(self.low, self.high + 1).reshape(-1, *[1] * self.scale.ndim), axis=-1)

    @classmethod
    def from_range(cls, low: float, high: float, *, bits: int = 8, narrow: bool = False) -> Grid:
        """The grid TensorFlow's fake quantization uses for a range: nudged so that zero is a level."""
        _check_bits(bits)
        first, last = np.float32(narrow), np.float32((1 << bits) - 1)
        with np.errstate(over="ignore"):
            begin, end = np.float32(low), np.float32(high)
            span = end - begin
        if not (np.isfinite([begin, end, span]).all() and begin <= 0 <= end and begin < end):
            raise BadGrid(f"the range {low} to {high}", "a finite range around 0 that is not empty")
        scale = np.asarray(span / (last - first))
        if scale < SMALLEST:
            raise BadGrid(f"the range {low} to {high}", "a wider range: its steps are too small for a float32")
        zero = first - begin / scale
        # In float64: just below a half, adding one in float32 would round up.
        nudged = first if zero < first else last if zero > last else np.floor(float(zero) + 0.5)
        return cls(scale, int(nudged), bits, narrow=narrow)

    def quantize(self, x: Array) -> Array:
        """The whole numbers nearest to x, as int32."""
        q = np.rint(np.asarray(x, np.float32) / self._along(np.ndim(x), self.axis)) + np.float32(self.zero)
        return np.clip(q, self.low, self.high).astype(np.int32)

    def dequantize(self, q: Array, *, axis: int | None = None) -> Array:
        """The values of whole numbers, in float32."""
        scale = self._along(np.ndim(q), self.axis if axis is None else axis)
        return (np.asarray(q, np.int32) - self.zero).astype(np.float32) * scale

    def holds(self, x: Array) -> bool:
        """Whether every x is a level, up to float32 rounding of the level itself."""
        if not np.isfinite(x).all():
            return False
        return bool(np.allclose(self.dequantize(self.quantize(x)), x, rtol=1e-6, atol=1e-6 * float(self.scale.min())))

    def _along(self, ndim: int, axis: int) -> Array:
        """The scale, shaped to broadcast along its channel axis."""
        if self.scale.ndim == 0:
            return self.scale
        shape = [1] * ndim
        shape[axis] = self.scale.size
        return self.scale.reshape(shape)

    def to_config(self) -> dict[str, Any]:
        """The grid as plain numbers, for a layer's config."""
        return {"scale": self.scale.tolist(), "zero": self.zero, "bits": self.bits, "signed": self.signed,
                "narrow": self.narrow, "axis": self.axis}  # fmt: skip

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grid) and self.to_config() == other.to_config()

    def __hash__(self) -> int:
        return hash((self.scale.tobytes(), self.zero, self.bits, self.signed, self.narrow, self.axis))


def divisible(scale: Array) -> Array:
    """The scales of a kernel, those too small for a float32 replaced: a dead channel's zeros lie on any grid."""
    return np.where(scale >= SMALLEST, scale, 1).astype(np.float32)


def _check_bits(bits: int) -> None:
    if not 2 <= bits <= 8:
        raise BadGrid(f"{bits} bits", "2 to 8 bits")
