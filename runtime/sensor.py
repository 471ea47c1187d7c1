"""What LibRaw says of a sensor, put right: colours by site, levels by site, a matrix whose rows sum to one.

The colour matrix is made the way dcraw does it (D. Coffin): XYZ to camera times sRGB to XYZ, each row divided by its
sum so that white stays white, then inverted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from runtime.errors import NoPicture, UnreadableFile, UnsupportedRaw
from runtime.ifd import Directory, Tiff
from runtime.raw import About, Raw

__all__ = ["SRGB2XYZ", "check_header", "colour", "levels", "refuse", "to_raw"]

Array = np.ndarray[Any, Any]
Facts = Mapping[str, Any]
Matrix = tuple[tuple[float, ...], ...]
Triple = tuple[float, float, float]

SRGB2XYZ = np.array(  # D65, IEC 61966-2-1
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
ALLOWED = "Bayer and X-Trans mosaics"
AGAIN = "copy it from the card again"
EXIF_OF_FLIP = {0: 1, 3: 3, 5: 8, 6: 6}
LEAST, MOST = 22, 64000  # what LibRaw decodes, pixels a side
CFA, LINEAR = 32803, 34892  # PhotometricInterpretation of a RAW picture
WIDTH, HEIGHT, PHOTOMETRIC, OFFSETS, TILE_OFFSETS, FORMAT, CELL, DNG = 256, 257, 262, 273, 324, 339, 33421, 50706
REPEAT, BLACK, DELTAS, ACTIVE = 50713, 50714, (50715, 50716), 50829


def refuse(path: str | Path, kind: str) -> UnsupportedRaw:
    """The error for a RAW file of that kind."""
    return UnsupportedRaw(path, kind, ALLOWED)


def check_header(path: str | Path, tiff: Tiff, *, size: int) -> None:
    """Refuse what the header of a TIFF-like file shows already, in better words than LibRaw has."""
    for image in tiff.images:
        if _first(image, PHOTOMETRIC) not in (CFA, LINEAR):
            continue
        width, height = _first(image, WIDTH), _first(image, HEIGHT)
        if 0 < min(width, height) < LEAST:
            raise NoPicture(path, f"has {width} x {height} pixels", f"take one of {LEAST} or more a side")
        if max(width, height) > MOST:
            problem = f"has a header that tells of {width} x {height} pixels"
            raise UnreadableFile(path, problem, f"LibRaw decodes up to {MOST} a side; if it cannot be, {AGAIN}")
        if _first(image, FORMAT) == 3:
            raise refuse(path, "a floating-point RAW")
        cell = image.get(CELL, (2, 2))
        if _first(image, PHOTOMETRIC) == CFA and cell not in ((2, 2), (6, 6)):
            name = "a Quad-Bayer mosaic" if cell == (4, 4) else "a mosaic with an unusual cell"
            raise refuse(path, f"{name} ({' x '.join(map(str, cell))})")
        starts = [*image.get(OFFSETS, ()), *image.get(TILE_OFFSETS, ())]
        if max((start for start in starts if isinstance(start, int)), default=0) >= size:
            raise UnreadableFile(path, "is cut short: its pixels lie beyond its end", AGAIN)


def _first(image: Directory, tag: int) -> int:
    value = image.get(tag, ())
    return value[0] if value and isinstance(value[0], int) else 0


def to_raw(path: str | Path, facts: Facts, mosaic: Array | None, *, about: About, dng: bool) -> Raw:
    """The frame, or the reason why it is none."""
    cfa, pattern = _pattern(path, facts, dng=dng)
    if mosaic is None or min(mosaic.shape) < len(pattern):
        problem = f"has {facts['width']} x {facts['height']} visible pixels"
        raise NoPicture(path, problem, f"take one of {len(pattern)} or more a side")
    black = _black(path, facts)
    white = _white(path, facts, max(map(max, black)))
    if _is_black(mosaic, black):
        raise NoPicture(path, "is black all over: no pixel is above the black level", f"take another, or {AGAIN}")
    wb, wb_known = _white_balance(facts)
    cam2rgb, xyz2cam = colour(facts["xyz2cam"], facts["cam2rgb"], facts["daylight"])
    return Raw(
        mosaic=mosaic,
        cfa=cfa,
        pattern=pattern,
        black=black,
        white=white,
        wb=wb,
        wb_known=wb_known,
        cam2rgb=cam2rgb,
        xyz2cam=xyz2cam,
        about=_complete(about, facts),
    )


def _pattern(
    path: str | Path, facts: Facts, *, dng: bool
) -> tuple[Literal["bayer", "x-trans"], tuple[tuple[int, ...], ...]]:
    """The colour at each site of one cell: 0 red, 1 green, 2 blue."""
    indices = facts["pattern"]
    if indices is None:
        raise refuse(path, "a linear DNG, demosaiced already" if dng else "an sRAW or another demosaiced RAW")
    if len(indices) == 1:
        raise refuse(path, "a monochrome RAW")
    if facts["colours"] != "RGBG":
        raise refuse(path, f"a mosaic of the colours {facts['colours']}")
    pattern = tuple(tuple(1 if index == 3 else index for index in row) for row in indices)
    counts = [sum(row.count(index) for row in pattern) for index in range(3)]
    if len(pattern) == 2 and counts == [1, 2, 1] and pattern[0][0] != pattern[1][0] and pattern[0][0] != pattern[0][1]:
        return "bayer", pattern
    if len(pattern) == 6 and counts == [8, 20, 8]:
        return "x-trans", pattern
    raise refuse(path, f"a mosaic whose {len(pattern)} x {len(pattern)} cell is neither Bayer nor X-Trans")


def levels(tiff: Tiff, *, top: int, left: int) -> list[list[float]] | None:
    """The black levels of a DNG's mosaic, in rows as they repeat from that site on; None where all are one."""
    mosaics = [image for image in tiff.images if _first(image, PHOTOMETRIC) == CFA]
    image = max(mosaics, key=lambda one: _first(one, WIDTH) * _first(one, HEIGHT), default={})
    told, (rows, columns) = _floats(image, BLACK), (*_floats(image, REPEAT), 1, 1)[:2]
    if not any(DNG in one for one in tiff.images) or len(set(told)) < 2 or not 0 < rows * columns == len(told):
        return None
    more = sum(np.mean(each) for tag in DELTAS if (each := _floats(image, tag)))  # a row, a column: as LibRaw has them
    above, before = (*_floats(image, ACTIVE), 0, 0)[:2]  # the levels begin where the active area does
    cell = np.reshape(told, (int(rows), int(columns))) + more
    return cast(list[list[float]], np.roll(cell, (int(above) - top, int(before) - left), axis=(0, 1)).tolist())


def _floats(image: Directory, tag: int) -> list[float]:
    """The numbers of a tag; 0 for one that is none."""
    value = image.get(tag, ())
    pairs = [one if isinstance(one, tuple) else (one, 1) for one in value] if isinstance(value, tuple) else []
    return [above / below if below and math.isfinite(above) else 0.0 for above, below in pairs]


def _black(path: str | Path, facts: Facts) -> Matrix:
    """The level of no light at each site of a cell."""
    size, told = len(facts["pattern"]), facts["levels"]
    if told is None:
        return tuple(tuple(facts["black"][index] for index in row) for row in facts["pattern"])
    every = np.tile(told, (size, size))
    black = every[:size, :size]
    if (every != np.tile(black, np.shape(told))).any():
        kind = f"a mosaic whose black levels repeat after {' x '.join(map(str, np.shape(told)))} pixels"
        raise UnsupportedRaw(path, kind, "mosaics whose levels repeat as their colours do")
    return _tuples(black)


def _white(path: str | Path, facts: Facts, black: float) -> float:
    white = min((level for level in facts["white_per_channel"] if level > black), default=facts["white"])
    if white > black:
        return float(white)
    raise NoPicture(path, f"has a white level of {white:g} and a black level of {black:g}", AGAIN)


def _is_black(mosaic: Array, black: Matrix) -> bool:
    """Whether no pixel is above the black level of its site."""
    if mosaic.max() > max(map(max, black)):
        return False
    size = len(black)
    return all(
        site.size == 0 or site.max() <= black[y][x]
        for y in range(size)
        for x in range(size)
        for site in [mosaic[y::size, x::size]]
    )


def _white_balance(facts: Facts) -> tuple[Triple, bool]:
    """The gains that make white white; daylight's, or none, where the file has none."""
    for gains, known in ((facts["wb"], True), (facts["daylight"], False)):
        if normal := _gains(gains):
            return normal, known
    return (1.0, 1.0, 1.0), False


def _gains(gains: Sequence[float]) -> Triple | None:
    """Red, green, blue with green 1; None where they cannot be. The second green may be 0: then it is as the first."""
    red, green, blue = gains[:3]
    sane = all(math.isfinite(gain) and gain > 0 for gain in (red, green, blue))
    if not sane or not all(1 / 32 < gain / green < 32 for gain in (red, blue)):
        return None
    return red / green, 1.0, blue / green


def colour(
    xyz2cam: Sequence[Sequence[float]], cam2rgb: Sequence[Sequence[float]], daylight: Sequence[float]
) -> tuple[Matrix, Matrix | None]:
    """Camera to sRGB, and XYZ to camera: from LibRaw's table, else from the file's own matrix, else nothing is changed.

    Of the file's own matrix LibRaw keeps the normalised inverse and, in daylight's gains, the sums of its rows.
    """
    known = np.array(xyz2cam, np.float64)
    if not _invertible(known) and _invertible(np.array(cam2rgb)) and _gains(daylight):
        sums = 1 / np.array(daylight[:3])
        known = sums[:, None] * np.linalg.inv(np.array(cam2rgb)) @ np.linalg.inv(SRGB2XYZ)
    if not _invertible(known):
        return _tuples(np.eye(3)), None
    cam = known @ SRGB2XYZ
    sums = cam.sum(axis=1, keepdims=True)
    if (sums <= 0).any() or not _invertible(cam / sums):
        return _tuples(np.eye(3)), None
    return _tuples(np.linalg.inv(cam / sums)), _tuples(known)


def _invertible(matrix: Array) -> bool:
    return bool(np.isfinite(matrix).all() and np.abs(matrix).max() > 0 and np.linalg.cond(matrix) < 1e4)


def _tuples(matrix: Array) -> Matrix:
    return tuple(tuple(map(float, row)) for row in matrix)


def _complete(about: About, facts: Facts) -> About:
    """What EXIF did not say, as far as LibRaw knows it from elsewhere."""
    more = {
        name: value
        for name in ("exposure", "iso", "aperture", "focal_length")
        if getattr(about, name) is None and (value := facts[name]) and math.isfinite(value) and value > 0
    }
    more |= {name: facts[name] for name in ("taken", "lens") if getattr(about, name) is None and facts[name]}
    if about.orientation == 1:
        more["orientation"] = EXIF_OF_FLIP.get(facts["flip"], 1)
    return replace(about, **more)
