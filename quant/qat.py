"""Quantization-aware training in 8 bits (Jacob et al., 2018), by TFMOT: fake quantizers around every layer.

Layers may be left in float. What one of them puts out is not rounded there, but where an integer layer reads it: an
activation, a concatenation or a way up rounds its own result as ever; in front of whatever multiplies stands a `Seam`
with a quantizer, or the work behind it would be in float too. An input is rounded for integer layers alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from copy import copy as copy_of
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import tensorflow_model_optimization as tfmot
import tf_keras

from keras_models.fold import plain
from keras_models.graph import Step, steps
from keras_models.layers import AlignedUpsample, DepthToSpace
from keras_models.rewrite import copy, rebuild
from quant.places import ACTIVATIONS, moves, readers
from quant.qat_configs import FixedRange, KernelAlone, Kernels, Rounded, RoundedGate, Seam, Unquantized
from quant.rounding import kernel_bits
from runtime.errors import UnknownName

__all__ = ["activation_ranges", "named_by", "quantization_aware"]

K = tf_keras.layers
CONVS = (K.Conv2D, K.DepthwiseConv2D)
AT_ONCE = 16  # samples in memory, with what all layers make of them


def quantization_aware(
    model: Any,
    *,
    samples: Any = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    skip: tuple[str, ...] = (),
    weight_bits: int = 8,
    bits_of: Mapping[str, int] | None = None,
    per_channel: bool = True,
    fold: bool = False,
    still: bool = False,
) -> Any:
    """A copy of a float network, its weights included, that trains as if it ran in 8 bits.

    A kernel has one scale a channel (`per_channel`) or one in all, and fewer bits if `weight_bits` says so, or
    `bits_of` for its layer. Each BatchNorm behind a convolution trains on and goes into it when lowered; with `fold` it
    is in the kernel from the beginning, and Dropout is left out.

    TFMOT starts every activation range at -6 to 6 and moves it by a thousandth a step. With `samples` the ranges
    begin where the float network's own activations lie on them, or where `ranges` has them, by layer, and if `still`
    they stay there: a moving one ends at the mean of what batches reach, and cuts off what few reach. Layers that
    `skip` names stay in float; `out*` is every layer whose name begins so.
    """
    model = plain(model).model if fold else model
    floats = named_by(skip, model)
    model = _silu_apart(model)
    inner = _inner_relus(model, floats)
    bare = _bare(model, inner, floats)
    model = _relu_inside(model, inner)
    loose = floats | {inner[relu] for relu in inner.keys() & floats}
    model = _seamed(model, floats, loose)
    rules = _rules(model, floats) | {name: KernelAlone(per_channel=per_channel) for name in bare}

    def wrap(layer: Any) -> Any:
        if type(layer) is Seam and layer.name not in rules:
            return Seam.from_config(layer.get_config())
        return tfmot.quantization.keras.quantize_annotate_layer(layer, rules.get(layer.name))

    annotated = tf_keras.models.clone_model(model, clone_function=wrap)
    aware = tfmot.quantization.keras.quantize_apply(annotated, scheme=Kernels(per_channel=per_channel))
    _set_bits(aware, weight_bits, bits_of or {})
    for relu, conv in inner.items():
        aware.get_layer(f"quant_{conv}").carries = relu  # under which name the float network puts out the same
    if samples is not None:
        _start_ranges(aware, model, samples, ranges or {})
    if still:
        _hold_ranges(aware)
    return aware


def _set_bits(aware: Any, bits: int, own: Mapping[str, int]) -> None:
    """Give every kernel its bits: TFMOT's rules know 8 alone, its quantizers any number, but layers share them.

    And its range, which TFMOT leaves at -6 to 6 until a first step is trained.
    """
    wrappers = {w.name.removeprefix("quant_"): w for w in aware.layers if getattr(w, "_weight_vars", ())}
    for name, width in kernel_bits(wrappers, bits=bits, own=own).items():
        for at, (weight, quantizer, ranges) in enumerate(wrappers[name]._weight_vars):
            its_own = copy_of(quantizer)
            its_own.num_bits = width
            its_own(weight, training=True, weights=ranges)
            wrappers[name]._weight_vars[at] = weight, its_own, ranges


def named_by(patterns: tuple[str, ...], model: Any) -> set[str]:
    """The layers that the patterns name, a SiLU as the sigmoid and the product it becomes; each must name one."""
    walk = [step for step in steps(model) if step.reads]
    names = [step.name for step in walk]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            likely = get_close_matches(pattern, names, n=5) or [s.name for s in walk if isinstance(s.layer, CONVS)]
            raise UnknownName("layer to skip", pattern, likely)
    named = {name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)}
    return named | {_gate(step) for step in walk if step.name in named and _is_silu(step.layer)}


def _rules(model: Any, floats: set[str]) -> dict[str, Any]:
    """What TFMOT has to be told, by layer, but for kernels."""
    walk = steps(model)
    makers, after = {step.makes: step for step in walk}, readers(walk)
    found: dict[str, Any] = {}
    for step in walk:
        if step.name in floats:
            found[step.name] = Unquantized()
        elif (rule := _rule(step, makers, after, floats)) is not None:
            found[step.name] = rule
    return found


def _rule(step: Step, makers: dict[int, Step], after: dict[int, list[Step]], floats: set[str]) -> Any:
    """What TFMOT has to be told about a layer; None where it knows."""
    match step.layer:
        case DepthToSpace():
            return Unquantized()  # it moves values: its output lies on the grid of its input
        case K.Activation() as layer if _named(layer) == "sigmoid":
            return RoundedGate()
        case K.Multiply() | AlignedUpsample():
            return Rounded()
        case Seam() if makers[step.reads[0]].reads:
            return Rounded()  # the others, right behind an input, leave it as it is
        case K.BatchNormalization() if not _folds(step, makers, after):
            return Rounded()
        case K.BatchNormalization() if makers[step.reads[0]].name in floats:
            # TFMOT rounds behind the pair, or behind the activation that follows it, but only if it may round both.
            behind = after[step.makes]
            waits = len(behind) == 1 and isinstance(behind[0].layer, ACTIVATIONS) and behind[0].name not in floats
            return Unquantized() if waits else Rounded()
    return None


def _folds(step: Step, makers: dict[int, Step], after: dict[int, list[Step]]) -> bool:
    """Whether a step is a norm that goes into the convolution in front of it."""
    maker = makers[step.reads[0]] if step.reads else step
    is_norm = isinstance(step.layer, K.BatchNormalization)
    return is_norm and _is_linear_conv(maker.layer) and len(after[maker.makes]) == 1


def _is_linear_conv(layer: Any) -> bool:
    return isinstance(layer, CONVS) and _named(layer) == "linear"


def _named(layer: Any) -> str:
    return str(tf_keras.activations.serialize(layer.activation))


def _is_silu(layer: Any) -> bool:
    return isinstance(layer, K.Activation) and _named(layer) in ("silu", "swish")


def _gate(step: Step) -> str:
    return f"{step.name}_gate"


def _silu_apart(model: Any) -> Any:
    """The same network with each SiLU as the sigmoid and the product it is, so that both are rounded."""

    def make(step: Step, reads: list[Any]) -> Any:
        if not _is_silu(step.layer):
            return copy(step.layer, reads)
        gate = K.Activation("sigmoid", name=_gate(step))(reads[0])
        return K.Multiply(name=step.name)([reads[0], gate])

    return rebuild(model, make)


def _inner_relus(model: Any, floats: set[str]) -> dict[str, str]:
    """Each ReLU that goes inside the convolution in front of it, and that convolution: not one left in float."""
    walk = steps(model)
    count = Counter(tensor for step in walk for tensor in step.reads)
    convs = {step.makes: step.name for step in walk if isinstance(step.layer, CONVS) and step.name not in floats}
    return {
        step.name: convs[step.reads[0]]
        for step in walk
        if type(step.layer) is K.ReLU and step.reads[0] in convs and count[step.reads[0]] == 1
    }


def _bare(model: Any, inner: dict[str, str], floats: set[str]) -> set[str]:
    """The integer convolutions that hand on their sums unrounded, to a ReLU or a norm of their own left in float."""
    walk = steps(model)
    makers, after = {step.makes: step for step in walk}, readers(walk)
    norms = {makers[s.reads[0]].name for s in walk if s.name in floats and _folds(s, makers, after)}
    return (norms | {inner[relu] for relu in inner.keys() & floats}) - floats


def _relu_inside(model: Any, inner: dict[str, str]) -> Any:
    """The same network with each of those ReLUs as its convolution's own activation.

    TFMOT 0.8 takes a convolution in front of a ReLU layer for an addition, and leaves its kernel in float.
    """
    convs = set(inner.values())

    def make(step: Step, reads: list[Any]) -> Any:
        if step.name in convs:
            return copy(step.layer, reads, activation="relu")
        return reads[0] if step.name in inner else copy(step.layer, reads)

    return rebuild(model, make)


def _seamed(model: Any, floats: set[str], loose: set[str]) -> Any:
    """The same network with a Seam wherever a layer that multiplies in integers reads what the `loose` ones put out.

    An input that a layer in float reads has a Seam behind it too, an open one: TFMOT rounds every input that a layer
    it knows reads itself.
    """
    walk = steps(model)
    makers, after = {step.makes: step for step in walk}, readers(walk)
    unrounded: set[int] = set()
    for step in walk:
        carried = moves(step.layer) and not isinstance(step.layer, K.UpSampling2D) and step.reads[0] in unrounded
        opened = not step.reads and any(reader.name in floats for reader in after[step.makes])
        if carried or opened or step.name in loose:
            unrounded.add(step.makes)
    seams: dict[str, Any] = {}

    def seam(name: str, x: Any) -> Any:
        if name not in seams:
            seams[name] = Seam(name=name)(x)
        return seams[name]

    def read(tensor: int, x: Any, *, rounded: bool) -> Any:
        name = makers[tensor].name
        if tensor in unrounded and not makers[tensor].reads:
            x = seam(f"{name}_open", x)
        return seam(f"{name}_rounded", x) if tensor in unrounded and rounded else x

    def make(step: Step, reads: list[Any]) -> Any:
        rounds_itself = moves(step.layer) or isinstance(step.layer, (*ACTIVATIONS, K.Concatenate))
        rounded = step.name not in floats and not rounds_itself and not _folds(step, makers, after)
        return copy(step.layer, [read(t, x, rounded=rounded) for t, x in zip(step.reads, reads, strict=True)])

    return rebuild(model, make) if unrounded else model


def _start_ranges(aware: Any, model: Any, samples: Any, known: Mapping[str, tuple[float, float]]) -> None:
    """Set each activation range to the known one, or to what the float network's layer of that name puts out."""
    wrapped = {wrapper.name for wrapper in aware.layers}
    seen = _ends(model, samples, of={layer.name for layer in model.layers if f"quant_{layer.name}" in wrapped})
    for wrapper in aware.layers:
        name = wrapper.name.removeprefix("quant_")
        if type(wrapper).__name__ == "QuantizeLayer":
            _assign(wrapper.quantizer_vars, known.get(model.input_names[0]) or (np.min(samples), np.max(samples)))
        elif name in seen and not isinstance(wrapper.quantize_config, RoundedGate):
            for ranges in activation_ranges(wrapper):
                _assign(ranges, known.get(getattr(wrapper, "carries", name)) or seen[name])


def _ends(model: Any, samples: Any, *, of: set[str]) -> dict[str, tuple[float, float]]:
    """The least and the greatest that those layers put out."""
    probe = tf_keras.Model(model.inputs, {layer.name: layer.output for layer in model.layers if layer.name in of})
    found: dict[str, tuple[float, float]] = {}
    for first in range(0, len(samples), AT_ONCE):
        for name, values in probe(samples[first : first + AT_ONCE]).items():
            low, high = float(np.min(values)), float(np.max(values))
            least, most = found.get(name, (low, high))
            found[name] = min(least, low), max(most, high)
    return found


def _hold_ranges(aware: Any) -> None:
    """Leave every activation range where it is, whatever is seen."""
    held = FixedRange()
    for wrapper in aware.layers:
        if type(wrapper).__name__ == "QuantizeLayer":
            wrapper.quantizer = held
        elif getattr(wrapper, "_output_quantizers", None):
            wrapper._output_quantizers = [held]
        for activation in getattr(wrapper, "_quantize_activations", ()):
            activation.quantizer = held


def activation_ranges(wrapper: Any) -> list[dict[str, Any]]:
    """The range variables of what a wrapped layer puts out: of its output, or of its activation's output."""
    if getattr(wrapper, "_output_quantizers", None):
        return [wrapper._output_quantizer_vars]
    found = (getattr(a, "_post_activation_vars", None) for a in getattr(wrapper, "_quantize_activations", ()))
    return [ranges for ranges in found if ranges]


def _assign(ranges: dict[str, Any], ends: tuple[float, float]) -> None:
    ranges["min_var"].assign(min(ends[0], 0.0))
    ranges["max_var"].assign(max(ends[1], 0.0))
