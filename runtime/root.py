"""Light by its square root, for networks that see and answer so.

Noise of photons grows as the root of light: under a root it is the same everywhere (Anscombe 1948), and steps of
8 bits are as fine in the shadows as those of a display, where steps of light itself would show as bands.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from runtime.contract import Contract

__all__ = ["CUT", "answer", "root", "square", "squared"]

Array = np.ndarray[Any, Any]

# What a network sees of amplified light, under the root. Noise falls below black and beyond white: cut there, the
# mean of what is left would be too bright in the shadows and too dark in the lights.
CUT = (-0.5, 1.25)
ROWS = 64  # at a time: they stay in a core's cache


def root(light: Array, *, out: Array | None = None) -> Array:
    """The root, and of less than nothing the negative root of what is missing."""
    made = np.sqrt(np.abs(light), dtype=np.float32)
    return np.copysign(made, light, out=made if out is None else out)


def squared(rooted: Array) -> Array:
    """The light that has this root."""
    return np.asarray(rooted * np.abs(rooted))


def square(picture: Array) -> None:
    """The same of planes (channels, rows, columns) in place, without a second picture in memory."""
    for plane in picture:
        for top in range(0, len(plane), ROWS):
            rows = plane[top : top + ROWS]
            np.multiply(rows, np.abs(rows), out=rows)


def answer(colours: Array, contract: Contract) -> Array:
    """The camera's colours, as a network of that contract should tell them."""
    return root(colours) if contract.output == "camera-root" else colours
