"""Textured shapes to be told from a textured ground: segmentation without a download.

Shape and ground differ in texture, not in brightness: both have the same mean and contrast, or nearly, so that a
threshold finds little and a network must look at the neighbourhood.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["pair", "shapes"]

Array = np.ndarray[Any, Any]

OCTAVES = (2, 4, 8)  # pixels a grain of the mottle


def pair(seed: int, index: int, *, size: int = 64) -> tuple[Array, Array]:
    """Sample number `index`: the picture and its mask."""
    return shapes(np.random.default_rng((seed, index)), size)


def shapes(rng: np.random.Generator, size: int | tuple[int, int]) -> tuple[Array, Array]:
    """A grey picture (h, w, 1), 0 to 1, with two to six shapes on it, and where they are (h, w, 1): 1 there, else 0."""
    height, width = (size, size) if isinstance(size, int) else size
    grey = _ground(rng, height, width)
    mask = np.zeros((height, width), bool)
    for _ in range(int(rng.integers(2, 7))):
        shape = _shape(rng, height, width)
        grey = np.where(shape, _stripes(rng, height, width), grey)
        mask |= shape
    y, x = np.mgrid[:height, :width]
    light = 1 + rng.uniform(-0.3, 0.3) * (x / width - 0.5) + rng.uniform(-0.3, 0.3) * (y / height - 0.5)
    grey = grey * light + rng.normal(0, rng.uniform(0.01, 0.06), grey.shape)
    return np.clip(grey, 0, 1).astype(np.float32)[..., None], mask.astype(np.float32)[..., None]


def _ground(rng: np.random.Generator, height: int, width: int) -> Array:
    """A mottle: noise in grains of several sizes."""
    total = np.zeros((height, width))
    for grain in OCTAVES:
        coarse = rng.standard_normal((-(-height // grain), -(-width // grain)))
        total += np.repeat(np.repeat(coarse, grain, axis=0), grain, axis=1)[:height, :width]
    return _levelled(rng, total / np.sqrt(len(OCTAVES)))


def _stripes(rng: np.random.Generator, height: int, width: int) -> Array:
    """Waves of one direction."""
    y, x = np.mgrid[:height, :width]
    angle, wave = rng.uniform(0, np.pi), rng.uniform(3.5, 9.0)  # pixels: shorter ones would not be sampled
    phase = rng.uniform(0, 2 * np.pi)
    return _levelled(rng, np.sqrt(2) * np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / wave + phase))


def _levelled(rng: np.random.Generator, texture: Array) -> Array:
    """A texture of mean 0 and deviation 1, at a brightness and contrast drawn from the same for all."""
    return rng.uniform(0.42, 0.58) + rng.uniform(0.1, 0.16) * texture


def _shape(rng: np.random.Generator, height: int, width: int) -> Array:
    """An ellipse or a convex polygon."""
    y, x = np.mgrid[:height, :width]
    least = min(height, width)
    row, column, radius = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(0.1, 0.28) * least
    down, across = y + 0.5 - row, x + 0.5 - column
    if rng.random() < 0.5:
        angle, flat = rng.uniform(0, np.pi), rng.uniform(0.5, 1.0)
        along, aside = across * np.cos(angle) + down * np.sin(angle), down * np.cos(angle) - across * np.sin(angle)
        return np.asarray(along**2 + (aside / flat) ** 2 < radius**2)
    sides = int(rng.integers(3, 7))
    angles = rng.uniform(0, 2 * np.pi) + (np.arange(sides) + rng.uniform(-0.2, 0.2, sides)) * 2 * np.pi / sides
    inside = [across * np.cos(angle) + down * np.sin(angle) < radius * 0.8 for angle in angles]
    return np.asarray(np.logical_and.reduce(inside))
