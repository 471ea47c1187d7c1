"""A data set decoded once: mosaics and targets as they are, memory-mapped, so that a crop costs its own bytes.

A shard is one scene: its target, then every short exposure of it, raw little-endian uint16. Mosaics keep the sensor's
numbers, cut to whole cells: black, white and ratio stay data, and a crop becomes planes through the runtime's own code.
`sharding` writes what is read here.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from quant.phase import step
from runtime import pack
from runtime.atomic import writing
from runtime.contract import Contract
from runtime.errors import AlteredFile, BadOption, UnreadableFile, UnsupportedRaw
from runtime.raw import About, Raw

__all__ = ["INDEX", "VERSION", "Frame", "Shards", "beside", "digest", "length", "read_facts", "write_facts"]

Array = np.ndarray[Any, Any]
Matrix = tuple[tuple[float, ...], ...]
Facts = dict[str, Any]

VERSION = 1
INDEX = "index.json"
TOP = np.float32(65535)  # the target's white


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What the index says of one short exposure."""

    name: str
    scene: str
    ratio: float
    height: int  # of the mosaic, in pixels: whole cells
    width: int
    offset: int  # of the mosaic in the shard; the target is at its beginning
    cfa: Literal["bayer", "x-trans"]
    pattern: tuple[tuple[int, ...], ...]
    black: Matrix
    white: float
    wb: tuple[float, float, float]
    cam2rgb: Matrix


class Shards:
    """A finished set, to be read by networks of one contract."""

    def __init__(self, folder: str | Path, *, contract: Contract) -> None:
        self.folder, self.contract = Path(folder), replace(contract, multiple=1)
        index = self.folder / INDEX
        if not index.is_file():
            raise UnreadableFile(
                self.folder, "is no finished set of shards", "build it; what is done is not done again"
            )
        try:
            facts = read_facts(index)
            if facts["versions"]["format"] != VERSION:
                raise KeyError
            self._shards = {shard["name"]: shard for shard in facts["shards"]}
            frames = [Frame(**_tuples(frame)) for shard in self._shards.values() for frame in shard["frames"]]
            whole = all(length(self._path(name)) == shard["bytes"] for name, shard in self._shards.items())
        except (KeyError, TypeError):
            raise AlteredFile(index, "is of another version", "build the set again") from None
        if not whole:
            raise AlteredFile(self.folder, "has shards that are missing or cut short", "build it again")
        if other := {frame.cfa for frame in frames} - {contract.cfa}:
            raise UnsupportedRaw(
                self.folder, f"a set of {other.pop()} mosaics", f"with this network {contract.cfa} ones"
            )
        self.frames = tuple(frames)

    def __len__(self) -> int:
        return len(self.frames)

    def size(self, frame: int) -> tuple[int, int]:
        """Height and width of a frame in packed pixels."""
        facts = self.frames[frame]
        return facts.height // self.contract.pack, facts.width // self.contract.pack

    def crop(self, frame: int, *, top: int, left: int, size: int) -> tuple[Array, Array]:
        """A square of packed pixels as float32 planes (h, w, planes), and its target (h, w, 3), 0 to 1."""
        facts, (height, width) = self.frames[frame], self.size(frame)
        if not 0 < size <= min(height, width):
            raise BadOption(
                "crop", size, f"1 to {min(height, width)}: {facts.name} is {height} x {width} packed pixels"
            )
        if top % step(self.contract) or left % step(self.contract):
            raise ValueError(f"no cell begins at {top}, {left}")
        if not (0 <= top <= height - size and 0 <= left <= width - size):
            raise ValueError(f"{size} packed pixels at {top}, {left} are not within {height} x {width}")
        rows, columns = (
            slice(first * self.contract.pack, (first + size) * self.contract.pack) for first in (top, left)
        )
        mosaic = self._pixels(facts, facts.offset, (facts.height, facts.width))[rows, columns]
        target = self._pixels(facts, 0, (facts.height, facts.width, 3))[rows, columns]
        return self._planes(facts, mosaic), np.divide(target, TOP, dtype=np.float32)

    def verify(self) -> None:
        """Read everything and compare checksums; `AlteredFile` names the first shard that is not what was written."""
        for name, shard in self._shards.items():
            if digest(self._path(name)) != shard["sha256"]:
                raise AlteredFile(self._path(name), "is not what was written", "delete it and build the set again")

    def _pixels(self, facts: Frame, offset: int, shape: tuple[int, ...]) -> Array:
        # Mapped anew for each crop, which takes 0.05 ms: pages that were read do not stay in this process.
        return np.memmap(self._path(facts.scene), "<u2", "r", offset, shape)

    def _path(self, scene: str) -> Path:
        return self.folder / f"{scene}.bin"

    def _planes(self, facts: Frame, mosaic: Array) -> Array:
        raw = Raw(
            mosaic=mosaic,
            cfa=facts.cfa,
            pattern=facts.pattern,
            black=facts.black,
            white=facts.white,
            wb=facts.wb,
            wb_known=True,
            cam2rgb=facts.cam2rgb,
            xyz2cam=None,
            about=About(),
        )
        laid = pack.frame(raw, self.contract, path=facts.name)
        return np.ascontiguousarray(pack.planes(raw, laid, self.contract, ratio=facts.ratio).transpose(1, 2, 0))


def beside(folder: Path, name: str) -> Path:
    """Where it is written what a shard holds."""
    return folder / f"{name}.json"


def length(path: Path) -> int:
    """How many bytes a file has; none if it is not there."""
    return path.stat().st_size if path.is_file() else 0


def write_facts(path: Path, facts: Facts) -> None:
    """JSON under its own checksum."""
    text = json.dumps(facts, indent=1)
    with writing(path) as file:
        file.write(f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}".encode())


def read_facts(path: Path) -> Facts:
    """What `write_facts` wrote, or `AlteredFile`."""
    try:
        digest, _, text = path.read_text("utf-8").partition("\n")
    except (OSError, ValueError):
        digest, text = "", "unreadable"
    if hashlib.sha256(text.encode()).hexdigest() != digest:
        raise AlteredFile(path, "is not what was written", "build the set again")
    facts: Facts = json.loads(text)
    return facts


def _tuples(value: Any) -> Any:
    """JSON's lists as the tuples they were."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def digest(path: Path) -> str:
    """SHA-256 of a file, read piece by piece."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            sha.update(piece)
    return sha.hexdigest()
