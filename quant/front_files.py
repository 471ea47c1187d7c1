"""What was judged in a search for mixed bits, in the run's folder: front.md, front.csv and front.svg."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from quant.front import Point
from quant.mixed import Found
from quant.sensitivity import Kernel
from runtime.atomic import writing
from runtime.plot import Mark, Series, scatter
from runtime.tabular import as_csv, as_markdown

__all__ = ["FRONT", "write_front"]

Kernels = Mapping[str, Kernel]
FRONT = "front.md"
HEADS = ["", "kernels kB", "bits a weight", "bits a MAC", "dB to float", "figure dB"]


def write_front(found: Found, kernels: Kernels, *, title: str, out: Path) -> None:
    """All that was judged, from the smallest, and the bits of every kernel that was taken."""
    points = sorted(found.judged, key=lambda point: point.bytes)
    lines = [list(_cells(point, kernels, taken=point is found.best)) for point in points]
    taken = [[name, str(bits)] for name, bits in found.bits_of.items()]
    told = f"{as_markdown(HEADS, lines)}\n{as_markdown(['kernel', 'bits'], taken)}"
    files = {FRONT: told, "front.csv": as_csv(HEADS, lines), "front.svg": _plot(points, kernels, title=title)}
    for name, text in files.items():
        with writing(out / name) as file:
            file.write(text.encode())


def _cells(point: Point, kernels: Kernels, *, taken: bool) -> Iterator[str]:
    work = point.mac_bits / sum(one.macs for one in kernels.values())
    yield f"{_name(point)} {'taken' if taken else ''}".strip()
    yield f"{point.bytes / 1000:.1f}"
    numbers = (_mean(point, kernels), work, point.error_db, _figure(point))
    yield from ("" if math.isnan(number) else f"{number:.2f}" for number in numbers)


def _plot(points: list[Point], kernels: Kernels, *, title: str) -> str:
    def marks(some: list[Point]) -> list[Mark]:
        return [Mark(p.bytes / 1000, _figure(p), _name(p) or f"{_mean(p, kernels):.1f} bits") for p in some]

    plain = [point for point in points if _name(point)]
    mixed = [point for point in points if not _name(point)]
    series = [Series("mixed, bits a weight", marks(mixed)), Series("one width", marks(plain))]
    return scatter(series, x="kB of kernels", y="dB", title=title)


def _name(point: Point) -> str:
    """The width of a network that has one for all."""
    widths = set(point.bits_of.values())
    return f"{widths.pop()} bits" if len(widths) == 1 else ""


def _mean(point: Point, kernels: Kernels) -> float:
    """Bits a weight."""
    bits = sum(one.weights * point.bits_of[name] for name, one in kernels.items())
    return bits / sum(one.weights for one in kernels.values())


def _figure(point: Point) -> float:
    return math.nan if point.figure is None else point.figure
