"""Feature maps on disk: one file of float16 for each map, and one of seals that say whose are there.

A seal is written once its maps have reached the disk, so that a run killed at any instant leaves samples that are
whole, or that are made again. Maps are read where they lie, memory-mapped.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from runtime.atomic import writing
from runtime.errors import FileError

__all__ = ["MapCache"]

Array = np.ndarray[Any, Any]

VERSION = 1
HEADER, SEALS = "maps.json", "seals.u64"
NUMBER, SEAL = np.dtype("<f2"), np.dtype("<u8")


class MapCache:
    """The maps of so many samples by one teacher; what a folder holds of another one is thrown away."""

    def __init__(self, folder: str | Path, *, key: str, samples: int, shapes: Sequence[tuple[int, ...]]) -> None:
        self.folder, self.samples, self.shapes = Path(folder), samples, list(shapes)
        facts = {"version": VERSION, "key": key, "samples": samples, "shapes": [list(shape) for shape in shapes]}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not self._is_of(facts):
                self._begin(facts)
        except OSError as error:
            raise self._refused(error) from None

    def read(self, sample: int, seal: int) -> list[Array] | None:
        """A sample's maps, if they are there under that seal."""
        if int(self._mapped(SEALS, SEAL, ())[sample]) != seal:
            return None
        return [np.array(self._mapped(_name(i), NUMBER, shape)[sample]) for i, shape in enumerate(self.shapes)]

    def write(self, made: Mapping[tuple[int, int], Sequence[Array]]) -> None:
        """Keep maps by (sample, seal): all of them first, then the seals."""
        if not made:
            return
        try:
            for i in range(len(self.shapes)):
                self._put(_name(i), {sample: np.asarray(maps[i], NUMBER) for (sample, _), maps in made.items()})
            self._put(SEALS, {sample: np.array(seal, SEAL) for sample, seal in made})
        except OSError as error:
            raise self._refused(error) from None

    def _is_of(self, facts: dict[str, Any]) -> bool:
        """Whether the folder holds a cache of just that, all files in full length."""
        try:
            known = json.loads((self.folder / HEADER).read_text("utf-8"))
        except (OSError, ValueError):
            return False
        lengths = {name: path.stat().st_size for name in self._sizes() if (path := self.folder / name).is_file()}
        return bool(known == facts and lengths == self._sizes())

    def _begin(self, facts: dict[str, Any]) -> None:
        """Empty files, their length reserved; the header last, since it vouches for the rest."""
        for name in (HEADER, SEALS, *(path.name for path in self.folder.glob("map*.f16"))):
            (self.folder / name).unlink(missing_ok=True)
        needed, free = sum(self._sizes().values()), shutil.disk_usage(self.folder).free
        if needed > free:
            problem = f"has {free / 1e9:.2f} GB free, and the teacher's maps take {needed / 1e9:.2f} GB"
            raise FileError(self.folder, problem, "make room, name a folder elsewhere, or learn from fewer samples")
        for name, size in self._sizes().items():
            with (self.folder / name).open("xb") as file:
                _reserve(file.fileno(), size)
                os.fsync(file.fileno())
        with writing(self.folder / HEADER) as file:
            file.write(json.dumps(facts).encode())

    def _sizes(self) -> dict[str, int]:
        maps = {_name(i): self.samples * math.prod(shape) * NUMBER.itemsize for i, shape in enumerate(self.shapes)}
        return {**maps, SEALS: self.samples * SEAL.itemsize}

    def _mapped(self, name: str, kind: Any, shape: tuple[int, ...]) -> Array:
        return np.memmap(self.folder / name, kind, "r", shape=(self.samples, *shape))

    def _put(self, name: str, values: Mapping[int, Array]) -> None:
        """Written, not stored through the mapping: on a full disk that is an error, and there it would be the end."""
        with (self.folder / name).open("r+b") as file:
            for sample, value in values.items():
                file.seek(sample * value.nbytes)
                file.write(value.tobytes())
            file.flush()
            os.fsync(file.fileno())

    def _refused(self, error: OSError) -> FileError:
        return FileError(self.folder, f"cannot keep the teacher's maps ({error.strerror})", "name another folder")


def _name(number: int) -> str:
    return f"map{number}.f16"


def _reserve(descriptor: int, size: int) -> None:
    """A file of zeros of that length, with its place on the disk where the system can promise one."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.truncate(descriptor, size)
