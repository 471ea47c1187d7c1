from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw_files import BAYER, X_TRANS, scene
from test_pack import contract, raw_of

from runtime.errors import BadOption
from runtime.ratio import POINT, Ratio, choose, sweep
from runtime.raw import About

# What is asked of a scene's ratio: a quarter of a stop. Noise and the choice of squares move it less.
QUARTER_STOP = 2**0.25


def photograph(light, *, black=512, noise=0.0, seed=0):
    """A frame with shadows, mid-tones and highlights, of which `light` reaches the sensor."""
    y, x = np.mgrid[:240, :360]
    picture = 0.02 + 0.76 * (0.5 + 0.5 * np.sin(x / 40) * np.cos(y / 30)) ** 2
    level = black + picture * light * (16383 - black)
    level = level + np.random.default_rng(seed).normal(0, noise, level.shape)
    return np.clip(level, 0, 16383).round().astype(np.uint16)


def auto(mosaic, **changes):
    return choose("auto", raw_of(mosaic, **changes), contract())


@pytest.mark.parametrize("dark", [1, 3, 10, 100, 250])
def test_auto_undoes_what_was_underexposed(dark):
    found = auto(photograph(1 / dark))
    assert dark / QUARTER_STOP < found.value < dark * QUARTER_STOP
    assert found.why.startswith("auto: ")


@pytest.mark.parametrize("dark", [30, 100, 200])
def test_noise_larger_than_the_light_does_not_pass_for_light(dark):
    mosaic = photograph(1 / dark, noise=60.0)
    assert np.percentile(mosaic, 99) > 512 + 1.5 * 0.8 / dark * 15871 or dark < 100  # pixel by pixel it would
    found = auto(mosaic)
    assert dark / QUARTER_STOP < found.value < dark * QUARTER_STOP


def test_a_few_lamps_do_not_decide():
    mosaic = photograph(1 / 50)
    mosaic[::40, ::40] = 16383
    mosaic[20:26, 30:36] = 16383
    assert auto(mosaic).value == pytest.approx(auto(photograph(1 / 50)).value, rel=QUARTER_STOP - 1)


def test_a_saturated_frame_is_left_alone_and_a_lightless_one_gets_the_most():
    assert auto(np.full((48, 48), 16383, np.uint16)).value == 1.0
    assert "never darker" in auto(np.full((48, 48), 16383, np.uint16)).why
    for level in (0, 512, 513):
        found = auto(np.full((48, 48), level, np.uint16))
        assert found.value == 300.0
        assert "this model was trained for" in found.why


LEVEL = 1e-3  # relative: one level of 1200 or more
NOISE = 0.01  # relative: 20 levels a pixel, 2 in a mean over a square, of 1270; the brightest hundredth of these


def test_black_is_taken_off_site_by_site_and_x_trans_is_read_as_well():
    black = ((400.0, 500.0), (600.0, 700.0))
    mosaic = (np.tile(np.array(black), (60, 60)) + 0.08 * 15000).astype(np.uint16)
    for pattern in BAYER.values():
        assert auto(mosaic, pattern=pattern, black=black).value == pytest.approx(
            POINT * (16383 - 550) / 1200, rel=LEVEL
        )
    fuji = raw_of(scene(60, 66, pattern=X_TRANS, light=(0.3, 0.08, 0.2)), pattern=X_TRANS)
    assert choose("auto", fuji, contract("x-trans")).value == pytest.approx(10, rel=NOISE)


@pytest.mark.parametrize("shape", [(2, 2), (3, 5), (7, 6), (22, 64000), (65, 33)])
def test_any_size_has_a_ratio(shape):
    assert auto(np.full(shape, 512 + 1587, np.uint16)).value == pytest.approx(POINT * 10, rel=LEVEL)


@pytest.mark.parametrize("exposure", [None, 0.0, float("nan"), 1e-9, 1e9])
def test_exposure_does_not_decide_and_cannot_break_it(exposure):
    raw = raw_of(photograph(0.01))
    other = replace(raw, about=About(exposure=exposure, iso=exposure))
    assert choose("auto", other, contract()) == choose("auto", raw, contract())


def test_a_number_is_taken_within_what_the_model_was_trained_for():
    raw = raw_of(scene(24, 24))
    assert choose("12.5", raw, contract()) == Ratio(12.5, "as asked")
    assert choose("1e6", raw, contract()).value == 300.0
    assert "held to the 300" in choose("1e6", raw, contract()).why
    assert choose("0.25", raw, contract()) == Ratio(1.0, "as asked, held to 1: never darker")
    assert choose("80", raw, contract(ratio_max=50.0)).value == 50.0


@pytest.mark.parametrize("text", ["", "much", "nan", "inf", "-inf", "-3", "0", "-0", "1,5", "0x10", "auto 3", "sweep"])
def test_what_is_no_ratio_is_refused(text):
    with pytest.raises(BadOption, match="--ratio cannot be .*: use auto, sweep or a number from 1 to 300"):
        choose(text, raw_of(scene(24, 24)), contract())


@given(st.floats(1e-4, 1), st.sampled_from([1.0, 1.5, 20.0, 300.0]))
def test_a_sweep_is_ascending_distinct_and_within_limits(light, most):
    raw = raw_of(np.full((12, 12), 512 + int(light * 15871), np.uint16))
    asked = contract(ratio_max=most)
    found = sweep(raw, asked)
    assert choose("auto", raw, asked).value in found
    assert found == sorted(set(found))
    assert all(1 <= ratio <= most for ratio in found)
    assert len(found) <= 7
    assert most < 300 or len(found) >= 4  # three stops at least to one side
    assert max(found) / min(found) <= 2**6


@given(st.text(max_size=8))
def test_any_text_is_a_ratio_or_an_error_in_words(text):
    try:
        assert 1 <= choose(text, raw_of(scene(12, 12)), contract()).value <= 300
    except BadOption as error:
        assert "\n" not in str(error)


@given(st.floats(1e-5, 1), st.sampled_from([1.0, 300.0]))
def test_why_is_plain_text_for_every_header(light, most):
    raw = raw_of(np.full((12, 12), 512 + int(light * 15871), np.uint16))
    assert choose("auto", raw, contract(ratio_max=most)).why.isascii()
