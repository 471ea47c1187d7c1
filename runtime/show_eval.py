"""What `qk-run eval` shows: a line a pair as it is judged, and at the end a table, a model after the other."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from runtime.evaluating import Terms, evaluate
from runtime.measure import Mean, Scenes
from runtime.memory import parse
from runtime.pairing import Pairs, paired
from runtime.ratio import AS_ASKED
from runtime.scores import LIGHTS, Summary
from runtime.tabular import aligned

__all__ = ["evaluate_all", "rows_of"]

HEAD = ("model", "light", "PSNR, dB", "SSIM", "MSE", "n", "s a frame")
INTERRUPTED = "error: interrupted: run the same line again to go on"


def evaluate_all(
    folder: str,
    *,
    models: Sequence[str],
    provider: str,
    ratio: str,
    strength: float,
    max_memory: str | None,
    threads: int | None,
    out: str | None,
    as_json: bool,
) -> int:
    """Judge the models on the pairs of a folder; returns the exit code."""
    most = None if max_memory is None else parse(max_memory)
    terms = Terms(ratio=ratio, strength=strength, provider=provider, max_memory=most, threads=threads)
    terms.check()
    found, models = paired(folder), list(dict.fromkeys(models))
    _left_out(found)
    summaries = {model: Summary(model) for model in models}
    unpaired = 0
    console = Console(stderr=True, quiet=as_json)
    columns = (TextColumn("judging"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("", total=len(models) * len(found.pairs))
        try:
            for line in evaluate(found, models, terms=terms, out=out):
                click.echo(json.dumps(line) if as_json else _said(line))
                if "model" in line:
                    summaries[line["model"]].add(line)
                    bar.advance(task)
                else:
                    unpaired += 1
        except KeyboardInterrupt:
            click.echo(INTERRUPTED if out else "error: interrupted: with --out FILE a run can go on", err=True)
            return 1
    _show(list(summaries.values()), as_json=as_json)
    return 1 if unpaired or any(summary.failed for summary in summaries.values()) else 0


def _left_out(found: Pairs) -> None:
    if found.left_out:
        names = ", ".join(sorted({path.name[:5] for path in found.left_out}))
        click.echo(f"left out: the camera moved in {names}", err=True)


def _said(line: dict[str, Any]) -> str:
    """A pair for people."""
    if "error" in line:
        return f"failed   {line['error']}"
    figures = line["developed"]
    name = line["pair"] if line["pair"].isprintable() else repr(line["pair"])
    told = f"judged   {name}, {line['model']}: {figures['psnr']:.2f} dB, SSIM {figures['ssim']:.4f}"
    # What the name or the line says is known; any other ratio is said, and why it is that.
    return told if line["why"] == AS_ASKED else f"{told}, at x{line['ratio']:.4g} ({line['why']})"


def _show(summaries: list[Summary], *, as_json: bool) -> None:
    if as_json:
        for summary in summaries:
            click.echo(json.dumps(summary.as_dict()))
        return
    rows = [row for summary in summaries for row in rows_of(summary)]
    click.echo("\n" + aligned(HEAD, rows, words=2), nl=False)


def rows_of(summary: Summary) -> list[tuple[str, ...]]:
    """Rows of the table: the picture as it would be saved, and its light, a row for each kind of it."""
    seconds = _told(summary.seconds, "{:.2f}", interval=False)
    kinds = [("developed", summary.developed)]
    kinds += [(f"linear, {LIGHTS[light]}", summary.linear[light]) for light in sorted(summary.linear)]
    rows: list[tuple[str, ...]] = []
    for shown, figures in kinds:
        psnr, ssim, mse = (figures[name].mean for name in ("psnr", "ssim", "mse"))
        cells = _told(psnr, "{:.2f}"), _told(ssim, "{:.4f}"), _told(mse, "{:.2e}")
        rows.append((summary.model, shown, *cells, _counted(figures["psnr"], summary.failed), seconds))
    return rows


def _counted(judged: Scenes, failed: int) -> str:
    """How many pairs, and of how many scenes where that is another number."""
    scenes = judged.mean.count
    of = f" of {scenes} scene{'s' if scenes != 1 else ''}" if scenes != judged.count else ""
    return f"{judged.count}{of}" + (f", {failed} failed" if failed else "")


def _told(mean: Mean, form: str, *, interval: bool = True) -> str:
    """A mean, and by how much the true one may be more or less."""
    if not mean.count:
        return "-"
    half = mean.interval[1] - mean.mean
    return form.format(mean.mean) + (f" ± {form.format(half)}" if interval and math.isfinite(half) else "")
