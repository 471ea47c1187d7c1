"""Decode a data set once, into shards.

A shard gets its name when it is whole; beside it lie its checksum, what it was made from and what could not be read.
The index is written last. So a build that was killed goes on where it was, and half a shard is never read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import numpy as np

from quant.phase import aligned
from quant.shards import INDEX, VERSION, Frame, beside, digest, length, read_facts, write_facts
from runtime.atomic import writing
from runtime.decode import Decoder
from runtime.errors import FileError, UnreadableFile
from runtime.ledger import Ledger
from runtime.raw import Raw

__all__ = ["Scene", "Short", "Skipped", "build"]

Array = np.ndarray[Any, Any]
Facts = dict[str, Any]
Develop = Callable[[Path], Array]


@dataclass(frozen=True)
class Short:
    """One dark exposure, and by how much it is brightened."""

    name: str
    path: Path
    ratio: float


@dataclass(frozen=True)
class Scene:
    """A target and the short exposures of it; the name becomes a file's."""

    name: str
    target: Path
    shorts: tuple[Short, ...]


@dataclass(frozen=True)
class Skipped:
    """A file that could not be used, and why."""

    path: str
    why: str


def build(
    folder: str | Path,
    scenes: Sequence[Scene],
    *,
    develop: Develop,
    progress: Callable[[int, int], None] = lambda done, of: None,
    timeout: float = 60.0,
) -> tuple[Skipped, ...]:
    """Decode what is not decoded yet; `develop` makes uint16 (h, w, 3) of a target. Returns what was skipped."""
    folder = Path(folder)
    versions = {"format": VERSION, "rawpy": version("rawpy"), "numpy": version("numpy")}
    with Ledger(folder), Decoder(timeout=timeout) as decoder:
        shards = []
        for number, scene in enumerate(scenes):
            shard = _done(folder, scene, versions)
            if shard is None:
                (folder / INDEX).unlink(missing_ok=True)  # it may tell of what is now replaced
                shard = _write(folder, scene, decoder, develop, versions)
            shards.append(shard)
            progress(number + 1, len(scenes))
        skipped = tuple(Skipped(*item) for shard in shards for item in shard["skipped"])
        if not any(shard["frames"] for shard in shards):
            first = skipped[0].why if skipped else "it names none"
            raise UnreadableFile(folder, f"would hold no frame ({first})", "see that the data set is whole")
        write_facts(folder / INDEX, {"versions": versions, "shards": [s for s in shards if s["frames"]]})
    return skipped


def _done(folder: Path, scene: Scene, versions: Facts) -> Facts | None:
    """What lies beside a shard, if that is whole and was made from these files as they are now."""
    if not re.fullmatch(r"[\w-][\w.-]*", scene.name):
        raise ValueError(f"{scene.name!r} is no name for a file")
    try:
        shard = read_facts(beside(folder, scene.name))
        found = _sources(scene, known=shard["sources"])
        same = (shard["versions"], shard["asked"]) == (versions, _asked(scene))
        same = same and _digests(found) == _digests(shard["sources"])
        if not same or length(folder / f"{scene.name}.bin") != shard["bytes"]:
            return None
        if found != shard["sources"]:  # the same bytes at another time
            shard["sources"] = found
            write_facts(beside(folder, scene.name), shard)
        return shard
    except (FileError, KeyError, TypeError):
        return None


def _digests(sources: Facts) -> Facts:
    return {path: stamp and stamp[-1] for path, stamp in sources.items()}


def _asked(scene: Scene) -> list[Any]:
    return [[short.name, str(short.path), short.ratio] for short in scene.shorts]


def _sources(scene: Scene, *, known: Facts | None = None) -> Facts:
    """Size, time and digest of each file; one that is as old and as large as it was known is not read again."""
    found: Facts = {}
    for path in (scene.target, *(short.path for short in scene.shorts)):
        try:
            status = path.stat()
            stamp = [status.st_size, status.st_mtime_ns]
            before = (known or {}).get(str(path))
            found[str(path)] = before if before and before[:2] == stamp else [*stamp, digest(path)]
        except OSError:
            found[str(path)] = None
    return found


class _Writer:
    """A shard as it grows: how long it is and its checksum."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.bytes, self.sha = file, 0, hashlib.sha256()

    def put(self, array: Array) -> int:
        """Append an array and return where it begins."""
        data, begin = np.ascontiguousarray(array, "<u2").data.cast("B"), self.bytes
        self.file.write(data)
        self.sha.update(data)
        self.bytes += len(data)
        return begin


def _write(folder: Path, scene: Scene, decoder: Decoder, develop: Develop, versions: Facts) -> Facts:
    """Decode a scene into its shard."""
    skipped: list[list[str]] = []
    shard: Facts = {"name": scene.name, "versions": versions, "asked": _asked(scene), "sources": _sources(scene)}
    shard |= {"skipped": skipped, "frames": [], "bytes": 0, "sha256": ""}
    beside(folder, scene.name).unlink(missing_ok=True)
    try:
        target = develop(scene.target)
    except FileError as error:
        skipped.append([str(scene.target), str(error)])
    else:
        with writing(folder / f"{scene.name}.bin") as file:
            writer = _Writer(file)
            for short, raw, top, left in _decoded(scene, decoder, target.shape[:2], skipped):
                if not shard["frames"]:
                    height, width = raw.mosaic.shape
                    writer.put(target[top : top + height, left : left + width])
                shard["frames"].append(asdict(_frame(scene, short, raw, offset=writer.put(raw.mosaic))))
            shard |= {"bytes": writer.bytes, "sha256": writer.sha.hexdigest()}
    write_facts(beside(folder, scene.name), shard)
    return shard


def _decoded(
    scene: Scene, decoder: Decoder, shape: tuple[int, ...], skipped: list[list[str]]
) -> Iterator[tuple[Short, Raw, int, int]]:
    """The short exposures of a scene, in phase, and where they begin; what cannot be used is skipped and noted."""
    place: tuple[int, int] | None = None
    for short in scene.shorts:
        try:
            whole = decoder.read(short.path)
            raw, top, left = aligned(whole)
            if whole.mosaic.shape != shape or place not in (None, (top, left)):
                raise UnreadableFile(short.path, "is of another size or pattern than its target", "leave the pair out")
        except FileError as error:
            skipped.append([str(short.path), str(error)])
            continue
        place = (top, left)
        yield short, raw, top, left


def _frame(scene: Scene, short: Short, raw: Raw, *, offset: int) -> Frame:
    height, width = raw.mosaic.shape
    return Frame(
        name=short.name,
        scene=scene.name,
        ratio=short.ratio,
        height=height,
        width=width,
        offset=offset,
        cfa=raw.cfa,
        pattern=raw.pattern,
        black=raw.black,
        white=raw.white,
        wb=raw.wb,
        cam2rgb=raw.cam2rgb,
    )
