"""Whether judges agree with each other, and each with themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from runtime.survey_results import Answer

__all__ = ["Share", "agreement", "consistency", "kappa"]

Question = tuple[str, frozenset[str]]  # a scene, and two models


@dataclass(frozen=True)
class Share:
    """So many of so many."""

    count: int
    of: int

    @property
    def value(self) -> float | None:
        """The share; None of nothing."""
        return self.count / self.of if self.of else None

    def __str__(self) -> str:
        """In words."""
        return f"{self.count} of {self.of}" if self.of else "none asked"


def consistency(answers: Iterable[Answer]) -> Share:
    """How many repeated questions were answered as the first time, with sides exchanged."""
    first: dict[tuple[str, Question], str | None] = {}
    same = repeated = 0
    for answer in answers:
        about = answer.judge, _question(answer)
        if answer.again and about in first:
            repeated += 1
            same += answer.preferred == first[about]
        first.setdefault(about, answer.preferred)
    return Share(same, repeated)


def agreement(answers: Iterable[Answer]) -> Share:
    """How many pairs of judges who answered the same question gave the same answer."""
    asked: dict[Question, list[str | None]] = defaultdict(list)
    for answer in answers:
        if not answer.again:
            asked[_question(answer)].append(answer.preferred)
    pairs = [one == other for some in asked.values() for one, other in combinations(some, 2)]
    return Share(sum(pairs), len(pairs))


def kappa(answers: Sequence[Answer]) -> float | None:
    """How much more often than by chance judges agree: 0 by chance, 1 always; None where that cannot be told.

    As Scott (1955); which of two pictures comes first means nothing, so that chance gives both halves of what are no
    ties: t ties agree by chance in t^2 + (1 - t)^2 / 2 of the cases.
    """
    found = agreement(answers).value
    first = [answer for answer in answers if not answer.again]
    if found is None:
        return None
    ties = sum(answer.preferred is None for answer in first) / len(first)
    chance = ties**2 + (1 - ties) ** 2 / 2
    return (found - chance) / (1 - chance) if chance < 1 else None


def _question(answer: Answer) -> Question:
    return answer.scene, frozenset((answer.left, answer.right))
