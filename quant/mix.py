"""Mixed bits for a float run that is done: a budget goes in, and a run of post-training quantization comes out.

The size is the file's, the drop is in dB of the task's own figure on pairs that were never learnt from. Beside the new
run stand all networks that were judged on the way (front_files.py).
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import keras_models
from export.write import WRITERS, described
from keras_models.lowered import Lowered
from quant.budget import Budget
from quant.figures import better
from quant.front import Bits
from quant.front_files import write_front
from quant.learn import AT_ONCE, HELD, measured
from quant.mixed import Found, maker, search
from quant.recipe import Recipe
from quant.run import Result, master, recipe_of
from quant.scheme import Float, Ptq
from quant.sensitivity import WIDTHS, kernels_of, plain_float
from quant.sources import Part, Source, source
from quant.train import train
from quant.watch import Watch
from runtime.errors import BadOption

__all__ = ["mixed"]

Array = np.ndarray[Any, Any]
SCHEME = Ptq(weights="mse")  # of 8 bits where a kernel has no bits of its own
WIDEST = 8
LEAST = 1e-12  # of an error, which would be infinitely many dB
ALONG = 8  # points
TRIES = 3  # what unpacks levels is known to a few kB: a file that became too large is searched for again


def mixed(
    run: str | Path, *, out: Path, budget: Budget, watch: Callable[[Recipe], Watch] = lambda recipe: Watch()
) -> Result:
    """Find the bits of every kernel of a run's float network, and write the run of what is found."""
    run = Path(run)
    recipe = recipe_of(run)
    if recipe is None or not isinstance(recipe.scheme, Float):
        raise BadOption("--search", str(run), "the folder of a finished run of a float recipe")
    begun = _Run(run, recipe, watch=watch(recipe))
    found = _along(begun, _found(begun, budget))
    small = _small(recipe, found.bits_of, run)
    result = train(small, out=out, watch=watch(small))
    write_front(found, begun.kernels, title=recipe.name, out=out)
    return result


def _small(recipe: Recipe, bits_of: Bits, run: Path) -> Recipe:
    """The recipe that quantizes what a run ended with, and trains nothing."""
    return replace(
        recipe,
        name=f"{recipe.name}-mixed",
        scheme=replace(SCHEME, bits_of=dict(bits_of)),
        fit=replace(recipe.fit, steps=0),
        fine_tune=replace(recipe.fine_tune, steps=0, mixed_precision=False),
        # A float network's own bits would round these kernels a second time.
        exports=tuple(dict.fromkeys(replace(export, bits=None) for export in recipe.exports)),
        distill=None,
        warm_start=str(run.resolve()),
    )


class _Run:
    """A run's float network, what its ranges are found on, and how well a network made of it does."""

    def __init__(self, run: Path, recipe: Recipe, *, watch: Watch) -> None:
        self.model, self.contract = keras_models.load(master(str(run), beside=run))
        self.recipe, self.watch, self.format = recipe, watch, recipe.exports[0].format
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

    def size(self, bits_of: Bits) -> int:
        """Bytes of the file with those bits."""
        small = self.make(bits_of)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"a.{self.format}"
            WRITERS[path.suffix](small, described(small, self.contract), path)
            return path.stat().st_size


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


def _found(run: _Run, budget: Budget) -> Found:
    """The search; again with so much less as the file is too large."""
    kernels = run.kernels.values()
    wide = dict.fromkeys(run.kernels, WIDEST)
    work = None if budget.max_mac_bits is None else int(budget.max_mac_bits * sum(one.macs for one in kernels))
    rest = run.size(wide) - sum(one.size(WIDEST, packing=run.format) for one in kernels)
    least = rest + sum(min(one.size(bits, packing=run.format) for bits in WIDTHS) for one in kernels)
    if budget.max_size is not None and budget.max_size < least:
        raise BadOption("--max-size", budget.max_size, f"{least} or more: what a file with the fewest bits takes")
    for _ in range(TRIES):
        found = search(
            run.lowered,
            run.batches,
            judge=run.decibel,
            make=run.make,
            max_size=None if budget.max_size is None else budget.max_size - rest,
            max_mac_bits=work,
            max_drop=budget.max_drop,
            packing=run.format,
            weights=SCHEME.weights,
            progress=run.watch.tried,
        )
        if budget.max_size is None or (size := run.size(found.bits_of)) <= budget.max_size:
            return found
        rest += size - budget.max_size
    raise BadOption("--max-size", budget.max_size, f"{size} or more: the least that was found")
