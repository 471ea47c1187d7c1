"""A bar for a training, with the loss and the time left, on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from quant.fit import Step
from quant.recipe import Recipe

__all__ = ["watching"]


@contextmanager
def watching(recipe: Recipe, *, quiet: bool) -> Iterator[Callable[[str, Step], None]]:
    """What is told of every step, by the name of its fit."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as bar:
        totals = {"float": recipe.fit.steps, "fine": recipe.fine_tune.steps}
        tasks = {part: bar.add_task(part, total=total) for part, total in totals.items() if total}

        def watch(part: str, step: Step) -> None:
            bar.update(tasks[part], completed=step.number + 1, description=f"{part}  loss {step.loss:.4f}")

        yield watch
