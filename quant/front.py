"""The best assignments of bits to kernels as far as their errors add up: a walk over corners, from the dearest on.

What kernels do to the output adds up nearly, while it is small. Then the best assignments lie on a convex curve: from
the most bits on, always that step comes next which adds the least error for each byte it saves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from quant.sensitivity import WIDTHS, Kernel, Packing, Sensitivity
from runtime.errors import BadOption

__all__ = ["Bits", "Cost", "Front", "Limits", "Point", "front", "limited", "priced", "taken"]

Bits = Mapping[str, int]


@dataclass(frozen=True)
class Point:
    """An assignment: what its kernels cost, their error below the output's range, and the figure where it was judged.

    The error of a forecast is a sum; that of a point which was judged is measured, all kernels rounded at once.
    """

    bits_of: Bits
    bytes: int
    mac_bits: int
    error_db: float
    figure: float | None = None


@dataclass(frozen=True)
class Front:
    """The assignments that nothing beats as far as errors add up, from the dearest to the cheapest."""

    points: tuple[Point, ...]


@dataclass(frozen=True)
class Cost:
    """What is to be saved: so much a byte of the kernels, so much a bit of a weight in a multiply-accumulate."""

    byte: float = 1.0
    mac_bit: float = 0.0
    packing: Packing = "tflite"

    @property
    def widths(self) -> tuple[int, ...]:
        """Those that save something: in a TFLite file 5 bits take 8, and 2 bits take 4."""
        return (4, 8) if self.packing == "tflite" and not self.mac_bit else WIDTHS

    def of(self, kernel: Kernel, bits: int) -> float:
        """What one kernel costs."""
        return self.byte * kernel.size(bits, packing=self.packing) + self.mac_bit * kernel.mac_bits(bits)

    def paid(self, point: Point) -> float:
        """What all kernels of a point cost."""
        return self.byte * point.bytes + self.mac_bit * point.mac_bits


@dataclass(frozen=True)
class Limits:
    """What all kernels may take, and the bytes that they take at the least."""

    size: int | None
    mac_bits: int | None
    least: int = 0

    def hold(self, point: Point) -> bool:
        """Whether a point is within both."""
        pairs = (point.bytes, self.size), (point.mac_bits, self.mac_bits)
        return all(most is None or paid <= most for paid, most in pairs)

    def below(self, point: Point, *, weighs: int, most: int) -> Limits:
        """Fewer bytes than a point has which weighs too much, by as many as it is over."""
        if point.bytes <= self.least:
            raise BadOption("max_size", most, f"{weighs} or more: the least that was found")
        return replace(self, size=max(point.bytes - weighs + most, self.least))


def front(found: Sensitivity, *, cost: Cost | None = None) -> Front:
    """The corners of the additive model: steps of every kernel's own curve, the flattest first."""
    cost = cost or Cost()
    moves: list[tuple[float, str, int]] = []
    bits_of: dict[str, int] = {}
    for name, kernel in found.kernels.items():
        corners = _corners([(cost.of(kernel, bits), error, bits) for bits, error in found.errors[name].items()])
        bits_of[name] = corners[0][2]
        moves += [(_slope(one, other), name, other[2]) for one, other in pairwise(corners)]
    points = [priced(found, bits_of, cost=cost)]
    for _, name, bits in sorted(moves, key=lambda move: move[0]):
        points.append(priced(found, {**points[-1].bits_of, name: bits}, cost=cost))
    return Front(tuple(points))


_Choice = tuple[float, float, int]  # cost, error, bits


def _corners(choices: list[_Choice]) -> list[_Choice]:
    """The lower convex hull, from the choice of least error to the cheapest."""
    corners = [min(choices, key=lambda choice: (choice[1], choice[0]))]
    while cheaper := [choice for choice in choices if choice[0] < corners[-1][0]]:
        slopes = [(_slope(corners[-1], choice), *choice) for choice in cheaper]
        corners.append(min(slopes)[1:])
    return corners


def _slope(dear: _Choice, cheap: _Choice) -> float:
    """Error added for each unit saved."""
    return (cheap[1] - dear[1]) / (dear[0] - cheap[0])


def priced(found: Sensitivity, bits_of: Bits, *, cost: Cost) -> Point:
    """What an assignment costs, and the forecast of its error."""
    size, work = taken(found.kernels, bits_of, packing=cost.packing)
    return Point(bits_of, size, work, found.decibel(found.added(bits_of)))


def taken(kernels: Mapping[str, Kernel], bits_of: Bits, *, packing: Packing) -> tuple[int, int]:
    """The bytes of an assignment, and the bits that go into its multiply-accumulates."""
    size = sum(kernels[name].size(bits, packing=packing) for name, bits in bits_of.items())
    return size, sum(kernels[name].mac_bits(bits) for name, bits in bits_of.items())


def limited(
    kernels: Mapping[str, Kernel],
    weigh: Callable[[Bits], int],
    *,
    cost: Cost,
    max_size: int | None,
    max_mac_bits: int | None,
) -> Limits:
    """What kernels may take of budgets for a whole; those that not even the fewest bits hold are refused."""
    few, many = ({name: end(cost.widths) for name in kernels} for end in (min, max))
    (least, work), (whole, _) = (taken(kernels, bits_of, packing=cost.packing) for bits_of in (few, many))
    weighs = None if max_size is None else weigh(few)
    for option, most, paid in (("max_size", max_size, weighs), ("max_mac_bits", max_mac_bits, work)):
        if most is not None and paid is not None and most < paid:
            raise BadOption(option, most, f"{paid} or more: what it takes with all kernels in {min(cost.widths)} bits")
    if max_size is None or weighs is None:
        return Limits(None, max_mac_bits)
    if (widest := weigh(many)) <= max_size:
        return Limits(whole, max_mac_bits, least)
    # What is no kernel's differs by width, since few bits need nodes that take them apart: the larger of both ends.
    return Limits(max(max_size - max(weighs - least, widest - whole), least), max_mac_bits, least)
