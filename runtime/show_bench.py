"""What `qk-run bench` shows: progress on stderr, tables or one JSON object on stdout, and the file if one is wished."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from runtime.atomic import writing
from runtime.bench import bench
from runtime.bench_table import lines
from runtime.errors import BadOption

__all__ = ["bench_all"]


def bench_all(
    models: Sequence[str], *, provider: str, as_json: bool, out: Path | None, format_: str, **options: Any
) -> int:
    """Measure what is named; returns the exit code."""
    providers = [name.strip() for name in provider.split(",") if name.strip()]
    if not providers:
        raise BadOption("--provider", provider, "auto, or some of cpu,cuda,tensorrt")
    report = bench(models, providers=providers, format=format_, said=_said, **options)
    report["command"] = shlex.join(["qk-run", *sys.argv[1:]])
    text = json.dumps(report)
    try:
        if out is not None:
            with writing(out) as file:
                file.write(text.encode() + b"\n")
    finally:  # minutes of measuring are not lost for a folder that is full
        click.echo(text if as_json else "\n".join(lines(report)))
    return 1 if report["problems"] else 0


def _said(words: str) -> None:
    click.echo(words, err=True)
