"""The noise of a frame that nobody measured, from the frame itself: a line through variances and means.

In small squares of one colour neighbours differ by noise and by what is seen. In most of them little is seen, so of
squares that are equally bright the middle variance is nearly that of the noise (after Foi et al. 2008).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from quant.baseline import SITES, Noise

__all__ = ["estimated"]

Array = np.ndarray[Any, Any]

SQUARE = 8  # pixels of one colour a side
BINS = 24  # of squares by brightness
LEAST = 1e-9  # of white: a line that would cross zero is held above it


def estimated(mosaic: Array) -> Noise:
    """The noise of an amplified mosaic (h, w) of black 0 and white 1, not cut."""
    squares = [_squares(mosaic[y::2, x::2]) for y, x in SITES]
    means, variances = (np.concatenate([pair[i] for pair in squares]) for i in (0, 1))
    order = np.array_split(np.argsort(means), min(BINS, len(means)))
    x = np.array([means[part].mean() for part in order])
    y = np.array([np.median(variances[part]) for part in order])
    weight = 1 / np.maximum(y, LEAST)  # a variance is known to a share of itself
    gain, variance = np.polyfit(x, y, 1, w=weight) if len(x) > 1 else (0.0, y[0])
    return Noise(gain=max(float(gain), LEAST), variance=max(float(variance), LEAST))


def _squares(plane: Array) -> tuple[Array, Array]:
    """Mean and variance of noise in each square: half the mean square of differences along rows.

    What a row shares is in none of its differences: it is left out.
    """
    height, width = (n // SQUARE * SQUARE for n in plane.shape)
    parts = plane[:height, :width].reshape(height // SQUARE, SQUARE, width // SQUARE, SQUARE).astype(np.float64)
    variances = np.square(np.diff(parts, axis=3)).mean((1, 3)) / 2
    return parts.mean((1, 3)).ravel(), variances.ravel()
