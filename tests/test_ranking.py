import itertools

import numpy as np
import pytest

from runtime.ranking import MANY, PULL, finite, fit, linked, rank

EXACT = 1e-8  # Newton ends where a step is below 1e-10
GRID = 1e-3  # the finest step of the search by hand
NEAR = 2 * GRID  # it moves one number at a time and stops a step off in several, whose mean is then taken away
CLOSE = 0.03  # 60000 answers a model: a standard error of about 0.01, and three of them
OF_FEW = 0.1  # 4000 resamples: a standard error of about 0.03 where one answer is all there is, and three of them
COVERED = 0.025  # of 400 intervals at 95 %: two standard deviations are 0.022
ALL = 400


def every(models):
    return np.ones((models, models), bool)


def table(models, wins, ties=()):
    w, t = np.zeros((models, models)), np.zeros((models, models))
    for (i, j), n in dict(wins).items():
        w[i, j] = n
    for (i, j), n in dict(ties).items():
        t[i, j] = t[j, i] = n
    return w, t


def log_likelihood(strength, log_nu, wins, ties):
    """Davidson's model written down as it stands."""
    p, nu = np.exp(np.asarray(strength, float)), np.exp(log_nu)
    total = 0.0
    for i, j in itertools.combinations(range(len(p)), 2):
        even = nu * np.sqrt(p[i] * p[j])
        whole = p[i] + p[j] + even
        total += wins[i, j] * np.log(p[i] / whole) + wins[j, i] * np.log(p[j] / whole)
        total += ties[i, j] * np.log(even / whole) if ties[i, j] else 0.0
    return total


def by_hand(wins, ties):
    """The maximum by a search that knows no derivatives: one number at a time, in ever finer steps."""
    at, step = np.zeros(len(wins) + 1), 1.0
    tied = ties.any()
    value = lambda x: log_likelihood(x[:-1], x[-1] if tied else -50.0, wins, ties)  # noqa: E731
    while step > GRID / 4:
        moves = [at + s * step * unit for unit in np.eye(len(at))[1 if len(at) > 2 else 0 :] for s in (1, -1)]
        best = max(moves, key=value)
        at, step = (best, step) if value(best) > value(at) else (at, step / 2)
    return at[:-1] - at[:-1].mean(), np.exp(at[-1]) if tied else 0.0


def answers(strength, nu, each, rng):
    """Every pair compared `each` times by judges who follow the model."""
    models = len(strength)
    wins, ties = np.zeros((models, models)), np.zeros((models, models))
    for i, j in itertools.combinations(range(models), 2):
        a, b = np.exp(strength[i]), np.exp(strength[j])
        odds = np.array([a, b, nu * np.sqrt(a * b)])
        won, lost, even = rng.multinomial(each, odds / odds.sum())
        wins[i, j], wins[j, i], ties[i, j], ties[j, i] = won, lost, even, even
    return wins, ties


def alone(wins, ties, **options):
    """The ranking of one judge's answers."""
    return rank(wins[None], ties[None], over_judges=False, **options)


@pytest.mark.parametrize(("won", "lost", "even"), [(30, 12, 0), (30, 12, 8), (1, 1, 0), (5, 200, 3), (7, 7, 1)])
def test_of_two_models_the_strengths_differ_by_the_log_odds(won, lost, even):
    wins, ties = table(2, {(0, 1): won, (1, 0): lost}, {(0, 1): even})
    strength, nu = fit(wins, ties, group=every(2))
    assert strength[0] - strength[1] == pytest.approx(np.log(won / lost), abs=EXACT)
    assert nu == pytest.approx(even / np.sqrt(won * lost), abs=EXACT)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("nu", [0.0, 0.6])
def test_the_maximum_is_that_of_a_search_by_hand(seed, nu):
    wins, ties = answers([0.8, 0.1, -0.2, -0.7], nu, 12, np.random.default_rng(seed))
    assert finite(wins, ties, group=every(4))
    strength, tie = fit(wins, ties, group=every(4))
    wanted, tied = by_hand(wins, ties)
    np.testing.assert_allclose(strength, wanted, atol=NEAR)
    assert tie == pytest.approx(tied, abs=NEAR)
    best = log_likelihood(strength, np.log(tie or 1e-20), wins, ties)
    assert best >= log_likelihood(wanted, np.log(tied or 1e-20), wins, ties)


def test_strengths_are_found_again_from_many_answers():
    true = np.array([1.2, 0.3, -0.4, -1.1])
    strength, nu = fit(*answers(true, 0.7, 20000, np.random.default_rng(0)), group=every(4))
    np.testing.assert_allclose(strength, true, atol=CLOSE)
    assert nu == pytest.approx(0.7, abs=CLOSE)
    half, _ = answers(true, 0.7, 20000, np.random.default_rng(0))
    assert np.abs(fit(half, np.zeros((4, 4)), group=every(4))[0] - true).max() < CLOSE, "ties tell of v alone"


def test_a_batch_is_each_of_its_tables():
    rng = np.random.default_rng(1)
    tables = [answers([0.5, 0.0, -0.5], 0.5, 4, rng) for _ in range(40)]
    wins, ties = (np.stack(some) for some in zip(*tables, strict=True))
    together, nu = fit(wins, ties, group=every(3))
    for k, (w, t) in enumerate(tables):
        alone, v = fit(w, t, group=every(3))
        np.testing.assert_allclose(together[k], alone, atol=EXACT)
        assert nu[k] == pytest.approx(v, abs=EXACT)


def climbs_for_ever(wins, ties):
    """Whether some direction makes no answer less likely: tried on all strengths of a small grid, log v moving too."""
    pairs = list(itertools.combinations(range(len(wins)), 2))
    for direction in itertools.product(range(4), repeat=len(wins)):
        for grows in (0, 0.5) if ties.any() else (0,):
            gains = []
            for i, j in pairs:
                of = {"i": direction[i], "j": direction[j], "tie": (direction[i] + direction[j]) / 2 + grows}
                options = of.values() if ties.any() else (of["i"], of["j"])
                seen = [of["i"]] * bool(wins[i, j]) + [of["j"]] * bool(wins[j, i]) + [of["tie"]] * bool(ties[i, j])
                gains += [max(options) - one for one in seen]
            moves = grows or any(direction[i] != direction[j] for i, j in pairs if linked(wins + ties)[i, j])
            if moves and gains and max(gains) == 0:
                return True
    return False


def test_where_the_maximum_is_finite_is_told_as_a_search_for_endless_climbs_tells_it():
    rng = np.random.default_rng(2)
    seen = []
    for _ in range(150):
        wins = rng.poisson(0.5, (3, 3)).astype(float)
        ties = np.triu(rng.poisson(0.4, (3, 3)), 1).astype(float)
        np.fill_diagonal(wins, 0)
        ties += ties.T
        if not wins.any() and not ties.any():
            continue
        group = linked(wins + ties)
        seen.append(bool(finite(wins, ties, group=group)))
        assert seen[-1] == (not climbs_for_ever(wins, ties)), (wins, ties)
    assert 20 < sum(seen) < len(seen) - 20, "both happen"


def test_a_model_that_was_never_worse_has_no_upper_bound_and_a_finite_number_to_show():
    wins, ties = table(3, {(0, 1): 4, (0, 2): 5, (1, 2): 3, (2, 1): 2})
    ranking = alone(wins, ties)
    assert not ranking.is_finite
    assert ranking.high[0] == np.inf
    assert np.isfinite(ranking.strength).all()
    assert np.isfinite([*ranking.low, *ranking.high[1:]]).all(), "the others have their bounds"
    # At the maximum that is shown the wins are those expected, half a win and half a loss more against an average one.
    share = 1 / (1 + np.exp(-(ranking.strength[:, None] - ranking.strength)))
    shift = np.linspace(-3, 3, 60001)  # strengths are shown centred; the pull is towards an average of zero
    pulled = (PULL * (1 - 2 / (1 + np.exp(-(ranking.strength[:, None] + shift))))).sum(0)
    pull = PULL * (1 - 2 / (1 + np.exp(-(ranking.strength + shift[np.abs(pulled).argmin()]))))
    expected = ((wins + wins.T) * share).sum(1)
    np.testing.assert_allclose(wins.sum(1) + pull, expected, atol=1e-3)  # the grid of shifts is that fine


def test_ties_do_not_bound_a_model_that_never_lost():
    wins, ties = table(2, {(0, 1): 5}, {(0, 1): 9})
    assert not finite(wins, ties, group=every(2))
    assert alone(wins, ties).high[0] == np.inf
    wins[1, 0] = 1
    ranking = alone(wins, ties)
    assert ranking.is_finite
    assert np.isfinite(ranking.high).all()


def test_groups_that_never_met_are_ranked_each_alone():
    wins, ties = table(5, {(0, 1): 3, (1, 0): 1, (2, 3): 2, (3, 2): 6})
    ranking = alone(wins, ties)
    assert ranking.group.tolist() == linked(wins).tolist()
    assert [int(group.sum()) for group in ranking.group] == [2, 2, 2, 2, 1]
    np.testing.assert_allclose(ranking.strength[:2].sum(), 0, atol=EXACT)
    assert ranking.strength[0] - ranking.strength[1] == pytest.approx(np.log(3), abs=EXACT)
    assert ranking.strength[3] - ranking.strength[2] == pytest.approx(np.log(3), abs=EXACT)
    assert ranking.strength[4] == 0
    assert ranking.worst.max() == 2


def test_all_ties_are_equals_of_which_nothing_is_known():
    ranking = alone(*table(3, {}, {(0, 1): 5, (1, 2): 5}))
    np.testing.assert_allclose(ranking.strength, 0, atol=EXACT)
    assert (ranking.low == -np.inf).all()
    assert (ranking.high == np.inf).all()
    assert (ranking.best.tolist(), ranking.worst.tolist()) == ([1] * 3, [3] * 3)


def test_judges_who_all_agree_leave_intervals_as_wide_as_their_few_answers_ask_for():
    wins, ties = (np.repeat(some[None], 5, 0) for some in table(2, {(0, 1): 2, (1, 0): 1}))
    ranking = rank(wins, ties)
    once = alone(wins.sum(0), ties.sum(0))
    assert ranking.low[0] <= once.low[0] < 0 < ranking.strength[0] < once.high[0] <= ranking.high[0]
    assert (ranking.best.tolist(), ranking.worst.tolist()) == ([1, 1], [2, 2])
    assert ranking.above[0, 1] < 1 - ranking.tail


def test_the_near_bound_of_who_always_won_is_what_so_many_answers_prove():
    for won in (1, 6, 15, 60):
        ranking = alone(*table(2, {(0, 1): won}))
        # Jeffreys' interval of a share: Beta(won + 1/2, 1/2), of which two gammas are the odds.
        gammas = np.random.default_rng(1).gamma([[won + 0.5], [0.5]], size=(2, 10**6))
        wanted = np.quantile(np.log(gammas[0] / gammas[1]), 0.025) / 2
        assert ranking.low[0] == pytest.approx(wanted, abs=OF_FEW)
        assert ranking.low[0] < ranking.strength[0] - OF_FEW, "it is not what the pull makes"
        assert ranking.high[0] == np.inf


def test_the_same_seed_gives_the_same_intervals_and_another_others():
    found = answers([0.4, 0.0, -0.4], 0.5, 10, np.random.default_rng(0))
    one, again, other = (alone(*found, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(one.low, again.low)
    assert not np.array_equal(one.low, other.low)


def test_one_answer_says_hardly_anything():
    ranking = alone(*table(2, {(0, 1): 1}))
    assert ranking.low[0] < 0 < ranking.high[1]
    assert (ranking.high[0], ranking.low[1]) == (np.inf, -np.inf)
    assert (ranking.best.tolist(), ranking.worst.tolist()) == ([1, 1], [2, 2])


def covers(ranked, true, *, runs):
    """How often the intervals hold the true strengths."""
    inside = []
    for seed in range(runs):
        ranking = ranked(np.random.default_rng(seed))
        inside += list((ranking.low <= true) & (true <= ranking.high))
    return np.mean(inside)


def test_intervals_of_answers_hold_the_true_strengths_in_95_of_100_surveys():
    true = np.array([0.7, 0.0, -0.7])
    share = covers(lambda rng: alone(*answers(true, 0.5, 30, rng), resamples=600), true, runs=ALL // 3)
    assert share == pytest.approx(0.95, abs=COVERED)


@pytest.mark.parametrize("judges", [MANY, 8])
def test_intervals_of_judges_who_differ_hold_where_those_of_their_answers_do_not(judges):
    true, apart = np.array([0.5, -0.5]), 0.8

    def drawn(rng):
        own = [true + apart * rng.normal() * np.array([0.5, -0.5]) for _ in range(judges)]
        return tuple(np.stack(some) for some in zip(*(answers(s, 0.0, 30, rng) for s in own), strict=True))

    def as_answers(rng):
        return rank(*drawn(rng), over_judges=False, resamples=300)

    # Averaging over judges shrinks log odds: what all judges together would find is the mean of their shares.
    shares = 1 / (1 + np.exp(-(1.0 + apart * np.random.default_rng(0).normal(size=10**6))))
    middle = np.log(shares.mean() / (1 - shares.mean())) / 2 * np.array([1, -1])
    assert covers(lambda rng: rank(*drawn(rng), resamples=1000), middle, runs=ALL // 2) > 0.95 - COVERED
    assert covers(as_answers, middle, runs=ALL // 4) < 0.9


def test_one_judge_stands_for_no_others():
    wins = np.array([[[0, 2], [1, 0]]], float)
    with pytest.raises(ValueError, match="one judge"):
        rank(wins, np.zeros_like(wins))
