"""What dropout and noise draw in a step: by the seed, the step, the layer and the worker, and by nothing else.

TensorFlow's own random numbers go on from wherever the process stands. A run that is taken up in a new process would
draw others, and end with other weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf
from tf_keras.src.backend import RandomGenerator

__all__ = ["drawn_by_step"]


@contextmanager
def drawn_by_step(model: Any, step: Any, *, seed: int, worker: int = 0) -> Iterator[None]:
    """While this lasts, the random layers of a model draw by `step`, an int64 variable that the caller moves on.

    A layer is known by its place: names count up within a process. One that is called twice in a step draws the same
    numbers twice.
    """
    # There is no public way to a layer's generator; every random layer of Keras keeps it under this name.
    layers = [layer for layer in dict.fromkeys(model.submodules) if hasattr(layer, "_random_generator")]
    before = [layer._random_generator for layer in layers]
    for place, layer in enumerate(layers):
        layer._random_generator = _ByStep(_key(seed, place, worker), step)
    try:
        yield
    finally:
        for layer, generator in zip(layers, before, strict=True):
            layer._random_generator = generator


class _ByStep(RandomGenerator):
    """Keras' own choice of stateless operations, with a seed that moves with the step."""

    def __init__(self, key: int, step: Any) -> None:
        super().__init__(key, rng_type=RandomGenerator.RNG_STATELESS)
        self.key, self.step = key, step

    def make_seed_for_stateless_op(self) -> Any:
        """Two numbers, as every stateless operation takes them."""
        return tf.stack([tf.constant(self.key, tf.int64), self.step])


def _key(seed: int, place: int, worker: int) -> int:
    """63 bits that share nothing with those of a neighbour."""
    return int(np.random.SeedSequence([seed, place, worker]).generate_state(1, np.uint64)[0] >> np.uint64(1))
