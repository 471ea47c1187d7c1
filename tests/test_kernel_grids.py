import numpy as np
import pytest
import tf_keras

from export.reference import bias_levels
from keras_models.grid import Grid
from keras_models.lowered import Lowered, kernel_of
from keras_models.quantize import Quantize
from quant.kernel_grids import kernel_grid, with_room
from runtime.errors import UnknownLayer

K = tf_keras.layers
IN = Grid(0.0043, 12)
FINE = 2.0**-23  # of a bias: one is counted in half a milliard steps, the largest of all; float32 has no more
BIASES = np.array([0.3, -0.7, 0.02, 0], np.float32)


def conv(gains, biases=BIASES, kind=K.Conv2D):
    """A convolution behind a grid whose channels are so much larger than others."""
    raw = tf_keras.Input((None, None, 4), name="raw")
    layer = kind(4, 3, name="conv") if kind is K.Conv2D else kind(3, name="conv")
    model = tf_keras.Model(raw, layer(Quantize(IN, name="raw_grid")(raw)))
    kernel = np.random.default_rng(0).normal(0, 0.3, layer.get_weights()[0].shape)
    along = gains if kind is K.Conv2D else np.reshape(gains, (4, 1))
    layer.set_weights([kernel * np.float32(along), biases])
    return model, layer


def kept(grid, biases=BIASES):
    """The bias as whole steps have it."""
    step = IN.scale * grid.scale
    return bias_levels(biases, step, of="conv") * step.astype(np.float64)


@pytest.mark.parametrize("weights", ["minmax", "mse"])
@pytest.mark.parametrize("kind", [K.Conv2D, K.DepthwiseConv2D])
def test_a_channel_without_weights_keeps_its_bias(kind, weights):
    gains = [0, 0, 1, 0]
    grid = kernel_grid(conv(gains, kind=kind)[1], bits=8, per_channel=True, weights=weights, x=IN)
    off = np.abs(kept(grid) - BIASES)
    assert (off[[0, 1, 3]] <= FINE).all()
    assert off[2] <= IN.scale * grid.scale[2] / 2  # as ever, half a step


@pytest.mark.parametrize("gain", [0, 1e-30])
def test_a_kernel_that_is_nothing_leaves_its_bias_under_one_scale_for_all_too(gain):
    grid = kernel_grid(conv([gain] * 4)[1], bits=8, per_channel=False, weights="minmax", x=IN)
    np.testing.assert_allclose(kept(grid), BIASES, atol=FINE)


def test_channels_that_have_weights_keep_their_grids_and_a_network_of_such_is_the_same_one():
    model, layer = conv([1, 0.5, 2, 1])
    lowered = Lowered(model, {"conv": kernel_grid(layer, bits=8, per_channel=True, weights="minmax", x=None)})
    assert with_room(lowered) is lowered


def test_weights_next_to_nothing_lie_on_steps_in_which_their_bias_can_be_counted():
    model, layer = conv([1, 1e-9, 1e-40, 0])
    scale = np.float32([0.01, 1e-11, 1, 1])
    lowered = with_room(Lowered(model, {"conv": Grid(scale, signed=True, narrow=True)}))
    grid = lowered.kernels["conv"]
    assert grid.scale[0] == scale[0]
    np.testing.assert_allclose(kept(grid)[1:], BIASES[1:], rtol=FINE)
    made = kernel_of(lowered.model.get_layer("conv"))
    np.testing.assert_array_equal(made, grid.dequantize(grid.quantize(made)))
    assert kernel_of(layer)[..., 1].any(), "the network itself stays as it was"


def test_a_bias_and_weights_too_small_for_a_float32_are_nothing():
    model, _ = conv([1e-37] * 4, np.full(4, 1e-36, np.float32))
    grid = with_room(Lowered(model, {"conv": Grid(np.full(4, 1e-37), signed=True)})).kernels["conv"]
    np.testing.assert_array_equal(kept(grid, np.float32([1e-36] * 4)), 0)


def test_a_depthwise_kernel_of_several_a_channel_is_refused_by_name():
    raw = tf_keras.Input((None, None, 4), name="raw")
    layer = K.DepthwiseConv2D(3, depth_multiplier=2, name="many")
    layer(raw)
    with pytest.raises(UnknownLayer, match="'many'.*depth multiplier"):
        kernel_grid(layer, bits=8, per_channel=True, weights="minmax", x=IN)
