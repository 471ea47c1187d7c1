import json
import math

import pytest
from reported import judged

from runtime.report_case import case
from runtime.report_data import read_eval
from runtime.report_models import subjects


@pytest.fixture
def told(tmp_path):
    def of(**models):
        """The case of models, each given as what it reached on the frames it was judged on."""
        lines = [judged(model, frame, 100, psnr) for model, frames in models.items() for frame, psnr in frames.items()]
        (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return case(subjects(read_eval(tmp_path / "a.jsonl"), []))

    return of


def test_the_best_is_the_best_on_the_frames_that_all_were_judged_on(told):
    said = told(fast={"dark": 30.0, "darker": 25.0}, lighter={"dark": 29.0, "bright": 45.0, "brighter": 48.0})
    assert "fast makes the best pictures on the 1 that can be compared: 30.00 dB" in said
    assert "36.00 dB in linear light; frame by frame 1.00 dB ahead of lighter" in said


def test_a_lead_is_never_negative_and_is_over_the_next_on_the_same_frames(told):
    easy = {f"easy{i}": 40.0 for i in range(4)}
    hard = {f"hard{i}": 20.0 + i for i in range(4)}
    said = told(fast=hard, plain={**easy, **{frame: psnr - 2 for frame, psnr in hard.items()}})
    assert "fast makes the best pictures on the 4" in said
    assert "2.00 ± 0.00 dB ahead of plain" in said


def test_without_a_frame_in_common_no_best_is_told(told):
    said = told(fast={"a": 30.0}, lighter={"b": 40.0})
    assert "(0 in common), none can be called the best" in said
    assert "ahead" not in said


def test_chance_is_named_only_where_the_interval_holds_zero(told):
    assert "chance" not in told(fast={"a": 30.0}, lighter={"a": 31.0}), "one frame has no interval"
    assert "chance" not in told(fast={"a": 30.0, "b": 20.0}, lighter={"a": 31.0, "b": 21.01})
    assert "which may be chance" in told(fast={"a": 30.0, "b": 20.0}, lighter={"a": 35.0, "b": 19.0})


def test_a_frame_without_any_error_has_no_figure_to_compare(told):
    said = told(fast={"a": math.inf, "b": 30.0}, lighter={"a": 50.0, "b": 31.0})
    assert "lighter makes the best pictures on the 1 that can be compared: 31.00 dB" in said


def test_a_model_alone_is_told_with_all_its_frames(told):
    assert told(fast={"a": 30.0, "b": 32.0}).startswith("On 2 frames, fast reaches 31.00 dB developed, with 95 %")
