"""Networks after some steps of quantization-aware training, small and the same each time: export tests need them."""

import functools

import numpy as np
import tf_keras

import keras_models
from export.reference import bias_levels
from keras_models.graph import steps
from keras_models.hoist import grids
from quant.lower_tfmot import lower_tfmot
from quant.qat import quantization_aware

SIZE = 64
STEPS = 100

# Every scheme of layers once, narrow; each is trained once in a run, since all tests that need one run in one process.
NETWORKS = [
    ("unet", {"width": 4, "levels": 3}),
    ("unet", {"width": 4, "levels": 3, "activation": "relu", "residual": True}),
    ("light", {"width": 4, "levels": 3}),
    ("lighter", {"width": 4, "levels": 3}),
    ("squeeze", {"width": 8}),
    ("effnet-ffnet", {"width": 8}),
    ("thin-student", {"width": 4, "levels": 3}),
    ("fixed-unet", {"width": 4}),
    CELLS := ("unet", {"width": 4, "levels": 3, "activation": "relu", "residual": True, "cell": 2, "surround": 1}),
]
UNET = NETWORKS[0]


def inputs(channels, *, height=SIZE, width=SIZE, count=2, seed=1):
    return np.random.default_rng(seed).random((count, height, width, channels), np.float32)


def settled(model, x):
    """BatchNorm statistics as those of x, where training would bring them in time."""
    norms = [layer for layer in model.layers if isinstance(layer, tf_keras.layers.BatchNormalization)]
    for norm in norms:
        norm.momentum = 0.0
    model(x, training=True)
    return model


@functools.cache
def trained(name, **options):
    """(the QAT model, its lowered form, its contract)."""
    tf_keras.utils.set_random_seed(7)
    model, contract = keras_models.build(name, **options)
    x = inputs(len(contract.planes), count=4)
    rng = np.random.default_rng(11)
    for weight in model.weights:  # He's scale: so narrow a network would die of Glorot's
        if "kernel" in weight.name:
            ins = np.prod(weight.shape[:2]) * (1 if "depthwise" in weight.name else weight.shape[2])
            weight.assign(rng.normal(0, np.sqrt(2 / ins), weight.shape))
    aware = quantization_aware(settled(model, x), samples=x)
    shape = aware(x[:1]).shape
    y = np.stack([x.mean(axis=-1)] * shape[-1], axis=-1)
    y = y.repeat(2, axis=1).repeat(2, axis=2) if shape[1] > SIZE else y[:, :: SIZE // shape[1], :: SIZE // shape[2]]
    aware.compile(tf_keras.optimizers.Adam(1e-3), "mae")
    for _ in range(STEPS):
        aware.train_on_batch(x, y)
    return aware, lower_tfmot(aware), contract


def whole_biases(plain):
    """Every bias of a hoisted network as a whole number of steps of its sums, in place."""
    known = grids(steps(plain.model))
    for step in steps(plain.model):
        if step.name in plain.kernels and step.layer.use_bias and known[step.reads[0]]:
            kernel, bias = step.layer.get_weights()
            x, own = known[step.reads[0]], plain.kernels[step.name]
            step.layer.set_weights(
                [kernel, bias_levels(bias, x.scale * own.scale, of=step.name) * (x.scale * own.scale)]
            )
