"""Whole numbers of few bits in bytes: side by side where a byte holds a whole number of them, else plane by plane."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["beside", "in_layers", "layers", "size"]

Array = np.ndarray[Any, Any]

LAYER = 700  # bytes that the nodes which take a layer apart add to an ONNX file


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


def in_layers(count: int, bits: int) -> bool:
    """Whether layers make the smaller ONNX file, nodes included; else each number has 4 bits or 8."""
    return bits not in (4, 8) and _layered(count, bits) < _apart(count, bits)


def size(count: int, bits: int) -> int:
    """Bytes that so many numbers add to an ONNX file."""
    return _layered(count, bits) if in_layers(count, bits) else _apart(count, bits)


def _layered(count: int, bits: int) -> int:
    return sum(-(-count * width // 8) + LAYER for _, width in layers(bits))


def _apart(count: int, bits: int) -> int:
    return -(-count * (4 if bits <= 4 else 8) // 8)
