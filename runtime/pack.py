"""From the mosaic to the network's planes: the mirror of develop.

A network was trained on a mosaic that begins with a certain cell. Where a sensor's begins elsewhere, rows and columns
are put in front, and behind for the multiple, by mirroring the mosaic about an axis of its pattern: every row and
column of Bayer is one, so nothing but the edge itself stays single. X-Trans has an axis every third row and column:
mirrored about the outermost of them all colours fall on their own, where a mirror at the edge would mix them, and what
lies beyond the edge continues the picture, where a repeated tile would jump back by six.
Orders and offsets: Chen et al. 2018 (See in the Dark).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtime.contract import Contract
from runtime.errors import BadContract, UnsupportedRaw
from runtime.raw import Raw
from runtime.root import CUT, root

__all__ = ["GRIDS", "TILES", "Frame", "frame", "planes"]

Array = np.ndarray[Any, Any]
Offsets = tuple[tuple[int, int], ...]

# The cell a network is trained on, and the first row and column about which it is its own mirror, and then every ...
TILES = {
    "bayer": ((0, 1), (1, 2)),
    "x-trans": (
        (0, 2, 1, 2, 0, 1),
        (1, 1, 0, 1, 1, 2),
        (1, 1, 2, 1, 1, 0),
        (2, 0, 1, 0, 2, 1),
        (1, 1, 2, 1, 1, 0),
        (1, 1, 0, 1, 1, 2),
    ),
}
AXES = {"bayer": (0, 0, 1), "x-trans": (0, 2, 3)}

# Where in the cell a plane takes its pixels: one place, or one for each of 2 x 2 neighbouring pixels of the plane.
GRIDS: dict[str, dict[str, Offsets]] = {
    "bayer": {"R": ((0, 0),), "G1": ((0, 1),), "B": ((1, 1),), "G2": ((1, 0),)},
    "x-trans": {
        "R": ((0, 0), (0, 4), (3, 1), (3, 3)),
        "G": ((0, 2), (0, 5), (3, 2), (3, 5)),
        "B": ((0, 1), (0, 3), (3, 0), (3, 4)),
        "R2": ((1, 2), (2, 5), (5, 2), (4, 5)),
        "B2": ((2, 2), (1, 5), (4, 2), (5, 5)),
        "G1": ((1, 0), (1, 3), (4, 0), (4, 3)),
        "G2": ((1, 1), (1, 4), (4, 1), (4, 4)),
        "G3": ((2, 0), (2, 3), (5, 0), (5, 3)),
        "G4": ((2, 1), (2, 4), (5, 1), (5, 4)),
    },
}
BLOCK = 32  # packed rows at a time: what they need stays in the cache
LEVELS = 2**16  # values that a pixel can have


@dataclass(frozen=True, kw_only=True)
class Frame:
    """How a sensor lies in a network's input."""

    sensor_height: int
    sensor_width: int
    phase: tuple[int, int]  # rows and columns of the mosaic that are put in front
    height: int  # of the input, in packed pixels
    width: int
    top: int  # where the sensor's first pixel lies in the output picture
    left: int


def frame(raw: Raw, contract: Contract, *, path: str | Path = "the frame") -> Frame:
    """Lay a sensor into a network's input."""
    _check(raw, contract, path)
    phase = _phase(raw, path)
    size = [
        _up(ahead + pixels, contract.pack * contract.multiple) // contract.pack
        for ahead, pixels in zip(phase, raw.mosaic.shape, strict=True)
    ]
    top, left = (int(ahead * contract.scale / contract.pack) for ahead in phase)
    return Frame(
        sensor_height=raw.mosaic.shape[0],
        sensor_width=raw.mosaic.shape[1],
        phase=phase,
        height=size[0],
        width=size[1],
        top=top,
        left=left,
    )


def _check(raw: Raw, contract: Contract, path: str | Path) -> None:
    names = {"bayer": "a Bayer mosaic", "x-trans": "an X-Trans mosaic", "none": "a mosaic"}
    if contract.cfa != raw.cfa:
        wanted = {"bayer": "Bayer mosaics", "x-trans": "X-Trans mosaics", "none": "pictures, and no RAW files,"}
        other = ", and others by a network trained for them (in_channels=9)," if raw.cfa == "x-trans" else ""
        raise UnsupportedRaw(path, names[raw.cfa], f"with this model {wanted[contract.cfa]}{other}")
    if unknown := [name for name in contract.planes if name not in GRIDS[raw.cfa]]:
        problem = f"asks for planes that {names[raw.cfa]} does not have ({', '.join(unknown)})"
        raise BadContract(contract.network, problem, f"it can have {', '.join(GRIDS[raw.cfa])}")


def _phase(raw: Raw, path: str | Path) -> tuple[int, int]:
    """The fewest rows and columns in front with which the mosaic begins like the cell the network knows."""
    tile, found = np.array(TILES[raw.cfa]), np.array(raw.pattern)
    size = len(tile)
    for row, column in sorted(np.ndindex(size, size), key=sum):
        if np.array_equal(np.roll(found, (row, column), axis=(0, 1)), tile):
            return row, column
    raise UnsupportedRaw(path, f"a mosaic whose pattern is no shifted {raw.cfa} cell", "the usual patterns")


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def planes(
    raw: Raw,
    frame: Frame,
    contract: Contract,
    *,
    ratio: float,
    rows: tuple[int, int] | None = None,
    columns: tuple[int, int] | None = None,
    out: Array | None = None,
) -> Array:
    """A window of the network's input: (value - black) / (white - black), times the ratio, cut as it is used to.

    Float32 (planes, rows, columns) in the contract's order; `out` takes it if it is given.
    """
    begin, end = rows or (0, frame.height)
    left, right = columns or (0, frame.width)
    if not (0 <= begin <= end <= frame.height and 0 <= left <= right <= frame.width):
        raise ValueError(f"rows {begin} to {end} and columns {left} to {right} of {frame.height} x {frame.width}")
    shape = (len(contract.planes), end - begin, right - left)
    out = np.empty(shape, np.float32) if out is None else out
    if out.shape != shape or out.dtype != np.float32:
        raise ValueError(f"out is {out.dtype} {out.shape}, not float32 {shape}")
    grids = [GRIDS[raw.cfa][name] for name in contract.planes]
    tables = _tables(raw, contract, ratio)
    for first, band in _bands(raw, frame, contract.pack, begin, end):
        last = first + len(band) // contract.pack
        band = band[:, left * contract.pack : right * contract.pack]  # noqa: PLW2901 (the part of it that is wanted)
        for grid, plane in zip(grids, out[:, first - begin : last - begin], strict=True):
            places = zip(grid, (tables[black] for black in _blacks(raw, frame, grid)), strict=True)
            _fill(plane, band, (first, left), list(places), contract.pack)
    return out


def _tables(raw: Raw, contract: Contract, ratio: float) -> dict[float, Array]:
    """By the black level what the network sees of every value: there are fewer of them than pixels."""
    values = np.arange(LEVELS, dtype=np.float32)
    tables = {}
    for black in {black for row in raw.black for black in row}:
        light = (values - np.float32(black)) * np.float32(ratio / (raw.white - black))
        tables[black] = np.clip(root(light), *CUT) if contract.range == "root" else np.clip(light, 0, 1)
    return tables


def _bands(raw: Raw, frame: Frame, pack: int, begin: int, end: int) -> Iterator[tuple[int, Array]]:
    """The mosaic with its margins, a few packed rows at a time: the number of the first, and the pixels."""
    rows, columns = _sources(raw, frame, pack)
    left = frame.phase[1]
    right = left + frame.sensor_width
    margin = None if (left, right) == (0, len(columns)) else np.empty((BLOCK * pack, len(columns)), np.uint16)
    for first in range(begin, end, BLOCK):
        wanted = rows[first * pack : min(first + BLOCK, end) * pack]
        whole = wanted[-1] - wanted[0] + 1 == len(wanted) and (np.diff(wanted) == 1).all()
        band = raw.mosaic[wanted[0] : wanted[-1] + 1] if whole else raw.mosaic[wanted]
        if margin is not None:
            bare, band = band, margin[: len(wanted)]
            band[:, left:right] = bare
            band[:, :left] = bare[:, columns[:left]]
            band[:, right:] = bare[:, columns[right:]]
        yield first, band


def _sources(raw: Raw, frame: Frame, pack: int) -> tuple[Array, Array]:
    """For each row and each column of the padded mosaic, the sensor's row or column that is there."""
    *axes, every = AXES[raw.cfa]
    sizes = (frame.height * pack, frame.width * pack)
    rows, columns = (
        _mirror(np.arange(size) - ahead, pixels, (axis - ahead) % every, every)
        for size, ahead, pixels, axis in zip(sizes, frame.phase, raw.mosaic.shape, axes, strict=True)
    )
    return rows, columns


def _mirror(at: Array, pixels: int, first: int, every: int) -> Array:
    """Places outside 0 ... pixels - 1, mirrored about the outermost axes (`first`, and one `every` so many) inside."""
    last = first + (pixels - 1 - first) // every * every
    if last <= first:
        raise ValueError(f"{pixels} pixels are too few for a mirror")
    turned = (at - first) % (2 * (last - first))
    turned = first + np.minimum(turned, 2 * (last - first) - turned)
    return np.where((at >= 0) & (at < pixels), at, turned)


def _fill(
    plane: Array, band: Array, first: tuple[int, int], places: Sequence[tuple[tuple[int, int], Array]], pack: int
) -> None:
    """One plane, from its places in the cell and what each value is there; `first` is where in the frame it begins."""
    side = math.isqrt(len(places))
    for number, ((y, x), table) in enumerate(places):
        odd, even = divmod(number, side)
        row, column = (odd - first[0]) % side, (even - first[1]) % side  # of the band, the first of that parity
        pixels = band[pack * (row - odd) + y :: pack * side, pack * (column - even) + x :: pack * side]
        np.take(table, pixels, out=plane[row::side, column::side], mode="clip")


def _blacks(raw: Raw, frame: Frame, grid: Offsets) -> list[float]:
    """The black level at each place of a grid."""
    size, (above, before) = len(raw.black), frame.phase
    return [raw.black[(y - above) % size][(x - before) % size] for y, x in grid]
