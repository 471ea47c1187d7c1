"""What evaluations and benches wrote, read back: lines of `qk-run eval`, a file of `qk-run bench`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.errors import UnreadableFile

__all__ = ["Bench", "Failed", "Figures", "Frame", "Judged", "Row", "Who", "read_bench", "read_eval"]

VERSION = 1
UNPAIRED = {"file", "error"}  # of a line: a file without a partner, which no model was judged on
EVAL = "give what qk-run eval --out or --json wrote, a JSON object a line"
BENCH = "give what qk-run bench --out or --json wrote"


@dataclass(frozen=True)
class Who:
    """A model as it was run; "" is what its file did not tell."""

    model: str
    file: str
    digest: str
    network: str
    bits: str
    engine: str
    provider: str

    @property
    def key(self) -> str:
        """What says that two are one model: the digest, or the name where there is none."""
        return self.digest or self.model


@dataclass(frozen=True)
class Figures:
    """How near a picture is to the clean one; NaN where it was not told."""

    psnr: float
    ssim: float


@dataclass(frozen=True)
class Judged:
    """One frame through one model."""

    who: Who
    pair: str
    dark: str
    ratio: float
    size: str
    linear: Figures
    developed: Figures
    seconds: Mapping[str, float]


@dataclass(frozen=True)
class Failed:
    """A frame that a model made nothing of, and why."""

    who: Who
    pair: str
    dark: str
    error: str


@dataclass(frozen=True)
class Row:
    """What a bench measured of one model; NaN where it was not measured."""

    who: Who
    numbers: Mapping[str, float]
    energy_why: str
    error_against: str


@dataclass(frozen=True)
class Frame:
    """Whole frames through one model, stage by stage; seconds."""

    who: Who
    path: str
    size: str
    format: str
    seconds: Mapping[str, float]
    numbers: Mapping[str, float]


@dataclass(frozen=True)
class Bench:
    """One bench: where and how, and what it measured."""

    path: Path
    machine: Mapping[str, Any]
    date: str
    threads: str
    side: str
    rounds: str
    command: str
    rows: tuple[Row, ...]
    frames: tuple[Frame, ...]


NUMBERS = (
    *("size_bytes", "load_ms", "median_ms", "p95_ms", "per_second", "times_first", "peak_bytes"),
    *("int8_share", "provider_share", "energy_mj", "max_error", "mean_error"),
)


@dataclass(frozen=True)
class _Fields:
    """An object of a file, whose fields are of the kind they should be or refused in words."""

    path: Path
    where: str
    remedy: str
    fields: Mapping[str, Any]

    def refuse(self, why: str) -> UnreadableFile:
        return UnreadableFile(self.path, f"cannot be reported: {self.where} {why}", self.remedy)

    def number(self, name: str, *, needed: bool = False) -> float:
        found = self.fields.get(name)
        if found is None and (not needed or name in self.fields):  # null: what has no number
            return math.nan
        if isinstance(found, bool) or not isinstance(found, (int, float)):
            raise self.refuse(f"has {_short(found)} as {name}, no number")
        try:
            return float(found)
        except OverflowError:
            raise self.refuse(f"has a {name} beyond all numbers") from None

    def text(self, name: str, *, needed: bool = False) -> str:
        found = self.fields.get(name)
        if needed and (not isinstance(found, str) or not found):
            raise self.refuse(f"has {_short(found)} as {name}, no text")
        if isinstance(found, (list, tuple)):
            return "/".join(map(str, found))
        return "" if found is None else str(found)

    def numbers(self, name: str, *, needed: bool = False) -> dict[str, float]:
        inside = self.inside(name, needed=needed)
        return {key: inside.number(key) for key in inside.fields}

    def inside(self, name: str, *, needed: bool = False) -> _Fields:
        found = self.fields.get(name)
        if found is None and not needed:
            found = {}
        if not isinstance(found, dict):
            raise self.refuse(f"has {_short(found)} as {name}, no object")
        return _Fields(self.path, f"{self.where}, {name},", self.remedy, found)

    def each(self, name: str) -> list[_Fields]:
        found = self.fields.get(name) or []
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise self.refuse(f"has no list of objects as {name}")
        return [_Fields(self.path, f"{name}[{i}]", self.remedy, one) for i, one in enumerate(found)]


def read_eval(path: str | Path) -> list[Judged | Failed]:
    """Every line of an evaluation; a last line that was torn off is passed over, and so is what tells of no model."""
    path = Path(path)
    found: list[Judged | Failed] = []
    lines = [(i, line) for i, line in enumerate(_text(path, EVAL).split("\n"), 1) if line.strip()]
    for i, line in lines:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            if (i, line) == lines[-1]:
                break
            raise UnreadableFile(path, f"is no evaluation: line {i} is no JSON", EVAL) from None
        if not isinstance(value, dict):
            raise UnreadableFile(path, f"is no evaluation: line {i} is no JSON object", EVAL)
        if value.get("kind") == "bench":
            raise UnreadableFile(path, "is a bench and no evaluation", "give it with --bench")
        if "summary" not in value and value.keys() != UNPAIRED:
            found.append(_line(_Fields(path, f"line {i}", EVAL, value)))
    if not found:
        raise UnreadableFile(path, "holds no evaluation", EVAL)
    return found


def read_bench(path: str | Path) -> Bench:
    """The rows and frames of a bench, and the machine they were measured on."""
    path = Path(path)
    try:
        value = json.loads(_text(path, BENCH))
    except (ValueError, RecursionError):
        raise UnreadableFile(path, "is no bench: it is no JSON, or cut short", BENCH) from None
    if not isinstance(value, dict) or value.get("kind") != "bench":
        raise UnreadableFile(path, "is no bench", BENCH)
    if value.get("version") != VERSION:
        found = _short(value.get("version"))
        raise UnreadableFile(path, f"is a bench of version {found}", f"version {VERSION} can be reported")
    whole = _Fields(path, "the bench", BENCH, value)
    return Bench(
        path=path,
        machine=whole.inside("machine").fields,
        **{name: whole.text(name) for name in ("date", "threads", "side", "rounds", "command")},
        rows=tuple(map(_row, whole.each("rows"))),
        frames=tuple(map(_frame, whole.each("frames"))),
    )


def _line(line: _Fields) -> Judged | Failed:
    who, pair, dark = _who(line), line.text("pair"), line.text("dark")
    if "error" in line.fields:
        return Failed(who, pair, dark, line.text("error") or "no reason was written")
    figures = [line.inside(name, needed=True) for name in ("linear", "developed")]
    linear, developed = (Figures(_psnr(one), one.number("ssim")) for one in figures)
    return Judged(who, pair, dark, line.number("ratio"), _size(line), linear, developed, line.numbers("seconds"))


def _psnr(figures: _Fields) -> float:
    """JSON has no infinity: a null beside an error of 0 is one."""
    told = figures.number("psnr", needed=True)
    return math.inf if math.isnan(told) and figures.number("mse") == 0 else told


def _row(row: _Fields) -> Row:
    numbers = {name: row.number(name, needed=name == "median_ms") for name in NUMBERS}
    return Row(_who(row), numbers, row.text("energy_why"), row.text("error_against"))


def _frame(frame: _Fields) -> Frame:
    numbers = {name: frame.number(name) for name in ("total_s", "overlapped_s", "peak_bytes", "energy_mj")}
    path, kind = frame.text("path"), frame.text("format")
    return Frame(_who(frame), path, _size(frame), kind, frame.numbers("seconds"), numbers)


def _who(fields: _Fields) -> Who:
    rest = (fields.text(name) for name in ("file", "digest", "network", "bits", "engine", "provider"))
    return Who(fields.text("model", needed=True), *rest)


def _size(fields: _Fields) -> str:
    """Width x height, as pictures are spoken of."""
    sides = [fields.number(name) for name in ("width", "height")]
    return " x ".join(f"{side:g}" for side in sides) if all(map(math.isfinite, sides)) else ""


def _text(path: Path, remedy: str) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise UnreadableFile(path, f"cannot be read ({error.strerror})", remedy) from None
    except UnicodeDecodeError:
        raise UnreadableFile(path, "is no text", remedy) from None


def _short(value: object) -> str:
    """What was found, as a message can hold it."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 40 else text[:39] + "…"
