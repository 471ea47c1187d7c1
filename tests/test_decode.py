import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import raw_files
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from raw_files import ABOUT, BAYER, MATRIX, QUAD, X_TRANS, arw, dng, linear, monochrome, raf, scene

from runtime import sensor
from runtime.decode import Decoder
from runtime.errors import FileError, NoPicture, UnreadableFile, UnsupportedRaw
from runtime.raw import Raw

DATA = Path(os.environ.get("QK_DATA", Path(__file__).parent.parent / ".." / "shared" / "data"))
# DNG keeps the matrix in ten-thousandths and LibRaw in float32.
MATRIX_STEP = 1e-4
INVERTED = 1e-3  # three steps, one a column, over the least singular value, 0.41, are 7e-4


@pytest.fixture(scope="module")
def decoder():
    with Decoder() as one:
        yield one


# What is read.


@pytest.mark.parametrize("name", BAYER)
def test_every_bayer_order_is_read_bit_for_bit_with_its_colours(decoder, tmp_path, name):
    mosaic = scene(41, 63, pattern=BAYER[name])
    dng(tmp_path / "a.dng", mosaic, pattern=BAYER[name])
    raw = decoder.read(tmp_path / "a.dng")
    assert np.array_equal(raw.mosaic, mosaic)
    assert (raw.cfa, raw.pattern, raw.about) == ("bayer", BAYER[name], ABOUT)
    assert (raw.black, raw.white) == (((512.0, 512.0), (512.0, 512.0)), 16383.0)
    assert (np.float32(raw.wb).tolist(), raw.wb_known) == (np.float32([2.0, 1.0, 1.6]).tolist(), True)


def test_sony_and_fuji_files_are_read(decoder, tmp_path):
    mosaic = scene(40, 60)
    arw(tmp_path / "a.arw", mosaic)
    raw = decoder.read(tmp_path / "a.arw")
    assert np.array_equal(raw.mosaic, mosaic)
    assert (raw.pattern, raw.black[1][1], raw.about) == (BAYER["RGGB"], 512.0, ABOUT)
    assert raw.wb == (2400 / 1024, 1.0, 1800 / 1024)
    mosaic = scene(60, 66, pattern=X_TRANS, black=1022)
    raf(tmp_path / "a.raf", mosaic)
    raw = decoder.read(tmp_path / "a.raf")
    assert np.array_equal(raw.mosaic, mosaic)
    assert (raw.cfa, raw.pattern) == ("x-trans", X_TRANS)
    assert raw.wb == (2.0, 1.0, 483 / 302)
    assert {level for row in raw.black for level in row} == {1022.0}


@pytest.mark.parametrize("name", BAYER)
def test_black_comes_site_by_site_whatever_the_order(decoder, tmp_path, name):
    dng(tmp_path / "a.dng", scene(40, 60, pattern=BAYER[name]), pattern=BAYER[name], black=(400, 410, 420, 430))
    assert decoder.read(tmp_path / "a.dng").black == ((400.0, 410.0), (420.0, 430.0))


@pytest.mark.parametrize("pattern", [BAYER["RGGB"], BAYER["GBRG"], X_TRANS], ids=["rggb", "gbrg", "x-trans"])
@pytest.mark.parametrize("origin", [(0, 0), (1, 0), (0, 1), (3, 2), (5, 5)])
def test_wherever_the_visible_area_begins_each_pixel_has_its_colour(decoder, tmp_path, pattern, origin):
    size = len(pattern)
    shifted = tuple(map(tuple, np.roll(np.array(pattern), origin, axis=(0, 1)).tolist()))  # the tag counts from there
    mosaic = scene(60, 66, pattern=shifted, light=(0.25, 0.5, 0.75))
    dng(tmp_path / "a.dng", mosaic, pattern=pattern, area=(*origin, 58, 64))
    raw = decoder.read(tmp_path / "a.dng")
    y, x = np.indices(raw.mosaic.shape)
    colours = np.array(raw.pattern)[y % size, x % size]
    assert np.array_equal(np.round((raw.mosaic - 512.0) / 15871 * 4) - 1, colours)
    assert raw.mosaic.shape[0] in (58 - origin[0], 57 - origin[0])


def test_a_file_without_white_balance_gets_daylights_and_says_so(decoder, tmp_path):
    dng(tmp_path / "a.dng", scene(40, 60), neutral=None)
    raw = decoder.read(tmp_path / "a.dng")
    assert not raw.wb_known
    assert raw.wb[1] == 1.0
    assert raw.wb != (1.0, 1.0, 1.0)


def test_the_matrix_is_the_cameras_inverted_so_that_white_stays_white(decoder, tmp_path):
    dng(tmp_path / "a.dng", scene(40, 60))
    raw = decoder.read(tmp_path / "a.dng")
    np.testing.assert_allclose(raw.xyz2cam, MATRIX, atol=MATRIX_STEP)
    np.testing.assert_allclose(np.sum(raw.cam2rgb, axis=1), 1)
    camera = np.array(MATRIX) @ sensor.SRGB2XYZ
    for colour in np.eye(3):  # red, green and blue as the camera sees them, white-balanced, become themselves
        balanced = camera @ colour / camera.sum(axis=1)
        np.testing.assert_allclose(np.array(raw.cam2rgb) @ balanced, colour, atol=INVERTED)


@pytest.mark.parametrize(("exposure", "iso"), [(None, None), (0.0, None), (0.0, 0)])
def test_a_file_with_zero_or_no_exposure_is_read(decoder, tmp_path, exposure, iso):
    dng(tmp_path / "a.dng", scene(40, 60), about=replace(ABOUT, exposure=exposure, iso=iso))
    about = decoder.read(tmp_path / "a.dng").about
    assert (about.exposure, about.iso) == (None, None)


def test_a_saturated_frame_is_a_frame(decoder, tmp_path):
    dng(tmp_path / "a.dng", np.full((40, 60), 16383, np.uint16))
    assert decoder.read(tmp_path / "a.dng").mosaic.min() == 16383


@pytest.mark.parametrize("shape", [(22, 22), (23, 25), (22, 64000), (301, 203)])
def test_odd_small_and_wide_frames_are_read(decoder, tmp_path, shape):
    mosaic = scene(*shape)
    dng(tmp_path / "a.dng", mosaic)
    assert np.array_equal(decoder.read(tmp_path / "a.dng").mosaic, mosaic)


@pytest.mark.parametrize(
    "name", [b"a\nb.dng", b"-rf.dng", b"--", b"sub/../a.dng", b"\xff\xfe.dng", b"\xc3\xa9 \xf0\x9f\x93\xb7"]
)
def test_a_file_may_have_any_name(decoder, tmp_path, monkeypatch, name):
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)  # after the decoder's child has started elsewhere
    dng(tmp_path / "some.dng", scene(24, 36))
    Path("some.dng").rename(os.fsdecode(name))
    path = os.fsdecode(name)
    assert decoder.read(path).mosaic.shape == (24, 36)
    os.truncate(name, 400)
    with pytest.raises(UnreadableFile) as caught:
        decoder.read(path)
    assert "\n" not in str(caught.value)
    assert caught.value.path == Path(path)


# What is refused.


def test_missing_empty_folders_and_pipes_are_refused_at_once(tmp_path):
    (tmp_path / "empty.dng").touch()
    os.mkfifo(tmp_path / "pipe.dng")
    whys = {
        "missing.dng": "does not exist",
        "empty.dng": "is empty",
        ".": "is a folder",
        "pipe.dng": "no ordinary file",
    }
    for name, why in {**whys, "a\0b": "cannot be opened"}.items():
        with pytest.raises(UnreadableFile, match=why):
            Decoder().read(tmp_path / name)


def test_what_is_no_raw_file_is_refused(decoder, tmp_path):
    (tmp_path / "a.txt").write_text("a text\n" * 100)
    (tmp_path / "noise.dng").write_bytes(np.random.default_rng(0).bytes(5000))
    Image.new("RGB", (64, 64)).save(tmp_path / "a.tiff")
    for name in ("a.txt", "noise.dng", "a.tiff"):
        with pytest.raises(UnreadableFile, match="is no RAW file"):
            decoder.read(tmp_path / name)


@pytest.mark.parametrize(("end", "kind"), [("jpg", "a JPEG"), ("png", "a PNG"), ("gif", "a GIF"), ("webp", "a WebP")])
def test_a_picture_developed_already_is_called_one(decoder, tmp_path, end, kind):
    Image.new("RGB", (64, 64)).save(tmp_path / f"a.{end}")
    with pytest.raises(UnreadableFile, match=f"is {kind}, a picture developed already: name the RAW file"):
        decoder.read(tmp_path / f"a.{end}")


@pytest.mark.parametrize("write", [dng, arw, raf])
def test_a_file_cut_at_any_tenth_is_refused(decoder, tmp_path, write):
    pattern = X_TRANS if write is raf else BAYER["RGGB"]
    write(tmp_path / "whole", scene(240, 318, pattern=pattern, black=1022))
    data = (tmp_path / "whole").read_bytes()
    assert decoder.read(tmp_path / "whole").mosaic.shape == (240, 318)
    for tenth in range(10):
        (tmp_path / "cut").write_bytes(data[: len(data) * tenth // 10])
        with pytest.raises(UnreadableFile):
            decoder.read(tmp_path / "cut")


def test_other_kinds_are_refused_by_name(decoder, tmp_path):
    picture = np.full((40, 60, 3), 3000, np.uint16)
    linear(tmp_path / "linear.dng", picture)
    monochrome(tmp_path / "mono.dng", picture[..., 0])
    dng(tmp_path / "quad.dng", scene(40, 60), pattern=QUAD)
    dng(tmp_path / "cmyg.dng", scene(40, 60), pattern=((0, 1), (2, 3)), planes="CMYG")
    dng(tmp_path / "rows.dng", scene(40, 60), pattern=((0, 0), (1, 1)))
    dng(tmp_path / "float.dng", scene(40, 60).astype(np.float32))
    (tmp_path / "a.x3f").write_bytes(b"FOVb" + bytes(1000))
    whys = {
        "linear.dng": "is a linear DNG",
        "mono.dng": "is a monochrome RAW",
        "quad.dng": "is a Quad-Bayer mosaic",
        "rows.dng": "neither Bayer nor X-Trans",
        "float.dng": "is a floating-point RAW",
        "a.x3f": "is a Foveon RAW",
        "cmyg.dng": "a mosaic of the colours",
    }
    for name, why in whys.items():
        with pytest.raises(UnsupportedRaw, match=f"{why}.*: Bayer and X-Trans mosaics can be enhanced"):
            decoder.read(tmp_path / name)


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (21, 40), (40, 5)])
def test_a_frame_too_small_for_a_picture_is_none(decoder, tmp_path, shape):
    dng(tmp_path / "a.dng", scene(*shape))
    with pytest.raises(NoPicture, match=f"has {shape[1]} x {shape[0]} pixels"):
        decoder.read(tmp_path / "a.dng")


def test_a_black_frame_is_no_picture(decoder, tmp_path):
    for level in (0, 300, 512):
        dng(tmp_path / "a.dng", np.full((40, 60), level, np.uint16))
        with pytest.raises(NoPicture, match="black all over"):
            decoder.read(tmp_path / "a.dng")
    black = np.tile(np.array([[400, 410], [420, 430]], np.uint16), (20, 30))
    dng(tmp_path / "a.dng", black, black=(400, 410, 420, 430))
    with pytest.raises(NoPicture, match="black all over"):
        decoder.read(tmp_path / "a.dng")
    black[11, 10] += 1  # one electron of light
    dng(tmp_path / "a.dng", black, black=(400, 410, 420, 430))
    assert decoder.read(tmp_path / "a.dng").mosaic[11, 10] == 421


def test_a_file_whose_white_is_black_is_refused(decoder, tmp_path):
    dng(tmp_path / "a.dng", scene(40, 60, black=3000, white=4000), black=(3000,), white=2000)
    with pytest.raises(NoPicture, match="a white level of 2000 and a black level of 3000"):
        decoder.read(tmp_path / "a.dng")


@pytest.mark.parametrize("size", [(1_000_000, 1_000_000), (30, 65_000), (60_000, 60_000), (20_000, 20_000)])
def test_a_header_that_promises_too_much_is_refused_quickly(decoder, tmp_path, size):
    dng(tmp_path / "a.dng", scene(40, 60))
    raw_files.retell(tmp_path / "a.dng", height=size[0], width=size[1])
    begun = time.monotonic()
    with pytest.raises(UnreadableFile) as caught:
        decoder.read(tmp_path / "a.dng")
    assert time.monotonic() - begun < 2
    if max(size) > 64000:
        assert f"{size[1]} x {size[0]} pixels" in str(caught.value)


# Files of real cameras.


def real(folder):
    if not (DATA / folder).is_dir():
        pytest.skip(f"no {folder} in {DATA}: set QK_DATA")
    return sorted((DATA / folder).iterdir())


def test_every_real_bayer_file_is_read_and_the_others_are_refused_by_name(decoder):
    for path in real("raw"):
        if "eos_6d" in path.name:
            with pytest.raises(UnsupportedRaw, match="linear DNG"):
                decoder.read(path)
            continue
        raw = decoder.read(path)
        assert (raw.pattern, raw.wb_known) == (BAYER["RGGB"], True)
        assert (raw.black[0][0], raw.white) == ((2056, 15000) if path.suffix == ".dng" else (32, 1023))
        assert raw.xyz2cam is not None
    for path in real("raw_bad"):
        with pytest.raises(UnreadableFile):
            decoder.read(path)


def test_real_files_cut_at_any_tenth_are_refused(decoder, tmp_path):
    for path in real("raw"):
        if path.name in ("dc_CRW_0101.CRW", "tinydng_colorchart.dng"):
            data = path.read_bytes()
            for tenth in range(10):
                cut = tmp_path / f"cut{path.suffix}"
                cut.write_bytes(data[: len(data) * tenth // 10])
                with pytest.raises(UnreadableFile):
                    decoder.read(cut)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_file_is_a_frame_or_an_error_in_words(decoder, tmp_path, data):
    whole = tmp_path / "whole.dng"
    if not whole.exists():
        dng(whole, scene(24, 36))
    damaged = bytearray(whole.read_bytes())
    places = [*range(400), *range(len(damaged) - 400, len(damaged))]
    for at, value in data.draw(st.lists(st.tuples(st.sampled_from(places), st.integers(0, 255)), max_size=6)):
        damaged[at] = value
    (tmp_path / "a.dng").write_bytes(damaged)
    try:
        assert isinstance(decoder.read(tmp_path / "a.dng"), Raw)
    except FileError as error:
        assert "\n" not in str(error)
