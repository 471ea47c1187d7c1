import html
import json
import math

import pytest
from reported import bench, evaluation, judged, row

from runtime.report_case import case, plots
from runtime.report_data import read_bench, read_eval
from runtime.report_models import subjects


@pytest.fixture
def told(tmp_path):
    def of(*, scene_of=str, light_of=lambda _: "camera", **models):
        """The case of models, each given as what it reached on the frames it was judged on."""
        lines = [
            judged(model, frame, 100, psnr, clean=scene_of(frame), light=light_of(frame))
            for model, frames in models.items()
            for frame, psnr in frames.items()
        ]
        (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return html.unescape(case(subjects(read_eval(tmp_path / "a.jsonl").lines, [])))

    return of


def test_the_best_is_the_best_on_the_frames_that_all_were_judged_on(told):
    said = told(fast={"dark": 30.0, "darker": 25.0}, lighter={"dark": 29.0, "bright": 45.0, "brighter": 48.0})
    assert "fast is ahead on the 1 that can be compared: 30.00 dB" in said
    assert "36.00 dB in the camera's linear light; frame by frame 1.00 dB ahead of lighter" in said


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
    sure = told(fast={"a": 30.0, "b": 20.0}, lighter={"a": 31.0, "b": 21.01})
    assert "lighter makes the best pictures" in sure
    assert "chance" not in sure
    chance = told(fast={"a": 30.0, "b": 20.0}, lighter={"a": 35.0, "b": 19.0})
    assert "lighter is ahead: " in chance
    assert chance.split(". ")[0].endswith("dB ahead of fast, which may be chance")


def test_one_frame_tells_nothing_of_others_and_the_claim_is_small(told):
    said = told(fast={"a": 30.0}, lighter={"a": 31.0})
    assert "lighter is ahead: 31.00 dB" in said
    assert "frame by frame 1.00 dB ahead of fast, and one scene tells nothing of others" in said


def test_of_a_tie_no_lead_is_claimed(told):
    for frames in ("a", "abc"):
        said = told(fast=dict.fromkeys(frames, 30.001), lighter=dict.fromkeys(frames, 30.0))
        assert "fast and lighter are level: 30.00 dB" in said
        assert "ahead" not in said


def test_frames_of_one_scene_count_as_one_and_a_lead_on_few_scenes_may_be_chance(told):
    """One scene at twenty ratios liked best by one model, another scene by the other: nothing can be said of others."""
    scenes = {f"{scene}_x{ratio}": 30 + 3 * scene + ratio / 100 for scene in (0, 1) for ratio in range(20)}
    leads = {name: psnr + (1.0 if name.startswith("0") else -0.2) for name, psnr in scenes.items()}
    said = told(fast=leads, lighter=scenes, scene_of=lambda frame: frame.split("_")[0])
    assert "Of 2 models judged on 40 frames of 2 scenes, fast is ahead: " in said
    # Student's t for one degree of freedom is 12.706, the scenes' means are 1 and -0.2.
    assert "frame by frame 0.40 ± 7.62 dB ahead of lighter, which may be chance" in said
    assert "fast makes the best pictures" in told(fast=leads, lighter=scenes), "the control: forty scenes"


def test_light_is_named_and_two_kinds_are_not_averaged(told):
    two = told(fast={"a": 30.0, "b": 32.0}, light_of={"a": "camera", "b": "srgb"}.get)
    assert two.startswith("On 2 frames, fast reaches 31.00 dB developed")
    assert "36.00 dB in the camera's linear light, and 38.00 dB in sRGB's linear light" in two
    assert "37.00 dB in linear light." in told(fast={"a": 30.0, "b": 32.0}, light_of=lambda _: None)


def test_a_line_is_spoken_of_only_where_one_is_drawn(tmp_path):
    for slow, drawn in (
        (48.0, True),
        (6.0, False),
    ):  # slower and better, or faster too: then nothing but it is unbeaten
        models = subjects(
            read_eval(evaluation(tmp_path / "a.jsonl", models=("fast", "lighter"))).lines,
            [read_bench(bench(tmp_path / "b.json", rows=[row("fast", 12.0, 10), row("lighter", slow, 10)]))],
        )
        time = plots(models).split("<figure")[1]
        assert ("The dashed line" in time) == ('<polyline class="front"' in time) == drawn


def test_a_frame_without_any_error_has_no_figure_to_compare(told):
    said = told(fast={"a": math.inf, "b": 30.0}, lighter={"a": 50.0, "b": 31.0})
    assert "lighter is ahead on the 1 that can be compared: 31.00 dB" in said


def test_a_model_alone_is_told_with_all_its_frames(told):
    assert told(fast={"a": 30.0, "b": 32.0}).startswith("On 2 frames, fast reaches 31.00 dB developed, with 95 %")
