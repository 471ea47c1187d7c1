"""Weights that were trained under a scheme, back in the float network."""

import numpy as np
import pytest
import tf_keras

import keras_models
from quant.precision import halved
from quant.recipe import FixedPoint, Float, PaperFixedPoint, Qat
from quant.schemes import bring_back, quantize, wanted

NETWORKS = {
    "unet": {"width": 4, "levels": 2, "activation": "relu"},
    "thin-separable": {"width": 4, "levels": 2},  # depthwise kernels, and the moving numbers of BatchNorm
}
SCHEMES = {
    "qat": Qat(samples=2),
    "fixed": FixedPoint(samples=2),
    "paper": PaperFixedPoint(weights=(4, 8), activations=(8, 8)),
    "twin": Float(),
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


def test_float_is_the_network_itself():
    model = build("unet")
    assert quantize(model, Float()) is model


def test_a_network_that_lacks_a_weight_is_no_place_to_come_back_from():
    with pytest.raises(KeyError, match="down2_conv1"):
        bring_back(build("unet"), into=keras_models.build("unet", width=4, levels=3, activation="relu")[0])
