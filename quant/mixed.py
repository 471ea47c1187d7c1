"""Which kernel gets how many bits (Cai et al., 2020, in idea): the least error for the bytes, or for the work.

A forecast adds up what each kernel does alone (front.py). It is put right by swaps under the joint error, which costs
a run on a few samples, and a few candidates are judged by the figure that counts, those with one width for all kernels
among them: what is found is the best of the judged, and so never behind a uniform one that is allowed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, get_args

from keras_models.lowered import Lowered
from quant.calibrate import Samples, calibrated
from quant.correct import correct
from quant.front import Bits, Cost, Front, Limits, Point, front, limited, priced, taken
from quant.kernel_grids import Weights
from quant.ptq import quantized
from quant.rounding import activation_bits_of
from quant.sensitivity import Packing, Probe, Sensitivity, plain_float, sensitivity
from runtime.errors import BadOption

__all__ = ["Found", "maker", "search"]

Judge = Callable[[Lowered], float]

UNIFORM = (8, 4, 2)  # widths that others give to a whole network
FEWEST = 1 + len(UNIFORM)
SWAPS = 60  # runs on the few samples: a swap that helps is nearly always among the first that the forecast names


@dataclass(frozen=True)
class Found:
    """The best point of those judged, all of them in the order they were, the forecast, and float's own figure."""

    best: Point
    judged: tuple[Point, ...]
    front: Front
    reference: float | None

    @property
    def bits_of(self) -> Bits:
        """What `ptq` asks for."""
        return self.best.bits_of


def maker(
    model: Any,
    samples: Samples,
    *,
    method: str = "mse",
    weights: Weights = "mse",
    activation_bits: int = 8,
    input_bits: int = 8,
    output_bits: int | None = 8,
    activations_of: Mapping[str, int] | None = None,
    corrected: bool = False,
    **options: Any,
) -> Callable[[Bits], Lowered]:
    """What makes the quantized network of an assignment; ranges are found once. `options` are `quantized`'s.

    `corrected` puts every mean right; that goes through the samples once for each convolution.
    """
    lowered = plain_float(model)
    own = activations_of or {}
    bits = activation_bits_of(lowered, activations=activation_bits, inputs=input_bits, results=output_bits, own=own)
    ranges = calibrated(lowered, samples, method=method, bits_of=bits)
    options |= {"activation_bits": activation_bits, "input_bits": input_bits, "output_bits": output_bits}

    def make(bits_of: Bits) -> Lowered:
        small = quantized(lowered, ranges, weights=weights, bits_of=bits_of, activations_of=own, **options)
        return correct(small, lowered, samples) if corrected else small

    return make


def search(
    model: Any,
    samples: Samples,
    *,
    judge: Judge,
    make: Callable[[Bits], Lowered] | None = None,
    max_size: int | None = None,
    max_mac_bits: int | None = None,
    max_drop: float | None = None,
    by: Literal["bytes", "mac_bits"] | None = None,
    packing: Packing = "tflite",
    weigh: Callable[[Bits], int] | None = None,
    weights: Weights = "mse",
    measurements: int = 8,
    progress: Callable[[int, int], None] | None = None,
    tell: Callable[[Point], None] | None = None,
) -> Found:
    """The bits of each kernel of a float network within budgets, by no more than so many `measurements`.

    `judge` gives the figure of a network in dB, more is better. With `max_drop`, in dB below what it says of the float
    network, the cheapest that holds it is wanted, else the best. `max_size` is in bytes of what `weigh` weighs, such as
    a file: by default of the kernels, scales included; without it and `max_mac_bits`, `by` says what is cheap: bytes
    unless it does. `make` is by default what `maker` makes; `progress` counts what kernels were tried, `tell` gets each
    point that was judged.
    """
    if max_size is None and max_mac_bits is None and max_drop is None:
        raise BadOption("the budget", None, "max_size, max_mac_bits or max_drop")
    if measurements < FEWEST:
        raise BadOption(
            "measurements", measurements, f"{FEWEST} or more: every uniform width is judged, and what is found"
        )
    lowered = plain_float(model)
    cost = _cost(max_size, max_mac_bits, by, packing)
    probe = Probe(lowered, samples, weights=weights)
    weigh = weigh or (lambda bits_of: taken(probe.kernels, bits_of, packing=packing)[0])
    limits = limited(probe.kernels, weigh, cost=cost, max_size=max_size, max_mac_bits=max_mac_bits)
    found = sensitivity(probe, widths=cost.widths, progress=progress)
    forecast, make = front(found, cost=cost), make or maker(lowered, samples, weights=weights)
    hunt = _Hunt(probe, found, cost, limits, lambda bits_of: judge(make(bits_of)), measurements, tell)
    reference: float | None = None
    pick = partial(hunt.best, forecast)
    if max_drop is not None:
        reference = _finite(judge(lowered))
        pick = partial(hunt.cheapest, forecast, reference=reference, drop=max_drop)
    best = pick()
    # Limits are a forecast of bytes: what makes too large a file after all is looked for again among what is smaller.
    while max_size is not None and (weighs := weigh(best.bits_of)) > max_size:
        hunt.limits, hunt.left = hunt.limits.below(best, weighs=weighs, most=max_size), measurements
        best = pick()
    return Found(best, tuple(hunt.judged.values()), forecast, reference)


def _finite(figure: float) -> float:
    """The float network's own figure, if anything can lie below it."""
    if not math.isfinite(figure):
        raise ValueError(f"a drop below {figure} dB is none: judge by a figure that is finite for the float network")
    return figure


def _cost(
    max_size: int | None, max_mac_bits: int | None, by: Literal["bytes", "mac_bits"] | None, packing: Packing
) -> Cost:
    """What is to be saved: of two budgets each by its share."""
    if by not in (None, "bytes", "mac_bits"):
        raise BadOption("by", by, "'bytes' or 'mac_bits'")
    if by is not None and (max_size, max_mac_bits) != (None, None):
        raise BadOption("by", by, "it with max_drop alone: a budget says by itself what is to be saved")
    if packing not in get_args(Packing):
        raise BadOption("packing", packing, " or ".join(map(repr, get_args(Packing))))
    if max_size is not None and max_mac_bits is not None:
        return Cost(1 / max(max_size, 1), 1 / max(max_mac_bits, 1), packing)
    of_work = by == "mac_bits" or max_mac_bits is not None
    return Cost(0.0, 1.0, packing) if of_work else Cost(packing=packing)


@dataclass
class _Hunt:
    """Candidates refined and judged, none of them twice."""

    probe: Probe
    found: Sensitivity
    cost: Cost
    limits: Limits
    judge: Callable[[Bits], float]
    left: int
    tell: Callable[[Point], None] | None
    judged: dict[tuple[int, ...], Point] = field(default_factory=dict)

    def best(self, forecast: Front) -> Point:
        """The highest figure within the limits."""
        first = self._first(forecast)
        for point in (self._refined(first, self.limits.hold), *self._uniform(), first):
            self._judged(point)
        return max(self._allowed(), key=lambda point: (_figure(point), -self.cost.paid(point)))

    def cheapest(self, forecast: Front, *, reference: float, drop: float) -> Point:
        """The least cost of a figure that holds the drop: bisection between what does and what does not."""

        def holds(point: Point) -> bool:
            return _figure(point) >= reference - drop

        self._judged(self._refined(self._first(forecast), self.limits.hold))
        for point in self._uniform():
            if not holds(self._judged(point)):
                break  # fewer bits hold even less
        if not any(map(holds, self._allowed())):
            least = reference - max(map(_figure, self._allowed()))
            told = f"{math.ceil(least * 100) / 100:g} or more: what the most bits allowed lose against float"
            raise BadOption("max_drop", drop, told)
        paid = min(self.cost.paid(point) for point in self._allowed() if holds(point))
        # Of two budgets the forecast holds their sum: a point in its midst may be over one of them.
        points = [point for point in forecast.points if self.limits.hold(point)]
        low = sum(self.cost.paid(point) > paid for point in points) - 1  # cheaper ones come after it
        high = len(points)
        while high - low > 1 and self.left:
            middle = points[(low + high) // 2]
            tried = self._judged(self._refined(middle, partial(self._within, most=self.cost.paid(middle))))
            low, high = ((low + high) // 2, high) if holds(tried) else (low, (low + high) // 2)
        return min(filter(holds, self._allowed()), key=lambda point: (self.cost.paid(point), -_figure(point)))

    def _allowed(self) -> list[Point]:
        """What was judged and holds the limits, which may have been wider before."""
        return [point for point in self.judged.values() if self.limits.hold(point)]

    def _within(self, point: Point, *, most: float) -> bool:
        return self.cost.paid(point) <= most and self.limits.hold(point)

    def _first(self, forecast: Front) -> Point:
        """The dearest of the forecast within the limits."""
        return next(point for point in forecast.points if self.limits.hold(point))

    def _uniform(self) -> Iterator[Point]:
        """One width for all, the widest first, as far as the limits allow."""
        for bits in UNIFORM:
            if bits in self.cost.widths:
                point = priced(self.found, dict.fromkeys(self.found.kernels, bits), cost=self.cost)
                if self.limits.hold(point):
                    yield point

    def _judged(self, point: Point) -> Point:
        """The point with its figure and its joint error."""
        key = tuple(point.bits_of[name] for name in self.found.kernels)
        if key not in self.judged and self.left:
            self.left -= 1
            joint = self.found.decibel(self.probe.error(point.bits_of))
            figure = self.judge(point.bits_of)
            if math.isnan(figure):
                raise ValueError("NaN is no figure that networks can be compared by")
            self.judged[key] = replace(point, error_db=joint, figure=figure)
            if self.tell is not None:
                self.tell(self.judged[key])
        return self.judged.get(key, point)

    def _refined(self, point: Point, fits: Callable[[Point], bool]) -> Point:
        """Bits moved from one kernel to another, or left over given to one, while the joint error falls."""
        least, runs = self.probe.error(point.bits_of), SWAPS
        better: Point | None = point
        while better is not None:
            point, better = better, None
            for trial in self._swaps(point, fits)[:runs]:
                runs -= 1
                if (error := self.probe.error(trial.bits_of)) < least:
                    better, least = trial, error
                    break
        return point

    def _swaps(self, point: Point, fits: Callable[[Point], bool]) -> list[Point]:
        """The point with one kernel a step wider and none or another narrower, the most hopeful first."""
        wider, narrower = (self._steps(point, by) for by in (1, -1))
        trials: list[tuple[float, Point]] = []
        for up in wider:
            for down in (None, *narrower):
                if down is None or down[0] != up[0]:
                    moved = [up] if down is None else [up, down]
                    trial = self._moved(point, moved)
                    if fits(trial):
                        trials.append((sum(self._gain(point, *one) for one in moved), trial))
        return [trial for _, trial in sorted(trials, key=lambda one: one[0])]

    def _steps(self, point: Point, by: int) -> list[tuple[str, int]]:
        """Each kernel's next width in one direction, where there is one."""
        widths = sorted(self.cost.widths)
        places = {name: widths.index(bits) + by for name, bits in point.bits_of.items()}
        return [(name, widths[place]) for name, place in places.items() if 0 <= place < len(widths)]

    def _moved(self, point: Point, moved: list[tuple[str, int]]) -> Point:
        kernels, size, work = self.found.kernels, point.bytes, point.mac_bits
        for name, bits in moved:
            kernel, was = kernels[name], point.bits_of[name]
            packing = self.cost.packing
            size += kernel.size(bits, packing=packing) - kernel.size(was, packing=packing)
            work += kernel.mac_bits(bits) - kernel.mac_bits(was)
        return replace(point, bits_of={**point.bits_of, **dict(moved)}, bytes=size, mac_bits=work)

    def _gain(self, point: Point, name: str, bits: int) -> float:
        return self.found.errors[name][bits] - self.found.errors[name][point.bits_of[name]]


def _figure(point: Point) -> float:
    return -math.inf if point.figure is None else point.figure
