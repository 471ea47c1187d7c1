"""Figures as JSON lines: found again, torn lines passed over, means with their intervals."""

import json
import os
import signal

import pytest

from runtime.errors import Busy, FileError, UnreadableFile
from runtime.pairing import Pair
from runtime.scores import FIGURES, Scores, Summary, key_of

FOUR_DIGITS = 1e-4  # of Student's t as it is printed


def line(value=1.0, **changes):
    figures = {"psnr": 10 * value, "ssim": value / 10, "mse": value}
    seconds = {"pack": 0.1, "infer": value}
    plain = {
        "model": "m",
        "pair": "p",
        "clean": f"{value}",
        "light": "camera",
        "linear": figures,
        "developed": figures,
        "seconds": seconds,
    }
    return {**plain, **changes}


def pair(folder):
    for name in ("a.dng", "a.tif"):
        (folder / name).write_bytes(b"12345")
    return Pair(name="a", dark=folder / "a.dng", clean=folder / "a.tif", ratio=10.0)


def test_two_runs_never_write_to_one_file(tmp_path):
    path = tmp_path / "s.jsonl"
    with Scores(path), pytest.raises(Busy, match="another run"), Scores(path):
        pass
    with Scores(path) as scores:  # whoever held it is gone
        scores.add("a", line())


def test_lines_are_found_again_by_this_run_and_the_next(tmp_path):
    path = tmp_path / "deep" / "s.jsonl"
    with Scores(path) as scores:
        assert scores.find("a") is None
        scores.add("a", line(1.0))
        scores.add("b", line(2.0))
        assert scores.find("a") == line(1.0)
    with Scores(path) as scores:
        assert (scores.find("a"), scores.find("b"), scores.find("c")) == (line(1.0), line(2.0), None)
        scores.add("a", line(3.0))
        assert scores.find("a") == line(3.0)
    with Scores(path) as scores:
        assert (scores.find("a"), scores.find("b")) == (line(3.0), line(2.0))
    assert [json.loads(text)["key"] for text in path.read_text().splitlines()] == ["a", "b", "a"]


def test_a_line_torn_anywhere_is_no_line_and_harms_no_other(tmp_path):
    path = tmp_path / "s.jsonl"
    with Scores(path) as scores:
        scores.add("a", line(1.0))
        whole = path.read_bytes()
        scores.add("b", line(2.0))
    both = path.read_bytes()
    for length in range(len(whole) + 1, len(both), 7):
        path.write_bytes(both[:length])
        with Scores(path) as scores:
            assert scores.find("a") == line(1.0)
            assert scores.find("b") is None
            scores.add("c", line(3.0))
            assert scores.find("c") == line(3.0)
        with Scores(path) as scores:
            assert (scores.find("a"), scores.find("c")) == (line(1.0), line(3.0))


def test_what_is_no_line_of_figures_is_passed_over(tmp_path):
    path = tmp_path / "s.jsonl"
    bad = [b"[1]", b"no", b"\xff\xfe", b'{"key": "a"}', json.dumps({"key": "a", **line(), "linear": {}}).encode()]
    bad.append(json.dumps({"key": "a", **line(float("nan"))}).encode())
    bad.append(json.dumps({"key": "a", **line(linear=dict.fromkeys(FIGURES, 10**400))}).encode())
    path.write_bytes(b"\n".join(bad) + b"\n")
    with Scores(path) as scores:
        assert scores.find("a") is None


def test_a_line_that_tells_of_an_error_is_kept_for_people_alone(tmp_path):
    path = tmp_path / "s.jsonl"
    with Scores(path) as scores:
        scores.add("a", {"model": "m", "pair": "p", "error": "gone"})
        assert scores.find("a") is None
    assert json.loads(path.read_text())["error"] == "gone"
    with Scores(path) as scores:
        assert scores.find("a") is None


def test_without_a_file_nothing_is_kept():
    with Scores(None) as scores:
        scores.add("a", line())
        assert scores.find("a") is None


def test_a_place_that_cannot_be_written_to_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="--out"), Scores(tmp_path / "file" / "s.jsonl"):
        pass


def test_a_disk_that_is_full_is_said_in_words(tmp_path):
    """What could not be written is tried again when the file is closed: that must not say it in other words."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, before[1]))
    try:
        with pytest.raises(FileError, match="where there is room"), Scores(tmp_path / "s.jsonl") as scores:
            scores.add("a", line(text="x" * 1000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_the_key_is_another_one_if_a_file_or_a_term_is(tmp_path):
    one = pair(tmp_path)
    first = key_of(["digest", 1.0], one)
    assert key_of(["digest", 1.0], one) == first
    assert key_of(["digest", 0.5], one) != first
    assert key_of(["other", 1.0], one) != first
    os.utime(one.clean, (1, 1))
    touched = key_of(["digest", 1.0], one)
    assert touched != first
    one.dark.write_bytes(b"123456")
    assert key_of(["digest", 1.0], one) != touched
    one.dark.unlink()
    with pytest.raises(UnreadableFile):
        key_of(["digest", 1.0], one)


def test_a_summary_is_the_means_with_their_intervals_and_counts_failures():
    summary = Summary("m")
    assert summary.as_dict()["developed"]["psnr"] == [None, None, None]
    summary.add(line(1.0))
    assert summary.as_dict()["developed"]["psnr"] == [10, None, None]
    summary.add(line(3.0))
    summary.add({"model": "m", "error": "no"})
    told = summary.as_dict()
    assert (told["summary"], told["n"], told["scenes"], told["failed"]) == ("m", 2, 2, 1)
    # Student's t for one degree of freedom is 12.706, the deviation of 10 and 30 the square root of 200.
    assert told["developed"]["psnr"] == pytest.approx([20, 20 - 127.06, 20 + 127.06])
    assert told["linear"]["camera"]["mse"][0] == 2
    assert told["seconds"][0] == pytest.approx(2.1)
    json.dumps(told, allow_nan=False)


def test_frames_of_one_clean_picture_are_one_figure_their_mean():
    summary = Summary("m")
    for value, clean in ((1.0, "a.tif"), (3.0, "a.tif"), (5.0, "a.tif"), (7.0, "b.tif")):
        summary.add(line(value, clean=clean))
    told = summary.as_dict()
    assert (told["n"], told["scenes"]) == (4, 2)
    # The means of the scenes are 30 and 70 dB, their deviation the square root of 800.
    assert told["developed"]["psnr"] == pytest.approx([50, 50 - 12.706 * 20, 50 + 12.706 * 20], rel=FOUR_DIGITS)


def test_light_of_two_kinds_has_no_mean():
    summary = Summary("m")
    summary.add(line(1.0))
    summary.add(line(3.0, light="srgb"))
    told = summary.as_dict()
    assert told["developed"]["psnr"][0] == 20
    assert {light: figures["psnr"][0] for light, figures in told["linear"].items()} == {"camera": 10, "srgb": 30}
