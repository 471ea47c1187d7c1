"""MSE, PSNR and SSIM of a picture that comes in bands of rows: the figures of `measure`, without the picture.

A window of SSIM is eleven rows deep: of each band the last ten rows are kept, to go on with those that follow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtime.measure import WINDOW, ssim_map

__all__ = ["MOST_DB", "Bands", "Figures"]

Array = np.ndarray[Any, Any]

# The PSNR of pictures that are equal, or nearly: an infinite one would hide all others in a mean. Rounding to 16 bits
# alone leaves 107 dB.
MOST_DB = 100.0
KEPT = WINDOW - 1


@dataclass(frozen=True)
class Figures:
    """What is measured of a pair of pictures."""

    psnr: float
    ssim: float
    mse: float


class Bands:
    """The accumulators of one picture of that width; values go from 0 to 1."""

    def __init__(self, width: int, *, channels: int = 3) -> None:
        if width < WINDOW:
            raise ValueError(f"a row of {width} pixels holds no window of {WINDOW}")
        self._last: tuple[Array, Array] = (np.empty((channels, 0, width)), np.empty((channels, 0, width)))
        self._squares = self._similar = 0.0  # the sums of squared differences and of the windows' similarities
        self._values = self._windows = 0
        self._least, self._most = np.full(channels, np.inf), np.full(channels, -np.inf)

    def add(self, y: Array, prediction: Array) -> None:
        """The next rows of both, float (channels, rows, width)."""
        if y.shape != prediction.shape or y.shape[::2] != self._last[0].shape[::2]:
            raise ValueError(f"{y.shape} and {prediction.shape} are no two bands of this picture")
        if not y.size:
            return
        both = [np.concatenate([last, new], axis=1) for last, new in zip(self._last, (y, prediction), strict=True)]
        for a, b in zip(*both, strict=True):
            if len(a) >= WINDOW:
                found = ssim_map(a, b, data_range=1.0)
                self._similar += float(found.sum())
                self._windows += found.size
        difference = np.subtract(y, prediction, dtype=np.float64)
        self._squares += float(np.square(difference, out=difference).sum())
        self._values += y.size
        self._least = np.minimum(self._least, y.min(axis=(1, 2)))
        self._most = np.maximum(self._most, y.max(axis=(1, 2)))
        self._last = (both[0][:, -KEPT:].copy(), both[1][:, -KEPT:].copy())

    @property
    def flat(self) -> bool:
        """Whether `y` was one colour all over."""
        return bool((self._least >= self._most).all())

    def figures(self) -> Figures:
        """The figures of all rows."""
        if not self._windows:
            raise ValueError(f"fewer than {WINDOW} rows came")
        mse = self._squares / self._values
        psnr = -10 * math.log10(mse) if mse else MOST_DB
        return Figures(min(psnr, MOST_DB), self._similar / self._windows, mse)
