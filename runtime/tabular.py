"""Tables of text: as Markdown for files and for a terminal, as CSV for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

__all__ = ["aligned", "as_csv", "as_markdown"]

Lines = Sequence[Sequence[str]]


def as_markdown(heads: Sequence[str], lines: Lines, *, words: int = 1) -> str:
    """The first columns, so many `words`, stand to the left; numbers behind them to the right."""
    rule = [*["---"] * words, *["---:"] * (len(heads) - words)]
    return "".join(f"| {' | '.join(line)} |\n" for line in (heads, rule, *lines))


def aligned(heads: Sequence[str], lines: Lines, *, words: int = 1) -> str:
    """The same with its cells under each other."""
    widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]
    rule = ["-" * width if i < words else "-" * (width - 1) + ":" for i, width in enumerate(widths)]

    def padded(line: Sequence[str]) -> str:
        pairs = enumerate(zip(line, widths, strict=True))
        return " | ".join(cell.ljust(width) if i < words else cell.rjust(width) for i, (cell, width) in pairs)

    return "".join(f"| {padded(line)} |\n" for line in (heads, rule, *lines))


def as_csv(heads: Sequence[str], lines: Lines) -> str:
    """The same cells, quoted where they must be."""
    text = io.StringIO()
    csv.writer(text).writerows([heads, *lines])
    return text.getvalue()
