"""What is said of models that were judged."""

import json
import re

import pytest
from eval_pairs import fake, in_the_dark, pairs

from runtime import evaluating, show_eval
from runtime.errors import BadOption
from runtime.scores import Summary
from runtime.show_eval import evaluate_all, rows_of


def said(folder, capsys, *, as_json=False, out=None, models=("amplified",), **options):
    plain_options = {"provider": "auto", "ratio": "name", "strength": 1.0, "max_memory": "64G", "threads": 1}
    code = evaluate_all(str(folder), models=models, out=out, as_json=as_json, **{**plain_options, **options})
    captured = capsys.readouterr()
    return code, captured.out.splitlines(), captured.err


def summary(*values, failed=0, light="srgb"):
    made = Summary("m")
    for value in values:
        figures = {"psnr": 20.0 + value, "ssim": 0.5, "mse": 0.01}
        seconds = {"pack": 0.5, "infer": 1.0}
        made.add({"clean": f"{value}", "light": light, "linear": figures, "developed": figures, "seconds": seconds})
    made.failed = failed
    return made


def test_a_table_has_two_rows_a_model_with_means_and_intervals():
    developed, linear = rows_of(summary(0, 1, 2, failed=1))
    # Student's t for two degrees of freedom is 4.303, the deviation 1.
    assert developed == (
        "m",
        "developed",
        "21.00 ± 2.48",
        "0.5000 ± 0.0000",
        "1.00e-02 ± 0.00e+00",
        "3, 1 failed",
        "1.50",
    )
    assert linear[:2] == ("m", "linear, sRGB's")


def test_light_of_two_kinds_has_a_row_each():
    two = summary(0, 1)
    two.linear["camera"] = summary(2, 4, light="camera").linear["camera"]
    assert [(row[1], row[2][:5]) for row in rows_of(two)] == [
        ("developed", "20.50"),
        ("linear, camera's", "23.00"),
        ("linear, sRGB's", "20.50"),
    ]


def test_the_number_of_scenes_is_told_where_it_is_another_than_that_of_pairs():
    assert rows_of(summary(0, 0, 1, failed=1))[0][-2] == "3 of 2 scenes, 1 failed"
    assert rows_of(summary(0, 0))[0][-2] == "2 of 1 scene"


def test_a_ratio_that_the_name_does_not_tell_is_said_with_its_reason(tmp_path, capsys, monkeypatch):
    folder = pairs(tmp_path / "pairs", 1, ratio=500)
    monkeypatch.setattr(evaluating, "open_model", lambda *_, **__: fake())
    _, lines, _ = said(folder, capsys, models=("amplified", "fake.onnx"))
    assert " at x" not in lines[0], "what the name tells is not said again"
    assert lines[1].endswith("at x300 (as asked, held to the 300 this model was trained for)")
    _, lines, _ = said(folder, capsys, ratio="auto")
    assert re.search(r", at x\d+ \(auto: the brightest hundredth is at .* of white\)$", lines[0])


def test_where_nothing_is_known_nothing_is_claimed():
    assert rows_of(summary())[0][2:] == ("-", "-", "-", "0", "-")
    assert rows_of(summary(1))[0][2] == "21.00"  # one figure has no interval


def test_for_people_a_line_a_pair_and_the_table_for_programs_json_alone(tmp_path, capsys):
    folder = pairs(tmp_path / "pairs", 2)
    code, lines, _ = said(folder, capsys)
    assert (code, [line[:6] for line in lines[:2]]) == (0, ["judged"] * 2)
    assert lines[3].startswith("| model")
    code, lines, err = said(folder, capsys, as_json=True, out=str(tmp_path / "o.jsonl"))
    told = [json.loads(line) for line in lines]
    assert (code, err, [one.get("pair") for one in told]) == (0, "", ["00000_x20", "00001_x20", None])
    assert (told[2]["summary"], told[2]["n"]) == ("amplified", 2)
    mean = (told[0]["developed"]["psnr"] + told[1]["developed"]["psnr"]) / 2
    assert told[2]["developed"]["psnr"][0] == pytest.approx(mean)
    assert said(folder, capsys, as_json=True, out=str(tmp_path / "o.jsonl"))[1] == lines


def test_the_exit_code_is_1_if_a_file_has_no_partner_or_a_pair_fails(tmp_path, capsys):
    folder = pairs(tmp_path / "pairs", 2)
    (folder / "clean/9.tif").touch()
    code, lines, _ = said(folder, capsys)
    assert (code, lines[0][:6]) == (1, "failed")
    (folder / "clean/9.tif").unlink()
    (folder / "dark/00000_x20.dng").write_bytes(b"no")
    code, lines, _ = said(folder, capsys)
    assert (code, [line[:6] for line in lines[:2]]) == (1, ["failed", "judged"])
    assert "1, 1 failed" in lines[-1]


def test_what_is_left_out_is_said(tmp_path, capsys):
    names = {"shorts": ("10034_00_0.1s", "10035_00_0.1s"), "longs": ("10034_00_10s", "10035_00_10s")}
    code, lines, err = said(in_the_dark(tmp_path / "sid", **names), capsys)
    assert (code, "10034" in err, "10035" in err, "10035" in lines[0]) == (0, True, False, True)


def test_an_interruption_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    folder = pairs(tmp_path / "pairs", 1)

    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(show_eval, "evaluate", interrupted)
    for out, words in ((None, "--out"), (str(tmp_path / "o.jsonl"), "again")):
        code, _, err = said(folder, capsys, out=out)
        assert (code, words in err) == (1, True)


def test_what_cannot_be_is_refused(tmp_path, capsys):
    for options in ({"max_memory": "much"}, {"ratio": "sweep"}):
        with pytest.raises(BadOption):
            said(tmp_path, capsys, **options)
