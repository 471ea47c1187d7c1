"""Model in, model out: the one way a network is rewritten, never in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tf_keras

from keras_models.graph import Step, outputs, steps

__all__ = ["Make", "copy", "rebuild"]

# Given a step and the new tensors it reads, return the new tensor it makes.
Make = Callable[[Step, list[Any]], Any]


def rebuild(model: Any, make: Make) -> Any:
    """Walk a model and make each tensor anew."""
    tensors: dict[int, Any] = {}
    inputs = []
    for step in steps(model):
        if step.reads:
            tensors[step.makes] = make(step, [tensors[t] for t in step.reads])
        else:
            shape = step.layer.input_shape[0]
            tensors[step.makes] = tf_keras.Input(shape[1:], name=step.name)
            inputs.append(tensors[step.makes])
    ends = [tensors[t] for t in outputs(model)]
    return tf_keras.Model(inputs, ends if len(ends) > 1 else ends[0])


def copy(layer: Any, reads: list[Any]) -> Any:
    """Call a new layer like `layer`, with its weights, on the new tensors."""
    twin = type(layer).from_config(layer.get_config())
    made = twin(reads if len(reads) > 1 else reads[0])
    twin.set_weights(layer.get_weights())
    return made
