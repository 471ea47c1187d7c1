import numpy as np
import pytest
import tf_keras
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_models
from export.round_kernels import channel_grid, round_kernels
from keras_models.fold import plain
from keras_models.graph import steps
from keras_models.lowered import Lowered, kernel_of
from keras_models.shuffle import shuffled
from runtime.errors import BadOption

K = tf_keras.layers
BITS = range(2, 9)
# Of a step: half of it, and the float32 rounding of level and weight.
HALF = 0.5 * (1 + 2**-16)


def network(name="unet", **options):
    model, contract = keras_models.build(name, width=4, **options)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.uniform(0.1, 1, weight.shape) if "norm" in weight.name else rng.normal(0, 0.3, weight.shape))
    return plain(model), contract


def image(contract):
    return np.random.default_rng(1).random((1, contract.multiple, contract.multiple, len(contract.planes)), np.float32)


@pytest.mark.parametrize(("name", "bits"), [("lighter", 2), ("lighter", 4), ("thin", 8)])
def test_every_kernel_lies_on_its_grid_half_a_step_from_where_it_was(name, bits):
    lowered, _ = network(name, levels=2)
    before = shuffled(lowered)
    after = round_kernels(lowered, bits=bits).check()
    convs = [s for s in steps(after.model) if isinstance(s.layer, K.Conv2D | K.DepthwiseConv2D)]
    assert set(after.kernels) == {step.name for step in convs}
    for step in convs:
        grid, twin = after.kernels[step.name], before.model.get_layer(step.name)
        assert (grid.bits, grid.zero, grid.signed, grid.narrow) == (bits, 0, True, True)
        axis = 3 if type(step.layer) is K.Conv2D else 2
        scale = grid.scale.reshape([-1 if i == axis else 1 for i in range(4)])
        off = np.abs(kernel_of(step.layer) - kernel_of(twin)) / scale
        assert off.max() <= HALF
        np.testing.assert_array_equal(step.layer.get_weights()[1:], twin.get_weights()[1:])


def test_more_bits_are_nearer_to_the_float_network():
    lowered, contract = network(levels=2)
    x = image(contract)
    wanted = lowered(x).numpy()
    off = [np.abs(round_kernels(lowered, bits=bits)(x).numpy() - wanted).mean() for bits in (2, 4, 6, 8)]
    assert off == sorted(off, reverse=True)
    assert off[0] > 10 * off[-1] > 0


def test_the_float_network_stays_as_it_was():
    lowered, _ = network(levels=2)
    before = [w.copy() for w in lowered.model.get_weights()]
    round_kernels(lowered, bits=2)
    for ours, theirs in zip(lowered.model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_dead_channel_and_one_of_tiny_numbers_do_no_harm():
    kernel = np.random.default_rng(0).normal(size=(3, 3, 2, 4)).astype(np.float32)
    kernel[..., 1] = 0
    kernel[..., 2] *= 1e-41
    grid = channel_grid(kernel, bits=4, axis=-1)
    rounded = grid.dequantize(grid.quantize(kernel))
    assert (rounded[..., 1:3] == 0).all()
    assert np.abs(rounded - kernel).max() <= HALF * grid.scale[[0, 3]].max()
    raw = K.Input((None, None, 2))
    model = tf_keras.Model(raw, K.Conv2D(4, 3, name="conv")(raw))
    model.get_layer("conv").set_weights([kernel, np.ones(4)])
    assert round_kernels(Lowered(model), bits=4).check().kernels["conv"] == grid


kernels = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(0, 999))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(kernels, st.sampled_from(BITS), st.sampled_from([-1, 2, 3]), st.floats(-20, 20))
def test_the_largest_weight_of_a_channel_is_its_last_level(shape, bits, axis, exponent):
    *shape, seed = shape
    kernel = (np.random.default_rng(seed).normal(size=shape) * 2.0**exponent).astype(np.float32)
    grid = channel_grid(kernel, bits=bits, axis=axis)
    q = np.abs(np.moveaxis(grid.quantize(kernel), axis, -1)).reshape(-1, kernel.shape[axis])
    assert (q.max(axis=0) == grid.high).all()
    off = np.abs(grid.dequantize(grid.quantize(kernel)).astype(np.float64) - kernel)
    assert (np.moveaxis(off, axis, -1) <= HALF * grid.scale).all()


def test_the_axis_matters():
    kernel = np.random.default_rng(0).normal(size=(3, 3, 4, 4)).astype(np.float32) * np.float32([1, 2, 40, 80])
    assert channel_grid(kernel, bits=8, axis=3) != channel_grid(kernel, bits=8, axis=2)
    wrong = channel_grid(kernel, bits=4, axis=2)
    own = channel_grid(kernel, bits=4, axis=3)
    off = np.abs(wrong.dequantize(wrong.quantize(kernel)) - kernel)
    assert (off > HALF * own.scale).any()


def test_a_network_that_is_quantized_already_is_refused():
    lowered, _ = network("thin", levels=2)
    once = round_kernels(lowered, bits=4)
    with pytest.raises(BadOption, match="quantized already"):
        round_kernels(once, bits=4)


@pytest.mark.parametrize("bits", [-1, 0, 1, 9])
def test_bits_that_cannot_be_are_refused(bits):
    lowered, _ = network("thin", levels=2)
    with pytest.raises(BadOption, match="bits cannot be"):
        round_kernels(lowered, bits=bits)
