"""A contact sheet: many pictures, small, side by side, each with its name under it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

__all__ = ["contact_sheet", "shrunk"]

Array = np.ndarray[Any, Any]

EIGHT_TO_SIXTEEN = 257  # 255 of 255 is 65535 of 65535
PAPER = 40 * EIGHT_TO_SIXTEEN  # dark grey: it neither glares nor makes dark pictures look light
INK = 210
GAP = 16  # pixels between pictures
LINE = 28  # pixels of the label's line
LETTER = 18  # pixels


def contact_sheet(pictures: Sequence[tuple[str, Array]], *, columns: int = 3, side: int = 480) -> Array:
    """One uint16 picture (height, width, 3) of many with their labels, none larger than a square of `side`."""
    if not pictures or columns < 1 or side < 1:
        raise ValueError(f"a sheet of {len(pictures)} pictures in {columns} columns of {side} pixels")
    columns = min(columns, len(pictures))
    small = [shrunk(picture, side=side) for _, picture in pictures]
    height, width = (max(one.shape[axis] for one in small) for axis in (0, 1))
    rows = -(-len(small) // columns)
    cell = (height + LINE + GAP, width + GAP)
    sheet = np.full((rows * cell[0] + GAP, columns * cell[1] + GAP, 3), PAPER, np.uint16)
    for i, ((label, _), picture) in enumerate(zip(pictures, small, strict=True)):
        top, left = (GAP + place * step for place, step in zip(divmod(i, columns), cell, strict=True))
        y, x = top + (height - picture.shape[0]) // 2, left + (width - picture.shape[1]) // 2
        sheet[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
        sheet[top + height : top + height + LINE, left : left + width] = _label(label, width)
    return sheet


def shrunk(picture: Array, *, side: int) -> Array:
    """A uint16 picture (h, w, 3) whose longer side is at most `side`; every pixel is the mean of what it covers."""
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint16 or not picture.size:
        raise ValueError("a picture is (height, width, 3) in uint16")
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return picture
    rows = _averaged(picture, max(round(height * scale), 1))
    small = _averaged(rows.swapaxes(0, 1), max(round(width * scale), 1)).swapaxes(0, 1)
    return np.rint(small).astype(np.uint16)


def _averaged(x: Array, count: int) -> Array:
    """`count` rows in place of len(x): each the mean of the rows it covers, those at its edges in part."""
    edges = np.linspace(0, len(x), count + 1)
    out = np.empty((count, *x.shape[1:]), np.float32)
    for i, (low, high) in enumerate(itertools.pairwise(edges)):
        first, last = int(low), min(int(np.ceil(high)), len(x))
        covered = np.minimum(np.arange(first, last) + 1, high) - np.maximum(np.arange(first, last), low)
        weights = (covered / covered.sum()).astype(np.float32)
        out[i] = np.tensordot(weights, x[first:last].astype(np.float32), axes=1)
    return out


def _label(text: str, width: int) -> Array:
    """One line of text, centred, cut with dots where the picture is narrower."""
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    font = ImageFont.load_default(LETTER)
    if font.getlength(text) > width:
        while text and font.getlength(text + "...") > width:
            text = text[:-1]
        text += "..."
    line = Image.new("RGB", (width, LINE), (PAPER // EIGHT_TO_SIXTEEN,) * 3)
    ImageDraw.Draw(line).text((width / 2, LINE / 2), text, (INK,) * 3, font, anchor="mm")
    return np.asarray(line).astype(np.uint16) * EIGHT_TO_SIXTEEN
