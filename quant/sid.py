"""See in the Dark (Chen et al., 2018) as it is published: lists, exposures from file names, targets by LibRaw.

A target is the long exposure as LibRaw develops it (libraw.py).
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from quant.phase import aligned
from quant.sharding import Scene, Short
from runtime import pack
from runtime.contract import Contract
from runtime.decode import read
from runtime.errors import BadOption, UnreadableFile
from runtime.libraw import developed
from runtime.pairing import MISALIGNED, RATIO_MAX

__all__ = [
    "Exposure",
    "develop",
    "for_figures",
    "for_training",
    "listed",
    "one_each",
    "pair",
    "read_list",
    "scenes",
]

Array = np.ndarray[Any, Any]

CAMERAS = ("Sony", "Fuji")
SPLITS = {"train": "0", "test": "1", "val": "2"}  # the first digit of an id
LINE = re.compile(r"(\S+)\s+(\S+)\s+ISO(\d+)\s+F(\d+(?:\.\d+)?)")
NAME = re.compile(r"(?P<id>\d{5})_(?P<burst>\d\d)_(?P<seconds>\d+(?:\.\d+)?)s\.\w+")
NAMED = 3  # of the files that are missing


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """A row of a list: a short exposure, and the long one that shows the same scene."""

    short: Path
    long: Path
    short_seconds: float
    long_seconds: float
    iso: int
    f: float
    id: str
    burst: int

    @property
    def ratio(self) -> float:
        """By how much the short exposure is brightened."""
        return min(self.long_seconds / self.short_seconds, RATIO_MAX)

    @property
    def misaligned(self) -> bool:
        """Whether short and long do not show the same place."""
        return self.id in MISALIGNED


def listed(folder: str | Path, *, camera: str = "Sony", split: str = "train") -> list[Exposure]:
    """Every row of a split, in the order of its list, with files that are there; what is missing is named at once."""
    for option, value, allowed in (("camera", camera, CAMERAS), ("split", split, tuple(SPLITS))):
        if value not in allowed:
            raise BadOption(option, value, " or ".join(allowed))
    folder = Path(folder)
    lists = sorted(folder.glob(f"*{camera}_{split}_list.txt"))
    if not lists:
        raise UnreadableFile(
            folder, f"has no {camera}_{split}_list.txt", "name the folder that holds lists and cameras"
        )
    rows = read_list(lists[0], split=split)
    wanted = sorted({path for row in rows for path in (row.short, row.long)})
    if missing := [str(path.relative_to(folder)) for path in wanted if not path.is_file()]:
        more = ", ..." if len(missing) > NAMED else ""
        problem = (
            f"lacks {len(missing)} of the {len(wanted)} files of {lists[0].name} ({', '.join(missing[:NAMED])}{more})"
        )
        raise UnreadableFile(folder, problem, "unpack the whole archive there")
    return rows


def read_list(path: str | Path, *, split: str) -> list[Exposure]:
    """The rows of one list; its files are where its folder has them."""
    path = Path(path)
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UnreadableFile(path, f"cannot be read ({error})", "take the list of the data set") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        row = _row(line, path.parent) if line.strip() else None
        if row is not None and row.id.startswith(SPLITS[split]):
            rows.append(row)
        elif line.strip():
            raise UnreadableFile(
                path, f"has a line {number} that is no row of {split}", "take the list of the data set"
            )
    return rows


def _row(line: str, folder: Path) -> Exposure | None:
    found = LINE.fullmatch(line.strip())
    if found is None:
        return None
    short, long = (Path(found[n]) for n in (1, 2))
    names = [NAME.fullmatch(path.name) for path in (short, long)]
    times = [float(name["seconds"]) if name else 0.0 for name in names]
    if names[0] is None or names[1] is None or min(times) <= 0 or names[0]["id"] != names[1]["id"]:
        return None
    if any(path.is_absolute() or ".." in path.parts for path in (short, long)):
        return None  # a list names files of its own folder
    return Exposure(
        short=folder / short,
        long=folder / long,
        short_seconds=times[0],
        long_seconds=times[1],
        iso=int(found[3]),
        f=float(found[4]),
        id=names[0]["id"],
        burst=int(names[0]["burst"]),
    )


def for_training(rows: Iterable[Exposure]) -> list[Exposure]:
    """The first of every burst, as published."""
    return [row for row in rows if row.burst == 0]


def for_figures(rows: Iterable[Exposure]) -> list[Exposure]:
    """Without the scenes in which the camera moved."""
    return [row for row in rows if not row.misaligned]


def one_each(rows: Iterable[Exposure], *, rng: np.random.Generator) -> list[Exposure]:
    """An epoch as published: every scene once, in random order, each time with one of its exposures."""
    by_id: dict[str, list[Exposure]] = {}
    for row in rows:
        by_id.setdefault(row.id, []).append(row)
    chosen = [of_one[int(rng.integers(len(of_one)))] for of_one in by_id.values()]
    return [chosen[i] for i in rng.permutation(len(chosen))]


def scenes(rows: Sequence[Exposure]) -> list[Scene]:
    """The rows as shards take them: a long exposure and all the short ones of it."""
    ordered = sorted(rows, key=lambda row: (row.long, row.short))
    return [
        Scene(long.stem, long, tuple(Short(row.short.stem, row.short, row.ratio) for row in of_one))
        for long, of_one in groupby(ordered, key=lambda row: row.long)
    ]


def pair(exposure: Exposure, *, contract: Contract) -> tuple[Array, Array]:
    """A whole frame: float32 planes (h, w, planes), and the target (h, w, 3), 0 to 1, of the same place."""
    whole = read(exposure.short)
    raw, top, left = aligned(whole)
    target = develop(exposure.long)
    if target.shape[:2] != whole.mosaic.shape:
        raise UnreadableFile(exposure.long, f"is of another size than {exposure.short.name}", "leave the pair out")
    height, width = raw.mosaic.shape
    laid = pack.frame(raw, contract, path=exposure.short)
    x = pack.planes(raw, laid, contract, ratio=exposure.ratio).transpose(1, 2, 0)
    y = target[top : top + height, left : left + width]
    return np.ascontiguousarray(x[: height // contract.pack, : width // contract.pack]), y / np.float32(65535)


def develop(path: str | Path, *, timeout: float = 300.0) -> Array:
    """The long exposure as LibRaw develops it, uint16 (h, w, 3), as the sensor lies."""
    with tempfile.TemporaryFile() as file:
        height, width, begin = developed(path, file, timeout=timeout)
        file.seek(begin)
        return np.frombuffer(file.read(), "<u2").reshape(height, width, 3)
