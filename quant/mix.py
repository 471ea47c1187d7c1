"""Mixed bits for a float run that is done: a budget goes in, and a run of post-training quantization comes out.

The size is that of every file which is written, the drop is in dB of the task's own figure on pairs that were never
learnt from. Beside the new run stand all networks that were judged on the way (front_files.py).
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

import keras_models
from export.write import WRITERS, described
from keras_models.lowered import Lowered
from keras_models.weights import read
from quant.budget import Budget
from quant.figures import better
from quant.front import Bits
from quant.front_files import write_front
from quant.learn import AT_ONCE, FIRST, HELD, LAST, measured
from quant.mixed import Found, maker, search
from quant.recipe import Export, Recipe
from quant.run import NOTE, Result, master, recipe_of
from quant.scheme import Float, Ptq
from quant.sensitivity import WIDTHS, Packing, kernels_of, plain_float
from quant.sources import Part, Source, source
from quant.train import train
from quant.watch import Watch
from runtime.atomic import writing
from runtime.errors import BadOption, FileError

__all__ = ["mixed"]

Array = np.ndarray[Any, Any]
Format = Literal["onnx", "tflite"]
SCHEME = Ptq(weights="mse")  # of 8 bits where a kernel has no bits of its own
LEAST = 1e-12  # of an error, which would be infinitely many dB
ALONG = 8  # points
ASKED = "search.json"  # in the folder of the new run
FIGURE = 12.34567  # as long as any: what a file will say of itself counts before it is known


def mixed(
    run: str | Path,
    *,
    out: Path,
    budget: Budget,
    watch: Callable[[Recipe], Watch] = lambda recipe: Watch(),
    tell: Callable[[str], None] = lambda line: None,
) -> Result:
    """Find the bits of every kernel of a run's float network, and write the run of what is found.

    `tell` is told which files are not written because none of their kind holds the budget.
    """
    run = Path(run)
    recipe = recipe_of(run)
    if recipe is None or not isinstance(recipe.scheme, Float):
        raise BadOption("--search", str(run), "the folder of a finished run of a float recipe")
    # Which bits a recipe will have is known at the end; whose run the folder holds is to be known at the beginning.
    asked = json.dumps({"run": str(run.resolve()), **asdict(budget)}).encode()
    if (out / NOTE).exists() and not ((out / ASKED).is_file() and (out / ASKED).read_bytes() == asked):
        raise FileError(out, "holds the run of another search or recipe", "name another folder")
    begun = _Run(run, recipe, watch=watch(recipe))
    found = _along(begun, _found(begun, budget, tell))
    small = _small(recipe, found.bits_of, run, formats=begun.formats)
    if (out / NOTE).exists() and recipe_of(out) != small:
        raise FileError(out, "holds what this search found in another network", "name another folder")
    with writing(out / ASKED) as file:
        file.write(asked)
    write_front(found, begun.kernels, title=recipe.name, out=out)
    return train(small, out=out, watch=watch(small))


def _small(recipe: Recipe, bits_of: Bits, run: Path, *, formats: list[Format]) -> Recipe:
    """The recipe that quantizes what a run ended with, and trains nothing."""
    return replace(
        recipe,
        name=f"{recipe.name}-mixed",
        scheme=replace(SCHEME, bits_of=dict(bits_of)),
        fit=replace(recipe.fit, steps=0),
        fine_tune=replace(recipe.fine_tune, steps=0, mixed_precision=False),
        # A float network's own bits would round these kernels a second time.
        exports=tuple(Export(format=kind) for kind in formats),
        distill=None,
        warm_start=str(run.resolve()),
    )


class _Run:
    """A run's float network, what its ranges are found on, and how well a network made of it does."""

    def __init__(self, run: Path, recipe: Recipe, *, watch: Watch) -> None:
        self.model, self.contract = keras_models.load(master(str(run), beside=run))
        self.recipe, self.watch = recipe, watch
        self.formats = list(dict.fromkeys(export.format for export in recipe.exports))
        told = read(run / "network.npz")[0]
        names = [name.removesuffix(f"_{FIRST}") for name in told.figures if name.endswith(f"_{FIRST}")]
        self.told = replace(told, figures={f"{name}_{part}": FIGURE for name in names for part in (FIRST, LAST)})
        self.lowered = plain_float(self.model)
        self.samples, _ = self._source("train").batch(range(SCHEME.samples))
        self.held = self._source("held").batch(range(HELD))
        self.make = maker(self.lowered, self.batches, method=SCHEME.method, weights=SCHEME.weights)
        self.kernels = kernels_of(self.lowered, self.samples[:1])

    def _source(self, part: Part) -> Source:
        fit, told = self.recipe.fit, self.watch.decoded
        return source(self.recipe.data, self.contract, seed=fit.seed, size=fit.size, part=part, progress=told)

    def batches(self) -> Iterator[Array]:
        """The samples, a few at a time."""
        yield from (self.samples[first : first + AT_ONCE] for first in range(0, len(self.samples), AT_ONCE))

    def decibel(self, network: Lowered) -> float:
        """The figure that the task is judged by, in dB: more is better."""
        name, more = better(self.contract)
        figure = measured(network, self.held, self.contract)[name]
        if name == "psnr":
            return figure
        return -10 * math.log10(max(1 - figure if more else figure, LEAST))

    def sizes(self, bits_of: Bits) -> dict[Format, int]:
        """Bytes of the file of each format with those bits."""
        small, found = self.make(bits_of), {}
        with tempfile.TemporaryDirectory() as folder:
            for kind in self.formats:
                path = Path(folder) / f"a.{kind}"
                WRITERS[path.suffix](small, described(small, self.told), path)
                found[kind] = path.stat().st_size
        return found

    def largest(self, bits_of: Bits) -> int:
        """Bytes of the largest file with those bits."""
        return max(self.sizes(bits_of).values())


def _along(run: _Run, found: Found) -> Found:
    """With some more points along the forecast judged, for those who would rather have another budget."""
    known = [point.bits_of for point in found.judged]
    points = [point for point in found.front.points if point.bits_of not in known]
    some = {round(place) for place in np.linspace(0, len(points) - 1, min(ALONG, len(points)))}
    judged = [
        # Its error is a forecast, and has no place beside measured ones.
        replace(points[place], error_db=math.nan, figure=run.decibel(run.make(points[place].bits_of)))
        for place in sorted(some)
    ]
    return replace(found, judged=(*found.judged, *judged))


def _found(run: _Run, budget: Budget, tell: Callable[[str], None]) -> Found:
    """The search, for the files that can hold the budget."""
    work = budget.max_mac_bits
    return search(
        run.lowered,
        run.batches,
        judge=run.decibel,
        make=run.make,
        packing=run.formats[0] if budget.max_size is None else _packing(run, budget.max_size, tell),
        max_size=budget.max_size,
        max_mac_bits=None if work is None else int(work * sum(one.macs for one in run.kernels.values())),
        max_drop=budget.max_drop,
        weigh=run.largest,
        weights=SCHEME.weights,
        progress=run.watch.tried,
    )


def _packing(run: _Run, most: int, tell: Callable[[str], None]) -> Packing:
    """Leave out the formats that no bits make small enough; how kernels lie in the one that is harder to hold."""
    few = f"with all kernels in {min(WIDTHS)} bits"
    sizes = run.sizes(dict.fromkeys(run.kernels, min(WIDTHS)))
    if most < (least := min(sizes.values())):
        told = ", ".join(f"a .{kind} file has {size}" for kind, size in sizes.items())
        raise BadOption("--max-size", most, f"{least} or more: {few} {told}")
    for kind, size in sizes.items():
        if size > most:
            run.formats.remove(kind)
            tell(f"no .{kind} file is written: {few} it has {size:,} bytes, and --max-size is {most:,}")
    # A TFLite file has 4 bits or 8, and an ONNX file beside it wants no others unless 4 are too many for it.
    four = "tflite" in run.formats and run.largest(dict.fromkeys(run.kernels, 4)) <= most
    return "tflite" if four else "onnx"
