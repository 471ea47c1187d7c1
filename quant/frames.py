"""Pairs of See in the Dark by number: decoded once into shards, cropped and turned anew at every visit.

An epoch shows every scene once, in an order and with exposures of its own. Held-out pairs are the centres of frames
of another split, one scene after the other, so that a few of them are of many scenes and of all ratios.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from quant import sid
from quant.augment import augment, margin, window
from quant.data import Nyu, Sid
from quant.phase import aligned, step
from quant.sharding import build
from quant.shards import INDEX, Shards
from quant.sid import Exposure
from runtime.contract import Contract
from runtime.decode import read
from runtime.errors import BadOption, FileError

__all__ = ["CFA", "Frames", "folder_of"]

Array = np.ndarray[Any, Any]
CFA = {"Sony": "bayer", "Fuji": "x-trans"}
ORDER, CROP = 0, 1  # two streams of random numbers that never meet
EPOCHS = 2  # a batch may end one and begin the next


class Frames:
    """See in the Dark, for a network of one contract at one size."""

    def __init__(
        self,
        data: Sid,
        contract: Contract,
        *,
        seed: int,
        size: int,
        held: bool,
        cache: str | Path | None,
        progress: Callable[[int, int], None] = lambda done, of: None,
    ) -> None:
        self.contract, self.seed, self.size, self.held = contract, seed, size, held
        self.taken = size if held else size + margin(contract)
        folder = folder_of(data)
        split = _split(folder, data.camera, held=held)
        rows = sid.for_training(sid.listed(folder, camera=data.camera, split=split))
        rows = sid.for_figures(rows) if held else rows
        kept = Path(data.cache or cache or folder.with_name(f"{folder.name}-shards")) / f"{data.camera}_{split}"
        self._require_ratio(rows)
        if not (kept / INDEX).is_file():
            self._require_room(rows)
        found = build(kept, sid.scenes(rows), develop=sid.develop, progress=progress)
        self._skipped = tuple(one.why for one in found)
        self.shards = Shards(kept, contract=contract)
        self._number = {frame.name: number for number, frame in enumerate(self.shards.frames)}
        self._rows = [row for row in rows if row.short.stem in self._number]
        for number, frame in enumerate(self.shards.frames):
            self._require_fits(self.shards.size(number), frame.name)
        self._order = lru_cache(EPOCHS)(self._new_order)
        self._scenes = _by_scene(self._rows)

    def skipped(self) -> tuple[str, ...]:
        """Files that could not be used, in words."""
        return self._skipped

    def pair(self, number: int) -> tuple[Array, Array]:
        """A crop of a frame and its target."""
        return self._centre(number) if self.held else self._turned(number)

    def _turned(self, number: int) -> tuple[Array, Array]:
        """Anywhere in the frame that its epoch has there, laid down in any way."""
        epoch, place = divmod(number, len(self._scenes))
        frame = self._number[self._order(epoch)[place].short.stem]
        rng = np.random.default_rng((self.seed, CROP, number))
        height, width = self.shards.size(frame)
        top, left = window(rng, height=height, width=width, size=self.taken, contract=self.contract)
        x, y = self.shards.crop(frame, top=top, left=left, size=self.taken)
        return augment(x, y, size=self.size, contract=self.contract, rng=rng)

    def _centre(self, number: int) -> tuple[Array, Array]:
        """The middle of a frame: scene after scene, in each round with the next of its exposures."""
        turn, place = divmod(number, len(self._scenes))
        exposures = self._scenes[place]
        frame = self._number[exposures[(turn + place) % len(exposures)].short.stem]
        every = step(self.contract)
        top, left = ((side - self.size) // 2 // every * every for side in self.shards.size(frame))
        return self.shards.crop(frame, top=top, left=left, size=self.size)

    def _new_order(self, epoch: int) -> list[Exposure]:
        return sid.one_each(self._rows, rng=np.random.default_rng((self.seed, ORDER, epoch)))

    def _require_ratio(self, rows: list[Exposure]) -> None:
        most = max((row.ratio for row in rows), default=1.0)
        if most > self.contract.ratio_max:
            allowed = f"one made for ratios up to {most:g}, as the list has them"
            raise BadOption("the network", self.contract.network, allowed)

    def _require_room(self, rows: list[Exposure]) -> None:
        """Refuse a size for which a camera's frames have no room before hours go into decoding them."""
        with suppress(FileError, IndexError):  # a file that cannot be read is told of later
            raw, _, _ = aligned(read(rows[0].short))
            height, width = (pixels // self.contract.pack for pixels in raw.mosaic.shape)
            self._require_fits((height, width), rows[0].short.stem)

    def _require_fits(self, shape: tuple[int, int], name: str) -> None:
        if self.taken > min(shape):
            most = (min(shape) - self.taken + self.size) // self.contract.multiple * self.contract.multiple
            raise BadOption("size", self.size, f"up to {most}: {name} is {shape[0]} x {shape[1]} packed pixels")


def folder_of(data: Sid | Nyu) -> Path:
    """Where a set lies that this project cannot bring along."""
    if data.folder is None:
        raise BadOption("data.folder", None, "--data FOLDER, the place of the data set")
    return Path(data.folder)


def _split(folder: Path, camera: str, *, held: bool) -> str:
    """What is measured on is the split for that; where it has no list, the one for testing."""
    if not held:
        return "train"
    return "val" if any(folder.glob(f"*{camera}_val_list.txt")) else "test"


def _by_scene(rows: list[Exposure]) -> list[list[Exposure]]:
    by_id: dict[str, list[Exposure]] = {}
    for row in sorted(rows, key=lambda row: row.short.stem):
        by_id.setdefault(row.id, []).append(row)
    return list(by_id.values())
