"""Which surface a ray meets first, and whether it meets any: things are asked only by rays that pass near them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from quant.surfaces import NEAR, NEVER, Surface
from runtime.memory import cores

__all__ = ["Lamp", "Scene", "column", "dot", "in_blocks", "met", "shaded"]

Array = np.ndarray[Any, Any]

BLOCK = 2**14  # rays followed at a time: they stay in a core's cache
CLEAR = 10 * NEAR  # of a way: what is nearer to an end than this is the end itself


@dataclass(frozen=True)
class Lamp:
    """Points that send out light; those with a `facing` only to that side, most straight ahead."""

    points: Array  # (k, 3)
    power: Array  # (k, 3), at a metre's distance
    facing: Array | None = None  # (k, 3)


@dataclass(frozen=True)
class Scene:
    """Things, each of some surfaces; walls, which throw no shadow; and lamps."""

    walls: Sequence[Surface]
    things: Sequence[Sequence[Surface]]
    lamps: Sequence[Lamp]
    ambient: tuple[float, float, float] = (0.0, 0.0, 0.0)  # what has bounced more than once, on everything alike
    step: float = 1.0  # light is known at points so many times farther apart than the materials say

    @cached_property
    def surfaces(self) -> list[Surface]:
        """All of them: those of the walls first."""
        return [*self.walls, *(surface for thing in self.things for surface in thing)]

    @cached_property
    def groups(self) -> list[tuple[Array, float, range]]:
        """A ball around each thing, and the numbers of its surfaces."""
        groups, start = [], len(self.walls)
        for thing in self.things:
            balls = [surface.shape.bounds for surface in thing]
            middle = np.mean([centre for centre, _ in balls], axis=0).astype(np.float32)
            reach = max(float(np.linalg.norm(np.subtract(centre, middle))) + radius for centre, radius in balls)
            groups.append((middle, reach, range(start, start + len(thing))))
            start += len(thing)
        return groups


def met(scene: Scene, origin: Array, rays: Array, *, among: Sequence[int] | None = None) -> tuple[Array, Array]:
    """How far each ray (3, n) goes, and the number of the surface where it ends; -1 is none.

    All begin in `origin`, (3, 1), or each in its own. Those who know what can be met at all say so by `among`.
    """
    far = np.full(rays.shape[1], NEVER, np.float32)
    number = np.full(rays.shape[1], -1, np.int32)

    def meet(one: int, which: Any) -> None:
        start = origin if origin.shape[1] == 1 else origin[:, which]
        found = scene.surfaces[one].shape.meet(start, rays[:, which])
        nearer = found < far[which]
        far[which] = np.where(nearer, found, far[which])
        number[which] = np.where(nearer, one, number[which])

    for one in range(len(scene.walls)) if among is None else among:
        meet(one, slice(None))
    for centre, radius, inside in scene.groups if among is None else ():
        (near,) = np.nonzero(_passes(origin, rays, centre, radius))
        for one in inside if len(near) else ():
            meet(one, near)
    return far, number


def shaded(scene: Scene, points: Array, way: Array) -> Array:
    """Whether something stands between points and where their ways end."""
    hidden = np.zeros(points.shape[1], bool)
    for centre, radius, inside in scene.groups:
        (near,) = np.nonzero(~hidden & _passes(points, way, centre, radius))
        start, ahead = points[:, near], way[:, near]
        for one in inside if len(near) else ():
            far = scene.surfaces[one].shape.meet(start, ahead)
            hidden[near] |= (far > CLEAR) & (far < 1 - CLEAR)
    return hidden


def _passes(origin: Array, rays: Array, centre: Array, radius: float) -> Array:
    """Which rays pass through a ball."""
    way = centre[:, None] - origin
    square, along, away = dot(rays, rays), dot(way, rays), dot(way, way)
    return np.asarray(((along > 0) | (away < radius**2)) & (away * square - along * along < radius**2 * square))


def in_blocks(work: Callable[[slice], Array], count: int) -> Array:
    """The work on so many columns, a block at a time, on all cores."""
    with ThreadPoolExecutor(cores()) as pool:
        parts = pool.map(work, [slice(at, min(at + BLOCK, count)) for at in range(0, count, BLOCK)])
        return np.concatenate(list(parts), axis=1)


def dot(a: Array, b: Array) -> Array:
    """The product of vectors (3, n), one by one."""
    return np.asarray(a[0] * b[0] + a[1] * b[1] + a[2] * b[2])


def column(vector: Any) -> Array:
    """A vector that stands beside (3, n)."""
    return np.asarray(vector, np.float32)[:, None]
