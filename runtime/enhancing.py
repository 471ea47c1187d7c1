"""One frame from RAW file to picture: read, choose the ratio, plan the memory, run, develop, write.

`Enhancer` holds what is the same for every frame; its methods are the stages, which `batch.py` overlaps.
"""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from runtime import develop, exif, pack, picture
from runtime.decode import Decoder
from runtime.errors import BadOption, TooLittleMemory
from runtime.job import SWEEP, Job, Result, Wish, windows_of
from runtime.memory import available, cores, resident
from runtime.ratio import Ratio, choose, sweep
from runtime.raw import Raw
from runtime.root import square, squared
from runtime.session import Session
from runtime.session import open as open_model
from runtime.sheet import contact_sheet, shrunk
from runtime.shelf import Shelf
from runtime.tiles import Plan, best

__all__ = ["Enhancer", "Take", "enhance"]

Array = np.ndarray[Any, Any]
Take = Callable[[Array, int, int], None]  # light (channels, rows, columns), and where on the sensor it begins
MARGIN = 1.12  # over what was measured of the network on small frames, where a few MiB here or there weigh most
SLACK = 28 * 2**20  # what threads, encoders and the libraries they load take besides
SHEET = 640  # the longer side of each picture of a sweep
SHARE = 0.7  # of the memory that is free, where nothing was promised


class Enhancer:
    """A model and a wish, for any number of frames."""

    def __init__(self, session: Session, wish: Wish) -> None:
        wish.check()
        if session.contract.task != "enhance":
            raise BadOption("--model", session.contract.network, "a network that enhances RAW frames")
        self.session, self.contract, self.wish = session, session.contract, wish
        self.threads = wish.threads or cores()
        self.per_pixel = session.memory.per_pixel * MARGIN
        self.base = max(session.memory.base, resident())

    def prepare(
        self,
        raw: Raw,
        *,
        beside: int = 0,
        path: str | Path = "",
        ratio: str | None = None,
        held: Callable[[Plan], float] | None = None,
        folder: str | Path | None = None,
    ) -> Job:
        """Choose the ratio, or take this one, and plan the memory.

        `beside` is what other frames in flight hold, and `held` says how many bytes of the answer are kept with a
        plan: without it, a whole picture. Where memory was promised that lies in a `folder`, if there is one.
        """
        wanted = ratio or self.wish.ratio
        sweeps = wanted == SWEEP
        chosen = choose("auto" if sweeps else wanted, raw, self.contract)
        chosen = replace(chosen, why="the middle of a sweep") if sweeps else chosen
        frame = pack.frame(raw, self.contract, path=path)
        whole = 6 * raw.mosaic.size
        shelved = folder is not None and self.wish.max_memory is not None and not sweeps
        fixed = self.base + raw.mosaic.nbytes + beside + SLACK
        encoded = 5 * raw.mosaic.size if self.wish.format == "jpeg" else 0  # 8 bits, once more for Pillow, and the file

        def cost(plan: Plan) -> float:
            band = 4 * len(self.contract.planes) * plan.height * frame.width
            extra = 0.0 if self.wish.strength == 1 else 6 * band
            running = band + extra + self.per_pixel * plan.height * plan.width
            if shelved:
                # While the network runs a window's part, in pages that are a third its own; all of it to be saved.
                part = plan.height * plan.width / (frame.height * frame.width)
                return fixed + max(min(3 * part, 1) * whole + running, whole + encoded)
            return fixed + (held(plan) if held else whole) + max(running, encoded)

        most = self.wish.max_memory or (available() * SHARE + self.base if available() else float("inf"))
        plan = best(frame.height, frame.width, self.contract, cost=cost, most=most, fresh=self.session.fresh)
        peak = int(cost(plan))
        if self.wish.max_memory and peak > self.wish.max_memory:
            raise TooLittleMemory(self.wish.max_memory, peak)
        return Job(raw, chosen, frame, plan, peak, folder=folder if shelved else None)

    def infer(self, job: Job) -> None:
        """The picture; of a sweep, a sheet of one small picture a ratio."""
        if self.wish.ratio != SWEEP:
            self._infer(job)
            return
        small = []
        for value in sweep(job.raw, self.contract):
            one = replace(job, ratio=Ratio(value, "one of a sweep"))
            self._infer(one)
            if one.pixels is not None:
                small.append((f"x {value:.4g}", shrunk(one.pixels, side=SHEET)))
        job.pixels = contact_sheet(small, side=SHEET)

    def _infer(self, job: Job) -> None:
        """Develop each part of the answer while it is warm."""
        raw = job.raw
        look = develop.look(raw, self.contract)
        to_light = self.wish.format == "dng" and look.output == "camera-linear"
        shelf = None if job.folder is None else Shelf((raw.mosaic.size, self.contract.channels), folder=job.folder)
        job.pixels, view = develop.rotated(
            raw.mosaic.shape,
            raw.about.orientation,
            channels=self.contract.channels,
            pixels=None if shelf is None else shelf.pixels,
        )

        def take(made: Array, top: int, left: int) -> None:
            if shelf is not None:
                shelf.put_away()
            into = view[top : top + made.shape[1], left : left + made.shape[2]]
            if to_light:
                develop.linear(made, into, threads=self.threads)
            else:
                develop.develop(made, look, into, threads=self.threads)

        self.stream(job, take)

    def stream(self, job: Job, take: Take, *, doing: str = "develop") -> None:
        """Run the network window by window, a row of windows after the other, and `take` each part of its answer.

        A part is light, or a display's levels as 0 to 1, and lies on the sensor; it must be done with on return. The
        job's seconds tell how long that took, by the name of what it is `doing`.
        """
        raw, frame = job.raw, job.frame
        look = develop.look(raw, self.contract)
        spent = {"pack": 0.0, doing: 0.0}
        band: list[Any] = []

        def read_rows(begin: int, end: int) -> Array:
            start = time.perf_counter()
            band.clear()
            planes = pack.planes(raw, frame, self.contract, ratio=job.ratio.value, rows=(begin, end))
            if self.wish.strength < 1:
                light = squared(planes) if self.contract.range == "root" else planes
                band[:] = [begin, develop.amplified(light, look)]
            spent["pack"] += time.perf_counter() - start
            return planes

        def write(made: Array, row: int, column: int) -> None:
            start = time.perf_counter()
            if self.contract.output == "camera-root":
                square(made)
            if band:
                made = self._blended(made, band[1], row - int(band[0] * self.contract.scale), column)
            made, top, left = _visible(made, row - frame.top, column - frame.left, raw.mosaic.shape)
            take(made, top, left)
            spent[doing] += time.perf_counter() - start

        begin = time.perf_counter()
        self.session.tiled(read_rows, job.plan, write, release=self.wish.max_memory is not None)
        job.seconds |= {**spent, "infer": time.perf_counter() - begin - sum(spent.values())}

    def _blended(self, made: Array, plain: Array, row: int, column: int) -> Array:
        """The network's answer, with so much of the amplified frame as the strength leaves."""
        same = plain[:, row : row + made.shape[1], column : column + made.shape[2]]
        strength = np.float32(self.wish.strength)
        return strength * made + (1 - strength) * same

    def save(self, job: Job, path: str | Path) -> None:
        """Write the picture, with what the file said of how it was taken and how it was made."""
        if job.pixels is None:
            raise ValueError("infer comes first")
        start = time.perf_counter()
        words = self.description(job)
        block = exif.write(job.raw.about, software=f"qk-unet {_version()}", description=words)
        picture.save(
            job.pixels,
            path,
            format=self.wish.format,
            exif=block,
            description=words,
            raw=job.raw,
            linear="camera" if self.contract.output.startswith("camera") else "srgb",
            threads=self.threads,
        )
        job.seconds["encode"] = time.perf_counter() - start

    def description(self, job: Job) -> str:
        """How the picture was made, in one line of ASCII."""
        contract, ran = self.contract, self.session.ran
        return (
            f"qk-unet {_version()}: {contract.network} {contract.bits} {self.session.digest[:12]}, "
            f"ratio {job.ratio.value:.4g} ({job.ratio.why}), strength {self.wish.strength:g}, "
            f"{ran.engine} {ran.provider}"
        )

    def result(self, path: str | Path, output: str | Path, job: Job) -> Result:
        """What is said of a frame that is done."""
        ran, plan = self.session.ran, job.plan
        return Result(
            input=str(path),
            output=str(output),
            ratio=round(job.ratio.value, 4),
            why=job.ratio.why,
            height=job.pixels.shape[0] if job.pixels is not None else None,
            width=job.pixels.shape[1] if job.pixels is not None else None,
            windows=windows_of(plan),
            bits=self.contract.bits,
            peak=job.peak,
            engine=ran.engine,
            provider=ran.provider,
            model=self.session.digest,
            seconds={key: round(value, 4) for key, value in job.seconds.items()},
        )


def enhance(
    path: str | Path,
    out: str | Path,
    *,
    model: str | Path | Session,
    provider: str = "auto",
    ratio: str | float = "auto",
    strength: float = 1.0,
    max_memory: int | None = None,
    threads: int | None = None,
) -> Result:
    """Enhance one RAW file into a picture; the format is what the name of `out` ends in: png, tiff, jpg or dng."""
    out = Path(out)
    wish = Wish(
        ratio=str(ratio), format=picture.format_of(out), strength=strength, max_memory=max_memory, threads=threads
    )
    wish.check()
    with Decoder(keep=False) as decoder:  # it starts while the model is opened
        session = model if isinstance(model, Session) else open_model(model, provider=provider, threads=threads)
        enhancer = Enhancer(session, wish)
        start = time.perf_counter()
        raw = decoder.read(path)
    decoded = time.perf_counter() - start
    job = enhancer.prepare(raw, path=path, folder=out.parent)
    enhancer.infer(job)
    enhancer.save(job, out)
    done = enhancer.result(path, out, job)
    return replace(done, seconds={"decode": round(decoded, 4), **done.seconds})


def _visible(made: Array, top: int, left: int, shape: tuple[int, ...]) -> tuple[Array, int, int]:
    """The part of an output that lies on the sensor, and where it begins there."""
    height, width = shape[:2]
    rows = slice(max(-top, 0), max(min(made.shape[1], height - top), 0))
    columns = slice(max(-left, 0), max(min(made.shape[2], width - left), 0))
    return made[:, rows, columns], max(top, 0), max(left, 0)


def _version() -> str:
    try:
        return importlib.metadata.version("qk-unet")
    except importlib.metadata.PackageNotFoundError:  # run from a folder
        return "unknown"
