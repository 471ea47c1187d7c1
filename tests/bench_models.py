"""How much better than classical denoising a model is, in the dark, on frames it has never seen; tables and JSON.

    qk-export fast --to onnx --out build
    python tests/bench_models.py --model fast --model small --parents build

The protocol. A frame is 512 x 512 pixels of mosaic: a third of them pieces of held-out photographs (`--photos`, which
no training may have), the others dead leaves of a seed that no recipe can have. Each is seen by a random camera of its
own, gain over all that a model is made for (K_RANGE), and taken three times: with 100, 250 and 300 times too little
light. No frame is left out. A model gets the RAW frame and the ratio, through `runtime` as a user would: what it makes
as a linear DNG, and as a picture. The classical ones are told the camera's true noise and white balance as well. Each
kind is tuned by itself, ratio by ratio, on other scenes and cameras; and for each figure by itself, so of every kind
and figure it is the best that is compared. `mixture` is the best of quant.baseline.tune, for the two PSNR. BM3D is our
own (bm3d.py): the published package is not for everyone to use.

Figures are means over frames with 95 % intervals, of PSNR and SSIM of the camera's colours ("linear") and of the
picture for a display ("developed"). Differences are frame by frame. Leaves are what models learn from, photographs are
not, so they are also judged apart; several frames are of one photograph, so intervals over these are too narrow.
"""

import argparse
import json
import math
import os
import sys
import time
from dataclasses import dataclass, replace
from itertools import pairwise, product
from pathlib import Path

import numpy as np
from bm3d import Collaborative
from contracts import UNET

from keras_models.parents import PARENTS
from quant import camera as cameras
from quant.baseline import GRIDS, Bilateral, Method, Nothing, Part, picture, tune
from quant.noise import K_RANGE, LEVELS
from quant.pairs import Pairs, Shot
from quant.scenes import Leaves, Photographs
from quant.sources import HELD_OUT
from runtime import session
from runtime.develop import develop, look
from runtime.doctor import machine
from runtime.enhancing import Enhancer
from runtime.job import Wish
from runtime.measure import Mean, psnr, ssim

RATIOS = (100.0, 250.0, 300.0)
WHOLE, TUNED_SIDE = 512, 64  # of dead leaves, in pixels; of what a method is tuned on, in packed pixels, a corner
SAMPLES = 6  # a method is tuned on
SEED, TUNING_SEED = 2 * HELD_OUT, 3 * HELD_OUT  # no recipe's, nor those of its held-out pairs
JUDGED = ("linear", "developed")  # the camera's colours, and the picture that is looked at
FIGURES = ("linear PSNR", "linear SSIM", "developed PSNR", "developed SSIM")
PEERS = ("amplified", "bilateral", "non-local means", "BM3D")  # what `fast` has to beat
BETTER, EIGHT, FOUR = 2.0, 0.2, 1.0  # dB: over the best peer; what 8 and 4 bits may cost
CORRECTIONS = (0.0, 0.5, 1.0)
GAINS = 3  # equal parts of the logarithm of K_RANGE
TOP = np.float32(1 / 65535)

KINDS = {
    "amplified": [Part(Nothing(), evened=False)],
    "bilateral": [Part(Bilateral(*one), even) for even in (True, False) for one in product((2, 3, 4, 6), (1, 2, 3))],
    "non-local means": [Part(one, even) for even in (True, False) for one in GRIDS[0]],
    "BM3D": [Part(Collaborative(sigma, seen, every=4)) for sigma in (0.9, 1.0, 1.2) for seen in (0.0, 2.0)],
}  # fmt: skip


@dataclass(frozen=True)
class At:
    """Any camera, at this ratio: the same of the same frame at another."""

    ratio: float

    def __call__(self, rng):
        return Shot(cameras.drawn(rng), self.ratio)


def corner(rng, least):
    """A corner of dead leaves that are as large as those of a whole frame."""
    return Leaves(WHOLE)(rng, least)[:, :least, :least].copy()


class Some(Photographs):
    """These photographs of a folder."""

    def __init__(self, folder, names, *, side):
        super().__init__(folder, side=side)
        self.files = [path for path in self.files if path.name in names]
        if len(self.files) < len(names):
            sys.exit(f"not all of {', '.join(names)} are in {folder}: name others with --photos")


def frames(args, ratio):
    """(what it is of, its number, the sample) of every frame that is measured on."""
    each = args.frames // 3 // max(len(args.photos), 1)
    counts = {"leaves": args.frames - each * len(args.photos), **dict.fromkeys(args.photos, each)}
    for place, (name, count) in enumerate(counts.items()):
        scenes = corner if name == "leaves" else Some(args.data, (name,), side=args.side)
        pairs = Pairs(UNET, seed=SEED + place, size=args.side // 2, scenes=(scenes,), shots=At(ratio), pool=count or 1)
        yield from ((name, number, pairs.sample(number)) for number in range(count))


def developed(colours, raw):
    """The camera's colours (h, w, 3) as a picture for a display, 0 to 1."""
    out = np.empty(colours.shape, np.uint16)
    develop(np.ascontiguousarray(colours.transpose(2, 0, 1)), look(raw, replace(UNET, output="camera-linear")), out)
    return out * TOP


def figures(sample, linear, shown=None):
    """The four figures of what was made of a sample; what is no picture yet is developed as the truth is."""
    truth = sample.colours.transpose(1, 2, 0)
    pairs = ((truth, linear), (developed(truth, sample.raw), developed(linear, sample.raw) if shown is None else shown))
    found = [figure(*pair, data_range=1.0) for pair in pairs for figure in (psnr, ssim)]
    return dict(zip(FIGURES, map(float, found), strict=True))


def shown_psnr(sample, linear):
    """The PSNR of the picture alone."""
    truth, made = (developed(one, sample.raw) for one in (sample.colours.transpose(1, 2, 0), linear))
    return psnr(truth, made, data_range=1.0)


def best(methods, samples):
    """For each figure the method whose mean is best."""
    found = {one: [figures(sample, picture(sample, method=one)) for sample in samples] for one in methods}
    means = {one: {name: np.mean([each[name] for each in every]) for name in FIGURES} for one, every in found.items()}
    return {name: max(means, key=lambda one: means[one][name]) for name in FIGURES}


def tuned(samples, pairs):
    """Kind -> figure -> the method it is compared with."""
    chosen = {}
    for kind, parts in KINDS.items():
        first = best([Method((part,)) for part in parts], samples)
        chosen[kind] = best({replace(one, correction=c) for one in first.values() for c in CORRECTIONS}, samples)
    linear, shown = (tune(pairs, range(SAMPLES), **by).best.method for by in ({}, {"figure": shown_psnr}))
    chosen["mixture"] = dict(zip(FIGURES, (linear, linear, shown, shown), strict=True))
    return chosen


def tuning(args, ratio):
    """Samples to tune with, and as pairs: no scene, camera or seed of them is measured on."""
    others = sorted(path.name for path in Path(args.data).glob("*.png") if path.name not in args.photos)
    known = [Some(args.data, others, side=2 * TUNED_SIDE)] if args.photos and others else []
    pairs = Pairs(UNET, seed=TUNING_SEED, size=TUNED_SIDE, scenes=(corner, *known), shots=At(ratio), pool=SAMPLES)
    return [pairs.sample(number) for number in range(SAMPLES)], pairs


def enhanced(model, sample):
    """What a user gets of a RAW frame: the linear DNG's numbers, and the picture's."""
    made = []
    for kind in ("dng", "tiff"):
        enhancer = Enhancer(model, Wish(ratio=f"{sample.ratio:g}", format=kind))
        job = enhancer.prepare(sample.raw)
        enhancer.infer(job)
        made.append(job.pixels * TOP)
    return made


def measured(sample, methods, models):
    """Name -> figures, of everyone."""
    found = {}
    for kind, by_figure in methods.items():
        every = {one: figures(sample, picture(sample, method=one)) for one in set(by_figure.values())}
        found[kind] = {name: every[by_figure[name]][name] for name in FIGURES}
    return found | {name: figures(sample, *enhanced(model, sample)) for name, model in models.items()}


def rows(args, models):
    """One row a frame and ratio; of the peers what an earlier run found, if there was one: they do not change."""
    earlier = json.loads(args.peers.read_text()) if args.peers else []
    known = {(row["ratio"], row["scene"], row["number"], row["side"]): row for row in earlier}
    for ratio in RATIOS:
        begin = time.process_time()
        methods = {} if known else tuned(*tuning(args, ratio))
        said = {kind: {name: str(one) for name, one in chosen.items()} for kind, chosen in methods.items()}
        print(f"x{ratio:g}: tuned in {time.process_time() - begin:.0f} s of CPU", file=sys.stderr, flush=True)
        for scene, number, sample in frames(args, ratio):
            gain = sample.camera.sensor.K / (sample.camera.white - sample.camera.black)
            told = {"ratio": ratio, "scene": scene, "number": number, "side": args.side, "gain": gain * LEVELS}
            told["electrons"] = float(sample.colours.mean()) / ratio / gain
            found = measured(sample, methods, models)
            if known:
                row = known.get((ratio, scene, number, args.side))
                if row is None:
                    sys.exit(f"{args.peers} is of other frames: x{ratio:g}, {scene} {number} is not in it")
                said, peers = row["tuned"], {who: row["figures"][who] for who in row["tuned"]}
                found = peers | found
            yield {**told, "figures": found, "tuned": said}


def mean(values, digits):
    """A mean and half its interval."""
    found = Mean()
    for value in values:
        found.add(value)
    half = (found.interval[1] - found.interval[0]) / 2
    return f"{found.mean:.{digits}f}" + ("" if math.isnan(half) else f" ± {half:.{digits}f}")


def digits(figure):
    return 2 if figure.endswith("PSNR") else 3


def take(found, who, figure):
    return [row["figures"][who][figure] for row in found]


def apart(found, one, other, figure):
    return np.subtract(take(found, one, figure), take(found, other, figure))


def table(heads, lines):
    """Markdown, numbers to the right."""
    print(f"\n| {' | '.join(heads)} |\n| --- |{' ---: |' * (len(heads) - 1)}")
    for line in lines:
        print(f"| {' | '.join(line)} |")


def strongest(found, figure):
    """The peer that is best by this figure."""
    return max(PEERS, key=lambda who: np.mean(take(found, who, figure)))


def report(found, models, floats):
    """The tables; `floats` has the name of each model's float parent, if that is there."""
    for ratio in RATIOS:
        part = [row for row in found if row["ratio"] == ratio]
        lines = [[who, *(mean(take(part, who, name), digits(name)) for name in FIGURES)] for who in part[0]["figures"]]
        table([f"x{ratio:g}, {len(part)} frames", *FIGURES], lines)
        heads = [f"x{ratio:g}: over the best peer", *FIGURES, *(f"+{BETTER:g} dB, and SSIM: {kind}" for kind in JUDGED)]
        table(heads, [over(part, who) for who in models])
    if floats:
        smaller(found, floats)
    parts(found, models)


def over(part, who):
    """What a model has over the best of its peers, frame by frame, figure by figure."""
    words, enough = [], dict.fromkeys(JUDGED, True)
    for name in FIGURES:
        peer = strongest(part, name)
        gained = apart(part, who, peer, name)
        words.append(f"{mean(gained, digits(name))} ({peer})")
        enough[name.split()[0]] &= bool(gained.mean() >= BETTER if name.endswith("PSNR") else gained.mean() > 0)
    return [who, *words, *("yes" if each else "no" for each in enough.values())]


def smaller(found, floats):
    """What fewer bits cost: against the float parent, frame by frame."""
    lines = []
    for (who, parent), ratio in product(floats.items(), RATIOS):
        part = [row for row in found if row["ratio"] == ratio]
        lost = [apart(part, who, parent, name) for name in FIGURES]
        least = min(each.mean() for each, name in zip(lost, FIGURES, strict=True) if name.endswith("PSNR"))
        within = next((f"{limit:g} dB" for limit in (EIGHT, FOUR) if least >= -limit), f"more than {FOUR:g} dB")
        lines.append([f"{who}, x{ratio:g}", *(mean(e, digits(n)) for e, n in zip(lost, FIGURES, strict=True)), within])
    table(["minus its float parent", *FIGURES, "within"], lines)


def parts(found, models):
    """The same split by what a frame is of and by how the camera is: nothing is hidden in a mean."""
    edges = np.exp(np.linspace(*np.log(K_RANGE), GAINS + 1))
    split = {scene: [row for row in found if row["scene"] == scene] for scene in {row["scene"]: 0 for row in found}}
    for low, high in pairwise(edges):
        split[f"gain {low:.2g} to {high:.2g} DN/e-"] = [row for row in found if low <= row["gain"] < high]
    first, lines = next(iter(models)), []
    for name, part in split.items():
        if part:
            light = f"{np.median([row['electrons'] for row in part]):.2g}"
            peers = {figure: strongest(part, figure) for figure in FIGURES[::2]}
            gained = [mean(apart(part, who, peer, name), 2) for who in models for name, peer in peers.items()]
            worst = apart(part, first, peers[FIGURES[2]], FIGURES[2]).min()
            lines.append([f"{name} ({len(part)})", light, *gained, f"{worst:.2f}"])
    heads = [f"{who}, {figure}" for who in models for figure in FIGURES[::2]]
    table(["over the best peer, all ratios", "electrons a pixel", *heads, f"{first}, worst frame"], lines)


def arguments():
    """What is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", required=True, help="a model that ships, by name, or a file")
    parser.add_argument("--parents", type=Path, help="folder of NAME.onnx, their float parents: what fewer bits cost")
    folder = Path(os.environ.get("QK_DATA", "data")) / "photos"
    parser.add_argument("--data", default=folder, help="folder of photographs (%(default)s)")
    parser.add_argument("--photos", default="11.png 12.png", type=str.split, help="not trained on (%(default)s)")
    parser.add_argument("--frames", default=24, type=int, help="at each ratio (%(default)s)")
    parser.add_argument("--side", default=512, type=int, help="of a frame's mosaic, in pixels (%(default)s)")
    parser.add_argument("--peers", type=Path, help="what an earlier run wrote; classical figures are taken from it")
    parser.add_argument("--out", type=Path, help="also write every figure of every frame there, as JSON")
    return parser.parse_args()


def main():
    """Tables on the output, figures in a file."""
    args = arguments()
    if not Path(args.data).is_dir():
        print(f"No folder {args.data}: dead leaves alone.\n")
        args.photos = []
    models = {Path(path).name: session.open(path) for path in args.model}
    if len(models) < len(args.model):
        sys.exit("two models have one name: the tables could not tell them apart")
    floats = {who: f"{PARENTS[who]}, float" for who in models if args.parents and who in PARENTS}
    parents = {f"{name}, float": args.parents / f"{name}.onnx" for name in sorted({PARENTS[who] for who in floats})}
    models |= {name: session.open(path) for name, path in parents.items()}
    here = machine()
    print(f"{here.processor}, {here.cores} cores, {time.strftime('%Y-%m-%d')}: frames of {args.side} x {args.side}")
    found = []
    for row in rows(args, models):
        found.append(row)
        if args.out:
            args.out.write_text(json.dumps(found, indent=1))
    report(found, models, floats)


if __name__ == "__main__":
    sys.exit(main())
