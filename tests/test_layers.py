import numpy as np
import pytest
import tf_keras

from keras_models.blocks import pointwise_from_transposed
from keras_models.layers import AlignedUpsample, DepthToSpace
from quant.qat import quantization_aware

# The same sums in another order: a few units in the last place of float32.
SUMS = 1e-6


def test_depth_to_space_puts_channel_dy_dx_k_at_dy_dx():
    x = np.arange(2 * 3 * 12, dtype=np.float32).reshape(1, 2, 3, 12)
    y = DepthToSpace(2)(x).numpy()
    for dy in range(2):
        for dx in range(2):
            for k in range(3):
                np.testing.assert_array_equal(y[0, dy::2, dx::2, k], x[0, :, :, (dy * 2 + dx) * 3 + k])


@pytest.mark.parametrize("size", [1, 2])
def test_a_transposed_convolution_equals_a_pointwise_one_and_a_shuffle(size):
    rng = np.random.default_rng(size)
    x = rng.normal(size=(2, 5, 7, 3)).astype(np.float32)
    transposed = tf_keras.layers.Conv2DTranspose(4, size, 2, padding="same")
    transposed.build(x.shape)
    kernel, bias = (rng.normal(size=w.shape).astype(np.float32) for w in transposed.weights)
    transposed.set_weights([kernel, bias])
    pointwise = tf_keras.layers.Conv2D(16, 1)
    pointwise.build(x.shape)
    pointwise.set_weights(pointwise_from_transposed(kernel, bias))
    ours, theirs = DepthToSpace(2)(pointwise(x)).numpy(), transposed(x).numpy()
    assert np.abs(ours - theirs).max() <= SUMS * np.abs(theirs).max()


@pytest.mark.parametrize(("size", "factor"), [(2, 2), (5, 2), (4, 4), (7, 3)])
def test_an_aligned_enlargement_keeps_the_corners_and_is_linear_between(size, factor):
    x = np.random.default_rng(size).random((1, size, size, 2)).astype(np.float32)
    y = AlignedUpsample(factor)(x).numpy()
    at = np.linspace(0, size - 1, size * factor)
    rows = np.stack([np.interp(at, np.arange(size), x[0, :, j, c]) for j in range(size) for c in range(2)])
    wanted = rows.reshape(size, 2, -1).transpose(2, 0, 1)
    wanted = np.stack([[np.interp(at, np.arange(size), line[:, c]) for c in range(2)] for line in wanted])
    assert np.abs(y[0] - wanted.transpose(0, 2, 1)).max() <= SUMS
    np.testing.assert_array_equal(y[0, [0, 0, -1, -1], [0, -1, 0, -1]], x[0, [0, 0, -1, -1], [0, -1, 0, -1]])


@pytest.mark.parametrize("layer", [DepthToSpace(3), AlignedUpsample(4)])
def test_a_layer_of_ours_is_remade_from_its_config_and_knows_its_shape(layer):
    again = tf_keras.layers.deserialize(tf_keras.layers.serialize(layer))
    x = np.zeros((1, 4, 6, 9), np.float32)
    assert again(x).shape == layer(x).shape == layer.compute_output_shape(x.shape)
    assert layer.compute_output_shape((None, None, None, 9))[:3] == (None, None, None)


def test_tfmot_trains_through_depth_to_space():
    raw = tf_keras.Input((None, None, 4))
    x = tf_keras.layers.Conv2D(12, 1, name="conv")(raw)
    model = quantization_aware(tf_keras.Model(raw, DepthToSpace(2, name="picture")(x)))
    model.compile("sgd", "mae")
    x = np.random.default_rng(0).random((2, 8, 8, 4)).astype(np.float32)
    before = model.get_layer("quant_conv").trainable_weights[0].numpy()
    model.train_on_batch(x, np.ones((2, 16, 16, 3), np.float32))
    assert (before != model.get_layer("quant_conv").trainable_weights[0].numpy()).any()
    assert model.get_layer("quant_picture").trainable_weights == []
