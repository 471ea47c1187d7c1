"""Which files belong together."""

import os

import pytest

from runtime.errors import BadOption, UnreadableFile
from runtime.pairing import paired


def folder(root, **names):
    for part, files in names.items():
        (root / part).mkdir()
        for name in files:
            (root / part / name).touch()
    return root


def told(found):
    return [(pair.name, pair.dark.name, pair.clean.name, pair.ratio) for pair in found.pairs]


def test_several_dark_frames_have_one_clean_picture_and_their_names_tell_the_ratio(tmp_path):
    dark = ["00003_x100.dng", "00003_x2.5.dng", "00004_x1.dng"]
    found = paired(folder(tmp_path, dark=dark, clean=["00003.tif", "00004.tif"]))
    assert told(found) == [
        ("00003_x100", "00003_x100.dng", "00003.tif", 100),
        ("00003_x2.5", "00003_x2.5.dng", "00003.tif", 2.5),
        ("00004_x1", "00004_x1.dng", "00004.tif", 1),
    ]
    assert (found.alone, found.left_out) == ([], [])


def test_names_that_are_the_same_need_no_ratio(tmp_path):
    found = paired(folder(tmp_path, dark=["a.ARW", "b_x4.NEF"], clean=["a.png", "b_x4.tiff"]))
    assert told(found) == [("a", "a.ARW", "a.png", None), ("b_x4", "b_x4.NEF", "b_x4.tiff", 4)]


def test_see_in_the_dark_is_paired_by_the_scene_and_its_ratio_is_of_the_exposures_and_held_to_300(tmp_path):
    short = ["00001_00_0.1s.ARW", "00001_00_0.033s.ARW", "00002_01_0.04s.RAF"]
    found = paired(folder(tmp_path, short=short, long=["00001_00_10s.ARW", "00001_01_10s.ARW", "00002_00_10s.RAF"]))
    assert told(found) == [
        ("00001_00_0.033s", "00001_00_0.033s.ARW", "00001_00_10s.ARW", 300),
        ("00001_00_0.1s", "00001_00_0.1s.ARW", "00001_00_10s.ARW", 100),
        ("00002_01_0.04s", "00002_01_0.04s.RAF", "00002_00_10s.RAF", 250),
    ]


def test_scenes_in_which_the_camera_moved_are_left_out_and_named(tmp_path):
    names = ["10034_00_0.1s.ARW", "10035_00_0.1s.ARW"]
    found = paired(folder(tmp_path, short=names, long=["10034_00_10s.ARW", "10035_00_10s.ARW"]))
    assert [pair.name for pair in found.pairs] == ["10035_00_0.1s"]
    assert [path.name for path in found.left_out] == ["10034_00_0.1s.ARW"]
    assert found.alone == []


def test_files_without_a_partner_are_named_and_the_rest_stays(tmp_path):
    dark = ["1_x2.dng", "2_x2.dng", "4_x0.dng", "5_x2.dng", ".hidden.dng", "notes.txt"]
    found = paired(folder(tmp_path, dark=dark, clean=["2.tif", "3.tif", "4.tif", "5.tif", "5.png", "readme.md"]))
    assert [pair.name for pair in found.pairs] == ["2_x2"]
    errors = {error.path.name: str(error) for error in found.alone}
    assert set(errors) == {"1_x2.dng", "3.tif", "4_x0.dng", "5_x2.dng"}
    assert "no clean picture" in errors["1_x2.dng"]
    assert "no dark frame" in errors["3.tif"]
    assert "ratio of 0" in errors["4_x0.dng"]
    assert "5.png and 5.tif" in errors["5_x2.dng"]


def test_a_short_exposure_that_has_no_partner_or_tells_no_time_is_named(tmp_path):
    short = ["00001_00_0.1s.ARW", "00002_00_0.1s.ARW", "00003_night.ARW", "00005_00_0s.ARW"]
    long = ["00001_00_10s.ARW", "00003_00_10s.ARW", "00004_00_10s.ARW", "00005_00_10s.ARW"]
    found = paired(folder(tmp_path, short=short, long=long))
    assert [pair.name for pair in found.pairs] == ["00001_00_0.1s"]
    assert {error.path.name for error in found.alone} == {
        "00002_00_0.1s.ARW",
        "00003_night.ARW",
        "00004_00_10s.ARW",
        "00005_00_0s.ARW",
    }


def test_a_folder_that_cannot_be_read_is_refused_in_words(tmp_path, monkeypatch):
    with pytest.raises(UnreadableFile, match="no folder"):
        paired(tmp_path / ("x" * 300))
    folder(tmp_path, dark=["1_x2.dng"], clean=["1.tif"])

    def locked(*_):
        raise PermissionError(13, "Permission denied")

    for name in ("listdir", "scandir"):
        monkeypatch.setattr(os, name, locked)
    with pytest.raises(UnreadableFile, match="cannot be listed .Permission denied"):
        paired(tmp_path)


def test_what_holds_no_pairs_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for name in ("missing", "file"):
        with pytest.raises(UnreadableFile, match="no folder"):
            paired(tmp_path / name)
    with pytest.raises(UnreadableFile, match="dark and clean, or short and long"):
        paired(tmp_path)
    folder(tmp_path, dark=["notes.txt"], clean=[])
    with pytest.raises(UnreadableFile, match="RAW files"):
        paired(tmp_path)
    folder(tmp_path, short=[], long=[])
    with pytest.raises(BadOption, match="either"):
        paired(tmp_path)
