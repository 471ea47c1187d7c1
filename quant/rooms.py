"""Rooms with exact depth: rays cast into a box with boxes and spheres in it, textured and shaded.

Depth is along the camera's axis, as a depth camera gives it: a wall straight ahead is equally deep everywhere.
Axes of the world: x to the right, y up, z into the room; metres.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from quant.nyu import METRES, shrunk

__all__ = ["Box", "Camera", "Room", "Sphere", "Texture", "furnished", "pair", "render", "room"]

Array = np.ndarray[Any, Any]
Vector = tuple[float, float, float]

NEAR = 0.4  # metres between the camera and whatever it sees
SUPPORT = np.float32(1e-9)  # no ray is parallel to a wall


@dataclass(frozen=True)
class Texture:
    """Two colours in waves: stripes, checks or a mottle, at so many waves a metre."""

    colour: Vector = (0.7, 0.7, 0.7)
    other: Vector = (0.7, 0.7, 0.7)
    waves: float = 2.0
    kind: str = "plain"  # "plain", "stripes", "checks", "mottle"


@dataclass(frozen=True)
class Box:
    """A box between two corners; seen from within it is a room."""

    low: Vector
    high: Vector
    texture: Texture = field(default_factory=Texture)


@dataclass(frozen=True)
class Sphere:
    """A ball."""

    centre: Vector
    radius: float
    texture: Texture = field(default_factory=Texture)


@dataclass(frozen=True)
class Camera:
    """Where it is, where it looks (radians; 0 is along z, yaw to the right, pitch up), and how wide."""

    place: Vector
    yaw: float = 0.0
    pitch: float = 0.0
    view: float = 1.0  # radians from edge to edge


@dataclass(frozen=True)
class Room:
    """Walls, what stands in them, and a lamp."""

    walls: Box
    things: tuple[Box | Sphere, ...]
    lamp: Vector
    ambient: float = 0.35


@dataclass
class _Hits:
    """What each ray meets first: how far (in its own lengths), the surface's direction, which thing."""

    far: Array
    normal: Array
    thing: Array


def room(rng: np.random.Generator, size: int | tuple[int, int]) -> tuple[Array, Array]:
    """A picture (h, w, 3), 0 to 1, of a room that nobody saw before, and its depth (h, w) in metres."""
    height, width = (size, size) if isinstance(size, int) else size
    scene, camera = furnished(rng)
    rgb, depth = render(scene, camera, height=height, width=width)
    rgb = rgb * np.float32(rng.uniform(0.7, 1.3)) * rng.uniform(0.9, 1.1, 3).astype(np.float32)
    rgb += rng.standard_normal(rgb.shape, np.float32) * np.float32(rng.uniform(0, 0.02))
    return np.clip(rgb, 0, 1), depth


def pair(seed: int, index: int, *, size: int = 224, out: int = 56) -> tuple[Array, Array]:
    """Sample number `index`: the picture (size, size, 3) and its depth (out, out, 1) in units of ten metres."""
    rgb, depth = room(np.random.default_rng((seed, index)), size)
    return rgb, np.clip(shrunk(depth / np.float32(METRES), out), 0, 1)[..., None]


def render(scene: Room, camera: Camera, *, height: int, width: int) -> tuple[Array, Array]:
    """The light each pixel gets, linear, not cut; and how deep the room is there."""
    rays = _rays(camera, height, width)
    origin = np.array(camera.place, np.float32)
    hits = _inside(scene.walls, origin, rays)
    for number, thing in enumerate(scene.things, start=1):
        _meet(hits, thing, number, origin, rays)
    # A ray is one metre long along the camera's axis: its lengths are the depth.
    return _shaded(scene, hits, origin, rays).reshape(height, width, 3), hits.far.reshape(height, width)


def _rays(camera: Camera, height: int, width: int) -> Array:
    """A ray through the middle of each pixel, (3, pixels), of length one along the camera's axis."""
    half = np.tan(camera.view / 2)
    across = (np.arange(width) + 0.5) / width * 2 - 1
    down = (np.arange(height) + 0.5) / height * 2 - 1
    x, y = np.meshgrid(across * half, -down * half * height / width)
    (cos, sin), (up_cos, up_sin) = ((np.cos(angle), np.sin(angle)) for angle in (camera.yaw, camera.pitch))
    z, y = up_cos - y * up_sin, up_sin + y * up_cos
    rays = np.stack([x * cos + z * sin, y, z * cos - x * sin]).reshape(3, -1).astype(np.float32)
    return np.where(np.abs(rays) < SUPPORT, SUPPORT, rays)


def _inside(walls: Box, origin: Array, rays: Array) -> _Hits:
    """Where rays leave the room."""
    low, high = (np.array(corner, np.float32)[:, None] for corner in (walls.low, walls.high))
    far = (np.where(rays > 0, high, low) - origin[:, None]) / rays
    axis = far.argmin(axis=0)
    pixels = np.arange(rays.shape[1])
    normal = np.zeros_like(rays)
    normal[axis, pixels] = -np.sign(rays[axis, pixels])
    return _Hits(far[axis, pixels], normal, np.zeros(rays.shape[1], np.int16))


def _meet(hits: _Hits, thing: Box | Sphere, number: int, origin: Array, rays: Array) -> None:
    """Note the rays that meet the thing before anything else."""
    far, which = _sphere(thing, origin, rays) if isinstance(thing, Sphere) else _box(thing, origin, rays)
    first = np.flatnonzero((far > 0) & (far < hits.far))
    hits.far[first], hits.thing[first] = far[first], number
    if isinstance(thing, Sphere):
        place = origin[:, None] + rays[:, first] * far[first]
        hits.normal[:, first] = (place - np.array(thing.centre, np.float32)[:, None]) / np.float32(thing.radius)
    else:
        hits.normal[:, first] = 0
        hits.normal[which[first], first] = -np.sign(rays[which[first], first])


def _box(box: Box, origin: Array, rays: Array) -> tuple[Array, Array]:
    """How far the box is on each ray, infinitely if it is missed, and the axis of the face that is met."""
    low, high = (np.array(corner, np.float32)[:, None] - origin[:, None] for corner in (box.low, box.high))
    to_low, to_high = low / rays, high / rays
    near, far = np.minimum(to_low, to_high), np.maximum(to_low, to_high)
    axis = near.argmax(axis=0)
    enter = near.max(axis=0)
    return np.where(enter <= far.min(axis=0), enter, np.float32(np.inf)), axis


def _sphere(sphere: Sphere, origin: Array, rays: Array) -> tuple[Array, Array]:
    """How far the ball is on each ray, infinitely if it is missed."""
    away = origin - np.array(sphere.centre, np.float32)
    square = np.einsum("cp,cp->p", rays, rays)
    half = away @ rays
    inner = half * half - square * np.float32(away @ away - sphere.radius**2)
    far = (-half - np.sqrt(np.maximum(inner, 0))) / square
    return np.where(inner > 0, far, np.float32(np.inf)), np.empty(0, int)


def _shaded(scene: Room, hits: _Hits, origin: Array, rays: Array) -> Array:
    """Texture times light, (pixels, 3): a lamp that weakens with the distance, and some from everywhere."""
    place = origin[:, None] + rays * hits.far
    to_lamp = np.array(scene.lamp, np.float32)[:, None] - place
    square = np.einsum("cp,cp->p", to_lamp, to_lamp)
    facing = np.maximum(np.einsum("cp,cp->p", to_lamp, hits.normal), 0) / np.sqrt(square)
    light = np.float32(scene.ambient) + facing * np.float32(4) / (np.float32(2) + square)
    colours = np.empty((rays.shape[1], 3), np.float32)
    for number, texture in enumerate(_textures(scene)):
        mine = np.flatnonzero(hits.thing == number)
        colours[mine] = _coloured(texture, place[:, mine], hits.normal[:, mine])
    return colours * light[:, None]


def _textures(scene: Room) -> Iterator[Texture]:
    yield from (thing.texture for thing in (scene.walls, *scene.things))


def _coloured(texture: Texture, place: Array, normal: Array) -> Array:
    """The texture's colour at these places; each way a wall faces has its own shade, as if painted apart."""
    x, y, z = place * np.float32(2 * np.pi * texture.waves)
    match texture.kind:
        case "stripes":
            share = np.sin(x + z) > 0
        case "checks":
            share = (np.sin(x) > 0) ^ (np.sin(y) > 0) ^ (np.sin(z) > 0)
        case "mottle":
            share = 0.5 + 0.25 * (np.sin(x + np.sin(2.3 * z)) + np.sin(1.7 * y + np.sin(1.3 * x + z)))
        case _:
            share = np.zeros(len(x))
    shade = 1 + np.float32(0.12) * (normal[0] - normal[1])
    mix = share.astype(np.float32)[:, None]
    first, other = (np.array(colour, np.float32) for colour in (texture.colour, texture.other))
    return np.asarray((first * (1 - mix) + other * mix) * shade[:, None])


def furnished(rng: np.random.Generator) -> tuple[Room, Camera]:
    """A room of three to ten metres with up to nine things on its floor, on one another or in the air; and a camera."""
    width, height, length = rng.uniform(3, 7), rng.uniform(2.2, 3.5), rng.uniform(3, 9.5)
    walls = Box((0.0, 0.0, 0.0), (width, height, length), _texture(rng, most=2.0))
    camera = Camera(
        (width * rng.uniform(0.2, 0.8), rng.uniform(0.8, 1.8), rng.uniform(0.2, 0.8)),
        yaw=rng.uniform(-0.4, 0.4),
        pitch=rng.uniform(-0.35, 0.15),
        view=rng.uniform(0.8, 1.2),
    )
    things = [thing for _ in range(int(rng.integers(3, 10))) if _apart(thing := _thing(rng, walls), camera)]
    lamp = tuple(float(side * rng.uniform(0.2, 0.8)) for side in (width, 1.1 * height, length))
    return Room(walls, tuple(things), (lamp[0], lamp[1], lamp[2]), ambient=rng.uniform(0.15, 0.5)), camera


def _thing(rng: np.random.Generator, walls: Box) -> Box | Sphere:
    """A box or a ball somewhere beyond the camera."""
    width, height, length = walls.high
    x, z = rng.uniform(0, width), rng.uniform(1.2, length)
    floor = 0.0 if rng.random() < 0.75 else rng.uniform(0.3, 0.7 * height)
    if rng.random() < 0.35:
        radius = rng.uniform(0.12, 0.6)
        return Sphere((x, floor + radius, z), radius, _texture(rng, most=6.0))
    across, tall, deep = rng.uniform(0.15, 1.5), rng.uniform(0.1, 0.8 * height), rng.uniform(0.15, 1.5)
    low, high = (x - across / 2, floor, z - deep / 2), (x + across / 2, floor + tall, z + deep / 2)
    return Box(low, high, _texture(rng, most=6.0))


def _apart(thing: Box | Sphere, camera: Camera) -> bool:
    """Whether the camera is not in the thing and not right before it."""
    place = np.array(camera.place)
    if isinstance(thing, Sphere):
        return bool(np.linalg.norm(place - thing.centre) > thing.radius + NEAR)
    return bool(np.linalg.norm(place - np.clip(place, thing.low, thing.high)) > NEAR)


def _texture(rng: np.random.Generator, *, most: float) -> Texture:
    colours = rng.uniform(0.08, 0.95, (2, 3))
    colours[1] = 0.5 * colours.mean(axis=0) + 0.5 * colours[1]
    (r, g, b), (r2, g2, b2) = (map(float, colour) for colour in colours)
    kind = str(rng.choice(["plain", "stripes", "checks", "mottle", "mottle"]))
    return Texture((r, g, b), (r2, g2, b2), waves=float(rng.uniform(0.4, most)), kind=kind)
