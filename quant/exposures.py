"""One frame taken in the dark, from a clean scene of any shape; or one that a camera took.

The scene is seen by a camera of middling colours at a high gain, whose noise is what sensors of that gain have, and
the frame is written as a camera would write it: whatever works on it begins with the file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from quant.baseline import Means, Method, Noise, Nothing, Part, denoised, noise
from quant.camera import Camera, plain
from quant.estimate import estimated
from quant.noise import READ_TUKEY, ROW, Sensor, TukeyLambda, exposed
from quant.scenes import displayed
from quant.unprocess import light, mosaic, rgb_to_camera, ungained
from runtime import develop
from runtime.contract import Contract
from runtime.decode import read
from runtime.errors import NoPicture, UnreadableFile, UnsupportedRaw
from runtime.measure import psnr
from runtime.pack import GRIDS, TILES
from runtime.ratio import choose
from runtime.raw import About, Raw

__all__ = [
    "CAMERA",
    "Exposure",
    "amplified",
    "bright",
    "developed",
    "opened",
    "photograph",
    "smoothed",
    "strength",
    "taken",
]

Array = np.ndarray[Any, Any]

GAIN = 2.0  # DN an electron, of 14 bits: 7935 electrons make white, at x100 some 79 and at x300 some 26
SIDE = 1536  # pixels of a photograph's longer side: made smaller, its own noise and blur are less
BLACK, WHITE = 512.0, 16383.0
LEAST = 32  # pixels a side
REACH = {"patch": 5, "reach": 7}  # of non-local means: the sizes that win most tables here
STRENGTHS = (0.4, 0.6, 0.8, 1.0)  # what is tried of them, where a reference can choose
STRENGTH = 0.5  # where none can
PIECE = 256  # planes' pixels a side that they are tried on


def _law(law: tuple[float, float, float]) -> float:
    slope, offset, _ = law
    return math.exp(slope * math.log(GAIN) + offset)


SENSOR = Sensor(K=GAIN, read=TukeyLambda(0.0, _law(READ_TUKEY)), row=_law(ROW), black=BLACK, white=WHITE)
CAMERA = plain(SENSOR)


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """A RAW frame in the dark, and what is known besides."""

    raw: Raw
    ratio: float
    noise: Noise  # of the mosaic times the ratio
    clean: Array | None  # what it should have been: the camera's colours, (3, h, w); None if a camera took it


def taken(rgb: Array, *, ratio: float, camera: Camera = CAMERA, seed: int = 0) -> Exposure:
    """A scene (3, h, w), linear sRGB, with a `ratio`-th of the light it needs."""
    height, width = (n // 2 * 2 for n in rgb.shape[1:])
    seen = ungained(rgb_to_camera(rgb[:, :height, :width], camera), camera.wb)
    clean = np.clip(seen, 0, 1)
    pattern = TILES["bayer"]
    dark = exposed(mosaic(clean, pattern), camera.sensor, ratio=ratio, rng=np.random.default_rng(seed))
    raw = Raw(
        mosaic=dark,
        cfa="bayer",
        pattern=pattern,
        black=((camera.black,) * 2,) * 2,
        white=camera.white,
        wb=camera.wb,
        wb_known=True,
        cam2rgb=camera.cam2rgb,
        xyz2cam=None,
        about=About(make="qk-unet", model="simulated"),
    )
    return Exposure(raw=raw, ratio=ratio, noise=noise(camera.sensor, ratio=ratio), clean=clean)


def opened(path: str | Path, *, ratio: float | None, contract: Contract) -> Exposure:
    """A RAW file of the dark; how dark it is is found if it is not told, and its noise is always found."""
    raw = _from_red(read(path), path)
    ratio = choose("auto" if ratio is None else str(ratio), raw, contract).value
    return Exposure(raw=raw, ratio=ratio, noise=estimated(bright(raw, ratio=ratio)), clean=None)


def _from_red(raw: Raw, path: str | Path) -> Raw:
    """The frame without the row and column that are before its first red, and of even sides."""
    if raw.cfa != "bayer":
        raise UnsupportedRaw(path, "no Bayer mosaic", "in the demo, Bayer mosaics")
    ((top,), (left,)) = np.nonzero(np.array(raw.pattern) == 0)
    height, width = ((n - ahead) // 2 * 2 for n, ahead in zip(raw.mosaic.shape, (top, left), strict=True))
    if min(height, width) < LEAST:
        raise NoPicture(path, f"has {width} x {height} pixels", f"take one of {LEAST} or more a side")
    black = np.roll(raw.black, (-top, -left), (0, 1)).tolist()
    mosaic = np.ascontiguousarray(raw.mosaic[top : top + height, left : left + width])
    return replace(raw, mosaic=mosaic, pattern=TILES["bayer"], black=tuple(map(tuple, black)))


def bright(raw: Raw, *, ratio: float) -> Array:
    """The mosaic from black to white, times the ratio, not cut."""
    black = np.tile(np.array(raw.black, np.float32), np.array(raw.mosaic.shape) // 2)
    return np.asarray((raw.mosaic - black) * (ratio / (raw.white - black)), np.float32)


def amplified(raw: Raw, *, ratio: float) -> Array:
    """The camera's colours (3, h, w) without any smoothing, interpolated."""
    method = Method((Part(Nothing(), evened=False),), correction=0.0)
    return _colours(raw, bright(raw, ratio=ratio), method, Noise(gain=1.0, variance=0.0))


def smoothed(raw: Raw, *, ratio: float, noise: Noise, strength: float) -> Array:
    """The camera's colours (3, h, w) by non-local means: of a mosaic whose noise is made even, and is told."""
    return _colours(raw, bright(raw, ratio=ratio), _means(strength), noise)


def strength(exposure: Exposure) -> float:
    """How strong non-local means should be: what makes the middle of this very frame best, if that is known."""
    if exposure.clean is None:
        return STRENGTH
    top, left = (max(n // 4 - PIECE // 2, 0) * 2 for n in exposure.raw.mosaic.shape)
    part = slice(top, top + 2 * PIECE), slice(left, left + 2 * PIECE)
    raw = replace(exposure.raw, mosaic=exposure.raw.mosaic[part])
    clean = exposure.clean[(slice(None), *part)]

    def figure(tried: float) -> float:
        made = smoothed(raw, ratio=exposure.ratio, noise=exposure.noise, strength=tried)
        return psnr(np.sqrt(clean), np.sqrt(made), data_range=1.0)  # roots are nearer to what is seen

    return max(STRENGTHS, key=figure)


def developed(colours: Array, raw: Raw) -> Array:
    """The camera's colours (3, h, w) as an upright picture, uint16 (h, w, 3)."""
    least = min(raw.wb)
    red, green, blue = (float(gain / least) for gain in raw.wb)
    look = develop.Look(
        output="camera-linear",
        gains=(red, green, blue),
        cam2rgb=raw.cam2rgb,
        cfa="bayer",
        planes=tuple(GRIDS["bayer"]),
        pack=2,
    )
    height, width = raw.mosaic.shape
    picture, view = develop.rotated((height, width), raw.about.orientation)
    develop.develop(np.ascontiguousarray(colours, np.float32), look, view)
    return picture


def _means(strength: float) -> Method:
    return Method((Part(Means(strength, **REACH)),))


def _colours(raw: Raw, mosaic: Array, method: Method, noise: Noise) -> Array:
    return denoised(mosaic, method=method, noise=noise, gains=raw.wb).transpose(2, 0, 1)


def photograph(path: Path) -> Array:
    """A display's picture as a scene (3, h, w)."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            small = displayed(picture)
        small.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnreadableFile(
            path, f"is no picture that can be read ({error})", "name a PNG, JPEG or TIFF file"
        ) from None
    if min(small.size) < LEAST:
        raise UnreadableFile(path, f"has {small.width} x {small.height} pixels", f"name one of {LEAST} or more a side")
    return light(np.asarray(small))
