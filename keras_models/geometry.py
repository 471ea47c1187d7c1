"""How far a network sees: the multiple its sides need, its scale, its reach and its halo, from the graph alone.

Everything is separable, so one axis at a time is enough. A layer is described by two answers: by how much it
scales, and which rows of its input the rows low..high of its output depend on. Walking the second answer from
the output back to the input tells how far beyond a tile the network looks; the tile begins and ends on multiples,
so that pools and strides inside it fall as they do in the whole frame.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import tf_keras

from keras_models.graph import Step, outputs, steps, unwrap
from runtime.errors import UnknownLayer

__all__ = ["Sight", "sight"]

K = tf_keras.layers
Rows = tuple[int, int] | None  # None: all of them
NOTHING = (1, 0)  # an interval that holds no row: low above high

# Layers whose output pixel depends on the same pixel of every input.
POINTWISE = (
    K.Activation, K.ReLU, K.LeakyReLU, K.PReLU, K.ELU, K.Softmax, K.BatchNormalization, K.Dropout, K.SpatialDropout2D,
    K.GaussianNoise, K.Rescaling, K.Add, K.Subtract, K.Multiply, K.Average, K.Maximum, K.Minimum, K.Concatenate,
)  # fmt: skip
# The same, from libraries that counting does not import.
POINTWISE_NAMES = (
    "QuantizeLayer",
    "QActivation",
    "QAdaptiveActivation",
    "QBatchNormalization",
    "Quantize",
    "FixedPoint",
)


@dataclass(frozen=True)
class Sight:
    """`multiple` of the sides, `scale` of the output, `reach` beyond a tile and `halo` (None: the frame)."""

    multiple: int
    scale: Fraction
    reach: int | None
    halo: int | None


def sight(model: Any) -> Sight:
    """What a model's graph says about sizes and distances, for both axes at once (the larger one counts)."""
    walk, ends = steps(model), outputs(model)
    multiples, scales, reaches = [], [], []
    for axis in (0, 1):
        scale = _scales(walk, axis)
        multiple = math.lcm(*(s.denominator for s in scale.values() if s))
        multiples.append(multiple)
        scales.append(scale[ends[0]])
        reaches += [_reach(walk, end, scale[end], multiple, axis) for end in ends]
    multiple = math.lcm(*multiples)
    reach = None if None in reaches else max(r for r in reaches if r is not None)
    return Sight(multiple, max(scales), reach, None if reach is None else -(-reach // multiple) * multiple)


def pointwise(layer: Any) -> bool:
    """Whether an output pixel depends on that pixel alone."""
    return isinstance(layer, POINTWISE) or type(layer).__name__ in POINTWISE_NAMES


def _scales(walk: list[Step], axis: int) -> dict[int, Fraction]:
    """Size of each tensor, as a part of the input's; 0 for what has no size, a global mean."""
    scales: dict[int, Fraction] = {}
    for step in walk:
        factor = _describe(step.layer, axis)[0]
        scales[step.makes] = max(scales[t] for t in step.reads) * factor if step.reads else Fraction(1)
    return scales


def _reach(walk: list[Step], end: int, scale: Fraction, multiple: int, axis: int) -> int | None:
    """How many input rows outside an aligned tile its output feels: the tile's rows, walked back as one interval."""
    first, last = multiple, 2 * multiple - 1
    needs: dict[int, Rows] = {end: (int(first * scale), int((last + 1) * scale) - 1)}
    reach = 0
    for step in reversed(walk):
        rows = needs.pop(step.makes, NOTHING)
        if rows == NOTHING:
            continue
        back = rows and _describe(step.layer, axis)[1](*rows)
        if not step.reads and back is None:
            return None
        if not step.reads and back:
            reach = max(reach, first - back[0], back[1] - last)
        for tensor in step.reads:
            needs[tensor] = _hull(needs.get(tensor, NOTHING), back)
    return reach


def _hull(a: Rows, b: Rows) -> Rows:
    if a is None or b is None:
        return None
    if NOTHING in (a, b):
        return a if b == NOTHING else b
    return min(a[0], b[0]), max(a[1], b[1])


def _describe(layer: Any, axis: int) -> tuple[Fraction, Callable[[int, int], Rows]]:
    """The factor by which a layer scales, and the rows it reads."""
    layer = unwrap(layer)
    one = Fraction(1)
    if hasattr(layer, "reads"):
        # One of ours: it says itself.
        return Fraction(layer.compute_output_shape((1, 64, 64, 64))[1], 64), layer.reads
    if isinstance(layer, K.InputLayer) or pointwise(layer):
        return one, lambda low, high: (low, high)
    if isinstance(layer, K.Conv2DTranspose) or type(layer).__name__ == "QConv2DTranspose":
        return _transposed(layer, axis)
    if isinstance(layer, K.Conv2D | K.DepthwiseConv2D | K.SeparableConv2D):
        return _window(layer, layer.kernel_size[axis], layer.strides[axis], layer.dilation_rate[axis])
    if isinstance(layer, K.MaxPooling2D | K.AveragePooling2D):
        return _window(layer, layer.pool_size[axis], layer.strides[axis], 1)
    if isinstance(layer, K.UpSampling2D):
        return _enlarged(layer, layer.size[axis])
    if isinstance(layer, K.GlobalAveragePooling2D | K.GlobalMaxPooling2D):
        return Fraction(0), lambda low, high: None
    raise UnknownLayer(layer.name, type(layer).__name__, "the walk that finds the halo")


def _window(layer: Any, size: int, stride: int, dilation: int) -> tuple[Fraction, Callable[[int, int], Rows]]:
    """A sliding window: padded as TensorFlow's "same" pads sides that the stride divides."""
    size = (size - 1) * dilation + 1
    if layer.padding != "same" and size != stride:
        raise UnknownLayer(
            layer.name,
            f"{type(layer).__name__} with padding {layer.padding!r}",
            "the walk that finds the halo",
        )
    before = max(size - stride, 0) // 2
    return Fraction(1, stride), lambda low, high: (low * stride - before, high * stride - before + size - 1)


def _transposed(layer: Any, axis: int) -> tuple[Fraction, Callable[[int, int], Rows]]:
    """The mirror of a window: output row y is fed by the x with 0 <= y - stride x + before < size."""
    size, stride = layer.kernel_size[axis], layer.strides[axis]
    if layer.padding != "same" and size != stride:
        raise UnknownLayer(
            layer.name,
            f"{type(layer).__name__} with padding {layer.padding!r}",
            "the walk that finds the halo",
        )
    before = max(size - stride, 0) // 2

    def rows(low: int, high: int) -> Rows:
        first, last = -((size - 1 - low - before) // stride), (high + before) // stride
        return (first, last) if first <= last else NOTHING

    return Fraction(stride), rows


def _enlarged(layer: Any, factor: int) -> tuple[Fraction, Callable[[int, int], Rows]]:
    """Nearest neighbour, or bilinear between pixel centres: row y sits at (y + 1/2) / factor - 1/2."""
    if layer.interpolation == "nearest":
        return Fraction(factor), lambda low, high: (low // factor, high // factor)
    if layer.interpolation == "bilinear":
        return Fraction(factor), lambda low, high: (
            (2 * low + 1 - factor) // (2 * factor),
            -((factor - 2 * high - 1) // (2 * factor)),
        )
    raise UnknownLayer(layer.name, f"UpSampling2D by {layer.interpolation}", "the walk that finds the halo")
