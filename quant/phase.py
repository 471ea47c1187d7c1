"""Mosaics and packed planes, both ways, always beginning with the cell a network is trained on.

Whatever is done to a mosaic moves its cell: cut one row or mirror it, and red begins elsewhere. What was done is undone
by cutting, never by padding: training needs no edge that was made up.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from runtime.contract import Contract
from runtime.pack import GRIDS, TILES
from runtime.raw import Raw

__all__ = ["aligned", "cell", "colours", "packed", "phase", "step", "unpacked"]

Array = np.ndarray[Any, Any]


def cell(cfa: str) -> Array:
    """The colours of one cell as the network knows it; a picture without a mosaic is a cell of one pixel."""
    return np.array(TILES.get(cfa, ((0,),)))


def step(contract: Contract) -> int:
    """Where a crop may begin, in packed pixels: at multiples of this the cell begins anew."""
    return len(cell(contract.cfa)) // contract.pack


def colours(cfa: str, shape: tuple[int, ...]) -> Array:
    """A small mosaic's colours with the phase of a large one: two cells, and what the large one has over."""
    tile = cell(cfa)
    rows, columns = (np.arange(2 * len(tile) + pixels % len(tile)) % len(tile) for pixels in shape[:2])
    return np.asarray(tile[np.ix_(rows, columns)])


def phase(found: Array, cfa: str) -> tuple[int, int]:
    """The fewest rows and columns to cut so that `found` begins with the cell; ValueError if nothing helps."""
    tile = cell(cfa)
    size = len(tile)
    for row, column in sorted(np.ndindex(size, size), key=sum):
        if np.array_equal(found[row : row + size, column : column + size], tile):
            return row, column
    raise ValueError(f"no part of the mosaic begins like a {cfa} cell")


def aligned(raw: Raw) -> tuple[Raw, int, int]:
    """The frame cut to whole cells, and the row and column of the sensor where it now begins."""
    size = len(raw.pattern)
    top, left = phase(np.tile(np.array(raw.pattern), (2, 2)), raw.cfa)
    height, width = (
        (pixels - ahead) // size * size for pixels, ahead in zip(raw.mosaic.shape, (top, left), strict=True)
    )
    black = np.roll(np.array(raw.black), (-top, -left), axis=(0, 1))
    cut = replace(
        raw,
        mosaic=raw.mosaic[top : top + height, left : left + width],
        pattern=TILES[raw.cfa],
        black=tuple(tuple(map(float, row)) for row in black),
    )
    return cut, top, left


def packed(mosaic: Array, contract: Contract) -> Array:
    """Planes (h, w, planes) of a mosaic that begins with the cell and holds whole ones; no value is changed."""
    if contract.cfa == "none":
        return mosaic
    planes = np.empty((*_whole(mosaic.shape, contract), len(contract.planes)), mosaic.dtype)
    for number, name in enumerate(contract.planes):
        for sites, pixels in _sites(contract, name):
            planes[(*pixels, number)] = mosaic[sites]
    return planes


def unpacked(planes: Array, contract: Contract) -> Array:
    """The mosaic that has these planes: the inverse of `packed`."""
    if contract.cfa == "none":
        return planes
    height, width = (side * contract.pack for side in planes.shape[:2])
    _whole((height, width), contract)
    mosaic = np.empty((height, width), planes.dtype)
    for number, name in enumerate(contract.planes):
        for sites, pixels in _sites(contract, name):
            mosaic[sites] = planes[(*pixels, number)]
    return mosaic


def _whole(shape: tuple[int, ...], contract: Contract) -> tuple[int, ...]:
    """The packed size of a mosaic of whole cells."""
    size = len(cell(contract.cfa))
    if any(pixels % size for pixels in shape[:2]):
        raise ValueError(f"{shape} are no whole cells of {size} x {size}")
    return tuple(pixels // contract.pack for pixels in shape[:2])


def _sites(contract: Contract, name: str) -> list[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """For each place of a plane's grid: where it lies in the mosaic, and which of the plane's pixels are of it."""
    grid = GRIDS[contract.cfa][name]
    side = math.isqrt(len(grid))
    every = side * contract.pack
    return [
        ((slice(y, None, every), slice(x, None, every)), (slice(i // side, None, side), slice(i % side, None, side)))
        for i, (y, x) in enumerate(grid)
    ]
