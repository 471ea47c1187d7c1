import functools
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from test_to_onnx import broken
from trained import NETWORKS, inputs, settled, trained, whole_biases

import keras_models
from export.coverage import MULTIPLY, coverage
from export.parity import engine, may_flip, output, prove
from export.to_onnx import to_onnx
from export.write import write
from keras_models.graph import steps, unwrap
from keras_models.lowered import kernel_of
from keras_models.quantize import Quantize
from keras_models.ready import ready
from quant.lower_tfmot import lower_tfmot
from quant.ptq import ptq
from quant.qat import activation_ranges, quantization_aware
from quant.qat_configs import Seam
from runtime.errors import BadGrid, NotEqual, UnknownName

pytestmark = pytest.mark.xdist_group("trained")

# A tie that falls the other way moves a value by one step, and its neighbours' sums with it: more than one step off is
# rare. Two hundredths of the values is above what ties do, and far below what a wrong range or kernel does.
TIES = 0.02


def parted(aware, lowered, x):
    """How much of the output differs by more than one step."""
    walk = steps(lowered.model)
    scale = [step.layer.grid.scale for step in walk if isinstance(step.layer, Quantize)][-1]
    return float(np.mean(np.abs(aware(x, training=False).numpy() - lowered(x).numpy()) > 1.5 * scale))


@pytest.mark.parametrize(("name", "options"), NETWORKS, ids=str)
def test_the_lowered_network_is_the_trained_one_up_to_ties(name, options):
    aware, lowered, contract = trained(name, **options)
    x = inputs(len(contract.planes))
    assert len(np.unique(aware(x).numpy())) > 10  # it says something
    assert parted(aware, lowered, x) <= TIES
    kernels = {s.name for s in steps(lowered.model) if s.layer.weights}
    assert kernels == lowered.kernels.keys()  # everything with a kernel is quantized


@pytest.mark.parametrize(("name", "options"), NETWORKS, ids=str)
def test_the_rewrites_before_writing_change_no_value(name, options):
    _, lowered, contract = trained(name, **options)
    x = inputs(len(contract.planes))
    again = ready(lowered)
    np.testing.assert_array_equal(lowered(x).numpy(), again(x).numpy())
    bare = [s.name for s in steps(again.model) if isinstance(s.layer, tf_keras.layers.Conv2DTranspose)]
    assert bare == []


@pytest.mark.parametrize("break_it", ["range", "kernel"])
def test_the_comparison_sees_one_wrong_range_or_kernel(break_it):
    name, options = NETWORKS[0]
    aware, lowered, contract = trained(name, **options)
    x = inputs(len(contract.planes))
    if break_it == "range":
        tensor = aware.get_layer("quant_down1_conv1")
        high = activation_ranges(tensor)[0]["max_var"]
        before = high.numpy()
        high.assign(before / 2)
        broken = lower_tfmot(aware)
        high.assign(before)
    else:
        layer = lowered.model.get_layer("down1_conv1")
        kernel, bias = layer.get_weights()
        layer.set_weights([-kernel, bias])
        broken = lowered
    try:
        assert parted(aware, broken, x) > 2 * TIES
    finally:
        if break_it == "kernel":
            layer.set_weights([kernel, bias])


def test_a_relu_layer_behind_a_convolution_leaves_no_kernel_in_float():
    # TFMOT takes such a convolution for an addition and gives it no weight quantizer.
    _, lowered, _ = trained("unet", **NETWORKS[1][1])
    for name, grid in lowered.kernels.items():
        assert grid.bits == 8
        assert len(np.unique(grid.quantize(kernel_of(lowered.model.get_layer(name))))) <= 255
    assert len(lowered.kernels) == sum(bool(s.layer.weights) for s in steps(lowered.model))


def test_an_activation_that_never_moves_becomes_zeros_and_is_written(tmp_path):
    model, contract = keras_models.build("unet", width=4, levels=2, activation="relu")
    layer, x = model.get_layer("bottom_conv1"), inputs(4, height=32, width=32)
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel, bias - 100])
    aware = quantization_aware(model, samples=x)
    lowered = lower_tfmot(aware)
    silent = tf_keras.Model(lowered.model.inputs, lowered.model.get_layer("bottom_conv1_grid").output)
    assert not silent(x).numpy().any()
    assert parted(aware, lowered, x) <= TIES
    for kind in ("onnx", "tflite"):
        assert write(lowered, contract, tmp_path / f"a.{kind}").within_one == 1


def test_channels_that_norms_all_but_switch_off_keep_their_shift_and_are_written(tmp_path):
    tf_keras.utils.set_random_seed(3)
    raw = tf_keras.Input((None, None, 4), name="raw")
    y = tf_keras.layers.Conv2D(6, 3, padding="same", use_bias=False, name="conv")(raw)
    y = tf_keras.layers.ReLU(name="act")(tf_keras.layers.BatchNormalization(name="norm")(y))
    y = tf_keras.layers.BatchNormalization(name="lone")(y)
    model = tf_keras.Model(raw, tf_keras.layers.Conv2D(3, 1, name="picture_conv")(y))
    gains, shifts = np.float32([1, 1e-5, 1e-9, 1e-38, 0, 2]), np.float32([0.5, 0.5, 0.3, 0.4, 0.013, 0])
    for name in ("norm", "lone"):
        model.get_layer(name).set_weights([gains, shifts, np.zeros(6), np.ones(6)])
        gains, shifts = gains[::-1], shifts[::-1]
    x = inputs(4, height=16, width=16)
    aware = quantization_aware(model, samples=x)
    lowered = lower_tfmot(aware)
    assert parted(aware, lowered, x) <= TIES
    whole = ready(lowered)
    whole_biases(whole)
    for name in ("conv", "lone"):  # what is counted in whole steps is the shift, as near as its own grid can tell
        off = np.abs(whole.model.get_layer(name).bias - lowered.model.get_layer(name).bias)
        assert off.max() <= whole.model.get_layer(f"{'act' if name == 'conv' else name}_grid").grid.scale / 8
    _, contract = keras_models.build("c-unet++", width=2)
    for kind in ("onnx", "tflite"):
        assert write(lowered, replace(contract, multiple=1, halo=None), tmp_path / f"a.{kind}").exact == 1


def test_a_range_that_is_no_number_is_named():
    model, _ = keras_models.build("unet", width=4, levels=2)
    for end in ("min_var", "max_var"):
        aware = quantization_aware(model, samples=inputs(4, height=32, width=32))
        activation_ranges(aware.get_layer("quant_bottom_conv1"))[0][end].assign(np.nan)
        with pytest.raises(BadGrid, match="nan.*bottom_conv1"):
            lower_tfmot(aware)


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("name", ["unet", "lighter"])
def test_before_the_first_step_the_network_is_as_near_to_the_float_one_as_without_training(name, per_channel):
    model, _ = keras_models.build(name, width=4, levels=2)
    x = inputs(4, height=32, width=32)
    begun = lower_tfmot(quantization_aware(model, samples=x, per_channel=per_channel))
    calibrated = ptq(model, lambda: [x], method="minmax", per_channel=per_channel)
    begun_off, calibrated_off = (float(np.abs(small(x) - model(x)).mean()) for small in (begun, calibrated))
    # The same kernels and ranges, rounded in a few other places; kernels from -6 to 6 would be off four times as far.
    assert begun_off < 1.5 * calibrated_off


def test_ranges_begin_where_the_float_network_has_them():
    model, contract = keras_models.build("unet", width=4, levels=2)
    x = inputs(len(contract.planes))
    aware = quantization_aware(model, samples=x)
    probe = tf_keras.Model(model.inputs, model.get_layer("bottom_conv1").output)(x).numpy()
    ranges = activation_ranges(aware.get_layer("quant_bottom_conv1"))[0]
    assert ranges["max_var"].numpy() == max(probe.max(), 0)
    assert ranges["min_var"].numpy() == min(probe.min(), 0)
    untouched = quantization_aware(model)
    assert activation_ranges(untouched.get_layer("quant_bottom_conv1"))[0]["max_var"].numpy() == 6


@pytest.mark.parametrize("still", [True, False])
def test_ranges_stay_where_they_began_if_they_are_to(still):
    model, contract = keras_models.build("unet", width=4, levels=2, activation="relu")
    x = inputs(len(contract.planes))
    aware = quantization_aware(model, samples=x, still=still)
    ends = {w.name: w for w in aware.weights if w.name.endswith(("_min:0", "_max:0")) and "kernel" not in w.name}
    began = {name: weight.numpy() for name, weight in ends.items()}
    aware(x * 3, training=True)
    moved = {name for name, weight in ends.items() if weight.numpy() != began[name]}
    assert not moved if still else len(moved) > len(began) / 3  # a ReLU begins at nothing, and stays there
    assert parted(aware, lower_tfmot(aware), x) <= TIES


FIRST_AND_LAST, MIDDLE = ("down1_conv1", "picture_conv"), ("bottom_conv1",)
SKIPS = [
    (FIRST_AND_LAST, "leaky-relu"),
    (MIDDLE, "leaky-relu"),
    (MIDDLE, "relu"),
    (("up1",), "leaky-relu"),
    (("out1_act2", "picture_conv"), "relu"),  # the sums of the convolution that has the ReLU inside stay unrounded
]


@functools.cache
def skipped(skip, name="unet", weight_bits=8, **options):
    """(the QAT model after a step, its lowered form, its contract)."""
    tf_keras.utils.set_random_seed(3)
    options = {"width": 4, "levels": 2, **options}
    model, contract = keras_models.build(name, **options)
    x = inputs(len(contract.planes), height=32, width=32)
    aware = quantization_aware(model, samples=x, skip=skip, weight_bits=weight_bits)
    y = model(x).numpy() + 0.1
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.abs(aware(x, training=True) - y))
    gradients = tape.gradient(loss, aware.trainable_weights)
    assert all(np.abs(gradient).max() > 0 for gradient in gradients), "it trains"
    tf_keras.optimizers.SGD(0.01).apply_gradients(zip(gradients, aware.trainable_weights, strict=True))
    return aware, lower_tfmot(aware), contract


def float_kernels(lowered):
    return {s.name for s in steps(lowered.model) if s.layer.weights} - lowered.kernels.keys()


@pytest.mark.parametrize(("skip", "activation"), SKIPS)
def test_a_skipped_kernel_is_the_float_one_to_the_bit_and_all_others_lie_on_grids(skip, activation):
    aware, lowered, _ = skipped(skip, activation=activation)
    convs = {name for name in skip if "conv" in name or "up" in name}
    assert float_kernels(lowered) == convs
    for layer in (step.layer for step in steps(lowered.model) if step.layer.weights):
        trained_one = unwrap(aware.get_layer(f"quant_{layer.name}")).get_weights()[0]
        assert np.array_equal(kernel_of(layer), trained_one) == (layer.name in convs)
    x = inputs(4, height=32, width=32)
    # In steps of 8 bits over the whole range, as the last result may be on no grid.
    off = np.abs(aware(x, training=False).numpy() - lowered(x).numpy()) / np.ptp(lowered(x)) * 255
    assert np.mean(off > 1.5) <= TIES


@pytest.mark.parametrize("kind", ["onnx", "tflite"])
@pytest.mark.parametrize(("skip", "activation"), SKIPS)
def test_a_network_with_skipped_layers_is_written_proved_and_run(skip, activation, kind, tmp_path):
    _, lowered, contract = skipped(skip, activation=activation)
    path = tmp_path / f"a.{kind}"
    assert write(lowered, contract, path).within_one == 1
    x = inputs(4, height=32, width=32, seed=5)
    off = np.abs(output(engine(path), x) - lowered(x).numpy()) / np.ptp(lowered(x)) * 255
    assert np.mean(off > 1.5) <= TIES


@pytest.mark.parametrize(("skip", "activation"), SKIPS)
def test_only_skipped_layers_run_in_float(skip, activation, tmp_path):
    _, lowered, contract = skipped(skip, activation=activation)
    to_onnx(lowered, contract, tmp_path / "a.onnx")
    ran = coverage(tmp_path / "a.onnx", height=32, width=32)
    floats = [name for name, kind in ran.floats if kind in MULTIPLY]
    inner = {"out1_act2": "out1_conv2"} if activation == "relu" else {}  # it hands its sums on in float
    assert len(floats) == len({inner.get(name, name) for name in skip} - {"out1_act2"})
    assert 0 < ran.integer_macs < ran.macs
    to_onnx(skipped((), activation=activation)[1], contract, tmp_path / "b.onnx")
    assert coverage(tmp_path / "b.onnx", height=32, width=32).share == 1


@pytest.mark.parametrize("name", ["unet", "lighter"])
def test_kernels_of_four_bits_are_trained_lowered_and_written(name, tmp_path):
    aware, lowered, contract = skipped((), name, weight_bits=4, activation="relu")
    assert {grid.bits for grid in lowered.kernels.values()} == {4}
    for layer, grid in lowered.kernels.items():
        kernel = kernel_of(lowered.model.get_layer(layer))
        np.testing.assert_array_equal(grid.dequantize(grid.quantize(kernel)), kernel)
    assert parted(aware, lowered, inputs(4, height=32, width=32)) <= TIES
    for kind in ("onnx", "tflite"):
        assert write(lowered, contract, tmp_path / f"a.{kind}").exact == 1


def test_nothing_skipped_is_the_network_as_it_was():
    model, contract = keras_models.build("unet", width=4, levels=2)
    x = inputs(len(contract.planes))
    plain, none = quantization_aware(model, samples=x), quantization_aware(model, samples=x, skip=())
    assert [layer.name for layer in plain.layers[2:]] == [layer.name for layer in none.layers[2:]]
    for one, other in zip(plain.weights, none.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    np.testing.assert_array_equal(plain(x).numpy(), none(x).numpy())
    assert not any(isinstance(unwrap(layer), Seam) for layer in none.layers)


def test_an_input_is_rounded_only_for_layers_that_compute_in_integers():
    x = inputs(4)
    for skip, rounded in ((("down1_conv1",), False), (("down1_conv2",), True)):
        model, _ = keras_models.build("unet", width=4, levels=2)
        first = next(s for s in steps(lower_tfmot(quantization_aware(model, samples=x, skip=skip)).model) if s.reads)
        assert isinstance(first.layer, Quantize) == rounded


def test_a_convolution_that_reads_a_skipped_one_reads_it_rounded():
    # Between the two halves of a separable convolution there is nothing that would round by itself.
    aware, lowered, _ = skipped(("bottom_conv*_depthwise",), "lighter")
    assert float_kernels(lowered) == {"bottom_conv1_depthwise", "bottom_conv2_depthwise"}
    makers = {step.makes: step.layer for step in steps(lowered.model)}
    for step in steps(lowered.model):
        if step.name in lowered.kernels:
            before = makers[step.reads[0]]
            assert isinstance(before, Quantize | tf_keras.layers.MaxPooling2D), step.name
    assert activation_ranges(aware.get_layer("quant_bottom_conv1_depthwise_rounded"))


@pytest.mark.parametrize(
    ("skip", "floats"), [(("conv",), {"conv"}), (("norm",), set()), (("conv", "norm"), {"conv"}), (("n*", "a*"), set())]
)
def test_a_norm_and_the_convolution_in_front_of_it_may_be_skipped_each_alone(skip, floats):
    x = inputs(4, height=8, width=8)
    raw = tf_keras.Input((None, None, 4), name="raw")
    y = tf_keras.layers.Conv2D(6, 3, padding="same", use_bias=False, name="conv")(raw)
    y = tf_keras.layers.ReLU(name="act")(tf_keras.layers.BatchNormalization(name="norm")(y))
    model = settled(tf_keras.Model(raw, tf_keras.layers.Conv2D(3, 1, name="picture_conv")(y)), x)
    aware = quantization_aware(model, samples=x, skip=skip)
    lowered = lower_tfmot(aware)
    assert float_kernels(lowered) == floats
    assert not any("norm" in step.name for step in steps(lowered.model)), "it is folded"
    assert parted(aware, lowered, x) <= TIES


def test_a_norm_behind_an_activation_may_be_skipped_too():
    tf_keras.utils.set_random_seed(3)
    model, _ = keras_models.build("thin-student", width=4, levels=2, in_channels=4)
    x = inputs(4)
    settled(model, x)
    aware = quantization_aware(model, samples=x, skip=("down1*",))
    lowered = lower_tfmot(aware)
    names = {s.name for s in steps(model) if s.name.startswith("down1") and s.layer.weights}
    assert float_kernels(lowered) == names
    assert parted(aware, lowered, x) <= TIES


def test_everything_may_be_skipped(tmp_path):
    _, lowered, contract = skipped(("*",))
    assert not lowered.kernels
    assert not any(isinstance(step.layer, Quantize) for step in steps(lowered.model))
    assert write(lowered, contract, tmp_path / "a.onnx").worst <= 1


def test_a_name_to_skip_that_no_layer_has_is_answered_with_likely_ones():
    model, _ = keras_models.build("unet", width=4, levels=2)
    with pytest.raises(UnknownName, match="'botom_conv1'.*did you mean 'bottom_conv1'") as caught:
        quantization_aware(model, skip=("down1_conv1", "botom_conv1"))
    assert len(caught.value.allowed) <= 5
    with pytest.raises(UnknownName, match="picture_conv"):
        quantization_aware(model, skip=("zz*",))


def test_a_wrong_skipped_kernel_is_seen_by_the_proof(tmp_path):
    _, lowered, contract = skipped(MIDDLE)
    path = tmp_path / "a.onnx"
    to_onnx(lowered, contract, path)
    assert may_flip(lowered)
    assert not may_flip(skipped(())[1])
    assert not may_flip(skipped(("picture_conv",))[1])  # no grid behind it
    # What ONNX Runtime would do to it if it were let: 8 bits.
    broken(
        path,
        "bottom_conv1_kernel",
        lambda kernel: np.rint(kernel / np.abs(kernel).max() * 127) / 127 * np.abs(kernel).max(),
    )
    with pytest.raises(NotEqual):
        prove(lowered, path)
