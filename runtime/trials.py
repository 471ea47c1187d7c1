"""Which pictures a judge is asked to compare: every pair of models alike often, every scene, and each side."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Trial", "matches", "plan", "repeats"]

Pair = tuple[int, int]

NOBODY = -1
FEW = 2  # repeated trials at least: one alone says nothing
TENTH = 10  # one trial in so many is repeated


@dataclass(frozen=True)
class Trial:
    """One question: a scene, and the models at its sides, all as numbers."""

    scene: int
    left: int
    right: int

    def mirrored(self) -> Trial:
        """The same question with its sides exchanged."""
        return Trial(self.scene, self.right, self.left)


def matches(models: int) -> list[Pair]:
    """Every pair of models once, in rounds in which none meets two others: the circle method (Kirkman, 1850).

    Two rounds in a row are one path through all models, so the first `models - 1` matches already connect them.
    """
    return list(_rounds(models))


def _rounds(models: int) -> Iterator[Pair]:
    even = models + models % 2
    seats = list(range(even))
    for _ in range(even - 1):
        for one, other in zip(seats[: even // 2], reversed(seats[even // 2 :]), strict=True):
            if max(one, other) < models:  # an odd one out rests
                yield one, other
        seats = [seats[0], seats[-1], *seats[1:-1]]


def plan(models: int, scenes: int, *, count: int, rng: np.random.Generator) -> list[Trial]:
    """`count` different trials, of which each pair of models and each scene has as many as another, or one more.

    Trial t belongs to pair t % P in round t // P. Walking through the scenes one trial at a time is even, but where
    P and the number of scenes have a common divisor g, a pair would meet its first scene again after scenes / g
    rounds; one more step from then on leads it to scenes that it has not had.
    """
    pairs = matches(models)
    if not models - 1 <= count <= len(pairs) * scenes or models < 2:
        raise ValueError(f"{count} trials of {models} models on {scenes} scenes")
    again = scenes // math.gcd(len(pairs), scenes)
    who, where = rng.permutation(models), rng.permutation(scenes)
    counts = {pair: len(range(number, count, len(pairs))) for number, pair in enumerate(pairs)}
    first = _first_sides(counts, rng)
    trials = []
    for t in range(count):
        turn, number = divmod(t, len(pairs))
        one, other = (int(who[model]) for model in pairs[number])
        trial = Trial(int(where[(t + turn // again) % scenes]), one, other)
        trials.append(trial if first[pairs[number]] == (turn % 2 == 0) else trial.mirrored())
    return trials


def repeats(trials: list[Trial], *, rng: np.random.Generator) -> list[Trial]:
    """A few of the trials with their sides exchanged: a judge who sees what is there answers them alike."""
    count = min(len(trials), max(FEW, math.ceil(len(trials) / TENTH)))
    return [trials[i].mirrored() for i in sorted(rng.choice(len(trials), count, replace=False))]


def _first_sides(counts: Mapping[Pair, int], rng: np.random.Generator) -> dict[Pair, bool]:
    """Whether a pair's first model begins at the left; sides then take turns.

    Pairs with an even number of trials are even whoever begins. The others leave one trial over: with those as edges,
    a walk along circles (Euler, 1736) leaves each model as often as it comes; one more place joined to all models
    with an odd number of them closes the circles.
    """
    first = {pair: bool(rng.random() < 1 / 2) for pair in counts}
    left: dict[int, set[int]] = defaultdict(set)
    for one, other in (pair for pair, count in counts.items() if count % 2):
        left[one].add(other)
        left[other].add(one)
    for model in [model for model, others in left.items() if len(others) % 2]:
        left[model].add(NOBODY)
        left[NOBODY].add(model)
    for at in list(left):
        while left[at]:
            to = min(left[at])
            left[at].remove(to)
            left[to].remove(at)
            if (at, to) in first:
                first[at, to] = True
            elif (to, at) in first:
                first[to, at] = False
            at = to  # noqa: PLW2901 (the walk ends where it began)
    return first
