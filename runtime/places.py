"""The places of models in a survey's ranking, and in words what the ranking cannot say."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from runtime.ranking import MANY, Ranking

__all__ = ["PRECISE", "Place", "notes", "placed"]

PRECISE = 4  # digits after the point; strengths that are equal in them are equal


@dataclass(frozen=True)
class Place:
    """A model in its ranking; None for what has no bound."""

    model: str
    group: int
    rank: int  # of equals the same
    ranks: tuple[int, int]
    strength: float
    interval: tuple[float | None, float | None]
    share: float  # of its decided comparisons with an average model of the group
    wins: int
    losses: int
    ties: int


def placed(models: Sequence[str], ranking: Ranking, wins: Any, ties: Any) -> tuple[Place, ...]:
    """The models that were compared, group by group, the largest first, and in each the best first."""
    groups = Counter(int(first) for first in ranking.group.argmax(1))  # a group is known by its first model
    order = [first for first, count in groups.most_common() if count > 1]
    strengths = [round(float(strength), PRECISE) + 0.0 for strength in ranking.strength]
    places = []
    for number, first in enumerate(order, 1):
        inside = sorted(np.flatnonzero(ranking.group[first]).tolist(), key=lambda i: -strengths[i])
        for i in inside:
            place = 1 + sum(strengths[other] > strengths[i] for other in inside)
            places.append(
                Place(
                    model=models[i],
                    group=number,
                    rank=place,
                    ranks=(min(place, int(ranking.best[i])), max(place, int(ranking.worst[i]))),
                    strength=strengths[i],
                    interval=(_bound(ranking.low[i]), _bound(ranking.high[i])),
                    share=round(1 / (1 + math.exp(-strengths[i])), PRECISE),
                    wins=int(wins[i].sum()),
                    losses=int(wins[:, i].sum()),
                    ties=int(ties[i].sum()),
                )
            )
    return tuple(places)


def notes(places: Sequence[Place], ranking: Ranking, models: Sequence[str], *, judges: int) -> list[str]:
    """What cannot be said, in words."""
    said = []
    never = [model for model in models if model not in {place.model for place in places}]
    if never:
        said.append(f"{', '.join(never)}: never compared with another model, and not ranked")
    groups = sorted({place.group for place in places})
    if len(groups) > 1:
        parts = "; ".join(", ".join(p.model for p in places if p.group == group) for group in groups)
        said.append(f"no chain of answers connects these groups, each is ranked alone: {parts}")
    said += [words for place in places if (words := _endless(place))]
    if not ranking.is_finite:
        said += _parted(models, ranking)
        said.append(
            "the likelihood has no maximum at finite strengths: those shown count half a win and half a loss more of "
            "each model, against an average one"
        )
    said += _unsure(places, ranking, models)
    if judges < MANY:
        many = f"{judges} judges are" if judges > 1 else "one judge is"
        said.append(f"{many} too few to tell how judges differ: intervals are for these judges' answers alone")
    return said


def _endless(place: Place) -> str:
    """Which end of a model's interval there is none of, and why."""
    if place.wins and not place.losses:
        return f"{place.model} was never the worse one: how far it is ahead has no upper bound"
    if place.losses and not place.wins:
        return f"{place.model} was never the better one: how far it is behind has no lower bound"
    if place.interval == (None, None):
        return f"{place.model} was neither the better nor the worse one: ties alone bound nothing"
    return ""


def _unsure(places: Sequence[Place], ranking: Ranking, models: Sequence[str]) -> list[str]:
    """Which neighbours may stand the other way round."""
    said = []
    for one, other in pairwise(places):
        above = float(ranking.above[models.index(one.model), models.index(other.model)])
        if one.group == other.group and one.rank == other.rank:
            said.append(f"{one.model} and {other.model} are equal, and share rank {one.rank}")
        elif one.group == other.group and above < 1 - ranking.tail:
            said.append(f"{one.model} before {other.model} is not sure: so in {above:.1%} of the resamples")
    return said


def _parted(models: Sequence[str], ranking: Ranking) -> list[str]:
    """Sets of several models that no other of their group was ever preferred to, or tied with."""
    chain = ranking.chain
    sets = {tuple(np.flatnonzero(chain[i] & chain[:, i]).tolist()) for i in range(len(models))}
    said = []
    for some in sorted(one for one in sets if len(one) > 1):
        rest = np.flatnonzero(ranking.group[some[0]] & ~np.isin(np.arange(len(models)), some))
        if rest.size and not chain[rest][:, list(some)].any():
            ahead, behind = (", ".join(models[i] for i in which) for which in (some, rest.tolist()))
            said.append(f"nothing bounds how far {ahead} are ahead of {behind}, who were never preferred to them")
    return said


def _bound(value: float) -> float | None:
    return round(float(value), PRECISE) + 0.0 if math.isfinite(value) else None
