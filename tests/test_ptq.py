import functools

import numpy as np
import pytest
import tf_keras
from float_nets import SIZE, floats, kernel, network, pictures, tiny

from export.coverage import coverage
from export.parity import compare, engine, output
from export.write import write
from keras_models.fold import plain
from keras_models.graph import outputs, steps
from keras_models.grid import Grid
from keras_models.hoist import grids
from keras_models.lowered import kernel_of
from keras_models.quantize import Quantize
from keras_models.ready import ready
from quant.apart import apart
from quant.calibrate import Ranges, calibrated
from quant.kernel_grids import kernel_grid
from quant.observe import Percentile
from quant.ptq import ptq, quantized
from quant.rounding import activation_grid
from runtime.errors import BadGrid, BadOption, UnknownName

K = tf_keras.layers

# Each network with how close 8 bits keep it to its float self, in dB of the output's range on pictures not calibrated
# on. Half of the noise of 8 bits on one tensor alone is 53 dB; forty random layers in a row amplify it.
NETWORKS = {
    "unet": 40,
    "light": 35,
    "lighter": 35,
    "squeeze": 40,
    "effnet-ffnet": 20,
}
FEW_BITS = 10.0  # dB, of the 24 that four bits less are worth on one tensor: what 4 bits must lose at least
CLEARLY = 3.0  # dB: half the noise; from one set of samples to the next it moves by one
SUMS = 1e-5  # of the range: float32, a product apart instead of inside
HALF = 0.501  # steps: rounding to the nearest, and float32
WITHIN_ONE = 0.99  # of the values of two engines: ties


@functools.cache
def ranges(name="unet", method="mse", bits=8):
    return calibrated(floats(name), lambda: network(name)[2], method=method, bits=bits)


def decibel(lowered, name="unet"):
    model, _, _, x = network(name)
    wanted = model(x).numpy()
    return 10 * np.log10(np.ptp(wanted) ** 2 / np.mean((lowered(x).numpy() - wanted) ** 2))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_quantized_network_is_written_proved_and_run_in_integers_alone(name, tmp_path):
    _, contract, _, x = network(name)
    lowered = quantized(floats(name), ranges(name))
    assert write(lowered, contract, tmp_path / "a.onnx").exact == 1
    write(lowered, contract, tmp_path / "a.tflite")  # it raises NotEqual beyond LiteRT's tolerance
    ran = coverage(tmp_path / "a.onnx", height=SIZE, width=SIZE)
    assert ran.macs > 0
    assert ran.share == 1
    plain_one = ready(lowered)
    unit = float(grids(steps(plain_one.model))[outputs(plain_one.model)[0]].scale)
    one, other = (output(engine(tmp_path / f"a.{kind}"), x) for kind in ("onnx", "tflite"))
    assert compare(one, other, unit=unit).within_one >= WITHIN_ONE


@pytest.mark.parametrize("name", NETWORKS)
def test_eight_bits_are_close_to_float_and_four_are_not(name):
    close = decibel(quantized(floats(name), ranges(name)), name)
    assert close > NETWORKS[name]
    far = quantized(floats(name), ranges(name, "mse", 4), weight_bits=4, activation_bits=4)
    assert decibel(far, name) < close - FEW_BITS


@pytest.mark.parametrize("bits", [4, 6])
def test_fewer_bits_are_written_and_run_in_integers_too(bits, tmp_path):
    _, contract, _, _ = network("unet")
    lowered = quantized(floats(), ranges("unet", "mse", bits), weight_bits=bits, activation_bits=bits)
    assert {grid.bits for grid in lowered.kernels.values()} == {bits}
    for kind in ("onnx", "tflite"):
        write(lowered, contract, tmp_path / f"a.{kind}")
    assert coverage(tmp_path / "a.onnx", height=SIZE, width=SIZE).share == 1
    assert engine(tmp_path / "a.onnx").contract.weight_bits == bits


@pytest.mark.parametrize("method", ["minmax", "average", "percentile", "entropy"])
def test_every_way_to_find_ranges_keeps_the_network(method):
    assert decibel(quantized(floats(), ranges("unet", method))) > NETWORKS["unet"]


def test_everything_that_computes_is_on_grids_and_everything_else_as_it_was():
    lowered = quantized(floats("lighter"), ranges("lighter"))
    known = grids(steps(lowered.model))
    for step in steps(lowered.model):
        if step.layer.weights:
            assert known[step.reads[0]] is not None
            grid, was = lowered.kernels[step.name], floats("lighter").model.get_layer(step.name)
            assert grid.scale.size == kernel_of(step.layer).shape[3 if type(step.layer) is K.Conv2D else 2]
            off = np.abs(kernel_of(step.layer) - kernel_of(was)) / grid._along(4, grid.axis)
            assert off.max() <= 0.501  # half a step
            np.testing.assert_array_equal(step.layer.get_weights()[1], was.get_weights()[1])


def test_what_only_a_concatenation_reads_is_rounded_once_on_its_grid():
    walk = steps(quantized(floats("squeeze"), ranges("squeeze")).model)
    known = grids(walk)
    fires = [s for s in walk if isinstance(s.layer, K.Concatenate) and "fire" in s.name]
    assert fires
    for step in fires:
        assert {known[tensor] for tensor in step.reads} == {known[step.makes]}
        assert known[step.makes] is not None


def test_ptq_is_its_three_steps():
    model, _, batches, x = network("unet")
    options = {"weight_bits": 6, "per_channel": False}
    once = ptq(model, lambda: batches, method="minmax", **options)
    steps_ = quantized(plain(model), calibrated(plain(model), lambda: batches, method="minmax"), **options)
    np.testing.assert_array_equal(once(x), steps_(x))
    np.testing.assert_array_equal(once(x), ptq(plain(model), lambda: batches, method="minmax", **options)(x))
    assert once.kernels.keys() == steps_.kernels.keys()


def test_scales_a_channel_hold_what_one_scale_loses():
    spread = np.geomspace(1, 1 / 64, 8).astype(np.float32)
    model = tiny([kernel(3, 3, 4, 8) * spread])
    x = pictures(4, count=2, seed=4)
    wanted = model(x).numpy()

    def worst(**options):
        found = ptq(model, lambda: [x], weight_bits=4, **options)(x).numpy()
        return (np.square(found - wanted).mean(axis=(0, 1, 2)) / np.square(wanted).mean(axis=(0, 1, 2))).max()

    assert worst(per_channel=True) < 0.2
    assert worst(per_channel=False) > 0.9  # nothing is left of the small one


CUTTERS = {"mse": "mse", "entropy": "entropy", "percentile": lambda bits: Percentile(share=0.998)}


@pytest.mark.parametrize("method", CUTTERS.values(), ids=CUTTERS.keys())
def test_an_outlier_planted_in_the_samples_costs_min_and_max_dearly(method):
    batches = [batch.copy() for batch in network("unet")[2]]
    batches[0][0, 5, 5, 0] = 20

    def score(method):
        return decibel(ptq(floats(), lambda: batches, method=method, activation_bits=4))

    assert score(method) > score("minmax") + CLEARLY


def test_weights_cut_off_at_least_error_have_less_of_it():
    layer = tiny([kernel(3, 3, 8, 8)]).layers[1]
    layer.set_weights([kernel(3, 3, 8, 8) ** 3, np.zeros(8, np.float32)])
    for per_channel in (True, False):
        for bits, gain in ((2, 0.9), (4, 0.95), (8, 1.0)):
            errors = []
            for weights in ("minmax", "mse"):
                grid = kernel_grid(layer, bits=bits, per_channel=per_channel, weights=weights, x=None)
                errors.append(np.square(grid.dequantize(grid.quantize(kernel_of(layer))) - kernel_of(layer)).sum())
            assert errors[1] <= gain * errors[0]


def test_bits_of_single_layers_are_theirs_alone():
    own = {"down1_conv1": 4, "picture_conv": None}
    lowered = quantized(floats(), ranges(), bits_of=own, activations_of={"down1_act1": 5}, input_bits=6)
    assert lowered.kernels["down1_conv1"].bits == 4
    assert lowered.kernels["down1_conv2"].bits == 8
    assert "picture_conv" not in lowered.kernels
    bits = {s.name: s.layer.grid.bits for s in steps(lowered.model) if isinstance(s.layer, Quantize)}
    assert (bits.pop("down1_act1_grid"), bits.pop("raw_grid"), set(bits.values())) == (5, 6, {8})


def test_a_result_may_stay_in_float():
    lowered = quantized(floats(), ranges(), output_bits=None)
    (end,) = outputs(lowered.model)
    assert grids(steps(lowered.model))[end] is None
    (end,) = outputs(quantized(floats(), ranges()).model)
    assert grids(steps(quantized(floats(), ranges()).model))[end] is not None


def test_symmetric_grids_have_their_zero_in_the_middle_and_the_file_is_equal(tmp_path):
    _, contract, _, _ = network("unet")
    lowered = quantized(floats(), ranges(), symmetric=True)
    found = [s.layer.grid for s in steps(lowered.model) if isinstance(s.layer, Quantize)]
    assert {grid.zero for grid in found} == {0}
    assert {grid.signed for grid in found} == {True, False}
    assert decibel(lowered) > NETWORKS["unet"]
    assert write(lowered, contract, tmp_path / "a.onnx").exact == 1


def test_a_sigmoid_has_the_one_grid_of_integer_sigmoids():
    lowered = quantized(floats("effnet-ffnet"), ranges("effnet-ffnet"))
    gates = [s for s in steps(lowered.model) if isinstance(s.layer, Quantize) and "gate" in s.name]
    assert gates
    assert {s.layer.grid for s in gates} == {Grid(np.array(1 / 256))}


def test_a_silu_taken_apart_is_the_same_function():
    model, _, _, x = network("effnet-ffnet")
    whole, parted = plain(model), floats("effnet-ffnet")
    assert len(steps(parted.model)) > len(steps(whole.model))
    np.testing.assert_allclose(parted(x), whole(x), atol=SUMS * np.ptp(whole(x)))
    assert apart(parted) is parted


def test_what_never_moves_gets_a_grid_and_a_warning(tmp_path):
    dead = tiny([kernel(3, 3, 4, 6) * 0, kernel(1, 1, 6, 12)])
    told = []
    lowered = ptq(dead, lambda: [pictures(4, count=1, seed=1)], tell=told.append)
    assert any("'act0'" in line for line in told)
    np.testing.assert_array_equal(lowered.kernels["conv0"].scale, 1)
    np.testing.assert_array_equal(lowered(pictures(4, count=1, seed=2)), 0)
    even = ptq(tiny([kernel(3, 3, 4, 6)]), lambda: [np.full((1, 8, 8, 4), 0.25, np.float32)], tell=told.append)
    assert "'raw' gave 0.25 everywhere" in told[-1]
    assert np.isfinite(even(pictures(4, count=1, seed=2))).all()
    told.clear()
    ptq(tiny([kernel(3, 3, 4, 6)]), lambda: [pictures(4, count=1, seed=1)], tell=told.append)
    assert told == []


@pytest.mark.parametrize("per_channel", [True, False])
def test_weights_that_are_nothing_beside_their_bias_still_make_a_file(per_channel, tmp_path, monkeypatch):
    _, contract, batches, _ = network("unet")
    model = tf_keras.models.clone_model(network("unet")[0])
    model.set_weights(network("unet")[0].get_weights())
    layer = model.get_layer("down1_conv1")
    weights, *bias = layer.get_weights()
    layer.set_weights([weights * np.where(np.arange(weights.shape[3]) == 1, 1e-12, 1), *[b + 1 for b in bias]])
    write(ptq(model, lambda: batches, method="minmax", per_channel=per_channel), contract, tmp_path / "a.onnx")
    if per_channel:  # by the steps that the weights alone ask for, the bias does not fit
        monkeypatch.setattr("quant.kernel_grids.BIAS_STEPS", np.inf)
        with pytest.raises(BadGrid, match="a bias of"):
            write(ptq(model, lambda: batches, method="minmax"), contract, tmp_path / "b.onnx")


@pytest.mark.parametrize(("low", "high"), [(0, 0), (0, 1e-42), (-1e-40, 0), (0.3, 0.3), (-2, -2), (-1e30, 1e30)])
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("symmetric", [False, True])
def test_every_range_has_a_grid_that_holds_zero(low, high, bits, symmetric):
    grid = activation_grid(low, high, bits=bits, symmetric=symmetric)
    assert grid.holds(np.zeros(1))
    assert grid.levels.size == 2**bits


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"activation_bits": 16}, "activations cannot be 16"),
        ({"weight_bits": 1}, "weights cannot be 1"),
        ({"weight_bits": 16}, "weights cannot be 16"),
        ({"input_bits": 9}, "input cannot be 9"),
        ({"output_bits": 0}, "output cannot be 0"),
        ({"bits_of": {"down1_conv1": 12}}, "down1_conv1 cannot be 12"),
        ({"activations_of": {"down1_act1": 1}}, "down1_act1 cannot be 1"),
        ({"weights": "best"}, "'minmax' or 'mse'"),
    ],
    ids=str,
)
def test_bits_and_options_that_cannot_be_are_refused_in_words(options, words):
    with pytest.raises(BadOption, match=words):
        quantized(floats(), ranges(), **options)


def test_names_that_are_not_there_are_answered_with_likely_ones():
    with pytest.raises(UnknownName, match="did you mean 'down1_conv1'"):
        quantized(floats(), ranges(), bits_of={"down1_con1": 4})
    with pytest.raises(UnknownName, match="did you mean 'down1_act1'"):
        quantized(floats(), ranges(), activations_of={"down1_akt1": 4})


def test_a_network_is_quantized_once_and_with_its_own_ranges():
    with pytest.raises(BadOption, match="quantized already"):
        quantized(quantized(floats(), ranges()), ranges())
    with pytest.raises(BadOption, match="without 'raw'"):
        quantized(floats(), Ranges({}))
