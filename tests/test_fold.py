import numpy as np
import pytest
import tf_keras
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_models
from keras_models.fold import Norm, fold, norm_as_depthwise, plain
from keras_models.graph import steps
from runtime.errors import UnknownLayer

K = tf_keras.layers
# Of the output's range: the same float32 sums in another order, some fifty layers deep.
SUMS = 1e-5


def lively(model, seed=0):
    """Weights and norms far from where they begin, yet such that values stay of a size."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if hasattr(layer, "kernel_size"):
            kernel, *bias = layer.get_weights()
            ins = kernel.shape[:2] if isinstance(layer, K.DepthwiseConv2D) else kernel.shape[:3]
            spread = np.sqrt(2 / np.prod(ins))
            layer.set_weights([rng.normal(0, spread, kernel.shape), *(rng.normal(0, 0.3, b.shape) for b in bias)])
        elif isinstance(layer, K.BatchNormalization):
            layer.set_weights([rng.normal(0.5, 1, w.shape) if "variance" not in w.name else rng.uniform(0.2, 3, w.shape)
                               for w in layer.weights])  # fmt: skip
    return model


def image(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def apart(one, other, x):
    """How far two networks' outputs are apart, as a part of the range."""
    ours, theirs = one(x).numpy(), other(x).numpy()
    assert np.ptp(theirs) > 0
    return np.abs(ours - theirs).max() / np.ptp(theirs)


def kinds(model):
    return {type(step.layer) for step in steps(model)}


def network(body, channels=3):
    raw = K.Input((None, None, channels), name="raw")
    return lively(tf_keras.Model(raw, body(raw)))


@pytest.mark.parametrize("name", keras_models.names())
def test_a_folded_network_is_the_same_function_without_norms_and_dropout(name):
    model, contract = keras_models.build(name, width=4)
    lively(model)
    x = image(1, 2 * contract.multiple, contract.multiple, len(contract.planes))
    lowered = plain(model).check()
    assert apart(lowered, model, x) <= SUMS
    assert not kinds(lowered.model) & {K.BatchNormalization, K.Dropout}
    assert lowered.kernels == {}


def test_a_norm_left_out_or_folded_with_a_weight_amiss_would_be_noticed():
    model, x = (
        network(lambda x: K.BatchNormalization(name="norm")(K.Conv2D(4, 3, padding="same", name="conv")(x))),
        image(1, 8, 8, 3),
    )
    lowered = plain(model)
    assert apart(lowered, model, x) <= SUMS
    norm = model.get_layer("norm")
    for i in range(4):
        weights = norm.get_weights()
        norm.set_weights([w * (1.001 if i == j else 1) for j, w in enumerate(weights)])
        assert apart(lowered, model, x) > SUMS
        norm.set_weights(weights)
    assert apart(lowered, model, x) <= SUMS


CONVS = {
    "conv": K.Conv2D(5, 3, padding="same", name="conv"),
    "no bias": K.Conv2D(5, 3, padding="same", use_bias=False, name="conv"),
    "strided": K.Conv2D(5, 3, strides=2, padding="same", name="conv"),
    "dilated": K.Conv2D(5, 3, dilation_rate=2, padding="same", name="conv"),
    "depthwise": K.DepthwiseConv2D(3, padding="same", name="conv"),
    "depthwise, no bias": K.DepthwiseConv2D(3, padding="same", use_bias=False, name="conv"),
    "transposed": K.Conv2DTranspose(5, 2, 2, padding="same", name="conv"),
    "transposed, no bias": K.Conv2DTranspose(5, 2, 2, padding="same", use_bias=False, name="conv"),
}


@pytest.mark.parametrize("norm", [{}, {"scale": False}, {"center": False}, {"epsilon": 0.5}], ids=str)
@pytest.mark.parametrize("kind", CONVS)
def test_a_norm_goes_into_every_kind_of_convolution(kind, norm):
    layer = type(CONVS[kind]).from_config(CONVS[kind].get_config())
    model = network(lambda x: K.BatchNormalization(name="norm", **norm)(layer(x)))
    lowered = plain(model)
    assert [step.name for step in steps(lowered.model)] == ["raw", "conv"]
    assert apart(lowered, model, image(2, 8, 8, 3)) <= SUMS


def two_readers(x):
    x = K.Conv2D(4, 3, padding="same", name="conv")(x)
    return K.Concatenate(name="join")([K.BatchNormalization(name="norm")(x), x])


def two_norms(x):
    x = K.Conv2D(4, 3, padding="same", name="conv")(x)
    return K.Add(name="add")([K.BatchNormalization(name="norm")(x), K.BatchNormalization(name="norm2")(x)])


def norm_behind_activation(x):
    x = K.ReLU(name="relu")(K.Conv2D(4, 3, padding="same", name="conv")(x))
    # The next convolution pads with zeros, which are no zeros before the norm.
    return K.Conv2D(4, 3, padding="same", name="conv2")(K.BatchNormalization(name="norm")(x))


def activation_inside(x):
    return K.BatchNormalization(name="norm")(K.Conv2D(4, 3, padding="same", activation="relu", name="conv")(x))


def several_kernels_a_channel(x):
    x = K.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="conv")(x)
    return K.BatchNormalization(name="norm")(x)


@pytest.mark.parametrize(
    "body", [two_readers, two_norms, norm_behind_activation, activation_inside, several_kernels_a_channel]
)
def test_a_norm_that_cannot_be_folded_becomes_a_depthwise_convolution(body):
    model = network(body)
    lowered = plain(model).check()
    assert isinstance(lowered.model.get_layer("norm"), K.DepthwiseConv2D)
    for ours, theirs in zip(
        lowered.model.get_layer("conv").get_weights(), model.get_layer("conv").get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert apart(lowered, model, image(2, 8, 8, 3)) <= SUMS


def test_a_convolution_that_is_an_output_too_keeps_its_numbers():
    raw = K.Input((None, None, 3), name="raw")
    seen = K.Conv2D(4, 3, padding="same", name="conv")(raw)
    model = lively(tf_keras.Model(raw, [seen, K.BatchNormalization(name="norm")(seen)]))
    x = image(1, 8, 8, 3)
    for ours, theirs in zip(plain(model)(x), model(x), strict=True):
        assert np.abs(ours.numpy() - theirs.numpy()).max() <= SUMS * np.ptp(theirs.numpy())


@pytest.mark.parametrize("layer", [K.Conv2D, K.Conv2DTranspose])
def test_an_activation_inside_a_convolution_becomes_a_layer(layer):
    for activation in ("relu", "sigmoid"):
        model = network(lambda x, a=activation: layer(4, 2, 2, padding="same", activation=a, name="conv")(x))
        lowered = plain(model).check()
        assert [step.name for step in steps(lowered.model)] == ["raw", "conv", "conv_activation"]
        assert apart(lowered, model, image(1, 8, 8, 3)) <= SUMS


def test_what_only_trains_is_left_out():
    model = network(
        lambda x: K.GaussianNoise(0.5)(K.SpatialDropout2D(0.5)(K.Dropout(0.5)(K.Conv2D(4, 1, name="conv")(x))))
    )
    assert [step.name for step in steps(plain(model).model)] == ["raw", "conv"]


@pytest.mark.parametrize(
    "layer",
    [
        K.Conv2D(4, 3, padding="same", groups=2, name="odd"),
        K.BatchNormalization(axis=1, name="odd"),
    ],
    ids=["groups", "norm of rows"],
)
def test_what_cannot_be_folded_is_left_for_the_check_to_name(layer):
    raw = K.Input((8, 8, 2), name="raw")
    behind = K.BatchNormalization(name="norm")(layer(raw))
    with pytest.raises(UnknownLayer, match="'odd'"):
        plain(tf_keras.Model(raw, behind)).check()


def test_folding_leaves_the_model_as_it_was():
    model = network(norm_behind_activation)
    before = [w.copy() for w in model.get_weights()]
    for weight in plain(model).model.weights:
        weight.assign_add(np.ones(weight.shape, np.float32))
    for ours, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


numbers = st.floats(-8, 8).map(np.float32)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(numbers, numbers, numbers, st.floats(0.01, 9)), min_size=1, max_size=4), st.integers(0, 99))
def test_folding_is_linear_algebra(channels, seed):
    gamma, beta, mean, variance = (np.array(column, np.float64) for column in zip(*channels, strict=True))
    rng, gain = np.random.default_rng(seed), gamma / np.sqrt(variance + 1e-3)
    norm = Norm(gain, beta - mean * gain)
    kernel, bias, x = rng.normal(size=(1, 1, 3, len(gain))), rng.normal(size=len(gain)), rng.normal(size=(5, 3))
    folded, shift = fold(kernel, bias, norm)
    wanted = (x @ kernel[0, 0] + bias - mean) * gain + beta
    # Kernel and bias are rounded to float32 once.
    size = np.abs(x) @ np.abs(folded[0, 0]) + np.abs(shift)
    assert (np.abs(x @ folded[0, 0].astype(np.float64) + shift - wanted) <= 2**-23 * size + 1e-12).all()


def test_a_lone_norm_is_the_depthwise_convolution_of_its_gain_and_shift():
    model = network(lambda x: K.BatchNormalization(name="norm")(x))
    layer = norm_as_depthwise(model.get_layer("norm"))
    assert layer.name == "norm"
    assert apart(layer, model, image(2, 4, 4, 3)) <= SUMS
