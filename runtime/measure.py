"""How good a picture is, in numbers: MSE, PSNR, and SSIM (Wang, Bovik, Sheikh and Simoncelli, 2004)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["WINDOW", "Mean", "Scenes", "mse", "psnr", "ssim", "ssim_map", "student"]

Array = np.ndarray[Any, Any]
Float = np.ndarray[Any, np.dtype[np.float64]]

WINDOW, SIGMA = 11, 1.5
K1, K2 = 0.01, 0.03
# Student's t, 97.5 %, for 1 to 5 degrees of freedom, where the series below is not good to four digits.
FEW = (12.706, 4.303, 3.182, 2.776, 2.571)
Z = 1.959964  # the same for infinitely many


def mse(y: Array, prediction: Array) -> float:
    """Mean squared difference."""
    _check(y, prediction)
    return float(np.mean(np.square(np.asarray(y, np.float64) - prediction)))


def psnr(y: Array, prediction: Array, *, data_range: float) -> float:
    """Peak signal to noise ratio in dB; infinite where nothing differs."""
    error = mse(y, prediction)
    return 10 * math.log10(data_range**2 / error) if error else math.inf


def ssim(y: Array, prediction: Array, *, data_range: float) -> float:
    """Structural similarity, (h, w) or (h, w, channels), the mean over the windows that lie inside.

    A Gaussian window of 11 x 11 with sigma 1.5, and the moments of a population, as in the paper.
    """
    _check(y, prediction)
    if y.ndim not in (2, 3) or min(y.shape[:2]) < WINDOW:
        raise ValueError(f"{y.shape} is no image of at least {WINDOW} x {WINDOW}")
    if y.ndim == 2:
        y, prediction = y[..., None], prediction[..., None]
    maps = (ssim_map(y[..., c], prediction[..., c], data_range=data_range) for c in range(y.shape[-1]))
    return float(np.mean([found.mean() for found in maps]))


def ssim_map(y: Array, prediction: Array, *, data_range: float) -> Float:
    """The similarity of every window that lies inside, two planes (h, w): (h - 10, w - 10)."""
    _check(y, prediction)
    a, b = y.astype(np.float64), prediction.astype(np.float64)
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    mean_a, mean_b = _blur(a), _blur(b)
    product = mean_a * mean_b
    squares = mean_a**2 + mean_b**2
    variances = _blur(a**2 + b**2) - squares
    covariance = _blur(a * b) - product
    similar: Float = (2 * product + c1) * (2 * covariance + c2) / ((squares + c1) * (variances + c2))
    return similar


def _blur(x: Float) -> Float:
    """The Gaussian mean around each pixel whose window lies inside, a row and then a column at a time."""
    at = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-(at**2) / (2 * SIGMA**2))
    weights /= weights.sum()
    for axis in (0, 1):
        length = x.shape[axis] - WINDOW + 1
        made = weights[0] * _cut(x, axis, 0, length)
        part = np.empty_like(made)
        for k, weight in enumerate(weights[1:], start=1):
            made += np.multiply(_cut(x, axis, k, length), weight, out=part)
        x = made
    return x


def _cut(x: Float, axis: int, start: int, length: int) -> Float:
    part = slice(start, start + length)
    return x[part] if axis == 0 else x[:, part]


def _check(y: Array, prediction: Array) -> None:
    if y.shape != prediction.shape or not y.size:
        raise ValueError(f"{y.shape} and {prediction.shape} cannot be compared")


@dataclass
class Mean:
    """A mean that is added to one figure at a time (Welford, 1962), and how far it may be from the true one."""

    count: int = 0
    mean: float = math.nan
    _squares: float = 0.0  # the sum of squared distances from the mean

    def add(self, value: float) -> None:
        """Count one more figure; one that is not finite is refused, for it would hide all others."""
        value = float(value)
        if not math.isfinite(value):
            raise ValueError(f"{value} is no figure to take a mean of")
        before = self.mean if self.count else 0.0
        self.count += 1
        self.mean = before + (value - before) / self.count
        self._squares += (value - before) * (value - self.mean)

    @property
    def deviation(self) -> float:
        """The sample's standard deviation; NaN below two figures."""
        return math.sqrt(self._squares / (self.count - 1)) if self.count > 1 else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Where the true mean lies with 95 % confidence, by Student's t; NaN below two figures."""
        if self.count < 2:
            return math.nan, math.nan
        half = student(self.count - 1) * self.deviation / math.sqrt(self.count)
        return self.mean - half, self.mean + half


class Scenes:
    """Figures scene by scene: frames of one scene are alike, and count as one figure, their mean."""

    def __init__(self) -> None:
        self._each: dict[str, Mean] = {}

    def add(self, scene: str, value: float) -> None:
        """Count one more figure of that scene."""
        self._each.setdefault(scene, Mean()).add(value)

    @property
    def count(self) -> int:
        """How many figures there are."""
        return sum(one.count for one in self._each.values())

    @property
    def mean(self) -> Mean:
        """The mean over scenes, whose interval is that of so many scenes and not of so many figures."""
        over = Mean()
        for one in self._each.values():
            over.add(one.mean)
        return over


def student(freedom: int) -> float:
    """The 97.5 % point of Student's t, by its series in 1 / freedom (Fisher and Cornish, 1960)."""
    if freedom <= len(FEW):
        return FEW[freedom - 1]
    z, n = Z, freedom
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    fourth = (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160
    return z + first / n + second / n**2 + third / n**3 + fourth / n**4
