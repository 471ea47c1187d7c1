import math

import numpy as np
import pytest
import qkeras
import tensorflow as tf
import tf_keras

import keras_models
from keras_models.counting import macs, parameters, peak_activations
from keras_models.geometry import sight
from quant.qat import quantization_aware
from runtime.errors import UnknownLayer

K = tf_keras.layers


def macs_of_tensorflow(model, size):
    """An independent count: the shapes of the operations in the traced graph."""
    function = tf.function(model).get_concrete_function(tf.TensorSpec((1, size, size, model.inputs[0].shape[-1])))
    total = 0
    for op in function.graph.get_operations():
        if op.type in ("Conv2D", "DepthwiseConv2dNative"):
            kernel, out = op.inputs[1].shape, op.outputs[0].shape
            total += math.prod(kernel) * out[1] * out[2]
        elif op.type == "Conv2DBackpropInput":
            total += math.prod(op.inputs[1].shape) * math.prod(op.inputs[2].shape[1:3])
    return total


@pytest.mark.parametrize("name", keras_models.names())
def test_macs_are_those_of_the_operations_tensorflow_runs(name):
    model, contract = keras_models.build(name, width=4)
    size = 2 * contract.multiple
    assert macs(model, size, size) == macs_of_tensorflow(model, size) > 0


@pytest.mark.parametrize("name", ["unet", "light", "lighter", "squeeze"])
def test_a_network_in_training_for_8_bits_costs_what_it_costs_in_float(name):
    model, _ = keras_models.build(name, width=4)
    aware = quantization_aware(model)
    assert macs(aware, 64, 64) == macs(model, 64, 64) > 0
    assert parameters(aware) == parameters(model)
    assert peak_activations(aware, 64, 64) == peak_activations(model, 64, 64)
    assert sight(aware) == sight(model)


def test_a_fixed_point_layer_is_counted_like_the_float_one():
    def network(conv, depthwise, activation):
        raw = tf_keras.Input((None, None, 4))
        x = activation(depthwise(conv(raw)))
        return tf_keras.Model(raw, x)

    bits = qkeras.quantized_bits(4, 0, alpha=1)
    plain = network(K.Conv2D(8, 3, padding="same"), K.DepthwiseConv2D(3, padding="same"), K.ReLU())
    fixed = network(
        qkeras.QConv2D(8, 3, padding="same", kernel_quantizer=bits),
        qkeras.QDepthwiseConv2D(3, padding="same", depthwise_quantizer=bits),
        qkeras.QActivation(qkeras.quantized_relu(6)),
    )
    assert macs(fixed, 32, 32) == macs(plain, 32, 32) == 32 * 32 * (4 * 8 * 9 + 8 * 9)
    assert parameters(fixed) == parameters(plain)
    assert sight(fixed) == sight(plain)


def test_an_unknown_layer_with_a_matrix_is_an_error_and_not_a_zero():
    class Mix(K.Layer):
        def build(self, shape):
            self.matrix = self.add_weight("matrix", (shape[-1], 3))

        def call(self, x):
            return x @ self.matrix

    raw = tf_keras.Input((None, None, 4))
    with pytest.raises(UnknownLayer, match="Mix"):
        macs(tf_keras.Model(raw, Mix(name="mix")(raw)), 8, 8)


def test_a_model_inside_a_model_is_counted_too():
    inner, _ = keras_models.build("c-unet", width=2, in_channels=4)
    raw = tf_keras.Input((None, None, 4))
    outer = tf_keras.Model(raw, K.ReLU()(inner(raw)))
    assert macs(outer, 32, 32) == macs(inner, 32, 32)
    assert parameters(outer) == parameters(inner)
    assert sight(outer) == sight(inner)


def test_peak_memory_is_that_of_a_graph_small_enough_to_count_by_hand():
    raw = tf_keras.Input((None, None, 1))  # 1 plane
    a = K.Conv2D(4, 3, padding="same")(raw)  # 1 + 4, then the input is free
    a = K.ReLU()(a)  # in place
    b = K.MaxPooling2D()(a)  # 4 + 1
    b = K.UpSampling2D()(b)  # 4 + 1 + 4 = 9: the pooled one dies here
    out = K.Concatenate()([a, b])  # 4 + 4 + 8 = 16
    model = tf_keras.Model(raw, out)
    assert peak_activations(model, 16, 16) == 16 * 16 * 16 * 4
    assert peak_activations(model, 16, 16, bytes_per_value=1) == 16 * 16 * 16
    # Without the skip the wide tensor dies early, and what is left is smaller.
    assert peak_activations(tf_keras.Model(raw, b), 16, 16) < 16 * 16 * 16 * 4


def test_a_shared_layer_has_its_weights_once_and_its_work_twice():
    conv = K.Conv2D(1, 3, padding="same")
    raw = tf_keras.Input((None, None, 1))
    twice = tf_keras.Model(raw, conv(conv(raw)))
    assert parameters(twice).all == 10
    assert macs(twice, 8, 8) == 2 * 9 * 64
    assert np.isclose(sight(twice).reach, 2)
