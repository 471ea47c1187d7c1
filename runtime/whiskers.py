"""Estimates and their intervals in rows as one SVG that needs nothing else."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from runtime.plot import COLOURS, PAPERS, ticks

__all__ = ["Row", "whiskers"]

WIDTH, RIGHT, TOP, BOTTOM, STEP = 760, 32, 52, 56, 30  # pixels
LETTER, LONGEST = 7.0, 40  # pixels a letter is wide, letters of a label
INK = ("#1c1e22", "#e4e6ea")


@dataclass(frozen=True)
class Row:
    """An estimate and the ends of its interval; None for an end without bound. Groups differ in colour."""

    label: str
    value: float
    low: float | None
    high: float | None
    group: int = 1


def whiskers(rows: Sequence[Row], *, x: str, title: str) -> str:
    """The SVG: a row each, from above in their order; an end without bound is an arrow to the edge."""
    inside = [v for row in rows for v in (row.value, row.low, row.high) if v is not None and math.isfinite(v)]
    at = ticks([0.0, *inside])
    left = 24 + LETTER * max((len(_cut(row.label)) for row in rows), default=0)
    height = TOP + STEP * len(rows) + BOTTOM

    def place(value: float) -> float:
        return left + (WIDTH - RIGHT - left) * (value - at[0]) / (at[-1] - at[0])

    box = f'viewBox="0 0 {WIDTH} {height}" role="img"'
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="qk-whiskers" {box}>',
        f"<title>{_safe(title)}</title>",
        _style(),
        f'<rect class="paper" width="{WIDTH}" height="{height}"/>',
        f'<text class="title" x="{WIDTH / 2:g}" y="26" text-anchor="middle">{_safe(title)}</text>',
    ]
    foot = height - BOTTOM
    for value in at:
        kind = "zero" if value == 0 else "tick"
        body.append(f'<line class="{kind}" x1="{place(value):.1f}" y1="{TOP}" x2="{place(value):.1f}" y2="{foot}"/>')
        body.append(f'<text x="{place(value):.1f}" y="{foot + 18}" text-anchor="middle">{value:.10g}</text>')
    body.append(f'<text x="{(left + WIDTH - RIGHT) / 2:.1f}" y="{foot + 40}" text-anchor="middle">{_safe(x)}</text>')
    for number, row in enumerate(rows):
        y = TOP + STEP * (number + 0.5)
        ends = [place(at[0] if row.low is None else row.low), place(at[-1] if row.high is None else row.high)]
        body += _row(row, y, (ends[0], place(row.value), ends[1]), left)
    return "\n".join([*body, "</svg>\n"])


def _row(row: Row, y: float, places: tuple[float, float, float], left: float) -> Iterator[str]:
    low, middle, high = places
    kind = f"s{(row.group - 1) % len(COLOURS)}"
    told = f"{row.label}: {row.value:.3g}, from {_end(row.low)} to {_end(row.high)}"
    yield f'<text x="{left - 10:.1f}" y="{y + 4:.1f}" text-anchor="end">{_safe(_cut(row.label))}</text>'
    yield f'<g class="{kind}"><title>{_safe(told)}</title>'
    yield f'<line x1="{low:.1f}" y1="{y:.1f}" x2="{high:.1f}" y2="{y:.1f}"/>'
    for x, bound, side in ((low, row.low, 1), (high, row.high, -1)):
        if bound is None:
            yield f'<path d="M{x + 7 * side:.1f} {y - 5:.1f} L{x:.1f} {y:.1f} L{x + 7 * side:.1f} {y + 5:.1f}"/>'
        else:
            yield f'<line x1="{x:.1f}" y1="{y - 5:.1f}" x2="{x:.1f}" y2="{y + 5:.1f}"/>'
    yield f'<circle cx="{middle:.1f}" cy="{y:.1f}" r="5"/></g>'


def _end(bound: float | None) -> str:
    return "no bound" if bound is None else f"{bound:.3g}"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _safe(text: str) -> str:
    """Text that XML can hold: escaped, and control characters gone."""
    return html.escape("".join(letter if letter.isprintable() else " " for letter in text))


def _style() -> str:
    """Ink and paper for light, the other way round for dark, as the reader has it."""
    root = ".qk-whiskers"
    lines = [
        f"{root} {{ font: 12px system-ui, sans-serif; }}",
        f"{root} .title {{ font-size: 15px; font-weight: 600; }}",
        f"{root} .tick {{ stroke: #808080; stroke-opacity: 0.25; }}",
        f"{root} .zero {{ stroke: #808080; stroke-opacity: 0.8; stroke-dasharray: 3 3; }}",
        *(
            f"{root} .s{i} {{ stroke: {ink}; stroke-width: 2; fill: none; }} {root} .s{i} circle {{ fill: {ink}; }}"
            for i, ink in enumerate(COLOURS)
        ),
        f"{root} .paper {{ fill: {PAPERS[0]}; }} {root} text {{ fill: {INK[0]}; }}",
        "@media screen and (prefers-color-scheme: dark) {",  # on paper it is light
        f"  {root} .paper {{ fill: {PAPERS[1]}; }} {root} text {{ fill: {INK[1]}; }}",
        "}",
    ]
    return "<style>\n" + "\n".join(lines) + "\n</style>"
