"""Clean frames to take into the dark: dead leaves, photographs, or RAW files taken in good light.

A scene is linear sRGB, float32 planes (3, h, w); which camera sees it is decided later. RAW files are binned two by
two: that halves their noise, and every pixel has all colours measured.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quant.leaves import leaves
from quant.unprocess import light
from runtime import decode
from runtime.errors import FileError, UnreadableFile, UnsupportedRaw
from runtime.inputs import RAW
from runtime.raw import Raw

__all__ = ["Leaves", "Photographs", "RawFiles", "Scenes", "displayed"]

Array = np.ndarray[Any, Any]
Scenes = Callable[[np.random.Generator, int], Array]  # (rng, the least side) -> (3, h, w)
SIDE = 512
DEEPEST = 65535


@dataclass(frozen=True)
class Leaves:
    """Dead leaves, squares of that side or of what is needed."""

    side: int = SIDE

    def __call__(self, rng: np.random.Generator, least: int) -> Array:
        """A new one."""
        side = max(self.side, least)
        return np.ascontiguousarray(leaves(rng, side, side).transpose(2, 0, 1))


class _Folder(ABC):
    """Files of a folder: one of them, and a piece of it. One that cannot be used is left out and named in `skipped`."""

    suffixes: frozenset[str]
    kind: str

    def __init__(self, folder: str | Path, *, side: int = SIDE) -> None:
        self.folder, self.side = Path(folder), side
        self.skipped: dict[Path, str] = {}
        try:
            self.files = sorted(path for path in self.folder.iterdir() if path.suffix.lower() in self.suffixes)
        except OSError as error:
            problem = f"cannot be listed ({error.strerror})"
            raise UnreadableFile(folder, problem, f"name a folder of {self.kind}") from None
        if not self.files:
            raise UnreadableFile(
                folder, f"holds no {self.kind}", "name a folder that does: those in folders below are not looked for"
            )

    def __call__(self, rng: np.random.Generator, least: int) -> Array:
        first = int(rng.integers(len(self.files)))
        corner = rng.random(2)  # drawn before: a file left out changes no later number
        for path in [*self.files[first:], *self.files[:first]]:
            try:
                scene = self._large(path, least)
            except FileError as error:
                self.skipped[path] = str(error)
                continue
            sides = [min(max(self.side, least), pixels) for pixels in scene.shape[1:]]
            y, x = (int(at * (n - side + 1)) for at, n, side in zip(corner, scene.shape[1:], sides, strict=True))
            return scene[:, y : y + sides[0], x : x + sides[1]].copy()
        worst = next(iter(self.skipped.values()))
        raise UnreadableFile(self.folder, f"holds no {self.kind} that can be used ({worst})", "name another folder")

    def _large(self, path: Path, least: int) -> Array:
        scene = self._open(path)
        if min(scene.shape[1:]) < least:
            problem = f"gives {scene.shape[1]} x {scene.shape[2]} pixels"
            raise UnreadableFile(path, problem, f"{least} a side are needed: crop less or take larger ones")
        return scene

    @abstractmethod
    def _open(self, path: Path) -> Array:
        """The whole scene of a file."""


class Photographs(_Folder):
    """Pictures for a display, their tone curve and encoding undone."""

    suffixes = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
    kind = "photographs"

    def _open(self, path: Path) -> Array:
        from PIL import Image

        try:
            with Image.open(path) as picture:
                return light(np.asarray(displayed(picture)))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise UnreadableFile(path, f"is no picture that can be read ({error})", "take it out") from None


def displayed(picture: Any) -> Any:
    """A Pillow image of any kind as one of 8 bits a colour: Pillow itself cuts deep grey off at 255.

    That is of mode I;16, or I by some versions. What other deep numbers mean by white nobody knows: a ValueError.
    """
    from PIL import Image

    if picture.mode.startswith("I"):
        grey = np.asarray(picture)
        if grey.min() < 0 or grey.max() > DEEPEST:
            raise ValueError("its levels are not of 16 bits")
        picture = Image.fromarray((grey >> 8).astype(np.uint8))
    elif picture.mode == "F":
        raise ValueError("its levels are no whole numbers")
    return picture.convert("RGB")


class RawFiles(_Folder):
    """RAW files of good light and low ISO."""

    suffixes = RAW
    kind = "RAW files"

    def _open(self, path: Path) -> Array:
        return binned(decode.read(path), path)


def binned(raw: Raw, path: Path) -> Array:
    """A Bayer frame at half its size, as linear sRGB."""
    if raw.cfa != "bayer":
        raise UnsupportedRaw(path, "no Bayer mosaic", "as scenes, Bayer mosaics")
    height, width = (n // 2 * 2 for n in raw.mosaic.shape)
    colours = np.zeros((3, height // 2, width // 2), np.float32)
    for (y, x), colour in np.ndenumerate(np.array(raw.pattern)):
        black, share = raw.black[y][x], 2 if colour == 1 else 1
        level = raw.mosaic[y:height:2, x:width:2].astype(np.float32) - np.float32(black)
        colours[colour] += level * np.float32(1 / (raw.white - black) / share)
    least = min(raw.wb)
    balanced = [np.clip(plane * np.float32(g / least), 0, 1) for plane, g in zip(colours, raw.wb, strict=True)]
    rows = np.array(raw.cam2rgb, np.float32)
    return np.maximum(np.stack([sum(p * f for p, f in zip(balanced, row, strict=True)) for row in rows]), 0)
