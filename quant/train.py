"""The whole of a training, in order: fit in float, quantize, fine-tune, lower, export."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras

import keras_models
from export.parity import Parity
from export.round_kernels import round_kernels
from export.write import described, write
from keras_models.plain_file import save_plain
from quant.able import require
from quant.fit import Course, Step, fit
from quant.losses import loss
from quant.measure import psnr
from quant.pairs import AnyCamera, Pairs
from quant.recipe import Data, Fit, Recipe, digest, to_json
from quant.schemes import lower, quantize, wanted
from runtime.atomic import writing
from runtime.contract import Contract
from runtime.errors import FileError

__all__ = ["Result", "course", "train"]

Array = np.ndarray[Any, Any]
HELD_OUT = 1 << 31  # the seed of the pairs that are never learnt from, besides the recipe's
HELD = 16
FIRST, LAST = "float", "fine"


@dataclass(frozen=True)
class Result:
    """What a training left: dB on held-out pairs after each fit, and every file with its proof."""

    folder: Path
    decibel: dict[str, float]
    files: dict[str, Parity]


def train(recipe: Recipe, *, out: str | Path, watch: Callable[[str, Step], None] = lambda part, step: None) -> Result:
    """Train what the recipe says into a folder, or go on with what stands there."""
    require(recipe)
    out = Path(out)
    _claim(out, recipe)
    tf_keras.utils.set_random_seed(recipe.fit.seed)
    model, contract = keras_models.build(recipe.model.network, **dict(recipe.model.options))
    contract = _contract(contract, recipe.data)
    decibel = {}
    decibel[FIRST] = _fit(model, contract, recipe, settings=recipe.fit, folder=out / FIRST, watch=watch)
    keras_models.save(model, contract, out / "float.npz")
    samples = (
        pairs(contract, recipe, recipe.fit).batch(range(wanted(recipe.scheme)))[0] if wanted(recipe.scheme) else None
    )
    trained = quantize(model, recipe.scheme, samples=samples)
    if recipe.fine_tune.steps:
        decibel[LAST] = _fit(trained, contract, recipe, settings=recipe.fine_tune, folder=out / LAST, watch=watch)
    lowered = lower(trained, recipe.scheme)
    figures = {f"psnr_{part}": round(value, 3) for part, value in decibel.items()}
    contract = described(lowered, replace(contract, figures=figures, trained_on=_trained_on(recipe)))
    contract = replace(contract, scheme=type(recipe.scheme).__name__.lower())
    contract = save_plain(lowered, contract, out / "network.npz")
    files = {}
    for export in recipe.exports:
        small = lowered if export.bits is None else round_kernels(lowered, bits=export.bits)
        path = out / f"{recipe.name}{'' if export.bits is None else f'-w{export.bits}'}.{export.format}"
        files[path.name] = write(small, contract, path)
    return Result(out, decibel, files)


def pairs(contract: Contract, recipe: Recipe, settings: Fit, *, seed: int | None = None) -> Pairs:
    """The pairs a recipe learns from; other seeds are other pairs."""
    low, high = recipe.data.ratio
    seed = settings.seed if seed is None else seed
    return Pairs(contract, seed=seed, size=settings.size, shots=AnyCamera(low, high))


def course(settings: Fit) -> Course:
    """How long and how fast, as the loop takes it."""
    return Course(
        steps=settings.steps,
        batch=settings.batch,
        rate=settings.rate_at,
        loss=loss(settings.loss),
        weight_decay=settings.weight_decay if settings.optimizer == "adamw" else None,
        clip=settings.clip,
        ema=settings.ema,
        seed=settings.seed,
        checkpoint_every=settings.checkpoint_every,
    )


def _fit(
    model: Any, contract: Contract, recipe: Recipe, *, settings: Fit, folder: Path, watch: Callable[[str, Step], None]
) -> float:
    """One fit, its history beside its checkpoints; returns dB on held-out pairs."""
    held = pairs(contract, recipe, settings, seed=settings.seed + HELD_OUT)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "history.jsonl").open("a", encoding="utf-8") as history:

        def seen(step: Step, model: Any) -> None:
            line: dict[str, Any] = {"step": step.number, "loss": step.loss}
            if (step.number + 1) % settings.validate_every == 0:
                line["psnr"] = _decibel(model, held)
            history.write(json.dumps(line) + "\n")
            watch(folder.name, step)

        fit(model, pairs(contract, recipe, settings), course(settings), folder=folder, watch=seen)
    return _decibel(model, held)


def _decibel(model: Any, held: Pairs) -> float:
    x, y = held.batch(range(HELD))
    made = np.clip(model(x, training=False).numpy(), 0, 1)
    return float(np.mean([psnr(a, b, data_range=1.0) for a, b in zip(y, made, strict=True)]))


def _contract(contract: Contract, data: Data) -> Contract:
    """What comes out is what the data says the network learns."""
    return replace(contract, output=data.output) if contract.task == "enhance" else contract


def _trained_on(recipe: Recipe) -> str:
    low, high = recipe.data.ratio
    return f"{recipe.data.kind} pairs at x{low:g} to x{high:g}, {recipe.fit.steps} + {recipe.fine_tune.steps} steps"


def _claim(out: Path, recipe: Recipe) -> None:
    """Say in the folder what it is of; refuse one of another recipe."""
    note = out / "run.json"
    if note.exists():
        try:
            theirs = json.loads(note.read_text(encoding="utf-8"))["digest"]
        except (OSError, ValueError, KeyError, TypeError):
            theirs = None
        if theirs != digest(recipe):
            raise FileError(out, "holds a run of another recipe", "name another folder")
        return
    versions = {name: version(name) for name in ("qk-unet", "tensorflow", "tf_keras", "numpy")}
    told = {
        "digest": digest(recipe),
        "recipe": json.loads(to_json(recipe)),
        "versions": versions | {"python": platform.python_version()},
        "begun": time.strftime("%Y-%m-%d %H:%M:%S"),
        "machine": platform.platform(),
        "settings": {"held_out_pairs": HELD, **asdict(recipe.fit)},
    }
    with writing(note) as file:
        file.write(json.dumps(told, indent=1, default=str).encode())
