"""Every recipe that comes with the project, for two steps and as narrow as may be: it trains, exports and runs."""

from dataclasses import replace

import numpy as np
import pytest

import runtime
from quant import learn
from quant.recipe import Float, PaperFixedPoint, names, read
from quant.train import train

NARROW = {"effnet-ffnet": {"width": 8}, "squeeze": {"width": 8}, "c-unet": {}}  # all others: 4
SIZE = {"effnet-ffnet": 64, "c-unet": 32}


def small(recipe):
    """The same recipe, small."""
    network = recipe.model.network
    model = replace(recipe.model, options={**recipe.model.options, **NARROW.get(network, {"width": 4})})
    few = {"steps": 2, "batch": 2, "size": SIZE.get(network, 64), "validate_every": 2}
    quantized = not isinstance(recipe.scheme, Float)
    scheme = recipe.scheme
    if quantized and not isinstance(scheme, PaperFixedPoint):
        scheme = replace(scheme, samples=2)
    fine = replace(recipe.fine_tune, **few) if quantized else recipe.fine_tune
    return replace(recipe, model=model, scheme=scheme, fit=replace(recipe.fit, **few), fine_tune=fine)


@pytest.mark.parametrize("name", names())
@pytest.mark.usefixtures("eagerly")
def test_a_recipe_trains_exports_within_parity_and_runs(name, tmp_path, monkeypatch):
    monkeypatch.setattr(learn, "HELD", 4)
    recipe = small(read(name))
    if recipe.distill:
        train(small(read(recipe.distill.teacher)), out=tmp_path / recipe.distill.teacher)
    result = train(recipe, out=tmp_path / name)
    assert set(result.figures) == ({"float"} if isinstance(recipe.scheme, Float) else {"float", "fine"})
    assert sorted(result.files) == [f"{name}.onnx", f"{name}.tflite"]
    for file in result.files:
        session = runtime.open(tmp_path / name / file)
        made = session.run(np.full((len(session.contract.planes), recipe.fit.size, recipe.fit.size), 0.3, np.float32))
        assert np.isfinite(made).all()
