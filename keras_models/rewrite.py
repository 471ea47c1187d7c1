"""Model in, model out: the one way a network is rewritten, never in place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tf_keras

from keras_models.graph import Step, outputs, steps
from runtime.errors import UnknownLayer

__all__ = ["Make", "copy", "difference", "rebuild", "reweighted"]

# What Keras makes of a bare operation such as x * 2: its other operands are not in its config.
BARE = ("TFOpLambda", "SlicingOpLambda")

# Given a step and the new tensors it reads, return the new tensor it makes.
Make = Callable[[Step, list[Any]], Any]


def rebuild(model: Any, make: Make) -> Any:
    """Walk a model and make each tensor anew."""
    walk = steps(model)
    _check_names(walk)
    tensors: dict[int, Any] = {}
    inputs = {}
    for step in walk:
        if step.reads:
            tensors[step.makes] = make(step, [tensors[t] for t in step.reads])
        else:
            shape = step.layer.input_shape[0]
            tensors[step.makes] = tf_keras.Input(shape[1:], name=step.name)
            inputs[step.name] = tensors[step.makes]
    ends = [tensors[t] for t in outputs(model)]
    return tf_keras.Model([inputs[name] for name in model.input_names], ends if len(ends) > 1 else ends[0])


def _check_names(walk: list[Step]) -> None:
    """Raise an `Error` where a layer is called twice: grids, weights and tensors of a file go by a layer's name."""
    calls = Counter(step.name for step in walk)
    for step in walk:
        if calls[step.name] > 1:
            kind = f"{type(step.layer).__name__}, called or named so {calls[step.name]} times,"
            raise UnknownLayer(step.name, kind, "a rewrite of the network")


def copy(layer: Any, reads: list[Any], **changes: Any) -> Any:
    """Call a new layer like `layer`, with its weights, on the new tensors; `changes` are to its config."""
    if type(layer).__name__ in BARE:
        raise UnknownLayer(layer.name, type(layer).__name__, "a rewrite of the network")
    twin = type(layer).from_config({**layer.get_config(), **changes})
    made = twin(reads if len(reads) > 1 else reads[0])
    twin.set_weights(layer.get_weights())
    return made


def reweighted(model: Any, weights: Mapping[str, Sequence[np.ndarray[Any, Any]]]) -> Any:
    """The same network with other weights in the convolutions named: a kernel, and a bias where there is to be one."""

    def make(step: Step, reads: list[Any]) -> Any:
        if step.name not in weights:
            return copy(step.layer, reads)
        found = weights[step.name]
        twin = type(step.layer).from_config({**step.layer.get_config(), "use_bias": len(found) > 1})
        made = twin(reads[0])
        twin.set_weights(found)
        return made

    return rebuild(model, make)


def difference(before: Any, after: Any, x: Any) -> float:
    """How far a rewrite moved the outputs for x: the largest difference as a part of the output's range, at worst."""
    pairs = zip(*(made if isinstance(made, list) else [made] for made in (before(x), after(x))), strict=True)
    worst = 0.0
    for old, new in ((np.asarray(a, np.float64), np.asarray(b, np.float64)) for a, b in pairs):
        off = float(np.abs(new - old).max())
        # Not finite is as far apart as can be: no comparison below would notice it.
        worst = max(worst, off / (float(np.ptp(old)) or 1.0)) if np.isfinite(off) else np.inf
    return worst
