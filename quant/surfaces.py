"""Surfaces that rays can meet: flat pieces, balls, and the sides of cones; each with places of its own, u and v.

Axes of the world as in `rooms`: x to the right, y up, z away from the viewer; metres. Points and rays are (3, n).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

__all__ = ["Ball", "Flat", "Material", "Shape", "Side", "Surface", "box", "looked_up", "vector"]

Array = np.ndarray[Any, Any]
Vector = tuple[float, float, float]

NEAR = np.float32(1e-4)  # metres, or a share of a ray: a surface does not meet the rays that begin on it
PARALLEL = np.float32(1e-9)  # no ray is parallel to a flat
NEVER = np.float32(np.inf)


@dataclass(frozen=True)
class Flat:
    """A parallelogram, or the ellipse in it; its front is where `across` goes right and `up` goes up."""

    corner: Vector
    across: Vector
    up: Vector
    round: bool = False

    @property
    def wraps(self) -> bool:
        """Whether u begins again where it ends."""
        return False

    @property
    def size(self) -> tuple[float, float]:
        """How far u and v reach, in metres."""
        return float(np.linalg.norm(self.across)), float(np.linalg.norm(self.up))

    @property
    def bounds(self) -> tuple[Vector, float]:
        """A ball around it."""
        diagonals = np.add(self.across, self.up), np.subtract(self.across, self.up)
        middle = np.add(self.corner, diagonals[0] / 2)
        return vector(middle), max(float(np.linalg.norm(one)) for one in diagonals) / 2

    @cached_property
    def _front(self) -> Array:
        return _unit(np.cross(self.up, self.across))

    @cached_property
    def _rows(self) -> tuple[Array, Array]:
        """What makes u and v of a point, and what is taken away from them."""
        rows = np.linalg.pinv(np.array([self.across, self.up]).T).astype(np.float32)
        return rows, rows @ np.array(self.corner, np.float32)

    def meet(self, origin: Array, rays: Array) -> Array:
        """How many of its own lengths each ray goes until it is here; infinity for never."""
        along = _dot(self._front, rays)
        along[along == 0] = PARALLEL
        far = (np.float32(np.dot(self._front, self.corner)) - _dot(self._front, origin)) / along
        rows, start = self._rows
        u, v = (_dot(row, origin) - begin + far * _dot(row, rays) for row, begin in zip(rows, start, strict=True))
        inside = (u - 0.5) ** 2 + (v - 0.5) ** 2 < 0.25 if self.round else (u > 0) & (u < 1) & (v > 0) & (v < 1)
        return np.where(inside & (far > NEAR), far, NEVER)

    def uv(self, points: Array) -> tuple[Array, Array]:
        """Where on it points lie, 0 to 1."""
        rows, start = self._rows
        return _dot(rows[0], points) - start[0], _dot(rows[1], points) - start[1]

    def at(self, u: Array, v: Array) -> Array:
        """The points that lie there."""
        corner, across, up = (_column(one) for one in (self.corner, self.across, self.up))
        return np.asarray(corner + u * across + v * up)

    def normal(self, points: Array) -> Array:
        """Which way the front looks."""
        return np.broadcast_to(self._front[:, None], points.shape)


@dataclass(frozen=True)
class Ball:
    """An ellipsoid along the axes; u goes around it, v from the top to the bottom."""

    centre: Vector
    radii: Vector

    @property
    def wraps(self) -> bool:
        """Whether u begins again where it ends."""
        return True

    @property
    def size(self) -> tuple[float, float]:
        """How far u and v reach, in metres."""
        return 2 * math.pi * self.radii[0], math.pi * self.radii[1]

    @property
    def bounds(self) -> tuple[Vector, float]:
        """A ball around it."""
        return self.centre, max(self.radii)

    def meet(self, origin: Array, rays: Array) -> Array:
        """How many of its own lengths each ray goes until it is here; infinity for never."""
        start, way = self._own(origin), rays / _column(self.radii)
        square, middle = _dot(way, way), _dot(start, way)
        return _first(square, middle, _dot(start, start) - 1, lambda far: far > NEAR)

    def uv(self, points: Array) -> tuple[Array, Array]:
        """Where on it points lie, 0 to 1."""
        x, y, z = self._own(points)
        return _turn(x, z), np.arccos(np.clip(y, -1, 1)) * np.float32(1 / math.pi)

    def at(self, u: Array, v: Array) -> Array:
        """The points that lie there."""
        turn, down = 2 * math.pi * u, math.pi * v
        unit = np.stack([np.sin(down) * np.cos(turn), np.cos(down), np.sin(down) * np.sin(turn)])
        return np.asarray(_column(self.centre) + unit * _column(self.radii))

    def normal(self, points: Array) -> Array:
        """Outwards."""
        outward = self._own(points) / _column(self.radii)
        return np.asarray(outward / np.sqrt(_dot(outward, outward)))

    def _own(self, points: Array) -> Array:
        """Points as the ball of radius 1 around 0 sees them."""
        return np.asarray((points - _column(self.centre)) / _column(self.radii))


@dataclass(frozen=True)
class Side:
    """The side of an upright cone that is cut: as wide as `low` below and as `high` above; v goes up."""

    foot: Vector  # the middle of its lower rim
    height: float
    low: float
    high: float
    inward: bool = False  # its front is seen from within

    @property
    def wraps(self) -> bool:
        """Whether u begins again where it ends."""
        return True

    @property
    def size(self) -> tuple[float, float]:
        """How far u and v reach, in metres."""
        return 2 * math.pi * max(self.low, self.high), self.height

    @property
    def bounds(self) -> tuple[Vector, float]:
        """A ball around it."""
        x, y, z = self.foot
        return (x, y + self.height / 2, z), math.hypot(self.height / 2, max(self.low, self.high))

    @property
    def slope(self) -> float:
        """How much wider it is a metre further up."""
        return (self.high - self.low) / self.height

    def meet(self, origin: Array, rays: Array) -> Array:
        """How many of its own lengths each ray goes until it is here; infinity for never."""
        (x, y, z), (dx, dy, dz) = origin - _column(self.foot), rays
        wide, wider = self.low + self.slope * y, self.slope * dy
        square = dx * dx + dz * dz - wider * wider
        middle = x * dx + z * dz - wide * wider
        rest = x * x + z * z - wide * wide

        def within(far: Array) -> Array:
            up = y + far * dy
            return (far > NEAR) & (up > 0) & (up < self.height)

        return _first(np.where(square == 0, PARALLEL, square), middle, rest, within)

    def uv(self, points: Array) -> tuple[Array, Array]:
        """Where on it points lie, 0 to 1."""
        x, y, z = points - _column(self.foot)
        return _turn(x, z), y * np.float32(1 / self.height)

    def at(self, u: Array, v: Array) -> Array:
        """The points that lie there."""
        turn, wide = 2 * math.pi * u, self.low + (self.high - self.low) * v
        return np.asarray(_column(self.foot) + np.stack([wide * np.cos(turn), self.height * v, wide * np.sin(turn)]))

    def normal(self, points: Array) -> Array:
        """Which way the front looks."""
        x, _, z = points - _column(self.foot)
        around = np.maximum(np.hypot(x, z), PARALLEL)
        outward = np.stack([x / around, np.full_like(x, -self.slope), z / around]) / math.hypot(1, self.slope)
        return np.asarray(-outward if self.inward else outward)


Shape = Flat | Ball | Side


@dataclass(frozen=True)
class Material:
    """What a surface does with light."""

    paint: Array = field(default_factory=lambda: np.full((1, 1, 3), 0.6, np.float32))  # (h, w, 3), its first row at v=1
    glow: Array | None = None  # the light it sends out itself, likewise
    gloss: float = 0.0  # the share that it mirrors, seen from straight ahead
    thin: bool = False  # light falls through, as through a leaf
    texel: float = 0.02  # metres: how finely light is known on it


@dataclass(frozen=True)
class Surface:
    """A shape and what it is made of."""

    shape: Shape
    material: Material


def box(
    low: Vector, high: Vector, material: Material, *, turn: float = 0.0, front: Material | None = None
) -> list[Surface]:
    """The faces of a box that may be seen from before and above, turned about its own middle; `front` is another's."""
    (x, y, z), (x2, y2, z2) = low, high
    middle = np.array([(x + x2) / 2, 0, (z + z2) / 2])
    cosine, sine = math.cos(turn), math.sin(turn)
    turned = np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
    wide, tall, deep = (turned @ way for way in ((x2 - x, 0, 0), (0, y2 - y, 0), (0, 0, z2 - z)))

    def flat(corner: tuple[float, float, float], across: Array, up: Array) -> Flat:
        return Flat(vector(turned @ (np.array(corner) - middle) + middle), vector(across), vector(up))

    faces = [
        flat((x, y2, z), wide, deep),
        flat((x, y, z2), -deep, tall),
        flat((x2, y, z), deep, tall),
        flat((x2, y, z2), -wide, tall),
        flat((x, y, z2), wide, -deep),
    ]
    return [Surface(flat((x, y, z), wide, tall), front or material), *(Surface(face, material) for face in faces)]


def looked_up(image: Array, u: Array, v: Array, *, wraps: bool) -> Array:
    """The image (h, w, 3) at those places, (3, n), straight lines between the middles of its pixels."""
    height, width, _ = image.shape
    if height == width == 1:
        return np.broadcast_to(image[0, 0][:, None], (3, len(u)))
    x, y = u * width - np.float32(0.5), (1 - v) * height - np.float32(0.5)
    left, top = np.floor(x).astype(np.int32), np.floor(y).astype(np.int32)
    right, down = (x - left).astype(np.float32)[:, None], (y - top).astype(np.float32)[:, None]
    ends = (left % width, (left + 1) % width) if wraps else (_held(left, width), _held(left + 1, width))
    upper, lower = _held(top, height) * width, _held(top + 1, height) * width
    flat = image.reshape(-1, 3)
    above = flat[upper + ends[0]] * (1 - right) + flat[upper + ends[1]] * right
    below = flat[lower + ends[0]] * (1 - right) + flat[lower + ends[1]] * right
    return np.asarray((above * (1 - down) + below * down).T)


def _held(at: Array, size: int) -> Array:
    return np.clip(at, 0, size - 1)


def _first(square: Array, middle: Array, rest: Array, valid: Any) -> Array:
    """The first root of square t^2 + 2 middle t + rest that is valid."""
    inside = middle * middle - square * rest
    root = np.sqrt(np.maximum(inside, 0))
    ends = (-middle - root) / square, (-middle + root) / square
    near, far = np.minimum(*ends), np.maximum(*ends)
    return np.where(inside < 0, NEVER, np.where(valid(near), near, np.where(valid(far), far, NEVER)))


def _turn(x: Array, z: Array) -> Array:
    """The angle around the vertical, 0 to 1."""
    return np.asarray(np.arctan2(z, x) * np.float32(0.5 / math.pi)) % np.float32(1)


def _dot(a: Array, b: Array) -> Array:
    return np.asarray(a[0] * b[0] + a[1] * b[1] + a[2] * b[2])


def _unit(vector: Array) -> Array:
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def _column(vector: Any) -> Array:
    return np.asarray(vector, np.float32)[:, None]


def vector(array: Array) -> Vector:
    """The three numbers of an array."""
    x, y, z = map(float, array)
    return x, y, z
