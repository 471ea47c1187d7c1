import numpy as np
import pytest
import tensorflow as tf

from quant.losses import LOSSES, least_side, loss
from runtime.errors import UnknownName
from runtime.measure import ssim as measured_ssim

ROUNDING = 2e-6  # float32 over the pixels of these pictures
# SSIM takes squares of means from means of squares, 1 from 1, and divides by 0.03^2: 1e-7 / 1e-3.
CANCELLED = 2e-4


def picture(*shape, seed=0):
    return np.random.default_rng(seed).random(shape).astype(np.float32)


def pair(*shape):
    y = picture(*shape)
    return y, np.clip(y + picture(*shape, seed=1) * 0.4 - 0.2, 0, 1).astype(np.float32)


def value(name, y, prediction):
    return float(loss(name)(tf.constant(y), tf.constant(prediction)))


def slope(name, y, prediction):
    x = tf.Variable(prediction)
    with tf.GradientTape() as tape:
        result = loss(name)(tf.constant(y), x)
    return tape.gradient(result, x).numpy()


def moments(a, b):
    """The mean contrast-and-structure factor of two planes, window by window."""
    at = np.arange(11) - 5
    window = np.exp(-(at[:, None] ** 2 + at**2) / (2 * 1.5**2))
    window /= window.sum()
    views = [np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), (11, 11)) for x in (a, b)]
    ma, mb = (np.einsum("ijkl,kl", v, window) for v in views)
    va, vb = (np.einsum("ijkl,kl", v**2, window) - m**2 for v, m in zip(views, (ma, mb), strict=True))
    cov = np.einsum("ijkl,kl", views[0] * views[1], window) - ma * mb
    return np.mean((2 * cov + 9e-4) / (va + vb + 9e-4))


def halved(x):
    h, w = x.shape[0] // 2 * 2, x.shape[1] // 2 * 2
    return x[:h, :w].reshape(h // 2, 2, w // 2, 2).mean(axis=(1, 3), dtype=np.float64)


def numpy_ms_ssim(a, b):
    weights = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])
    weights = weights[[min(a.shape) >> level >= 11 for level in range(5)]]
    weights /= weights.sum()
    result = 1.0
    for level, weight in enumerate(weights, start=1):
        last = level == len(weights)
        result *= (measured_ssim(a, b, data_range=1.0) if last else moments(a, b)) ** weight
        a, b = halved(a), halved(b)
    return result


def test_l1_and_l2_are_the_means_they_say():
    y, p = pair(2, 5, 7, 3)
    assert value("l1", y, p) == pytest.approx(np.abs(y - p).mean(), abs=ROUNDING)
    assert value("l2", y, p) == pytest.approx(np.square(y - p).mean(), abs=ROUNDING)


def test_light_is_compared_as_means_over_boxes_beside_the_root():
    y, p = pair(2, 32, 48, 3)
    boxes = [np.square(x, dtype=np.float64).reshape(2, 2, 16, 3, 16, 3).mean((2, 4)) for x in (y, p)]
    off = np.abs(boxes[0] - boxes[1])
    assert value("l1-light", y, p) == pytest.approx(np.abs(y - p).mean() + off.mean(), abs=ROUNDING)
    shares = off / (boxes[0] + 0.05)
    assert value("l1-level", y, p) == pytest.approx(np.abs(y - p).mean() + shares.mean(), abs=ROUNDING)


def test_a_root_below_zero_is_that_of_light_that_is_missing():
    y = np.full((1, 16, 16, 1), 0.5, np.float32)
    assert value("l1-light", y, -y) == pytest.approx(1 + 2 * 0.25, abs=ROUNDING)
    assert value("l1-level", y, -y) == pytest.approx(1 + 2 * 0.25 / (0.25 + 0.05), abs=ROUNDING)


def test_a_dim_surface_a_tenth_too_dark_counts_as_half_a_bright_one_that_is():
    dim, bright = (np.full((1, 16, 16, 1), np.sqrt(light), np.float32) for light in (0.05, 1.0))
    of_light, of_level = (
        [value(name, y, y * np.sqrt(0.9)) - value("l1", y, y * np.sqrt(0.9)) for y in (dim, bright)]
        for name in ("l1-light", "l1-level")
    )
    assert of_light[0] / of_light[1] == pytest.approx(0.05, rel=0.01)
    assert of_level[0] / of_level[1] == pytest.approx(0.525, rel=0.01)


def test_of_what_is_uncertain_l1_takes_the_median_and_l1_of_light_comes_nearer_to_the_mean():
    y = picture(1, 64, 64, 1)
    guesses = [np.full_like(y, guess) for guess in np.linspace(0, 1, 41)]
    best = {
        name: guesses[int(np.argmin([value(name, y, g) for g in guesses]))][0, 0, 0, 0] for name in ("l1", "l1-light")
    }
    step = 1 / 40
    assert best["l1"] == pytest.approx(np.median(y), abs=step)
    assert best["l1-light"] == pytest.approx(np.sqrt(np.square(y).mean()), abs=step)
    assert best["l1-light"] - best["l1"] > 2 * step


@pytest.mark.parametrize("shape", [(1, 11, 11, 1), (2, 19, 24, 3)])
def test_ssim_is_one_less_what_is_measured(shape):
    y, p = pair(*shape)
    wanted = np.mean([1 - measured_ssim(a, b, data_range=1.0) for a, b in zip(y, p, strict=True)])
    assert value("ssim", y, p) == pytest.approx(wanted, abs=CANCELLED)


@pytest.mark.parametrize("side", [16, 30, 180])
def test_the_mix_is_its_parts_over_one_two_and_all_scales(side):
    y, p = pair(1, side, side + 3, 2)
    p = p * np.float32(0.6)  # darker: light is compared at the coarsest scale alone
    likeness = np.mean([numpy_ms_ssim(y[0, ..., c], p[0, ..., c]) for c in range(2)])
    wanted = 0.84 * (1 - likeness) + 0.16 * np.abs(y - p).mean()
    assert value("ms-ssim-l1", y, p) == pytest.approx(wanted, abs=CANCELLED)
    assert wanted > 0.01


def test_dice_counts_what_both_have_image_by_image():
    y, p = np.zeros((2, 4, 4, 1), np.float32), np.zeros((2, 4, 4, 1), np.float32)
    y[0, :2], p[0, 1:3] = 1, 1  # 8 pixels each, 4 of them shared
    y[1], p[1] = 1, 1
    # One pixel is added above and below.
    assert value("dice", y, p) == pytest.approx(((1 - 9 / 17) + 0) / 2, abs=ROUNDING)


def test_dice_of_nothing_found_where_nothing_is_is_no_loss():
    nothing = np.zeros((1, 4, 4, 1), np.float32)
    assert value("dice", nothing, nothing) == 0
    assert np.isfinite(slope("dice", nothing, nothing)).all()


def test_depth_is_learnt_only_where_it_is_known():
    y, p = pair(2, 6, 6, 1)
    y[0, 0, 0], y[0, 1, 1], y[1, 2, 2], y[1, 3, 3] = 0, np.nan, np.inf, -1
    known = np.isfinite(y) & (y > 0)
    assert value("depth", y, p) == pytest.approx(np.square(y - p)[known].mean(), abs=ROUNDING)
    gradient = slope("depth", y, p)
    np.testing.assert_allclose(gradient[known], 2 * (p - y)[known] / known.sum(), atol=ROUNDING)
    assert not gradient[~known].any()


def test_a_depth_known_nowhere_is_no_loss():
    y, p = np.full((1, 3, 3, 1), np.nan, np.float32), picture(1, 3, 3, 1)
    assert value("depth", y, p) == 0
    assert not slope("depth", y, p).any()


def test_a_nan_that_was_predicted_is_not_hidden():
    y, p = pair(1, 16, 16, 1)
    p[0, 5, 5] = np.nan
    assert all(np.isnan(value(name, y, p)) for name in LOSSES)


@pytest.mark.parametrize("name", LOSSES)
def test_the_slope_is_that_of_small_steps(name):
    y, p = pair(1, 24, 24, 1)
    p = p * np.float32(0.6)  # darker: boxes too stand away from the corner of a difference
    gradient = slope(name, y, p)
    direction = np.sign(gradient) * 1e-2
    if name.startswith("l1"):  # no step across it
        direction[np.abs(y - p) < 2e-2] = 0
    rise = value(name, y, p + direction) - value(name, y, p - direction)
    # The third derivative's part of a step of a hundredth.
    assert rise == pytest.approx(2 * (gradient * direction).sum(), rel=0.05)
    assert rise > 0


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("kind", ["equal", "black", "opposite", "flat"])
def test_no_picture_makes_a_loss_or_its_slope_nan(name, kind):
    y = picture(1, 32, 32, 1)
    y, p = {
        "equal": (y, y),
        "black": (y * 0, y * 0),
        "opposite": (y, 1 - y),
        "flat": (y * 0 + 1, y * 0),
    }[kind]
    assert np.isfinite(value(name, y, p))
    assert np.isfinite(slope(name, y, p)).all()


@pytest.mark.parametrize("name", LOSSES)
def test_equal_pictures_are_no_loss_and_others_are(name):
    y, p = pair(1, 32, 32, 3)
    mask = np.round(y)
    assert value(name, mask, mask) == pytest.approx(0, abs=CANCELLED)
    assert value(name, mask, p) > 0.01


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_one_float32_number_whatever_comes_in_and_in_a_graph_too(name):
    y, p = pair(1, 32, 32, 1)
    compiled = tf.function(loss(name))
    result = compiled(tf.constant(y), tf.cast(p, tf.float16))
    assert (result.dtype, result.shape) == (tf.float32, ())
    assert float(result) == pytest.approx(value(name, y, p.astype(np.float16).astype(np.float32)), abs=CANCELLED)


@pytest.mark.parametrize("name", LOSSES)
def test_shapes_that_would_be_broadcast_are_refused(name):
    with pytest.raises(ValueError, match="compatible"):
        value(name, picture(1, 32, 32, 1), picture(1, 32, 32, 3))


@pytest.mark.parametrize("name", LOSSES)
def test_a_patch_in_which_there_is_nothing_to_compare_is_refused_and_the_least_one_is_not(name):
    side = least_side(name)
    y, p = pair(1, side, 32, 1)
    assert value(name, y, p) > 0
    if side > 1:
        with pytest.raises(ValueError, match=f"{side} x {side}"):
            value(name, y[:, 1:], p[:, 1:])


def test_an_unknown_loss_is_named_with_the_likeliest():
    with pytest.raises(UnknownName, match="did you mean 'ms-ssim-l1'"):
        loss("ms-ssim")
