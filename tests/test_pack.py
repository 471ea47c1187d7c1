from dataclasses import replace
from fractions import Fraction
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from raw_files import BAYER, X_TRANS, scene

from runtime import pack
from runtime.contract import Contract
from runtime.errors import BadContract, UnsupportedRaw
from runtime.raw import About, Raw

IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
# Two roundings of float32 and a factor rounded once: the definition in float64 is at most that far away.
ROUNDING = 4e-7
COLOURS = {"R": 0, "G": 1, "B": 2}


def contract(cfa="bayer", **changes):
    factor = {"bayer": 2, "x-trans": 3, "none": 1}[cfa]
    plain = {
        "network": "unet",
        "task": "enhance",
        "cfa": cfa,
        "planes": tuple(pack.GRIDS.get(cfa, ("R", "G", "B"))),
        "pack": factor,
        "range": "black-to-white",
        "ratio_max": 300.0,
        "output": "srgb",
        "channels": 3,
        "scale": Fraction(factor),
        "multiple": 4,
        "halo": 4,
        "activation_bytes_per_pixel": 1,
    }
    return Contract(**{**plain, **changes})


def rolled(pattern, row, column):
    return tuple(map(tuple, np.roll(np.array(pattern), (row, column), axis=(0, 1)).tolist()))


def raw_of(mosaic, *, pattern=BAYER["RGGB"], black=None, white=16383.0):
    black = black or tuple(tuple(512.0 for _ in row) for row in pattern)
    cfa = "bayer" if len(pattern) == 2 else "x-trans"
    return Raw(
        mosaic=mosaic,
        cfa=cfa,
        pattern=pattern,
        black=black,
        white=white,
        wb=(2.0, 1.0, 1.5),
        wb_known=True,
        cam2rgb=IDENTITY,
        xyz2cam=None,
        about=About(),
    )


def whole(raw, asked, *, ratio=1.0):
    frame = pack.frame(raw, asked)
    return frame, pack.planes(raw, frame, asked, ratio=ratio)


def test_the_planes_of_see_in_the_dark_are_where_it_has_them():
    mosaic = np.arange(512, 512 + 64, dtype=np.uint16).reshape(8, 8)
    _, planes = whole(raw_of(mosaic), contract())
    level = (mosaic.astype(np.float64) - 512) / (16383 - 512)
    for plane, (y, x) in zip(planes, [(0, 0), (0, 1), (1, 1), (1, 0)], strict=True):
        np.testing.assert_allclose(plane, level[y::2, x::2], atol=ROUNDING)


def see_in_the_dark_fuji(level):
    """The nine planes the slow way, pixel by pixel from the published table."""
    table = [
        [(0, 0), (0, 4), (3, 1), (3, 3)],
        [(0, 2), (0, 5), (3, 2), (3, 5)],
        [(0, 1), (0, 3), (3, 0), (3, 4)],
        [(1, 2), (2, 5), (5, 2), (4, 5)],
        [(2, 2), (1, 5), (4, 2), (5, 5)],
    ]
    planes = np.zeros((9, level.shape[0] // 3, level.shape[1] // 3))
    for plane, row, column in np.ndindex(planes.shape):
        if plane < 5:
            y, x = table[plane][row % 2 * 2 + column % 2]
            planes[plane, row, column] = level[row // 2 * 6 + y, column // 2 * 6 + x]
        else:
            y, x = [(1, 0), (1, 1), (2, 0), (2, 1)][plane - 5]
            planes[plane, row, column] = level[row * 3 + y, column * 3 + x]
    return planes


def test_the_nine_planes_of_x_trans_are_where_see_in_the_dark_has_them():
    mosaic = np.arange(512, 512 + 24 * 36, dtype=np.uint16).reshape(24, 36)
    _, planes = whole(raw_of(mosaic, pattern=X_TRANS), contract("x-trans"))
    level = (mosaic.astype(np.float64) - 512) / (16383 - 512)
    np.testing.assert_allclose(planes, see_in_the_dark_fuji(level), atol=ROUNDING)


@pytest.mark.parametrize("cfa", pack.GRIDS)
def test_every_place_of_the_cell_is_in_one_plane_and_has_its_colour(cfa):
    tile, places = pack.TILES[cfa], [place for grid in pack.GRIDS[cfa].values() for place in grid]
    assert len(set(places)) == len(places) == len(tile) ** 2
    for name, grid in pack.GRIDS[cfa].items():
        assert {tile[y][x] for y, x in grid} == {COLOURS[name[0]]}


patterns = st.one_of(
    st.sampled_from(sorted(BAYER.values())),
    st.tuples(st.integers(0, 5), st.integers(0, 5)).map(lambda by: rolled(X_TRANS, *by)),
)


@settings(max_examples=120, deadline=None)
@given(patterns, st.integers(6, 60), st.integers(6, 60), st.integers(1, 8))
@example(BAYER["BGGR"], 7, 9, 4)
@example(rolled(X_TRANS, 1, 2), 6, 6, 8)
def test_whatever_the_size_and_the_pattern_every_plane_holds_its_colour_alone(pattern, height, width, multiple):
    mosaic = scene(height, width, pattern=pattern, light=(0.25, 0.5, 0.75))
    mosaic = (mosaic // 2048 * 2048).astype(np.uint16)  # three levels, no noise
    raw = raw_of(mosaic, pattern=pattern)
    asked = contract(raw.cfa, multiple=multiple)
    frame, planes = whole(raw, asked)
    assert frame.height % multiple == frame.width % multiple == 0
    assert frame.height * asked.pack - height - frame.phase[0] in range(asked.pack * multiple)
    assert frame.width * asked.pack - width - frame.phase[1] in range(asked.pack * multiple)
    for name, plane in zip(asked.planes, planes, strict=True):
        colour = COLOURS[name[0]]
        y, x = np.argwhere(np.array(pattern) == colour)[0]
        assert (np.abs(plane - (mosaic[y, x] - 512) / 15871) < ROUNDING).all(), name


def test_x_trans_is_mirrored_about_axes_of_its_pattern_and_not_at_any_edge():
    tile = np.tile(np.array(X_TRANS), (4, 4))

    def about(place, axis):
        return np.roll(np.flip(tile, axis=axis), 2 * place + 1, axis=axis)

    assert np.array_equal(about(0, 0), tile)
    assert np.array_equal(about(2, 1), tile)
    assert not np.array_equal(about(1, 0), tile)
    assert not np.array_equal(about(0, 1), tile)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(BAYER)), st.integers(2, 40), st.integers(2, 40), st.integers(1, 8))
def test_bayer_is_mirrored_without_repeating_its_edge(name, height, width, multiple):
    mosaic = np.random.default_rng(0).integers(512, 16383, (height, width)).astype(np.uint16)
    raw, asked = raw_of(mosaic, pattern=BAYER[name]), contract(multiple=multiple)
    frame, planes = whole(raw, asked)
    (above, before), sizes = frame.phase, (frame.height * 2, frame.width * 2)
    margins = [(above, sizes[0] - above - height), (before, sizes[1] - before - width)]
    padded = (np.pad(mosaic, margins, mode="reflect").astype(np.float64) - 512) / 15871
    for plane, (y, x) in zip(planes, [(0, 0), (0, 1), (1, 1), (1, 0)], strict=True):
        np.testing.assert_allclose(plane, padded[y::2, x::2], atol=ROUNDING)


@settings(max_examples=120, deadline=None)
@given(patterns, st.integers(6, 90), st.integers(6, 50), st.data())
def test_any_rows_and_any_window_are_those_of_the_whole(pattern, height, width, data):
    mosaic = np.random.default_rng(1).integers(0, 65536, (height, width)).astype(np.uint16)
    black = tuple(tuple(500.0 + 7 * y + x for x in range(len(pattern))) for y in range(len(pattern)))
    raw = raw_of(mosaic, pattern=pattern, black=black)
    asked = contract(raw.cfa)
    frame, planes = whole(raw, asked, ratio=3.7)
    (top, end), (left, right) = (
        sorted(data.draw(st.lists(st.integers(0, most), min_size=2, max_size=2)))
        for most in (frame.height, frame.width)
    )
    some = pack.planes(raw, frame, asked, ratio=3.7, rows=(top, end))
    assert np.array_equal(some, planes[:, top:end])
    window = pack.planes(raw, frame, asked, ratio=3.7, rows=(top, end), columns=(left, right))
    assert np.array_equal(window, planes[:, top:end, left:right])


@pytest.mark.parametrize(("height", "most"), [(64, 16), (4000, 16)])
def test_only_the_rows_that_are_needed_are_read(height, most):
    class Watched(np.ndarray):
        read: ClassVar = set()

        def __getitem__(self, key):
            rows = np.arange(len(self))[key[0] if isinstance(key, tuple) else key]
            self.read.update(np.atleast_1d(rows).tolist())
            return np.asarray(self)[key]

    raw = raw_of(scene(height, 32).view(Watched))
    frame = pack.frame(raw, contract())
    Watched.read.clear()
    pack.planes(raw, frame, contract(), ratio=1.0, rows=(16, 24))
    assert Watched.read == set(range(32, 32 + most))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["bayer", "x-trans"]),
    st.floats(1, 300),
    st.integers(0, 60000),
    st.lists(st.floats(0, 4096), min_size=4, max_size=4),
)
def test_a_value_is_what_the_contract_says(cfa, ratio, white_above, levels):
    pattern = BAYER["GBRG"] if cfa == "bayer" else rolled(X_TRANS, 2, 1)
    indices = ((0, 1), (2, 3)) if cfa == "bayer" else pattern  # LibRaw knows four levels, of X-Trans three
    black = tuple(tuple(levels[index] for index in row) for row in indices)
    white = max(map(max, black)) + 1 + white_above
    mosaic = np.random.default_rng(2).integers(0, 65536, (24, 36)).astype(np.uint16)
    raw = raw_of(mosaic, pattern=pattern, black=black, white=white)
    asked = contract(cfa)
    frame, planes = whole(raw, asked, ratio=ratio)
    tiled = np.tile(np.array(black), (24 // len(black), 36 // len(black)))
    level = np.clip((mosaic - tiled) / (white - tiled) * ratio, 0, 1)
    rows, columns = pack._sources(raw, frame, asked.pack)
    level, side = level[rows][:, columns], len(pattern) // asked.pack
    for plane, name in zip(planes, asked.planes, strict=True):
        for number, (y, x) in enumerate(pack.GRIDS[cfa][name]):
            wanted = level[y :: len(pattern), x :: len(pattern)]
            found = plane[number // side :: side, number % side :: side]
            # The black level is rounded to float32 as well, and the ratio enlarges that.
            np.testing.assert_allclose(found, wanted, atol=ROUNDING + 3e-4 * ratio / (white - tiled.max()))
    assert planes.min() >= 0
    assert planes.max() <= 1


def test_black_is_taken_site_by_site():
    black = ((100.0, 200.0), (300.0, 400.0))
    mosaic = np.tile(np.array(black, np.uint16), (8, 8))
    for pattern in BAYER.values():
        _, planes = whole(raw_of(mosaic, pattern=pattern, black=black), contract())
        assert (planes == 0).all()
    _, planes = whole(raw_of(mosaic, black=((400.0, 300.0), (200.0, 100.0))), contract())
    assert planes.max() > 0  # the check can fail


def test_planes_come_in_the_order_of_the_contract():
    raw = raw_of(scene(16, 16))
    _, straight = whole(raw, contract())
    _, other = whole(raw, contract(planes=("B", "G2", "R", "G1")))
    assert np.array_equal(other, straight[[2, 3, 0, 1]])


def test_a_buffer_is_filled_and_a_wrong_one_refused():
    raw, asked = raw_of(scene(32, 32)), contract()
    frame, planes = whole(raw, asked)
    out = np.full_like(planes, np.nan)
    assert pack.planes(raw, frame, asked, ratio=1.0, out=out) is out
    assert np.array_equal(out, planes)
    for wrong in (out[:, 1:], out.astype(np.float64)):
        with pytest.raises(ValueError, match="out is"):
            pack.planes(raw, frame, asked, ratio=1.0, out=wrong)
    with pytest.raises(ValueError, match="rows"):
        pack.planes(raw, frame, asked, ratio=1.0, rows=(0, frame.height + 1))
    with pytest.raises(ValueError, match="columns"):
        pack.planes(raw, frame, asked, ratio=1.0, columns=(0, frame.width + 1))


@pytest.mark.parametrize(("row", "column"), list(np.ndindex(6, 6)))
def test_every_shift_of_x_trans_finds_the_nearer_of_its_two_phases(row, column):
    raw = raw_of(scene(30, 30), pattern=rolled(X_TRANS, row, column))
    frame = pack.frame(raw, contract("x-trans"))
    assert rolled(raw.pattern, *frame.phase) == pack.TILES["x-trans"]
    assert sum(frame.phase) <= sum((place + 3) % 6 for place in frame.phase)
    assert (frame.top, frame.left) == frame.phase


def test_the_sensor_lies_where_the_frame_says():
    raw = raw_of(scene(31, 33, pattern=BAYER["BGGR"]), pattern=BAYER["BGGR"])
    frame = pack.frame(raw, contract())
    assert (frame.phase, frame.top, frame.left) == ((1, 1), 1, 1)
    assert (frame.height, frame.width) == (16, 20)
    half = pack.frame(raw, contract(scale=Fraction(1)))
    assert (half.top, half.left) == (0, 0)


def test_a_wide_frame_of_a_few_rows_is_packed():
    frame, planes = whole(raw_of(scene(4, 64000)), contract())
    assert planes.shape == (4, 4, 32000) == (4, frame.height, frame.width)


def test_a_mosaic_that_the_model_was_not_made_for_is_refused():
    bayer, fuji = raw_of(scene(24, 24)), raw_of(scene(24, 24), pattern=X_TRANS)
    with pytest.raises(UnsupportedRaw, match="X-Trans mosaic: with this model Bayer mosaics, and others by"):
        pack.frame(fuji, contract(), path="a.raf")
    with pytest.raises(UnsupportedRaw, match="'a.dng' is a Bayer mosaic"):
        pack.frame(bayer, contract("x-trans"), path="a.dng")
    with pytest.raises(UnsupportedRaw, match="no RAW files"):
        pack.frame(bayer, contract("none"))
    other = X_TRANS[:4] + X_TRANS[:1:-1][2:] + X_TRANS[:1]
    with pytest.raises(UnsupportedRaw, match="no shifted x-trans cell"):
        pack.frame(replace(fuji, pattern=other), contract("x-trans"))
    with pytest.raises(BadContract, match="Y"):
        pack.frame(bayer, contract(planes=("R", "G1", "B", "Y")))
