import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.measure import Mean, Scenes, mse, psnr, ssim, ssim_map

ROUNDING = 1e-10  # float64 over a few hundred additions


def noise(*shape, seed=0):
    return np.random.default_rng(seed).random(shape)


def ssim_by_hand(a, b, data_range):
    """The paper's formula, one window at a time, with a window of two dimensions."""
    at = np.arange(11) - 5
    window = np.exp(-(at[:, None] ** 2 + at**2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    found = []
    for i in range(a.shape[0] - 10):
        for j in range(a.shape[1] - 10):
            x, y = a[i : i + 11, j : j + 11], b[i : i + 11, j : j + 11]
            mx, my = (window * x).sum(), (window * y).sum()
            vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
            cov = (window * (x - mx) * (y - my)).sum()
            found.append((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    return np.mean(found)


def test_the_mean_squared_error_is_that_of_a_hand():
    assert mse(np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.0, 0.0, 4.0, 3.0])) == 5 / 4


def test_small_whole_numbers_do_not_wrap_around():
    assert mse(np.array([0, 255], np.uint8), np.array([255, 0], np.uint8)) == 255**2


def test_a_tenth_of_the_range_is_twenty_decibels():
    assert psnr(np.zeros(9), np.full(9, 0.1), data_range=1.0) == pytest.approx(20, abs=ROUNDING)
    assert psnr(np.zeros(9), np.full(9, 25.5), data_range=255) == pytest.approx(20, abs=ROUNDING)
    assert psnr(np.ones(9), np.ones(9), data_range=1.0) == math.inf


def test_a_picture_is_like_itself_and_unlike_its_negative():
    a = noise(16, 20, 3)
    assert ssim(a, a, data_range=1.0) == pytest.approx(1, abs=ROUNDING)
    assert ssim(a, 1 - a, data_range=1.0) < 0


def test_of_two_flat_pictures_only_the_light_is_compared():
    a, b = np.full((11, 11), 0.5), np.full((11, 11), 0.25)
    wanted = (2 * 0.5 * 0.25 + 1e-4) / (0.5**2 + 0.25**2 + 1e-4)
    assert ssim(a, b, data_range=1.0) == pytest.approx(wanted, abs=ROUNDING)


@pytest.mark.parametrize("data_range", [1.0, 255.0])
def test_ssim_is_the_papers_formula(data_range):
    a = noise(17, 14) * data_range
    b = np.clip(a + (noise(17, 14, seed=1) - 0.5) * data_range / 2, 0, data_range)
    assert ssim(a, b, data_range=data_range) == pytest.approx(ssim_by_hand(a, b, data_range), abs=ROUNDING)
    assert ssim(a, b, data_range=2 * data_range) != pytest.approx(ssim_by_hand(a, b, data_range), abs=1e-4)


def test_ssim_of_colours_is_the_mean_of_their_planes():
    a, b = noise(12, 13, 3), noise(12, 13, 3, seed=1)
    planes = [ssim(a[..., c], b[..., c], data_range=1.0) for c in range(3)]
    assert ssim(a, b, data_range=1.0) == pytest.approx(np.mean(planes), abs=ROUNDING)


def test_the_map_has_one_similarity_a_window_and_those_of_a_part_are_the_same():
    a, b = noise(30, 25), noise(30, 25, seed=1)
    found = ssim_map(a, b, data_range=1.0)
    assert found.shape == (20, 15)
    assert found.mean() == ssim(a, b, data_range=1.0)
    assert np.array_equal(ssim_map(a[7:25, 3:], b[7:25, 3:], data_range=1.0), found[7:15, 3:])


@pytest.mark.parametrize("shape", [(32, 40), (23, 31, 3)])
def test_the_measures_are_those_of_scikit_image(shape):
    metrics = pytest.importorskip("skimage.metrics")
    a, b = noise(*shape), noise(*shape, seed=1)
    theirs = metrics.structural_similarity(
        a,
        b,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        channel_axis=2 if len(shape) == 3 else None,
    )
    assert ssim(a, b, data_range=1.0) == pytest.approx(theirs, abs=ROUNDING)
    theirs = metrics.peak_signal_noise_ratio(a, b, data_range=1.0)
    assert psnr(a, b, data_range=1.0) == pytest.approx(theirs, abs=ROUNDING)


@pytest.mark.parametrize(("a", "b"), [((3, 4), (4, 3)), ((4, 4, 1), (4, 4)), ((0,), (0,))])
def test_what_cannot_be_compared_is_refused(a, b):
    with pytest.raises(ValueError, match="compared"):
        mse(np.zeros(a), np.zeros(b))


@pytest.mark.parametrize("shape", [(10, 11), (11, 10, 3), (2, 11, 11, 3), (121,)])
def test_what_holds_no_window_is_refused(shape):
    with pytest.raises(ValueError, match="11 x 11"):
        ssim(np.zeros(shape), np.zeros(shape), data_range=1.0)


def test_a_mean_has_the_interval_of_the_textbook():
    mean = Mean()
    for value in [2, 4, 4, 4, 5, 5, 7, 9]:
        mean.add(value)
    assert (mean.count, mean.mean) == (8, 5)
    assert mean.deviation == pytest.approx(math.sqrt(32 / 7), abs=ROUNDING)
    # Student's t for 7 degrees of freedom is 2.365.
    assert mean.interval[1] - 5 == pytest.approx(
        2.365 * math.sqrt(32 / 7) / math.sqrt(8), rel=1e-3
    )  # three digits of the textbook
    assert mean.interval[0] + mean.interval[1] == pytest.approx(10, abs=ROUNDING)


@pytest.mark.parametrize(("count", "t"), [(2, 12.706), (3, 4.303), (6, 2.571), (7, 2.447), (11, 2.228), (31, 2.042)])
def test_the_interval_is_students_for_few_and_many(count, t):
    mean = Mean()
    for value in range(count):
        mean.add(value)
    half = t * np.std(np.arange(count), ddof=1) / math.sqrt(count)
    assert mean.interval[1] - mean.mean == pytest.approx(half, rel=5e-4)  # four digits


def test_below_two_figures_nothing_is_known_of_the_spread():
    mean = Mean()
    assert math.isnan(mean.mean)
    assert all(math.isnan(end) for end in mean.interval)
    mean.add(3)
    assert mean.mean == 3
    assert math.isnan(mean.deviation)
    assert all(math.isnan(end) for end in mean.interval)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(values=st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=60), shift=st.sampled_from([0.0, 1e6]))
def test_the_streamed_mean_is_the_mean(values, shift):
    mean = Mean()
    for value in values:
        mean.add(value + shift)
    shifted = np.array(values) + shift
    assert mean.mean == pytest.approx(shifted.mean(), rel=1e-12, abs=1e-9)  # float64, beside a million
    assert mean.deviation == pytest.approx(
        shifted.std(ddof=1), rel=1e-6, abs=1e-6
    )  # what is left of 16 digits once a million is squared


def test_about_95_of_a_hundred_intervals_hold_the_true_mean():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(2000):
        mean = Mean()
        for value in rng.normal(3, 2, 5):
            mean.add(value)
        held += mean.interval[0] <= 3 <= mean.interval[1]
    # 1900 +- 10 by the binomial; four of its deviations. 1.96 instead of t would hold 88 %.
    assert abs(held - 1900) < 40


def test_intervals_over_scenes_hold_the_true_mean_where_those_over_their_frames_do_not():
    rng = np.random.default_rng(0)
    over_scenes = over_frames = 0
    for _ in range(2000):
        scenes, frames = Scenes(), Mean()
        for scene, shared in enumerate(rng.normal(3, 2, 5)):
            for value in rng.normal(shared, 0.5, 3):  # frames of a scene are alike
                scenes.add(f"{scene}", value)
                frames.add(value)
        assert (scenes.count, scenes.mean.count) == (frames.count, 5)
        for_scenes, for_frames = scenes.mean.interval, frames.interval
        over_scenes += for_scenes[0] <= 3 <= for_scenes[1]
        over_frames += for_frames[0] <= 3 <= for_frames[1]
    # 1900 +- 10 by the binomial; four of its deviations.
    assert abs(over_scenes - 1900) < 40
    assert over_frames < 1500  # so alike are frames of a scene: a quarter of the intervals miss


def test_a_scene_is_one_figure_however_many_frames_it_has():
    scenes = Scenes()
    for scene, value in (("a", 1), ("a", 3), ("b", 8)):
        scenes.add(scene, value)
    assert (scenes.count, scenes.mean.count, scenes.mean.mean) == (3, 2, 5)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_figure_that_is_not_finite_is_refused(value):
    with pytest.raises(ValueError, match="no figure"):
        Mean().add(value)
