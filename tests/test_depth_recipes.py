"""The table of depth: the fourteen published combinations, which differ in nothing else."""

from dataclasses import replace

import pytest

from quant.recipe import FOLDER, Fit, Float, Ptq, Qat, Rooms
from quant.table import in_order, recipes_of

RECIPES = {recipe.name: recipe for recipe in recipes_of(FOLDER / "depth")}
PLACES = [(per, fold) for per in ("channel", "tensor") for fold in ("", "-folded")]


def test_all_fourteen_of_the_published_table_are_there():
    kinds = ("ptq", "qat", "ptq-qat")
    assert RECIPES.keys() == {"float", "float-folded", *(f"{k}-{per}{fold}" for k in kinds for per, fold in PLACES)}
    assert len(RECIPES) == 14


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_what_its_name_says(name):
    recipe = RECIPES[name]
    fold, per_channel = name.endswith("folded"), "tensor" not in name
    match recipe.scheme:
        case Float() as scheme:
            assert "float" in name
        case Qat() as scheme:
            assert name.startswith("qat")
            assert scheme.per_channel == per_channel
        case Ptq() as scheme:
            assert name.startswith("ptq")
            assert scheme.per_channel == per_channel
    assert scheme.fold == fold
    assert (recipe.fine_tune.steps > 0) == ("qat" in name)


def test_float_is_trained_once_and_all_others_begin_there():
    assert in_order(RECIPES.values())[0].name == "float"
    assert [name for name, recipe in RECIPES.items() if recipe.fit.steps] == ["float"]
    assert {recipe.warm_start for name, recipe in RECIPES.items() if name != "float"} == {"float"}


def test_rows_differ_in_their_schemes_alone():
    assert {(recipe.model.network, *recipe.model.options) for recipe in RECIPES.values()} == {("effnet-ffnet",)}
    assert {recipe.data for recipe in RECIPES.values()} == {Rooms()}
    assert len({(recipe.fit.size, recipe.fit.batch, recipe.fit.seed) for recipe in RECIPES.values()}) == 1
    tuned = [recipe.fine_tune for recipe in RECIPES.values() if recipe.fine_tune.steps]
    assert len(tuned) == 8
    assert len(set(tuned)) == 1
    calibrated = [recipe.scheme for recipe in RECIPES.values() if isinstance(recipe.scheme, Ptq)]
    assert len(calibrated) == 8
    wanted = Ptq(method="average", samples=128)
    assert all(replace(scheme, per_channel=True, fold=True) == wanted for scheme in calibrated)


def test_patches_suit_the_network_and_the_window_of_ssim():
    (size,) = {recipe.fit.size for recipe in RECIPES.values()}
    assert isinstance(RECIPES["float"].fit, Fit)
    assert size % 16 == 0
    assert size // 4 >= 11
