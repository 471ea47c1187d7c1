"""What the networks are: the zoo, its building blocks, and the weights they carry.

Importing this package is cheap: TensorFlow (7 s) is loaded by the first `build`.
"""

import os

# Keras 2 semantics, before anything imports TensorFlow: TFMOT and QKeras know no other.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from keras_models.weights import load, restore, save
from keras_models.zoo import add, build, names

__all__ = ["add", "build", "load", "names", "restore", "save"]
