"""The light that falls on surfaces, reckoned beforehand at points a centimetre or so apart.

Light changes slowly, but for the borders of shadows: so many points of each lamp can be asked, and borders are soft.
What comes from other surfaces (one bounce) changes more slowly still, and is asked for at fewer points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from quant.surfaces import Surface, looked_up
from quant.tracer import Scene, column, dot, in_blocks, met, shaded

__all__ = ["light_maps"]

Array = np.ndarray[Any, Any]

COARSE = 4  # so many times farther apart are the points where bounced light is reckoned
BOUNCES = 40  # rays from each of them
SMOOTH = 2  # times that light is averaged with its neighbours': few rays are noisy, few points of a lamp make steps
THROUGH = np.float32(0.7)  # of the light on either side of a leaf is seen on both


@dataclass(frozen=True)
class _Grid:
    """The points of all maps, one behind the other."""

    shapes: list[tuple[int, int]]
    places: list[tuple[Array, Array]]  # u and v, by surface
    points: Array  # (3, n)
    normals: Array
    thin: Array

    @classmethod
    def over(cls, surfaces: Sequence[Surface], *, step: float) -> _Grid:
        shapes = [_texels(surface, step) for surface in surfaces]
        places = [_middles(*shape) for shape in shapes]
        points = [one.shape.at(*at).astype(np.float32) for one, at in zip(surfaces, places, strict=True)]
        normals = [one.shape.normal(at) for one, at in zip(surfaces, points, strict=True)]
        thin = np.repeat([one.material.thin for one in surfaces], [height * width for height, width in shapes])
        return cls(shapes, places, np.concatenate(points, axis=1), np.concatenate(normals, axis=1), thin)

    def split(self, values: Array) -> list[Array]:
        """Numbers of all points (3, n) as one map (h, w, 3) a surface."""
        ends = np.cumsum([height * width for height, width in self.shapes])[:-1]
        parts = zip(np.split(values, ends, axis=1), self.shapes, strict=True)
        return [np.ascontiguousarray(part.T.reshape(*shape, 3)) for part, shape in parts]

    def of(self, images: Sequence[Array], surfaces: Sequence[Surface]) -> Array:
        """What one image a surface has at all points, (3, n)."""
        rows = zip(images, self.places, surfaces, strict=True)
        return np.concatenate([looked_up(image, *at, wraps=one.shape.wraps) for image, at, one in rows], axis=1)


def light_maps(scene: Scene) -> list[Array]:
    """The light on each surface, (rows, columns, 3), in such numbers that a white one sends the same back."""
    surfaces = scene.surfaces
    fine, coarse = (_Grid.over(surfaces, step=step) for step in (scene.step, COARSE * scene.step))
    lit = fine.split(in_blocks(lambda part: _direct(scene, fine, part), fine.points.shape[1]))
    direct = fine.of([_smoothed(light) for light in lit], surfaces)
    sent = fine.split(direct * fine.of([one.material.paint for one in surfaces], surfaces))
    bounced = in_blocks(lambda part: _bounced(scene, coarse, part, sent), coarse.points.shape[1])
    around = fine.of([_smoothed(light) for light in coarse.split(bounced)], surfaces)
    return fine.split(direct + around + column(scene.ambient))


def _texels(surface: Surface, step: float) -> tuple[int, int]:
    across, up = surface.shape.size
    texel = surface.material.texel * step
    return max(round(up / texel), 1), max(round(across / texel), 4 if surface.shape.wraps else 1)


def _middles(height: int, width: int) -> tuple[Array, Array]:
    """u and v in the middles of a map's points, from the upper left."""
    v, u = (((np.arange(n) + 0.5) / n).astype(np.float32) for n in (height, width))
    return np.tile(u, height), np.repeat(v[::-1], width)


def _direct(scene: Scene, grid: _Grid, part: slice) -> Array:
    """The lamps' light."""
    points, normals, thin = grid.points[:, part], grid.normals[:, part], grid.thin[part]
    total = np.zeros(points.shape, np.float32)
    for lamp in scene.lamps:
        for number, (place, power) in enumerate(zip(lamp.points, lamp.power, strict=True)):
            way = column(place) - points
            square = dot(way, way)
            slant = dot(normals, way)
            share = np.where(thin, np.abs(slant) * THROUGH, np.maximum(slant, 0)) / (square * np.sqrt(square))
            if lamp.facing is not None:
                share *= np.maximum(-dot(lamp.facing[number].astype(np.float32), way), 0) / np.sqrt(square)
            (lit,) = np.nonzero(share > 0)
            lit = lit[~shaded(scene, points[:, lit], way[:, lit])]
            total[:, lit] += share[lit] * column(power)
    return total


def _bounced(scene: Scene, grid: _Grid, part: slice, sent: Sequence[Array]) -> Array:
    """The mean light that other surfaces send, each direction as often as its light counts."""
    rng = np.random.default_rng(part.start)
    points, normals = grid.points[:, part], grid.normals[:, part]
    total = np.zeros(points.shape, np.float32)
    for _ in range(BOUNCES):
        away: Array = rng.standard_normal(points.shape, np.float32)
        away = normals * np.float32(1.0001) + away / np.sqrt(dot(away, away))
        far, number = met(scene, points + np.float32(1e-3) * normals, away)
        for one in np.unique(number[number >= 0]):
            (which,) = np.nonzero(number == one)
            u, v = scene.surfaces[one].shape.uv(points[:, which] + far[which] * away[:, which])
            height, width, _ = sent[one].shape
            row, along = ((1 - v) * height).astype(int), (u * width).astype(int)
            total[:, which] += sent[one][np.clip(row, 0, height - 1), np.clip(along, 0, width - 1)].T
    return total / np.float32(BOUNCES)


def _smoothed(light: Array) -> Array:
    """Each point averaged with its neighbours, up and down and to both sides."""
    for _ in range(2 * SMOOTH):
        padded = np.pad(light, [(1, 1), (0, 0), (0, 0)], mode="edge")
        light = np.asarray((padded[:-2] + padded[1:-1] + padded[2:]) * np.float32(1 / 3)).swapaxes(0, 1)
    return light
