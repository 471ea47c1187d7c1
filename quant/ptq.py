"""Post-training quantization (Jacob et al., 2018; Nagel et al., 2021): a float network and samples, no training.

Three steps, each of them a function: the plain form, the ranges its values have on samples, and the same network with
its kernels on grids and a Quantize wherever values are rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tf_keras

from keras_models.fold import CONVS, plain
from keras_models.graph import Step, steps
from keras_models.grid import Grid
from keras_models.lowered import Lowered
from keras_models.quantize import Quantize
from keras_models.rewrite import copy, rebuild
from quant.apart import apart
from quant.calibrate import Ranges, Samples, calibrated
from quant.kernel_grids import Weights, kernel_grid
from quant.observe import Observer
from quant.places import moves
from quant.rounding import activation_bits_of, activation_grid, gate_grid, is_gate, kernel_bits, rounded
from runtime.errors import BadOption

__all__ = ["ptq", "quantized"]

K = tf_keras.layers


def ptq(
    model: Any,
    samples: Samples,
    *,
    method: str | Callable[[int], Observer] = "mse",
    activation_bits: int = 8,
    input_bits: int = 8,
    output_bits: int | None = 8,
    activations_of: Mapping[str, int] | None = None,
    room: Mapping[str, float] | None = None,
    progress: Callable[[int], None] | None = None,
    tell: Callable[[str], None] | None = None,
    **options: Any,
) -> Lowered:
    """A float network, Keras' or in the plain form, quantized by what samples show; `options` are `quantized`'s.

    Ranges are `room` times as wide as was found, by layer. `tell` gets a sentence for every layer that never moved on
    the samples.
    """
    lowered = apart(model if isinstance(model, Lowered) else plain(model))
    widths: dict[str, Any] = {"activation_bits": activation_bits, "input_bits": input_bits}
    widths |= {"output_bits": output_bits, "activations_of": activations_of}
    own = activation_bits_of(
        lowered, activations=activation_bits, inputs=input_bits, results=output_bits, own=activations_of or {}
    )
    ranges = calibrated(lowered, samples, method=method, bits_of=own, room=room, progress=progress)
    if tell is not None:
        for warning in ranges.warnings:
            tell(warning)
    return quantized(lowered, ranges, **widths, **options)


def quantized(
    lowered: Lowered,
    ranges: Ranges,
    *,
    weight_bits: int = 8,
    activation_bits: int = 8,
    input_bits: int = 8,
    output_bits: int | None = 8,
    per_channel: bool = True,
    symmetric: bool = False,
    weights: Weights = "minmax",
    bits_of: Mapping[str, int | None] | None = None,
    activations_of: Mapping[str, int] | None = None,
) -> Lowered:
    """The network on grids: kernels of `weight_bits`, values of `activation_bits` in the ranges given.

    `bits_of` names kernels with bits of their own, None for one left in float; `activations_of` does so for what comes
    out of a layer. `symmetric` puts the zero of every grid that goes below it in the middle. The result stays in float,
    and with it the last layer's work, where `output_bits` is None.
    """
    if lowered.kernels or any(isinstance(step.layer, Quantize) for step in steps(lowered.model)):
        raise BadOption("the network", "quantized already", "a float one")
    lowered = apart(lowered)
    walk = steps(lowered.model)
    with_kernel = [step.name for step in walk if isinstance(step.layer, CONVS)]
    width_of = kernel_bits(with_kernel, bits=weight_bits, own=bits_of or {})
    bits = activation_bits_of(
        lowered, activations=activation_bits, inputs=input_bits, results=output_bits, own=activations_of or {}
    )
    lies = _grids(walk, _places(lowered, ranges, bits, symmetric=symmetric))
    kernels = {
        step.name: kernel_grid(step.layer, bits=own, per_channel=per_channel, weights=weights, x=lies[step.reads[0]])
        for step in walk
        if (own := width_of.get(step.name)) is not None
    }
    return Lowered(_on_grids(lowered.model, lies, kernels), kernels).check()


def _on_grids(model: Any, lies: Mapping[int, Grid | None], kernels: Mapping[str, Grid]) -> Any:
    """The model with its kernels on their grids, and a Quantize wherever values do not lie on theirs by themselves."""
    inputs = {step.makes: step.name for step in steps(model) if not step.reads}
    entered: dict[int, Any] = {}

    def enter(tensor: int, x: Any) -> Any:
        if tensor in inputs and tensor not in entered:
            entered[tensor] = _rounded(x, inputs[tensor], lies[tensor])
        return entered.get(tensor, x)

    def make(step: Step, reads: list[Any]) -> Any:
        made = copy(step.layer, [enter(tensor, x) for tensor, x in zip(step.reads, reads, strict=True)])
        grid = lies[step.makes]
        if (own := kernels.get(step.name)) is not None:
            kernel, *bias = step.layer.get_weights()
            made.node.layer.set_weights([own.dequantize(own.quantize(kernel)), *bias])
        only_moved = moves(step.layer) or isinstance(step.layer, K.Concatenate)
        lies_there = only_moved and {lies[tensor] for tensor in step.reads} == {grid}
        return made if lies_there else _rounded(made, step.name, grid)

    return rebuild(model, make)


def _rounded(x: Any, name: str, grid: Grid | None) -> Any:
    return x if grid is None else Quantize(grid, name=f"{name}_grid")(x)


def _places(lowered: Lowered, ranges: Ranges, bits: Mapping[str, int], *, symmetric: bool) -> dict[int, Grid]:
    """The grid of every tensor that is rounded."""
    layers = {step.name: step.layer for step in steps(lowered.model)}

    def grid(name: str) -> Grid:
        if is_gate(layers[name]):
            return gate_grid(bits[name])
        if name not in ranges.ends:
            raise BadOption("ranges", f"without {name!r}", "those that were calibrated on this very network")
        return activation_grid(*ranges.ends[name], bits=bits[name], symmetric=symmetric)

    homes = rounded(lowered)
    made = {name: grid(name) for name in dict.fromkeys(homes.values()) if name in bits}
    return {tensor: made[name] for tensor, name in homes.items() if name in made}


def _grids(walk: list[Step], places: Mapping[int, Grid]) -> dict[int, Grid | None]:
    """The grid of every tensor, of those that are only moved too; None where there are sums."""
    lies: dict[int, Grid | None] = {}
    for step in walk:
        lies[step.makes] = lies[step.reads[0]] if moves(step.layer) else places.get(step.makes)
    return lies
