"""The halo is proved: the smallest change is traced through the real network, and compared with the walk."""

import numpy as np
import pytest
import tf_keras
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import keras_models
from keras_models.blocks import up
from keras_models.geometry import sight
from keras_models.layers import AlignedUpsample, DepthToSpace
from runtime.errors import UnknownLayer

K = tf_keras.layers
LOCAL = [name for name in keras_models.names() if name != "effnet-ffnet"]


def linearly_positive(model):
    """The same graph with positive kernels, no biases, no sigmoid: on a black image, any light that gets in gets out.

    So a dependence cannot hide behind rounding or an inactive ReLU, however weak it is.
    """
    rng = np.random.default_rng(7)
    for weight in model.weights:
        if "kernel" in weight.name:
            weight.assign(rng.uniform(0.5, 1.5, weight.shape) / np.prod(weight.shape[:-1]))
    last = model.layers[-1]
    if isinstance(last, K.Activation):  # sigmoid(0) is 1/2, and would swallow small light
        return tf_keras.Model(model.inputs, last.input)
    return model


def felt(model, image, tile, scale, axis):
    """Whether the output of an aligned tile differs from that of a black image."""
    out = model(image if axis == 0 else image.transpose(0, 2, 1, 3)).numpy()
    out = out if axis == 0 else out.transpose(0, 2, 1, 3)
    return bool(out[:, int(tile[0] * scale) : int(tile[1] * scale)].any())


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", LOCAL)
def test_a_network_feels_its_reach_and_not_one_pixel_beyond_its_halo(name, axis):
    model, contract = keras_models.build(name, width=2)
    seen, model = sight(model), linearly_positive(model)
    assert seen.halo == contract.halo == -(-seen.reach // seen.multiple) * seen.multiple
    m, halo = seen.multiple, seen.halo
    tile = (halo + m, halo + 2 * m)
    black = np.zeros((1, 2 * halo + 3 * m, m, len(contract.planes)), np.float32)

    def lit(*rows):
        image = black.copy()
        image[:, list(rows)] = 1
        return felt(model, image, tile, contract.scale, axis)

    assert not lit(*range(tile[0] - halo), *range(tile[1] + halo, black.shape[1]))
    assert lit(tile[0] - seen.reach, tile[1] - 1 + seen.reach)
    assert not lit(tile[0] - seen.reach - 1, tile[1] + seen.reach)  # the reach is exact, not only enough


@pytest.mark.parametrize("name", LOCAL)
def test_with_random_weights_and_a_random_image_nothing_outside_the_halo_counts(name):
    model, contract = keras_models.build(name, width=2)
    m, halo = contract.multiple, contract.halo
    rng = np.random.default_rng(3)
    image = rng.random((1, 2 * halo + 3 * m, m, len(contract.planes)), np.float32)
    other = image.copy()
    other[:, m - 1], other[:, -m] = 5, -5
    rows = slice(int((halo + m) * contract.scale), int((halo + 2 * m) * contract.scale))
    before, after = (model(x).numpy() for x in (image, other))
    np.testing.assert_array_equal(before[:, rows], after[:, rows])
    assert (before != after).any()  # the change was felt elsewhere


def test_a_network_with_a_global_mean_needs_the_whole_frame():
    model, contract = keras_models.build("effnet-ffnet", width=8)
    assert contract.halo is None
    image = np.random.default_rng(0).random((1, 128, 128, 3)).astype(np.float32)
    other = image.copy()
    other[:, -1, -1] = 9
    assert (model(image).numpy()[:, 0, 0] != model(other).numpy()[:, 0, 0]).any()


LAYERS = {
    "conv3": lambda x: K.Conv2D(1, 3, padding="same")(x),
    "conv5 dilated": lambda x: K.Conv2D(1, 5, dilation_rate=2, padding="same")(x),
    "conv3 stride 2": lambda x: K.Conv2D(1, 3, 2, padding="same")(x),
    "conv5 stride 2": lambda x: K.Conv2D(1, 5, 2, padding="same")(x),
    "conv1 stride 2": lambda x: K.Conv2D(1, 1, 2, padding="same")(x),
    "depthwise": lambda x: K.DepthwiseConv2D(3, padding="same")(x),
    "separable": lambda x: K.SeparableConv2D(1, 3, padding="same")(x),
    "pool": lambda x: K.MaxPooling2D()(x),
    "mean": lambda x: K.AveragePooling2D(3, 2, padding="same")(x),
    "up nearest": lambda x: K.UpSampling2D()(x),
    "up bilinear": lambda x: K.UpSampling2D(interpolation="bilinear")(x),
    "transposed 2": lambda x: K.Conv2DTranspose(1, 2, 2, padding="same")(x),
    "transposed 1": lambda x: K.Conv2DTranspose(1, 1, 2, padding="same")(x),
    "transposed 3": lambda x: K.Conv2DTranspose(1, 3, 2, padding="same")(x),
    "transposed 4": lambda x: K.Conv2DTranspose(1, 4, 2, padding="same")(x),
    "shuffle": lambda x: DepthToSpace(2)(K.Conv2D(4, 1)(x)),
    "skip": lambda x: K.Add()([x, K.Conv2D(1, 3, padding="same")(x)]),
}


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(names=st.lists(st.sampled_from(sorted(LAYERS)), min_size=1, max_size=5))
def test_the_walk_agrees_with_the_layers_themselves(names):
    x = raw = tf_keras.Input((None, 1 << 5, 1))
    for name in names:
        x = LAYERS[name](x)
    model = tf_keras.Model(raw, x)
    seen = sight(model)
    model = linearly_positive(model)
    tile = (128, 128 + seen.multiple)
    span = int(tile[0] * seen.scale), int(tile[1] * seen.scale)

    def lit(*rows):
        image = np.zeros((1, 384, 1 << 5, 1), np.float32)
        image[:, [r for r in rows if 0 <= r < 384]] = 1
        return bool(model(image).numpy()[:, span[0] : span[1]].any())

    beyond = [*range(tile[0] - seen.reach), *range(tile[1] + seen.reach, 384)]
    assert not lit(*beyond)
    if seen.reach:
        assert lit(tile[0] - seen.reach, tile[1] - 1 + seen.reach)


def test_a_layer_nobody_described_is_refused_and_not_taken_for_pointwise():
    @tf_keras.utils.register_keras_serializable("test")
    class Shift(K.Layer):
        def call(self, x):
            return x

    raw = tf_keras.Input((None, None, 1))
    for layer, name in ((Shift(name="odd"), "odd"), (K.Conv2D(1, 3, padding="valid", name="bare"), "bare")):
        with pytest.raises(UnknownLayer, match=name):
            sight(tf_keras.Model(raw, layer(raw)))


def test_a_bilinear_way_up_with_aligned_corners_needs_the_whole_frame():
    raw = tf_keras.Input((None, None, 1))
    assert sight(tf_keras.Model(raw, AlignedUpsample(2)(raw))).halo is None
    assert sight(tf_keras.Model(raw, up(raw, 1, name="up", how="shuffle"))).halo == 0
