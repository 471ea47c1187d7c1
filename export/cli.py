"""`qk-export`: from weights to the file that runs."""

from __future__ import annotations

from pathlib import Path

import click

from runtime.command import CONTEXT, Command

__all__ = ["main"]


@click.command(cls=Command, context_settings=dict(CONTEXT))
@click.argument("weights", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="The whole contract, as JSON.")
def main(weights: Path, as_json: bool) -> None:
    """Check a weights file to the last byte and show what it holds, as an export does before it writes."""
    from keras_models.weights import read

    contract, arrays = read(weights)
    if as_json:
        click.echo(contract.to_json())
        return
    options = ", ".join(f"{key}={value}" for key, value in sorted(contract.options.items()))
    click.echo(f"network    {contract.network} ({options})")
    click.echo(f"task       {contract.task}: {', '.join(contract.planes)} -> {contract.output}, {contract.scheme}")
    click.echo(f"weights    {sum(array.size for array in arrays.values()):,} numbers, trained on {contract.trained_on}")
    click.echo(f"digest     {contract.digest}")
