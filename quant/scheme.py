"""How a network is made small: the schemes a recipe may name, one class each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from quant.tables import Between

__all__ = ["Bits", "FixedPoint", "Float", "PaperFixedPoint", "Ptq", "Qat", "Scheme", "scheme_clashes"]

Bits = Annotated[int, Between(2, 8)]
PartBits = Annotated[int, Between(0, 8)]
Room = Annotated[float, Between(1, 16)]
Samples = Annotated[int, Between(0, 10_000)]
MOST_PART_BITS = 6


@dataclass(frozen=True, kw_only=True)
class Float:
    """Nothing is quantized; without `fold` every BatchNorm is written as a layer of its own."""

    fold: bool = True


@dataclass(frozen=True, kw_only=True)
class Qat:
    """8 bits, by TFMOT; ranges start at what so many `samples` show (0: at TFMOT's own); `skip` stays float.

    Kernels may have fewer bits, `weight_bits`. With `fold` every BatchNorm is in the kernel from the beginning; else it
    trains on and goes there afterwards.
    """

    skip: tuple[str, ...] = ()
    samples: Samples = 16
    weight_bits: Bits = 8
    per_channel: bool = True
    fold: bool = False


@dataclass(frozen=True, kw_only=True)
class FixedPoint:
    """QKeras' whole multiples of a power of two; integer parts fitted to `samples`, or all `integer` if there are 0."""

    weight_bits: Bits = 8
    activation_bits: Bits = 8
    input_bits: Bits = 8
    output_bits: Bits | None = None
    integer: Annotated[int, Between(0, 8)] = 1
    scales: Literal["channel", "one"] = "channel"
    samples: Samples = 16


@dataclass(frozen=True, kw_only=True)
class PaperFixedPoint:
    """The fixed-point U-Net's quantizer (AskariHemmat et al., 2019): integer and fraction bits, the sign extra."""

    weights: tuple[PartBits, PartBits] = (0, 4)
    activations: tuple[PartBits, PartBits] = (6, 0)


@dataclass(frozen=True, kw_only=True)
class Ptq:
    """No training: ranges from `samples`; with a fine-tune quantization-aware training begins there (`still`: stays).

    Without `fold` every BatchNorm is a layer of its own; one that trains on goes into a kernel at the end. Before the
    ranges are sought, channels may be made alike (`equalize`) and high biases moved on (`absorb`); afterwards weights
    may learn to which side they are rounded (`round_up`), and means be put right (`correct`). `bits_of` has the kernels
    that differ from `weight_bits`, by their layers; `room` has the ranges that end further out than was found, and how
    many times, by the layers they are of: a light that few samples show is worth nothing to a mean, and is cut off.
    """

    method: Literal["average", "entropy", "minmax", "mse", "percentile"] = "mse"
    weights: Literal["minmax", "mse"] = "minmax"
    weight_bits: Bits = 8
    activation_bits: Bits = 8
    per_channel: bool = True
    symmetric: bool = False
    fold: bool = True
    bits_of: Mapping[str, Bits] = field(default_factory=dict)
    room: Mapping[str, Room] = field(default_factory=dict)
    equalize: bool = False
    absorb: bool = False
    round_up: bool = False
    correct: bool = False
    still: bool = False
    samples: Annotated[int, Between(1, 10_000)] = 128


Scheme = Float | Qat | FixedPoint | PaperFixedPoint | Ptq


def scheme_clashes(scheme: Scheme, *, trains: bool) -> Iterator[tuple[str, str, str]]:
    """What is wrong between keys that are each right: the key, the problem, what may stand there."""
    if isinstance(scheme, Ptq) and trains:
        kept = ("method", "weight_bits", "bits_of", "room", "per_channel", "fold", "still", "samples")
        if scheme != Ptq(**{name: getattr(scheme, name) for name in kept}):
            yield "fine_tune.steps", "set behind these grids", "0, or 8-bit activations and minmax weights, uncorrected"
    if isinstance(scheme, Ptq) and scheme.still and not trains:
        yield "scheme.still", "true where nothing trains", "it with fine_tune.steps"
    if isinstance(scheme, Ptq) and scheme.room and trains and not scheme.still:
        yield "scheme.room", "set for ranges that move on", "it with still = true"
    if isinstance(scheme, Ptq) and scheme.room and trains and not scheme.fold:
        yield "scheme.room", "set where norms train on", "it with fold = true"
    if isinstance(scheme, FixedPoint) and scheme.samples and scheme.integer != FixedPoint().integer:
        yield "scheme.integer", f"{scheme.integer} where samples tell it", "it with samples = 0"
    if isinstance(scheme, PaperFixedPoint):
        for key, pair in (("weights", scheme.weights), ("activations", scheme.activations)):
            if not sum(pair):
                yield f"scheme.{key}", "[0, 0]", "at least one bit in all: everything would become zero"
            if sum(pair) > MOST_PART_BITS:
                most = f"at most {MOST_PART_BITS} bits in all: the sign and the carry of rounding up make 8"
                yield f"scheme.{key}", str(list(pair)), most
