"""What evaluations and benches wrote, read back: lines of `qk-run eval`, a file of `qk-run bench`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.errors import UnreadableFile
from runtime.evaluating import BY_NAME
from runtime.report_fields import Fields, shortened
from runtime.scores import LIGHTS

__all__ = ["Bench", "Evaluation", "Failed", "Figures", "Frame", "Judged", "Row", "Who", "read_bench", "read_eval"]

VERSION = 1
UNPAIRED = {"file", "error"}  # of a line: a file without a partner, which no model was judged on
EVAL = "give what qk-run eval --out or --json wrote, a JSON object a line"
BENCH = "give what qk-run bench --out or --json wrote"


@dataclass(frozen=True)
class Who:
    """A model as it was run; "" is what its file did not tell, and what was asked is then what eval does by itself."""

    model: str
    file: str
    digest: str
    network: str
    bits: str
    engine: str
    provider: str
    ratio: str = BY_NAME
    strength: float = 1.0

    @property
    def asked(self) -> str:
        """What was asked of it, in words, but for what eval does by itself."""
        ratio = f"ratio {self.ratio}" if self.ratio != BY_NAME else ""
        strength = f"strength {self.strength:g}" if self.strength != 1 else ""
        return ", ".join(filter(None, (ratio, strength)))

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
    clean: str
    ratio: float
    size: str
    light: str  # whose is linear: camera, srgb, or linear where that was not told
    linear: Figures
    developed: Figures
    seconds: Mapping[str, float]

    @property
    def scene(self) -> str:
        """What frames that are no independent ones share: their clean picture."""
        return self.clean or self.pair or self.dark


@dataclass(frozen=True)
class Failed:
    """A frame that a model made nothing of, and why."""

    who: Who
    pair: str
    dark: str
    error: str


@dataclass(frozen=True)
class Evaluation:
    """The lines of one file, and how many more were torn off by a kill or a full disk."""

    path: Path
    lines: tuple[Judged | Failed, ...]
    torn: int


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


def read_eval(path: str | Path) -> Evaluation:
    """Every line that tells of a model; one that is no JSON was torn, and is counted."""
    path = Path(path)
    found: list[Judged | Failed] = []
    torn = 0
    for i, line in enumerate(_bytes(path, EVAL).split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            torn += 1
            continue
        if not isinstance(value, dict):
            raise UnreadableFile(path, f"is no evaluation: line {i} is no JSON object", EVAL)
        if value.get("kind") == "bench":
            raise UnreadableFile(path, "is a bench and no evaluation", "give it with --bench")
        if "summary" not in value and value.keys() != UNPAIRED:
            found.append(_line(Fields(path, f"line {i}", EVAL, value)))
    if not found:
        raise UnreadableFile(path, "holds no evaluation", EVAL)
    return Evaluation(path, tuple(found), torn)


def read_bench(path: str | Path) -> Bench:
    """The rows and frames of a bench, and the machine they were measured on."""
    path = Path(path)
    try:
        value = json.loads(_bytes(path, BENCH))
    except (ValueError, RecursionError):
        raise UnreadableFile(path, "is no bench: it is no JSON, or cut short", BENCH) from None
    if not isinstance(value, dict) or value.get("kind") != "bench":
        raise UnreadableFile(path, "is no bench", BENCH)
    if value.get("version") != VERSION:
        found = shortened(value.get("version"))
        raise UnreadableFile(path, f"is a bench of version {found}", f"version {VERSION} can be reported")
    whole = Fields(path, "the bench", BENCH, value)
    return Bench(
        path=path,
        machine=whole.inside("machine").fields,
        **{name: whole.text(name) for name in ("date", "threads", "side", "rounds", "command")},
        rows=tuple(map(_row, whole.each("rows"))),
        frames=tuple(map(_frame, whole.each("frames"))),
    )


def _line(line: Fields) -> Judged | Failed:
    who, pair, dark = _who(line), line.text("pair"), line.text("dark")
    if "error" in line.fields:
        return Failed(who, pair, dark, line.text("error") or "no reason was written")
    figures = [line.inside(name, needed=True) for name in ("linear", "developed")]
    linear, developed = (Figures(_psnr(one), one.number("ssim")) for one in figures)
    return Judged(
        who=who,
        pair=pair,
        dark=dark,
        clean=line.text("clean"),
        ratio=line.number("ratio"),
        size=_size(line),
        light=told if (told := line.text("light")) in LIGHTS else "linear",
        linear=linear,
        developed=developed,
        seconds=line.numbers("seconds"),
    )


def _psnr(figures: Fields) -> float:
    """JSON has no infinity: a null beside an error of 0 is one."""
    told = figures.number("psnr", needed=True)
    return math.inf if math.isnan(told) and figures.number("mse") == 0 else told


def _row(row: Fields) -> Row:
    numbers = {name: row.number(name, needed=name == "median_ms") for name in NUMBERS}
    return Row(_who(row), numbers, row.text("energy_why"), row.text("error_against"))


def _frame(frame: Fields) -> Frame:
    numbers = {name: frame.number(name) for name in ("total_s", "overlapped_s", "peak_bytes", "energy_mj")}
    path, kind = frame.text("path"), frame.text("format")
    return Frame(_who(frame), path, _size(frame), kind, frame.numbers("seconds"), numbers)


def _who(fields: Fields) -> Who:
    rest = {name: fields.text(name) for name in ("file", "digest", "network", "bits", "engine", "provider")}
    asked = fields.inside("asked")
    ratio, strength = asked.text("ratio") or BY_NAME, asked.number("strength", missing=1.0)
    return Who(model=fields.text("model", needed=True), **rest, ratio=ratio, strength=strength)


def _size(fields: Fields) -> str:
    """Width x height, as pictures are spoken of."""
    sides = [fields.number(name) for name in ("width", "height")]
    return " x ".join(f"{side:g}" for side in sides) if all(map(math.isfinite, sides)) else ""


def _bytes(path: Path, remedy: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadableFile(path, f"cannot be read ({error.strerror})", remedy) from None
