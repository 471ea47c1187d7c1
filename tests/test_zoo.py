import pytest

import keras_models
from keras_models.counting import macs, parameters
from runtime.errors import BadOption, UnknownName, UsageError

RGB_MASK = {"in_channels": 3, "out_channels": 1}

# Every count the papers or the reference give: (trainable, all, BatchNorm folded).
COUNTS = [
    ("unet", {}, (7_760_748,) * 3),
    ("unet", {"in_channels": 9, "out_channels": 27}, (7_762_683,) * 3),
    ("light", {}, (4_285_676,) * 3),
    ("lighter", {}, (1_513_812,) * 3),
    ("squeeze", {}, (2_623_084,) * 3),
    ("squeeze", RGB_MASK, (2_621_793,) * 3),
    ("c-unet", {}, (51_284,) * 3),
    ("c-unet", RGB_MASK, (51_113,) * 3),
    ("c-unet++", {}, (8_604,) * 3),
    ("c-unet++", RGB_MASK, (8_433,) * 3),
    # A norm behind an activation folds to a scale and a shift: half of its four numbers a channel are left.
    ("thin", {}, (287_681, 288_513, 287_681)),
    ("thin-separable", {}, (42_410, 43_242, 42_410)),
    ("thin-student", {}, (43_754, 44_586, 43_754)),
    ("fixed-unet", {}, (4_837_249, 4_841_857, 4_837_249)),
    ("effnet-ffnet", {}, (1_219_681, 1_237_121, 1_210_961)),
]


@pytest.mark.parametrize(("name", "options", "count"), COUNTS, ids=str)
def test_every_network_has_the_parameters_of_its_paper(name, options, count):
    model, _ = keras_models.build(name, **options)
    found = parameters(model)
    assert (found.trainable, found.all, found.folded) == count
    assert found.all == model.count_params()  # Keras' own count agrees


@pytest.mark.parametrize(
    ("name", "crop", "frame"),
    [("unet", 12.113, 560.091), ("light", 7.353, 340.003), ("lighter", 1.999, 92.451)],
)
def test_macs_are_those_of_the_reference(name, crop, frame):
    model, _ = keras_models.build(name)
    assert round(macs(model, 256, 256) / 1e9, 3) == crop
    assert round(macs(model, 1424, 2128) / 1e9, 3) == frame


def test_in_cells_twice_the_width_and_a_level_less_sees_as_far_and_costs_less():
    small = {"activation": "relu", "residual": True}
    fine, one = keras_models.build("unet", width=16, levels=4, **small)
    coarse, other = keras_models.build("unet", width=32, levels=3, cell=2, **small)
    for same in ("multiple", "halo", "scale", "channels"):
        assert getattr(other, same) == getattr(one, same), same
    assert 0.70 < macs(coarse, 256, 256) / macs(fine, 256, 256) < 0.72
    assert 0.70 < other.activation_bytes_per_pixel / one.activation_bytes_per_pixel < 0.72


def test_the_first_convolution_made_separable_would_be_another_network():
    # One text says "first" where the published figure needs "second": the counts tell them apart.
    light, _ = keras_models.build("light")
    unet, _ = keras_models.build("unet")
    lighter, _ = keras_models.build("lighter")
    first_only = parameters(unet).all - (parameters(light).all - parameters(lighter).all)
    assert first_only == 4_988_884 != parameters(light).all


@pytest.mark.parametrize("name", keras_models.names())
def test_a_network_can_be_thin_and_names_its_layers_the_same_each_time(name):
    first, contract = keras_models.build(name, width=4)
    again, same = keras_models.build(contract.network, **contract.options)
    assert [w.name for w in first.weights] == [w.name for w in again.weights]
    assert contract == same
    assert len({w.name for w in first.weights}) == len(first.weights)


def test_the_contract_of_a_mosaic_network_says_what_goes_in_and_comes_out():
    _, bayer = keras_models.build("unet", width=4)
    assert (bayer.task, bayer.cfa, bayer.pack, bayer.planes) == (
        "enhance",
        "bayer",
        2,
        ("R", "G1", "B", "G2"),
    )
    assert (bayer.output, bayer.channels, bayer.scale, bayer.multiple, bayer.halo) == ("srgb", 3, 2, 16, 96)
    _, xtrans = keras_models.build("unet", width=4, in_channels=9)
    assert (xtrans.cfa, xtrans.pack, xtrans.channels, xtrans.scale) == ("x-trans", 3, 3, 3)
    assert len(xtrans.planes) == 9
    _, depth = keras_models.build("effnet-ffnet", width=4)
    assert (depth.task, depth.cfa, depth.planes, depth.halo) == ("depth", "none", ("R", "G", "B"), None)
    _, seen = keras_models.build("c-unet", width=2, in_channels=4, out_channels=1, upscale=1)
    assert (seen.task, seen.output, seen.cfa) == ("segment", "mask", "bayer"), "a mosaic that becomes no picture"
    _, mask = keras_models.build("squeeze", width=4, **RGB_MASK)
    assert (mask.task, mask.output, mask.channels, mask.scale) == ("segment", "mask", 1, 1)


@pytest.mark.parametrize(
    ("name", "options", "kind", "words"),
    [
        ("unte", {}, UnknownName, "did you mean 'unet'"),
        ("unet", {"widht": 8}, UnknownName, "did you mean 'width'"),
        (
            "light",
            {"separable_convs": "none"},
            UnknownName,
            "separable_convs",
        ),  # what the name fixes is no option
        ("unet", {"activation": "gelu"}, BadOption, "'leaky-relu' or 'relu'"),
        ("unet", {"in_channels": 0}, BadOption, "from 1 to 1024"),
        ("unet", {"in_channels": True}, BadOption, "from 1 to 1024"),
        ("unet", {"width": 2.0}, BadOption, "a whole number"),
        ("unet", {"in_channels": 5}, BadOption, "4 or 9"),
        ("unet", {"out_channels": 13}, BadOption, "a multiple of 4"),
        ("unet", {"levels": 1}, BadOption, "from 2 to 8"),
        ("unet", {"cell": 3}, BadOption, "from 1 to 2"),
    ],
)
def test_what_cannot_be_built_is_refused_with_what_can(name, options, kind, words):
    with pytest.raises(kind, match=words) as caught:
        keras_models.build(name, **options)
    assert isinstance(caught.value, UsageError)


def test_a_name_is_taken_once():
    with pytest.raises(ValueError, match="in the zoo already"):
        keras_models.add("unet", lambda: None, authors="x", year=2000)
