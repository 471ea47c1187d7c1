"""Small quantized networks for the tests of the TFLite writer, and the comparison with the integer reference."""

from dataclasses import replace

import numpy as np
import tf_keras

import keras_models
from export.reference import reference
from export.settle import settled
from keras_models.grid import Grid
from keras_models.layers import AlignedUpsample, DepthToSpace
from keras_models.lowered import Lowered
from keras_models.quantize import Quantize
from runtime.litert import LiteRT

K = tf_keras.layers
PLANES = 4
_, CONTRACT = keras_models.build("unet", width=4)
CONTRACT = replace(CONTRACT, multiple=2, halo=None)  # small nets take small images


def quantized(x, low, high, name, bits=8):
    return Quantize(Grid.from_range(low, high, bits=bits), name=name)(x)


def finished(raw, out, *, bits=8, seed=0):
    """Put every kernel on a grid, per channel, and give every bias numbers."""
    rng = np.random.default_rng(seed)
    model, kernels = tf_keras.Model(raw, out), {}
    for layer in model.layers:
        if not layer.weights:
            continue
        axis = 3 if type(layer) is K.Conv2D else 2
        kernel, *bias = (rng.normal(0, 0.3, w.shape).astype(np.float32) for w in layer.get_weights())
        top = (1 << (bits - 1)) - 1
        scale = np.abs(kernel).max(axis=tuple(i for i in range(4) if i != axis)) / top
        grid = kernels[layer.name] = Grid(scale, 0, bits, signed=True, narrow=True, axis=axis)
        layer.set_weights([grid.dequantize(grid.quantize(kernel)), *bias])
    return Lowered(model, kernels)


def conv(x, filters=8, kernel=3, stride=1, name="conv"):
    return K.Conv2D(filters, kernel, stride, padding="same", name=name)(x)


# Each takes the quantized input and returns the output; grids differ in scale and zero point throughout.
def conv_relu(x):
    x = quantized(K.ReLU(name="relu")(conv(x)), 0, 1.3, "relu_q")
    return quantized(K.ReLU(name="relu2")(conv(x, name="conv2")), 0, 2.1, "out")


def conv_stride(x):
    return quantized(conv(x, kernel=5, stride=2), -1.2, 1.1, "out")


def conv_leaky(x):
    x = quantized(conv(x), -1.2, 1.5, "conv_q")
    return quantized(K.LeakyReLU(0.2, name="leaky")(x), -0.24, 1.4, "out")


def depthwise(x):
    x = quantized(K.DepthwiseConv2D(3, padding="same", name="depthwise")(x), -0.9, 1.1, "deep")
    return quantized(conv(x, kernel=1), -1.1, 1.2, "out")


def transposed(x):
    up = [K.Conv2DTranspose(6, k, 2, padding="same", name=f"up{k}")(x) for k in (1, 2)]
    up = [quantized(u, -0.8, 1 + i, f"up{i}_q") for i, u in enumerate(up)]
    return quantized(K.Concatenate(name="join")(up), -0.9, 1.6, "out")


def concat(x):
    a = quantized(conv(x), -1.2, 1.5, "conv_q")
    b = quantized(K.LeakyReLU(0.2, name="leaky")(a), -0.24, 1.4, "leaky_q")
    return quantized(K.Concatenate(name="join")([a, x, b]), -1.1, 1.4, "out")


def movers(x):
    x = K.UpSampling2D(name="up")(K.MaxPooling2D(name="pool")(x))
    x = quantized(conv(x, 16), -1.2, 1.5, "conv_q")
    return quantized(DepthToSpace(2, name="shuffle")(x), -1, 1.2, "out")


def gates(x):
    mean = quantized(K.GlobalAveragePooling2D(keepdims=True, name="mean")(x), 0, 0.9, "mean_q")
    gate = quantized(K.Activation("sigmoid", name="gate")(mean), 0, 1, "gate_q")
    y = quantized(K.Multiply(name="multiply")([x, gate]), 0, 0.8, "multiply_q")
    y = quantized(K.Activation("silu", name="silu")(y), -0.3, 0.77, "silu_q")
    return quantized(K.Add(name="add")([x, y]), 0, 1.61, "out")


def bilinear(x):
    a = quantized(K.UpSampling2D(interpolation="bilinear", name="up")(x), 0, 1, "up_q")
    b = quantized(AlignedUpsample(2, name="aligned")(x), 0, 0.9, "aligned_q")
    return quantized(K.Concatenate(name="join")([a, b]), 0, 0.95, "out")


NETS = (conv_relu, conv_stride, conv_leaky, depthwise, transposed, concat, movers, gates)


def net(function, *, bits=8, kernel_bits=8, low=0.0):
    raw = K.Input((None, None, PLANES), name="raw")
    return finished(raw, function(quantized(raw, low, 1, "raw_q", bits)), bits=kernel_bits)


def image(*shape, low=-0.1, high=1.1, seed=1):
    return np.random.default_rng(seed).uniform(low, high, (*shape, PLANES)).astype(np.float32)


def wrong(lowered, path, x):
    """By layer, the share of values in the file that differ from the integer reference."""
    form = settled(lowered)
    backend = LiteRT(path, threads=1, keep_all=True)
    found, zeros = backend.run_all(x), backend.zeros()
    shares = {}
    for name, expected in reference(form, x).items():
        if expected.dtype.kind == "i" and hasattr(layer := form.model.get_layer(name), "grid"):
            levels = found[name].astype(int) - zeros[name] + layer.grid.zero
            shares[name] = float(np.mean(levels != expected))
    assert shares
    return shares
