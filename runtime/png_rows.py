"""A PNG read a band of rows at a time, in all its bits: Pillow has 8 of the 16, and the whole picture at once.

A filtered byte is the difference from what its neighbours foretell: left, above, the mean of both, or Paeth's pick
(RFC 2083, 6). Left and above must be known first, so rows are undone side by side, each one pixel behind the one above:
all pixels on that slanted line at once.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from runtime.errors import UnreadableFile
from runtime.png import SIGNATURE

__all__ = ["PngRows", "unfiltered"]

Array = np.ndarray[Any, Any]
ROWS = 64  # undone side by side
INPUT = 2**16  # deflated bytes at a time
DENSEST = 1032  # bytes that one deflated byte can stand for
COLOUR = 2  # red, green and blue
LEFT, ABOVE, MEAN, PAETH = 1, 2, 3, 4
SAVE = "save it as a PNG of red, green and blue in 16 bits, not interlaced"
AGAIN = "copy it again"


class PngRows:
    """A PNG of red, green and blue in 8 or 16 bits, from its first row to its last."""

    def __init__(self, file: IO[bytes], *, path: str | Path) -> None:
        self.file, self.path, self.at = file, path, 0
        if file.read(len(SIGNATURE)) != SIGNATURE:
            raise UnreadableFile(path, "is no PNG", AGAIN)
        length, name = self._chunk()
        if name != b"IHDR" or length != 13:
            raise UnreadableFile(path, "is no PNG", AGAIN)
        self.width, self.height, bits, kind, _, _, interlaced = struct.unpack(">IIBBBBB", self._exactly(13))
        if kind != COLOUR or bits not in (8, 16) or interlaced or not self.width or not self.height:
            raise UnreadableFile(path, f"is a PNG of another kind (colour type {kind}, {bits} bits)", SAVE)
        self._exactly(4)
        self._step = 3 * bits // 8
        if (self.width * self._step + 1) * self.height > DENSEST * _size(file):
            raise self._damaged()  # before memory is taken for what no such file can hold
        self._inflate = zlib.decompressobj()
        self._left = self._sum = 0  # bytes of this IDAT chunk, and the checksum of those before
        self._above: Array = np.zeros(self.width * self._step, np.uint8)

    def read(self, count: int) -> Array:
        """The next rows, (rows, width, 3), uint8 or uint16 as the file has them."""
        if not 0 < count <= self.height - self.at:
            raise ValueError(f"{count} rows from row {self.at} of {self.height}")
        made = np.empty((count, self.width * self._step), np.uint8)
        for top in range(0, count, ROWS):
            part = made[top : top + ROWS]
            lines = np.frombuffer(self._inflated(part.size + len(part)), np.uint8).reshape(len(part), -1)
            part[:] = unfiltered(lines[:, 1:], lines[:, 0], above=self._above, step=self._step, path=self.path)
            self._above = part[-1].copy()
        self.at += count
        if self.at == self.height:
            self._end()
        if self._step == 3:
            return made.reshape(count, self.width, 3)
        return made.view(">u2").astype(np.uint16).reshape(count, self.width, 3)

    def _inflated(self, size: int) -> bytes:
        """The next bytes of the picture."""
        out = bytearray()
        waiting = self._inflate.unconsumed_tail
        while len(out) < size:
            if not waiting:
                waiting = self._data()
            try:
                out += self._inflate.decompress(waiting, size - len(out))
            except zlib.error:
                raise self._damaged() from None
            waiting = self._inflate.unconsumed_tail
            if self._inflate.eof and len(out) < size:
                raise self._damaged()
        return bytes(out)

    def _end(self) -> None:
        """Read what comes after the last row: the checksums."""
        while not self._inflate.eof:
            try:
                more = self._inflate.decompress(self._inflate.unconsumed_tail or self._data(), 1)
            except zlib.error:
                raise self._damaged() from None
            if more:
                raise self._damaged()
        while self._left:
            self._data()

    def _data(self) -> bytes:
        """Some more deflated bytes, from whichever chunk they are in."""
        while not self._left:
            self._left, name = self._chunk()
            self._sum = zlib.crc32(name)
            if name == b"IEND":
                raise self._damaged()
            if name != b"IDAT":
                self.file.seek(self._left + 4, 1)
                self._left = 0
            elif not self._left:
                self._exactly(4)
        data = self._exactly(min(self._left, INPUT))
        self._left -= len(data)
        self._sum = zlib.crc32(data, self._sum)
        if not self._left and int.from_bytes(self._exactly(4), "big") != self._sum:
            raise self._damaged()
        return data

    def _chunk(self) -> tuple[int, bytes]:
        length, name = struct.unpack(">I4s", self._exactly(8))
        return length, name

    def _exactly(self, size: int) -> bytes:
        data = self.file.read(size)
        if len(data) < size:
            raise self._damaged()
        return data

    def _damaged(self) -> UnreadableFile:
        return UnreadableFile(self.path, "is cut short or damaged", AGAIN)


def _size(file: IO[bytes]) -> int:
    """Bytes of the whole file, which is left where it was."""
    here = file.tell()
    size = file.seek(0, 2)
    file.seek(here)
    return size


def unfiltered(lines: Array, filters: Array, *, above: Array, step: int, path: str | Path) -> Array:
    """The bytes of some rows (rows, width * step); `above` is the row before them, `step` the bytes of a pixel."""
    if filters.max() > PAETH:
        raise UnreadableFile(path, f"has a row of the unknown filter {filters.max()}", AGAIN)
    if (filters == LEFT).all():  # as this project writes them
        return np.cumsum(lines.reshape(len(lines), -1, step), axis=1, dtype=np.uint8).reshape(lines.shape)
    rows, width = len(lines), lines.shape[1] // step
    # One column and one row of nothing around; time t undoes pixel t - row of every row.
    made = np.zeros((rows + 1, width + 1, step), np.int16)
    made[0, 1:] = above.reshape(width, step)
    given = lines.reshape(rows, width, step)
    weights = _choice(filters)
    for time in range(width + rows - 1):
        first, after = max(time - width + 1, 0), min(time + 1, rows)
        at = np.arange(first, after)
        x = time - at
        left, up, corner = made[at + 1, x], made[at, x + 1], made[at, x]
        foretold = [left, up, (left + up) >> 1, _paeth(left, up, corner)]
        guess = sum(w[first:after] * values for w, values in zip(weights, foretold, strict=True))
        made[at + 1, x + 1] = (given[at, x] + guess) & 255
    return made[1:, 1:].astype(np.uint8).reshape(lines.shape)


def _choice(filters: Array) -> list[Array]:
    """For each filter but the empty one, 1 in the rows that use it."""
    return [(filters == kind).astype(np.int16)[:, None] for kind in (LEFT, ABOVE, MEAN, PAETH)]


def _paeth(left: Array, up: Array, corner: Array) -> Array:
    """Of the three the one nearest to left + up - corner; left before up before corner."""
    to_left, to_up, to_corner = np.abs(up - corner), np.abs(left - corner), np.abs(left + up - 2 * corner)
    picked = np.where(to_up <= to_corner, up, corner)
    return np.where((to_left <= to_up) & (to_left <= to_corner), left, picked)
