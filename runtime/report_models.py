"""Evaluations and benches brought together, model by model: by the digest, or by the name where there is none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime.measure import Mean
from runtime.report_data import Bench, Failed, Figures, Judged, Row, Who
from runtime.viewer import labels

__all__ = ["Subject", "average", "figures", "subjects"]


@dataclass(frozen=True)
class Subject:
    """A model as one engine ran it: what it made of the frames, and how fast."""

    name: str
    who: Who
    judged: tuple[Judged, ...] = ()
    failed: tuple[Failed, ...] = ()
    rows: tuple[tuple[Bench, Row], ...] = ()
    seen: tuple[Judged, ...] = ()  # its own, or those of the same file in another engine

    def mean(self, space: str) -> Mean:
        """The mean PSNR, linear or developed."""
        return average(figures(one, space).psnr for one in self.seen)


def figures(one: Judged, space: str) -> Figures:
    """What was measured in linear light, or of the developed picture."""
    return one.linear if space == "linear" else one.developed


def average(values: Iterable[float]) -> Mean:
    """The mean of those that are finite: a picture without any error has no PSNR to count with."""
    mean = Mean()
    for value in values:
        if math.isfinite(value):
            mean.add(value)
    return mean


def subjects(lines: Sequence[Judged | Failed], benches: Sequence[Bench]) -> list[Subject]:
    """All models in the order they were met; of a frame that was judged twice the last line counts."""
    rows = [(bench, row) for bench in benches for row in bench.rows]
    judged = [line for line in lines if isinstance(line, Judged)]
    order = list(dict.fromkeys(_ran(who) for who in [*(j.who for j in judged), *(row.who for _, row in rows)]))
    failed = [(_owner(line.who, order), line) for line in _failed(lines)]
    order += [ran for ran in dict.fromkeys(ran for ran, _ in failed) if ran not in order]
    first = {_ran(who): who for who in reversed([*(j.who for j in judged), *(r.who for _, r in rows)])}
    first |= {ran: line.who for ran, line in failed if ran not in first}
    names = _names([first[ran] for ran in order])
    found = []
    for ran, name in zip(order, names, strict=True):
        own = _last(line for line in judged if _ran(line.who) == ran)
        same = own or _last(line for line in judged if line.who.key == ran[0])
        bad = tuple(line for owner, line in failed if owner == ran)
        speed = tuple((bench, row) for bench, row in rows if _ran(row.who) == ran)
        found.append(Subject(name, first[ran], own, bad, speed, same))
    return found


Ran = tuple[str, str, str]


def _ran(who: Who) -> Ran:
    return who.key, who.engine, who.provider


def _owner(who: Who, order: Sequence[Ran]) -> Ran:
    """A failure may not tell its engine: it is then of the first that ran the model."""
    if who.engine:
        return _ran(who)
    return next((ran for ran in order if ran[0] == who.key), _ran(who))


def _failed(lines: Iterable[Judged | Failed]) -> list[Failed]:
    """The frames that failed and were not judged afterwards, each once."""
    found: dict[tuple[str, str, str], Failed] = {}
    for line in lines:
        frame = line.who.key, line.pair, line.dark
        found.pop(frame, None)
        if isinstance(line, Failed):
            found[frame] = line
    return list(found.values())


def _last(lines: Iterable[Judged]) -> tuple[Judged, ...]:
    return tuple({(line.pair, line.dark, line.ratio): line for line in lines}.values())


def _names(whos: Sequence[Who]) -> list[str]:
    """The shortest names that tell the models apart, then their digests, then where they ran."""
    models = list(dict.fromkeys(who.model for who in whos))
    short = dict(zip(models, labels([Path(model) for model in models]), strict=True))
    names = [short[who.model] for who in whos]
    keys = {name: {who.key for who, one in zip(whos, names, strict=True) if one == name} for name in names}
    names = [f"{name} {who.key[:6]}" if len(keys[name]) > 1 else name for name, who in zip(names, whos, strict=True)]
    return [
        f"{name} on {who.engine} {who.provider}".strip() if names.count(name) > 1 else name
        for name, who in zip(names, whos, strict=True)
    ]
