"""AdaRound (Nagel, Amjad, van Baalen, Louizos and Blankevoort, 2020): each weight up or down, whichever serves better.

The nearest level is best for a weight alone, not for the sum it goes into: errors of weights that see alike inputs may
cancel. Layer after layer, in the order they run, every weight w becomes scale * (floor(w / scale) + h(v)) with the
rectified sigmoid h(v) = clip(1.2 sigmoid(v) - 0.1, 0, 1), and v is moved by Adam until the layer, on the inputs that
the quantized network gives it, makes what the float one makes of its own, activation included. A regularizer

    sum of 1 - |2 h - 1|^beta,    beta from 20 down to 2,

drives each h to 0 or 1. A layer is a product of matrices here (patches.py), on some thousand patches of the samples.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from keras_models.graph import steps
from keras_models.grid import Grid
from keras_models.lowered import Lowered, kernel_of
from keras_models.rewrite import reweighted
from quant.calibrate import Samples, checked, values
from quant.correct import twins
from quant.patches import Reservoir, bias_row, from_matrix, to_matrix
from quant.places import ACTIVATIONS, readers
from runtime.errors import BadOption

__all__ = ["Search", "floors", "rectified", "round_up"]

K = tf_keras.layers
Array = np.ndarray[Any, Any]

STRETCH, SHIFT = 1.2, -0.1  # of the sigmoid: it reaches 0 and 1 at a finite v, where its gradient stops
BETA = 20.0, 2.0  # flat at first, so that v goes where the error wants it; a parabola that leaves no h between at last
WARM = 0.2  # of the steps: before the regularizer begins


@dataclass(frozen=True)
class Search:
    """How the levels of one layer are looked for."""

    steps: int = 400
    rate: float = 0.03
    weight: float = 0.01  # of the regularizer's mean, beside an error that is 1 for nearest rounding
    batch: int = 256  # patches a step
    patches: int = 2048  # kept of a layer: what bounds the memory, patches times the weights of an output
    seed: int = 0


def round_up(
    quantized: Lowered,
    lowered: Lowered,
    samples: Samples,
    *,
    search: Search | None = None,
    progress: Callable[[str], None] | None = None,
) -> Lowered:
    """The quantized network, its grids as they are, with each weight on the level below or above its float value.

    `lowered` is the float network it was made from. A channel keeps its nearest levels unless the others do better on
    the patches. `progress` is told the name of each layer done.
    """
    search = search or Search()
    _check(search)
    convs = [step for step in twins(quantized, lowered) if step.name in quantized.kernels]
    weights = {step.name: step.layer.get_weights() for step in convs}
    bends = _activations(lowered)
    own = Lowered(reweighted(quantized.model, weights), quantized.kernels)  # changed as layers are done
    for step in convs:
        layer, twin = own.model.get_layer(step.name), lowered.model.get_layer(step.name)
        bend = bends.get(step.name, tf.identity)
        x, theirs = _seen(own, lowered, samples, name=step.name, search=search)
        target = bend(theirs @ to_matrix(kernel_of(twin), twin) + bias_row(twin))
        task = _Task(x, np.asarray(target), bias_row(layer), quantized.kernels[step.name], twin, bend)
        layer.set_weights([task.grid.dequantize(_searched(task, search)), *layer.get_weights()[1:]])
        if progress is not None:
            progress(step.name)
    return Lowered(own.model, quantized.kernels)


def rectified(v: Any) -> Any:
    """The rectified sigmoid: how far up a weight is, from 0 to 1 and both within reach."""
    return tf.clip_by_value(STRETCH * tf.sigmoid(v) + SHIFT, 0.0, 1.0)


def floors(kernel: Array, grid: Grid) -> tuple[Array, Array]:
    """The level below each weight, and which part of a step the weight lies above it; both within the grid."""
    position = kernel.astype(np.float64) / grid.dequantize(np.full(kernel.shape, grid.zero + 1)) + grid.zero
    low = np.clip(np.floor(position), grid.low, grid.high)
    return low.astype(np.int32), np.clip(position - low, 0.0, 1.0)


def _seen(own: Lowered, lowered: Lowered, samples: Samples, *, name: str, search: Search) -> list[Array]:
    """The same patches of what a layer reads in both networks, drawn from all samples alike."""
    both = own, lowered
    reads = [next(step.reads for step in steps(one.model) if step.name == name) for one in both]
    kept = Reservoir(search.patches, np.random.default_rng([search.seed, zlib.crc32(name.encode())]))
    for batch in checked(own, samples):
        inputs = [next(values(one, batch, wanted=tensor))[1] for one, tensor in zip(both, reads, strict=True)]
        kept.see(own.model.get_layer(name), inputs)
    return kept.views


def _activations(lowered: Lowered) -> dict[str, Any]:
    """The activation behind each layer that has one and nothing else behind it."""
    walk = steps(lowered.model)
    after = readers(walk)
    alone = {step.name: after[step.makes][0].layer for step in walk if len(after[step.makes]) == 1}
    return {name: layer for name, layer in alone.items() if isinstance(layer, ACTIVATIONS)}


@dataclass(frozen=True)
class _Task:
    """One layer as a product of matrices: what it reads, what it should make, and its grid."""

    x: Array
    target: Array
    bias: Array
    grid: Grid
    twin: Any  # the float layer: whose weights are sought for
    bend: Any

    def errors(self, q: Array) -> Array:
        """The mean squared error of each output of the matrix for whole numbers q on the kernel's grid."""
        made = self.bend(self.x @ to_matrix(self.grid.dequantize(q), self.twin) + self.bias)
        return np.square(np.asarray(made, np.float64) - self.target).mean(axis=1, keepdims=True)


def _searched(task: _Task, search: Search) -> Array:
    """The levels of a kernel: those found, but in outputs that the nearest serve better the nearest."""
    kernel, grid = kernel_of(task.twin), task.grid
    nearest = grid.quantize(kernel)
    before = task.errors(nearest)
    if not before.any():
        return nearest
    low, part = floors(kernel, grid)
    up = from_matrix(_descended(task, low, part, float(before.mean()), search), kernel.shape, task.twin)
    found = np.clip(low + up, grid.low, grid.high)
    better = np.broadcast_to(task.errors(found) < before, to_matrix(kernel, task.twin).shape)
    return np.where(from_matrix(better, kernel.shape, task.twin), found, nearest)


def _descended(task: _Task, low: Array, part: Array, size: float, search: Search) -> Array:
    """Which weights go up: Adam on the error in units of `size`, and on what is left between 0 and 1."""
    grid = task.grid
    matrices = (low, part, grid.dequantize(np.full(low.shape, grid.zero + 1)))
    below, above, scale = (tf.constant(to_matrix(m, task.twin), tf.float32) for m in matrices)
    x, target = tf.constant(task.x), tf.constant(task.target)
    share = (above - SHIFT) / STRETCH
    v = tf.Variable(tf.math.log(share / (1 - share)))
    adam = tf_keras.optimizers.Adam(search.rate)
    adam.build([v])

    @tf.function(reduce_retracing=True)
    def step(picked: tf.Tensor, beta: tf.Tensor, weight: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            up = rectified(v)
            soft = (tf.clip_by_value(below + up, grid.low, grid.high) - grid.zero) * scale
            made = task.bend(tf.gather(x, picked, axis=1) @ soft + task.bias)
            error = tf.reduce_mean(tf.square(made - tf.gather(target, picked, axis=1))) / size
            undecided = tf.reduce_mean(1 - tf.abs(2 * up - 1) ** beta)
            loss = error + weight * undecided
        adam.apply_gradients([(tape.gradient(loss, v), v)])

    rng = np.random.default_rng(search.seed)
    for i in range(search.steps):
        done = max(i / search.steps - WARM, 0) / (1 - WARM)
        beta = BETA[1] + (BETA[0] - BETA[1]) * (1 + np.cos(np.pi * done)) / 2
        picked = rng.integers(task.x.shape[1], size=search.batch)
        weight = search.weight if i >= WARM * search.steps else 0.0
        step(tf.constant(picked), tf.constant(beta, tf.float32), tf.constant(weight, tf.float32))
    return (rectified(v).numpy() >= 0.5).astype(np.int32)


def _check(search: Search) -> None:
    """Raise an `Error` unless there is something to search with."""
    for option in ("steps", "rate", "batch", "patches"):
        if not getattr(search, option) > 0:
            raise BadOption(option, getattr(search, option), "more than 0")
    if not search.weight >= 0:
        raise BadOption("weight", search.weight, "0 or more")
