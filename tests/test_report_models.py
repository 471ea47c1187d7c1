import pytest
from reported import DIGESTS, bench, cells, judged, lines_of, row, written

from runtime.report_data import read_bench, read_eval
from runtime.report_models import subjects


def told(path, *lines, rows=()):
    """The models of these lines, and of a bench of these rows."""
    benches = [read_bench(bench(path / "b.json", rows=list(rows)))] if rows else []
    return subjects(read_eval(lines_of(path / "a.jsonl", *lines)).lines, benches)


def asked(ratio="name", strength=1.0):
    return {"asked": {"ratio": ratio, "strength": strength}}


def test_a_model_that_was_asked_for_another_picture_is_another_model_of_another_name(tmp_path):
    models = told(
        tmp_path,
        judged("fast", "0", 100, 30.0),
        judged("fast", "0", 100, 20.0, **asked(strength=0.2)),
        judged("fast", "0", 80, 25.0, **asked("auto")),
        judged("fast", "0", 50, 26.0, **asked("50", 0.5)),
    )
    assert {one.name: one.developed.mean for one in models} == {
        "fast": 30.0,
        "fast (strength 0.2)": 20.0,
        "fast (ratio auto)": 25.0,
        "fast (ratio 50, strength 0.5)": 26.0,
    }


def test_lines_that_do_not_tell_what_was_asked_are_of_what_eval_does_by_itself(tmp_path):
    old = judged("fast", "0", 100, 20.0)
    del old["asked"]
    (model,) = told(tmp_path, old, judged("fast", "0", 100, 30.0))
    assert (model.name, len(model.judged), model.developed.mean) == ("fast", 1, 30.0)


def test_a_frame_whose_file_has_changed_counts_once_and_as_it_is_now(tmp_path):
    (model,) = told(tmp_path, judged("fast", "0", 100, 20.0), judged("fast", "0", 250, 30.0))
    assert [line.developed.psnr for line in model.judged] == [30.0]


def test_a_bench_is_of_the_model_as_it_is_or_where_there_is_none_of_the_first_that_was_asked_for_more(tmp_path):
    rows = [row("fast", 12.0, 10)]
    blended = judged("fast", "0", 100, 20.0, **asked(strength=0.2))
    models = told(tmp_path, blended, judged("fast", "0", 100, 30.0), rows=rows)
    assert {one.name: len(one.rows) for one in models} == {"fast (strength 0.2)": 0, "fast": 1}
    (model,) = told(tmp_path, blended, rows=rows)
    assert (model.name, len(model.rows), model.developed.mean) == ("fast (strength 0.2)", 1, 20.0)
    cuda = [row("fast", 12.0, 10, provider="cuda")]
    models = told(tmp_path, blended, rows=cuda)
    assert [one.developed.count for one in models] == [1, 0], "a bench has no quality of what was asked for more"


def test_a_failure_is_of_the_model_as_it_was_asked(tmp_path):
    bad = {"model": "fast", "digest": DIGESTS["fast"], "pair": "1", "dark": "dark/1.dng", "error": "is cut"}
    models = told(
        tmp_path,
        judged("fast", "0", 100, 30.0),
        judged("fast", "0", 100, 20.0, **asked(strength=0.2)),
        {**bad, **asked(strength=0.2)},
        judged("fast", "1", 100, 30.0),
    )
    assert {one.name: len(one.failed) for one in models} == {"fast": 0, "fast (strength 0.2)": 1}


@pytest.mark.parametrize("frames", [3, 12])
def test_the_mean_of_a_model_is_over_scenes(tmp_path, frames):
    """However often one scene is there."""
    lines = [judged("fast", f"a_x{i}", i, 30.0, clean="a.tif") for i in range(1, 1 + frames)]
    lines.append(judged("fast", "b_x1", 1, 20.0, clean="b.tif"))
    (model,) = told(tmp_path, *lines)
    assert (model.developed.count, model.developed.mean) == (2, 25.0)
    heads, row_ = cells(written([tmp_path / "a.jsonl"], tmp_path), "means")
    shown = dict(zip(heads, row_, strict=True))
    assert (shown["frames"], shown["scenes"]) == (str(frames + 1), "2")
    assert shown["developed, dB"] == "25.00 ± 63.53"  # Student's t for one degree of freedom is 12.706
