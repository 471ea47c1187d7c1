"""`qk-run`: what a photographer or a robot types."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from runtime.command import CONTEXT, Group
from runtime.errors import SetupError
from runtime.judging import bench, evaluate, report, survey
from runtime.shipped import DEFAULT

__all__ = ["main"]


@click.group(cls=Group, context_settings=dict(CONTEXT))
@click.version_option(package_name="qk-unet", prog_name="qk-run")
def main() -> None:
    """Run models on this machine, without TensorFlow."""


for command in (evaluate, bench, report, survey):
    main.add_command(command)


@main.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("-o", "--out", required=True, help="Folder for the pictures, or of one file the picture: night.tif.")
@click.option("--model", default=DEFAULT, show_default=True, help="A model's name, or its .onnx or .tflite file.")
@click.option(
    "--provider", default="auto", show_default=True, help="auto (what ships on the CPU), cpu, cuda or tensorrt."
)
@click.option("--ratio", default="auto", show_default=True, help="auto, how many times brighter, or sweep.")
@click.option("--format", "format_", help="png (16 bits), png8, tiff, tiff8, jpeg or dng; else as --out ends, or png.")
@click.option("--strength", type=float, default=1.0, show_default=True, help="0: amplified alone, 1: enhanced alone.")
@click.option("--max-memory", help="Never hold more than this, for example 512M; files then go one by one.")
@click.option("--threads", type=click.IntRange(1, 256), help="Threads for the network; all cores by default.")
@click.option("--jobs", type=click.IntRange(1, 2), help="1: a file at a time; 2: read, enhance and write side by side.")
@click.option(
    "--overwrite",
    type=click.Choice(["never", "newer", "always"]),
    default="never",
    show_default=True,
    help="What happens to pictures that are there; newer: made again if the RAW file is.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a file.")
def enhance(inputs: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Make pictures of dark RAW files.

    INPUT is a file, a folder or a pattern. A file that cannot be enhanced does not stop the others; the exit code is
    then 1. Run the same line again to go on after an interruption: what is done is skipped.

    \b
    qk-run enhance night.ARW -o night.tif
    qk-run enhance photos -o out --model unet.onnx --format jpeg --ratio 100
    """
    from runtime.show import enhance_all

    sys.exit(enhance_all(inputs, as_json=as_json, **options))


@main.command(short_help="Tell all about a RAW file or a model.")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object; of all models one each.")
def info(file: Path | None, as_json: bool) -> None:
    """Show all that is known about a RAW file or a model; without FILE, which models there are.

    \b
    qk-run info
    qk-run info fast
    qk-run info night.ARW --json
    """
    from runtime.info import info as known
    from runtime.info import lines, summary
    from runtime.shipped import NAMES

    if file is not None:
        found = known(file)
        click.echo(json.dumps(found) if as_json else "\n".join(lines(found)))
        return
    for name in NAMES:
        click.echo(json.dumps(known(name)) if as_json else summary(name))


@main.command(short_help="Write a page that wipes between pictures.")
@click.argument("pictures", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="BEFORE AFTER...")
@click.option("-o", "--out", default="compare.html", show_default=True, type=click.Path(path_type=Path), help="File.")
def compare(pictures: tuple[Path, ...], out: Path) -> None:
    """Write a page that wipes between pictures: one file, nothing else is needed to look at it."""
    from runtime.compare import compare as write
    from runtime.errors import BadOption

    if len(pictures) < 2:
        raise BadOption("BEFORE AFTER", str(pictures[0]), "two pictures or more")
    click.echo(write(*pictures, out=out))


@main.command(short_help="Test the engines of this machine.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, sizes in bytes.")
def doctor(as_json: bool) -> None:
    """Show the engines of this machine, the pip line for each that is missing, and whether they compute right.

    Each engine runs a tiny int8 network, whose integers must be those stored with it; so does each GPU that ONNX
    Runtime lists, which may round otherwise or not start. Exit code 3 if no engine is installed, or one cannot be
    loaded or fails on the CPU.
    """
    from runtime.doctor import engines, machine, notes, self_test, starts
    from runtime.selftest import SELF_TESTS

    here, found, gpus = machine(), engines(), starts()
    said = [f"{gpu.problem}: {gpu.remedy}" for gpu in gpus if not gpu.starts]
    said += notes(providers=[provider for engine in found for provider in engine.providers])
    tests = [self_test(engine.name) for engine in found if engine.version and engine.name in SELF_TESTS]
    if as_json:
        told = {"machine": asdict(here), "engines": [asdict(e) for e in found], "notes": said}
        told |= {"gpus": [asdict(gpu) for gpu in gpus], "self_tests": [asdict(test) for test in tests]}
        click.echo(json.dumps(told))
    else:
        memory = f"{here.memory / 2**30:.1f} GiB, {here.available / 2**30:.1f} available"
        click.echo(f"machine    {here.processor}, {here.cores} cores, {memory}, {here.system}")
        click.echo(f"python     {here.python}, {', '.join(f'{k} {v}' for k, v in here.libraries.items())}")
        for engine in found:
            lacks = f"{engine.problem or f'{engine.name} missing'}: {engine.remedy}"
            has = f"{engine.name} {engine.version} with {', '.join(engine.providers)}"
            click.echo(f"engine     {has if engine.version else lacks}")
        for test in tests:
            state = "computes the same integers here as where it was made" if test.ok else f"FAILED: {test.problem}"
            click.echo(f"self-test  {test.engine} {state}")
        for gpu in gpus:
            if gpu.starts:
                same = "the same integers as a CPU" if gpu.equal else "not quite the integers of a CPU"
                click.echo(f"gpu        {gpu.provider} starts, and computes {same}")
        for note in said:
            click.echo(f"note       {note}")
    for test in tests:
        if not test.ok:
            raise SetupError(f"{test.engine} fails its self-test", "install the tested version: constraints.txt has it")
    for engine in found:
        if engine.problem:
            raise SetupError(engine.problem, str(engine.remedy))
    if not any(engine.version for engine in found):
        raise SetupError("no inference engine is installed", "pip install 'qk-unet[cpu]'")
