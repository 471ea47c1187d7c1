import dataclasses

import numpy as np
import pytest
import rawpy
from raw_files import X_TRANS

from runtime import decode, dng, exif
from runtime.develop import Look, develop, linear, rotated
from runtime.icc import SRGB2XYZ
from runtime.raw import About, Raw

LEAST = 22  # LibRaw takes nothing smaller for a RAW file
XYZ2CAM = np.array([[0.5838, -0.1430, -0.0246], [-0.3497, 1.1477, 0.2297], [-0.0748, 0.1885, 0.5778]])
RGB2CAM = XYZ2CAM @ SRGB2XYZ
CAM2RGB = np.linalg.inv(RGB2CAM / RGB2CAM.sum(axis=1, keepdims=True))
RATIONAL = 1e-5  # the matrix is written as fractions and read back in float32
WB = (2.1, 1.0, 1.7)
RAW = Raw(
    mosaic=np.zeros((2, 2), np.uint16),
    cfa="bayer",
    pattern=((0, 1), (1, 2)),
    black=((0.0, 0.0), (0.0, 0.0)),
    white=1.0,
    wb=WB,
    wb_known=True,
    cam2rgb=tuple(map(tuple, CAM2RGB.tolist())),
    xyz2cam=tuple(map(tuple, XYZ2CAM.tolist())),
    about=About(make="SONY", model="ILCE-7SM2", iso=800, exposure=0.1),
)
LOOK = Look(output="camera-linear", gains=WB, cam2rgb=RAW.cam2rgb, cfa="bayer", planes=("R", "G1", "B", "G2"), pack=2)
# Levels of light. Red is worst: half a level of the camera's becomes one by its gain, LibRaw cuts off another, and the
# matrix makes 5 of what the three colours are off by; LibRaw cuts off once more, its sRGB has another fifth digit,
# and a level of a picture is 2.3 of light at the bright end.
NEAR = 5 + 1 + 1 + 2.3


@pytest.fixture
def y():
    """A network's answer, in the camera's colours; the first rows are grey in white light, the last saturate."""
    made = np.random.default_rng(0).uniform(0, 0.6, (3, 40, 36)).astype(np.float32)
    made[:, :4] = np.reshape([0.5 / gain for gain in WB], (3, 1, 1))
    made[:, -4:] = 1
    return made


def picture(y, fill):
    pixels, view = rotated(y.shape[1:], 1)
    fill(y, LOOK, view)
    return pixels


def light(picture):
    """What a picture in sRGB shows, in levels of light."""
    value = picture / 65535
    return 65535 * np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def rendered(path):
    """The stored pixels, and the light that LibRaw makes of them."""
    with rawpy.imread(str(path)) as raw:
        stored = raw.raw_image_visible[..., :3].copy()
        shown = raw.postprocess(
            gamma=(1, 1), no_auto_bright=True, use_camera_wb=True, output_bps=16, adjust_maximum_thr=0.0
        )
    return stored, shown


def test_camera_colours_are_read_back_to_the_bit_and_rendered_as_develop_does(y, tmp_path):
    pixels = picture(y, linear)
    dng.save(pixels, tmp_path / "a.dng", raw=RAW, linear="camera")
    stored, shown = rendered(tmp_path / "a.dng")
    assert np.array_equal(stored, pixels)
    assert np.abs(shown - light(picture(y, develop))).max() <= NEAR
    assert np.abs(shown - pixels.astype(float)).max() > 200 * NEAR
    assert np.ptp(shown[0, 0].astype(int)) <= 2  # white light is grey
    assert shown[-1, -1].min() >= 65535 - NEAR  # and what saturates is white


def test_a_picture_in_srgb_is_stored_as_light_and_rendered_as_it_was(y, tmp_path):
    pixels = picture(y, develop)
    dng.save(pixels, tmp_path / "a.dng", raw=RAW, linear="srgb")
    stored, shown = rendered(tmp_path / "a.dng")
    assert np.abs(shown - light(pixels)).max() <= NEAR
    assert np.array_equal(stored, np.floor(light(pixels) + 0.5))
    assert not np.array_equal(stored, pixels)


def test_where_nobody_knows_the_matrix_it_is_that_of_the_picture(y, tmp_path):
    dng.save(picture(y, linear), tmp_path / "a.dng", raw=dataclasses.replace(RAW, xyz2cam=None), linear="camera")
    _, shown = rendered(tmp_path / "a.dng")
    assert np.abs(shown - light(picture(y, develop))).max() <= NEAR


def test_the_file_says_what_it_is(y, tmp_path):
    dng.save(picture(y, linear), tmp_path / "a.dng", raw=RAW, linear="camera")
    with rawpy.imread(str(tmp_path / "a.dng")) as raw:
        assert raw.raw_type == rawpy.RawType.Stack
        assert raw.raw_pattern is None
        assert raw.camera_whitebalance[:3] == pytest.approx(WB, rel=RATIONAL)
        assert (raw.black_level_per_channel, raw.white_level) == ([0, 0, 0, 0], 65535)
        assert np.allclose(raw.rgb_xyz_matrix[:3], XYZ2CAM, atol=RATIONAL)
        assert raw.sizes.flip == 0
    assert exif.read(tmp_path / "a.dng") == RAW.about


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_an_upright_picture_is_not_turned_again(orientation, y, tmp_path):
    pixels, view = rotated(y.shape[1:], orientation)
    linear(y, LOOK, view)
    about = dataclasses.replace(RAW.about, orientation=orientation)
    dng.save(pixels, tmp_path / "a.dng", raw=dataclasses.replace(RAW, about=about), linear="camera")
    stored, shown = rendered(tmp_path / "a.dng")
    assert np.array_equal(stored, pixels)
    assert shown.shape == pixels.shape


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_mosaic_lies_as_the_sensor_does_and_the_file_says_how_it_was_held(orientation, tmp_path):
    mosaic = np.random.default_rng(0).integers(0, 2**14, (24, 36)).astype(np.uint16)
    about = dataclasses.replace(RAW.about, orientation=orientation)
    raw = dataclasses.replace(RAW, mosaic=mosaic, white=16383.0, about=about)
    dng.save_mosaic(raw, tmp_path / "a.dng")
    with rawpy.imread(str(tmp_path / "a.dng")) as opened:
        np.testing.assert_array_equal(opened.raw_image_visible, mosaic)
    assert exif.read(tmp_path / "a.dng") == about


def test_the_36_levels_of_x_trans_are_read_back(tmp_path):
    black = tuple(tuple(1000.25 + 6 * y + x for x in range(6)) for y in range(6))
    mosaic = np.full((24, 36), 2000, np.uint16)
    raw = dataclasses.replace(RAW, mosaic=mosaic, cfa="x-trans", pattern=X_TRANS, black=black, white=16383.0)
    dng.save_mosaic(raw, tmp_path / "a.dng")
    again = decode.read(tmp_path / "a.dng")
    assert (again.cfa, again.pattern, again.black) == ("x-trans", X_TRANS, black)


@pytest.mark.parametrize(("height", "width"), [(LEAST, LEAST), (23, 37), (64, 22)])
def test_sizes_may_be_odd(height, width, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 65536, (height, width, 3)).astype(np.uint16)
    dng.save(pixels, tmp_path / "a.dng", raw=RAW, linear="camera")
    assert np.array_equal(rendered(tmp_path / "a.dng")[0], pixels)


def test_below_22_pixels_libraw_takes_it_for_a_thumbnail(tmp_path):
    dng.save(np.zeros((LEAST - 1, 40, 3), np.uint16), tmp_path / "a.dng", raw=RAW, linear="camera")
    with pytest.raises(rawpy.LibRawFileUnsupportedError):
        rawpy.imread(str(tmp_path / "a.dng"))


def test_a_camera_without_a_name_has_one(y, tmp_path):
    dng.save(picture(y, linear), tmp_path / "a.dng", raw=dataclasses.replace(RAW, about=About()), linear="camera")
    assert b"unknown camera\0" in (tmp_path / "a.dng").read_bytes()
    assert np.array_equal(rendered(tmp_path / "a.dng")[0], picture(y, linear))


@pytest.mark.parametrize("shape", [(30, 30), (30, 30, 4)])
def test_what_has_no_three_colours_is_a_callers_bug(shape, tmp_path):
    with pytest.raises(ValueError, match="height, width, 3"):
        dng.save(np.zeros(shape, np.uint16), tmp_path / "a.dng", raw=RAW, linear="srgb")
