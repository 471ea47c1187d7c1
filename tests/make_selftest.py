"""`python tests/make_selftest.py`: write the tiny network of `qk-run doctor` into runtime/, and what it computes.

Run it only when the writers change on purpose: the digests say what every machine must compute from then on.
"""

import json
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import conftest  # noqa: F401 (quiet logs)
import tf_keras
from tflite_nets import conv, finished, quantized

import keras_models
from export.write import write
from keras_models.counting import peak_activations
from keras_models.geometry import sight
from keras_models.layers import DepthToSpace
from runtime.doctor import computed
from runtime.selftest import DIGESTS, SELF_TESTS, SIDE, STEP

K = tf_keras.layers
SEED = 20180401


def network():
    """One of every step that the large networks take in integers, each on a grid of its own."""
    raw = K.Input((None, None, 4), name="raw")
    x = quantized(raw, 0, 1, "raw_q")
    near = quantized(K.ReLU(name="near_relu")(conv(x, 16, name="near")), 0, 2.3, "near_q")
    far = conv(K.MaxPooling2D(name="pool")(near), 16, name="far")
    far = quantized(K.LeakyReLU(0.2, name="far_leaky")(quantized(far, -6.1, 6.7, "far_q")), -1.4, 6.7, "far_leaky_q")
    far = quantized(K.Conv2DTranspose(8, 2, 2, padding="same", name="up")(far), -5.3, 5.9, "up_q")
    joined = quantized(K.Concatenate(name="join")([far, near]), -5.3, 6, "join_q")
    last = quantized(conv(joined, 12, name="last"), -128 * STEP, 127 * STEP, "last_q")
    return finished(raw, DepthToSpace(2, name="picture")(last), seed=SEED)


def contract(model):
    """What the network promises: a Bayer frame in, three channels of noise out."""
    seen = sight(model)
    return replace(
        keras_models.build("unet", width=4)[1], network="self-test", options={}, scale=Fraction(2),
        multiple=seen.multiple, halo=seen.halo, scheme="int8",
        activation_bytes_per_pixel=-(-peak_activations(model, SIDE, SIDE) // SIDE**2),
    )  # fmt: skip


def make(folder):
    """Both files, and the digest of what each computes."""
    lowered = network()
    for name in SELF_TESTS.values():
        write(lowered, contract(lowered.model), folder / name)
    digests = {name: computed(engine, folder / name, threads=1) for engine, name in SELF_TESTS.items()}
    (folder / DIGESTS).write_text(json.dumps(digests, indent=2) + "\n")


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent / "runtime")
