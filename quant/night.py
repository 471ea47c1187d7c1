"""A desk by a window at night: a scene to look at, made here, so that no photograph has to travel with the project.

It has what a low-light picture is judged by: a wall that fades into the dark without a step, print and fine lines,
a chart of colours, wood, cloth, leaves and skins of fruit, deep shadows, and lamps brighter than white.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from quant import paints
from quant.eye import Eye, render
from quant.paints import one
from quant.surfaces import Ball, Flat, Material, Side, Surface, box, looked_up, vector
from quant.tracer import Lamp, Scene

__all__ = ["night"]

Array = np.ndarray[Any, Any]
Generator = np.random.Generator
Thing = list[Surface]
Range = tuple[float, float]

SEED = 20
TABLE = 0.75  # metres above the floor
SKIRT, ROOM = 0.7, 2.5  # the wall behind the desk is seen from here up to the ceiling
LEFT, RIGHT, BEHIND = -1.6, 1.8, -2.0  # the other walls
WALL = 1.0  # metres away: the wall with the window
WINDOW = ((0.3, 1.02), (1.32, 1.98))  # left and right, lower and upper edge
EYE = Eye((0.06, 1.32, -1.5), yaw=0.02, pitch=-0.1, view=0.84)
BULB = (-0.64, 1.25, 0.62)
FLAME = (0.5, 0.968, 0.28)
WARM, CANDLE, STREET = np.array([1.0, 0.69, 0.4]), np.array([1.0, 0.6, 0.27]), np.array([0.45, 0.6, 1.0])
AMBIENT, EXPOSURE = (0.0065, 0.0065, 0.0075), np.float32(2.25)


def night(height: int = 1000, width: int = 1500) -> Array:
    """The scene in linear sRGB, float32 (height, width, 3), white at 1 and lamps above it; the same at every call."""
    rng = np.random.default_rng(SEED)
    shade, skyline = _shade(), paints.city(rng, 800, 960)
    things = [
        _desk(rng),
        *_window_frame(),
        [*_lamp_foot(), shade],
        _poster(),
        _painting(rng),
        _books(),
        _chart(),
        _cloth(rng),
        _page(),
        _bowl(rng),
        _mug(),
        _candle(),
        _plant(rng),
    ]
    step = max(1000 / height, 1.0)  # a small picture shows no finer light
    scene = Scene(_walls(rng, skyline), things, _lamps(shade), ambient=AMBIENT, step=step)
    return render(scene, EYE, height=height, width=width) * EXPOSURE


def _plain(code: str, *, gloss: float = 0.0, texel: float = 0.02) -> Material:
    """One colour all over."""
    return Material(one(code), gloss=gloss, texel=texel)


def _walls(rng: Generator, skyline: Array) -> Thing:
    """The wall around the window, what is seen through it, the walls at both sides, floor and ceiling."""
    plaster = paints.plaster(rng, 900, 1700, "#b9b1a2")
    (left, low), (right, high) = WINDOW
    sides = [
        Flat((LEFT, 0, BEHIND), (0, 0, WALL - BEHIND), (0, ROOM, 0)),
        Flat((RIGHT, 0, WALL), (0, 0, BEHIND - WALL), (0, ROOM, 0)),
        Flat((LEFT, ROOM, WALL), (RIGHT - LEFT, 0, 0), (0, 0, BEHIND - WALL)),
    ]
    floor = Surface(Flat((LEFT, 0, BEHIND), (RIGHT - LEFT, 0, 0), (0, 0, WALL - BEHIND)), _plain("#5a4636", texel=0.05))
    view = Flat((left - 0.1, low - 0.1, WALL + 0.13), (right - left + 0.2, 0, 0), (0, high - low + 0.2, 0))
    outside = Surface(view, Material(one("#000000"), glow=skyline * np.float32(0.13), texel=1.0))
    return [
        _wall(plaster, (LEFT, left), (SKIRT, ROOM)),
        _wall(plaster, (right, RIGHT), (SKIRT, ROOM)),
        _wall(plaster, (left, right), (SKIRT, low)),
        _wall(plaster, (left, right), (high, ROOM)),
        *(Surface(side, Material(plaster, texel=0.05)) for side in sides),
        floor,
        outside,
    ]


def _wall(plaster: Array, x: Range, y: Range) -> Surface:
    """A piece of the wall behind the desk, with its piece of the plaster."""
    height, width, _ = plaster.shape
    first, last = (round((end - LEFT) / (RIGHT - LEFT) * width) for end in x)
    low, high = (round((ROOM - end) / (ROOM - SKIRT) * height) for end in y)
    flat = Flat((x[0], y[0], WALL), (x[1] - x[0], 0, 0), (0, y[1] - y[0], 0))
    return Surface(flat, Material(plaster[high:low, first:last], texel=0.01))


def _desk(rng: Generator) -> Thing:
    top = Material(paints.wood(rng, 500, 1100, planks=5, dark="#4a2c17", pale="#9a6a3c"), gloss=0.035, texel=0.008)
    edge = Material(paints.wood(rng, 20, 1100, planks=1, dark="#3d2413", pale="#7a5230"), texel=0.02)
    return [
        Surface(Flat((-1.15, TABLE, -0.12), (2.3, 0, 0), (0, 0, WALL + 0.11)), top),
        Surface(Flat((-1.15, TABLE - 0.045, -0.12), (2.3, 0, 0), (0, 0.045, 0)), edge),
    ]


def _window_frame() -> list[Thing]:
    white = _plain("#d8d4ca", texel=0.015)
    (left, low), (right, high) = WINDOW
    middle = (left + right) / 2
    bars = [
        ((left, low, WALL - 0.02), (left + 0.05, high, WALL + 0.1)),
        ((right - 0.05, low, WALL - 0.02), (right, high, WALL + 0.1)),
        ((left, high - 0.05, WALL - 0.02), (right, high, WALL + 0.1)),
        ((left, low, WALL - 0.02), (right, low + 0.05, WALL + 0.1)),
        ((middle - 0.022, low, WALL), (middle + 0.022, high, WALL + 0.06)),
        ((left, 1.78, WALL), (right, 1.815, WALL + 0.06)),
        ((left - 0.06, low - 0.035, WALL - 0.11), (right + 0.06, low, WALL + 0.1)),
    ]
    return [box(*bar, white) for bar in bars]


def _shade() -> Surface:
    x, y, z = BULB
    v = np.linspace(1, 0, 64)[:, None, None]
    lit = np.exp(-(((v - 0.4) / 0.33) ** 2)) * 0.42 + 0.06
    ribs = 1 + 0.05 * np.sin(np.linspace(0, 2 * math.pi * 40, 512, endpoint=False))[None, :, None]
    glow = (lit * ribs * WARM).astype(np.float32)
    return Surface(Side((x, y - 0.085, z), 0.24, 0.19, 0.145), Material(one("#d8c8a8"), glow=glow, texel=0.03))


def _lamp_foot() -> Thing:
    x, _, z = BULB
    brass = _plain("#8a6a34", gloss=0.25, texel=0.01)
    clay = _plain("#2f5d62", gloss=0.06, texel=0.01)
    return [
        Surface(Side((x, TABLE, z), 0.02, 0.085, 0.08), brass),
        Surface(Flat((x - 0.08, TABLE + 0.02, z - 0.08), (0.16, 0, 0), (0, 0, 0.16), round=True), brass),
        Surface(Ball((x, TABLE + 0.14, z), (0.078, 0.125, 0.078)), clay),
        Surface(Side((x, TABLE + 0.25, z), 0.19, 0.012, 0.012), brass),
    ]


def _poster() -> Thing:
    print_ = Material(paints.resolution_chart(), texel=0.012)
    return box((-0.37, 1.2, WALL - 0.008), (-0.12, 1.45, WALL), _plain("#e8e2d2"), front=print_)


def _painting(rng: Generator) -> Thing:
    frame = _plain("#6b4a22", gloss=0.05, texel=0.012)
    canvas = Flat((-0.055, 1.24, WALL - 0.016), (0.23, 0, 0), (0, 0.31, 0))
    body = box((-0.075, 1.22, WALL - 0.015), (0.195, 1.57, WALL), frame)
    return [*body, Surface(canvas, Material(paints.seascape(rng, 400, 300), texel=0.015))]


def _books() -> Thing:
    books = (
        ("RAW AND DEVELOPED", "#7c2f2a", "#e6c77a", 0.30, 0.21, 0.042, 0.10),
        ("THE COUNTING OF PHOTONS", "#27425e", "#d8d2c0", 0.28, 0.20, 0.034, -0.06),
        ("SMALL NETWORKS", "#c9b380", "#3a2a1c", 0.25, 0.18, 0.028, 0.16),
    )
    things, floor = [], TABLE
    for title, code, ink, wide, deep, tall, turn in books:
        x, z = -0.19, 0.66
        cover = Material(one(code), gloss=0.03, texel=0.01)
        back = Material(paints.spine(title, code, ink), gloss=0.02, texel=0.01)
        corners = (x - wide / 2, floor, z - deep / 2), (x + wide / 2, floor + tall, z + deep / 2)
        things += box(*corners, cover, turn=turn, front=back)
        floor += tall
    return things


def _chart() -> Thing:
    """The chart of colours, leaning on the books."""
    card = Flat((-0.36, TABLE + 0.002, 0.44), (0.275, 0, -0.04), (0, 0.157, 0.107))
    return [Surface(card, Material(paints.colour_chart(), texel=0.008))]


def _cloth(rng: Generator) -> Thing:
    cloth = paints.weave(rng, 700, 1200, threads=150, code="#8d8577", other="#7a2e2a")
    return [Surface(Flat((-0.1, TABLE + 0.002, 0.02), (0.72, 0, 0), (0, 0, 0.42)), Material(cloth, texel=0.008))]


def _page() -> Thing:
    sheet = Flat((-0.6, TABLE + 0.002, 0.03), (0.235, 0, -0.05), (0.062, 0.0, 0.29))
    return [Surface(sheet, Material(paints.letter(), texel=0.008))]


def _bowl(rng: Generator) -> Thing:
    x, z = 0.16, 0.26
    clay = _plain("#cfd6d8", gloss=0.05, texel=0.01)
    fruits = (
        ((-0.068, 0.088, -0.02), 0.052, "#d9b13a", "#c23a2a", 1.0),
        ((0.055, 0.09, -0.045), 0.05, "#eecb4e", "#e3b93a", 0.92),
        ((0.07, 0.086, 0.055), 0.05, "#ee9a2c", "#e88a22", 0.95),
        ((-0.03, 0.086, 0.065), 0.051, "#b4c95a", "#9fbf50", 0.98),
        ((0.0, 0.155, 0.01), 0.05, "#f0c298", "#dc8a6a", 0.95),
    )
    y = TABLE + 0.003
    return [
        Surface(Side((x, y, z), 0.018, 0.055, 0.055), clay),
        Surface(Side((x, y + 0.018, z), 0.066, 0.06, 0.142), clay),
        Surface(Side((x, y + 0.019, z), 0.065, 0.052, 0.139, inward=True), clay),
        *(
            Surface(
                Ball((x + dx, y + dy, z + dz), (radius, radius * flat, radius)),
                Material(paints.fruit(rng, code, blush), gloss=0.03, texel=0.006),
            )
            for (dx, dy, dz), radius, code, blush, flat in fruits
        ),
    ]


def _mug() -> Thing:
    x, z, r = -0.16, 0.17, 0.042
    glaze = _plain("#b8402f", gloss=0.05, texel=0.007)
    white = _plain("#e8e4da", gloss=0.04, texel=0.007)
    handle = [
        Surface(
            Ball((x - r - 0.018 * math.sin(t), TABLE + 0.055 - 0.03 * math.cos(t), z - 0.004), (0.0075,) * 3), glaze
        )
        for t in np.linspace(0.05, math.pi - 0.05, 30)
    ]
    return [
        Surface(Side((x, TABLE, z), 0.1, r - 0.002, r), glaze),
        Surface(Side((x, TABLE + 0.005, z), 0.095, r - 0.005, r - 0.003, inward=True), white),
        Surface(
            Flat((x - r, TABLE + 0.082, z - r), (2 * r, 0, 0), (0, 0, 2 * r), round=True), _plain("#3a1a0a", gloss=0.04)
        ),
        *handle,
    ]


def _candle() -> Thing:
    x, y, z = FLAME
    brass = _plain("#8a6a34", gloss=0.3, texel=0.01)
    wax_glow = (np.linspace(1, 0, 16)[:, None, None] ** 2 * CANDLE * 0.5).astype(np.float32)
    wax = Material(one("#e6dcc6"), glow=wax_glow, gloss=0.02, texel=0.01)
    flame = Material(one("#000000"), glow=(np.array([[[1.0, 0.75, 0.4]]]) * 6).astype(np.float32), texel=1.0)
    return [
        Surface(Side((x, TABLE, z), 0.012, 0.05, 0.045), brass),
        Surface(Flat((x - 0.045, TABLE + 0.012, z - 0.045), (0.09, 0, 0), (0, 0, 0.09), round=True), brass),
        Surface(Side((x, TABLE + 0.012, z), 0.178, 0.017, 0.016), wax),
        Surface(Flat((x - 0.016, TABLE + 0.19, z - 0.016), (0.032, 0, 0), (0, 0, 0.032), round=True), wax),
        Surface(Ball((x, y + 0.002, z), (0.0065, 0.019, 0.0065)), flame),
    ]


def _plant(rng: Generator) -> Thing:
    x, z = 0.86, 0.62
    pot = _plain("#a4593a", texel=0.01)
    leaves = []
    for _ in range(110):
        turn, lift = rng.uniform(0, 2 * math.pi), rng.uniform(-0.2, 1.35)
        way = np.array([math.cos(turn) * math.cos(lift), math.sin(lift), math.sin(turn) * math.cos(lift)])
        foot = np.array([x, TABLE + 0.24, z]) + way * rng.uniform(0.05, 0.23) * np.array([1, 1.2, 0.8])
        long = rng.uniform(0.07, 0.13)
        droop = way * [1, 0.5, 1] + [0, rng.uniform(-0.5, 0.25), 0]
        up = droop / np.linalg.norm(droop) * long
        aside = np.cross(up, [0, 1, 0]) + rng.normal(0, 0.02, 3)
        across = aside / np.linalg.norm(aside) * long * rng.uniform(0.35, 0.5)
        corner = foot - across / 2
        blade = Flat(vector(corner), vector(across), vector(up), round=True)
        leaves.append(Surface(blade, Material(paints.leaf(rng), thin=True, texel=0.03)))
    return [
        Surface(Side((x, TABLE, z), 0.15, 0.075, 0.105), pot),
        Surface(Side((x, TABLE + 0.15, z), 0.025, 0.115, 0.115), pot),
        Surface(Side((x, TABLE + 0.14, z), 0.035, 0.105, 0.105, inward=True), pot),
        Surface(Flat((x - 0.105, TABLE + 0.16, z - 0.105), (0.21, 0, 0), (0, 0, 0.21), round=True), _plain("#241a12")),
        *leaves,
    ]


def _lamps(shade: Surface) -> list[Lamp]:
    """The bulb, its shade, the candle's flame, and the window."""
    golden, height = np.arange(20) * 2.399963, np.linspace(-0.95, 0.95, 20)  # radians: points around a ball, evenly
    ball = np.stack([np.sqrt(1 - height**2) * np.cos(golden), height, np.sqrt(1 - height**2) * np.sin(golden)], axis=1)
    bulb = Lamp(BULB + 0.045 * ball, np.tile(WARM * 0.33 / 20, (20, 1)))
    flame = Lamp(
        np.array(FLAME) + np.array([[0, y, 0] for y in (-0.008, 0.004, 0.014)]), np.tile(CANDLE * 0.04, (3, 1))
    )
    (left, low), (right, high) = WINDOW
    x, y = map(np.ravel, np.meshgrid(np.linspace(left, right, 6)[1:-1], np.linspace(low, high, 6)[1:-1]))
    panes = np.stack([x, y, np.full_like(x, WALL - 0.03)], axis=1)
    facing = np.tile([0.0, 0.0, -1.0], (len(x), 1))
    window = Lamp(panes, np.tile(STREET * 0.1 / len(x), (len(x), 1)), facing)
    return [bulb, _from_shade(shade), flame, window]


def _from_shade(shade: Surface, *, around: int = 8) -> Lamp:
    u, v = np.arange(around) / around, np.full(around, 0.45)
    points = shade.shape.at(u, v)
    normals = shade.shape.normal(points)
    wide, tall = shade.shape.size
    glow = np.zeros((1, 1, 3)) if shade.material.glow is None else shade.material.glow
    power = looked_up(glow.astype(np.float32), u, v, wraps=True).T * (wide * tall / math.pi / around * 0.7)
    return Lamp((points + 0.004 * normals).T, power, normals.T)
