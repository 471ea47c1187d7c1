import numpy as np
import pytest
import tf_keras

import keras_models
from keras_models.he import he, reads

KEPT = 0.25  # of the second moment, anywhere in a U-Net of width 8: so few kernels keep it in the mean alone
GROWN = 20  # times: pooling takes the largest. Nine depthwise kernels of twice the variance would make it 512 times


def moments(model, x):
    """The second moment behind each ReLU."""
    layers = [layer for layer in model.layers if isinstance(layer, tf_keras.layers.ReLU)]
    made = tf_keras.Model(model.input, [layer.output for layer in layers])(x)
    return np.array([float(np.mean(y.numpy() ** 2)) for y in made])


def unet(name="unet", *, width=8):
    tf_keras.utils.set_random_seed(0)
    return keras_models.build(name, width=width, residual=True, activation="relu")[0]


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).random((1, 64, 64, 4), np.float32)


def test_what_passes_through_a_relu_unet_is_as_strong_at_its_end_as_at_its_beginning(x):
    found = moments(unet(), x)
    assert found.min() > KEPT * found[0]


@pytest.mark.parametrize("name", ["unet", "light", "lighter"])
def test_what_passes_through_a_separable_one_grows_no_more_than_through_that_one(name, x):
    found = moments(unet(name, width=16), x)
    assert KEPT * found[0] < found[-1] < GROWN * found[0]


def test_on_keras_own_scale_it_dwindles(x):
    model = unet()
    for layer in model.layers:
        if layer.weights:
            drawn = tf_keras.initializers.GlorotUniform(seed=1)(layer.kernel.shape)
            layer.set_weights([drawn, *layer.get_weights()[1:]])
    found = moments(model, x)
    assert found.min() < 0.05 * found[0]


def test_what_begins_as_nothing_or_as_what_was_measured_stays():
    kernels = {layer.name: layer.get_weights()[0] for layer in unet().layers if layer.weights}
    assert not kernels["picture_conv"].any()
    assert not kernels["trust_conv"].any()
    assert set(np.unique(kernels["measured"])) == {0, 0.5, 1}


def test_a_seed_draws_the_same_kernels_again():
    one, other = (unet().get_weights() for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("layer", "count"),
    [
        (tf_keras.layers.Conv2D(3, 3), 45),
        (tf_keras.layers.DepthwiseConv2D(3), 9),
        (tf_keras.layers.Conv2DTranspose(3, 2, 2), 5),
        (tf_keras.layers.Conv2DTranspose(3, 4, 2), 20),
    ],
    ids=["conv", "depthwise", "up", "overlapping-up"],
)
def test_a_sum_has_so_many_terms(layer, count):
    x = tf_keras.Input((8, 8, 5))
    model = tf_keras.Model(x, layer(x))
    assert reads(layer) == count
    before = layer.get_weights()[0]
    assert not np.array_equal(before, he(model).layers[1].get_weights()[0])
