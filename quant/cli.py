"""`qk-train`: from a recipe to weights, and files that run."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runtime.command import CONTEXT, Command
from runtime.errors import BadOption

if TYPE_CHECKING:
    from quant.recipe import Fit, Recipe
    from quant.run import Result
    from quant.table_files import Row
    from quant.workers import Team

__all__ = ["main"]

SEEDS = 2**31  # as many as a recipe may have


@click.command(cls=Command, context_settings=dict(CONTEXT))
@click.argument("recipe", required=False)
@click.option("--list", "as_list", is_flag=True, help="Show the recipes that come with this version.")
@click.option("--data", metavar="DIR", help="Folder of a data set, or of photographs or RAW files to make pairs of.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder of the run; its name by default.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out; an error if there is none.")
@click.option("-o", "--option", "options", multiple=True, metavar="NAME=VALUE", help="Of the network; repeatable.")
@click.option("--steps", type=click.IntRange(0), help="At most so many in each fit; 0 writes what it begins with.")
@click.option("--seed", type=click.IntRange(0, SEEDS - 1), help="Of the random numbers.")
@click.option("--workers", type=click.IntRange(1), default=1, help="Processes on this machine that share each batch.")
@click.option("--table", metavar="DIR", help="Train all recipes of a folder and compare their files.")
@click.option("--pairs", type=click.IntRange(1), help="Write so many held-out pairs as DNG and TIFF; no training.")
@click.option("--search", metavar="RUN", help="Quantize a finished float run, each kernel in bits of its own.")
@click.option("--max-size", metavar="SIZE", help="Of every file that --search writes, such as 500kB.")
@click.option("--max-drop", metavar="DB", help="That --search may lose against float, such as 0.3dB.")
@click.option("--max-mac-bits", type=float, help="Of a weight in a multiplication, the mean: 2 to 8.")
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout: one object, or a line a row of a table.")
def main(
    *,
    recipe: str | None,
    as_list: bool,
    table: str | None,
    search: str | None,
    workers: int,
    pairs: int | None,
    resume: bool,
    **options: Any,
) -> None:
    """Train what RECIPE says: a name from --list, or a file like those.

    The folder holds the recipe, a history, pictures of the same patches over time, checkpoints, the weights and the
    exported files, each proved equal to the network. The same line again goes on with a run that was stopped, to the
    same bits.

    \b
    qk-train --list
    qk-train lighter --out runs/lighter
    qk-train unet-qat -o width=16 --steps 2000 --out runs/small
    qk-train lighter --data photos --out runs/photos
    qk-train --table trial --out runs/trial
    qk-train --search runs/lighter --max-size 800kB --out runs/mixed
    """
    if as_list:
        return _list()
    if [recipe, table, search].count(None) != 2:
        raise BadOption("RECIPE", recipe or "", "a name from qk-train --list or a file, or else --table or --search")
    budget = {name: options.pop(name) for name in ("max_size", "max_drop", "max_mac_bits")}
    shared = workers if workers > 1 else None
    if search is not None:
        _refuse("--search", pairs=pairs, workers=shared, resume=resume)
        return _search(search, budget, **options)
    if set(budget.values()) != {None}:
        raise BadOption("a budget", recipe or table or "", "it with --search")
    if table is not None:
        _refuse("--table", pairs=pairs, workers=shared, resume=resume)
        return _table(table, **options)
    if pairs is not None:
        _refuse("--pairs", workers=shared, resume=resume)
        return _pairs(str(recipe), pairs, **options)
    if workers > 1 and "TF_CONFIG" not in os.environ:
        from quant.launch import launch

        sys.exit(launch([sys.executable, "-m", "quant", *sys.argv[1:]], workers=workers))
    return _run(str(recipe), workers=workers, resume=resume, **options)


def _refuse(beside: str, **asked: Any) -> None:
    """Refuse options that would be dropped without a word."""
    for name, value in asked.items():
        if value:
            raise BadOption(f"--{name}", value, f"it without {beside}")


def _list() -> None:
    from quant.recipe import names, read, tables

    others = tables()
    for name in [*names(), *others.pop("shipped")]:
        click.echo(f"{name:26} {_about(read(name))}")
    for table, inside in others.items():
        click.echo(f"{'--table ' + table:26} {len(inside)} recipes, such as {inside[0]}")


def _run(name: str, *, out: Path | None, resume: bool, as_json: bool, workers: int, **changes: Any) -> None:
    """One recipe."""
    from quant.recipe import read

    recipe = _changed(read(name), **changes)
    out = out or Path(recipe.name)
    if resume and not (out / "run.json").is_file():
        raise BadOption("--resume", str(out), "the folder of a run, or leave it out")
    team = _team(workers)
    from quant.progress import watching
    from quant.train import train

    quiet = as_json or not team.leads or not sys.stderr.isatty()
    with watching(quiet=quiet) as watch, team.minding():
        result = train(recipe, out=out, watch=watch(recipe), team=team)
    if team.leads:
        _tell_result(result, as_json=as_json)


def _pairs(name: str, count: int, *, out: Path | None, as_json: bool, **changes: Any) -> None:
    """Files of what a recipe is measured on."""
    from quant.recipe import read

    recipe = _changed(read(name), **changes)
    _import_tensorflow()
    from quant.pair_files import write_held

    for dark, clean in write_held(recipe, range(count), out or Path(recipe.name)):
        click.echo(json.dumps({"dark": str(dark), "clean": str(clean)}) if as_json else f"{dark}  {clean}")


def _tell_result(result: Result, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(result.as_dict()))
        return
    for part, figures in result.figures.items():
        told = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        click.echo(f"{part:10} {told}, on held-out data")
    for file, parity in result.files.items():
        off = parity.worst * parity.unit
        click.echo(f"{result.folder / file}  {parity.exact:.2%} of the values equal, at worst {off:.1g} off")
    if result.skipped:
        click.echo("\n".join([f"{len(result.skipped)} files could not be used:", *result.skipped]), err=True)


def _table(name: str, *, out: Path | None, as_json: bool, **changes: Any) -> None:
    """All recipes of a folder."""
    from quant.recipe import FOLDER

    chosen = FOLDER / name if (FOLDER / name).is_dir() else Path(name)
    _import_tensorflow()
    from quant.progress import watching
    from quant.table import recipes_of, table
    from quant.table_files import as_markdown

    recipes = [_changed(recipe, **changes) for recipe in recipes_of(chosen)]
    with watching(quiet=as_json or not sys.stderr.isatty()) as watch:
        rows = table(recipes, out=out or Path(chosen.name), watch=watch, done=_tell if as_json else lambda row: None)
    if not as_json:
        click.echo(as_markdown(rows))


def _search(run: str, limits: dict[str, Any], *, out: Path | None, as_json: bool, **changes: Any) -> None:
    """Mixed bits for a run that is done."""
    from quant.budget import Budget

    budget = Budget.read(**limits)
    if set(changes.values()) - {None, ()}:
        raise BadOption("--search", run, "it with --out, --json and a budget alone: all else is as the run has it")
    _import_tensorflow()
    from quant.front_files import FRONT
    from quant.mix import mixed
    from quant.progress import watching

    with watching(quiet=as_json or not sys.stderr.isatty()) as watch:
        beside = Path(f"{Path(run).resolve()}-mixed")  # of "run/" and "." too
        result = mixed(run, out=out or beside, budget=budget, watch=watch, tell=partial(click.echo, err=True))
    if not as_json:
        click.echo((result.folder / FRONT).read_text("utf-8"))
    _tell_result(result, as_json=as_json)


def _tell(row: Row) -> None:
    click.echo(json.dumps(asdict(row)))


def _import_tensorflow() -> None:
    from keras_models.quiet import import_tensorflow

    import_tensorflow()


def _team(workers: int) -> Team:
    """The others that TF_CONFIG names, if it is set."""
    _import_tensorflow()
    from quant.workers import join

    team = join()
    if workers not in (1, team.size):
        raise BadOption("--workers", workers, f"{team.size}, as TF_CONFIG says, or leave it out")
    return team


def _changed(
    recipe: Recipe, *, options: tuple[str, ...], steps: int | None, seed: int | None, data: str | None
) -> Recipe:
    """The recipe with what the command line says otherwise, checked again."""
    from dataclasses import replace

    from keras_models.zoo import options_of
    from quant.data import in_folder
    from quant.recipe import Ptq, from_json, to_json

    network = recipe.model.network
    model = replace(recipe.model, options={**recipe.model.options, **options_of(network, options)})
    apart = 0 if seed is None else seed - recipe.fit.seed  # two fits of two seeds see different pairs, and still do

    def changed(fit: Fit) -> Fit:
        few = fit if steps is None else fit.shortened(steps)
        return replace(few, seed=(few.seed + apart) % SEEDS)

    recipe = replace(recipe, model=model, fit=changed(recipe.fit), fine_tune=changed(recipe.fine_tune))
    if isinstance(recipe.scheme, Ptq) and not recipe.fine_tune.steps:
        recipe = replace(recipe, scheme=replace(recipe.scheme, still=False))  # what never moves need not be held
    recipe = recipe if data is None else replace(recipe, data=in_folder(recipe.data, data))
    return from_json(to_json(recipe), source=recipe.name)


def _about(recipe: Recipe) -> str:
    """A recipe in a line."""
    scheme = type(recipe.scheme).__name__
    steps = f"{recipe.fit.steps:,}" + (f" + {recipe.fine_tune.steps:,}" if recipe.fine_tune.steps else "")
    more = f", taught by {recipe.distill.teacher}" if recipe.distill else ""
    more += f", from {recipe.warm_start}" if recipe.warm_start else ""
    return f"{recipe.model.network}, {scheme}, {type(recipe.data).__name__}, {steps} steps{more}"
