import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.sheet import GAP, INK, LINE, PAPER, contact_sheet, shrunk

HALF_A_LEVEL = 0.5 + 1e-2  # each pixel is rounded once; float32 sums of 65535s add little
SIDES = st.integers(1, 90)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 65536, (height, width, 3), dtype=np.uint16)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(height=SIDES, width=SIDES, side=st.integers(1, 60))
def test_a_thumbnail_keeps_the_mean_and_the_shape(height, width, side):
    picture = noise(height, width)
    small = shrunk(picture, side=side)
    assert max(small.shape[:2]) <= max(side, 1)
    np.testing.assert_allclose(small.mean((0, 1)), picture.mean((0, 1)), atol=HALF_A_LEVEL)
    for new, old in zip(small.shape, (height, width), strict=False):
        wanted = old * min(side / max(height, width), 1)
        assert new == 1 or abs(new - wanted) <= 0.5


@settings(max_examples=30, deadline=None, derandomize=True)
@given(factor=st.integers(1, 9), height=st.integers(1, 9), width=st.integers(1, 9))
def test_a_thumbnail_by_a_whole_factor_is_the_mean_of_its_squares(factor, height, width):
    picture = noise(height * factor, width * factor)
    squares = picture.reshape(height, factor, width, factor, 3).mean((1, 3))
    small = shrunk(picture, side=max(height, width))
    np.testing.assert_allclose(small, squares, atol=HALF_A_LEVEL)
    if factor > 1:  # taking every n-th pixel would not do
        assert np.abs(picture[::factor, ::factor].astype(float) - squares).max() > HALF_A_LEVEL


def test_a_small_picture_is_not_enlarged():
    picture = noise(20, 30)
    assert shrunk(picture, side=30) is picture


def test_a_picture_of_one_grey_stays_that_grey():
    for grey in (0, 1, 40_000, 65535):
        assert (shrunk(np.full((37, 101, 3), grey, np.uint16), side=17) == grey).all()


def test_a_sheet_holds_every_picture_and_label_on_grey():
    pictures = [(f"ratio {i}", np.full((40, 60, 3), 1000 * i, np.uint16)) for i in range(1, 6)]
    sheet = contact_sheet(pictures, columns=2, side=480)
    assert sheet.dtype == np.uint16
    assert sheet.shape == (3 * (40 + LINE + GAP) + GAP, 2 * (60 + GAP) + GAP, 3)
    for i in range(5):
        top, left = GAP + i // 2 * (40 + LINE + GAP), GAP + i % 2 * (60 + GAP)
        assert (sheet[top : top + 40, left : left + 60] == 1000 * (i + 1)).all()
        label = sheet[top + 40 : top + 40 + LINE, left : left + 60]
        assert label.max() > INK * 257 // 2, "a label is written in light letters"
    assert (sheet[-GAP - LINE - 40 : -GAP, -GAP - 60 : -GAP] == PAPER).all(), "the sixth place is empty"
    assert (sheet[:GAP] == PAPER).all()


def test_labels_differ_as_their_texts_do():
    def label(text):
        return contact_sheet([(text, noise(40, 100))])[GAP + 40 :]

    assert (label("100") == label("100")).all()
    assert (label("100") != label("300")).any()
    assert (label("") == PAPER).all()


@pytest.mark.parametrize("label", ["x" * 500, "two\nlines", "\0", "Фото 夜", "", "\udc80"])
def test_any_label_is_drawn_within_its_place(label):
    plain, sheet = (contact_sheet([(text, noise(50, 80)), ("b", noise(80, 50))]) for text in ("", label))
    assert plain.shape == sheet.shape
    outside = np.ones(sheet.shape[:2], bool)
    outside[GAP + 80 : GAP + 80 + LINE, GAP : GAP + 80] = False
    assert (plain[outside] == sheet[outside]).all()


def test_pictures_of_several_shapes_are_centred():
    sheet = contact_sheet([("a", np.full((20, 60, 3), 65535, np.uint16)), ("b", noise(60, 20))], side=60)
    assert (sheet[GAP + 20 : GAP + 40, GAP : GAP + 60] == 65535).all()
    assert (sheet[GAP : GAP + 20, GAP : GAP + 60] == PAPER).all()


@pytest.mark.parametrize("picture", [noise(4, 4).astype(np.uint8), noise(4, 4)[:, :, :2], noise(4, 4)[0], noise(0, 4)])
def test_a_picture_of_another_kind_is_the_callers_bug(picture):
    with pytest.raises(ValueError, match="uint16"):
        contact_sheet([("a", picture)])


def test_a_sheet_of_nothing_is_the_callers_bug():
    with pytest.raises(ValueError, match="0 pictures"):
        contact_sheet([])
    with pytest.raises(ValueError, match="in 0 columns"):
        contact_sheet([("a", noise(4, 4))], columns=0)
