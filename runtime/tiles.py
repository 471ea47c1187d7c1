"""A frame cut into windows that overlap by the halo, so that put together they are the frame, to the last bit.

Windows along an axis are all of one size, which keeps an engine's memory at one size too; each keeps the part of its
output that lies a halo away from every cut. Lengths are in pixels of the network's input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from runtime.contract import Contract

__all__ = ["Plan", "Window", "best", "plans", "windows"]


@dataclass(frozen=True)
class Window:
    """What is fed along an axis, and the part of it that is kept."""

    begin: int
    end: int
    keep_begin: int
    keep_end: int


@dataclass(frozen=True)
class Plan:
    """The windows down and across a frame."""

    rows: tuple[Window, ...]
    columns: tuple[Window, ...]

    @property
    def height(self) -> int:
        """Of every window."""
        return self.rows[0].end - self.rows[0].begin

    @property
    def width(self) -> int:
        """Of every window."""
        return self.columns[0].end - self.columns[0].begin

    @property
    def pixels(self) -> int:
        """What all windows together cost."""
        return len(self.rows) * len(self.columns) * self.height * self.width

    def __iter__(self) -> Iterator[tuple[Window, Window]]:
        """Row by row."""
        return ((row, column) for row in self.rows for column in self.columns)


def windows(length: int, count: int, *, multiple: int, halo: int) -> tuple[Window, ...]:
    """`count` equal windows, spread evenly, or as many as it takes if those would reach past the end."""
    cells = length // multiple
    size = _size(cells, count, reach=-(-halo // multiple))
    last = cells - size
    begins = sorted({last * i // (count - 1) for i in range(count)}) if last else [0]
    # A cut lies in the middle of an overlap, which is two halos deep or deeper.
    cuts = [0, *((a + size + b) // 2 for a, b in pairwise(begins)), cells]
    return tuple(
        Window(begin * multiple, (begin + size) * multiple, first * multiple, after * multiple)
        for begin, (first, after) in zip(begins, pairwise(cuts), strict=True)
    )


def _size(cells: int, count: int, *, reach: int) -> int:
    """Of each of `count` windows, in cells."""
    return min(-(-(cells - 2 * reach) // count) + 2 * reach, cells) if count > 1 else cells


def plans(height: int, width: int, contract: Contract) -> Iterator[Plan]:
    """Every plan worth a thought; of a network without a halo the whole frame alone."""
    if contract.halo is None:
        yield Plan((Window(0, height, 0, height),), (Window(0, width, 0, width),))
        return
    axes = [_axis(length, contract.multiple, contract.halo) for length in (height, width)]
    yield from (Plan(rows, columns) for rows in axes[0] for columns in axes[1])


def _axis(length: int, multiple: int, halo: int) -> list[tuple[Window, ...]]:
    """One row of windows for every size, the shortest."""
    found: dict[int, tuple[Window, ...]] = {}
    for count in range(1, length // multiple + 1):
        size = _size(length // multiple, count, reach=-(-halo // multiple))
        if size not in found:
            found[size] = windows(length, count, multiple=multiple, halo=halo)
    return list(found.values())


def best(
    height: int, width: int, contract: Contract, *, cost: Callable[[Plan], float], most: float, fresh: float = 0.0
) -> Plan:
    """The plan of least work of those that cost at most `most` memory; if there is none, the one that costs least.

    `fresh` is what laying out a pixel's memory takes, in pixels computed: it is done once, for one window.
    """
    every = list(plans(height, width, contract))
    small = [plan for plan in every if cost(plan) <= most]
    if small:
        return min(small, key=lambda plan: (plan.pixels + fresh * plan.height * plan.width, len(plan.rows)))
    return min(every, key=lambda plan: (cost(plan), plan.pixels))
