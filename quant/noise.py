"""The noise of a low-light frame, as physics makes it: Wei et al. 2020 (ELD).

Light arrives in whole electrons (Poisson), the sensor reads them out with a noise of its own and one more draw a row,
and the file keeps whole numbers. Everything is in the file's numbers (DN); K is how many of them an electron makes.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtime.errors import UnreadableFile

__all__ = ["K_RANGE", "Gaussian", "Sensor", "TukeyLambda", "amplified", "calibrated", "drawn", "exposed", "noisy"]

Array = np.ndarray[Any, Any]
COLUMNS = ("iso", "Kmax", "sigGs", "sigTL", "lam", "sigR", "bl", "wp")
LEAST, MOST = {"lam": -0.45, "Kmax": 1e-6}, 65535.0  # from lam = -0.5 down a Tukey-lambda law has no variance
LOGISTIC = 1e-4  # nearer to 0 than this the law is the logistic one, to a float32's digits
# ln sigma = a ln K + b, with a spread sd: (a, b, sd), on cameras of 14 bits with 15871 levels above black.
READ_GAUSSIAN, READ_TUKEY, ROW = (0.5407, 1.2182, 0.2675), (0.4621, 0.5657, 0.2634), (0.5275, -0.5917, 0.2943)
K_RANGE, LAM_RANGE, LEVELS = (0.094, 30.0), (-0.1, 0.15), 15871.0


@dataclass(frozen=True)
class Gaussian:
    """Read noise that is normal."""

    sigma: float

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        """As much of it as `shape` asks for."""
        return rng.standard_normal(shape, np.float32) * np.float32(self.sigma)


@dataclass(frozen=True)
class TukeyLambda:
    """Read noise with the longer tails that dark frames show; normal-like for lam = 0.14, logistic for 0."""

    lam: float
    scale: float

    @property
    def sigma(self) -> float:
        """The standard deviation."""
        if abs(self.lam) < LOGISTIC:
            return self.scale * math.pi / math.sqrt(3)
        lam = self.lam
        return self.scale * math.sqrt(
            2 / lam**2 * (1 / (1 + 2 * lam) - math.gamma(lam + 1) ** 2 / math.gamma(2 * lam + 2))
        )

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        """As much of it as `shape` asks for: the quantile function of uniform numbers."""
        u = np.maximum(rng.random(shape, np.float32), np.float32(2**-25))  # 0 would be minus infinity
        if abs(self.lam) < LOGISTIC:
            return np.float32(self.scale) * (np.log(u) - np.log1p(-u))
        lam = np.float32(self.lam)
        return np.float32(self.scale) / lam * (u**lam - (1 - u) ** lam)


@dataclass(frozen=True, kw_only=True)
class Sensor:
    """One sensor at one gain."""

    K: float  # DN an electron
    read: Gaussian | TukeyLambda
    row: float  # the standard deviation of what a whole row shares
    black: float  # DN without light
    white: float  # DN where light saturates


def calibrated(path: str | Path, *, law: type[Gaussian] | type[TukeyLambda] = TukeyLambda) -> dict[int, Sensor]:
    """The sensors of a calibration table, one an ISO: iso, Kmax, sigGs, sigTL, lam, sigR, bl and wp are its columns."""
    sensors: dict[int, Sensor] = {}
    for line, row in _rows(path):
        iso = int(row["iso"])
        if iso != row["iso"] or iso <= 0 or iso in sensors:
            raise _wrong(path, line, "iso", row["iso"], "a whole number above 0 that no other line has")
        read = Gaussian(row["sigGs"]) if law is Gaussian else TukeyLambda(row["lam"], row["sigTL"])
        sensors[iso] = Sensor(K=row["Kmax"], read=read, row=row["sigR"], black=row["bl"], white=row["wp"])
    if not sensors:
        raise UnreadableFile(path, "has no line below its header", "name a table with one line an ISO")
    return sensors


def _rows(path: str | Path) -> Iterator[tuple[int, Mapping[str, float]]]:
    """The numbers of each line, with the line's own."""
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
                problem = f"has no column {', '.join(map(repr, missing))}"
                raise UnreadableFile(path, problem, f"name a table with {', '.join(COLUMNS)}")
            for row in reader:
                yield reader.line_num, {name: _number(path, reader.line_num, name, row) for name in COLUMNS}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        problem = f"cannot be read ({getattr(error, 'strerror', None) or 'it is no CSV table'})"
        raise UnreadableFile(path, problem, "name a noise table") from None


def _number(path: str | Path, line: int, name: str, row: Mapping[str, Any]) -> float:
    """One cell, within what its column may hold."""
    try:
        value = float(row[name])
    except (TypeError, ValueError):
        value = math.nan
    least = float(row["bl"]) + 1 if name == "wp" else LEAST.get(name, 0.0)  # bl was looked at before
    if not least <= value <= MOST:
        raise _wrong(path, line, name, row[name], f"a number from {least:g} to {MOST:g}")
    return value


def _wrong(path: str | Path, line: int, name: str, value: object, allowed: str) -> UnreadableFile:
    return UnreadableFile(path, f"has {value!r} in column {name!r}, line {line}", f"it must be {allowed}")


def drawn(
    rng: np.random.Generator,
    *,
    black: float = 512.0,
    white: float = 16383.0,
    gain_range: tuple[float, float] = K_RANGE,
) -> Sensor:
    """A sensor nobody has measured: a random gain (K, of 14 bits), and the noise that sensors of that gain have."""
    span = (white - black) / LEVELS  # the laws are of 14 bits: fewer bits make every DN worth more
    gain = math.exp(rng.uniform(*np.log(gain_range)))
    read: Gaussian | TukeyLambda
    if rng.random() < 0.5:
        read = Gaussian(_law(READ_GAUSSIAN, gain, rng) * span)
    else:
        read = TukeyLambda(rng.uniform(*LAM_RANGE), _law(READ_TUKEY, gain, rng) * span)
    return Sensor(K=gain * span, read=read, row=_law(ROW, gain, rng) * span, black=black, white=white)


def _law(law: tuple[float, float, float], gain: float, rng: np.random.Generator) -> float:
    slope, offset, spread = law
    return math.exp(slope * math.log(gain) + offset + spread * rng.standard_normal())


def noisy(clean: Array, sensor: Sensor, *, ratio: float, rng: np.random.Generator) -> Array:
    """A clean mosaic (h, w), 0 to 1 as it shall look, as it comes out of the dark: not cut at 0 or 1."""
    return amplified(exposed(clean, sensor, ratio=ratio, rng=rng), sensor, ratio=ratio)


def exposed(clean: Array, sensor: Sensor, *, ratio: float, rng: np.random.Generator) -> Array:
    """The file's numbers, uint16 (h, w), for a mosaic taken with a `ratio`-th of the light that `clean` needs."""
    if clean.ndim != 2:
        raise ValueError(f"a mosaic is (height, width), not {clean.shape}: noise of rows has no other meaning")
    electrons = np.multiply(np.maximum(clean, 0), (sensor.white - sensor.black) / ratio / sensor.K, dtype=np.float64)
    level = rng.poisson(electrons).astype(np.float32)
    level *= np.float32(sensor.K)
    level += sensor.read.draw(clean.shape, rng)
    level += rng.standard_normal((len(clean), 1), np.float32) * np.float32(sensor.row)
    level += np.float32(sensor.black)
    return np.rint(np.clip(level, 0, sensor.white, out=level), out=level).astype(np.uint16)


def amplified(mosaic: Array, sensor: Sensor, *, ratio: float) -> Array:
    """The file's numbers as 0 to 1 again, black taken away and brightened by the ratio."""
    return (mosaic.astype(np.float32) - np.float32(sensor.black)) * np.float32(ratio / (sensor.white - sensor.black))
