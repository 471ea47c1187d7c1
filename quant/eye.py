"""What an eye sees of a scene: squares of the picture, each asking only the surfaces that are before it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from quant.light_maps import light_maps
from quant.surfaces import NEAR, Surface, Vector, looked_up
from quant.tracer import Scene, column, dot, met
from runtime.memory import cores

__all__ = ["Eye", "render"]

Array = np.ndarray[Any, Any]

TILE = 50  # pixels a side
FINE = 2  # rays a pixel, each way


@dataclass(frozen=True)
class Eye:
    """Where it is, where it looks (radians; 0 is along z, yaw to the right, pitch up), and how wide."""

    place: Vector
    yaw: float = 0.0
    pitch: float = 0.0
    view: float = 0.8  # from the left edge to the right one


def render(scene: Scene, eye: Eye, *, height: int, width: int) -> Array:
    """The light that reaches each pixel, linear, not cut: float32 (height, width, 3)."""
    maps = light_maps(scene)
    picture = np.empty((height, width, 3), np.float32)
    corners = [(y, x) for y in range(0, height, TILE) for x in range(0, width, TILE)]

    def draw(corner: tuple[int, int]) -> None:
        rows, columns = (slice(at, min(at + TILE, size)) for at, size in zip(corner, (height, width), strict=True))
        rays = _rays(eye, rows, columns, height, width)
        light = _seen(scene, maps, column(eye.place), rays, among=_before(scene, eye, rays))
        shape = (rows.stop - rows.start, FINE, columns.stop - columns.start, FINE, 3)
        picture[rows, columns] = light.T.reshape(shape).mean((1, 3))

    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(draw, corners))
    return picture


def _rays(eye: Eye, rows: slice, columns: slice, height: int, width: int) -> Array:
    """The rays of a part of the picture, of length 1, FINE x FINE a pixel."""
    y, x = (
        (np.arange(part.start * FINE, part.stop * FINE) + 0.5) / FINE - size / 2
        for part, size in ((rows, height), (columns, width))
    )
    step = math.tan(eye.view / 2) / (width / 2)
    right, up = (one.ravel() * step for one in np.meshgrid(x, -y))
    up, ahead = _turned(up, np.ones_like(up), eye.pitch)
    right, ahead = _turned(right, ahead, eye.yaw)
    rays = np.stack([right, up, ahead]).astype(np.float32)
    return np.asarray(rays / np.sqrt(dot(rays, rays)))


def _turned(aside: Array, ahead: Array, angle: float) -> tuple[Array, Array]:
    cosine, sine = math.cos(angle), math.sin(angle)
    return aside * cosine + ahead * sine, ahead * cosine - aside * sine


def _before(scene: Scene, eye: Eye, rays: Array) -> list[int]:
    """The surfaces whose ball a cone around these rays touches."""
    axis = rays.mean(axis=1)
    axis /= np.linalg.norm(axis)
    spread = math.acos(min(float((axis @ rays).min()), 1.0))
    found = []
    for number, surface in enumerate(scene.surfaces):
        centre, radius = surface.shape.bounds
        way = np.subtract(centre, eye.place)
        far = float(np.linalg.norm(way))
        if far <= radius or math.acos(np.clip(way @ axis / far, -1, 1)) <= spread + math.asin(radius / far):
            found.append(number)
    return found


def _seen(
    scene: Scene, maps: Sequence[Array], origin: Array, rays: Array, *, among: Sequence[int] | None = None
) -> Array:
    """The light that comes along these rays, backwards: (3, n); with `among` told, what is glossy mirrors the rest."""
    far, number = met(scene, origin, rays, among=among)
    light = np.zeros(rays.shape, np.float32)
    for one in np.unique(number[number >= 0]):
        (which,) = np.nonzero(number == one)
        surface, way = scene.surfaces[one], rays[:, which]
        material, wraps = surface.material, surface.shape.wraps
        points = (origin if origin.shape[1] == 1 else origin[:, which]) + far[which] * way
        u, v = surface.shape.uv(points)
        here = looked_up(material.paint, u, v, wraps=wraps) * looked_up(maps[one], u, v, wraps=wraps)
        if material.glow is not None:
            here = here + looked_up(material.glow, u, v, wraps=wraps)
        if among is not None and material.gloss:
            here = here + _mirrored(scene, maps, surface, points, way)
        light[:, which] = here
    return light


def _mirrored(scene: Scene, maps: Sequence[Array], surface: Surface, points: Array, rays: Array) -> Array:
    """What a glossy surface shows of the others: more of it the flatter one looks (Schlick 1994)."""
    normal, gloss = surface.shape.normal(points), np.float32(surface.material.gloss)
    cosine = dot(normal, rays)
    away = rays - 2 * cosine * normal
    share = gloss + (1 - gloss) * (1 - np.minimum(np.abs(cosine), 1)) ** 5
    return np.asarray(share * _seen(scene, maps, points + 10 * NEAR * away, away))
