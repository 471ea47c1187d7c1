"""An answer in parts has the figures of the whole picture."""

from dataclasses import replace

import numpy as np
import pytest
from eval_pairs import colours, contract, levels
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.develop import Look, develop
from runtime.measure import mse, psnr, ssim
from runtime.referee import Referee, held

ROUNDING = 1e-11  # sums of ten thousand float64 of about 1, in another order
SIZE = (75, 33)
LOOK = Look(
    output="camera-linear",
    gains=(2.0, 1.0, 1.5),
    cam2rgb=((1.6, -0.4, -0.2), (-0.3, 1.5, -0.2), (0.0, -0.5, 1.5)),
    cfa="bayer",
    planes=contract().planes,
    pack=2,
)


class Picture:
    """A reference that lies in memory."""

    def __init__(self, pixels, space):
        self.pixels, self.space = pixels, space
        self.height, self.width = pixels.shape[:2]

    def rows(self, begin, end):
        return self.pixels[begin:end]


def answer():
    made = colours(*SIZE) + np.random.default_rng(3).normal(0, 0.05, (*SIZE, 3))
    return made.transpose(2, 0, 1).astype(np.float32)


def judged(made, reference, look, rows=(30, 60), columns=(10,)):
    referee = Referee(reference, look, rows=75)
    for top, bottom in zip([0, *rows], [*rows, SIZE[0]], strict=True):
        for left, right in zip([0, *columns], [*columns, SIZE[1]], strict=True):
            referee.take(made[:, top:bottom, left:right], top, left)
    return referee


def shown(light, look):
    out = np.empty((*SIZE, 3), np.uint16)
    develop(light, look, out)
    return out


def equal(found, y, made):
    assert found.mse == pytest.approx(mse(y, made), rel=ROUNDING)
    assert found.psnr == pytest.approx(psnr(y, made, data_range=1.0), rel=ROUNDING)
    assert found.ssim == pytest.approx(ssim(y, made, data_range=1.0), rel=ROUNDING)


def straight(levels_):
    """The sRGB curve undone, by its standard."""
    shown_ = levels_ / 65535
    return np.where(shown_ <= 0.04045, shown_ / 12.92, ((shown_ + 0.055) / 1.055) ** 2.4)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    st.lists(st.integers(0, SIZE[0]), max_size=4).map(sorted),
    st.lists(st.integers(0, SIZE[1] - 1), max_size=3).map(sorted),
)
def test_however_windows_cut_it_a_camera_answer_has_the_figures_of_the_whole(rows, columns):
    made, clean = answer(), levels(colours(*SIZE))
    referee = judged(made, Picture(clean, "camera-linear"), LOOK, rows, columns)
    assert referee.light == "camera"
    equal(referee.linear.figures(), clean / 65535, np.clip(made, 0, 1).transpose(1, 2, 0))
    wanted = shown((clean / np.float32(65535)).transpose(2, 0, 1).astype(np.float32), LOOK)
    equal(referee.developed.figures(), wanted / 65535, shown(made, LOOK) / 65535)


def test_against_an_srgb_picture_both_are_taken_as_srgb():
    made, clean = answer(), levels(colours(*SIZE) ** 0.5)
    referee = judged(made, Picture(clean, "srgb"), LOOK)
    assert referee.light == "srgb"
    mine = shown(made, LOOK)
    equal(referee.developed.figures(), clean / 65535, mine / 65535)
    equal(referee.linear.figures(), straight(clean), straight(mine))


def test_a_network_that_answers_in_srgb_is_judged_by_the_developed_reference():
    made, clean = answer(), levels(colours(*SIZE))
    referee = judged(made, Picture(clean, "camera-linear"), replace(LOOK, output="srgb"))
    assert referee.light == "srgb"
    wanted = shown((clean / np.float32(65535)).transpose(2, 0, 1).astype(np.float32), LOOK)
    mine = levels(made.transpose(1, 2, 0).astype(np.float32))
    assert referee.developed.figures().mse == pytest.approx(mse(wanted / 65535, mine / 65535), rel=1e-4)  # a level
    assert referee.linear.figures().mse == pytest.approx(mse(straight(wanted), straight(mine)), rel=1e-4)


def test_white_balance_and_matrix_count_in_what_is_developed_and_not_in_the_cameras_light():
    made, picture = answer(), Picture(levels(colours(*SIZE)), "camera-linear")
    other = replace(LOOK, gains=(1.0, 1.0, 1.0))
    one, two = judged(made, picture, LOOK), judged(made, picture, other)
    assert one.linear.figures() == two.linear.figures()
    assert abs(one.developed.figures().psnr - two.developed.figures().psnr) > 0.1


def test_what_is_no_number_is_black():
    made, picture = answer(), Picture(levels(colours(*SIZE)), "camera-linear")
    black = made.copy()
    made[:, 40, 20], black[:, 40, 20] = np.nan, 0
    assert judged(made, picture, LOOK).linear.figures() == judged(black, picture, LOOK).linear.figures()


def test_more_rows_of_windows_hold_less():
    assert held(100, 1000) < held(200, 1000) < held(200, 2000)
