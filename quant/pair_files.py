"""Made pairs as files: a RAW frame of the dark as a camera would write it, and what it should have been.

dark/00003_x100.dng     the mosaic, with the camera's levels, matrix and white balance
clean/00003.tif         the camera's own colours, linear, before white balance: 16 bits, black 0, white 65535

A picture that is no display's says so itself: its description begins with `runtime.clean.CAMERA_LINEAR`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

import keras_models
from quant.data import Synthetic
from quant.pairs import Pairs
from quant.recipe import Recipe
from quant.sources import HELD_OUT, meant, require_suits
from quant.synthetic import pairs as synthetic_pairs
from runtime import dng, tiff
from runtime.atomic import writing
from runtime.clean import CAMERA_LINEAR
from runtime.errors import BadOption
from runtime.exif import write as exif_block

__all__ = ["write_held", "write_pairs"]

TOP = np.float32(65535)
WORDS = f"{CAMERA_LINEAR}: before white balance, black 0, white 65535"
SIZE = 256  # packed pixels a side: a file is to be looked at


def write_held(recipe: Recipe, numbers: Iterable[int], folder: str | Path) -> list[tuple[Path, Path]]:
    """Write pairs that the recipe is never trained on."""
    if not isinstance(recipe.data, Synthetic):
        kind = type(recipe.data).__name__.lower()
        raise BadOption("--pairs", f"of {kind} data", "a recipe with synthetic data")
    _, contract = keras_models.build(recipe.model.network, **dict(recipe.model.options))
    require_suits(recipe.data, contract)
    made = synthetic_pairs(
        recipe.data, meant(recipe.data, contract), seed=recipe.fit.seed + HELD_OUT, size=SIZE, held=True
    )
    return write_pairs(made, numbers, folder)


def write_pairs(pairs: Pairs, numbers: Iterable[int], folder: str | Path) -> list[tuple[Path, Path]]:
    """Write these samples; returns dark and clean, in order."""
    folder, written = Path(folder), []
    for number in numbers:
        sample = pairs.sample(number)
        dark = folder / "dark" / f"{number:05}_x{sample.ratio:g}.dng"
        clean = folder / "clean" / f"{number:05}.tif"
        dng.save_mosaic(sample.raw, dark, description=f"ratio {sample.ratio:g}")
        levels = np.rint(sample.colours.transpose(1, 2, 0) * TOP).astype(np.uint16)
        block = exif_block(sample.raw.about, software="qk-unet", description=WORDS)
        with writing(clean) as file:
            tiff.write(file, levels, path=clean, tags={}, exif=block)
        written.append((dark, clean))
    return written
