"""The zoo as a table: what every network is and costs, for a 512x512 mosaic and for a 4256x2848 frame."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from keras_models.counting import macs, parameters, peak_activations
from keras_models.zoo import build, find
from runtime.contract import Contract, Option
from runtime.tabular import as_markdown

__all__ = ["TEXT", "Row", "markdown", "row"]

MOSAIC = (512, 512)
FRAME = (2848, 4256)
TEXT = {"network", "work", "task", "channels"}  # the columns that hold words


@dataclass(frozen=True)
class Row:
    """One network; sizes in bytes of float32, mosaic and frame in pixels of the sensor."""

    name: str
    authors: str
    year: int
    task: str
    channels: str
    parameters_trainable: int
    parameters_all: int
    parameters_folded: int
    macs_mosaic: int
    macs_frame: int
    float32_bytes: int
    peak_bytes_mosaic: int
    peak_bytes_frame: int
    multiple: int
    halo: int | None

    def as_dict(self) -> dict[str, Any]:
        """The row for JSON."""
        return asdict(self)

    def nature(self) -> dict[str, str]:
        """What the network is, as people read it."""
        return {
            "network": self.name,
            "work": f"{self.authors} {self.year}",
            "task": self.task,
            "channels": self.channels,
            "multiple": str(self.multiple),
            "halo": "whole frame" if self.halo is None else str(self.halo),
        }

    def cost(self) -> dict[str, str]:
        """What the network costs, as people read it."""
        return {
            "parameters": f"{self.parameters_trainable:,}",
            "all": f"{self.parameters_all:,}",
            "folded": f"{self.parameters_folded:,}",
            "float32 MB": f"{self.float32_bytes / 1e6:.2f}",
            "GMACs mosaic": f"{self.macs_mosaic / 1e9:.3f}",
            "GMACs frame": f"{self.macs_frame / 1e9:,.1f}",
            "MiB mosaic": f"{self.peak_bytes_mosaic / 2**20:,.0f}",
            "MiB frame": f"{self.peak_bytes_frame / 2**20:,.0f}",
        }


def row(name: str, **options: Option) -> Row:
    """Build a network and count it."""
    model, contract = build(name, **options)
    about, count = find(name), parameters(model)
    mosaic, frame = (_packed(contract, *size) for size in (MOSAIC, FRAME))
    return Row(
        name=name,
        authors=about.authors,
        year=about.year,
        task=contract.task,
        channels=_channels(contract),
        parameters_trainable=count.trainable,
        parameters_all=count.all,
        parameters_folded=count.folded,
        macs_mosaic=macs(model, *mosaic),
        macs_frame=macs(model, *frame),
        float32_bytes=4 * count.folded,
        peak_bytes_mosaic=peak_activations(model, *mosaic),
        peak_bytes_frame=peak_activations(model, *frame),
        multiple=contract.multiple,
        halo=contract.halo,
    )


def _channels(contract: Contract) -> str:
    """Planes in, channels out before they become pixels."""
    return f"{len(contract.planes)} -> {contract.channels * max(int(contract.scale), 1) ** 2}"


def _packed(contract: Contract, height: int, width: int) -> tuple[int, int]:
    """The network's input for an image of that size: packed, and made up to the multiple."""
    cell = contract.pack * contract.multiple
    up = [-(-side // cell) * contract.multiple for side in (height, width)]
    return up[0], up[1]


def markdown(rows: list[Row]) -> str:
    """The table for a README."""
    cells = [{**row.nature(), **row.cost()} for row in rows]
    heads = list(cells[0])
    return as_markdown(heads, [list(row.values()) for row in cells], words=len(TEXT & set(heads)))
