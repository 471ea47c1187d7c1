import functools

import numpy as np
import pytest
import qkeras
import tensorflow as tf
import tf_keras
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_models
from keras_models.counting import macs, parameters, peak_activations
from keras_models.fixed_point import FixedPoint, fixed, fixed_straight_through, grid_of
from keras_models.geometry import sight
from keras_models.grid import Grid
from quant.fixed_point import Rounding, fixed_point, paper_fixed_point
from quant.layers import ChannelBits, PaperFixed, QConv2DTranspose
from runtime.errors import BadGrid, BadOption, UnknownLayer

K = tf_keras.layers
WIDTHS = [(0, 4), (6, 0), (2, 4), (1, 1), (3, 2), (0, 1)]
LADDER = np.arange(-(2**14), 2**14 + 1, dtype=np.float32) / 2**7  # every multiple of 1/128 up to 128: all the ties

NETWORKS = {
    "unet": {"width": 4, "levels": 3, "activation": "relu"},
    "lighter": {"width": 4, "levels": 3, "activation": "relu"},
    "c-unet": {"width": 4},
}


@pytest.mark.parametrize(
    ("x", "integer", "fraction", "level"),
    [
        (0.30, 0, 4, 0.3125),  # 4.8 sixteenths are five
        (1.25, 0, 4, 0.25),  # no integer bits: the whole part is discarded, not saturated
        (1.25, 6, 0, 1.0),  # no fraction bits: the fraction is
        (9.25, 2, 4, 3.25),  # overflow keeps the fraction
        (70.9, 6, 0, 63.0),
        (0.97, 0, 4, 1.0),  # the fraction is rounded up to a whole
        (3.99, 2, 4, 4.0),  # ... and so one step beyond what two integer bits hold
        (2.5 / 16, 0, 4, 2 / 16),  # a tie goes to the even one
        (3.5 / 16, 0, 4, 4 / 16),
        (0.0, 2, 4, 0.0),
    ],
)
def test_the_papers_quantizer_gives_what_a_hand_computes_quirks_included(x, integer, fraction, level):
    assert fixed(np.float32(x), integer, fraction) == level
    assert fixed(np.float32(-x), integer, fraction) == -level


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.floats(-1e6, 1e6, width=32), st.sampled_from(WIDTHS))
def test_the_papers_quantizer_is_odd_and_its_values_lie_on_its_grid(x, width):
    value = fixed(np.float32(x), *width)
    assert fixed(np.float32(-x), *width) == -value
    assert grid_of(*width).holds(value)
    assert np.abs(value) <= PaperFixed(*width).max()


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.floats(-1e6, 1e6, width=32), st.sampled_from(WIDTHS))
def test_rounding_twice_changes_nothing_unless_the_fraction_carried_beyond_the_integer_bits(x, width):
    once = fixed(np.float32(x), *width)
    carried = np.abs(once) == 2 ** width[0] and width[1] > 0
    again = fixed(once, *width)
    assert again == (np.sign(once) * (2 ** width[0] - 1) if carried else once)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_grid_of_the_paper_holds_all_its_levels_and_has_no_bit_to_spare(width):
    levels, grid = np.unique(fixed(LADDER, *width)), grid_of(*width)
    assert grid.holds(levels)
    assert levels.max() == -levels.min() == PaperFixed(*width).max()
    if grid.bits > 2:
        assert not Grid(grid.scale, bits=grid.bits - 1, signed=True).holds(levels)


def test_a_grid_holds_up_to_six_bits_of_the_paper_beside_sign_and_carry():
    assert FixedPoint(2, 4).grid.bits == 8
    assert FixedPoint(6, 0).grid.bits == 7
    with pytest.raises(BadGrid):
        _ = FixedPoint(3, 4).grid


@pytest.mark.parametrize("width", WIDTHS)
def test_tensorflow_and_numpy_agree_on_the_papers_quantizer_to_the_bit(width):
    x = np.concatenate([LADDER, np.random.default_rng(0).normal(0, 3, 10_000).astype(np.float32)])
    expected = fixed(x, *width)
    np.testing.assert_array_equal(fixed_straight_through(x, *width), expected)
    np.testing.assert_array_equal(FixedPoint(*width)(x), expected)
    np.testing.assert_array_equal(PaperFixed(*width)(tf.constant(x)), expected)


def test_the_gradient_of_the_papers_quantizer_is_one_even_where_it_overflows():
    x = tf.Variable([-9.0, -0.3, 0.0, 0.3, 1.25, 70.0])
    with tf.GradientTape() as tape:
        y = tf.reduce_sum(PaperFixed(0, 4)(x) * tf.range(6.0))
    np.testing.assert_array_equal(tape.gradient(y, x), np.arange(6.0))


@pytest.mark.parametrize(("integer", "fraction"), [(-1, 4), (9, 0), (0, 0), (2, 1.5)])
def test_widths_that_cannot_be_are_refused_in_words(integer, fraction):
    with pytest.raises(BadOption, match="bits"):
        FixedPoint(integer, fraction)
    with pytest.raises(BadOption, match="bits"):
        PaperFixed(integer, fraction)


@pytest.mark.parametrize("bits", [2, 4, 6, 8])
@pytest.mark.parametrize("integer", [0, 1, 3])
@pytest.mark.parametrize("signed", [False, True])
def test_qkeras_rounds_half_to_even_onto_the_grid_we_say(bits, integer, signed):
    rounding = Rounding(bits, integer, signed)
    ties = (np.arange(-600, 600, dtype=np.float32) / 2) * rounding.grid.scale  # every level, every tie, and beyond
    x = np.concatenate([ties, np.random.default_rng(0).normal(0, 2.0**integer, 5000).astype(np.float32)])
    expected = rounding.grid.dequantize(rounding.grid.quantize(x))
    np.testing.assert_array_equal(rounding.layer("q")(x), expected)
    np.testing.assert_array_equal(np.unique(expected), rounding.grid.levels)


def test_qkeras_loses_values_beyond_2_to_the_24_steps_where_a_grid_saturates():
    x = np.array([1e5, 1e9], np.float32)
    np.testing.assert_array_equal(Rounding(8, 0, True).layer("q")(x), [127 / 128, 0])
    assert (Grid(np.array(1 / 128), signed=True).quantize(x) == 127).all()


def test_an_integer_part_is_fitted_to_the_values():
    values = np.random.default_rng(0).uniform(0, 3.9, 1000).astype(np.float32)
    trials = Rounding(8, 0, False).trials()
    assert min(trials, key=lambda trial: trial.error(values)) == Rounding(8, 2, False)
    assert min(trials, key=lambda trial: trial.error(-values)) == Rounding(8, 2, True)  # a sign where there is one


@pytest.mark.parametrize(("axis", "shape"), [(3, (3, 3, 4, 5)), (2, (3, 3, 4, 1)), (2, (2, 2, 4, 5))])
def test_a_scale_a_channel_is_a_power_of_two_and_survives_its_config(axis, shape):
    spread = 4.0 ** np.arange(shape[axis])
    kernel = np.random.default_rng(0).normal(0, 0.01, shape) * np.moveaxis(spread.reshape(1, 1, 1, -1), 3, axis)
    quantizer = ChannelBits(4, scale_axis=axis)
    kernel = tf.constant(kernel, tf.float32)
    values = quantizer(kernel)
    assert quantizer.scale.shape == [shape[axis] if i == axis else 1 for i in range(4)]
    exponents = np.log2(quantizer.scale.numpy().ravel())
    assert (exponents == np.rint(exponents)).all()
    assert len(set(exponents)) == shape[axis]
    twin = ChannelBits.from_config(quantizer.get_config())
    np.testing.assert_array_equal(twin(kernel), values)


@pytest.mark.parametrize(
    ("size", "stride", "padding"), [(2, 2, "same"), (1, 2, "same"), (3, 2, "same"), (3, 2, "valid")]
)
def test_a_transposed_convolution_of_ours_is_that_of_keras_with_a_quantized_kernel(size, stride, padding):
    quantizer = PaperFixed(0, 4)
    x = np.random.default_rng(0).normal(size=(2, 5, 6, 3)).astype(np.float32)
    ours = QConv2DTranspose(4, size, strides=2, padding=padding, kernel_quantizer=quantizer)
    plain = K.Conv2DTranspose(4, size, strides=2, padding=padding)
    ours.build(x.shape)
    plain.build(x.shape)
    kernel, bias = ours.get_weights()[0], np.arange(4, dtype=np.float32)
    ours.set_weights([kernel, bias])
    plain.set_weights([fixed(kernel, 0, 4), bias])
    np.testing.assert_array_equal(ours(x), plain(x))
    plain.set_weights([kernel, bias])
    assert (ours(x).numpy() != plain(x).numpy()).any()  # the kernel is quantized indeed
    assert ours.compute_output_shape(x.shape) == ours(x).shape


def test_a_transposed_convolution_comes_back_from_its_config():
    layer = QConv2DTranspose(4, 2, strides=2, kernel_quantizer=ChannelBits(4, scale_axis=2))
    twin = QConv2DTranspose.from_config(layer.get_config())
    quantizer = twin.get_quantizers()[0]
    assert (type(quantizer), quantizer.bits, quantizer.scale_axis) == (ChannelBits, 4, 2)
    paper = QConv2DTranspose(4, 2, kernel_quantizer=PaperFixed(1, 3))
    assert str(QConv2DTranspose.from_config(paper.get_config()).get_quantizers()[0]) == "PaperFixed(1,3)"
    with pytest.raises(ValueError, match="padding"):
        QConv2DTranspose(4, 3, strides=2, output_padding=1)


def build(name, **options):
    """A network whose values neither die out nor explode: its kernels as He et al. (2015) draw them."""
    rng = np.random.default_rng(0)
    model, _ = keras_models.build(name, **(options or NETWORKS.get(name, {"width": 4})))
    for layer in model.layers:
        if hasattr(layer, "kernel_size"):
            kernel, *bias = layer.get_weights()
            spread = np.sqrt(2 / np.prod(kernel.shape[:2] if kernel.shape[3] == 1 else kernel.shape[:3]))
            layer.set_weights([rng.normal(0, spread, kernel.shape), *(rng.normal(0, 0.1, b.shape) for b in bias)])
    return model


def image(model, size=16, seed=0):
    shape = (2, size, size, model.inputs[0].shape[-1])
    return np.random.default_rng(seed).random(shape).astype(np.float32)


def trained(model, steps=2):
    """The model after a few steps towards black, eagerly: tracing a graph would take longer than they do."""
    optimizer, x = tf_keras.optimizers.Adam(1e-3), tf.constant(image(model))
    for _ in range(steps):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.abs(model(x, training=True)))
        optimizer.apply_gradients(
            zip(tape.gradient(loss, model.trainable_weights), model.trainable_weights, strict=True)
        )
    return model


fixed_by_one = functools.partial(fixed_point, scales="one")  # quicker to build, where the scale is not the point


@pytest.mark.parametrize("scheme", [fixed_by_one, paper_fixed_point])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_fixed_point_network_costs_and_sees_what_the_float_one_does(name, scheme):
    model, contract = keras_models.build(name, **NETWORKS[name])
    aware = scheme(model)
    assert len(rounded(aware)) > 5
    assert macs(aware, 64, 64) == macs(model, 64, 64) > 0
    assert parameters(aware) == parameters(model)
    assert peak_activations(aware, 64, 64) == peak_activations(model, 64, 64)
    assert sight(aware) == sight(model)
    assert sight(aware).halo == contract.halo


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("lighter", fixed_point),
        ("unet", fixed_by_one),
        ("lighter", paper_fixed_point),
        ("fixed-unet", paper_fixed_point),
    ],
)
def test_a_fixed_point_network_starts_from_the_float_weights_and_trains(name, scheme):
    model = build(name)
    aware = scheme(model, **({"activations": (2, 4)} if scheme is paper_fixed_point else {}))
    assert {w.name for w in aware.weights} == {w.name for w in model.weights}
    float_weights = {w.name: w.numpy() for w in model.weights}
    for weight in aware.weights:
        np.testing.assert_array_equal(weight, float_weights[weight.name])
    trained(aware)
    moved = [w.name for w in aware.trainable_weights if (w.numpy() != float_weights[w.name]).any()]
    assert len(moved) == len(aware.trainable_weights)
    np.testing.assert_array_equal(model.get_weights()[0], float_weights[model.weights[0].name])  # not in place


def test_trained_weights_go_into_a_network_made_anew():
    model = build("unet")
    aware = trained(fixed_by_one(model, weight_bits=4, activation_bits=6))
    again = fixed_by_one(model, weight_bits=4, activation_bits=6)
    x = image(model)
    assert (again(x).numpy() != aware(x).numpy()).any()
    again.set_weights(aware.get_weights())
    np.testing.assert_array_equal(again(x), aware(x))


def rounded(model):
    return {layer.name: layer.quantizer for layer in model.layers if isinstance(layer, qkeras.QActivation)}


def test_values_are_rounded_at_the_input_and_wherever_an_engine_stores_new_ones():
    model = build("unet")
    quantizers = rounded(fixed_by_one(model, activation_bits=6))
    stacks = [f"{stack}_act{step}" for stack in ("down1", "down2", "bottom", "out2", "out1") for step in (1, 2)]
    ways_up = [f"{kind}{level}_quantize" for kind in ("up", "join") for level in (1, 2)]
    assert set(quantizers) == {"raw_quantize", *stacks, *ways_up}
    assert all(isinstance(quantizers[name], qkeras.quantized_relu) for name in ["raw_quantize", *stacks])
    assert all(isinstance(quantizers[name], qkeras.quantized_bits) for name in ways_up)
    assert {name for name, quantizer in quantizers.items() if quantizer.bits == 8} == {"raw_quantize"}


def test_parts_that_lie_on_one_grid_are_joined_without_rounding_again():
    model = build("unet", width=4, levels=3)  # LeakyReLU: both parts are signed
    quantizers = rounded(fixed_by_one(model))
    assert "down1_act1_quantize" in quantizers
    assert not [name for name in quantizers if name.startswith("join")]


def test_a_norm_behind_an_activation_is_rounded_in_its_place():
    model = build("fixed-unet")
    for scheme in (fixed_by_one, paper_fixed_point):
        quantizers = rounded(scheme(model))
        assert {"down1_norm1_quantize", "out1_norm2_quantize"} <= set(quantizers)
        assert not [name for name in quantizers if "act" in name]
        assert not [name for name in quantizers if name.startswith("picture")]


def test_the_result_is_float_unless_bits_are_asked_for():
    model = build("unet")
    assert not [name for name in rounded(fixed_by_one(model)) if name.startswith("picture")]
    aware = fixed_by_one(model, output_bits=8)
    assert rounded(aware)["picture_conv_quantize"].bits == 8
    assert Rounding(8, 1, True).grid.holds(aware(image(model)).numpy())


def test_samples_choose_the_integer_part_of_every_activation():
    model = build("unet")
    x = 7 * image(model)
    quantizers = rounded(fixed_by_one(model, samples=x))
    assert quantizers["raw_quantize"].integer == 3
    assert len({quantizer.integer for quantizer in quantizers.values()}) > 1
    assert isinstance(rounded(fixed_by_one(model, samples=x - 1))["raw_quantize"], qkeras.quantized_bits)


def test_samples_are_looked_at_some_at_a_time_and_count_alike(monkeypatch):
    """A few large ones first, then one with a sign: the batch they come in must not matter."""
    model = build("unet")
    x = image(model)
    x = np.concatenate([7 * x, x, x - 1])
    found = []
    for at_once in (1, 2, len(x)):
        monkeypatch.setattr("quant.fixed_point.AT_ONCE", at_once)
        quantizers = rounded(fixed_by_one(model, samples=x))
        found.append({name: (type(one), one.integer) for name, one in quantizers.items()})
    assert found[0] == found[1] == found[2]
    assert found[0]["raw_quantize"] == (qkeras.quantized_bits, 3)


def test_the_paper_leaves_the_first_block_and_the_last_convolution_alone():
    model = build("fixed-unet")
    aware = paper_fixed_point(model)
    plain = {layer.name for layer in aware.layers if type(layer) is K.Conv2D}
    assert plain == {"down1_conv1", "down1_conv2", "picture_conv"}
    assert "down1_norm1_quantize" in rounded(aware)  # its activations are rounded all the same
    assert len([layer for layer in aware.layers if type(layer) is qkeras.QConv2D]) == 12


def test_a_weight_beyond_one_is_neither_cut_off_nor_beyond_the_grid():
    model = build("c-unet++")
    conv = model.get_layer("down1_conv1")
    conv.set_weights([np.full_like(conv.kernel, 3.0), conv.bias.numpy()])
    for scales in ("one", "channel"):
        layer = trained(fixed_point(model, scales=scales), steps=1).get_layer("down1_conv1")
        assert layer.kernel.numpy().min() > 2.9
        assert layer.kernel_quantizer_internal(layer.kernel).numpy().min() > 2.9


def test_what_cannot_be_trained_in_fixed_point_is_refused_in_words():
    model = build("c-unet", width=2)
    for bits in ({"weight_bits": 1}, {"activation_bits": 9}, {"input_bits": 2.5}, {"output_bits": 0}):
        with pytest.raises(BadOption, match="bits of the"):
            fixed_by_one(model, **bits)
    with pytest.raises(BadOption, match="integer cannot be -1"):
        fixed_point(model, integer=-1)
    with pytest.raises(BadOption, match="scales cannot be 'two'"):
        fixed_point(model, scales="two")
    raw = tf_keras.Input((None, None, 2))
    for layer in (
        K.SeparableConv2D(2, 3, name="odd"),
        K.Conv2D(2, 3, activation="relu", name="odd"),
        K.Conv2D(2, 3, groups=2, name="odd"),
        qkeras.QConv2D(2, 3, name="odd"),
    ):
        with pytest.raises(UnknownLayer, match="odd"):
            fixed_point(tf_keras.Model(raw, layer(raw)))
