"""What a survey found: a ranking in words, in JSON and as a picture, with what it cannot say."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from runtime.agreement import Share, agreement, consistency, kappa
from runtime.atomic import writing
from runtime.errors import BadOption, Error, UnreadableFile
from runtime.ranking import RESAMPLES, Ranking, rank
from runtime.survey_key import VERSION, Key
from runtime.survey_results import Answer, read
from runtime.whiskers import Row, whiskers

__all__ = ["MANY", "Place", "Verdict", "verdict"]

MANY = 5  # judges; of fewer there are too few different samples, and answers are resampled instead
PRECISE = 4  # digits after the point


@dataclass(frozen=True)
class Place:
    """A model in its ranking; None for what has no bound."""

    model: str
    group: int
    rank: int
    ranks: tuple[int, int]
    strength: float
    interval: tuple[float | None, float | None]
    share: float  # of its decided comparisons with an average model of the group
    wins: int
    losses: int
    ties: int


@dataclass(frozen=True)
class Verdict:
    """The ranking and all that it rests on."""

    survey: str
    places: tuple[Place, ...]
    answers: int
    judges: dict[str, Share]  # how often each answered a repeated question alike
    resampled: str  # judges or answers
    seed: int
    tie: float
    left: Share
    agreement: Share
    kappa: float | None
    consistency: Share
    notes: tuple[str, ...]
    problems: tuple[Error, ...]

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        shares = {name: _told(getattr(self, name)) for name in ("left", "agreement", "consistency")}
        return {
            "kind": "qk-survey-ranking",
            "version": VERSION,
            "survey": self.survey,
            "models": [asdict(place) for place in self.places],
            "answers": self.answers,
            "tie": self.tie,
            "bootstrap": {"over": self.resampled, "resamples": RESAMPLES, "seed": self.seed},
            **shares,
            "kappa": self.kappa,
            "judges": [{"judge": judge, "consistency": _told(share)} for judge, share in self.judges.items()],
            "notes": list(self.notes),
            "problems": [str(error) for error in self.problems],
        }

    def svg(self) -> str:
        """The strengths and their intervals."""
        rows = [Row(f"{p.rank}  {p.model}", p.strength, *p.interval, p.group) for p in self.places]
        title = f"Preferred in a blind survey: {self.answers} answers of {len(self.judges)} judges"
        return whiskers(rows, x="strength, log of the odds against an average model; 95 % intervals", title=title)

    def lines(self) -> list[str]:
        """All of it, for people."""
        wide = max([len("model"), *(len(p.model) for p in self.places)])
        head = f"{'rank':<8}{'model':<{wide}}  strength  95 % interval      preferred   wins  losses  ties"
        lines = [_line(place, wide) for place in self.places]
        over = f"intervals by resampling {self.resampled}"
        figures = [
            f"answers    {self.answers} of {len(self.judges)} judges; {over}",
            f"agreement  {self.agreement} pairs of answers to one question are alike{_chance(self.kappa)}",
            f"oneself    {self.consistency} repeated questions were answered alike",
            f"left side  {self.left} decided answers",
        ]
        return [head, *lines, *figures, *(f"note       {note}" for note in self.notes)]

    def write(self, path: str | Path) -> Path:
        """A file of the kind that its name asks for: .json or .svg."""
        path = Path(path)
        kinds = {".json": lambda: json.dumps(self.as_dict(), indent=1) + "\n", ".svg": self.svg}
        if path.suffix.lower() not in kinds:
            raise BadOption("--out", str(path), "a name that ends in .json or .svg")
        with writing(path) as file:
            file.write(kinds[path.suffix.lower()]().encode())
        return path


def verdict(results: Sequence[str | Path], *, key: str | Path, seed: int = 0) -> Verdict:
    """The ranking from all files of answers to one survey."""
    known = Key.read(key)
    found = read(results, key=known)
    first = [answer for answer in found.answers if not answer.again]
    if not first:
        raise UnreadableFile(results[0], "holds no answers", "answer the survey first")
    judges = list(dict.fromkeys(answer.judge for answer in found.answers))
    over = "judges" if len(judges) >= MANY else "answers"
    wins, ties = _counts(first, known.models, judges if over == "judges" else None)
    ranking = rank(wins, ties, seed=seed)
    decided = [answer for answer in first if answer.preferred]
    places = _places(known.models, ranking, wins.sum(0), ties.sum(0))
    return Verdict(
        survey=known.survey,
        places=places,
        answers=len(first),
        judges={judge: consistency(a for a in found.answers if a.judge == judge) for judge in judges},
        resampled=over,
        seed=seed,
        tie=round(ranking.tie, PRECISE),
        left=Share(sum(answer.choice == "left" for answer in decided), len(decided)),
        agreement=agreement(first),
        kappa=None if (found_kappa := kappa(first)) is None else round(found_kappa, PRECISE),
        consistency=consistency(found.answers),
        notes=(*found.notes, *_notes(places, ranking, known.models, judges=len(judges))),
        problems=found.problems,
    )


def _counts(answers: Sequence[Answer], models: Sequence[str], judges: Sequence[str] | None) -> tuple[Any, Any]:
    """Wins and ties of each judge, or of each answer."""
    number = {model: i for i, model in enumerate(models)}
    units = len(answers) if judges is None else len(judges)
    wins, ties = (np.zeros((units, len(models), len(models))) for _ in range(2))
    for at, answer in enumerate(answers):
        unit = at if judges is None else judges.index(answer.judge)
        left, right = number[answer.left], number[answer.right]
        match answer.choice:
            case "left":
                wins[unit, left, right] += 1
            case "right":
                wins[unit, right, left] += 1
            case _:
                ties[unit, left, right] += 1
                ties[unit, right, left] += 1
    return wins, ties


def _places(models: Sequence[str], ranking: Ranking, wins: Any, ties: Any) -> tuple[Place, ...]:
    """The models that were compared, group by group, the largest first, and in each the best first."""
    groups = Counter(int(first) for first in ranking.group.argmax(1))  # a group is known by its first model
    order = [first for first, count in groups.most_common() if count > 1]
    places = []
    for number, first in enumerate(order, 1):
        inside = sorted(np.flatnonzero(ranking.group[first]).tolist(), key=lambda i: -ranking.strength[i])
        for place, i in enumerate(inside, 1):
            strength = float(ranking.strength[i])
            places.append(
                Place(
                    model=models[i],
                    group=number,
                    rank=place,
                    ranks=(int(ranking.best[i]), int(ranking.worst[i])),
                    strength=round(strength, PRECISE),
                    interval=(_bound(ranking.low[i]), _bound(ranking.high[i])),
                    share=round(1 / (1 + math.exp(-strength)), PRECISE),
                    wins=int(wins[i].sum()),
                    losses=int(wins[:, i].sum()),
                    ties=int(ties[i].sum()),
                )
            )
    return tuple(places)


def _notes(places: Sequence[Place], ranking: Ranking, models: Sequence[str], *, judges: int) -> list[str]:
    """What cannot be said, in words."""
    notes = []
    never = [model for model in models if model not in {place.model for place in places}]
    if never:
        notes.append(f"{', '.join(never)}: never compared with another model, and not ranked")
    groups = sorted({place.group for place in places})
    if len(groups) > 1:
        parts = "; ".join(", ".join(p.model for p in places if p.group == group) for group in groups)
        notes.append(f"no chain of answers connects these groups, each is ranked alone: {parts}")
    for place in places:
        if not place.losses and place.wins:
            notes.append(f"{place.model} was never the worse one: how far it is ahead has no upper bound")
        if not place.wins and place.losses:
            notes.append(f"{place.model} was never the better one: how far it is behind has no lower bound")
    if not ranking.is_finite:
        notes += _parted(models, ranking)
        notes.append(
            "the likelihood has no maximum at finite strengths: those shown count half a win and half a loss more of "
            "each model, against an average one"
        )
    for one, other in pairwise(places):
        above = float(ranking.above[models.index(one.model), models.index(other.model)])
        if one.group == other.group and above < 1 - ranking.tail:
            notes.append(f"{one.model} before {other.model} is not sure: so in {above:.1%} of the resamples")
    if judges < MANY:
        many = f"{judges} judges are" if judges > 1 else "one judge is"
        notes.append(f"{many} too few to tell how judges differ: intervals are for these judges' answers alone")
    return notes


def _parted(models: Sequence[str], ranking: Ranking) -> list[str]:
    """Sets of several models that no other of their group was ever preferred to, or tied with."""
    chain = ranking.chain
    sets = {tuple(np.flatnonzero(chain[i] & chain[:, i]).tolist()) for i in range(len(models))}
    notes = []
    for some in sorted(one for one in sets if len(one) > 1):
        rest = np.flatnonzero(ranking.group[some[0]] & ~np.isin(np.arange(len(models)), some))
        if rest.size and not chain[rest][:, list(some)].any():
            ahead, behind = (", ".join(models[i] for i in which) for which in (some, rest.tolist()))
            notes.append(f"nothing bounds how far {ahead} are ahead of {behind}, who were never preferred to them")
    return notes


def _bound(value: float) -> float | None:
    return round(float(value), PRECISE) if math.isfinite(value) else None


def _told(share: Share) -> dict[str, Any]:
    return {"count": share.count, "of": share.of}


def _line(place: Place, wide: int) -> str:
    low, high = ("no bound" if end is None else f"{end:+.2f}" for end in place.interval)
    ranks = f"{place.rank}" + (f" ({place.ranks[0]}-{place.ranks[1]})" if place.ranks[0] < place.ranks[1] else "")
    counts = f"{place.wins:>5}  {place.losses:>6}  {place.ties:>4}"
    strength = f"{place.strength:>+8.2f}  {f'{low} to {high}':<17}  {place.share:>8.0%}"
    return f"{ranks:<8}{place.model:<{wide}}  {strength}  {counts}"


def _chance(found: float | None) -> str:
    return "" if found is None else f", {found:.2f} between chance (0) and always (1)"
