"""How much a network minds one kernel alone in few bits (Dong et al., 2019, in idea), and what that saves.

No derivative is taken and no ground truth asked for: the network runs on a few samples with that kernel on its grid,
and the error is the mean squared difference to what it makes in float. Activations stay in float.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import tensorflow as tf
import tf_keras

from export.bits import size
from keras_models.counting import macs
from keras_models.fold import plain
from keras_models.graph import steps
from keras_models.grid import Grid
from keras_models.lowered import Lowered, kernel_of
from keras_models.rewrite import copy, reweighted
from quant.apart import apart
from quant.calibrate import Samples, checked, values
from quant.kernel_grids import Weights, kernel_grid
from quant.places import CONVS
from quant.rounding import check_bits
from quant.seams import check_float
from runtime.errors import BadNumbers, BadOption, UnknownName

__all__ = ["WIDTHS", "Kernel", "Packing", "Probe", "Sensitivity", "kernels_of", "plain_float", "sensitivity"]

K = tf_keras.layers
Array = np.ndarray[Any, Any]
Packing = Literal["dense", "onnx", "tflite"]  # no bit between levels; those and what unpacks them; 4 bits or 8

WIDTHS = (2, 3, 4, 5, 6, 8)
SCALE = 4  # bytes of a float32
COUNT = 16  # samples: one kernel's error against another's is known to a few per cent


@dataclass(frozen=True)
class Kernel:
    """What a kernel costs: numbers in it, scales in a file, multiply-accumulates for one picture of the samples'."""

    name: str
    weights: int
    scales: int
    macs: int

    def size(self, bits: int, *, packing: Packing = "tflite") -> int:
        """Bytes that its levels and scales add to a file."""
        match packing:
            case "dense":
                levels = -(-self.weights * bits // 8)
            case "onnx":
                levels = size(self.weights, bits)
            case "tflite":
                levels = size(self.weights, 4 if bits <= 4 else 8)
        return levels + SCALE * self.scales

    def mac_bits(self, bits: int) -> int:
        """Multiply-accumulates times the bits of a weight."""
        return self.macs * bits


@dataclass(frozen=True)
class Sensitivity:
    """The error of each kernel at each width, alone; `span` is the range of the float output."""

    kernels: Mapping[str, Kernel]
    errors: Mapping[str, Mapping[int, float]]
    span: float

    def added(self, bits_of: Mapping[str, int]) -> float:
        """The error of kernels rounded together, if each did what it does alone: small errors are independent."""
        return math.fsum(self.errors[name][bits] for name, bits in bits_of.items())

    def decibel(self, error: float) -> float:
        """How far an error lies below the float output's range; infinite for none."""
        if not error:
            return math.inf
        return 10 * math.log10(self.span**2 / error) if self.span else -math.inf


class Probe:
    """A float network on a few samples, in which kernels are exchanged for rounded ones: one graph, traced once.

    It works on a copy: the network given stays as it is.
    """

    def __init__(
        self,
        model: Any,
        samples: Samples,
        *,
        weights: Weights = "mse",
        per_channel: bool = True,
        count: int = COUNT,
    ) -> None:
        if count < 1:
            raise BadOption("count", count, "1 sample or more")
        own = Lowered(reweighted(plain_float(model).model, {}))
        self.layers = {step.name: step.layer for step in steps(own.model) if isinstance(step.layer, CONVS)}
        self._floats = {name: kernel_of(layer) for name, layer in self.layers.items()}
        self._how: dict[str, Any] = {"weights": weights, "per_channel": per_channel, "x": None}
        self._levels: dict[tuple[str, int], tuple[Grid, Array]] = {}
        self._run = tf.function(own.model, reduce_retracing=True)
        self._batches = list(_first(checked(own, samples), count))
        self._wanted = [self._made(batch) for batch in self._batches]
        low, high = (float(end([end(made) for made in self._wanted])) for end in (np.min, np.max))
        if not math.isfinite(high - low):
            raise BadNumbers(f"what {own.model.output_names[0]!r} makes of the samples")
        self.span = high - low
        self.kernels = kernels_of(own, self._batches[0][:1], per_channel=per_channel)

    def error(self, bits_of: Mapping[str, int]) -> float:
        """The mean squared difference to the float output with those kernels rounded, all others in float."""
        rounded = {name: self._rounded(name, bits) for name, bits in bits_of.items()}
        try:
            for name, kernel in rounded.items():
                self.layers[name].weights[0].assign(kernel)
            off = [self._made(batch) - wanted for batch, wanted in zip(self._batches, self._wanted, strict=True)]
        finally:
            for name in rounded:
                self.layers[name].weights[0].assign(self._floats[name])
        return math.fsum(float(np.square(o, dtype=np.float64).sum()) for o in off) / sum(o.size for o in off)

    def _made(self, batch: Array) -> Array:
        """All that comes out, of every exit, in one row."""
        made = self._run(tf.constant(batch))
        return np.concatenate([np.ravel(one) for one in (made if isinstance(made, list | tuple) else [made])])

    def _rounded(self, name: str, bits: int) -> Array:
        """A kernel on its grid; the levels are kept, a quarter of the memory."""
        if name not in self.layers:
            raise UnknownName("layer with a kernel", name, self.layers)
        if (name, bits) not in self._levels:
            check_bits(**{name: bits})
            grid = kernel_grid(self.layers[name], bits=bits, **self._how)
            self._levels[name, bits] = grid, grid.quantize(self._floats[name]).astype(np.int8)
        grid, levels = self._levels[name, bits]
        return grid.dequantize(levels)


def sensitivity(
    probe: Probe, *, widths: Sequence[int] = WIDTHS, progress: Callable[[int, int], None] | None = None
) -> Sensitivity:
    """Every kernel of the network at every width, one at a time; `progress` is told how many are done, and of how many.

    The samples are run through once for each.
    """
    if not widths:
        raise BadOption("widths", widths, "one or more")
    errors: dict[str, dict[int, float]] = {name: {} for name in probe.kernels}
    of = len(errors) * len(widths)
    for done, (name, bits) in enumerate(((n, b) for n in errors for b in widths), start=1):
        errors[name][bits] = probe.error({name: bits})
        if progress is not None:
            progress(done, of)
    return Sensitivity(probe.kernels, errors, probe.span)


def plain_float(model: Any) -> Lowered:
    """A float network, Keras' or in the plain form, as it is when post-training quantization begins."""
    lowered = model if isinstance(model, Lowered) else plain(model)
    check_float(lowered, "the network")
    return apart(lowered)


def _first(batches: Iterator[Array], count: int) -> Iterator[Array]:
    """The first samples of all, in batches as they come; no batch is asked for that is not wanted."""
    while count > 0:
        batch = next(batches, None)
        if batch is None:
            return
        yield batch[:count]
        count -= len(batch)


def kernels_of(lowered: Lowered, sample: Array, *, per_channel: bool = True) -> dict[str, Kernel]:
    """Every kernel with what it costs; those of transposed convolutions as files hold them, each scale four times."""
    walk = steps(lowered.model)
    shapes = {step.makes: array.shape for step, array in values(lowered, sample, wanted=[s.makes for s in walk])}
    found = {}
    for step in walk:
        if isinstance(step.layer, CONVS):
            kernel = kernel_of(step.layer)
            axis = 3 if type(step.layer) is K.Conv2D else 2
            times = 4 if type(step.layer) is K.Conv2DTranspose else 1
            scales = times * kernel.shape[axis] if per_channel else 1
            found[step.name] = Kernel(step.name, kernel.size, scales, _macs(step.layer, shapes[step.reads[0]]))
    return found


def _macs(layer: Any, reads: tuple[int, ...]) -> int:
    """The multiply-accumulates of a layer: those of a network of that layer alone."""
    x = K.Input(reads[1:])
    return macs(tf_keras.Model(x, copy(layer, [x])), *reads[1:3])
