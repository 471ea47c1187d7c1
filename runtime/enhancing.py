"""One frame from RAW file to picture: read, choose the ratio, plan the memory, run, develop, write.

`Enhancer` holds what is the same for every frame; its methods are the stages, which `batch.py` overlaps.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from runtime import develop, exif, pack, picture
from runtime.account import description, result, software
from runtime.afford import Need, afford
from runtime.canvas import Take, band, streaming, whole
from runtime.decode import Decoder
from runtime.errors import BadOption
from runtime.inputs import spare
from runtime.job import SWEEP, Job, Result, Wish
from runtime.memory import cores, resident
from runtime.ratio import Ratio, choose, sweep
from runtime.raw import Raw
from runtime.root import square, squared
from runtime.session import Session
from runtime.session import open as open_model
from runtime.sheet import contact_sheet, shrunk
from runtime.tiles import Plan, Window

__all__ = ["Enhancer", "Take", "enhance"]

Array = np.ndarray[Any, Any]
MARGIN = 1.12  # over what was measured of the network on small frames, where a few MiB here or there weigh most
SLACK = 20 * 2**20  # what threads, encoders and the libraries they load take besides
MADE = ("pack", "infer", "develop")  # the stages between decoding and encoding
SHEET = 640  # the longer side of each picture of a sweep


class Enhancer:
    """A model and a wish, for any number of frames."""

    def __init__(self, session: Session, wish: Wish) -> None:
        wish.check()
        if session.contract.task != "enhance":
            raise BadOption("--model", session.contract.network, "a network that enhances RAW frames")
        if session.contract.scale != session.contract.pack or session.contract.channels != 3:
            raise BadOption("--model", session.contract.network, "one whose picture has a colour for each pixel")
        self.session, self.contract, self.wish = session, session.contract, wish
        self.threads = wish.threads or cores()
        self.per_pixel = session.memory.per_pixel * MARGIN
        self.base = max(session.memory.base, resident())
        # Of a root nothing but the picture is wanted; what is mixed with the amplified frame is light.
        self.rooted = self.contract.output == "camera-root" and wish.strength == 1

    def prepare(
        self,
        raw: Raw,
        *,
        beside: int = 0,
        path: str | Path = "",
        ratio: str | None = None,
        held: Callable[[Plan], float] | None = None,
        folder: str | Path | None = None,
        at_once: bool = False,
    ) -> Job:
        """Choose the ratio, or take this one, and plan the memory.

        `beside` is what other frames in flight hold, and `held` says how many bytes of the answer are kept with a
        plan: without it, a whole picture. Where memory was promised that may lie in a `folder`, if there is one. What
        is saved `at_once`, with nothing in between, is never whole in memory if its format lets it be written so.
        """
        sweeps = (wanted := ratio or self.wish.ratio) == SWEEP
        chosen = choose("auto" if sweeps else wanted, raw, self.contract)
        chosen = replace(chosen, why=f"one of a sweep, {chosen.why}") if sweeps else chosen
        frame = pack.frame(raw, self.contract, path=path)
        streams = at_once and not sweeps and self.wish.format in picture.STREAMED and raw.about.orientation == 1
        need = self._need(raw, beside=beside, kept=partial(band, raw, self.contract) if streams else held)
        promised = self.wish.max_memory
        took = afford(
            frame,
            self.contract,
            need,
            promised=promised,
            base=self.base,
            fresh=self.session.fresh,
            may_shelve=folder is not None and promised is not None and not sweeps and not streams,
        )
        release = promised is not None and (took.shelved or need.encoded > 0)
        return Job(raw, chosen, frame, took.plan, took.peak, folder if took.shelved else None, streams, release)

    def _need(self, raw: Raw, *, beside: int, kept: Callable[[Plan], float] | None) -> Need:
        """The memory of a frame; without `kept`, of the answer a whole picture is."""
        whole = 6 * raw.mosaic.size
        return Need(
            fixed=self.base + raw.mosaic.nbytes + beside + SLACK + self.threads * develop.ROOM,
            # The window amplified, and twice as much while it is mixed with the answer.
            per_pixel=self.per_pixel + (0 if self.wish.strength == 1 else 9 * 4 * len(self.contract.planes)),
            kept=kept or (lambda plan: whole),
            picture=whole,
            encoded=picture.JPEG_ROOM * raw.mosaic.size if self.wish.format == "jpeg" else 0,
        )

    def picture(self, raw: Raw) -> Array:
        """The picture, uint16 (height, width, 3), of a frame that is in memory."""
        job = self.prepare(raw)
        self.infer(job)
        return _made(job)

    def infer(self, job: Job) -> None:
        """The picture, unless it is made while it is saved; of a sweep, a sheet of one small picture a ratio."""
        if job.streams:
            return
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
        self._stream(job, whole(job, self._fill(job), contract=self.contract, threads=self.threads))

    def _fill(self, job: Job) -> partial[None]:
        """How a part of the answer becomes a part of the picture."""
        look = replace(develop.look(job.raw, self.contract), rooted=self.rooted)
        to_light = self.wish.format == "dng" and look.output == "camera-linear"
        return partial(develop.linear if to_light else develop.develop, look=look, threads=self.threads)

    def stream(self, job: Job, take: Take, *, doing: str = "develop") -> None:
        """Run the network window by window, a row of windows after the other, and `take` each part of its answer.

        A part is light, or a display's levels as 0 to 1, and lies on the sensor; it must be done with on return. The
        job's seconds tell how long that took, by the name of what it is `doing`.
        """

        def light(made: Array, top: int, left: int) -> None:
            if self.rooted:
                square(made)
            take(made, top, left)

        self._stream(job, light, doing=doing)

    def _stream(self, job: Job, take: Take, *, doing: str = "develop") -> None:
        """The same, with the root of light where that is what comes."""
        raw, frame = job.raw, job.frame
        look = develop.look(raw, self.contract)
        spent = {"pack": 0.0, doing: 0.0}
        plain: list[Any] = []  # the window amplified, and where it begins

        def read(rows: Window, columns: Window) -> Array:
            start = time.perf_counter()
            plain.clear()
            down, across = (rows.begin, rows.end), (columns.begin, columns.end)
            planes = pack.planes(raw, frame, self.contract, ratio=job.ratio.value, rows=down, columns=across)
            if self.wish.strength < 1:
                light = squared(planes) if self.contract.range == "root" else planes
                corner = (int(window.begin * self.contract.scale) for window in (rows, columns))
                plain[:] = [develop.amplified(light, look), *corner]
            spent["pack"] += time.perf_counter() - start
            return planes

        def write(made: Array, row: int, column: int) -> None:
            start = time.perf_counter()
            if plain:
                if self.contract.output == "camera-root":
                    square(made)
                amplified, top, left = plain
                made = self._blended(made, amplified, row - top, column - left)
            made, top, left = _visible(made, row - frame.top, column - frame.left, raw.mosaic.shape)
            take(made, top, left)
            spent[doing] += time.perf_counter() - start

        begin = time.perf_counter()
        self.session.tiled(read, job.plan, write, release=job.release)
        job.seconds |= {**spent, "infer": time.perf_counter() - begin - sum(spent.values())}

    def _blended(self, made: Array, plain: Array, row: int, column: int) -> Array:
        """The network's answer, with so much of the amplified frame as the strength leaves."""
        same = plain[:, row : row + made.shape[1], column : column + made.shape[2]]
        strength = np.float32(self.wish.strength)
        return strength * made + (1 - strength) * same

    def save(self, job: Job, path: str | Path) -> None:
        """Write the picture, with what the file said of how it was taken and how it was made."""
        start = time.perf_counter()
        words = description(job, self.session, strength=self.wish.strength)
        block = exif.write(job.raw.about, software=software(), description=words)
        if job.streams:
            self._save_streamed(job, path, exif=block)
            job.seconds["encode"] = time.perf_counter() - start - sum(job.seconds[stage] for stage in MADE)
            return
        picture.save(
            _made(job),
            path,
            format=self.wish.format,
            exif=block,
            description=words,
            raw=job.raw,
            linear="camera" if self.contract.output.startswith("camera") else "srgb",
            threads=self.threads,
        )
        job.seconds["encode"] = time.perf_counter() - start

    def _save_streamed(self, job: Job, path: str | Path, *, exif: bytes) -> None:
        """Make the picture while it is written."""
        shape = (*job.raw.mosaic.shape, self.contract.channels)
        with (
            picture.streamed(path, shape, format=self.wish.format, exif=exif) as write,
            streaming(job, self._fill(job), write, contract=self.contract) as take,
        ):
            self._stream(job, take)


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
    out, kind = Path(out), picture.format_of(out)
    wish = Wish(ratio=str(ratio), format=kind, strength=strength, max_memory=max_memory, threads=threads)
    wish.check()
    spare([path], [out], allowed="a file that is not the RAW file itself")
    with Decoder(keep=False) as decoder:  # it starts while the model is opened
        session = model if isinstance(model, Session) else open_model(model, provider=provider, threads=threads)
        enhancer = Enhancer(session, wish)
        start = time.perf_counter()
        raw = decoder.read(path)
    decoded = time.perf_counter() - start
    job = enhancer.prepare(raw, path=path, folder=out.parent, at_once=True)
    enhancer.infer(job)
    enhancer.save(job, out)
    done = result(path, out, job, session)
    return replace(done, seconds={"decode": round(decoded, 4), **done.seconds})


def _made(job: Job) -> Array:
    if job.pixels is None:
        raise ValueError("infer comes first")
    return job.pixels


def _visible(made: Array, top: int, left: int, shape: tuple[int, ...]) -> tuple[Array, int, int]:
    """The part of an output that lies on the sensor, and where it begins there."""
    height, width = shape[:2]
    rows = slice(max(-top, 0), max(min(made.shape[1], height - top), 0))
    columns = slice(max(-left, 0), max(min(made.shape[2], width - left), 0))
    return made[:, rows, columns], max(top, 0), max(left, 0)
