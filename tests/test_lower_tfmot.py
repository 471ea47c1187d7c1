import numpy as np
import pytest
import tf_keras
from trained import NETWORKS, inputs, trained

import keras_models
from keras_models.graph import steps
from keras_models.hoist import hoisted
from keras_models.lowered import kernel_of
from keras_models.quantize import Quantize
from keras_models.shuffle import shuffled
from quant.lower_tfmot import lower_tfmot
from quant.qat import activation_ranges, quantization_aware
from runtime.errors import BadGrid

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
    again = hoisted(shuffled(lowered))
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
    _, lowered, _ = trained("unet", width=4, levels=3, activation="relu")
    for name, grid in lowered.kernels.items():
        assert grid.bits == 8
        assert len(np.unique(grid.quantize(kernel_of(lowered.model.get_layer(name))))) <= 255
    assert len(lowered.kernels) == sum(bool(s.layer.weights) for s in steps(lowered.model))


def test_an_activation_that_never_moves_is_named():
    model, _ = keras_models.build("unet", width=4, levels=2)
    aware = quantization_aware(model, samples=inputs(4))
    ranges = activation_ranges(aware.get_layer("quant_bottom_conv1"))[0]
    ranges["min_var"].assign(0.0)
    ranges["max_var"].assign(0.0)
    with pytest.raises(BadGrid, match="bottom_conv1"):
        lower_tfmot(aware)


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
