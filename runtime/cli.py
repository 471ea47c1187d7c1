"""`qk-run`: what a photographer or a robot types."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from runtime.command import CONTEXT, Group
from runtime.errors import SetupError

__all__ = ["main"]


@click.group(cls=Group, context_settings=dict(CONTEXT))
def main() -> None:
    """Run models on this machine, without TensorFlow."""


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object, sizes in bytes.")
def doctor(as_json: bool) -> None:
    """Show the engines of this machine, and the pip line for each that is missing.

    Exit code 3 if no engine is installed.
    """
    from runtime.doctor import engines, machine

    here, found = machine(), engines()
    if as_json:
        click.echo(json.dumps({"machine": asdict(here), "engines": [asdict(engine) for engine in found]}))
    else:
        click.echo(f"machine    {here.processor}, {here.cores} cores, {here.memory / 2**30:.1f} GiB, {here.system}")
        click.echo(f"python     {here.python}, {', '.join(f'{k} {v}' for k, v in here.libraries.items())}")
        for engine in found:
            state = (
                f"{engine.version} with {', '.join(engine.providers)}"
                if engine.version
                else f"missing: {engine.remedy}"
            )
            click.echo(f"engine     {engine.name} {state}")
    if not any(engine.version for engine in found):
        raise SetupError("no inference engine is installed", "pip install 'qk-unet[cpu]'")
