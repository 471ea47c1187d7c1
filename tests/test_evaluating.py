"""Models judged on pairs of files."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from eval_pairs import UPRIGHT, camera_tiff, colours, fake, in_the_dark, levels, mosaic, pairs
from raw_files import X_TRANS, dng
from tiny_model import tiny

from runtime import evaluating, library
from runtime.decode import read
from runtime.develop import develop, look
from runtime.enhancing import Enhancer
from runtime.errors import BadOption, MissingLibrary, TooLittleMemory
from runtime.evaluating import Judge, Terms, evaluate
from runtime.job import Wish
from runtime.measure import psnr, ssim
from runtime.memory import resident
from runtime.pairing import paired

ROUNDING = 1e-11  # sums of float64 in another order
SAME = 3 * 2**20  # bytes: what Python and the allocator keep or not from run to run; a mosaic of 1000 x 1200 is 2.3 MiB
ROOT = Path(__file__).parent.parent


def judged(folder, *models, out=None, **terms):
    return list(evaluate(paired(folder), models or ["amplified"], terms=Terms(**terms), out=out))


def figures(lines):
    return [(line["model"], line["pair"], line["linear"], line["developed"]) for line in lines]


def test_the_figures_are_those_of_the_whole_picture(tmp_path):
    folder = pairs(tmp_path, 1, size=(150, 97))
    (line,) = judged(folder, str(tiny(output="camera-linear")))
    raw, clean = read(folder / "dark/00000_x20.dng"), tifffile.imread(folder / "clean/00000.tif")
    enhancer = Enhancer(Judge(str(tiny(output="camera-linear")), Terms()).session, Wish(ratio="20", format="dng"))
    job = enhancer.prepare(raw)
    parts = np.zeros((3, 150, 97), np.float32)

    def take(made, top, left):
        parts[:, top : top + made.shape[1], left : left + made.shape[2]] = made

    enhancer.stream(job, take)
    light = np.clip(parts, 0, 1).transpose(1, 2, 0)
    assert line["linear"]["psnr"] == pytest.approx(psnr(clean / 65535, light, data_range=1.0), rel=ROUNDING)
    assert line["linear"]["ssim"] == pytest.approx(ssim(clean / 65535, light, data_range=1.0), rel=ROUNDING)
    shown = [np.empty((150, 97, 3), np.uint16) for _ in range(2)]
    wanted = np.ascontiguousarray((clean / np.float32(65535)).transpose(2, 0, 1), np.float32)
    for y, out in zip((wanted, parts), shown, strict=True):
        develop(y, look(raw, enhancer.contract), out)
    y, made = (picture / 65535 for picture in shown)
    assert line["developed"]["psnr"] == pytest.approx(psnr(y, made, data_range=1.0), rel=ROUNDING)
    assert line["developed"]["ssim"] == pytest.approx(ssim(y, made, data_range=1.0), rel=ROUNDING)
    told = {"network": "unet", "bits": "float", "provider": "cpu", "ratio": 20, "height": 150, "width": 97}
    assert told.items() <= line.items()
    assert set(line["seconds"]) == {"decode", "reference", "pack", "infer", "measure"}


def test_windows_of_any_size_have_the_same_figures(tmp_path, monkeypatch):
    folder = pairs(tmp_path, 1, size=(640, 500))
    (whole,) = judged(folder)
    monkeypatch.setattr(evaluating, "amplifier", lambda cfa="bayer": _small_windows(cfa))
    (parts,) = judged(folder)
    for kind in ("linear", "developed"):
        assert parts[kind] == pytest.approx(whole[kind], rel=ROUNDING)


def _small_windows(cfa):
    from runtime.amplifier import amplifier
    from runtime.tiles import plans

    session = amplifier(cfa)
    tiled = session.tiled

    def in_parts(read, plan, write, *, release=False):
        every = plans(plan.rows[-1].end, plan.columns[-1].end, session.contract)
        chosen = next(p for p in every if (len(p.rows), len(p.columns)) == (4, 3) and p.height <= plan.height)
        tiled(read, chosen, write, release=release)

    session.tiled = in_parts
    return session


def test_the_baseline_is_worse_with_more_noise_and_better_than_a_network_of_random_weights(tmp_path):
    lines = judged(pairs(tmp_path / "a", 1, ratio=20), "amplified", str(tiny(output="camera-linear")))
    (dark,) = judged(pairs(tmp_path / "b", 1, ratio=200))
    assert lines[0]["developed"]["psnr"] > dark["developed"]["psnr"] + 3
    assert lines[0]["developed"]["psnr"] > lines[1]["developed"]["psnr"] + 3
    assert (lines[0]["file"], lines[0]["engine"], lines[0]["digest"]) == (None, "NumPy", "amplified-1")


def test_see_in_the_dark_is_judged_against_what_libraw_develops(tmp_path):
    lines = judged(in_the_dark(tmp_path))
    assert [(line["pair"], line["ratio"], line["light"]) for line in lines] == [
        ("00001_00_0.1s", 100, "srgb"),
        ("00001_01_0.04s", 250, "srgb"),
    ]
    assert all(line["developed"]["psnr"] > 5 for line in lines)


def test_pictures_of_the_same_name_are_srgb_and_the_ratio_can_be_told(tmp_path):
    folder = pairs(tmp_path, 1, ratio=20, camera=False)
    found = {ratio: judged(folder, ratio=ratio)[0] for ratio in ("name", "auto", "20")}
    assert {line["light"] for line in found.values()} == {"srgb"}
    assert found["20"]["ratio"] == 20
    assert found["name"]["ratio"] == found["auto"]["ratio"] != 20
    tifffile.imwrite(folder / "clean/00000.tif", levels(colours(64, 96)), photometric="rgb", metadata=None)
    assert judged(folder)[0]["developed"] != found["name"]["developed"]


def test_an_x_trans_frame_is_amplified_and_a_bayer_network_fails_on_it_alone(tmp_path):
    folder = pairs(tmp_path, 1, size=(96, 108))
    seen = colours(96, 108)
    dng(folder / "dark/1_x2.dng", mosaic(seen, ratio=2, pattern=X_TRANS), pattern=X_TRANS, about=UPRIGHT)
    camera_tiff(folder / "clean/1.tif", seen)
    lines = judged(folder, "amplified", str(tiny(output="camera-linear")))
    assert ["error" in line for line in lines] == [False, False, False, True]
    assert "X-Trans" in lines[3]["error"]


def test_a_line_tells_what_was_asked_and_the_line_of_a_failure_too(tmp_path):
    folder = pairs(tmp_path, 2)
    (folder / "dark/00001_x20.dng").write_bytes(b"no RAW file")
    plain, lost = judged(folder)
    assert plain["asked"] == lost["asked"] == {"ratio": "name", "strength": 1.0}
    assert (plain["ratio"], plain["why"]) == (20, "as asked")
    blended, lost = judged(folder, ratio="auto", strength=0.2)
    assert blended["asked"] == lost["asked"] == {"ratio": "auto", "strength": 0.2}
    assert blended["why"].startswith("auto: ")


def test_each_bad_pair_is_named_and_the_rest_goes_on(tmp_path):
    folder = pairs(tmp_path, 7)
    clean = [folder / f"clean/{number:05}.tif" for number in range(7)]
    camera_tiff(clean[1], colours(66, 96))  # of another size
    camera_tiff(clean[2], np.full((64, 96, 3), 0.3))  # nothing to judge by
    (folder / "dark/00003_x20.dng").write_bytes(b"no RAW file")
    clean[4].unlink()
    turned = replace(UPRIGHT, orientation=3)
    dng(folder / "dark/00005_x20.dng", mosaic(colours(64, 96), ratio=20), about=turned)
    tifffile.imwrite(clean[5], levels(colours(64, 96)), photometric="rgb", metadata=None)
    dng(folder / "dark/00006_x20.dng", np.full((64, 96), 512, np.uint16), about=UPRIGHT)
    lines = judged(folder)
    errors = {line.get("pair", line.get("file")): line["error"] for line in lines if "error" in line}
    assert [line["pair"] for line in lines if "error" not in line] == ["00000_x20"]
    told = {
        "00001_x20": "96 x 66",
        "00002_x20": "one colour all over",
        "00003_x20": "00003_x20.dng",
        str(folder / "dark/00004_x20.dng"): "no clean picture",
        "00005_x20": "not taken upright",
        "00006_x20": "black all over",
    }
    assert errors.keys() == told.keys()
    assert all(word in errors[name] for name, word in told.items()), errors
    assert not any("\n" in error for error in errors.values())


def test_a_camera_reference_lies_as_the_sensor_does_however_the_camera_was_held(tmp_path):
    folder = pairs(tmp_path, 1)
    (upright,) = judged(folder)
    dng(folder / "dark/00000_x20.dng", mosaic(colours(64, 96), ratio=20), about=replace(UPRIGHT, orientation=6))
    (turned,) = judged(folder)
    assert turned["developed"] == upright["developed"]


def test_what_cannot_be_asked_is_refused_before_the_first_pair(tmp_path, monkeypatch):
    folder = pairs(tmp_path, 1)
    for terms in ({"ratio": "sweep"}, {"ratio": "much"}, {"strength": 2.0}):
        with pytest.raises(BadOption):
            judged(folder, **terms)
    monkeypatch.setattr(evaluating, "read", None)  # no pair is begun
    with monkeypatch.context() as patch, pytest.raises(BadOption, match="enhances"):
        patch.setattr(evaluating, "open_model", lambda *_, **__: fake(task="depth"))
        judged(folder, "amplified", "depth.onnx")
    monkeypatch.setattr(library.importlib, "import_module", _without_engines)
    with pytest.raises(MissingLibrary, match="pip install"):
        judged(folder, "amplified", str(tiny()))


def _without_engines(name):
    raise ModuleNotFoundError(name=name)


def test_too_little_memory_for_a_frame_is_said_with_the_least(tmp_path):
    folder = pairs(tmp_path, 1)
    (line,) = judged(folder, max_memory=2**21)
    assert "--max-memory" in line["error"]
    with pytest.raises(TooLittleMemory):
        Enhancer(fake(), Wish(max_memory=2**21)).prepare(read(folder / "dark/00000_x20.dng"))


def test_what_is_done_is_not_done_again_unless_a_file_a_term_or_the_model_changed(tmp_path, monkeypatch):
    folder, out = pairs(tmp_path / "pairs", 2), tmp_path / "o.jsonl"
    began = []
    monkeypatch.setattr(evaluating, "read", lambda path: began.append(path.stem) or read(path))
    first = judged(folder, out=out)
    assert judged(folder, out=out) == first
    assert began == ["00000_x20", "00001_x20"]
    os.utime(folder / "clean/00001.tif", (1, 1))
    assert figures(judged(folder, out=out)) == figures(first)
    assert began[2:] == ["00001_x20"]
    judged(folder, out=out, strength=0.5)
    judged(folder, str(tiny(output="camera-linear")), out=out)
    assert len(began) == 3 + 2 + 2
    # The same file under another name is the same model; its lines are told by the name it has now.
    (tmp_path / "copy.onnx").write_bytes(Path(tiny(output="camera-linear")).read_bytes())
    again = judged(folder, str(tmp_path / "copy.onnx"), out=out)
    assert len(began) == 7
    assert {(line["model"], line["file"]) for line in again} == {(str(tmp_path / "copy.onnx"),) * 2}


RUN = """
import json, sys
from runtime.evaluating import Terms, evaluate
from runtime.pairing import paired
for line in evaluate(paired(sys.argv[1]), ["amplified"], terms=Terms(), out=sys.argv[2]):
    print(json.dumps(line), flush=True)
    if line["pair"] == sys.argv[3]:
        sys.stdin.read()  # until it is killed
"""


def test_a_run_that_is_killed_and_begun_again_has_the_figures_of_one_that_was_not(tmp_path):
    folder, out = pairs(tmp_path / "pairs", 4), tmp_path / "o.jsonl"
    whole = judged(folder)
    words = [sys.executable, "-c", RUN, folder, out, "00001_x20"]
    run = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for _ in range(2):
        assert run.stdout.readline()
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    run.stdin.close()
    run.stdout.close()
    assert len(out.read_text().splitlines()) == 2
    out.write_bytes(out.read_bytes() + b'{"key": "torn", "li')
    start = time.time_ns()
    resumed = judged(folder, out=out)
    assert figures(resumed) == figures(whole)
    kept = [json.loads(text) for text in out.read_text().splitlines() if text.endswith("}")]
    assert sorted(line["pair"] for line in kept) == [line["pair"] for line in whole]
    assert out.stat().st_mtime_ns > start


PEAK = """
import sys
from runtime import evaluating
from runtime.evaluating import Terms, evaluate
from runtime.memory import peak_of
from runtime.pairing import paired
kept, read = [], evaluating.read
def keeping(path):
    raw = read(path)
    kept.extend([raw, raw.mosaic.copy(), raw.mosaic.copy()])  # far more than what varies from run to run
    return raw
if sys.argv[3] == "keep":
    evaluating.read = keeping
def run(folder):
    return sum("error" not in line for line in evaluate(paired(folder), ["amplified"], terms=Terms(threads=1)))
run(sys.argv[1])
print(peak_of(lambda: print(run(sys.argv[2]))))
"""


def peak(warm, folder, *, keep="forget"):
    done = subprocess.run(
        [sys.executable, "-c", PEAK, warm, folder, keep], cwd=ROOT, capture_output=True, text=True, check=True
    )
    count, most = map(int, done.stdout.split())
    assert count == len(list((folder / "dark").iterdir()))
    return most


def test_twice_the_pairs_take_the_same_memory(tmp_path):
    if not resident():
        pytest.skip("this system does not tell")
    source = pairs(tmp_path / "0", 1, size=(1000, 1200))
    for count in (2, 4):  # from the second on something of the one before lies about
        for part, name in (("dark", "{:05}_x20.dng"), ("clean", "{:05}.tif")):
            (tmp_path / str(count) / part).mkdir(parents=True)
            for number in range(count):
                (tmp_path / str(count) / part / name.format(number)).symlink_to(source / part / name.format(0))
    few = peak(source, tmp_path / "2")
    assert abs(peak(source, tmp_path / "4") - few) < SAME
    # The control: frames that are kept are seen, those of four pairs more than the one at work.
    assert peak(source, tmp_path / "4", keep="keep") - few > 1.5 * SAME
