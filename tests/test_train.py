"""A recipe, from its first step to files that run."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import keras_models
import runtime
from keras_models import parents
from quant import learn
from quant.recipe import (
    Distill,
    Export,
    Fit,
    FixedPoint,
    Float,
    Model,
    PaperFixedPoint,
    Ptq,
    Qat,
    Recipe,
    Rooms,
    Sid,
    Synthetic,
    read,
)
from quant.run import finished
from quant.train import train
from quant.watch import Watch
from runtime.errors import BadOption, FileError, UnknownName, UnreadableFile, WrongNetwork

FEW = Fit(steps=3, batch=2, size=32, checkpoint_every=2, validate_every=2)
SCHEMES = {
    "float": Float(),
    "qat": Qat(samples=4, skip=("down1_conv1",)),
    "w4a6": FixedPoint(weight_bits=4, activation_bits=6, samples=4),
    "paper": PaperFixedPoint(),
    "ptq": Ptq(samples=4, equalize=True, correct=True),
    "ptq, qat": Ptq(samples=4),
}
ONNX = (Export(format="onnx"),)


@pytest.fixture(autouse=True)
def _few_held(monkeypatch):
    monkeypatch.setattr(learn, "HELD", 4)


def recipe(scheme=SCHEMES["float"], *, name="small", **changes):
    plain = Recipe(
        name=name,
        model=Model(network="unet", options={"width": 4, "levels": 2, "activation": "relu"}),
        scheme=scheme,
        fit=FEW,
        fine_tune=replace(FEW, steps=0 if scheme in (Float(), SCHEMES["ptq"]) else 2),
        data=Synthetic(ratio=(50.0, 100.0)),
    )
    return replace(plain, **changes)


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """A run that others begin from."""
    folder = tmp_path_factory.mktemp("runs")
    train(recipe(name="before", exports=ONNX), out=folder / "before")
    return folder


def weights(path):
    return keras_models.load(path)[0].get_weights()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.usefixtures("eagerly")
def test_every_scheme_trains_exports_within_parity_and_runs(scheme, tmp_path):
    result = train(recipe(SCHEMES[scheme]), out=tmp_path / "run")
    assert sorted(result.files) == ["small.onnx", "small.tflite"]
    assert set(result.figures) == ({"float"} if scheme == "float" else {"float", "fine"})
    for name in result.files:
        opened = runtime.open(tmp_path / "run" / name)
        assert opened.contract.output == "camera-linear"
        assert "synthetic pairs at x50 to x100: dead leaves, any camera" in opened.contract.trained_on
        made = opened.run(np.full((4, 32, 48), 0.3, np.float32))
        assert made.shape == (3, 64, 96)
        assert np.isfinite(made).all()


@pytest.mark.usefixtures("eagerly")
def test_who_watches_is_told_of_a_layer_that_fell_silent(tmp_path):
    seen = []

    class Told(Watch):
        def fell_silent(self, part, number, layers):
            seen.append((part, number, layers))

    train(recipe(), out=tmp_path / "fine", watch=Told())
    assert seen == []
    violent = replace(FEW, optimizer="adam", rate=1.0, steps=6, validate_every=6)
    train(recipe(fit=violent), out=tmp_path / "died", watch=Told())
    assert [told[:2] for told in seen] == [("float", 5)]
    assert set(seen[0][2]) <= {layer.name for layer in keras_models.load(tmp_path / "died" / "master.npz")[0].layers}


def test_a_run_goes_on_where_it_stands_and_keeps_to_its_recipe(tmp_path):
    first = train(recipe(), out=tmp_path)
    again = train(recipe(), out=tmp_path)
    assert again.figures == first.figures
    assert len((tmp_path / "float" / "history.jsonl").read_text().splitlines()) == 3
    assert finished(tmp_path, recipe())
    assert not finished(tmp_path, recipe(name="other"))
    with pytest.raises(FileError, match="another recipe"):
        train(recipe(fit=replace(FEW, rate=1.0)), out=tmp_path)
    (tmp_path / "small.onnx").unlink()
    assert not finished(tmp_path, recipe())


def test_the_folder_of_a_run_explains_itself(before):
    run = before / "before"
    note = json.loads((run / "run.json").read_text())
    assert note["recipe"]["fit"]["steps"] == 3
    assert {"tensorflow", "qkeras", "numpy", "python"} <= note["versions"].keys()
    if (Path(learn.__file__).parent.parent / ".git").exists():
        assert len(note["commit"].removesuffix("-dirty")) >= 12
    history = [json.loads(line) for line in (run / "float" / "history.jsonl").read_text().splitlines()]
    assert [line["step"] for line in history] == [0, 1, 2]
    assert [("psnr" in line, "ssim" in line) for line in history] == [(False,) * 2, (True,) * 2, (True,) * 2]
    assert [path.name for path in sorted((run / "float" / "pictures").iterdir())] == ["00000001.png", "00000002.png"]
    assert list((run / "float" / "tensorboard").iterdir())
    assert json.loads((run / "result.json").read_text())["figures"]["float"].keys() == {"psnr", "ssim", "mse"}


def test_both_fits_are_measured_on_the_same_pairs_whatever_they_learn_from(tmp_path):
    """The second fit moves nothing here, so its figures are the first one's unless the pairs are others."""
    for size, same in ((32, True), (48, False)):
        still = replace(FEW, steps=1, rate=1e-12, seed=7, size=size)
        one = recipe(fit=replace(FEW, steps=0), fine_tune=still, exports=ONNX)
        found = train(one, out=tmp_path / str(size)).figures
        assert (found["fine"] == pytest.approx(found["float"], rel=1e-6)) is same


def test_another_scheme_begins_with_the_weights_of_a_finished_run(before):
    warm = recipe(PaperFixedPoint(), warm_start="before", fit=replace(FEW, steps=0), exports=ONNX)
    train(warm, out=before / "warm")
    first, begun, ended = (weights(before / p) for p in ("before/master.npz", "warm/float.npz", "warm/master.npz"))
    assert all(np.array_equal(a, b) for a, b in zip(first, begun, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(begun, ended, strict=True)), "the comparison can fail"
    assert runtime.open(before / "warm/small.onnx").contract.trained_on.endswith(", 3 + 2 steps"), "those before count"


def test_weights_for_other_numbers_are_not_taken_as_they_are_and_do_not_teach(before):
    root, srgb = (Synthetic(ratio=(50.0, 100.0), output=output) for output in ("camera-root", "srgb"))
    still, maps = replace(FEW, steps=0), ("down1_act2",)
    taught = Distill(teacher="before", teacher_maps=maps, student_maps=maps)
    for changes, words in (
        ({"warm_start": "before", "fit": still, "data": root}, "the range 'black-to-white': take weights for 'root'"),
        ({"warm_start": "before", "fit": still, "data": srgb}, "the output 'camera-linear': take weights for 'srgb'"),
        ({"distill": taught, "data": root}, "the range 'black-to-white': take weights for 'root'"),
    ):
        with pytest.raises(WrongNetwork, match=words):
            train(recipe(**changes), out=before / "other")
    assert not (before / "other").exists()


def test_a_model_that_ships_is_trained_on_from_the_weights_that_ship(tmp_path):
    shipped = read("shipped/small")
    few = replace(shipped.fine_tune, steps=1, batch=1, size=16, validate_every=1)
    scheme = replace(shipped.scheme, samples=1)
    train(replace(shipped, scheme=scheme, fine_tune=few, exports=ONNX), out=tmp_path / "run")
    begun, parent = (weights(path) for path in (tmp_path / "run/float.npz", parents.located("fast")))
    assert all(np.array_equal(a, b) for a, b in zip(begun, parent, strict=True))
    made = runtime.open(tmp_path / "run/small.onnx").contract
    assert made.trained_on.endswith(", 48000 + 1 steps"), "both fits of the float weights count"
    assert (made.weight_bits, made.activation_bits) == (4, 8)


@pytest.mark.parametrize(
    "scheme",
    [Qat(skip=("picture_con",)), Ptq(bits_of={"picture_con": 4}), Ptq(bits_of={"picture_con": 4}, equalize=True)],
)
def test_a_layer_that_a_scheme_names_and_the_network_has_not_is_named_before_a_step_is_trained(scheme, tmp_path):
    with pytest.raises(UnknownName, match="picture_con"):
        train(recipe(scheme), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_student_learns_from_the_maps_of_a_finished_run(before):
    maps = ("down1_act2", "out1_act2")
    distill = Distill(teacher="before", teacher_maps=maps, student_maps=maps)
    taught = recipe(Qat(samples=4), distill=distill, data=Synthetic(ratio=(50.0, 100.0), samples=4), exports=ONNX)
    train(taught, out=before / "taught")
    assert list((before / "taught" / "teacher").iterdir()), "teacher's maps of four samples are kept"
    for name, wrong in (("down9_act2", "down9_act2"), ("teacher of another place", "nowhere")):
        changed = {"student_maps": (wrong, maps[1])} if name == wrong else {"teacher": wrong}
        with pytest.raises((UnknownName, UnreadableFile), match=wrong):
            train(replace(taught, distill=replace(distill, **changed)), out=before / name)


def test_half_precision_trains_float32_weights_to_nearly_the_same(before, monkeypatch):
    monkeypatch.setattr(learn, "available", lambda: True)
    train(recipe(fit=replace(FEW, mixed_precision=True), exports=ONNX), out=before / "mixed")
    full, half = (weights(before / run / "master.npz") for run in ("before", "mixed"))
    assert all(weight.dtype == np.float32 for weight in half)
    moved = sum(float(np.abs(a - b).sum()) for a, b in zip(full, half, strict=True))
    assert moved > 0, "it did compute otherwise"
    assert moved / sum(float(np.abs(a).sum()) for a in full) < HALF, "three steps of 1e-4 at most each way"


HALF = 2 * 3 * 1e-4 / 0.05  # Adam moves a weight by its rate a step; these are 0.05 and more on average


def test_what_cannot_be_trained_is_said_before_hours_are_spent(tmp_path):
    for changes, words in (
        ({"data": Rooms()}, "depth"),
        ({"data": Sid(camera="Fuji")}, "x-trans"),
        ({"data": Sid()}, "--data"),
        ({"data": Synthetic(ratio=(1.0, 900.0))}, "up to 300"),
        ({"fit": replace(FEW, loss="ssim", size=4)}, "fit.size cannot be 4: use 6 or more: ssim compares 11 x 11"),
        ({"fine_tune": replace(FEW, loss="ms-ssim-l1", size=4)}, "fine_tune.size cannot be 4: use 6 or more"),
        ({"warm_start": "nowhere"}, "is no finished run: train 'nowhere' first"),
    ):
        with pytest.raises((BadOption, UnreadableFile), match=words):
            train(recipe(**changes), out=tmp_path / "run")
    assert not (tmp_path / "run" / "float").exists()
