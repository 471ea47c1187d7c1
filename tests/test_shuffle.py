import numpy as np
import pytest
import tf_keras

from keras_models.graph import steps
from keras_models.grid import Grid
from keras_models.layers import DepthToSpace
from keras_models.lowered import Lowered, kernel_of
from keras_models.quantize import Quantize
from keras_models.shuffle import shuffled
from runtime.errors import UnknownLayer

K = tf_keras.layers
SUMS = 1e-6  # of the largest value: the same few float32 products, summed in another order
INS, OUTS = 3, 5


def transposed(size, *, bias=True, strides=2, padding="same", output_padding=None, seed=0):
    rng = np.random.default_rng(seed)
    raw = K.Input((None, None, INS), name="raw")
    layer = K.Conv2DTranspose(
        OUTS, size, strides, padding=padding, use_bias=bias, output_padding=output_padding, name="up"
    )
    model = tf_keras.Model(raw, K.ReLU(name="relu")(layer(raw)))
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape))
    return model


def image(seed=1):
    return np.random.default_rng(seed).normal(size=(2, 3, 5, INS)).astype(np.float32)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("size", [1, 2])
def test_a_transposed_convolution_equals_its_shuffled_form(size, bias):
    model = transposed(size, bias=bias)
    ours = shuffled(Lowered(model))
    assert [(s.name, type(s.layer)) for s in steps(ours.model)] == [
        ("raw", K.InputLayer),
        ("up_pointwise", K.Conv2D),
        ("up", DepthToSpace),
        ("relu", K.ReLU),
    ]
    wanted = model(image()).numpy()
    assert np.abs(ours(image()).numpy() - wanted).max() <= SUMS * np.abs(wanted).max()
    ours.model.get_layer("up_pointwise").kernel[0, 0, 0, OUTS - 1].assign(9)
    assert np.abs(ours(image()).numpy() - wanted).max() > SUMS * np.abs(wanted).max()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("per_channel", [True, False])
def test_a_quantized_one_equals_it_exactly_and_its_kernel_lies_on_its_grid(size, bias, per_channel):
    model = transposed(size, bias=bias)
    # Powers of two: products and sums are exact in float32, in any order.
    scale = np.float32(2.0 ** -np.arange(3, 3 + OUTS)) if per_channel else np.float32(2**-4)
    grid = Grid(scale, bits=5, signed=True, narrow=True, axis=2)
    layer = model.get_layer("up")
    kernel, *rest = layer.get_weights()
    layer.set_weights([grid.dequantize(grid.quantize(kernel)), *(np.round(b * 64) / 64 for b in rest)])
    before = Lowered(model, {"up": grid}).check()
    after = shuffled(before).check()
    assert list(after.kernels) == ["up_pointwise"]
    assert list(before.kernels) == ["up"]
    found = after.kernels["up_pointwise"]
    assert found.holds(kernel_of(after.model.get_layer("up_pointwise")))
    assert found.scale.shape == ((4 * OUTS,) if per_channel else ())
    x = np.round(image() * 16).astype(np.float32) / 16
    np.testing.assert_array_equal(after(x).numpy(), before(x).numpy())


def test_a_scale_put_to_the_wrong_channels_would_be_noticed():
    model = transposed(2)
    layer = model.get_layer("up")
    grid = Grid(np.float32(2.0 ** -np.arange(3, 3 + OUTS)), bits=5, signed=True, axis=2)
    kernel, *rest = layer.get_weights()
    layer.set_weights([grid.dequantize(grid.quantize(kernel)), *rest])
    after = shuffled(Lowered(model, {"up": grid}))
    kernel, scale = kernel_of(after.model.get_layer("up_pointwise")), grid.scale
    assert Grid(np.tile(scale, 4), bits=5, signed=True).holds(kernel)
    assert not Grid(np.repeat(scale, 4), bits=5, signed=True).holds(kernel)
    assert not Grid(np.tile(scale[::-1], 4), bits=5, signed=True).holds(kernel)


def test_what_is_around_a_transposed_convolution_stays():
    raw = K.Input((None, None, INS), name="raw")
    x = Quantize(Grid.from_range(-1, 1), name="raw_grid")(raw)
    x = K.Conv2D(4, 3, padding="same", name="conv")(x)
    model = tf_keras.Model(raw, x)
    grid = Grid(np.float32(0.1), signed=True)
    model.get_layer("conv").set_weights([grid.levels[:108].reshape(3, 3, 3, 4), np.zeros(4)])
    after = shuffled(Lowered(model, {"conv": grid}))
    assert after.kernels == {"conv": grid}
    np.testing.assert_array_equal(after(image()).numpy(), model(image()).numpy())


@pytest.mark.parametrize(
    "options",
    [
        {"size": 3},
        {"size": 2, "strides": 1},
        {"size": 2, "padding": "valid"},
        {"size": 2, "output_padding": 1},
        {"size": (1, 2)},
        {"size": 4, "strides": 4},
    ],
    ids=str,
)
def test_any_other_is_refused_by_name(options):
    with pytest.raises(UnknownLayer, match="'up' of type Conv2DTranspose"):
        shuffled(Lowered(transposed(**options)))
