"""A network in the plain form as a file: steps and grids as JSON, weights as arrays, and nothing that runs.

What a scheme has lowered can be exported again later, without the library that trained it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from keras_models.graph import outputs, steps
from keras_models.grid import Grid
from keras_models.limit import limited
from keras_models.lowered import PLAIN, Lowered
from keras_models.weights import CONTRACT, read
from runtime.atomic import writing
from runtime.contract import Contract, digest
from runtime.errors import BadContract, Error, UnknownLayer

__all__ = ["STEPS", "load_plain", "save_plain"]

STEPS = "steps"
LARGEST = 2**31 - 1  # TensorFlow's own sizes
Array = np.ndarray[Any, Any]
# What Keras and this project raise where a network cannot be put together.
ODD = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError)
BROKEN = (Error, *ODD, tf.errors.OpError)
# Functions a layer may name; Keras would import others.
ACTIVATIONS = {"linear", "relu", "sigmoid", "silu", "swish"}


def save_plain(lowered: Lowered, contract: Contract, path: str | Path) -> Contract:
    """Write a lowered network with its contract; returns the contract with the digest of what was written."""
    lowered = lowered.check()
    walk = steps(lowered.model)
    arrays = {f"{s.name}/{i}": w for s in walk for i, w in enumerate(s.layer.get_weights())}
    text = json.dumps(
        {
            "steps": [[type(s.layer).__name__, _config(s.layer), s.reads, s.makes] for s in walk],
            "outputs": outputs(lowered.model),
            "kernels": {name: grid.to_config() for name, grid in lowered.kernels.items()},
        },
        default=_plain_number,
        sort_keys=True,
    )
    arrays[STEPS] = np.frombuffer(text.encode(), np.uint8)
    contract = replace(contract, digest=digest(contract, arrays))
    with writing(path) as file:
        np.savez(file, **{CONTRACT: np.array(contract.to_json()), **arrays})
    return contract


def load_plain(path: str | Path) -> tuple[Lowered, Contract]:
    """Read a lowered network; only the layers of the plain form are ever made."""
    contract, arrays = read(path)
    if STEPS not in arrays:
        raise BadContract(path, "holds no network in the plain form", "name the file that a training lowered")
    try:
        form = json.loads(arrays.pop(STEPS).tobytes())
        with limited(contract.network):
            return _rebuilt(form, arrays).check(), contract
    except BROKEN as error:
        # Keras says what a layer was made from before it says what was wrong.
        words = str(error).rsplit("Exception encountered: ", 1)[-1] or type(error).__name__
        problem = f"holds a network that cannot be rebuilt ({words.splitlines()[0][:100]})"
        raise BadContract(path, problem, "write it again with this version of qk-unet") from None


def _rebuilt(form: Mapping[str, Any], arrays: Mapping[str, Array]) -> Lowered:
    kinds = {kind.__name__: kind for kind in PLAIN}
    tensors: dict[int, Any] = {}
    inputs = []
    for kind, config, reads, makes in form["steps"]:
        if kind not in kinds:
            raise ValueError(f"{config['name']} is of type {kind}")
        if (odd := _odd(config)) is not None:
            raise ValueError(f"{config['name']} has the {odd}")
        if kind == "InputLayer":
            tensors[makes] = tf_keras.Input(config["batch_input_shape"][1:], name=config["name"])
            inputs.append(tensors[makes])
            continue
        grid = {"grid": Grid(**config["grid"])} if "grid" in config else {}
        layer = kinds[kind].from_config({**config, **grid})
        tensors[makes] = layer([tensors[t] for t in reads] if len(reads) > 1 else tensors[reads[0]])
        layer.set_weights([arrays[f"{layer.name}/{i}"] for i in range(len(layer.weights))])
    model = tf_keras.Model(inputs, [tensors[t] for t in form["outputs"]])
    return Lowered(model, {name: Grid(**grid) for name, grid in form["kernels"].items()})


def _config(layer: Any) -> dict[str, Any]:
    """What says how a layer computes; how its weights once began, or were held small, is left out."""
    says = layer.get_config()
    config = {key: says[key] for key in says if key in ("grid", "activation") or not isinstance(says[key], dict)}
    if (odd := _odd(config)) is not None:
        raise UnknownLayer(layer.name, f"{type(layer).__name__} with the {odd}", "the files of the plain form")
    return config


def _odd(config: Mapping[str, Any]) -> str | None:
    """What in a layer's config names code that Keras would look up, or cannot be counted with, in words."""
    for key, value in config.items():
        if key == "activation" and not (isinstance(value, str) and value in ACTIVATIONS):
            return f"activation {value!r}"
        if isinstance(value, dict) and key != "grid":
            return f"object {key!r}"
        numbers = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(number, int) and abs(number) > LARGEST for number in numbers):
            return f"{key} {value!r}"
    return None


def _plain_number(value: Any) -> Any:
    """Keras' configs hold NumPy scalars."""
    return value.item()
