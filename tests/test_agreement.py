import itertools

import numpy as np
import pytest

from runtime.agreement import agreement, consistency, kappa
from runtime.survey_results import Answer

NOISE = 0.05  # of 4000 random answers; a standard error is below 0.02


def answer(judge, scene, choice, *, again=False, swapped=False):
    left, right = ("b", "a") if swapped else ("a", "b")
    return Answer(judge, scene, left, right, choice, again)


def test_who_answers_the_same_with_sides_exchanged_is_consistent():
    answers = [
        answer("Ann", "1", "left"),
        answer("Ann", "2", "left"),
        answer("Ann", "3", "tie"),
        answer("Ann", "1", "right", again=True, swapped=True),
        answer("Ann", "2", "left", again=True, swapped=True),
        answer("Ann", "3", "tie", again=True, swapped=True),
        answer("Bob", "1", "left", again=True),  # of whom the first answer is not there
    ]
    found = consistency(answers)
    assert (found.count, found.of, str(found)) == (2, 3, "2 of 3")
    assert consistency([]).value is None


def test_agreement_counts_pairs_of_judges_and_not_sides():
    answers = [answer("Ann", "1", "left"), answer("Bob", "1", "right", swapped=True), answer("Cy", "1", "tie")]
    found = agreement([*answers, answer("Ann", "1", "tie", again=True), answer("Ann", "2", "left")])
    assert (found.count, found.of) == (1, 3)


@pytest.mark.parametrize("ties", [0.0, 0.3])
def test_kappa_is_0_by_chance_and_1_for_judges_who_are_one_mind(ties):
    rng = np.random.default_rng(0)
    odds = [(1 - ties) / 2, (1 - ties) / 2, ties]
    drawn = [[str(rng.choice(["left", "right", "tie"], p=odds)) for _ in range(1000)] for _ in range(3)]
    by_chance = [answer(str(j), str(s), drawn[j][s]) for j, s in itertools.product(range(3), range(1000))]
    assert kappa(by_chance) == pytest.approx(0, abs=NOISE)
    one_mind = [answer(str(j), str(s), drawn[0][s]) for j, s in itertools.product(range(3), range(1000))]
    assert kappa(one_mind) == 1
    assert kappa([answer("Ann", "1", "left")]) is None
    assert kappa([answer("Ann", "1", "tie"), answer("Bob", "1", "tie")]) is None, "where all tie, chance does too"
