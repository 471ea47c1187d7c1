"""A 4256x2848 frame through `qk-run enhance` with the int8 U-Net: stages, time and memory; `make bench`, last part.

Memory is that of all processes of the run together, looked at two hundred times a second.
"""

import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tf_keras
from raw_files import arw, scene

import keras_models
from export.to_onnx import to_onnx
from quant.lower_tfmot import lower_tfmot
from quant.qat import quantization_aware
from runtime.doctor import machine

PAGE, REPEATS = 4096, 5
STAGES = ("decode", "pack", "infer", "develop", "encode")


def model(path):
    tf_keras.utils.set_random_seed(1)
    network, contract = keras_models.build("unet")
    x = np.random.default_rng(0).random((2, 64, 64, 4), np.float32)
    to_onnx(lower_tfmot(quantization_aware(network, samples=x)), contract, path)


def family(pid):
    """A process and all it has started."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*"):
        try:
            found += [one for child in (task / "children").read_text().split() for one in family(int(child))]
        except OSError:
            continue
    return found


def held(pid):
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except OSError:
        return 0


def run(folder, *words):
    """(what the run says of itself, its peak in bytes, its seconds)."""
    command = [sys.executable, "-m", "runtime", "enhance", folder / "night.ARW", "-o", folder / "out", "--json"]
    command += ["--model", folder / "unet.onnx", "--overwrite", "always", *words]
    begin, peak = time.perf_counter(), 0
    started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    while started.poll() is None:
        peak = max(peak, sum(map(held, family(started.pid))))
        time.sleep(0.005)
    return json.loads(started.communicate()[0]), peak, time.perf_counter() - begin


def main():
    """Two tables: stages by format, and time and memory by limit."""
    here = machine()
    print(f"\n{here.processor}, {here.cores} cores, {time.strftime('%Y-%m-%d')}: `unet` int8, 4256x2848\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model(folder / "unet.onnx")
        arw(folder / "night.ARW", scene(2848, 4256, light=(0.003, 0.005, 0.002)))
        least = int(re.search(r"--max-memory (\d+)M", run(folder, "--max-memory", "10M")[0]["error"])[1])
        limits = ["none", "1024M", "512M", "384M", "300M", f"{least + 8}M"]  # the next run may want a few MiB more
        kinds = ["tiff", "jpeg", "png", "dng"]
        found = {key: [] for key in [*kinds, *limits]}
        for _ in range(REPEATS):
            for kind in kinds:
                found[kind].append(run(folder, "--format", kind))
            for limit in limits:
                found[limit].append(
                    run(folder, "--format", "tiff", *([] if limit == "none" else ["--max-memory", limit]))
                )
    print(f"| format | {' | '.join(STAGES)} | pack + develop of infer |\n| --- |{' ---: |' * 6}")
    for kind in kinds:
        spent = {stage: statistics.median(one["seconds"][stage] for one, *_ in found[kind]) for stage in STAGES}
        share = (spent["pack"] + spent["develop"]) / spent["infer"]
        print(f"| {kind} | {' | '.join(f'{1e3 * spent[stage]:.0f} ms' for stage in STAGES)} | {share:.1%} |")
    print(
        f"\n| --max-memory | windows | peak | predicted | times the unlimited inference |\n| --- | --- |{' ---: |' * 3}"
    )
    usual = statistics.median(one["seconds"]["infer"] for one, *_ in found["none"])
    for limit in limits:
        peak = max(peak for _, peak, _ in found[limit])
        infer = statistics.median(one["seconds"]["infer"] for one, *_ in found[limit])
        said = found[limit][0][0]
        sizes = f"{peak / 2**20:.0f} MiB | {said['peak'] / 2**20:.0f} MiB"
        print(f"| {limit} | {said['windows']} | {sizes} | {infer / usual:.2f} |")


if __name__ == "__main__":
    sys.exit(main())
