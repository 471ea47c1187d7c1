"""The training loop: one step after the other, kept in checkpoints from which it goes on to the same bits.

A batch is drawn by its number, and so is what dropout drops, so that where a run stands is a step and nothing else.
What is trained is whatever model it is given: float, quantization-aware or in fixed point. Several workers take the
steps of one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
import tf_keras

from quant import checkpoint
from quant.chance import drawn_by_step
from quant.workers import ALONE, Team
from runtime.errors import FileError

__all__ = ["Batches", "Course", "Fitted", "Step", "fit"]

Arrays = Any  # one array, or a tuple, list or dict of them (a tf.nest structure)
Loss = Callable[[Any, Any], Any]
UNSTABLE = "begin anew in another folder, with a lower rate or clipped gradients"  # this one is another recipe's


class Batches(Protocol):
    """Data by number: the same pairs for the same numbers, whenever and wherever they are asked for."""

    def batch(self, numbers: list[int]) -> tuple[Arrays, Arrays]:
        """What the model takes and what the loss compares with; each one array or several."""
        ...


@dataclass(frozen=True, kw_only=True)
class Course:
    """How long and how fast."""

    steps: int
    batch: int  # of all workers together
    rate: Callable[[int], float]  # of a step, from 0
    loss: Loss  # of what the data gives and what the model makes of it
    weight_decay: float | None = None  # a number makes Adam AdamW
    clip: float | None = None  # of the norm of all gradients together
    ema: float | None = None
    seed: int = 0
    checkpoint_every: int = 500
    validate_every: int | None = None  # and after the last step; None is that alone


@dataclass(frozen=True)
class Step:
    """What is known after one."""

    number: int
    loss: float
    seconds: float
    score: float | None = None  # where it was validated


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
    judge: Callable[[Any], float] | None = None,
    team: Team = ALONE,
) -> Fitted:
    """Train in place; goes on from the last good checkpoint in `folder`, if there is one.

    `watch` is told of every step. `judge` validates: the model it is given has the weights the run would end with now
    (with EMA the averaged ones), and the checkpoint of the highest score is kept beside the last ones. Of several
    workers the first alone reads and writes the folder, watches and judges.
    """
    team.share(range(course.batch))
    tf.config.experimental.enable_op_determinism()
    tf_keras.utils.set_random_seed(course.seed)
    state = _State(model, course, team)
    with drawn_by_step(model, state.number, seed=course.seed, worker=team.number), team.minding():
        fitted = state.resume(folder)
        for number, (x, y) in _ahead(data, course, fitted.began, team):
            begin = time.perf_counter()
            fitted.loss = state.step(number, x, y)
            seconds = time.perf_counter() - begin
            if not np.isfinite(fitted.loss):
                where = f"step {number}, batch {list(_numbers(number, course))}"
                raise FileError(folder, f"the loss or its gradient is not finite at {where}", UNSTABLE)
            if team.leads:
                score = state.judged(judge) if _due(number, course, course.validate_every) else None
                watch(Step(number, fitted.loss, seconds, score), model)
                if score is not None or _due(number, course, course.checkpoint_every):
                    state.keep(folder, number + 1, score)
    state.finish()
    return fitted


class _State:
    """Everything a step changes: weights, the optimizer's numbers, the averaged weights."""

    def __init__(self, model: Any, course: Course, team: Team) -> None:
        self.model, self.course, self.team = model, course, team
        rate = course.rate(0)
        kinds = tf_keras.optimizers
        decay = course.weight_decay
        self.optimizer = kinds.Adam(rate) if decay is None else kinds.AdamW(rate, weight_decay=decay)
        self.optimizer.build(model.trainable_variables)
        self.average = [tf.Variable(w) for w in model.trainable_variables] if course.ema else []
        # What the forward pass moves: BatchNorm's statistics, the ranges of quantizers.
        self.moving = [v for v in model.non_trainable_variables if v.dtype.is_floating]
        self.number = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._step = tf.function(self._one)

    def step(self, number: int, x: Arrays, y: Arrays) -> float:
        """One step; anything changes only if the loss and all its gradients are finite."""
        self.number.assign(number)
        self.optimizer.learning_rate.assign(self.course.rate(number))
        return float(self._step(*tf.nest.map_structure(tf.constant, (x, y))))

    def _one(self, x: Any, y: Any) -> Any:
        variables = self.model.trainable_variables
        before = [tf.identity(v) for v in self.moving]
        with tf.GradientTape() as tape:
            loss = self.course.loss(y, self.model(x, training=True)) + tf.add_n([0.0, *self.model.losses])
        gradients = tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        moved = [tf.identity(v) for v in self.moving]
        loss, *found = self.team.mean([loss, *gradients, *moved])
        gradients, moved = found[: len(variables)], found[len(variables) :]
        norm = tf.linalg.global_norm(gradients)
        fine = tf.math.is_finite(loss) & tf.math.is_finite(norm)
        for variable, old, new in zip(self.moving, before, moved, strict=True):
            variable.assign(tf.where(fine, new, old))
        if self.course.clip is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, self.course.clip, use_norm=norm)
        if fine:
            self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
            keep = self.course.ema or 0.0
            for mean, weight in zip(self.average, variables, strict=False):
                mean.assign(keep * mean + (1 - keep) * weight)
        return tf.where(fine, loss, float("nan"))

    def judged(self, judge: Callable[[Any], float] | None) -> float | None:
        """What a judge says, if there is one, of the weights the run would end with now."""
        if judge is None:
            return None
        with self._averaged():
            return float(judge(self.model))

    def arrays(self) -> dict[str, Any]:
        """Every variable by a name that holds in the next process too: its place."""
        groups = {"weight": self.model.weights, "optimizer": self.optimizer.variables, "average": self.average}
        return {f"{group}/{i}": variable for group, all_ in groups.items() for i, variable in enumerate(all_)}

    def keep(self, folder: str | Path, step: int, score: float | None) -> None:
        """A checkpoint after so many steps."""
        arrays = {name: np.asarray(variable) for name, variable in self.arrays().items()}
        checkpoint.save(folder, step, arrays, {"steps": self.course.steps, "seed": self.course.seed}, best=score)

    def resume(self, folder: str | Path) -> Fitted:
        """Take up the newest checkpoint that is whole; what the first worker then has, all have."""
        fitted = self._read(folder) if self.team.leads else Fitted(self.course.steps)
        variables = list(self.arrays().values())
        began, *values = self.team.as_the_first_has_it(
            [tf.constant(fitted.began), *(tf.identity(v) for v in variables)]
        )
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        fitted.began = int(began)
        return fitted

    def _read(self, folder: str | Path) -> Fitted:
        found = checkpoint.latest(folder)
        if found is None:
            return Fitted(self.course.steps)
        mine = self.arrays()
        if mine.keys() != found.arrays.keys() or any(mine[k].shape != found.arrays[k].shape for k in mine):
            raise FileError(folder, "holds the checkpoints of another network or recipe", "name another folder")
        for name, variable in mine.items():
            variable.assign(found.arrays[name])
        return Fitted(self.course.steps, found.step, [str(path) for path in found.passed_over])

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """The averaged weights are the model's while this lasts; then its own again, to the bit."""
        variables = self.model.trainable_variables
        own = [tf.identity(weight) for weight in variables] if self.average else []
        self.finish()
        try:
            yield
        finally:
            for weight, value in zip(variables, own, strict=False):
                weight.assign(value)

    def finish(self) -> None:
        """The averaged weights become the model's."""
        for mean, weight in zip(self.average, self.model.trainable_variables, strict=False):
            weight.assign(mean)


def _due(number: int, course: Course, every: int | None) -> bool:
    """Whether something is to be done after this step; after the last one it is."""
    return number + 1 == course.steps or (every is not None and (number + 1) % every == 0)


def _numbers(step: int, course: Course) -> range:
    return range(step * course.batch, (step + 1) * course.batch)


def _ahead(data: Batches, course: Course, began: int, team: Team) -> Iterator[tuple[int, tuple[Arrays, Arrays]]]:
    """This worker's shares, the next one drawn while this one is learnt from; a thread that never talks to others."""
    with ThreadPoolExecutor(1) as pool:

        def draw(step: int) -> Any:
            return pool.submit(data.batch, team.share(_numbers(step, course))) if step < course.steps else None

        coming = draw(began)
        for number in range(began, course.steps):
            now = coming.result()
            coming = draw(number + 1)
            yield number, now
