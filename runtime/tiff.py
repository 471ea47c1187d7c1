"""TIFF without compression, written straight through: header, directories, pixels. A DNG is one of these.

An EXIF block is a TIFF without pixels, its offsets counted from its start. So the file begins with the block as it
is, and behind it comes a new main directory: the block's entries, which stay true, and those of the picture.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import numpy as np

from runtime.errors import FileError
from runtime.png import eight

__all__ = ["Entry", "begin", "byte", "long", "rational", "rows", "short", "text", "undefined", "write"]

Array = np.ndarray[Any, Any]
Entry = tuple[int, int, bytes]  # type, number of values, and those, little-endian

HEADER = b"II*\0"
STRIP = 273  # where the pixels lie
LIMIT = 2**32 - 2**20  # offsets have 32 bits, and something lies before the pixels
ROWS = 2**20  # bytes written at a time


def byte(*values: int) -> Entry:
    """Bytes."""
    return 1, len(values), bytes(values)


def text(words: str) -> Entry:
    """Words: ASCII as the standard wants it, UTF-8 as everybody reads it."""
    data = words.replace("\0", "").encode("utf-8", "replace") + b"\0"
    return 2, len(data), data


def short(*values: int) -> Entry:
    """Numbers of 16 bits."""
    return 3, len(values), struct.pack(f"<{len(values)}H", *values)


def long(*values: int) -> Entry:
    """Numbers of 32 bits."""
    return 4, len(values), struct.pack(f"<{len(values)}I", *values)


def rational(values: Iterable[float], *, signed: bool = False) -> Entry:
    """Fractions of two numbers, to a millionth."""
    pairs = [Fraction(round(float(value) * 10**6), 10**6) for value in values]
    flat = [n for pair in pairs for n in (pair.numerator, pair.denominator)]
    return (10 if signed else 5), len(pairs), struct.pack(f"<{len(flat)}{'i' if signed else 'I'}", *flat)


def undefined(data: bytes) -> Entry:
    """Bytes that mean something to somebody."""
    return 7, len(data), data


def write(
    file: IO[bytes],
    pixels: Array,
    *,
    path: str | Path,
    tags: Mapping[int, Entry],
    exif: bytes,
    bits: int = 16,
    through: Callable[[Array], Array] | None = None,
) -> None:
    """Write uint16 (height, width) or (height, width, 3), each block of rows taken `through` a function first.

    `path` is for the message if the picture is too large.
    """
    begin(file, pixels.shape, path=path, tags=tags, exif=exif, bits=bits)
    rows(file, pixels, bits=bits, through=through)


def begin(
    file: IO[bytes],
    shape: tuple[int, ...],
    *,
    path: str | Path,
    tags: Mapping[int, Entry],
    exif: bytes,
    bits: int = 16,
) -> None:
    """Write what comes before the pixels of a picture of that shape."""
    size = math.prod(shape) * bits // 8
    if size > LIMIT:
        raise FileError(path, f"would be {size / 2**30:.1f} GiB and TIFF ends at 4", "use --format png")
    height, width = shape[:2]
    channels = 3 if len(shape) == 3 else 1
    plain = {
        **{254: long(0), 256: long(width), 257: long(height), 258: short(*[bits] * channels), 259: short(1)},
        **{262: short(2 if channels == 3 else 1), 274: short(1), 277: short(channels), 278: long(height)},
        **{279: long(size), 284: short(1)},
    }
    file.write(_head({**plain, **tags}, exif))


def rows(file: IO[bytes], pixels: Array, *, bits: int = 16, through: Callable[[Array], Array] | None = None) -> None:
    """Write the next rows."""
    step = max(ROWS // pixels[:1].nbytes, 1)
    for top in range(0, len(pixels), step):
        part = pixels[top : top + step]
        part = through(part) if through else part
        part = eight(part) if bits == 8 else part.astype("<u2", copy=False)
        file.write(np.ascontiguousarray(part).data)


def _head(tags: Mapping[int, Entry], exif: bytes) -> bytes:
    """Everything before the pixels."""
    entries = _entries(exif)
    exif += bytes(len(exif) % 2)
    count = len(entries.keys() | tags.keys() | {STRIP})
    table = len(exif)
    at = table + 2 + 12 * count + 4
    values = b""
    for tag, (kind, number, data) in tags.items():
        place = data
        if len(data) > 4:
            place = struct.pack("<I", at + len(values))
            values += data + bytes(len(data) % 2)
        entries[tag] = struct.pack("<HHI", tag, kind, number) + place.ljust(4, b"\0")
    values += bytes(-(at + len(values)) % 16)
    entries[STRIP] = struct.pack("<HHII", STRIP, 4, 1, at + len(values))
    directory = struct.pack("<H", count) + b"".join(entry for _, entry in sorted(entries.items())) + bytes(4)
    return HEADER + struct.pack("<I", table) + exif[8:] + directory + values


def _entries(exif: bytes) -> dict[int, bytes]:
    """The main directory of an EXIF block: each tag's twelve bytes."""
    if exif[:4] != HEADER or len(exif) < 10:
        raise ValueError("this is no EXIF block, or none of ours")
    (at,) = struct.unpack_from("<I", exif, 4)
    (count,) = struct.unpack_from("<H", exif, at)
    rows = (exif[place : place + 12] for place in range(at + 2, at + 2 + 12 * count, 12))
    return {int.from_bytes(row[:2], "little"): row for row in rows}
