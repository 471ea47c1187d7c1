"""The TFLite writer: float files against Keras, quantized files against the integer reference."""

from dataclasses import replace

import numpy as np
import pytest
import tf_keras
from tflite_nets import (
    CONTRACT,
    NETS,
    PLANES,
    bilinear,
    conv,
    conv_leaky,
    conv_relu,
    finished,
    image,
    net,
    quantized,
    wrong,
)

import keras_models
from export.to_tflite import to_tflite
from keras_models.fixed_point import FixedPoint
from keras_models.fold import plain
from keras_models.lowered import Lowered
from runtime.errors import BadGrid, BadNumbers, BadOption, UnknownLayer
from runtime.litert import LiteRT

K = tf_keras.layers

FLOAT = 1e-5  # of the output's range, 100 dB: float32 sums in another order, and nothing else
STEPS = 2  # Keras multiplies kernels in float and rounds ties otherwise; a layer later that may be two steps
WITHIN_ONE = 0.99  # such flips are rare
TIES = 0.95  # halfway between two pixels lies often halfway between two levels, and float32 falls either way
PADDING = 64  # bytes: what is aligned to 16 may start a little later


def alike(model, x, found):
    """Whether a file's output is that of Keras, up to float rounding."""
    expected = model(x).numpy()
    return np.abs(found - expected).max() <= FLOAT * np.ptp(expected)


@pytest.mark.parametrize("name", keras_models.names())
def test_every_float_network_gives_what_keras_gives_at_three_sizes(name, tmp_path):
    fewer = {"levels": 3} if name.startswith("thin") else {}  # all levels are alike, and six take long
    model, contract = keras_models.build(name, width=4, **fewer)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        for weight in layer.weights:
            if len(weight.shape) == 1:  # biases, and the statistics of norms, which must be above zero
                weight.assign(rng.uniform(0.5, 1.5, weight.shape) * (0.1 if "bias" in weight.name else 1))
    to_tflite(plain(model), contract, tmp_path / "a.tflite")
    backend = LiteRT(tmp_path / "a.tflite", threads=1)
    m = contract.multiple
    for shape in ((1, m, 2 * m), (3, 2 * m, m), (1, 3 * m, 2 * m)):
        x = rng.uniform(0, 1, (*shape, len(contract.planes))).astype(np.float32)
        assert alike(model, x, backend.run(x)["picture"]), shape


def test_one_broken_weight_of_a_float_network_is_seen(tmp_path):
    model, contract = keras_models.build("unet", width=4)
    lowered = plain(model)
    broken = lowered.model.get_layer("down1_conv1")
    kernel, bias = broken.get_weights()
    kernel[1, 1, 0, 0] += 0.01
    broken.set_weights([kernel, bias])
    to_tflite(lowered, contract, tmp_path / "a.tflite")
    x = image(1, 16, 16)
    assert not alike(model, x, LiteRT(tmp_path / "a.tflite").run(x)["picture"])


@pytest.mark.parametrize("function", NETS)
def test_every_quantized_layer_equals_the_integer_reference(function, tmp_path):
    lowered = net(function)
    to_tflite(lowered, CONTRACT, tmp_path / "a.tflite")
    for shape in ((1, 8, 12), (3, 20, 6)):
        shares = wrong(lowered, tmp_path / "a.tflite", image(*shape))
        assert not any(shares.values()), shares


def test_bilinear_enlargement_differs_from_the_reference_at_ties_alone(tmp_path):
    lowered = net(bilinear)
    to_tflite(lowered, CONTRACT, tmp_path / "a.tflite")
    shares = wrong(lowered, tmp_path / "a.tflite", image(2, 16, 24))
    assert max(shares.values()) < 1 - TIES


@pytest.mark.parametrize("function", [*NETS, bilinear])
def test_a_quantized_file_is_near_the_float_forward(function, tmp_path):
    lowered = net(function)
    to_tflite(lowered, CONTRACT, tmp_path / "a.tflite")
    x = image(2, 32, 24)
    found = LiteRT(tmp_path / "a.tflite").run(x)["picture"]
    steps = np.abs(found - lowered(x).numpy()) / lowered.model.get_layer("out").grid.scale
    assert np.rint(steps).max() <= STEPS
    assert np.mean(np.rint(steps) <= 1) >= WITHIN_ONE


@pytest.mark.parametrize("function", NETS)
def test_the_numbers_are_the_same_whether_tensors_are_kept_or_not(function, tmp_path):
    to_tflite(net(function), CONTRACT, tmp_path / "a.tflite")
    x = image(1, 16, 16)
    kept, fast = (LiteRT(tmp_path / "a.tflite", keep_all=keep).run(x)["picture"] for keep in (True, False))
    np.testing.assert_array_equal(kept, fast)


def six_bits_relu(x):
    return quantized(K.ReLU(name="relu")(conv(x)), 0, 0.5, "out", bits=6)


def six_bits_below_zero(x):
    return quantized(conv(x), -0.3, 0.5, "out", bits=6)


def six_bits_leaky(x):
    # No round ratio between the two: at ties XNNPACK's multiplication and our division may part.
    x = quantized(conv(x), -0.31, 0.53, "conv_q", bits=6)
    return quantized(K.LeakyReLU(0.2, name="leaky")(x), -0.023, 0.3, "out", bits=6)


def six_bits_add(x):
    x = quantized(K.Add(name="add")([x, x]), 0, 1.5, "add_q", bits=6)
    return quantized(K.Concatenate(name="join")([x, x]), 0, 0.9, "out", bits=5)


@pytest.mark.parametrize("low", [0.0, -0.2])
@pytest.mark.parametrize("function", [six_bits_relu, six_bits_below_zero, six_bits_leaky, six_bits_add])
def test_a_grid_of_six_bits_saturates_at_its_own_levels(function, low, tmp_path):
    lowered = net(function, bits=6, low=low)
    to_tflite(lowered, CONTRACT, tmp_path / "a.tflite")
    x = image(1, 16, 16, low=-9, high=9)  # far outside every grid
    assert not any(wrong(lowered, tmp_path / "a.tflite", x).values())
    out = LiteRT(tmp_path / "a.tflite").run(x)["picture"]
    levels = lowered.model.get_layer("out").grid.levels
    assert (out.min(), out.max()) == (levels.min(), levels.max())


def break_weight(lowered):
    kernel, bias = lowered.model.get_layer("conv").get_weights()
    kernel[1, 1, 0, 0] -= np.sign(kernel[1, 1, 0, 0]) * lowered.kernels["conv"].scale[0]
    lowered.model.get_layer("conv").set_weights([kernel, bias])


def break_scale(lowered):
    layer = lowered.model.get_layer("conv_q")
    layer.grid = replace(layer.grid, scale=layer.grid.scale * np.float32(1.01))


def break_zero(lowered):
    layer = lowered.model.get_layer("conv_q")
    layer.grid = replace(layer.grid, zero=layer.grid.zero + 1)


@pytest.mark.parametrize("spoil", [break_weight, break_scale, break_zero])
def test_one_broken_number_is_seen_at_the_layer_it_belongs_to(spoil, tmp_path):
    spoiled = net(conv_leaky)
    spoil(spoiled)
    to_tflite(spoiled, CONTRACT, tmp_path / "a.tflite")
    shares = wrong(net(conv_leaky), tmp_path / "a.tflite", image(1, 16, 16))
    assert next(name for name, share in shares.items() if share) == "conv_q", shares


def wide(x):
    x = quantized(conv(x, 64), -1.2, 1.5, "conv_q")
    return quantized(conv(x, 64, name="conv2"), -3, 3, "out")


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_kernels_of_few_bits_take_half_the_room_and_give_the_same_numbers(bits, tmp_path):
    few = net(wide, kernel_bits=bits)
    to_tflite(few, CONTRACT, tmp_path / "few.tflite")
    to_tflite(net(wide), CONTRACT, tmp_path / "eight.tflite")
    eight, packed = ((tmp_path / f"{name}.tflite").stat().st_size for name in ("eight", "few"))
    numbers = sum(few.model.get_layer(name).get_weights()[0].size for name in few.kernels)
    assert abs(eight - packed - numbers / 2) < PADDING
    assert not any(wrong(few, tmp_path / "few.tflite", image(1, 8, 8)).values())
    assert LiteRT(tmp_path / "few.tflite").ran().left == {}


def test_a_packed_file_runs_in_an_interpreter_that_does_not_unpack_it(tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    lowered = net(wide, kernel_bits=4)
    to_tflite(lowered, CONTRACT, tmp_path / "a.tflite")
    x = image(1, 4, 4)
    interpreter = Interpreter(str(tmp_path / "a.tflite"))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    ours = LiteRT(tmp_path / "a.tflite").run(x)["picture"]
    # Its own kernels round in fixed point, half away from zero, layer upon layer.
    assert np.abs(found - ours).max() <= STEPS * lowered.model.get_layer("out").grid.scale * 1.01


def test_with_integer_ends_the_file_holds_no_float_and_the_numbers_stay(tmp_path):
    lowered = net(conv_relu)
    for integer in (False, True):
        to_tflite(lowered, CONTRACT, tmp_path / f"{integer}.tflite", integer_io=integer)
    x = image(1, 8, 8)
    plain_, whole = (LiteRT(tmp_path / f"{i}.tflite", keep_all=True) for i in (False, True))
    np.testing.assert_array_equal(plain_.run(x)["picture"], whole.run(x)["picture"])
    assert all(tensor.dtype.kind == "i" for tensor in whole.run_all(x).values())


def test_integer_ends_are_refused_where_the_network_has_none(tmp_path):
    model, contract = keras_models.build("c-unet++", width=4)
    with pytest.raises(BadOption, match="not quantized"):
        to_tflite(plain(model), contract, tmp_path / "a.tflite", integer_io=True)
    assert not list(tmp_path.iterdir())


def test_a_layer_without_a_grid_behind_it_runs_in_float_between_integers(tmp_path):
    def mixed(x):
        x = K.LeakyReLU(0.2, name="leaky")(conv(x))
        x = quantized(x, -0.3, 1.4, "leaky_q")
        return conv(x, name="last")

    lowered = net(mixed)
    to_tflite(lowered, CONTRACT, tmp_path / "a.tflite")
    x = image(1, 8, 8)
    found = LiteRT(tmp_path / "a.tflite").run(x)["picture"]
    steps = np.abs(found - lowered(x).numpy()) / lowered.model.get_layer("leaky_q").grid.scale
    assert np.mean(steps < 1) > WITHIN_ONE


@pytest.mark.parametrize(("integer", "fraction"), [(2, 4), (0, 4), (3, 0)])
def test_the_papers_quantizer_is_written_with_its_quirks(integer, fraction, tmp_path):
    raw = K.Input((None, None, PLANES), name="raw")
    lowered = Lowered(tf_keras.Model(raw, FixedPoint(integer, fraction, name="fixed")(raw)))
    to_tflite(lowered, CONTRACT, tmp_path / "a.tflite")
    x = image(1, 16, 16, low=-12, high=12)
    np.testing.assert_array_equal(LiteRT(tmp_path / "a.tflite").run(x)["picture"], lowered(x).numpy())


@pytest.mark.parametrize(
    ("layer", "named"),
    [
        (K.Activation("tanh", name="odd"), "tanh"),
        (K.ReLU(6.0, name="odd"), "ReLU"),
        (K.Conv2D(4, 3, activation="relu", name="odd"), "Conv2D"),
        (K.Conv2D(4, 1, groups=2, name="odd"), "Conv2D"),
        (K.UpSampling2D((1, 2), name="odd"), "UpSampling2D"),
        (K.Conv2DTranspose(4, 3, 2, name="odd"), "Conv2DTranspose"),
        (K.Softmax(name="odd"), "Softmax"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_layer_without_a_rule_is_named_and_nothing_is_written(layer, named, tmp_path):
    raw = K.Input((None, None, PLANES), name="raw")
    with pytest.raises(UnknownLayer, match=f"'odd'.*{named}"):
        to_tflite(Lowered(tf_keras.Model(raw, layer(raw))), CONTRACT, tmp_path / "a.tflite")
    assert not list(tmp_path.iterdir())


def test_numbers_that_cannot_be_written_are_named_and_nothing_is_written(tmp_path):
    for number, error, words in ((np.nan, BadNumbers, "NaN"), (1e9, BadGrid, "a bias of .* as 'conv' has")):
        lowered = net(conv_leaky)
        kernel, bias = lowered.model.get_layer("conv").get_weights()
        bias[0] = number
        lowered.model.get_layer("conv").set_weights([kernel, bias])
        with pytest.raises(error, match=words):
            to_tflite(lowered, CONTRACT, tmp_path / "a.tflite")
    assert not list(tmp_path.iterdir())


def test_every_exit_comes_out_under_its_name(tmp_path):
    raw = K.Input((None, None, PLANES), name="raw")
    x = quantized(raw, 0, 1, "raw_q")
    early = quantized(conv(x, name="early"), -1.2, 1.5, "early_q")
    late = quantized(conv(early, 3, name="late"), -2, 2, "late_q")
    lowered = finished(raw, [early, late])
    to_tflite(lowered, replace(CONTRACT, exits=("early", "late")), tmp_path / "a.tflite")
    found = LiteRT(tmp_path / "a.tflite").run(image(1, 8, 8))
    assert {name: array.shape for name, array in found.items()} == {"early": (1, 8, 8, 8), "late": (1, 8, 8, 3)}
    assert not any(wrong(lowered, tmp_path / "a.tflite", image(1, 8, 8)).values())


def test_equal_networks_are_equal_files(tmp_path):
    for name in "ab":
        to_tflite(net(conv_leaky), CONTRACT, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
