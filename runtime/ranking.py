"""Strengths from comparisons: Bradley and Terry (1952) with the ties of Davidson (1970), and how sure they are.

Model i is preferred to j with probability p_i / (p_i + p_j + v sqrt(p_i p_j)), and a tie is v sqrt(p_i p_j) over the
same sum. In strengths log p and in log v the likelihood is concave, so Newton's steps lead to its one maximum. Davidson
is taken and not half a win for a tie: a half win gives the same order in a balanced survey, but strengths that shrink
with the share of ties.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from runtime.measure import student

__all__ = ["MANY", "PULL", "RESAMPLES", "Ranking", "finite", "fit", "linked", "rank"]

Float = np.ndarray[Any, np.dtype[np.float64]]
Bool = np.ndarray[Any, np.dtype[np.bool_]]

# Judges; of fewer there are too few different samples, and answers alone are drawn again. In made surveys of 5, 8 and
# 12 judges, alike or not, 96 to 100 of 100 intervals of strengths hold, and 97 to 100 of ranks.
MANY = 5
PULL = 0.5  # wins and losses against an average model, where there is no finite maximum; for two, Anscombe's (1956)
ENDS = 0.025  # beyond each end of a 95 % interval
RESAMPLES = 4000  # so that the outermost quantile asked for, of five judges, is still not the last of them
LEAST = 1e-6  # of an answer: odds of a million to one are told by no survey, and smaller numbers by no float
LONGEST = 1.0  # of a Newton step: from afar a whole one may lead farther away
STEPS = 200
STILL = 1e-7  # of a step: the next, which is about its square, would change no digit


@dataclass(frozen=True)
class Ranking:
    """Of each model its strength, the log of the odds against an average one of its group, with 95 % intervals."""

    strength: Float
    low: Float  # -inf: it was never preferred, and the answers set no bound
    high: Float
    best: Float  # the ranks, 1 is the first, between which it lies
    worst: Float
    above: Float  # [i, j]: the share of resamples in which i is above j; sure from 1 - tail on
    tail: float
    tie: float  # v: 1 means that equals tie in a third of the answers
    group: Bool  # [i, j]: whether a chain of comparisons leads from i to j
    chain: Bool  # [i, j]: whether a chain of "preferred to, or tied with" does
    is_finite: bool


def rank(wins: Float, ties: Float, *, over_judges: bool = True, seed: int = 0, resamples: int = RESAMPLES) -> Ranking:
    """The ranking from the answers of judges (judges, models, models).

    wins[u, i, j] counts how often judge u preferred i to j, and ties is symmetric. Judges are drawn again if they are
    to stand for others (Efron, 1979), and the quantiles taken as far out as Student's t asks for with so few of them
    (Hesterberg, 2015); of those drawn the answers are. Judges who agree would else leave intervals of no width. Where
    they differ little the chance of an answer counts twice, and intervals hold more often than in 95 of 100 surveys.
    """
    judges = len(wins)
    if over_judges and judges < 2:
        raise ValueError("one judge stands for no others")
    all_wins, all_ties = wins.sum(0), ties.sum(0)
    group = linked(all_wins + all_ties)
    strength, tie = fit(all_wins, all_ties, group=group)
    rng = np.random.default_rng(seed)
    even = np.full(judges, 1 / judges)
    often = rng.multinomial(judges, even, resamples) if over_judges else np.ones((resamples, judges))
    drawn_wins, drawn_ties = (np.tensordot(often.astype(float), some, axes=1) for some in (wins, ties))
    drawn = _answered_again(drawn_wins, drawn_ties, group, rng)
    tail = _tail(judges if over_judges else None)
    above = (drawn[:, :, None] > drawn[:, None, :]) & group
    places = 1 + above.sum(1)  # how many of its group are above it, and one
    best, worst = np.quantile(places, [tail, 1 - tail], axis=0, method="nearest")
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    won, lost = all_wins.any(1), all_wins.any(0)
    exists = bool(finite(all_wins, all_ties, group=group))
    endless = (group.sum(0) > 1) & (won | lost | (not exists))  # if it never lost, or never won
    low = np.where(endless & ~won, -np.inf, np.minimum(low, strength))
    high = np.where(endless & ~lost, np.inf, np.maximum(high, strength))
    chain = _reach((all_wins > 0) | (all_ties > 0))
    return Ranking(strength, low, high, best, worst, above.mean(0), tail, float(tie), group, chain, exists)


def fit(wins: Float, ties: Float, *, group: Bool) -> tuple[Float, Float]:
    """Strengths (..., models), centred in each group, and v, at the maximum of the likelihood.

    Where that is at infinity, the maximum with `PULL` wins and losses of each model against an average one.
    """
    shape = wins.shape[:-1]
    wins, ties = (np.reshape(some, (-1, *some.shape[-2:])).astype(float) for some in (wins, ties))
    pull = np.where(finite(wins, ties, group=group), 0.0, PULL)
    tied = np.asarray(ties.any((1, 2)))
    at = np.zeros((len(wins), wins.shape[1] + 1))  # log p of each model, and log v
    for _ in range(STEPS):
        gradient, curvature = _slopes(at, wins, ties, pull=pull, tied=tied)
        curvature[:, :-1, :-1] += group * (pull == 0)[:, None, None]  # a group could be moved as a whole
        step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
        longest = np.abs(step).max(1, keepdims=True)
        at += step * np.minimum(1.0, LONGEST / np.maximum(longest, STILL))
        if longest.max() < STILL:
            break
    else:
        raise ArithmeticError(f"the likelihood has no maximum after {STEPS} steps")
    strength = at[:, :-1] - at[:, :-1] @ (group / group.sum(0))
    return strength.reshape(shape), np.where(tied, np.exp(at[:, -1]), 0.0).reshape(shape[:-1])


def _slopes(at: Float, wins: Float, ties: Float, *, pull: Float, tied: Bool) -> tuple[Float, Float]:
    """The gradient of the log-likelihood, and its second derivatives with the sign turned."""
    played = wins + wins.swapaxes(1, 2) + ties
    half = (at[:, :-1, None] - at[:, None, :-1]) / 2
    nu = np.where(tied, np.exp(at[:, -1]), 0.0)[:, None, None]
    top = np.abs(half)  # taken out, so that nothing is too large for a float
    weights = np.exp(half - top), np.exp(-half - top), nu * np.exp(-top)
    total = sum(weights, start=np.zeros(()))
    won, lost, even = (one / total for one in weights)
    lead = (won - lost) / 2  # what a score of a half for a win and minus a half for a loss is on average
    spread, cross = played * ((won + lost) / 4 - lead**2), -played * lead * even

    size = at.shape[1]
    gradient, curvature = np.zeros((len(at), size)), np.zeros((len(at), size, size))
    gradient[:, :-1] = ((wins - wins.swapaxes(1, 2)) / 2 - played * lead).sum(2)
    gradient[:, -1] = (ties - played * even).sum((1, 2)) / 2
    curvature[:, :-1, :-1] = -spread
    models = np.arange(size - 1)
    curvature[:, models, models] = spread.sum(2)
    curvature[:, :-1, -1] = curvature[:, -1, :-1] = cross.sum(2)
    curvature[:, -1, -1] = (played * even * (1 - even)).sum((1, 2)) / 2

    share = 1 / (1 + np.exp(-at))  # of the wins against an average model; of log v in the same way
    gradient += pull[:, None] * (1 - 2 * share)
    every = np.arange(size)
    curvature[:, every, every] += pull[:, None] * 2 * share * (1 - share)
    gradient[:, -1] *= tied
    curvature[~tied, -1, -1] = 1.0  # without ties v is 0, and log v stays where it is
    return gradient, curvature


def finite(wins: Float, ties: Float, *, group: Bool) -> Bool:
    """Whether the likelihood has its maximum at finite strengths.

    It has none if strengths and log v can move together for ever without any answer becoming less likely. With log v at
    rest they can unless chains of "preferred to, or tied with" lead from each model of a group to each other (Ford,
    1957). With log v growing by 1/2 a win asks that its strengths part by 1 or more, a tie by 1 at most: a system of
    differences, which has a solution unless some circle of answers holds more wins than ties.
    """
    reached = _reach((wins > 0) | (ties > 0))
    strong = (reached | ~group).all((-2, -1)) & (reached <= group).all((-2, -1))
    most = np.where(ties > 0, 1.0, np.inf)  # how far i may be above j
    most = np.minimum(most, np.where(wins.swapaxes(-2, -1) > 0, -1.0, np.inf))
    for k in range(wins.shape[-1]):  # Floyd and Warshall; twice, for a circle shows when it is closed
        most = np.minimum(most, np.clip(most[..., :, k, None] + most[..., None, k, :], -1e9, None))
    circles = (np.diagonal(most, axis1=-2, axis2=-1) < 0).any(-1)
    return np.asarray(strong & (circles | ~ties.any((-2, -1))))


def linked(played: Float) -> Bool:
    """[i, j]: whether a chain of comparisons leads from i to j."""
    return _reach((played + played.T) > 0)


def _reach(steps: Bool) -> Bool:
    """Where a chain of steps leads, of none too (Warshall, 1962)."""
    models = steps.shape[-1]
    reached = steps | np.eye(models, dtype=bool)
    for k in range(models):
        reached = reached | (reached[..., :, k, None] & reached[..., None, k, :])
    return reached


def _answered_again(wins: Float, ties: Float, group: Bool, rng: np.random.Generator) -> Float:
    """Strengths from other answers that might have been given instead of those in each table.

    Each answer counts an exponential number of times (Rubin, 1981), and so do `PULL` wins and losses more of each
    model, spread over its group: an answer that nobody gave might yet be given, as by Jeffreys' prior (1946).
    """
    met = (wins + wins.swapaxes(-2, -1) + ties > 0).any(0)
    more = met * PULL / np.maximum(group.sum(0) - 1, 1)
    wins = np.maximum(rng.gamma(wins + more), LEAST * met)
    if ties.any():
        ties = np.triu(np.maximum(rng.gamma(ties + more), LEAST * met))
    return fit(wins, ties + ties.swapaxes(-2, -1), group=group)[0]


def _tail(judges: int | None) -> float:
    """How much of the resamples lies beyond each end of a 95 % interval."""
    if judges is None:
        return ENDS
    return NormalDist().cdf(-((judges / (judges - 1)) ** 0.5) * student(judges - 1))
