"""`qk-train`: from a network's name to its weights."""

from __future__ import annotations

from pathlib import Path

import click

import keras_models
from keras_models.quiet import import_tensorflow
from keras_models.zoo import options_of
from runtime.command import CONTEXT, Command

__all__ = ["main"]


@click.command(cls=Command, context_settings=dict(CONTEXT))
@click.argument("network")
@click.option("-o", "--option", "options", multiple=True, metavar="NAME=VALUE", help="Build with it; repeatable.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the random numbers.")
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="FILE.npz", help="The weights file.")
def main(network: str, options: tuple[str, ...], seed: int, out: Path) -> None:
    """Write the weights a training of NETWORK starts from: random, seeded, with the contract in the file.

    The same seed gives the same weights.

    \b
    qk-train unet --out runs/unet.npz
    qk-train light -o width=16 --seed 7 --out runs/light.npz
    """
    import_tensorflow()
    chosen = options_of(network, options)
    import tf_keras

    tf_keras.utils.set_random_seed(seed)
    model, contract = keras_models.build(network, **chosen)
    contract = keras_models.save(model, contract, out)
    click.echo(f"{out}  {model.count_params():,} numbers, digest {contract.digest[:12]}")
