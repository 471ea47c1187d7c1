"""RAW files to pictures, as `qk-run enhance` makes them: what each stage takes, and a frame among others in flight."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from runtime import batch, picture
from runtime.bench_models import Contestant, Problems
from runtime.cost import watched
from runtime.decode import Decoder
from runtime.energy import measured
from runtime.enhancing import Enhancer
from runtime.errors import Error, UnreadableFile
from runtime.inputs import Item
from runtime.job import Result, Wish
from runtime.rails import meters

__all__ = ["COPIES", "ROUNDS", "STAGES", "Course", "Lap", "measured_frames", "readable"]

STAGES = ("decode", "pack", "infer", "develop", "encode")
ROUNDS = 3  # an odd number: one of them is the median
COPIES = 6  # of the frame, in one run with two in flight: the first is read and the last written with nothing beside
COMMAND = "import sys, json; sys.path[:] = json.loads(sys.argv.pop(1)); from runtime.cli import main; main()"


class Failed(Error):
    """A frame that became no picture, in the words of its result."""

    def __init__(self, words: str) -> None:
        Exception.__init__(self, words)
        self.problem, self.remedy = words, ""


@dataclass(frozen=True)
class Lap:
    """One run from file to file."""

    total: float
    result: Result


@dataclass(frozen=True)
class Course:
    """A frame, what is asked for, and a folder for the pictures."""

    frame: Path
    folder: Path
    wish: Wish

    def out(self, number: int) -> Path:
        """Where the picture goes; two names take turns, as disks are small."""
        return self.folder / f"{number % 2}{picture.suffix(self.wish.format)}"

    def alone(self, enhancer: Enhancer, decoder: Decoder) -> Lap:
        """The frame, and nothing beside."""
        return self._run(enhancer, decoder, count=1, jobs=1)

    def overlapped(self, enhancer: Enhancer, decoder: Decoder) -> float:
        """Seconds a frame of several, read and written beside the network's work."""
        return self._run(enhancer, decoder, count=COPIES, jobs=2).total / COPIES

    def _run(self, enhancer: Enhancer, decoder: Decoder, *, count: int, jobs: int) -> Lap:
        items = [Item(self.frame, self.out(number)) for number in range(count)]
        decoder.wait()  # it waits for frames too, once the command has opened its model
        begin = time.perf_counter()
        results = list(batch.run(items, self.folder, enhancer, overwrite="always", jobs=jobs, decoder=decoder))
        total = time.perf_counter() - begin
        if failed := [result for result in results if result.status == "failed"]:
            raise Failed(str(failed[0].error))
        return Lap(total, results[0])

    def peak(self, one: Contestant) -> int | None:
        """Bytes of all processes of `qk-run enhance`, in processes of its own."""
        words = ["enhance", str(self.frame), "-o", str(self.folder / "alone"), "--model", str(one.path), "--json"]
        words += ["--provider", one.asked, "--format", self.wish.format, "--overwrite", "always"]
        words += ["--threads", str(self.wish.threads)] if self.wish.threads else []
        words += ["--max-memory", f"{self.wish.max_memory / 2**20}M"] if self.wish.max_memory else []
        done = watched([sys.executable, "-c", COMMAND, json.dumps(sys.path), *words])
        if done.code:
            raise Failed((done.complained or done.said or "no word").strip().splitlines()[-1])
        return done.peak


def readable(frames: Sequence[str | Path]) -> None:
    """Raise an `Error` for the first that cannot be opened."""
    for frame in map(Path, frames):
        try:
            with frame.open("rb"):
                pass
        except (OSError, ValueError) as error:  # ValueError: a name with a zero byte in it
            reason = getattr(error, "strerror", None) or error
            raise UnreadableFile(frame, f"cannot be read ({reason})", "name a RAW file") from None


def measured_frames(
    opened: Sequence[Contestant],
    frames: Sequence[str | Path],
    *,
    wish: Wish,
    problems: Problems,
    said: Callable[[str], object],
) -> list[dict[str, Any]]:
    """A row for each model and frame; what cannot be made is a problem, and the rest goes on."""
    if not frames:
        return []
    able: list[tuple[Contestant, Enhancer]] = []
    for one in opened:
        if enhancer := problems.tried(one.label, Enhancer, one.session, wish):
            able.append((one, enhancer))
    rows = []
    for frame in map(Path, frames):
        # One decoder for all: a lap, and its energy, is of what is done to a frame, not of what starts once.
        with tempfile.TemporaryDirectory(prefix="qk-bench-") as folder, Decoder() as decoder:
            course = Course(frame, Path(folder), wish)
            rows += _raced(able, course, decoder, problems, said)
    return rows


def _raced(
    able: Sequence[tuple[Contestant, Enhancer]],
    course: Course,
    decoder: Decoder,
    problems: Problems,
    said: Callable[[str], object],
) -> list[dict[str, Any]]:
    """One frame through every model, in turn, several times."""
    laps: dict[int, list[Lap]] = {i: [] for i in range(len(able))}
    beside: dict[int, list[float]] = {i: [] for i in laps}
    for turn in range(ROUNDS):
        said(f"{course.frame.name}: round {turn + 1} of {ROUNDS}")
        for i in list(laps):
            one, enhancer = able[i]
            label = f"{one.label}, {course.frame.name}"
            lap = problems.tried(label, course.alone, enhancer, decoder)
            if lap is None:
                del laps[i]
                continue
            laps[i].append(lap)
            if (seconds := problems.tried(label, course.overlapped, enhancer, decoder)) is not None:
                beside[i].append(seconds)
    return [_row(*able[i], course, decoder, laps=runs, beside=beside[i], problems=problems) for i, runs in laps.items()]


def _row(
    one: Contestant,
    enhancer: Enhancer,
    course: Course,
    decoder: Decoder,
    *,
    laps: Sequence[Lap],
    beside: Sequence[float],
    problems: Problems,
) -> dict[str, Any]:
    """The lap of median length, so that its stages belong together."""
    lap = sorted(laps, key=lambda lap: lap.total)[len(laps) // 2]
    label = f"{one.label}, {course.frame.name}"
    there = meters(one.session.ran.provider)
    energy = problems.tried(label, measured, partial(course.alone, enhancer, decoder), there)
    return {
        "model": one.model,
        "engine": one.session.ran.engine,
        "provider": one.session.ran.provider,
        "path": str(course.frame),
        "height": lap.result.height,
        "width": lap.result.width,
        "format": course.wish.format,
        "seconds": {stage: lap.result.seconds[stage] for stage in STAGES},
        "total_s": lap.total,
        "overlapped_s": sorted(beside)[len(beside) // 2] if beside else None,
        "peak_bytes": problems.tried(label, course.peak, one),
        "energy_mj": 1e3 * energy.joules if energy and energy.joules is not None else None,
    }
