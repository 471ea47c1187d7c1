import pytest

import keras_models
from export.report import load_any
from keras_models import parents
from keras_models.weights import read as weights
from keras_models.zoo import completed
from quant import recipe
from quant.run import master
from runtime import shipped as shipped_models
from runtime.errors import UnreadableFile


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """One that ships."""
    model, contract = keras_models.build("c-unet++", width=2)
    keras_models.save(model, contract, tmp_path / "parents" / "tiny.npz")
    monkeypatch.setattr(parents, "FOLDER", tmp_path / "parents")
    monkeypatch.setattr(parents, "PARENTS", {"tiny": "tiny", "its-4-bits": "tiny"})
    return model


def test_weights_that_ship_go_by_name(shipped, tmp_path):
    assert parents.located("tiny") == tmp_path / "parents" / "tiny.npz"
    assert parents.located("its-4-bits") == parents.located("tiny"), "two models may be made of the same"
    assert parents.located("other") != parents.FOLDER / "other.npz"
    again, contract = keras_models.load("tiny")
    assert contract.options["width"] == 2
    assert all((a == b).all() for a, b in zip(shipped.get_weights(), again.get_weights(), strict=True))
    assert load_any(parents.located("tiny"))[0].model.count_params() == shipped.count_params()


def test_a_file_of_that_name_comes_first_a_folder_does_not(shipped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").mkdir()
    assert parents.located("tiny").parent == parents.FOLDER
    (tmp_path / "tiny").rmdir()
    (tmp_path / "tiny").write_text("mine")
    assert str(parents.located("tiny")) == "tiny"


def test_a_run_may_begin_with_them_unless_one_beside_it_has_the_name(shipped, tmp_path):
    assert master("tiny", beside=tmp_path / "run") == parents.located("tiny")
    with pytest.raises(UnreadableFile, match="no finished run"):
        master("other", beside=tmp_path / "run")
    (tmp_path / "tiny").mkdir()
    for name in ("result.json", "master.npz"):
        (tmp_path / "tiny" / name).touch()
    assert master("tiny", beside=tmp_path / "run") == tmp_path / "tiny" / "master.npz"


def test_every_one_that_ships_is_there():
    assert all(parents.located(name).is_file() for name in parents.PARENTS)
    assert parents.PARENTS.keys() == set(shipped_models.NAMES)


@pytest.mark.parametrize("name", ["fast", "fast-int8", "small", "balanced", "balanced-int8"])
def test_a_recipe_makes_the_network_that_ships(name):
    made = recipe.read(f"shipped/{name}")
    contract, _ = weights(parents.located(name.removesuffix("-int8")))
    assert made.model.network == contract.network
    assert completed(contract.network, made.model.options) == completed(contract.network, contract.options)
    assert made.warm_start in (None, parents.located(name.removesuffix("-int8")).stem)
