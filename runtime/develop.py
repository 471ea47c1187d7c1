"""What a network says, made a picture: the steps of packing, undone from the last to the first.

Packing takes the black away, divides by white minus black, multiplies by the ratio and cuts at 1. A network that
answers in sRGB has done the rest. One that stays in the camera's colours leaves it to be done here, as a RAW
converter does it: white balance, the cut at white, the matrix to sRGB, the curve of a display.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal

import numpy as np

from runtime import srgb
from runtime.contract import Contract
from runtime.pack import GRIDS
from runtime.raw import Raw

__all__ = ["Look", "amplified", "develop", "linear", "look", "rotated"]

Array = np.ndarray[Any, Any]

TOP = 65535  # the picture's white
BLOCK = 2**17  # pixels developed at a time: fewer, and threads wait for each other between NumPy's steps
ROOM = BLOCK * (6 * 4 + 8 + 2)  # bytes that each thread works in


@dataclass(frozen=True, kw_only=True)
class Look:
    """What stands between a network's answer for one frame and the picture of it."""

    output: Literal["srgb", "camera-linear"]
    gains: tuple[float, float, float]  # white balance; the least is 1, so that what saturates reaches white
    cam2rgb: tuple[tuple[float, ...], ...]
    cfa: str
    planes: tuple[str, ...]
    pack: int
    rooted: bool = False  # what comes is not light but its root


def look(raw: Raw, contract: Contract) -> Look:
    """How that network's answer for that frame is developed, as light even if it is a root."""
    least = min(raw.wb)
    red, green, blue = (float(gain / least) for gain in raw.wb)
    return Look(
        output="camera-linear" if contract.output.startswith("camera") else "srgb",
        gains=(red, green, blue),
        cam2rgb=tuple(tuple(float(x) for x in row) for row in raw.cam2rgb),
        cfa=contract.cfa,
        planes=contract.planes,
        pack=contract.pack,
    )


def develop(y: Array, look: Look, out: Array, *, threads: int = 1) -> None:
    """Fill `out`, uint16 (h, w, channels) of any strides, from a network's float32 (channels, h, w)."""
    step = _display if look.output == "camera-linear" else _levels
    _by_blocks(y, out, partial(step, look=look), threads)


def linear(y: Array, look: Look, out: Array, *, threads: int = 1) -> None:
    """Fill `out` with light as it is, 0 to 1 as 0 to 65535: the camera's own colours, for a linear DNG."""
    _by_blocks(y, out, partial(_levels, look=look), threads)


def amplified(planes: Array, look: Look) -> Array:
    """The picture without a network, in the space of the network's answer: the planes enlarged to full colour.

    Beside the planes' edges the outermost samples are repeated: one packed pixel around makes a strip exact.
    """
    places = [_place(look, name) for name in look.planes]
    _, height, width = planes.shape
    colours = np.empty((3, height * look.pack, width * look.pack), np.float32)
    for colour, letter in enumerate("RGB"):
        same = [i for i, name in enumerate(look.planes) if name[0] == letter]
        colours[colour] = 0
        for i in same:
            colours[colour] += _enlarged(planes[i], places[i], look.pack)
        colours[colour] /= len(same)
    if look.output == "camera-linear":
        return colours
    shown = np.empty(colours.shape, np.uint16)
    _by_blocks(colours, shown.transpose(1, 2, 0), partial(_display, look=look), 1)
    return np.divide(shown, np.float32(TOP), out=colours)


def rotated(
    shape: tuple[int, int], orientation: int, *, channels: int = 3, pixels: Array | None = None
) -> tuple[Array, Array]:
    """An upright picture for a sensor of that height and width, and the view of it through which the sensor writes.

    `orientation` is EXIF's: 1 as it is, 2 mirrored, 3 upside down, 4 both, 5 to 8 with rows and columns exchanged. The
    picture is new, or lies in these `pixels`.
    """
    if not 1 <= orientation <= 8:
        raise ValueError(f"an orientation is 1 to 8, not {orientation}")
    lying = orientation >= 5
    upright = (*(shape[::-1] if lying else shape), channels)
    picture = np.empty(upright, np.uint16) if pixels is None else pixels.reshape(upright)
    view = picture[:: -1 if orientation in (3, 4, 7, 8) else 1, :: -1 if orientation in (2, 3, 6, 7) else 1]
    return picture, view.transpose(1, 0, 2) if lying else view


class _Room:
    """One thread's buffers; what is worked on is a leading part of each."""

    def __init__(self, rows: int, width: int) -> None:
        self.light: Array = np.empty((3, rows, width), np.float32)
        self.sum: Array = np.empty((rows, width), np.float32)
        self.part: Array = np.empty((rows, width), np.float32)
        # NumPy takes the greater of two arrays faster than the greater of an array and a number.
        self.zeros: Array = np.zeros((rows, width), np.float32)
        self.index: Array = np.empty((rows, width), np.intp)
        self.levels: Array = np.empty((rows, width), np.uint16)

    def cut(self, values: Array, limit: float, into: Array, *, rooted: bool) -> None:
        """Light between 0 and `limit`, which may come as its root; what is no number becomes 0."""
        np.fmax(values, self.zeros[: len(into)], out=into)
        np.minimum(into, np.float32(math.sqrt(limit) if rooted else limit), out=into)
        if rooted:
            np.multiply(into, into, out=into)


Step = Callable[[Array, Array, _Room], None]


def _by_blocks(y: Array, out: Array, step: Step, threads: int) -> None:
    """Take `step` on blocks of rows that fit the cache, on so many threads."""
    _, height, width = y.shape
    if out.shape != (height, width, len(y)) or out.dtype != np.uint16:
        raise ValueError(f"{y.shape} cannot be developed into {out.dtype} {out.shape}")
    rows = min(max(BLOCK // max(width, 1), 1), max(height, 1))

    tops = iter(range(0, height, rows))

    def work(_: int = 0) -> None:
        room = _Room(rows, width)
        for top in tops:  # of all threads, each the next one
            step(y[:, top : top + rows], out[top : top + rows], room)

    if threads == 1:
        return work()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))
    return None


def _levels(y: Array, out: Array, room: _Room, *, look: Look) -> None:
    """0 to 1 as 0 to 65535."""
    values = room.sum[: y.shape[1]]
    for channel, plane in enumerate(y):
        room.cut(plane, 1, values, rooted=look.rooted)
        np.multiply(values, TOP, out=values)
        np.add(values, 0.5, out=values)
        levels = room.levels[: len(values)]
        np.copyto(levels, values, casting="unsafe")
        out[..., channel] = levels


def _display(y: Array, out: Array, room: _Room, *, look: Look) -> None:
    """The camera's colours as a display's: white balance, the cut at white, the matrix, the curve."""
    rows = y.shape[1]
    light, values, part, index, levels = (
        a[..., :rows, :] for a in (room.light, room.sum, room.part, room.index, room.levels)
    )
    for plane, gain, into in zip(y, look.gains, light, strict=True):
        # Cut before the gain, which the matrix has. Saturated in all colours is white: no gain is below 1.
        room.cut(plane, 1 / gain, into, rooted=look.rooted)
    for channel, row in enumerate(_to_display(look)):
        np.multiply(light[0], row[0], out=values)
        for plane, factor in zip(light[1:], row[1:], strict=True):
            # Not a product of matrices: a library may round that otherwise for a strip than for the frame.
            np.multiply(plane, factor, out=part)
            np.add(values, part, out=values)
        np.fmax(values, room.zeros[:rows], out=values)
        np.sqrt(values, out=values)
        np.copyto(index, values, casting="unsafe")
        np.take(_curve(), index, out=levels, mode="clip")
        out[..., channel] = levels


def _to_display(look: Look) -> Array:
    """The camera's light to a display's, whose root counts the entries of the curve's table."""
    matrix: Array = np.array(look.cam2rgb) * np.array(look.gains) * float(len(_curve())) ** 2
    return matrix.astype(np.float32)


@cache
def _curve() -> Array:
    """The sRGB curve's level for every 65536th of the *square root* of light, from its middle.

    Against the root the curve is nowhere steeper than 1.45, against light itself 12.9 at the dark end: 65536 entries
    are within one level this way.
    """
    light = ((np.arange(TOP + 1) + 0.5) / (TOP + 1)) ** 2
    return np.asarray(srgb.shown(light) * TOP + 0.5).astype(np.uint16)


def _place(look: Look, name: str) -> tuple[float, float]:
    """Where a plane's samples lie in each packed pixel; of two places that X-Trans takes in turn, the middle."""
    row, column = np.mean(np.mod(GRIDS[look.cfa][name], look.pack), axis=0)
    return float(row), float(column)


def _enlarged(plane: Array, place: tuple[float, float], pack: int) -> Array:
    """A plane at every pixel of the mosaic, in straight lines between its samples at `place` in each packed pixel."""
    for axis, at in enumerate(place):
        plane = _along(plane, axis, at, pack)
    return plane


def _along(plane: Array, axis: int, at: float, pack: int) -> Array:
    count = plane.shape[axis]
    padded = np.moveaxis(np.pad(plane, [(1, 1) if i == axis else (0, 0) for i in range(2)], mode="edge"), axis, 0)
    out = np.empty((count * pack, padded.shape[1]), np.float32)
    for phase in range(pack):
        before = math.floor((phase - at) / pack)
        weight = (phase - at) / pack - before
        first = padded[before + 1 :][:count]
        out[phase::pack] = first if weight == 0 else (1 - weight) * first + weight * padded[before + 2 :][:count]
    return np.moveaxis(out, 0, axis)
