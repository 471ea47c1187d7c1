from dataclasses import replace

import numpy as np
import pytest
import tf_keras
from test_to_onnx import broken, one_weight, shaken
from trained import NETWORKS, inputs, trained

import keras_models
from export import reference, tflite_convolutions
from export import to_onnx as onnx_writer
from export.layerwise import first_departure, layerwise
from export.parity import against, compare, may_flip, prove, samples
from export.round_kernels import round_kernels
from export.to_onnx import to_onnx
from export.to_tflite import to_tflite
from export.write import described, write
from keras_models.fixed_point import FixedPoint
from keras_models.fold import plain
from keras_models.graph import steps
from keras_models.grid import Grid
from keras_models.lowered import Lowered, kernel_of
from keras_models.quantize import Quantize
from runtime.errors import BadOption, FileError, NotEqual
from runtime.ort import OnnxRuntime
from runtime.root import CUT

pytestmark = pytest.mark.xdist_group("trained")

K = tf_keras.layers
WRITERS = {"onnx": to_onnx, "tflite": to_tflite}


def test_a_comparison_measures_in_steps_and_says_where():
    wanted = np.zeros((1, 2, 2, 1), np.float32)
    wanted[0, 0, 0, 0] = 1
    found = wanted.copy()
    found[0, 1, 0, 0] = 0.25
    seen = compare(found, wanted, unit=0.125)
    assert (seen.worst, seen.mean, seen.exact, seen.within_one, seen.where) == (2, 0.5, 0.75, 0.75, (0, 1, 0, 0))
    assert seen.decibel == pytest.approx(10 * np.log10(1 / (0.25**2 / 4)))
    same = compare(wanted, wanted, unit=None)
    assert (same.exact, same.decibel, same.as_dict()["decibel"]) == (1, float("inf"), None)
    found[0, 0, 1, 0] = np.nan
    assert compare(found, wanted, unit=0.125).worst == np.inf


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize(("name", "options"), [NETWORKS[0], *NETWORKS[4:6]], ids=str)
def test_both_formats_are_proved_against_the_reference(kind, name, options, tmp_path):
    _, lowered, contract = trained(name, **options)
    path = tmp_path / f"a.{kind}"
    WRITERS[kind](lowered, contract, path)
    assert prove(lowered, path).exact == 1


@pytest.mark.parametrize("kind", WRITERS)
def test_every_exit_is_proved(kind, tmp_path):
    raw = K.Input((None, None, 4), name="raw")
    conv, kernel = K.Conv2D(3, 1, name="conv"), Grid(0.01, signed=True)
    early = Quantize(Grid(0.01, 5), name="early")(conv(Quantize(Grid(0.004), name="grid")(raw)))
    conv.set_weights([kernel.dequantize(kernel.quantize(conv.get_weights()[0])), np.zeros(3, np.float32)])
    late = Quantize(Grid(0.0213, 9), name="late")(K.MaxPooling2D(name="pool")(early))
    lowered = Lowered(tf_keras.Model(raw, [early, late]), {"conv": kernel})
    _, contract = keras_models.build("c-unet++", width=2)
    contract = replace(contract, exits=("early", "late"), multiple=2, halo=None)
    path = tmp_path / f"a.{kind}"
    WRITERS[kind](lowered, contract, path)
    assert prove(lowered, path).exact == 1
    wrong = Quantize(Grid(0.002, 9), name="late")(K.MaxPooling2D(name="pool")(early))
    with pytest.raises(NotEqual):
        prove(Lowered(tf_keras.Model(raw, [early, wrong]), lowered.kernels), path)


@pytest.mark.parametrize("kind", WRITERS)
def test_layer_by_layer_the_first_that_parts_is_named(kind, tmp_path):
    _, lowered, contract = trained("unet", width=4, levels=3)
    path, x = tmp_path / f"a.{kind}", inputs(4)
    WRITERS[kind](lowered, contract, path)
    rows = layerwise(lowered, path, x)
    names = [row.name for row in rows]
    assert first_departure(rows) is None
    assert {"raw_grid", "down1_conv1_grid", "bottom_act2_grid", "up1_grid", "picture_conv_grid"} <= set(names)
    if kind == "onnx":
        broken(path, "bottom_conv1_kernel_q", one_weight)
        assert first_departure(layerwise(lowered, path, x)).name == "bottom_conv1_grid"


def test_a_file_that_is_not_equal_is_not_kept(tmp_path, monkeypatch):
    _, lowered, contract = trained("unet", width=4, levels=3)

    def wrong(lowered, contract, path):
        to_onnx(lowered, contract, path)
        broken(path, "bottom_conv1_kernel_q", one_weight)

    monkeypatch.setitem(write.__globals__["WRITERS"], ".onnx", wrong)
    with pytest.raises(NotEqual, match=r"a\.onnx.*steps, worst at") as caught:
        write(lowered, contract, tmp_path / "a.onnx")
    assert caught.value.worst > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("skip", [(), ("bottom_conv1",)])
@pytest.mark.parametrize(("kind", "module"), [("onnx", onnx_writer), ("tflite", tflite_convolutions)])
def test_a_file_that_is_a_step_off_in_every_value_is_refused(kind, module, skip, tmp_path, monkeypatch):
    _, lowered, contract = trained("unet", width=4, levels=3)
    lowered = replace(lowered, kernels={name: lowered.kernels[name] for name in lowered.kernels if name not in skip})
    assert may_flip(lowered) == bool(skip)
    write(lowered, contract, tmp_path / f"a.{kind}")
    step = [s.layer.grid.scale for s in steps(lowered.model) if isinstance(s.layer, Quantize)][-1]

    def off(bias, scale, *, of):
        return reference.bias_levels(bias + step * of.startswith("picture"), scale, of=of)

    monkeypatch.setattr(module, "bias_levels", off)
    with pytest.raises(NotEqual) as caught:
        write(lowered, contract, tmp_path / f"a.{kind}")
    assert 1 <= round(caught.value.worst) <= 2


def test_a_float_output_that_is_narrow_beside_its_offset_is_equal_as_far_as_float32_goes():
    wanted = np.float32(5) + np.linspace(0, 1e-4, 64, dtype=np.float32).reshape(1, 8, 8, 1)
    assert compare(np.nextafter(wanted, np.float32(9)), wanted, unit=None).worst <= 1
    assert compare(wanted * np.float32(1.0001), wanted, unit=None).worst > 1


def test_the_papers_fixed_point_has_bits_a_reference_and_sums_that_may_flip():
    raw, conv, kernel = K.Input((None, None, 4), name="raw"), K.Conv2D(3, 1, name="conv"), Grid(0.25, signed=True)
    y = FixedPoint(2, 3, name="out")(conv(FixedPoint(0, 4, name="grid")(raw)))
    conv.set_weights([kernel.dequantize(kernel.quantize(conv.get_weights()[0])), np.float32([0.1, 0.2, 0.3])])
    lowered = Lowered(tf_keras.Model(raw, y), {"conv": kernel})
    _, contract = keras_models.build("c-unet++", width=2)
    assert described(lowered, contract).bits == "w8a7"  # two bits and three, a sign, and one for what is carried
    assert may_flip(lowered)
    assert against(lowered, samples(contract))[1] == 2.0**-3


def test_a_float_file_is_proved_too_and_a_wrong_one_is_seen(tmp_path):
    model, contract = shaken("unet", width=4, levels=3)
    assert write(plain(model), contract, tmp_path / "a.onnx").worst <= 1
    broken(tmp_path / "a.onnx", "down1_conv1_kernel", lambda kernel: kernel * np.float32(1.001))
    with pytest.raises(NotEqual):
        prove(plain(model), tmp_path / "a.onnx")


def test_rounded_kernels_make_a_small_file_that_is_equal_to_them(tmp_path):
    model, contract = keras_models.build("unet", width=16, levels=4)
    lowered = round_kernels(plain(model), bits=4)
    assert write(lowered, contract, tmp_path / "w4.onnx").worst <= 1
    write(plain(model), contract, tmp_path / "float.onnx")
    assert (tmp_path / "w4.onnx").stat().st_size * 5 < (tmp_path / "float.onnx").stat().st_size
    assert OnnxRuntime(tmp_path / "w4.onnx").contract.weight_bits == 4


def test_a_contract_is_described_by_the_bits_the_network_has():
    _, lowered, contract = trained("unet", width=4, levels=3)
    assert (described(lowered, contract).weight_bits, described(lowered, contract).activation_bits) == (8, 8)
    order = sorted(lowered.kernels, key=lambda name: kernel_of(lowered.model.get_layer(name)).size)
    for few, bits in ((order[:-4], 8), (order[-4:], 4)):  # of most of the weights, however many the kernels
        mixed = lowered.kernels | {name: replace(lowered.kernels[name], bits=4) for name in few}
        assert described(replace(lowered, kernels=mixed), contract).weight_bits == bits
    without = {name: lowered.kernels[name] for name in order[:-4]}
    assert described(replace(lowered, kernels=without), contract).weight_bits == 32
    model, contract = keras_models.build("unet", width=4, levels=2)
    assert described(plain(model), contract).weight_bits == 32


def test_samples_reach_from_black_to_white_the_same_each_time():
    _, _, contract = trained("unet", width=4, levels=3)
    x = samples(contract)
    assert x.min() < 1e-6
    assert x.max() > 0.99
    np.testing.assert_array_equal(x, samples(contract))


def test_samples_of_roots_reach_as_far_below_black_and_beyond_white_as_roots_do():
    _, _, contract = trained("unet", width=4, levels=3)
    x = samples(replace(contract, range="root"))
    np.testing.assert_allclose([x.min(), x.max()], CUT, atol=0.01)  # noise comes as near to its ends as it happens to
    assert x.dtype == np.float32


def test_a_file_that_cuts_roots_at_black_is_refused(tmp_path):
    """Noise lies below black: what is lost there brightens every shadow, and light above it never shows that."""
    raw, kernel, step = K.Input((None, None, 4), name="raw"), Grid(0.01, signed=True), (CUT[1] - CUT[0]) / 255
    conv = K.Conv2D(3, 1, name="conv")
    below, cut = Grid(step, 73), Grid(step, 0)  # 73 steps are as far down as roots reach
    nets = [tf_keras.Model(raw, Quantize(Grid(0.02, 128), name="out")(conv(Quantize(grid, name="grid")(raw))))
            for grid in (below, cut)]  # fmt: skip
    conv.set_weights([kernel.dequantize(kernel.quantize(conv.get_weights()[0])), np.zeros(3, np.float32)])
    whole, wrong = (Lowered(net, {"conv": kernel}) for net in nets)
    _, contract = keras_models.build("c-unet++", width=2)
    path = tmp_path / "a.onnx"
    to_onnx(wrong, replace(contract, multiple=1, halo=None, range="root"), path)
    assert prove(wrong, path).exact == 1
    with pytest.raises(NotEqual):
        prove(whole, path)


def test_a_name_without_a_format_and_a_place_that_cannot_be_are_refused(tmp_path):
    _, lowered, contract = trained("unet", width=4, levels=3)
    with pytest.raises(BadOption, match=".onnx or .tflite"):
        write(lowered, contract, tmp_path / "a.pb")
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="cannot be written"):
        write(lowered, contract, tmp_path / "file" / "a.onnx")
