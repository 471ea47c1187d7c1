import json
import math
import sys
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from test_house import loaded_by
from tiny_model import tiny
from work import dies, hungry, refuses

from quant.baseline import noise
from quant.demo import AMPLIFIED, BEFORE, CLEAN, MEANS, demo, main
from quant.estimate import estimated
from quant.exposures import CAMERA, STRENGTHS, amplified, bright, developed, opened, photograph, strength, taken
from quant.noise import amplified as amplified_mosaic
from quant.noise import exposed
from quant.watched import watched
from runtime import dng
from runtime.decode import read
from runtime.errors import BadOption, Error, SetupError, UnreadableFile
from runtime.measure import psnr

SIZE = (64, 96)
RATIO = 20.0
EXACT = 1e-6  # float32 of 0 to 1
A_SIXTH = 0.17  # of a variance: medians of a thousand squares, and a line through them


def ramp(height=64, width=96):
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return np.stack([0.1 + 0.5 * x / width, 0.1 + 0.5 * y / height, 0.3 + 0.2 * x / width])


def test_a_frame_read_back_is_the_one_that_was_taken(tmp_path):
    exposure = taken(ramp(), ratio=RATIO)
    dng.save_mosaic(exposure.raw, tmp_path / "a.dng")
    again = read(tmp_path / "a.dng")
    assert np.array_equal(again.mosaic, exposure.raw.mosaic)
    assert (again.pattern, again.white) == (exposure.raw.pattern, exposure.raw.white)
    np.testing.assert_allclose(again.black, exposure.raw.black)
    assert np.array_equal(taken(ramp(), ratio=RATIO).raw.mosaic, exposure.raw.mosaic)
    assert not np.array_equal(taken(ramp(), ratio=RATIO, seed=1).raw.mosaic, exposure.raw.mosaic)


def test_the_amplified_frame_is_the_scene_but_for_noise():
    exposure = taken(ramp(), ratio=1.0)
    wanted = developed(exposure.clean, exposure.raw) / 65535
    made = developed(amplified(exposure.raw, ratio=1.0), exposure.raw) / 65535
    dark = developed(amplified(exposure.raw, ratio=0.01), exposure.raw) / 65535
    assert psnr(wanted, made, data_range=1) > 25
    assert psnr(wanted, dark, data_range=1) < 15


def test_a_mosaic_from_black_to_white_is_the_sensors():
    exposure = taken(ramp(), ratio=RATIO)
    wanted = amplified_mosaic(exposure.raw.mosaic, CAMERA.sensor, ratio=RATIO)
    np.testing.assert_allclose(bright(exposure.raw, ratio=RATIO), wanted, atol=EXACT * RATIO)


@pytest.mark.parametrize("ratio", [1.0, 30.0])
def test_the_noise_found_is_the_noise_put_in(ratio):
    rows = np.linspace(0.05, 0.6, 512, dtype=np.float32)[:, None]
    clean = np.broadcast_to(rows, (512, 512))
    sensor = replace(CAMERA.sensor, row=0.0)  # differences along rows have none of it
    mosaic = amplified_mosaic(exposed(clean, sensor, ratio=ratio, rng=np.random.default_rng(1)), sensor, ratio=ratio)
    found, told = estimated(mosaic), noise(sensor, ratio=ratio)
    for value in (0.1, 0.5):
        wanted = told.gain * value + told.variance
        assert found.gain * value + found.variance == pytest.approx(wanted, rel=A_SIXTH)
    assert estimated(clean).variance < told.variance / 10, "what has no noise is not told to have some"


def test_strength_is_chosen_by_the_reference_and_without_one_is_set():
    even = taken(np.full((3, 64, 96), 0.3, np.float32), ratio=RATIO)
    assert strength(even) == max(STRENGTHS), "an even grey has nothing to lose"
    rough = replace(even, clean=amplified(even.raw, ratio=RATIO))
    assert strength(rough) == min(STRENGTHS), "where the noise is what was wanted, less of it is taken away"
    assert strength(replace(even, clean=None)) not in STRENGTHS


def test_a_photograph_is_made_smaller_and_a_file_that_is_none_refused(tmp_path):
    Image.new("RGB", (3072, 1000), (128, 64, 32)).save(tmp_path / "a.png")
    scene = photograph(tmp_path / "a.png")
    assert scene.shape == (3, 500, 1536)
    assert (np.diff(scene.mean((1, 2))) < 0).all()
    Image.fromarray(np.full((40, 40), 128 << 8, np.uint16)).save(tmp_path / "grey.png")
    assert photograph(tmp_path / "grey.png").max() == scene[0].max(), "16 bits are not cut off"
    Image.new("RGB", (30, 40)).save(tmp_path / "small.png")
    (tmp_path / "none.png").write_text("no picture")
    for name in ("none.png", "small.png", "missing.png"):
        with pytest.raises(UnreadableFile):
            photograph(tmp_path / name)


def test_work_in_a_process_of_its_own_says_what_it_took():
    spent, more = watched(hungry, 1), watched(hungry, 201)
    assert spent.seconds == 0.25
    if sys.platform == "linux":
        assert more.peak - spent.peak == pytest.approx(200 * 2**20, rel=0.1)


def test_an_error_of_the_work_is_raised_here_and_a_death_is_told_in_words():
    with pytest.raises(BadOption, match="this cannot be 1"):
        watched(refuses)
    with pytest.raises(SetupError, match="ended before"):
        watched(dies)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo")
    said = []
    rows = demo(out, models=[str(tiny(output="camera-linear"))], ratios=[RATIO], size=SIZE, tell=said.append)
    return out, rows, said


def test_a_demo_writes_every_picture_a_sheet_and_a_page(made):
    out, rows, said = made
    folder = out / "x20"
    model = tiny(output="camera-linear").name
    assert [row.name for row in rows] == [BEFORE, AMPLIFIED, MEANS, model, CLEAN]
    for row in rows:
        with Image.open(row.file) as image:
            assert (image.size, image.mode) == (SIZE[::-1], "RGB")
    assert read(folder / "dark.dng").mosaic.shape == SIZE
    with Image.open(folder / "sheet.png") as image:
        assert image.width > 5 * SIZE[1]
    page = (folder / "compare.html").read_text()
    assert page.count("<img ") == len(rows)
    assert len(said) == 1 + 4


def test_smoothing_beats_amplifying_and_both_beat_the_dark(made):
    before, plain, means, model, clean = made[1]
    assert before.psnr < plain.psnr < means.psnr
    assert plain.ssim < means.ssim
    assert min(row.seconds for row in (before, plain, means, model)) > 0
    assert (clean.psnr, clean.seconds, clean.peak) == (None, None, None)


def test_a_raw_file_has_no_figures_and_says_so(tmp_path):
    scene = taken(ramp(), ratio=RATIO).raw
    dng.save_mosaic(replace(scene, mosaic=scene.mosaic[1:, 1:], pattern=((2, 1), (1, 0))), tmp_path / "b.dng")
    options = ["--raw", str(tmp_path / "b.dng"), "--model", str(tiny(output="camera-linear")), "--ratio", "20"]
    done = CliRunner().invoke(main, [*options, "--out", str(tmp_path / "out"), "--json"])
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["name"] for row in rows[:3]] == [BEFORE, AMPLIFIED, MEANS]
    assert len(rows) == 4
    assert all(row["psnr"] is None and row["seconds"] > 0 for row in rows)
    with Image.open(rows[0]["file"]) as image:
        assert image.size == (94, 62), "without what is before its first red, and even"
    plain = CliRunner().invoke(main, [*options, "--out", str(tmp_path / "out")])
    assert "PSNR and SSIM are left out" in plain.stdout


def test_a_frame_of_any_order_begins_with_its_first_red(tmp_path):
    raw = taken(ramp(), ratio=RATIO).raw
    levels = np.arange(4.0).reshape(2, 2)
    turned = replace(raw, mosaic=raw.mosaic[1:], pattern=((1, 2), (0, 1)), black=tuple(map(tuple, levels.tolist())))
    dng.save_mosaic(turned, tmp_path / "c.dng")
    found = opened(tmp_path / "c.dng", ratio=RATIO, contract=tiny_contract()).raw
    assert np.array_equal(found.mosaic, raw.mosaic[2:])
    assert found.pattern == raw.pattern
    np.testing.assert_allclose(found.black, levels[::-1])


def tiny_contract():
    from runtime.session import open as open_model

    return open_model(tiny(output="camera-linear")).contract


@pytest.mark.parametrize(
    "options",
    [
        {"models": ["a/x.onnx", "b/x.onnx"]},
        {"photo": "a.png", "raw": "b.dng"},
        {"ratios": [1e6]},
        {"ratios": [math.nan]},
        {"models": ["nothing.onnx"]},
        {"raw": "missing.dng"},
        {"photo": "missing.png"},
    ],
)
def test_what_cannot_be_is_said_before_anything_is_drawn(options, tmp_path):
    said = []
    with pytest.raises(Error):
        demo(tmp_path, **{"models": [str(tiny(output="camera-linear"))], **options}, tell=said.append)
    assert said == []


def test_an_x_trans_frame_is_refused_in_words(tmp_path):
    from runtime.pack import TILES

    raw = replace(taken(ramp(), ratio=RATIO).raw, cfa="x-trans", pattern=TILES["x-trans"], black=((512.0,) * 6,) * 6)
    dng.save_mosaic(raw, tmp_path / "x.dng")
    with pytest.raises(Error, match="Bayer"):
        opened(tmp_path / "x.dng", ratio=RATIO, contract=tiny_contract())


def test_the_demo_needs_no_tensorflow():
    modules = ("demo", "night", "exposures", "estimate", "watched", "contenders", "baseline")
    loaded = loaded_by("; ".join(f"import quant.{name}" for name in modules))
    assert "quant" in loaded
    assert not loaded & {"tensorflow", "tf_keras", "qkeras", "tensorflow_model_optimization"}
    assert not loaded_by("from quant.demo import main; main(['--help'])") & {"numpy", "rich", "rawpy", "PIL"}
