"""What `qk-run enhance` shows, and where it puts what was asked for."""

import shutil
from importlib.metadata import version

import pytest
from click.testing import CliRunner
from PIL import Image
from raw_files import dng, scene
from tiny_model import tiny

from runtime.cli import main
from runtime.shipped import NAMES


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    path = tmp_path_factory.mktemp("nights") / "a.dng"
    dng(path, scene(32, 48, light=(0.003, 0.005, 0.002)))
    return path


def enhance(*words):
    return CliRunner().invoke(main, ["enhance", "--model", str(tiny()), "--ratio", "40", *map(str, words)])


@pytest.mark.parametrize(("name", "kind"), [("b.tif", "TIFF"), ("b.JPG", "JPEG"), ("deep/b.png", "PNG")])
def test_of_one_file_the_output_may_be_the_picture(name, kind, night, tmp_path):
    done = enhance(night, "-o", tmp_path / name)
    assert done.exit_code == 0, done.output
    with Image.open(tmp_path / name) as picture:
        assert (picture.format, sorted(picture.size)) == (kind, [32, 48])
    assert f"-> {tmp_path / name}" in done.stdout
    assert "skipped" in enhance(night, "-o", tmp_path / name).stdout


def test_a_picture_that_cannot_be_named_so_is_refused_before_anything_is_made(night, tmp_path):
    shutil.copy(night, tmp_path / "b.dng")
    for words, said in (
        ((night, tmp_path / "b.dng", "-o", tmp_path / "c.tif"), "a folder: there are 2 files"),
        ((night, "-o", tmp_path / "c.tif", "--format", "png"), "ends in .png"),
        ((night, "-o", tmp_path / "c.dng", "--ratio", "sweep"), "another with a sweep"),
    ):
        done = enhance(*words)
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
        assert said in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["b.dng"]


def test_a_folder_that_is_called_like_a_picture_is_a_folder(night, tmp_path):
    (out := tmp_path / "out.tif").mkdir()
    assert enhance(night, "-o", out, "--format", "jpg").exit_code == 0
    assert (out / "a.jpg").is_file()


def test_at_the_end_of_many_it_says_how_many_and_which_failed(night, tmp_path):
    shutil.copy(night, tmp_path / "b.dng")
    (tmp_path / "c.dng").write_bytes(b"no")
    done = enhance(tmp_path, night, "-o", tmp_path / "out")
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1] == f"2 done, 1 failed: {tmp_path / 'c.dng'}"
    assert "done" not in enhance(night, "-o", tmp_path / "one").stderr


def test_a_picture_in_the_way_is_kept_and_told_why(night, tmp_path):
    enhance(night, "-o", tmp_path)
    kept = enhance(night, "-o", tmp_path, "--strength", "0.5")
    assert kept.stdout.startswith(
        f"kept     {tmp_path / 'a.png'}: it is there, and not of this model and these options"
    )


def test_the_model_is_called_by_its_name(night, tmp_path):
    said = CliRunner().invoke(main, ["enhance", str(night), "-o", str(tmp_path), "--model", "small"]).stderr
    assert said.startswith("small (unet, w4a8); ")


def test_without_a_file_every_model_that_ships_is_told_in_a_line():
    lines = CliRunner().invoke(main, ["info"]).stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(NAMES)
    assert [line for line in lines if "the default" in line] == [lines[0]]
    assert "kernels of 4 bits" in lines[NAMES.index("small")]


def test_a_model_that_ships_shows_its_card_and_a_file_shows_none(tmp_path):
    assert "never held against pairs" in CliRunner().invoke(main, ["info", "fast"]).stdout
    assert "# " not in CliRunner().invoke(main, ["info", str(tiny())]).stdout


def test_a_name_that_no_model_has_is_answered_with_those_there_are():
    done = CliRunner().invoke(main, ["info", "fst"])
    assert done.exit_code == 1
    assert done.stderr.strip().endswith("a model file, or one of fast, balanced, small")


def test_the_version_is_that_of_the_distribution():
    assert CliRunner().invoke(main, ["--version"]).stdout.strip() == f"qk-run, version {version('qk-unet')}"
