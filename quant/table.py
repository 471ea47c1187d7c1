"""Recipes of a folder side by side: each trained once, every file judged by the runtime on the same held-out data.

For frames of the dark the amplified input and the best of the classical denoisers stand beside them. A run that is
done is not done again; one that names another as its teacher or its beginning comes after it. What files cost to run
is measured at the end, all in turn: times of one table can be compared, those of two cannot.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import numpy as np

import keras_models
import runtime
from quant.baseline import picture, tune
from quant.data import Synthetic, described
from quant.figures import amplified, figures
from quant.recipe import Recipe, read
from quant.run import RESULT, finished
from quant.sources import HELD_OUT, meant, source
from quant.synthetic import pairs
from quant.table_files import Row, write_table
from quant.train import train
from quant.watch import Watch
from runtime.cost import Cost, costs
from runtime.errors import BadOption, UnreadableFile
from runtime.root import answer

__all__ = ["in_order", "recipes_of", "table"]

Array = np.ndarray[Any, Any]
Files = dict[str, Path]  # by format, of one network
JUDGED = 64  # held-out samples
TUNED = 8  # samples that the classical denoiser is tuned on
SIDE = 256  # of the input that files are timed with: a mosaic of 512 x 512
ROUNDS = 20  # of timing


def table(
    recipes: Iterable[Recipe],
    *,
    out: Path,
    watch: Callable[[Recipe], Watch] = lambda recipe: Watch(),
    done: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """Train what is not trained, judge all, and write table.md and table.csv."""
    ordered = in_order(recipes)
    if len(kinds := {recipe.data for recipe in ordered}) != 1:
        raise BadOption("--table", f"{len(kinds)} kinds of data", "recipes that learn from the same data")
    rows: list[tuple[Row, Files]] = []

    def add(row: Row, files: Files) -> None:
        rows.append((row, files))
        done(row)

    for row in _without(ordered[0], out):
        add(row, {})
    for recipe in ordered:
        folder = out / recipe.name
        if not finished(folder, recipe):
            train(recipe, out=folder, watch=watch(recipe))
        for name, files in _files(folder).items():
            add(_judged(recipe, name, files, like=ordered[0]), files)
    whole = _with_costs(rows)
    like = f"{described(ordered[0].data)}; {JUDGED} held-out samples; times and memory for an input of {SIDE} x {SIDE}"
    write_table(whole, about=like, title=out.name, out=out)
    return whole


def recipes_of(folder: str | Path) -> list[Recipe]:
    """The recipes of a folder."""
    paths = sorted(Path(folder).glob("*.toml"))
    if not paths:
        raise UnreadableFile(folder, "holds no recipes", "name a folder of .toml files")
    return [read(path) for path in paths]


def in_order(recipes: Iterable[Recipe]) -> list[Recipe]:
    """By name, but each after the ones that it needs."""
    named = {recipe.name: recipe for recipe in sorted(recipes, key=lambda recipe: recipe.name)}
    needs = {name: sorted(set(_needs(recipe)) & named.keys()) for name, recipe in named.items()}
    try:
        return [named[name] for name in TopologicalSorter(needs).static_order()]
    except CycleError as error:
        raise BadOption("--table", " -> ".join(error.args[1]), "recipes that do not need each other") from None


def _needs(recipe: Recipe) -> Iterator[str]:
    yield from (name for name in (recipe.warm_start, recipe.distill and recipe.distill.teacher) if name)


def _without(recipe: Recipe, out: Path) -> Iterator[Row]:
    """What can be had without learning: the input as it is, and the best classical denoiser on the same samples."""
    data = recipe.data
    contract = meant(data, keras_models.build(recipe.model.network, **dict(recipe.model.options))[1])
    if not (isinstance(data, Synthetic) and contract.cfa == "bayer" and contract.output != "srgb"):
        return
    made = partial(pairs, data, contract, size=recipe.fit.size, held=True)
    held = made(seed=recipe.fit.seed + HELD_OUT)
    x, y = held.batch(range(JUDGED))
    yield Row("amplified", "the input, demosaiced", figures(contract, y, amplified(contract, x)))
    tuned = tune(made(seed=recipe.fit.seed + HELD_OUT + 1), range(TUNED))  # other scenes, noise and cameras
    smooth = np.stack([picture(held.sample(number), method=tuned.best.method) for number in range(JUDGED)])
    smooth = answer(smooth, contract)
    parts = " and ".join(type(part.smoother).__name__.lower() for part in tuned.best.method.parts)
    yield Row("classical", f"told the noise, the best of {len(tuned.tried)}: {parts}", figures(contract, y, smooth))


def _judged(recipe: Recipe, name: str, files: Files, *, like: Recipe) -> Row:
    """What an exported file gives on the held-out samples of `like`, in the runtime."""
    session = runtime.open(next(iter(files.values())))
    held = source(like.data, session.contract, seed=like.fit.seed, size=like.fit.size, part="held")
    x, y = held.batch(range(JUDGED))
    made = np.stack([session.run(sample.transpose(2, 0, 1)).transpose(1, 2, 0) for sample in x])
    steps = f"{recipe.fit.steps} + {recipe.fine_tune.steps} steps"
    about = f"{recipe.model.network}, {type(recipe.scheme).__name__}, {steps}"
    return Row(name, about, figures(session.contract, y, made))


def _files(folder: Path) -> dict[str, Files]:
    """What a run exported, by name: those of one name are one network."""
    named: dict[str, Files] = defaultdict(dict)
    for path in map(folder.joinpath, json.loads((folder / RESULT).read_text("utf-8"))["files"]):
        named[path.stem][path.suffix[1:]] = path
    return named


def _with_costs(rows: list[tuple[Row, Files]]) -> list[Row]:
    """The rows with what their files cost to run, one after the other in turn."""
    found = costs([path for _, files in rows for path in files.values()], side=SIDE, rounds=ROUNDS)

    def told(kind: str, cost: Cost) -> dict[str, float]:
        peak = {} if cost.peak is None else {f"{kind} MiB": cost.peak / 2**20}
        return {f"{kind} kB": cost.size / 1000, f"{kind} ms": 1000 * cost.run.median, **peak}

    def of_all(files: Files) -> dict[str, float]:
        return {key: value for kind, path in files.items() for key, value in told(kind, found[path]).items()}

    return [replace(row, costs=of_all(files)) for row, files in rows]
