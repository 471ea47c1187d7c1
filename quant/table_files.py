"""The rows of a table of recipes, and the files that hold them: table.md, table.csv and table.svg."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path

from runtime.atomic import writing
from runtime.doctor import machine
from runtime.plot import Mark, Series, scatter
from runtime.tabular import as_csv
from runtime.tabular import as_markdown as text_of

__all__ = ["Row", "as_markdown", "write_table"]

DIGITS = {"kB": ".0f", "ms": ".2f", "iB": ".0f"}
ACROSS = "onnx kB"


@dataclass(frozen=True)
class Row:
    """One network, or one way to do without."""

    name: str
    about: str
    figures: dict[str, float]
    costs: dict[str, float] = field(default_factory=dict)  # of its files: "onnx ms" and the like


def as_markdown(rows: list[Row]) -> str:
    """The table as text."""
    return text_of(*_cells(rows), words=2)


def write_table(rows: list[Row], *, about: str, title: str, out: Path) -> None:
    """The table for people, for spreadsheets, and as a picture."""
    head = f"{about}; {machine().processor}, {time.strftime('%Y-%m-%d')}.\n\n"
    files = {"md": head + as_markdown(rows), "csv": as_csv(*_cells(rows)), "svg": _plot(rows, title=title)}
    for suffix, text in files.items():
        with writing(out / f"table.{suffix}") as file:
            file.write(text.encode())


def _cells(rows: list[Row]) -> tuple[list[str], list[list[str]]]:
    names = list(dict.fromkeys(name for row in rows for name in row.figures))
    kinds = list(dict.fromkeys(kind for row in rows for kind in row.costs))

    def line(row: Row) -> list[str]:
        measured = [f"{row.figures[name]:.4g}" if name in row.figures else "" for name in names]
        spent = [f"{row.costs[kind]:{DIGITS[kind[-2:]]}}" if kind in row.costs else "" for kind in kinds]
        return [row.name, row.about, *measured, *spent]

    return ["", "what", *names, *kinds], [line(row) for row in rows]


def _plot(rows: list[Row], *, title: str) -> str:
    """How good each network is against the size of its file."""
    marks = [Mark(row.costs[ACROSS], _decibel(row.figures), row.name) for row in rows if ACROSS in row.costs]
    return scatter([Series(title, marks)], x=ACROSS, y="dB", title=title, log_x=True)


def _decibel(figures: dict[str, float]) -> float:
    """The figure of the task, more being better."""
    if "psnr" in figures:
        return figures["psnr"]
    error = 1 - figures["dice"] if "dice" in figures else figures["mse"]
    return -10 * math.log10(error) if error > 0 else math.nan
