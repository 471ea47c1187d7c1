"""The training loop: one step after the other, kept in checkpoints from which it goes on to the same bits.

A batch is drawn by its number, so that where a run stands is a step and nothing else. What is trained is whatever
model it is given: float, quantization-aware or in fixed point.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
import tf_keras

from quant import checkpoint
from runtime.errors import FileError

__all__ = ["Batches", "Course", "Fitted", "Step", "fit"]

Array = np.ndarray[Any, Any]
Loss = Callable[[Any, Any], Any]


class Batches(Protocol):
    """Data by number: the same pairs for the same numbers, whenever and wherever they are asked for."""

    def batch(self, numbers: list[int]) -> tuple[Array, Array]:
        """Inputs and targets."""
        ...


@dataclass(frozen=True, kw_only=True)
class Course:
    """How long and how fast."""

    steps: int
    batch: int
    rate: Callable[[int], float]  # of a step, from 0
    loss: Loss
    weight_decay: float | None = None  # a number makes Adam AdamW
    clip: float | None = None  # of the norm of all gradients together
    ema: float | None = None
    seed: int = 0
    checkpoint_every: int = 500


@dataclass(frozen=True)
class Step:
    """What is known after one."""

    number: int
    loss: float
    seconds: float


@dataclass
class Fitted:
    """How a fit went."""

    steps: int
    began: int = 0  # the step it went on from
    passed_over: list[str] = field(default_factory=list)  # checkpoints that could not be used
    loss: float = float("nan")


def fit(
    model: Any,
    data: Batches,
    course: Course,
    *,
    folder: str | Path,
    watch: Callable[[Step, Any], None] = lambda step, model: None,
) -> Fitted:
    """Train in place; goes on from the last good checkpoint in `folder`, if there is one.

    `watch` is told of every step. With EMA the model ends with the averaged weights.
    """
    tf.config.experimental.enable_op_determinism()
    tf_keras.utils.set_random_seed(course.seed)
    state = _State(model, course)
    fitted = state.resume(folder)
    for number, (x, y) in _ahead(data, course, fitted.began):
        begin = time.perf_counter()
        fitted.loss = state.step(x, y, course.rate(number))
        if not np.isfinite(fitted.loss):
            remedy = "lower the rate or clip the gradients, and run the same line again: the last good weights are kept"
            raise FileError(
                folder, f"the loss is not finite at step {number}, batch {_numbers(number, course)}", remedy
            )
        watch(Step(number, fitted.loss, time.perf_counter() - begin), model)
        if (number + 1) % course.checkpoint_every == 0 or number + 1 == course.steps:
            state.keep(folder, number + 1)
    state.finish()
    return fitted


class _State:
    """Everything a step changes: weights, the optimizer's numbers, the averaged weights."""

    def __init__(self, model: Any, course: Course) -> None:
        self.model, self.course = model, course
        rate = course.rate(0)
        kinds = tf_keras.optimizers
        decay = course.weight_decay
        self.optimizer = kinds.Adam(rate) if decay is None else kinds.AdamW(rate, weight_decay=decay)
        self.optimizer.build(model.trainable_variables)
        self.average = [tf.Variable(w) for w in model.trainable_variables] if course.ema else []
        self._step = tf.function(self._one)

    def step(self, x: Array, y: Array, rate: float) -> float:
        """One step; weights change only if the loss is finite."""
        self.optimizer.learning_rate.assign(rate)
        return float(self._step(tf.constant(x), tf.constant(y)))

    def _one(self, x: Any, y: Any) -> Any:
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            loss = self.course.loss(y, self.model(x, training=True)) + tf.add_n([0.0, *self.model.losses])
        gradients = tape.gradient(loss, variables)
        if self.course.clip is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, self.course.clip)
        if tf.math.is_finite(loss):
            self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
            keep = self.course.ema or 0.0
            for mean, weight in zip(self.average, variables, strict=False):
                mean.assign(keep * mean + (1 - keep) * weight)
        return loss

    def arrays(self) -> dict[str, Any]:
        """Every variable by a name that holds in the next process too: its place."""
        groups = {"weight": self.model.weights, "optimizer": self.optimizer.variables, "average": self.average}
        return {f"{group}/{i}": variable for group, all_ in groups.items() for i, variable in enumerate(all_)}

    def keep(self, folder: str | Path, step: int) -> None:
        """A checkpoint after so many steps."""
        arrays = {name: np.asarray(variable) for name, variable in self.arrays().items()}
        checkpoint.save(folder, step, arrays, {"steps": self.course.steps, "seed": self.course.seed})

    def resume(self, folder: str | Path) -> Fitted:
        """Take up the newest checkpoint that is whole."""
        found = checkpoint.latest(folder)
        if found is None:
            return Fitted(self.course.steps)
        mine = self.arrays()
        if mine.keys() != found.arrays.keys() or any(mine[k].shape != found.arrays[k].shape for k in mine):
            raise FileError(folder, "holds the checkpoints of another network or recipe", "name another folder")
        for name, variable in mine.items():
            variable.assign(found.arrays[name])
        return Fitted(self.course.steps, found.step, [str(path) for path in found.passed_over])

    def finish(self) -> None:
        """The averaged weights become the model's."""
        for mean, weight in zip(self.average, self.model.trainable_variables, strict=False):
            weight.assign(mean)


def _numbers(step: int, course: Course) -> list[int]:
    return list(range(step * course.batch, (step + 1) * course.batch))


def _ahead(data: Batches, course: Course, began: int) -> Iterator[tuple[int, tuple[Array, Array]]]:
    """Batches, the next one drawn while this one is learnt from."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(data.batch, _numbers(began, course)) if began < course.steps else None
        for number in range(began, course.steps):
            if coming is None:
                return
            now = coming.result()
            coming = pool.submit(data.batch, _numbers(number + 1, course)) if number + 1 < course.steps else None
            yield number, now
