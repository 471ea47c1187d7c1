"""What `qk-run enhance` shows while it works: progress for people on stderr, results on stdout, one line a file."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from runtime import batch, picture
from runtime.contract import Contract
from runtime.decode import Decoder
from runtime.enhancing import Enhancer
from runtime.errors import BadOption
from runtime.inputs import Item, collect
from runtime.job import SWEEP, Job, Result, Wish, windows_of
from runtime.memory import parse
from runtime.session import open as open_model

if TYPE_CHECKING:
    from runtime.batch import Overwrite

__all__ = ["enhance_all"]

STAGES = ("decode", "pack", "infer", "develop", "encode")
SPELLINGS = {"jpg": "jpeg", "tif": "tiff"}  # what people type, and what it is called
MOST_NAMED = 10  # files that failed, at the end


def enhance_all(
    inputs: Sequence[str],
    *,
    out: str,
    model: str,
    provider: str,
    ratio: str,
    format_: str | None,
    strength: float,
    max_memory: str | None,
    threads: int | None,
    jobs: int | None,
    overwrite: Overwrite,
    as_json: bool,
) -> int:
    """Enhance what is named; returns the exit code."""
    most = None if max_memory is None else parse(max_memory)
    kind = _format(out, format_)
    wish = Wish(ratio=ratio, format=kind, strength=strength, max_memory=most, threads=threads)
    wish.check()
    items = collect(inputs, out, suffix=("-sweep" if ratio == SWEEP else "") + picture.suffix(kind))
    if _is_picture(out):
        items, out = _alone(items, out, kind)
    jobs = jobs or (1 if most or len(items) == 1 else 2)
    console = Console(stderr=True, quiet=as_json)
    seen: Counter[str] = Counter()
    failed: list[str] = []

    def planned(item: Item, job: Job) -> None:
        at_most = f"at most {job.peak / 2**20:.0f} MiB"
        said = f"ratio {job.ratio.value:.4g} ({job.ratio.why}), windows {windows_of(job.plan)}, {at_most}"
        console.print(f"{_printable(str(item.input))}: {said}", highlight=False, markup=False, soft_wrap=True)

    with _interruptible(), Decoder(keep=jobs > 1) as decoder, _progress(console, len(items)) as advance:
        try:
            enhancer = Enhancer(open_model(model, provider=provider, threads=threads), wish)
            ran = enhancer.session.ran
            about = f"{_called(model, enhancer.contract)}; {ran.engine}, {ran.provider} ({ran.why})"
            console.print(about, highlight=False, markup=False)
            work = batch.run(items, out, enhancer, overwrite=overwrite, jobs=jobs, decoder=decoder, planned=planned)
            for result in work:
                seen[result.status] += 1
                failed += [result.input] if result.status == "failed" else []
                click.echo(json.dumps(result.as_dict()) if as_json else _line(result))
                advance()
        except KeyboardInterrupt:
            left = len(items) - sum(seen.values())
            click.echo(f"error: interrupted, {left} files left: run the same line again to go on", err=True)
            return 1
    if len(items) > 1:
        console.print(_told(seen, failed), highlight=False, markup=False, soft_wrap=True)
    return 1 if failed else 0


def _format(out: str, asked: str | None) -> str:
    """The format that is asked for, or that the picture's name ends in."""
    if asked is not None:
        return SPELLINGS.get(asked, asked)
    return picture.format_of(out) if _is_picture(out) else "png"


def _is_picture(out: str) -> bool:
    """Whether that is the name of a picture, and no folder."""
    known = {ending for endings in picture.FORMATS.values() for ending in endings}
    return Path(out).suffix.lower() in known and not os.path.isdir(out)  # noqa: PTH112 (Path's own may raise)


def _alone(items: list[Item], out: str, kind: str) -> tuple[list[Item], str]:
    """The only file with the picture it becomes, and the folder of that."""
    if len(items) != 1:
        raise BadOption("--out", out, f"a folder: there are {len(items)} files")
    if Path(out).suffix.lower() not in picture.FORMATS[kind]:
        raise BadOption("--out", out, f"a name that ends in {picture.suffix(kind)}, or leave --format out")
    return [Item(items[0].input, Path(out))], str(Path(out).parent)


def _called(model: str, contract: Contract) -> str:
    """A model by its name or its file's, and what it is."""
    return f"{_printable(Path(model).name)} ({contract.network}, {contract.bits})"


def _told(seen: Counter[str], failed: Sequence[str]) -> str:
    """How it ended: what became of how many, and which of them failed."""
    counts = ", ".join(f"{count} {status}" for status, count in seen.items())
    names = ", ".join(map(_printable, failed[:MOST_NAMED]))
    return f"{counts}: {names}{', ...' * (len(failed) > MOST_NAMED)}" if failed else counts


def _line(result: Result) -> str:
    """A result for people."""
    name = _printable(result.input)
    match result.status:
        case "failed":
            return f"failed   {result.error}"
        case "skipped":
            return f"skipped  {name}: done before"
        case "kept":
            kept = _printable(str(result.output))
            return f"kept     {kept}: it is there, and not of this model and these options; see --overwrite"
    seconds = " ".join(f"{stage} {result.seconds[stage]:.2f}" for stage in STAGES if stage in result.seconds)
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
