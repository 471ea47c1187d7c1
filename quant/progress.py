"""A bar for each fit of a training, with the loss and the time left, on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from quant.fit import Step
from quant.recipe import Recipe
from quant.watch import Watch

__all__ = ["watching"]


@contextmanager
def watching(*, quiet: bool) -> Iterator[Callable[[Recipe], Watch]]:
    """What watches the training of a recipe."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as bars:
        yield lambda recipe: _Bars(bars, recipe)


class _Bars(Watch):
    """A bar for whatever is going on."""

    def __init__(self, bars: Progress, recipe: Recipe) -> None:
        self.bars, self.recipe = bars, recipe
        self.tasks: dict[str, TaskID] = {}

    def step(self, part: str, step: Step) -> None:
        """A step of a fit was done."""
        of = self.recipe.fine_tune if part == "fine" else self.recipe.fit
        self._show(part, f"{self.recipe.name}, {part}  loss {step.loss:.4f}", step.number + 1, of.steps)

    def fell_silent(self, part: str, number: int, layers: list[str]) -> None:
        """After that step nothing comes out of these layers any more."""
        told = f"{self.recipe.name}, {part}: after step {number + 1} nothing comes out of {', '.join(layers)} any more"
        cure = "begin again with a lower rate, a longer warm-up or leaky-relu"
        self.bars.console.print(f"{told}: {cure}", highlight=False)

    def decoded(self, done: int, of: int) -> None:
        """So many scenes of a data set are decoded."""
        self._show("data", "scenes decoded", done, of)

    def looked(self, done: int, of: int) -> None:
        """So many samples were looked at."""
        self._show("samples", f"{self.recipe.name}, samples for ranges", done, of)

    def tried(self, done: int, of: int) -> None:
        """So many kernels were tried."""
        self._show("kernels", f"{self.recipe.name}, kernels in few bits", done, of)

    def _show(self, task: str, told: str, done: int, of: int) -> None:
        if task not in self.tasks:
            self.tasks[task] = self.bars.add_task(told, total=of)
        self.bars.update(self.tasks[task], description=told, completed=done)
