"""Models judged on pairs of files: each dark frame goes through the network and is held against its clean picture.

One frame is in memory at a time, and of it the mosaic alone: the clean picture is read and the answer measured in
bands of rows, while the network runs window by window.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runtime import develop
from runtime.amplifier import AMPLIFIED, amplifier
from runtime.clean import PICTURES, Reference, opened
from runtime.decode import read
from runtime.enhancing import Enhancer
from runtime.errors import BadOption, Error, NoPicture, SetupError, UnreadableFile
from runtime.job import Wish
from runtime.pairing import Pair, Pairs
from runtime.raw import Raw
from runtime.referee import Referee, held
from runtime.scores import Scores, key_of
from runtime.session import Session
from runtime.session import open as open_model
from runtime.shipped import located

__all__ = ["BY_NAME", "Judge", "Terms", "evaluate"]

BY_NAME = "name"
VERSION = 2  # of the lines: what those of another one tell is measured again


@dataclass(frozen=True, kw_only=True)
class Terms:
    """On which terms models are judged: `ratio` is "name" (auto where a pair's names tell none), auto or a number."""

    ratio: str = BY_NAME
    strength: float = 1.0
    provider: str = "auto"
    max_memory: int | None = None
    threads: int | None = None

    def wish(self) -> Wish:
        """The same for one frame."""
        ratio = "auto" if self.ratio == BY_NAME else self.ratio
        return Wish(ratio=ratio, strength=self.strength, max_memory=self.max_memory, threads=self.threads)

    def check(self) -> None:
        """Raise an `Error` unless they can be kept."""
        if self.ratio == "sweep":
            raise BadOption("--ratio", self.ratio, "name, auto, or a number such as 100")
        self.wish().check()

    @property
    def asked(self) -> dict[str, Any]:
        """What of them makes another picture, as a line tells it."""
        return {"ratio": self.ratio, "strength": self.strength}

    @property
    def figured(self) -> list[Any]:
        """What of them changes figures."""
        return [VERSION, *self.asked.values(), self.provider]


class Judge:
    """One model, for any number of pairs; "amplified" is the model that is none."""

    def __init__(self, model: str, terms: Terms) -> None:
        terms.check()
        self.model, self.terms = model, terms
        self.file = None if model == AMPLIFIED else located(model, provider=terms.provider)
        if self.file is None:
            session = amplifier()
        else:
            session = open_model(self.file, provider=terms.provider, threads=terms.threads)
        self._enhancers = {session.contract.cfa: Enhancer(session, terms.wish())}
        self.session: Session = session

    def key(self, pair: Pair) -> str:
        """What the figures of a pair hang on, in a few letters; another one if a file has changed."""
        return key_of([self.session.digest, *self.terms.figured], pair)

    def named(self, pair: Pair) -> dict[str, Any]:
        """What the model and the files of a pair are called, and what was asked of them."""
        file = None if self.file is None else str(self.file)
        files = {"file": file, "dark": str(pair.dark), "clean": str(pair.clean)}
        return {"model": self.model, **files, "asked": self.terms.asked}

    def judge(self, pair: Pair) -> dict[str, Any]:
        """The figures of one pair, or the error because of which there are none, as a JSON line."""
        try:
            return self._judge(pair)
        except SetupError:
            raise  # the next pair would fare no better
        except Error as error:
            return self.failed(pair, error)

    def failed(self, pair: Pair, error: Error) -> dict[str, Any]:
        """The line of a pair that cannot be judged."""
        return {**self.named(pair), "digest": self.session.digest, "pair": pair.name, "error": str(error)}

    def _judge(self, pair: Pair) -> dict[str, Any]:
        start = time.perf_counter()
        raw = read(pair.dark)
        decoded = time.perf_counter()
        with opened(pair.clean) as clean:
            ready = time.perf_counter()
            _require_fit(raw, clean, pair)
            enhancer = self._enhancer(raw)
            scale = float(enhancer.contract.scale)
            width = raw.mosaic.shape[1]
            asked = str(pair.ratio) if self.terms.ratio == BY_NAME and pair.ratio is not None else None
            job = enhancer.prepare(raw, path=pair.dark, ratio=asked, held=lambda plan: held(plan.height * scale, width))
            rows, look = int(job.plan.height * scale), develop.look(raw, enhancer.contract)
            referee = Referee(clean, look, rows=rows, threads=enhancer.threads)
            with _readable(pair.clean):
                enhancer.stream(job, referee.take, doing="measure")
        if referee.developed.flat:
            raise NoPicture(pair.clean, "is one colour all over: nothing can be judged by it", "leave the pair out")
        seconds = {"decode": decoded - start, "reference": ready - decoded, **job.seconds}
        return {
            **self._told(pair, enhancer),
            "ratio": round(job.ratio.value, 4),
            "why": job.ratio.why,
            "height": clean.height,
            "width": clean.width,
            "light": referee.light,
            "linear": asdict(referee.linear.figures()),
            "developed": asdict(referee.developed.figures()),
            "seconds": {name: round(value, 4) for name, value in seconds.items()},
        }

    def _enhancer(self, raw: Raw) -> Enhancer:
        """The one for that mosaic; a network knows one kind, no network knows both."""
        if self.file is None and raw.cfa not in self._enhancers:
            self._enhancers[raw.cfa] = Enhancer(amplifier(raw.cfa), self.terms.wish())
        return self._enhancers.get(raw.cfa) or next(iter(self._enhancers.values()))

    def _told(self, pair: Pair, enhancer: Enhancer) -> dict[str, Any]:
        ran = enhancer.session.ran
        return {
            **self.named(pair),
            "digest": self.session.digest,
            "network": enhancer.contract.network,
            "bits": enhancer.contract.bits,
            "engine": ran.engine,
            "provider": ran.provider,
            "pair": pair.name,
        }


def evaluate(
    found: Pairs, models: Sequence[str], *, terms: Terms, out: str | Path | None = None
) -> Iterator[dict[str, Any]]:
    """Judge every model on every pair, one model after the other, and give each line; those of before come again.

    Files without a partner come first. `out` keeps the lines, and a run that is begun again goes on from there.
    """
    for model in models:
        Judge(model, terms)  # what cannot be is said before hours are spent on the others
    with Scores(out) as scores:
        for error in found.alone:
            yield {"file": str(error.path), "error": str(error)}
        for model in models:
            judge = Judge(model, terms)
            for pair in found.pairs:
                yield _scored(judge, pair, scores)


def _scored(judge: Judge, pair: Pair, scores: Scores) -> dict[str, Any]:
    """The line of a pair: that of before, or a new one that is kept."""
    try:
        key = judge.key(pair)
    except Error as error:  # a file has gone
        return judge.failed(pair, error)
    kept = scores.find(key)
    if kept is not None:
        return {**kept, **judge.named(pair)}  # as named now
    line = judge.judge(pair)
    scores.add(key, line)
    return line


def _require_fit(raw: Raw, clean: Reference, pair: Pair) -> None:
    """Raise unless the clean picture lies as the sensor does."""
    height, width = raw.mosaic.shape
    if (clean.height, clean.width) != (height, width):
        problem = f"is {clean.width} x {clean.height} and {pair.dark.name} is {width} x {height}"
        raise UnreadableFile(pair.clean, problem, "leave the pair out, or take the picture that belongs to it")
    if raw.about.orientation != 1 and clean.space == "srgb" and pair.clean.suffix.lower() in PICTURES:
        problem = "is a picture of a frame that was not taken upright, and its rows are not the sensor's"
        raise UnreadableFile(pair.clean, problem, "name the clean RAW file instead, or leave the pair out")


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnreadableFile(path, f"cannot be read to its end ({error.strerror})", "copy it again") from None
