"""Which dark frame belongs to which clean picture, by the names of a folder's files.

dark/00003_x100.dng    clean/00003.tif            one clean picture for every ratio; a ratio may be left out, and the
                                                   names are then the same
short/00001_00_0.1s.ARW    long/00001_00_10s.ARW   See in the Dark (Chen et al., 2018): the first five characters tell
                                                   the scene, the exposures the ratio
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from runtime.clean import PICTURES
from runtime.errors import BadOption, FileError, UnreadableFile
from runtime.inputs import RAW, entries

__all__ = ["MISALIGNED", "RATIO_MAX", "Pair", "Pairs", "paired"]

RATIO_MAX = 300.0  # of See in the Dark, as published
MISALIGNED = ("10034", "10045", "10172")  # of See in the Dark: the camera moved, and nobody counts them
RATIO = re.compile(r"(?P<name>.+)_x(?P<ratio>\d+(?:\.\d+)?)")
EXPOSED = re.compile(r"(?P<scene>.{5})_(?P<burst>\d+)_(?P<seconds>\d+(?:\.\d+)?)s")
LAYOUTS = "dark and clean, or short and long"


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A dark frame, what it should have been, and how many times too little light it had, if the names say so."""

    name: str
    dark: Path
    clean: Path
    ratio: float | None


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """The pairs of a folder in the order of their names, files that have no partner, and those nobody counts."""

    pairs: list[Pair]
    alone: list[FileError] = field(default_factory=list)
    left_out: list[Path] = field(default_factory=list)


def paired(folder: str | Path) -> Pairs:
    """The pairs of a folder in one of the two layouts."""
    folder = Path(folder)
    if not os.path.isdir(folder):  # noqa: PTH112 (Path's own raises for a locked folder or a name too long)
        raise UnreadableFile(folder, "is no folder", f"name one that holds {LAYOUTS}")
    ours, published = ((folder / a, folder / b) for a, b in (("dark", "clean"), ("short", "long")))
    there = [all(os.path.isdir(part) for part in parts) for parts in (ours, published)]  # noqa: PTH112 (as above)
    match there:
        case [True, True]:
            raise BadOption("--pairs", str(folder), f"a folder that holds either {LAYOUTS}")
        case [True, False]:
            found = _by_name(*ours)
        case [False, True]:
            found = _by_scene(*published)
        case _:
            raise UnreadableFile(folder, "holds no pairs", f"name a folder that holds {LAYOUTS}")
    if not found.pairs and not found.alone:
        raise UnreadableFile(folder, "holds no pairs", "its dark frames are RAW files, its clean ones TIFF, PNG or RAW")
    return found


def _files(folder: Path, endings: Iterable[str]) -> list[Path]:
    wanted = set(endings)
    return [p for p in entries(folder) if p.suffix.lower() in wanted and not p.name.startswith(".")]


def _by_name(dark: Path, clean: Path) -> Pairs:
    """Pairs of one name, the dark one's without its ratio."""
    pairs, alone, used = [], list[FileError](), set()
    cleans: dict[str, list[Path]] = {}
    for path in _files(clean, [*PICTURES, *RAW]):
        cleans.setdefault(path.stem, []).append(path)
    for path in _files(dark, RAW):
        told = RATIO.fullmatch(path.stem)
        name = path.stem if path.stem in cleans or told is None else told["name"]
        ratio = float(told["ratio"]) if told else None
        candidates = cleans.get(name, [])
        used.add(name)
        if ratio == 0:
            alone.append(UnreadableFile(path, "is named for a ratio of 0", "rename it: its ratio is above 0"))
        elif len(candidates) != 1:
            alone.append(_no_one(path, clean / name, candidates))
        else:
            pairs.append(Pair(name=path.stem, dark=path, clean=candidates[0], ratio=ratio))
    for name in sorted(cleans.keys() - used):
        alone += [_no_dark(path, dark) for path in cleans[name]]
    return Pairs(pairs=pairs, alone=alone)


def _by_scene(short: Path, long: Path) -> Pairs:
    """Every short exposure with the first long one of its scene."""
    pairs, alone, left_out = [], list[FileError](), []
    longs: dict[str, list[Path]] = {}
    for path in _files(long, RAW):
        longs.setdefault(path.stem[:5], []).append(path)
    used = set()
    for path in _files(short, RAW):
        scene = path.stem[:5]
        used.add(scene)
        if scene in MISALIGNED:
            left_out.append(path)
        elif scene not in longs:
            alone.append(_no_one(path, long / f"{scene}_...", []))
        elif (ratio := _ratio(path, longs[scene][0])) is None:
            problem = f"or {longs[scene][0].name!r} does not tell its exposure"
            alone.append(UnreadableFile(path, problem, "name it like 00001_00_0.1s.ARW"))
        else:
            pairs.append(Pair(name=path.stem, dark=path, clean=longs[scene][0], ratio=ratio))
    for scene in sorted(longs.keys() - used):
        alone += [_no_dark(path, short) for path in longs[scene]]
    return Pairs(pairs=pairs, alone=alone, left_out=left_out)


def _ratio(short: Path, long: Path) -> float | None:
    """How many times as long the long exposure is, at most what is published; None if the names do not tell."""
    found = [EXPOSED.fullmatch(path.stem) for path in (short, long)]
    seconds = [float(name["seconds"]) if name else 0.0 for name in found]
    return min(seconds[1] / seconds[0], RATIO_MAX) if min(seconds) > 0 else None


def _no_one(dark: Path, expected: Path, found: list[Path]) -> FileError:
    if found:
        names = " and ".join(path.name for path in found)
        return UnreadableFile(dark, f"has more than one clean picture ({names})", "leave one of them")
    return UnreadableFile(dark, f"has no clean picture ({expected})", "add it, or take the dark frame away")


def _no_dark(clean: Path, dark: Path) -> FileError:
    return UnreadableFile(clean, f"has no dark frame in {dark}", "add one, or take the clean picture away")
