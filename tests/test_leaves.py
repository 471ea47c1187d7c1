import numpy as np
import pytest

from quant.leaves import _fallen, _inside, _ranks, _smaller, leaves

SIDE, MANY = 192, 10


@pytest.fixture(scope="module")
def pictures():
    return np.stack([leaves(np.random.default_rng(seed), SIDE, SIDE) for seed in range(MANY)])


def slope(picture):
    """The exponent of frequency in the power spectrum of the logarithm of light."""
    light = np.log(picture[..., 1] + 1e-3)
    side = len(light)
    window = np.outer(np.hanning(side), np.hanning(side))
    power = np.abs(np.fft.fft2((light - light.mean()) * window)) ** 2
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side))
    edges = np.geomspace(4 / side, 0.35, 12)
    band = np.digitize(frequency, edges)
    means = [power[band == number].mean() for number in range(1, len(edges))]
    return np.polyfit(np.log(np.sqrt(edges[1:] * edges[:-1])), np.log(means), 1)[0]


def test_power_falls_with_the_square_of_frequency_as_in_photographs(pictures):
    a_photographs_spread = 0.5  # single photographs lie from -1.5 to -3
    assert np.mean([slope(picture) for picture in pictures]) == pytest.approx(-2, abs=a_photographs_spread)
    white = np.random.default_rng(0).random((SIDE, SIDE, 3))
    assert slope(white) > -0.3


def test_light_spreads_over_many_stops_and_shadows_are_deep(pictures):
    green = pictures[..., 1]
    low, middle, high = np.percentile(green, [2, 50, 98])
    assert low < 0.01
    assert 0.02 < middle < 0.2
    assert 0.4 < high < 3
    assert all(np.log2(np.percentile(one, 98) / np.percentile(one, 2)) > 2.5 for one in green)


def test_each_pixel_is_of_the_highest_leaf_that_covers_it():
    fallen = _fallen(np.random.default_rng(3), 90, 120)
    wanted = np.zeros((90, 120), int)
    y, x = np.arange(90, dtype=np.float32)[None], np.arange(120, dtype=np.float32)[None]
    for number in range(len(fallen.rank)):
        leaf = fallen[np.array([number])]
        covered = _inside(leaf, int(leaf.sides[0]), y - leaf.y[0], x - leaf.x[0])[0]
        wanted[covered] = number + 1
    found = _ranks(fallen, 90, 120)
    rims = 0.002  # pixels whose centre lies on a rim, to a float32's digits
    assert (found != wanted).mean() < rims
    assert len(np.unique(found)) > 50
    assert (found == 0).mean() < 0.15
    assert (found != wanted.T.reshape(90, 120)).mean() > 0.5


def test_a_picture_is_light_of_the_size_asked_for():
    for height, width in ((1, 1), (7, 40), (64, 33)):
        picture = leaves(np.random.default_rng(1), height, width)
        assert picture.shape == (height, width, 3)
        assert picture.dtype == np.float32
        assert np.isfinite(picture).all()
        assert picture.min() >= 0


def test_colours_go_together_but_are_colours(pictures):
    red, green, blue = (np.log(pictures[..., c] + 1e-3).ravel() for c in range(3))
    assert 0.6 < np.corrcoef(red, blue)[0, 1] < 0.99
    assert np.std(red - blue) > 0.2
    assert np.corrcoef(red, green)[0, 1] < 0.999


def test_there_are_edges_and_flat_places(pictures):
    steps = np.abs(np.diff(np.log(pictures[..., 1] + 1e-3), axis=2)).ravel()
    kurtosis = ((steps - steps.mean()) ** 4).mean() / steps.var() ** 2
    assert kurtosis > 5  # a normal law has 3: most places are flat, a few are edges
    assert np.median(steps) < 0.15


def test_edges_are_soft_because_pixels_are_means():
    plane = np.random.default_rng(0).random((8, 12)).astype(np.float32)
    assert _smaller(plane) == pytest.approx(plane.reshape(4, 2, 6, 2).mean((1, 3)))


def test_there_are_four_times_as_many_leaves_of_half_the_size():
    counts = np.zeros(4)
    for seed in range(12):
        fallen = _fallen(np.random.default_rng(seed), 800, 800)
        inside = (
            (fallen.y > 0) & (fallen.y < 800) & (fallen.x > 0) & (fallen.x < 800)
        )  # of those outside large ones show
        octave = np.log2(fallen.radius[inside] / fallen.radius.min()).astype(int)
        counts += np.bincount(octave, minlength=4)[:4]
    a_few_deviations = 0.5  # of the last count, about a thousand
    assert counts[:-1] / counts[1:] == pytest.approx(4, abs=a_few_deviations)


def test_the_same_seed_is_the_same_picture(pictures):
    assert np.array_equal(leaves(np.random.default_rng(0), SIDE, SIDE), pictures[0])
    assert not np.array_equal(pictures[0], pictures[1])
