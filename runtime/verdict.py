"""What a survey found: a ranking in words, in JSON and as a picture, with what it cannot say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtime.agreement import Share, agreement, consistency, kappa
from runtime.atomic import writing
from runtime.errors import BadOption, Error, UnreadableFile
from runtime.places import PRECISE, Place, notes, placed
from runtime.ranking import MANY, RESAMPLES, rank
from runtime.survey_key import VERSION, Key
from runtime.survey_results import Answer, read
from runtime.whiskers import Row, whiskers

__all__ = ["Verdict", "verdict"]


@dataclass(frozen=True)
class Verdict:
    """The ranking and all that it rests on."""

    survey: str
    places: tuple[Place, ...]
    answers: int
    scenes: int  # that they are about
    judges: dict[str, Share]  # how often each answered a repeated question alike
    resampled: str  # answers, or judges and answers
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
            "scenes": self.scenes,
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
        title = f"Preferred in a blind survey: {self.answers} answers of {_many(len(self.judges), 'judge')}"
        return whiskers(rows, x="strength, log of the odds against an average model; 95 % intervals", title=title)

    def lines(self) -> list[str]:
        """All of it, for people."""
        wide = max([len("model"), *(len(p.model) for p in self.places)])
        head = f"{'rank':<8}{'model':<{wide}}  strength  95 % interval      preferred   wins  losses  ties"
        lines = [_line(place, wide) for place in self.places]
        asked = f"{self.answers} of {_many(len(self.judges), 'judge')} on {_many(self.scenes, 'scene')}"
        alike = f"{self.agreement} pairs of answers to one question are alike{_chance(self.kappa)}"
        figures = [
            f"answers    {asked}; intervals by resampling {self.resampled}, for these scenes alone",
            f"agreement  {alike if self.agreement.of else 'no question was answered by two judges'}",
            f"oneself    {_share(self.consistency, 'repeated questions were answered alike', 'was answered twice')}",
            f"left side  {_share(self.left, 'decided answers', 'was decided')}",
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
    wins, ties = _counts(first, known.models, judges)
    ranking = rank(wins, ties, over_judges=len(judges) >= MANY, seed=seed)
    decided = [answer for answer in first if answer.preferred]
    places = placed(known.models, ranking, wins.sum(0), ties.sum(0))
    return Verdict(
        survey=known.survey,
        places=places,
        answers=len(first),
        scenes=len({answer.scene for answer in first}),
        judges={judge: consistency(a for a in found.answers if a.judge == judge) for judge in judges},
        resampled="judges and answers" if len(judges) >= MANY else "answers",
        seed=seed,
        tie=round(ranking.tie, PRECISE),
        left=Share(sum(answer.choice == "left" for answer in decided), len(decided)),
        agreement=agreement(first),
        kappa=None if (found_kappa := kappa(first)) is None else round(found_kappa, PRECISE),
        consistency=consistency(found.answers),
        notes=(*found.notes, *notes(places, ranking, known.models, judges=len(judges))),
        problems=found.problems,
    )


def _counts(answers: Sequence[Answer], models: Sequence[str], judges: Sequence[str]) -> tuple[Any, Any]:
    """Wins and ties of each judge."""
    number = {model: i for i, model in enumerate(models)}
    wins, ties = (np.zeros((len(judges), len(models), len(models))) for _ in range(2))
    for answer in answers:
        judge, left, right = judges.index(answer.judge), number[answer.left], number[answer.right]
        match answer.choice:
            case "left":
                wins[judge, left, right] += 1
            case "right":
                wins[judge, right, left] += 1
            case _:
                ties[judge, left, right] += 1
                ties[judge, right, left] += 1
    return wins, ties


def _told(share: Share) -> dict[str, Any]:
    return {"count": share.count, "of": share.of}


def _line(place: Place, wide: int) -> str:
    low, high = ("no bound" if end is None else _signed(end) for end in place.interval)
    first, last = place.ranks
    ranks = f"{place.rank}" + (f" ({first}-{last})" if (first, last) != (place.rank, place.rank) else "")
    counts = f"{place.wins:>5}  {place.losses:>6}  {place.ties:>4}"
    strength = f"{_signed(place.strength):>8}  {f'{low} to {high}':<17}  {place.share:>8.0%}"
    return f"{ranks:<8}{place.model:<{wide}}  {strength}  {counts}"


def _signed(value: float) -> str:
    """With two digits, and nothing a little below zero."""
    return f"{round(value, 2) + 0.0:+.2f}"


def _many(count: int, word: str) -> str:
    return f"{count} {word}{'s' * (count != 1)}"


def _share(share: Share, words: str, nothing: str) -> str:
    return f"{share} {words}" if share.of else f"none {nothing}"


def _chance(found: float | None) -> str:
    return "" if found is None else f", {found:.2f} between chance (0) and always (1)"
