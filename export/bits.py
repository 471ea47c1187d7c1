"""Whole numbers of few bits in bytes: side by side where a byte holds a whole number of them, else plane by plane."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["beside", "layers"]

Array = np.ndarray[Any, Any]


def beside(q: Array, width: int) -> Array:
    """Numbers of 1, 2, 4 or 8 bits as bytes: the first of each byte in its lowest bits, the last one filled with 0."""
    whole: Array = q.astype(np.int8).ravel().view(np.uint8)
    count = 8 // width
    cells: Array = np.pad(whole, (0, -whole.size % count)).reshape(-1, count) & np.uint8((1 << width) - 1)
    shifts = np.arange(count, dtype=np.uint8) * np.uint8(width)
    return np.bitwise_or.reduce(cells << shifts, axis=1).astype(np.uint8)


def layers(bits: int) -> list[tuple[int, int]]:
    """How numbers of so many bits are cut for bytes: where each part begins, and its width, a power of two.

    Three bits are the two low ones of all numbers, and then the high one of all.
    """
    parts, at = [], 0
    for width in (4, 2, 1):
        if bits & width:
            parts.append((at, width))
            at += width
    return parts
