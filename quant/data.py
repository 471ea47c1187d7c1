"""What a recipe may learn from: made pairs, real sets in their own layout, rendered rooms and shapes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from quant.tables import Between, Positive, Whole
from runtime.errors import BadOption

__all__ = ["Data", "Nyu", "Rooms", "Shapes", "Sid", "Synthetic", "data_clashes", "described", "in_folder"]

Ratio = Annotated[float, Between(1, 1000)]


@dataclass(frozen=True, kw_only=True)
class Synthetic:
    """Clean scenes, seen by a camera in the dark; `samples` are so many different pairs in turn, 0 without end.

    Scenes are dead leaves, and photographs or bright RAW files of folders. The camera is any, its gain drawn from
    `gain` (the file's levels an electron makes, of 14 bits) and its white balance that of day or of `any` light: lamps
    too, and exposures that are off and lenses that are soft. Or with `noise`, a calibration table, it is that sensor;
    `exposures`, a list of See in the Dark, then says at which ISO and ratios it is used. With the output `camera-root`
    the network sees and tells the root of light.
    """

    ratio: tuple[Ratio, Ratio] = (100.0, 300.0)
    output: Literal["camera-linear", "camera-root", "srgb"] = "camera-linear"
    leaves: bool = True
    photographs: str | None = None
    raw_files: str | None = None
    gain: tuple[Positive, Positive] | None = None
    light: Literal["day", "any"] = "day"
    noise: str | None = None
    exposures: str | None = None
    samples: Whole = 0


@dataclass(frozen=True, kw_only=True)
class Sid:
    """See in the Dark, in its own layout; decoded once into `cache`, by default a folder beside the set's own."""

    camera: Literal["Sony", "Fuji"] = "Sony"
    folder: str | None = None
    cache: str | None = None


@dataclass(frozen=True, kw_only=True)
class Nyu:
    """NYU Depth v2: the labelled `.mat`, or the folders of pictures."""

    folder: str | None = None


@dataclass(frozen=True, kw_only=True)
class Rooms:
    """Rendered rooms with exact depth."""

    samples: Whole = 0


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """Textured shapes and their masks."""

    samples: Whole = 0


Data = Synthetic | Sid | Nyu | Rooms | Shapes


def data_clashes(data: Data) -> Iterator[tuple[str, str, str]]:
    """What is wrong between keys that are each right: the key, the problem, what may stand there."""
    if not isinstance(data, Synthetic):
        return
    for key, pair in (("ratio", data.ratio), ("gain", data.gain or (1.0, 1.0))):
        if pair[0] > pair[1]:
            yield f"data.{key}", str(list(pair)), "the lower one first"
    if not (data.leaves or data.photographs or data.raw_files):
        yield "data.leaves", "false with no other scenes", "photographs or raw_files beside it"
    if data.noise and data.gain:
        yield "data.gain", "set beside a measured sensor", "gain or noise, not both"
    if data.noise and data.light != "day":
        yield "data.light", repr(data.light), "day, the light that sensor's white balance is of"
    if data.exposures and not data.noise:
        yield "data.exposures", "set without a sensor", "noise beside it: the ISO of the list is looked up there"


def described(data: Data) -> str:
    """What it is, in a few words."""
    match data:
        case Synthetic(ratio=(low, high)):
            named = {"dead leaves": data.leaves, "photographs": data.photographs, "RAW files": data.raw_files}
            scenes = " and ".join(name for name, used in named.items() if used)
            camera = f"the sensor of {Path(data.noise).name}" if data.noise else "any camera"
            camera += " in any light" if data.light == "any" else ""
            return f"synthetic pairs at x{low:g} to x{high:g}: {scenes}, {camera}"
        case Sid():
            return f"See in the Dark ({data.camera})"
        case Nyu():
            return "NYU Depth v2"
        case Rooms():
            return "rendered rooms"
        case Shapes():
            return "rendered shapes"


def in_folder(data: Data, folder: str) -> Data:
    """The same data, from that folder: a data set's own, or one of clean scenes to make pairs of."""
    match data:
        case Sid() | Nyu():
            return replace(data, folder=folder)
        case Synthetic():
            from quant.scenes import Photographs, RawFiles

            found = {path.suffix.lower() for path in Path(folder).glob("*")}
            photographs, raw_files = (folder if found & kind.suffixes else None for kind in (Photographs, RawFiles))
            if photographs or raw_files:
                return replace(data, photographs=photographs, raw_files=raw_files)
            raise BadOption("--data", folder, "a folder of photographs or RAW files")
        case _:
            raise BadOption("--data", folder, f"it with another recipe: {described(data)} need no files")
