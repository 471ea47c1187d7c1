"""Is anything harmed where nothing was to be mended: bright RAW files at ratio 1, against LibRaw; a table and pictures.

    python tests/bench_bright.py --model fast.onnx --model fast-int8.onnx --out /tmp/bright

The mosaic itself is the judge: binned two by two (red, the mean of the greens, blue) it is a picture without any
demosaicing. What a model makes, and LibRaw's own linear development (AHD, the camera's colours, no white balance), are
binned as well and compared with it. Where a picture's pixels lie in the cell is not where the mosaic's lie, for both
alike: so LibRaw's figure is the measure, not an infinite one. LibRaw's half size, which is that binning, must be equal:
it shows that levels are read alike. With white balance AHD would be a decibel better, but cut at another white.

- PSNR: not more than 1 dB below LibRaw's.
- level: means of red, green and blue against the mosaic's, within 1 %: no cast of colour. `shadows` are cells below a
  twentieth of white.
- overshoot: how far green leaves the range of the greens measured within two pixels, at strong edges, in % of the
  edge; the mean. `dark` and `bright`: how much too bright those sides of strong edges are, in % of the edge: a halo.
- grid: what the four pixels of a cell differ by in the mean over a flat patch, in % of its level, in the worst colour:
  lines and checks that a picture has and a scene has not.
- seams: the greatest difference between a picture made in one and one made of windows, in levels of 65535.

Scenes of these files may be of the training; at a quarter of the pixels, seen by other cameras.
"""

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import rawpy
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from runtime import session
from runtime.decode import read
from runtime.develop import develop, look
from runtime.enhancing import Enhancer
from runtime.errors import Error
from runtime.job import Wish
from runtime.measure import psnr
from runtime.pack import TILES
from runtime.tiles import plans

EDGE = 16  # pixels around a crop that nobody is judged by: a crop's rim is no picture's
STRONG = 0.2  # of white: an edge between cells that counts
SHADOW = 0.05
PATCH = 32  # pixels a side: noise of a place in the cell is down by 16
NEAR = 5  # cells or greens on a side: what lies around a pixel
LOST, CAST = 1.0, 0.01  # dB, and share of a mean
SHOWN, ENLARGED = 160, 2
TOP = np.float32(1 / 65535)
LEVELS = [f"{what} {colour}" for what in ("level", "shadows") for colour in "RGB"]
HEADS = ["PSNR", *LEVELS, "overshoot", "dark", "bright", "grid", "seams"]


def cropped(raw, side):
    """The middle of a frame, from a whole cell that begins with red; and where it begins."""
    turn = next(t for t in np.ndindex(2, 2) if np.array_equal(np.roll(raw.pattern, t, (0, 1)), TILES["bayer"]))
    size = [min(side, pixels - 4) // 64 * 64 for pixels in raw.mosaic.shape]
    y, x = ((pixels - wide) // 4 * 2 + by for pixels, wide, by in zip(raw.mosaic.shape, size, turn, strict=True))
    black = np.roll(raw.black, turn, (0, 1)).tolist()
    made = replace(
        raw,
        mosaic=np.ascontiguousarray(raw.mosaic[y : y + size[0], x : x + size[1]]),
        pattern=TILES["bayer"],
        black=tuple(map(tuple, black)),
        about=replace(raw.about, orientation=1),
    )
    return made, (slice(y, y + size[0]), slice(x, x + size[1]))


def light(raw):
    """The mosaic from black to white, 0 to 1."""
    black = np.tile(raw.black, (raw.mosaic.shape[0] // 2, raw.mosaic.shape[1] // 2))
    return np.clip((raw.mosaic - black) / (raw.white - black), 0, 1).astype(np.float32)


def binned(picture):
    """A picture (h, w, 3) or a mosaic (h, w) that begins with red, at half its size in full colour."""
    parts = [picture[y::2, x::2] for y, x in np.ndindex(2, 2)]
    if picture.ndim == 3:
        return np.mean(parts, axis=0)
    red, one, other, blue = parts
    return np.stack([red, (one + other) / 2, blue], axis=-1)


def libraw(path, raw, where, **options):
    """LibRaw's development of the same place, linear, 0 to 1, with the white that we read: it counts from black."""
    with rawpy.imread(str(path)) as opened:
        made = opened.postprocess(
            gamma=(1, 1), no_auto_bright=True, output_bps=16, output_color=rawpy.ColorSpace.raw, user_flip=0,
            user_wb=[1, 1, 1, 1], adjust_maximum_thr=0, user_sat=int(raw.white - raw.black[0][0]), **options,
        )  # fmt: skip
    rows, columns = where
    if options.get("half_size"):
        rows, columns = (slice(part.start // 2, part.stop // 2) for part in where)
    return made[rows, columns] * TOP


def enhanced(model, raw, *, windows=False):
    """What a model makes of a frame at ratio 1, linear, 0 to 1; in windows, as many as can be in reason."""
    enhancer = Enhancer(model, Wish(ratio="1", format="dng"))
    job = enhancer.prepare(raw)
    if windows:
        several = [plan for plan in plans(job.frame.height, job.frame.width, model.contract) if len(plan.rows) > 1]
        several = [plan for plan in several if len(plan.columns) > 1]
        job = replace(job, plan=min(several, key=lambda plan: plan.pixels))
    enhancer.infer(job)
    return job.pixels * TOP


def inside(picture, rim=EDGE):
    return picture[rim:-rim, rim:-rim]


def ranges(plane):
    """The least and the greatest around each pixel that has a whole window, what is no number left out."""
    windows = sliding_window_view(plane, (NEAR, NEAR))
    return np.nanmin(windows, axis=(2, 3)), np.nanmax(windows, axis=(2, 3))


def overshoot(made, raw):
    """Mean share of a strong edge by which green leaves what was measured around it."""
    greens = np.full(raw.mosaic.shape, np.nan, np.float32)
    mosaic = light(raw)
    greens[0::2, 1::2], greens[1::2, 0::2] = mosaic[0::2, 1::2], mosaic[1::2, 0::2]
    least, most = ranges(inside(greens))
    green = inside(inside(made[..., 1]), NEAR // 2)
    out = np.maximum(green - most, 0) + np.maximum(least - green, 0)
    strong = most - least > STRONG
    return float((out[strong] / (most - least)[strong]).mean()) if strong.any() else np.nan


def sides(made, truth):
    """Mean error on the dark and on the bright side of strong edges, in shares of the edge: of green cells."""
    least, most = ranges(truth[..., 1])
    error, cells = (inside(one[..., 1], NEAR // 2) for one in (made - truth, truth))
    span = most - least
    strong = span > STRONG
    below = cells < (least + most) / 2
    shares = [(error / np.maximum(span, STRONG))[strong & side] for side in (below, ~below)]
    return [float(one.mean()) if one.size else np.nan for one in shares]


def grid(made):
    """How much the pixels of a cell differ by their place in it, beyond a slope; the mean of the flatter patches."""
    high, wide = (pixels // PATCH for pixels in made.shape[:2])
    half = PATCH // 4  # of a patch, in cells
    patches = made[: high * PATCH, : wide * PATCH].reshape(high, PATCH // 2, 2, wide, PATCH // 2, 2, 3)
    level, cells = patches.mean((1, 2, 4, 5)), patches.mean((2, 5))
    places = patches.mean((1, 4)) - level[:, None, :, None]
    down = (cells[:, half:].mean((1, 3)) - cells[:, :half].mean((1, 3))) / (2 * half)  # of one pixel
    right = (cells[:, :, :, half:].mean((1, 3)) - cells[:, :, :, :half].mean((1, 3))) / (2 * half)
    places -= np.stack([-down, down], axis=1)[:, :, :, None] / 2 + np.stack([-right, right], axis=2)[:, None] / 2
    shares = np.sqrt(np.square(places).mean((1, 3))) / np.maximum(level, SHADOW)
    uneven = cells[..., 1].std((1, 3))
    return float(shares[uneven <= np.median(uneven)].mean(0).max())


def judged(made, raw):
    """The figures of a linear picture, 0 to 1, in the order of the heads but the last."""
    cells, truth = inside(binned(made), EDGE // 2), inside(binned(light(raw)), EDGE // 2)
    dark = truth.mean(-1) < SHADOW
    shadows = (cells[dark].mean(0) / truth[dark].mean(0)).tolist() if dark.any() else [np.nan] * 3
    levels = (cells.mean((0, 1)) / truth.mean((0, 1))).tolist()
    halo = [overshoot(made, raw), *sides(cells, truth)]
    return [psnr(truth, cells, data_range=1), *levels, *shadows, *(100 * one for one in (*halo, grid(inside(made))))]


def developed(linear, raw, contract):
    """A linear picture for a display, 8 bits."""
    out = np.empty(linear.shape, np.uint16)
    develop(np.ascontiguousarray(linear.transpose(2, 0, 1)), look(raw, contract), out)
    return (out >> 8).astype(np.uint8)


def show(pictures, raw, contract, path):
    """The place with the strongest edges, of all pictures side by side."""
    green = binned(light(raw))[..., 1]
    steps = np.abs(np.diff(green, axis=1))[:, : SHOWN // 2 * (green.shape[1] // (SHOWN // 2)) - 1]
    half = SHOWN // 2
    places = [(y, x) for y in range(8, len(green) - half - 8, half) for x in range(8, green.shape[1] - half - 8, half)]
    y, x = max(places, key=lambda at: steps[at[0] : at[0] + half, at[1] : at[1] + half].mean())
    parts = [developed(one[2 * y : 2 * y + SHOWN, 2 * x : 2 * x + SHOWN], raw, contract) for one in pictures]
    strip = np.concatenate(parts, axis=1).repeat(ENLARGED, 0).repeat(ENLARGED, 1)
    Image.fromarray(strip).save(path)


def line(name, values, seams=None):
    """A row of the table."""
    numbers = [f"{value:.{1 if place > 6 else 3 if place else 2}f}" for place, value in enumerate(values)]
    print(f"| {name} | {' | '.join(numbers)} | {'' if seams is None else f'{seams:.0f}'} |", flush=True)


def file(path, models, args):
    """Everyone on one file; which models did harm."""
    raw, where = cropped(read(path), args.side)
    half = libraw(path, raw, where, half_size=True)
    same = psnr(binned(light(raw)), half, data_range=1)
    plain = libraw(path, raw, where, demosaic_algorithm=rawpy.DemosaicAlgorithm.AHD)
    line(f"{path.name}, LibRaw (half size: {same:.0f} dB)", known := judged(plain, raw))
    harmed, pictures = [], [plain]
    for name, model in models.items():
        pictures.append(enhanced(model, raw))
        seams = np.abs(pictures[-1] - enhanced(model, raw, windows=True)).max() / TOP
        line(f"{path.name}, {name}", found := judged(pictures[-1], raw), seams)
        if found[0] < known[0] - LOST or any(abs(level - 1) > CAST for level in found[1:4]):
            harmed.append(name)
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        show(pictures, raw, next(iter(models.values())).contract, args.out / f"{path.stem}.png")
    return harmed


def main():
    """A table, and a sentence on what was harmed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", required=True, help="a model file")
    folder = Path(os.environ.get("QK_DATA", "data")) / "raw"
    parser.add_argument("--data", default=folder, type=Path, help="folder of RAW files (%(default)s)")
    parser.add_argument("--side", default=1024, type=int, help="of the middle that is judged (%(default)s)")
    parser.add_argument("--out", type=Path, help="write a strip of each file there: LibRaw, then the models in order")
    args = parser.parse_args()
    models = {path: session.open(path) for path in args.model}
    print(f"| | {' | '.join(HEADS)} |\n| --- |{' ---: |' * len(HEADS)}")
    harmed, judged = [], 0
    for path in sorted(args.data.iterdir()):
        try:
            harmed += [f"{path.name} by {name}" for name in file(path, models, args)]
            judged += 1
        except Error as error:
            print(f"left out: {error}", file=sys.stderr)
    if not judged:
        sys.exit(f"no RAW file in {args.data}")
    print(f"\nHarmed (more than {LOST:g} dB or {CAST:.0%}): {', '.join(harmed) or 'nothing'}")


if __name__ == "__main__":
    sys.exit(main())
