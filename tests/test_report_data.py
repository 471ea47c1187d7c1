import json
import re

import pytest
from reported import bench, cells, judged, lines_of, row, written

from runtime.errors import UnreadableFile
from runtime.report_data import read_bench, read_eval
from runtime.scores import Scores


def test_what_eval_prints_is_read_as_what_it_keeps(tmp_path):
    line, alone = judged("fast", "0", 100, 30.0), {"file": "clean/9.tif", "error": "has no dark frame"}
    printed = lines_of(tmp_path / "printed", alone, line, {"summary": "fast", "n": 1, "failed": 0})
    assert read_eval(printed).lines == read_eval(lines_of(tmp_path / "kept", {"key": "k", **line})).lines


def test_torn_lines_are_passed_over_wherever_they_are_and_counted(tmp_path):
    whole, torn = judged("fast", "0", 100, 30.0), json.dumps(judged("fast", "1", 100, 30.0))[:50]
    for lines, count in (([whole, torn], 1), ([torn, whole, torn, torn, whole], 3), ([whole], 0), ([whole, "\0\0"], 1)):
        found = read_eval(lines_of(tmp_path / "a", *lines, end=""))
        assert (len(found.lines), found.torn) == (lines.count(whole), count)
    with pytest.raises(UnreadableFile, match="holds no evaluation"):
        read_eval(lines_of(tmp_path / "a", torn, torn))


def test_what_a_run_that_was_killed_and_begun_again_leaves_is_reported_and_the_page_tells_of_it(tmp_path):
    path = tmp_path / "e.jsonl"
    lines = [judged("fast", f"{i}", 100, 30.0) for i in range(3)]
    with Scores(path) as scores:
        scores.add("0", lines[0])
    path.write_bytes(path.read_bytes() + json.dumps(lines[1]).encode()[:99])  # where the kill came
    with Scores(path) as scores:
        for key in ("1", "2"):
            scores.add(key, lines[int(key)])
    text = written([path], tmp_path)
    assert len(cells(text, "images")) == 1 + 3
    assert "from evaluation e.jsonl (1 torn line passed over)." in text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "holds no evaluation"),
        ("[1]\n", "no JSON object"),
        ("{}\n", "null as model"),
        ('{"model": "a", "linear": {"psnr": 1}}\n', "null as developed"),
        ('{"model": "a", "linear": {"psnr": 1}, "developed": {"psnr": "x"}}\n', '"x" as psnr, no number'),
        ('{"model": "a", "linear": {}, "developed": {"psnr": 1}}\n', "null as psnr"),
        ('{"kind": "bench", "model": "a"}\n', "--bench"),
        ("\xff\xfe", "holds no evaluation"),
        ("[" * 100_000 + "\n", "holds no evaluation"),
    ],
)
def test_what_is_no_evaluation_is_refused_in_words(tmp_path, text, why):
    (tmp_path / "a").write_bytes(text.encode("latin-1"))
    with pytest.raises(UnreadableFile, match=re.escape(why)) as caught:
        read_eval(tmp_path / "a")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"kind": "eval"}, "is no bench"),
        ({"version": 2}, "of version 2.*version 1 can be reported"),
        ({"rows": [3]}, "no list of objects as rows"),
        ({"rows": [row("fast", 3.0, 3, median_ms="fast")]}, "median_ms, no number"),
        ({"machine": 3}, "3 as machine, no object"),
    ],
)
def test_what_is_no_bench_is_refused_in_words(tmp_path, change, why):
    with pytest.raises(UnreadableFile, match=why):
        read_bench(bench(tmp_path / "b", **change))
    assert read_bench(bench(tmp_path / "b", later="unknown keys are no error")).rows


def test_a_bench_cut_short_is_refused_and_a_file_that_is_not_there_too(tmp_path):
    whole = bench(tmp_path / "b").read_text()
    for end in range(0, len(whole) - 1, 97):
        (tmp_path / "b").write_text(whole[:end])
        with pytest.raises(UnreadableFile, match="cut short"):
            read_bench(tmp_path / "b")
    with pytest.raises(UnreadableFile, match="No such file"):
        read_eval(tmp_path / "none")
