"""From a picture back to the light on the sensor: Brooks et al. 2019 (Unprocessing images for learned raw denoising).

Every step stands beside the one that undoes it. Pictures are planes, float32 (3, h, w), as the runtime develops them.
Sums are written out: a library's product of matrices may round otherwise on another machine.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from quant.camera import Camera
from runtime import srgb

__all__ = [
    "blurred",
    "camera_to_rgb",
    "dulled",
    "gained",
    "light",
    "mosaic",
    "process",
    "rgb_to_camera",
    "shown",
    "toned",
    "ungained",
    "unprocess",
]

Array = np.ndarray[Any, Any]
SHARP = 0.1  # pixels of blur that are none
BRIGHT = 0.9  # from here to 1 a division by the gains fades out: what is white saturates all colours of the sensor


def unprocess(picture: Array, camera: Camera, *, brightness: float = 1.0) -> Array:
    """A display's picture (h, w, 3), 8 or 16 bits or float, as the camera's own colours (3, h, w), cut at 0 and 1."""
    camera_light = rgb_to_camera(light(picture), camera)
    return np.clip(ungained(camera_light, camera.wb, brightness=brightness), 0, 1)


def process(colours: Array, camera: Camera, *, brightness: float = 1.0) -> Array:
    """The camera's own colours (3, h, w) as a display's picture, float32 (h, w, 3) from 0 to 1."""
    balanced = np.clip(gained(colours, camera.wb, brightness=brightness), 0, 1)
    return shown(camera_to_rgb(balanced, camera))


def light(picture: Array) -> Array:
    """A display's picture (h, w, 3) as linear sRGB (3, h, w), its tone curve and its encoding undone."""
    if picture.ndim != 3 or picture.shape[-1] != 3:
        raise ValueError(f"a picture is (height, width, 3), not {picture.shape}")
    levels = np.iinfo(picture.dtype).max if picture.dtype.kind == "u" else 1
    values = np.clip(picture.transpose(2, 0, 1).astype(np.float32) / np.float32(levels), 0, 1)
    return srgb.light(dulled(values))


def shown(rgb: Array) -> Array:
    """Linear sRGB (3, h, w) as a display's picture (h, w, 3)."""
    return np.ascontiguousarray(toned(srgb.shown(np.clip(rgb, 0, 1))).transpose(1, 2, 0))


def toned(values: Array) -> Array:
    """The tone curve, a smoothstep: contrast in the middle."""
    return values * values * (3 - 2 * values)


def dulled(values: Array) -> Array:
    """The tone curve undone."""
    return np.float32(0.5) - np.sin(np.arcsin(1 - 2 * values) / 3)


def rgb_to_camera(rgb: Array, camera: Camera) -> Array:
    """Linear sRGB as white-balanced camera colours; what no camera sees of a colour is below 0."""
    return _mixed(rgb, np.linalg.inv(np.array(camera.cam2rgb)))


def camera_to_rgb(balanced: Array, camera: Camera) -> Array:
    """White-balanced camera colours as linear sRGB."""
    return _mixed(balanced, np.array(camera.cam2rgb))


def _mixed(planes: Array, matrix: Array) -> Array:
    red, green, blue = planes
    return np.stack([red * row[0] + green * row[1] + blue * row[2] for row in matrix.astype(np.float32)])


def gained(colours: Array, wb: tuple[float, float, float], *, brightness: float = 1.0) -> Array:
    """White balance, and the overall brightness taken away again."""
    return np.stack([plane * np.float32(gain / brightness) for plane, gain in zip(colours, wb, strict=True)])


def ungained(balanced: Array, wb: tuple[float, float, float], *, brightness: float = 1.0) -> Array:
    """White balance undone: divided by the gains, but in highlights, which stay white.

    A sensor saturates in all colours there; divided, it would be coloured and no sensor makes such white.
    """
    grey = (balanced[0] + balanced[1] + balanced[2]) * np.float32(1 / 3)
    fade = np.clip((grey - np.float32(BRIGHT)) * np.float32(1 / (1 - BRIGHT)), 0, 1) ** 2
    factors = [np.float32(brightness / gain) for gain in wb]
    return np.stack([np.maximum(fade + (1 - fade) * f, f) * plane for plane, f in zip(balanced, factors, strict=True)])


def blurred(picture: Array, sigma: float) -> Array:
    """A picture (3, h, w) behind a lens of that Gaussian blur, in pixels; mirrored at its rim."""
    if sigma < SHARP:
        return picture
    reach = math.ceil(3 * sigma)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weights /= weights.sum()
    for axis in (1, 2):
        wide = np.pad(picture, [(reach, reach) if n == axis else (0, 0) for n in range(3)], mode="symmetric")
        size = picture.shape[axis]
        parts = (np.float32(w) * wide.take(range(n, n + size), axis) for n, w in enumerate(weights))
        picture = sum(parts, start=np.zeros_like(picture))
    return picture


def mosaic(colours: Array, pattern: tuple[tuple[int, ...], ...]) -> Array:
    """What a sensor of that pattern keeps of full colour (3, h, w): one number a pixel."""
    size = len(pattern)
    out = np.empty(colours.shape[1:], colours.dtype)
    for (y, x), colour in np.ndenumerate(np.array(pattern)):
        out[y::size, x::size] = colours[colour, y::size, x::size]
    return out
