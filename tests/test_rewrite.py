import numpy as np
import pytest
import tf_keras

import keras_models
from keras_models.graph import steps
from keras_models.rewrite import copy, rebuild
from runtime.errors import UnknownLayer

K = tf_keras.layers

# NumPy's and TensorFlow's exp differ in the last bits of float32.
EXP = 1e-6


def copied(model):
    return rebuild(model, lambda step, reads: copy(step.layer, reads))


def randomize(model, seed=0):
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        weight.assign(rng.uniform(0.1, 1, weight.shape))
    return model


def image(*shape, seed=0):
    return np.random.default_rng(seed).random(shape).astype(np.float32)


@pytest.mark.parametrize("name", ["unet", "thin"])
def test_a_copy_computes_the_same_in_layers_of_its_own(name):
    model, contract = keras_models.build(name, width=4)
    x = image(1, contract.multiple, contract.multiple, len(contract.planes))
    twin, before = copied(model), model(x).numpy()
    np.testing.assert_array_equal(twin(x).numpy(), before)
    assert [s.name for s in steps(twin)] == [s.name for s in steps(model)]
    assert not {id(s.layer) for s in steps(twin)} & {id(s.layer) for s in steps(model)}
    randomize(twin)
    np.testing.assert_array_equal(model(x).numpy(), before)
    assert (twin(x).numpy() != before).any()


def test_weights_that_do_not_train_come_along_in_their_places():
    raw = K.Input((None, None, 2))
    norm = K.BatchNormalization(name="norm", trainable=False)
    model = randomize(tf_keras.Model(raw, norm(raw)))
    twin = copied(model)
    for ours, theirs in zip(twin.get_layer("norm").get_weights(), norm.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_changes_are_to_the_config_of_the_copy_alone():
    raw = K.Input((None, None, 2))
    model = randomize(tf_keras.Model(raw, K.Conv2D(3, 1, activation="sigmoid", name="conv")(raw)))
    twin = rebuild(model, lambda step, reads: copy(step.layer, reads, activation="linear"))
    x = image(1, 2, 2, 2)
    np.testing.assert_allclose(1 / (1 + np.exp(-twin(x).numpy())), model(x).numpy(), rtol=EXP)
    assert model.get_layer("conv").activation is tf_keras.activations.sigmoid


def test_inputs_and_outputs_keep_their_order_whatever_their_depth():
    late, early = K.Input((None, None, 2), name="late"), K.Input((None, None, 2), name="early")
    deep = K.ReLU(name="two")(K.Conv2D(2, 1, name="one")(early))
    model = randomize(tf_keras.Model([late, early], [K.Concatenate(name="join")([late, deep]), deep]))
    twin = copied(model)
    assert twin.input_names == ["late", "early"]
    x = [image(1, 4, 4, 2), image(1, 4, 4, 2, seed=1)]
    for ours, theirs in zip(twin(x), model(x), strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_a_model_inside_a_model_is_opened():
    inside = K.Input((None, None, 3), name="inside")
    part = tf_keras.Model(inside, K.ReLU(name="relu")(K.Conv2D(4, 3, padding="same", name="conv")(inside)), name="part")
    raw = K.Input((None, None, 2), name="raw")
    model = randomize(tf_keras.Model(raw, K.Conv2D(1, 1, name="last")(part(K.Conv2D(3, 1, name="first")(raw)))))
    twin, x = copied(model), image(1, 8, 8, 2)
    assert [layer.name for layer in twin.layers] == ["raw", "first", "conv", "relu", "last"]
    np.testing.assert_array_equal(twin(x).numpy(), model(x).numpy())


def called_twice():
    raw, layer = K.Input((None, None, 3)), K.Conv2D(3, 1, name="again")
    return tf_keras.Model(raw, layer(layer(raw)))


def model_called_twice():
    inside = K.Input((None, None, 3))
    part = tf_keras.Model(inside, K.Conv2D(3, 1, name="again")(inside))
    raw = K.Input((None, None, 3))
    return tf_keras.Model(raw, part(part(raw)))


def one_name_inside_and_outside():
    inside = K.Input((None, None, 3))
    part = tf_keras.Model(inside, K.Conv2D(3, 1, name="again")(inside))
    raw = K.Input((None, None, 3))
    return tf_keras.Model(raw, part(K.Conv2D(3, 1, name="again")(raw)))


@pytest.mark.parametrize("make", [called_twice, model_called_twice, one_name_inside_and_outside])
def test_a_layer_called_twice_is_refused_by_name(make):
    with pytest.raises(UnknownLayer, match="'again' of type Conv2D, called or named so 2 times"):
        copied(make())


def test_a_bare_operation_is_refused_by_name():
    raw = K.Input((None, None, 3))
    for out in (raw * 2.0, raw[..., :1]):
        with pytest.raises(UnknownLayer, match="OpLambda"):
            copied(tf_keras.Model(raw, out))
