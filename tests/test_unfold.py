"""Weights of a folded network, back in the one that has its BatchNorms."""

import numpy as np
import pytest
import tf_keras
from test_fold import SUMS, apart, image, lively

import keras_models
from keras_models.fold import plain
from keras_models.unfold import unfolded

K = tf_keras.layers
NETWORKS = {"effnet-ffnet": {"width": 4}, "thin-student": {"width": 4, "levels": 2}, "unet": {"width": 4, "levels": 2}}


def built(name):
    return keras_models.build(name, **NETWORKS[name])


def named(model):
    """The weights by the names they have in the network they come from."""
    return {f"{layer.name}/{w.name.split('/')[-1]}": w.numpy() for layer in model.layers for w in layer.weights}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_with_norms_computes_what_the_folded_one_was_trained_to(name):
    model, contract = built(name)
    folded = lively(plain(lively(model)).model, seed=4)  # other kernels and biases everywhere, as after a training
    x = image(1, 2 * contract.multiple, contract.multiple, len(contract.planes))
    assert apart(model, folded, x) > SUMS, "the control: they differ before"
    found = unfolded(named(folded), like=model)
    for weight in model.weights:
        weight.assign(found[weight.name])
    assert apart(model, folded, x) <= SUMS


def test_a_bias_of_the_convolutions_own_is_not_added_twice():
    raw = K.Input((None, None, 3), name="raw")
    y = K.BatchNormalization(name="norm")(K.Conv2D(4, 3, name="conv")(raw))
    model = lively(tf_keras.Model(raw, y))
    found = unfolded(named(plain(model).model), like=model)
    assert not found["norm/beta:0"].any()
    assert found["conv/bias:0"].any()
    wanted = model(image(1, 8, 8, 3)).numpy()
    for weight in model.weights:
        weight.assign(found[weight.name])
    assert np.abs(model(image(1, 8, 8, 3)) - wanted).max() <= SUMS * np.ptp(wanted)


def test_what_was_not_folded_arrives_as_it_was():
    model, _ = built("thin-student")
    found = named(lively(model))
    again = unfolded(found, like=model)
    assert again.keys() == found.keys()
    assert all(again[name] is found[name] for name in found)


def test_a_weight_that_is_missing_stays_missing():
    model, _ = built("effnet-ffnet")
    found = named(plain(model).model)
    del found["stem/bias:0"]
    assert "stem_norm/beta:0" not in unfolded(found, like=model)
