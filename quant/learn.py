"""One fit of a recipe: its data, its loss, its teacher, and what is written of it on the way."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import keras_models
from keras_models.lowered import Lowered
from quant.diary import Diary
from quant.distill import Taught, distilled, map_shapes, map_weights, tapped
from quant.figures import amplified, better, figures
from quant.fit import Batches, Course, Step, fit
from quant.losses import least_side, loss
from quant.precision import available, halved
from quant.recipe import Fit, Recipe
from quant.schemes import bring_back
from quant.silent import silent
from quant.sources import Part, Source, require_suits, source
from quant.watch import Watch
from quant.workers import ALONE, Team
from runtime.contract import Contract
from runtime.errors import BadOption
from runtime.root import squared

__all__ = ["FIRST", "HELD", "LAST", "Learning", "course", "measured"]

Array = np.ndarray[Any, Any]
FIRST, LAST = "float", "fine"
HELD = 32  # pairs that are never learnt from, and measured
SHOWN = 4  # of these, as pictures
AT_ONCE = 4  # in memory


class Learning:
    """What the fits of a run have in common; call it with a network to train that, in place."""

    def __init__(
        self,
        recipe: Recipe,
        contract: Contract,
        out: Path,
        *,
        watch: Watch,
        teacher: Any = None,
        team: Team = ALONE,
    ) -> None:
        require_suits(recipe.data, contract)
        for key, settings in (("fit", recipe.fit), ("fine_tune", recipe.fine_tune)):
            if settings.steps:
                _require_room(key, settings, contract)
        self.recipe, self.contract, self.out, self.watch = recipe, contract, out, watch
        self.teacher, self.team = teacher, team
        self.figures: dict[str, dict[str, float]] = {}
        self._skipped: dict[str, None] = {}

    @property
    def skipped(self) -> tuple[str, ...]:
        """Files that could not be used."""
        return tuple(self._skipped)

    def samples(self, count: int) -> Array | None:
        """So many inputs, for a scheme that looks at some before it begins."""
        return self._source(self.recipe.fit, "train").batch(range(count))[0] if count else None

    def __call__(self, model: Any, settings: Fit, *, part: str) -> None:
        """Train for as many steps as there are, and note the figures on what is never learnt from."""
        kept = self._source(settings, "held")
        held = kept.batch(range(HELD))
        if settings.steps:
            self._fit(model, settings, held, self.out / part)
        self.figures[part] = measured(model, held, self.contract)
        self._skipped |= dict.fromkeys(kept.skipped)

    def _fit(self, model: Any, settings: Fit, held: tuple[Array, Array], folder: Path) -> None:
        learner = self._learner(model, settings)
        data = self._source(settings, "train")
        student, batches, objective = self._taught(learner, settings, data)
        found: dict[str, float] = {}

        def judge(_: Any) -> float:
            bring_back(learner, into=model)
            found.update(measured(model, held, self.contract))
            return score(found, self.contract)

        with Diary(folder) as diary:

            def seen(step: Step, _: Any) -> None:
                diary.note(step.number, step.loss, found)
                if step.score is not None:
                    diary.picture(step.number, patches(model, held, self.contract))
                    if layers := silent(model, held[0][:SHOWN]):
                        self.watch.fell_silent(folder.name, step.number, layers)
                found.clear()
                self.watch.step(folder.name, step)

            fit(student, batches, course(settings, objective), folder=folder, watch=seen, judge=judge, team=self.team)
        bring_back(learner, into=model)
        self._skipped |= dict.fromkeys(data.skipped)

    def _learner(self, model: Any, settings: Fit) -> Any:
        """The network itself, or one like it that computes in fewer bits."""
        if not (settings.mixed_precision and available()):
            return model
        with halved(wanted=True):
            twin, _ = keras_models.build(self.recipe.model.network, **dict(self.recipe.model.options))
        bring_back(model, into=twin)
        return twin

    def _taught(self, learner: Any, settings: Fit, data: Source) -> tuple[Any, Batches, Callable[[Any, Any], Any]]:
        """What is fitted to which batches by which loss: with a teacher, to its feature maps as well."""
        task = loss(settings.loss)
        if (d := self.recipe.distill) is None:
            return learner, data, task
        student, teacher = tapped(learner, d.student_maps), tapped(self.teacher, d.teacher_maps)
        shapes = map_shapes(teacher, student, size=settings.size)
        # Of several workers each keeps what its own shares of the batches need.
        cache = self.out / "teacher" if self.team.leads else self.out / f"teacher-{self.team.number}"
        taught = Taught(data, teacher, samples=getattr(self.recipe.data, "samples", 0), cache=cache)
        return student, taught, distilled(task, map_weights(shapes, total=d.weight))

    def _source(self, settings: Fit, part: Part) -> Source:
        """The data; the first worker opens them before the others, since a set that is to be decoded is by one.

        Both fits are measured on the same pairs, whatever they learn from.
        """
        if not self.team.leads:
            self.team.meet()
        told = self.watch.decoded
        data, seed = self.recipe.data, (settings if part == "train" else self.recipe.fit).seed
        opened = source(data, self.contract, seed=seed, size=settings.size, part=part, progress=told)
        if self.team.leads:
            self.team.meet()
        return opened


def _require_room(key: str, settings: Fit, contract: Contract) -> None:
    """Refuse patches in which the loss finds nothing to compare: of the output, which may be smaller than they are."""
    least = least_side(settings.loss)
    if int(settings.size * contract.scale) < least:
        enough = math.ceil(least / contract.scale)
        raise BadOption(f"{key}.size", settings.size, f"{enough} or more: {settings.loss} compares {least} x {least}")


def course(settings: Fit, objective: Callable[[Any, Any], Any]) -> Course:
    """How long and how fast, as the loop takes it."""
    return Course(
        steps=settings.steps,
        batch=settings.batch,
        rate=settings.rate_at,
        loss=objective,
        weight_decay=settings.weight_decay if settings.optimizer == "adamw" else None,
        clip=settings.clip,
        ema=settings.ema,
        seed=settings.seed,
        checkpoint_every=settings.checkpoint_every,
        validate_every=settings.validate_every,
    )


def measured(model: Any, held: tuple[Array, Array], contract: Contract) -> dict[str, float]:
    """The figures of a network on held-out pairs."""
    x, y = held
    network = model.model if isinstance(model, Lowered) else model
    parts = (x[first : first + AT_ONCE] for first in range(0, len(x), AT_ONCE))
    return figures(contract, y, np.concatenate([np.asarray(network(part, training=False)) for part in parts]))


def score(found: dict[str, float], contract: Contract) -> float:
    """The figure that the best checkpoint is chosen by; higher is better."""
    name, higher = better(contract)
    return found[name] if higher else -found[name]


def patches(model: Any, held: tuple[Array, Array], contract: Contract) -> list[list[Array]]:
    """The same patches at any time, a row each: what goes in, what comes out, what should."""
    x, y = (whole[:SHOWN] for whole in held)
    made = np.asarray(model(x, training=False))
    given = amplified(contract, x) if contract.task == "enhance" else x
    wholes = [squared(whole) if contract.output == "camera-root" else whole for whole in (given, made, y)]
    return [[_displayed(picture, like=row[-1]) for picture in row] for row in zip(*wholes, strict=True)]


def _displayed(picture: Array, *, like: Array) -> Array:
    """Linear light as a display shows it, its colours balanced as those of `like`."""
    means = like.mean(axis=(0, 1))
    gains = means.mean() / np.maximum(means, 1e-3) if like.shape[-1] == 3 else np.float32(1)
    return np.clip(picture * gains, 0, 1) ** np.float32(1 / 2.2)
