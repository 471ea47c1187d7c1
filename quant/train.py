"""The whole of a training, in order: fit in float, quantize, fine-tune, lower, export."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import tf_keras

import keras_models
from export.parity import Parity
from export.round_kernels import round_kernels, rounded
from export.write import described, write
from keras_models import parents
from keras_models.lowered import Lowered
from keras_models.plain_file import save_plain
from quant.data import described as learnt_from
from quant.learn import FIRST, LAST, Learning
from quant.precision import available
from quant.recipe import Float, Recipe, read
from quant.run import MASTER, Result, claim, finish, master, recipe_of
from quant.schemes import bring_back, check, lower, quantize, wanted
from quant.sources import meant
from quant.watch import Watch
from quant.workers import ALONE, Team
from runtime.contract import Contract
from runtime.errors import WrongNetwork

__all__ = ["train"]

FLOAT = "float.npz"  # what the first fit ended with; MASTER is what the last one did
NOBODY = Watch()


def train(recipe: Recipe, *, out: str | Path, watch: Watch = NOBODY, team: Team = ALONE) -> Result:
    """Train what the recipe says into a folder, or go on with what stands there.

    Of several workers every one trains, and the first writes.
    """
    out = Path(out)
    model, contract = _begun(recipe, out)
    check(model, recipe.scheme, trains=recipe.fine_tune.steps > 0)
    teacher = _teacher(recipe, contract, out)
    learning = Learning(recipe, contract, out, watch=watch, teacher=teacher, team=team)
    if team.leads:
        claim(out, recipe, workers=team.size, mixed_precision=recipe.fit.mixed_precision and available())
    learning(model, recipe.fit, part=FIRST)
    if team.leads:
        keras_models.save(model, contract, out / FLOAT)
    samples = learning.samples(wanted(recipe.scheme))
    trains = recipe.fine_tune.steps > 0
    trained = quantize(model, recipe.scheme, samples=samples, trains=trains, progress=watch.looked)
    if not isinstance(recipe.scheme, Float) or recipe.fine_tune.steps:
        learning(trained, recipe.fine_tune, part=LAST)
    if not team.leads:
        return Result(out, learning.figures, {})
    bring_back(trained, into=model)
    keras_models.save(model, contract, out / MASTER)
    told = _told(contract, recipe, learning.figures, before=_before(recipe, out))
    files = _export(lower(trained, recipe.scheme), told, recipe, out)
    result = Result(out, learning.figures, files, learning.skipped)
    finish(result)
    return result


def _begun(recipe: Recipe, out: Path) -> tuple[Any, Contract]:
    """The network, new or with the weights of another run, and what comes out of it as the data have it."""
    tf_keras.utils.set_random_seed(recipe.fit.seed)
    model, contract = keras_models.build(recipe.model.network, **dict(recipe.model.options))
    ours = meant(recipe.data, contract)
    if recipe.warm_start is not None:
        path = master(recipe.warm_start, beside=out)
        found = keras_models.restore(model, contract, path)
        if not recipe.fit.steps:  # else they may learn what is meant now
            _require_same("range", found.range, ours.range, path)
            _require_same("output", found.output, ours.output, path)
    return model, ours


def _teacher(recipe: Recipe, contract: Contract, out: Path) -> Any:
    """The network that teaches, if one does; it sees what the student sees."""
    if recipe.distill is None:
        return None
    path = master(recipe.distill.teacher, beside=out)
    model, found = keras_models.load(path)
    _require_same("range", found.range, contract.range, path)
    return model


def _require_same(what: str, theirs: str, ours: str, path: Path) -> None:
    """Refuse weights that were learnt for other numbers."""
    if theirs != ours:
        raise WrongNetwork(path, f"has the {what} {theirs!r}", f"take weights for {ours!r}, which the data here mean")


def _before(recipe: Recipe, out: Path) -> int:
    """How many steps the weights had seen that the run began with."""
    if recipe.warm_start is None:
        return 0
    path = master(recipe.warm_start, beside=out)
    other = read(f"shipped/{path.stem}") if path.parent == parents.FOLDER else recipe_of(path.parent)
    return 0 if other is None else _before(other, path.parent) + other.fit.steps + other.fine_tune.steps


def _told(contract: Contract, recipe: Recipe, figures: dict[str, dict[str, float]], *, before: int) -> Contract:
    """The contract with what the network learnt from and how well."""
    flat = {f"{name}_{part}": round(value, 5) for part, named in figures.items() for name, value in named.items()}
    return replace(
        contract,
        figures=flat,
        trained_on=f"{learnt_from(recipe.data)}, {before + recipe.fit.steps} + {recipe.fine_tune.steps} steps",
        scheme=type(recipe.scheme).__name__.lower(),
    )


def _export(lowered: Lowered, contract: Contract, recipe: Recipe, out: Path) -> dict[str, Parity]:
    """The plain form, and every file with its proof."""
    contract = save_plain(lowered, described(lowered, contract), out / "network.npz")
    files = {}
    for export in recipe.exports:
        small, says = lowered, contract
        if export.bits is not None:
            small, says = round_kernels(lowered, bits=export.bits), rounded(contract)
        path = out / f"{recipe.name}{'' if export.bits is None else f'-w{export.bits}'}.{export.format}"
        files[path.name] = write(small, says, path)
    return files
