import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_pack import contract

from quant.augment import Turn, augment, draw, margin, turned, window
from quant.phase import cell, packed
from runtime.errors import BadOption

TURNS = [Turn(bool(n & 1), bool(n & 2), bool(n & 4)) for n in range(8)]
cfas = st.sampled_from(["bayer", "x-trans"])


def scene(y, x):
    """Light of three colours at any place: what a sensor samples and the target shows."""
    return np.stack([np.sin(0.3 * y + 0.1 * x * c + c) for c in range(3)], axis=-1).astype(np.float32)


def exposed(height, width, *, asked, of=None):
    """The pair of a scene: at each site of the mosaic the target's own colour."""
    y = of if of is not None else scene(*np.mgrid[:height, :width])
    tile = cell(asked.cfa)
    sites = tile[np.arange(len(y))[:, None] % len(tile), np.arange(y.shape[1]) % len(tile)]
    return packed(np.take_along_axis(y, sites[..., None], axis=2)[..., 0], asked), y


@settings(max_examples=60, deadline=None)
@given(cfas, st.sampled_from(TURNS), st.integers(2, 5), st.integers(2, 5))
def test_a_turned_pair_is_what_the_camera_would_have_of_the_turned_scene(cfa, turn, rows, columns):
    asked, size = contract(cfa), len(cell(cfa))
    x, y = exposed(rows * size, columns * size, asked=asked)
    new_x, new_y = turned(x, y, turn, contract=asked)
    # The camera that looks at the turned scene: every sample of every plane is of its own colour at its own place.
    again, _ = exposed(0, 0, asked=asked, of=new_y)
    assert np.array_equal(new_x, again)
    assert new_x.shape[0] >= ((columns if turn.transposed else rows) - 1) * size // asked.pack


@settings(max_examples=40, deadline=None)
@given(cfas, st.sampled_from(TURNS))
def test_packing_the_turned_mosaic_in_phase_is_turning_the_packed_one(cfa, turn):
    asked, size = contract(cfa), len(cell(cfa))
    mosaic = np.random.default_rng(3).random((5 * size, 4 * size)).astype(np.float32)
    found, marks = turned(packed(mosaic, asked), np.indices(mosaic.shape).transpose(1, 2, 0), turn, contract=asked)
    # The target carried each pixel's own place: where the mosaic was cut is read off it.
    assert np.array_equal(found, packed(mosaic[marks[..., 0], marks[..., 1]], asked))
    whole = turn(mosaic)
    (rows, columns), (most_rows, most_columns) = marks.shape[:2], whole.shape
    assert any(
        np.array_equal(found, packed(whole[r : r + rows, c : c + columns], asked))
        for r in range(most_rows - rows + 1)
        for c in range(most_columns - columns + 1)
    )


ANOTHER = 0.05  # of white: scenes that were the same would be equal but for float32 rounding


@pytest.mark.parametrize("turn", TURNS[1:4])
def test_flipping_the_planes_as_they_are_is_another_scene(turn):
    asked = contract()
    x, y = exposed(16, 16, asked=asked)
    again, _ = exposed(0, 0, asked=asked, of=turn(y))
    assert not np.allclose(turn(x), again, atol=ANOTHER)


def test_transposing_bayer_exchanges_the_greens_and_cuts_nothing():
    asked = contract()
    x, y = exposed(12, 16, asked=asked)
    new_x, new_y = turned(x, y, Turn(transposed=True), contract=asked)
    red, green1, blue, green2 = range(4)
    assert np.array_equal(new_x, x.transpose(1, 0, 2)[..., [red, green2, blue, green1]])
    assert np.array_equal(new_y, y.transpose(1, 0, 2))


def test_mirroring_bayer_keeps_the_planes_and_moves_every_second_by_a_pixel():
    asked = contract()
    x, y = exposed(8, 12, asked=asked)
    new_x, new_y = turned(x, y, Turn(columns=True), contract=asked)
    mirrored = x[:, ::-1]
    assert np.array_equal(new_x[..., [0, 3]], mirrored[..., [0, 3]][:, :-1])
    assert np.array_equal(new_x[..., [1, 2]], mirrored[..., [1, 2]][:, 1:])
    assert np.array_equal(new_y, y[:, ::-1][:, 1:-1])


@pytest.mark.parametrize("cfa", ["bayer", "x-trans", "none"])
def test_what_is_left_has_the_size_asked_for_and_every_turn_comes_up(cfa):
    asked, size = contract(cfa), 8
    wanted = size + margin(asked)
    x = np.random.default_rng(0).random((wanted, wanted, len(asked.planes))).astype(np.float32)
    y = np.random.default_rng(1).random((wanted * asked.pack, wanted * asked.pack, 3)).astype(np.float32)
    made = [augment(x, y, size=size, contract=asked, rng=np.random.default_rng((7, n))) for n in range(80)]
    assert {a.shape for a, _ in made} == {(size, size, len(asked.planes))}
    assert {b.shape for _, b in made} == {(size * asked.pack, size * asked.pack, 3)}
    assert all(a.flags.c_contiguous and b.flags.c_contiguous for a, b in made)
    assert len({a.tobytes() for a, _ in made}) == 8
    again = augment(x, y, size=size, contract=asked, rng=np.random.default_rng((7, 5)))
    assert np.array_equal(again[0], made[5][0])


def test_each_of_the_three_comes_half_of_the_time():
    rng = np.random.default_rng(0)
    turns = [draw(rng) for _ in range(4000)]
    for name in ("rows", "columns", "transposed"):
        share = np.mean([getattr(turn, name) for turn in turns])
        assert abs(share - 0.5) < 4 * 0.5 / 4000**0.5  # four standard deviations


def test_a_picture_without_a_mosaic_is_turned_with_a_target_of_any_size():
    asked = contract("none")
    x, y = np.arange(48.0).reshape(4, 4, 3), np.arange(4.0).reshape(2, 2, 1)
    new_x, new_y = turned(x, y, Turn(columns=True), contract=asked)
    assert np.array_equal(new_x, x[:, ::-1])
    assert np.array_equal(new_y, y[:, ::-1])


@settings(max_examples=60, deadline=None)
@given(cfas, st.integers(4, 40), st.integers(4, 40), st.data())
def test_a_window_lies_in_the_frame_where_a_cell_begins(cfa, height, width, data):
    asked = contract(cfa)
    every = 2 if cfa == "x-trans" else 1
    size = data.draw(st.integers(1, min(height, width) // every)) * every
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    top, left = window(rng, height=height, width=width, size=size, contract=asked)
    assert 0 <= top <= height - size
    assert 0 <= left <= width - size
    assert top % every == left % every == 0


def test_windows_reach_both_ends_of_the_frame():
    rng = np.random.default_rng(0)
    tops = {window(rng, height=12, width=9, size=8, contract=contract())[0] for _ in range(200)}
    assert tops == {0, 1, 2, 3, 4}


@pytest.mark.parametrize(("cfa", "size"), [("bayer", 33), ("bayer", 0), ("x-trans", 7)])
def test_a_crop_that_cannot_be_is_named(cfa, size):
    with pytest.raises(BadOption, match=r"crop cannot be .*the frame is 32 x 40 packed pixels"):
        window(np.random.default_rng(0), height=32, width=40, size=size, contract=contract(cfa))


def test_a_callers_bug_is_none_of_the_users():
    x, y = np.zeros((8, 8, 4)), np.zeros((16, 15, 3))
    with pytest.raises(ValueError, match="does not cover"):
        turned(x, y, Turn(), contract=contract())
    with pytest.raises(ValueError, match="are left of 9"):
        augment(x, y, size=8, contract=contract(), rng=np.random.default_rng(0))
