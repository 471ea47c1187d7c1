"""A small network with every place a BatchNorm may stand in, made small in each form that recipes can name."""

import functools

import numpy as np
import tf_keras
from tflite_nets import CONTRACT  # noqa: F401  # it suits this network too
from trained import inputs, settled

from keras_models.blocks import activate, conv, picture
from quant.scheme import Ptq, Qat
from quant.schemes import lower, quantize

K = tf_keras.layers
SIDE = 16
STEPS = 4  # that few take less time than to trace one
SHAPES = [(per, fold) for per in (True, False) for fold in (True, False)]
FORMS = {
    f"{kind}-{'channel' if per else 'tensor'}{'-folded' if fold else ''}": scheme
    for per, fold in SHAPES
    for kind, scheme in {
        "qat": Qat(per_channel=per, fold=fold),
        "ptq": Ptq(per_channel=per, fold=fold),
        "ptq-qat": Ptq(per_channel=per, fold=fold),
    }.items()
}
TRAINED = [form for form in FORMS if "qat" in form]
STANDING = {"first_norm", "middle_norm", "last_norm", "lone_norm"}


def samples():
    return inputs(4, height=SIDE, width=SIDE, count=4)


@functools.cache
def network():
    """Norms in front of a ReLU, a SiLU and an addition, and one behind a ReLU; nobody may change it."""
    tf_keras.utils.set_random_seed(2)
    raw = K.Input((None, None, 4), name="raw")
    x = K.BatchNormalization(name="first_norm")(conv(raw, 6, bias=False, name="first"))
    before = x = activate(x, "relu", name="first_act")
    x = K.DepthwiseConv2D(3, padding="same", use_bias=False, name="middle")(x)
    x = activate(K.BatchNormalization(name="middle_norm")(x), "silu", name="middle_act")
    x = K.BatchNormalization(name="last_norm")(conv(x, 6, kernel=1, name="last"))
    x = K.Add(name="add")([x, before])
    x = K.BatchNormalization(name="lone_norm")(activate(conv(x, 5, name="lone"), "relu", name="lone_act"))
    x = activate(K.Conv2DTranspose(6, 2, 2, padding="same", name="up")(x), "relu", name="up_act")
    model = tf_keras.Model(raw, picture(K.MaxPooling2D(2, name="down")(x), 12, upscale=2))
    rng = np.random.default_rng(3)
    for weight in model.weights:  # channels of different sizes, as trained ones have
        if "gamma" in weight.name or "beta" in weight.name:
            weight.assign(rng.uniform(0.3, 3, weight.shape) * rng.choice([-1, 1], weight.shape))
    return settled(model, samples())


@functools.cache
def formed(form):
    """(what was trained, or the plain form if nothing was; the plain form)."""
    scheme, x = FORMS[form], samples()
    made = quantize(network(), scheme, samples=x, trains=form in TRAINED)
    if form in TRAINED:
        made.compile(tf_keras.optimizers.Adam(3e-3), "mae", run_eagerly=True)
        y = np.asarray(network()(x)) + 0.1
        for _ in range(STEPS):
            made.train_on_batch(x, y)
    return made, lower(made, scheme)
