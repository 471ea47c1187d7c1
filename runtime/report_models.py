"""Evaluations and benches brought together, model by model: by the digest, or by the name where there is none."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime.measure import Mean, Scenes
from runtime.report_data import Bench, Failed, Figures, Judged, Row, Who
from runtime.scores import LIGHTS
from runtime.viewer import labels

__all__ = ["DEVELOPED", "SPACES", "Subject", "average", "figures", "inside", "over_scenes", "spaces", "subjects"]

DEVELOPED = "developed"
# What figures are of, and how it is called: the picture, or light of one kind, for two kinds have no mean.
SPACES = {DEVELOPED: DEVELOPED, **{light: f"linear, {whose}" for light, whose in LIGHTS.items()}, "linear": "linear"}


@dataclass(frozen=True)
class Subject:
    """A model as one engine ran it and as it was asked to: what it made of the frames, and how fast."""

    name: str
    who: Who
    judged: tuple[Judged, ...] = ()
    failed: tuple[Failed, ...] = ()
    rows: tuple[tuple[Bench, Row], ...] = ()
    seen: tuple[Judged, ...] = ()  # its own, or those of the same file in another engine

    @property
    def developed(self) -> Mean:
        """The mean PSNR of the developed picture."""
        return over_scenes((one, one.developed.psnr) for one in self.seen)


def spaces(models: Iterable[Subject]) -> list[str]:
    """The developed picture, and each kind of light that there are figures of."""
    met = {DEVELOPED, *(line.light for one in models for line in one.judged)}
    return [space for space in SPACES if space in met]


def inside(lines: Iterable[Judged], space: str) -> list[Judged]:
    """The lines that have figures of that kind."""
    return [line for line in lines if space in (DEVELOPED, line.light)]


def figures(one: Judged, space: str) -> Figures:
    """What was measured of the developed picture, or in linear light."""
    return one.developed if space == DEVELOPED else one.linear


def average(values: Iterable[float]) -> Mean:
    """The mean of those that are finite."""
    mean = Mean()
    for value in values:
        if math.isfinite(value):
            mean.add(value)
    return mean


def over_scenes(values: Iterable[tuple[Judged, float]]) -> Mean:
    """The mean over scenes of what is finite: a picture without any error has no PSNR to count with."""
    scenes = Scenes()
    for line, value in values:
        if math.isfinite(value):
            scenes.add(line.scene, value)
    return scenes.mean


def subjects(lines: Sequence[Judged | Failed], benches: Sequence[Bench]) -> list[Subject]:
    """All models in the order they were met; of a frame that was judged twice the last line counts."""
    judged = [line for line in lines if isinstance(line, Judged)]
    first: dict[Ran, Who] = {}
    for line in judged:
        first.setdefault(_ran(line.who), line.who)
    rows = [(_timed(row.who, first), bench, row) for bench in benches for row in bench.rows]
    for owner, _, row in rows:
        first.setdefault(owner, row.who)
    failed = [(_fallen(line.who, first), line) for line in _failed(lines)]
    for owner, bad in failed:
        first.setdefault(owner, bad.who)
    found = []
    for (ran, who), name in zip(first.items(), _names(list(first.values())), strict=True):
        own = _last(line for line in judged if _ran(line.who) == ran)
        same = own or _last(line for line in judged if (line.who.key, line.who.asked) == (who.key, who.asked))
        lost = tuple(line for owner, line in failed if owner == ran)
        speed = tuple((bench, row) for owner, bench, row in rows if owner == ran)
        found.append(Subject(name, who, own, lost, speed, same))
    return found


Ran = tuple[str, str, str, str]


def _ran(who: Who) -> Ran:
    return who.key, who.asked, who.engine, who.provider


def _timed(who: Who, known: Collection[Ran]) -> Ran:
    """Whose a bench's row is: nothing is asked of a bench, and the network takes its time whatever is."""
    ran = _ran(who)
    return ran if ran in known else next((one for one in known if (one[0], *one[2:]) == (ran[0], *ran[2:])), ran)


def _fallen(who: Who, known: Collection[Ran]) -> Ran:
    """Whose a failure is: it may not tell its engine, and is then of the first that ran the model."""
    ran = _ran(who)
    return ran if who.engine else next((one for one in known if one[:2] == ran[:2]), ran)


def _failed(lines: Iterable[Judged | Failed]) -> list[Failed]:
    """The frames that failed and were not judged afterwards, each once."""
    found: dict[tuple[str, ...], Failed] = {}
    for line in lines:
        frame = line.who.key, line.who.asked, line.pair, line.dark
        found.pop(frame, None)
        if isinstance(line, Failed):
            found[frame] = line
    return list(found.values())


def _last(lines: Iterable[Judged]) -> tuple[Judged, ...]:
    return tuple({(line.pair, line.dark): line for line in lines}.values())


def _names(whos: Sequence[Who]) -> list[str]:
    """The shortest names that tell the models apart, then their digests, what was asked of them, and where they ran."""
    models = list(dict.fromkeys(who.model for who in whos))
    short = dict(zip(models, labels([Path(model) for model in models]), strict=True))
    names = [short[who.model] for who in whos]
    keys = {name: {who.key for who, one in zip(whos, names, strict=True) if one == name} for name in names}
    names = [f"{name} {who.key[:6]}" if len(keys[name]) > 1 else name for name, who in zip(names, whos, strict=True)]
    names = [f"{name} ({who.asked})" if who.asked else name for name, who in zip(names, whos, strict=True)]
    return [
        f"{name} on {who.engine} {who.provider}".strip() if names.count(name) > 1 else name
        for name, who in zip(names, whos, strict=True)
    ]
