import itertools
from collections import Counter

import numpy as np
import pytest

from runtime.trials import matches, plan, repeats

LEAN = 1  # times more at one side than at the other: an odd number of trials leaves one over
CASES = [(m, s) for m in (2, 3, 4, 5, 6, 7) for s in (1, 2, 3, 4, 6, 7, 10)]


def made(models, scenes, count, seed=0):
    return plan(models, scenes, count=count, rng=np.random.default_rng(seed))


def counts(models, scenes):
    most = models * (models - 1) // 2 * scenes
    return {models - 1, *range(models, most, max(most // 7, 1)), most}


def spread(counter, keys):
    found = [counter[key] for key in keys]
    return max(found) - min(found)


def connected(pairs, models):
    reached = {0}
    for _ in range(models):
        reached |= {b for pair in pairs for a, b in (pair, pair[::-1]) if a in reached}
    return len(reached) == models


@pytest.mark.parametrize("models", range(2, 12))
def test_every_pair_meets_once_and_the_first_few_matches_connect_all(models):
    found = matches(models)
    assert sorted(map(tuple, map(sorted, found))) == list(itertools.combinations(range(models), 2))
    assert connected(found[: models - 1], models)
    assert not connected(found[: models - 2], models), "fewer cannot"


@pytest.mark.parametrize(("models", "scenes"), CASES)
def test_trials_are_balanced_over_pairs_and_scenes_and_none_comes_twice(models, scenes):
    for count in counts(models, scenes):
        trials = made(models, scenes, count)
        pairs = Counter(frozenset((t.left, t.right)) for t in trials)
        assert len({(t.scene, frozenset((t.left, t.right))) for t in trials}) == len(trials) == count
        assert spread(pairs, map(frozenset, itertools.combinations(range(models), 2))) <= 1
        assert spread(Counter(t.scene for t in trials), range(scenes)) <= 1
        assert connected([(t.left, t.right) for t in trials], models)


@pytest.mark.parametrize(("models", "scenes"), CASES)
def test_sides_are_balanced_for_each_pair_and_each_model(models, scenes):
    for count in counts(models, scenes):
        sides = Counter((t.left, t.right) for t in made(models, scenes, count))
        for one, other in itertools.combinations(range(models), 2):
            assert abs(sides[one, other] - sides[other, one]) <= 1
        for one in range(models):
            left = sum(n for (a, _), n in sides.items() if a == one)
            right = sum(n for (_, b), n in sides.items() if b == one)
            assert abs(left - right) <= LEAN


def test_chance_decides_which_and_a_seed_decides_chance():
    assert made(4, 5, 12, seed=1) == made(4, 5, 12, seed=1)
    assert len({tuple(made(4, 5, 12, seed=seed)) for seed in range(20)}) == 20
    first = Counter(made(2, 1, 1, seed=seed)[0].left for seed in range(200))
    assert min(first.values()) > 60, "neither model has the left side for itself"


@pytest.mark.parametrize(("count", "wanted"), [(1, 1), (2, 2), (10, 2), (60, 6), (61, 7)])
def test_a_few_trials_come_again_with_their_sides_exchanged(count, wanted):
    trials = made(4, 20, max(count, 3))[:count]
    again = repeats(trials, rng=np.random.default_rng(0))
    assert len(set(again)) == len(again) == wanted
    assert {t.mirrored() for t in again} <= set(trials)


@pytest.mark.parametrize(("models", "scenes", "count"), [(3, 2, 1), (3, 2, 7), (1, 5, 0)])
def test_a_count_that_cannot_be_is_refused(models, scenes, count):
    with pytest.raises(ValueError, match="trials of"):
        made(models, scenes, count)
