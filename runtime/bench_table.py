"""A bench's figures for people: tables that a terminal aligns and Markdown draws, and under them what they mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from runtime.bench_frames import COPIES, STAGES
from runtime.tabular import aligned

__all__ = ["lines", "table"]

Row = Mapping[str, Any]
Cell = Callable[[Row], str]
NONE = "-"
TWENTY = 20  # rounds: of fewer none stands for the slowest twentieth


def lines(report: Mapping[str, Any]) -> list[str]:
    """Three tables at most: how fast, how exact, and frames from file to file."""
    machine, rows, frames = report["machine"], report["rows"], report["frames"]
    threads = report["threads"] or "all"
    said = [f"{machine['processor']}, {machine['cores']} cores, {threads} threads, {report['date']}"]
    if (busy := report.get("load_average")) is not None and busy > 1:
        said.append(f"other programs were running (load average {busy:.1f}): trust ratios more than milliseconds")
    if report["rounds"] < TWENTY:
        rows = [{**row, "p95_ms": None} for row in rows]
    if rows:
        said += [f"input {report['side']} x {report['side']}, {report['rounds']} rounds in turn", ""]
        said += [*table(SPEED, rows), "", *table(PRECISION, rows), "", *_meanings(rows)]
    if frames:
        said += ["", *table(FRAMES, frames)]
        said += [f"overlapped: seconds a frame of {COPIES} in one run; memory: of all processes of one run"]
    return said + [f"problem: {one['model']}: {one['problem']}" for one in report.get("problems", [])]


def table(columns: Mapping[str, Cell], rows: Sequence[Row]) -> list[str]:
    """Rows under heads; the first columns, which hold words, stand left, numbers right."""
    cells = [[cell(row) for cell in columns.values()] for row in rows]
    return aligned(list(columns), cells, words=len(WORDS & columns.keys())).splitlines()


def _meanings(rows: Sequence[Row]) -> list[str]:
    """What the second table's figures are, once for all rows that say the same."""
    against = dict.fromkeys(row["error_against"] for row in rows if row["error_against"])
    said = [f"errors against {name}, in the units of the network's answer" for name in against]
    for why in dict.fromkeys(row["energy_why"] for row in rows):
        providers = dict.fromkeys(row["provider"] for row in rows if row["energy_why"] == why)
        said.append(f"energy on {', '.join(providers)}: {why}")
    return said


def _number(key: str, form: str, *, scale: float = 1.0, unit: str = "") -> Cell:
    """A figure of a row in a form; what is not known is a dash."""
    return lambda row: NONE if row[key] is None else f"{row[key] * scale:{form}}{unit}"


def _engine(row: Row) -> str:
    return f"{row['engine']}, {row['provider']}"


def _frame(row: Row) -> str:
    return f"{row['path'].replace(chr(92), '/').rpartition('/')[2]}, {row['width']} x {row['height']}, {row['format']}"


def _stage(stage: str) -> Cell:
    return lambda row: f"{1e3 * row['seconds'][stage]:.0f}"


MIB = 2.0**-20
WORDS = {"model", "on", "bits", "frame"}
SPEED: Mapping[str, Cell] = {
    "model": lambda row: str(row["model"]),
    "on": _engine,
    "median ms": _number("median_ms", ".2f"),
    "p95 ms": _number("p95_ms", ".2f"),
    "a second": _number("per_second", ".1f"),
    "times the first": _number("times_first", ".2f"),
    "load ms": _number("load_ms", ".0f"),
    "memory MiB": _number("peak_bytes", ".0f", scale=MIB),
    "disk MiB": _number("size_bytes", ".2f", scale=MIB),
}
PRECISION: Mapping[str, Cell] = {
    "model": lambda row: str(row["model"]),
    "on": _engine,
    "bits": lambda row: str(row["bits"]),
    "in integers": _number("int8_share", ".1f", scale=100, unit=" %"),
    "on provider": _number("provider_share", ".1f", scale=100, unit=" %"),
    "max error": _number("max_error", ".4f"),
    "mean error": _number("mean_error", ".5f"),
    "a second": _number("per_second", ".1f"),
    "latency ms": _number("median_ms", ".2f"),
    "energy mJ": _number("energy_mj", ".1f"),
}
FRAMES: Mapping[str, Cell] = {
    "model": lambda row: str(row["model"]),
    "on": _engine,
    "frame": _frame,
    **{f"{stage} ms": _stage(stage) for stage in STAGES},
    "total s": _number("total_s", ".2f"),
    "overlapped s": _number("overlapped_s", ".2f"),
    "memory MiB": _number("peak_bytes", ".0f", scale=MIB),
    "energy mJ": _number("energy_mj", ".0f"),
}
