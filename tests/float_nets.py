"""Float networks that post-training quantization starts from: He's scale, settled norms, the same each time."""

import functools

import numpy as np
import tf_keras
from trained import settled

import keras_models
from keras_models.fold import plain
from quant.apart import apart

K = tf_keras.layers
SIZE = 64
OPTIONS = {
    "unet": {"width": 4, "levels": 3},
    "light": {"width": 4, "levels": 3},
    "lighter": {"width": 4, "levels": 3},
    "squeeze": {"width": 8},
    "effnet-ffnet": {"width": 8},
}


def pictures(channels, *, count, seed, size=SIZE):
    """Soft shapes and a little noise."""
    rng = np.random.default_rng(seed)
    soft = rng.random((count, size // 8, size // 8, channels)).repeat(8, axis=1).repeat(8, axis=2)
    soft = (soft + np.roll(soft, 4, axis=1) + np.roll(soft, 4, axis=2)) / 3
    return np.clip(soft + rng.normal(0, 0.02, soft.shape), 0, 1).astype(np.float32)


@functools.cache
def network(name):
    """(a float network of He's scale, its contract, batches to calibrate on, pictures to test on)."""
    tf_keras.utils.set_random_seed(7)
    model, contract = keras_models.build(name, **OPTIONS[name])
    rng = np.random.default_rng(11)
    for weight in model.weights:
        if "kernel" in weight.name:
            ins = np.prod(weight.shape[:2]) * (1 if "depthwise" in weight.name else weight.shape[2])
            weight.assign(rng.normal(0, np.sqrt(2 / ins), weight.shape))
    x = pictures(len(contract.planes), count=8, seed=1)
    return settled(model, x), contract, np.split(x, 4), pictures(x.shape[-1], count=2, seed=2)


@functools.cache
def floats(name="unet"):
    """A network of those in the plain form."""
    return apart(plain(network(name)[0]))


def tiny(kernels):
    """Convolutions in a row, the first one's ReLU between."""
    x = raw = tf_keras.Input((None, None, kernels[0].shape[2]), name="raw")
    layers = []
    for i, kernel in enumerate(kernels):
        layers.append(K.Conv2D(kernel.shape[3], kernel.shape[0], padding="same", name=f"conv{i}"))
        x = layers[-1](x)
        if i + 1 < len(kernels):
            x = K.ReLU(name=f"act{i}")(x)
    model = tf_keras.Model(raw, x)
    for layer, kernel in zip(layers, kernels, strict=True):
        layer.set_weights([kernel, np.zeros(kernel.shape[3], np.float32)])
    return model


def kernel(*shape, seed=0):
    return np.random.default_rng(seed).normal(0, 0.3, shape).astype(np.float32)
