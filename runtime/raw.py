"""A RAW frame as its file or its camera tells it: the mosaic, and what is needed to read it; nothing is assumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np

__all__ = ["About", "Raw"]

BAYER = ("RGGB", "BGGR", "GRBG", "GBRG")
AS_IT_IS = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


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
    fraction: str | None = None  # of its second, the digits behind the point: what tells the frames of a burst apart
    artist: str | None = None
    copyright: str | None = None
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

    @classmethod
    def bayer(
        cls,
        mosaic: np.ndarray[Any, Any],
        order: str = "RGGB",
        *,
        black: float | Sequence[float],
        white: float,
        wb: Sequence[float] = (1.0, 1.0, 1.0),
        cam2rgb: Sequence[Sequence[float]] = AS_IT_IS,
    ) -> Raw:
        """A frame as a camera's driver hands it over: uint16 (height, width), its first four pixels in reading order.

        `black` is one level or one for each of the four; `wb` are the gains of red, green and blue; `cam2rgb` takes
        white-balanced colours to linear sRGB, and without it they are shown as they are.
        """
        if mosaic.dtype.name != "uint16" or mosaic.ndim != 2 or min(mosaic.shape) < 2:
            found = f"{mosaic.dtype} {mosaic.shape}"
            raise ValueError(f"a mosaic is uint16 (height, width), 2 or more a side, and not {found}")
        if order not in BAYER:
            raise ValueError(f"order is {' or '.join(BAYER)}, and not {order!r}")
        levels = [float(black)] * 4 if isinstance(black, (int, float)) else [float(level) for level in black]
        if len(levels) != 4 or not 0 <= max(levels) < white:
            raise ValueError(f"black is one level or four, below white, and not {black!r} with white {white!r}")
        if len(wb) != 3 or not all(0 < gain < float("inf") for gain in wb):
            raise ValueError(f"wb has three gains above 0, and not {wb!r}")
        if [len(row) for row in cam2rgb] != [3, 3, 3]:
            raise ValueError(f"cam2rgb is 3 x 3, and not {cam2rgb!r}")
        colours = ["RGB".index(letter) for letter in order]
        red, green, blue = map(float, wb)
        return cls(
            mosaic=mosaic,
            cfa="bayer",
            pattern=(tuple(colours[:2]), tuple(colours[2:])),
            black=(tuple(levels[:2]), tuple(levels[2:])),
            white=float(white),
            wb=(red / green, 1.0, blue / green),
            wb_known=True,
            cam2rgb=tuple(tuple(map(float, row)) for row in cam2rgb),
            xyz2cam=None,
            about=About(),
        )
