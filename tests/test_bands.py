"""Figures of bands of rows are those of the picture."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.bands import MOST_DB, Bands
from runtime.measure import mse, psnr, ssim

ROUNDING = 1e-12  # sums of some thousand float64 of about 1, in another order


def pictures(height, width=14, *, seed=0):
    y = np.random.default_rng(seed).random((3, height, width))
    return y, np.clip(y + np.random.default_rng(seed + 1).normal(0, 0.1, y.shape), 0, 1)


def banded(y, made, cuts):
    bands = Bands(y.shape[2], channels=len(y))
    for begin, end in zip([0, *cuts], [*cuts, y.shape[1]], strict=True):
        bands.add(y[:, begin:end], made[:, begin:end])
    return bands.figures()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_wherever_it_is_cut_the_figures_are_those_of_the_whole(data):
    height = data.draw(st.integers(11, 40))
    cuts = sorted(data.draw(st.lists(st.integers(0, height), max_size=12)))
    y, made = pictures(height, seed=data.draw(st.integers(0, 99)))
    found = banded(y, made, cuts)
    whole = [x.transpose(1, 2, 0) for x in (y, made)]
    assert found.mse == pytest.approx(mse(*whole), rel=ROUNDING)
    assert found.psnr == pytest.approx(psnr(*whole, data_range=1.0), rel=ROUNDING)
    assert found.ssim == pytest.approx(ssim(*whole, data_range=1.0), rel=ROUNDING)


def test_without_the_rows_that_are_kept_windows_across_cuts_would_be_missing():
    """The control: the mean over bands measured one by one is another number."""
    y, made = pictures(36)
    made[:, 16:20] = 0  # what is worst lies across the cut
    apart = [ssim(y[:, a:b].transpose(1, 2, 0), made[:, a:b].transpose(1, 2, 0), data_range=1.0)
             for a, b in ((0, 18), (18, 36))]  # fmt: skip
    assert abs(np.mean(apart) - banded(y, made, [18]).ssim) > 1e6 * ROUNDING


def test_the_figures_are_those_of_scikit_image():
    metrics = pytest.importorskip("skimage.metrics")
    y, made = pictures(40, 33)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": 0}
    found = banded(y, made, [1, 13, 14, 30])
    assert found.ssim == pytest.approx(metrics.structural_similarity(y, made, data_range=1.0, **options), abs=1e-10)
    assert found.psnr == pytest.approx(metrics.peak_signal_noise_ratio(y, made, data_range=1.0), abs=1e-10)
    assert found.mse == pytest.approx(metrics.mean_squared_error(y, made), rel=ROUNDING)


def test_equal_pictures_have_the_most_decibels_and_nearly_equal_ones_no_more():
    y, _ = pictures(12)
    same = banded(y, y, [5])
    assert (same.psnr, same.mse, same.ssim) == (MOST_DB, 0, pytest.approx(1, abs=ROUNDING))
    near = y.copy()
    near[0, 0, 0] += 1e-6
    assert banded(y, near, []).psnr == MOST_DB
    assert math.isinf(psnr(y, y, data_range=1.0))


def test_a_picture_is_flat_if_no_channel_changes_in_any_row():
    flat = np.broadcast_to(np.array([0.1, 0.2, 0.3])[:, None, None], (3, 12, 12))
    spot = flat.copy()
    spot[1, 11, 11] += 0.1
    for y, expected in ((flat, True), (spot, False)):
        bands = Bands(12)
        for row in range(12):
            bands.add(y[:, row : row + 1], flat[:, row : row + 1])
        assert bands.flat is expected


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(ValueError, match="no window"):
        Bands(10)
    bands = Bands(11)
    for shape, other in (((3, 2, 12), (3, 2, 12)), ((3, 2, 11), (3, 3, 11)), ((1, 2, 11), (1, 2, 11))):
        with pytest.raises(ValueError, match="no two bands"):
            bands.add(np.zeros(shape), np.zeros(other))
    bands.add(np.zeros((3, 10, 11)), np.zeros((3, 10, 11)))
    with pytest.raises(ValueError, match="fewer than 11"):
        bands.figures()
