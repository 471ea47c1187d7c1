import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_models.grid import Grid
from keras_models.quantize import Quantize

K = tf_keras.layers
GRIDS = [
    Grid.from_range(-0.37, 1.13),
    Grid.from_range(0, 0.9, bits=6),
    Grid.from_range(-1, 1, bits=4, narrow=True),
    Grid(np.array(0.3), -5, 5, signed=True),
    Grid(np.array(0.1), bits=2, signed=True, narrow=True),
]


def hard(grid):
    """Every tie of a grid and its neighbours in float32, values far outside, noise."""
    ties = ((np.arange(grid.low - 3, grid.high + 3) - grid.zero + 0.5) * grid.scale).astype(np.float32)
    sides = [np.nextafter(ties, np.float32(end)) for end in (-np.inf, np.inf)]
    noise = np.random.default_rng(0).normal(0, 1, 5000).astype(np.float32)
    return np.concatenate([ties, *sides, noise, np.float32([0, -0.0, 1e30, -1e30])]).reshape(1, -1, 1, 1)


def model_of(grid):
    raw = K.Input((None, None, 1))
    return tf_keras.Model(raw, Quantize(grid, name="rounded")(raw))


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_the_layer_gives_what_its_grid_gives_to_the_bit_eagerly_and_in_a_graph(grid):
    x = hard(grid)
    wanted = grid.dequantize(grid.quantize(x))
    model = model_of(grid)
    np.testing.assert_array_equal(model(x).numpy(), wanted)
    np.testing.assert_array_equal(model.predict(x, verbose=0), wanted)


def test_a_product_with_the_inverse_scale_would_be_noticed():
    # What TensorFlow's graph optimizer makes of a division by a constant.
    x, grid = hard(GRIDS[0]), GRIDS[0]
    inverse = np.rint(x * (np.float32(1) / grid.scale)) + grid.zero
    assert (np.clip(inverse, grid.low, grid.high) != grid.quantize(x)).any()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.floats(-50, -(2**-20), width=32),
    st.floats(2**-20, 50, width=32),
    st.sampled_from(range(2, 9)),
    st.integers(0, 9),
)
def test_the_layer_gives_what_its_grid_gives_for_any_range(low, high, bits, seed):
    grid = Grid.from_range(low, high, bits=bits)
    x = np.random.default_rng(seed).uniform(1.2 * low, 1.2 * high, 500).astype(np.float32)
    np.testing.assert_array_equal(Quantize(grid)(x).numpy(), grid.dequantize(grid.quantize(x)))


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_the_gradient_is_one_inside_the_grid_and_zero_outside(grid):
    first, last = float(grid.levels[0]), float(grid.levels[-1])
    step = float(grid.scale)
    inside = [first, (first + last) / 2 + 0.1 * step, last, last + 0.4 * step]
    outside = [first - step, last + step, first - 100 * step, last + 100 * step]
    x = tf.constant(inside + outside, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = 3 * Quantize(grid)(x)
    np.testing.assert_array_equal(tape.gradient(y, x).numpy(), [3] * len(inside) + [0] * len(outside))


def test_a_convolution_in_front_of_the_layer_learns():
    raw = K.Input((None, None, 2))
    model = tf_keras.Model(raw, Quantize(Grid.from_range(-2, 2, bits=3))(K.Conv2D(3, 1, name="conv")(raw)))
    model.compile("sgd", "mse")
    before = model.get_layer("conv").get_weights()[0]
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 2)).astype(np.float32)
    model.train_on_batch(x, np.ones((2, 4, 4, 3), np.float32))
    assert (model.get_layer("conv").get_weights()[0] != before).all()


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_the_layer_is_remade_from_its_config(grid):
    layer = Quantize(grid, name="rounded")
    again = tf_keras.layers.deserialize(tf_keras.layers.serialize(layer))
    assert again.grid == grid
    assert again.name == "rounded"
    np.testing.assert_array_equal(again(hard(grid)).numpy(), layer(hard(grid)).numpy())


def test_sizes_may_be_unknown():
    model = model_of(GRIDS[0])
    assert model.output_shape == (None, None, None, 1)
    assert Quantize(GRIDS[0]).compute_output_shape((None, None, None, 4)) == (None, None, None, 4)
    for height, width in ((1, 1), (3, 5)):
        assert model(np.zeros((2, height, width, 1), np.float32)).shape == (2, height, width, 1)


def test_a_scale_a_channel_is_refused():
    with pytest.raises(ValueError, match="one scale"):
        Quantize(Grid(np.float32([0.1, 0.2])))
