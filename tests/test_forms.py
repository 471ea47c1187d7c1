"""Quantized after or while training, a scale for each channel or one, BatchNorms folded before or not: all twelve."""

from dataclasses import replace

import numpy as np
import pytest
import tf_keras
from normed import CONTRACT, FORMS, SIDE, STANDING, TRAINED, formed, network, samples
from test_fold import SUMS
from trained import inputs

from export.parity import engine, output
from export.write import write
from keras_models.fold import Norm, norms_that_fold, plain
from keras_models.graph import steps, unwrap
from keras_models.lowered import kernel_of
from keras_models.quantize import Quantize
from quant.calibrate import calibrated
from quant.qat import activation_ranges
from quant.scheme import Float
from quant.schemes import AT_ONCE, lower, quantize

K = tf_keras.layers
TIES = 0.02  # the share of values that ties and what follows from them move; see test_lower_tfmot.py
SAME = 1e-6  # float32: a scale times a gain, rounded once

pytestmark = pytest.mark.xdist_group("forms")


def channels(layer):
    """How many channels a convolution makes."""
    return kernel_of(layer).shape[3 if type(layer) is K.Conv2D else 2]


def layers(lowered):
    """The layers of a network by name, those with a kernel."""
    return {step.name: step.layer for step in steps(lowered.model) if step.layer.weights}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_written_and_equals_the_integer_reference(form, tmp_path):
    _, lowered = formed(form)
    assert lowered.kernels.keys() == layers(lowered).keys(), "everything with a kernel is quantized"
    assert write(lowered, CONTRACT, tmp_path / "a.onnx").exact == 1
    write(lowered, CONTRACT, tmp_path / "a.tflite")  # it raises NotEqual beyond LiteRT's tolerance
    x = inputs(4, height=24, width=32, seed=5)
    one, other = (output(engine(tmp_path / f"a.{kind}"), x) for kind in ("onnx", "tflite"))
    assert len(np.unique(one)) > 10
    unit = [step.layer.grid.scale for step in steps(lowered.model) if isinstance(step.layer, Quantize)][-1]
    assert np.mean(np.abs(one - other) > 1.5 * unit) <= TIES


@pytest.mark.parametrize("form", TRAINED)
def test_the_lowered_network_is_the_trained_one_up_to_ties(form):
    aware, lowered = formed(form)
    unit = [step.layer.grid.scale for step in steps(lowered.model) if isinstance(step.layer, Quantize)][-1]
    off = np.abs(aware(samples(), training=False).numpy() - lowered(samples()).numpy())
    assert np.mean(off > 1.5 * unit) <= TIES


@pytest.mark.parametrize("form", FORMS)
def test_a_kernel_has_one_scale_or_one_for_each_of_its_channels(form):
    _, lowered = formed(form)
    trained_on = form in TRAINED and not form.endswith("folded")
    by_gain = {"lone_norm", *norms_that_fold(network())} if trained_on else set()
    for name, grid in lowered.kernels.items():
        one = ("tensor" in form and name not in by_gain) or (name == "up" and form in TRAINED)  # TFMOT's own rule
        assert grid.scale.size == (1 if one else channels(layers(lowered)[name])), name
        assert grid.scale.ndim == (not one), name


def test_one_scale_times_the_gains_of_a_norm_is_one_for_each_channel_exactly():
    def before(form, name, norm):
        """The scales a kernel had before the norm behind it went in."""
        aware, lowered = formed(form)
        gain = Norm.of(unwrap(aware.get_layer(f"quant_{norm}"))).gain
        assert np.ptp(lowered.kernels[name].scale) > 0
        return lowered.kernels[name].scale / np.abs(gain)

    for name, norm in norms_that_fold(network()).items():
        one = before("qat-tensor", name, norm.name)
        np.testing.assert_allclose(one, one[0], rtol=SAME)
        own = before("qat-channel", name, norm.name)
        assert np.ptp(own) > 0.01 * own.max(), "the control: those of channels differ"


@pytest.mark.parametrize("form", FORMS)
def test_a_norm_stands_where_it_is_not_folded_before(form):
    made, lowered = formed(form)
    found = STANDING & layers(lowered).keys()
    assert found == (STANDING if form in ("ptq-channel", "ptq-tensor") else {"lone_norm"})
    if form in TRAINED:
        norms = {unwrap(one).name for one in made.layers if isinstance(unwrap(one), K.BatchNormalization)}
        assert norms == (set() if form.endswith("folded") else STANDING)


@pytest.mark.parametrize("form", [form for form in TRAINED if form.startswith("ptq")])
def test_a_fine_tune_begins_at_the_ranges_that_were_calibrated(form):
    scheme, x = replace(FORMS[form], method="average"), inputs(4, height=SIDE, width=SIDE, count=2 * AT_ONCE)
    aware = quantize(network(), scheme, samples=x, trains=True)
    known = calibrated(plain(network(), fold=scheme.fold), lambda: np.split(x, 2), method=scheme.method).ends
    place = "middle" if scheme.fold else "middle_norm"  # what comes out of the norm, and goes into the SiLU
    (ranges,) = activation_ranges(aware.get_layer(f"quant_{place}"))
    found = float(ranges["min_var"]), float(ranges["max_var"])
    np.testing.assert_allclose(found, (min(known[place][0], 0), max(known[place][1], 0)), rtol=SAME)
    seen = tf_keras.Model(network().inputs, network().get_layer("middle_norm").output)(x).numpy()
    assert found[1] < seen.max() * (1 - 1e-3), "the control: from samples alone it would begin at their largest value"


def test_a_float_network_keeps_its_norms_or_folds_them(tmp_path):
    sizes = []
    for fold in (True, False):
        lowered = lower(network(), Float(fold=fold))
        assert STANDING & layers(lowered).keys() == ({"lone_norm"} if fold else STANDING)
        wanted = network()(samples()).numpy()
        assert np.abs(lowered(samples()) - wanted).max() <= SUMS * np.ptp(wanted)
        for kind in ("onnx", "tflite"):
            write(lowered, CONTRACT, tmp_path / f"{fold}.{kind}")
        sizes.append((tmp_path / f"{fold}.onnx").stat().st_size)
    assert sizes[0] < sizes[1]
