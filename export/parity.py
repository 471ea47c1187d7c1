"""The proof that a file computes what it was written from, made with the engines and settings that ship.

Two statements. A quantized file is held against the integer reference, and must equal it in every value. A float file
is held against Keras. Between the two is a network whose float32 sums, in whatever order an engine adds them up, lead
to a grid: where one lies next to a tie, the value behind it is a level off, and a deep network makes many of one. But
such sums are a few in a million. Of some small samples several hold none, and there the file must be equal as ever; a
file that is wrong is so in all of them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tf_keras

from export.reference import reference, tensorflow_convolve
from export.settle import settled
from keras_models.fixed_point import FixedPoint
from keras_models.graph import outputs, steps
from keras_models.hoist import grids, requantized
from keras_models.layers import AlignedUpsample
from keras_models.lowered import Lowered
from keras_models.quantize import Quantize
from runtime.contract import Contract
from runtime.errors import NotEqual
from runtime.litert import LiteRT
from runtime.ort import OnnxRuntime
from runtime.root import CUT

__all__ = [
    "FLOAT",
    "ROUNDS",
    "UNTOUCHED",
    "WITHIN_ONE",
    "Parity",
    "against",
    "compare",
    "engine",
    "may_flip",
    "output",
    "prove",
    "samples",
]

K = tf_keras.layers
ROUNDS = (Quantize, FixedPoint)
CONVS = (K.Conv2D, K.DepthwiseConv2D)
# What LiteRT's file computes in float between grids, or rounds its own way where no scale could be settled.
OWN_WAY = (K.Add, K.Multiply, K.GlobalAveragePooling2D, K.UpSampling2D, AlignedUpsample, K.Activation)
Array = np.ndarray[Any, Any]

FLOAT = 1e-5  # of the output's range: the same float32 sums in another order; a wrong pad or weight is far above
UNTOUCHED = 0.25  # of the samples, where a sum may flip: four layers of a U-Net in float left five of eight equal
NEAR = 0.01  # of a step of 8 bits, for a float output behind rounded values: the same sums in another order, no flip
WITHIN_ONE = 0.75  # of all values then: what follows a flip may be many steps, and is seen in few of the values
BYTE = 255  # steps that 8 bits have over a range: the unit of a float output that lies behind rounded values
MANY = 8  # small samples
CELLS, SMALL = 2, 16  # of a network and pixels a side at least: else a kernel sees its middle alone, or too little
SEED = 20180401


class Engine(Protocol):
    """What both backends are."""

    contract: Contract

    def run(self, batch: Array) -> dict[str, Array]:
        """Each exit's output."""
        ...


@dataclass(frozen=True)
class Parity:
    """How two sets of outputs differ: in steps of the output's grid, or of a hundred-thousandth of its range.

    A range that is narrow beside its offset counts from zero, as the float32 numbers in it are rounded.
    """

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
    unit = FLOAT * max(span, float(np.abs(wanted).max())) if unit is None else unit
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
    if not any(isinstance(step.layer, ROUNDS) for step in steps(plain.model)):
        made = lowered(x)
        return np.asarray(made[end] if isinstance(made, list | tuple) else made), None
    grid = grids(steps(plain.model))[outputs(plain.model)[end]]
    wanted = reference(plain, x, convolve=tensorflow_convolve)[f"output{end}"]
    return wanted, None if grid is None else float(grid.scale)


def may_flip(lowered: Lowered, *, own_way: tuple[type, ...] = ()) -> bool:
    """Whether float sums, or layers that an engine computes its `own_way`, lead to a grid, where a value may flip."""
    plain = settled(lowered)
    walk = steps(plain.model)
    known, inner = grids(walk), requantized(plain.model)
    floats: set[int] = set()
    for step in walk:
        in_integers = step.name in plain.kernels and known[step.reads[0]] is not None and step.makes in inner
        sums = isinstance(step.layer, CONVS) and not in_integers
        if not floats.isdisjoint(step.reads) and isinstance(step.layer, ROUNDS):
            return True
        if sums or isinstance(step.layer, own_way) or not floats.isdisjoint(step.reads):
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
    flips = may_flip(lowered, own_way=() if isinstance(backend, OnnxRuntime) else OWN_WAY)
    if x is None:
        small = max(CELLS, SMALL // backend.contract.multiple)
        x = samples(backend.contract, count=MANY, cells=small) if flips else samples(backend.contract)
    found = [_prove(lowered, path, backend, x, end, flips=flips) for end in range(len(backend.contract.exits))]
    return min(found, key=lambda parity: parity.decibel)


def _prove(lowered: Lowered, path: str | Path, backend: Engine, x: Array, end: int, *, flips: bool) -> Parity:
    wanted, unit = against(lowered, x, end=end)
    made = output(backend, x, end=end)
    behind = flips and unit is None
    found = compare(made, wanted, unit=float(np.ptp(wanted)) / BYTE or None if behind else unit)
    room = 0.0 if unit is not None else found.unit * (NEAR if behind else 1)
    equal = np.abs(made.astype(np.float64) - wanted).max(axis=(1, 2, 3)) <= room
    fine = equal.mean() >= UNTOUCHED and found.within_one >= WITHIN_ONE if flips else equal.all()
    if not fine:
        raise NotEqual(path, found.worst, found.exact, found.where)
    return found


def output(backend: Engine, x: Array, *, end: int = 0) -> Array:
    """One exit for channels-last x, whatever the file's layout."""
    name = backend.contract.exits[end]
    if backend.contract.layout == "NHWC":
        return backend.run(x)[name]
    return backend.run(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))[name].transpose(0, 2, 3, 1)
