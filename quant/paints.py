"""What surfaces of a scene are painted with: wood, plaster, print, a city at night. Linear light, float32 (h, w, 3)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from runtime import srgb

__all__ = [
    "city",
    "clouds",
    "colour_chart",
    "fruit",
    "leaf",
    "letter",
    "one",
    "plaster",
    "resolution_chart",
    "seascape",
    "spine",
    "weave",
    "wood",
]

Array = np.ndarray[Any, Any]
Generator = np.random.Generator

# Six rows of four, as such charts have them: skin, sky, leaf; the clear colours; and greys from white to black.
CHART = (
    ("#735244", "#c29682", "#627a9d", "#576c43", "#8580b1", "#67bdaa"),
    ("#d67e2c", "#505ba6", "#c15a63", "#5e3c6c", "#9dbc40", "#e0a32e"),
    ("#383d96", "#469449", "#af363c", "#e7c71f", "#bb5695", "#0885a1"),
    ("#f3f3f2", "#c8c8c8", "#a0a0a0", "#7a7a79", "#555555", "#343434"),
)
LETTER = (
    "Dear friend, it is past midnight and the lamp is the only light left in",
    "the room. Beyond it there is hardly anything for a lens to gather: a few",
    "electrons in each pixel, and the camera adds a noise of its own to them.",
    "What you read here is set small, so that you can judge how much of it is",
    "left when the picture is made a hundred times brighter. The wood has its",
    "grain, the cloth its threads; the wall fades from the lamp to the corner",
    "without a step, and any cast of colour shows there before all else. Look",
    "at the leaves too, where green is dark and light falls through.",
)
PAPER, INK = "#f1ebdc", "#26221f"


def light(code: str) -> Array:
    """A display's colour, written #rrggbb, as linear light."""
    shown = np.array([int(code[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return srgb.light(shown).astype(np.float32)


def one(code: str) -> Array:
    """A single colour."""
    return light(code)[None, None]


def clouds(rng: Generator, height: int, width: int, *, stretch: float = 1.0, fall: float = 1.0) -> Array:
    """Noise of all scales, amplitude falling as 1 / f^fall, of mean 0 and deviation 1; drawn out to the right."""
    y, x = np.fft.fftfreq(height)[:, None] * height, np.fft.rfftfreq(width) * width * stretch
    frequency = np.hypot(y, x)
    frequency[0, 0] = math.inf
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((height, width))) / frequency**fall, (height, width))
    return np.asarray(noise / noise.std(), np.float32)


def wood(rng: Generator, height: int, width: int, *, planks: int, dark: str, pale: str) -> Array:
    """Planks along the width."""
    picture = np.empty((height, width, 3), np.float32)
    edges = np.linspace(0, height, planks + 1).round().astype(int)
    for top, end in itertools.pairwise(edges):
        tall = end - top
        bent = clouds(rng, tall, width, stretch=9, fall=1.6)
        rings = np.sin(
            9 * (np.linspace(-1, 1, tall)[:, None] * rng.uniform(0.6, 1.5) + 0.3 * bent) ** 2 + rng.uniform(0, 6)
        )
        grain = clouds(rng, tall, width, stretch=40, fall=0.7)
        share = np.clip(0.5 + 0.17 * rings + 0.13 * grain + rng.normal(0, 0.1), 0, 1)[..., None]
        plank = light(dark) * (1 - share) + light(pale) * share
        plank[: max(tall // 90, 1)] *= 0.25
        picture[top:end] = plank
    return picture


def plaster(rng: Generator, height: int, width: int, code: str) -> Array:
    """A painted wall: even, but for what a roller leaves."""
    uneven = 0.012 * clouds(rng, height, width, fall=0.6) + 0.02 * clouds(rng, height, width, fall=1.5)
    return np.asarray(light(code) * (1 + uneven[..., None]), np.float32)


def weave(rng: Generator, height: int, width: int, *, threads: int, code: str, other: str) -> Array:
    """Cloth: threads over and under, each a little thicker or thinner, with two stripes at either end."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    pitch = width / threads
    across, along = np.sin(math.pi * x / pitch) ** 2, np.sin(math.pi * y / pitch) ** 2
    over = ((x // pitch + y // pitch) % 2).astype(np.float32)
    thread = 0.62 + 0.38 * (over * across + (1 - over) * along)
    thread *= 1 + 0.05 * rng.standard_normal(height)[:, None] + 0.05 * rng.standard_normal(width)
    place = np.abs(np.arange(width) / width - 0.5)
    striped = (((place > 0.36) & (place < 0.40)) | ((place > 0.43) & (place < 0.445))).astype(np.float32)[None, :, None]
    return np.asarray((light(code) * (1 - striped) + light(other) * striped) * thread[..., None], np.float32)


def fruit(rng: Generator, code: str, blush: str, *, stalk: str = "#4a3a22") -> Array:
    """A skin that turns from one colour into another, with freckles and a hollow at the top."""
    height, width = 128, 256
    v, u = np.linspace(0, 1, height)[:, None], np.linspace(0, 1, width, endpoint=False)
    side = 0.5 + 0.5 * np.cos(2 * math.pi * (u - 0.62)) * np.sin(math.pi * v)
    share = np.clip(side + 0.13 * clouds(rng, height, width, stretch=0.4), 0, 1)[..., None]
    skin = light(code) * (1 - share) + light(blush) * share
    skin *= 1 + 0.05 * np.clip(clouds(rng, height, width, fall=0.5), -2, 2)[..., None]
    hollow = np.clip((0.1 - v) / 0.06, 0, 1)[..., None]
    return np.asarray(skin * (1 - hollow) + light(stalk) * hollow, np.float32)


def leaf(rng: Generator) -> Array:
    """A leaf's blade from stalk to tip: its veins, and its own green."""
    height, width = 48, 32
    v, u = np.linspace(1, 0, height)[:, None], np.abs(np.linspace(-1, 1, width))
    veins = np.maximum(np.exp(-((u / 0.07) ** 2)) + 0 * v, 0.5 * np.exp(-(((v * 7 - u * 1.4) % 1 - 0.5) ** 2) / 0.012))
    green = light("#4b8034") * rng.uniform(0.7, 1.35) * np.array([rng.uniform(0.8, 1.3), 1, rng.uniform(0.7, 1.1)])
    return np.asarray(
        green * (1 + 0.6 * veins[..., None]) * (1 + 0.1 * clouds(rng, height, width)[..., None]), np.float32
    )


def city(rng: Generator, height: int, width: int) -> Array:
    """A skyline: haze over the streets, three rows of houses, some windows lit; a lens that is focused nearer."""
    v = np.linspace(0, 1, height)[:, None, None]
    sky = light("#0b1630") * (1 - v) + light("#3b4a6e") * v**1.5 + light("#c07840") * (0.55 * v**5)
    picture = np.asarray(
        np.broadcast_to(sky, (height, width, 3)) * (1 + 0.08 * clouds(rng, height, width, stretch=3.0))[..., None]
    )
    for depth, (tops, haze) in enumerate((((0.3, 0.6), 0.5), ((0.42, 0.7), 0.3), ((0.62, 0.85), 0.1))):
        x = 0
        while x < width:
            wide = int(width * rng.uniform(0.05, 0.11))
            top = int(height * rng.uniform(*tops))
            wall = light("#141821") * (1 - haze) + light("#5a4f55") * haze
            picture[top:, x : x + wide] = wall
            _windows(rng, picture[top:, x : x + wide], size=max(width // 240, 1) + depth)
            x += wide + int(width * rng.uniform(-0.01, 0.02))
    glow = _blurred(picture, max(width // 90, 1))
    return np.asarray(0.7 * _blurred(picture, max(width // 500, 1)) + 0.3 * glow, np.float32)


def _windows(rng: Generator, house: Array, *, size: int) -> None:
    """Light some windows of a house, in place."""
    colours = [light(code) for code in ("#ffc878", "#ffe2b0", "#ffb050", "#cfe0ff")]
    tall, wide = size * 2, size
    for y in range(tall, house.shape[0] - tall, int(tall * 1.8)):
        for x in range(wide, house.shape[1] - wide, int(wide * 2.2)):
            if rng.random() < 0.2:
                colour = colours[int(rng.choice(4, p=(0.4, 0.3, 0.2, 0.1)))]
                house[y : y + tall, x : x + wide] = colour * np.exp(rng.uniform(-2.5, 0.5))


def seascape(rng: Generator, height: int, width: int) -> Array:
    """A painting: the sun low over water, with brush strokes."""
    v, u = np.linspace(0, 1, height)[:, None], np.linspace(0, 1, width)
    sky = light("#3d5f8f") * (1 - v[..., None]) + light("#f2b37a") * v[..., None] ** 1.2
    sun = np.exp(-(((v - 0.5) * height) ** 2 + ((u - 0.62) * width) ** 2) / (0.05 * height) ** 2)[..., None]
    sky = sky * (1 - sun) + light("#fff0c8") * sun
    waves = clouds(rng, height, width, stretch=6.0, fall=0.9)
    path = np.exp(-(((u - 0.62) / (0.05 + 0.2 * np.maximum(v - 0.58, 0))) ** 2)) * np.clip(0.5 + waves, 0, 1)
    sea = light("#1f4a5c") * (1 + 0.25 * waves[..., None]) + light("#f0b070") * (0.7 * path[..., None])
    hills = 0.58 - 0.09 * np.maximum(np.sin(5 * u + 0.5), 0) ** 2 - 0.01 * clouds(rng, 1, width, fall=1.2)[0]
    land = (v > hills) & (v < 0.58)
    picture = np.where((v > 0.58)[..., None], sea, sky)
    picture[land] = light("#3a3550")
    return np.asarray(picture * (1 + 0.06 * clouds(rng, height, width, stretch=2.0, fall=0.5)[..., None]), np.float32)


def colour_chart(*, side: int = 40) -> Array:
    """Patches of colour on black card."""
    step, gap = side, side // 6
    rows, columns = len(CHART), len(CHART[0])
    picture = np.full((rows * step + gap, columns * step + gap, 3), light("#1c1c1c"), np.float32)
    for row, codes in enumerate(CHART):
        for column, code in enumerate(codes):
            picture[row * step + gap : (row + 1) * step, column * step + gap : (column + 1) * step] = light(code)
    return picture


def resolution_chart(size: int = 720) -> Array:
    """A star, rings and bars that grow finer, and letters that grow smaller, in print."""
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    black = np.zeros((size, size), bool)
    away, angle = np.hypot(x - 0.5, y - 0.38), np.arctan2(y - 0.38, x - 0.5)
    black |= (away < 0.28) & (np.sin(angle * 36) > 0)
    black &= away > 0.012
    black |= (away > 0.285) & (away < 0.29)
    for number, pitch in enumerate((0.024, 0.016, 0.011, 0.008, 0.006)):
        left, wide = 0.07 + number * 0.175, 0.15
        within = (x > left) & (x < left + wide)
        black |= within & (y > 0.72) & (y < 0.79) & ((x - left) % pitch < pitch / 2)
        black |= within & (y > 0.80) & (y < 0.87) & (y % pitch < pitch / 2)
    page = Image.fromarray(np.where(black, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(page)
    for left, letters in ((0.07, 40), (0.4, 28), (0.63, 20), (0.8, 14)):
        font = ImageFont.load_default(letters * size / 720)
        draw.text((size * left, size * 0.95), "RESOLVE", 0, font, anchor="ls")
    draw.rectangle((size * 0.02, size * 0.02, size * 0.98, size * 0.98), outline=0, width=max(size // 240, 1))
    return _printed(page)


def letter(*, height: int = 800, width: int = 620) -> Array:
    """A page of small type."""
    page = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(page)
    draw.text((width * 0.09, height * 0.07), "Midnight, by the window", 0, ImageFont.load_default(height / 22))
    lines: Sequence[str] = LETTER * 2
    for number, line in enumerate(lines):
        gap = 0.02 if number >= len(LETTER) else 0
        font = ImageFont.load_default(height / 52)
        draw.text((width * 0.09, height * (0.17 + gap + 0.047 * number)), line, 30, font)
    return _printed(page)


def spine(title: str, code: str, ink: str, *, wide: int = 640, tall: int = 96) -> Array:
    """The back of a book that lies."""
    page = Image.new("L", (wide, tall), 255)
    draw = ImageDraw.Draw(page)
    draw.text((wide * 0.5, tall * 0.5), title, 0, ImageFont.load_default(tall * 0.5), anchor="mm")
    for x in (0.05, 0.07, 0.93, 0.95):
        draw.line((wide * x, 0, wide * x, tall), 0, max(wide // 160, 1))
    return _printed(page, paper=code, ink=ink)


def _printed(page: Image.Image, *, paper: str = PAPER, ink: str = INK) -> Array:
    share = (np.asarray(page, np.float32) / np.float32(255))[..., None]
    return np.asarray(light(paper) * share + light(ink) * (1 - share), np.float32)


def _blurred(picture: Array, reach: int) -> Array:
    """The mean of so many pixels either way, twice: a soft disc."""
    for _ in range(2):
        for axis in (0, 1):
            padded = np.pad(picture, [(reach + 1, reach) if i == axis else (0, 0) for i in range(3)], mode="edge")
            sums = np.cumsum(padded, axis=axis, dtype=np.float64)
            count = picture.shape[axis]
            picture = (
                np.take(sums, range(2 * reach + 1, 2 * reach + 1 + count), axis) - np.take(sums, range(count), axis)
            ) / (2 * reach + 1)
    return picture
