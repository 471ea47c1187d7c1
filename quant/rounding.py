"""Where a network of the plain form is rounded so that engines run it in whole numbers, and to how many bits.

As TFMOT does: behind the input, and behind every layer that makes new values. A ReLU that alone reads a layer is part
of it, since engines saturate for nothing; a layer that only moves values leaves them on their grid. What nothing but a
concatenation reads is rounded on the concatenation's grid at once, and not on one of its own before.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import tf_keras

from keras_models.graph import Step, outputs, steps
from keras_models.grid import SMALLEST, Grid
from keras_models.hoist import plain_relu
from keras_models.lowered import Lowered
from quant.apart import kind_of
from quant.places import moves, readers
from runtime.errors import BadOption, UnknownName

__all__ = [
    "FULL",
    "activation_bits_of",
    "activation_grid",
    "check_bits",
    "gate_grid",
    "is_gate",
    "kernel_bits",
    "rounded",
]

K = tf_keras.layers
FULL = range(2, 9)  # what a Grid and both writers carry
LEAST = float(SMALLEST)  # a step below it some engines take for zero


def rounded(lowered: Lowered) -> dict[int, str]:
    """The tensors that are rounded, in the order they are made, each with the layer whose grid it is rounded on.

    That is its own maker but for the parts of a concatenation, which lie on the grid of the whole.
    """
    walk, ends = steps(lowered.model), outputs(lowered.model)
    after, positive = readers(walk), _positive(walk)
    whole: dict[int, str] = {}
    bent: set[int] = set()
    for step in reversed(walk):
        if len(after[step.makes]) == 1 and step.makes not in ends and step.reads:
            (reader,) = after[step.makes]
            if plain_relu(reader.layer):
                bent.add(step.makes)
            elif _joins(step, reader, whole, positive):
                whole[step.makes] = whole.get(reader.makes, reader.name)
    return {s.makes: whole.get(s.makes, s.name) for s in walk if not moves(s.layer) and s.makes not in bent}


def _joins(step: Step, reader: Step, whole: Mapping[int, str], positive: set[int]) -> bool:
    """Whether a step's only reader puts its output on the grid of a concatenation."""
    if is_gate(step.layer):
        return False  # it has a grid of its own, wherever it leads
    if isinstance(reader.layer, K.Concatenate):
        # A ReLU is free in front of a grid that begins at zero; on any other it would be work.
        return not plain_relu(step.layer) or reader.makes in positive
    return moves(reader.layer) and reader.makes in whole


def _positive(walk: list[Step]) -> set[int]:
    """The tensors that cannot be below zero, whatever goes in."""
    found: set[int] = set()
    keeps = (K.Concatenate, K.Add, K.Multiply, K.UpSampling2D, K.GlobalAveragePooling2D)
    for step in walk:
        carried = moves(step.layer) or isinstance(step.layer, keeps)
        if plain_relu(step.layer) or is_gate(step.layer) or (carried and found.issuperset(step.reads)):
            found.add(step.makes)
    return found


def is_gate(layer: Any) -> bool:
    """Whether it is a sigmoid, whose range is known."""
    return kind_of(layer) == "sigmoid"


def gate_grid(bits: int) -> Grid:
    """Steps of 1/256 from 0, the one grid of LiteRT's integer sigmoid; of fewer bits, coarser ones."""
    return Grid(np.array(2.0**-bits), bits=bits)


def activation_grid(low: float, high: float, *, bits: int, symmetric: bool = False) -> Grid:
    """The grid of a range, with zero on it; of a range too small for one, steps that hold zero and little else."""
    low, high = min(low, 0.0), max(high, 0.0)
    if high - low < LEAST * (1 << bits):
        return Grid.from_range(0.0, 1.0, bits=bits)
    if symmetric and low < 0:
        top = (1 << (bits - 1)) - 1
        return Grid(np.array(max(-low, high) / top), bits=bits, signed=True)
    return Grid.from_range(low, high, bits=bits)


def activation_bits_of(
    lowered: Lowered, *, activations: int, inputs: int, results: int | None, own: Mapping[str, int]
) -> dict[str, int]:
    """The bits of every grid of activations, by the layer it belongs to; a result that stays in float has none."""
    check_bits(activations=activations, input=inputs, **own)
    if results is not None:
        check_bits(output=results)
    homes, ends = rounded(lowered), _results(lowered)
    for name in own:
        if name not in homes.values():
            raise UnknownName("layer whose output has a grid", name, dict.fromkeys(homes.values()))
    bits: dict[str, int] = {}
    for step in steps(lowered.model):
        if homes.get(step.makes) == step.name:
            default = inputs if not step.reads else results if step.makes in ends else activations
            if (found := own.get(step.name, default)) is not None:
                bits[step.name] = found
    return bits


def _results(lowered: Lowered) -> set[int]:
    """The network's outputs, and what is only moved on the way to them."""
    found, walk = set(outputs(lowered.model)), steps(lowered.model)
    after = readers(walk)
    for step in reversed(walk):
        behind = after[step.makes]
        if behind and all(moves(s.layer) and s.makes in found for s in behind):
            found.add(step.makes)
    return found


def kernel_bits(names: Collection[str], *, bits: int, own: Mapping[str, int | None]) -> dict[str, int | None]:
    """The bits of the kernels of those layers: their `own`, None for one left in float, or else so many."""
    for name in own:
        if name not in names:
            raise UnknownName("layer with a kernel", name, names)
    check_bits(weights=bits, **{name: width for name, width in own.items() if width is not None})
    return {name: own.get(name, bits) for name in names}


def check_bits(**bits: int | None) -> None:
    """Raise `BadOption` for what no grid has."""
    for what, number in bits.items():
        if isinstance(number, bool) or number not in FULL:
            wide = "; no grid here holds 16 bits, and no file claims to" if number == 16 else ""
            raise BadOption(f"bits of {what}", number, f"a whole number from {FULL[0]} to {FULL[-1]}{wide}")
