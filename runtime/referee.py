"""An answer held against its reference as it comes, row of windows by row of windows: two sets of figures.

*developed* is the picture as it would be saved: 16 bits, the sRGB curve. *linear* is its light: the camera's own
colours, before white balance, if both the reference and the network have them; else sRGB, its curve undone.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any, Literal

import numpy as np

from runtime import srgb
from runtime.bands import Bands
from runtime.clean import CAMERA_LINEAR, Reference
from runtime.develop import Look, develop
from runtime.measure import WINDOW

__all__ = ["Referee", "held"]

Array = np.ndarray[Any, Any]

TOP = 65535
STEP = 32  # rows measured at a time: what they need stays near the processor
# Bytes for each column of the picture beside the rows of windows: some forty rows of float64 for each row of a step and
# of a window, half of them for either set of figures.
BESIDE = 40 * 8 * (STEP + WINDOW)


class Referee:
    """Takes the parts of one answer, in the order in which windows run, and keeps sums."""

    def __init__(self, reference: Reference, look: Look, *, rows: int, threads: int = 1) -> None:
        """`look` develops the answer; no row of windows is deeper than `rows`."""
        self.reference, self.look, self.threads = reference, look, threads
        self.as_camera = replace(look, output="camera-linear")
        both = reference.space == look.output == CAMERA_LINEAR
        self.light: Literal["camera", "srgb"] = "camera" if both else "srgb"
        self.linear, self.developed = Bands(reference.width), Bands(reference.width)
        self._band: Array = np.empty((3, rows, reference.width), np.float32)

    def take(self, made: Array, top: int, left: int) -> None:
        """A part of the answer, float32 (3, rows, columns), and where it lies; the last of its row ends it."""
        if not made.size:
            return
        _, rows, columns = made.shape
        self._band[:, :rows, left : left + columns] = made
        if left + columns == self.reference.width:
            for first in range(0, rows, STEP):
                self._measure(self._band[:, first : min(first + STEP, rows)], top + first)

    def _measure(self, light: Array, top: int) -> None:
        """Some rows of full width."""
        levels = self.reference.rows(top, top + light.shape[1])
        shown = self._developed(light, self.look)
        wanted = levels
        if self.reference.space == CAMERA_LINEAR:
            wanted = self._developed(_planes(levels) / np.float32(TOP), self.as_camera)
        # One after the other: threads of their own would each keep what they once needed.
        self.developed.add(_planes(wanted) / TOP, _planes(shown) / TOP)
        self.linear.add(*self._light(light, levels, wanted, shown))

    def _light(self, light: Array, levels: Array, wanted: Array, shown: Array) -> tuple[Array, Array]:
        """What is compared as light: the reference's and the answer's."""
        if self.light == "camera":
            return _planes(levels) / TOP, np.fmax(np.clip(light, 0, 1), 0)  # what is no number is black, as developed
        return _straight()[_planes(wanted)], _straight()[_planes(shown)]

    def _developed(self, light: Array, look: Look) -> Array:
        shown = np.empty((*light.shape[1:], 3), np.uint16)
        develop(light, look, shown, threads=self.threads)
        return shown


def held(rows: float, width: int) -> float:
    """Bytes a referee holds of a picture of that width with rows of windows of that depth."""
    return width * (rows * 3 * 4 + BESIDE)


def _planes(picture: Array) -> Array:
    return picture.transpose(2, 0, 1)


@cache
def _straight() -> Array:
    """The light, 0 to 1, of every level of the sRGB curve in 16 bits."""
    shown = np.arange(TOP + 1) / TOP
    return srgb.light(shown)
