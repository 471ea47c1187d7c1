"""Tables of text: as Markdown for people, as CSV for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

__all__ = ["as_csv", "as_markdown"]

Lines = Sequence[Sequence[str]]


def as_markdown(heads: Sequence[str], lines: Lines, *, words: int = 1) -> str:
    """The first columns, so many `words`, stand to the left; numbers behind them to the right."""
    rule = [*["---"] * words, *["---:"] * (len(heads) - words)]
    return "".join(f"| {' | '.join(line)} |\n" for line in (heads, rule, *lines))


def as_csv(heads: Sequence[str], lines: Lines) -> str:
    """The same cells, quoted where they must be."""
    text = io.StringIO()
    csv.writer(text).writerows([heads, *lines])
    return text.getvalue()
