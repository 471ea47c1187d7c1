"""Does the input starve a training, and does a data set stay on the disk; `make bench`, one part of it.

A step is timed in one run with two inputs by turns: pairs made as they are needed, and one batch again and again, which
costs nothing. See in the Dark is a set of its size and format, made up here; what a scene more costs is the slope
between two sets, each read by a process of its own.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from raw_files import ABOUT, arw, scene

import keras_models
from quant import sid
from quant.fit import fit
from quant.learn import course
from quant.losses import loss
from quant.recipe import FOLDER, read
from quant.sharding import build
from quant.sources import source
from runtime.doctor import machine

RECIPES = {"unet": FOLDER / "unet.toml", "trial/unet": FOLDER / "trial/unet.toml"}
BLOCK, ROUNDS, SETTLED = 10, 5, 2  # steps of one input; a batch is drawn one step ahead, so the first tell nothing
POOL, REUSE = 32, 128  # of quant.pairs: so many scenes serve 32 x 128 pairs
SIDES, EXPOSURES = (2848, 4256), ("0.1", "0.04")
SCENES, PUBLISHED = (4, 16), 161  # made up here; of the training split for Sony
REPEATS = 3
MOSAIC = SIDES[0] * SIDES[1] * 2
ROOM = 2 * (sum(SCENES) * (3 + len(EXPOSURES)) + 1) * MOSAIC  # bytes on the disk, and as many to spare
MEGA = 1e6

CROPS = """
import json, re, sys, time
from pathlib import Path
import numpy as np
from contracts import UNET
from quant.data import Sid
from quant.sources import source
folder, held = Path(sys.argv[1]), int(sys.argv[2])
data = source(Sid(folder=str(folder / "sid"), cache=str(folder / "cache")), UNET, seed=0, size=64, part="train")
begin = time.perf_counter()
for number in range(300):
    data.batch([number])
seconds = time.perf_counter() - begin
kept = [np.fromfile(path, np.uint8, held) for path in folder.rglob("*.bin")] if held else []
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
print(json.dumps([1024 * int(peak[1]), 300 / seconds]))
"""


class Turns:
    """Blocks of steps by turns: the same batch again, and pairs that are made."""

    def __init__(self, data, size):
        self.data, self.size = data, size
        self.same = data.batch(range(size))

    def made(self, step):
        return step // BLOCK % 2 == 1

    def batch(self, numbers):
        return self.data.batch(numbers) if self.made(numbers[0] // self.size) else self.same


def speed(data, size):
    """(pairs a second, pairs a second of CPU time, seconds for a new scene) of a source by itself."""
    begin = time.process_time()
    data.batch(range(POOL))
    cold = time.process_time() - begin
    walls, works = [], []
    for number in range(2 * ROUNDS):
        begin, work = time.perf_counter(), time.process_time()
        data.batch(range(POOL + number * size, POOL + (number + 1) * size))
        walls.append(time.perf_counter() - begin)
        works.append(time.process_time() - work)
    work = statistics.median(works)
    return size / statistics.median(walls), size / work, cold / POOL - work / size


def steps(recipe, contract, model, data):
    """Median seconds of a step with the same batch, and of one with made pairs."""
    turns = Turns(data, recipe.fit.batch)
    ends, spent = [], {False: [], True: []}
    settings = replace(recipe.fit, steps=2 * BLOCK * (ROUNDS + 1), mixed_precision=False)
    with tempfile.TemporaryDirectory() as folder:
        told = course(settings, loss(settings.loss))
        fit(model, turns, told, folder=folder, watch=lambda step, _: ends.append(time.perf_counter()))
    for step in range(2 * BLOCK, settings.steps):  # the first round compiles
        if step % BLOCK >= SETTLED:
            spent[turns.made(step)].append(ends[step] - ends[step - 1])
    return statistics.median(spent[False]), statistics.median(spent[True])


def starving():
    """What a step waits for its input."""
    print("| recipe | pairs/s | a CPU second | a new scene | wanted/s | step, same batch | step, made pairs | ratio |")
    print(f"| --- |{' ---: |' * 7}")
    for name, path in RECIPES.items():
        recipe = read(path)
        settings = recipe.fit
        model, contract = keras_models.build(recipe.model.network, **dict(recipe.model.options))
        data = source(recipe.data, contract, seed=settings.seed, size=settings.size, part="train")
        walled, worked, new = speed(data, settings.batch)
        same, made = steps(recipe, contract, model, data)
        figures = f"{walled:.0f} | {worked:.0f} | {1e3 * new:.0f} ms | {settings.batch / same:.0f}"
        print(f"| {name} | {figures} | {1e3 * same:.0f} ms | {1e3 * made:.0f} ms | {made / same:.2f} |", flush=True)
    print(f"\nSource warm, float32; {POOL} new scenes come with every {POOL * REUSE} pairs, beside these.")


def night(folder, scenes):
    """A set as published, of one frame under many names, decoded already: only its targets are not LibRaw's."""
    about = replace(ABOUT, make="SONY", model="ILCE-7SM2")
    places = [folder / "sid/Sony" / kind for kind in ("short", "long")]
    for place in places:
        place.mkdir(parents=True)
    one = folder / "one.ARW"
    arw(one, scene(*SIDES, light=(0.003, 0.005, 0.002)), about=about)
    rows = []
    for number in range(1, scenes + 1):
        names = [f"{number:05}_00_{seconds}s.ARW" for seconds in (*EXPOSURES, "10")]
        for name in names:
            os.link(one, places[name == names[-1]] / name)
        rows += [f"./Sony/short/{name} ./Sony/long/{names[-1]} ISO200 F8\n" for name in names[:-1]]
    (folder / "sid/Sony_train_list.txt").write_text("".join(rows))
    target = np.random.default_rng(0).integers(0, 65536, (*SIDES, 3), np.uint16)
    made = sid.scenes(sid.for_training(sid.listed(folder / "sid")))
    build(folder / "cache/Sony_train", made, develop=lambda path: target)


def crops(folder, *, held):
    """(peak in bytes, crops a second) of a fresh process; with `held` bytes of every shard kept, the control."""
    here = Path(__file__).parent
    command = [sys.executable, "-c", CROPS, str(folder), str(held)]
    paths = os.pathsep.join([str(here), str(here.parent)])
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def staying():
    """What a scene more costs in memory."""
    with tempfile.TemporaryDirectory() as name:
        if (free := shutil.disk_usage(name).free) < ROOM:
            print(f"\nSee in the Dark: not measured, {free / 1e9:.1f} GB free of {ROOM / 1e9:.1f}")
            return
        folders = [Path(name) / str(scenes) for scenes in SCENES]
        for folder, scenes in zip(folders, SCENES, strict=True):
            night(folder, scenes)
        kinds = {"crops alone": 0, "a mosaic of each kept": MOSAIC}
        found = {kind: [] for kind in kinds}
        for _ in range(REPEATS):
            for kind, held in kinds.items():
                found[kind].append([crops(folder, held=held) for folder in folders])
    exposures = f"{len(EXPOSURES)} exposures a scene, {(3 + len(EXPOSURES)) * MOSAIC / MEGA:.0f} MB on the disk"
    print(f"\nSee in the Dark, {SIDES[1]}x{SIDES[0]}, {exposures}; 300 crops of 64 packed pixels, files cached:\n")
    heads = " | ".join(f"peak, {scenes} scenes" for scenes in SCENES)
    print(f"| | {heads} | a scene more | extrapolated to {PUBLISHED} scenes | crops/s |\n| --- |{' ---: |' * 5}")
    for kind, runs in found.items():
        few, many = (statistics.median(run[place][0] for run in runs) for place in (0, 1))
        slope = (many - few) / (SCENES[1] - SCENES[0])
        whole = few + slope * (PUBLISHED - SCENES[0])
        rate = statistics.median(run[1][1] for run in runs)
        sizes = " | ".join(f"{size / MEGA:.1f} MB" for size in (few, many))
        print(f"| {kind} | {sizes} | {slope / MEGA:.2f} MB | {whole / MEGA:.0f} MB | {rate:.0f} |")


def main():
    """Two tables."""
    here = machine()
    print(f"\n{here.processor}, {here.cores} cores, {time.strftime('%Y-%m-%d')}: training data\n", flush=True)
    starving()
    staying()


if __name__ == "__main__":
    sys.exit(main())
