"""Pairs of NYU Depth v2 by number: every picture once an epoch, in an order of its own, one half of them mirrored.

A picture that cannot be used is left out, and named: the next one of the list is there in its place.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from quant import nyu
from quant.data import Nyu
from quant.frames import folder_of
from quant.nyu import Row
from runtime.errors import FileError, UnreadableFile

__all__ = ["Depths"]

Array = np.ndarray[Any, Any]
ORDER, MIRROR = 0, 1  # two streams of random numbers that never meet
EPOCHS = 2  # a batch may end one and begin the next


class Depths:
    """Pictures of `size` and their depths of `out` pixels a side; held out, the test split in one order for all."""

    def __init__(self, data: Nyu, *, seed: int, size: int, out: int, held: bool) -> None:
        self.folder = folder_of(data)
        self.seed, self.size, self.out, self.held = seed, size, out, held
        self._rows = nyu.listed(self.folder, split="test" if held else "train")
        if not self._rows:
            raise UnreadableFile(self.folder, "has a list without a row", "unpack the whole archive there")
        self._skipped: dict[Row, str] = {}
        self._order = lru_cache(EPOCHS)(self._new_order)

    def skipped(self) -> tuple[str, ...]:
        """Files that could not be used, in words."""
        return tuple(self._skipped.values())

    def pair(self, number: int) -> tuple[Array, Array]:
        """A picture and its depth."""
        epoch, place = divmod(number, len(self._rows))
        x, y = self._usable(int(self._order(0 if self.held else epoch)[place]))
        if self.held or np.random.default_rng((self.seed, MIRROR, number)).random() < 0.5:
            return x, y
        return np.ascontiguousarray(x[:, ::-1]), np.ascontiguousarray(y[:, ::-1])

    def _usable(self, first: int) -> tuple[Array, Array]:
        """The pair of that row, or of the next one that can be used."""
        for place in range(first, first + len(self._rows)):
            row = self._rows[place % len(self._rows)]
            if row in self._skipped:
                continue
            try:
                return nyu.pair(row, size=self.size, out=self.out)
            except FileError as error:
                self._skipped[row] = str(error)
        worst = next(iter(self._skipped.values()))
        raise UnreadableFile(self.folder, f"holds no pair that can be used ({worst})", "download it again")

    def _new_order(self, epoch: int) -> Array:
        # Held-out pictures lie room by room: in an order of chance the first few are of many rooms.
        seed = 0 if self.held else self.seed
        return np.random.default_rng((seed, ORDER, epoch)).permutation(len(self._rows))
