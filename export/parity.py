"""The proof that a file computes what it was written from, made with the engines and settings that ship.

Two statements. A quantized file is held against the integer reference: ONNX Runtime must equal it in every value,
LiteRT may part from it by the coarser arithmetic of its own kernels. A float file is held against Keras. Between the
two is a network with a float convolution in front of a grid: its sums are those of float32 in any order, and where one
lies next to a tie the value behind it is one level off, in either engine.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tf_keras

from export.reference import reference, tensorflow_convolve
from export.settle import settled
from keras_models.graph import outputs, steps
from keras_models.hoist import grids
from keras_models.lowered import Lowered
from keras_models.quantize import Quantize
from runtime.contract import Contract
from runtime.errors import NotEqual
from runtime.litert import LiteRT
from runtime.ort import OnnxRuntime
from runtime.root import CUT

__all__ = [
    "FLOAT",
    "LITERT_STEPS",
    "LITERT_WITHIN_ONE",
    "Parity",
    "against",
    "compare",
    "engine",
    "may_flip",
    "output",
    "prove",
    "samples",
]

CONVS = (tf_keras.layers.Conv2D, tf_keras.layers.DepthwiseConv2D)
Array = np.ndarray[Any, Any]

FLOAT = 1e-5  # of the output's range: the same float32 sums in another order; a wrong pad or weight is far above
LITERT_STEPS = 2  # ties in a sum or a mean fall its own way: one step there, at most two at the end
LITERT_WITHIN_ONE = 0.99
BYTE = 255  # steps that 8 bits have over a range: the unit of a float output that lies behind rounded values
SEED = 20180401


class Engine(Protocol):
    """What both backends are."""

    contract: Contract

    def run(self, batch: Array) -> dict[str, Array]:
        """Each exit's output."""
        ...


@dataclass(frozen=True)
class Parity:
    """How two sets of outputs differ: in steps of the output's grid, or of a hundred-thousandth of its range."""

    unit: float
    worst: float
    mean: float
    exact: float
    within_one: float
    decibel: float
    where: tuple[int, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON, where there is no infinity."""
        return {**asdict(self), "decibel": None if np.isinf(self.decibel) else self.decibel}


def compare(found: Array, wanted: Array, *, unit: float | None) -> Parity:
    """Measure a difference; `unit` is the output's step, None for a float output."""
    if found.shape != wanted.shape:
        raise ValueError(f"outputs of shapes {found.shape} and {wanted.shape}")
    span = float(wanted.max() - wanted.min()) or 1.0
    unit = FLOAT * span if unit is None else unit
    # NaN is as far away as can be.
    off = np.nan_to_num(np.abs(found.astype(np.float64) - wanted) / unit, nan=np.inf)
    noise = float(np.mean((off * unit) ** 2))
    decibel = np.inf if noise == 0 else -np.inf if np.isinf(noise) else 10 * np.log10(span**2 / noise)
    return Parity(
        unit=unit,
        worst=float(off.max()),
        mean=float(off.mean()),
        exact=float(np.mean(off == 0)),
        within_one=float(np.mean(off < 1.5)),
        decibel=float(decibel),
        where=tuple(int(i) for i in np.unravel_index(np.argmax(off), off.shape)),
    )


def against(lowered: Lowered, x: Array, *, end: int = 0) -> tuple[Array, float | None]:
    """What a file must compute for x, and the step of its output: the reference if there are grids, else Keras."""
    plain = settled(lowered)
    if not any(isinstance(step.layer, Quantize) for step in steps(plain.model)):
        made = lowered(x)
        return np.asarray(made[end] if isinstance(made, list | tuple) else made), None
    grid = grids(steps(plain.model))[outputs(plain.model)[end]]
    wanted = reference(plain, x, convolve=tensorflow_convolve)[f"output{end}"]
    return wanted, None if grid is None else float(grid.scale)


def may_flip(lowered: Lowered) -> bool:
    """Whether a convolution that adds up in float leads to a grid, so that a value may fall to the next level."""
    plain = settled(lowered)
    walk = steps(plain.model)
    known = grids(walk)
    floats: set[int] = set()
    for step in walk:
        sums = isinstance(step.layer, CONVS) and (step.name not in plain.kernels or known[step.reads[0]] is None)
        if not floats.isdisjoint(step.reads) and isinstance(step.layer, Quantize):
            return True
        if sums or not floats.isdisjoint(step.reads):
            floats.add(step.makes)
    return False


def engine(path: str | Path, *, threads: int | None = None) -> Engine:
    """The backend for a file, by its name's end."""
    return OnnxRuntime(path, threads=threads) if Path(path).suffix == ".onnx" else LiteRT(path, threads=threads)


def samples(contract: Contract, *, count: int = 2, cells: int = 4) -> Array:
    """Inputs that reach every level: noise over the whole range, over a ramp, the same each time.

    A network that sees roots sees some below 0 and above 1.
    """
    rng = np.random.default_rng(SEED)
    height, width = cells * contract.multiple, (cells + 1) * contract.multiple
    ramp = np.linspace(0, 1, width, dtype=np.float32)[None, None, :, None]
    noise = rng.random((count, height, width, len(contract.planes)), np.float32)
    x = np.asarray(ramp * noise + (1 - ramp) * noise**4, np.float32)
    return x * np.float32(CUT[1] - CUT[0]) + np.float32(CUT[0]) if contract.range == "root" else x


def prove(lowered: Lowered, path: str | Path, *, x: Array | None = None, threads: int | None = None) -> Parity:
    """Run a file and hold every exit against what it was written from; raise `NotEqual` outside the tolerance."""
    backend = engine(path, threads=threads)
    x = samples(backend.contract) if x is None else x
    found = [_prove(lowered, path, backend, x, end) for end in range(len(backend.contract.exits))]
    return min(found, key=lambda parity: parity.decibel)


def _prove(lowered: Lowered, path: str | Path, backend: Engine, x: Array, end: int) -> Parity:
    wanted, unit = against(lowered, x, end=end)
    flips = may_flip(lowered)
    if flips and unit is None:
        unit = float(np.ptp(wanted)) / BYTE or None
    found = compare(output(backend, x, end=end), wanted, unit=unit)
    quantized, onnx = unit is not None, isinstance(backend, OnnxRuntime)
    if quantized and onnx and not flips:
        fine = found.exact == 1
    elif quantized:
        fine = found.worst < LITERT_STEPS + 0.5 and found.within_one >= LITERT_WITHIN_ONE
    else:
        fine = found.worst <= 1
    if not fine:
        raise NotEqual(path, found.worst, found.exact, found.where)
    return found


def output(backend: Engine, x: Array, *, end: int = 0) -> Array:
    """One exit for channels-last x, whatever the file's layout."""
    name = backend.contract.exits[end]
    if backend.contract.layout == "NHWC":
        return backend.run(x)[name]
    return backend.run(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))[name].transpose(0, 2, 3, 1)
