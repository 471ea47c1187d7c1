import functools

import numpy as np
import onnx
import pytest
import tf_keras
from float_nets import floats, kernel, network, pictures, tiny

from export.to_onnx import to_onnx
from export.to_tflite import to_tflite
from keras_models.counting import macs
from keras_models.fold import plain
from keras_models.graph import steps
from keras_models.lowered import kernel_of
from keras_models.rewrite import reweighted
from quant.kernel_grids import kernel_grid
from quant.mixed import maker
from quant.sensitivity import WIDTHS, Kernel, Probe, sensitivity
from runtime.errors import BadNumbers, BadOption, UnknownName

K = tf_keras.layers
FLOAT32 = 1e-4  # of an error: sums in another order
SMALL = 32  # bytes: a tensor of a TFLite file begins at a multiple of 16


def batches():
    return [batch[:, :32, :32] for batch in network("unet")[2]]


@functools.cache
def probe():
    return Probe(floats(), batches, count=4)


@functools.cache
def known():
    return sensitivity(probe())


def test_the_error_is_that_of_the_network_with_this_kernel_rounded():
    name = "down2_conv1"
    layer = floats().model.get_layer(name)
    grid = kernel_grid(layer, bits=3, per_channel=True, weights="mse", x=None)
    weights = [grid.dequantize(grid.quantize(kernel_of(layer))), *layer.get_weights()[1:]]
    x = np.concatenate(batches())[:4]
    wanted = floats()(x).numpy()
    made = reweighted(floats().model, {name: weights})(x).numpy()
    error = np.square(made - wanted, dtype=np.float64).mean()
    assert known().errors[name][3] == pytest.approx(error, rel=FLOAT32)
    assert known().span == pytest.approx(np.ptp(wanted))
    assert known().decibel(error) == pytest.approx(10 * np.log10(np.ptp(wanted) ** 2 / error))
    assert error > 0


def test_every_kernel_is_tried_at_every_width_and_fewer_bits_cost_more():
    names = [step.name for step in steps(floats().model) if step.layer.weights]
    assert list(known().errors) == list(known().kernels) == names
    for errors in known().errors.values():
        assert tuple(errors) == WIDTHS
        assert errors[2] > errors[4] > errors[8] > 0


def test_the_network_is_as_it_was_and_so_is_the_probe():
    model = tiny([kernel(3, 3, 4, 6), kernel(3, 3, 6, 4, seed=1)])
    before = [weight.copy() for weight in model.get_weights()]
    lowered = plain(model)
    own = Probe(lowered, lambda: [pictures(4, count=2, seed=1)])
    first = own.error({"conv0": 2})
    assert own.error({"conv1": 2}) != first
    assert own.error({}) == 0
    assert own.error({"conv0": 2}) == first
    with pytest.raises(UnknownName, match="did you mean 'conv1'"):
        own.error({"conv0": 2, "convl": 4})
    assert own.error({}) == 0
    for given in (model, lowered.model):
        for a, b in zip(given.get_weights(), before, strict=True):
            np.testing.assert_array_equal(a, b)


def test_what_fails_in_the_middle_leaves_the_probe_in_float(monkeypatch):
    own = Probe(tiny([kernel(3, 3, 4, 6)]), lambda: [pictures(4, count=1, seed=1)])
    with monkeypatch.context() as patch:
        patch.setattr(own, "_made", lambda batch: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            own.error({"conv0": 2})
    assert own.error({}) == 0


def test_the_same_again_is_the_same_to_the_bit():
    again = sensitivity(Probe(floats(), batches, count=4), widths=(2, 8))
    for name, errors in again.errors.items():
        assert errors == {bits: known().errors[name][bits] for bits in (2, 8)}


def test_few_samples_are_asked_for_and_no_more():
    asked = []

    def samples():
        for i, batch in enumerate(batches()):
            asked.append(i)
            yield batch

    Probe(floats(), samples, count=3)
    assert asked == [0, 1]
    one, all_four = (Probe(floats(), batches, count=count).error({"up1": 2}) for count in (1, 4))
    assert one != all_four


def test_least_error_clipping_is_an_option():
    heavy = tiny([kernel(3, 3, 4, 6) ** 3])
    errors = [
        Probe(heavy, lambda: [pictures(4, count=1, seed=1)], weights=w).error({"conv0": 3}) for w in ("mse", "minmax")
    ]
    assert errors[0] < errors[1]


def test_scales_a_channel_are_an_option():
    spread = np.geomspace(1, 1 / 64, 6).astype(np.float32)
    model = tiny([kernel(3, 3, 4, 6) * spread])
    probes = [Probe(model, lambda: [pictures(4, count=1, seed=1)], per_channel=own) for own in (True, False)]
    assert probes[0].error({"conv0": 4}) < probes[1].error({"conv0": 4})
    assert [p.kernels["conv0"].scales for p in probes] == [6, 1]


def test_kernels_tell_their_work_and_the_network_is_their_sum():
    assert sum(k.macs for k in known().kernels.values()) == macs(floats().model, 32, 32)
    conv = known().kernels["picture_conv"]
    assert conv.mac_bits(3) * 8 == conv.mac_bits(8) * 3 == conv.macs * 24
    assert macs(floats().model, 64, 64) == 4 * macs(floats().model, 32, 32)


def payload(path):
    """The bytes of all kernels' levels and scales in an ONNX file."""
    wanted = ("_kernel_q", "_kernel_scale")
    return sum(len(t.raw_data) for t in onnx.load(path).graph.initializer if t.name.endswith(wanted))


@functools.cache
def make():
    return maker(floats(), batches)


def test_bytes_are_those_that_the_writers_write(tmp_path):
    contract, kernels = network("unet")[1], known().kernels
    mixes = [dict.fromkeys(kernels, 8), {name: (2, 4, 5, 8)[i % 4] for i, name in enumerate(kernels)}]
    told = [sum(kernels[name].size(bits) for name, bits in mix.items()) for mix in mixes]
    held, lite = [], []
    for mix in mixes:
        to_onnx(make()(mix), contract, tmp_path / "a.onnx")
        to_tflite(make()(mix), contract, tmp_path / "a.tflite")
        held.append(payload(tmp_path / "a.onnx"))
        lite.append((tmp_path / "a.tflite").stat().st_size)
    assert held == told
    assert told[0] - told[1] > 4 * SMALL * len(kernels)  # else the slack would hide it
    slack = SMALL * len(kernels)
    assert all(abs((lite[0] - size) - (told[0] - own)) <= slack for size, own in zip(lite, told, strict=True))


def test_a_width_that_a_file_does_not_have_saves_nothing():
    conv = Kernel("conv", 30_000, 8, 1)
    lite = [conv.size(bits, packing="tflite") for bits in range(2, 9)]
    assert lite == [15_032] * 3 + [30_032] * 4
    onnx = [conv.size(bits, packing="onnx") for bits in WIDTHS]
    assert onnx == sorted(set(onnx))
    assert onnx[-1] == lite[-1]
    assert all(conv.size(bits, packing="dense") <= size for bits, size in zip(WIDTHS, onnx, strict=True))
    few = Kernel("few", 100, 8, 1)
    assert few.size(3, packing="onnx") == few.size(4)  # nodes would take more than they save


def test_progress_counts_to_the_end():
    told = []
    own = Probe(tiny([kernel(3, 3, 4, 6)]), lambda: [pictures(4, count=1, seed=1)])
    sensitivity(own, widths=(4, 8), progress=lambda done, of: told.append((done, of)))
    assert told == [(1, 2), (2, 2)]


def test_what_cannot_be_measured_is_refused_in_words():
    with pytest.raises(BadOption, match="quantized"):
        Probe(make()(dict.fromkeys(known().kernels, 8)), batches)
    with pytest.raises(BadOption, match="count"):
        Probe(floats(), batches, count=0)
    with pytest.raises(BadOption, match="widths"):
        sensitivity(probe(), widths=())
    with pytest.raises(BadOption, match="bits of up1 cannot be 9"):
        probe().error({"up1": 9})
    with pytest.raises(BadNumbers, match="makes of the samples"):
        Probe(tiny([kernel(3, 3, 4, 6) * 3e38]), lambda: [pictures(4, count=1, seed=1)])
