"""From a finished float run and a budget to a run of mixed bits."""

import csv
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from test_train import FEW, ONNX, recipe

from quant import learn, mix, mixed
from quant.budget import Budget
from quant.cli import main
from quant.recipe import Export, Model, from_json, to_json
from quant.run import Result, claim, recipe_of
from quant.scheme import Ptq
from quant.train import train
from quant.watch import Watch
from runtime.errors import BadOption, FileError
from runtime.session import open as open_model

A_FEW = 24  # bytes: digits of figures that are not known before the file is written


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learn, "HELD", 4)
        model = Model(network="unet", options={"width": 16, "levels": 2, "activation": "relu"})
        train(
            recipe(name="whole", model=model, exports=ONNX), out=(folder := tmp_path_factory.mktemp("runs") / "whole")
        )
    return folder


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(mix, "HELD", 4)
    monkeypatch.setattr(mix, "ALONG", 2)
    monkeypatch.setattr(mixed, "SWAPS", 6)
    monkeypatch.setattr(mix, "SCHEME", Ptq(weights="mse", samples=8))


def search(*words):
    done = CliRunner().invoke(main, ["--search", *map(str, words)])
    return done, done.output.splitlines()


def test_a_budget_is_kept_by_the_file_and_the_run_says_which_bits(run, few, tmp_path):
    most = (run / "whole.onnx").stat().st_size // 3
    done, lines = search(run, "--max-size", most, "--max-drop", "40dB", "--out", tmp_path / "small")
    assert done.exit_code == 0, done.output
    path = tmp_path / "small/whole-mixed.onnx"
    assert path.stat().st_size <= most
    made = recipe_of(tmp_path / "small")
    assert made.scheme == Ptq(weights="mse", samples=8, bits_of=made.scheme.bits_of)
    assert (made.fit.steps, made.data) == (0, recipe_of(run).data)
    assert min(made.scheme.bits_of.values()) < 8
    assert open_model(path).contract.scheme == "ptq"
    with (tmp_path / "small/front.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert sum("taken" in row[0] for row in rows) == 1
    sizes, figures = ([float(row[column]) for row in rows[1:]] for column in (1, 5))
    assert sizes == sorted(sizes)
    assert len(sizes) >= 4
    assert np.isfinite(figures).all()
    assert (tmp_path / "small/front.svg").read_text().startswith("<svg")
    assert any("picture_conv" in line for line in lines)
    forecast = mix._Run(run, recipe_of(run), watch=Watch()).sizes(made.scheme.bits_of)["onnx"]
    assert 0 <= forecast - path.stat().st_size < A_FEW


def test_what_cannot_be_is_said_in_a_line(run, few, tmp_path):
    for words, told in (
        ([run], "--max-size, --max-drop or --max-mac-bits"),
        ([tmp_path, "--max-drop", "1"], "finished run of a float recipe"),
        ([run, "--max-size", "2kB"], "--max-size cannot be 2000: use "),
        ([run, "--max-drop", "1", "--steps", "3"], "all else is as the run has it"),
        ([run, "--max-drop", "1", "--steps", "0"], "all else is as the run has it"),
        ([run, "unet", "--max-drop", "1"], "--search"),
    ):
        done, lines = search(*words)
        assert (done.exit_code, len(lines)) == (2, 1), done.output
        assert told in lines[0], lines
    done = CliRunner().invoke(main, ["unet", "--max-drop", "1"])
    assert "it with --search" in done.output


@pytest.fixture
def steps(tmp_path, monkeypatch):
    """What a search does to a run of a float recipe, in order, with nothing behind it."""
    w4 = Export(format="onnx", bits=4)
    claim(tmp_path / "whole", recipe(name="whole", fine_tune=replace(FEW, mixed_precision=True), exports=(*ONNX, w4)))
    seen = []

    def train(recipe, *, out, watch):
        claim(out, recipe)
        seen.append(recipe)

    monkeypatch.setattr(mix, "_Run", lambda *args, **options: SimpleNamespace(kernels={}, formats=["onnx"]))
    monkeypatch.setattr(mix, "_found", lambda *args: SimpleNamespace(bits_of={"picture_conv": 4}))
    monkeypatch.setattr(mix, "_along", lambda run, found: found)
    monkeypatch.setattr(mix, "write_front", lambda *args, **options: seen.append("front"))
    monkeypatch.setattr(mix, "train", train)
    return seen


def test_the_run_of_what_is_found_trains_nothing_whatever_its_float_run_trained(steps, tmp_path):
    mix.mixed(tmp_path / "whole", out=tmp_path / "small", budget=Budget(max_drop=1.0))
    front, small = steps
    assert front == "front", "what was judged is kept before anything else can go wrong"
    assert from_json(to_json(small), source="itself") == small
    assert (small.fit.steps, small.fine_tune.steps, small.exports) == (0, 0, ONNX)
    assert small.scheme == Ptq(weights="mse", bits_of={"picture_conv": 4})


def test_a_run_that_is_not_float_is_refused(tmp_path):
    claim(tmp_path / "small", recipe(Ptq(samples=4), name="small"))
    with pytest.raises(BadOption, match="float recipe"):
        mix.mixed(tmp_path / "small", out=tmp_path / "b", budget=Budget(max_drop=1.0))


def test_a_folder_of_something_else_is_refused_before_any_work_and_the_same_search_goes_on(
    steps, tmp_path, monkeypatch
):
    def search(out, drop=1.0):
        mix.mixed(tmp_path / "whole", out=tmp_path / out, budget=Budget(max_drop=drop))

    for _ in range(2):
        search("small")
    assert len(steps) == 4
    monkeypatch.setattr(mix, "_found", lambda *args: SimpleNamespace(bits_of={"picture_conv": 5}))
    with pytest.raises(FileError, match="another network"):
        search("small")
    claim(tmp_path / "other", recipe(name="other"))
    monkeypatch.setattr(mix, "_Run", lambda *args, **options: pytest.fail("worked"))
    for out, drop in (("other", 1.0), ("whole", 1.0), ("small", 2.0)):
        with pytest.raises(FileError, match="another search"):
            search(out, drop)
    assert len(steps) == 4, "no front is written over"


def test_a_run_named_with_a_slash_has_its_search_beside_it_and_not_inside(tmp_path, monkeypatch):
    seen = []

    def mixed(run, *, out, **options):
        seen.append(out)
        (out := tmp_path / "made").mkdir(exist_ok=True)
        (out / "front.md").touch()
        return Result(out, {}, {})

    monkeypatch.setattr(mix, "mixed", mixed)
    monkeypatch.chdir(tmp_path)
    for name in ("whole", "whole/", f"{tmp_path}/whole/", "whole/."):
        assert search(name, "--max-drop", "1")[0].exit_code == 0
    assert set(seen) == {tmp_path.resolve() / "whole-mixed"}


def files(**sizes):
    """A run that writes files of those sizes, with all kernels in 2 bits and in 4."""

    def of(bits_of):
        return {kind: sizes[kind][bits_of["conv"] == 4] for kind in made.formats}

    made = SimpleNamespace(
        formats=[*sizes], kernels={"conv": None}, sizes=of, largest=lambda bits: max(of(bits).values())
    )
    return made


@pytest.mark.parametrize(
    ("most", "formats", "packing"),
    [
        (400, ["onnx", "tflite"], "tflite"),  # 4 bits and 8 for both
        (350, ["onnx", "tflite"], "onnx"),  # the ONNX file needs fewer than 4
        (250, ["onnx"], "onnx"),
    ],
)
def test_every_file_that_is_written_holds_the_size_and_of_others_it_is_said(most, formats, packing):
    told = []
    run = files(onnx=(200, 360), tflite=(300, 300))
    assert mix._packing(run, most, told.append) == packing
    assert run.formats == formats
    left = [] if "tflite" in formats else ["no .tflite file is written: with all kernels in 2 bits it has 300 bytes"]
    assert [line.split(", and")[0] for line in told] == left


def test_a_size_that_no_file_holds_is_refused_with_what_each_has_at_the_least():
    with pytest.raises(BadOption, match=r"use 200 or more: .* \.onnx file has 200, a \.tflite file has 300"):
        mix._packing(files(onnx=(200, 360), tflite=(300, 300)), 199, pytest.fail)
    alone = files(tflite=(300, 300))
    assert mix._packing(alone, 300, pytest.fail) == "tflite"
