"""By how much a dark frame is brightened before the network sees it.

How long the shutter was open, how wide and at which ISO tells how much light was let in, not how much there was: of two
frames with the same numbers one can be of noon and one of night. So `auto` looks at the picture. The brightest
hundredth of it, lamps and noise averaged away over small squares, is brought to `POINT` of the white level: where a
well exposed photograph has it, hence its ratio is near 1, and that of the same frame with a hundredth of the light 100.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtime.contract import Contract
from runtime.errors import BadOption
from runtime.raw import Raw

__all__ = ["AS_ASKED", "Ratio", "choose", "sweep"]

Array = np.ndarray[Any, Any]
POINT = 0.8
BRIGHTEST = 99.0  # percentile
SQUARE = 12  # mosaic pixels a side, whole cells of Bayer and X-Trans: noise is down by 8, a lamp is still a lamp
MOST_ROWS = 128  # rows of squares looked at, evenly spread
STOPS = 3
AS_ASKED = "as asked"  # why a ratio is what it is, where it is the one that was given


@dataclass(frozen=True)
class Ratio:
    """The factor, and in a few words how it was found."""

    value: float
    why: str


def choose(text: str, raw: Raw, contract: Contract) -> Ratio:
    """The ratio that was asked for: "auto" or a number; within what the network was trained for."""
    most = contract.ratio_max
    if text.strip().lower() == "auto":
        return _auto(raw, most)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise BadOption("--ratio", text, f"auto, sweep or a number from 1 to {most:g}")
    return _within(value, AS_ASKED, most)


def sweep(raw: Raw, contract: Contract) -> list[float]:
    """That of `auto`, and up to three stops to both sides as far as the network may have them, ascending."""
    middle = _auto(raw, contract.ratio_max).value
    ratios = [middle * 2.0**stop for stop in range(-STOPS, STOPS + 1)]
    return [ratio for ratio in ratios if 1 <= ratio <= contract.ratio_max]


def _auto(raw: Raw, most: float) -> Ratio:
    light = float(np.percentile(_greens(raw), BRIGHTEST))
    if light * most <= 0:
        return Ratio(most, "auto: hardly any light, the most this model was trained for")
    return _within(POINT / light, f"auto: the brightest hundredth is at {light:.2g} of white", most)


def _within(value: float, why: str, most: float) -> Ratio:
    if value > most:
        return Ratio(most, f"{why}, held to the {most:g} this model was trained for")
    if value < 1:
        return Ratio(1.0, f"{why}, held to 1: never darker")
    return Ratio(value, why)


def _greens(raw: Raw) -> Array:
    """The mean green of small squares, 0 at black and 1 at white; noise below black counts, or dark would be bright."""
    side = len(raw.pattern)
    square = min(SQUARE, *(pixels // side * side for pixels in raw.mosaic.shape))
    across = raw.mosaic.shape[1] // square
    starts = np.arange(raw.mosaic.shape[0] // square) * square
    starts = starts[:: -(-len(starts) // MOST_ROWS)]
    green = np.tile(np.array(raw.pattern) == 1, (square // side, square // side))
    black = np.tile(np.array(raw.black), (square // side, square // side))[green].mean()
    means = [_means(raw.mosaic[start : start + square, : across * square], green) for start in starts]
    found: Array = (np.concatenate(means) - black) / (raw.white - black)
    return found


def _means(band: Array, green: Array) -> Array:
    """The mean green of each square in a row of squares."""
    square, across = len(green), band.shape[1] // len(green)
    # Sums of 144 numbers of 16 bits at most: float32 holds them whole, in whatever order they are added.
    columns = (band * np.tile(green, across).astype(np.float32)).sum(axis=0)
    sums = columns.reshape(across, square).sum(axis=1).astype(np.float64)
    means: Array = sums / green.sum()
    return means
