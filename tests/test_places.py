import numpy as np

from runtime.places import notes, placed
from runtime.ranking import rank

MODELS = ("amber", "birch", "cedar")


def found(wins, ties=()):
    """Places and notes of one judge's answers, given by the numbers of two models."""
    w, t = np.zeros((1, 3, 3)), np.zeros((1, 3, 3))
    for (i, j), count in dict(wins).items():
        w[0, i, j] = count
    for (i, j), count in dict(ties).items():
        t[0, i, j] = t[0, j, i] = count
    ranking = rank(w, t, over_judges=False)
    places = placed(MODELS, ranking, w[0], t[0])
    return places, " | ".join(notes(places, ranking, MODELS, judges=1))


def test_equals_share_a_rank_and_none_stands_before_another_by_its_name():
    around = {(0, 1): 4, (1, 2): 4, (2, 0): 4, (1, 0): 4, (2, 1): 4, (0, 2): 4}
    for wins, ties in ((around, {}), ({}, {(0, 1): 5, (1, 2): 5, (0, 2): 5})):
        places, said = found(wins, ties)
        assert [place.rank for place in places] == [1, 1, 1]
        assert [place.ranks for place in places] == [(1, 3)] * 3
        assert "amber and birch are equal, and share rank 1" in said
        assert "not sure" not in said


def test_after_two_equals_the_next_is_third():
    places, _ = found({(0, 1): 3, (1, 0): 3, (0, 2): 5, (1, 2): 5, (2, 0): 1, (2, 1): 1})
    assert [(place.model, place.rank) for place in places] == [("amber", 1), ("birch", 1), ("cedar", 3)]
    assert all(place.ranks[0] <= place.rank <= place.ranks[1] for place in places)


def test_ties_alone_bound_nothing_and_are_said_to():
    places, said = found({}, {(0, 1): 5, (1, 2): 5})
    assert [place.interval for place in places] == [(None, None)] * 3
    assert "birch was neither the better nor the worse one" in said


def test_who_always_won_has_a_bound_behind_and_none_ahead():
    places, said = found({(0, 1): 6, (0, 2): 6, (1, 2): 3, (2, 1): 3})
    low, high = places[0].interval
    assert low < places[0].strength
    assert high is None
    assert "amber was never the worse one" in said
