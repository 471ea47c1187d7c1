"""Training pairs without end and without a download: clean scenes, seen by a camera in the dark.

Sample number `index` is the same whoever asks, in any order: all that is random comes from (seed, index). Scenes are
dear, so `pool` of them serve `pool` x `reuse` samples in turn, each time cropped, turned, seen and exposed otherwise.
A network's input goes through `runtime.pack`, as a RAW file's does, and a display's target through `runtime.develop`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np

from quant import camera as cameras
from quant.camera import Camera, Light
from quant.noise import K_RANGE, exposed
from quant.scenes import SIDE, Leaves, Scenes
from quant.unprocess import blurred, mosaic, rgb_to_camera, ungained
from runtime.contract import Contract
from runtime.develop import develop, look
from runtime.errors import BadOption
from runtime.pack import TILES, frame, planes
from runtime.raw import About, Raw
from runtime.root import answer

__all__ = ["AnyCamera", "Listed", "Pairs", "Sample", "Shot"]

Array = np.ndarray[Any, Any]
Generator = np.random.Generator
SAMPLE, SCENE = 0, 1  # two streams of random numbers that never meet
BRIGHTNESS, SPREAD = 0.8, 0.1  # of a scene, in Brooks et al. 2019
DIM, BRIGHT = math.log(4), math.log(8)  # logarithms: how far an exposure may be off
SOFT = 1.0  # pixels
ABOUT = About(make="qk-unet", model="simulated")


@dataclass(frozen=True)
class Shot:
    """How a picture is taken: with which camera, with how many times too little light, exposed for what, how sharp."""

    camera: Camera
    ratio: float
    exposure: float = 1.0  # times as bright as scenes are meant to be, but for what is white: lamps stay so in the dark
    blur: float = 0.0  # of the lens, the standard deviation in pixels


Shots = Callable[[Generator], Shot]


@dataclass(frozen=True)
class AnyCamera:
    """A random camera of such a gain in such a light, the logarithm of the ratio uniform.

    By day it is exposed as it should be and its lens is sharp. In any light a sky may be cut off at white all over the
    patch, or all be dim but what is white, and half the lenses are soft.
    """

    low: float = 1.0
    high: float = 300.0
    gain: tuple[float, float] = K_RANGE
    light: Light = "day"

    def __call__(self, rng: Generator) -> Shot:
        """Take one."""
        camera = cameras.drawn(rng, gain_range=self.gain, light=self.light)
        ratio = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        if self.light == "day":
            return Shot(camera, ratio)
        least, most = ((0.0, 0.0), (-DIM, 0.0), (0.0, BRIGHT))[rng.choice(3, p=(0.5, 0.25, 0.25))]
        blur = rng.uniform(0, SOFT) if rng.random() < 0.5 else 0.0
        return Shot(camera, ratio, exposure=math.exp(rng.uniform(least, most)), blur=blur)


@dataclass(frozen=True)
class Listed:
    """One of these shots: a calibrated sensor at the ratios it is used with, or those of a data set."""

    shots: Sequence[Shot]

    def __call__(self, rng: Generator) -> Shot:
        """Take one."""
        return self.shots[int(rng.integers(len(self.shots)))]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One shot of one scene."""

    raw: Raw  # as a file would hold it
    ratio: float
    camera: Camera  # what it was taken with, its noise too
    colours: Array  # what it should have been: the camera's own, float32 (3, h, w), 0 to 1


class Pairs:
    """Sample after sample, for one network: `pairs[index]` is (x, y), float32 (h, w, planes) and (h', w', 3)."""

    def __init__(
        self,
        contract: Contract,
        *,
        seed: int,
        size: int = 64,
        shots: Shots | None = None,
        scenes: Sequence[Scenes] = (),
        pool: int = 32,
        reuse: int = 128,
    ) -> None:
        if contract.task != "enhance" or contract.cfa == "none":
            raise BadOption("the network", contract.network, "one that takes RAW frames: these pairs are of RAW frames")
        contract.require_size(size, size)
        if min(pool, reuse) < 1:
            raise ValueError(f"a pool of {pool} scenes used {reuse} times")
        self.contract, self.seed, self.size, self.pool, self.reuse = contract, seed, size, pool, reuse
        self.side = size * contract.pack
        self.shots = shots or AnyCamera(high=contract.ratio_max)
        self.scenes = tuple(scenes) or (Leaves(max(SIDE, 2 * self.side)),)
        self._scene = lru_cache(pool)(self._new_scene)

    def __reduce__(self) -> tuple[object, ...]:
        """To another process without the scenes: it makes the same ones."""
        own = ("seed", "size", "shots", "scenes", "pool", "reuse")
        return partial(Pairs, **{name: getattr(self, name) for name in own}), (self.contract,)

    def __getitem__(self, index: int) -> tuple[Array, Array]:
        sample = self.sample(index)
        packed = planes(sample.raw, frame(sample.raw, self.contract), self.contract, ratio=sample.ratio)
        return np.ascontiguousarray(packed.transpose(1, 2, 0)), self._target(sample)

    def batch(self, indices: Iterable[int]) -> tuple[Array, Array]:
        """Several at once."""
        xs, ys = zip(*(self[index] for index in indices), strict=True)
        return np.stack(xs), np.stack(ys)

    def sample(self, index: int) -> Sample:
        """The shot behind a pair; its mosaic begins with the cell that the network knows."""
        if index < 0:
            raise ValueError(f"samples are counted from 0, not {index}")
        rng = np.random.default_rng((self.seed, SAMPLE, index))
        shot = self.shots(rng)
        if not 1 <= shot.ratio <= self.contract.ratio_max:
            raise BadOption("the ratio", shot.ratio, f"1 to {self.contract.ratio_max:g}, what the network is made for")
        camera, pattern = shot.camera, TILES[self.contract.cfa]
        rgb = _piece(self._scene(self._number(index)), self.side, rng)
        rgb = blurred(rgb, shot.blur)
        brightness = float(np.clip(rng.normal(BRIGHTNESS, SPREAD), 0.3, 1.3)) * shot.exposure
        seen = ungained(rgb_to_camera(rgb, camera), camera.wb, brightness=brightness)
        colours = np.clip(seen, 0, 1, out=seen)
        dark = exposed(mosaic(colours, pattern), camera.sensor, ratio=shot.ratio, rng=rng)
        raw = Raw(
            mosaic=dark,
            cfa="bayer" if self.contract.cfa == "bayer" else "x-trans",
            pattern=pattern,
            black=((camera.black,) * len(pattern),) * len(pattern),
            white=camera.white,
            wb=camera.wb,
            wb_known=True,
            cam2rgb=camera.cam2rgb,
            xyz2cam=None,
            about=ABOUT,
        )
        return Sample(raw=raw, ratio=shot.ratio, camera=camera, colours=colours)

    def _number(self, index: int) -> int:
        """Which scene a sample is of: `pool` of them in turn, and after `reuse` rounds the next ones."""
        return index // (self.pool * self.reuse) * self.pool + index % self.pool

    def _new_scene(self, number: int) -> Array:
        rng = np.random.default_rng((self.seed, SCENE, number))
        source = self.scenes[rng.integers(len(self.scenes))]
        return source(rng, self.side)

    def _target(self, sample: Sample) -> Array:
        if self.contract.output != "srgb":
            return np.ascontiguousarray(answer(sample.colours, self.contract).transpose(1, 2, 0))
        as_camera = replace(look(sample.raw, self.contract), output="camera-linear")  # the network's own is a picture
        shown = np.empty((*sample.colours.shape[1:], 3), np.uint16)
        develop(sample.colours, as_camera, shown)
        return shown * np.float32(1 / 65535)


def _piece(scene: Array, side: int, rng: Generator) -> Array:
    """A square of a scene, (3, side, side): from anywhere, at full or half scale, in any of eight positions."""
    _, height, width = scene.shape
    scale = 2 if min(height, width) >= 2 * side and rng.random() < 0.5 else 1
    y, x = (int(rng.integers(n - scale * side + 1)) for n in (height, width))
    piece = scene[:, y : y + scale * side, x : x + scale * side]
    if scale == 2:
        rows = piece[:, ::2] + piece[:, 1::2]
        piece = (rows[..., ::2] + rows[..., 1::2]) * np.float32(0.25)
    down, right, across = rng.integers(0, 2, 3)
    turned = piece[:, :: 1 - 2 * int(down), :: 1 - 2 * int(right)]
    return np.ascontiguousarray(turned.swapaxes(1, 2) if across else turned)
