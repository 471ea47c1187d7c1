"""Crops, flips and transposition of training pairs (Chen et al., 2018) that respect the phase of the mosaic.

See in the Dark flips the packed planes as they are. Then the red sample of each cell, which lies half a cell above and
left of the blue one, comes to lie below and right of it, against the target: a mosaic that no camera has. Here the pair
is turned as a sensor would see the turned scene: the mosaic is put together again, turned, cut until it begins with the
cell again, and packed; the target is turned and cut alike. The cut costs up to `margin` packed pixels, so a crop is
taken that much larger.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from quant.phase import cell, colours, packed, phase, step, unpacked
from runtime.contract import Contract
from runtime.errors import BadOption

__all__ = ["Turn", "augment", "draw", "margin", "turned", "window"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Turn:
    """One of the eight ways to lay a square down: rows mirrored, then columns, then both exchanged."""

    rows: bool = False
    columns: bool = False
    transposed: bool = False

    def __call__(self, image: Array) -> Array:
        """A view of the image, turned."""
        image = image[:: -1 if self.rows else 1, :: -1 if self.columns else 1]
        return image.swapaxes(0, 1) if self.transposed else image


def draw(rng: np.random.Generator) -> Turn:
    """Each of the three with probability one half."""
    return Turn(*(bool(coin) for coin in rng.random(3) < 0.5))


def margin(contract: Contract) -> int:
    """By how many packed pixels a crop must be larger than what `augment` is to leave of it: one cell, or nothing."""
    return 0 if contract.cfa == "none" else step(contract)


def window(rng: np.random.Generator, *, height: int, width: int, size: int, contract: Contract) -> tuple[int, int]:
    """Top and left of a random crop of `size` packed pixels, where a cell begins, in a frame of that packed size."""
    every, most = step(contract), min(height, width)
    if not 0 < size <= most or size % every:
        kind = "a multiple of 2" if every == 2 else "a number"
        raise BadOption("crop", size, f"{kind} from {every} to {most}: the frame is {height} x {width} packed pixels")
    top, left = (int(rng.integers((side - size) // every + 1)) * every for side in (height, width))
    return top, left


def turned(x: Array, y: Array, turn: Turn, *, contract: Contract) -> tuple[Array, Array]:
    """The pair as a camera would have it of the turned scene; smaller by the rows and columns cut for the phase."""
    mosaic = turn(unpacked(x, contract))
    if contract.cfa != "none" and y.shape[:2] != (x.shape[0] * contract.pack, x.shape[1] * contract.pack):
        raise ValueError(f"a target of {y.shape} does not cover the mosaic of {x.shape}")
    size = len(cell(contract.cfa))
    row, column = phase(
        turn(colours(contract.cfa, (x.shape[0] * contract.pack, x.shape[1] * contract.pack))), contract.cfa
    )
    height, width = ((pixels - cut) // size * size for pixels, cut in zip(mosaic.shape[:2], (row, column), strict=True))
    x = packed(mosaic[row : row + height, column : column + width], contract)
    y = turn(y)
    return x, y if contract.cfa == "none" else y[row : row + height, column : column + width]


def augment(x: Array, y: Array, *, size: int, contract: Contract, rng: np.random.Generator) -> tuple[Array, Array]:
    """A crop turned at random, and `size` packed pixels of it; it must be larger than that by `margin`."""
    wanted = size + margin(contract)
    if x.shape[:2] != (wanted, wanted):
        raise ValueError(f"{size} packed pixels are left of {wanted}, not of {x.shape}")
    x, y = turned(x, y, draw(rng), contract=contract)
    if contract.cfa != "none":
        x, y = x[:size, :size], y[: size * contract.pack, : size * contract.pack]
    return np.ascontiguousarray(x), np.ascontiguousarray(y)
