"""A recipe, from its first step to files that run."""

from dataclasses import replace

import numpy as np
import pytest

import runtime
from quant.recipe import Data, Fit, FixedPoint, Float, Model, PaperFixedPoint, Qat, Recipe
from quant.train import train
from runtime.errors import BadOption, FileError

FEW = Fit(steps=3, batch=2, size=32, checkpoint_every=2, validate_every=2)
SCHEMES = {
    "float": Float(),
    "qat": Qat(samples=4),
    "w4a6": FixedPoint(weight_bits=4, activation_bits=6, samples=4),
    "paper": PaperFixedPoint(),
}


def recipe(scheme, **changes):
    plain = Recipe(
        name="small",
        model=Model(network="unet", options={"width": 4, "levels": 2, "activation": "relu"}),
        scheme=scheme,
        fit=FEW,
        fine_tune=replace(FEW, steps=0 if scheme == Float() else 2),
        data=Data(ratio=(50.0, 100.0)),
    )
    return replace(plain, **changes)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_trains_exports_within_parity_and_runs(scheme, tmp_path):
    result = train(recipe(SCHEMES[scheme]), out=tmp_path / "run")
    assert sorted(result.files) == ["small.onnx", "small.tflite"]
    assert set(result.decibel) == ({"float"} if scheme == "float" else {"float", "fine"})
    for name in result.files:
        opened = runtime.open(tmp_path / "run" / name)
        assert opened.contract.output == "camera-linear"
        assert "synthetic pairs at x50 to x100" in opened.contract.trained_on
        made = opened.run(np.full((4, 32, 48), 0.3, np.float32))
        assert made.shape == (3, 64, 96)
        assert np.isfinite(made).all()


def test_a_run_goes_on_where_it_stands_and_keeps_to_its_recipe(tmp_path):
    first = train(recipe(Float()), out=tmp_path)
    again = train(recipe(Float()), out=tmp_path)
    assert again.decibel == first.decibel
    assert len((tmp_path / "float" / "history.jsonl").read_text().splitlines()) == 3
    with pytest.raises(FileError, match="another recipe"):
        train(recipe(Float(), fit=replace(FEW, rate=1.0)), out=tmp_path)


def test_what_cannot_be_trained_is_said_before_hours_are_spent(tmp_path):
    for changes in (
        {"data": Data(kind="rooms")},
        {"data": Data(folder="photos")},
        {"warm_start": "elsewhere"},
        {"scheme": Qat(skip=("down1_conv1",))},
        {"fit": replace(FEW, mixed_precision=True)},
    ):
        with pytest.raises(BadOption, match="cannot do that yet"):
            train(replace(recipe(Float()), **changes), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
