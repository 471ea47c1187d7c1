"""`qk-run bench` on the self-test's tiny networks: what its figures are, never how large its times."""

import dataclasses
import json
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from raw_files import ABOUT, arw, scene

import runtime
from runtime import bench_frames, decode
from runtime.bench import bench, errors, planes
from runtime.bench_frames import STAGES
from runtime.bench_table import lines
from runtime.contract import Contract
from runtime.errors import BadOption, FileError, MissingLibrary, UnreadableFile
from runtime.ort import CONTRACT
from runtime.rails import Counted, Meters
from runtime.root import CUT
from runtime.selftest import FOLDER, STEP
from runtime.show_bench import bench_all

ROW = {
    *("model", "file", "digest", "network", "bits", "engine", "provider", "size_bytes", "load_ms", "median_ms"),
    *("p95_ms", "per_second", "times_first", "peak_bytes", "int8_share", "provider_share", "energy_mj", "energy_why"),
    *("max_error", "mean_error", "error_against"),
}
FRAME = {
    *("model", "engine", "provider", "path", "height", "width", "format", "seconds", "total_s", "overlapped_s"),
    *("peak_bytes", "energy_mj"),
}
TOP = {"kind", "version", "machine", "date", "threads", "side", "rounds", "rows", "frames"}
ONE_STEP = STEP * 1.01  # the shifted bias is rounded anew, which may carry a value over to the next step
QUICK = {"side": 32, "rounds": 2, "threads": 1}


def model(path, *, shift=0.0, **changes):
    """The self-test with another contract, and its answer shifted by so many steps of its grid."""
    file = onnx.load(FOLDER / "selftest.onnx")
    entry = next(p for p in file.metadata_props if p.key == CONTRACT)
    entry.value = dataclasses.replace(Contract.from_json(entry.value, source=path), **changes).to_json()
    for tensor in file.graph.initializer:
        if tensor.name == "last_bias_q" and shift:
            scale = next(t for t in file.graph.initializer if t.name == "last_bias_scale")
            levels = onnx.numpy_helper.to_array(tensor) + np.rint(shift * STEP / onnx.numpy_helper.to_array(scale))
            tensor.CopyFrom(onnx.numpy_helper.from_array(levels.astype(np.int32), tensor.name))
    onnx.save(file, path)
    return str(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A float model by its contract, the int8 one in both formats, and a RAW frame."""
    folder = tmp_path_factory.mktemp("bench")
    model(folder / "float.onnx", weight_bits=32, activation_bits=32)
    model(folder / "int8.onnx", shift=3)
    shutil.copy(FOLDER / "selftest.tflite", folder / "int8.tflite")
    about = dataclasses.replace(ABOUT, orientation=1)
    arw(folder / "night.ARW", scene(96, 128, light=(0.003, 0.005, 0.002)), about=about)
    return folder


@pytest.fixture(scope="module", autouse=True)
def few_runs():
    """What frames are run for is their fields: two rounds fewer and four copies fewer fill them as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runtime.bench_frames.ROUNDS", 1)
        patch.setattr("runtime.bench_frames.COPIES", 2)
        yield


@pytest.fixture(scope="module")
def report(folder):
    names = ("float.onnx", "int8.onnx", "int8.tflite")
    return bench([str(folder / name) for name in names], **QUICK, frames=[folder / "night.ARW"])


def test_a_report_has_every_field_and_is_json(report):
    assert report.keys() >= TOP
    assert (report["kind"], report["version"], report["problems"]) == ("bench", 1, [])
    assert [row["model"] for row in report["rows"]] == ["float.onnx", "int8.onnx", "int8.tflite"]
    assert all(row.keys() >= ROW for row in report["rows"])
    assert all(frame.keys() >= FRAME for frame in report["frames"])
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_a_row_says_what_ran_and_what_it_took(report, folder):
    for row in report["rows"]:
        path = folder / row["model"]
        assert (row["file"], row["size_bytes"]) == (str(path), path.stat().st_size)
        assert (row["int8_share"], row["provider_share"]) == (1.0, 1.0)
        assert 0 < row["best_ms"] <= row["median_ms"] <= row["p95_ms"]
        assert row["per_second"] == pytest.approx(1e3 / row["median_ms"], rel=1e-12)
        assert 10 << 20 < row["peak_bytes"] < 1 << 30
    first = report["rows"][0]["median_ms"]
    assert [row["times_first"] * row["median_ms"] for row in report["rows"]] == pytest.approx([first] * 3, rel=1e-12)
    assert [row["bits"] for row in report["rows"]] == ["float", "w8a8", "w8a8"]
    assert [row["engine"].split()[0] for row in report["rows"]] == ["ONNX", "ONNX", "LiteRT"]


def test_errors_are_against_the_float_model_of_the_same_network(report):
    reference, shifted, same = report["rows"]
    assert (reference["max_error"], reference["error_against"]) == (None, None)
    assert shifted["max_error"] == pytest.approx(3 * STEP, abs=ONE_STEP)
    assert 2 * STEP < shifted["mean_error"] < shifted["max_error"]
    assert same["max_error"] <= 1e-6  # engines multiply by the grid's step in another order
    assert {shifted["error_against"], same["error_against"]} == {"float.onnx on cpu"}


def test_without_a_float_model_there_is_no_error_unless_one_is_named(folder):
    paths = [str(folder / "int8.onnx"), str(folder / "int8.tflite")]
    assert [row["max_error"] for row in bench(paths, **QUICK)["rows"]] == [None, None]
    named = bench(paths, **QUICK, against="int8.tflite")["rows"]
    assert named[0]["max_error"] == pytest.approx(3 * STEP, abs=ONE_STEP)
    assert (named[1]["max_error"], named[0]["error_against"]) == (None, "int8.tflite on xnnpack")
    with pytest.raises(BadOption, match="--against cannot be 'other'"):
        bench(paths, **QUICK, against="other")


def test_a_frame_has_its_stages_alone_and_its_time_among_others(report, folder):
    assert [frame["model"] for frame in report["frames"]] == ["float.onnx", "int8.onnx", "int8.tflite"]
    for frame in report["frames"]:
        assert frame["seconds"].keys() == set(STAGES)
        # Stages are rounded to a tenth of a millisecond, and something lies between them.
        assert 0 < sum(frame["seconds"].values()) < frame["total_s"] + 1e-3
        assert frame["overlapped_s"] > 0
        assert (frame["height"], frame["width"], frame["format"]) == (96, 128, "tiff")
        assert frame["path"] == str(folder / "night.ARW")
        assert frame["peak_bytes"] > 30 << 20


def test_what_cannot_be_measured_is_named_and_the_rest_goes_on(folder, tmp_path):
    model(tmp_path / "depth.onnx", task="depth", output="depth")
    model(tmp_path / "coarse.onnx", multiple=64, halo=64)
    (tmp_path / "torn.onnx").write_bytes(b"\x08\x07torn")
    (tmp_path / "torn.ARW").write_bytes(b"II*\0torn")
    names = [folder / "int8.onnx", *(tmp_path / f"{name}.onnx" for name in ("depth", "coarse", "torn", "absent"))]
    frames = [folder / "night.ARW", tmp_path / "torn.ARW"]
    report = bench([str(n) for n in names], providers=["cpu", "no-such"], **QUICK, frames=frames)
    said = [f"{one['model']}: {one['problem']}" for one in report["problems"]]

    def told(*words):
        return any(all(word in line for word in words) for line in said)

    assert [row["model"] for row in report["rows"]] == ["int8.onnx", "depth.onnx"]
    assert [frame["model"] for frame in report["frames"]] == ["int8.onnx", "coarse.onnx"]
    assert told("int8.onnx on no-such", "provider")
    assert told("coarse.onnx", "32 x 32 is no multiple of 64")
    assert told("depth.onnx", "a network that enhances RAW frames")
    assert told("torn.onnx", "cut short")
    assert told("absent.onnx", "cannot be read")
    assert told("int8.onnx", "torn.ARW", "cut short")
    shown = "\n".join(lines(report))
    assert all(line in shown for line in said)


def test_an_engine_that_is_missing_is_named_with_its_pip_line(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    report = bench([str(folder / "int8.onnx"), str(folder / "int8.tflite")], **QUICK)
    assert [row["model"] for row in report["rows"]] == ["int8.onnx"]
    assert [one["problem"] for one in report["problems"]] == [str(MissingLibrary("ai_edge_litert", "litert"))]


def test_when_nothing_can_be_opened_the_first_reason_is_raised(tmp_path):
    with pytest.raises(UnreadableFile, match="a\\.onnx"):
        bench([str(tmp_path / "a.onnx"), str(tmp_path / "b.onnx")], **QUICK)


def test_a_format_that_is_none_is_said_before_anything_runs(folder):
    with pytest.raises(BadOption, match="gif"):
        bench([str(folder / "int8.onnx")], **QUICK, format="gif")


def test_a_frame_that_is_not_there_is_said_before_anything_runs(folder, tmp_path):
    said = []
    with pytest.raises(UnreadableFile, match=r"gone\.ARW"):
        bench([str(folder / "int8.onnx")], **QUICK, frames=[tmp_path / "gone.ARW"], said=said.append)
    assert said == []


def test_one_decoder_waits_for_every_lap_so_that_neither_time_nor_energy_is_of_starting_it(folder, monkeypatch):
    starts = []
    popen = decode.subprocess.Popen

    def counted(*words, **options):
        starts.append(words)
        return popen(*words, **options)

    monkeypatch.setattr(decode, "subprocess", SimpleNamespace(Popen=counted, PIPE=-1, DEVNULL=-3))
    monkeypatch.setattr(bench_frames.Course, "peak", lambda course, one: None)
    monkeypatch.setattr(bench_frames, "meters", lambda _: Meters((Counted("starts", lambda: 1e-9 + len(starts)),)))
    (row,) = bench([str(folder / "int8.onnx")], **QUICK, frames=[folder / "night.ARW"])["frames"]
    assert len(starts) == 1
    assert row["energy_mj"] is None, "no start was metered"
    assert row["overlapped_s"] > 0


@pytest.mark.parametrize(("range_", "limits"), [("root", CUT), ("unit", (0, 1)), ("black-to-white", (0, 1))])
def test_inputs_come_again_and_lie_where_the_network_looks(range_, limits):
    contract = runtime.open(FOLDER / "selftest.onnx", provider="cpu").contract
    contract = dataclasses.replace(contract, range=range_)
    x = planes(contract, 48, seed=1)
    assert (x.shape, x.dtype) == ((4, 48, 48), np.float32)
    assert limits[0] <= x.min() < x.max() <= limits[1]
    assert np.array_equal(planes(contract, 48, seed=1), x)
    assert not np.array_equal(planes(contract, 48, seed=2), x)


def test_networks_that_see_or_answer_something_else_are_not_compared(folder, tmp_path):
    ours = runtime.open(folder / "int8.onnx", provider="cpu")
    other = runtime.open(model(tmp_path / "a.onnx", range="root"), provider="cpu")
    assert errors(ours, other, 32) is None
    assert errors(ours, ours, 32) == (0.0, 0.0)


def test_the_command_writes_its_file_whole_and_its_code_tells_of_problems(folder, tmp_path, capsys):
    options = {"format_": "tiff", "side": 32, "rounds": 1, "threads": 1, "frames": (), "against": None}
    out = tmp_path / "made" / "bench.json"
    assert bench_all([str(folder / "int8.onnx")], provider="cpu", as_json=True, out=out, **options) == 0
    told = json.loads(out.read_text())
    assert told == json.loads(capsys.readouterr().out)
    assert told["command"].split()[0] == "qk-run"
    assert bench_all([str(folder / "int8.onnx")], provider="cpu, cuda", as_json=False, out=None, **options) == 1
    assert "| int8.onnx" in capsys.readouterr().out
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="cannot be written"):
        bench_all([str(folder / "int8.onnx")], provider="cpu", as_json=True, out=tmp_path / "file/b.json", **options)
    assert json.loads(capsys.readouterr().out)["rows"], "what was measured is not lost"
    with pytest.raises(BadOption, match="--provider"):
        bench_all([], provider=",", as_json=True, out=None, **options)
