import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant.camera import PATTERNS, drawn, plain
from quant.noise import Gaussian, Sensor
from quant.unprocess import (
    blurred,
    camera_to_rgb,
    dulled,
    gained,
    light,
    mosaic,
    process,
    rgb_to_camera,
    shown,
    toned,
    ungained,
    unprocess,
)
from runtime.pack import TILES

CAMERA = plain(Sensor(K=1.0, read=Gaussian(2.0), row=0.1, black=512.0, white=16383.0))
VALUES = np.linspace(0, 1, 10001, dtype=np.float32)
# There and back in float32; next to white the smoothstep is flat, and its inverse makes 6e-8 the root of that.
ROUNDING, FLAT = 2e-6, 4e-4
# A weight, a product and six sums along each of two axes, each rounded by half a step of float32.
ROUNDED = 2 * 8 * 0.5 * float(np.finfo(np.float32).eps)
HALF_A_LEVEL = 0.5 / 255


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_a_tone_curve_undone_is_undone():
    assert np.abs(toned(dulled(VALUES)) - VALUES).max() < ROUNDING
    assert np.abs(dulled(toned(VALUES)) - VALUES).max() < FLAT
    assert np.abs(toned(VALUES) - VALUES).max() > 0.09
    assert (np.diff(dulled(VALUES)) > 0).all()


def test_a_matrix_undone_is_undone_and_white_stays_white(rng):
    rgb = rng.random((3, 20, 30)).astype(np.float32)
    assert np.abs(camera_to_rgb(rgb_to_camera(rgb, CAMERA), CAMERA) - rgb).max() < ROUNDING
    grey = np.full((3, 1, 1), 0.4, np.float32)
    assert rgb_to_camera(grey, CAMERA) == pytest.approx(grey)
    assert np.abs(rgb_to_camera(rgb, CAMERA) - rgb).max() > 0.1


def test_gains_undone_are_undone_below_the_highlights(rng):
    balanced = rng.uniform(0, 0.9, (3, 20, 30)).astype(np.float32)
    there = ungained(balanced, CAMERA.wb, brightness=0.8)
    assert np.abs(gained(there, CAMERA.wb, brightness=0.8) - balanced).max() < ROUNDING
    assert np.abs(gained(there, CAMERA.wb) - balanced).max() > 0.1


def test_white_saturates_every_colour_and_the_way_there_is_steady():
    greys = np.linspace(0, 1, 201, dtype=np.float32)
    there = ungained(np.broadcast_to(greys, (3, 1, 201)), CAMERA.wb)
    assert there[:, 0, -1] == pytest.approx(1)
    assert (np.diff(there, axis=-1) > 0).all()
    assert there[0, 0, 100] == pytest.approx(0.5 / CAMERA.wb[0])  # divided plainly it would stay so for white


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_a_picture_unprocessed_and_processed_is_the_picture(kind, seed, rng):
    picture = rng.uniform(0.1, 0.8, (16, 24, 3))
    picture = picture.mean(2, keepdims=True) * 0.6 + picture * 0.4  # colours that every camera here can see
    wanted = picture if kind is np.float32 else picture * np.iinfo(kind).max
    camera = drawn(np.random.default_rng(seed))
    there = unprocess(wanted.astype(kind), camera, brightness=0.8)
    assert there.dtype == np.float32
    assert there.shape == (3, 16, 24)
    assert 0 <= there.min() <= there.max() <= 1
    back = process(there, camera, brightness=0.8)
    exact = wanted.astype(kind) / (1 if kind is np.float32 else np.iinfo(kind).max)
    assert np.abs(back - exact).max() < HALF_A_LEVEL / 10
    assert np.abs(process(there, drawn(np.random.default_rng(seed + 50)), brightness=0.8) - exact).max() > HALF_A_LEVEL


def test_white_and_black_come_back_too():
    ends = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)
    assert process(unprocess(ends, CAMERA), CAMERA) == pytest.approx(ends / 255)
    assert unprocess(ends, CAMERA)[:, 0, 1] == pytest.approx(1)


def test_light_and_shown_are_each_others_mirror(rng):
    picture = rng.integers(0, 256, (9, 7, 3), np.uint8)
    assert np.abs(shown(light(picture)) - picture / 255).max() < ROUNDING * 10
    with pytest.raises(ValueError, match="height, width, 3"):
        light(picture[..., 0])


@settings(max_examples=40, deadline=None, derandomize=True)
@given(height=st.integers(1, 20), width=st.integers(1, 20), pattern=st.sampled_from([*PATTERNS, TILES["x-trans"]]))
def test_a_mosaic_keeps_at_each_pixel_the_colour_of_its_pattern(height, width, pattern):
    colours = np.arange(3 * height * width, dtype=np.float32).reshape(3, height, width)
    found, size = mosaic(colours, pattern), len(pattern)
    for y, x in np.ndindex(height, width):
        assert found[y, x] == colours[pattern[y % size][x % size], y, x]


@pytest.mark.parametrize("sigma", [0.3, 0.7, 1.0])
def test_a_lens_spreads_a_point_as_a_gaussian_and_loses_no_light(sigma):
    point = np.zeros((3, 21, 25), np.float32)
    point[:, 10, 12] = 1
    spread = blurred(point, sigma).astype(np.float64)
    assert blurred(point, sigma).dtype == np.float32
    at = np.indices(spread.shape[1:])
    ratio = np.exp(-0.5 / sigma**2)
    for plane in spread:
        assert plane.sum() == pytest.approx(1, rel=ROUNDED)
        for axis, middle in ((0, 10), (1, 12)):
            assert (plane * at[axis]).sum() == pytest.approx(middle, rel=ROUNDED)
        assert plane[10, 13] / plane[10, 12] == pytest.approx(ratio, rel=ROUNDED)
        assert plane[11, 12] / plane[10, 12] == pytest.approx(ratio, rel=ROUNDED)


def test_an_even_picture_stays_even_behind_a_lens_and_a_sharp_lens_does_nothing():
    even = np.full((3, 9, 8), 0.7, np.float32)
    np.testing.assert_allclose(blurred(even, 1.0), even, rtol=ROUNDED)
    picture = np.random.default_rng(0).random((3, 9, 8)).astype(np.float32)
    assert blurred(picture, 0.0) is picture
