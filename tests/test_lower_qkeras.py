import functools

import numpy as np
import pytest
import qkeras
import tensorflow as tf
import tf_keras

import keras_models
from export.reference import reference
from keras_models.fixed_point import FixedPoint, fixed
from keras_models.graph import steps
from keras_models.grid import Grid
from keras_models.lowered import Lowered, kernel_of
from keras_models.quantize import Quantize
from keras_models.ready import ready
from quant.fixed_point import fixed_point, paper_fixed_point
from quant.layers import ChannelBits, PaperFixed, QConv2DTranspose
from quant.lower_qkeras import lower_qkeras
from runtime.errors import BadGrid, BadNumbers, BadOption, UnknownLayer

K = tf_keras.layers

OPTIONS = {
    "unet": {"width": 4, "levels": 3, "activation": "relu"},
    "leaky unet": {"width": 4, "levels": 3},
    "lighter": {"width": 4, "levels": 3, "activation": "relu"},
}


def build(name):
    """A network whose values neither die out nor explode: its kernels as He et al. (2015) draw them."""
    rng = np.random.default_rng(0)
    model, _ = keras_models.build(name.split()[-1], **OPTIONS.get(name, {"width": 4}))
    for layer in model.layers:
        if hasattr(layer, "kernel_size"):
            kernel, *bias = layer.get_weights()
            spread = np.sqrt(2 / np.prod(kernel.shape[:2] if kernel.shape[3] == 1 else kernel.shape[:3]))
            layer.set_weights([rng.normal(0, spread, kernel.shape), *(rng.normal(0, 0.1, b.shape) for b in bias)])
        elif isinstance(layer, K.BatchNormalization):
            # As after training: each norm brings its values to the size of a few whole numbers.
            of = layer.gamma.shape
            statistics = rng.normal(0.5, 0.2, of), rng.uniform(0.3, 0.6, of)
            layer.set_weights([rng.uniform(1, 3, of), rng.normal(0, 1, of), *statistics])
    return model


def image(model, size=32, seed=0):
    shape = (2, size, size, model.inputs[0].shape[-1])
    return np.random.default_rng(seed).random(shape).astype(np.float32)


def trained(model, steps=2):
    """The model after a few steps towards black, eagerly: tracing a graph would take longer than they do."""
    optimizer, x = tf_keras.optimizers.Adam(1e-3), tf.constant(image(model, 16, seed=5))
    for _ in range(steps):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.abs(model(x, training=True)))
        optimizer.apply_gradients(
            zip(tape.gradient(loss, model.trainable_weights), model.trainable_weights, strict=True)
        )
    return model


@functools.cache
def pair(name, weight_bits, activation_bits, scales):
    """A network trained in fixed point, and what it is lowered to."""
    model = fixed_point(build(name), weight_bits=weight_bits, activation_bits=activation_bits, scales=scales)
    return trained(model), lower_qkeras(model)


@functools.cache
def paper_pair(name, activations=(6, 0)):
    """The same by the paper's quantizer."""
    model = paper_fixed_point(build(name), activations=activations)
    return trained(model), lower_qkeras(model)


def equal(one, other, x):
    return np.array_equal(one(x).numpy(), other(x).numpy())


@pytest.mark.parametrize(
    ("name", "bits", "scales"),
    [
        ("unet", (8, 8), "channel"),
        ("unet", (4, 6), "channel"),
        ("leaky unet", (4, 6), "one"),
        ("lighter", (8, 8), "one"),
        ("lighter", (4, 6), "channel"),
        ("c-unet", (8, 8), "one"),
        ("c-unet", (4, 6), "one"),
    ],
)
def test_a_lowered_network_computes_the_very_numbers_of_qkeras(name, bits, scales):
    model, lowered = pair(name, *bits, scales)
    x = image(model)
    assert equal(lowered, model, x)
    assert np.unique(model(x)).size > 100  # numbers, not one constant
    convolutions = [layer.name for layer in model.layers if hasattr(layer, "get_quantizers")]
    assert list(lowered.kernels) == convolutions
    for layer in convolutions:
        kernel, grid = kernel_of(lowered.model.get_layer(layer)), lowered.kernels[layer]
        np.testing.assert_array_equal(grid.dequantize(grid.quantize(kernel)), kernel)
        assert (grid.bits, grid.signed, grid.narrow) == (bits[0], True, scales == "channel")
        assert (np.log2(grid.scale) == np.rint(np.log2(grid.scale))).all()
        assert np.unique(kernel).size > 3


def changed(lowered, name, change):
    """The lowered network with one layer's config changed."""

    def twin(layer):
        config = layer.get_config()
        return type(layer).from_config(change(config) if layer.name == name else config)

    model = tf_keras.models.clone_model(lowered.model, clone_function=twin)
    model.set_weights(lowered.model.get_weights())
    return Lowered(model, lowered.kernels)


@pytest.mark.parametrize("name", ["raw_quantize", "down1_act1", "up1_quantize", "join1_quantize", "out1_act2"])
def test_one_grid_a_bit_coarser_or_narrower_is_seen(name):
    model, lowered = pair("unet", 4, 6, "channel")
    x = 2 * image(model) - 0.1  # beyond the grid as well
    assert equal(changed(lowered, name, lambda config: config), model, x)

    def coarser(config):
        return {**config, "grid": {**config["grid"], "scale": 2 * config["grid"]["scale"]}}

    assert not equal(changed(lowered, name, coarser), model, x)


@pytest.mark.parametrize("name", ["down1_conv1", "bottom_conv2", "up2", "picture_conv"])
def test_one_weight_one_step_off_is_seen_and_one_off_the_grid_is_refused(name):
    model, lowered = pair("unet", 4, 6, "channel")
    broken = changed(lowered, name, lambda config: config)
    kernel, bias = broken.model.get_layer(name).get_weights()
    step = float(lowered.kernels[name].scale.max())
    kernel += step * (np.abs(kernel) < step)  # every small weight, lest the one touched feeds a dead channel
    broken.model.get_layer(name).set_weights([kernel, bias])
    assert not equal(broken, model, image(model))
    broken.model.get_layer(name).set_weights([kernel + step / 16, bias])
    with pytest.raises(BadGrid, match=name):
        broken.check()


# A BatchNorm computes (x - mean) gain + beta, its 1x1 convolution x gain + shift: the last bits of a float differ.
LAST_BITS = 4 * np.finfo(np.float32).eps
# A value that close to the border between two levels falls to the other side, and takes its neighbours with it.
SELDOM = 0.02


@pytest.mark.parametrize("activations", [(6, 0), (2, 4)])
def test_a_lowered_network_of_the_paper_computes_its_numbers_to_float_rounding(activations):
    model, lowered = paper_pair("fixed-unet", activations)
    x = image(model)

    def at(model, name):
        return tf_keras.Model(model.inputs, model.get_layer(name).output)(x).numpy()

    before, after = at(model, "down1_norm1"), at(lowered.model, "down1_norm1")
    np.testing.assert_allclose(after, before, rtol=0, atol=LAST_BITS * np.abs(before).max())
    assert np.mean(model(x).numpy() != lowered(x).numpy()) < SELDOM
    assert np.unique(model(x)).size > 100
    assert len([layer for layer in lowered.model.layers if type(layer) is FixedPoint]) == 14


@pytest.mark.parametrize("name", ["down1_norm1_quantize", "bottom_norm2_quantize", "out1_norm1_quantize"])
def test_another_width_of_one_quantizer_of_the_paper_is_seen(name):
    model, lowered = paper_pair("fixed-unet", (2, 4))
    x = image(model)
    for change in ({"integer": 1}, {"fraction": 3}):
        broken = changed(lowered, name, lambda config, change=change: {**config, **change})
        assert np.mean(model(x).numpy() != broken(x).numpy()) > SELDOM


@pytest.mark.parametrize("name", ["unet", "lighter", "c-unet"])
def test_without_a_norm_a_lowered_network_of_the_paper_computes_its_very_numbers(name):
    model, lowered = paper_pair(name, (2, 4))
    assert equal(lowered, model, image(model))
    assert np.unique(model(image(model))).size > 100


def test_kernels_of_the_paper_lie_on_sixteenths_and_ask_for_the_fewest_bits_that_hold_them():
    model, lowered = paper_pair("fixed-unet")
    assert {"down1_conv1", "down1_conv2", "picture_conv"}.isdisjoint(lowered.kernels)
    assert len(lowered.kernels) == 12
    for name, grid in lowered.kernels.items():
        kernel = kernel_of(lowered.model.get_layer(name))
        np.testing.assert_array_equal(kernel, fixed(kernel_of(model.get_layer(name)), 0, 4))
        assert float(grid.scale) == 1 / 16
        assert grid.holds(kernel)
        assert not Grid(grid.scale, bits=grid.bits - 1, signed=True).holds(kernel)


def one(layer, seed=0, channels=4):
    """A model of that layer alone, its weights random; its kernel of mixed size."""
    rng = np.random.default_rng(seed)
    raw = tf_keras.Input((None, None, channels), name="raw")
    model = tf_keras.Model(raw, layer(raw))
    layer.set_weights([rng.normal(0, 0.4, w.shape) for w in layer.get_weights()])
    return model


BITS = qkeras.quantized_bits
KERNELS = {
    "alpha 1": BITS(4, 0, alpha=1),
    "two integer bits": BITS(5, 2, alpha=1.0),
    "symmetric": BITS(4, 0, symmetric=1, alpha=1),
    "nothing below zero": BITS(4, 0, keep_negative=False, alpha=1),
    "alpha 1/4, which multiplies": BITS(4, 0, alpha=0.25),
    "alpha a channel": BITS(4, 0, alpha=np.array([0.5, 1, 2, 0.25, 4], np.float32)),
    "no alpha, which QKeras makes auto_po2": BITS(4, 0),
    "auto_po2": BITS(4, 1, alpha="auto_po2"),
    "auto_po2 for the tensor": BITS(6, 0, alpha="auto_po2", scale_axis=3),
    "the paper": PaperFixed(0, 4),
    "the paper, with whole parts": PaperFixed(1, 3),
}


@pytest.mark.parametrize("quantizer", KERNELS.values(), ids=KERNELS)
def test_every_quantizer_of_kernels_that_has_steps_is_lowered_to_its_grid(quantizer):
    model = one(qkeras.QConv2D(5, 3, kernel_quantizer=quantizer, kernel_initializer="zeros", name="conv"))
    lowered = lower_qkeras(model)
    assert equal(lowered, model, image(model))
    assert type(lowered.model.get_layer("conv")) is K.Conv2D
    assert lowered.kernels["conv"].holds(kernel_of(lowered.model.get_layer("conv")))


@pytest.mark.parametrize(
    "layer",
    [
        qkeras.QConv2D(3, 5, strides=2, padding="same", use_bias=False, kernel_quantizer=BITS(4, 0, alpha=1)),
        qkeras.QConv2D(3, 3, dilation_rate=2, padding="same", kernel_quantizer=ChannelBits(4)),
        qkeras.QConv2D(3, 1, kernel_quantizer=BITS(4, 0, alpha=1), bias_quantizer=BITS(6, 0, alpha=1)),
        qkeras.QConv2D(3, 1, kernel_quantizer=BITS(4, 0, alpha=1), activation=qkeras.quantized_relu(4, 1)),
        qkeras.QConv2D(3, 1),
        qkeras.QDepthwiseConv2D(3, strides=2, padding="same", depthwise_quantizer=ChannelBits(4, scale_axis=2)),
        qkeras.QDepthwiseConv2D(3, padding="same", depth_multiplier=2, depthwise_quantizer=BITS(4, 0, alpha=1)),
        qkeras.QDepthwiseConv2D(3, padding="same", depthwise_quantizer=BITS(4, 0, alpha="auto_po2")),
        QConv2DTranspose(3, 2, strides=2, padding="same", kernel_quantizer=ChannelBits(4, scale_axis=2)),
        QConv2DTranspose(3, 1, strides=2, padding="same", use_bias=False, kernel_quantizer=PaperFixed(0, 4)),
    ],
    ids=lambda layer: layer.name,
)
def test_every_convolution_of_qkeras_is_lowered_with_its_options(layer):
    model = one(layer)
    assert equal(lower_qkeras(model), model, image(model))


ACTIVATIONS = {
    "relu": (qkeras.quantized_relu(6, 1), Grid(np.array(2 / 64), bits=6)),
    "bits": (BITS(6, 1), Grid(np.array(4 / 64), bits=6, signed=True)),
    "bits, symmetric": (BITS(4, 0, symmetric=1, alpha=1), Grid(np.array(1 / 8), bits=4, signed=True, narrow=True)),
    "bits, nothing below zero": (BITS(4, 0, keep_negative=False, alpha=1), Grid(np.array(1 / 16), bits=4)),
}


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_a_quantizer_of_activations_is_one_quantize_and_needs_no_relu(kind):
    quantizer, grid = ACTIVATIONS[kind]
    raw = tf_keras.Input((None, None, 1))
    model = tf_keras.Model(raw, qkeras.QActivation(quantizer, name="q")(raw))
    lowered = lower_qkeras(model)
    assert [type(layer) for layer in lowered.model.layers] == [K.InputLayer, Quantize]
    assert lowered.model.get_layer("q").grid == grid
    x = (np.arange(-400, 400, dtype=np.float32) / 128).reshape(1, 1, -1, 1)  # every tie, and beyond the grid
    assert equal(lowered, model, x)


REFUSED_KERNELS = {
    "a scale that is no power of two": BITS(4, 0, alpha="auto"),
    "chance": BITS(4, 0, alpha=1, use_stochastic_rounding=True),
    "half rounded": BITS(4, 0, alpha=1, qnoise_factor=0.5),
    "one bit": BITS(1, 0, alpha=1),
    "three levels": qkeras.ternary(),
    "two levels": qkeras.binary(),
    "chance and three levels": qkeras.stochastic_ternary(),
    "powers of two": qkeras.quantized_po2(4),
    "a ReLU": qkeras.quantized_relu(4),
}


@pytest.mark.parametrize("quantizer", REFUSED_KERNELS.values(), ids=REFUSED_KERNELS)
def test_a_kernel_quantizer_without_steady_steps_is_refused_by_name(quantizer):
    model = one(qkeras.QConv2D(5, 3, kernel_quantizer=quantizer, kernel_initializer="zeros", name="odd"))
    with pytest.raises(BadOption, match="kernel quantizer of 'odd' cannot be"):
        lower_qkeras(model)


def test_a_scale_along_the_inputs_of_a_kernel_is_refused():
    model = one(QConv2DTranspose(3, 2, strides=2, kernel_quantizer=BITS(4, 0, alpha="auto_po2"), name="odd"))
    with pytest.raises(BadOption, match="one an output channel"):
        lower_qkeras(model)


REFUSED_ACTIVATIONS = {
    "a slope": qkeras.quantized_relu(6, 1, negative_slope=0.25),
    "a sigmoid": qkeras.quantized_relu(6, 1, use_sigmoid=1),
    "a bound off the grid": qkeras.quantized_relu(6, 1, relu_upper_bound=1.1, is_quantized_clip=False),
    "chance": qkeras.quantized_relu(6, 1, use_stochastic_rounding=True),
    "a gain": BITS(6, 1, alpha=2),
    "a scale of the data": BITS(6, 1, alpha="auto_po2"),
    "swish": qkeras.quantized_hswish(6, 1, alpha=1),
    "two levels": qkeras.binary(alpha=1),
}


@pytest.mark.parametrize("quantizer", REFUSED_ACTIVATIONS.values(), ids=REFUSED_ACTIVATIONS)
def test_a_quantizer_of_activations_that_is_no_grid_is_refused_by_name(quantizer):
    raw = tf_keras.Input((None, None, 1))
    model = tf_keras.Model(raw, qkeras.QActivation(quantizer, name="odd")(raw))
    with pytest.raises(BadOption, match="quantizer 'odd' cannot be"):
        lower_qkeras(model)


def test_a_layer_without_a_rule_is_refused_by_name_and_type():
    for layer in (K.Dense(2, name="odd"), qkeras.QDense(2, name="odd"), qkeras.QSeparableConv2D(2, 3, name="odd")):
        raw = tf_keras.Input((None, None, 2))
        with pytest.raises(UnknownLayer, match=f"'odd' of type {type(layer).__name__}"):
            lower_qkeras(tf_keras.Model(raw, layer(raw)))


def test_more_than_8_bits_and_weights_that_are_not_finite_are_refused():
    with pytest.raises(BadGrid, match="12 bits"):
        lower_qkeras(one(qkeras.QConv2D(2, 3, padding="same", kernel_quantizer=BITS(12, 0, alpha=1))))
    with pytest.raises(BadGrid, match="more than 8 bits"):
        lower_qkeras(one(qkeras.QConv2D(2, 3, padding="same", kernel_quantizer=PaperFixed(4, 8))))
    for weight in (0, 1):
        layer = qkeras.QConv2D(2, 3, padding="same", kernel_quantizer=BITS(4, 0, alpha=1), name="odd")
        model = one(layer)
        weights = layer.get_weights()
        weights[weight].flat[0] = np.nan
        layer.set_weights(weights)
        with pytest.raises(BadNumbers, match="odd"):
            lower_qkeras(model)


def test_dropout_is_left_out_and_a_norm_becomes_a_convolution():
    raw = tf_keras.Input((None, None, 3))
    x = qkeras.QActivation(qkeras.quantized_relu(6, 1))(K.Dropout(0.5)(K.BatchNormalization(name="norm")(raw)))
    lowered = lower_qkeras(tf_keras.Model(raw, x))
    assert [type(layer) for layer in lowered.model.layers] == [K.InputLayer, K.DepthwiseConv2D, Quantize]
    assert not lowered.kernels


def test_a_channel_without_weights_keeps_its_bias_as_a_number_that_can_be_counted():
    raw = K.Input((None, None, 4), name="raw")
    model = tf_keras.Model(raw, K.Conv2D(3, 1, name="last")(K.ReLU(name="act")(K.Conv2D(4, 3, name="first")(raw))))
    kernel, _ = model.get_layer("first").get_weights()
    kernel[..., 1] = 0
    model.get_layer("first").set_weights([kernel, np.float32([0.1, 1.7, 0.2, 0])])
    x = image(model, 8)
    lowered = lower_qkeras(fixed_point(model, samples=x, output_bits=8))
    inner = reference(ready(lowered), x)
    grid = next(s.layer.grid for s in steps(lowered.model) if s.name.startswith("act"))
    found = next(value for name, value in inner.items() if name == "act" or name.startswith("act_"))
    np.testing.assert_array_equal(found[..., 1], grid.quantize(np.array(1.7)))
