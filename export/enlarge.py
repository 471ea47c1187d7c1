"""Bilinear enlargement as ONNX Runtime computes it, to the last bit: the order of float32 operations is the rule.

The sum of four products, each weight the product of two distances. TensorFlow interpolates along one side and then
along the other, which differs in the last bit, and once rounded to a grid now and then by a step.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["bilinear"]

Array = np.ndarray[Any, Any]


def bilinear(x: Array, factor: int, *, aligned: bool) -> Array:
    """Enlarge a batch, channels last; with the corners aligned, or pixels seen as areas."""
    top, bottom, from_top, to_bottom = _neighbours(x.shape[1], factor, aligned)
    left, right, from_left, to_right = _neighbours(x.shape[2], factor, aligned)
    from_top, to_bottom = from_top[:, None, None], to_bottom[:, None, None]
    from_left, to_right = from_left[:, None], to_right[:, None]
    upper, lower = x[:, top], x[:, bottom]
    made: Array = to_right * to_bottom * upper[:, :, left] + from_left * to_bottom * upper[:, :, right]
    made = made + to_right * from_top * lower[:, :, left]
    return made + from_left * from_top * lower[:, :, right]


def _neighbours(size: int, factor: int, aligned: bool) -> tuple[Array, Array, Array, Array]:
    """For each new pixel of a side: the two old ones it lies between, and its distances from them."""
    new, last = np.arange(size * factor, dtype=np.float32), np.float32(size - 1)
    if aligned:
        at = new * last / np.float32(size * factor - 1) if size * factor > 1 else new
    else:
        at = (new + np.float32(0.5)) / np.float32(factor) - np.float32(0.5)
    at = np.clip(at, np.float32(0), last)
    before = np.minimum(at.astype(np.int64), size - 1)
    after = np.minimum(before + 1, size - 1)
    distances = [np.abs(at - side.astype(np.float32)) for side in (before, after)]
    for distance in distances:
        distance[before == after] = 0.5
    return before, after, distances[0], distances[1]
