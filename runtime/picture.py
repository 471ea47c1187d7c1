"""A picture becomes a file: whole or absent, and saying what its numbers mean and how it was taken."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from PIL import Image

from runtime import dng, icc, png, tiff
from runtime.atomic import writing
from runtime.errors import BadOption, FileError
from runtime.exif import LONGEST
from runtime.exif import write as exif_block
from runtime.raw import About, Raw

__all__ = ["FORMATS", "JPEG_ROOM", "STREAMED", "format_of", "save", "streamed", "suffix"]

Array = np.ndarray[Any, Any]

# A format's suffixes, the one it is given first.
FORMATS = {
    "png": (".png",),
    "png8": (".png",),
    "tiff": (".tif", ".tiff"),
    "tiff8": (".tif", ".tiff"),
    "jpeg": (".jpg", ".jpeg"),
    "dng": (".dng",),
}
STREAMED = ("tiff", "tiff8")  # those that can be written while the picture is made
PROFILE = 34675  # TIFF's tag
JPEG_SIDE = 65500  # libjpeg's longest
QUALITY = 95
JPEG_ROOM = 8  # bytes a pixel beside the picture: Pillow's 4, up to 2.1 of a noisy file, and what that grows ahead by
BLOCK = 2**18  # pixels taken to 8 bits at a time


def suffix(format: str) -> str:  # noqa: A002 (the name of the option)
    """What a file of that format ends in."""
    return _suffixes(format)[0]


def format_of(path: str | Path) -> str:
    """The format that the name of a file asks for: of two, the one with more bits."""
    ending = Path(path).suffix.lower()
    for format, suffixes in FORMATS.items():  # noqa: A001 (the name of the option)
        if ending in suffixes:
            return format
    raise BadOption("output", str(path), f"a name that ends in {', '.join(sorted(set(sum(FORMATS.values(), ()))))}")


def save(
    pixels: Array,
    path: str | Path,
    *,
    format: str,  # noqa: A002 (the name of the option)
    exif: bytes | None = None,
    description: str | None = None,
    raw: Raw | None = None,
    linear: Literal["camera", "srgb"] = "srgb",
    threads: int | None = None,
) -> None:
    """Write an upright picture, uint16 (height, width, 3) or (height, width), with its EXIF block.

    Without an EXIF block `raw` and the description make one. A DNG asks for `raw`, and by `linear` for
    whose colours the pixels are. Grey pictures show depths or masks: they have no colour profile.
    """
    path = _named(path, format)
    if pixels.dtype != np.uint16 or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,)) or not pixels.size:
        raise ValueError(f"{pixels.dtype} {pixels.shape} is no picture")
    exif = exif or exif_block(raw.about if raw else About(), software="qk-unet", description=description)
    if format == "dng":
        if raw is None:
            raise ValueError("a DNG says what its RAW file said: it needs it")
        dng.save(pixels, path, raw=raw, linear=linear, exif=exif)
        return
    if format in STREAMED:
        with streamed(path, pixels.shape, format=format, exif=exif) as write:
            write(pixels)
        return
    profile = icc.srgb() if pixels.ndim == 3 else None
    bits = 8 if format.endswith("8") else 16
    with writing(path) as file:
        if format == "jpeg":
            _jpeg(file, pixels, path=path, exif=exif, profile=profile)
        else:
            chunks = [(b"iCCP", b"sRGB\0\0" + zlib.compress(profile))] if profile else []
            chunks += [(b"eXIf", exif), *([png.text("Description", description)] if description else [])]
            png.write(file, pixels, bits=bits, chunks=chunks, threads=threads)


@contextmanager
def streamed(
    path: str | Path,
    shape: tuple[int, ...],
    *,
    format: str,  # noqa: A002 (the name of the option)
    exif: bytes,
) -> Iterator[Callable[[Array], None]]:
    """Write a TIFF of that shape from the top: what the block gets takes the next rows and sees them to the disk."""
    path = _named(path, format)
    bits = 8 if format.endswith("8") else 16
    tags = {PROFILE: tiff.undefined(icc.srgb())} if len(shape) == 3 else {}
    with writing(path) as file:
        tiff.begin(file, shape, path=path, tags=tags, exif=exif, bits=bits)

        def write(pixels: Array) -> None:
            tiff.rows(file, pixels, bits=bits)
            file.flush()
            os.fsync(file.fileno())

        yield write


def _named(path: str | Path, format: str) -> Path:  # noqa: A002 (the name of the option)
    """The path, if its name ends as the format's do."""
    path = Path(path)
    if path.suffix.lower() not in _suffixes(format):
        raise BadOption("format", format, f"{' or '.join(_suffixes(format))} at the end of {path.name!r}")
    return path


def _suffixes(format: str) -> tuple[str, ...]:  # noqa: A002 (the name of the option)
    if format not in FORMATS:
        raise BadOption("format", format, ", ".join(FORMATS))
    return FORMATS[format]


def _jpeg(file: IO[bytes], pixels: Array, *, path: Path, exif: bytes, profile: bytes | None) -> None:
    """Quality 95 with colours as fine as the light. Made in memory: Pillow has no words for a full disk."""
    height, width = pixels.shape[:2]
    if max(height, width) > JPEG_SIDE:
        raise FileError(
            path, f"would be {max(height, width)} pixels long and JPEG ends at {JPEG_SIDE}", "use --format png"
        )
    image = Image.new("RGB" if pixels.ndim == 3 else "L", (width, height))
    rows = max(BLOCK // width, 1)
    for top in range(0, height, rows):
        image.paste(Image.fromarray(png.eight(pixels[top : top + rows])), (0, top))
    options: dict[str, Any] = {"icc_profile": profile} if profile else {}
    if len(exif) <= LONGEST:  # the picture counts for more
        options["exif"] = b"Exif\0\0" + exif
    made = BytesIO()
    image.save(made, "JPEG", quality=QUALITY, subsampling=0, **options)
    file.write(made.getbuffer())
