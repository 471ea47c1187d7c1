import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
import raw_files
from PIL import Image

from quant.scenes import Leaves, Photographs, RawFiles, binned
from quant.unprocess import light
from runtime import decode
from runtime.errors import UnreadableFile, UnsupportedRaw

DATA = Path(os.environ.get("QK_DATA", Path(__file__).parent.parent / ".." / "shared" / "data"))
ROUNDING = 1e-6  # of a float32


def rng(seed=0):
    return np.random.default_rng(seed)


def photograph(path, *, height=60, width=80, seed=0):
    pixels = rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def test_leaves_are_as_large_as_they_must_be():
    assert Leaves(32)(rng(), 16).shape == (3, 32, 32)
    assert Leaves(32)(rng(), 40).shape == (3, 40, 40)


def test_a_photographs_piece_is_a_piece_of_its_light(tmp_path):
    pixels = photograph(tmp_path / "a.png")
    whole = light(pixels)
    piece = Photographs(tmp_path, side=32)(rng(), 16)
    assert piece.shape == (3, 32, 32)
    places = [(y, x) for y in range(29) for x in range(49) if np.array_equal(whole[:, y : y + 32, x : x + 32], piece)]
    assert len(places) == 1
    assert np.array_equal(Photographs(tmp_path, side=500)(rng(), 16), whole)


def test_every_photograph_is_taken_and_the_same_ones_for_the_same_numbers(tmp_path):
    for number in range(3):
        photograph(tmp_path / f"{number}.png", seed=number)
    (tmp_path / "notes.txt").write_text("no picture")
    source = Photographs(tmp_path, side=16)
    pieces = [source(rng(seed), 8) for seed in range(30)]
    assert all(np.array_equal(a, Photographs(tmp_path, side=16)(rng(seed), 8)) for seed, a in enumerate(pieces[:5]))
    assert len({piece.tobytes() for piece in pieces}) == 30
    assert len({int(rng(seed).integers(3)) for seed in range(30)}) == 3


def test_a_file_that_cannot_be_used_is_left_out_and_named(tmp_path):
    pixels = photograph(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    photograph(tmp_path / "small.jpg", height=10, width=10)
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    source = Photographs(tmp_path, side=100)
    for seed in range(9):
        assert np.array_equal(source(rng(seed), 40), light(pixels))
    assert sorted(path.name for path in source.skipped) == ["bad.png", "gone.png", "small.jpg"]
    assert "40 a side" in source.skipped[tmp_path / "small.jpg"]


def test_a_folder_without_any_is_an_error_in_words(tmp_path):
    with pytest.raises(UnreadableFile, match="cannot be listed"):
        Photographs(tmp_path / "none")
    with pytest.raises(UnreadableFile, match="holds no RAW files"):
        RawFiles(tmp_path)
    (tmp_path / "bad.png").write_bytes(b"")
    with pytest.raises(UnreadableFile, match="can be used.*bad.png"):
        Photographs(tmp_path)(rng(), 8)


def test_grey_photographs_and_those_with_transparency_are_pictures_too(tmp_path):
    Image.new("L", (20, 20), 128).save(tmp_path / "a.png")
    grey = Photographs(tmp_path)(rng(), 8)
    Image.new("RGBA", (20, 20), (128, 128, 128, 9)).save(tmp_path / "a.png")
    assert np.array_equal(Photographs(tmp_path)(rng(), 8), grey)
    assert np.ptp(grey) == 0


@pytest.mark.parametrize("kind", [np.uint16, np.int32])
def test_grey_of_16_bits_is_as_light_as_the_same_grey_of_8(kind, tmp_path):
    levels = np.arange(20 * 20).reshape(20, 20) // 2
    Image.fromarray(levels.astype(np.uint8)).save(tmp_path / "a.tif")
    grey = Photographs(tmp_path)(rng(), 8)
    Image.fromarray((levels * 256 + 200).astype(kind)).save(tmp_path / "a.tif")
    assert np.array_equal(Photographs(tmp_path)(rng(), 8), grey)


@pytest.mark.parametrize(("kind", "words"), [(np.float32, "no whole numbers"), (np.int32, "not of 16 bits")])
def test_levels_of_which_none_is_known_to_be_white_are_no_photograph(kind, words, tmp_path):
    Image.fromarray(np.full((20, 20), 70_000, kind)).save(tmp_path / "a.tif")
    with pytest.raises(UnreadableFile, match=words):
        Photographs(tmp_path)(rng(), 8)


@pytest.mark.parametrize("name", raw_files.BAYER)
def test_a_raw_file_binned_is_grey_where_its_scene_is(name, tmp_path):
    light_of_grey = tuple(0.4 * neutral for neutral in raw_files.NEUTRAL)
    mosaic = raw_files.scene(64, 72, pattern=raw_files.BAYER[name], light=light_of_grey, white=15000)
    raw_files.dng(tmp_path / "a.dng", mosaic, pattern=raw_files.BAYER[name], white=15000)
    scene = RawFiles(tmp_path, side=500)(rng(), 16)
    assert scene.shape == (3, 32, 36)
    assert scene.dtype == np.float32
    noise = 0.002  # of 20 levels in 14488 a pixel, averaged
    assert scene.mean((1, 2)) == pytest.approx(0.4, abs=noise)
    other = {"RGGB": "GRBG", "GRBG": "RGGB", "GBRG": "RGGB", "BGGR": "GRBG"}[name]
    raw = dataclasses.replace(decode.read(tmp_path / "a.dng"), pattern=raw_files.BAYER[other])
    assert np.ptp(binned(raw, tmp_path).mean((1, 2))) > 50 * noise


def test_highlights_of_a_raw_file_are_white(tmp_path):
    raw_files.dng(tmp_path / "a.dng", raw_files.scene(64, 64, light=(2.0, 2.0, 2.0)))
    scene = RawFiles(tmp_path)(rng(), 16)
    assert scene == pytest.approx(1, abs=1e-6)  # float32: the rows of the matrix sum to 1


def test_an_x_trans_file_is_no_scene(tmp_path):
    raw_files.raf(tmp_path / "a.raf", raw_files.scene(96, 96, pattern=raw_files.X_TRANS))
    source = RawFiles(tmp_path)
    with pytest.raises(UnreadableFile, match="no Bayer mosaic"):
        source(rng(), 16)
    with pytest.raises(UnsupportedRaw, match="no Bayer mosaic"):
        binned(decode.read(tmp_path / "a.raf"), tmp_path / "a.raf")


def test_real_photographs_and_raw_files_are_scenes():
    if not (DATA / "photos").is_dir():
        pytest.skip(f"no photographs in {DATA}: set QK_DATA")
    assert Photographs(DATA / "photos")(rng(), 256).shape == (3, 512, 512)
    source = RawFiles(DATA / "raw")
    scene = source(rng(3), 256)
    assert scene.shape == (3, 512, 512)
    assert 0.01 < np.median(scene) < 0.6
