"""Cameras that could be: for a network that shall serve one nobody has named.

The matrices are made up, each within the range of published ones; a camera is a mixture of them, changed a little.
Gains of white balance by day: Brooks et al. 2019. In any light they reach from a lamp's, with less red to be made up
for and more blue, to those of the shade.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from quant.noise import K_RANGE, Sensor
from quant.noise import drawn as drawn_sensor

__all__ = ["PATTERNS", "Camera", "Light", "drawn", "plain"]

Light = Literal["day", "any"]

Pattern = tuple[tuple[int, ...], ...]
Matrix = tuple[tuple[float, ...], ...]

PATTERNS: tuple[Pattern, ...] = (((0, 1), (1, 2)), ((1, 0), (2, 1)), ((1, 2), (0, 1)), ((2, 1), (1, 0)))
MATRICES = np.array(  # white-balanced camera colours to linear sRGB; every row sums to 1
    [
        [[1.70, -0.60, -0.10], [-0.20, 1.50, -0.30], [0.05, -0.55, 1.50]],
        [[1.45, -0.30, -0.15], [-0.15, 1.35, -0.20], [0.02, -0.37, 1.35]],
        [[1.95, -0.85, -0.10], [-0.25, 1.65, -0.40], [0.03, -0.43, 1.40]],
        [[1.60, -0.42, -0.18], [-0.12, 1.42, -0.30], [0.08, -0.68, 1.60]],
    ]
)
RED, BLUE = (1.9, 2.4), (1.5, 1.9)
LAMP, SHADE = (1.2, 3.0), (2.5, 1.4)  # red and blue: the ends of what there is, one warm, the other cold
APART = 0.2  # of the logarithm: how far cameras lie from the line between them
LEAST, MOST = 1.0, 3.5
BLACKS = {1023: (0, 64), 4095: (0, 256), 16383: (0, 512, 1024, 2048)}  # by the white level: 10, 12, 14 bits
PLAIN_GAINS = (2.1, 1.0, 1.7)


@dataclass(frozen=True, kw_only=True)
class Camera:
    """What stands between light and the file: colours, their order on the sensor, and noise."""

    pattern: Pattern  # 2x2; the colour at (y, x): 0 red, 1 green, 2 blue
    wb: tuple[float, float, float]  # gains that make white white; green is 1
    cam2rgb: Matrix  # white-balanced camera colours to linear sRGB; its rows sum to 1
    sensor: Sensor

    @property
    def black(self) -> float:
        """The level of no light."""
        return self.sensor.black

    @property
    def white(self) -> float:
        """The level where light saturates."""
        return self.sensor.white


def plain(sensor: Sensor) -> Camera:
    """The camera of middling colours around a sensor that was measured."""
    return Camera(pattern=PATTERNS[0], wb=PLAIN_GAINS, cam2rgb=_rows(MATRICES.mean(0)), sensor=sensor)


def drawn(rng: np.random.Generator, *, gain_range: tuple[float, float] = K_RANGE, light: Light = "day") -> Camera:
    """Any camera, or any of such a gain, by day or in any light."""
    white = int(rng.choice(list(BLACKS)))
    black = int(rng.choice(BLACKS[white]))
    pattern = PATTERNS[rng.integers(len(PATTERNS))]
    mixture = np.tensordot(rng.dirichlet(np.ones(len(MATRICES))), MATRICES, 1)
    return Camera(
        pattern=pattern,
        wb=_by_day(rng) if light == "day" else _in_any_light(rng),
        cam2rgb=_rows(mixture + rng.normal(0, 0.03, (3, 3))),
        sensor=drawn_sensor(rng, black=black, white=white, gain_range=gain_range),
    )


def _by_day(rng: np.random.Generator) -> tuple[float, float, float]:
    return rng.uniform(*RED), 1.0, rng.uniform(*BLUE)


def _in_any_light(rng: np.random.Generator) -> tuple[float, float, float]:
    """Somewhere about the line from the lamp to the shade, straight in logarithms."""
    at, (red, blue) = rng.random(), rng.normal(0, APART, 2)
    gains = [
        math.exp((1 - at) * math.log(warm) + at * math.log(cold) + off)
        for warm, cold, off in zip(LAMP, SHADE, (red, blue), strict=True)
    ]
    return min(max(gains[0], LEAST), MOST), 1.0, min(max(gains[1], LEAST), MOST)


def _rows(matrix: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Matrix:
    """The matrix with rows that sum to 1: white stays white."""
    return tuple(tuple(float(x) for x in row / row.sum()) for row in matrix)
