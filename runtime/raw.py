"""A RAW frame as its file tells it: the mosaic, and everything about the camera. No number is known beforehand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np

__all__ = ["About", "Raw"]


@dataclass(frozen=True, kw_only=True)
class About:
    """What the file says of how it was taken: kept for whoever opens the picture. None where it does not say."""

    make: str | None = None
    model: str | None = None
    lens: str | None = None
    exposure: float | None = None  # seconds
    iso: float | None = None
    aperture: float | None = None
    focal_length: float | None = None  # millimetres
    taken: str | None = None  # EXIF's DateTimeOriginal, "2026:11:21 08:00:00"
    gps: dict[int, Any] = field(default_factory=dict)  # tag -> value of EXIF's GPS directory
    orientation: int = 1  # EXIF's, 1 to 8


@dataclass(frozen=True, kw_only=True)
class Raw:
    """The visible mosaic and what is needed to read it."""

    mosaic: np.ndarray[Any, Any]  # uint16 (height, width)
    cfa: Literal["bayer", "x-trans"]
    pattern: tuple[tuple[int, ...], ...]  # 2x2 or 6x6; the colour at (y, x): 0 red, 1 green, 2 blue
    black: tuple[tuple[float, ...], ...]  # the level of no light, site by site: the shape of `pattern`
    white: float  # the level where light saturates
    wb: tuple[float, float, float]  # gains of red, green, blue that make white white; green is 1
    wb_known: bool  # False: the file has none, these are of daylight or (1, 1, 1)
    cam2rgb: tuple[tuple[float, ...], ...]  # 3x3, white-balanced camera colours to linear sRGB; its rows sum to 1
    xyz2cam: tuple[tuple[float, ...], ...] | None  # 3x3 as in a DNG's ColorMatrix; None where nobody knows it
    about: About
