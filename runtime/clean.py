"""What a dark frame should have been, a band of rows at a time: a TIFF, a PNG, or a RAW file as LibRaw develops it.

A TIFF whose description begins with "camera-linear" holds the camera's own colours, linear and before white balance.
All others are pictures for a display, in sRGB.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Literal, Protocol

import numpy as np
import tifffile

from runtime.errors import UnreadableFile
from runtime.inputs import RAW
from runtime.libraw import developed
from runtime.png_rows import PngRows

__all__ = ["CAMERA_LINEAR", "PICTURES", "Reference", "Space", "opened"]

Array = np.ndarray[Any, Any]
Space = Literal["camera-linear", "srgb"]

CAMERA_LINEAR: Space = "camera-linear"
PICTURES = (".tif", ".tiff", ".png")
CHANNELS = 3
ORIENTATION = 274  # TIFF's tag
EIGHT = 257  # a level of 8 bits in levels of 16
AGAIN = "copy it again"
SAVE = "save it as a TIFF of red, green and blue in 16 bits, without compression"


class Reference(Protocol):
    """A picture as the sensor lies, whose rows are asked for from the first to the last."""

    height: int
    width: int
    space: Space

    def rows(self, begin: int, end: int) -> Array:
        """Those rows, uint16 (rows, width, 3)."""
        ...


@contextmanager
def opened(path: str | Path) -> Iterator[Reference]:
    """Open the picture, or say why it can be none; a RAW file is developed first, into a file without a name."""
    with ExitStack() as stack:
        try:
            found = _opened(Path(path), stack)
        except OSError as error:
            raise UnreadableFile(path, f"cannot be read ({error.strerror})", "name a file you may read") from None
        yield found


def _opened(path: Path, stack: ExitStack) -> Reference:
    ending = path.suffix.lower()
    if ending in RAW:
        file = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 (the stack closes it)
        height, width, start = developed(path, file)
        return _Plain(path, file, height=height, width=width, start=start)
    if ending == ".png":
        return _Png(path, stack.enter_context(path.open("rb")))
    if ending in PICTURES:
        return _Tiff(path, stack)
    raise UnreadableFile(path, "is no picture by its name", f"name a {', '.join(PICTURES)} or a RAW file")


class _Plain:
    """Pixels of 16 bits as they lie in a file, from `start` on."""

    space: Space = "srgb"

    def __init__(
        self,
        path: Path,
        file: IO[bytes] | tifffile.FileHandle,
        *,
        height: int,
        width: int,
        start: int,
        order: str = "<",
    ) -> None:
        self.path, self.file, self.height, self.width = path, file, height, width
        self.start, self.kind = start, np.dtype(f"{order}u2")

    def rows(self, begin: int, end: int) -> Array:
        """Those rows."""
        line = self.width * CHANNELS * self.kind.itemsize
        self.file.seek(self.start + begin * line)
        data = self.file.read((end - begin) * line)
        if len(data) < (end - begin) * line:
            raise UnreadableFile(self.path, "is cut short", AGAIN)
        found = np.frombuffer(data, self.kind).reshape(end - begin, self.width, CHANNELS)
        return found.astype(np.uint16, copy=False)


class _Png:
    """A PNG; its rows can be had only in order."""

    space: Space = "srgb"

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._png = PngRows(file, path=path)
        self.height, self.width = self._png.height, self._png.width

    def rows(self, begin: int, end: int) -> Array:
        """Those rows, the next ones."""
        if begin != self._png.at:
            raise ValueError(f"row {self._png.at} comes next, not {begin}")
        levels = self._png.read(end - begin)
        return levels if levels.dtype == np.uint16 else levels.astype(np.uint16) * np.uint16(EIGHT)


class _Tiff:
    """A TIFF in strips, of which the one last read is kept."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self.path = path
        try:
            self._file = stack.enter_context(tifffile.TiffFile(path))
            page: Any = self._file.pages[0]
            description = str(page.description)
        except OSError:
            raise
        except Exception as error:  # tifffile has no one kind for what a damaged file may do to it
            raise UnreadableFile(path, f"is no TIFF that can be read ({error})", AGAIN) from None
        plain = page.photometric == tifffile.PHOTOMETRIC.RGB and page.planarconfig == tifffile.PLANARCONFIG.CONTIG
        if not plain or page.is_tiled or page.dtype not in (np.uint8, np.uint16) or page.shape[2:] != (CHANNELS,):
            raise UnreadableFile(path, f"is a TIFF of another kind ({page.dtype} {page.shape})", SAVE)
        if (turn := page.tags.get(ORIENTATION)) is not None and turn.value != 1:
            raise UnreadableFile(path, f"is to be turned for looking (orientation {turn.value})", "save it as it lies")
        self._page, (self.height, self.width) = page, page.shape[:2]
        self.space: Space = CAMERA_LINEAR if description.startswith(CAMERA_LINEAR) else "srgb"
        self._strip: tuple[int, Array] | None = None

    def rows(self, begin: int, end: int) -> Array:
        """Those rows."""
        page = self._page
        if page.compression == tifffile.COMPRESSION.NONE and page.is_contiguous and page.dtype == np.uint16:
            size = {"height": self.height, "width": self.width}
            start, order = page.dataoffsets[0], self._file.byteorder
            return _Plain(self.path, self._file.filehandle, **size, start=start, order=order).rows(begin, end)
        out = np.empty((end - begin, self.width, CHANNELS), np.uint16)
        at = begin
        while at < end:
            first, strip = self._strip_of(at)
            part = strip[at - first : end - first]
            out[at - begin : at - begin + len(part)] = part
            at += len(part)
        return out

    def _strip_of(self, row: int) -> tuple[int, Array]:
        """The strip that holds a row, in 16 bits, and the row it begins with."""
        first = row // self._page.rowsperstrip * self._page.rowsperstrip
        if self._strip is None or self._strip[0] != first:
            self._strip = None  # it is not held beside the next one
            self._strip = first, self._read(first // self._page.rowsperstrip)
        return self._strip

    def _read(self, index: int) -> Array:
        page = self._page
        try:
            self._file.filehandle.seek(page.dataoffsets[index])
            data = self._file.filehandle.read(page.databytecounts[index])
            decoded, _, _ = page.decode(data, index)
            strip = np.asarray(decoded).reshape(-1, self.width, CHANNELS)
            rows = min(page.rowsperstrip, self.height - index * page.rowsperstrip)
            if len(strip) < rows:
                raise ValueError("too few rows")
        except OSError:
            raise
        except Exception as error:  # of any decoder of any compression
            raise UnreadableFile(self.path, f"has pixels that cannot be read ({error})", SAVE) from None
        return strip if strip.dtype == np.uint16 else strip.astype(np.uint16) * np.uint16(EIGHT)
