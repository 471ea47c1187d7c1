"""Seams: a convolution and all that read what it makes, with nothing between them that mixes channels.

Across a seam a number a channel can be moved from one convolution to the next: a scale (equalize.py) or a shift
(absorb.py). What may stand between depends on which, so the caller says so; concatenations and shuffles may, as what
they do to channels is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import gcd
from typing import Any

import tf_keras

from keras_models.fixed_point import FixedPoint
from keras_models.graph import Step, outputs, steps
from keras_models.layers import DepthToSpace
from keras_models.lowered import Lowered
from keras_models.quantize import Quantize
from quant.places import CONVS, readers
from runtime.errors import BadOption

__all__ = ["Read", "Seam", "check_float", "in_axis", "kind", "out_axis", "seams"]

K = tf_keras.layers
WORDS = {K.Add: "an addition", K.Multiply: "a product"}
SILU = "SiLU"  # by whichever of its two names

# Why a number a channel cannot pass a layer, in words; None where it can.
Stops = Callable[[Any], str | None]


@dataclass(frozen=True)
class Read:
    """A convolution that reads another's channels: c of them is start + c % period of its input."""

    name: str
    start: int
    period: int


@dataclass(frozen=True)
class Seam:
    """A convolution, how many channels it makes, and every convolution that reads them."""

    maker: str
    channels: int
    reads: tuple[Read, ...]

    @property
    def period(self) -> int:
        """How many numbers cross the seam: channels c and c + period share one, as a shuffle puts them together."""
        return gcd(self.channels, *(read.period for read in self.reads))


class _Stopped(Exception):
    """Something on the way lets nothing pass; the message is the reason."""


@dataclass(frozen=True)
class _Graph:
    """What a walk along the channels of one convolution looks up."""

    after: dict[int, list[Step]]
    channels: dict[int, int]
    ends: list[int]
    stops: Stops

    def follow(self, tensor: int, start: int, period: int) -> Iterator[Read]:
        """Every convolution that channels reach, `period` of them from `start` on."""
        if tensor in self.ends:
            raise _Stopped("it is an output")
        for step in dict.fromkeys(self.after[tensor]):
            if isinstance(step.layer, CONVS):
                yield Read(step.name, start, period)
            elif isinstance(step.layer, K.Concatenate):
                for place, one in enumerate(step.reads):
                    if one == tensor:
                        before = sum(self.channels[other] for other in step.reads[:place])
                        yield from self.follow(step.makes, start + before, period)
            elif isinstance(step.layer, DepthToSpace):
                if period != self.channels[tensor]:
                    raise _Stopped(f"a shuffle of several tensors reads it: {step.name}")
                yield from self.follow(step.makes, 0, self.channels[step.makes])
            elif (reason := self.stops(step.layer)) is not None:
                raise _Stopped(f"{reason} reads it: {step.name}")
            else:
                yield from self.follow(step.makes, start, period)


def seams(model: Any, *, stops: Stops) -> tuple[list[Seam], dict[str, str]]:
    """The seams of a plain network in order, and why the other convolutions have none behind them."""
    walk = steps(model)
    channels = {step.makes: int(step.layer.output.shape[-1]) for step in walk}
    graph = _Graph(readers(walk), channels, outputs(model), stops)
    found, skipped = [], {}
    for step in walk:
        if not isinstance(step.layer, CONVS):
            continue
        if getattr(step.layer, "depth_multiplier", 1) != 1:
            skipped[step.name] = "it has several kernels a channel"
            continue
        count = channels[step.makes]
        try:
            found.append(Seam(step.name, count, tuple(graph.follow(step.makes, 0, count))))
        except _Stopped as stopped:
            skipped[step.name] = str(stopped)
    return found, skipped


def check_float(lowered: Lowered, what: str) -> None:
    """Raise an `Error` where something is rounded already: what crosses a seam would leave its grid."""
    if lowered.kernels or any(isinstance(step.layer, Quantize | FixedPoint) for step in steps(lowered.model)):
        raise BadOption(what, "a quantized network", "a float one: whatever is rounded already would leave its grid")


def kind(layer: Any) -> str:
    """What a layer is, in words."""
    if isinstance(layer, K.Activation):
        name = str(tf_keras.activations.serialize(layer.activation))
        return SILU if name in ("silu", "swish") else name
    return WORDS.get(type(layer), type(layer).__name__)


def out_axis(layer: Any) -> int:
    """The axis of a kernel along which the output channels lie."""
    return 3 if type(layer) is K.Conv2D else 2


def in_axis(layer: Any) -> int:
    """The axis of a kernel along which the input channels lie."""
    return 3 if type(layer) is K.Conv2DTranspose else 2
