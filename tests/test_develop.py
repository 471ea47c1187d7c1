import dataclasses
from dataclasses import replace

import numpy as np
import pytest
from contracts import EMPTY, UNET
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from runtime import develop as module
from runtime import pack
from runtime.develop import amplified, develop, linear, look, rotated

STRAIGHT = 1e-6  # of a value: a few float32 roundings along a straight line between equal samples
CONTRACT = UNET
CAM2RGB = ((1.7, -0.6, -0.1), (-0.2, 1.5, -0.3), (0.05, -0.55, 1.5))
RAW = replace(EMPTY, wb=(2.1, 1.0, 1.6), cam2rgb=CAM2RGB)
CAMERA = look(RAW, CONTRACT)
SRGB = dataclasses.replace(CAMERA, output="srgb")
PLANES9 = ("R", "G", "B", "R2", "B2", "G1", "G2", "G3", "G4")
# Red at the top left; where X-Trans changes from one packed pixel to the next, the middle.
PLACES = {
    "bayer": {"R": (0, 0), "G1": (0, 1), "B": (1, 1), "G2": (1, 0)},
    "x-trans": {
        **{"R": (0, 0.5), "G": (0, 2), "B": (0, 0.5), "R2": (1.5, 2), "B2": (1.5, 2)},
        **{"G1": (1, 0), "G2": (1, 1), "G3": (2, 0), "G4": (2, 1)},
    },
}
ONE = 1  # the table is of 65536 roots: half a level off at most, and rounding may fall either way


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def developed(y, look=SRGB, **options):
    out = np.empty((*y.shape[1:], len(y)), np.uint16)
    with np.errstate(all="raise", under="ignore"):
        develop(y, look, out, **options)
    return out


def curve(light):
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)


def by_the_book(y, *, gains, cam2rgb):
    """The same in double precision, step by step."""
    light = np.clip(y.astype(np.float64) * np.reshape(gains, (3, 1, 1)), 0, 1)
    shown = curve(np.clip(np.tensordot(np.array(cam2rgb), light, 1), 0, 1))
    return np.floor(shown * 65535 + 0.5).astype(int).transpose(1, 2, 0)


def test_what_is_srgb_is_cut_and_rounded(rng):
    y = rng.uniform(-0.2, 1.2, (3, 40, 50)).astype(np.float32)
    wanted = np.floor(np.clip(y, 0, 1) * np.float32(65535) + np.float32(0.5)).transpose(1, 2, 0)
    assert np.array_equal(developed(y), wanted)


def test_every_level_of_a_file_in_16_bits_can_be_reached():
    y = (np.arange(65536, dtype=np.float32) / 65535).reshape(1, 256, 256)
    assert np.array_equal(developed(y).ravel(), np.arange(65536))


def test_camera_colours_become_a_displays_as_the_formulas_say(rng):
    y = rng.uniform(-0.2, 1.2, (3, 300, 300)).astype(np.float32)
    y[:, :100] *= 0.01  # where the curve is steep
    y[:, 100:200] *= 0.1
    wanted = by_the_book(y, gains=RAW.wb, cam2rgb=CAM2RGB)
    assert np.abs(developed(y, CAMERA) - wanted).max() <= ONE
    assert np.abs(developed(y, SRGB) - wanted).max() > 1000


def test_the_curve_is_the_formula_to_one_level_at_every_light():
    light = np.concatenate([np.linspace(0, 0.01, 500_000), np.linspace(0, 1, 500_000)])
    y = np.repeat(light.astype(np.float32).reshape(1, 1000, 1000), 3, axis=0)
    plain = dataclasses.replace(CAMERA, gains=(1.0, 1.0, 1.0), cam2rgb=((1, 0, 0), (0, 1, 0), (0, 0, 1)))
    wanted = np.floor(curve(y[0].astype(np.float64)) * 65535 + 0.5)
    assert np.abs(developed(y, plain)[..., 0] - wanted).max() <= ONE
    coarse = np.round(light * 65535) / 65535  # a table of light itself, as long, would not do
    assert np.abs(np.floor(curve(coarse) * 65535 + 0.5) - wanted.ravel()).max() > 5 * ONE


@pytest.mark.parametrize("look", [SRGB, CAMERA], ids=["srgb", "camera-linear"])
def test_no_number_is_black_and_none_is_too_large(look):
    y = np.full((3, 3, 2), [[[np.nan, -np.inf], [np.inf, 3e38], [-3e38, 1e-45]]], np.float32)
    out = developed(y, look)
    assert out[..., 1].tolist() == [[0, 0], [65535, 65535], [0, 0]]


@pytest.mark.parametrize("wb", [(2.1, 1.0, 1.6), (0.7, 1.0, 3.0), (1.0, 1.0, 1.0)])
def test_what_saturates_is_white_and_what_is_grey_stays_grey(wb):
    this = look(dataclasses.replace(RAW, wb=wb), CONTRACT)
    assert developed(np.ones((3, 1, 1), np.float32), this).ravel().tolist() == [65535] * 3
    grey = (0.2 / np.array(wb)).astype(np.float32).reshape(3, 1, 1)
    assert np.ptp(developed(grey, this).astype(int)) <= ONE
    as_it_is = dataclasses.replace(this, gains=wb)
    if min(wb) < 1:
        assert np.ptp(developed(np.ones((3, 1, 1), np.float32), as_it_is).astype(int)) > 1000


@pytest.mark.parametrize("fill", [develop, linear])
def test_a_root_is_developed_as_its_light(fill, rng):
    root = rng.uniform(-0.3, 1.2, (3, 50, 40)).astype(np.float32)
    root[:, 0, :3] = [np.nan, np.inf, -np.inf]
    made = [np.empty((50, 40, 3), np.uint16) for _ in range(2)]
    fill(root * np.abs(root), CAMERA, made[0])
    fill(root, dataclasses.replace(CAMERA, rooted=True), made[1])
    assert np.abs(made[0].astype(int) - made[1]).max() <= ONE
    fill(root, CAMERA, made[1])
    assert np.abs(made[0].astype(int) - made[1]).max() > 1000


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    cut=st.integers(0, 40),
    block=st.sampled_from([1, 50, 2**16]),
    threads=st.integers(1, 3),
    camera=st.booleans(),
)
def test_strips_on_any_threads_are_the_whole(height, width, cut, block, threads, camera):
    y = np.random.default_rng(height * 41 + width).uniform(-0.1, 1.1, (3, height, width)).astype(np.float32)
    this, cut = CAMERA if camera else SRGB, min(cut, height)
    whole = developed(y, this)
    picture, view = rotated((height, width), 1 + (height + width) % 8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        develop(y[:, :cut], this, view[:cut], threads=threads)
        develop(y[:, cut:], this, view[cut:], threads=threads)
    assert np.array_equal(view, whole)
    assert picture.size == whole.size


@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_is_written_through_the_view_stands_upright(orientation, rng):
    sensor = rng.integers(0, 256, (5, 7, 3)).astype(np.uint16)
    picture, view = rotated((5, 7), orientation)
    view[:2], view[2:] = sensor[:2], sensor[2:]
    turned = Image.fromarray(sensor.astype(np.uint8))
    turned.getexif()[274] = orientation
    assert np.array_equal(picture, np.asarray(ImageOps.exif_transpose(turned)))
    assert picture.flags.c_contiguous
    explicit = {
        1: sensor,
        2: np.fliplr(sensor),
        3: np.rot90(sensor, 2),
        4: np.flipud(sensor),
        5: sensor.swapaxes(0, 1),
        6: np.rot90(sensor, -1),
        7: np.rot90(sensor, 2).swapaxes(0, 1),
        8: np.rot90(sensor, 1),
    }
    assert [key for key, value in explicit.items() if np.array_equal(picture, value)] == [orientation]


@pytest.mark.parametrize("orientation", [0, 9, -1])
def test_there_are_eight_orientations(orientation):
    with pytest.raises(ValueError, match="1 to 8"):
        rotated((2, 2), orientation)


@pytest.mark.parametrize(("shape", "kind"), [((3, 4, 3), np.uint16), ((4, 3, 3), np.uint16), ((3, 5, 3), np.uint8)])
def test_a_picture_of_another_size_or_type_is_a_callers_bug(shape, kind):
    with pytest.raises(ValueError, match="developed into"):
        develop(np.zeros((3, 3, 5), np.float32), SRGB, np.zeros(shape, kind))


def test_for_a_dng_the_cameras_colours_stay_as_they_are(rng):
    y = rng.random((3, 9, 8)).astype(np.float32)
    out = np.empty((9, 8, 3), np.uint16)
    linear(y, CAMERA, out)
    assert np.array_equal(out, developed(y, SRGB))
    assert not np.array_equal(out, developed(y, CAMERA))


def test_one_plane_is_one_channel():
    assert developed(np.array([[[0.0, 0.5, 1.0]]], np.float32)).tolist() == [[[0], [32768], [65535]]]


def looking(cfa):
    bayer = cfa == "bayer"
    return dataclasses.replace(CAMERA, cfa=cfa, planes=CONTRACT.planes if bayer else PLANES9, pack=2 if bayer else 3)


@pytest.mark.parametrize("cfa", ["bayer", "x-trans"])
def test_planes_of_one_colour_are_a_picture_of_one_colour(cfa):
    this = looking(cfa)
    level = {"R": 0.1, "G": 0.2, "B": 0.3}
    planes = np.stack([np.full((4, 5), level[name[0]], np.float32) for name in this.planes])
    plain = amplified(planes, this)
    assert plain.shape == (3, 4 * this.pack, 5 * this.pack)
    assert plain.dtype == np.float32
    assert np.allclose(plain, np.reshape([0.1, 0.2, 0.3], (3, 1, 1)), rtol=STRAIGHT)


@pytest.mark.parametrize("cfa", ["bayer", "x-trans"])
def test_a_slope_comes_out_straight_and_where_it_was(cfa):
    this = looking(cfa)
    pack, places = this.pack, PLACES[cfa]
    cells = np.arange(6)
    down, right = np.meshgrid(np.arange(6 * pack), np.arange(6 * pack), indexing="ij")
    planes = np.stack(
        [np.add.outer(places[n][0] + pack * cells, 2 * (places[n][1] + pack * cells)) / 100 for n in this.planes]
    )
    plain = amplified(planes.astype(np.float32), this)
    inside = (slice(None), slice(pack, -pack), slice(pack, -pack))
    rounding = 1e-6  # a few of float32's
    assert np.abs(plain - (down + 2 * right) / 100)[inside].max() < rounding
    mirrored = amplified(planes[:, ::-1].astype(np.float32), this)
    assert np.abs(mirrored - (down + 2 * right) / 100)[inside].max() > 0.01


@pytest.mark.parametrize("pattern", [((0, 1), (1, 2)), ((2, 1), (1, 0)), ((1, 0), (2, 1)), ((1, 2), (0, 1))])
def test_what_packing_takes_apart_is_put_together_where_it_was(pattern):
    slope = np.add.outer(20 * np.arange(38), 30 * np.arange(44)).astype(np.uint16)
    raw = dataclasses.replace(RAW, mosaic=slope, pattern=pattern, white=65535.0)
    frame = pack.frame(raw, CONTRACT)
    plain = amplified(pack.planes(raw, frame, CONTRACT, ratio=1.0), CAMERA)
    seen = 65535 * plain[:, frame.top :, frame.left :][:, :38, :44]
    a_tenth = 0.1  # of a level of the mosaic
    inside = (slice(None), slice(3, -3), slice(3, -3))
    assert np.abs(seen - slope)[inside].max() < a_tenth
    assert np.abs(seen - slope[::-1])[inside].max() > 100


@pytest.mark.parametrize("cfa", ["bayer", "x-trans"])
def test_a_strip_with_one_packed_pixel_around_is_the_frames(cfa, rng):
    this = looking(cfa)
    planes = rng.random((len(this.planes), 9, 7)).astype(np.float32)
    whole, pack = amplified(planes, this), this.pack
    assert np.array_equal(amplified(planes[:, 2:7], this)[:, pack:-pack], whole[:, 3 * pack : 6 * pack])
    assert not np.array_equal(amplified(planes[:, 2:7], this), whole[:, 2 * pack : 7 * pack])


def test_for_a_network_that_answers_in_srgb_the_frame_is_developed_too(rng):
    planes = rng.random((4, 6, 5)).astype(np.float32)
    light = amplified(planes, CAMERA)
    shown = amplified(planes, SRGB)
    assert np.array_equal(developed(shown, SRGB), developed(light, CAMERA))
    assert not np.array_equal(shown, light)
