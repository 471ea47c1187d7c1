"""Ranges from samples: what the values of one tensor reach, and where it pays to cut them off.

An observer sees a tensor batch by batch and then says between which two numbers its grid should lie. None keeps what it
saw: two numbers, or the counts of a histogram that is as large for one batch as for a thousand. All but the moving
average, as its name says, give the same for batches in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from keras_models.grid import SMALLEST, Grid
from quant.histogram import Cells, Histogram
from runtime.errors import BadOption

__all__ = ["METHODS", "Entropy", "MinMax", "MovingAverage", "Mse", "Observer", "Percentile", "lost", "squared_error"]

Array = np.ndarray[Any, Any]
Range = tuple[float, float]

# Clips tried, as parts of the largest value: twelve octaves, since an outlier may be a thousand times the others.
COARSE = 2.0 ** (-np.arange(48) / 4)
FINE = 2.0 ** (-np.arange(-4, 5) / 16)  # around the best of those
PIECES = 2048  # of one width that sizes are counted in, for their entropy
ROUNDS = 2  # each end of a range is sought with the other one standing still


class Observer(Protocol):
    """What sees values and names their range."""

    def see(self, values: Array) -> None:
        """Take a batch of finite values in."""

    def range(self) -> Range:
        """Where a grid should begin and end; ValueError if nothing was seen."""
        ...


@dataclass
class MinMax:
    """From the smallest to the largest value ever seen."""

    low: float = np.inf
    high: float = -np.inf

    def see(self, values: Array) -> None:
        """Widen the range."""
        low, high = _ends(values)
        self.low, self.high = min(self.low, low), max(self.high, high)

    def range(self) -> Range:
        """The range."""
        if self.low > self.high:
            raise ValueError("no values were seen")
        return self.low, self.high


@dataclass
class MovingAverage:
    """Each batch's smallest and largest value, averaged with a memory of 1 / (1 - momentum) batches."""

    momentum: float = 0.9
    ends: Range | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.momentum < 1:
            raise BadOption("momentum", self.momentum, "a number from 0 to below 1")

    def see(self, values: Array) -> None:
        """Move both ends towards those of a batch."""
        new, keep = _ends(values), self.momentum
        old = self.ends or new
        self.ends = (keep * old[0] + (1 - keep) * new[0], keep * old[1] + (1 - keep) * new[1])

    def range(self) -> Range:
        """The range."""
        if self.ends is None:
            raise ValueError("no values were seen")
        return self.ends


@dataclass
class Spread:
    """What the observers below have in common: the ends, and how the values lie between them."""

    ends: MinMax = field(default_factory=MinMax, init=False)
    histogram: Histogram = field(default_factory=Histogram, init=False)

    def see(self, values: Array) -> None:
        """Count a batch."""
        self.ends.see(values)
        self.histogram.see(values)


@dataclass
class Percentile(Spread):
    """The range that holds this share of the values; what is left out is half below it and half above."""

    share: float = 0.9999

    def __post_init__(self) -> None:
        if not 0.5 <= self.share <= 1:
            raise BadOption("share", self.share, "a number from 0.5 to 1")

    def range(self) -> Range:
        """The range, never beyond what was seen."""
        low, high = self.ends.range()
        cells, out = self.histogram.cells(), (1 - self.share) / 2
        return max(low, min(high, cells.quantile(out))), min(high, max(low, cells.quantile(1 - out)))


@dataclass
class Mse(Spread):
    """The range whose grid of so many bits rounds and cuts off with the least squared error."""

    bits: int = 8

    def range(self) -> Range:
        """The best range found, one end after the other."""
        low, high = self.ends.range()
        cells = self.histogram.cells()
        best = (min(low, 0.0), max(high, 0.0))

        def error(ends: Range) -> float:
            return squared_error(cells, ends, bits=self.bits)

        for _ in range(ROUNDS):
            best = _best_end(best, (best[0], max(high, 0.0)), 1, error)
            best = _best_end(best, (min(low, 0.0), best[1]), 0, error)
        return best


@dataclass
class Entropy(Spread):
    """The clip that loses the least information, as a Kullback-Leibler divergence (Migacz, 2017).

    Sizes are compared, so that both ends are cut at the same distance from zero.
    """

    bits: int = 8

    def range(self) -> Range:
        """The range."""
        low, high = self.ends.range()
        largest = max(-low, high, 0.0)
        sizes = self.histogram.cells().mirrored()
        if not sizes.count.size:
            return 0.0, 0.0
        levels = 1 << (self.bits - (low < 0 < high))
        # Down to the 128th of 2048 pieces, as in the original: a clip below all values would lose nothing of them.
        clips = [float(largest * ratio) for ratio in 2.0 ** (-np.arange(33) / 8)]
        clip = min(clips, key=lambda clip: lost(sizes, clip, levels=levels, piece=largest / PIECES))
        return max(min(low, 0.0), -clip), min(max(high, 0.0), clip)


def squared_error(cells: Cells, ends: Range, *, bits: int) -> float:
    """The squared error of all values, rounded and cut off; those of a bin are spread evenly over it.

    With t the value in steps and q its level, the integral of (t - q)^2 up to t is q / 12 + (t - q)^3 / 3: a twelfth
    for each level passed, and what is left, be it a part of a step or all beyond the last level.
    """
    if ends[1] - ends[0] < SMALLEST * (1 << bits):
        return np.inf
    grid = Grid.from_range(*ends, bits=bits)
    step = float(grid.scale)

    def integral(x: Array) -> Array:
        t = x / step
        q = np.clip(np.rint(t), grid.low - grid.zero, grid.high - grid.zero)
        rest = t - q
        return np.asarray(q / 12 + rest * rest * rest / 3)  # NumPy's power is ten times slower

    width = (cells.high - cells.low) / step
    return float(np.sum(cells.count * (integral(cells.high) - integral(cells.low)) / width)) * step**2


def _best_end(best: Range, full: Range, which: int, error: Callable[[Range], float]) -> Range:
    """The range with its end `which` where the error is least, sought from coarse to fine, never beyond `full`."""
    if full[which] == 0:
        return best
    for coarse in (True, False):
        ladder = full[which] * COARSE if coarse else best[which] * FINE
        trials = [(best[0], end) if which else (end, best[1]) for end in map(float, ladder)]
        best = min([best, *(t for t in trials if full[0] <= t[0] and t[1] <= full[1])], key=error)
    return best


def lost(sizes: Cells, clip: float, *, levels: int, piece: float) -> float:
    """The divergence of sizes cut off at `clip` from the same made even within each of so many levels.

    What is cut off counts as the last piece of the first, and is missing in the second. Pieces are of one width, as in
    the original: the histogram's own bins are ever finer towards zero, and what lies unevenly in them would count more
    than what is cut off.
    """
    pieces = np.arange(0, clip, piece)
    edges = np.unique(np.concatenate([pieces, [clip], np.arange(levels) * (clip / levels)]))
    mass = np.diff(sizes.below(edges))
    if not mass.any():
        return np.inf
    width = np.diff(edges) * (mass > 0)
    level = np.minimum(((edges[:-1] + edges[1:]) / 2 * (levels / clip)).astype(np.int64), levels - 1)
    mass_of, width_of = (np.bincount(level, weights=w, minlength=levels)[level] for w in (mass, width))
    even = np.where(mass > 0, mass_of * width / np.where(width_of > 0, width_of, 1), 0)
    mass[-1] += sizes.count.sum() - mass.sum()
    even[-1] = max(even[-1], 1)  # as if one value were there: an empty last piece would make one outlier an infinity
    p, q = mass[mass > 0] / mass.sum(), even[mass > 0] / even.sum()
    return float(np.sum(p * np.log(p / q)))


def _ends(values: Array) -> Range:
    """The smallest and the largest; NaN shows in both."""
    low, high = float(np.min(values)), float(np.max(values))
    if not np.isfinite([low, high]).all():
        raise ValueError("values that are not finite")
    return low, high


METHODS: Mapping[str, Callable[[int], Observer]] = {
    "average": lambda bits: MovingAverage(),
    "entropy": lambda bits: Entropy(bits=bits),
    "minmax": lambda bits: MinMax(),
    "mse": lambda bits: Mse(bits=bits),
    "percentile": lambda bits: Percentile(),
}
