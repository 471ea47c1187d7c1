"""`qk-train`: from a recipe to weights, and files that run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runtime.command import CONTEXT, Command
from runtime.errors import BadOption

if TYPE_CHECKING:
    from quant.recipe import Fit, Recipe

__all__ = ["main"]


@click.command(cls=Command, context_settings=dict(CONTEXT))
@click.argument("recipe", required=False)
@click.option("--list", "as_list", is_flag=True, help="Show the recipes that come with this version.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder of the run; its name by default.")
@click.option("-o", "--option", "options", multiple=True, metavar="NAME=VALUE", help="Of the network; repeatable.")
@click.option(
    "--steps", type=click.IntRange(0), help="At most so many in each fit; 0 writes the weights it begins with."
)
@click.option("--seed", type=click.IntRange(0), help="Of the random numbers.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def main(recipe: str | None, as_list: bool, out: Path | None, as_json: bool, **changes: Any) -> None:
    """Train what RECIPE says: a name from --list, or a file like those.

    The folder holds the recipe, a history, checkpoints, the weights and the exported files, each proved equal to the
    network. The same line again goes on with a run that was stopped, to the same bits.

    \b
    qk-train --list
    qk-train lighter --out runs/lighter
    qk-train unet-qat -o width=16 --steps 2000 --out runs/small
    """
    from quant.recipe import names, read

    if as_list:
        for name in names():
            click.echo(f"{name:24} {_about(read(name))}")
        return
    if recipe is None:
        raise BadOption("RECIPE", "", "a name from qk-train --list, or a file")
    chosen = _changed(read(recipe), **changes)
    _train(chosen, out or Path(chosen.name), as_json=as_json)


def _train(recipe: Recipe, out: Path, *, as_json: bool) -> None:
    from keras_models.quiet import import_tensorflow

    import_tensorflow()
    from quant.progress import watching
    from quant.train import train

    with watching(recipe, quiet=as_json or not sys.stderr.isatty()) as watch:
        result = train(recipe, out=out, watch=watch)
    if as_json:
        files = {name: parity.as_dict() for name, parity in result.files.items()}
        click.echo(json.dumps({"folder": str(result.folder), "decibel": result.decibel, "files": files}))
        return
    for part, value in result.decibel.items():
        click.echo(f"{part:10} {value:.2f} dB on held-out pairs")
    for name, parity in result.files.items():
        click.echo(f"{result.folder / name}  worst {parity.worst:.2g} steps, {parity.exact:.2%} equal")


def _changed(recipe: Recipe, *, options: tuple[str, ...], steps: int | None, seed: int | None) -> Recipe:
    """The recipe with what the command line says otherwise."""
    from dataclasses import replace

    from keras_models.zoo import options_of

    network = recipe.model.network
    model = replace(recipe.model, options={**recipe.model.options, **options_of(network, options)})

    def changed(fit: Fit) -> Fit:
        few = fit.steps if steps is None else min(steps, fit.steps)
        return replace(fit, steps=few, seed=fit.seed if seed is None else seed)

    return replace(recipe, model=model, fit=changed(recipe.fit), fine_tune=changed(recipe.fine_tune))


def _about(recipe: Recipe) -> str:
    """A recipe in a line."""
    from quant.able import lacking

    scheme = type(recipe.scheme).__name__
    steps = f"{recipe.fit.steps:,}" + (f" + {recipe.fine_tune.steps:,}" if recipe.fine_tune.steps else "")
    later = f" (not yet: {key})" if (key := lacking(recipe)) else ""
    return f"{recipe.model.network}, {scheme}, {recipe.data.kind}, {steps} steps{later}"
