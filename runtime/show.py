"""What `qk-run enhance` shows while it works: progress for people on stderr, results on stdout, one line a file."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from runtime import batch, picture
from runtime.decode import Decoder
from runtime.enhancing import Enhancer
from runtime.inputs import Item, collect
from runtime.job import SWEEP, Job, Result, Wish, windows_of
from runtime.memory import parse
from runtime.session import open as open_model

if TYPE_CHECKING:
    from runtime.batch import Overwrite

__all__ = ["enhance_all"]


def enhance_all(
    inputs: Sequence[str],
    *,
    out: str,
    model: str,
    provider: str,
    ratio: str,
    format_: str,
    strength: float,
    max_memory: str | None,
    threads: int | None,
    jobs: int | None,
    overwrite: Overwrite,
    as_json: bool,
) -> int:
    """Enhance what is named; returns the exit code."""
    most = None if max_memory is None else parse(max_memory)
    wish = Wish(ratio=ratio, format=format_, strength=strength, max_memory=most, threads=threads)
    wish.check()
    items = collect(inputs, out, suffix=("-sweep" if ratio == SWEEP else "") + picture.suffix(format_))
    jobs = jobs or (1 if most or len(items) == 1 else 2)
    console = Console(stderr=True, quiet=as_json)
    seen: Counter[str] = Counter()

    def planned(item: Item, job: Job) -> None:
        at_most = f"at most {job.peak / 2**20:.0f} MiB"
        said = f"ratio {job.ratio.value:.4g} ({job.ratio.why}), windows {windows_of(job.plan)}, {at_most}"
        console.print(f"{_printable(str(item.input))}: {said}", highlight=False, markup=False, soft_wrap=True)

    with _interruptible(), Decoder(keep=jobs > 1) as decoder, _progress(console, len(items)) as advance:
        try:
            enhancer = Enhancer(open_model(model, provider=provider, threads=threads), wish)
            ran = enhancer.session.ran
            console.print(f"{ran.engine}, {ran.provider} ({ran.why}); {enhancer.contract.network}", highlight=False)
            work = batch.run(items, out, enhancer, overwrite=overwrite, jobs=jobs, decoder=decoder, planned=planned)
            for result in work:
                seen[result.status] += 1
                click.echo(json.dumps(result.as_dict()) if as_json else _line(result))
                advance()
        except KeyboardInterrupt:
            left = len(items) - sum(seen.values())
            click.echo(f"error: interrupted, {left} files left: run the same line again to go on", err=True)
            return 1
    return 1 if seen["failed"] else 0


def _line(result: Result) -> str:
    """A result for people."""
    name = _printable(result.input)
    match result.status:
        case "failed":
            return f"failed   {result.error}"
        case "skipped":
            return f"skipped  {name}: done before"
        case "kept":
            return f"kept     {result.output}: it is there already; --overwrite newer or always makes it again"
    seconds = " ".join(f"{key} {value:.2f}" for key, value in result.seconds.items())
    made = f"{_printable(str(result.output))}  {result.width} x {result.height}, ratio {result.ratio:.4g}"
    return f"done     {name} -> {made}; seconds: {seconds}"


def _printable(name: str) -> str:
    """A name that cannot break the line."""
    return name if name.isprintable() else repr(name)


@contextmanager
def _progress(console: Console, count: int) -> Iterator[Any]:
    """A bar with the time left, if there is a terminal to draw it on."""
    columns = (TextColumn("enhancing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal or count < 2, transient=True) as bar:
        task = bar.add_task("", total=count)
        yield lambda: bar.advance(task)


@contextmanager
def _interruptible() -> Iterator[None]:
    """The first interruption ends the run in order, the second at once: nothing that has a name is ever torn."""
    before = signal.getsignal(signal.SIGINT)

    def first(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, lambda *_: os._exit(1))
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
