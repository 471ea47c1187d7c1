"""The commands of `qk-run` that judge: by figures, by time and memory, by eye, and on one page."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from runtime.command import Command

__all__ = ["bench", "evaluate", "report", "survey"]

SIDE = 2048  # pixels of a picture in a survey, at most


@click.command("eval", cls=Command, short_help="Judge models on pairs, in constant memory.")
@click.option("--pairs", required=True, help="Folder of pairs: dark and clean in it, or short and long.")
@click.option("--model", "models", required=True, multiple=True, help="A model, as often as there are; or amplified.")
@click.option(
    "--provider", default="auto", show_default=True, help="auto (what ships on the CPU), cpu, cuda or tensorrt."
)
@click.option("--ratio", default="name", show_default=True, help="name: as the pair's names say; auto, or a number.")
@click.option("--strength", type=float, default=1.0, show_default=True, help="0: amplified alone, 1: enhanced alone.")
@click.option("--max-memory", default="1G", show_default=True, help="Never hold more than this.")
@click.option("--threads", type=click.IntRange(1, 256), help="Threads for the network; all cores by default.")
@click.option("--out", help="File of JSON lines that a run begun again goes on with.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a model and pair, then one a model.")
def evaluate(pairs: str, models: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Judge models on pairs of dark RAW files and clean pictures: PSNR, SSIM and MSE, with 95 % intervals.

    The folder holds dark/00003_x100.dng and clean/00003.tif, the ratio in the name, or See in the Dark's
    short/00001_00_0.1s.ARW and long/00001_00_10s.ARW. A clean RAW file is developed by LibRaw as published; a TIFF
    whose description begins with "camera-linear" holds the camera's colours, any other TIFF or PNG is sRGB.

    Developed is the picture as it would be saved; linear its light: the camera's own colours if both the clean
    picture and the network have them, else sRGB without its curve. Equal pictures count as 100 dB. The model
    "amplified" is none: the frame amplified by its ratio. Seconds are of packing and the network. Means and intervals
    are over clean pictures: the frames of one count as one, their mean.

    A pair that cannot be judged does not stop the others; the exit code is then 1. With --out the same line goes on
    after an interruption.

    \b
    qk-run eval --pairs held --model amplified --model unet.onnx --out eval.jsonl
    """
    from runtime.show_eval import evaluate_all

    sys.exit(evaluate_all(pairs, models=models, as_json=as_json, **options))


@click.command(cls=Command, short_help="Measure models: time, memory, energy, errors.")
@click.option("--model", "models", multiple=True, required=True, help="A model's file or name; give it several times.")
@click.option("--provider", default="auto", show_default=True, help="auto, or some of cpu,cuda,tensorrt.")
@click.option(
    "--side",
    type=click.IntRange(1, 8192),
    default=512,
    show_default=True,
    help="Pixels of the network's square input; a Bayer mosaic is twice as large.",
)
@click.option(
    "--rounds", type=click.IntRange(1, 10000), default=50, show_default=True, help="Timed runs of each model."
)
@click.option("--threads", type=click.IntRange(1, 256), help="Threads for the network; all cores by default.")
@click.option("--against", help="The model whose answers errors are counted from; its network in float by default.")
@click.option(
    "--frame",
    "frames",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A RAW file to enhance with every model, from file to file.",
)
@click.option("--format", "format_", default="tiff", show_default=True, help="png, png8, tiff, tiff8, jpeg or dng.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the figures to this JSON file as well.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")
def bench(models: tuple[str, ...], provider: str, as_json: bool, out: Path | None, **options: Any) -> None:
    """Measure models side by side: time, memory, energy, what runs in integers, and errors.

    All of them run in turn, so that ratios hold on a machine that does other things as well. A model that cannot be
    measured does not stop the others; the exit code is then 1.

    \b
    qk-run bench --model fast --model unet.onnx --provider cpu,cuda
    qk-run bench --model fast --frame night.ARW --out bench.json
    """
    from runtime.show_bench import bench_all

    sys.exit(bench_all(models, provider=provider, as_json=as_json, out=out, **options))


@click.command(cls=Command, short_help="Put evaluations and benches on one page.")
@click.option(
    "--eval",
    "evals",
    multiple=True,
    type=click.Path(path_type=Path),
    help="What qk-run eval wrote; may be given again.",
)
@click.option(
    "--bench",
    "benches",
    multiple=True,
    type=click.Path(path_type=Path),
    help="What qk-run bench wrote; may be given again.",
)
@click.option(
    "--pictures",
    type=click.Path(path_type=Path),
    help="Folder of folders, one for each model, amplified or clean, with pictures of equal names.",
)
@click.option("-o", "--out", default="report.html", show_default=True, type=click.Path(path_type=Path), help="File.")
def report(evals: tuple[Path, ...], benches: tuple[Path, ...], pictures: Path | None, out: Path) -> None:
    """Write a page of evaluations and benches: what is the case, fronts, pictures and tables in one file.

    \b
    qk-run report --eval eval.jsonl --bench bench.json --pictures out -o report.html
    """
    from runtime.report import report as write

    click.echo(write(evals, benches=benches, shown=pictures, out=out, command=["qk-run", *sys.argv[1:]]))


@click.command(cls=Command, short_help="Ask people which pictures are better, and rank.")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR | --rank RESULT...")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="The page, survey.html; a ranking's .json or .svg.")
@click.option("--trials", type=click.IntRange(1), help="Comparisons for each judge; 60, or all there are.")
@click.option("--side", type=click.IntRange(64, 8192), help=f"Longest side, in pixels; {SIDE} by default.")
@click.option(
    "--seed", type=click.IntRange(0), help="Makes the same again; a judge who knows it could tell who is who."
)
@click.option("--rank", "ranks", is_flag=True, help="Rank the models by the answers that judges sent back.")
@click.option("--key", type=click.Path(path_type=Path), help="For --rank: the key that was written beside the page.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def survey(paths: tuple[Path, ...], ranks: bool, out: Path | None, as_json: bool, **options: Any) -> None:
    """Ask people which model's pictures are better, blind; and rank the models by what they say.

    DIR holds a folder for each model with pictures of equal names. The page is one file that needs no network; it names
    no model. The key is written beside it, as survey-key.json: keep it, and send judges the page alone. They send back
    a file of answers each.

    \b
    qk-run survey pictures -o survey.html
    qk-run survey --rank ann.json bob.json --key survey-key.json -o ranking.svg
    """
    from runtime.errors import BadOption

    asked = {f"--{name}" for name in ("trials", "side", "key") if options[name] is not None}
    for name in sorted(asked & ({"--trials", "--side"} if ranks else {"--key"})):
        raise BadOption(name, str(options[name[2:]]), "it without --rank" if ranks else "it with --rank")
    if ranks:
        _rank(paths, out=out, key=options["key"], seed=options["seed"], as_json=as_json)
    else:
        wanted = {name: options[name] for name in ("trials", "seed")} | {"side": options["side"] or SIDE}
        _ask(paths, out=out or Path("survey.html"), as_json=as_json, **wanted)


def _ask(paths: tuple[Path, ...], *, out: Path, as_json: bool, **options: Any) -> None:
    """Write the page; scenes that had to be left out make the exit code 1."""
    from functools import partial

    from rich.console import Console
    from rich.progress import track

    from runtime.errors import BadOption
    from runtime.survey import survey as write

    if len(paths) > 1:
        raise BadOption("DIR", str(paths[1]), "one folder; --rank takes several files of answers")
    console = Console(stderr=True, quiet=as_json)
    watched = partial(track, description="reading", console=console, transient=True, disable=not console.is_terminal)
    made = write(paths[0], out=out, track=watched, **options)
    for problem in made.problems:
        click.echo(f"left out: {problem}", err=True)
    if as_json:
        told = {"page": str(made.page), "key": str(made.key), "survey": made.survey}
        counts = {"trials": made.trials, "repeats": made.repeats, "problems": [str(one) for one in made.problems]}
        click.echo(json.dumps({**told, "models": made.models, "scenes": made.scenes, **counts}))
    else:
        click.echo(f"{made.page}: {len(made.models)} models, {made.trials} comparisons, {made.repeats} of them twice")
        click.echo(f"{made.key}: who is who; keep it from the judges, --rank needs it")
    sys.exit(1 if made.problems else 0)


def _rank(paths: tuple[Path, ...], *, out: Path | None, key: Path | None, seed: int | None, as_json: bool) -> None:
    """Print the ranking; files that could not be used make the exit code 1."""
    from runtime.errors import BadOption
    from runtime.verdict import verdict

    if key is None:
        raise BadOption("--key", "missing", "the file that qk-run survey wrote beside the page, survey-key.json")
    found = verdict(paths, key=key, seed=seed or 0)
    for problem in found.problems:
        click.echo(f"error: {problem}", err=True)
    click.echo(json.dumps(found.as_dict()) if as_json else "\n".join(found.lines()))
    if out is not None:
        click.echo(f"written to {found.write(out)}", err=True)
    sys.exit(1 if found.problems else 0)
