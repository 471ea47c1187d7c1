"""A tiny model file, written once a process."""

import functools
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import tf_keras

import keras_models
from export.to_onnx import to_onnx
from keras_models.fold import plain

FOLDER = tempfile.TemporaryDirectory(prefix="qk-tiny-")  # kept as long as the process


@functools.cache
def tiny(*, output="srgb", name="unet", **options):
    """The path of a float model of random weights whose pictures are neither black nor white."""
    tf_keras.utils.set_random_seed(1)
    options = {"width": 4, "levels": 2, **options} if name == "unet" else {"width": 4, **options}
    model, contract = keras_models.build(name, **options)
    kernel, bias = model.get_layer("picture_conv").get_weights()
    model.get_layer("picture_conv").set_weights([kernel, np.full_like(bias, 0.4)])
    path = Path(FOLDER.name) / f"{name}-{output}-{len(options)}-{options.get('in_channels', 4)}.onnx"
    to_onnx(plain(model), replace(contract, output=output), path)
    return path
