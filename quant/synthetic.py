"""What a recipe says of made pairs, as those who make them take it: which scenes, which cameras, which ratios.

Of the files of a folder every fifth is kept apart for held-out pairs, and with it every other file of its name: a RAW
file and the photographs made of it are one shot. Nothing of a shot kept apart is ever learnt from.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quant import sid
from quant.camera import Camera, plain
from quant.data import Synthetic
from quant.noise import K_RANGE, calibrated
from quant.pairs import AnyCamera, Listed, Pairs, Shot, Shots
from quant.scenes import SIDE, Leaves, Photographs, RawFiles, Scenes
from runtime.contract import Contract
from runtime.errors import BadOption, UnreadableFile

__all__ = ["AnyIso", "pairs", "unusable"]

Folder = Photographs | RawFiles
APART = 5  # of so many files one is for held-out pairs


@dataclass(frozen=True)
class AnyIso:
    """One sensor at any ISO that was measured, the logarithm of the ratio uniform."""

    cameras: Sequence[Camera]
    low: float
    high: float

    def __call__(self, rng: np.random.Generator) -> Shot:
        """Take one."""
        camera = self.cameras[int(rng.integers(len(self.cameras)))]
        ratio = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        return Shot(camera, min(max(ratio, self.low), self.high))  # exp of log is not always the number itself


def pairs(data: Synthetic, contract: Contract, *, seed: int, size: int, held: bool) -> Pairs:
    """The pairs that the data describe."""
    side = max(SIDE, 2 * size * contract.pack)
    scenes = tuple(_scenes(data, side=side, held=held))
    return Pairs(contract, seed=seed, size=size, shots=_shots(data), scenes=scenes)


def unusable(made: Pairs) -> tuple[str, ...]:
    """Which files of its scenes could not be used so far, and why."""
    return tuple(why for one in made.scenes if isinstance(one, Folder) for why in one.skipped.values())


def _scenes(data: Synthetic, *, side: int, held: bool) -> Iterator[Scenes]:
    named = ((Photographs, data.photographs), (RawFiles, data.raw_files))
    folders = [kind(folder, side=side) for kind, folder in named if folder]
    kept = {path.stem for folder in folders for path in folder.files[::APART]}
    if data.leaves:
        yield Leaves(side)
    for folder in folders:
        yield _apart(folder, kept, held=held)


def _apart(folder: Folder, kept: Collection[str], *, held: bool) -> Folder:
    """The folder with the files of the shots kept for held-out pairs, or with all others."""
    others = [path for path in folder.files if path.stem not in kept]
    if not others:
        problem = f"holds too few {folder.kind} to learn from"
        raise UnreadableFile(folder.folder, problem, "put more there: some shots are kept apart to measure with")
    folder.files = [path for path in folder.files if path.stem in kept] if held else others
    return folder


def _shots(data: Synthetic) -> Shots:
    """Any camera, or the sensor that was measured: at any ISO, or as a list of exposures uses it."""
    low, high = data.ratio
    if data.noise is None:
        return AnyCamera(low, high, gain=data.gain or K_RANGE, light=data.light)
    cameras = {iso: plain(sensor) for iso, sensor in calibrated(data.noise).items()}
    if data.exposures is None:
        return AnyIso(tuple(cameras.values()), low, high)
    rows = sid.read_list(data.exposures, split=_split(Path(data.exposures)))
    shots = [Shot(cameras[_nearest(row.iso, cameras)], row.ratio) for row in rows if low <= row.ratio <= high]
    if not shots:
        found = ", ".join(sorted({f"{row.ratio:g}" for row in rows})) or "none"
        raise BadOption("data.ratio", list(data.ratio), f"one with ratios of {Path(data.exposures).name}: {found}")
    return Listed(shots)


def _split(path: Path) -> str:
    """Of which split a list is, by its name."""
    for split in sid.SPLITS:
        if path.name.endswith(f"_{split}_list.txt"):
            return split
    raise UnreadableFile(path, "has not the name of a list", "name one as published: ..._train_list.txt")


def _nearest(iso: int, measured: Iterable[int]) -> int:
    """The ISO that was measured and is the fewest stops away."""
    return min(measured, key=lambda other: abs(math.log(other / iso)))
