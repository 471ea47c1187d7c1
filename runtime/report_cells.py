"""Tables as HTML that need no script: a cell is what is read and what is sorted by, and says what is missing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from runtime.viewer import escaped

__all__ = ["Cell", "count", "number", "short", "table", "word"]


@dataclass(frozen=True)
class Cell:
    """What is read, and what rows are sorted by: a number, a text, or nothing where nothing was measured."""

    text: str
    value: float | str | None = None

    def __str__(self) -> str:
        if self.value is None:
            return f'<td class="none" data-v="">{escaped(self.text)}</td>'
        if isinstance(self.value, str):
            return f"<td>{escaped(self.text)}</td>"
        return f'<td class="n" data-v="{self.value!r}">{escaped(self.text)}</td>'


def table(name: str, heads: Sequence[str], rows: Sequence[Sequence[Cell]], caption: str) -> str:
    """A table that a script makes sortable; without rows a sentence."""
    if not rows:
        return f'<p class="none">{escaped(caption)} Nothing of it was measured.</p>'
    head = "".join(f'<th scope="col"{kind}>{escaped(one)}</th>' for one, kind in zip(heads, _kinds(rows), strict=True))
    body = "\n".join(map(_row, rows))
    return (
        f'<div class="wide" tabindex="0" role="group" aria-label="{escaped(caption)}"><table class="sortable" '
        f'id="{name}"><caption><span>{escaped(caption)}</span></caption>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def word(text: str, *, missing: str = "not told") -> Cell:
    """A cell of text."""
    return Cell(text, text) if text else Cell(missing)


def count(value: int) -> Cell:
    """A cell of a whole number."""
    return Cell(f"{value:,}", value)


def number(value: float, *, told: str = "", missing: str = "not told") -> Cell:
    """A cell of a number, or why there is none."""
    return Cell(told or short(value), value) if math.isfinite(value) else Cell(missing)


def short(value: float) -> str:
    """Three digits, no powers of ten where people write none."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _row(cells: Sequence[Cell]) -> str:
    """A row; its head is cut where it is long, and its title is not."""
    head = escaped(cells[0].text)
    return f'<tr><th scope="row" title="{head}">{head}</th>{"".join(map(str, cells[1:]))}</tr>'


def _kinds(rows: Sequence[Sequence[Cell]]) -> list[str]:
    """The heads of numbers stand to the right, as numbers do."""
    numeric = [any(isinstance(cell.value, (int, float)) for cell in column) for column in zip(*rows, strict=True)]
    return [' class="n"' if one else "" for one in numeric]
