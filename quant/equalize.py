"""Cross-layer equalization (Nagel, van Baalen, Blankevoort and Welling, 2019): channels of one range for one scale.

ReLU, LeakyReLU and PReLU are positively homogeneous, f(s x) = s f(x), and so is all that moves or averages a channel.
A channel made s times smaller and read s times larger is therefore the same channel, and s may be such that no
channel of either kernel is lost beneath the step of its largest: s = sqrt(r1 r2) / r2 with the ranges r, the largest
weights. Depthwise convolutions in a row with others read a channel of their own alone, so a chain of any length has
a closed form: every range becomes the geometric mean of all.

The published depth networks were equalized with "threshold .5, 2 iterations": the defaults of TinyNeuralNetwork
(Alibaba), where the threshold is absolute. A channel with r1 + r2 below it stays as it is, lest nearly dead ones be
blown up. Wide layers have small weights and may be held back whole: the report counts them, and 0 holds back none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tf_keras

from keras_models.graph import steps
from keras_models.hoist import plain_relu
from keras_models.layers import AlignedUpsample
from keras_models.lowered import Lowered
from keras_models.rewrite import reweighted
from quant.places import CONVS
from quant.seams import Read, Seam, check_float, in_axis, kind, out_axis, seams
from runtime.errors import BadOption

__all__ = ["Chain", "Equalized", "chains", "equalize", "scales"]

K = tf_keras.layers
Array = np.ndarray[Any, Any]

NOISE = np.finfo(np.float32).eps  # a channel this much smaller than its layer's largest is but rounding: it is dead
SETTLED = 1e-3  # a thousandth of a range is an eighth of an 8-bit step: to go on would change no level to speak of
MOST = 100  # rounds until settled: deep networks need some ten


@dataclass(frozen=True)
class Chain:
    """A convolution, depthwise ones that read it one after the other, and what reads the last of them."""

    makers: tuple[str, ...]
    reads: tuple[Read, ...]
    period: int  # how many scales there are: less than channels where a shuffle lies on the way


@dataclass(frozen=True)
class Equalized:
    """What equalization did: scales that convolutions were divided by, and why others were left alone."""

    chains: tuple[Chain, ...]
    scales: Mapping[str, Array]  # by convolution, one a channel: what it made before over what it makes now
    skipped: Mapping[str, str]  # why nothing crosses from a convolution to its readers
    dead: Mapping[str, tuple[int, ...]]  # by a chain's first: channels made or read somewhere without a weight, scale 1
    held: Mapping[str, int]  # by a chain's first: how many channels the threshold kept as they are
    rounds: int


def scales(ranges: Array, *, threshold: float = 0.0) -> Array:
    """The divisors that give the n ranges of each channel's chain one size: (n, channels) -> (n - 1, channels).

    A chain with a range of zero, or with ranges of less than half the threshold on average, has scales of 1.
    """
    alive = (ranges > 0).all(axis=0) & ~_below(ranges, threshold)
    size = np.log(np.where(alive, ranges, 1.0))
    return np.exp(np.cumsum(size - size.mean(axis=0), axis=0)[:-1])


def equalize(lowered: Lowered, *, iterations: int | None = 2, threshold: float = 0.5) -> tuple[Lowered, Equalized]:
    """The same function with channels of like ranges; `iterations` None goes on until nothing moves any more."""
    check_float(lowered, "equalize")
    _check(iterations, threshold)
    found, skipped = chains(lowered.model)
    kernels = _Kernels(lowered.model)
    total = {name: np.ones(kernels.channels(name)) for chain in found for name in chain.makers}
    rounds, moved = 0, np.inf
    while rounds < (MOST if iterations is None else iterations) and moved > SETTLED:
        rounds, moved = rounds + 1, 0.0
        for chain in found:
            step = scales(kernels.ranges(chain), threshold=threshold)
            kernels.divide(chain, step)
            for name, own in zip(chain.makers, step, strict=True):
                total[name] *= _tiled(own, total[name].size)
            moved = max(moved, float(np.abs(np.log(step)).max()))
    ranges = {chain.makers[0]: kernels.ranges(chain) for chain in found}
    report = Equalized(tuple(found), total, skipped, _dead(ranges), _held(ranges, total, threshold), rounds)
    changed = {name for chain in found for name in (*chain.makers, *(read.name for read in chain.reads))}
    return Lowered(reweighted(lowered.model, kernels.weights(changed))), report


def chains(model: Any) -> tuple[list[Chain], dict[str, str]]:
    """Every chain of a plain network in order, and why the convolutions that begin none do not."""
    found, skipped = seams(model, stops=_stops)
    depthwise = {step.name for step in steps(model) if type(step.layer) is K.DepthwiseConv2D}
    behind = {seam.maker: seam for seam in found}
    made: list[Chain] = []
    inner: set[str] = set()
    for seam in found:
        if seam.maker in inner:
            continue
        links = [seam]
        while (name := _only(links[-1])) in depthwise & behind.keys() and behind[name].channels == seam.channels:
            links.append(behind[name])
        inner |= {link.maker for link in links}
        made.append(Chain(tuple(link.maker for link in links), links[-1].reads, links[-1].period))
    return made, skipped


def _only(seam: Seam) -> str:
    """The convolution that reads a seam's channels as they were made, if it is the only one; none is named ""."""
    whole = len(seam.reads) == 1 and seam.reads[0].start == 0 and seam.reads[0].period == seam.channels
    return seam.reads[0].name if whole else ""


def _stops(layer: Any) -> str | None:
    """What keeps a scale from passing a layer, in words."""
    match layer:
        case K.ReLU():
            homogeneous = plain_relu(layer) or (layer.max_value is None and not layer.threshold)
            return None if homogeneous else "a ReLU with a threshold or a largest value"
        case K.Activation():
            return None if kind(layer) in ("linear", "relu") else kind(layer)
        case K.LeakyReLU() | K.PReLU() | K.MaxPooling2D() | K.UpSampling2D() | K.GlobalAveragePooling2D():
            return None
        case AlignedUpsample():
            return None
    return kind(layer)


class _Kernels:
    """The weights of every convolution in float64, so that many rounds cost no accuracy; changed as rounds go."""

    def __init__(self, model: Any) -> None:
        self.layers = {step.name: step.layer for step in steps(model) if isinstance(step.layer, CONVS)}
        self.found = {n: [w.astype(np.float64) for w in layer.get_weights()] for n, layer in self.layers.items()}

    def channels(self, name: str) -> int:
        """How many channels a convolution makes."""
        return self.found[name][0].shape[out_axis(self.layers[name])]

    def ranges(self, chain: Chain) -> Array:
        """The largest weight of each channel: in every maker, then in whatever reads the last of them."""
        made = [self._largest(name, out_axis(self.layers[name]), chain.period) for name in chain.makers]
        read = [self._largest(read.name, in_axis(self.layers[read.name]), chain.period, read) for read in chain.reads]
        return np.stack([*made, np.max(read, axis=0)])

    def _largest(self, name: str, axis: int, period: int, read: Read | None = None) -> Array:
        kernel = np.abs(self.found[name][0])
        size = kernel.max(axis=tuple(i for i in range(4) if i != axis), initial=0)
        size[size <= NOISE * size.max()] = 0
        own = size[read.start : read.start + read.period] if read else size
        return own.reshape(-1, period).max(axis=0)

    def divide(self, chain: Chain, by: Array) -> None:
        """Move scales down a chain: each maker's channels divided by its own, what they are read with multiplied."""
        for name, own, before in zip(chain.makers, by, [None, *by[:-1]], strict=True):
            gain = 1 / own if before is None else before / own
            kernel, *bias = self.found[name]
            _scale(kernel, out_axis(self.layers[name]), gain)
            if bias:
                _scale(bias[0], 0, 1 / own)
        for read in chain.reads:
            axis = in_axis(self.layers[read.name])
            _scale(self.found[read.name][0], axis, by[-1], start=read.start, count=read.period)

    def weights(self, names: Iterable[str]) -> dict[str, list[Array]]:
        """The weights of some of them, in float32."""
        return {name: [weight.astype(np.float32) for weight in self.found[name]] for name in names}


def _scale(weight: Array, axis: int, gain: Array, *, start: int = 0, count: int | None = None) -> None:
    """Multiply some channels along an axis, in place; gains repeat where there are fewer."""
    part = np.moveaxis(weight, axis, -1)[..., start : None if count is None else start + count]
    part *= _tiled(gain, part.shape[-1])


def _tiled(values: Array, count: int) -> Array:
    return np.tile(values, count // values.size)


def _dead(ranges: Mapping[str, Array]) -> dict[str, tuple[int, ...]]:
    dead = {name: np.flatnonzero((found == 0).any(axis=0)) for name, found in ranges.items()}
    return {name: tuple(int(i) for i in channels) for name, channels in dead.items() if channels.size}


def _held(ranges: Mapping[str, Array], total: Mapping[str, Array], threshold: float) -> dict[str, int]:
    found = {}
    for name, sizes in ranges.items():
        never = total[name][: sizes.shape[1]] == 1  # scaling itself may bring a channel below the threshold
        found[name] = int((never & (sizes > 0).all(axis=0) & _below(sizes, threshold)).sum())
    return {name: count for name, count in found.items() if count}


def _below(ranges: Array, threshold: float) -> Array:
    """Which channels are below the threshold: r1 + r2 of a pair, twice the mean of a longer chain."""
    return 2 * ranges.mean(axis=0) < threshold


def _check(iterations: int | None, threshold: float) -> None:
    """Raise an `Error` unless the options make sense."""
    if iterations is not None and iterations < 0:
        raise BadOption("iterations", iterations, "0 or more, or none at all to go on until nothing moves")
    if not (np.isfinite(threshold) and threshold >= 0):
        raise BadOption("threshold", threshold, "0 or more")
