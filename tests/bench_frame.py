"""A 4256x2848 frame from file to file: models of ours against the published See-in-the-Dark U-Net in PyTorch.

    python tests/bench_frame.py fast.onnx fast.tflite --max-memory 400M

Ours write 16-bit TIFF, with all the memory there is and with a promise. Theirs does what the published test script
does (Chen et al. 2018): rawpy, the whole frame at once through a U-Net of 32 to 512 channels in eager float32, cut to
0 and 1, PNG by Pillow; its second development of the same file, for comparison, is left out. Weights are random: they
cost the same. All take turns, each in a process of its own with two threads, ready before the clock starts; memory is
that of all processes of a run of its own, two hundred looks a second.
"""

import argparse
import dataclasses
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rawpy
from PIL import Image
from raw_files import ABOUT, arw, scene

from runtime import session
from runtime.bench_frames import COPIES, STAGES, Course
from runtime.bench_models import Problems, opened
from runtime.bench_table import table
from runtime.cost import watched
from runtime.decode import Decoder
from runtime.doctor import machine
from runtime.enhancing import Enhancer
from runtime.job import Wish
from runtime.memory import parse

THREADS, ROUNDS = 2, 3
HEIGHT, WIDTH = 2848, 4256
RATIO = 100
CHANNELS = (32, 64, 128, 256, 512)
THEIRS = "See-in-the-Dark U-Net, PyTorch"


class Run(NamedTuple):
    """One frame: its stages, seconds alone, those computed on all cores, seconds a frame among others."""

    stages: dict
    total: float
    worked: float
    beside: float | None


def unet():
    """The published network: pairs of 3x3 convolutions, leaky ReLU, transposed 2x2 convolutions, pixel shuffle."""
    import torch
    from torch import nn

    torch.manual_seed(0)

    def pair(read, made):
        return nn.ModuleList([nn.Conv2d(read, made, 3, padding=1), nn.Conv2d(made, made, 3, padding=1)])

    class Unet(nn.Module):
        def __init__(self):
            super().__init__()
            down = zip((4, *CHANNELS[:-1]), CHANNELS, strict=True)
            self.down = nn.ModuleList(pair(a, b) for a, b in down)
            up = list(zip(CHANNELS[:0:-1], CHANNELS[-2::-1], strict=True))
            self.ups = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, 2) for a, b in up)
            self.out = nn.ModuleList(pair(a, b) for a, b in up)
            self.last = nn.Conv2d(CHANNELS[0], 12, 1)

        def forward(self, x):
            skips = []
            for level, convs in enumerate(self.down):
                if level:
                    x = nn.functional.max_pool2d(x, 2)
                for conv in convs:
                    x = nn.functional.leaky_relu(conv(x), 0.2)
                skips.append(x)
            skips.pop()
            for up, convs in zip(self.ups, self.out, strict=True):
                x = torch.cat([up(x), skips.pop()], 1)
                for conv in convs:
                    x = nn.functional.leaky_relu(conv(x), 0.2)
            return nn.functional.pixel_shuffle(self.last(x), 2)

    return Unet().eval()


def as_published(network, source, out):
    """One file through the published steps; the seconds of each."""
    import torch

    marks = [time.perf_counter()]
    with rawpy.imread(str(source)) as raw:
        mosaic = raw.raw_image_visible.astype(np.float32)
    marks.append(time.perf_counter())
    light = np.maximum(mosaic - 512, 0) / (16383 - 512)
    light = np.expand_dims(light, axis=2)
    corners = (light[0::2, 0::2], light[0::2, 1::2], light[1::2, 1::2], light[1::2, 0::2])
    planes = np.minimum(np.expand_dims(np.concatenate(corners, axis=2), axis=0) * RATIO, 1.0)
    batch = torch.from_numpy(planes.astype(np.float32)).permute(0, 3, 1, 2).contiguous()
    marks.append(time.perf_counter())
    with torch.no_grad():
        made = network(batch).permute(0, 2, 3, 1).numpy()
    marks.append(time.perf_counter())
    picture = (np.minimum(np.maximum(made, 0), 1)[0] * 255).astype(np.uint8)
    marks.append(time.perf_counter())
    Image.fromarray(picture).save(out)
    marks.append(time.perf_counter())
    return dict(zip(STAGES, np.diff(marks).tolist(), strict=True))


def published(threads):
    """The network ready to run; None where PyTorch is not installed."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(threads)
    return unet()


class Contestant:
    """One that runs the frame when it is told to, in a process of its own: what others hold is not its memory."""

    def __init__(self, *words):
        line = [sys.executable, __file__, "--worker", *map(str, words)]
        self.process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self):
        """One frame, and what it took."""
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit("error: a contestant died, see above")
        return Run(**json.loads(line))

    def end(self):
        """No more frames."""
        self.process.stdin.close()
        self.process.wait()


def serve(once):
    """A contestant's side: a line of JSON for every line that is read."""
    for _ in sys.stdin:
        print(json.dumps(once()._asdict()), flush=True)


def cost(call, *words):
    """What it gave, its seconds, and those its processes computed: the latter hold on a machine that is busy."""
    begin, worked = time.perf_counter(), work()
    made = call(*words)
    return made, time.perf_counter() - begin, work() - worked


def work():
    """Seconds that this process and those it has ended have computed, on all cores together."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def theirs(frame, folder):
    """The published network as a contestant."""
    network = published(THREADS)
    serve(lambda: Run(*cost(as_published, network, frame, folder / "theirs.png"), None))


def ours(model, most, frame, folder):
    """One of ours."""
    course = Course(frame, folder, Wish(format="tiff", threads=THREADS, max_memory=most))
    enhancer = Enhancer(session.open(model, provider="cpu", threads=THREADS), course.wish)

    def once():
        with Decoder(keep=False) as decoder:
            decoder.wait()
            lap, total, worked = cost(course.alone, enhancer, decoder)
        with Decoder() as decoder:
            beside = course.overlapped(enhancer, decoder) if most is None else None
        return Run(lap.result.seconds, total, worked, beside)

    serve(once)


def peak(model, most, frame, folder):
    """Bytes of all processes of the command, in processes of its own."""
    course = Course(frame, folder, Wish(format="tiff", threads=THREADS, max_memory=most))
    problems = Problems()
    (one,) = opened([model], providers=["cpu"], threads=THREADS, problems=problems, said=lambda words: None)
    return course.peak(one)


def race(models, frame, folder, promise, *, against):
    """Runs of each, in turn: name -> list of `Run`; and name -> bytes."""
    kinds = [(model, most) for most in ([None, promise] if promise else [None]) for model in models]
    names = [Path(model).name + (f", {most >> 20} MiB promised" if most else "") for model, most in kinds]
    there = {THEIRS: Contestant(frame, folder)} if against else {}
    there |= {name: Contestant(frame, folder, *kind) for name, kind in zip(names, kinds, strict=True)}
    runs = {name: [] for name in there}
    for turn in range(ROUNDS):
        print(f"round {turn + 1} of {ROUNDS}", file=sys.stderr)
        for name, contestant in there.items():
            runs[name].append(contestant.run())
    for contestant in there.values():
        contestant.end()
    peaks = {name: peak(*kind, frame, folder) for name, kind in zip(names, kinds, strict=True)}
    if against:
        peaks[THEIRS] = watched([sys.executable, __file__, "--alone", str(frame), str(folder)]).peak
    return runs, peaks


def middle(values):
    return statistics.median(values)


def in_words(runs, peaks):
    """A row a contestant, medians of its runs; "times" are as fast as the published one."""

    def half(name, field):
        values = [getattr(run, field) for run in runs.get(name, [])]
        return None if not values or None in values else middle(values)

    def cells(name, field, of):
        seconds, theirs = half(name, field), half(THEIRS, of)
        known = seconds is not None
        return f"{seconds:.2f}" if known else "-", f"{theirs / seconds:.1f}" if known and theirs else "-"

    rows = []
    for name, found in runs.items():
        row = {"model": name}
        row |= {stage: f"{middle(run.stages[stage] for run in found):.2f}" for stage in STAGES}
        row["total"], row["times"] = cells(name, "total", "total")
        row["overlapped"], row["times, overlapped"] = cells(name, "beside", "total")
        row["computed"], row["times less"] = cells(name, "worked", "worked")
        row["MiB"] = f"{peaks[name] / 2**20:.0f}" if peaks[name] else "-"
        rows.append(row)
    return rows


def main(models, promise):
    """One table: stages, the whole, how many times as fast as the published one, memory."""
    here, against = machine(), importlib.util.find_spec("torch") is not None
    print(f"{here.processor}, {here.cores} cores, {THREADS} threads, {time.strftime('%Y-%m-%d')}, {WIDTH}x{HEIGHT}")
    print(f"load average before: {os.getloadavg()[0]:.1f}; median of {ROUNDS} rounds, seconds")
    if not against:
        print("PyTorch is not installed, so there is nothing to compare with: pip install torch")
    with tempfile.TemporaryDirectory() as name:
        frame = Path(name) / "night.ARW"
        upright = dataclasses.replace(ABOUT, orientation=1)  # the published script does not turn pictures
        arw(frame, scene(HEIGHT, WIDTH, light=(0.003, 0.005, 0.002)), about=upright)
        runs, peaks = race(models, frame, Path(name), promise, against=against)
    rows = in_words(runs, peaks)
    print()
    print("\n".join(table({key: lambda row, key=key: row[key] for key in rows[0]}, rows)))
    print(f"\noverlapped: seconds a frame of {COPIES} in one run; times: as fast as {THEIRS}, PNG of 8 bits")
    print("computed: seconds on all cores together, which other programs do not lengthen")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--alone"]:
        as_published(published(THREADS), Path(sys.argv[2]), Path(sys.argv[3]) / "alone.png")
        sys.exit()
    if sys.argv[1:2] == ["--worker"]:
        frame, folder, *kind = sys.argv[2:]
        if kind:
            ours(kind[0], None if kind[1] == "None" else int(kind[1]), Path(frame), Path(folder))
        else:
            theirs(Path(frame), Path(folder))
        sys.exit()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--max-memory", type=parse, metavar="SIZE", help="a promise to be tried as well, such as 400M")
    asked = parser.parse_args()
    main(asked.models, asked.max_memory)
