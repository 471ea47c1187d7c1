"""A clean picture in bands of rows is the picture."""

import io

import numpy as np
import pytest
import tifffile
from eval_pairs import camera_tiff, colours, in_the_dark, levels

from runtime import picture, png
from runtime.clean import opened
from runtime.errors import UnreadableFile

CUTS = (0, 1, 17, 18, 40)


def whole(path, cuts=CUTS):
    with opened(path) as clean:
        ends = [*cuts[1:], clean.height]
        return clean.space, np.concatenate([clean.rows(*both) for both in zip(cuts, ends, strict=True)])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"byteorder": ">"},
        {"rowsperstrip": 7},
        {"rowsperstrip": 7, "compression": "zlib", "predictor": True},
        {"rowsperstrip": 48, "compression": "zlib"},
    ],
)
def test_a_tiff_is_read_however_its_pixels_lie(options, tmp_path):
    seen = levels(colours(48, 31))
    tifffile.imwrite(tmp_path / "a.tif", seen, photometric="rgb", metadata=None, **options)
    space, found = whole(tmp_path / "a.tif")
    assert (space, found.dtype) == ("srgb", np.uint16)
    np.testing.assert_array_equal(found, seen)


def test_a_tiff_says_itself_that_it_is_of_the_camera(tmp_path):
    camera_tiff(tmp_path / "a.tif", colours(48, 31))
    assert whole(tmp_path / "a.tif")[0] == "camera-linear"
    tifffile.imwrite(tmp_path / "b.tif", levels(colours(48, 31)), photometric="rgb", description="not camera-linear")
    assert whole(tmp_path / "b.tif")[0] == "srgb"


def test_what_this_project_writes_is_read_in_all_its_bits(tmp_path):
    seen = levels(colours(48, 31))
    for kind, name in (("png", "a.png"), ("tiff", "a.tif")):
        picture.save(seen, tmp_path / name, format=kind)
        space, found = whole(tmp_path / name)
        assert space == "srgb"
        np.testing.assert_array_equal(found, seen)


def test_eight_bits_are_the_same_light_in_sixteen(tmp_path):
    seen = levels(colours(48, 31))
    for kind, name in (("png8", "a.png"), ("tiff8", "a.tif")):
        picture.save(seen, tmp_path / name, format=kind)
        np.testing.assert_array_equal(whole(tmp_path / name)[1], png.eight(seen).astype(np.uint16) * 257)


def test_a_raw_file_is_developed_and_read_from_a_file_without_a_name(tmp_path):
    folder = in_the_dark(tmp_path / "sid")
    before = sorted(tmp_path.rglob("*"))
    space, found = whole(folder / "long/00001_00_10s.ARW")
    assert (space, found.shape, found.dtype) == ("srgb", (48, 64, 3), np.uint16)
    assert found.mean() > 10000
    assert sorted(tmp_path.rglob("*")) == before


def test_what_is_no_such_picture_is_refused_in_words(tmp_path):
    seen = levels(colours(48, 31))
    tifffile.imwrite(tmp_path / "grey.tif", seen[..., 0])
    tifffile.imwrite(tmp_path / "four.tif", np.dstack([seen, seen[..., :1]]), photometric="rgb", extrasamples=[2])
    tifffile.imwrite(tmp_path / "float.tif", seen.astype(np.float32), photometric="rgb")
    tifffile.imwrite(tmp_path / "tiles.tif", seen, photometric="rgb", tile=(16, 16))
    for name in ("grey", "four", "float", "tiles"):
        with pytest.raises(UnreadableFile, match="16 bits"):
            whole(tmp_path / f"{name}.tif")
    tifffile.imwrite(tmp_path / "turned.tif", seen, photometric="rgb", extratags=[(274, 3, 1, 6, True)])
    with pytest.raises(UnreadableFile, match="orientation 6"):
        whole(tmp_path / "turned.tif")
    for name in ("text.tif", "text.png", "text.jpg"):
        (tmp_path / name).write_bytes(b"no picture at all, whatever it is called")
        with pytest.raises(UnreadableFile, match=name):
            whole(tmp_path / name)
    with pytest.raises(UnreadableFile, match="cannot be read"):
        whole(tmp_path / "missing.tif")


@pytest.mark.parametrize("options", [{}, {"rowsperstrip": 7, "compression": "zlib"}])
def test_a_tiff_that_is_cut_short_is_refused_where_its_rows_end(options, tmp_path):
    file = io.BytesIO()
    tifffile.imwrite(file, levels(colours(48, 31)), photometric="rgb", metadata=None, **options)
    (tmp_path / "a.tif").write_bytes(file.getvalue()[: -len(file.getvalue()) // 3])
    with pytest.raises(UnreadableFile, match="a.tif"):
        whole(tmp_path / "a.tif")


def test_the_rows_of_a_png_are_asked_for_in_order(tmp_path):
    picture.save(levels(colours(48, 31)), tmp_path / "a.png", format="png")
    with opened(tmp_path / "a.png") as clean, pytest.raises(ValueError, match="row 0 comes next"):
        clean.rows(3, 4)
