"""`qk-models`: the zoo, counted."""

from __future__ import annotations

import json
from typing import Any

import click

import keras_models
from keras_models.quiet import import_tensorflow
from keras_models.zoo import options_of
from runtime.command import CONTEXT, Command
from runtime.errors import BadOption

__all__ = ["main"]


@click.command(cls=Command, context_settings=dict(CONTEXT))
@click.argument("network", nargs=-1)
@click.option("-o", "--option", "options", multiple=True, metavar="NAME=VALUE", help="Build with it; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a network, a line each; sizes in bytes.")
@click.option("--markdown", "as_markdown", is_flag=True, help="The table as it stands in the README.")
def main(network: tuple[str, ...], options: tuple[str, ...], as_json: bool, as_markdown: bool) -> None:
    """Show the networks of the zoo and what each costs: all of them, or those named.

    Parameters are trainable / all / left once BatchNorm is folded. Multiply-accumulates and peak memory of
    float32 activations are for a 512x512 mosaic and for a 4256x2848 frame, halo and multiple in pixels of the
    network's input. All figures are computed from the graph.

    \b
    qk-models
    qk-models unet -o activation=relu -o width=16 --json
    """
    if as_json and as_markdown:
        raise BadOption("--markdown", "with --json", "one of them")
    import_tensorflow()
    from keras_models.table import markdown, row

    rows = [row(name, **options_of(name, options)) for name in network or keras_models.names()]
    if as_json:
        for each in rows:
            click.echo(json.dumps(each.as_dict()))
    elif as_markdown:
        click.echo(markdown(rows), nl=False)
    else:
        _print(rows)


def _print(rows: list[Any]) -> None:
    """Two tables for people, never cut: a terminal too narrow for them wraps, a pipe or a log gets whole lines."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from keras_models.table import TEXT

    for title, cells in (
        ("The zoo", [row.nature() for row in rows]),
        ("What it costs", [{"network": row.name, **row.cost()} for row in rows]),
    ):
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        for head in cells[0]:
            table.add_column(head.replace(" ", "\n"), justify="left" if head in TEXT else "right", no_wrap=True)
        for row in cells:
            table.add_row(*row.values())
        needed = Console(width=1000).measure(table).maximum
        Console(width=max(Console().width, needed), highlight=False).print(table)
