"""Float networks whose weights and norms are far from where training begins: rewrites are tried on them."""

import functools

import numpy as np
import tf_keras

import keras_models
from keras_models.fold import plain

K = tf_keras.layers


def lively(model, *, seed=0, uneven=0.0):
    """New weights such that values stay of a size; `uneven` spreads the channels of kernels over that many octaves."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if hasattr(layer, "kernel_size"):
            kernel, *bias = layer.get_weights()
            depthwise = isinstance(layer, K.DepthwiseConv2D)
            ins = kernel.shape[:2] if depthwise else (*kernel.shape[:2], kernel.shape[2 + is_transposed(layer)])
            axis = 3 if type(layer) is K.Conv2D else 2
            gain = 2 ** rng.uniform(-uneven, uneven, kernel.shape[axis]).reshape(
                [-1 if i == axis else 1 for i in range(4)]
            )
            spread = np.sqrt(2 / np.prod(ins))
            layer.set_weights(
                [rng.normal(0, spread, kernel.shape) * gain, *(rng.normal(0, 0.3, b.shape) for b in bias)]
            )
        elif isinstance(layer, K.BatchNormalization):
            layer.set_weights([rng.normal(0.5, 1, w.shape) if "variance" not in w.name else rng.uniform(0.2, 3, w.shape)
                               for w in layer.weights])  # fmt: skip
    return model


def is_transposed(layer):
    return type(layer) is K.Conv2DTranspose


@functools.cache
def zoo(name, **options):
    """(a network of the zoo in the plain form, its contract); nobody may change it."""
    model, contract = keras_models.build(name, **{"width": 4, **options})
    return plain(lively(model)), contract


def network(body, *, channels=3, seed=0, uneven=0.0):
    """A model over one input of any size, in the plain form."""
    raw = K.Input((None, None, channels), name="raw")
    return plain(lively(tf_keras.Model(raw, body(raw)), seed=seed, uneven=uneven))


def image(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def conv(x, name, filters=4, size=3, **options):
    return K.Conv2D(filters, size, padding="same", name=name, **options)(x)
