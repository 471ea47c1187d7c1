import ast
import inspect
import itertools
import json
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_models
from keras_models.options import allowed, check
from keras_models.zoo import find
from quant import recipe as module
from quant.recipe import (
    Constant,
    Cosine,
    Export,
    Fit,
    FixedPoint,
    Float,
    PaperFixedPoint,
    Qat,
    Steps,
    from_json,
    names,
    read,
    tables,
    to_json,
)
from runtime.errors import Error, FileError, MissingLibrary, UnknownName, UsageError

ROOT = Path(__file__).parent.parent
SMALL = """
[model]
network = "unet"
options = {width = 4, activation = "relu"}
[fit]
steps = 10
"""


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "mine.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_every_recipe_that_was_promised_is_there():
    assert set(names()) == {
        *("unet", "light", "lighter", "squeeze", "c-unet"),
        *("thin-teacher", "thin-student", "thin-student-distilled"),
        *("unet-qat", "light-qat", "lighter-qat", "squeeze-qat", "effnet-ffnet", "effnet-ffnet-qat"),
        *("unet-w8a8", "unet-w4a6", "unet-paper-w8a8", "unet-paper-w4a6", "fixed-unet-paper-w4a6"),
    }
    assert {name: len(recipes) for name, recipes in tables().items()} == {
        **{"depth": 14, "lowlight": 28},
        **{"shipped": 5, "trial": 6},
    }


@pytest.mark.parametrize("name", names())
def test_a_shipped_recipe_loads_and_its_network_takes_its_options(name):
    recipe = read(name)
    row = find(recipe.model.network)
    hints = {key: hint for key, hint in allowed(row.load()).items() if key not in row.fixed}
    check(recipe.model.options, hints, of=name)
    assert recipe.name == name
    assert recipe.fit.steps > 0
    assert (recipe.fine_tune.steps > 0) == (not isinstance(recipe.scheme, Float))
    assert {export.format for export in recipe.exports} == {"onnx", "tflite"}
    assert from_json(to_json(recipe), source="itself") == recipe


def test_shipped_recipes_say_what_their_names_say():
    assert read("unet-w4a6").scheme == FixedPoint(weight_bits=4, activation_bits=6)
    assert read("unet-w8a8").scheme == FixedPoint()
    assert read("fixed-unet-paper-w4a6").scheme == PaperFixedPoint(weights=(0, 4), activations=(6, 0))
    assert read("unet-paper-w4a6").scheme == PaperFixedPoint(weights=(0, 4), activations=(2, 4))
    assert read("unet-paper-w8a8").scheme == PaperFixedPoint(weights=(0, 6), activations=(2, 4))
    assert all(isinstance(read(name).scheme, Qat) == name.endswith("-qat") for name in names())
    assert [name for name in names() if read(name).distill] == ["thin-student-distilled"]


def test_a_recipe_of_a_table_has_a_name_too():
    assert read("shipped/fast-int8").warm_start == "fast"
    assert read("shipped/fast-int8").data == read("shipped/fast").data
    with pytest.raises(UnknownName):
        read("shipped/slow")


@pytest.mark.parametrize("name", ["unet", "light", "lighter", "squeeze", "effnet-ffnet"])
def test_a_quantized_recipe_begins_as_its_float_one(name):
    plain, aware = read(name), read(f"{name}-qat")
    assert (aware.model, aware.fit, aware.data) == (plain.model, plain.fit, plain.data)


def test_a_distilled_student_differs_from_the_one_alone_in_its_teacher_only():
    alone, taught = read("thin-student"), read("thin-student-distilled")
    assert replace(taught, name=alone.name, distill=None) == alone


def test_the_maps_to_compare_are_layers_of_teacher_and_student():
    student = read("thin-student-distilled")
    teacher = read(student.distill.teacher)
    maps = [(teacher, student.distill.teacher_maps), (student, student.distill.student_maps)]
    shapes = []
    for recipe, layers in maps:
        model, _ = keras_models.build(recipe.model.network, **{**recipe.model.options, "width": 2})
        shapes.append([model.get_layer(layer).compute_output_shape((1, 128, 128, 2)) for layer in layers])
        acts = [layer.name for layer in model.layers if "_act" in layer.name]
        assert set(layers) == set({act.split("_")[0]: act for act in sorted(acts)}.values())  # each block's last
    assert shapes[0] == shapes[1]


def test_what_is_not_said_has_its_default(written):
    recipe = read(written(SMALL))
    assert (recipe.name, recipe.scheme, recipe.fit) == ("mine", Float(), Fit(steps=10))
    assert recipe.model.options == {"width": 4, "activation": "relu"}
    assert recipe.exports == (Export(format="onnx"), Export(format="tflite"))


def test_a_fine_tune_is_the_fit_but_for_what_it_says(written):
    text = SMALL + 'batch = 3\nschedule = {kind = "steps", boundaries = [5]}\n[fine_tune]\nsteps = 2\nrate = 1e-5\n'
    recipe = read(written(text))
    assert recipe.fine_tune == replace(recipe.fit, steps=2, rate=1e-5, schedule=Constant())
    assert read(written(text.split("[fine")[0])).fine_tune.steps == 0


def test_every_variant_is_read_and_written_again(written):
    for table, scheme in [
        ('kind = "float"', Float()),
        ('kind = "qat"\nskip = ["down1_conv1"]', Qat(skip=("down1_conv1",))),
        ('kind = "fixed-point"\noutput_bits = 8\nscales = "one"', FixedPoint(output_bits=8, scales="one")),
        ('kind = "paper-fixed-point"\nweights = [2, 4]', PaperFixedPoint(weights=(2, 4))),
    ]:
        recipe = read(written(f"{SMALL}\n[scheme]\n{table}\n"))
        assert recipe.scheme == scheme
        assert from_json(to_json(recipe), source="itself") == recipe


def signature(file, function):
    tree = ast.parse((ROOT / "quant" / file).read_text())
    found = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function)
    keys = [argument.arg for argument in found.args.kwonlyargs]
    return dict(zip(keys, map(ast.literal_eval, found.args.kw_defaults), strict=True))


@pytest.mark.parametrize(
    ("scheme", "file", "function"),
    [(FixedPoint, "fixed_point.py", "fixed_point"), (PaperFixedPoint, "fixed_point.py", "paper_fixed_point")],
)
def test_a_scheme_has_the_fields_and_defaults_of_the_function_it_stands_for(scheme, file, function):
    wanted = signature(file, function)
    found = {f.name: f.default for f in fields(scheme)}
    for options in (wanted, found):
        options.pop("samples", None)  # there a batch, here how many
    assert found == wanted


SYNTHETIC = SMALL + '[data]\nkind = "synthetic"\n'
BAD = {
    "unknown key": (SMALL + "stepz = 3", "fit.stepz", "'steps'"),
    "unknown table": (SMALL + "[fitt]\n", "fitt", "'fit'"),
    "name": (SMALL.replace("[model]", 'name = "x"\n[model]', 1), "name", "file's own"),
    "missing key": (SMALL.replace("steps = 10", ""), "fit.steps", "whole number from 0"),
    "missing table": ("[fit]\nsteps = 1\n", "model", "network, options"),
    "wrong type": (SMALL.replace("10", '"10"'), "fit.steps", "whole number"),
    "true for a number": (SMALL.replace("10", "true"), "fit.steps", "whole number"),
    "fraction for a whole": (SMALL + "batch = 1.5", "fit.batch", "whole number from 1 to 4096"),
    "number for true": (SMALL + "mixed_precision = 1", "fit.mixed_precision", "true or false"),
    "out of range": (SMALL + "batch = 0", "fit.batch", "from 1 to 4096"),
    "not finite": (SMALL + "rate = nan", "fit.rate", "number"),
    "no such choice": (SMALL + 'loss = "l3"', "fit.loss", "one of l1, l1-light"),
    "no table": (SMALL + "scheme = 3\n", "fit.scheme", "did you|There|one of"),
    "scheme that is text": ('scheme = "qat"\n' + SMALL, "scheme", 'kind = "float"'),
    "no kind": (SMALL + "[scheme]\n", "scheme.kind", "qat"),
    "kind misspelt": (SMALL + '[scheme]\nkind = "fixed-pont"\n', "scheme.kind", "'fixed-point'"),
    "key of another kind": (SMALL + '[scheme]\nkind = "qat"\ninput_bits = 4\n', "scheme.input_bits", "skip, samples"),
    "still, and nothing moves": (SMALL + '[scheme]\nkind = "ptq"\nstill = true\n', "scheme.still", "fine_tune.steps"),
    "room, and ranges move": (
        SMALL + '[scheme]\nkind = "ptq"\n[scheme.room]\nbottom_act1 = 1.5\n[fine_tune]\nsteps = 1\n',
        "scheme.room",
        "still = true",
    ),
    "room, and norms train": (
        SMALL + '[scheme]\nkind = "ptq"\nfold = false\nstill = true\n[scheme.room]\na = 2\n[fine_tune]\nsteps = 1\n',
        "scheme.room",
        "fold = true",
    ),
    "an integer part, and samples": (
        SMALL + '[scheme]\nkind = "fixed-point"\ninteger = 3\n',
        "scheme.integer",
        "samples = 0",
    ),
    "room that is less": (
        SMALL + '[scheme]\nkind = "ptq"\n[scheme.room]\nbottom_act1 = 0.5\n',
        "scheme.room.bottom_act1",
        "from 1 to 16",
    ),
    "bits beyond TFMOT's": (SMALL + '[scheme]\nkind = "qat"\nweight_bits = 1\n', "scheme.weight_bits", "from 2 to 8"),
    "bits beyond": (SMALL + '[scheme]\nkind = "fixed-point"\nweight_bits = 9\n', "scheme.weight_bits", "from 2 to 8"),
    "three of two": (
        SMALL + '[scheme]\nkind = "paper-fixed-point"\nweights = [1, 2, 3]\n',
        "scheme.weights",
        "2 items",
    ),
    "no bits": (SMALL + '[scheme]\nkind = "paper-fixed-point"\nweights = [0, 0]\n', "scheme.weights", "one bit"),
    "nine bits": (SMALL + '[scheme]\nkind = "paper-fixed-point"\nweights = [0, 7]\n', "scheme.weights", "at most 6"),
    "item of a list": (SMALL + '[scheme]\nkind = "qat"\nskip = ["a", 1]\n', r"scheme.skip\[1\]", "text in quotes"),
    "option that is a list": (SMALL.replace("width = 4", "width = [4]"), "model.options.width", "text"),
    "option not finite": (SMALL.replace("width = 4", "width = inf"), "model.options.width", "finite"),
    "no such network": (SMALL.replace('"unet"', '"unte"'), "model.network", "'unet'"),
    "no such format": (SMALL + '[[exports]]\nformat = "onxx"\n', r"exports\[0\].format", "'onnx'"),
    "exported to nothing": ("exports = []\n" + SMALL, "exports", "one format or more"),
    "exported twice": (SMALL + '[[exports]]\nformat = "onnx"\n' * 2, "exports", "once"),
    "bits of its own": (
        SMALL + '[scheme]\nkind = "qat"\n[[exports]]\nformat = "onnx"\nbits = 4\n',
        "exports.bits",
        "float",
    ),
    "boundary beyond": (
        SMALL + 'schedule = {kind = "steps", boundaries = [10]}',
        "fit.schedule.boundaries",
        "below 10",
    ),
    "boundaries falling": (
        SMALL + 'schedule = {kind = "steps", boundaries = [5, 4]}',
        "fit.schedule.boundaries",
        "rising",
    ),
    "all warm-up": (SMALL + 'schedule = {kind = "cosine", warm_up = 10}', "fit.schedule.warm_up", "less than"),
    "adamw without decay": (SMALL + 'optimizer = "adamw"', "fit.optimizer", "'adam'"),
    "a seed of held-out pairs": (SMALL + "seed = 2_147_483_648", "fit.seed", "from 0 to 2147483647"),
    "weights that training moves": (
        SMALL + '[scheme]\nkind = "ptq"\nweights = "mse"\n[fine_tune]\nsteps = 1\n',
        "fine_tune.steps",
        "minmax weights",
    ),
    "decay without adamw": (SMALL + "weight_decay = 0.1", "fit.weight_decay", "adamw"),
    "dice of pictures": (SMALL + 'loss = "dice"', "fit.loss", "shapes"),
    "depth of pictures": (SMALL + '[fine_tune]\nsteps = 1\nloss = "depth"\n', "fine_tune.loss", "nyu or rooms"),
    "root of pictures": (SMALL + 'loss = "l1-light"', "fit.loss", "camera-root"),
    "levels of pictures": (SMALL + 'loss = "l1-level"', "fit.loss", "camera-root"),
    "no window": (SMALL + 'loss = "ssim"\nsize = 8', "fit.size", "11 or more"),
    "ratios swapped": (SYNTHETIC + "ratio = [300, 100]\n", "data.ratio", "lower one first"),
    "gains swapped": (SYNTHETIC + "gain = [3, 1]\n", "data.gain", "lower one first"),
    "nothing to see": (SYNTHETIC + "leaves = false\n", "data.leaves", "photographs"),
    "two sensors": (SYNTHETIC + 'noise = "a.csv"\ngain = [1, 3]\n', "data.gain", "not both"),
    "exposures of nothing": (SYNTHETIC + 'exposures = "a_train_list.txt"\n', "data.exposures", "noise beside it"),
    "no kind of data": (SMALL + "[data]\n", "data.kind", "synthetic"),
    "key of other data": (SMALL + '[data]\nkind = "rooms"\nratio = [1, 2]\n', "data.ratio", "samples"),
    "half precision under a scheme": (
        SMALL + '[scheme]\nkind = "qat"\n[fine_tune]\nsteps = 1\nmixed_precision = true\n',
        "fine_tune.mixed_precision",
        "float32",
    ),
    "maps of one only": (
        SMALL + '[distill]\nteacher = "unet"\nteacher_maps = ["a"]\nstudent_maps = []\n',
        "distill.student_maps",
        "as many",
    ),
    "no TOML": ("[model\n", "the file", "tables"),
    "not text": ("\x00", "the file", "tables"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_named_by_file_and_key_with_what_may_stand_there(written, case):
    text, key, words = BAD[case]
    with pytest.raises(UsageError, match=rf"mine\.toml: {key} (?s:.*)({words})"):
        read(written(text))


def test_the_recipe_that_all_mistakes_are_made_in_is_right(written):
    assert read(written(SMALL + '[scheme]\nkind = "qat"\n[fine_tune]\nsteps = 1\n')).scheme == Qat()


def test_a_file_that_is_no_utf8_is_refused(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(SMALL.encode("utf-16"))
    with pytest.raises(UsageError, match="mine.toml: the file"):
        read(path)


def test_an_unknown_recipe_is_named_with_the_likeliest_and_a_missing_file_as_such(tmp_path):
    with pytest.raises(UnknownName, match="did you mean 'unet-w4a6'"):
        read("unet-w4a7")
    with pytest.raises(FileError, match="gone.toml.*cannot be read"):
        read(tmp_path / "gone.toml")


def test_a_python_without_a_reader_of_toml_is_told_what_to_install(monkeypatch):
    monkeypatch.setattr(module, "TOML", "no_tomli")
    with pytest.raises(MissingLibrary, match=r"no_tomli is not installed: pip install 'qk-unet\[train\]'"):
        read("unet")


def test_a_text_that_no_run_wrote_is_refused():
    for text in ("", "[]", "{}", '{"name": "x"}', "[" * 100_000):
        with pytest.raises(UsageError, match="there: "):
            from_json(text, source="there")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(plain):
    """Every table in a recipe, with each of its keys."""
    for key, value in plain.items():
        yield plain, key
        if isinstance(value, dict):
            yield from places(value)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.data())
def test_anything_in_place_of_any_value_is_read_or_refused_in_words(data):
    plain = json.loads(to_json(read("thin-student-distilled")))
    table, key = data.draw(st.sampled_from(list(places(plain))))
    table[key] = data.draw(JSON)
    try:
        recipe = from_json(json.dumps(plain), source="there")
    except Error as error:
        assert "there: " in str(error)
        assert len(str(error).splitlines()) == 1
        return
    assert from_json(to_json(recipe), source="again") == recipe


def test_a_constant_rate_is_constant_and_steps_fall_at_their_boundaries():
    assert {Fit(steps=9, rate=0.5).rate_at(step) for step in range(9)} == {0.5}
    fit = Fit(steps=9, rate=1.0, schedule=Steps(boundaries=(3, 6), factor=0.5))
    assert [fit.rate_at(step) for step in range(9)] == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]


def test_a_cosine_climbs_then_falls_half_a_wave_to_its_last_share():
    fit = Fit(steps=104, rate=1.0, schedule=Cosine(warm_up=4, last=0.1))
    rates = [fit.rate_at(step) for step in range(105)]
    assert rates[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rates[54] == pytest.approx((1 + 0.1) / 2)
    assert rates[104] == pytest.approx(0.1)
    assert all(later < sooner for sooner, later in itertools.pairwise(rates[4:]))


def test_fewer_steps_are_the_same_schedule_in_small():
    fit = Fit(steps=100, schedule=Steps(boundaries=(5, 50, 55), factor=0.5))
    assert fit.shortened(100) == fit.shortened(200) == fit
    assert fit.shortened(40) == Fit(steps=40, schedule=Steps(boundaries=(2, 20, 22), factor=0.5))
    assert fit.shortened(10).schedule == Steps(boundaries=(5,), factor=0.5), "two in one step are one, none is at 0"
    assert fit.shortened(1).schedule == Constant()
    assert fit.shortened(0) == replace(fit, steps=0)
    cosine = Fit(steps=100, schedule=Cosine(warm_up=20, last=0.1))
    assert cosine.shortened(10) == Fit(steps=10, schedule=Cosine(warm_up=2, last=0.1))
    assert cosine.shortened(1).schedule == Cosine(warm_up=0, last=0.1)


@pytest.mark.parametrize("most", [1, 7, 2000])
@pytest.mark.parametrize("name", [*names(), *tables()["shipped"]])
def test_a_shortened_fit_is_one_that_a_recipe_may_have(name, most):
    recipe = read(name)
    short = replace(recipe, fit=recipe.fit.shortened(most), fine_tune=recipe.fine_tune.shortened(most))
    assert from_json(to_json(short), source="itself") == short


def test_a_recipe_is_read_without_tensorflow():
    source = inspect.getsource(module)
    assert "tensorflow" not in source.split("from __future__")[1]
    assert "numpy" not in source


LIKE = """
like = "base"
[model]
options = {levels = 3}
[scheme]
kind = "fixed-point"
[fit]
rate = 1e-3
schedule = {kind = "cosine"}
"""
BASE = """
warm_start = "earlier"
[model]
network = "unet"
options = {width = 4}
[scheme]
kind = "qat"
skip = ["out1_*"]
[fit]
steps = 10
batch = 2
schedule = {kind = "steps", boundaries = [5]}
[fine_tune]
steps = 3
"""


def test_a_recipe_like_another_is_that_one_but_for_what_it_says(tmp_path):
    (tmp_path / "base.toml").write_text(BASE)
    (tmp_path / "mine.toml").write_text(LIKE)
    base, mine = (read(tmp_path / f"{name}.toml") for name in ("base", "mine"))
    assert mine.model.options == {"width": 4, "levels": 3}
    assert mine.scheme == FixedPoint(), "nothing of another scheme stays"
    assert mine.fit == replace(base.fit, rate=1e-3, schedule=Cosine())
    assert (mine.warm_start, mine.name, mine.fine_tune.steps) == ("earlier", "mine", 3)
    (tmp_path / "third.toml").write_text('like = "mine"\n[scheme]\nkind = "fixed-point"\nweight_bits = 4\n')
    assert read(tmp_path / "third.toml") == replace(mine, name="third", scheme=FixedPoint(weight_bits=4))


def test_a_recipe_may_be_like_one_of_the_project(tmp_path):
    (tmp_path / "fast.toml").write_text('like = "shipped/fast"\n[fine_tune]\nsteps = 700\n')
    shipped = read("shipped/fast")
    assert read(tmp_path / "fast.toml") == replace(shipped, fine_tune=replace(shipped.fine_tune, steps=700))


def test_a_recipe_like_none_that_is_there_or_like_itself_is_refused(tmp_path):
    for name, like in (("a", "'b'"), ("b", "'a'"), ("c", "'c'"), ("d", "'bb'"), ("e", "3")):
        (tmp_path / f"{name}.toml").write_text(f"like = {like}\n" + SMALL)
    for name, words in (("a", "like"), ("b", "like"), ("c", "like"), ("d", "'b'. There are"), ("e", "like")):
        with pytest.raises(UsageError, match=words):
            read(tmp_path / f"{name}.toml")
