import numpy as np
import pytest

import keras_models
from quant.silent import silent


@pytest.fixture
def x():
    return np.random.default_rng(0).random((1, 32, 32, 4), np.float32)


@pytest.fixture
def unet():
    return keras_models.build("unet", width=2, levels=3, activation="relu")[0]


def test_a_layer_that_died_is_named_and_no_other(unet, x):
    assert silent(unet, x) == []
    kernel, bias = unet.get_layer("bottom_conv1").get_weights()
    unet.get_layer("bottom_conv1").set_weights([-np.abs(kernel), bias - 1])
    unet.get_layer("bottom_conv2").set_weights([*unet.get_layer("bottom_conv2").get_weights()[:1], bias + 1])
    assert silent(unet, x) == ["bottom_act1"]


def test_one_channel_that_speaks_is_enough(unet, x):
    layer = unet.get_layer("down1_conv1")
    kernel, _ = layer.get_weights()
    layer.set_weights([0 * kernel, np.float32([-1, 1])])
    assert "down1_act1" not in silent(unet, x)


def test_layers_that_cannot_die_are_not_looked_at(x):
    model = keras_models.build("unet", width=2, levels=2)[0]
    model.set_weights([0 * weight for weight in model.get_weights()])
    assert silent(model, x) == []
