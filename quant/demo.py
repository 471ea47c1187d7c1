"""`make demo`: a frame of the night, and what amplifying, a classical denoiser and each network make of it.

What is compared begins with one RAW file, is told the same ratio, and runs in a process of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runtime.command import CONTEXT, Command
from runtime.errors import BadOption
from runtime.shipped import NAMES

if TYPE_CHECKING:
    import numpy as np

    from quant.exposures import Exposure

    Array = np.ndarray[Any, Any]
    Cells = list[tuple[str, Array]]

__all__ = ["Row", "demo", "main"]

RATIOS = (100.0, 300.0)
BEFORE, AMPLIFIED, MEANS, CLEAN = "before", "amplified", "non-local means", "what it should be"
HEIGHT, WIDTH = 1000, 1500
DETAIL = 560  # pixels, the width of each piece on the sheet
WIDE = 8  # pictures on a sheet from which on they stand in two bands
PAPER = 40 * 257  # the sheet's own grey
PIECE_AT = (0.88, 0.36)  # of height and width: of the scene that is made, print, colours and fruit
NOTE = (
    "PSNR and SSIM are of the developed picture, 8 bits of sRGB. Seconds are from the RAW file to the PNG file, on an "
    "engine that has run once; memory is the peak of the process that did it, Python and libraries included."
)
TOLD = (
    "Non-local means are told the sensor's noise, and their strength is the best for this very frame; networks are not."
)
GUESSED = (
    "There is nothing to compare with: PSNR and SSIM are left out. Non-local means are told the noise that was found."
)


@dataclass(frozen=True)
class Row:
    """One picture of one frame."""

    ratio: float
    name: str
    psnr: float | None
    ssim: float | None
    seconds: float | None
    peak: int | None  # bytes
    file: str


Tell = Callable[[str], None]


@click.command(cls=Command, context_settings=dict(CONTEXT))
@click.option("--out", default="demo", show_default=True, type=click.Path(path_type=Path), help="Folder for all of it.")
@click.option("--model", "models", multiple=True, help="A shipped model or a file; repeatable. All that are shipped.")
@click.option("--photo", type=click.Path(path_type=Path), help="Take this picture into the dark, not the made scene.")
@click.option("--raw", type=click.Path(path_type=Path), help="Take this RAW file of the dark as it is.")
@click.option("--ratio", "ratios", multiple=True, type=click.FloatRange(1), help="How many times too dark; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a picture.")
def main(*, out: Path, as_json: bool, **options: Any) -> None:
    """Take a frame of the night, and show what becomes of it.

    A desk by a window is drawn, seen by a sensor in the dark at x100 and x300, written as DNG, and enhanced. The
    folder then holds the pictures, one sheet of them all, and a page that wipes between any two.

    \b
    python -m quant.demo --out demo
    python -m quant.demo --photo holiday.jpg --ratio 200
    python -m quant.demo --raw night.ARW --model fast
    """
    rows = demo(out, tell=lambda line: click.echo(line, err=True), **options)
    if as_json:
        click.echo("\n".join(json.dumps(asdict(row)) for row in rows))
        return
    click.echo(_table(rows))
    click.echo(f"{NOTE} {TOLD if rows[0].psnr is not None else GUESSED}\n")
    for folder in dict.fromkeys(Path(row.file).parent for row in rows):
        click.echo(f"{folder / 'sheet.png'}  all of them\n{folder / 'compare.html'}  to wipe between any two")


def demo(
    out: Path,
    *,
    models: Sequence[str] = (),
    photo: Path | None = None,
    raw: Path | None = None,
    ratios: Sequence[float] = (),
    size: tuple[int, int] = (HEIGHT, WIDTH),
    tell: Tell = lambda line: None,
) -> list[Row]:
    """Everything that `make demo` does; returns what it prints."""
    models = _apart(models or NAMES)
    rows: list[Row] = []
    for exposure in _exposures(photo, raw, ratios, size=size, models=models, tell=tell):
        folder = out / f"x{exposure.ratio:.10g}"  # two that are close are two
        rows += _shown(exposure, folder, models, tell)
    return rows


def _apart(models: Sequence[str]) -> list[str]:
    """The models, if their names tell them apart."""
    names = [Path(model).name for model in models]
    if twice := {name for name in names if names.count(name) > 1}:
        raise BadOption("--model", ", ".join(models), f"models of different names: there are two {min(twice)}")
    return list(models)


def _exposures(
    photo: Path | None,
    raw: Path | None,
    ratios: Sequence[float],
    *,
    size: tuple[int, int],
    models: Sequence[str],
    tell: Tell,
) -> list[Exposure]:
    """The frames that were asked for."""
    from quant.exposures import opened, photograph, taken
    from runtime.session import open as open_model

    if photo is not None and raw is not None:
        raise BadOption("--photo", str(photo), "it without --raw, or --raw alone")
    contracts = {model: open_model(model).contract for model in models}
    if raw is not None:
        return [opened(raw, ratio=ratio, contract=contracts[models[0]]) for ratio in dict.fromkeys(ratios) or (None,)]
    for model, contract in contracts.items():
        if too_dark := [ratio for ratio in ratios if not ratio <= contract.ratio_max]:  # NaN is no ratio either
            raise BadOption("--ratio", too_dark[0], f"1 to {contract.ratio_max:g}, what {Path(model).name} is made for")
    if photo is not None:
        scene = photograph(photo)
    else:
        from quant.night import night

        tell("drawing a desk by a window at night")
        scene = night(*size).transpose(2, 0, 1)
    return [taken(scene, ratio=ratio) for ratio in dict.fromkeys(ratios) or RATIOS]


def _shown(exposure: Exposure, folder: Path, models: Sequence[str], tell: Tell) -> list[Row]:
    """All pictures of one frame, and where to look at them."""
    from quant.contenders import amplify, enhance, smooth
    from quant.exposures import developed, strength
    from quant.watched import watched
    from runtime import dng, picture
    from runtime.compare import compare

    dark, ratio = folder / "dark.dng", exposure.ratio
    dng.save_mosaic(exposure.raw, dark, description=f"ratio {ratio:g}")
    clean = None if exposure.clean is None else developed(exposure.clean, exposure.raw)
    rows = []

    def add(name: str, work: Callable[..., float], *arguments: Any) -> None:
        tell(f"x{ratio:.4g}: {name}")
        path = folder / f"{name.replace(' ', '-')}.png"
        spent = watched(work, dark, path, *arguments)
        rows.append(Row(ratio, name, *_figures(path, clean), spent.seconds, spent.peak, str(path)))

    add(BEFORE, amplify, 1.0)
    add(AMPLIFIED, amplify, ratio)
    add(MEANS, smooth, ratio, exposure.noise, strength(exposure))
    for model in models:
        add(Path(model).name, enhance, ratio, model)
    if clean is not None:
        path = folder / "clean.png"
        picture.save(clean, path, format="png8", raw=exposure.raw)
        rows.append(Row(ratio, CLEAN, None, None, None, None, str(path)))
    _sheet(rows, folder / "sheet.png")
    compare(*(row.file for row in rows), out=folder / "compare.html")
    return rows


def _figures(path: Path, clean: Array | None) -> tuple[float | None, float | None]:
    """PSNR and SSIM of a picture, if it is known what it should be."""
    from runtime.measure import psnr, ssim

    if clean is None:
        return None, None
    made, wanted = _read(path) / 255, clean / 65535
    return psnr(wanted, made, data_range=1.0), ssim(wanted, made, data_range=1.0)


def _read(path: str | Path) -> Array:
    import numpy as np
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image)


def _sheet(rows: Sequence[Row], path: Path) -> None:
    """Every picture as a whole, and under it a piece of it, pixel by pixel."""
    from runtime import picture
    from runtime.sheet import contact_sheet, shrunk

    wholes, pieces = [], []
    for row in rows:
        deep = _read(row.file).astype("uint16") * 257
        figures = "" if row.psnr is None else f", {row.psnr:.1f} dB"
        small = shrunk(deep, side=DETAIL)
        wholes.append((f"x{row.ratio:.4g}, {row.name}{figures}", small))
        height, width = small.shape[:2]
        top, left = (round((n - part) * at) for n, part, at in zip(deep.shape, (height, width), PIECE_AT, strict=False))
        pieces.append((f"{row.name}, 1:1", deep[top : top + height, left : left + width]))
    columns = -(-len(rows) // (1 if len(rows) < WIDE else 2))
    cells = [cell for at in range(0, len(rows), columns) for cell in _band(wholes, pieces, at, columns)]
    picture.save(contact_sheet(cells, columns=columns, side=DETAIL), path, format="png8")


def _band(wholes: Cells, pieces: Cells, at: int, columns: int) -> Cells:
    """A row of wholes and the row of their pieces; an empty place where a row is not full."""
    import numpy as np

    few = columns - len(wholes[at : at + columns])
    empty = [("", np.full((1, 1, 3), PAPER, np.uint16))] * few
    return [*wholes[at : at + columns], *empty, *pieces[at : at + columns], *empty]


def _table(rows: Sequence[Row]) -> str:
    """The figures, for people."""
    from runtime.tabular import as_markdown

    def cell(value: float | None, form: str, *, unit: float = 1) -> str:
        return "" if value is None else format(value / unit, form)

    lines = [
        [
            f"x{row.ratio:.4g}",
            row.name,
            cell(row.psnr, ".2f"),
            cell(row.ssim, ".3f"),
            cell(row.seconds, ".2f"),
            cell(row.peak, ".0f", unit=2**20),
            row.file,
        ]
        for row in rows
    ]
    return as_markdown(("too dark", "picture", "PSNR", "SSIM", "seconds", "MiB", "file"), lines, words=2)


if __name__ == "__main__":
    main()
