"""`qk-export`: from weights to files that run, each proved equal to the network before it is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from keras_models.parents import located
from runtime.command import CONTEXT, Command
from runtime.errors import BadOption
from runtime.library import need

__all__ = ["main"]


@click.command(cls=Command, context_settings=dict(CONTEXT))
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN.npz|NAME")
@click.option("--to", "formats", type=click.Choice(["onnx", "tflite"]), multiple=True, help="Format; repeatable.")
@click.option("--bits", type=click.IntRange(2, 8), help="Round a float network's kernels to so many bits.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder; beside RUN by default.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a file.")
def main(run: Path, formats: tuple[str, ...], bits: int | None, out: Path | None, as_json: bool) -> None:
    """Write a network to ONNX and TFLite, and prove each file equal to it.

    RUN is a file of weights, or of a network that a scheme has quantized. NAME is a model that ships: what is written
    is not that model but its parent, in float, under that name. Without --to it is checked to the last byte and its
    contract shown. A quantized file must equal the integer reference in every value (one with layers in float between,
    of several samples in some), a float one Keras within a hundred-thousandth of the output's range; a file that does
    not is not kept.

    \b
    qk-export unet.npz --to onnx --to tflite
    qk-export unet.npz --to onnx --bits 4 --out files
    qk-export fast --to onnx
    """
    found = located(run)
    ships = found != run
    folder = out or (Path() if ships else found.parent)
    if not formats:
        if bits is not None or out is not None:
            raise BadOption("--out" if bits is None else "--bits", bits or str(out), "--to with it: no file is written")
        _show(found, as_json)
        return
    from keras_models.quiet import import_tensorflow

    import_tensorflow()
    need("onnx", library="onnx", extra="train")
    from export.report import export_files, print_table

    rows: list[dict[str, Any]] = export_files(
        found, formats, name=str(run) if ships else run.stem, bits=bits, out=folder, quiet=as_json
    )
    if ships:
        click.echo(f"written from the float parent of {run}, not from the model that ships", err=True)
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
    else:
        print_table(rows)


def _show(run: Path, as_json: bool) -> None:
    from keras_models.weights import read

    contract, arrays = read(run)
    if as_json:
        click.echo(contract.to_json())
        return
    options = ", ".join(f"{key}={value}" for key, value in sorted(contract.options.items()))
    click.echo(f"network    {contract.network} ({options})")
    click.echo(f"task       {contract.task}: {', '.join(contract.planes)} -> {contract.output}, {contract.scheme}")
    click.echo(f"weights    {sum(array.size for array in arrays.values()):,} numbers, trained on {contract.trained_on}")
    click.echo(f"digest     {contract.digest}")
