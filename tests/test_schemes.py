"""Weights that were trained under a scheme, back in the float network."""

from dataclasses import replace

import numpy as np
import pytest
import tf_keras
from normed import network, samples
from test_fold import SUMS

import keras_models
from keras_models.fold import plain
from quant.precision import halved
from quant.qat import activation_ranges
from quant.scheme import FixedPoint, Float, PaperFixedPoint, Ptq, Qat, scheme_clashes
from quant.schemes import bring_back, check, lower, quantize, wanted
from runtime.errors import UnknownName

NETWORKS = {
    "unet": {"width": 4, "levels": 2, "activation": "relu"},
    "thin-separable": {"width": 4, "levels": 2},  # depthwise kernels, and the moving numbers of BatchNorm
}
SCHEMES = {
    "qat": Qat(samples=2),
    "fixed": FixedPoint(samples=2),
    "paper": PaperFixedPoint(weights=(4, 8), activations=(8, 8)),
    "twin": Float(),
    "one scale": Qat(samples=2, per_channel=False),
}
SMALLER = 0.8  # kernels after a training: what they make still lies within the ranges that were seen before it
ROUNDED = 0.5  # of what changed kernels do to the output: 8 bits do a seventh, kernels that were left out all of it


def build(network):
    tf_keras.utils.set_random_seed(1)
    return keras_models.build(network, **NETWORKS[network])[0]


def under(model, scheme, *, network, samples):
    """What is trained in the float network's place: itself under a scheme, or its twin of fewer bits."""
    if scheme == "twin":
        with halved(wanted=True):
            twin = build(network)
        bring_back(model, into=twin)
        return twin
    asked = SCHEMES[scheme]
    return quantize(model, asked, samples=samples if wanted(asked) else None)


def changed(model, names):
    """Other values in every weight of these names, each of its own."""
    for place, weight in enumerate(one for one in model.weights if one.name in names):
        weight.assign(np.flip(weight.numpy()) * 0.9 + (0.01 + place / 1e4))
    return {weight.name: weight.numpy() for weight in model.weights}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_was_trained_arrives_in_the_float_network_by_name(scheme, network):
    model = build(network)
    samples = np.random.default_rng(0).random((2, 16, 16, model.input_shape[-1]), np.float32)
    begun = [weight.numpy() for weight in model.weights]
    trained = under(model, scheme, network=network, samples=samples)
    bring_back(trained, into=model)
    assert all(np.array_equal(w.numpy(), b) for w, b in zip(model.weights, begun, strict=True)), "nothing was trained"
    names = {weight.name for weight in model.weights}
    found = changed(trained, names)
    assert not any(np.array_equal(found[w.name], w.numpy()) for w in model.weights), "the control: all were changed"
    bring_back(trained, into=model)
    assert all(np.array_equal(found[w.name], w.numpy()) for w in model.weights)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_float_network_then_computes_what_the_trained_one_does(scheme, network):
    model = build(network)
    samples = np.random.default_rng(0).random((2, 16, 16, model.input_shape[-1]), np.float32)
    trained = under(model, scheme, network=network, samples=samples)
    for weight in trained.weights:
        if weight.name.endswith("kernel:0"):
            weight.assign(weight.numpy() * SMALLER)
    asked = np.asarray(trained(samples, training=False), np.float32)
    before = np.abs(np.asarray(model(samples, training=False)) - asked).mean()
    bring_back(trained, into=model)
    after = np.abs(np.asarray(model(samples, training=False)) - asked).mean()
    assert after < ROUNDED * before


def test_the_float_network_computes_what_a_folded_one_was_trained_to():
    model, x = tf_keras.models.clone_model(network()), samples()
    model.set_weights(network().get_weights())
    trained = quantize(model, Qat(samples=2, fold=True), samples=x[:2])
    folded = plain(model).model
    for layer in folded.layers:
        inner = {weight.name: weight for weight in trained.weights if weight.name.startswith(f"{layer.name}/")}
        values = [inner[f"{layer.name}/{weight.name.split('/')[-1]}"] for weight in layer.weights]
        for place, weight in enumerate(values):
            weight.assign(np.flip(weight.numpy()) * 0.9 + (0.01 + place / 1e2))
        layer.set_weights([weight.numpy() for weight in values])
    wanted = folded(x).numpy()
    assert np.abs(model(x) - wanted).max() > SUMS * np.ptp(wanted), "the control: it was trained"
    bring_back(trained, into=model)
    assert np.abs(model(x) - wanted).max() <= SUMS * np.ptp(wanted)


STEPS = {
    "equalize": {"equalize": True},
    "absorb": {"absorb": True},
    "round up": {"round_up": True, "weight_bits": 4},
    "correct": {"correct": True, "weight_bits": 4},
    "bits": {"bits_of": {"down1_conv1": 3, "picture_conv": 6}},
}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_of_post_training_is_taken_if_the_scheme_asks_for_it(step):
    """High biases with nothing behind them but a 1x1 kernel: there is something to do for every step."""
    tf_keras.utils.set_random_seed(3)
    raw = x = tf_keras.Input((None, None, 4), name="raw")
    for name, channels in (("down1_conv1", 8), ("picture_conv", 3)):
        x = tf_keras.layers.Conv2D(channels, 1, name=name, bias_initializer=tf_keras.initializers.Constant(3.0))(x)
        x = tf_keras.layers.ReLU(name=f"{name}_act")(x)
    model = tf_keras.Model(raw, x)
    samples, seen = np.random.default_rng(0).random((6, 8, 8, 4), np.float32), []
    asked = Ptq(**STEPS[step])
    without = Ptq(weight_bits=asked.weight_bits)
    small, plain_one = (
        quantize(model, scheme, samples=samples, trains=False, progress=lambda *told: seen.append(told))
        for scheme in (asked, without)
    )
    assert set(seen) == {(4, 6), (6, 6)}
    kernels, others = (one.check().kernels for one in (small, plain_one))
    widths = {"down1_conv1": asked.weight_bits, "picture_conv": asked.weight_bits} | asked.bits_of
    assert {name: grid.bits for name, grid in kernels.items()} == widths
    same = [np.array_equal(a, b) for a, b in zip(small.model.get_weights(), plain_one.model.get_weights(), strict=True)]
    assert not all(same)
    assert others.keys() == kernels.keys()


@pytest.mark.parametrize(
    "scheme",
    [
        Ptq(activation_bits=4),
        Ptq(symmetric=True),
        Ptq(equalize=True),
        Ptq(correct=True),
        Ptq(absorb=True),
        Ptq(round_up=True),
    ],
    ids=["4 bits", "symmetric", "equalized", "corrected", "absorbed", "rounded"],
)
def test_grids_that_tfmot_cannot_train_are_refused_behind_a_calibration(scheme):
    ((key, _, _),) = scheme_clashes(scheme, trains=True)
    assert key == "fine_tune.steps"
    assert not list(scheme_clashes(scheme, trains=False))


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("fold", [True, False])
def test_one_scale_or_many_folded_or_not_may_be_trained_behind_a_calibration(per_channel, fold):
    assert not list(scheme_clashes(Ptq(per_channel=per_channel, fold=fold), trains=True))


def test_kernels_of_few_bits_may_be_trained_from_the_beginning():
    x = np.random.default_rng(0).random((2, 16, 16, 4), np.float32)
    scheme = Qat(weight_bits=4, samples=2)
    lowered = lower(quantize(build("unet"), scheme, samples=x), scheme)
    assert {grid.bits for grid in lowered.kernels.values()} == {4}


def test_kernels_may_be_trained_in_bits_of_their_own():
    x = np.random.default_rng(0).random((2, 16, 16, 4), np.float32)
    scheme = Ptq(weight_bits=4, bits_of={"picture_conv": 8}, method="minmax", samples=2)
    assert not list(scheme_clashes(scheme, trains=True))
    lowered = lower(quantize(build("unet"), scheme, samples=x), scheme)
    wide = {name for name, grid in lowered.kernels.items() if grid.bits == 8}
    assert wide == {"picture_conv"}
    assert {grid.bits for grid in lowered.kernels.values()} == {4, 8}
    with pytest.raises(UnknownName, match="picture_con"):
        quantize(build("unet"), replace(scheme, bits_of={"picture_con": 8}), samples=x)


def test_kernels_of_few_bits_may_be_trained_between_ranges_that_stay():
    scheme = Ptq(weight_bits=4, still=True, method="minmax", samples=2)
    assert not list(scheme_clashes(scheme, trains=True))
    model = build("unet")
    x = np.random.default_rng(0).random((2, 16, 16, 4), np.float32)
    aware = quantize(model, scheme, samples=x)
    lowered = lower(aware, scheme)
    assert {grid.bits for grid in lowered.kernels.values()} == {4}
    found = activation_ranges(aware.get_layer("quant_picture_conv"))[0]
    ends = [found[name].numpy() for name in ("min_var", "max_var")]
    aware(x * 2, training=True)
    assert ends == [found[name].numpy() for name in ("min_var", "max_var")]
    made = model(x).numpy()
    assert ends == pytest.approx([min(made.min(), 0), max(made.max(), 0)], abs=1e-5)


def test_training_may_begin_with_room_beyond_the_ranges_found():
    x = np.random.default_rng(0).random((2, 16, 16, 4), np.float32)
    scheme = Ptq(still=True, samples=2)
    ends = {}
    for times in (1.0, 2.0):
        aware = quantize(build("unet"), replace(scheme, room={"out1_act2": times}), samples=x)
        for name in ("out1_conv1", "out1_conv2"):
            ends[name, times] = float(activation_ranges(aware.get_layer(f"quant_{name}"))[0]["max_var"].numpy())
    assert ends["out1_conv2", 2.0] == pytest.approx(2 * ends["out1_conv2", 1.0])
    assert ends["out1_conv1", 2.0] == ends["out1_conv1", 1.0]
    with pytest.raises(UnknownName, match="out1_act2"):
        check(build("unet"), replace(scheme, room={"out1_act3": 2.0}))


def test_training_begins_with_the_parts_of_a_concatenation_on_its_range():
    """A part alone reaches less; on a range of its own what it will mean there would be rounded twice, or cut off."""
    x = np.random.default_rng(0).random((2, 16, 16, 4), np.float32)
    aware = quantize(build("unet"), Ptq(still=True, samples=2, room={"join1": 4.0}), samples=x)
    part, whole = (
        [activation_ranges(aware.get_layer(f"quant_{name}"))[0][end].numpy() for end in ("min_var", "max_var")]
        for name in ("up1", "join1")
    )
    assert part == whole


def test_a_norm_that_trains_has_no_kernel_to_give_bits_to():
    scheme = Ptq(fold=False, bits_of={"down1_norm": 4})
    check(build("thin-separable"), scheme)
    with pytest.raises(UnknownName, match="down1_norm"):
        check(build("thin-separable"), scheme, trains=True)


def test_float_is_the_network_itself():
    model = build("unet")
    assert quantize(model, Float()) is model


def test_a_network_that_lacks_a_weight_is_no_place_to_come_back_from():
    with pytest.raises(KeyError, match="down2_conv1"):
        bring_back(build("unet"), into=keras_models.build("unet", width=4, levels=3, activation="relu")[0])
