"""What is asked for, a frame on its way, and what became of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from runtime import picture
from runtime.errors import BadOption
from runtime.pack import Frame
from runtime.ratio import Ratio
from runtime.raw import Raw
from runtime.tiles import Plan

__all__ = ["SWEEP", "Job", "Result", "Wish", "windows_of"]

Array = np.ndarray[Any, Any]
SWEEP = "sweep"


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is asked for."""

    ratio: str = "auto"
    format: str = "png"
    strength: float = 1.0
    max_memory: int | None = None
    threads: int | None = None

    def check(self) -> None:
        """Raise an `Error` unless it can be had."""
        picture.suffix(self.format)
        if self.ratio not in ("auto", SWEEP) and not _positive(self.ratio):
            raise BadOption("--ratio", self.ratio, "auto, sweep, or a number such as 100")
        if self.ratio == SWEEP and self.format == "dng":
            raise BadOption("--format", self.format, "another with a sweep, whose sheet is for a display")
        if not 0 <= self.strength <= 1:
            raise BadOption("--strength", self.strength, "a number from 0 to 1")

    def digest(self) -> str:
        """What of it changes the picture, in a few letters."""
        text = json.dumps([self.ratio, self.format, self.strength])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass
class Job:
    """One frame on its way."""

    raw: Raw
    ratio: Ratio
    frame: Frame
    plan: Plan
    peak: int  # bytes this process is expected to hold at most
    folder: str | Path | None = None  # where the picture lies until it is saved, if not in memory
    streams: bool = False  # the picture is made row by row while it is saved, and never whole in memory
    release: bool = False  # what the network took is wanted for what comes behind it
    pixels: Array | None = None
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of one file."""

    input: str
    output: str | None = None
    status: str = "done"
    ratio: float | None = None
    why: str | None = None
    height: int | None = None
    width: int | None = None
    windows: str | None = None
    peak: int | None = None
    engine: str | None = None
    provider: str | None = None
    model: str | None = None
    bits: str | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """What is known, for a JSON line."""
        return {key: value for key, value in asdict(self).items() if value not in (None, {})}


def windows_of(plan: Plan) -> str:
    """A plan in words."""
    return f"{len(plan.rows)} x {len(plan.columns)} of {plan.height} x {plan.width}"


def _positive(text: str) -> bool:
    try:
        return 0 < float(text) < float("inf")
    except ValueError:
        return False
