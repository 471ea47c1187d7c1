import dataclasses
import math
from fractions import Fraction

import numpy as np
import pytest
from contracts import UNET

from quant.figures import amplified, better, figures
from quant.phase import cell, packed
from runtime.measure import psnr, ssim
from runtime.pack import GRIDS

DEPTH = dataclasses.replace(UNET, task="depth", cfa="none", planes=("R", "G", "B"), pack=1, channels=1)
MASKS = dataclasses.replace(DEPTH, task="segment", planes=("Y",))
X_TRANS = dataclasses.replace(UNET, cfa="x-trans", planes=tuple(GRIDS["x-trans"]), pack=3, scale=Fraction(3))
ROUNDING = 1e-6  # of float32 numbers up to 1
SLOPE = 0.003  # of a gradient, a pixel
# Bilinear interpolation is exact on a slope; at an edge half of the neighbours are missing, and what is there is the
# value one pixel away, down and across.
ONE_PIXEL = 2 * SLOPE + ROUNDING
FEW_PIXELS = 4 * SLOPE  # a tent of five finds its colours up to two pixels away, down and across


def random(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def test_a_picture_is_measured_as_it_is_shown_between_black_and_white():
    y = np.zeros((2, 16, 16, 3), np.float32)
    made = np.stack([np.full((16, 16, 3), 0.1), np.full((16, 16, 3), -5.0)]).astype(np.float32)
    found = figures(UNET, y, made)
    assert found["psnr"] == pytest.approx((20 + 100) / 2)  # 0.1 off is 20 dB, and no error counts as 100
    assert found["mse"] == pytest.approx(0.01 / 2)
    assert set(found) == {"psnr", "mse", "ssim"}


def test_figures_of_a_batch_are_the_means_of_its_pictures():
    y, made = random(3, 16, 16, 3), random(3, 16, 16, 3, seed=1)
    found = figures(UNET, y, made)
    assert found["psnr"] == pytest.approx(np.mean([psnr(a, b, data_range=1) for a, b in zip(y, made, strict=True)]))
    assert found["ssim"] == pytest.approx(np.mean([ssim(a, b, data_range=1) for a, b in zip(y, made, strict=True)]))
    assert found["psnr"] != pytest.approx(
        psnr(y, made, data_range=1), abs=1e-6
    )  # the mean of logarithms is not the logarithm of the mean


def test_depth_is_measured_in_metres_and_where_it_is_known():
    y = np.full((1, 12, 12, 1), 0.4, np.float32)
    found = figures(DEPTH, y, y + np.float32(0.05))
    assert found["mse"] == pytest.approx(0.0025)
    assert found["rmse"] == pytest.approx(0.5)
    assert found["delta1"] == 1
    assert 0 < found["ssim"] < 1
    unknown = y.copy()
    unknown[:, :3], unknown[:, 3] = 0, np.nan
    wrong = y + np.float32(0.05)
    wrong[:, :4] = 7
    for name, value in figures(DEPTH, unknown, wrong).items():
        assert name == "ssim" or value == pytest.approx(found[name])
    other = np.where(np.arange(12).reshape(1, 12, 1, 1) < 4, -3, wrong)
    assert figures(DEPTH, unknown, other) == figures(DEPTH, unknown, wrong)
    assert figures(DEPTH, np.where(np.isnan(unknown), 0.1, unknown), wrong)["rmse"] > 5  # known, it counts


def test_delta1_counts_what_is_within_a_quarter_either_way():
    y = np.full((1, 1, 6, 1), 0.4, np.float32)
    made = np.array([0.4 * 1.24, 0.4 * 1.26, 0.4 / 1.24, 0.4 / 1.26, 0.0, -0.4], np.float32).reshape(1, 1, 6, 1)
    found = figures(DEPTH, y, made)
    assert found["delta1"] == pytest.approx(2 / 6)
    assert "ssim" not in found  # smaller than its window


def test_without_any_known_depth_there_is_no_error_to_tell():
    nothing = np.zeros((1, 4, 4, 1), np.float32)
    assert all(math.isnan(value) for value in figures(DEPTH, nothing, nothing).values())


def test_masks_are_compared_by_what_they_share():
    y, made = np.zeros((2, 4, 4, 1), np.float32), np.zeros((2, 4, 4, 1), np.float32)
    y[0, :2], made[0, 1:3] = 1, 0.6  # eight pixels each, four of them shared; nothing in the second of either
    assert figures(MASKS, y, made) == {"dice": (0.5 + 1) / 2, "iou": pytest.approx((4 / 12 + 1) / 2)}
    made[0, 1:3] = 0.4
    assert figures(MASKS, y, made)["dice"] == 0.5
    made[1, 0, 0] = 1
    assert figures(MASKS, y, made) == {"dice": 0, "iou": 0}


def test_batches_of_different_shapes_are_a_mistake():
    with pytest.raises(ValueError, match="compared"):
        figures(UNET, np.zeros((2, 16, 16, 3)), np.zeros((1, 16, 16, 3)))


@pytest.mark.parametrize("contract", [UNET, DEPTH, MASKS], ids=lambda contract: contract.task)
def test_the_deciding_figure_is_one_of_the_figures_and_the_truth_has_the_best(contract):
    name, higher = better(contract)
    y = (random(2, 16, 16, contract.channels) > 0.4).astype(np.float32)
    best, worse = (figures(contract, y, made)[name] for made in (y, np.roll(y, 1, axis=1)))
    assert best > worse if higher else best < worse


def mosaic(picture, contract, *, shift=(0, 0)):
    """A batch of one: the planes of a picture (h, w, 3) seen through the cell, or one that begins elsewhere."""
    tile = np.roll(cell(contract.cfa), shift, axis=(0, 1))
    height, width, _ = picture.shape
    colours = tile[np.ix_(np.arange(height) % len(tile), np.arange(width) % len(tile))]
    seen = np.take_along_axis(picture, colours[..., None], axis=-1)[..., 0]
    return packed(seen.astype(np.float32), contract)[None]


def slope(height=24, width=36):
    """Three colours that grow down and across, each from a level of its own."""
    y, x = np.mgrid[:height, :width]
    return (np.array([0.1, 0.3, 0.6]) + SLOPE * (y + x)[..., None]).astype(np.float32)


@pytest.mark.parametrize("contract", [UNET, X_TRANS], ids=lambda contract: contract.cfa)
def test_a_flat_colour_comes_out_exactly(contract):
    flat = np.broadcast_to(np.array([0.1, 0.7, 0.3], np.float32), (24, 36, 3))
    made = amplified(contract, mosaic(flat, contract))
    assert (made.shape, made.dtype) == ((1, 24, 36, 3), np.float32)
    assert np.array_equal(made[0], flat)
    assert not np.array_equal(amplified(contract, mosaic(flat, contract, shift=(0, 1)))[0], flat)


def test_a_slope_on_bayer_comes_out_exactly_but_for_the_edge():
    made = amplified(UNET, mosaic(slope(), UNET))[0]
    error = np.abs(made - slope())
    assert error[1:-1, 1:-1].max() < ROUNDING
    assert ROUNDING < error.max() < ONE_PIXEL
    for shift in ((0, 1), (1, 0), (1, 1)):
        wrong = amplified(UNET, mosaic(slope(), UNET, shift=shift))[0]
        assert np.abs(wrong - slope()).max() > 10 * ONE_PIXEL


def test_a_slope_on_x_trans_stays_within_a_few_pixels():
    made = amplified(X_TRANS, mosaic(slope(), X_TRANS))[0]
    assert np.abs(made - slope()).max() < FEW_PIXELS
    wrong = amplified(X_TRANS, mosaic(slope(), X_TRANS, shift=(0, 1)))[0]
    assert np.abs(wrong - slope()).max() > 10 * FEW_PIXELS


def test_what_was_measured_is_kept_and_pictures_of_a_batch_do_not_mix():
    x = random(2, 6, 8, 4)
    made = amplified(UNET, x)
    assert np.array_equal(made[:, ::2, ::2, 0], x[..., 0])
    assert np.array_equal(made[:, ::2, 1::2, 1], x[..., 1])
    assert np.array_equal(made[:, 1::2, 1::2, 2], x[..., 2])
    assert np.array_equal(made[:, 1::2, ::2, 1], x[..., 3])
    assert np.array_equal(made[1:], amplified(UNET, x[1:]))


def test_green_between_four_is_their_mean_and_red_between_two_theirs():
    x = random(1, 6, 8, 4)
    made = amplified(UNET, x)[0]
    assert made[2, 2, 1] == pytest.approx((made[1, 2, 1] + made[3, 2, 1] + made[2, 1, 1] + made[2, 3, 1]) / 4)
    assert made[2, 3, 0] == pytest.approx((x[0, 1, 1, 0] + x[0, 1, 2, 0]) / 2)
    assert made[3, 3, 0] == pytest.approx(x[0, 1:3, 1:3, 0].mean())


def test_a_network_without_a_mosaic_has_nothing_to_amplify():
    with pytest.raises(ValueError, match="no mosaic"):
        amplified(DEPTH, random(1, 4, 4, 3))
