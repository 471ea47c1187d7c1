"""Dead leaves: pictures of nothing with the statistics of the world, free of any licence.

Discs and polygons of all sizes fall on one another (Lee, Mumford, Huang 2001), and networks trained on them denoise
almost as well as those trained on photographs (Achddou et al. 2021). Sizes follow r^-3, so that no distance is
special. Colours are a model of our own: log-normal light, much less spread in colour than in light.

Each leaf has a rank, and a pixel belongs to the highest rank that covers it: so they may be drawn in any order, and
small ones of one size and shape are drawn together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

__all__ = ["leaves"]

Array = np.ndarray[Any, Any]
Generator = np.random.Generator

FINE = 2  # drawn so many times larger and averaged: soft edges
COVER = 3.5  # leaves over a point, on average: exp(-3.5), 3 % of the ground, stays bare
SIDES = (0, 3, 4, 5, 6)  # of a leaf; 0 is a disc
LIKELY = (0.5, 0.1, 0.2, 0.1, 0.1)
STRETCH = 2.5  # the longest leaf against its width
SMALL = 24  # up to this radius leaves are drawn in groups
CHUNK = 2**16  # pixels of a group looked at together: they stay in a core's cache
MEANS = (0.06, 0.3)  # what a picture's light is on average, as a photographer exposes
TILE = 256  # of the noise that textures are cut from; a power of two


@dataclass(frozen=True)
class _Leaves:
    """Many leaves, from the lowest to the highest: one number of each a leaf."""

    y: Array
    x: Array
    radius: Array
    turn: Array
    stretch: Array
    sides: Array
    rank: Array

    def __getitem__(self, which: Array) -> _Leaves:
        return _Leaves(**{name: values[which] for name, values in vars(self).items()})


def leaves(rng: Generator, height: int, width: int) -> Array:
    """A picture in linear light, float32 (height, width, 3), about 0 to 1; lamps may be brighter."""
    tall, wide = height * FINE, width * FINE
    fallen = _fallen(rng, tall, wide)
    rank = _ranks(fallen, tall, wide)
    colours = _colours(rng, len(fallen.rank) + 1)
    shade = _texture(rng, rank, len(colours[0]))
    picture = np.empty((height, width, 3), np.float32)
    lit = _lighting(rng, height, width)
    for channel, levels in enumerate(colours):
        plane = np.take(levels, rank)
        plane *= shade
        np.multiply(_smaller(plane), lit, out=picture[..., channel])
    picture *= np.float32(math.exp(rng.uniform(*np.log(MEANS))) / picture.mean())
    return _blurred(rng, picture)


def _fallen(rng: Generator, height: int, width: int) -> _Leaves:
    """The leaves that touch a picture of that size."""
    side = max(height, width)
    least = FINE * math.exp(rng.uniform(math.log(0.6), math.log(5)))
    most = max(side * rng.uniform(0.2, 0.7), 2 * least)
    square = 2 * math.log(most / least) / (least**-2 - most**-2)  # the mean of radius^2 under r^-3
    area = (height + 2 * most) * (width + 2 * most)
    count = rng.poisson(COVER * area / (math.pi * 0.6 * square))  # 0.6: stretched ones and polygons cover less
    radius = least / np.sqrt(1 - rng.random(count) * (1 - (least / most) ** 2))
    y, x = rng.uniform(-most, height + most, count), rng.uniform(-most, width + most, count)
    (near,) = np.nonzero((y > -radius) & (x > -radius) & (y < height + radius) & (x < width + radius))
    count = len(near)
    return _Leaves(
        y=y[near].astype(np.float32),
        x=x[near].astype(np.float32),
        radius=radius[near].astype(np.float32),
        turn=rng.uniform(0, 2 * math.pi, count).astype(np.float32),
        stretch=rng.uniform(1, STRETCH, count).astype(np.float32),
        sides=rng.choice(SIDES, count, p=LIKELY),
        rank=np.arange(1, count + 1, dtype=np.int32),
    )


def _ranks(fallen: _Leaves, height: int, width: int) -> Array:
    """The highest rank at each pixel; 0 is the ground."""
    edge = 2 * SMALL + 2  # a leaf may lie outside but for its rim
    total = np.zeros((height + 2 * edge, width + 2 * edge), np.int32)
    size = np.ceil(np.log2(np.maximum(fallen.radius, 1)) * 2).astype(int)
    size[fallen.radius > SMALL] = -1
    fallen = replace(fallen, y=fallen.y + edge, x=fallen.x + edge)
    for sides in SIDES:
        kind = fallen.sides == sides
        for one in np.unique(size[kind & (size >= 0)]):
            _draw_group(total, fallen[kind & (size == one)], sides)
        for number in np.flatnonzero(kind & (size < 0)):
            _draw_one(total, fallen[np.array([number])], sides)
    return np.ascontiguousarray(total[edge:-edge, edge:-edge])


def _draw_group(total: Array, group: _Leaves, sides: int) -> None:
    """Small leaves of about one size."""
    reach = math.ceil(float(group.radius.max()))
    offset = np.arange(-reach, reach + 1)
    flat, stride = total.reshape(-1), total.shape[1]
    places = (offset[:, None] * stride + offset).reshape(-1)
    step = max(CHUNK // len(places), 1)
    for first in range(0, len(group.rank), step):
        part = group[np.arange(first, min(first + step, len(group.rank)))]
        row, column = np.rint(part.y).astype(np.intp), np.rint(part.x).astype(np.intp)
        away = ((row - part.y).astype(np.float32), (column - part.x).astype(np.float32))
        inside = _inside(part, sides, *(offset.astype(np.float32) + rest[:, None] for rest in away))
        leaf, place = np.nonzero(inside.reshape(len(part.rank), -1))
        np.maximum.at(flat, (row * stride + column)[leaf] + places[place], part.rank[leaf])


def _draw_one(total: Array, leaf: _Leaves, sides: int) -> None:
    """One large leaf, over its bounding box."""
    radius, y, x = float(leaf.radius[0]), float(leaf.y[0]), float(leaf.x[0])
    top, left = max(int(y - radius), 0), max(int(x - radius), 0)
    view = total[top : int(y + radius) + 2, left : int(x + radius) + 2]
    if not view.size:
        return
    down = np.arange(view.shape[0], dtype=np.float32)[None] + np.float32(top - y)
    right = np.arange(view.shape[1], dtype=np.float32)[None] + np.float32(left - x)
    np.maximum(view, _inside(leaf, sides, down, right)[0] * leaf.rank[0], out=view)


def _inside(part: _Leaves, sides: int, down: Array, right: Array) -> Array:
    """Which pixels leaves cover, (leaves, rows, columns), by their rows' and columns' distances from the centres."""
    cosine, sine = np.cos(part.turn)[:, None], np.sin(part.turn)[:, None]
    if not sides:
        tall, wide = part.radius[:, None], (part.radius / part.stretch)[:, None]
        along = (down * cosine / tall)[:, :, None] + (right * sine / tall)[:, None]
        across = (right * cosine / wide)[:, None] - (down * sine / wide)[:, :, None]
        return along * along + across * across < 1
    covered: Array | None = None
    reach = part.radius * np.float32(math.cos(math.pi / sides))
    for side in range(sides):
        angle = 2 * math.pi * side / sides
        # A side's outward direction, the leaf made narrower across its axis.
        outward, sideways = math.cos(angle) / reach, math.sin(angle) * part.stretch / reach
        by_row = outward[:, None] * cosine - sideways[:, None] * sine
        by_column = outward[:, None] * sine + sideways[:, None] * cosine
        within = (down * by_row)[:, :, None] < (1 - right * by_column)[:, None]
        covered = within if covered is None else np.logical_and(covered, within, out=covered)
    return np.asarray(covered)


def _colours(rng: Generator, count: int) -> list[Array]:
    """Red, green and blue of so many leaves: light spread over many stops, hues close to a common one."""
    spread = rng.uniform(0.7, 1.4)
    luminance = rng.normal(math.log(0.16), spread, count)
    families = rng.normal(0, 0.35, (6, 2))  # a scene has a few materials
    chroma = families[rng.integers(len(families), size=count)] + rng.normal(0, 0.12, (count, 2))
    warm, green = chroma.T * rng.choice((0.4, 1.0, 1.6), count)
    cast = rng.normal(0, 0.1, 2)
    logs = (luminance + warm + cast[0], luminance + green / 3, luminance - warm + cast[1])
    return [np.minimum(np.exp(values), 2).astype(np.float32) for values in logs]


def _texture(rng: Generator, rank: Array, count: int) -> Array:
    """What a leaf's light is multiplied with, pixel by pixel: waves in one direction, and noise of all scales."""
    height, width = rank.shape
    kind = rng.random(count)
    length = FINE * np.exp(rng.uniform(math.log(2.5), math.log(80), count))
    angle, phase = rng.uniform(0, math.pi, count), rng.uniform(0, 2 * math.pi, count)
    wave = np.where(kind < 0.4, rng.uniform(0.05, 0.6, count), 0).astype(np.float32)
    rough = np.where(kind > 0.25, np.exp(rng.uniform(math.log(0.03), math.log(0.5), count)), 0).astype(np.float32)
    rows, columns = (np.arange(n, dtype=np.float32) for n in (height, width))
    turn = np.take((2 * math.pi * np.sin(angle) / length).astype(np.float32), rank) * rows[:, None]
    turn += np.take((2 * math.pi * np.cos(angle) / length).astype(np.float32), rank) * columns
    turn += np.take(phase.astype(np.float32), rank)
    shade = np.sin(turn, out=turn)
    shade *= np.take(wave, rank)
    start = np.take(rng.integers(0, TILE * TILE, count).astype(np.int32), rank)  # each leaf another piece of the tile
    start += np.arange(height, dtype=np.int32)[:, None] * TILE + np.arange(width, dtype=np.int32)
    shade += np.take(_fractal(rng).reshape(-1), start, mode="wrap") * np.take(rough, rank)
    shade += 1
    return np.maximum(shade, np.float32(0.02), out=shade)


def _fractal(rng: Generator) -> Array:
    """Noise whose amplitude falls as 1 / f, of mean 0 and deviation 1."""
    y, x = np.fft.fftfreq(TILE)[:, None], np.fft.rfftfreq(TILE)
    frequency = np.hypot(y, x)
    frequency[0, 0] = math.inf
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((TILE, TILE))) / frequency, (TILE, TILE))
    return np.asarray(noise / noise.std(), np.float32)


def _lighting(rng: Generator, height: int, width: int) -> Array:
    """Light that fades across the picture, and up to two shadows with soft borders."""
    y, x = np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)
    slope = rng.normal(0, 0.4, 2).astype(np.float32)
    lit: Array = np.exp(slope[0] * y + slope[1] * x)
    for _ in range(rng.integers(3)):
        cy, cx, turn = rng.uniform(-1, 1), rng.uniform(-1, 1), rng.uniform(0, 2 * math.pi)
        depth, soft = math.exp(rng.uniform(math.log(0.04), math.log(0.5))), rng.uniform(0.005, 0.15)
        along = np.float32(math.sin(turn)) * (y - np.float32(cy)) + np.float32(math.cos(turn)) * (x - np.float32(cx))
        lit *= np.float32(1 - depth) * np.clip(along * np.float32(1 / soft), 0, 1) + np.float32(depth)
    return lit


def _smaller(plane: Array) -> Array:
    """The mean of every FINE x FINE pixels."""
    rows = plane[::2] + plane[1::2]
    return (rows[:, ::2] + rows[:, 1::2]) * np.float32(1 / FINE**2)


def _blurred(rng: Generator, picture: Array) -> Array:
    """A lens that is not quite sharp, one time in two."""
    if rng.random() < 0.5:
        return picture
    middle = np.float32(rng.uniform(0.5, 1))
    side = (1 - middle) / 2
    for axis in (0, 1):
        padded = np.pad(picture, [(1, 1) if i == axis else (0, 0) for i in range(3)], mode="edge")
        ends = padded[:-2] + padded[2:] if axis == 0 else padded[:, :-2] + padded[:, 2:]
        picture = picture * middle + ends * side
    return picture
