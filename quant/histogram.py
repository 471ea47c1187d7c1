"""A count for every number of bfloat16: how values are spread, in half a mebibyte, whatever their range.

The upper half of a float32 is a bfloat16, so the bin of a value is the upper half of its bits. Each bin is as wide as
a 128th of the power of two below it: one outlier costs the others no resolution, and no bin ever moves as the range
grows. Counts of whole numbers add up the same in any order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["Cells", "Histogram"]

Array = np.ndarray[Any, Any]
BINS = 1 << 16
PIECE = 1 << 20  # counted at once: NumPy counts in int64, which is four times what it reads
LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Cells:
    """The bins that hold something, in rising order: where each begins and ends, and how many values are in it."""

    low: Array
    high: Array
    count: Array

    def below(self, x: Array) -> Array:
        """How many values lie below each x, those of a bin spread evenly over it."""
        begun = np.clip(np.searchsorted(self.low, x, side="right") - 1, 0, None)
        before = np.concatenate([[0.0], np.cumsum(self.count, dtype=np.float64)])
        inside = np.clip((x - self.low[begun]) / (self.high - self.low)[begun], 0, 1)
        return np.asarray(before[begun] + inside * self.count[begun])

    def quantile(self, share: float) -> float:
        """The value that this share of the others lies below."""
        total = np.cumsum(self.count, dtype=np.float64)
        wanted = share * total[-1]
        i = min(int(np.searchsorted(total, wanted)), len(total) - 1)
        inside = (wanted - total[i]) / self.count[i] + 1
        return float(self.low[i] + inside * (self.high[i] - self.low[i]))

    def mirrored(self) -> Cells:
        """The same of the values' sizes, without zeros and what is too small to be told from them."""
        order = np.where(self.low < 0, -1, 1)
        ends = np.stack([self.low, self.high]) * order
        low, high = ends.min(axis=0), ends.max(axis=0)
        keep = low > 0
        starts, where = np.unique(low[keep], return_inverse=True)
        stops = np.zeros(len(starts))
        stops[where] = high[keep]
        return Cells(starts, stops, np.bincount(where, weights=self.count[keep], minlength=len(starts)))


@dataclass
class Histogram:
    """Counts that values are added to."""

    counts: Array = field(default_factory=lambda: np.zeros(BINS, np.int64))

    def see(self, values: Array) -> None:
        """Count finite values."""
        flat = np.ascontiguousarray(values, np.float32).reshape(-1).view(np.uint32)
        for begin in range(0, flat.size, PIECE):
            self.counts += np.bincount(flat[begin : begin + PIECE] >> 16, minlength=BINS)

    def cells(self) -> Cells:
        """The bins that hold something."""
        (bins,) = np.nonzero(self.counts)
        bins = bins.astype(np.uint32)
        near, far = (_number(bins + shift) for shift in (0, 1))
        low, high = np.minimum(near, far), np.maximum(near, far)
        order = np.lexsort((high, low))
        return Cells(low[order], high[order], self.counts[bins][order])


def _number(bins: Array) -> Array:
    """The bfloat16 of a bin; behind the last one comes infinity, which a range cannot have."""
    with np.errstate(invalid="ignore"):
        values = (bins << 16).astype(np.uint32).view(np.float32)
    return np.clip(values.astype(np.float64), -LARGEST, LARGEST)
