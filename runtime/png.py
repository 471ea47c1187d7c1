"""PNG, written as fast as the network runs: rows filtered and deflated in blocks, several at a time.

Measured on a frame with a trace of noise in 16 bits: deflate that only looks for runs (Z_RLE) is two to three times
as fast as level 1 and the file no larger, since the low bytes repeat nothing; of the filters, left and up are equal.
Every block is deflated on its own and ends on a byte, so that blocks put together are one stream (RFC 1950, 1951).
"""

from __future__ import annotations

import os
import struct
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, Any

import numpy as np

__all__ = ["adler_of_both", "eight", "text", "write"]

Array = np.ndarray[Any, Any]
Chunk = tuple[bytes, bytes]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
BLOCK = 2**20  # bytes of picture in a block: enough to deflate well, little beside the picture
LEFT = 1  # the filter: every byte less the one a pixel before
BASE = 65521  # of Adler-32
GREY, COLOUR = 0, 2


def write(
    file: IO[bytes], pixels: Array, *, bits: int = 16, chunks: Iterable[Chunk] = (), threads: int | None = None
) -> None:
    """Write uint16 (height, width) or (height, width, 3) in 16 or 8 bits; `chunks` go before the picture."""
    height, width = pixels.shape[:2]
    file.write(SIGNATURE)
    kind = COLOUR if pixels.ndim == 3 else GREY
    _chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))
    for name, data in chunks:
        _chunk(file, name, data)
    for data in _stream(pixels, bits, threads or os.cpu_count() or 1):
        _chunk(file, b"IDAT", data)
    _chunk(file, b"IEND", b"")


def text(keyword: str, words: str) -> Chunk:
    """Words under a keyword: tEXt where its alphabet suffices, iTXt where not."""
    words = words.replace("\0", "")
    try:
        return b"tEXt", keyword.encode("latin-1") + b"\0" + words.encode("latin-1")
    except UnicodeEncodeError:
        return b"iTXt", keyword.encode("latin-1") + bytes(5) + words.encode("utf-8", "replace")


def eight(pixels: Array) -> Array:
    """16 bits to the nearest of 8: (x + 128) // 257, kept from overflowing."""
    levels = np.minimum(pixels, np.uint16(65535 - 128))
    levels += np.uint16(128)
    levels //= np.uint16(257)
    return levels.astype(np.uint8)


def adler_of_both(first: int, second: int, length: int) -> int:
    """Adler-32 of two pieces put together, from those of each and the length of the second.

    The low half is 1 plus the sum of the bytes; the high half sums the low half after every byte, and so gains what
    the first piece brought `length` times over.
    """
    brought = (first & 0xFFFF) - 1
    low = ((second & 0xFFFF) + brought) % BASE
    high = ((first >> 16) + (second >> 16) + brought * length) % BASE
    return high << 16 | low


def _chunk(file: IO[bytes], name: bytes, data: bytes) -> None:
    file.write(struct.pack(">I", len(data)) + name)
    file.write(data)
    file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(name))))


def _stream(pixels: Array, bits: int, threads: int) -> Iterator[bytes]:
    """The zlib stream of the picture, in pieces; few blocks are ever in flight."""
    height, width = pixels.shape[:2]
    rows = max(BLOCK // (width * (bits // 8) * (pixels.size // (height * width))), 1)
    tops = deque(range(0, height, rows))
    yield b"\x78\x01"  # deflate, a window of 32 KiB, made fast
    adler = 1
    waiting: deque[Future[tuple[bytes, int, int]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        while tops or waiting:
            while tops and len(waiting) < 2 * threads:
                top = tops.popleft()
                waiting.append(pool.submit(_deflated, pixels[top : top + rows], bits, last=not tops))
            data, of_block, length = waiting.popleft().result()
            adler = adler_of_both(adler, of_block, length)
            yield data
    yield struct.pack(">I", adler)


def _deflated(block: Array, bits: int, *, last: bool) -> tuple[bytes, int, int]:
    """A block of rows deflated, the Adler-32 of what went in, and its length."""
    filtered = _filtered(block, bits)
    deflate = zlib.compressobj(1, zlib.DEFLATED, -15, 9, zlib.Z_RLE)
    data = deflate.compress(filtered.data) + deflate.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)
    return data, zlib.adler32(filtered.data), filtered.size


def _filtered(block: Array, bits: int) -> Array:
    """Rows of bytes as PNG orders them, each after the number of its filter."""
    levels = eight(block) if bits == 8 else block.astype(">u2")
    plain = levels.reshape(len(block), -1).view(np.uint8)
    step = plain.shape[1] // block.shape[1]
    rows = np.empty((len(plain), plain.shape[1] + 1), np.uint8)
    rows[:, 0] = LEFT
    rows[:, 1 : step + 1] = plain[:, :step]
    np.subtract(plain[:, step:], plain[:, :-step], out=rows[:, step + 1 :])
    return rows
