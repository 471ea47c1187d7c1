"""DNG files. One without a mosaic: every pixel in full colour and linear light, to be developed anew elsewhere.

From a network that stays in the camera's colours these are the camera's, before white balance, and the file says what
the RAW file said of them. From one that answers in sRGB they are sRGB's, its curve undone. And one with a mosaic, as a
camera would have written it. (Adobe, DNG 1.4, 2012.)
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from runtime import srgb, tiff
from runtime.atomic import writing
from runtime.exif import write as exif_block
from runtime.icc import SRGB2XYZ
from runtime.raw import Raw

__all__ = ["save", "save_mosaic"]

Array = np.ndarray[Any, Any]

TOP = 65535
LINEAR_RAW, MOSAIC = 34892, 32803
D65 = 21  # EXIF's number for the daylight in which the matrix holds


def save(
    pixels: Array,
    path: str | Path,
    *,
    raw: Raw,
    linear: Literal["camera", "srgb"],
    exif: bytes | None = None,
    description: str | None = None,
) -> None:
    """Write an upright picture: `develop.linear`'s if `linear` is "camera", a display's if it is "srgb"."""
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint16:
        raise ValueError("a DNG is written from uint16 (height, width, 3)")
    wb = np.asarray(raw.wb, np.float64)
    if linear == "camera":
        matrix, neutral = _xyz2cam(raw), 1 / wb
        name = _name(raw)
    else:
        matrix, neutral = np.linalg.inv(SRGB2XYZ), np.ones(3)
        name = "qk-unet linear sRGB"
    tags = {
        **_camera(name, matrix=matrix, neutral=neutral),
        262: tiff.short(LINEAR_RAW),
        50714: tiff.short(0, 0, 0),  # black and white
        50717: tiff.long(TOP, TOP, TOP),
    }
    exif = exif or exif_block(raw.about, software="qk-unet", description=description)
    with writing(path) as file:
        tiff.write(file, pixels, path=path, tags=tags, exif=exif, through=None if linear == "camera" else _light)


def save_mosaic(raw: Raw, path: str | Path, *, description: str | None = None) -> None:
    """Write a RAW frame as it is: its mosaic, pattern and levels, the camera's matrix and white balance."""
    side = len(raw.pattern)
    tags = {
        **_camera(_name(raw), matrix=_xyz2cam(raw), neutral=1 / np.asarray(raw.wb, np.float64)),
        262: tiff.short(MOSAIC),
        274: tiff.short(raw.about.orientation),  # its rows are the sensor's
        33421: tiff.short(side, side),
        33422: tiff.byte(*(colour for row in raw.pattern for colour in row)),
        50710: tiff.byte(0, 1, 2),  # red, green, blue
        50713: tiff.short(side, side),
        50714: tiff.rational(level for row in raw.black for level in row),
        50717: tiff.long(round(raw.white)),
    }
    exif = exif_block(raw.about, software="qk-unet", description=description)
    with writing(path) as file:
        tiff.write(file, raw.mosaic, path=path, tags=tags, exif=exif)


def _camera(name: str, *, matrix: Array, neutral: Array) -> dict[int, tiff.Entry]:
    """What every DNG says of the camera."""
    return {
        50706: tiff.byte(1, 4, 0, 0),  # the version, and the one that can read it
        50707: tiff.byte(1, 1, 0, 0),
        50708: tiff.text(name),
        50721: tiff.rational(matrix.ravel(), signed=True),
        50728: tiff.rational(neutral),
        50778: tiff.short(D65),
    }


def _name(raw: Raw) -> str:
    return " ".join(part for part in (raw.about.make, raw.about.model) if part) or "unknown camera"


def _xyz2cam(raw: Raw) -> Array:
    """The file's matrix; where it has none, the way back through sRGB and the white balance."""
    if raw.xyz2cam is not None:
        return np.asarray(raw.xyz2cam)
    rgb2cam = np.linalg.inv(np.asarray(raw.cam2rgb)) / np.asarray(raw.wb)[:, None]
    return np.asarray(rgb2cam @ np.linalg.inv(SRGB2XYZ))


def _light(levels: Array) -> Array:
    return np.take(_straight(), levels)


@cache
def _straight() -> Array:
    """The light, in 65536 levels, of every level of the sRGB curve."""
    shown = np.arange(TOP + 1) / TOP
    return np.asarray(srgb.light(shown) * TOP + 0.5).astype(np.uint16)
