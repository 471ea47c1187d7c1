"""Folders of pictures as scenes of a viewer: each name is a scene, and each folder one side of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from runtime.errors import BadOption, UnreadableFile
from runtime.report_made import made
from runtime.report_models import Subject
from runtime.viewer import MAX_SIDE, SUFFIXES, escaped, image, picture, read, shown, stage

__all__ = ["Scene", "pictures", "scenes"]

PIXELS = 150e6  # of all pictures together: a page of some 100 MB, which telephones still open
FIRST, LAST = ("amplified", "input", "dark"), ("clean",)  # what came in stands before the models, the truth behind
FIGURES = (
    " A picture has its dB, which are of 16 bits, where its file tells of a model, a ratio and a strength that its "
    "frame was judged with."
)
REMEDY = "give a folder of folders: one for each model, amplified or clean, with pictures of equal names"


@dataclass(frozen=True)
class Scene:
    """One scene as each side shows it."""

    name: str
    sides: Mapping[str, Path]


def scenes(folder: str | Path) -> list[Scene]:
    """The scenes of a folder of folders; pictures belong together by their names without the suffix."""
    folder = Path(folder)
    try:
        sides = sorted((one for one in _seen(folder) if one.is_dir()), key=lambda one: _rank(one.name))
        found: dict[str, dict[str, Path]] = {}
        for side in sides:
            for path in sorted(one for one in _seen(side) if one.suffix.lower() in SUFFIXES and one.is_file()):
                other = found.setdefault(path.stem, {}).setdefault(side.name, path)
                if other != path:
                    raise BadOption("a scene", path.stem, f"one picture: {str(other)!r} and {path.name!r} are two")
    except OSError as error:
        raise UnreadableFile(folder, f"cannot be read ({error.strerror})", REMEDY) from None
    if not found:
        raise UnreadableFile(folder, "holds no folder of pictures", REMEDY)
    return [Scene(name, found[name]) for name in sorted(found)]


def pictures(given: Sequence[Scene], models: Sequence[Subject]) -> tuple[str, str]:
    """The viewer with all scenes, and what is to be known about its pictures."""
    figures, smaller = [], False
    side = _side(given)
    for scene in given:
        for name, whole in zip(scene.sides, read(scene.sides.values()), strict=True):
            one = shown(whole, side=side)
            smaller |= one.smaller
            note = _quality(scene, name, models)
            caption = escaped(f"{scene.name}: {name} {note}".rstrip())
            drawn = image(name, one, scene=scene.name, note=note)
            figures.append(f"<figure>{drawn}<figcaption>{caption}</figcaption></figure>")
    judged = any(one.judged for one in models)
    return stage(figures, scenes=True), _note(given, side=side if smaller else None, judged=judged)


def _side(given: Sequence[Scene]) -> int:
    """The longest side with which all pictures together keep within their pixels."""
    # The pictures of a scene have one size: the first tells it.
    sizes = [(picture(next(iter(scene.sides.values()))).image.size, len(scene.sides)) for scene in given]
    total = sum(math.prod(size) * count for size, count in sizes)
    longest = max(max(size) for size, _ in sizes)
    return min(MAX_SIDE, math.ceil(longest * min(1.0, math.sqrt(PIXELS / total))))


def _seen(folder: Path) -> Iterator[Path]:
    """What lies in a folder and is not hidden."""
    return (one for one in folder.iterdir() if not one.name.startswith("."))


def _rank(name: str) -> tuple[int, str]:
    return (0 if name.lower() in FIRST else 2 if name.lower() in LAST else 1), name


def _quality(scene: Scene, side: str, models: Sequence[Subject]) -> str:
    """The dB of this very picture, where an evaluation has its frame made as the picture says that it was."""
    how = made(scene.sides[side])
    frames = (line for one in models for line in one.judged if scene.name in (line.pair, PurePath(line.dark).stem))
    found = {line.developed.psnr for line in frames if how.is_of(line)}
    # Two figures are of two frames of one name: whose this picture is cannot be told.
    return f"{found.pop():.2f} dB" if len(found) == 1 and all(map(math.isfinite, found)) else ""


def _note(given: Sequence[Scene], *, side: int | None, judged: bool) -> str:
    """Whether pictures are smaller here than they are, which are missing, and which have figures."""
    told = f"Pictures are shown smaller than they are, no side longer than {side} pixels; 100 % is of that size."
    sides = list(dict.fromkeys(name for scene in given for name in scene.sides))
    lost = [f"{scene.name} of {name}" for scene in given for name in sides if name not in scene.sides]
    missing = f" Not there: {', '.join(lost)}." if lost else ""
    return escaped((told if side else "Pictures are shown in their own size.") + missing + (FIGURES if judged else ""))
