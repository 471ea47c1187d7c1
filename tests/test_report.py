import math
import re

import pytest
from reported import DIGESTS, MODELS, NASTY, WHY, bench, cells, evaluation, judged, lines_of, pictures, row, written
from test_compare import Page

from runtime.errors import BadOption, FileError
from runtime.measure import Mean
from runtime.report import report
from runtime.report_data import Failed, read_bench, read_eval
from runtime.report_models import subjects

HUNDREDTH = 0.00501  # two digits are written: half of the last one, and a float's own rounding


@pytest.fixture
def made(tmp_path):
    """An evaluation of three models and a bench of them."""
    return evaluation(tmp_path / "eval.jsonl"), bench(tmp_path / "bench.json")


def case(text):
    return re.search(r'<p class="case" id="case">(.*?)</p>', text, re.S)[1]


def test_the_page_begins_with_what_is_the_case(made, tmp_path):
    told = case(written([made[0]], tmp_path, benches=[made[1]]))
    assert "Of 3 models judged on 8 frames, lighter makes the best pictures" in told
    assert "ahead of fast" in told
    assert "The fastest and the smallest is fast, 12 ms for 512 x 512 pixels on A board (aarch64) and 0.4 MB." in told
    assert "1 frame failed" in told


def test_the_case_changes_with_the_figures(made, tmp_path):
    other = bench(tmp_path / "b.json", rows=[row("fast", 90.0, 400_000), row("plain", 20.0, 900_000)])
    told = case(written([made[0]], tmp_path, benches=[other]))
    assert "The fastest is plain, 20 ms" in told
    assert "the smallest is fast, 0.4 MB" in told


def test_a_lead_that_may_be_chance_is_called_so(tmp_path):
    sure = [
        judged(model, f"{i}", 100, 30 + i + lead) for model, lead in (("fast", 0), ("lighter", 1)) for i in range(4)
    ]
    lines_of(tmp_path / "a.jsonl", *sure)
    assert "chance" not in case(written([tmp_path / "a.jsonl"], tmp_path))
    mixed = [judged("fast", f"{i}", 100, 30 + (-1) ** i * 3) for i in range(4)]
    lines_of(tmp_path / "a.jsonl", *mixed, *(judged("plain", f"{i}", 100, 29.5) for i in range(4)))
    assert "which may be chance" in case(written([tmp_path / "a.jsonl"], tmp_path))


def test_means_and_their_intervals_are_those_of_the_lines(made, tmp_path):
    heads, *rows = cells(written([made[0]], tmp_path), "means")
    mean = Mean()
    for line in read_eval(made[0]).lines:
        if not isinstance(line, Failed) and line.who.model == "plain":
            mean.add(line.developed.psnr)
    (told,) = [one[heads.index("developed, dB")] for one in rows if one[0] == "plain"]
    middle, half = map(float, told.split(" ± "))
    assert middle == pytest.approx(mean.mean, abs=HUNDREDTH)
    assert half == pytest.approx(mean.interval[1] - mean.mean, abs=HUNDREDTH)


@pytest.mark.parametrize("figures", [{"psnr": math.inf}, {"psnr": None, "mse": 0.0}])
def test_one_frame_has_no_interval_and_equal_pictures_are_called_so(tmp_path, figures):
    same = judged("plain", "0", 100, 30.0)
    same["developed"] |= figures
    lines_of(tmp_path / "a.jsonl", judged("fast", "0", 100, 30.0), same)
    _, *rows = cells(written([tmp_path / "a.jsonl"], tmp_path), "means")
    assert [one[6] for one in rows] == ["30.00, one frame", "1 without any difference"]


def test_ratios_have_a_column_each_or_where_they_are_many_a_band(made, tmp_path):
    text = written([made[0]], tmp_path)
    assert cells(text, "ratios-developed")[0] == ["model", "x100", "x250", "x300"]
    assert len(cells(text, "ratios-camera")) == 1 + len(MODELS)
    many = [judged("fast", f"{i}", 10 + 17.3 * i, 30.0) for i in range(12)]
    lines_of(tmp_path / "a.jsonl", *many)
    heads = cells(written([tmp_path / "a.jsonl"], tmp_path), "ratios-developed")[0]
    assert heads == ["model", "x10 to x20", "x20 to x50", "x50 to x100", "x100 to x200", "x200 to x500"]


def test_every_frame_has_a_line_and_a_failed_one_stands_apart(made, tmp_path):
    text = written([made[0]], tmp_path)
    assert len(cells(text, "images")) == 1 + 8 * len(MODELS)
    assert cells(text, "failures")[1] == ["bad", "fast", "bad.dng", "is cut"]
    assert "The worst, developed: 00007 with plain" in text


def test_what_was_judged_twice_counts_once_and_the_last_time(tmp_path):
    lines_of(tmp_path / "a.jsonl", judged("fast", "0", 100, 20.0), judged("fast", "0", 100, 30.0))
    assert [one[6] for one in cells(written([tmp_path / "a.jsonl"], tmp_path), "means")[1:]] == ["30.00, one frame"]


def test_a_frame_that_failed_is_counted_once_and_not_if_it_was_judged_later(tmp_path):
    bad = {"model": "fast", "digest": DIGESTS["fast"], "pair": "0", "dark": "dark/0.dng", "error": "is cut"}
    good = judged("fast", "0", 100, 30.0)
    for lines, failed in (([good, bad, bad], 1), ([bad, good], 0), ([good, {**bad, "pair": "1"}], 1)):
        text = written([lines_of(tmp_path / "a.jsonl", *lines)], tmp_path)
        assert text.count("is cut") == failed
        assert ("1 frame failed" in text) == bool(failed)


def test_a_frame_that_failed_with_every_model_is_one_frame(tmp_path):
    bad = [
        {"model": model, "digest": DIGESTS[model], "pair": "0", "dark": "dark/0.dng", "error": "is cut"}
        for model in MODELS
    ]
    text = written([lines_of(tmp_path / "a.jsonl", judged("fast", "1", 100, 30.0), *bad)], tmp_path)
    assert "1 frame failed" in case(text)
    assert len(cells(text, "failures")) == 1 + len(MODELS)


def test_a_file_that_is_given_twice_counts_once(made, tmp_path):
    text = written([made[0]] * 2, tmp_path, benches=[made[1], made[1].parent / "." / made[1].name])
    assert len(cells(text, "bench")) == 1 + len(MODELS)
    assert text.count("evaluation eval.jsonl") == text.count("bench bench.json") == 1


def test_models_are_joined_by_their_digest_whatever_they_were_called(tmp_path):
    lines = [judged("fast", "0", 100, 30.0)]
    given = bench(tmp_path / "b.json", rows=[row("models/fast.onnx", 12.0, 10, digest=DIGESTS["fast"])])
    lines_of(tmp_path / "a.jsonl", *lines)
    text = written([tmp_path / "a.jsonl"], tmp_path, benches=[given])
    assert "Time and quality" in text
    assert [one[0] for one in cells(text, "files")[1:]] == ["fast"]
    given = bench(tmp_path / "b.json", rows=[row("fast", 12.0, 10, digest="f" * 64)])
    text = written([tmp_path / "a.jsonl"], tmp_path, benches=[given])
    assert "none of the models that were measured was judged" in text
    assert [one[0] for one in cells(text, "files")[1:]] == ["fast 111111", "fast ffffff"]


def test_a_file_that_two_engines_ran_is_two_lines_of_one_quality(tmp_path):
    lines_of(tmp_path / "a.jsonl", judged("fast", "0", 100, 30.0))
    given = bench(tmp_path / "b.json", rows=[row("fast", 12.0, 10), row("fast", 3.0, 10, provider="cuda")])
    models = subjects(read_eval(tmp_path / "a.jsonl").lines, [read_bench(given)])
    assert [one.name for one in models] == ["fast on onnxruntime cpu", "fast on onnxruntime cuda"]
    assert [one.developed.mean for one in models] == [30.0, 30.0]
    assert [len(one.judged) for one in models] == [1, 0]


def test_frames_that_not_all_models_had_are_told(tmp_path):
    lines_of(
        tmp_path / "a.jsonl", *(judged("fast", f"{i}", 100, 30.0) for i in range(3)), judged("plain", "1", 100, 29.0)
    )
    assert "1 to 3 frames, not all on the same (1 in common)" in case(written([tmp_path / "a.jsonl"], tmp_path))


def test_what_is_missing_is_said(made, tmp_path):
    text = written([made[0]], tmp_path)
    assert "Neither speed nor size was measured: no bench was given." in text
    assert "No pictures were given" in text
    text = written([], tmp_path, benches=[made[1]])
    assert "No picture was judged." in text
    assert text.count(f"energy:</strong> {WHY}<") == text.count(f">energy: {WHY}<") == 1
    heads, *rows = cells(text, "bench")
    assert {one[heads.index("mJ")] for one in rows} == {"not measurable"}
    assert not any(cell == "" for one in rows for cell in one), "no blank that looks like zero"
    assert "nan" not in re.sub(r"<script>.*?</script>", "", text, flags=re.S).lower()


def test_energy_that_was_measured_is_drawn(made, tmp_path):
    rows = [row("fast", 12.0, 10, energy_mj=40.0, energy_why=""), row("plain", 12.0, 10, energy_mj=90.0, energy_why="")]
    text = written([made[0]], tmp_path, benches=[bench(tmp_path / "b.json", rows=rows)])
    assert "Energy and quality" in text
    assert "not measurable" not in text


def test_benches_of_two_machines_are_not_raced(made, tmp_path):
    other = bench(tmp_path / "other.json", rows=[row("plain", 1.0, 10)], machine={"processor": "A server"})
    text = written([made[0]], tmp_path, benches=[made[1], other])
    assert "The fastest in the first bench is fast, 12 ms" in case(text)
    assert "no line is drawn through them" in text
    assert text.count('class="front" points') == 1, "sizes alone can be compared"


def test_the_machine_the_versions_and_the_line_that_made_it_are_there(made, tmp_path):
    text = written([made[0]], tmp_path, benches=[made[1]], command=["qk-run", "report", "--eval", "a b.jsonl"])
    facts = dict(cells(text, "machines")[1:])
    assert facts["processor"] == "A board (aarch64)"
    assert facts["memory"] == "4.0 GiB"
    assert facts["available"] == "not told"
    assert facts["libraries"] == "numpy 2.0, onnxruntime 1.20"
    assert "<code>qk-run report --eval &#x27;a b.jsonl&#x27;</code>" in text
    assert "Made on 2024-05-02 09:30 by qk-unet" in text
    assert DIGESTS["fast"] in text


def test_nothing_of_a_file_can_write_into_the_page(tmp_path):
    plain, nasty = (
        lines_of(tmp_path / f"{i}.jsonl", judged(name, name, 100, 30.0, file=name, network=name, engine=name), error)
        for i, name in enumerate(("a", NASTY))
        for error in [{"model": name, "pair": name, "dark": name, "error": name}]
    )
    rows = [[row(name, 1.0, 1, engine=name, energy_why=name, error_against=name)] for name in ("a", NASTY)]
    machine = {NASTY: NASTY, "processor": NASTY}
    safe = Page(written([plain], tmp_path, benches=[bench(tmp_path / "b", rows=rows[0], machine={"a": "a", "b": "b"})]))
    text = written([nasty], tmp_path, benches=[bench(tmp_path / "b", rows=rows[1], machine=machine)], command=[NASTY])
    page = Page(text)
    assert page.scripts == safe.scripts
    assert page.tags == safe.tags
    assert "\u202e" not in text
    assert any(NASTY[:20] in cell for cell in page.cells), "it is read as it is"


def test_the_page_needs_nothing_but_itself(made, tmp_path):
    text = written([made[0]], tmp_path, benches=[made[1]], shown=pictures(tmp_path / "p"))
    page = Page(text)
    assert "://" not in text.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not {"link", "iframe", "object"} & set(page.tags)
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|import\(", text)
    assert "default-src 'none'" in text
    assert not re.search(r"@[a-z-]+@", text), "every hole is filled"


def test_a_report_of_nothing_or_over_its_own_source_is_refused(made, tmp_path):
    with pytest.raises(BadOption, match="--eval, --bench"):
        report([], out=tmp_path / "a.html")
    before = made[0].read_bytes()
    with pytest.raises(BadOption, match="not one of those"):
        report([made[0]], out=made[0])
    assert made[0].read_bytes() == before
    with pytest.raises(FileError, match="File name too long"):
        report([made[0]], out=tmp_path / ("x" * 300))
