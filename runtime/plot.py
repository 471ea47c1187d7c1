"""Points on two axes as one SVG that needs nothing else: round ticks, labels that keep clear of each other, a front.

Colours are of a middling lightness and text takes the reader's own, so that it reads on white and on black paper.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

__all__ = ["COLOURS", "PAPERS", "Mark", "Series", "scatter", "ticks"]

WIDTH, HEIGHT = 760, 500
LEFT, RIGHT, TOP, BOTTOM = 72, 24, 70, 64  # pixels around the axes
PAPERS = ("#ffffff", "#16181c")
COLOURS = ("#2f7fc1", "#d0661f", "#2e9166", "#a860c4", "#cf4a5e", "#8c7f1f")
LETTER, LINE = 6.4, 13.0  # pixels a letter is wide and a line is high, at 11 pixels: a little more than most fonts take
SIZE = 4.5  # pixels from the middle of a mark to its edge
CLEAR = 1.4 * SIZE + 1  # around the middle: where labels keep away, the points of a diamond too
LONGEST = 40  # letters of a label
MOST, LEAST = 1e100, 1e-100  # what no measurement passes, and floats can still be reckoned with
ALIKE = 1e-7  # of their size: values that differ by less have no ticks between them
ABOUT = 6  # ticks on an axis
WIDE = 4.0  # times as large: from here on a logarithmic axis has ticks at 1, 2 and 5

BEAD = 6.0  # pixels from one to the next

Place = tuple[float, float]
Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Mark:
    """A point in the units of the axes, and what stands beside it."""

    x: float
    y: float
    label: str = ""


@dataclass(frozen=True)
class Series:
    """Marks of one kind."""

    name: str
    marks: Sequence[Mark]


@dataclass(frozen=True)
class _Axis:
    """From values to pixels."""

    ticks: tuple[float, ...]
    begin: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = (math.log10(v) if self.log else v for v in (self.ticks[0], self.ticks[-1], value))
        return self.begin + (self.end - self.begin) * (at - low) / (high - low)


def scatter(series: Iterable[Series], *, x: str, y: str, title: str, log_x: bool = False, pareto: bool = True) -> str:
    """The SVG of all series; with `pareto` a line through the marks that no other beats: less of x, more of y.

    What has no place, NaN or on a logarithmic axis 0, is left out and counted in a note.
    """
    given = list(series)
    shown = [[mark for mark in one.marks if _has_place(mark, log_x=log_x)] for one in given]
    marks = [mark for some in shown for mark in some]
    axes = (
        _Axis(ticks([m.x for m in marks], log=log_x), LEFT, WIDTH - RIGHT, log_x),
        _Axis(ticks([m.y for m in marks]), HEIGHT - BOTTOM, TOP),
    )
    lost = sum(len(one.marks) for one in given) - len(marks)
    body = [*_frame(axes, x=x, y=y, title=title), *_legend(given), *_note(lost, marks)]
    line = [(axes[0](mark.x), axes[1](mark.y)) for mark in _unbeaten(marks)] if pareto else []
    body += _front(line)
    for number, some in enumerate(shown):
        body += [_mark(number, mark, axes) for mark in some]
    body += _labels(marks, axes, line)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="qk-plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
    return "\n".join([head, f"<title>{_safe(title)}</title>", _style(), *body, "</svg>\n"])


def ticks(values: Sequence[float], *, log: bool = False) -> tuple[float, ...]:
    """Round numbers from one not above the least value to one not below the greatest; at least two."""
    low, high = (min(values), max(values)) if values else (1.0, 1.0) if log else (0.0, 1.0)
    if high - low <= ALIKE * max(abs(low), abs(high)):
        half = abs(high) / 2 or 1.0
        low, high = (low / 2, high * 2) if log else (low - half, high + half)
    return _log_ticks(low, high) if log and high >= WIDE * low else _even_ticks(low, high)


def _even_ticks(low: float, high: float) -> tuple[float, ...]:
    """Whole multiples of 1, 2 or 5 times a power of ten."""
    wanted = (high - low) / ABOUT
    power = math.floor(math.log10(wanted))
    factor, power = next(((f, power) for f in (1, 2, 5) if _times(f, power) >= wanted), (1, power + 1))
    step = _times(factor, power)
    return tuple(_times(k * factor, power) for k in range(math.floor(low / step), math.ceil(high / step) + 1))


def _log_ticks(low: float, high: float) -> tuple[float, ...]:
    """1, 2 and 5 of every decade, or where those are too many, powers of ten evenly apart."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    fine = [_times(f, power) for power in range(first - 1, last + 1) for f in (1, 2, 5)]
    start = max(i for i, tick in enumerate(fine) if tick <= low)
    end = min(i for i, tick in enumerate(fine) if tick >= high)
    if end - start <= 2 * ABOUT:
        return tuple(fine[start : end + 1])
    stride = -(-(last - first) // ABOUT)
    return tuple(_times(1, power) for power in range(first, last + stride, stride))


def _times(whole: int, power: int) -> float:
    """A whole number times a power of ten, the float nearest to it."""
    return float(f"{whole}e{power}")


def _has_place(mark: Mark, *, log_x: bool) -> bool:
    finite = all(math.isfinite(v) and abs(v) <= MOST and (abs(v) >= LEAST or v == 0) for v in (mark.x, mark.y))
    return finite and (not log_x or mark.x > 0)


def _frame(axes: tuple[_Axis, _Axis], *, x: str, y: str, title: str) -> Iterator[str]:
    """The title, the names of the axes, a line and a number at each tick."""
    across, up = axes
    right, bottom, middle = WIDTH - RIGHT, HEIGHT - BOTTOM, (LEFT + WIDTH - RIGHT) / 2
    yield f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>'
    yield _text(middle, 26, title, kind="title", anchor="middle")
    yield _text(middle, bottom + 40, x, anchor="middle")
    yield _text(0, 0, y, anchor="middle", more=f' transform="translate(18 {_n((TOP + bottom) / 2)}) rotate(-90)"')
    for value in across.ticks:
        yield f'<line class="tick" x1="{_n(across(value))}" y1="{TOP}" x2="{_n(across(value))}" y2="{bottom}"/>'
        yield _text(across(value), bottom + 18, _number(value), kind="number", anchor="middle")
    for value in up.ticks:
        yield f'<line class="tick" x1="{LEFT}" y1="{_n(up(value))}" x2="{right}" y2="{_n(up(value))}"/>'
        yield _text(LEFT - 8, up(value) + 4, _number(value), kind="number", anchor="end")


def _legend(series: Sequence[Series]) -> Iterator[str]:
    """The names of the series in a row, if there are several."""
    left = float(LEFT)
    for number, one in enumerate(series if len(series) > 1 else ()):
        yield _shape(number, left + SIZE, 46)
        yield _text(left + 3 * SIZE, 50, one.name)
        left += 6 * SIZE + LETTER * len(_cut(one.name))


def _note(lost: int, marks: Sequence[Mark]) -> Iterator[str]:
    if lost:
        told = "1 point has" if lost == 1 else f"{lost} points have"
        yield _text(LEFT, HEIGHT - 8, f"{told} no place on these axes", kind="note")
    if not marks:
        yield _text(WIDTH / 2, HEIGHT / 2, "nothing to show", kind="note", anchor="middle")


def _unbeaten(marks: Sequence[Mark]) -> list[Mark]:
    """The marks that no other beats, from the least x on."""
    best: list[Mark] = []
    for mark in sorted(marks, key=lambda mark: (mark.x, -mark.y)):
        if not best or mark.y > best[-1].y:
            best.append(mark)
    return best


def _front(line: Sequence[Place]) -> Iterator[str]:
    if len(line) > 1:
        yield f'<polyline class="front" points="{" ".join(f"{_n(x)},{_n(y)}" for x, y in line)}"/>'


def _beads(line: Sequence[Place]) -> Iterator[Box]:
    """Small boxes along a line: labels keep off it where they can."""
    for (x, y), (to_x, to_y) in pairwise(line):
        count = math.ceil(math.dist((x, y), (to_x, to_y)) / BEAD)
        for part in (i / count for i in range(count)):
            a, b = x + (to_x - x) * part, y + (to_y - y) * part
            yield a - 1, b - 1, a + 1, b + 1


def _mark(number: int, mark: Mark, axes: tuple[_Axis, _Axis]) -> str:
    told = f"{mark.label}: " * bool(mark.label) + f"{mark.x:.6g}, {mark.y:.6g}"
    return _shape(number, axes[0](mark.x), axes[1](mark.y), told=told)


def _shape(number: int, x: float, y: float, *, told: str = "") -> str:
    """A series is known by its colour, and by its shape to those who see none."""
    r = SIZE
    corners = (
        [(-r, -r), (r, -r), (r, r), (-r, r)],
        [(0, -1.4 * r), (1.4 * r, 0), (0, 1.4 * r), (-1.4 * r, 0)],
        [(0, -1.2 * r), (1.2 * r, r), (-1.2 * r, r)],
    )
    kind = f'class="s{number % len(COLOURS)}"'
    inside = f"<title>{_safe(told)}</title>" if told else ""
    if not number % 4:
        return f'<circle {kind} cx="{_n(x)}" cy="{_n(y)}" r="{_n(r)}">{inside}</circle>'
    places = " ".join(f"{_n(x + a)},{_n(y + b)}" for a, b in corners[number % 4 - 1])
    return f'<polygon {kind} points="{places}">{inside}</polygon>'


def _labels(marks: Sequence[Mark], axes: tuple[_Axis, _Axis], line: Sequence[Place]) -> Iterator[str]:
    """Each label where it is in nobody's way, as near to its mark as it can be; a thin line where that is not near."""
    middles = [(axes[0](mark.x), axes[1](mark.y)) for mark in marks]
    taken = [(x - CLEAR, y - CLEAR, x + CLEAR, y + CLEAR) for x, y in middles]
    taken += _beads(line)
    for (x, y), mark in zip(middles, marks, strict=True):
        if not mark.label:
            continue
        wide = LETTER * len(_cut(mark.label))
        far, box = min(_places(x, y, wide), key=lambda place: (sum(_shared(place[1], one) for one in taken), place[0]))
        taken.append(box)
        if far > 1:
            end = min(max(x, box[0]), box[2]), min(max(y, box[1]), box[3])
            yield f'<line class="leader" x1="{_n(x)}" y1="{_n(y)}" x2="{_n(end[0])}" y2="{_n(end[1])}"/>'
        yield _text(box[0], box[3] - 3, mark.label, kind="label")


def _places(x: float, y: float, wide: float) -> Iterator[tuple[int, Box]]:
    """Where the label of a mark may stand within the axes: around it, then in wider and wider rings."""
    for ring in range(1, 7):
        gap = CLEAR + 1 + (ring - 1) * LINE
        rights = (x + gap, x - gap - wide, x - wide / 2)
        tops = (y - LINE / 2, y - gap - LINE, y + gap)
        for left, top in product(rights, tops):
            if left == rights[2] and top == tops[0]:
                continue  # on the mark itself
            left = min(max(left, LEFT + 1.0), WIDTH - RIGHT - wide - 1)  # noqa: PLW2901
            top = min(max(top, TOP + 1.0), HEIGHT - BOTTOM - LINE - 1)  # noqa: PLW2901
            yield ring, (left, top, left + wide, top + LINE)


def _shared(one: Box, other: Box) -> float:
    """The area that two boxes have in common."""
    sides = [min(one[i + 2], other[i + 2]) - max(one[i], other[i]) for i in (0, 1)]
    return max(sides[0], 0.0) * max(sides[1], 0.0)


def _text(x: float, y: float, text: str, *, kind: str = "name", anchor: str = "start", more: str = "") -> str:
    return f'<text class="{kind}" x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}"{more}>{_safe(_cut(text, kind))}</text>'


def _cut(text: str, kind: str = "label") -> str:
    most = LONGEST if kind in ("label", "name") else 2 * LONGEST
    return text if len(text) <= most else text[: most - 1] + "…"


def _safe(text: str) -> str:
    """Text that XML can hold: escaped, and control characters gone."""
    return html.escape("".join(letter if letter.isprintable() else " " for letter in text))


def _number(value: float) -> str:
    """A tick's number as people write it."""
    return f"{value:.10g}".replace("e+", "e").replace("e-0", "e-")


def _n(pixels: float) -> str:
    return f"{pixels:.2f}".rstrip("0").rstrip(".")


def _style() -> str:
    """Ink and paper for light, the other way round for dark, as the reader has it."""
    ink = "#1c1e22", "#e4e6ea"
    lines = [
        ".qk-plot { font: 11px system-ui, sans-serif; }",
        ".qk-plot .title { font-size: 15px; font-weight: 600; }",
        ".qk-plot .tick { stroke: #808080; stroke-opacity: 0.25; }",
        ".qk-plot .leader { stroke: #808080; stroke-width: 0.7; }",
        ".qk-plot .front { fill: none; stroke: #808080; stroke-width: 1.5; stroke-dasharray: 5 3; }",
        *(f".qk-plot .s{i} {{ fill: {colour}; }}" for i, colour in enumerate(COLOURS)),
        f".qk-plot .paper {{ fill: {PAPERS[0]}; }} .qk-plot text {{ fill: {ink[0]}; }}",
        "@media screen and (prefers-color-scheme: dark) {",  # on paper it is light
        f"  .qk-plot .paper {{ fill: {PAPERS[1]}; }} .qk-plot text {{ fill: {ink[1]}; }}",
        "}",
    ]
    return "<style>\n" + "\n".join(lines) + "\n</style>"
