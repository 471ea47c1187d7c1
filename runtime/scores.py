"""Figures as JSON lines: one a model and pair, added as they come, found again by a run that goes on.

Of lines that are there only a digest and a place are kept in memory. A line that is torn, by a kill or a full disk, is
no line: its pair is judged again. The last line of a key counts.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from runtime.errors import Busy, FileError, UnreadableFile
from runtime.lock import taken
from runtime.measure import Mean, Scenes
from runtime.pairing import Pair

__all__ = ["FIGURES", "LIGHTS", "TIMED", "Scores", "Summary", "key_of"]

FIGURES = ("psnr", "ssim", "mse")
KINDS = ("linear", "developed")
LIGHTS = {"camera": "camera's", "srgb": "sRGB's"}  # whose light is linear
TIMED = ("pack", "infer")  # of the seconds: from the mosaic to the network's answer


def key_of(told: list[Any], pair: Pair) -> str:
    """A digest of what was told of the model, the pair's name, and its files by size and time."""
    text = json.dumps([told, pair.name, pair.ratio, _state(pair.dark), _state(pair.clean)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _state(path: Path) -> list[int]:
    try:
        found = path.stat()
    except OSError as error:
        raise UnreadableFile(path, f"cannot be read ({error.strerror})", "name a file that can") from None
    return [found.st_size, found.st_mtime_ns]


class Scores:
    """A file of lines, made if it is not there; without a name nothing is kept."""

    def __init__(self, path: str | Path | None) -> None:
        self.path = None if path is None else Path(path)
        self._places: dict[str, int] = {}
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Scores:
        if self.path is not None:
            with self._in_words(self.path):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self.path.open("a+b")
            if not taken(self._file.fileno()):
                self._file.close()
                raise Busy(self.path, "is being written to by another run", "wait for it, or name another file")
            with self._in_words(self.path):
                self._places = dict(_places(self._file))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # of a line that a full disk refused: it was said when it was added
                self._file.close()

    def find(self, key: str) -> dict[str, Any] | None:
        """The figures of that key, if they are there."""
        if self._file is None or self.path is None or key not in self._places:
            return None
        with self._in_words(self.path):
            self._file.seek(self._places[key])
            line = _line(self._file.readline())
        return None if line is None else {name: value for name, value in line.items() if name != "key"}

    def add(self, key: str, line: dict[str, Any]) -> None:
        """Keep a line. One that tells of an error is for people: its pair is judged again another time."""
        if self._file is None or self.path is None:
            return
        data = json.dumps({"key": key, **line}).encode() + b"\n"
        with self._in_words(self.path):
            end = self._file.seek(0, os.SEEK_END)
            if end and not _ends_a_line(self._file, end):
                data = b"\n" + data  # a torn line stays a line of its own
            self._file.write(data)
            self._file.flush()
            os.fsync(self._file.fileno())
        if "error" not in line:
            self._places[key] = end + (data[:1] == b"\n")

    @staticmethod
    @contextlib.contextmanager
    def _in_words(path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            remedy = "choose another file for --out, where there is room and the right to write"
            raise FileError(path, f"cannot be written ({error.strerror})", remedy) from None


def _places(file: IO[bytes]) -> Iterator[tuple[str, int]]:
    """The key of every line that holds figures, and where it begins."""
    file.seek(0)
    at = 0
    for data in file:
        line = _line(data)
        if line is not None:
            yield str(line["key"]), at
        at += len(data)


def _line(data: bytes) -> dict[str, Any] | None:
    """A whole line of figures; None for any other."""
    with contextlib.suppress(ValueError, KeyError, TypeError, OverflowError, RecursionError):
        line = json.loads(data)
        whole = data.endswith(b"\n") and "key" in line and all(line["seconds"][name] >= 0 for name in TIMED)
        whole = whole and line["light"] in LIGHTS
        if whole and all(math.isfinite(line[kind][name]) for kind in KINDS for name in FIGURES):
            return dict(line)
    return None


def _ends_a_line(file: IO[bytes], end: int) -> bool:
    file.seek(end - 1)
    return file.read(1) == b"\n"


class Summary:
    """The means of one model's figures, each with the interval that holds the true one with 95 % confidence.

    They are means over clean pictures: frames that share one, at several ratios or of a burst, are not independent.
    """

    def __init__(self, model: str) -> None:
        self.model, self.failed = model, 0
        self.developed = _nothing()
        self.linear: dict[str, dict[str, Scenes]] = {}  # by whose light it is: two kinds have no mean
        self.seconds = Mean()  # a frame

    @property
    def count(self) -> int:
        """How many pairs were judged."""
        return self.seconds.count

    @property
    def scenes(self) -> int:
        """How many clean pictures they have."""
        return self.developed["psnr"].mean.count

    def add(self, line: dict[str, Any]) -> None:
        """Count one more line."""
        if "error" in line:
            self.failed += 1
            return
        for name in FIGURES:
            self.developed[name].add(line["clean"], line["developed"][name])
            self.linear.setdefault(line["light"], _nothing())[name].add(line["clean"], line["linear"][name])
        self.seconds.add(sum(line["seconds"][name] for name in TIMED))

    def as_dict(self) -> dict[str, Any]:
        """For a JSON line: a mean is [mean, low, high], null where it is not known."""
        counted = {"summary": self.model, "n": self.count, "scenes": self.scenes, "failed": self.failed}
        linear = {light: _intervals(self.linear[light]) for light in sorted(self.linear)}
        figures = {"developed": _intervals(self.developed), "linear": linear}
        return {**counted, **figures, "seconds": _interval(self.seconds)}


def _nothing() -> dict[str, Scenes]:
    return {name: Scenes() for name in FIGURES}


def _intervals(figures: dict[str, Scenes]) -> dict[str, list[float | None]]:
    return {name: _interval(scenes.mean) for name, scenes in figures.items()}


def _interval(mean: Mean) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in (mean.mean, *mean.interval)]
